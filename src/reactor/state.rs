//! The parts of a reactor's state.
//!
//! The larger ones have files of their own.

use std::any::Any;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Reactor;
use super::limits::Limits;
use super::source::Attached;
use crate::connection::{Common, ReadBuffer};
use crate::handle::Shared;
use crate::ids::{ConnectionId, ConnectorId, DatagramId, ListenerId};
use crate::observe::TimerOwner;
use crate::parts::arena::Key;
use crate::parts::call_queue::{CallQueue, give_back};
use crate::parts::clock::{Clock, later};
use crate::parts::timers::TimerId;
use crate::parts::type_map::TypeMap;

/// The size of a buffer that every datagram fits into with a byte to spare: a length has 16 bits.
const LONGEST_DATAGRAM: usize = 1 << 16;

/// The clock, and what was read from it.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) clock: Clock,
    /// The time of this turn. Outside of a turn it is not valid.
    pub(crate) now: Instant,
    pub(crate) in_turn: bool,
    /// Before this, no callback of the turn can have taken too long, since all of them together have
    /// not.
    pub(crate) slow_after: Instant,
    /// The tick of `call_every` that is being called.
    pub(crate) ticking: Option<Ticking>,
}

/// The changes that a tick has made to its own timer, which is neither pending nor gone meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticking {
    pub(crate) timer: TimerId,
    pub(crate) interval: Duration,
    /// When the next tick is to come, unless as the grid says.
    pub(crate) next: Option<Instant>,
}

impl Time {
    pub(crate) fn new(clock: Clock) -> Self {
        let now = clock.now();
        Self { clock, now, in_turn: false, slow_after: now, ticking: None }
    }

    /// The moment so much later than now. Callbacks may have worked since the clock was read for the turn,
    /// so it is read again: a delay counts from when it is asked for.
    #[inline]
    pub(crate) fn after(&self, delay: Duration) -> Instant {
        later(self.clock.now(), delay)
    }

    /// Has turns refused as in a callback, while a protocol is out of its seat: what came would be told to nobody.
    /// Returns whether this is outside of a turn.
    pub(crate) fn refuse_turns(&mut self) -> bool {
        let outside = !mem::replace(&mut self.in_turn, true);
        if outside {
            self.now = self.clock.now();
        }
        outside
    }

    /// Reads the clock for a turn.
    pub(crate) fn read(&mut self, slow_callback: Option<Duration>) {
        self.now = self.clock.now();
        if let Some(limit) = slow_callback {
            self.slow_after = later(self.now, limit);
        }
    }
}

/// The calls that wait for the calls phase.
pub(crate) struct Calls {
    queue: VecDeque<Queued>,
    /// How many calls are in the queue.
    len: usize,
    /// How many calls of the batch that is being run have not begun. It is not in the queue meanwhile.
    rest: usize,
    /// An empty queue with memory for the next calls of other threads.
    spare: Option<Box<CallQueue<Reactor>>>,
    pub(crate) shared: Arc<Shared>,
}

/// An entry of the queue.
pub(crate) enum Queued {
    Own(Call),
    /// Those that other threads had made when a calls phase began.
    OfOthers(Box<CallQueue<Reactor>>),
}

