//! A listening socket: its state, and the meaning of accept's errors.

mod accepting;
mod listen;
mod opening;

pub use listen::Listen;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;

use crate::address::Address;
use crate::parts::timers::TimerId;
use crate::system::acceptor::Acceptor;
use listen::Admission;

/// A listening socket, and the count of its connections.
pub(crate) struct Listener {
    /// `None` once it was stopped: the port is free, and only `stopped` is still to be called.
    pub(crate) acceptor: Option<Acceptor>,
    pub(crate) local: Address,
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
}

impl Listener {
    pub(crate) fn new(acceptor: Acceptor, local: Address, admission: Admission) -> Self {
        Self {
            acceptor: Some(acceptor),
            local,
            connections: 0,
            admission,
            peers: HashMap::new(),
            ready: false,
            started: false,
            paused: false,
            retry: None,
            shortage_logged: false,
        }
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
        self.admission.max_connections.is_some_and(|max| self.connections >= max)
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

/// The meaning of an error of accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptError {
    /// No connection waits.
    Empty,
    /// The connection that waited is gone or forbidden; the next may be accepted.
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
            // PermissionDenied is EPERM: a firewall rule forbids the connection.
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
