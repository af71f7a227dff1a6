//! A value on its way to one future, on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A value that one side gives once and a future takes.
pub(super) struct Slot<T> {
    state: RefCell<State<T>>,
}

struct State<T> {
    value: Option<T>,
    given: bool,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { state: RefCell::new(State { value: None, given: false, waker: None }) })
    }

    /// Gives the value, unless one was given before.
    pub(super) fn give(&self, value: T) {
        let mut state = self.state.borrow_mut();
        if !state.given {
            state.given = true;
            state.value = Some(value);
            let waker = state.waker.take();
            drop(state); // the waker may be anybody's
            wake(waker);
        }
    }

    pub(super) fn is_given(&self) -> bool {
        self.state.borrow().given
    }

    pub(super) fn take(&self) -> Option<T> {
        self.state.borrow_mut().value.take()
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<T> {
        let mut state = self.state.borrow_mut();
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                keep(&mut state.waker, cx);
                Poll::Pending
            }
        }
    }
}

/// Keeps the waker of the task that asked last.
pub(super) fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()), // which does nothing if it is the same
        None => *place = Some(cx.waker().clone()),
    }
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
