//! The values a connection is asked and answered with.

use std::ops::BitOr;
use std::time::{Duration, Instant};

use super::timing::Extras;
use crate::parts::write_buffer::Spares;

/// What to do now, as [`next`](super::Connection::next) says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Tell the protocol, and ask again.
    Tell(Notice),
    /// Ask again.
    Again,
    /// There is more to do, and an allowance is spent: ask again in another visit.
    Yield,
    /// There is nothing to do before the next event, command or deadline.
    Rest,
    /// It is over, for this [`reason`](super::Connection::reason).
    Gone,
}

/// What a protocol is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    Made,
    /// So many bytes came. They are at the beginning of the scratch buffer.
    Data(usize),
    Eof,
    Pause,
    Resume,
    TimedOut,
    /// Another protocol takes over, and this is its `Made`.
    Handover,
}

/// One visit: what it may do, what it did, and what a decision needs from outside.
#[derive(Debug)]
pub(crate) struct Io {
    /// The time of the turn.
    pub(crate) now: Instant,
    /// How many bytes may still be read or delivered.
    pub(crate) read: usize,
    /// How many bytes may still be written, in one system call: none after it. `None`: what was written
    /// waits for another visit.
    pub(crate) write: Option<usize>,
    /// Whether this is the first visit, so that the poller has not told of anything yet.
    pub(crate) fresh: bool,
    /// Whether `TimedOut` was told in this visit. A new timeout, however short, is for another.
    pub(crate) timed_out: bool,
    /// How many bytes were read, since somebody last took this.
    pub(crate) received: usize,
    /// How many bytes were sent in this visit.
    pub(crate) sent: usize,
}

/// How long closing may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first moment after `close` in which not everything could be sent: for all of closing. A
    /// connection may have one of its own.
    pub(crate) close_timeout: Duration,
    /// For waiting for the peer's FIN, since everything was handed to the kernel or something came last.
    pub(crate) linger: Duration,
}

/// Reasons not to read, and one not to write.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Holds(u8);

impl Holds {
    /// By `pause_reading`.
    pub(crate) const PROTOCOL: Self = Self(1);
    /// By the default `pause_writing`: a peer that does not read is not read either.
    pub(crate) const PRESSURE: Self = Self(2);
    /// Its bucket for reading is empty.
    pub(super) const READ_RATE: Self = Self(4);
    /// Bytes were put back in this visit.
    pub(super) const UNREAD: Self = Self(8);
    /// Its bucket for writing is empty. The only one that is against writing.
    pub(super) const WRITE_RATE: Self = Self(16);

    pub(super) fn are_against_reading(self) -> bool {
        self.intersects(Self::READ_RATE) || self.are_against_delivering()
    }

    /// Bytes that were read already have been paid for, so a rate is none of these.
    pub(super) fn are_against_delivering(self) -> bool {
        self.intersects(Self::PROTOCOL | Self::PRESSURE | Self::UNREAD)
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Takes it out; returns whether it was in.
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

/// What all connections of a reactor have in common: their patience, and memory that is used again. With
/// it a connection that comes, lingers and goes costs no allocation.
#[derive(Debug)]
pub(crate) struct Common {
    pub(super) patience: Patience,
    pub(super) spares: Spares,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    extras: Vec<Box<Extras>>,
}

impl Common {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, spares: Spares::default(), extras: Vec::new() }
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
