//! The far end of a connection: `c` in the scripts.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crocus::testing::{End, Peer, PeerListener};

pub enum Far {
    Tcp(TcpStream),
    Unix(UnixStream),
    Simulated(Peer),
}

/// A listener outside of the reactor.
pub enum Outside {
    Real(TcpListener),
    Simulated(PeerListener),
}

/// The things that a far end has met.
#[derive(Default)]
pub struct Met {
    /// How it ended, as a read says.
    pub end: Option<String>,
    /// A write has met the reset, and a read does not meet it again.
    reset: bool,
}

impl Far {
    pub fn tcp(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self::Tcp(stream)
    }

    pub fn unix(stream: UnixStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self::Unix(stream)
    }

    /// Sends once; returns how many bytes were taken.
    pub fn send(&mut self, count: usize, met: &mut Met) -> usize {
        let data = vec![b'c'; count];
        let sent = match self {
            Self::Tcp(stream) => stream.write(&data),
            Self::Unix(stream) => stream.write(&data),
            Self::Simulated(peer) => Ok(peer.send(&data)),
        };
        met.reset |= matches!(&sent, Err(error) if error.kind() == io::ErrorKind::ConnectionReset);
        sent.unwrap_or(0)
    }

    /// Takes what is there; returns how many bytes that was.
    pub fn take(&mut self, met: &mut Met) -> usize {
        match self {
            Self::Tcp(stream) => take_all(stream, met),
            Self::Unix(stream) => take_all(stream, met),
            Self::Simulated(peer) => {
                let count = peer.received().len();
                met.end = peer.end().map(|end| match end {
                    End::Closed => "end".to_owned(),
                    End::Failed(kind) => format!("{kind:?}"),
                });
                count
            }
        }
    }

    pub fn close_write(&mut self) {
        // It fails if the connection is over, and then there is nothing to close.
        match self {
            Self::Tcp(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Unix(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Simulated(peer) => peer.close_write(),
        }
    }

    pub fn reset(self) {
        match self {
            Self::Tcp(stream) => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            Self::Unix(_) => {} // has no reset
            Self::Simulated(peer) => peer.reset(),
        }
    }
}

fn take_all(stream: &mut impl Read, met: &mut Met) -> usize {
    let mut all = 0;
    let mut piece = [0; 65536];
    while met.end.is_none() {
        match stream.read(&mut piece) {
            Ok(0) => met.end = Some(if met.reset { "ConnectionReset" } else { "end" }.to_owned()),
            Ok(count) => all += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => met.end = Some(format!("{:?}", error.kind())),
        }
    }
    all
}

impl Outside {
    pub fn accept(&mut self) -> Option<Far> {
        match self {
            Self::Real(listener) => listener.accept().ok().map(|(stream, _)| Far::tcp(stream)),
            Self::Simulated(listener) => listener.accept().map(Far::Simulated),
        }
    }
}
