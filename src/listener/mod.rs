//! A listening socket: its options, its state, and the meaning of accept's errors.

mod accepting;
#[cfg(unix)]
mod unix_sockets;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::parts::timers::TimerId;
use crate::parts::token_bucket::Rate;
use crate::system::acceptor::Acceptor;
use crate::system::options::SocketOptions;

/// How long the kernel's queue of connections waiting to be accepted may be, unless set otherwise.
/// The kernel cuts it to its own limit (`net.core.somaxconn`, 4,096 on today's Linux).
const BACKLOG: u32 = 4096;

/// Settings of a listener, for [`Reactor::listen_tcp_with`](crate::Reactor::listen_tcp_with).
///
/// # Examples
///
/// ```
/// use crocus::ListenOptions;
///
/// let options = ListenOptions::new().backlog(64).max_connections(1000);
/// ```
#[derive(Clone, Debug)]
pub struct ListenOptions {
    pub(crate) backlog: u32,
    pub(crate) reuse_port: bool,
    pub(crate) v6_only: Option<bool>,
    pub(crate) mode: Option<u32>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) admission: Admission,
    pub(crate) socket: SocketOptions,
}

/// The rules for admitting connections, and their rates.
#[derive(Clone, Default)]
pub(crate) struct Admission {
    pub(crate) filter: Option<Arc<Filter>>,
    pub(crate) max_per_peer: Option<usize>,
    pub(crate) read_rate: Option<Rate>,
    pub(crate) write_rate: Option<Rate>,
}

type Filter = dyn Fn(&Address) -> bool + Send + Sync;

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("filter", &self.filter.is_some())
            .field("max_per_peer", &self.max_per_peer)
            .field("read_rate", &self.read_rate)
            .field("write_rate", &self.write_rate)
            .finish()
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: BACKLOG,
            reuse_port: false,
            v6_only: None,
            mode: None,
            max_connections: None,
            admission: Admission::default(),
            socket: SocketOptions::default(),
        }
    }
}

impl ListenOptions {
    /// The defaults: a backlog of 4,096, no-delay on, the rest as the system has it.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections may wait in the kernel to be accepted (listen(2)).
    ///
    /// The kernel has a limit of its own.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Lets several sockets listen at one port; the kernel spreads the connections over them.
    ///
    /// A second instance of the program can share the port too, without an error;
    /// [`Cores`](crate::Cores) checks first.
    #[must_use]
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Whether `[::]` leaves IPv4 alone (`true`) or takes its connections too (`false`).
    ///
    /// Without this the system decides.
    #[must_use]
    pub fn v6_only(mut self, on: bool) -> Self {
        self.v6_only = Some(on);
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
    /// in the kernel.
    ///
    /// Twisted's `LimitTotalConnectionsFactory` closes them instead.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// How many connections of this listener one peer may have open at once.
    ///
    /// Connections beyond the limit are closed as soon as they are accepted, no protocol is made for
    /// them, and they count as refused.
    ///
    /// A peer is an IP address, for all its ports; IPv4 mapped to IPv6 counts as IPv4. A peer without
    /// one (a Unix socket) is not counted. Each listener counts its own connections: with
    /// [`Cores`](crate::Cores), or with several listeners, a peer may have so many at each of them. *Not*
    /// promised: protection against a host with many
    /// addresses, as every host with IPv6 has; refuse whole networks with an
    /// [`accept_filter`](Self::accept_filter).
    ///
    /// Twisted's `LimitConnectionsByPeer`.
    #[must_use]
    pub fn max_connections_per_peer(mut self, connections: usize) -> Self {
        self.admission.max_per_peer = Some(connections);
        self
    }

    /// Has `filter` decide which peers are admitted.
    ///
    /// If it returns `false`, the connection is closed as soon as it is accepted, no protocol is made
    /// for it, and it counts as refused; the same if `filter` panics.
    ///
    /// The kernel has established the connection by then: the peer sees it opened and closed. A type
    /// that implements [`Factory`](crate::Factory) can refuse as well, and use its own state for it. A
    /// filter is asked before any factory, closures included, and one filter may serve several listeners
    /// on several threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::ListenOptions;
    ///
    /// let options = ListenOptions::new()
    ///     .accept_filter(|peer| peer.ip().is_some_and(|ip| ip.is_loopback()))
    ///     .max_connections_per_peer(20);
    /// ```
    #[must_use]
    pub fn accept_filter(
        mut self,
        filter: impl Fn(&Address) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.admission.filter = Some(Arc::new(filter));
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

    /// Whether small writes leave at once (TCP_NODELAY) instead of waiting for more bytes.
    ///
    /// On by default: the reactor joins the writes of a turn in any case.
    #[must_use]
    pub fn no_delay(mut self, on: bool) -> Self {
        self.socket.no_delay = on;
        self
    }

    /// Makes the kernel probe connections that were silent for `idle` (SO_KEEPALIVE).
    ///
    /// Off by default.
    #[must_use]
    pub fn keep_alive(mut self, idle: Duration) -> Self {
        self.socket.keep_alive = Some(idle);
        self
    }

    /// Size of the kernel's receive buffer in bytes (SO_RCVBUF).
    ///
    /// By default the kernel adapts it.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.socket.receive_buffer = Some(bytes);
        self
    }

    /// Size of the kernel's send buffer in bytes (SO_SNDBUF).
    ///
    /// By default the kernel adapts it.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.socket.send_buffer = Some(bytes);
        self
    }
}

