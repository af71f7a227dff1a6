//! A place for datagrams, with its options.

#[cfg(all(unix, feature = "activation"))]
use std::io;
use std::net::UdpSocket;

use crate::address::Endpoint;
#[cfg(all(unix, feature = "activation"))]
use crate::system::inherited::{self, Inherited};
use crate::system::options::SocketOptions;

/// A place to bind a datagram socket to, with its options, for
/// [`Reactor::listen_udp`](crate::Reactor::listen_udp).
///
/// Made from anything that an [`Endpoint`] is made from, but neither a host name nor a Unix socket; or from a
/// socket of std that is bound, and perhaps connected, to take it over.
///
/// # Examples
///
/// ```
/// use crocus::{Datagrams, SocketOptions};
///
/// let wide = SocketOptions::new().broadcast(true).receive_buffer(1 << 20);
/// let place = Datagrams::at("127.0.0.1:0").socket(wide);
/// ```
#[derive(Debug)]
pub struct Datagrams {
    pub(super) at: At,
    pub(super) socket: SocketOptions,
}

/// Where to bind.
#[derive(Debug)]
pub(super) enum At {
    Endpoint(Endpoint),
    Socket(UdpSocket),
}

impl Datagrams {
    /// Binds there with the default options.
    pub fn at(place: impl Into<Self>) -> Self {
        place.into()
    }

    /// Takes a UDP socket that was handed over when this process was started: as `Listen::inherited` takes
    /// listeners. See [`Inherited`], and **call this at the beginning of `main`**.
    ///
    /// Needs the feature `activation`; for Unix.
    ///
    /// # Errors
    ///
    /// As [`Listen::inherited`](crate::Listen::inherited).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use crocus::{Datagrams, DatagramProtocol, Reactor};
    ///
    /// # struct Echo;
    /// # impl DatagramProtocol for Echo {}
    /// let place = Datagrams::inherited("dns")?;
    /// let mut reactor = Reactor::new()?;
    /// reactor.listen_udp(place, Echo)?;
    /// # std::io::Result::Ok(())
    /// ```
    #[cfg(all(unix, feature = "activation"))]
    #[cfg_attr(docsrs, doc(cfg(feature = "activation")))]
    pub fn inherited(which: impl Into<Inherited>) -> io::Result<Self> {
        inherited::datagrams(&which.into()).map(Self::from)
    }

    /// The options of the socket.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }
}

impl<T> From<T> for Datagrams
where
    Endpoint: From<T>,
{
    fn from(place: T) -> Self {
        Self { at: At::Endpoint(place.into()), socket: SocketOptions::new() }
    }
}

impl From<UdpSocket> for Datagrams {
    fn from(socket: UdpSocket) -> Self {
        Self { at: At::Socket(socket), socket: SocketOptions::new() }
    }
}
