//! Deadlines: the idle timeout, the limits of closing, rates.
//!
//! Besides rates one applies at a time: the timeout, the close timeout, or the end of lingering.

use std::time::{Duration, Instant};

use super::extras::{Direction, Throttle, Timeout};
use super::{Common, Connection, End, Io, Life, Next, ReadBuffer, Tell};
use crate::parts::clock::later;
use crate::parts::token_bucket::{Bucket, Rate};
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// Commands and questions.
impl<S: ByteStream> Connection<S> {
    /// Sets the idle timeout, which counts from now; returns the former.
    pub(crate) fn set_timeout(
        &mut self,
        limit: Option<Duration>,
        now: Instant,
        common: &mut Common,
    ) -> Option<Duration> {
        if !self.is_open() || (limit.is_none() && self.extras.is_none()) {
            return None;
        }
        let timeout = limit.map_or(Timeout::Off, |limit| Timeout::After { limit, since: now });
        match std::mem::replace(&mut self.extras_mut(common).timeout, timeout) {
            Timeout::After { limit, .. } => Some(limit),
            Timeout::Off => None,
        }
    }

    /// Sets the limit of closing. If closing has begun, it counts from now.
    pub(crate) fn set_close_timeout(&mut self, limit: Duration, now: Instant, common: &mut Common) {
        if self.is_gone() {
            return;
        }
        let extras = self.extras_mut(common);
        extras.close_timeout = Some(limit);
        if extras.close_by.is_some() {
            extras.close_by = Some(later(now, limit));
        }
    }

    /// Sets or removes the rate of one direction; returns the former.
    pub(crate) fn set_rate(
        &mut self,
        direction: Direction,
        rate: Option<Rate>,
        now: Instant,
        common: &mut Common,
    ) -> Option<Rate> {
        if self.is_gone() || (rate.is_none() && self.extras.is_none()) {
            return None;
        }
        let throttle = self.extras_mut(common).throttle(direction);
        let former = throttle.as_ref().map(|throttle| throttle.bucket.rate());
        match (throttle.as_mut(), rate) {
            (_, None) => *throttle = None,
            (None, Some(rate)) => {
                *throttle = Some(Throttle { bucket: Bucket::new(rate, now), refilled: None });
            }
            (Some(throttle), Some(rate)) => {
                throttle.bucket.set_rate(rate, now);
                throttle.refilled = None; // to be found out anew
            }
        }
        former
    }

    /// Ends the hold of a rate; returns whether there was one.
    pub(crate) fn forget_rate_hold(&mut self, direction: Direction) -> bool {
        self.held.remove(direction.hold())
    }

    /// When bytes moved last, or the connection was announced.
    pub(crate) fn idle_since(&self, common: &Common) -> Instant {
        let by_turn = self.traffic.active(common);
        let moved = self.extras.as_ref().and_then(|extras| extras.moved);
        moved.map_or(by_turn, |moved| moved.max(by_turn))
    }

    /// Whether it may have a [deadline](Self::deadline).
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.extras.is_some()
    }

    /// When it must be visited, with or without an event. `next` checks the deadlines itself, after it
    /// has read.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let extras = self.extras.as_ref()?;
        let of_life = match self.life {
            Life::New | Life::Open => extras.idle_deadline(),
            Life::Finishing | Life::Ending(End::Closing, _) => extras.close_by,
            Life::Ending(End::Lingering, _) => extras.linger_end(),
            // There is no protocol yet that could be told of silence, for as long as a handshake takes.
            Life::Preparing(_) | Life::HandingOver | Life::Ending(End::Gone, _) => None,
        };
        let refills = [&extras.reading, &extras.writing];
        let refills = refills.into_iter().filter_map(|throttle| throttle.as_ref()?.refilled);
        refills.chain(of_life).chain(self.preparation_deadline()).min()
    }

    /// Whether `TimedOut` is being told.
    pub(super) fn is_telling_timeout(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.telling_timeout)
    }
}

/// Steps of `next`.
impl<S: ByteStream> Connection<S> {
    /// Ends states that are over: the telling of a timeout, and holds by a rate. Notes input that came while
    /// it is not read.
    #[inline]
    pub(super) fn begin_step(&mut self, common: &mut Common, buffer: &ReadBuffer) {
        if self.extras.is_some() {
            self.end_what_is_over(common.now);
            self.begin_filter(common, buffer);
        }
    }

    #[inline(never)]
    fn end_what_is_over(&mut self, now: Instant) {
        let Some(extras) = &mut self.extras else { return };
        extras.telling_timeout = false;
        if std::mem::take(&mut extras.stirred)
            && let Timeout::After { since, .. } = &mut extras.timeout
        {
            *since = now.max(*since);
        }
        for direction in [Direction::Reading, Direction::Writing] {
            if let Some(throttle) = extras.throttle(direction)
                && throttle.refilled.take_if(|at| *at <= now).is_some()
            {
                self.held.remove(direction.hold());
            }
        }
    }

