//! A byte stream: TCP, Unix or simulated, behind one enum.
//!
//! An enum, not a trait object: there are few kinds, all known here, and a match costs nothing. Only the simulated
//! kind is one, for the sake of programs that have no simulation; see [`simulated`](super::simulated).

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::binding::plain;
use super::keep_alive::KeepAlive;
use super::options::{Kind, Origin, SocketOptions};
use super::simulated::{SimulatedHost, SimulatedStream};
use crate::address::{Address, UnixAddress};

/// One end of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    /// With our address, since the kernel's name for a listener differs from the one clients use.
    #[cfg(unix)]
    Unix(mio::net::UnixStream, UnixAddress),
    /// In two boxes, so that it is no larger than the others: each connection has room for the largest.
    Simulated(Box<Box<dyn SimulatedStream>>),
}

impl Stream {
    pub(crate) fn simulated(stream: impl SimulatedStream + 'static) -> Self {
        Self::Simulated(Box::new(Box::new(stream)))
    }

    /// Starts to connect a TCP socket, or one of a simulated network; `bind` gives it a local address
    /// first.
    ///
    /// # Errors
    ///
    /// The outer error is that of socket, setsockopt or connect; the inner error is that of bind.
    pub(crate) fn connect(
        simulated: Option<&dyn SimulatedHost>,
        to: SocketAddr,
        bind: Option<SocketAddr>,
        options: &SocketOptions,
    ) -> io::Result<io::Result<Self>> {
        // The port may be that of another connection, to another server, or of one that has just ended:
        // the kernel tells them apart by the peer.
        let options = match bind {
            Some(local) if local.port() != 0 => &options.for_fixed_address(),
            _ => options,
        };
        if let Some(host) = simulated {
            options.check(Kind::Tcp, Origin::Simulated)?;
            return host.connect(bind, to, options);
        }
        let domain = Domain::for_address(to);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        options.apply(&socket, Kind::Tcp, Origin::New(domain))?;
        if let Some(addr) = bind
            && let Err(error) = socket.bind(&addr.into())
        {
            return Ok(Err(error));
        }
        match socket.connect(&to.into()) {
            Err(error) if !is_under_way(&error) => Err(error),
            _ => Ok(Ok(Self::Tcp(TcpStream::from_std(socket.into())))),
        }
    }

