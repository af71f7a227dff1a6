//! Stopping: at once, or in order.

use std::io;
use std::time::Duration;

use super::Reactor;
use super::queues::Queue;
use super::source::Source;
use super::state::{Ended, Ending, Queued, TimerAction};
use crate::ids::ConnectionId;
use crate::observe::{Command, Phase, Subject};
use crate::parts::arena::Key;
use crate::parts::call_queue::CallQueue;

/// How often the notices of attempts that begin while the reactor stops may begin further ones: no program
/// needs more than two, and one that always begins another must not stop for ever.
const LATE_ROUNDS: usize = 16;

/// # Stopping
impl Reactor {
    /// Stops the reactor at the end of this turn, or of the next if none is running.
    ///
    /// The turn is finished first. Then every connection ends with [`Reason::Stopped`](crate::Reason::Stopped); one
    /// with unsent bytes is reset. Every attempt to connect fails with the same reason; listeners and datagram sockets
    /// are closed; timers, queued calls, watched descriptors and the functions to call after work in threads
    /// are dropped. [`run`](Self::run) returns. It may be called again, with nothing left of the former run
    /// but the timers and calls that these last notices set up. In them nothing can be opened: to listen, to
    /// adopt or to watch is an error, and to connect fails with the same reason.
    ///
    /// It may be called repeatedly. See [`shutdown`](Self::shutdown) for an orderly end. After a `stop` that
    /// cuts a shutdown short, connections are reset as when its grace is over.
    ///
    /// *Not* promised: that a peer gets what was sent. If it still sends, a reset may overtake the last bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::{Ended, Reactor};
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.call_every(Duration::from_millis(1), |reactor, _tick| reactor.stop());
    /// reactor.run()?;
    /// assert_eq!(reactor.ended(), Some(Ended::Stopped));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stop(&mut self) {
        self.monitor.command(Subject::Reactor, || Command::Stop);
        // During the last notices it is stopping already, and the next run must not be stopped.
        if self.ending != Ending::TearingDown {
            self.ending = Ending::Stopping;
        }
    }

    /// Ends in order: has every protocol told [`shutting_down`](crate::Protocol::shutting_down), and
    /// [stops](Self::stop) when the last connection and datagram socket is gone, or after `grace`.
    ///
    /// - *Listeners* close at once. Connections that wait in their queues are taken before (as far as there
    ///   are descriptors, and not while accepting is paused), and are served and told like the others.
    /// - *Connections* are told by the loop, after what they had received. By default they close; a protocol
    ///   may finish its answer first. Those that are left after `grace` are reset, with
    ///   [`Reason::Stopped`](crate::Reason::Stopped): a peer never takes a part for the whole.
    /// - *Idle peers* do not hold it up. A connection that has sent everything, and FIN, waits only half a
    ///   second of silence for the peer's FIN instead of the [linger time](crate::ReactorBuilder::linger).
    ///   A handshake of TLS has one second and a half.
    /// - *Datagram sockets* are told too, and closed by default.
    /// - *Attempts to connect* fail with [`Reason::Stopped`](crate::Reason::Stopped).
    /// - *Nothing new* begins: to listen or to adopt is an error, to connect fails.
    ///
    /// It waits for each [`Hold`](crate::Hold), and not for watched descriptors and work in threads.
    ///
    /// A second call moves the end of the grace.
    ///
    /// *Not* promised: that the peer of a connection that lingers when the grace is over gets its last
    /// bytes, if it still sends. And the kernel resets connections whose handshake was not complete.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::{Protocol, Reactor, Transport};
    ///
    /// struct Greeter;
    ///
    /// impl Protocol for Greeter {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.write(b"hello");
    ///     }
    /// }
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.listen("127.0.0.1:0", |_peer| Greeter)?;
    /// reactor.call_later(Duration::from_millis(5), |reactor| {
    ///     reactor.shutdown(Duration::from_secs(5));
    /// });
    /// reactor.run()?; // returns at once when nobody is connected
    /// # std::io::Result::Ok(())
    /// ```
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
        self.memory.common.shutting_down = true;
        self.announce_shutdown();
        for key in self.sources.keys() {
            match self.sources.get(key) {
                Some(Source::Connection(_)) => self.shut_down_connection(ConnectionId(key)),
                source => {
                    if let Some(kind) = source.and_then(Source::kind) {
                        kind.shut_down(self, key);
                    }
                }
            }
        }
    }

    /// Whether the reactor is stopping or shutting down, so that no new attempt to connect is made.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// assert!(!simulation.reactor().is_stopping());
    /// simulation.reactor().call_soon(|reactor| {
    ///     reactor.shutdown(Duration::from_secs(10));
    ///     assert!(reactor.is_stopping());
    /// });
    /// simulation.settle();
    /// # assert_eq!(simulation.reactor().stats().calls, 1);
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.ending != Ending::No
    }

    /// Why the last [`run`](Self::run) returned; `None` if there was none, or it failed, or goes on.
    ///
    /// Without `run`, in a [simulation](crate::testing::Simulation) or a host loop, it is why the reactor stopped.
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

    /// # Errors
    ///
    /// During a shutdown, and in the last notices of a stop: nothing new is begun.
    pub(crate) fn check_takes_new(&self) -> io::Result<()> {
        if self.memory.common.shutting_down || self.ending == Ending::TearingDown {
            let message = "the reactor is stopping, and takes nothing new";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, message));
        }
        Ok(())
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

    /// Gives each source its last notice, once.
    pub(crate) fn tear_down(&mut self) {
        self.begin_phase(Phase::Stop);
        self.ending = Ending::TearingDown;
        self.time.now = self.now();
        self.memory.common.begin_turn(self.time.now);
        let in_turn = std::mem::replace(&mut self.time.in_turn, true); // no turn from within a notice
        self.announce_stop();
        self.drop_timers_and_calls();
        let keys = self.sources.keys();
        self.stop_connections(&keys);
        self.stop_all(&keys, is_connector);
        self.stop_all(&keys, |source| matches!(source, Source::Listener(_)));
        self.stop_all(&keys, |source| matches!(source, Source::Datagram(_)));
        #[cfg(unix)]
        self.stop_all(&keys, |source| matches!(source, Source::Watch(_)));
        self.fail_late_attempts();
        let Self { queues, sources, .. } = self;
        queues.retain(|key| sources.get(key).is_some());
        self.ending = Ending::No;
        self.memory.common.shutting_down = false;
        self.time.in_turn = in_turn;
    }

    fn stop_connections(&mut self, keys: &[Key]) {
        let mut buffer = self.memory.lend_buffer(self.limits.read_buffer);
        for &key in keys {
            if let Some(Source::Connection(_)) = self.sources.get(key) {
                self.stop_connection(ConnectionId(key));
                self.visit(key, Queue::Run, &mut buffer);
            }
        }
        self.memory.give_back_buffer(buffer);
    }

    /// Gives the sources of one kind their last notice.
    fn stop_all(&mut self, keys: &[Key], is_of_kind: fn(&Source) -> bool) {
        for &key in keys {
            if let Some(source) = self.sources.get(key)
                && is_of_kind(source)
                && let Some(kind) = source.kind()
            {
                kind.stop(self, key);
            }
        }
    }

    /// Tells the outcome of attempts that the last notices have begun, and of those that this begins.
    fn fail_late_attempts(&mut self) {
        for _ in 0..LATE_ROUNDS {
            if !self.sources.iter().any(|(_, source)| is_connector(source)) {
                return;
            }
            self.stop_all(&self.sources.keys(), is_connector);
        }
        log::error!("attempts to connect go on while the reactor stops; the last are not told");
    }

    fn drop_timers_and_calls(&mut self) {
        let actions = self.timers.call_all_off(&mut self.monitor);
        self.let_go_of_each(Subject::Reactor, actions);
        for calls in self.calls.take_all() {
            match calls {
                Queued::Own(call) => self.let_go(Subject::Reactor, call),
                Queued::OfOthers(calls) => self.drop_calls_of_others(*calls),
            }
        }
        if let Some((_, take_answers)) = self.threads.lookups {
            take_answers(self); // the call that was to do it may be gone
        }
        if let Some((_, drop_work)) = self.threads.work {
            drop_work(self);
        }
    }

    fn drop_calls_of_others(&mut self, mut calls: CallQueue<Self>) {
        while let Some((_, functions)) = calls.next() {
            self.call_to_drop(Subject::Reactor, &mut || functions.drop_next());
        }
    }

    /// Drops all values of the user's, one by one and without a notice, before the reactor goes.
    pub(crate) fn let_go_of_all(&mut self) {
        self.drop_states();
        self.drop_timers_and_calls();
        for key in self.sources.keys() {
            if let Some(slot) = self.sources.remove(key) {
                self.let_go_of_source(slot.source.subject(key), slot.source);
            }
        }
        let ends = std::mem::take(&mut self.extension.on_shutdown);
        self.let_go_of_each(Subject::Reactor, ends);
        let ends = std::mem::take(&mut self.extension.on_stop);
        self.let_go_of_each(Subject::Reactor, ends);
        let lookups = self.threads.lookups.take(); // first: its clone of the resolver must not be the last
        self.let_go_of_rest(Subject::Reactor, lookups);
        let resolver = std::mem::take(&mut self.limits.resolver);
        self.let_go(Subject::Reactor, resolver);
        let calls = self.calls.shared.close();
        self.drop_calls_of_others(calls);
    }

    pub(crate) fn let_go_of_observer(&mut self) {
        let watcher = self.monitor.watcher.take();
        self.let_go_of_each(Subject::Reactor, watcher);
    }
}

fn is_connector(source: &Source) -> bool {
    matches!(source, Source::Connector(_))
}
