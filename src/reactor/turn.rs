//! **The loop**: sleep, latch, timers, serve, calls, flush.
//!
//! [`Reactor::turn`] runs all phases. Timers are in `timing`, calls in `calls`, the flush in `flushing`, the visit of a
//! connection in `visit`.

use std::io;
use std::time::{Duration, Instant};

use super::monitor::Monitor;
use super::queues::Queue;
use super::source::Slot;
use super::state::{Ended, Ending};
use super::{Reactor, WAKE};
use crate::observe::{Notice, Phase, TurnReport};
use crate::parts::arena::Key;

/// # Running it
impl Reactor {
    /// Runs turns until the reactor is [stopped](Self::stop), or nothing is left that could call back:
    /// no listener, connection, attempt to connect, datagram socket, watched descriptor, timer, queued
    /// call, work in a thread or [`Hold`](crate::Hold).
    ///
    /// It may be called again after it returned, and [`ended`](Self::ended) says why it did. It installs no
    /// signal handlers; see the feature `signals`.
    ///
    /// # Errors
    ///
    /// An error of the poller, and `ResourceBusy` inside a callback: the running loop goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::{Ended, Reactor};
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.call_later(Duration::from_millis(1), |_reactor| println!("once"));
    /// reactor.run()?; // until the timer has fired
    /// assert_eq!(reactor.ended(), Some(Ended::NothingLeft));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn run(&mut self) -> io::Result<()> {
        self.check_not_nested()?;
        self.ended = None;
        while self.has_work() {
            if self.turn(None)?.stopped {
                return Ok(());
            }
        }
        self.ended = Some(Ended::NothingLeft);
        Ok(())
    }

    /// Runs one turn: sleeps for at most `max_wait` (`None`: until something happens), then runs all
    /// phases.
    ///
    /// The order of the phases is promised:
    ///
    /// 1. **sleep** — wait until something is ready or the next timer is due; not at all while
    ///    something is still to be served;
    /// 2. **latch** — record the events in their sources. No callback runs, nothing is freed;
    /// 3. **timers** — fire the timers that are due by the clock, which was read once after the sleep:
    ///    by deadline, and in the order they were made where deadlines are equal. A timer set from here
    ///    on waits for the next turn, even without a delay;
    /// 4. **serve** — accept, connect and read for each source that is ready, once, within its
    ///    budget; a source with more to do goes to the back of the queue. A connection that has nothing
    ///    left to be read is told `timed_out` if it was silent for too long. A connection that only its own
    ///    callbacks have written to is flushed as soon as it has been served, or accepted: while its
    ///    bytes are still in the processor's cache, and before the next one takes a descriptor;
    /// 5. **calls** — run the calls of `call_soon` and `call_from_thread` that were queued when the
    ///    phase began, among them those that `data_received` has just made; at most
    ///    [1,024](crate::ReactorBuilder::call_budget), so that others are served between them;
    /// 6. **flush** — one write for each other connection that was written to. With a write, here and in
    ///    the serve phase, come `pause_writing`, `resume_writing` and `connection_lost`.
    ///
    /// If the reactor was told to [stop](Self::stop), it gives the last notices after that.
    ///
    /// # Errors
    ///
    /// An error of the poller, and `ResourceBusy` inside a callback, where the running turn goes on, and in a call of
    /// [`with_protocol`](Self::with_protocol).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.call_soon(|_reactor| println!("called"));
    /// let report = reactor.turn(Some(Duration::ZERO))?; // does not wait
    /// assert_eq!(report.calls, 1);
    /// assert!(reactor.turn(Some(Duration::ZERO))?.is_idle());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<TurnReport> {
        self.check_not_nested()?;
        self.begin_turn();
        let slept = self.sleep(max_wait);
        if slept.is_ok() {
            self.latch();
            self.fire_timers();
            self.serve();
            self.run_calls();
            self.flush();
            self.stop_if_wanted();
        }
        let report = self.end_turn();
        self.let_panic_through();
        slept.map(|()| report)
    }

    /// Whether anything is left that could call back: what [`run`](Self::run) asks before each turn.
    ///
    /// For code that turns the reactor itself, until something of its own has happened: a
    /// [turn](Self::turn) without a limit would wait for ever if this is `false`.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let reactor = simulation.reactor();
    /// assert!(!reactor.has_work());
    /// reactor.call_later(std::time::Duration::from_secs(1), |_reactor| {});
    /// while reactor.has_work() {
    ///     reactor.turn(None)?;
    /// }
    /// assert_eq!(reactor.stats().timers, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn has_work(&self) -> bool {
        // Holds first: if the last one is gone here, the later checks see all that was sent before.
        let held = self.calls.shared.is_held();
        held || self.sources.keep_running()
            || self.timers.len() > 0
            || self.pending_work() > 0
            || self.has_queued()
    }

    fn check_not_nested(&self) -> io::Result<()> {
        if self.time.in_turn {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the reactor is in a turn already: callbacks cannot turn it",
            ));
        }
        Ok(())
    }

    fn begin_turn(&mut self) {
        self.time.in_turn = true;
        let Monitor { stats, report, .. } = &mut self.monitor;
        stats.turns += 1;
        *report = TurnReport { turn: stats.turns, ..TurnReport::default() };
        self.monitor.begin_turn();
        let turn = self.monitor.report.turn;
        self.monitor.mark(|| Notice::TurnBegin { turn });
    }

    fn end_turn(&mut self) -> TurnReport {
        self.time.in_turn = false;
        self.memory.common.latest.callback = None;
        self.calls.shared.fall_asleep();
        self.memory.end_turn();
        let report = self.monitor.report;
        self.monitor.mark(|| Notice::TurnEnd(report));
        self.monitor.end_turn();
        report
    }

    /// Phase 1. The only place where the reactor waits.
    fn sleep(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        let (timeout, began) = if max_wait == Some(Duration::ZERO) || self.has_queued() {
            (Some(Duration::ZERO), None)
        } else {
            // Callbacks took time since the last reading: without a new one timers would be late.
            let began = self.time.clock.now();
            (self.time_to_sleep(max_wait, began), Some(began))
        };
        self.begin_phase(Phase::Sleep { timeout });
        let result = self.poller.wait(timeout);
        self.memory.common.more_events = self.poller.has_more();
        self.calls.shared.awake();
        self.time.read(self.limits.slow_callback);
        let now = self.time.now;
        self.memory.common.begin_turn(now);
        self.memory.common.latest.callback = self.limits.slow_callback.map(|_| now);
        self.monitor.report.slept = began.map_or(Duration::ZERO, |began| now - began);
        self.monitor.woke(now, self.poller.ready.len());
        result
    }

    fn time_to_sleep(&mut self, max_wait: Option<Duration>, now: Instant) -> Option<Duration> {
        let until = self.timers.settle().map(|deadline| deadline.saturating_duration_since(now));
        until.into_iter().chain(max_wait).min()
    }

    /// Phase 2. Handles the whole batch before any callback, so that a token in it cannot reach a slot
    /// that was freed and used again meanwhile.
    fn latch(&mut self) {
        self.begin_phase(Phase::Latch);
        let Self { poller, sources, queues, monitor, .. } = self;
        let mut woken = false;
        for &(token, readiness) in &poller.ready {
            if token == WAKE {
                woken = true;
                continue;
            }
            let Some((key, slot)) = sources.resolve(token) else {
                monitor.note_at_once(|| Notice::Event { subject: None, readiness });
                continue;
            };
            let Slot { source, waits, .. } = slot;
            let seen = &*source;
            monitor.note_at_once(move || Notice::Event {
                subject: Some(seen.subject(key)),
                readiness,
            });
            if source.latch(readiness) && queues.add(Queue::Run, key, waits) {
                monitor.queued(move || source.subject(key), Queue::Run, false);
            }
        }
        monitor.report.events = poller.ready.len();
        monitor.stats.events += poller.ready.len() as u64;
        if woken {
            self.monitor.stats.wakes += 1;
            self.monitor.note_at_once(|| Notice::Woken);
        }
    }

    /// Phase 4. Serves the sources that were in the queue when the phase began, each once.
    fn serve(&mut self) {
        self.begin_phase(Phase::Serve);
        if self.queues.is_empty(Queue::Run) {
            return;
        }
        let queue = self.queues.take(Queue::Run);
        let mut buffer = self.memory.lend_buffer(self.limits.read_buffer);
        self.monitor.report.served += queue.len();
        for &key in &queue {
            if !self.visit(key, Queue::Run, &mut buffer)
                && let Some(kind) = self.kind(key)
            {
                kind.serve(self, key, &mut buffer);
            }
            self.monitor.worked();
        }
        self.memory.give_back_buffer(buffer);
        self.queues.give_back(queue);
    }

    /// Puts a source at the back of the run queue, unless it is in it already.
    pub(crate) fn queue(&mut self, key: Key) {
        self.queue_for(key, false);
    }

    /// The same for a source that has just been served and has spent its budget.
    pub(crate) fn queue_again(&mut self, key: Key) {
        self.queue_for(key, true);
    }

    fn queue_for(&mut self, key: Key, spent: bool) {
        let Self { sources, queues, monitor, .. } = self;
        if let Some(slot) = sources.slot(key)
            && queues.add(Queue::Run, key, &mut slot.waits)
        {
            monitor.queued(move || slot.source.subject(key), Queue::Run, spent);
        }
    }

    pub(crate) fn begin_phase(&mut self, phase: Phase) {
        self.monitor.mark(|| Notice::PhaseBegin(phase));
    }

    /// Whether something can be done without waiting.
    pub(super) fn has_queued(&self) -> bool {
        !self.queues.are_empty()
            || !self.calls.are_empty()
            || self.ending == Ending::Stopping
            || self.is_drained()
    }
}
