//! Everything the loop serves: the sources, each in a slot of its own.

#[cfg(feature = "signals")]
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
#[cfg(unix)]
use std::os::fd::BorrowedFd;

use super::Reactor;
use super::queues::Waits;
use crate::address::Address;
use crate::connection::Connection;
use crate::connector::state::{Attempt, ConnectorState};
use crate::datagram::{DatagramProtocol, DatagramState};
#[cfg(feature = "signals")]
use crate::descriptor::signals::Signals;
#[cfg(unix)]
use crate::descriptor::{Ready, Watch};
use crate::ids::{ConnectionId, ConnectorId, DatagramId, ListenerId};
use crate::listener::Listener;
use crate::observe::Subject;
use crate::parts::arena::{Arena, Key};
use crate::parts::timers::TimerId;
use crate::protocol::{ClientFactory, Factory, Protocol};
use crate::system::poller::Readiness;

/// Something the poller reports on, or that the loop serves.
#[derive(Debug)]
pub(crate) enum Source {
    Connection(Session),
    Listener(Box<Seated<Listener, Box<dyn Factory>>>),
    Connector(Box<Seated<ConnectorState, Box<dyn ClientFactory>>>),
    Attempt(Box<Attempt>),
    Datagram(Box<Seated<DatagramState, Box<dyn DatagramProtocol>>>),
    #[cfg(feature = "signals")]
    Signals(Box<Seated<Signals, BTreeMap<i32, Option<SignalAction>>>>),
    #[cfg(unix)]
    Watch(Box<Seated<Watch, Box<dyn Watched>>>),
}

/// A source, with the code of the user's that it calls.
pub(crate) struct Seated<S, G> {
    state: S,
    /// `None` while it is called.
    pub(crate) guest: Option<G>,
}

impl<S, G> Seated<S, G> {
    pub(crate) fn new(state: S, guest: G) -> Self {
        Self { state, guest: Some(guest) }
    }
}

impl<S, G> Deref for Seated<S, G> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S, G> DerefMut for Seated<S, G> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}

impl<S: std::fmt::Debug, G> std::fmt::Debug for Seated<S, G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

/// What a signal does.
#[cfg(feature = "signals")]
pub(crate) type SignalAction = Box<dyn FnMut(&mut Reactor)>;

/// A descriptor with its function. One object, so that the descriptor lives as long as anybody may
/// register it, and its number cannot mean another file meanwhile.
#[cfg(unix)]
pub(crate) trait Watched {
    fn fd(&self) -> BorrowedFd<'_>;
    fn call(&mut self, reactor: &mut Reactor, ready: Ready);
}

/// A source, and what belongs to the loop and not to it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) source: Source,
    pub(crate) owner: Owner,
    pub(crate) waits: Waits,
    /// Whether the poller knows it. A connection that is answered and closed in `connection_made` never
    /// gets there.
    pub(crate) registered: bool,
}

/// Whom to tell when a connection is gone, beside its protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    None,
    Listener(Key),
    Connector(Key),
}

/// A connection and its protocol.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) peer: Address,
    /// `None` while a callback of it runs.
    pub(crate) protocol: Option<Box<dyn Protocol>>,
    /// Fires at the deadline of the connection, or before.
    pub(crate) timer: Option<TimerId>,
    /// What few sessions have.
    pub(crate) attached: Option<Box<Attached>>,
}

/// What belongs to the protocol of a session.
#[derive(Default)]
pub(crate) struct Attached {
    /// By `Transport::call_later`.
    pub(crate) timers: Vec<TimerId>,
    /// Takes over when the connection says so.
    pub(crate) successor: Option<Box<dyn Protocol>>,
}

impl Session {
    pub(crate) fn new(connection: Connection, peer: Address, protocol: Box<dyn Protocol>) -> Self {
        Self { connection, peer, protocol: Some(protocol), timer: None, attached: None }
    }

    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    pub(crate) fn attached(&mut self, spares: &mut Vec<Box<Attached>>) -> &mut Attached {
        self.attached.get_or_insert_with(|| spares.pop().unwrap_or_default())
    }

