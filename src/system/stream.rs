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
use crate::address::Address;
#[cfg(unix)]
use crate::address::UnixAddress;

/// One end of a connection, and how it is registered with the poller: in each kind, where it takes no room.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream, Registered),
    /// With our address, since the kernel's name for a listener differs from the one clients use.
    #[cfg(unix)]
    Unix(mio::net::UnixStream, UnixAddress, Registered),
    /// In two boxes, so that it is no larger than the others: each connection has room for the largest.
    Simulated(Box<Box<dyn SimulatedStream>>, Registered),
}

/// The events of a stream that the poller reports.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Registered {
    /// A connection that is answered and closed in `connection_made` never is.
    #[default]
    No,
    /// Input; room only when it is [wanted](Self::ToWriteToo).
    ToRead,
    ToWriteToo,
    /// Everything, for good.
    Fully,
}

impl Stream {
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self::Tcp(stream, Registered::No)
    }

    #[cfg(unix)]
    pub(crate) fn unix(stream: mio::net::UnixStream, local: UnixAddress) -> Self {
        Self::Unix(stream, local, Registered::No)
    }

    pub(crate) fn simulated(stream: impl SimulatedStream + 'static) -> Self {
        Self::Simulated(Box::new(Box::new(stream)), Registered::No)
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
            _ => Ok(Ok(Self::tcp(TcpStream::from_std(socket.into())))),
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
                Ok(Self::unix(stream, UnixAddress::unnamed()))
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
            Self::Tcp(stream, _) => drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
            #[cfg(unix)]
            Self::Unix(..) => {}
            Self::Simulated(stream, _) => stream.reset_on_close(),
        }
    }

    /// The peer's address; `NotConnected` while the connection is being made.
    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(stream, _) => stream.peer_addr().map(|addr| Address::Tcp(plain(addr))),
            #[cfg(unix)]
            Self::Unix(stream, ..) => {
                stream.peer_addr().map(|addr| Address::Unix(UnixAddress::from_system(&addr)))
            }
            Self::Simulated(stream, _) => stream.peer_addr(),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(stream, _) => stream.local_addr().map(|addr| Address::Tcp(plain(addr))),
            #[cfg(unix)]
            Self::Unix(_, local, _) => Ok(Address::Unix(local.clone())),
            Self::Simulated(stream, _) => Ok(stream.local_addr()),
        }
    }

    /// Whether a TCP socket has connected to itself.
    ///
    /// The kernel chooses the port of an outgoing connection from a range. If it chooses the very port that
    /// the connection is to go to, and nobody listens there, the socket meets itself: TCP allows both
    /// ends to connect at once (RFC 9293, section 3.5).
    pub(crate) fn is_its_own_peer(&self) -> bool {
        match self {
            Self::Tcp(stream, _) => {
                stream.local_addr().is_ok_and(|local| stream.peer_addr().is_ok_and(|p| p == local))
            }
            #[cfg(unix)]
            Self::Unix(..) => false,
            Self::Simulated(_, _) => false,
        }
    }

    #[inline]
    pub(crate) fn registered(&self) -> Registered {
        match self {
            Self::Tcp(_, registered) | Self::Simulated(_, registered) => *registered,
            #[cfg(unix)]
            Self::Unix(.., registered) => *registered,
        }
    }

    /// Registers under `token`: TCP for both directions and urgent data, for good. A Unix stream only for
    /// reading; see [`await_room`](Self::await_room).
    pub(crate) fn register(&mut self, registry: Option<&Registry>, token: Token) -> io::Result<()> {
        match (self, registry) {
            (Self::Tcp(stream, registered), Some(registry)) => {
                registry.register(stream, token, to_read() | Interest::WRITABLE)?;
                *registered = Registered::Fully;
            }
            #[cfg(unix)]
            (Self::Unix(stream, _, registered), Some(registry)) => {
                registry.register(stream, token, to_read())?;
                *registered = Registered::ToRead;
            }
            (Self::Simulated(stream, registered), _) => {
                stream.register(token);
                let for_good = !stream.is_unix();
                *registered = if for_good { Registered::Fully } else { Registered::ToRead };
            }
            (_, None) => return Err(no_sockets()),
        }
        Ok(())
    }

    /// Has the poller tell when there is room to write, or no longer.
    ///
    /// Linux tells of room in a TCP socket only after a write found none. For a Unix stream it does so each
    /// time the peer reads, which would cost a turn per message. So there the interest comes and goes.
    pub(crate) fn await_room(
        &mut self,
        registry: Option<&Registry>,
        #[cfg_attr(not(unix), expect(unused_variables, reason = "for Unix streams"))] token: Token,
        wait: bool,
    ) -> io::Result<()> {
        let wanted = if wait { Registered::ToWriteToo } else { Registered::ToRead };
        if [Registered::Fully, wanted].contains(&self.registered()) {
            return Ok(());
        }
        match (self, registry) {
            #[cfg(unix)]
            (Self::Unix(stream, _, registered), Some(registry)) => {
                let interest = if wait { to_read() | Interest::WRITABLE } else { to_read() };
                registry.reregister(stream, token, interest)?;
                *registered = wanted;
            }
            (Self::Simulated(stream, registered), _) => {
                stream.await_room(wait);
                *registered = wanted;
            }
            _ => {}
        }
        Ok(())
    }

    /// Removes the stream from the poller; closing does that too, unless there is a duplicate.
    pub(crate) fn deregister(&mut self, registry: Option<&Registry>) {
        let Some(registry) = registry else { return };
        // An error means that the stream was not registered.
        match self {
            Self::Tcp(stream, _) => drop(registry.deregister(stream)),
            #[cfg(unix)]
            Self::Unix(stream, ..) => drop(registry.deregister(stream)),
            Self::Simulated(_, _) => {}
        }
    }

    /// The descriptor of the socket.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream, _) => Some(stream.as_fd()),
            Self::Unix(stream, ..) => Some(stream.as_fd()),
            Self::Simulated(_, _) => None,
        }
    }

    pub(crate) fn no_delay(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream, _) => stream.nodelay(),
            #[cfg(unix)]
            Self::Unix(stream, ..) => SockRef::from(stream).tcp_nodelay(),
            Self::Simulated(stream, _) => stream.no_delay(),
        }
    }

    pub(crate) fn set_no_delay(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.set_nodelay(on),
            #[cfg(unix)]
            Self::Unix(stream, ..) => SockRef::from(stream).set_tcp_nodelay(on),
            Self::Simulated(stream, _) => stream.set_no_delay(on),
        }
    }

    pub(crate) fn keep_alive(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream, _) => SockRef::from(stream).keepalive(),
            #[cfg(unix)]
            Self::Unix(stream, ..) => SockRef::from(stream).keepalive(),
            Self::Simulated(stream, _) => Ok(stream.keep_alive()),
        }
    }

    pub(crate) fn set_keep_alive(&self, how: Option<KeepAlive>) -> io::Result<()> {
        let how = how.map(KeepAlive::for_system).transpose()?;
        let socket = match self {
            Self::Tcp(stream, _) => SockRef::from(stream),
            #[cfg(unix)]
            Self::Unix(stream, ..) => SockRef::from(stream),
            Self::Simulated(stream, _) => return stream.set_keep_alive(how.is_some()),
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
