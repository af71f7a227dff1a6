//! The end of an attempt: given up, or won by one of its addresses.

use crate::address::Address;
use crate::connector::state::Progress;
use crate::ids::{ConnectionId, ConnectorId};
use crate::observe::{Notice, Outcome};
use crate::parts::arena::Key;
use crate::reactor::Reactor;
use crate::reactor::source::Source;
use crate::reason::Reason;

impl Reactor {
    /// Ends an attempt; the loop tells the outcome.
    pub(crate) fn give_up(&mut self, key: Key, reason: Reason) {
        let progress = self.connector_mut(key).map(|connector| &connector.progress);
        if let Some(Progress::Preparing(connection)) = progress {
            let connection = ConnectionId(*connection);
            return self.abort(connection, reason); // whose end is the outcome
        }
        self.drop_attempts(key, None);
        self.drop_timers(key);
        self.forget_lookup(key);
        if let Some(connector) = self.connector_mut(key) {
            connector.progress = Progress::Failed(reason);
            connector.candidates.clear();
            self.queue(key);
        }
    }

    pub(super) fn drop_attempts(&mut self, key: Key, except: Option<Key>) {
        let Some(connector) = self.connector_mut(key) else { return };
        for attempt in std::mem::take(&mut connector.attempts) {
            if Some(attempt) != except
                && let Some(slot) = self.sources.remove(attempt)
            {
                if let Source::Attempt(given_up, _) = slot.source {
                    self.tell_attempt_end(key, &given_up.to, || Outcome::GivenUp);
                }
                self.descriptor_freed();
            }
        }
    }

    pub(super) fn drop_timers(&mut self, key: Key) {
        let Some(connector) = self.connector_mut(key) else { return };
        let waiting = match connector.progress {
            Progress::Waiting(timer) => Some(timer),
            _ => None,
        };
        let timers = [connector.timeout.take(), connector.head_start.take(), waiting];
        for timer in timers.into_iter().flatten() {
            self.timers.call_off(timer, &mut self.monitor);
        }
    }

    /// No other address is tried beside those that are.
    pub(super) fn drop_head_start(&mut self, key: Key) {
        let timer = self.connector_mut(key).and_then(|connector| connector.head_start.take());
        if let Some(timer) = timer {
            self.timers.call_off(timer, &mut self.monitor);
        }
    }

    pub(super) fn tell_attempt_end(
        &mut self,
        key: Key,
        to: &Address,
        outcome: impl FnOnce() -> Outcome,
    ) {
        self.monitor.note(|| {
            let (connector, to) = (ConnectorId(key), to.clone());
            Notice::AttemptEnd { connector, to, outcome: outcome() }
        });
    }
}
