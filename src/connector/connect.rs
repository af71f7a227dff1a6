//! A place to connect to, with its options.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Endpoint;
use crate::reactor::preparations::Preparations;
use crate::system::options::SocketOptions;
#[cfg(feature = "tls")]
use crate::tls::Role;
#[cfg(feature = "tls")]
use crate::tls::rustls::{ClientConfig, pki_types::ServerName};

/// How long an attempt may take, name lookup included, unless set otherwise. Twisted's number.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long an address has before the next one is tried beside it: RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// A place to connect to, with its options, for [`Reactor::connect`](crate::Reactor::connect).
///
/// Made from anything that an [`Endpoint`] is made from.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::{Connect, SocketOptions};
///
/// let place = Connect::to("example.org:80")
///     .timeout(Duration::from_secs(5)) // for all of it
///     .head_start(Duration::from_millis(100)) // of an address over the next
///     .local_addr("192.0.2.1:0".parse().unwrap())
///     .socket(SocketOptions::new().keep_alive(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    pub(crate) to: Endpoint,
    pub(crate) timeout: Duration,
    pub(crate) head_start: Duration,
    pub(crate) local_addr: Option<SocketAddr>,
    pub(crate) socket: SocketOptions,
    pub(crate) preparations: Preparations,
    /// The first bytes to be sent.
    pub(crate) preface: Option<Arc<[u8]>>,
}

impl Connect {
    /// Connects there with the defaults: 30 s, a head start of 250 ms.
    pub fn to(place: impl Into<Self>) -> Self {
        place.into()
    }

    /// The options of the socket.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// How long the attempt may take, name lookup and all addresses included.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long an address has before the next one is tried beside it.
    #[must_use]
    pub fn head_start(mut self, head_start: Duration) -> Self {
        self.head_start = head_start;
        self
    }

    /// The address to connect from.
    ///
    /// An attempt at an address of another family fails, and one at a Unix socket.
    ///
    /// With port 0 the system chooses a port, and each connection takes one of its own: a program that needs
    /// more than some 28,000 connects from several local addresses. On Linux a
    /// [hook](crate::SocketOptions::hook) can set IP_BIND_ADDRESS_NO_PORT, by a crate that has it (nix does).
    /// Then the port is chosen when the peer is known, and one port serves connections to several servers. A
    /// fixed port may be in use by connections to other servers, also by ended ones (SO_REUSEADDR).
    #[must_use]
    pub fn local_addr(mut self, addr: SocketAddr) -> Self {
        self.local_addr = Some(addr);
        self
    }

    /// Encrypts the connection with TLS, as a client with this config; see [`tls`](crate::tls).
    ///
    /// The server must have a certificate for `name`, or, if that is `None`, for the name or the address of the
    /// endpoint; for a port alone that is `localhost`. A Unix socket has none, so give one. The protocol is made,
    /// and told `connection_made`, after the handshake; if that fails, `connection_failed` is told why. The first
    /// address that answers is taken: no other one is tried if its handshake fails.
    ///
    /// In TLS 1.3 the handshake is over for a client before the server has seen the client's certificate. If the server
    /// refuses that, `connection_lost` is told, with the server's alert, and not `connection_failed`.
    ///
    /// Needs the feature `tls`. Twisted's `connectSSL`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use crocus::Connect;
    /// use crocus::tls::rustls::ClientConfig;
    /// use crocus::tls::rustls::pki_types::ServerName;
    ///
    /// fn places(config: &Arc<ClientConfig>) -> [Connect; 2] {
    ///     let usual = Connect::to("example.org:443").tls(Arc::clone(config), None);
    ///     let name = ServerName::try_from("example.org").unwrap();
    ///     let tunnelled = Connect::to("127.0.0.1:8443").tls(Arc::clone(config), Some(name));
    ///     [usual, tunnelled]
    /// }
    /// ```
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn tls(
        mut self,
        config: impl Into<Arc<ClientConfig>>,
        name: Option<ServerName<'static>>,
    ) -> Self {
        self.preparations.tls = Some(Role::client(config.into(), name, &self.to));
        self
    }

    /// Sends these bytes first of all: before what the protocol writes, and in clear, before the handshake of TLS.
    ///
    /// A PROXY header is such a preface; see the example of `crocus::proxy::Version`. The bytes are in the
    /// [buffer](crate::Transport::buffered) when the protocol is told `connection_made`, or have left.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// use crocus::Connect;
    ///
    /// # struct Greeter;
    /// # impl Protocol for Greeter {
    /// #     fn connection_made(&mut self, transport: &mut Transport) {
    /// #         transport.write(b"hello");
    /// #     }
    /// # }
    /// # let mut simulation = Simulation::new();
    /// # let mut server = simulation.listen("127.0.0.1:80")?;
    /// let place = Connect::to("127.0.0.1:80").preface(b"PROXY UNKNOWN\r\n");
    /// simulation.reactor().connect(place, |_peer| Greeter);
    /// simulation.settle();
    /// assert_eq!(server.accept().unwrap().received(), b"PROXY UNKNOWN\r\nhello");
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn preface(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.preface = Some(bytes.as_ref().into());
        self
    }

    /// Where to connect to.
    ///
    /// # Examples
    ///
    /// ```
    /// let connect = crocus::Connect::to("example.org:80");
    /// assert_eq!(connect.endpoint().to_string(), "example.org:80");
    /// ```
    pub fn endpoint(&self) -> &Endpoint {
        &self.to
    }
}

impl<T> From<T> for Connect
where
    Endpoint: From<T>,
{
    fn from(place: T) -> Self {
        Self {
            to: place.into(),
            timeout: TIMEOUT,
            head_start: HEAD_START,
            local_addr: None,
            socket: SocketOptions::new(),
            preparations: Preparations::default(),
            preface: None,
        }
    }
}
