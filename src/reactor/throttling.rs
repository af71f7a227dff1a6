//! Bytes per second of one connection.
//!
//! A connection asks before it reads or writes, and pays after. One that finds its bucket empty sets
//! one timer and is not served before it fires: nothing is polled, nothing is tried again.

use std::mem;

use super::Reactor;
use super::timing::Alarm;
use crate::arena::Key;
use crate::clock::later;
use crate::connection::{Connection, ConnectionId, Stage, Throttle, Wait};
use crate::token_bucket::{Bucket, Rate};

/// Which of a connection's two streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Reading,
    Writing,
}

impl Direction {
    const BOTH: [Self; 2] = [Self::Reading, Self::Writing];
}

impl Reactor {
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
        let now = self.now;
        let Some(connection) = self.connection_mut(key) else { return 0 };
        if *connection.wait(direction) != Wait::Nobody {
            return 0;
        }
        let own = connection.bucket(direction).map_or(usize::MAX, |bucket| bucket.available(now));
        if own == 0 {
            self.wait_for_its_own(key, direction);
        }
        own.min(budget)
    }

    /// Takes what was read or written out of the bucket.
    pub(super) fn pay(&mut self, key: Key, direction: Direction, bytes: u64) {
        if let Some(bucket) = self.connection_mut(key).and_then(|found| found.bucket(direction)) {
            bucket.take(bytes);
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

    /// There is something in a connection's own bucket again.
    pub(super) fn refilled(&mut self, key: Key, direction: Direction) {
        let Some(connection) = self.connection_mut(key) else { return };
        if let Some(rare) = &mut connection.rare {
            rare.throttle(direction).timer = None;
        }
        self.go_on(key, direction);
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
