//! Everything the loop serves.

use crate::arena::Key;
use crate::connection::{Connection, ConnectionId};
use crate::connector::{Attempt, ConnectorId, ConnectorState};
use crate::listener::{Listener, ListenerId};
use crate::observe::Subject;
use crate::poller::Readiness;
use crate::udp::{DatagramId, Port};

/// Something the poller reports on, or that the loop serves.
#[derive(Debug)]
pub(super) enum Source {
    Connection(Connection),
    Listener(Box<Listener>),
    Connector(Box<ConnectorState>),
    Attempt(Box<Attempt>),
    Datagram(Box<Port>),
    #[cfg(feature = "signals")]
    Signals(Box<crate::signals::Signals>),
    #[cfg(unix)]
    Watch(Box<crate::watch::Watch>),
}

impl Source {
    /// Whether it waits in the run queue.
    pub(super) fn queued(&mut self) -> &mut bool {
        match self {
            Self::Connection(connection) => &mut connection.queued,
            Self::Listener(listener) => &mut listener.queued,
            Self::Connector(connector) => &mut connector.queued,
            Self::Attempt(attempt) => &mut attempt.queued,
            Self::Datagram(port) => &mut port.queued,
            #[cfg(feature = "signals")]
            Self::Signals(signals) => &mut signals.queued,
            #[cfg(unix)]
            Self::Watch(watch) => &mut watch.queued,
        }
    }

    /// What an observer knows it by.
    pub(super) fn subject(&self, key: Key) -> Subject {
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

    /// Notes what an event says; returns whether to serve and whether to flush this source.
    pub(super) fn latch(&mut self, readiness: Readiness) -> (bool, bool) {
        match self {
            Self::Connection(connection) => connection.latch(readiness),
            Self::Listener(listener) => {
                listener.ready = true;
                (listener.can_accept(), false)
            }
            Self::Attempt(attempt) => {
                attempt.latched |= readiness;
                (true, false)
            }
            Self::Datagram(port) => (port.latch(readiness), false),
            Self::Connector(_) => (true, false),
            #[cfg(feature = "signals")]
            Self::Signals(_) => (true, false),
            #[cfg(unix)]
            Self::Watch(watch) => {
                watch.latched |= readiness;
                (true, false)
            }
        }
    }
}
