//! The timers of an attempt to connect: its timeout, the head start of an address, a busy server.

use crate::address::Address;
use crate::connector::state::MAX_BUSY_DELAY;
use crate::parts::arena::Key;
use crate::reactor::Reactor;
use crate::reactor::source::Source;
use crate::reactor::state::TimerAction;
use crate::reason::Reason;
use crate::system::poller::Readiness;

impl Reactor {
    /// Has a busy server tried again, after a longer time with each try, until the timeout.
    pub(crate) fn ask_later(&mut self, key: Key, addr: Address) {
        let Some(connector) = self.connector_mut(key) else { return };
        connector.candidates.push_front(addr);
        let delay = connector.busy_delay;
        connector.busy_delay = (delay * 2).min(MAX_BUSY_DELAY);
        let timer = self.set(delay, TimerAction::HeadStart(key));
        if let Some(connector) = self.connector_mut(key) {
            connector.head_start = Some(timer);
        }
    }

    pub(crate) fn give_head_start(&mut self, key: Key) {
        let Some(connector) = self.connector_mut(key) else { return };
        if connector.candidates.is_empty() {
            return;
        }
        let delay = connector.connect.head_start;
        let timer = self.set(delay, TimerAction::HeadStart(key));
        if let Some(connector) = self.connector_mut(key) {
            connector.head_start = Some(timer);
        }
    }

    pub(crate) fn head_start_is_over(&mut self, key: Key) {
        if let Some(connector) = self.connector_mut(key) {
            connector.head_start = None;
            if !self.has_stood_up(key) {
                self.try_next(key);
            }
        }
    }

    /// Gives an attempt up, unless a connection stands although no event has told it yet: a callback may
    /// have taken all the time.
    pub(crate) fn connect_timed_out(&mut self, key: Key) {
        if !self.has_stood_up(key) {
            return self.give_up(key, Reason::ConnectTimedOut);
        }
        // It may still break before it is served.
        let timer =
            self.timers.set(self.time.now, TimerAction::ConnectTimeout(key), &mut self.monitor);
        if let Some(connector) = self.connector_mut(key) {
            connector.timeout = Some(timer);
        }
    }

    /// Whether one of the addresses that are tried has answered. It is served in this turn.
    fn has_stood_up(&mut self, key: Key) -> bool {
        let Some(connector) = self.connector_mut(key) else { return false };
        let attempts = connector.attempts.clone();
        let stands = |&attempt: &Key| match self.sources.get(attempt) {
            Some(Source::Attempt(attempt, _)) => {
                // Or it stood, and was reset before anybody looked: an event has told of that.
                attempt.latched != Readiness::default() || attempt.stream.peer_addr().is_ok()
            }
            _ => false,
        };
        let standing = attempts.into_iter().find(stands);
        standing.map(|attempt| self.queue(attempt)).is_some()
    }
}
