//! Wakers: a ticket names a task, and the inbox holds the tickets of those that are to be polled.
//!
//! A ticket and the inbox are the only parts of a task that other threads can reach. The future is not among them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use super::executor::poll_next;
use crate::Handle;

/// With room for no more than so many tickets the inbox does not shrink.
const SPARE: usize = 1024;

/// The tickets of tasks that were woken, in this order. For each there is a call under way, which polls one.
pub(super) struct Inbox {
    woken: Mutex<VecDeque<Arc<Ticket>>>,
    handle: Handle,
}

thread_local! {
    /// The place where a callback of a connection claims the task that it wakes, to poll it itself; `None`: there is
    /// no such callback, and a task that is woken goes to its inbox.
    static CLAIMED: Cell<Option<Option<Arc<Ticket>>>> = const { Cell::new(None) };
}

/// One task, for its wakers.
pub(super) struct Ticket {
    /// The place of the task in its executor.
    pub(super) key: usize,
    /// Whether it is in the inbox already, or over: then nothing wakes it.
    queued: AtomicBool,
    aborted: AtomicBool,
    inbox: Arc<Inbox>,
    /// The name of the calls that poll the task.
    pub(super) name: &'static str,
}

impl Inbox {
    pub(super) fn new(handle: Handle) -> Arc<Self> {
        Arc::new(Self { woken: Mutex::default(), handle })
    }

    pub(super) fn pop(&self) -> Option<Arc<Ticket>> {
        let mut woken = self.lock();
        let first = woken.pop_front();
        let left = woken.len();
        if woken.capacity() > SPARE && left < woken.capacity() / 4 {
            woken.shrink_to((2 * left).max(SPARE / 2)); // after a peak
        }
        first
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// No code of the user's runs under the lock, so the state behind a poisoned one is valid.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Ticket>>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The ticket of a new task, which is to be polled.
    pub(super) fn new(key: usize, inbox: &Arc<Inbox>, name: &'static str) -> Arc<Self> {
        let (queued, aborted) = (AtomicBool::new(true), AtomicBool::new(false));
        Arc::new(Self { key, queued, aborted, inbox: Arc::clone(inbox), name })
    }

    /// Calls code that may wake a task of this inbox. The first one that it wakes is returned: the caller polls it.
    pub(super) fn claim(inbox: &Arc<Inbox>, code: impl FnOnce()) -> Option<Arc<Self>> {
        /// Puts back what was there before, after a panic too: a waker may be anybody's. Then the loop polls the task that
        /// was claimed.
        struct Outer(Option<Option<Arc<Ticket>>>);

        impl Drop for Outer {
            fn drop(&mut self) {
                if let Some(Some(claimed)) = CLAIMED.replace(self.0.take()) {
                    claimed.queue();
                }
            }
        }

        let outer = Outer(CLAIMED.replace(Some(None)));
        code();
        let claimed = CLAIMED.take().flatten()?;
        drop(outer);
        if Arc::ptr_eq(&claimed.inbox, inbox) {
            return Some(claimed);
        }
        claimed.queue(); // of another reactor on this thread
        None
    }

    /// Whether a callback polls this task, which was woken.
    fn is_claimed(self: &Arc<Self>) -> bool {
        let claimed = CLAIMED.try_with(|place| {
            let before = place.take();
            let empty = matches!(before, Some(None));
            place.set(if empty { Some(Some(Arc::clone(self))) } else { before });
            empty
        });
        claimed.unwrap_or(false) // the thread ends
    }

    /// Has the task polled in the calls phase.
    ///
    /// The call and the ticket get the same place in two queues, so that each call has the name of the task that it
    /// polls. A `fn` without captures needs no memory, and a call to a reactor that is awake needs no system call.
    pub(super) fn queue(self: &Arc<Self>) {
        let (mut woken, handle) = (self.inbox.lock(), self.inbox.handle.named(self.name));
        woken.push_back(Arc::clone(self));
        if !handle.call_from_thread(poll_next) {
            woken.clear(); // the reactor is gone, and its tasks with it
        }
    }

    /// From here on a wake counts for the next poll.
    pub(super) fn begin_poll(&self) {
        self.queued.swap(false, Ordering::AcqRel); // not only a store: it sees what the waker has written
    }

    /// The task is over.
    pub(super) fn close(&self) {
        self.queued.store(true, Ordering::Release);
    }

    pub(super) fn abort(self: &Arc<Self>) {
        self.aborted.store(true, Ordering::Release);
        self.wake_by_ref();
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) && !self.is_claimed() {
            self.queue();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reactor;

    #[test]
    fn after_a_peak_of_wakes_the_inbox_gives_memory_back() {
        let reactor = Reactor::new().unwrap();
        let inbox = Inbox::new(reactor.handle());
        let ticket = Ticket::new(0, &inbox, "task");
        (0..100_000).for_each(|_| ticket.queue());
        while inbox.pop().is_some() {}
        assert!(inbox.lock().capacity() <= SPARE, "{}", inbox.lock().capacity());
    }
}
