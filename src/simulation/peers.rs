//! The far ends outside a simulated reactor: connections, listeners, datagram sockets.

use std::io;
use std::net::{Shutdown, SocketAddr};

use super::datagrams::MemoryDatagrams;
use super::listener::MemoryListener;
use super::stream::MemoryStream;

/// How a connection ended, as the peer sees it.
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
#[derive(Debug)]
pub struct PeerListener {
    pub(super) listener: MemoryListener,
}

impl PeerListener {
    /// Accepts the next connection, if there is one.
    pub fn accept(&mut self) -> Option<Peer> {
        self.listener.accept().ok().map(|(stream, _)| Peer::new(stream))
    }

    /// The address at which it listens.
    pub fn addr(&self) -> SocketAddr {
        let addr = self.listener.local_addr().socket_addr();
        addr.expect("only the reactor listens at Unix sockets here")
    }
}

/// A datagram socket outside of the reactor, held by the test.
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
