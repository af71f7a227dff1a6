//! Everything the loop serves: the sources, each in a slot of its own.

#[cfg(feature = "signals")]
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
#[cfg(unix)]
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::Reactor;
use super::queues::Waits;
use super::state::TimerAction;
use crate::address::Address;
use crate::connection::{Connection, ReadBuffer};
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
use crate::parts::owned_timers::OwnedTimers;
#[cfg(unix)]
use crate::parts::surplus::surplus;
use crate::parts::timers::TimerId;
use crate::protocol::{Factory, Protocol};
#[cfg(feature = "proxy")]
use crate::proxy::ProxyInfo;
use crate::reason::Reason;
use crate::system::poller::Readiness;

/// Something the poller reports on, or that the loop serves.
#[derive(Debug)]
pub(crate) enum Source {
    Connection(Session),
    Listener(Box<Seated<Listener, Box<dyn Factory>>>),
    Connector(Box<Seated<ConnectorState, Box<dyn Factory>>>),
    Attempt(Box<Attempt>, &'static dyn Kind),
    Datagram(Box<Seated<DatagramState, Box<dyn DatagramProtocol>>>),
    #[cfg(feature = "signals")]
    Signals(Box<Seated<Signals, BTreeMap<i32, Option<SignalAction>>>>),
    #[cfg(unix)]
    Watch(Box<Seated<Watch, Box<dyn Watched>>>),
}

/// A kind of source besides connections: how the loop serves one, and what else it asks of it.
///
/// A source brings its kind along when it is opened, and the loop reaches the code of a kind only through this. So a
/// program links the kinds that it opens: one that only listens is 156 kB smaller without attempts to connect,
/// lookups of names, threads for these, datagrams and watches. It costs an indirect call for each visit of such a
/// source, which is nothing beside the system calls of the visit. Connections are visited without one.
pub(crate) trait Kind: std::fmt::Debug {
    /// Serves a source in the serve phase, within its budget.
    fn serve(&self, reactor: &mut Reactor, key: Key, buffer: &mut ReadBuffer);

    /// A timer that was set for a source fires.
    fn fire(&self, _: &mut Reactor, _: Key, _: TimerId, _: &TimerAction) {}

    /// Begins the part of a source in a shutdown.
    fn shut_down(&self, _: &mut Reactor, _: Key) {}

    /// Gives a source its last notice: the reactor stops.
    fn stop(&self, _: &mut Reactor, _: Key) {}

    /// A connection that a source has made, and that had to be prepared, has its protocol.
    fn connection_prepared(&self, _: &mut Reactor, _: Key, _connection: Key) {}

    /// A connection that a source has made is gone; it was announced to a protocol, or not.
    fn connection_gone(&self, _: &mut Reactor, _: Key, _announced: bool, _: &Reason) {}
}

/// A source of some kind, with the user's code that it calls.
pub(crate) struct Seated<S, C> {
    state: S,
    pub(super) kind: &'static dyn Kind,
    /// A factory, a protocol, a function. `None` while it is called.
    pub(crate) callee: Option<C>,
}

impl<S, C> Seated<S, C> {
    pub(crate) fn new(kind: &'static dyn Kind, state: S, callee: C) -> Self {
        Self { state, kind, callee: Some(callee) }
    }
}

impl<S, C> Deref for Seated<S, C> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S, C> DerefMut for Seated<S, C> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}

impl<S: std::fmt::Debug, C> std::fmt::Debug for Seated<S, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

/// The function called on a signal.
#[cfg(feature = "signals")]
pub(crate) type SignalAction = Box<dyn FnMut(&mut Reactor)>;

/// A descriptor with its function. They are one object, so that the descriptor stays open as long as it
/// may be registered, and its number cannot mean another file meanwhile.
#[cfg(unix)]
pub(crate) trait Watched {
    fn fd(&self) -> BorrowedFd<'_>;
    fn call(&mut self, reactor: &mut Reactor, ready: Ready);
    /// Drops the function and then the descriptor, as user code.
    fn let_go(self: Box<Self>, reactor: &mut Reactor);
}

/// A source, with the loop's data about it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) source: Source,
    pub(crate) owner: Owner,
    pub(crate) waits: Waits,
}

/// The source to tell when a connection is gone, beside its protocol.
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
    /// `None` while a callback of it runs, and before its preparation is over.
    pub(crate) protocol: Option<Box<dyn Protocol>>,
    /// Fires at the deadline of the connection, or before.
    pub(crate) timer: Option<TimerId>,
    /// The parts that few sessions need.
    pub(crate) attached: Option<Box<Attached>>,
}

/// The parts of a session that few have: the timers and the successor of its protocol, what a proxy has said.
#[derive(Default)]
pub(crate) struct Attached {
    /// Set by `Transport::call_later`.
    pub(crate) timers: OwnedTimers,
    /// The protocol that takes over at the next handover.
    pub(crate) successor: Option<Box<dyn Protocol>>,
    /// The PROXY header, which has said whose the connection is.
    #[cfg(feature = "proxy")]
    pub(crate) proxy: Option<Box<ProxyInfo>>,
}

impl Source {
    /// The subject by which an observer knows it.
    pub(crate) fn subject(&self, key: Key) -> Subject {
        match self {
            Self::Connection(_) => Subject::Connection(ConnectionId(key)),
            Self::Listener(_) => Subject::Listener(ListenerId(key)),
            Self::Connector(_) => Subject::Connector(ConnectorId(key)),
            Self::Attempt(attempt, _) => Subject::Connector(ConnectorId(attempt.connector)),
            Self::Datagram(_) => Subject::Datagram(DatagramId(key)),
            #[cfg(feature = "signals")]
            Self::Signals(_) => Subject::Reactor,
            #[cfg(unix)]
            Self::Watch(_) => Subject::Watch(crate::WatchId(key)),
        }
    }

