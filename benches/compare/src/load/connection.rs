//! Established connections.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::tls::{self, Secured, Tls};

/// Where connections are made to, and whether by TLS.
#[derive(Clone)]
pub struct Place {
    server: SocketAddr,
    tls: Option<tls::Connector>,
}

impl Place {
    /// # Errors
    ///
    /// If the certificate cannot be read.
    pub fn new(server: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let tls = tls.map(tls::Connector::new).transpose()?;
        Ok(Self { server, tls })
    }
}

/// One of them; registered with the poller when it is first used.
pub struct Connection {
    stream: TcpStream,
    tls: Option<Box<Secured>>,
    is_registered: bool,
}

impl Connection {
    /// Waits until the connection is established; sets TCP_NODELAY.
    ///
    /// # Errors
    ///
    /// If it cannot be established.
    pub fn new(server: SocketAddr) -> io::Result<Self> {
        Self::to(&Place { server, tls: None })
    }

    /// The same, and waits for the handshake if it is by TLS.
    ///
    /// # Errors
    ///
    /// If it cannot be established.
    pub fn to(place: &Place) -> io::Result<Self> {
        Self::establish(place, |_, _| Ok(()))
    }

    /// One that will be idle. By TLS it has sent a message and got it back: both sides have had the buffers
    /// that this needs.
    ///
    /// # Errors
    ///
    /// If it cannot be established.
    pub fn used(place: &Place) -> io::Result<Self> {
        Self::establish(place, Secured::exchange)
    }

    fn establish(
        place: &Place,
        then: impl Fn(&mut Secured, &mut std::net::TcpStream) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut stream = std::net::TcpStream::connect_timeout(&place.server, super::TIME_LIMIT)?;
        stream.set_nodelay(true)?;
        let mut tls = None;
        if let Some(connector) = &place.tls {
            stream.set_read_timeout(Some(super::TIME_LIMIT))?;
            let mut secured = Box::new(connector.begin()?);
            secured.shake_hands(&mut stream)?;
            then(&mut secured, &mut stream)?;
            tls = Some(secured);
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream: TcpStream::from_std(stream), tls, is_registered: false })
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
        let read = match &mut self.tls {
            Some(tls) => tls.read(&mut self.stream, scratch),
            None => or_none(self.stream.read(scratch)),
        };
        match read {
            Ok(Some(0)) => Err(io::Error::other("the connection was closed")),
            read => read,
        }
    }

    /// Whether a read of so many bytes into so much room has left nothing behind. How many bytes of TLS a read
    /// has brought, nobody can tell from the plain ones.
    pub fn is_drained(&self, count: usize, room: usize) -> bool {
        self.tls.is_none() && count < room
    }

    /// Writes once: how much was taken, or none if there is no room now.
    pub fn write(&mut self, data: &[u8]) -> io::Result<Option<usize>> {
        match &mut self.tls {
            Some(tls) => tls.write(&mut self.stream, data),
            None => or_none(self.stream.write(data)),
        }
    }

    /// Sends what was taken and has not left yet: by TLS only.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(&mut self.stream).map(drop),
            None => Ok(()),
        }
    }

    /// Writes what fits into an empty socket buffer; not for TLS.
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
