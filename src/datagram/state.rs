//! The state of one datagram socket, and the meaning of recvfrom's errors.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::socket::DatagramSocket;
use crate::parts::owned_timers::OwnedTimers;
use crate::reason::Reason;
use crate::system::poller::Readiness;

/// This many errors in a row, without a datagram or an empty queue between them, mean that the socket is
/// broken for good: an error about one datagram is reported once. More than a program with many peers
/// collects between two receives, and few enough to be reached in a turn.
const FAILURES: u32 = 64;

/// In how many turns of a shutdown a socket receives before it is told, so that what waits in the kernel is
/// served: sixteen budgets are more than the default receive buffer holds, and an end when more keeps coming.
const TURNS_BEFORE_TOLD: u32 = 16;

/// A datagram socket and its state. Twisted calls it a port.
pub(crate) struct DatagramState {
    /// `None` once it was stopped: the address is free, and only `stop_protocol` is still to be called.
    pub(crate) socket: Option<DatagramSocket>,
    pub(crate) local: SocketAddr,
    /// The peer it is connected to.
    pub(crate) peer: Option<SocketAddr>,
    /// Set by `DatagramTransport::call_later`.
    pub(crate) timers: OwnedTimers,
    /// Why it was stopped.
    pub(crate) ending: Option<Reason>,
    /// Whether `start_protocol` was called.
    pub(crate) started: bool,
    /// In how many turns of a shutdown it may still receive before `shutting_down`; `None` once that was called.
    pub(crate) turns_before_told: Option<u32>,
    /// Latched: there may be something to receive. Cleared only by a read that finds nothing.
    pub(crate) readable: bool,
    /// A send found no room, and the protocol was not told yet that there is room again.
    pub(crate) blocked: bool,
    /// Latched while blocked: there is room again.
    pub(crate) room: bool,
    /// A send reported that an earlier datagram reached no socket.
    pub(crate) unreachable: bool,
    /// Errors in a row.
    failures: u32,
}

/// The result of a receive.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The length of a datagram, and its sender.
    Datagram(usize, SocketAddr),
    /// A datagram of another peer than the connected one.
    Stray,
    Nothing,
    /// The host of the peer reports that an earlier datagram reached no socket.
    Unreachable,
    Failed(io::Error),
    /// Too many errors in a row: the socket is broken.
    Broken(io::Error),
}

impl DatagramState {
    pub(crate) fn new(socket: DatagramSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let peer = socket.peer_addr().ok(); // an adopted socket may be connected
        Ok(Self {
            socket: Some(socket),
            local,
            peer,
            timers: OwnedTimers::default(),
            ending: None,
            started: false,
            turns_before_told: Some(TURNS_BEFORE_TOLD),
            readable: false,
            blocked: false,
            room: false,
            unreachable: false,
            failures: 0,
        })
    }

    /// Records an event; returns whether to serve the socket.
    pub(crate) fn latch(&mut self, readiness: Readiness) -> bool {
        self.readable |= readiness.contains(Readiness::READABLE);
        self.room |= self.blocked && readiness.contains(Readiness::WRITABLE);
        self.readable || self.room
    }

    /// Receives once. A datagram that fills `buf` may have been cut, so `buf` must be longer than any.
    pub(crate) fn receive(&mut self, buf: &mut [u8]) -> Incoming {
        let Some(socket) = &self.socket else { return Incoming::Nothing };
        let received = loop {
            match socket.receive(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        match received {
            Ok((count, _)) if count == buf.len() => self.failed(cut(count)),
            Ok((count, from)) => {
                self.failures = 0;
                // Datagrams from before `connect` are still in the queue.
                if self.peer.is_some_and(|peer| !is_same(peer, from)) {
                    return Incoming::Stray;
                }
                Incoming::Datagram(count, from)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.failures = 0;
                self.readable = false;
                Incoming::Nothing
            }
            Err(error) if is_unreachable(&error) => Incoming::Unreachable,
            Err(error) => self.failed(error),
        }
    }

    /// Connects to one peer; returns the local address, which may be more specific now.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> io::Result<SocketAddr> {
        let Some(socket) = &self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        if let Some(peer) = self.peer {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the socket is connected to {peer} already"),
            ));
        }
        if to.port() == 0 {
            // The kernel would take it, and then neither send nor receive.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no peer has the port 0"));
        }
        socket.connect(to)?;
        // From here on the socket is connected, so nothing may fail any more.
        self.peer = Some(socket.peer_addr().unwrap_or(to));
        self.local = socket.local_addr().unwrap_or(self.local);
        Ok(self.local)
    }

    fn failed(&mut self, error: io::Error) -> Incoming {
        self.failures += 1;
        if self.failures >= FAILURES { Incoming::Broken(error) } else { Incoming::Failed(error) }
    }
}

/// Whether an error is the refusal of an earlier datagram. Windows reports it as a reset.
pub(crate) fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// Whether two addresses are the same, for any flow of an IPv6 packet.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}

fn cut(count: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a datagram of {count} bytes or more does not fit into the buffer"),
    )
}

impl fmt::Debug for DatagramState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramState")
            .field("local", &self.local)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::clock::Clock;
    use crate::simulation::datagrams::MemoryDatagrams;
    use crate::simulation::network::Network;
    use crate::system::simulated::SimulatedDatagrams as _;

    /// A socket that has got this many datagrams of four bytes.
    fn state_with(datagrams: usize) -> DatagramState {
        let network = Network::new(Clock::manual(), 0);
        let bind = || MemoryDatagrams::bind_outside(&network, ([127, 0, 0, 1], 0).into()).unwrap();
        let (ours, far) = (bind(), bind());
        for _ in 0..datagrams {
            far.send(b"four", Some(ours.local_addr())).unwrap();
        }
        network.borrow_mut().step();
        DatagramState::new(DatagramSocket::Simulated(Box::new(ours))).unwrap()
    }

    #[test]
    fn a_datagram_that_may_be_cut_is_not_delivered() {
        let mut state = state_with(3);
        assert!(matches!(state.receive(&mut [0; 5]), Incoming::Datagram(4, _)));
        for len in [4, 3] {
            let Incoming::Failed(error) = state.receive(&mut vec![0; len]) else { panic!("{len}") };
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        assert!(matches!(state.receive(&mut [0; 5]), Incoming::Nothing));
    }

    #[test]
    fn only_errors_in_a_row_break_a_socket() {
        let errors = FAILURES as usize - 1;
        let mut state = state_with(2 * errors + 2);
        for _ in 0..errors {
            assert!(matches!(state.receive(&mut [0; 1]), Incoming::Failed(_)));
        }
        assert!(matches!(state.receive(&mut [0; 5]), Incoming::Datagram(..)));
        for _ in 0..errors {
            assert!(matches!(state.receive(&mut [0; 1]), Incoming::Failed(_)));
        }
        assert!(matches!(state.receive(&mut [0; 1]), Incoming::Broken(_)));
    }
}