impl Calls {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { queue: VecDeque::new(), len: 0, rest: 0, spare: None, shared }
    }

    pub(crate) fn push(&mut self, call: Call) {
        self.queue.push_back(Queued::Own(call));
        self.len += 1;
    }

    /// Puts the calls of other threads behind the reactor's own; returns how many there are, at most as many as
    /// are wanted.
    ///
    /// In every calls phase, also if enough are there: otherwise calls that make calls for ever would keep those
    /// of other threads waiting for ever.
    pub(crate) fn take_of_others(&mut self, wanted: usize) -> usize {
        self.rest = 0; // it may be more if a callback has replaced this reactor by another
        if self.shared.is_filled() {
            let mut calls = self.spare.take().unwrap_or_default();
            self.shared.swap(&mut calls);
            if calls.len() > 0 {
                self.len += calls.len();
                self.queue.push_back(Queued::OfOthers(calls));
            } else {
                self.spare = Some(calls);
            }
        }
        self.len.min(wanted)
    }

    /// Takes all calls, of other threads too.
    pub(crate) fn take_all(&mut self) -> VecDeque<Queued> {
        self.take_of_others(usize::MAX);
        self.len = 0;
        mem::take(&mut self.queue)
    }

    /// Takes the next call, or those of other threads that are next.
    pub(crate) fn next(&mut self) -> Option<Queued> {
        let next = self.queue.pop_front()?;
        give_back(&mut self.queue);
        self.len -= match &next {
            Queued::Own(_) => 1,
            Queued::OfOthers(calls) => calls.len(),
        };
        Some(next)
    }

    /// Notes how many calls of the batch that is being run have not begun.
    pub(crate) fn set_rest(&mut self, rest: usize) {
        self.rest = rest;
    }

    /// Gets the calls of other threads back. Those that have not run are next.
    pub(crate) fn put_back(&mut self, mut calls: Box<CallQueue<Reactor>>) {
        self.rest = 0;
        if calls.len() > 0 {
            self.len += calls.len();
            self.queue.push_front(Queued::OfOthers(calls));
        } else {
            calls.give_memory_back();
            self.spare = Some(calls);
        }
    }

    /// Whether there is none, of any thread.
    pub(crate) fn are_empty(&self) -> bool {
        self.len + self.rest == 0 && !self.shared.is_filled()
    }
}

/// A part that is made when it is first asked for, and the function by which the loop reaches it: a program that does not
/// ask for it does not link it.
type OnDemand = (Box<dyn Any>, fn(&mut Reactor));

/// Whatever uses threads.
#[derive(Default)]
pub(crate) struct Threads {
    /// The lookups of names. The function takes the answers that have come.
    pub(crate) lookups: Option<OnDemand>,
    /// The user's work. The function drops it, for a stop.
    pub(crate) work: Option<OnDemand>,
}

/// Memory that is reused.
pub(crate) struct Memory {
    /// The buffer for reading.
    buffer: Option<ReadBuffer>,
    /// The buffer for datagrams, which holds the longest.
    datagram: Box<[u8]>,
    pub(crate) common: Common,
    /// Used boxes of sessions.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    pub(crate) attached: Vec<Box<Attached>>,
}

/// How many used boxes of sessions are kept: as many may come and go in one turn.
const SPARE_ATTACHED: usize = 64;

impl Memory {
    pub(crate) fn new(limits: &Limits, clock: &Clock) -> Self {
        let (buffer, datagram, attached) = (None, Box::default(), Vec::new());
        let Limits { closing_times, write_buffer_cap, lent_from, .. } = *limits;
        let common = Common::new(closing_times, write_buffer_cap, lent_from, clock);
        Self { buffer, datagram, common, attached }
    }

    /// Lends the buffer for a phase. It is made when it is first needed.
    pub(crate) fn lend_buffer(&mut self, size: usize) -> ReadBuffer {
        self.common.loan.end(); // that of a callback which has replaced its reactor has not ended
        self.buffer.take().unwrap_or_else(|| ReadBuffer::new(size))
    }

    pub(crate) fn give_back_buffer(&mut self, buffer: ReadBuffer) {
        self.buffer = Some(buffer);
    }

    pub(crate) fn end_turn(&mut self) {
        if let Some(buffer) = &mut self.buffer {
            buffer.end_turn();
        }
    }

    pub(crate) fn give_back_attached(&mut self, mut used: Box<Attached>) {
        if self.attached.len() < SPARE_ATTACHED {
            used.timers.clear();
            #[cfg(feature = "proxy")]
            drop(used.proxy.take());
            self.attached.push(used);
        }
    }

    pub(crate) fn lend_datagram(&mut self) -> Box<[u8]> {
        let lent = mem::take(&mut self.datagram);
        if lent.is_empty() { vec![0; LONGEST_DATAGRAM].into_boxed_slice() } else { lent }
    }

    pub(crate) fn give_back_datagram(&mut self, datagram: Box<[u8]>) {
        self.datagram = datagram;
    }
}

/// State, functions and names of code that builds upon the reactor.
#[derive(Default)]
pub(crate) struct Extension {
    pub(crate) states: TypeMap,
    /// The name of the calls and timers that are made now.
    pub(crate) name: Option<&'static str>,
    pub(crate) on_shutdown: Vec<Call>,
    pub(crate) on_stop: Vec<Call>,
}

/// Whether the reactor is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    No,
    /// `shutdown` waits for the last connection, at most until this timer fires.
    Draining(TimerId),
    /// At the end of this turn.
    Stopping,
    /// The notices of a stop are being given.
    TearingDown,
}