    /// Connects a Unix socket, without waiting.
    ///
    /// # Errors
    ///
    /// The error of socket, setsockopt or connect; `WouldBlock` if the backlog is full.
    #[cfg(unix)]
    pub(crate) fn connect_unix(to: &UnixAddress, options: &SocketOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        options.apply(&socket, Kind::Unix, Origin::New(Domain::UNIX))?;
        match socket.connect(&to.to_system()?) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => {
                let stream = mio::net::UnixStream::from_std(socket.into());
                Ok(Self::Unix(stream, UnixAddress::unnamed()))
            }
        }
    }

    /// Makes the coming close a reset, which drops the bytes the kernel still holds (SO_LINGER 0).
    ///
    /// Unix sockets have no such option. Bytes that the kernel took belong to the peer, and the
    /// peer gets a reset only if we did not read all of its bytes.
    pub(crate) fn reset_on_close(&self) {
        match self {
            // An error means that the connection is already gone: there is nothing to reset.
            Self::Tcp(stream) => drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
            #[cfg(unix)]
            Self::Unix(..) => {}
            Self::Simulated(stream) => stream.reset_on_close(),
        }
    }

    /// The peer's address; `NotConnected` while the connection is being made.
    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map(|addr| Address::Tcp(plain(addr))),
            #[cfg(unix)]
            Self::Unix(stream, _) => {
                stream.peer_addr().map(|addr| Address::Unix(UnixAddress::from_system(&addr)))
            }
            Self::Simulated(stream) => stream.peer_addr(),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(stream) => stream.local_addr().map(|addr| Address::Tcp(plain(addr))),
            #[cfg(unix)]
            Self::Unix(_, local) => Ok(Address::Unix(local.clone())),
            Self::Simulated(stream) => Ok(stream.local_addr()),
        }
    }

    /// Whether a TCP socket has connected to itself.
    ///
    /// The kernel chooses the port of an outgoing connection from a range. If it chooses the very port that
    /// the connection is to go to, and nobody listens there, the socket meets itself: TCP allows both
    /// ends to connect at once (RFC 9293, section 3.5).
    pub(crate) fn is_its_own_peer(&self) -> bool {
        match self {
            Self::Tcp(stream) => {
                stream.local_addr().is_ok_and(|local| stream.peer_addr().is_ok_and(|p| p == local))
            }
            #[cfg(unix)]
            Self::Unix(..) => false,
            Self::Simulated(_) => false,
        }
    }

    /// Registers under `token`: TCP for both directions and urgent data, for good. A Unix stream only for
    /// reading; see [`await_room`](Self::await_room).
    pub(crate) fn register(&mut self, registry: Option<&Registry>, token: Token) -> io::Result<()> {
        match (self, registry) {
            (Self::Tcp(stream), Some(registry)) => {
                registry.register(stream, token, to_read() | Interest::WRITABLE)
            }
            #[cfg(unix)]
            (Self::Unix(stream, _), Some(registry)) => registry.register(stream, token, to_read()),
            (Self::Simulated(stream), _) => {
                stream.register(token);
                Ok(())
            }
            (_, None) => Err(no_sockets()),
        }
    }

    /// Has the poller tell when there is room to write, or no longer.
    ///
    /// Linux tells of room in a TCP socket only after a write found none. For a Unix stream it does so each
    /// time the peer reads, which would cost a turn per message. So there the interest comes and goes.
    pub(crate) fn await_room(
        &mut self,
        registry: Option<&Registry>,
        token: Token,
        wait: bool,
    ) -> io::Result<()> {
        match (self, registry) {
            #[cfg(unix)]
            (Self::Unix(stream, _), Some(registry)) => {
                let interest = if wait { to_read() | Interest::WRITABLE } else { to_read() };
                registry.reregister(stream, token, interest)
            }
            (Self::Simulated(stream), _) => {
                stream.await_room(wait);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether it is told of room only while it [awaits](Self::await_room) it.
    #[inline]
    pub(crate) fn awaits_room(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            #[cfg(unix)]
            Self::Unix(..) => true,
            Self::Simulated(stream) => stream.is_unix(),
        }
    }

    /// Removes the stream from the poller; closing does that too, unless there is a duplicate.
    pub(crate) fn deregister(&mut self, registry: Option<&Registry>) {
        let Some(registry) = registry else { return };
        // An error means that the stream was not registered.
        match self {
            Self::Tcp(stream) => drop(registry.deregister(stream)),
            #[cfg(unix)]
            Self::Unix(stream, _) => drop(registry.deregister(stream)),
            Self::Simulated(_) => {}
        }
    }

    /// The descriptor of the socket.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream, _) => Some(stream.as_fd()),
            Self::Simulated(_) => None,
        }
    }

    pub(crate) fn no_delay(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => stream.nodelay(),
            #[cfg(unix)]
            Self::Unix(stream, _) => SockRef::from(stream).tcp_nodelay(),
            Self::Simulated(stream) => stream.no_delay(),
        }
    }

    pub(crate) fn set_no_delay(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(on),
            #[cfg(unix)]
            Self::Unix(stream, _) => SockRef::from(stream).set_tcp_nodelay(on),
            Self::Simulated(stream) => stream.set_no_delay(on),
        }
    }

    pub(crate) fn keep_alive(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).keepalive(),
            #[cfg(unix)]
            Self::Unix(stream, _) => SockRef::from(stream).keepalive(),
            Self::Simulated(stream) => Ok(stream.keep_alive()),
        }
    }

    pub(crate) fn set_keep_alive(&self, how: Option<KeepAlive>) -> io::Result<()> {
        let how = how.map(KeepAlive::for_system).transpose()?;
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            #[cfg(unix)]
            Self::Unix(stream, _) => SockRef::from(stream),
            Self::Simulated(stream) => return stream.set_keep_alive(how.is_some()),
        };
        match how {
            Some(how) => socket.set_tcp_keepalive(&how),
            None => socket.set_keepalive(false),
        }
    }
}

/// Bytes, and urgent data where the poller can tell of it.
fn to_read() -> Interest {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Interest::READABLE | Interest::PRIORITY;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return Interest::READABLE;
}

/// Whether connect(2) only reports that the connection is in progress.
fn is_under_way(error: &io::Error) -> bool {
    // EAGAIN is not: it says that the kernel has no port or no route to give, and no event will follow.
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::EINPROGRESS);
    #[cfg(not(unix))]
    return error.kind() == io::ErrorKind::WouldBlock;
}

pub(crate) fn no_sockets() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a simulated reactor takes no real sockets")
}
