//! The state of a listener.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Instant;

use super::MAX_SKIPPED;
use super::listen::Admission;
use crate::address::Address;
use crate::connection::Step;
use crate::parts::timers::TimerId;
use crate::parts::token_bucket::Rate;
use crate::reactor::preparations::Preparations;
use crate::reason::Reason;
use crate::system::acceptor::Acceptor;
use crate::system::stream::Stream;

/// A listening socket, and the count of its connections.
pub(crate) struct Listener {
    /// `None` once it was stopped: the port is free.
    pub(crate) acceptor: Option<Acceptor>,
    pub(crate) local: Address,
    /// How many of the connections it accepted are open.
    pub(crate) connections: usize,
    pub(crate) admission: Admission,
    pub(crate) preparations: Preparations,
    /// How many of its connections have no protocol yet, for which its factory stays.
    pub(crate) preparing: usize,
    /// How many have not had their PROXY header: it is not known yet whose they are.
    unidentified: usize,
    /// Latched: there may be a connection to accept. Cleared only by an accept that finds none.
    pub(crate) ready: bool,
    /// Connections that a shutdown has taken out of the kernel's queue, to be admitted.
    pub(crate) taken: VecDeque<(Stream, Address)>,
    /// Whether the factory's `started` was called.
    pub(crate) started: bool,
    /// Whether it was stopped and its factory told. It stays until its last connection is gone, to count
    /// them.
    pub(crate) over: bool,
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
    pub(crate) fn new(
        acceptor: Acceptor,
        local: Address,
        admission: Admission,
        preparations: Preparations,
    ) -> Self {
        Self {
            acceptor: Some(acceptor),
            local,
            connections: 0,
            admission,
            preparations,
            preparing: 0,
            unidentified: 0,
            ready: false,
            taken: VecDeque::new(),
            started: false,
            over: false,
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

    /// The first step of the preparation of a connection; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `PeerLimit` if the peer, as far as it is known, has as many connections as it may; else the reason why the connection
    /// cannot be prepared.
    #[inline]
    pub(crate) fn first_step(
        &mut self,
        peer: &Address,
        now: impl FnOnce() -> Instant,
    ) -> Result<Option<Step>, Reason> {
        if !self.preparations.begin_with_a_header() && self.has_enough(peer) {
            return Err(Reason::PeerLimit);
        }
        let first = self.preparations.first(peer, now);
        match &first {
            Ok(None) => {}
            Ok(Some(_)) => self.preparing += 1,
            Err(reason) => {
                // With headers it is a proxy that is not trusted, else a config that cannot work.
                let level = match self.preparations.begin_with_a_header() {
                    true => log::Level::Info,
                    false => log::Level::Error,
                };
                log::log!(level, "listener at {} cannot serve {peer}: {reason}", self.local);
            }
        }
        first
    }

    /// Whether a peer has as many connections as allowed.
    fn has_enough(&self, peer: &Address) -> bool {
        self.admission.per_peer.as_ref().is_some_and(|limit| limit.is_reached(peer))
    }

    /// Counts a new connection, for its peer if that is known. Returns its rates for reading and writing, if it has any.
    pub(crate) fn came(&mut self, peer: &Address) -> Option<[Option<Rate>; 2]> {
        self.connections += 1;
        match self.preparations.begin_with_a_header() {
            true => self.unidentified += 1,
            false => self.count(peer),
        }
        match self.admission {
            Admission { read_rate: None, write_rate: None, .. } => None,
            Admission { read_rate, write_rate, .. } => Some([read_rate, write_rate]),
        }
    }

    /// Counts a connection for the peer that its header has named. Returns whether it may stay.
    #[cfg(feature = "proxy")]
    pub(crate) fn identified(&mut self, peer: &Address) -> bool {
        self.unidentified = self.unidentified.saturating_sub(1);
        let has_enough = self.has_enough(peer);
        self.count(peer);
        !has_enough
    }

    fn count(&mut self, peer: &Address) {
        if let Some(limit) = &mut self.admission.per_peer {
            limit.came(peer);
        }
    }

    /// Counts a connection that is gone. `identified`: a header had named its peer.
    pub(crate) fn went(&mut self, peer: &Address, identified: bool) {
        self.connections = self.connections.saturating_sub(1);
        if self.preparations.begin_with_a_header() && !identified {
            self.unidentified = self.unidentified.saturating_sub(1);
            return;
        }
        if let Some(limit) = &mut self.admission.per_peer {
            limit.went(peer);
        }
    }

    /// Whether it has as many connections as allowed, or too many of them wait for their header.
    pub(crate) fn is_full(&self) -> bool {
        #[cfg(feature = "proxy")]
        if self.unidentified >= crate::proxy::MOST_UNIDENTIFIED {
            return true;
        }
        self.admission.max_connections.is_some_and(|max| self.connections >= max)
    }

    /// Whether it is time to accept.
    pub(crate) fn can_accept(&self) -> bool {
        let waiting = self.ready && self.retry.is_none() && self.acceptor.is_some();
        (waiting || !self.taken.is_empty()) && !self.paused && !self.is_full()
    }

    /// Whether it was stopped, and everything that it took was admitted and has a protocol.
    pub(crate) fn is_finished(&self) -> bool {
        self.acceptor.is_none() && self.taken.is_empty() && self.preparing == 0
    }

    /// Whether it is over, and its last connection is gone.
    pub(crate) fn is_left_behind(&self) -> bool {
        self.over && self.connections == 0
    }

    /// Accepts a connection.
    pub(crate) fn accept(&mut self) -> io::Result<(Stream, Address)> {
        match (self.taken.pop_front(), &self.acceptor) {
            (Some(taken), _) => Ok(taken),
            (None, Some(acceptor)) => acceptor.accept(),
            (None, None) => Err(io::ErrorKind::WouldBlock.into()),
        }
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
