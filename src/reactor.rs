//! **The loop**: sleep, latch, timers, calls, serve, flush.
//!
//! [`Reactor::turn`] is the whole of it. What the phases do to one source is in the folder
//! `reactor/`: `serving` reads connections and `flushing` writes and closes them, `accepting` serves
//! listeners, `connecting` makes connections, `datagrams` serves UDP, `watching` serves descriptors of
//! the user's, `timing` holds timers and calls, `working` has threads do what blocks, `stopping` ends
//! it all, and `dispatch` is the one place where code of the user's is called. `hosting` answers
//! questions from outside.

mod accepting;
mod builder;
mod connecting;
mod datagrams;
mod dispatch;
mod flushing;
mod hosting;
mod serving;
#[cfg(feature = "signals")]
mod signalling;
mod source;
mod stopping;
mod swapping;
mod throttling;
mod timing;
#[cfg(unix)]
mod unix_sockets;
#[cfg(unix)]
mod watching;
mod working;

pub use builder::ReactorBuilder;
pub(crate) use dispatch::message;
pub use timing::Tick;

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Token, Waker};

use crate::arena::{Arena, Key};
use crate::clock::{Clock, later};
use crate::connection::SpareBoxes;
use crate::handle::{RemoteCall, Shared};
use crate::observe::{Observer, Stats, TurnReport};
use crate::poller::Poller;
use crate::pool::Pool;
use crate::timers::Timers;
use crate::write_buffer::Spares;
use builder::Limits;
use flushing::FlushQueue;
use source::Source;
pub(crate) use throttling::Direction;
use timing::{Alarm, Call};
use working::Sequel;

/// The token of the waker; no key has it, since an arena never has 2³² slots.
const WAKE: Token = Token(usize::MAX);

/// Owns the poller, the clock and all sources, and calls the protocols.
///
/// A plain value: make as many as you like, on any thread, one inside another's loop. Everything it
/// does happens in [`turn`](Self::turn), on the thread that calls it. Callbacks get the reactor by
/// `&mut`, through [`Transport::reactor`](crate::Transport::reactor), and may ask anything of it.
///
/// Dropping a reactor stops it, and every connection is told first; unless its thread is panicking.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::Reactor;
///
/// let mut reactor = Reactor::new()?;
/// reactor.call_later(Duration::from_millis(5), |_reactor| println!("tick"));
/// reactor.run()?; // nothing is left to wait for after the tick
/// # std::io::Result::Ok(())
/// ```
pub struct Reactor {
    poller: Poller,
    clock: Clock,
    /// The time of this turn. Outside of a turn nobody may rely on it.
    now: Instant,
    /// While the loop runs and callbacks are timed: when the last of them ended.
    lap: Option<Instant>,
    /// Before this, no callback of the turn can have taken too long, all together having not.
    slow_from: Instant,
    /// Everything that can be ready: the truth about who is there.
    sources: Arena<Source>,
    /// How many of the sources do not keep [`run`](Self::run) from returning.
    background: usize,
    /// How many of the sources [`shutdown`](Self::shutdown) does not wait for, beside those.
    watches: usize,
    timers: Timers<Alarm>,
    calls: VecDeque<Call>,
    /// What other threads' calls are taken in; empty between.
    remote_calls: VecDeque<RemoteCall>,
    shared: Arc<Shared>,
    /// Sources to be served, each at most once: the fairness device, and the repair for readiness
    /// that is told only once.
    run_queue: VecDeque<Key>,
    /// Connections that were written to or given a command.
    flush_queue: FlushQueue,
    /// Listeners that wait for a descriptor to be freed.
    starved: Vec<Key>,
    /// Threads that look names up.
    lookups: Pool,
    /// Threads that do the user's work, and what is to follow on it.
    pool: Pool,
    sequels: Arena<Sequel>,
    /// Where everything is read into.
    scratch: Box<[u8]>,
    /// Where datagrams are received, whole however long; empty until there is one.
    datagram: Box<[u8]>,
    spares: Spares,
    spare_boxes: SpareBoxes,
    limits: Limits,
    observer: Option<Box<dyn Observer>>,
    stats: Stats,
    report: TurnReport,
    /// In a simulation, the first panic of this turn.
    panic: Option<Box<dyn Any + Send>>,
    in_turn: bool,
    stop_wanted: bool,
    /// While `shutdown` waits for the last connection: when it waits no longer.
    draining: Option<crate::TimerId>,
    /// Whether notices of a stop are being given.
    tearing_down: bool,
}

