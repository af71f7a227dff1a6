//! The queues: sources that wait to be visited, each at most once in each queue.

use std::mem;

pub(crate) use crate::observe::Queue;
use crate::parts::arena::Key;
use crate::parts::surplus::surplus;

/// The queues in which a source waits, and what it has sent in a turn. Kept small: every source has it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Waits {
    /// A bit for each [`Queue`].
    queues: u8,
    /// The last turn in which it was served and sent something. If 256 turns later this is taken for the
    /// same, the next flush sends less, and the rest comes a turn later.
    turn: u8,
    /// How much that was, in [parts](part) of the budget.
    sent: u8,
}

/// A budget is told in 128 parts or fewer. Their number is a power of two: so this is a shift, and no multiplication.
fn part(budget: usize) -> usize {
    budget / 128 + 1
}

impl Waits {
    /// Records that it waits in a queue; `false` if it does already.
    #[inline]
    fn enter(&mut self, queue: Queue) -> bool {
        let enters = self.queues & queue.bit() == 0;
        self.queues |= queue.bit();
        enters
    }

    #[inline]
    pub(crate) fn leave(&mut self, queue: Queue) {
        self.queues &= !queue.bit();
    }

    #[inline]
    pub(crate) fn is_to_flush(self) -> bool {
        self.queues & Queue::Flush.bit() != 0
    }

    /// Records how much of its budget it has sent in a turn.
    #[inline]
    pub(crate) fn note_sent(&mut self, count: usize, budget: usize, turn: u64) {
        if count > 0 {
            self.turn = turn as u8;
            let part = part(budget);
            self.sent = match count <= part {
                true => 1, // mostly: to divide takes long
                false => u8::try_from(count.div_ceil(part)).unwrap_or(u8::MAX),
            };
        }
    }

    /// How much of its budget is left in a turn; rounded down, by a part of 128.
    #[inline]
    pub(crate) fn budget_left(self, budget: usize, turn: u64) -> usize {
        if self.turn != turn as u8 {
            return budget;
        }
        budget.saturating_sub(usize::from(self.sent) * part(budget))
    }
}

impl Queue {
    fn bit(self) -> u8 {
        match self {
            Self::Run => 1,
            Self::Flush => 2,
        }
    }
}

/// Sources that wait.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// Makes serving fair: a source with more to do goes to the back. No event would repeat its
    /// readiness.
    run: Vec<Key>,
    flush: Vec<Key>,
    /// The memory of a queue that a phase has finished.
    spare: Vec<Key>,
    /// The connection that is being visited. A command does not queue it: the visit goes on.
    pub(crate) visited: Option<Key>,
    /// Listeners that wait for a descriptor to be freed.
    pub(crate) without_descriptor: Vec<Key>,
}

impl Queues {
    /// Adds a source to a queue: for this turn, if the phase that empties the queue has not begun. Returns
    /// whether it was not in it yet.
    #[inline]
    pub(crate) fn add(&mut self, queue: Queue, key: Key, waits: &mut Waits) -> bool {
        let new = waits.enter(queue);
        if new {
            self.of(queue).push(key);
        }
        new
    }

    /// Takes all sources out of a queue. A source that is added from here on waits for the next turn.
    pub(crate) fn take(&mut self, queue: Queue) -> Vec<Key> {
        let empty = mem::take(&mut self.spare);
        mem::replace(self.of(queue), empty)
    }

    /// Returns the memory of what a phase [took](Self::take), or most of it after a peak.
    pub(crate) fn give_back(&mut self, mut taken: Vec<Key>) {
        let room = surplus(taken.len(), taken.capacity());
        taken.clear();
        if let Some(room) = room {
            taken.shrink_to(room);
        }
        self.spare = taken;
    }

    pub(crate) fn are_empty(&self) -> bool {
        self.is_empty(Queue::Run) && self.is_empty(Queue::Flush)
    }

    pub(crate) fn is_empty(&self, queue: Queue) -> bool {
        match queue {
            Queue::Run => self.run.is_empty(),
            Queue::Flush => self.flush.is_empty(),
        }
    }

    /// Removes the sources that are gone.
    pub(crate) fn retain(&mut self, is_there: impl Fn(Key) -> bool) {
        for queue in [&mut self.run, &mut self.flush] {
            queue.retain(|&key| is_there(key));
        }
    }

    #[inline]
    fn of(&mut self, queue: Queue) -> &mut Vec<Key> {
        match queue {
            Queue::Run => &mut self.run,
            Queue::Flush => &mut self.flush,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_in_a_turn_is_taken_off_its_budget() {
        for budget in [1, 2, 100, 255, 256, 1000, 256 * 1024, 100 << 20] {
            for sent in [1, budget / 3, budget - 1, budget] {
                let mut waits = Waits::default();
                waits.note_sent(sent, budget, 7);
                let left = waits.budget_left(budget, 7);
                assert!(left + sent <= budget, "{left} after {sent} of {budget}");
                assert!(left + sent + part(budget) > budget, "{left} after {sent} of {budget}");
                assert_eq!(waits.budget_left(budget, 8), budget);
            }
        }
    }
}
