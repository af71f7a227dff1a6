//! From an attempt that has won to a connection with a protocol, at once or after its preparation.

use std::time::Instant;

use crate::address::Address;
use crate::connection::{Common, Connection, ReadBuffer, Step};
use crate::connector::state::Progress;
use crate::ids::{ConnectionId, ConnectorId};
use crate::observe::Origin;
use crate::parts::arena::Key;
use crate::reactor::Reactor;
use crate::reactor::queues::Queue;
use crate::reactor::source::{Session, Source};
use crate::reason::Reason;

impl Reactor {
    /// The attempt becomes a connection; the connector waits until its preparation is over.
    #[cold]
    pub(super) fn prepare_connection(
        &mut self,
        connector: Key,
        winner: Key,
        peer: &Address,
        step: Step,
        buffer: &mut ReadBuffer,
    ) {
        self.drop_head_start(connector);
        if let Some(connector) = self.connector_mut(connector) {
            connector.attempts.clear();
            connector.candidates.clear(); // this address has won, whatever becomes of its preparation
            connector.progress = Progress::Preparing(winner);
        }
        self.become_connection(connector, winner, |connection, now, common| {
            Session::preparing(connection, peer.clone(), step, now, common)
        });
        self.serve_connected(connector, winner, buffer);
    }

    /// The connection of a connector has its protocol.
    pub(crate) fn is_connected(&mut self, connector: Key, winner: Key) {
        self.drop_timers(connector);
        let now = self.time.now;
        if let Some(connector) = self.connector_mut(connector) {
            connector.attempts.clear();
            connector.progress = Progress::Connected(winner);
            connector.since = Some(now);
        }
        self.monitor.stats.connected += 1;
    }

    /// A connection of a connector has ended before it had a protocol: the attempt has failed.
    pub(crate) fn preparing_failed(&mut self, key: Key, reason: Reason) {
        self.drop_timers(key);
        if let Some(connector) = self.connector_mut(key) {
            connector.progress = Progress::Failed(reason);
            self.queue(key);
        }
    }

    /// In the same slot and under the same token, so that nothing is registered twice.
    pub(super) fn become_connection(
        &mut self,
        connector: Key,
        winner: Key,
        session: impl FnOnce(Connection, Instant, &mut Common) -> Session,
    ) {
        let preface = self.connector_mut(connector).and_then(|it| it.connect.preface.clone());
        let (marks, now) = (self.limits.marks, self.memory.common.latest.get());
        let Self { sources, memory, .. } = self;
        sources.convert(winner, |source| match source {
            Source::Attempt(attempt, _) => {
                let mut connection = Connection::new(attempt.stream, marks);
                connection.latch(attempt.latched);
                if let Some(preface) = preface {
                    connection.write(&preface, &mut memory.common);
                }
                Source::Connection(session(connection, now, &mut memory.common))
            }
            other => other,
        });
    }

    pub(super) fn serve_connected(&mut self, connector: Key, winner: Key, buffer: &mut ReadBuffer) {
        let origin = Origin::Connected(ConnectorId(connector));
        self.tell_opened(ConnectionId(winner), origin);
        self.visit(winner, Queue::Run, buffer);
    }
}