impl Reactor {
    /// A reactor with the default limits.
    ///
    /// # Errors
    ///
    /// If the system has no descriptor for the poller or the waker (two are needed on Linux).
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Sets limits before making the reactor.
    pub fn builder() -> ReactorBuilder {
        ReactorBuilder::default()
    }

    fn with_poller(poller: Poller, clock: Clock, limits: Limits) -> io::Result<Self> {
        let waker = poller.registry().map(|registry| Waker::new(registry, WAKE)).transpose()?;
        let now = clock.now();
        Ok(Self {
            poller,
            clock,
            now,
            lap: None,
            slow_from: now,
            sources: Arena::new(),
            background: 0,
            watches: 0,
            timers: Timers::new(),
            calls: VecDeque::new(),
            remote_calls: VecDeque::new(),
            shared: Shared::new(waker),
            run_queue: VecDeque::new(),
            flush_queue: FlushQueue::default(),
            starved: Vec::new(),
            lookups: Pool::new("crocus-lookup", connecting::LOOKUPS_AT_ONCE),
            pool: Pool::new("crocus-worker", limits.threads),
            sequels: Arena::new(),
            scratch: Box::default(),
            datagram: Box::default(),
            spares: Spares::default(),
            spare_boxes: SpareBoxes::default(),
            limits,
            observer: None,
            stats: Stats::default(),
            report: TurnReport::default(),
            panic: None,
            in_turn: false,
            stop_wanted: false,
            draining: None,
            tearing_down: false,
        })
    }

    /// Turns until the reactor is [stopped](Self::stop), or nothing is left that could ever call
    /// back: no listener, connection, attempt to connect, datagram socket, watched descriptor, timer,
    /// queued call, work in a thread or live [`Handle`](crate::Handle).
    ///
    /// May be called again after it returned. No signal handlers are installed; see the feature
    /// `signals`.
    ///
    /// # Errors
    ///
    /// What the poller says, and `ResourceBusy` inside a callback: the running loop goes on.
    pub fn run(&mut self) -> io::Result<()> {
        self.refuse_nesting()?;
        while self.has_work() {
            if self.turn(None)?.stopped {
                break;
            }
        }
        Ok(())
    }

