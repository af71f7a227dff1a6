//! Bytes per second, of one connection and of all together.
//!
//! A connection asks before it reads or writes, and pays after. Who finds its bucket empty sets one
//! timer and is not served before it fires: nothing is polled, nothing is tried again. Those who find
//! the bucket of all empty wait in line; when it has filled again each in the line gets its share,
//! and whoever comes meanwhile stands behind them.

use std::collections::VecDeque;
use std::mem;

use super::timing::Alarm;
use super::{Reactor, Source};
use crate::arena::Key;
use crate::clock::later;
use crate::connection::{Connection, ConnectionId, Stage, Throttle, Wait};
use crate::timers::TimerId;
use crate::token_bucket::{Bucket, Rate};

/// The least that one of many gets of what all have together. With less the system calls would cost
/// more than the bytes; with thousands waiting it takes several fillings to serve all.
const LEAST_SHARE: usize = 512;

/// Which of a connection's two streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Reading,
    Writing,
}

impl Direction {
    const BOTH: [Self; 2] = [Self::Reading, Self::Writing];
}

/// What all connections together may read and write.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Whether there is any such limit.
    set: bool,
    reading: Option<Box<Total>>,
    writing: Option<Box<Total>>,
}

#[derive(Debug)]
struct Total {
    bucket: Bucket,
    /// Those who wait, in the order they came; some may be gone.
    line: VecDeque<Key>,
    /// How many of them are not gone.
    waiting: usize,
    /// Set while somebody waits.
    timer: Option<TimerId>,
    /// What each gets at once.
    share: usize,
}

impl Totals {
    pub(super) fn are_set(&self) -> bool {
        self.set
    }

    fn of(&mut self, direction: Direction) -> &mut Option<Box<Total>> {
        match direction {
            Direction::Reading => &mut self.reading,
            Direction::Writing => &mut self.writing,
        }
    }
}

impl Reactor {
    /// How many bytes per second all connections together may read; `None`: as many as they can.
    /// Returns the former setting.
    ///
    /// Those who wait for their turn are served in the order they came, each with an equal share of
    /// what is there. Beside this each connection may have
    /// [a rate of its own](crate::Transport::set_read_rate), which says what throttling means, and
    /// what it does not.
    ///
    /// Twisted's `ThrottlingFactory`, without a factory.
    pub fn set_read_rate(&mut self, rate: Option<Rate>) -> Option<Rate> {
        self.set_total(Direction::Reading, rate)
    }

    /// How many bytes per second all connections together may write. See
    /// [`set_read_rate`](Self::set_read_rate).
    pub fn set_write_rate(&mut self, rate: Option<Rate>) -> Option<Rate> {
        self.set_total(Direction::Writing, rate)
    }

    fn set_total(&mut self, direction: Direction, rate: Option<Rate>) -> Option<Rate> {
        let now = self.now();
        let total = rate.map(|rate| {
            let (bucket, line) = (Bucket::new(rate, now), VecDeque::new());
            Box::new(Total { bucket, line, waiting: 0, timer: None, share: usize::MAX })
        });
        let before = mem::replace(self.totals.of(direction), total);
        self.totals.set = self.totals.reading.is_some() || self.totals.writing.is_some();
        let Total { bucket, line, timer, .. } = *before?;
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
        self.release(direction, line);
        Some(bucket.rate())
    }

    /// Gives a connection a rate of its own, or none; returns the former.
    pub(crate) fn set_rate(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        rate: Option<Rate>,
    ) -> Option<Rate> {
        let now = self.now();
        let connection = self.connection_mut(id.0).filter(|found| found.stage != Stage::Gone)?;
        if rate.is_none() && !connection.is_throttled() {
            return None;
        }
        let throttle = self.rare(id.0)?.throttle(direction);
        let bucket = rate.map(|rate| Bucket::new(rate, now));
        let before = mem::replace(throttle, Throttle { bucket, timer: None });
        if let Some(timer) = before.timer {
            self.timers.cancel(timer);
            self.go_on(id.0, direction);
        }
        before.bucket.map(|bucket| bucket.rate())
    }

    /// How many bytes a connection may read or write now, within its budget. With none it waits, and
    /// will be served again.
    pub(super) fn allowance(&mut self, key: Key, direction: Direction, budget: usize) -> usize {
        let Self { sources, totals, now, .. } = self;
        let Some(Source::Connection(connection)) = sources.get_mut(key) else { return 0 };
        if *connection.wait(direction) != Wait::Nobody {
            return 0;
        }
        let own = connection.bucket(direction).map_or(usize::MAX, |bucket| bucket.available(*now));
        if own == 0 {
            self.wait_for_its_own(key, direction);
            return 0;
        }
        let Some(total) = totals.of(direction) else { return own.min(budget) };
        // Who comes while others wait goes behind them.
        let available = match total.waiting {
            0 => total.bucket.available_from(LEAST_SHARE as u64, *now),
            _ => 0,
        };
        if available == 0 {
            self.stand_in_line(key, direction);
            return 0;
        }
        if total.bucket.is_full() {
            total.share = usize::MAX;
        }
        own.min(available).min(total.share).min(budget)
    }

