//! Stopping: at once, or in order.

use std::time::Duration;

use super::queues::Queue;
use super::state::{Ended, Ending, TimerAction};
use super::{Reactor, Source};
use crate::connector::state::{ConnectorState, Progress};
use crate::ids::{ConnectionId, ListenerId};
use crate::observe::{Command, Phase, Subject};
use crate::parts::arena::Key;
use crate::reason::Reason;

impl Reactor {
    /// Stops the reactor at the end of this turn, or of the next if none is running.
    ///
    /// The turn is finished first. Then every connection ends with [`Reason::Stopped`], and its unsent
    /// bytes are dropped. Every attempt to connect fails with the same reason; listeners and datagram sockets
    /// are closed; timers, queued calls, watched descriptors and the functions to call after work in threads
    /// are dropped. [`run`](Self::run) returns. It may be called again, with nothing left of the former run
    /// but what these last notices set up.
    ///
    /// It may be called repeatedly. See [`shutdown`](Self::shutdown) for an orderly end.
    pub fn stop(&mut self) {
        self.monitor.command(Subject::Reactor, || Command::Stop);
        // During the last notices it is stopping already, and the next run must not be stopped.
        if self.ending != Ending::TearingDown {
            self.ending = Ending::Stopping;
        }
    }

    /// Stops in order: closes the listeners and datagram sockets, closes every connection as by
    /// `lose_connection`, gives up attempts to connect, and [stops](Self::stop) when the last of these
    /// is gone, or after `grace`.
    ///
    /// It waits for each [`Hold`](crate::Hold), and not for watched descriptors and work in threads.
    ///
    /// A second call moves the end of the grace.
    pub fn shutdown(&mut self, grace: Duration) {
        self.monitor.command(Subject::Reactor, || Command::Shutdown { grace });
        let end = self.time.after(grace);
        match self.ending {
            Ending::No => {}
            Ending::Draining(timer) => {
                self.timers.shift(timer, end, &mut self.monitor);
                return;
            }
            Ending::Stopping | Ending::TearingDown => return,
        }
        let timer = self.timers.set(end, TimerAction::Shutdown, &mut self.monitor);
        self.ending = Ending::Draining(timer);
        self.announce_shutdown();
        for key in self.sources.keys() {
            match self.sources.get_mut(key) {
                Some(Source::Listener(_)) => drop(self.stop_listening(ListenerId(key))),
                Some(Source::Datagram(_)) => drop(self.stop_datagram(key, Reason::Closed)),
                Some(Source::Connection(_)) => {
                    self.lose_connection(ConnectionId(key), None);
                }
                Some(Source::Connector(connector)) if connector.is_trying() => {
                    self.stop_trying(key);
                }
                _ => {}
            }
        }
    }

    /// Whether the reactor is stopping or shutting down, so that no new attempt to connect is made.
    pub fn is_stopping(&self) -> bool {
        self.ending != Ending::No
    }

    /// Why the last [`run`](Self::run) returned; `None` if there was none, or it failed, or goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Ended, Reactor};
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.call_soon(|_reactor| println!("and that is all"));
    /// reactor.run()?;
    /// assert_eq!(reactor.ended(), Some(Ended::NothingLeft));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Whether a shutdown has nothing left to wait for.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(self.ending, Ending::Draining(_))
            && !self.sources.delay_shutdown()
            && !self.calls.shared.is_held()
    }

    pub(crate) fn shutdown_is_over(&mut self) {
        self.ending = Ending::Stopping;
    }

    pub(crate) fn stop_if_wanted(&mut self) {
        let ended = match self.ending {
            Ending::Stopping => Some(Ended::Stopped),
            _ => self.is_drained().then_some(Ended::ShutDown),
        };
        if ended.is_some() {
            self.tear_down();
            self.ended = ended;
            self.monitor.report.stopped = true;
        }
    }

    /// Gives each source that is there at the beginning its last notice, once. Sources that the notices
    /// set up stay for the next run, so this function ends.
    pub(crate) fn tear_down(&mut self) {
        self.begin_phase(Phase::Stop);
        self.ending = Ending::TearingDown;
        self.time.now = self.now();
        let in_turn = std::mem::replace(&mut self.time.in_turn, true); // no turn from within a notice
        self.announce_stop();
        self.drop_timers_and_calls();
        let keys = self.sources.keys();
        self.stop_connections(&keys);
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
        let Self { queues, sources, .. } = self;
        queues.retain(|key| sources.get(key).is_some());
        self.ending = Ending::No;
        self.time.in_turn = in_turn;
    }

    fn stop_connections(&mut self, keys: &[Key]) {
        let mut scratch = self.memory.lend_scratch(self.limits.read_buffer);
        for &key in keys {
            if let Some(Source::Connection(_)) = self.sources.get(key) {
                self.end(ConnectionId(key), Reason::Stopped);
                self.visit(key, Queue::Run, &mut scratch);
            }
        }
        self.memory.give_back_scratch(scratch);
    }

    /// Gives an attempt up, unless it failed already and only its outcome is still to be told.
    fn stop_trying(&mut self, key: Key) {
        let failed =
            |connector: &mut ConnectorState| matches!(connector.progress, Progress::Failed(_));
        if !self.connector_mut(key).is_some_and(failed) {
            self.give_up(key, Reason::Stopped);
        }
    }

    fn drop_timers_and_calls(&mut self) {
        let actions = self.timers.call_all_off(&mut self.monitor);
        self.let_go(Subject::Reactor, actions);
        self.calls.take_remote(usize::MAX);
        let calls = std::mem::take(&mut self.calls.queue);
        self.let_go(Subject::Reactor, calls);
        let (work, follow_ups) = self.drop_work();
        self.let_go(Subject::Reactor, work);
        self.let_go(Subject::Reactor, follow_ups);
    }
}