/// A listening socket, and the count of its connections.
pub(crate) struct Listener {
    /// `None` once it was stopped: the port is free, and only `stopped` is still to be called.
    pub(crate) acceptor: Option<Acceptor>,
    pub(crate) local: Address,
    pub(crate) max_connections: usize,
    /// How many of the connections it accepted are open.
    pub(crate) connections: usize,
    pub(crate) admission: Admission,
    /// How many connections each peer has; counted only if that is limited.
    peers: HashMap<IpAddr, usize>,
    /// Latched: there may be a connection to accept. Cleared only by an accept that finds none.
    pub(crate) ready: bool,
    /// Whether the factory's `started` was called.
    pub(crate) started: bool,
    /// Set by `pause_accepting`.
    pub(crate) paused: bool,
    /// The timer for trying again, set while there is no descriptor.
    pub(crate) retry: Option<TimerId>,
    /// Whether this shortage was logged. It is over when no connection waits any more.
    pub(crate) shortage_logged: bool,
    /// How many connections in a row were skipped.
    pub(crate) skipped: u32,
}

impl Listener {
    pub(crate) fn new(acceptor: Acceptor, local: Address, options: &ListenOptions) -> Self {
        Self {
            acceptor: Some(acceptor),
            local,
            max_connections: options.max_connections.unwrap_or(usize::MAX),
            connections: 0,
            admission: options.admission.clone(),
            peers: HashMap::new(),
            ready: false,
            started: false,
            paused: false,
            retry: None,
            shortage_logged: false,
            skipped: 0,
        }
    }

    /// Counts a connection that was skipped; returns whether it was one too many.
    pub(crate) fn skip(&mut self) -> bool {
        self.skipped += 1;
        self.skipped >= MAX_SKIPPED
    }

    /// Whether a peer has as many connections as allowed.
    pub(crate) fn has_enough(&self, peer: &Address) -> bool {
        let (Some(max), Some(ip)) = (self.admission.max_per_peer, peer.ip()) else { return false };
        self.peers.get(&ip.to_canonical()).copied().unwrap_or(0) >= max
    }

    /// Counts a new connection of a peer.
    pub(crate) fn came(&mut self, peer: &Address) {
        self.connections += 1;
        if self.admission.max_per_peer.is_some()
            && let Some(ip) = peer.ip()
        {
            *self.peers.entry(ip.to_canonical()).or_default() += 1;
        }
    }

    /// Counts a connection of a peer that is gone.
    pub(crate) fn went(&mut self, peer: &Address) {
        self.connections = self.connections.saturating_sub(1);
        let Some(ip) = peer.ip().filter(|_| self.admission.max_per_peer.is_some()) else { return };
        let ip = ip.to_canonical();
        if let Some(count) = self.peers.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&ip);
            }
        }
    }

    /// Whether it has as many connections as allowed.
    pub(crate) fn is_full(&self) -> bool {
        self.connections >= self.max_connections
    }

    /// Whether it is time to accept.
    pub(crate) fn can_accept(&self) -> bool {
        self.ready
            && !self.paused
            && self.retry.is_none()
            && !self.is_full()
            && self.acceptor.is_some()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("local", &self.local)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// How many connections in a row may be skipped without a pause. A firewall forbids connections one by one
/// (EPERM) with an error that is also that of a process that may not accept at all. The queue of waiting
/// connections is rarely as long, and a failed accept costs a microsecond.
pub(crate) const MAX_SKIPPED: u32 = 64;

/// The meaning of an error of accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptError {
    /// No connection waits.
    Empty,
    /// The connection that waited is gone or forbidden; the next may be accepted. After [`MAX_SKIPPED`]
    /// of these in a row it is the listener that is forbidden to accept: try later.
    Skip,
    /// There is no descriptor or no memory for another connection. It stays in the queue, and with
    /// edge-triggered readiness no event will report it again: try later.
    Shortage,
    /// Anything else: try later, and log an error.
    Unknown,
}

impl AcceptError {
    /// Judges an error as accept(2) lists them.
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::WouldBlock => return Self::Empty,
            // PermissionDenied is EPERM or EACCES: a firewall or another rule forbids the connection.
            Kind::ConnectionAborted | Kind::PermissionDenied => {
                return Self::Skip;
            }
            Kind::OutOfMemory => return Self::Shortage,
            _ => {}
        }
        #[cfg(unix)]
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                return Self::Shortage;
            }
            // Linux hands the pending network errors of the new socket to accept.
            Some(
                libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT,
            ) => return Self::Skip,
            #[cfg(target_os = "linux")]
            Some(libc::ENONET) => return Self::Skip,
            _ => {}
        }
        Self::Unknown
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_accept() {
        let judge = |errno| AcceptError::of(&io::Error::from_raw_os_error(errno));
        assert_eq!(judge(libc::EAGAIN), AcceptError::Empty);
        for errno in [libc::ECONNABORTED, libc::EPERM, libc::EPROTO, libc::ENETDOWN] {
            assert_eq!(judge(errno), AcceptError::Skip, "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(judge(errno), AcceptError::Shortage, "{errno}");
        }
        for errno in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK, libc::EFAULT] {
            assert_eq!(judge(errno), AcceptError::Unknown, "{errno}");
        }
    }
}