    /// Takes what was read or written out of the buckets.
    pub(super) fn pay(&mut self, key: Key, direction: Direction, bytes: u64) {
        if let Some(bucket) = self.connection_mut(key).and_then(|found| found.bucket(direction)) {
            bucket.take(bytes);
        }
        if let Some(total) = self.totals.of(direction) {
            total.bucket.take(bytes);
        }
    }

    fn wait_for_its_own(&mut self, key: Key, direction: Direction) {
        let now = self.now;
        let Some(connection) = self.connection_mut(key) else { return };
        let Some(bucket) = connection.bucket(direction) else { return };
        let deadline = later(now, bucket.time_to_wait());
        let timer = self.timers.insert(deadline, Alarm::Refilled(key, direction));
        if let Some(connection) = self.connection_mut(key)
            && let Some(rare) = &mut connection.rare
        {
            rare.throttle(direction).timer = Some(timer);
            *connection.wait(direction) = Wait::Own;
        }
    }

    fn stand_in_line(&mut self, key: Key, direction: Direction) {
        let Self { sources, totals, timers, now, .. } = self;
        let Some(Source::Connection(connection)) = sources.get_mut(key) else { return };
        let Some(total) = totals.of(direction) else { return };
        *connection.wait(direction) = Wait::Line;
        total.line.push_back(key);
        total.waiting += 1;
        total.timer.get_or_insert_with(|| {
            timers.insert(later(*now, total.bucket.time_to_wait()), Alarm::TotalRefilled(direction))
        });
    }

    /// There is something in a connection's own bucket again.
    pub(super) fn refilled(&mut self, key: Key, direction: Direction) {
        let Some(connection) = self.connection_mut(key) else { return };
        if let Some(rare) = &mut connection.rare {
            rare.throttle(direction).timer = None;
        }
        self.go_on(key, direction);
    }

    /// There is something for all again: those in the line share it.
    pub(super) fn total_refilled(&mut self, direction: Direction) {
        let now = self.now;
        let Some(total) = self.totals.of(direction) else { return };
        total.timer = None;
        total.share = (total.bucket.available(now) / total.waiting.max(1)).max(LEAST_SHARE);
        total.waiting = 0;
        let line = mem::take(&mut total.line);
        self.release(direction, line);
    }

    fn release(&mut self, direction: Direction, line: VecDeque<Key>) {
        for key in line {
            self.go_on(key, direction);
        }
    }

    fn go_on(&mut self, key: Key, direction: Direction) {
        let Some(connection) = self.connection_mut(key) else { return };
        *connection.wait(direction) = Wait::Nobody;
        match direction {
            Direction::Reading if connection.can_read() => self.queue(key),
            Direction::Reading => {}
            Direction::Writing => self.touch(key),
        }
    }

    /// A connection ends, and waits for nothing any more.
    pub(super) fn stop_waiting(&mut self, key: Key) {
        for direction in Direction::BOTH {
            let Some(connection) = self.connection_mut(key) else { return };
            match mem::take(connection.wait(direction)) {
                Wait::Nobody => {}
                Wait::Own => {
                    let rare = connection.rare.as_mut();
                    if let Some(timer) = rare.and_then(|rare| rare.throttle(direction).timer.take())
                    {
                        self.timers.cancel(timer);
                    }
                }
                Wait::Line => self.leave_line(direction),
            }
        }
    }

    fn leave_line(&mut self, direction: Direction) {
        let Some(total) = self.totals.of(direction) else { return };
        total.waiting -= 1;
        if total.waiting == 0 {
            total.line.clear();
            if let Some(timer) = total.timer.take() {
                self.timers.cancel(timer);
            }
        }
    }

    /// What a connection may read now, within its budget. What is thrown away, and what was paid for
    /// and is handed over, is free.
    pub(super) fn read_allowance(&mut self, key: Key) -> usize {
        let budget = self.limits.read_budget;
        let reads = |found: &mut Connection| found.stage == Stage::Open && found.wants_input();
        if !self.connection_mut(key).is_some_and(reads) {
            return budget;
        }
        match self.allowance(key, Direction::Reading, budget) {
            0 => budget, // it waits and is not read, but a new protocol may take over
            allowed => allowed,
        }
    }
}
