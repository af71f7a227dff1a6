//! A listening socket: TCP, Unix or in memory, behind one enum.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::options::SocketOptions;
use super::stream::{Stream, no_sockets};
#[cfg(unix)]
use super::unix::UnixAcceptor;
use crate::address::Address;
use crate::simulation::listener::MemoryListener;

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(Box<UnixAcceptor>),
    Memory(MemoryListener),
}

impl Acceptor {
    /// Binds and listens.
    pub(crate) fn bind(
        addr: SocketAddr,
        backlog: u32,
        reuse_port: bool,
        v6_only: Option<bool>,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // A server may restart while the kernel still holds connections of its previous run. On
        // Windows the option means something else: taking over a port in use.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        #[cfg(not(unix))]
        if reuse_port {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "reuse_port is for Unix"));
        }
        if let Some(only) = v6_only.filter(|_| addr.is_ipv6()) {
            socket.set_only_v6(only)?;
        }
        options.apply(&socket)?;
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
        listener.set_nonblocking(true)?;
        options.apply(&SockRef::from(&listener))?;
        Ok(Self::Tcp(TcpListener::from_std(listener)))
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, Address)> {
        loop {
            match self.accept_once() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn accept_once(&self) -> io::Result<(Stream, Address)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().map(|(stream, addr)| (Stream::Tcp(stream), Address::Tcp(addr)))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                listener.accept().map(|(stream, addr)| (stream, Address::Unix(addr)))
            }
            Self::Memory(listener) => {
                listener.accept().map(|(stream, addr)| (Stream::Memory(stream), addr))
            }
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Address::Unix(listener.name.clone())),
            Self::Memory(listener) => Ok(listener.local_addr()),
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
            (Self::Memory(listener), _) => {
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
            Self::Memory(_) => {}
        }
    }
}
