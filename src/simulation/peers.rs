//! The far ends outside a simulated reactor: connections, listeners, datagram sockets.

use std::io;
use std::net::{Shutdown, SocketAddr};

use super::datagrams::MemoryDatagrams;
use super::listener::MemoryListener;
use super::stream::MemoryStream;
use crate::system::simulated::{
    SimulatedDatagrams as _, SimulatedListener as _, SimulatedStream as _,
};

/// How a connection ended, as the peer sees it.
///
/// # Examples
///
/// ```
/// use std::io::ErrorKind;
/// use crocus::testing::{End, Simulation};
/// use crocus::Protocol;
///
/// # struct Idle;
/// # impl Protocol for Idle {}
/// let mut simulation = Simulation::new();
/// simulation.reactor().listen("127.0.0.1:80", |_peer| Idle)?;
/// let mut served = simulation.dial("127.0.0.1:80");
/// let mut mistaken = simulation.dial("127.0.0.1:81");
/// simulation.settle();
/// assert_eq!(served.end(), None);
/// assert_eq!(mistaken.end(), Some(End::Failed(ErrorKind::ConnectionRefused)));
///
/// simulation.fail_accept("127.0.0.1:80".parse().unwrap(), ErrorKind::ConnectionAborted.into());
/// let late = simulation.dial("127.0.0.1:80");
/// simulation.settle();
/// assert_eq!(simulation.reactor().stats().accept_errors, 1);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// In order: all the bytes came, and then the end.
    Closed,
    /// By this error: `ConnectionReset`, or `ConnectionRefused` if it was never established.
    Failed(io::ErrorKind),
}

/// The far end of a simulated connection, held by the test.
///
/// Dropping it closes the connection: in order, or with a reset if it has unread bytes.
///
/// # Examples
///
/// ```
/// use crocus::testing::{End, Simulation};
/// use crocus::{Protocol, Transport};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// let mut peer = simulation.connect(Echo);
/// peer.send(b"hello world");
/// simulation.settle();
/// assert_eq!(peer.receive(5), b"hello");
/// assert_eq!(peer.received(), b" world"); // all the rest
/// peer.close_write();
/// simulation.settle();
/// assert_eq!(peer.end(), Some(End::Closed));
///
/// let rude = simulation.connect(Echo);
/// assert!(rude.addr().ip().is_ipv4());
/// simulation.settle();
/// rude.reset();
/// simulation.settle();
/// assert_eq!(simulation.reactor().stats().closed, 2);
/// ```
#[derive(Debug)]
pub struct Peer {
    stream: MemoryStream,
    /// The end that a read has met.
    end: Option<End>,
    /// The error that a write has met, so that a read no longer does.
    failure: Option<io::ErrorKind>,
}

impl Peer {
    pub(super) fn new(stream: MemoryStream) -> Self {
        Self { stream, end: None, failure: None }
    }

    /// Sends `data`; returns how many bytes fitted into the window (or were taken, if streams are
    /// cut).
    pub fn send(&mut self, data: &[u8]) -> usize {
        let mut sent = 0;
        while sent < data.len() {
            match self.stream.write(&data[sent..]) {
                Ok(count) => sent += count,
                Err(error) => {
                    let here = [io::ErrorKind::WouldBlock, io::ErrorKind::BrokenPipe];
                    if !here.contains(&error.kind()) {
                        self.failure = Some(error.kind());
                    }
                    break;
                }
            }
        }
        sent
    }