    pub(crate) fn take_successor(&mut self) -> Option<Box<dyn Protocol>> {
        self.attached.as_mut()?.successor.take()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// What an observer knows it by.
    pub(crate) fn subject(&self, key: Key) -> Subject {
        match self {
            Self::Connection(_) => Subject::Connection(ConnectionId(key)),
            Self::Listener(_) => Subject::Listener(ListenerId(key)),
            Self::Connector(_) => Subject::Connector(ConnectorId(key)),
            Self::Attempt(attempt) => Subject::Connector(ConnectorId(attempt.connector)),
            Self::Datagram(_) => Subject::Datagram(DatagramId(key)),
            #[cfg(feature = "signals")]
            Self::Signals(_) => Subject::Reactor,
            #[cfg(unix)]
            Self::Watch(_) => Subject::Watch(crate::WatchId(key)),
        }
    }

    /// Where the protocol of a connection sits, and so on: `None` for other kinds of source.
    pub(crate) fn protocol(&mut self) -> Option<&mut Option<Box<dyn Protocol>>> {
        match self {
            Self::Connection(session) => Some(&mut session.protocol),
            _ => None,
        }
    }

    pub(crate) fn factory(&mut self) -> Option<&mut Option<Box<dyn Factory>>> {
        match self {
            Self::Listener(listener) => Some(&mut listener.guest),
            _ => None,
        }
    }

    pub(crate) fn client_factory(&mut self) -> Option<&mut Option<Box<dyn ClientFactory>>> {
        match self {
            Self::Connector(connector) => Some(&mut connector.guest),
            _ => None,
        }
    }

    pub(crate) fn datagram_protocol(&mut self) -> Option<&mut Option<Box<dyn DatagramProtocol>>> {
        match self {
            Self::Datagram(port) => Some(&mut port.guest),
            _ => None,
        }
    }

    #[cfg(unix)]
    pub(crate) fn watched(&mut self) -> Option<&mut Option<Box<dyn Watched>>> {
        match self {
            Self::Watch(watch) => Some(&mut watch.guest),
            _ => None,
        }
    }

    /// Notes what an event says; returns whether to serve this source.
    #[inline]
    pub(crate) fn latch(&mut self, readiness: Readiness) -> bool {
        if let Self::Connection(session) = self {
            session.connection.latch(readiness);
            return true; // whatever it says: only the connection knows
        }
        match self {
            Self::Connection(_) => {}
            Self::Listener(listener) => {
                listener.ready = true;
                return listener.can_accept();
            }
            Self::Attempt(attempt) => attempt.latched |= readiness,
            Self::Datagram(port) => return port.latch(readiness),
            Self::Connector(_) => {}
            #[cfg(feature = "signals")]
            Self::Signals(_) => {}
            #[cfg(unix)]
            Self::Watch(watch) => watch.latched |= readiness,
        }
        true
    }

    /// Whether [`run`](super::Reactor::run) goes on for its sake.
    fn keeps_running(&self) -> bool {
        #[cfg(feature = "signals")]
        return !matches!(self, Self::Signals(_));
        #[cfg(not(feature = "signals"))]
        true
    }

    /// Whether [`shutdown`](super::Reactor::shutdown) waits for it.
    fn delays_shutdown(&self) -> bool {
        #[cfg(unix)]
        return self.keeps_running() && !matches!(self, Self::Watch(_));
        #[cfg(not(unix))]
        self.keeps_running()
    }
}

/// All sources: the truth about who is there.
#[derive(Debug)]
pub(crate) struct Sources {
    slots: Arena<Slot>,
    /// How many keep `run` from returning, and how many a shutdown waits for.
    keep_running: usize,
    delay_shutdown: usize,
}

impl Sources {
    pub(crate) fn new() -> Self {
        Self { slots: Arena::new(), keep_running: 0, delay_shutdown: 0 }
    }

    pub(crate) fn insert(&mut self, source: Source, owner: Owner) -> Key {
        self.keep_running += usize::from(source.keeps_running());
        self.delay_shutdown += usize::from(source.delays_shutdown());
        self.slots.insert(Slot { source, owner, waits: Waits::default(), registered: false })
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Slot> {
        let slot = self.slots.remove(key)?;
        self.keep_running -= usize::from(slot.source.keeps_running());
        self.delay_shutdown -= usize::from(slot.source.delays_shutdown());
        Some(slot)
    }

    /// Makes something else of a source that leaves the counts as they are.
    pub(crate) fn convert(&mut self, key: Key, change: impl FnOnce(Source) -> Source) {
        self.slots.convert(key, |slot| Slot { source: change(slot.source), ..slot });
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Source> {
        self.slots.get(key).map(|slot| &slot.source)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Source> {
        self.slots.get_mut(key).map(|slot| &mut slot.source)
    }

    #[inline]
    pub(crate) fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key)
    }

    pub(crate) fn owner(&self, key: Key) -> Option<Owner> {
        self.slots.get(key).map(|slot| slot.owner)
    }

    pub(crate) fn session(&mut self, key: Key) -> Option<&mut Session> {
        match self.get_mut(key)? {
            Source::Connection(session) => Some(session),
            _ => None,
        }
    }

    /// The source a token of the poller means, if it is still there.
    #[inline]
    pub(crate) fn resolve(&mut self, token: mio::Token) -> Option<(Key, &mut Slot)> {
        self.slots.resolve(token)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Source)> {
        self.slots.iter().map(|(key, slot)| (key, &slot.source))
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.slots.iter().map(|(key, _)| key).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn keep_running(&self) -> bool {
        self.keep_running > 0
    }

    pub(crate) fn delay_shutdown(&self) -> bool {
        self.delay_shutdown > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of::<Slot>();
        // With debug assertions mio keeps in each socket which poller knows it.
        let checks = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(size <= 208 + checks, "{size} bytes: what few connections have belongs into a box");
    }
}
