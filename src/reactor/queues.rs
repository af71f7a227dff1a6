//! The queues: sources that wait to be visited, each at most once in each queue.

use std::mem;

use super::source::{Slot, Sources};
use crate::parts::arena::Key;

/// Sources that wait.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// To be served: the fairness device, and the repair for readiness that is told only once.
    run: Vec<Key>,
    /// To be flushed: others have written to them, or given them a command.
    flush: Vec<Key>,
    /// The memory of a queue that a phase has gone through.
    spare: Vec<Key>,
    /// The connection that is being visited. After a command it needs no queue: the visit goes on.
    pub(crate) visited: Option<Key>,
    /// Listeners that wait for a descriptor to be freed.
    pub(crate) starved: Vec<Key>,
}

impl Queues {
    /// Queues a source to be served: in this turn if its serve phase has not begun.
    #[inline]
    pub(crate) fn run(&mut self, key: Key, slot: &mut Slot) {
        if !mem::replace(&mut slot.queued, true) {
            self.run.push(key);
        }
    }

    /// Queues a connection to be flushed: in this turn if its flush phase has not begun.
    #[inline]
    pub(crate) fn flush(&mut self, key: Key, slot: &mut Slot) {
        if !mem::replace(&mut slot.flushing, true) {
            self.flush.push(key);
        }
    }

    /// All that are to be served. What is queued from here on is for the next turn.
    pub(crate) fn take_run(&mut self) -> Vec<Key> {
        mem::replace(&mut self.run, mem::take(&mut self.spare))
    }

    /// All that are to be flushed.
    pub(crate) fn take_flush(&mut self) -> Vec<Key> {
        mem::replace(&mut self.flush, mem::take(&mut self.spare))
    }

    /// A phase has gone through its queue.
    pub(crate) fn give_back(&mut self, mut queue: Vec<Key>) {
        queue.clear();
        self.spare = queue;
    }

    pub(crate) fn are_empty(&self) -> bool {
        self.run.is_empty() && self.flush.is_empty()
    }

    /// Forgets those that are gone.
    pub(crate) fn forget_gone(&mut self, sources: &Sources) {
        for queue in [&mut self.run, &mut self.flush] {
            queue.retain(|&key| sources.get(key).is_some());
        }
    }
}
