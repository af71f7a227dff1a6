//! The beginning of a shutdown, for tasks.

use std::cell::RefCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::executor::Executor;
use super::in_task;
use super::places::Places;
use super::shared::Shared;
use crate::{Hold, Reactor};

/// Those who wait for a shutdown.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) begun: bool,
    waiters: Places<Rc<Shared<Option<Hold>>>>,
}

impl Waiting {
    /// A shutdown begins. It waits until each of these tasks has been polled.
    pub(super) fn tell(this: &RefCell<Self>, reactor: &Reactor) {
        this.borrow_mut().begun = true;
        let waiters: Vec<_> = this.borrow().waiters.iter().map(Rc::clone).collect();
        let mut panic = None;
        for waiter in &waiters {
            let tell = || waiter.note(|hold| *hold = Some(reactor.hold()));
            // A waker may be anybody's. If one panics, that goes on when all others are woken.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(tell)) {
                mem::forget(panic.replace(payload)); // its `Drop` might panic
            }
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

/// The seat of one who waits.
struct Seat(Rc<Executor>, usize);

impl Drop for Seat {
    fn drop(&mut self) {
        let waiter = self.0.closing.borrow_mut().waiters.remove(self.1);
        drop(waiter); // after the borrow
    }
}

/// Waits for the beginning of a [shutdown](Reactor::shutdown).
///
/// The [`Hold`] that it gives keeps the shutdown waiting, within its grace, until it is dropped: for a task that has
/// something to finish that is no connection. If a shutdown has begun, this is ready at once. If the reactor
/// [stops](Reactor::stop), tasks are dropped without it.
///
/// # Panics
///
/// Outside of a task.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::futures::{closing, sleep, spawn};
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// let task = spawn(simulation.reactor(), async {
///     let _hold = closing().await;
///     sleep(Duration::from_secs(3)).await; // to save what is in memory
///     "saved"
/// });
/// simulation.reactor().call_later(Duration::from_secs(60), |reactor| {
///     reactor.shutdown(Duration::from_secs(10));
/// });
/// simulation.reactor().run()?;
/// assert_eq!(task.take().unwrap().unwrap(), "saved");
/// assert_eq!(simulation.elapsed(), Duration::from_secs(63));
/// # std::io::Result::Ok(())
/// ```
pub async fn closing() -> Hold {
    let (waiter, executor) = (Rc::new(Shared::new(None)), in_task(Executor::of));
    let seat = {
        let mut waiting = executor.closing.borrow_mut();
        if waiting.begun {
            return in_task(|reactor| reactor.hold());
        }
        Seat(Rc::clone(&executor), waiting.waiters.insert(Rc::clone(&waiter)))
    };
    let hold = waiter.wait().await;
    drop(seat);
    hold
}
