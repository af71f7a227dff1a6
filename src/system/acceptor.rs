//! A listening socket: TCP, Unix or simulated, behind one enum.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::adopted::adopted;
use super::binding::plain;
use super::options::{Kind, Origin, SocketOptions};
use super::simulated::SimulatedListener;
use super::stream::{Stream, no_sockets};
#[cfg(unix)]
use super::unix::UnixAcceptor;
use crate::address::Address;

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(Box<UnixAcceptor>),
    Simulated(Box<dyn SimulatedListener>),
}

impl Acceptor {
    /// Binds and listens.
    pub(crate) fn bind(
        addr: SocketAddr,
        backlog: u32,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let domain = Domain::for_address(addr);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        options.for_fixed_address().apply(&socket, Kind::Tcp, Origin::New(domain))?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())))
    }

    /// Takes over a socket that already listens.
    pub(crate) fn adopt(
        listener: std::net::TcpListener,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let found = adopted(&listener)?;
        options.apply(&found, Kind::Tcp, Origin::Adopted)?;
        Ok(Self::Tcp(TcpListener::from_std(listener)))
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, Address)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, addr) = uninterrupted(|| listener.accept())?;
                Ok((Stream::tcp(stream), Address::Tcp(plain(addr))))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let (stream, addr) = uninterrupted(|| listener.accept())?;
                Ok((stream, Address::Unix(addr)))
            }
            Self::Simulated(listener) => uninterrupted(|| listener.accept()),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Address::Unix(listener.name.clone())),
            Self::Simulated(listener) => Ok(listener.local_addr()),
        }
    }

    pub(crate) fn register(&mut self, registry: Option<&Registry>, token: Token) -> io::Result<()> {
        match (self, registry) {
            (Self::Tcp(listener), Some(registry)) => {
                registry.register(listener, token, Interest::READABLE)
            }
            #[cfg(unix)]
            (Self::Unix(unix), Some(registry)) => {
                registry.register(&mut unix.listener, token, Interest::READABLE)
            }
            (Self::Simulated(listener), _) => {
                listener.register(token);
                Ok(())
            }
            (_, None) => Err(no_sockets()),
        }
    }

    /// Removes the socket from the poller.
    ///
    /// An adopted socket may live on as a duplicate elsewhere, and the kernel would go on reporting
    /// it.
    pub(crate) fn deregister(&mut self, registry: Option<&Registry>) {
        let Some(registry) = registry else { return };
        // An error means that the socket was not registered.
        match self {
            Self::Tcp(listener) => drop(registry.deregister(listener)),
            #[cfg(unix)]
            Self::Unix(unix) => drop(registry.deregister(&mut unix.listener)),
            Self::Simulated(_) => {}
        }
    }
}

/// Repeats a system call that a signal has interrupted.
fn uninterrupted<T>(call: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
