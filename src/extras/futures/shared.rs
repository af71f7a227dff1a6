//! The two things that a task and the loop share, on one thread: a value with a waker, and an undoing.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::executor::Executor;
use crate::Reactor;

/// A value that the loop changes and a task waits for.
pub(super) struct Shared<T>(RefCell<State<T>>);

struct State<T> {
    value: T,
    /// The waker of the task that asked last. It stays here when it is used, for the same task mostly asks again.
    waker: Option<Waker>,
    /// Whether that task waits.
    awaited: bool,
}

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Self(RefCell::new(State { value, waker: None, awaited: false }))
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.0.borrow_mut().value)
    }

    /// Whether a task waits for a change.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.borrow().awaited
    }

    /// Changes the value, and wakes the task that waits for it.
    pub(super) fn note(&self, change: impl FnOnce(&mut T)) {
        let mut state = self.0.borrow_mut();
        change(&mut state.value);
        if mem::take(&mut state.awaited)
            && let Some(waker) = state.waker.take()
        {
            drop(state); // the waker may be anybody's
            waker.wake_by_ref();
            self.0.borrow_mut().waker.get_or_insert(waker);
        }
    }

    /// Asks the value; if the answer is `Pending`, the next change wakes the task that asks.
    pub(super) fn poll<R>(
        &self,
        cx: &Context<'_>,
        look: impl FnOnce(&mut T) -> Poll<R>,
    ) -> Poll<R> {
        let State { value, waker, awaited } = &mut *self.0.borrow_mut();
        let answer = look(value);
        *awaited = answer.is_pending();
        if *awaited {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()), // nothing, if it is the same
                None => *waker = Some(cx.waker().clone()),
            }
        }
        answer
    }
}

impl<T> Shared<Option<T>> {
    /// Waits for a value that is given once.
    pub(super) async fn wait(&self) -> T {
        poll_fn(|cx| self.poll(cx, |value| value.take().map_or(Poll::Pending, Poll::Ready))).await
    }
}

/// The command that undoes a future or a handle when it is dropped.
pub(super) struct Undo<I: Copy + Send + 'static> {
    pub(super) executor: Rc<Executor>,
    pub(super) id: I,
    pub(super) undo: fn(&mut Reactor, I),
}

impl<I: Copy + Send + 'static> Drop for Undo<I> {
    fn drop(&mut self) {
        let Self { id, undo, .. } = *self;
        self.executor.command(move |reactor| undo(reactor, id));
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<I: Copy + Send + fmt::Debug> fmt::Debug for Undo<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
