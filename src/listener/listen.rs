//! A place to listen at, with its options.

#[cfg(all(unix, feature = "activation"))]
use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;
#[cfg(feature = "tls")]
use std::sync::Arc;

use super::peers::{PeerLimit, Peers};
use crate::address::Endpoint;
use crate::parts::token_bucket::Rate;
#[cfg(feature = "proxy")]
use crate::proxy::Network;
use crate::reactor::preparations::Preparations;
#[cfg(all(unix, feature = "activation"))]
use crate::system::inherited::{self, Inherited, Listening};
use crate::system::options::SocketOptions;
#[cfg(feature = "tls")]
use crate::tls::Role;
#[cfg(feature = "tls")]
use crate::tls::rustls::ServerConfig;

/// How long the kernel's queue of connections waiting to be accepted may be, unless set otherwise.
/// The kernel cuts it to its own limit (`net.core.somaxconn`, 4,096 on today's Linux).
const BACKLOG: u32 = 4096;

/// A place to listen at, with its options, for [`Reactor::listen`](crate::Reactor::listen).
///
/// Made from anything that an [`Endpoint`] is made from, but no host name; or from a socket of std that is
/// bound and listens, to take it over: one from a parent process, or made with other options; with the feature
/// `activation`, from one that was handed over when the process was started (`Listen::inherited`). A `backlog`
/// and `mode` come too late for such a socket and are ignored, and the file of an adopted Unix socket is
/// not removed when the listener stops: the program that made it has to do this.
///
/// # Examples
///
/// ```
/// use crocus::{Listen, Rate, SocketOptions};
///
/// let place = Listen::at(":5000").backlog(64).max_connections(1000).max_connections_per_peer(8);
/// let slow = Listen::at(":5001")
///     .read_rate(Rate::per_second(10_000)) // of each connection
///     .write_rate(Rate::per_second(100_000));
/// let unix = Listen::at("unix:/run/chat.sock").mode(0o660);
/// let bound = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let adopted = Listen::at(bound).socket(SocketOptions::new().no_delay(false));
/// # std::io::Result::Ok(())
/// ```
///
/// # Paths of Unix sockets
///
/// * A path whose server is gone is taken over. A path whose server is alive is left alone, also
///   when several servers start at the same time. To find out, the reactor connects to the path and
///   closes the connection at once. A file that is not a socket is left alone, symbolic links too.
/// * The socket appears at its path ready, with its [mode](Self::mode), and already
///   listening: it is made in a private folder beside the path, and moved. Tools such as `ss` show
///   the name it was made under, `.NAME.5f3a/s`. The path can have as many bytes as the system takes,
///   107, on Linux, where `/proc` must be mounted for more than 99; elsewhere it can have 95.
/// * The file is removed when the listener is stopped or the reactor dropped, if it is still the
///   same file.
///
/// *Not* promised: that other server programs follow these rules. A server that binds the path
/// between the check and the move is displaced, and one that has bound but does not listen yet looks
/// dead. A program killed while it starts leaves a hidden folder behind, which does no harm. A user
/// who may write to the folder of the path can put another socket there: use a folder that other
/// users may not write to.
///
/// Twisted's `listenUNIX` with `wantPID`.
#[derive(Debug)]
pub struct Listen {
    pub(super) at: At,
    pub(super) backlog: u32,
    pub(super) mode: Option<u32>,
    pub(super) admission: Admission,
    pub(super) socket: SocketOptions,
    pub(super) preparations: Preparations,
}

/// Where to listen.
#[derive(Debug)]
pub(super) enum At {
    Endpoint(Endpoint),
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// The rules for admitting connections, and their rates.
#[derive(Default, Debug)]
pub(crate) struct Admission {
    pub(crate) max_connections: Option<usize>,
    pub(crate) per_peer: Option<Box<dyn PeerLimit>>,
    pub(crate) read_rate: Option<Rate>,
    pub(crate) write_rate: Option<Rate>,
}

impl Listen {
    /// Listens there with the defaults: a backlog of 4,096, no limits.
    pub fn at(place: impl Into<Self>) -> Self {
        place.into()
    }

    /// Takes a socket that was handed over when this process was started, by systemd or by a parent: see
    /// [`Inherited`], and **call this at the beginning of `main`**.
    ///
    /// TCP and Unix sockets, by name or by place. Each is given away once; of several with one name, each call gets
    /// the next. The options of a socket that is taken over apply to it, as for one of std. The socket
    /// stays in the hands of the one who opened it: when this reactor stops listening, clients go on waiting in
    /// its queue, for the next process that takes it.
    ///
    /// Needs the feature `activation`; for Unix.
    ///
    /// # Errors
    ///
    /// `NotFound` if no socket at all was handed over. `InvalidInput` if none has this name, or it is of another
    /// kind, does not listen, or was taken already; the message says which, and what there is.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use crocus::{Listen, Protocol, Reactor};
    ///
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// let web = Listen::inherited("web")?.max_connections_per_peer(8);
    /// let admin = Listen::inherited(1)?; // the second one
    /// let mut reactor = Reactor::new()?;
    /// let listener = reactor.listen(web, |_peer| Idle)?;
    /// println!("listening on {}", reactor.local_addr(listener).unwrap());
    /// # std::io::Result::Ok(())
    /// ```
    #[cfg(all(unix, feature = "activation"))]
    #[cfg_attr(docsrs, doc(cfg(feature = "activation")))]
    pub fn inherited(which: impl Into<Inherited>) -> io::Result<Self> {
        Ok(match inherited::listener(&which.into())? {
            Listening::Tcp(listener) => Self::from(listener),
            Listening::Unix(listener) => Self::from(listener),
        })
    }

