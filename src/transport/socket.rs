//! The socket beneath a connection: its address and its options.

use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};

use super::Transport;
use crate::address::Address;
use crate::connection::Connection;
use crate::system::keep_alive::KeepAlive;
use crate::system::stream::Stream;

/// # The socket
impl Transport<'_> {
    /// The local address, as the kernel reports it.
    ///
    /// # Errors
    ///
    /// The error of getsockname(2), and `NotConnected` when the connection is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::net::{TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # use crocus::{Protocol, Reactor};
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let server = TcpListener::bind("127.0.0.1:0")?;
    /// # let mut reactor = Reactor::new()?;
    /// let id = reactor.adopt(TcpStream::connect(server.local_addr()?)?, Idle)?;
    /// reactor.turn(Some(Duration::ZERO))?;
    /// let transport = reactor.transport(id).unwrap();
    /// assert_eq!(transport.peer_addr().socket_addr(), Some(server.local_addr()?));
    /// assert!(transport.local_addr()?.ip().unwrap().is_loopback());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn local_addr(&self) -> io::Result<Address> {
        self.live()?.stream.local_addr()
    }

    /// Whether small writes leave at once (TCP_NODELAY). See [`set_no_delay`](Self::set_no_delay).
    ///
    /// # Errors
    ///
    /// The kernel's error, and `NotConnected` when the connection is gone.
    pub fn no_delay(&self) -> io::Result<bool> {
        self.socket()?.no_delay()
    }

    /// Sets whether small writes leave at once (TCP_NODELAY).
    ///
    /// It is on unless the options of the listener or connector turn it off.
    ///
    /// # Errors
    ///
    /// As for [`no_delay`](Self::no_delay).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::net::{TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # use crocus::{Protocol, Reactor};
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let server = TcpListener::bind("127.0.0.1:0")?;
    /// # let mut reactor = Reactor::new()?;
    /// let id = reactor.adopt(TcpStream::connect(server.local_addr()?)?, Idle)?;
    /// reactor.turn(Some(Duration::ZERO))?;
    /// let mut transport = reactor.transport(id).unwrap();
    /// assert!(transport.no_delay()?);
    /// transport.set_no_delay(false)?; // fewer, larger packets
    /// assert!(!transport.no_delay()?);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn set_no_delay(&mut self, on: bool) -> io::Result<()> {
        self.socket()?.set_no_delay(on)
    }

    /// Whether the kernel probes a silent peer (SO_KEEPALIVE). See [`set_keep_alive`](Self::set_keep_alive).
    ///
    /// # Errors
    ///
    /// As for [`no_delay`](Self::no_delay).
    pub fn keep_alive(&self) -> io::Result<bool> {
        self.socket()?.keep_alive()
    }

    /// Makes the kernel probe a silent peer; `None` turns this off.
    ///
    /// # Errors
    ///
    /// As for [`no_delay`](Self::no_delay), and `InvalidInput` for a time that the kernel does not take.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::net::{TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # use crocus::{KeepAlive, Protocol, Reactor};
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let server = TcpListener::bind("127.0.0.1:0")?;
    /// # let mut reactor = Reactor::new()?;
    /// let id = reactor.adopt(TcpStream::connect(server.local_addr()?)?, Idle)?;
    /// reactor.turn(Some(Duration::ZERO))?;
    /// let mut transport = reactor.transport(id).unwrap();
    /// transport.set_keep_alive(Some(KeepAlive::after(Duration::from_secs(60))))?;
    /// assert!(transport.keep_alive()?);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn set_keep_alive(&mut self, how: Option<KeepAlive>) -> io::Result<()> {
        self.socket()?.set_keep_alive(how)
    }

    fn live(&self) -> io::Result<&Connection> {
        self.connection().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn socket(&self) -> io::Result<&Stream> {
        let connection = self.live()?;
        if !connection.is_open() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(&connection.stream)
    }
}

#[cfg(unix)]
impl AsFd for Transport<'_> {
    /// The descriptor of the connection, for what crocus has no method for: an option, the peer's credentials
    /// (SO_PEERCRED), TCP_INFO.
    ///
    /// Only to ask and to set: bytes that are read or written past the transport are missing in its order. It is
    /// there in `connection_lost` too.
    ///
    /// # Panics
    ///
    /// In a simulation, and after a callback has replaced its reactor by another: there is no descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Protocol, Transport};
    /// use socket2::SockRef;
    ///
    /// struct Careful;
    ///
    /// impl Protocol for Careful {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         if let Err(error) = SockRef::from(&*transport).set_recv_buffer_size(16 * 1024) {
    ///             eprintln!("{}: {error}", transport.peer_addr());
    ///         }
    ///     }
    /// }
    ///
    /// let mut reactor = crocus::Reactor::new()?;
    /// reactor.listen("127.0.0.1:0", |_peer| Careful)?;
    /// # std::io::Result::Ok(())
    /// ```
    fn as_fd(&self) -> BorrowedFd<'_> {
        let descriptor = self.connection().and_then(|connection| connection.stream.descriptor());
        descriptor.expect("a connection in memory, or of another reactor, has no descriptor")
    }
}
