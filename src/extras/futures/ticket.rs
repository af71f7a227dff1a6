//! Wakers: a ticket names a task, and the inbox holds the tickets of those that are to be polled.
//!
//! A ticket and the inbox are the only parts of a task that other threads can reach. The future is not among them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use super::executor::poll_next;
use crate::Handle;

/// The tickets of tasks that were woken, in this order. For each there is a call under way, which polls one.
#[derive(Default)]
pub(super) struct Inbox {
    woken: Mutex<VecDeque<Arc<Ticket>>>,
}

/// One task, for its wakers.
pub(super) struct Ticket {
    /// The place of the task in its executor.
    pub(super) key: usize,
    /// Whether it is in the inbox already, or over: then nothing wakes it.
    queued: AtomicBool,
    aborted: AtomicBool,
    inbox: Arc<Inbox>,
    /// Gives calls the name of the task.
    handle: Handle,
}

impl Inbox {
    /// The call and its ticket get the same place in two queues, so that each call has the name of the task
    /// that it polls. A `fn` without captures needs no memory, and a call to a reactor that is awake needs no
    /// system call.
    fn push(&self, ticket: Arc<Ticket>) {
        let mut woken = self.lock();
        woken.push_back(ticket);
        let called = woken.back().is_some_and(|last| last.handle.call_from_thread(poll_next));
        if !called {
            woken.clear(); // the reactor is gone, and its tasks with it
        }
    }

    pub(super) fn pop(&self) -> Option<Arc<Ticket>> {
        self.lock().pop_front()
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
    pub(super) fn new(key: usize, inbox: &Arc<Inbox>, handle: Handle) -> Arc<Self> {
        let (queued, aborted) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { key, queued, aborted, inbox: Arc::clone(inbox), handle })
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
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.inbox.push(Arc::clone(self));
        }
    }
}