    /// How many of `most` bytes the rate allows now. With none the direction is held until there is a
    /// portion again.
    #[inline]
    pub(super) fn rate_allows(
        &mut self,
        direction: Direction,
        most: usize,
        common: &Common,
    ) -> usize {
        if self.is_straight() { most } else { self.bucket_allows(direction, most, common) }
    }

    #[inline(never)]
    pub(super) fn bucket_allows(
        &mut self,
        direction: Direction,
        most: usize,
        common: &Common,
    ) -> usize {
        let throttle = self.extras.as_mut().and_then(|extras| extras.throttle(direction).as_mut());
        let Some(throttle) = throttle else { return most };
        // By the clock: by the time of the turn, a callback that works before the read earns two bursts.
        let available = throttle.bucket.available(common.latest.get());
        if available == 0 {
            throttle.refilled = Some(later(common.latest.get(), throttle.bucket.time_to_wait()));
            self.held.insert(direction.hold());
        }
        available.min(most)
    }

    /// Handles a deadline that is due, when nothing is left to be read.
    ///
    /// First it asks the stream, once: what the peer has sent or taken may not have been told by an event
    /// yet. Linux tells of room only when a third of its buffer is free.
    #[inline(never)]
    pub(super) fn judge_deadlines(&mut self, io: &mut Io, common: &Common) -> Option<Next> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= common.now);
        let unsent = self.buffered();
        let prepares_for_too_long = due(self.preparation_deadline());
        let extras = self.extras.as_ref()?;
        let is_due = match self.life {
            _ if prepares_for_too_long => true,
            Life::Open => due(extras.idle_deadline()) && !io.timed_out,
            Life::Finishing | Life::Ending(End::Closing, _) => due(extras.close_by),
            Life::Ending(End::Lingering, _) => due(extras.linger_end()),
            _ => false,
        };
        if !is_due {
            return None;
        }
        let reads = self.is_handshaking() || !self.held.are_against_reading();
        if common.more_events && self.is_open() && !reads {
            return Some(Next::Yield); // what has come may be among those events, and cannot be read
        }
        if !io.asked {
            // A flush reads nothing, and in some visits the flush is still to come.
            let may_ask = io.write.is_some()
                && (io.read > 0 || matches!(self.life, Life::Ending(End::Closing, _)));
            return Some(if may_ask { self.ask_the_stream(io) } else { Next::Yield });
        }
        if prepares_for_too_long && let Some(reason) = self.late_preparation() {
            self.end(reason);
            return Some(Next::Gone);
        }
        let extras = self.extras.as_mut()?;
        match self.life {
            Life::Open => {
                io.timed_out = true;
                extras.timeout = Timeout::Off;
                extras.telling_timeout = true;
                Some(Next::Tell(Tell::TimedOut))
            }
            Life::Finishing | Life::Ending(End::Closing, _) => {
                self.end(Reason::CloseTimedOut { unsent });
                Some(Next::Gone)
            }
            _ => Some(self.finish()),
        }
    }

    /// Tries to read, if that is allowed, and to write what is left, though no event invites to it.
    fn ask_the_stream(&mut self, io: &mut Io) -> Next {
        io.asked = true;
        if io.write.is_some_and(|allowance| allowance > 0) {
            self.ready |= Readiness::WRITABLE; // else a write of this visit has asked already
        }
        if self.is_handshaking() || !self.held.are_against_reading() {
            self.ready |= Readiness::READABLE;
        }
        Next::Again
    }

    /// The end of closing, set at the first call, and moved when the peer takes bytes. A connection that
    /// is closed at once never has one.
    pub(super) fn close_limit(&mut self, common: &mut Common) {
        self.limit_close(common.latest.get(), common);
    }

    pub(super) fn limit_close(&mut self, now: Instant, common: &mut Common) {
        let extras = self.extras_mut(common);
        let timeout = extras.close_timeout(common);
        extras.close_by.get_or_insert_with(|| later(now, timeout));
    }

    /// Waits for the peer's FIN, and discards further input.
    pub(super) fn linger(&mut self, common: &mut Common) {
        if let Life::Ending(end, _) = &mut self.life {
            *end = End::Lingering;
        }
        self.linger_on(common);
    }

    /// Sets the end of lingering anew, within the close timeout: input came, or FIN was sent.
    pub(super) fn linger_on(&mut self, common: &mut Common) {
        self.close_limit(common);
        let until = later(common.latest.get(), common.linger());
        self.extras_mut(common).linger_until = Some(until);
    }

    /// Sets the end of lingering to the time of a shutdown, unless it comes before.
    pub(super) fn shorten_linger(&mut self, now: Instant, common: &Common) {
        if let Some(extras) = &mut self.extras
            && let Some(until) = &mut extras.linger_until
        {
            *until = later(now, common.linger()).min(*until);
        }
    }
}
