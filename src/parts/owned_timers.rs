//! The timers of one owner, to be cancelled together.
//!
//! A list of names. A timer that fires or is cancelled stays in it as a stale name, for to search it would
//! take a step for each other timer. The list is swept when more than half of it is stale, so each timer
//! costs a bounded number of steps, and an owner without timers has no memory for them.

use crate::parts::timers::TimerId;

/// A shorter list is not worth sweeping.
const SWEEP_FROM: usize = 16;

/// The timers of one owner.
#[derive(Debug, Default)]
pub(crate) struct OwnedTimers {
    ids: Vec<TimerId>,
    /// How many of them are pending.
    pending: usize,
}

impl OwnedTimers {
    pub(crate) fn add(&mut self, timer: TimerId) {
        self.ids.push(timer);
        self.pending += 1;
    }

    /// Records that one of them has fired or was cancelled; `is_pending` tells of any of them.
    pub(crate) fn one_is_over(&mut self, is_pending: impl Fn(TimerId) -> bool) {
        self.pending = self.pending.saturating_sub(1);
        if self.ids.len() >= SWEEP_FROM && self.ids.len() > 2 * self.pending {
            self.ids.retain(|&timer| is_pending(timer));
            self.ids.shrink_to((2 * self.ids.len()).max(SWEEP_FROM));
        }
    }

    /// Takes all of them out; some may be stale. Memory for a few is kept for the next owner.
    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, TimerId> {
        self.pending = 0;
        self.ids.drain(..)
    }

    pub(crate) fn clear(&mut self) {
        drop(self.drain());
        self.ids.shrink_to(SWEEP_FROM);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use super::*;
    use crate::parts::timers::Timers;

    #[test]
    fn each_timer_costs_a_bounded_number_of_steps() {
        const MANY: usize = 10_000;
        let mut timers = Timers::new();
        let mut owned = OwnedTimers::default();
        let set: Vec<TimerId> = (0..MANY).map(|_| timers.insert(Instant::now(), ())).collect();
        set.iter().for_each(|&timer| owned.add(timer));
        let steps = Cell::new(0);
        for &timer in &set {
            timers.cancel(timer);
            owned.one_is_over(|timer| {
                steps.set(steps.get() + 1);
                timers.deadline(timer).is_some()
            });
        }
        assert!(steps.get() <= 3 * MANY, "{} steps", steps.get());
        assert!(owned.ids.capacity() <= 2 * SWEEP_FROM, "{}", owned.ids.capacity());
    }

    #[test]
    fn all_that_are_pending_are_taken_out() {
        let mut timers = Timers::new();
        let mut owned = OwnedTimers::default();
        let set: Vec<TimerId> = (0..100).map(|_| timers.insert(Instant::now(), ())).collect();
        set.iter().for_each(|&timer| owned.add(timer));
        for &timer in
            set.iter().filter(|timer| set.iter().position(|t| t == *timer).unwrap() % 3 > 0)
        {
            timers.cancel(timer);
            owned.one_is_over(|timer| timers.deadline(timer).is_some());
        }
        for timer in owned.drain() {
            timers.cancel(timer);
        }
        assert_eq!(timers.len(), 0);
        assert_eq!(owned.drain().count(), 0);
    }
}
