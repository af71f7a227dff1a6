//! A place for datagrams, with its options.

use std::net::UdpSocket;

use crate::address::Endpoint;
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
