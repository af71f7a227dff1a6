//! The beginning of a shutdown, as a future.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::executor::Executor;
use super::in_task;
use crate::{Hold, Reactor};

/// The futures that wait for a shutdown.
#[derive(Default)]
pub(super) struct Waiting {
    begun: bool,
    futures: Slab<Waiter>,
}

struct Waiter {
    waker: Waker,
    /// Keeps the shutdown waiting from its beginning until the task has been polled.
    hold: Option<Hold>,
}

impl Waiting {
    /// A shutdown begins.
    pub(super) fn begin(this: &RefCell<Self>, reactor: &Reactor) {
        let mut waiting = this.borrow_mut();
        waiting.begun = true;
        let told = waiting.futures.iter_mut().map(|(_, waiter)| {
            waiter.hold = Some(reactor.hold());
            waiter.waker.clone()
        });
        let told: Vec<Waker> = told.collect();
        drop(waiting); // a waker may be anybody's
        told.into_iter().for_each(Waker::wake);
    }

    /// It is over.
    pub(super) fn reset(&mut self) {
        self.begun = false;
    }
}

/// The future of [`closing`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Closing {
    place: Option<(Rc<Executor>, usize)>,
}

/// Waits for the beginning of a [shutdown](Reactor::shutdown).
pub fn closing() -> Closing {
    Closing { place: None }
}

impl Future for Closing {
    type Output = Hold;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Hold> {
        in_task(|reactor| {
            let executor = Executor::of(reactor);
            let mut waiting = executor.closing.borrow_mut();
            if let Some((_, key)) = &self.place {
                let waiter = &mut waiting.futures[*key];
                if let Some(hold) = waiter.hold.take() {
                    return Poll::Ready(hold);
                }
                waiter.waker.clone_from(cx.waker());
            }
            if waiting.begun {
                return Poll::Ready(reactor.hold());
            }
            if self.place.is_none() {
                let key = waiting.futures.insert(Waiter { waker: cx.waker().clone(), hold: None });
                self.place = Some((Rc::clone(&executor), key));
            }
            Poll::Pending
        })
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some((executor, key)) = self.place.take() {
            let waiter = executor.closing.borrow_mut().futures.try_remove(key);
            drop(waiter); // after the borrow: a waker may be anybody's
        }
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").finish_non_exhaustive()
    }
}
