//! The arguments and results of a connection.

use std::any::Any;
use std::ops::BitOr;
use std::time::{Duration, Instant};

use super::extras::Extras;
use super::lent::Loan;
use crate::parts::clock::{Clock, Latest};
use crate::parts::outgoing::Spares;
use crate::parts::panics::Panics;

/// The result of [`next`](super::Connection::next): what to do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Tell the protocol, and call `next` again.
    Tell(Tell),
    /// Call `next` again.
    Again,
    /// There is more to do, and an allowance is spent: call `next` again in another visit.
    Yield,
    /// There is nothing to do before the next event, command or deadline.
    Rest,
    /// Its preparation is over: have its protocol made, and call `next` again.
    Prepared,
    /// The connection has ended, for this [`reason`](super::Connection::reason).
    Gone,
}

/// A call to a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tell {
    Made,
    /// Bytes came: those that the read buffer [tells](super::ReadBuffer::told).
    Data,
    Eof,
    Pause,
    Resume,
    TimedOut,
    /// The reactor shuts down: finish, and close.
    ShuttingDown,
    /// Another protocol takes over, and this is its `Made`.
    Handover,
}

/// Which of the notices that come once the present protocol has had; `life` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    Nothing,
    Made,
    OfShutdown,
}

/// One side of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Us,
    Peer,
}

/// The stages that a connection has reached, for observers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reached {
    pub(crate) fin_received: bool,
    pub(crate) fin_sent: bool,
    #[cfg(feature = "tls")]
    pub(crate) encrypted: bool,
    pub(crate) closing: bool,
    pub(crate) lingering: bool,
}

/// One visit: its allowances, its results, and the facts of its own that decisions need.
#[derive(Debug)]
pub(crate) struct Io {
    /// How many bytes may still be read or delivered.
    pub(crate) read: usize,
    /// As many as `read` was when `Resume` has put the input off to another visit.
    pub(crate) put_off: usize,
    /// How many bytes may still be written, in one step: none after it. `None`: the output waits for another visit.
    pub(crate) write: Option<usize>,
    /// Whether this visit reads: it comes from the run queue.
    pub(crate) serves: bool,
    /// Whether this is the first visit, so that the poller has reported nothing yet.
    pub(crate) fresh: bool,
    /// Whether `TimedOut` was told in this visit. A new timeout, however short, fires in another.
    pub(crate) timed_out: bool,
    /// Whether the stream was asked in this visit what it has and takes, because a deadline is due.
    pub(crate) asked: bool,
    /// How many bytes were sent in this visit.
    pub(crate) sent: usize,
}

/// How long closing may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosingTimes {
    /// For sending the rest, from the first time after `close` that not everything could be sent, and
    /// again from each time that the peer took some of it. From the end of sending, for waiting for the
    /// peer's FIN. A connection may have its own.
    pub(crate) close_timeout: Duration,
    /// For waiting for the peer's FIN, from the end of sending or the last input.
    pub(crate) linger: Duration,
    /// The same while the reactor shuts down, if it is less.
    pub(crate) shutdown_linger: Duration,
}

/// Reasons not to read, and one not to write.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Holds(u8);

impl Holds {
    /// Set by `pause_reading`.
    pub(crate) const PROTOCOL: Self = Self(1);
    /// Set by the default `pause_writing`: while the peer does not read, it is not read either.
    pub(crate) const PRESSURE: Self = Self(2);
    /// Its bucket for reading is empty.
    pub(super) const READ_RATE: Self = Self(4);
    /// Bytes were put back in this visit.
    pub(super) const UNREAD: Self = Self(8);
    /// Its bucket for writing is empty. The only hold on writing.
    pub(super) const WRITE_RATE: Self = Self(16);

    pub(super) fn are_against_reading(self) -> bool {
        self.intersects(Self::READ_RATE) || self.are_against_delivering()
    }

    /// Bytes that were read already have been charged to the rate, so it does not hold them.
    pub(super) fn are_against_delivering(self) -> bool {
        self.intersects(Self::PROTOCOL | Self::PRESSURE | Self::UNREAD)
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Removes it; returns whether it was set.
    pub(super) fn remove(&mut self, other: Self) -> bool {
        let was_in = self.intersects(other);
        self.0 &= !other.0;
        was_in
    }
}

impl BitOr for Holds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The bytes that a connection has moved.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Traffic {
    pub(crate) read: u64,
    pub(crate) written: u64,
    /// When any moved last, or the connection was announced: the turn, in nanoseconds since the reactor was made.
    active: u64,
}

/// The bytes that all connections of a reactor have moved.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Moved {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

impl Traffic {
    #[inline(always)]
    pub(super) fn note_announced(&mut self, common: &Common) {
        self.active = common.turn;
    }

