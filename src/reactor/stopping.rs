//! The end: at once, or in order.

use std::time::Duration;

use super::timing::Alarm;
use super::{Reactor, Source};
use crate::arena::Key;
use crate::clock::later;
use crate::connection::Stage;
use crate::connector::{ConnectorState, Progress};
use crate::listener::ListenerId;
use crate::observe::Subject;
use crate::reason::Reason;

impl Reactor {
    /// Stops the reactor at the end of this turn, or of the next if none is running.
    ///
    /// The turn is finished first. Then every connection ends with [`Reason::Stopped`], what it had
    /// not sent is dropped; every attempt to connect fails with the same; listeners and datagram
    /// sockets are closed; timers, queued calls, watched descriptors and what was to follow on work
    /// in threads are dropped. [`run`](Self::run) returns, and may be called again with nothing left
    /// of the former run; what these last notices set up waits for it.
    ///
    /// May be called as often as one likes. See [`shutdown`](Self::shutdown) for an end in order.
    pub fn stop(&mut self) {
        // What is stopping already need not be told; the next run is not meant.
        self.stop_wanted = !self.tearing_down;
    }

    /// Stops in order: closes the listeners and datagram sockets, has every connection closed as by
    /// `lose_connection`, gives up attempts to connect, and [stops](Self::stop) when the last is gone, or after `grace`.
    /// Watched descriptors and work in threads are not waited for.
    ///
    /// Called again, it moves the end of the grace.
    pub fn shutdown(&mut self, grace: Duration) {
        if self.tearing_down {
            return;
        }
        let end = later(self.now(), grace);
        if let Some(timer) = self.draining {
            self.timers.reset(timer, end);
            return;
        }
        self.draining = Some(self.timers.insert(end, Alarm::Shutdown));
        let keys: Vec<Key> = self.sources.iter().map(|(key, _)| key).collect();
        for key in keys {
            match self.sources.get_mut(key) {
                Some(Source::Listener(_)) => drop(self.stop_listening(ListenerId(key))),
                Some(Source::Datagram(_)) => drop(self.stop_datagram(key, Reason::Closed)),
                Some(Source::Connection(_)) => {
                    self.lose_connection(crate::ConnectionId(key));
                }
                Some(Source::Connector(connector)) if connector.is_trying() => {
                    self.stop_trying(key);
                }
                _ => {}
            }
        }
    }

    /// Whether the reactor is to stop, or shutting down: nothing new is connected any more.
    pub fn is_stopping(&self) -> bool {
        self.stop_wanted || self.draining.is_some() || self.tearing_down
    }

    /// Whether a shutdown has nobody left to wait for.
    pub(super) fn is_drained(&self) -> bool {
        self.draining.is_some() && self.sources.len() <= self.background + self.watches
    }

    pub(super) fn shutdown_is_over(&mut self) {
        self.stop_wanted = true;
    }

    pub(super) fn stop_if_wanted(&mut self) {
        if self.stop_wanted || self.is_drained() {
            self.tear_down();
            self.report.stopped = true;
        }
    }

    /// Tells everybody who is there when it begins, each once, so that it ends; what the notices set
    /// up stays for the next run.
    pub(super) fn tear_down(&mut self) {
        self.tearing_down = true;
        self.draining = None;
        self.now = self.now();
        let in_turn = std::mem::replace(&mut self.in_turn, true); // no turn from within a notice
        self.drop_timers_and_calls();
        let keys: Vec<Key> = self.sources.iter().map(|(key, _)| key).collect();
        for &key in &keys {
            self.stop_connection(key);
        }
        for &key in &keys {
            if self.connector_mut(key).is_some_and(|connector| connector.is_trying()) {
                self.stop_trying(key);
                self.serve_connector(key);
            }
        }
        for &key in &keys {
            if let Some(Source::Listener(_)) = self.sources.get(key) {
                self.stop_listening(ListenerId(key));
                self.listener_stopped(key);
            }
        }
        for &key in &keys {
            if let Some(Source::Datagram(_)) = self.sources.get(key) {
                self.stop_datagram(key, Reason::Stopped);
                self.datagrams_stopped(key);
            }
        }
        #[cfg(unix)]
        for &key in &keys {
            self.unwatch(crate::WatchId(key));
        }
        let Self { sources, run_queue, flush_queue, .. } = self;
        run_queue.retain(|&key| sources.get(key).is_some());
        flush_queue.retain(|&key| sources.get(key).is_some());
        self.stop_wanted = false;
        self.tearing_down = false;
        self.in_turn = in_turn;
    }

    /// Gives an attempt up, unless it failed already and only its outcome is owed.
    fn stop_trying(&mut self, key: Key) {
        let failed =
            |connector: &mut ConnectorState| matches!(connector.progress, Progress::Failed(_));
        if !self.connector_mut(key).is_some_and(failed) {
            self.give_up(key, Reason::Stopped);
        }
    }

    fn stop_connection(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        if connection.stage != Stage::Gone {
            connection.end(Reason::Stopped);
        }
        self.conclude(key);
    }

    fn drop_timers_and_calls(&mut self) {
        let alarms = self.timers.drain();
        self.let_go(Subject::Reactor, alarms);
        self.take_remote_calls();
        let calls = std::mem::take(&mut self.calls);
        self.let_go(Subject::Reactor, calls);
        let (work, sequels) = self.drop_work();
        self.let_go(Subject::Reactor, work);
        self.let_go(Subject::Reactor, sequels);
    }
}
