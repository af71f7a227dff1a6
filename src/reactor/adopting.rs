//! Connections that somebody else has made.

use std::io;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use super::Reactor;
use super::source::{Owner, Session, Source};
use crate::address::Address;
#[cfg(unix)]
use crate::address::UnixAddress;
use crate::connection::Connection;
use crate::ids::ConnectionId;
use crate::observe::Origin;
use crate::protocol::Protocol;
use crate::system::adopted::adopted;
use crate::system::binding::plain;
use crate::system::options::SocketOptions;
use crate::system::stream::{Stream, no_sockets};

/// A connected socket of std, for [`Reactor::adopt`].
///
/// # Examples
///
/// ```
/// # #[cfg(unix)]
/// # {
/// # use std::os::unix::net::UnixStream;
/// use crocus::{Connected, Protocol, Reactor};
///
/// # struct Idle;
/// # impl Protocol for Idle {}
/// let (ours, _theirs) = UnixStream::pair()?;
/// let mut reactor = Reactor::new()?;
/// let stream = Connected::from(ours); // `adopt` takes the stream itself too
/// reactor.adopt(stream, Idle)?;
/// # }
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Connected {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection of Unix sockets, also one of a [pair](UnixStream::pair).
    #[cfg(unix)]
    Unix(UnixStream),
}

impl From<TcpStream> for Connected {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

#[cfg(unix)]
impl From<UnixStream> for Connected {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl Connected {
    /// The stream for the loop, and its peer.
    fn prepare(self) -> io::Result<(Stream, Address)> {
        match self {
            Self::Tcp(stream) => {
                let socket = adopted(&stream)?;
                SocketOptions::new().apply_to_tcp(&socket)?;
                let peer = Address::Tcp(plain(stream.peer_addr()?));
                Ok((Stream::tcp(mio::net::TcpStream::from_std(stream)), peer))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                adopted(&stream)?;
                let peer = Address::Unix(UnixAddress::from_system(&stream.peer_addr()?));
                let local = UnixAddress::from_system(&stream.local_addr()?);
                Ok((Stream::unix(mio::net::UnixStream::from_std(stream), local), peer))
            }
        }
    }
}

/// # Taking over a connected socket
impl Reactor {
    /// Takes over a connected socket of std, TCP or Unix: `connection_made` comes in the next turn.
    ///
    /// A TCP socket gets the defaults of [`SocketOptions`], as every other connection; see
    /// [`Transport::set_no_delay`](crate::Transport::set_no_delay) for the opposite. Child processes do not
    /// inherit the socket.
    ///
    /// If a duplicate of the descriptor stays open elsewhere, the connection is closed in order
    /// nevertheless, but aborting it cannot reset it.
    ///
    /// # Errors
    ///
    /// If the socket is not connected, or cannot be made non-blocking; `ConnectionAborted` during a
    /// [shutdown](Self::shutdown) and in the last notices of a [stop](Self::stop); `Unsupported` in a
    /// simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(unix)]
    /// # {
    /// use std::net::Shutdown;
    /// use std::os::unix::net::UnixStream;
    /// use crocus::{Protocol, Reactor, Transport};
    ///
    /// struct Hello;
    ///
    /// impl Protocol for Hello {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.write(b"hello\n");
    ///         transport.lose_connection();
    ///     }
    /// }
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let mut reactor = Reactor::new()?;
    /// reactor.adopt(ours, Hello)?;
    /// theirs.shutdown(Shutdown::Write)?; // else the close waits some seconds for it
    /// reactor.run()?;
    /// assert_eq!(std::io::read_to_string(theirs)?, "hello\n");
    /// # }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn adopt(
        &mut self,
        stream: impl Into<Connected>,
        protocol: impl Protocol + 'static,
    ) -> io::Result<ConnectionId> {
        if self.simulated().is_some() {
            return Err(no_sockets());
        }
        self.check_takes_new()?;
        let (stream, peer) = stream.into().prepare()?;
        Ok(self.add_connection(stream, peer, Box::new(protocol)))
    }

    /// Adds a connection whose `connection_made` the loop will call.
    pub(crate) fn add_connection(
        &mut self,
        stream: Stream,
        peer: Address,
        protocol: Box<dyn Protocol>,
    ) -> ConnectionId {
        let session = Session::new(Connection::new(stream, self.limits.marks), peer, protocol);
        let key = self.sources.insert(Source::Connection(session), Owner::None);
        self.tell_opened(ConnectionId(key), Origin::Adopted);
        self.queue(key);
        ConnectionId(key)
    }
}