    /// Takes all that has arrived.
    pub fn received(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match self.read(&mut piece) {
                0 => return all,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// Takes at most `max` bytes of what has arrived.
    pub fn receive(&mut self, max: usize) -> Vec<u8> {
        let mut piece = vec![0; max];
        let count = self.read(&mut piece);
        piece.truncate(count);
        piece
    }

    /// Sends FIN: nothing more is sent, but reading goes on.
    pub fn close_write(&mut self) {
        // It fails only if the connection is over, and then there is nothing to close.
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Resets the connection; bytes that have not left this end are lost: those that half of the window has
    /// no room for.
    pub fn reset(self) {
        self.stream.reset_on_close();
    }

    /// How the connection ended; `None` before that, or while there are bytes to take before the
    /// end.
    pub fn end(&mut self) -> Option<End> {
        if self.end.is_none() && self.stream.is_at_end() {
            self.read(&mut [0]);
        }
        self.end
    }

    /// The address of this end, as the reactor's side sees it.
    ///
    /// # Panics
    ///
    /// If it is the end of a Unix socket, which has none.
    pub fn addr(&self) -> SocketAddr {
        self.stream.local_addr().socket_addr().expect("the end of a TCP connection")
    }

    /// Reads once. The end is remembered, since the kernel tells an error only once.
    fn read(&mut self, buf: &mut [u8]) -> usize {
        let end = match self.stream.read(buf) {
            Ok(0) if buf.is_empty() => return 0,
            Ok(0) => self.failure.map_or(End::Closed, End::Failed),
            Ok(count) => return count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
            Err(error) => End::Failed(error.kind()),
        };
        self.end.get_or_insert(end);
        0
    }
}

/// A listening address outside of the reactor, held by the test.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::testing::Simulation;
/// use crocus::{Protocol, Reactor};
///
/// # struct Idle;
/// # impl Protocol for Idle {}
/// let limits = Reactor::builder().close_timeout(Duration::from_secs(5));
/// let mut simulation = Simulation::with_limits(limits, 0);
/// let mut server = simulation.listen("192.0.2.1:80")?;
/// assert!(server.accept().is_none());
/// simulation.reactor().connect(server.addr(), |_peer| Idle);
/// simulation.settle();
/// assert!(server.accept().is_some());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct PeerListener {
    pub(super) listener: MemoryListener,
}

impl PeerListener {
    /// Accepts the next connection, if there is one.
    pub fn accept(&mut self) -> Option<Peer> {
        self.listener.take().ok().map(|(stream, _)| Peer::new(stream))
    }

    /// The address at which it listens.
    pub fn addr(&self) -> SocketAddr {
        let addr = self.listener.local_addr().socket_addr();
        addr.expect("only the reactor listens at Unix sockets here")
    }
}

/// A datagram socket outside of the reactor, held by the test.
///
/// # Examples
///
/// ```
/// # use std::net::SocketAddr;
/// # use crocus::{DatagramProtocol, DatagramTransport};
/// use crocus::testing::Simulation;
///
/// # struct Echo;
/// # impl DatagramProtocol for Echo {
/// #     fn datagram_received(&mut self, it: &mut DatagramTransport, data: &[u8], from: SocketAddr) {
/// #         let _ = it.send_to(data, from);
/// #     }
/// # }
/// let mut simulation = Simulation::new();
/// let mut peer = simulation.bind_udp("127.0.0.1:0")?;
/// assert_ne!(peer.addr().port(), 0);
/// let echo = simulation.reactor().listen_udp("127.0.0.1:7", Echo)?;
/// peer.send_to(b"hello", "127.0.0.1:7".parse().unwrap())?;
/// simulation.settle();
/// assert_eq!(peer.receive(), Some((b"hello".to_vec(), "127.0.0.1:7".parse().unwrap())));
///
/// simulation.set_datagram_reordering(20); // percent
/// simulation.set_datagram_duplication(100);
/// peer.send_to(b"twice", "127.0.0.1:7".parse().unwrap())?;
/// simulation.settle();
/// assert!(peer.receive().is_some() && peer.receive().is_some());
/// # while peer.receive().is_some() {}
///
/// simulation.set_datagram_loss(100);
/// peer.send_to(b"anybody?", "127.0.0.1:7".parse().unwrap())?;
/// simulation.settle();
/// assert_eq!(peer.receive(), None);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct DatagramPeer {
    pub(super) socket: MemoryDatagrams,
}

impl DatagramPeer {
    /// Sends one datagram, which arrives in a later turn unless the network loses it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when too much is under way; an error if the datagram is too long, or addressed
    /// to the other family.
    pub fn send_to(&mut self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send(data, Some(to)).map(drop)
    }

    /// The next datagram that arrived, and its source address.
    pub fn receive(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buf = vec![0; usize::from(u16::MAX)];
        let (count, from) = self.socket.receive(&mut buf).ok()?;
        buf.truncate(count);
        Some((buf, from))
    }

    /// The address to which it is bound.
    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }
}
