//! The queues: sources that wait to be visited, each at most once in each queue.

use std::mem;

pub(crate) use crate::observe::Queue;
use crate::parts::arena::Key;

/// The queues in which a source waits.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Waits {
    to_run: bool,
    pub(crate) to_flush: bool,
}

impl Waits {
    #[inline]
    fn of(&mut self, queue: Queue) -> &mut bool {
        match queue {
            Queue::Run => &mut self.to_run,
            Queue::Flush => &mut self.to_flush,
        }
    }

    #[inline]
    pub(crate) fn leave(&mut self, queue: Queue) {
        *self.of(queue) = false;
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
        let new = !mem::replace(waits.of(queue), true);
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

    /// Returns the memory of what a phase [took](Self::take).
    pub(crate) fn give_back(&mut self, mut taken: Vec<Key>) {
        taken.clear();
        self.spare = taken;
    }

    pub(crate) fn are_empty(&self) -> bool {
        self.run.is_empty() && self.flush.is_empty()
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
