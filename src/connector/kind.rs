//! Connectors and attempts, as the loop sees them.

use super::state::{ConnectorState, Progress};
use crate::connection::ReadBuffer;
use crate::parts::arena::Key;
use crate::parts::timers::TimerId;
use crate::reactor::Reactor;
use crate::reactor::source::Kind;
use crate::reactor::state::TimerAction;
use crate::reason::Reason;

/// The kind of source that a connector is.
#[derive(Debug)]
pub(super) struct Connectors;

impl Kind for Connectors {
    fn serve(&self, reactor: &mut Reactor, key: Key, _: &mut ReadBuffer) {
        reactor.serve_connector(key);
    }

    fn fire(&self, reactor: &mut Reactor, key: Key, _: TimerId, action: &TimerAction) {
        match action {
            TimerAction::ConnectTimeout(_) => reactor.connect_timed_out(key),
            TimerAction::HeadStart(_) => reactor.head_start_is_over(key),
            TimerAction::Reconnect(_) => reactor.reconnect_now(key),
            _ => {}
        }
    }

    fn shut_down(&self, reactor: &mut Reactor, key: Key) {
        if reactor.connector_mut(key).is_some_and(|connector| connector.is_trying()) {
            reactor.stop_trying(key);
        }
    }

    fn stop(&self, reactor: &mut Reactor, key: Key) {
        if reactor.connector_mut(key).is_some_and(|connector| connector.is_trying()) {
            reactor.stop_trying(key);
            reactor.serve_connector(key);
        }
    }

    fn connection_prepared(&self, reactor: &mut Reactor, key: Key, connection: Key) {
        reactor.is_connected(key, connection);
    }

    fn connection_gone(&self, reactor: &mut Reactor, key: Key, announced: bool, reason: &Reason) {
        if announced {
            reactor.connection_of_connector_lost(key, reason);
        } else {
            reactor.preparing_failed(key, reason.clone());
        }
    }
}

/// The kind of source that an attempt is.
#[derive(Debug)]
pub(super) struct Attempts;

impl Kind for Attempts {
    fn serve(&self, reactor: &mut Reactor, key: Key, buffer: &mut ReadBuffer) {
        reactor.serve_attempt(key, buffer);
    }
}

impl Reactor {
    /// Gives an attempt up, unless it failed already and only its outcome is still to be told.
    fn stop_trying(&mut self, key: Key) {
        let failed =
            |connector: &mut ConnectorState| matches!(connector.progress, Progress::Failed(_));
        if !self.connector_mut(key).is_some_and(failed) {
            self.give_up(key, Reason::Stopped);
        }
    }
}
