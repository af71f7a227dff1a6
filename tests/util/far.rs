//! The other ends of connections, and listeners outside of the reactor.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crocus::testing::{Peer, PeerListener};

/// The far end of a connection.
pub enum Far {
    Real(TcpStream),
    Simulated(Peer),
}

impl Far {
    /// Sends what fits now; returns how much that was.
    pub fn send(&mut self, data: &[u8]) -> usize {
        match self {
            Self::Real(stream) => stream.write(data).unwrap_or(0),
            Self::Simulated(peer) => peer.send(data),
        }
    }

    /// At most `max` bytes of what is there; empty if nothing is, or at the end.
    pub fn receive(&mut self, max: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Real(stream) => {
                let mut piece = vec![0; max];
                match stream.read(&mut piece) {
                    Ok(count) => piece.truncate(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => piece.clear(),
                    Err(error) => return Err(error),
                }
                Ok(piece)
            }
            Self::Simulated(peer) => Ok(peer.receive(max)),
        }
    }

    /// Takes what is there; `Ok(true)` at the end.
    pub fn take_some(&mut self, all: &mut Vec<u8>) -> Result<bool, io::ErrorKind> {
        match self {
            Self::Real(stream) => {
                let mut piece = [0; 65536];
                match stream.read(&mut piece) {
                    Ok(0) => Ok(true),
                    Ok(count) => {
                        all.extend_from_slice(&piece[..count]);
                        Ok(false)
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                    Err(error) => Err(error.kind()),
                }
            }
            Self::Simulated(peer) => {
                all.extend(peer.received());
                match peer.end() {
                    None => Ok(false),
                    Some(crocus::testing::End::Closed) => Ok(true),
                    Some(crocus::testing::End::Failed(kind)) => Err(kind),
                }
            }
        }
    }

    pub fn close_write(&mut self) {
        match self {
            // It fails once the connection is over, and then there is nothing to close.
            Self::Real(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Simulated(peer) => peer.close_write(),
        }
    }

    /// Cuts the connection with a reset.
    pub fn reset(self) {
        match self {
            Self::Real(stream) => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            Self::Simulated(peer) => peer.reset(),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Real(stream) => stream.local_addr().unwrap(),
            Self::Simulated(peer) => peer.addr(),
        }
    }
}

/// A listener outside of the reactor.
pub enum FarListener {
    Real(TcpListener),
    Simulated(PeerListener),
}

impl FarListener {
    pub fn accept(&mut self) -> Option<Far> {
        match self {
            Self::Real(listener) => {
                let (stream, _) = listener.accept().ok()?;
                stream.set_nonblocking(true).unwrap();
                Some(Far::Real(stream))
            }
            Self::Simulated(listener) => listener.accept().map(Far::Simulated),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Real(listener) => listener.local_addr().unwrap(),
            Self::Simulated(listener) => listener.addr(),
        }
    }
}