    /// Turns the loop once: sleeps for at most `max_wait` (`None`: until something happens), and
    /// does what there is to do.
    ///
    /// The order is a promise:
    ///
    /// 1. **sleep** — wait until something is ready or the next timer is due; not at all while
    ///    something is still to be served;
    /// 2. **latch** — note in each source what the events say. No callback runs, nothing is freed;
    /// 3. **timers** — fire the timers that are due by the clock, which was read once after the
    ///    sleep: by deadline, and in the order they were made where deadlines are equal. What is set
    ///    from here on waits for the next turn, with no delay too;
    /// 4. **calls** — run what was given to `call_soon` and `call_from_thread`, as many as were there
    ///    when the phase began;
    /// 5. **serve** — accept, connect and read for each source that is ready, once, within its
    ///    budget; who has more to do goes to the back of the queue. A connection that only its own
    ///    callbacks have written to is flushed as soon as it has been served, or accepted: while its
    ///    bytes are still in the processor's cache, and before the next one takes a descriptor;
    /// 6. **flush** — one write for each other connection that was written to. With a flush come
    ///    `pause_writing`, `resume_writing` and `connection_lost`.
    ///
    /// If the reactor was told to [stop](Self::stop), everybody is told after that.
    ///
    /// # Errors
    ///
    /// What the poller says, and `ResourceBusy` inside a callback: the running turn goes on.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<TurnReport> {
        self.refuse_nesting()?;
        self.begin_turn();
        let slept = self.sleep(max_wait);
        if slept.is_ok() {
            self.latch();
            self.fire_timers();
            self.run_calls();
            self.serve();
            self.flush();
            self.stop_if_wanted();
        }
        let report = self.end_turn();
        self.let_panic_through();
        slept.map(|()| report)
    }

    fn refuse_nesting(&self) -> io::Result<()> {
        if self.in_turn {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the reactor is in a turn already: callbacks cannot turn it",
            ));
        }
        Ok(())
    }

    fn begin_turn(&mut self) {
        self.in_turn = true;
        self.stats.turns += 1;
        self.report = TurnReport { turn: self.stats.turns, ..TurnReport::default() };
        self.observe(|observer, reactor| observer.turn_begin(reactor.stats.turns));
    }

    fn end_turn(&mut self) -> TurnReport {
        self.in_turn = false;
        self.lap = None;
        self.observe(|observer, reactor| observer.turn_end(&reactor.report));
        self.report
    }

    /// Phase 1. The only place where the reactor waits.
    fn sleep(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        let (timeout, began) = if max_wait == Some(Duration::ZERO) || self.has_queued() {
            (Some(Duration::ZERO), None)
        } else {
            // Callbacks took time since this turn's reading: without a fresh one timers would be late.
            let began = self.clock.now();
            (self.time_to_sleep(max_wait, began), Some(began))
        };
        self.observe(|observer, _| observer.sleep_begin(timeout));
        let result = self.poller.wait(timeout);
        self.now = self.clock.now();
        if let Some(limit) = self.limits.slow_callback {
            self.lap = Some(self.now);
            self.slow_from = later(self.now, limit);
        }
        self.report.slept = began.map_or(Duration::ZERO, |began| self.now - began);
        self.observe(|observer, reactor| {
            observer.sleep_end(reactor.report.slept, reactor.poller.event_count());
        });
        result
    }

    fn time_to_sleep(&mut self, max_wait: Option<Duration>, now: Instant) -> Option<Duration> {
        let until = self.timers.settle().map(|deadline| deadline.saturating_duration_since(now));
        until.into_iter().chain(max_wait).min()
    }

    /// Phase 2. Reads the whole batch before anybody is called, so that a token in it cannot reach
    /// the next tenant of a slot that was freed on the way.
    fn latch(&mut self) {
        let Self { poller, sources, run_queue, flush_queue, observer, .. } = self;
        let mut woken = false;
        let events = poller.for_each(|token, readiness| {
            woken |= token == WAKE;
            let source = sources.resolve(token);
            if let Some(observer) = observer
                && token != WAKE
            {
                let subject = source.as_ref().map(|(key, source)| source.subject(*key));
                observer.event(subject, readiness);
            }
            let Some((key, source)) = source else { return };
            let (serve, flush) = source.latch(readiness);
            if serve && !std::mem::replace(source.queued(), true) {
                run_queue.push_back(key);
            }
            if flush && let Source::Connection(connection) = source {
                flush_queue.add(key, connection);
            }
        });
        self.report.events = events;
        self.stats.events += events as u64;
        if woken {
            self.stats.wakes += 1;
            self.observe(|observer, _| observer.woken());
        }
    }

    /// Phase 5. Serves who was in the queue when the phase began, each once.
    fn serve(&mut self) {
        for _ in 0..self.run_queue.len() {
            let Some(key) = self.run_queue.pop_front() else { return };
            let Some(source) = self.sources.get_mut(key) else { continue };
            *source.queued() = false;
            self.report.served += 1;
            match source {
                Source::Connection(connection) => {
                    let waits = connection.touched;
                    self.at_hand(key, waits, |reactor| reactor.serve_connection(key));
                }
                Source::Listener(_) => self.serve_listener(key),
                Source::Connector(_) => self.serve_connector(key),
                Source::Attempt(_) => self.serve_attempt(key),
                Source::Datagram(_) => self.serve_datagrams(key),
                #[cfg(feature = "signals")]
                Source::Signals(_) => self.serve_signals(key),
                #[cfg(unix)]
                Source::Watch(_) => self.serve_watch(key),
            }
        }
    }

    /// Phase 6. Flushes who was in the queue when the phase began, each once.
    fn flush(&mut self) {
        for _ in 0..self.flush_queue.len() {
            let Some(key) = self.flush_queue.next() else { return };
            self.flush_connection(key);
        }
    }

    /// Puts a source at the back of the run queue, unless it is in there.
    fn queue(&mut self, key: Key) {
        if let Some(source) = self.sources.get_mut(key)
            && !std::mem::replace(source.queued(), true)
        {
            self.run_queue.push_back(key);
        }
    }

    /// Whether something can be done without waiting.
    fn has_queued(&self) -> bool {
        !self.run_queue.is_empty()
            || self.flush_queue.len() > 0
            || !self.calls.is_empty()
            || self.stop_wanted
            || self.is_drained()
            || self.shared.is_filled()
    }

    /// Whether anything is left that could ever call back.
    fn has_work(&self) -> bool {
        // First this: who sees that the last handle is gone also sees what was sent through it.
        let held = self.shared.is_held();
        held || self.sources.len() > self.background
            || self.timers.len() > 0
            || self.sequels.len() > 0
            || self.has_queued()
    }
}