    /// The place of the protocol, as those of other user code below: `None` for other kinds of source.
    pub(crate) fn protocol(&mut self) -> Option<&mut Option<Box<dyn Protocol>>> {
        match self {
            Self::Connection(session) => Some(&mut session.protocol),
            _ => None,
        }
    }

    pub(crate) fn factory(&mut self) -> Option<&mut Option<Box<dyn Factory>>> {
        match self {
            Self::Listener(listener) => Some(&mut listener.callee),
            Self::Connector(connector) => Some(&mut connector.callee),
            _ => None,
        }
    }

    pub(crate) fn datagram_protocol(&mut self) -> Option<&mut Option<Box<dyn DatagramProtocol>>> {
        match self {
            Self::Datagram(state) => Some(&mut state.callee),
            _ => None,
        }
    }

    #[cfg(unix)]
    pub(crate) fn watched(&mut self) -> Option<&mut Option<Box<dyn Watched>>> {
        match self {
            Self::Watch(watch) => Some(&mut watch.callee),
            _ => None,
        }
    }

    /// Records an event; returns whether to serve this source.
    #[inline]
    pub(crate) fn latch(&mut self, readiness: Readiness) -> bool {
        if let Self::Connection(session) = self {
            session.connection.latch(readiness);
            return true; // for any event: only the connection can judge it
        }
        match self {
            Self::Connection(_) => {}
            Self::Listener(listener) => {
                listener.ready = true;
                return listener.can_accept();
            }
            Self::Attempt(attempt, _) => attempt.latched |= readiness,
            Self::Datagram(state) => return state.latch(readiness),
            Self::Connector(_) => {}
            #[cfg(feature = "signals")]
            Self::Signals(_) => {}
            #[cfg(unix)]
            Self::Watch(watch) => watch.latched |= readiness,
        }
        true
    }

    /// Whether [`run`](super::Reactor::run) waits for it.
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

/// All sources.
#[derive(Debug)]
pub(crate) struct Sources {
    slots: Arena<Slot>,
    /// How many keep `run` from returning, and how many a shutdown waits for.
    keep_running: usize,
    delay_shutdown: usize,
    /// The numbers of the watched descriptors, in order: a removal moves four bytes for each greater one.
    #[cfg(unix)]
    watches: Vec<RawFd>,
}

impl Sources {
    pub(crate) fn new() -> Self {
        Self {
            slots: Arena::new(),
            keep_running: 0,
            delay_shutdown: 0,
            #[cfg(unix)]
            watches: Vec::new(),
        }
    }

    #[inline(always)] // else it is moved once more
    pub(crate) fn insert(&mut self, source: Source, owner: Owner) -> Key {
        self.keep_running += usize::from(source.keeps_running());
        self.delay_shutdown += usize::from(source.delays_shutdown());
        self.slots.insert(Slot { source, owner, waits: Waits::default() })
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Slot> {
        self.uncount(key);
        self.slots.remove(key)
    }

    /// Drops a source. Unlike [`remove`](Self::remove) it is moved only once.
    pub(crate) fn discard(&mut self, key: Key) {
        self.uncount(key);
        self.slots.discard(key);
    }

    fn uncount(&mut self, key: Key) {
        let Some(slot) = self.slots.get(key) else { return };
        self.keep_running -= usize::from(slot.source.keeps_running());
        self.delay_shutdown -= usize::from(slot.source.delays_shutdown());
    }

    /// Adds a watch of a descriptor. Not [`insert`](Self::insert), so that only programs that watch one link the search.
    #[cfg(unix)]
    pub(crate) fn insert_watch(&mut self, watch: Box<Seated<Watch, Box<dyn Watched>>>) -> Key {
        let number = watch.number;
        let key = self.insert(Source::Watch(watch), Owner::None);
        let place = self.watches.partition_point(|&other| other < number);
        self.watches.insert(place, number);
        key
    }

    /// Removes a watch. [`remove`](Self::remove) would leave its descriptor watched.
    #[cfg(unix)]
    pub(crate) fn remove_watch(&mut self, key: Key) -> Option<Slot> {
        let slot = self.remove(key)?;
        if let Source::Watch(watch) = &slot.source
            && let Ok(place) = self.watches.binary_search(&watch.number)
        {
            self.watches.remove(place);
            if let Some(room) = surplus(self.watches.len(), self.watches.capacity()) {
                self.watches.shrink_to(room);
            }
        }
        Some(slot)
    }

    /// Changes a source into another kind, which must leave the counts as they are.
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

    /// The source that a token of the poller refers to, if it is still there.
    #[inline]
    pub(crate) fn resolve(&mut self, token: mio::Token) -> Option<(Key, &mut Slot)> {
        self.slots.resolve(token)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Source)> {
        self.slots.iter().map(|(key, slot)| (key, &slot.source))
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.slots.keys()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is a watch of a descriptor, with an interest or without.
    #[cfg(unix)]
    pub(crate) fn is_watched(&self, fd: BorrowedFd<'_>) -> bool {
        self.watches.binary_search(&fd.as_raw_fd()).is_ok()
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
        // With debug assertions mio records in each socket the poller it is registered with.
        let checks = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(size <= 184 + checks, "{size} bytes: what few connections have belongs into a box");
    }
}
