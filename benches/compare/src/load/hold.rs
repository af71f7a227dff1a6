//! Connections that stand, and those that only stand there.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;

/// Connections on which nothing is said.
pub struct Held(#[expect(dead_code, reason = "they are kept, that is all")] Vec<TcpStream>);

impl Held {
    /// # Errors
    ///
    /// If one of them cannot be connected.
    pub fn new(server: SocketAddr, count: usize) -> io::Result<Self> {
        (0..count).map(|_| connect(server)).collect::<io::Result<_>>().map(Self)
    }
}

/// Connects, and waits until it stands; without delay of what is sent.
///
/// # Errors
///
/// If it does not stand.
pub fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::connect_timeout(&server, super::PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}
