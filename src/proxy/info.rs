//! The content of a header.

use proxy_header::ProxyHeader;

use crate::address::Address;

/// The content of a PROXY header, from [`Transport::proxy`](crate::Transport::proxy).
///
/// # Examples
///
/// ```
/// use crocus::{Protocol, Transport};
///
/// struct Session;
///
/// impl Protocol for Session {
///     fn connection_made(&mut self, transport: &mut Transport) {
///         let Some(info) = transport.proxy() else { return }; // a listener without PROXY protocol
///         println!("{} by {}", transport.peer_addr(), info.proxy());
///         if let Some(destination) = info.destination() {
///             println!("had connected to {destination}");
///         }
///         if info.is_local() {
///             println!("a health check");
///         }
///         // Proxies that speak TLS with the client tell more, in version 2:
///         println!("asked for {:?}", info.header().authority());
///         println!("speaks {:?}", info.header().alpn());
///         if let Some(ssl) = info.header().ssl() {
///             println!("{:?}, certificate of {:?}", ssl.version(), ssl.cn());
///         }
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyInfo {
    pub(super) proxy: Address,
    /// The addresses of the client and of what it connected to; `None` if it is the proxy's own connection.
    pub(super) client: Option<(Address, Address)>,
    pub(super) header: ProxyHeader<'static>,
}

impl ProxyInfo {
    /// The address of the proxy: the peer of the connection itself.
    pub fn proxy(&self) -> &Address {
        &self.proxy
    }

    /// The address that the client had connected to, mostly one of the proxy; `None` as for
    /// [`is_local`](Self::is_local).
    pub fn destination(&self) -> Option<&Address> {
        self.client.as_ref().map(|(_, destination)| destination)
    }

    /// Whether the header names no client: the proxy has connected for itself, mostly for a health check, or does
    /// not know for whom.
    pub fn is_local(&self) -> bool {
        self.client.is_none()
    }

    /// The header as the crate proxy-header has it, for the additional information in version 2: ALPN, the
    /// authority (SNI), what TLS has agreed on, fields of a vendor's own.
    ///
    /// The crate does not know addresses of Unix sockets; [`destination`](Self::destination) and
    /// [`peer_addr`](crate::Transport::peer_addr) do.
    pub fn header(&self) -> &ProxyHeader<'static> {
        &self.header
    }

    /// Whose connection it is.
    pub(crate) fn peer(&self) -> &Address {
        self.client.as_ref().map_or(&self.proxy, |(peer, _)| peer)
    }
}