/// Why [`Reactor::run`] returned, or how a reactor that is turned has ended.
///
/// # Examples
///
/// ```
/// use crocus::{Ended, Reactor};
///
/// let mut reactor = Reactor::new()?;
/// reactor.call_soon(|reactor| reactor.stop());
/// reactor.run()?;
/// match reactor.ended() {
///     Some(Ended::Stopped) => println!("stopped: what was left is cut off"),
///     Some(Ended::ShutDown) => println!("everybody was served"),
///     ended => unreachable!("{ended:?}"),
/// }
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// By [`Reactor::stop`], or because the grace of a shutdown was over: what was left has been cut off.
    Stopped,
    /// By [`Reactor::shutdown`]: everything has ended in order.
    ShutDown,
    /// Nothing was left that could call back.
    NothingLeft,
}

/// A function waiting to be called.
pub(crate) type Function = Box<dyn FnOnce(&mut Reactor)>;

/// A function waiting for the calls phase.
pub(crate) struct Call {
    /// The name given by [`Reactor::with_name`].
    pub(crate) name: Option<&'static str>,
    pub(crate) function: Function,
}

/// The action of a timer when it fires.
pub(crate) enum TimerAction {
    /// `call_later`
    Once(Function),
    /// The same, under a name. In a box, for nearly all have none, and each timer has room for the largest.
    Named(Box<Call>),
    /// `call_every`
    Every(Box<Ticker>),
    /// `Transport::call_later`
    Connection(Key),
    /// `DatagramTransport::call_later`
    Datagram(Key),
    /// The deadline of a connection.
    Deadline(Key),
    /// A listener paused while there was no descriptor.
    Accept(Key),
    /// The timeout of an attempt to connect.
    ConnectTimeout(Key),
    /// The end of an address's head start over the next.
    HeadStart(Key),
    /// It is time to connect again.
    Reconnect(Key),
    /// The end of the grace of `shutdown`.
    Shutdown,
}

impl TimerAction {
    /// Its use, as observers are told it.
    pub(crate) fn owner(&self) -> TimerOwner {
        let of_the_user = |name: Option<_>| name.map_or(TimerOwner::Reactor, TimerOwner::Named);
        match *self {
            Self::Once(_) => TimerOwner::Reactor,
            Self::Named(ref call) => of_the_user(call.name),
            Self::Every(ref ticker) => of_the_user(ticker.name),
            Self::Connection(key) => TimerOwner::Connection(ConnectionId(key)),
            Self::Datagram(key) => TimerOwner::Datagram(DatagramId(key)),
            Self::Deadline(key) => TimerOwner::Deadline(ConnectionId(key)),
            Self::Accept(key) => TimerOwner::Accept(ListenerId(key)),
            Self::ConnectTimeout(key) => TimerOwner::ConnectTimeout(ConnectorId(key)),
            Self::HeadStart(key) => TimerOwner::HeadStart(ConnectorId(key)),
            Self::Reconnect(key) => TimerOwner::Reconnect(ConnectorId(key)),
            Self::Shutdown => TimerOwner::Shutdown,
        }
    }
}

type TickFunction = Box<dyn FnMut(&mut Reactor, Tick)>;

pub(crate) struct Ticker {
    /// The name given by [`Reactor::with_name`].
    pub(crate) name: Option<&'static str>,
    pub(crate) interval: Duration,
    pub(crate) function: TickFunction,
    /// Calls the function. A program without such a timer does not link this.
    pub(crate) tick: fn(&mut Reactor, TimerId, Instant, Box<Self>),
}

/// One tick of a timer made by [`Reactor::call_every`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// let clock = simulation.clock();
/// let mut ticks = 0;
/// simulation.reactor().call_every(Duration::from_secs(1), move |reactor, tick| {
///     ticks += 1;
///     match ticks {
///         1 => clock.advance(Duration::from_millis(3500)), // this call takes that long
///         _ => {
///             assert_eq!(tick.missed, 2);
///             reactor.cancel_timer(tick.timer);
///         }
///     }
/// });
/// simulation.reactor().run()?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Tick {
    /// The timer, by which the function can cancel it.
    pub timer: TimerId,
    /// How many ticks were left out since the last one because the loop was late.
    pub missed: u64,
}