    #[inline(always)]
    pub(super) fn note_read(&mut self, count: usize, common: &mut Common) {
        self.read += count as u64;
        common.moved.read += count as u64;
        self.active = common.turn;
    }

    /// Notes bytes that the kernel has taken, at least one.
    #[inline(always)]
    pub(super) fn note_written(&mut self, count: usize, common: &mut Common) {
        self.written += count as u64;
        common.moved.written += count as u64;
        self.active = common.turn;
    }

    /// Whether nothing was read yet.
    pub(crate) fn is_unread(self) -> bool {
        self.read == 0
    }

    pub(super) fn active(self, common: &Common) -> Instant {
        common.began + Duration::from_nanos(self.active)
    }
}

/// High and low water marks of the outgoing buffer, in bytes. Kept small: every connection has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Marks {
    high: u32,
    low: u32,
}

impl Marks {
    /// A `low` above `high` is taken for `high`, and a mark above 4 GiB for 4 GiB.
    pub(crate) fn new(high: usize, low: usize) -> Self {
        let small = |mark| u32::try_from(mark).unwrap_or(u32::MAX);
        Self { high: small(high), low: small(low.min(high)) }
    }

    pub(crate) fn high(self) -> usize {
        self.high as usize
    }

    pub(crate) fn low(self) -> usize {
        self.low as usize
    }
}

/// How many used boxes are kept: as many connections may come and go in one turn.
const SPARE_EXTRAS: usize = 64;

/// Shared by all connections of a reactor: limits, the times of the turn, and memory for reuse, so that a connection
/// that comes, lingers and goes costs no allocation.
#[derive(Debug)]
pub(crate) struct Common {
    /// In a box, since a loan moves all that is not.
    pub(super) closing_times: Box<ClosingTimes>,
    /// The hard cap of an outgoing buffer.
    pub(super) cap: usize,
    /// When the reactor was made.
    began: Instant,
    /// The time of the turn, which the poll does not come after: deadlines are judged by it.
    pub(super) now: Instant,
    /// The same in nanoseconds since the reactor was made: they take half the room of an `Instant` and last for centuries.
    turn: u64,
    /// The time after the last callback: what happens in a step is as late as this, and deadlines count from it.
    pub(crate) latest: Latest,
    /// Whether the poller may have more to tell of this turn.
    pub(crate) more_events: bool,
    /// The bytes that all connections have moved.
    pub(crate) moved: Moved,
    /// Whether the reactor shuts down, so that each protocol is to be told.
    pub(crate) shutting_down: bool,
    pub(super) spares: Spares,
    /// The bytes that a protocol is being told.
    pub(crate) loan: Loan,
    /// The bytes read last from a connection with a filter, or from a file.
    pub(super) wire: Vec<u8>,
    /// The panic that has just ended a connection, outside a callback.
    pub(crate) panic: Option<Box<dyn Any + Send>>,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    extras: Vec<Box<Extras>>,
}

impl Common {
    pub(crate) fn new(
        closing_times: ClosingTimes,
        cap: usize,
        lent_from: usize,
        clock: &Clock,
    ) -> Self {
        let began = clock.now();
        let (spares, wire, extras) = (Spares::default(), Vec::new(), Vec::new());
        let (shutting_down, loan, panic) = (false, Loan::none(lent_from), None);
        let (turn, more_events, moved) = (0, false, Moved::default());
        Self {
            closing_times: Box::new(closing_times),
            cap,
            began,
            now: began,
            turn,
            latest: Latest::new(clock.clone()),
            more_events,
            moved,
            shutting_down,
            spares,
            loan,
            wire,
            panic,
            extras,
        }
    }

    /// Notes the time of a turn.
    pub(crate) fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.turn = self.nanoseconds(now);
    }

    /// The panics of values that a connection has dropped.
    #[inline]
    pub(crate) fn panics(&mut self) -> &mut Panics {
        &mut self.spares.panics
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_nanos() as u64
    }

    /// How long to wait for the peer's FIN.
    pub(super) fn linger(&self) -> Duration {
        let ClosingTimes { linger, shutdown_linger, .. } = *self.closing_times;
        if self.shutting_down { linger.min(shutdown_linger) } else { linger }
    }

    pub(super) fn lend(&mut self) -> Box<Extras> {
        self.extras.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, mut used: Box<Extras>) {
        used.clear(&mut self.spares);
        if self.extras.len() < SPARE_EXTRAS {
            self.extras.push(used);
        }
    }
}