    fn new(at: At) -> Self {
        let admission = Admission::default();
        let (socket, preparations) = (SocketOptions::new(), Preparations::default());
        Self { at, backlog: BACKLOG, mode: None, admission, socket, preparations }
    }

    /// The options of the listening socket, and so of its connections.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// How many connections may wait in the kernel to be accepted (listen(2)).
    ///
    /// The kernel has a limit of its own.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// The permission bits of the file of a Unix socket, as in `0o660`.
    ///
    /// A process that may write to the file may connect, on Linux and today's BSDs. Without this the
    /// umask decides. The socket can never be reached with another mode. Other listeners have no file,
    /// and ignore this.
    #[must_use]
    pub fn mode(mut self, bits: u32) -> Self {
        self.mode = Some(bits);
        self
    }

    /// How many connections of this listener may be open at once.
    ///
    /// At the limit the listener stops accepting, and goes on when a connection ends; further ones wait
    /// in the kernel. To answer them that the server is full, have the factory count instead, and build a
    /// protocol that says so.
    ///
    /// Twisted's `LimitTotalConnectionsFactory` closes them instead.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.admission.max_connections = Some(connections);
        self
    }

    /// How many connections of this listener one peer may have open at once.
    ///
    /// Connections beyond the limit are closed as soon as they are accepted, no protocol is made for
    /// them, and [`Stats`](crate::Stats) counts them as turned away.
    ///
    /// A peer is an IP address, for all its ports; IPv4 mapped to IPv6 counts as IPv4. A peer without
    /// one (a Unix socket) is not counted. Each listener counts its own connections: with
    /// [`Cores`](crate::Cores), or with several listeners, a peer may have so many at each of them. *Not*
    /// promised: protection against a host with many
    /// addresses, as every host with IPv6 has; refuse whole networks in the
    /// factory.
    ///
    /// Behind a proxy that sends a PROXY header the peer is the one that it names. Then a connection beyond the limit
    /// is closed when its header has come.
    ///
    /// Twisted's `LimitConnectionsByPeer`.
    #[must_use]
    pub fn max_connections_per_peer(mut self, connections: usize) -> Self {
        self.admission.per_peer = Some(Box::new(Peers::at_most(connections)));
        self
    }

    /// How many bytes per second are read from each connection.
    ///
    /// No limit by default. See [`Transport::set_read_rate`](crate::Transport::set_read_rate).
    #[must_use]
    pub fn read_rate(mut self, rate: Rate) -> Self {
        self.admission.read_rate = Some(rate);
        self
    }

    /// How many bytes per second are written to each connection.
    ///
    /// No limit by default. See [`Transport::set_write_rate`](crate::Transport::set_write_rate).
    #[must_use]
    pub fn write_rate(mut self, rate: Rate) -> Self {
        self.admission.write_rate = Some(rate);
        self
    }

    /// Has each connection begin with a PROXY header, from proxies in these networks only; see
    /// [`proxy`](crate::proxy).
    ///
    /// Whatever comes from elsewhere is turned away. With [TLS](Self::tls) the header comes first, in clear.
    ///
    /// Needs the feature `proxy`. HAProxy's `accept-proxy`, nginx's `listen … proxy_protocol`.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Listen;
    /// use crocus::proxy::Network;
    ///
    /// let place = Listen::at(":443").proxy_protocol(["10.0.0.0/8".parse()?, Network::unix()]);
    /// # std::io::Result::Ok(())
    /// ```
    #[cfg(feature = "proxy")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
    #[must_use]
    pub fn proxy_protocol(mut self, trusted: impl IntoIterator<Item = Network>) -> Self {
        self.preparations.proxies = Some(trusted.into_iter().collect());
        self
    }

    /// Encrypts each connection with TLS, as a server with this config; see [`tls`](crate::tls).
    ///
    /// A protocol is made, and told `connection_made`, after the handshake. A handshake that fails is logged on
    /// the level `info`, for it is mostly the peer's fault.
    ///
    /// Needs the feature `tls`. Twisted's `listenSSL`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use crocus::Listen;
    /// use crocus::tls::rustls::ServerConfig;
    ///
    /// fn secure(config: Arc<ServerConfig>) -> Listen {
    ///     Listen::at(":443").tls(config)
    /// }
    /// ```
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn tls(mut self, config: impl Into<Arc<ServerConfig>>) -> Self {
        self.preparations.tls = Some(Role::server(config.into()));
        self
    }

    /// Where to listen; `None` for a socket that is taken over.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Listen;
    ///
    /// let place = Listen::at("127.0.0.1:5000");
    /// assert_eq!(place.endpoint().unwrap().to_string(), "127.0.0.1:5000");
    /// let options = place.socket_options().clone().reuse_port(true);
    /// let beside = place.with_port(5001).socket(options);
    /// assert_eq!(beside.endpoint().unwrap().to_string(), "127.0.0.1:5001");
    /// ```
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.at {
            At::Endpoint(endpoint) => Some(endpoint),
            _ => None,
        }
    }

    /// The options of the socket. See the example of [`endpoint`](Self::endpoint).
    pub fn socket_options(&self) -> &SocketOptions {
        &self.socket
    }

    /// Listens at another port of the same place; without effect where there is none. See the example of
    /// [`endpoint`](Self::endpoint).
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        if let At::Endpoint(endpoint) = self.at {
            self.at = At::Endpoint(endpoint.with_port(port));
        }
        self
    }
}

impl<T> From<T> for Listen
where
    Endpoint: From<T>,
{
    fn from(place: T) -> Self {
        Self::new(At::Endpoint(place.into()))
    }
}

impl From<TcpListener> for Listen {
    fn from(listener: TcpListener) -> Self {
        Self::new(At::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listen {
    fn from(listener: UnixListener) -> Self {
        Self::new(At::Unix(listener))
    }
}
