//! The timers of `beside-timers`, for the servers whose library has none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::{Duration, Instant};

use crate::service::{TICK_INTERVAL, first_tick};

/// A heap of deadlines, the next one first, each with the index of its timer.
#[derive(Default)]
pub struct Ticking(BinaryHeap<Reverse<(Instant, u64)>>);

impl Ticking {
    pub fn new(count: u64) -> Self {
        let now = Instant::now();
        Self((0..count).map(|index| Reverse((now + first_tick(index), index))).collect())
    }

    /// Fires those that are due, and says how long it is until the next one is.
    pub fn fire(&mut self) -> Option<Duration> {
        self.0.peek()?;
        let now = Instant::now();
        while let Some(mut next) = self.0.peek_mut() {
            let Reverse((due, _)) = &mut *next;
            if *due > now {
                return Some(*due - now);
            }
            *due = now + TICK_INTERVAL;
            drop::<PeekMut<'_, _>>(next); // which moves it to its place
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_timer_is_armed_again_and_none_is_lost() {
        let mut none = Ticking::default();
        assert_eq!(none.fire(), None);
        let (past, soon) = (Instant::now(), Instant::now() + TICK_INTERVAL / 2);
        let mut timers = Ticking([(past, 0), (soon, 1), (past, 2)].map(Reverse).into());
        let wait = timers.fire().unwrap();
        assert!(wait <= TICK_INTERVAL / 2, "{wait:?}");
        let order: Vec<_> = std::iter::from_fn(|| timers.0.pop()).map(|Reverse(it)| it.1).collect();
        assert_eq!(order[0], 1);
        assert_eq!(order.len(), 3);
    }
}
