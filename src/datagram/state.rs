//! The state of one datagram socket, and what the errors of recvfrom mean.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::socket::DatagramSocket;
use crate::parts::timers::TimerId;
use crate::reason::Reason;
use crate::system::poller::Readiness;

/// So many errors in a row, without a datagram or an empty queue between them, mean that the socket
/// is broken for good: an error that tells of a datagram is given once. More than a program with many
/// peers collects between two looks, and few enough to be over in a turn.
const FAILURES: u32 = 64;

/// A datagram socket and who hears of it. Twisted calls it a port.
pub(crate) struct DatagramState {
    /// `None` once it was stopped: the address is free, and only `stop_protocol` is owed.
    pub(crate) socket: Option<DatagramSocket>,
    pub(crate) local: SocketAddr,
    /// Whom it is connected to.
    pub(crate) peer: Option<SocketAddr>,
    /// By `DatagramTransport::call_later`.
    pub(crate) timers: Vec<TimerId>,
    /// Why it was stopped.
    pub(crate) ending: Option<Reason>,
    /// Whether `start_protocol` was called.
    pub(crate) started: bool,
    /// Latched: there may be something to receive. Cleared only by a read that finds nothing.
    pub(crate) readable: bool,
    /// A send found no room, and nobody was told yet that there is some again.
    pub(crate) blocked: bool,
    /// Latched while blocked: there is room again.
    pub(crate) room: bool,
    /// A send found the refusal of an earlier one.
    pub(crate) refused: bool,
    /// Errors in a row.
    failures: u32,
}

/// What a look into the socket found.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A datagram of so many bytes.
    Datagram(usize, SocketAddr),
    /// One that is not for us.
    Stray,
    Nothing,
    /// What was sent before was refused.
    Refused,
    Failed(io::Error),
    /// Nothing but errors: it is over.
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
            timers: Vec::new(),
            ending: None,
            started: false,
            readable: false,
            blocked: false,
            room: false,
            refused: false,
            failures: 0,
        })
    }

    /// Notes what an event says; returns whether to serve the socket.
    pub(crate) fn latch(&mut self, readiness: Readiness) -> bool {
        self.readable |= readiness.contains(Readiness::READABLE);
        self.room |= self.blocked && readiness.contains(Readiness::WRITABLE);
        self.readable || self.room
    }

    /// Looks once for a datagram. One that fills `buf` may have been cut, so `buf` is to be longer than
    /// any.
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
                // What was in the queue before `connect` is still there.
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
            Err(error) if is_refusal(&error) => Incoming::Refused,
            Err(error) => self.failed(error),
        }
    }

    /// Connects to one peer; returns our address, which may be known more exactly now.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> io::Result<SocketAddr> {
        let Some(socket) = &self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        if let Some(peer) = self.peer {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the socket is connected to {peer} already"),
            ));
        }
        socket.connect(to)?;
        self.peer = Some(socket.peer_addr()?);
        self.local = socket.local_addr()?;
        Ok(self.local)
    }

    fn failed(&mut self, error: io::Error) -> Incoming {
        self.failures += 1;
        if self.failures >= FAILURES { Incoming::Broken(error) } else { Incoming::Failed(error) }
    }
}

/// Whether an error tells that nobody listened to what was sent earlier. Windows tells it as a reset.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// Whether two addresses are one, whatever flow an IPv6 packet belongs to.
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

    /// A port, and what came to it: as many datagrams of four bytes.
    fn port_with(datagrams: usize) -> DatagramState {
        let network = Network::new(Clock::manual(), 0);
        let bind = || MemoryDatagrams::bind(&network, ([127, 0, 0, 1], 0).into()).unwrap();
        let (ours, far) = (bind(), bind());
        for _ in 0..datagrams {
            far.send(b"four", Some(ours.local_addr())).unwrap();
        }
        network.borrow_mut().step();
        DatagramState::new(DatagramSocket::Memory(ours)).unwrap()
    }

    #[test]
    fn a_datagram_that_may_have_been_cut_is_not_passed_off_as_whole() {
        let mut port = port_with(3);
        assert!(matches!(port.receive(&mut [0; 5]), Incoming::Datagram(4, _)));
        for len in [4, 3] {
            let Incoming::Failed(error) = port.receive(&mut vec![0; len]) else { panic!("{len}") };
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        assert!(matches!(port.receive(&mut [0; 5]), Incoming::Nothing));
    }

    #[test]
    fn only_errors_in_a_row_break_a_socket() {
        let errors = FAILURES as usize - 1;
        let mut port = port_with(2 * errors + 2);
        for _ in 0..errors {
            assert!(matches!(port.receive(&mut [0; 1]), Incoming::Failed(_)));
        }
        assert!(matches!(port.receive(&mut [0; 5]), Incoming::Datagram(..)));
        for _ in 0..errors {
            assert!(matches!(port.receive(&mut [0; 1]), Incoming::Failed(_)));
        }
        assert!(matches!(port.receive(&mut [0; 1]), Incoming::Broken(_)));
    }
}
