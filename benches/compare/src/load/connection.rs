//! Established connections.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// One of them; registered with the poller when it is first used.
pub struct Connection {
    stream: TcpStream,
    is_registered: bool,
}

impl Connection {
    /// Waits until the connection is established; sets TCP_NODELAY.
    ///
    /// # Errors
    ///
    /// If it cannot be established.
    pub fn new(server: SocketAddr) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect_timeout(&server, super::TIME_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream: TcpStream::from_std(stream), is_registered: false })
    }

    /// Has events come for both directions, or for reading only.
    pub fn register(&mut self, registry: &Registry, token: Token, both: bool) -> io::Result<()> {
        if self.is_registered {
            return Ok(());
        }
        let read = Interest::READABLE;
        let interest = if both { read | Interest::WRITABLE } else { read };
        registry.register(&mut self.stream, token, interest)?;
        self.is_registered = true;
        Ok(())
    }

    /// Reads once: how much came, or none if nothing is there now.
    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(scratch) {
            Ok(0) => Err(io::Error::other("the connection was closed")),
            result => or_none(result),
        }
    }

    /// Writes once: how much was taken, or none if there is no room now.
    pub fn write(&mut self, data: &[u8]) -> io::Result<Option<usize>> {
        or_none(self.stream.write(data))
    }

    /// Writes what fits into an empty socket buffer.
    pub fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.stream.write_all(data)
    }
}

fn or_none(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
