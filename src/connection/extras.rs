//! The parts that few connections need: deadlines, rates, what was put back, a filter.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::filter::Filter;
use super::{Common, Connection, Holds};
use crate::parts::clock::later;
use crate::parts::outgoing::Spares;
use crate::parts::token_bucket::Bucket;
use crate::parts::write_buffer::WriteBuffer;
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;

/// The parts that few connections need.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(super) timeout: Timeout,
    /// When bytes moved last. [`Traffic`](super::Traffic) knows it only by the turn.
    pub(super) moved: Option<Instant>,
    /// `TimedOut` is being told: a close now has this reason.
    pub(super) telling_timeout: bool,
    /// The reason that was given for closing, which may be the user's. Another may take its place in `life`, where it
    /// must not be the last.
    pub(super) because: Option<Reason>,
    /// Set for this connection.
    pub(super) close_timeout: Option<Duration>,
    /// When the peer must have taken some of the rest; when it has all, when lingering ends at the latest.
    pub(super) close_by: Option<Instant>,
    pub(super) linger_until: Option<Instant>,
    /// Bytes that were discarded since `close`.
    pub(super) discarded: usize,
    /// Input came that is not read, and was not noted as activity yet.
    pub(super) stirred: bool,
    /// The error with which the output broke.
    pub(super) sending_failed: Option<Arc<io::Error>>,
    pub(super) reading: Option<Throttle>,
    pub(super) writing: Option<Throttle>,
    /// Bytes that were put back, to be delivered again.
    pub(super) kept: WriteBuffer,
    /// The error of a hang-up that waits until they are delivered.
    pub(super) hangup_error: Option<io::Error>,
    /// How many they were when they were last delivered again despite the hang-up that is known.
    pub(super) kept_at_hangup: Option<usize>,
    /// TLS, begun or up.
    pub(super) filter: Option<Box<Filter>>,
}

/// An idle timeout: `limit` after bytes moved last, or after `since` if that is later.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Timeout {
    #[default]
    Off,
    After {
        limit: Duration,
        since: Instant,
    },
}

/// A rate of one connection.
#[derive(Debug)]
pub(super) struct Throttle {
    pub(super) bucket: Bucket,
    /// When the bucket has a portion again; set while it is empty.
    pub(super) refilled: Option<Instant>,
}

/// One direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Reading,
    Writing,
}

impl Direction {
    pub(super) fn hold(self) -> Holds {
        match self {
            Self::Reading => Holds::READ_RATE,
            Self::Writing => Holds::WRITE_RATE,
        }
    }
}

impl Extras {
    pub(super) fn clear(&mut self, spares: &mut Spares) {
        self.kept.clear(&mut spares.vectors);
        if let Some(filter) = &mut self.filter {
            filter.wire_mut().clear(spares);
        }
        spares.panics.let_go(self.because.take()); // by itself: the filter's config is the user's too
        spares.panics.let_go(std::mem::take(self));
    }

    /// Whether all there is to them is time, so that bytes go straight in and out.
    #[inline(never)] // most connections have none
    pub(super) fn only_time(&self) -> bool {
        self.filter.is_none()
            && self.kept.is_empty()
            && self.reading.is_none()
            && self.writing.is_none()
    }

    /// Records that bytes came.
    #[inline]
    pub(super) fn note_read(&mut self, count: usize, common: &Common) {
        self.moved = Some(common.latest.get());
        self.pay(Direction::Reading, count);
    }

    /// Records that the peer took bytes: a close timeout that runs counts from here.
    #[inline]
    pub(super) fn note_sent(&mut self, count: usize, common: &Common) {
        self.moved = Some(common.latest.get());
        self.pay(Direction::Writing, count);
        if self.close_by.is_some() {
            self.close_by = Some(later(common.latest.get(), self.close_timeout(common)));
        }
    }

    pub(super) fn forget_close_limit(&mut self) {
        self.close_by = None;
    }

    pub(super) fn close_timeout(&self, common: &Common) -> Duration {
        self.close_timeout.unwrap_or(common.closing_times.close_timeout)
    }

    #[inline]
    fn pay(&mut self, direction: Direction, count: usize) {
        if let Some(throttle) = self.throttle(direction) {
            throttle.bucket.take(count as u64);
        }
    }

    pub(super) fn throttle(&mut self, direction: Direction) -> &mut Option<Throttle> {
        match direction {
            Direction::Reading => &mut self.reading,
            Direction::Writing => &mut self.writing,
        }
    }

    /// The end of lingering, within the close timeout.
    pub(super) fn linger_end(&self) -> Option<Instant> {
        self.linger_until.into_iter().chain(self.close_by).min()
    }

    pub(super) fn idle_deadline(&self) -> Option<Instant> {
        match self.timeout {
            Timeout::After { limit, since } => {
                Some(later(self.moved.map_or(since, |moved| moved.max(since)), limit))
            }
            Timeout::Off => None,
        }
    }
}

impl<S: ByteStream> Connection<S> {
    /// Whether bytes go straight in and out: no filter, no rates, nothing put back.
    #[inline(always)]
    pub(super) fn is_straight(&self) -> bool {
        self.extras.as_ref().is_none_or(|extras| extras.only_time())
    }

    /// The extras, allocated if there are none yet.
    pub(super) fn extras_mut(&mut self, common: &mut Common) -> &mut Extras {
        self.extras.get_or_insert_with(|| common.lend())
    }
}
