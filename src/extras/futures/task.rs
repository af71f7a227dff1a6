//! A task: how it is spawned, joined and aborted.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::executor::Executor;
use super::in_task;
use super::slot::Slot;
use super::ticket::Ticket;
use crate::Reactor;

type Result<T> = std::result::Result<T, JoinError>;

/// Makes a future a task of this reactor, which polls it in its calls phase until it is ready.
pub fn spawn<F>(reactor: &mut Reactor, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let executor = Executor::of(reactor);
    let outcome = Slot::new();
    let ticket = executor.add(reactor, run(future, Outcome(Rc::clone(&outcome))));
    JoinHandle { outcome, ticket }
}

/// [Spawns](spawn) a task with a name.
pub fn spawn_named<F>(reactor: &mut Reactor, name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    reactor.with_name(name, |reactor| spawn(reactor, future))
}

/// [Spawns](spawn) a task from within another one.
///
/// # Panics
///
/// Outside of a task.
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    in_task(|reactor| spawn(reactor, future))
}

/// Turns the reactor until a future is ready, and returns its output.
pub fn run_until<F>(reactor: &mut Reactor, future: F) -> io::Result<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let task = spawn(reactor, future);
    let mut stopped = Ok(false);
    while !task.is_finished() && reactor.has_work() && matches!(stopped, Ok(false)) {
        stopped = reactor.turn(None).map(|report| report.stopped);
    }
    match task.outcome.take() {
        Some(Ok(output)) => Ok(output),
        Some(Err(JoinError::Panicked(panic))) => resume_unwind(panic),
        Some(Err(JoinError::Aborted)) => {
            let text = "the reactor stopped before the future was ready";
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, text))
        }
        None => {
            Executor::of(reactor).cancel(reactor, &task.ticket);
            stopped?;
            let text = "nothing is left that could wake the future";
            Err(io::Error::new(io::ErrorKind::Deadlock, text))
        }
    }
}

/// How many tasks this reactor has.
pub fn task_count(reactor: &mut Reactor) -> usize {
    Executor::of(reactor).count()
}

/// The future of a task: `future`, whose output or panic becomes the outcome.
async fn run<F: Future>(future: F, outcome: Outcome<F::Output>) {
    let mut future = pin!(future);
    let result = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic)), |poll| poll.map(Ok))
    });
    match result.await {
        Ok(output) => outcome.0.give(Ok(output)),
        // Nobody has a handle: then the loop reports it, as any panic.
        Err(panic) if Rc::strong_count(&outcome.0) == 1 => resume_unwind(panic),
        Err(panic) => outcome.0.give(Err(JoinError::Panicked(panic))),
    }
}

/// The outcome of a task. Dropped without one, the task was aborted.
struct Outcome<T>(Rc<Slot<Result<T>>>);

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        self.0.give(Err(JoinError::Aborted));
    }
}

/// A task, for those who want its output, or its end.
pub struct JoinHandle<T> {
    outcome: Rc<Slot<Result<T>>>,
    ticket: Arc<Ticket>,
}

impl<T> JoinHandle<T> {
    /// Drops the task in the next calls phase, wherever it waits.
    pub fn abort(&self) {
        self.ticket.abort();
    }

    /// Takes the outcome, if the task is over; it is given once. For code that is no task itself.
    pub fn take(&self) -> Option<Result<T>> {
        self.outcome.take()
    }

    /// Whether the task is over.
    pub fn is_finished(&self) -> bool {
        self.outcome.is_given()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.outcome.poll(cx)
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Why a task has no output.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It was [aborted](JoinHandle::abort), or dropped because the reactor stopped.
    Aborted,
    /// It panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "the task was aborted",
            Self::Panicked(_) => "the task panicked",
        })
    }
}

impl Error for JoinError {}
