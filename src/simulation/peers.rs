//! Those outside of a simulated reactor: the far ends of connections, listeners, datagram sockets.

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
    /// By this error: `ConnectionReset`, or `ConnectionRefused` for one that never stood.
    Failed(io::ErrorKind),
}

/// The far end of a simulated connection, in the hands of the test.
///
/// Dropping it closes it: in order, or with a reset if it has not read everything.
#[derive(Debug)]
pub struct Peer {
    pub(super) stream: MemoryStream,
}

impl Peer {
    /// Sends; returns how many bytes fitted into the window (or were taken, if streams are cut).
    pub fn send(&mut self, data: &[u8]) -> usize {
        let mut sent = 0;
        while sent < data.len() {
            match self.stream.write(&data[sent..]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    }

    /// Takes all that has arrived.
    pub fn received(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = self.stream.read(&mut piece) {
            all.extend_from_slice(&piece[..count]);
        }
        all
    }

    /// Takes at most `max` bytes of what has arrived.
    pub fn receive(&mut self, max: usize) -> Vec<u8> {
        let mut piece = vec![0; max];
        let count = self.stream.read(&mut piece).unwrap_or(0);
        piece.truncate(count);
        piece
    }

    /// Sends FIN: nothing more will come, but reading goes on.
    pub fn close_write(&mut self) {
        // It fails only when the connection is over, and then there is nothing to close.
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Cuts the connection: what is still under way from here is lost.
    pub fn reset(self) {
        self.stream.reset();
    }

    /// How it ended; `None` while it has not, or while there are bytes to take before the end.
    pub fn end(&mut self) -> Option<End> {
        match self.stream.read(&mut []) {
            Ok(_) => self.stream.at_end().then_some(End::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(End::Failed(error.kind())),
        }
    }

    /// The address the reactor's side sees.
    pub fn addr(&self) -> SocketAddr {
        self.stream.local_addr()
    }
}

/// A listening address outside of the reactor, in the hands of the test.
#[derive(Debug)]
pub struct PeerListener {
    pub(super) listener: MemoryListener,
}

impl PeerListener {
    /// The next who connected, if there is one.
    pub fn accept(&mut self) -> Option<Peer> {
        self.listener.accept().ok().map(|(stream, _)| Peer { stream })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }
}

/// A datagram socket outside of the reactor, in the hands of the test.
#[derive(Debug)]
pub struct DatagramPeer {
    pub(super) socket: MemoryDatagrams,
}

impl DatagramPeer {
    /// Sends one datagram; it arrives in a later turn, unless the network is told to lose it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when too much is under way; if it is too long, or to the other family.
    pub fn send_to(&mut self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send(data, Some(to)).map(drop)
    }

    /// The next datagram that arrived, and from where.
    pub fn receive(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buf = vec![0; usize::from(u16::MAX)];
        let (count, from) = self.socket.receive(&mut buf).ok()?;
        buf.truncate(count);
        Some((buf, from))
    }

    /// Where it is bound.
    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }
}
