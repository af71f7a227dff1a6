//! A task: how it is spawned, joined and aborted.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::executor::Executor;
use super::in_task;
use super::outcome::{Outcome, Place};
use super::ticket::Ticket;
use crate::Reactor;

type Result<T> = std::result::Result<T, JoinError>;

/// Makes a future a task of this reactor, which [polls](crate::futures#what-else-is-promised) it first in its next calls
/// phase, or right after the task that spawns it.
///
/// It goes on when the handle is dropped. It is called `task` in the log, or as
/// [`with_name`](Reactor::with_name) says where it is spawned; tasks that it spawns inherit its name. While the
/// reactor stops it is dropped at once.
///
/// Twisted's `ensureDeferred`, asyncio's `create_task`.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
/// use crocus::futures::spawn;
///
/// let mut reactor = Reactor::new()?;
/// let task = spawn(&mut reactor, async { 6 * 7 });
/// reactor.run()?; // until it is done
/// assert_eq!(task.take().unwrap()?, 42);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn spawn<T: 'static>(
    reactor: &mut Reactor,
    future: impl Future<Output = T> + 'static,
) -> JoinHandle<T> {
    let outcome = Rc::new(Place::new(None));
    let executor = Executor::of(reactor);
    let ticket = executor.add(reactor, Box::pin(future), Outcome::new(&outcome));
    JoinHandle { outcome, ticket }
}

/// [Spawns](spawn) a task with a name, for observers and the warning of a slow callback.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
/// use crocus::futures::spawn_named;
///
/// let mut reactor = Reactor::new()?;
/// spawn_named(&mut reactor, "cleaner", async { println!("called \"cleaner\" when it is slow") });
/// reactor.run()?;
/// # std::io::Result::Ok(())
/// ```
pub fn spawn_named<T: 'static>(
    reactor: &mut Reactor,
    name: &'static str,
    future: impl Future<Output = T> + 'static,
) -> JoinHandle<T> {
    reactor.with_name(name, |reactor| spawn(reactor, future))
}

/// [Spawns](spawn) a task from within another one.
///
/// # Panics
///
/// Outside of a task.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
/// use crocus::futures::{run_until, spawn_local};
///
/// let mut reactor = Reactor::new()?;
/// let sum = run_until(&mut reactor, async {
///     let (one, two) = (spawn_local(async { 1 }), spawn_local(async { 2 }));
///     one.await.unwrap() + two.await.unwrap()
/// })?;
/// assert_eq!(sum, 3);
/// # std::io::Result::Ok(())
/// ```
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    in_task(|reactor| spawn(reactor, future))
}

/// Turns the reactor until a future is ready, and returns its output. The future is a task meanwhile.
///
/// Other tasks, connections and timers stay as they are, and go on when the reactor is turned again.
///
/// # Errors
///
/// Those of [`run`](Reactor::run); `ConnectionAborted` if the reactor stopped before; `Deadlock` if nothing is left
/// that could wake the future.
///
/// # Panics
///
/// If the future panics, with its payload.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::futures::{run_until, sleep};
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// run_until(simulation.reactor(), sleep(Duration::from_secs(3600)))?; // takes no time
/// assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
///
/// let error = run_until(simulation.reactor(), std::future::pending::<()>()).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::Deadlock);
/// # std::io::Result::Ok(())
/// ```
pub fn run_until<T: 'static>(
    reactor: &mut Reactor,
    future: impl Future<Output = T> + 'static,
) -> io::Result<T> {
    let task = spawn(reactor, future);
    let mut stopped = Ok(false);
    while !task.is_finished() && reactor.has_work() && matches!(stopped, Ok(false)) {
        stopped = reactor.turn(None).map(|report| report.stopped);
    }
    let (kind, text) = match task.take() {
        Some(Ok(output)) => return Ok(output),
        Some(Err(JoinError::Panicked(panic))) => resume_unwind(panic),
        Some(Err(JoinError::Aborted)) => (io::ErrorKind::ConnectionAborted, "the reactor stopped"),
        None => (io::ErrorKind::Deadlock, "nothing is left that could wake the future"),
    };
    Executor::of(reactor).cancel(reactor, &task.ticket);
    stopped?;
    Err(io::Error::new(kind, text))
}

/// How many tasks this reactor has.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
/// use crocus::futures::{spawn, task_count};
///
/// let mut reactor = Reactor::new()?;
/// spawn(&mut reactor, async {});
/// assert_eq!(task_count(&mut reactor), 1);
/// reactor.run()?;
/// assert_eq!(task_count(&mut reactor), 0);
/// # std::io::Result::Ok(())
/// ```
pub fn task_count(reactor: &mut Reactor) -> usize {
    Executor::of(reactor).count()
}

/// A task, for those who want its output, or its end. To drop the handle detaches the task, which goes on.
///
/// A future: it waits for the task, and gives its outcome, once. If it is asked again, or after [`take`](Self::take),
/// it is never ready.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
/// use crocus::futures::{JoinError, spawn};
///
/// let mut reactor = Reactor::new()?;
/// let endless = spawn(&mut reactor, std::future::pending::<()>());
/// let clumsy = spawn(&mut reactor, async { panic!("on purpose") });
/// endless.abort();
/// reactor.run()?;
/// assert!(endless.is_finished());
/// assert!(matches!(endless.take(), Some(Err(JoinError::Aborted))));
/// assert!(matches!(clumsy.take(), Some(Err(JoinError::Panicked(_)))));
/// # std::io::Result::Ok(())
/// ```
pub struct JoinHandle<T> {
    outcome: Rc<Place<T>>,
    ticket: Arc<Ticket>,
}

impl<T> JoinHandle<T> {
    /// Drops the task in the next calls phase, or in the callback that is about to poll it, wherever it waits; its outcome is
    /// [`JoinError::Aborted`]. Nothing, if it is over.
    pub fn abort(&self) {
        self.ticket.abort();
    }

    /// Takes the outcome, if the task is over; it is given once. For code that is no task itself.
    pub fn take(&self) -> Option<Result<T>> {
        self.outcome.look(Option::take)
    }

    /// Whether the task is over, and its future is dropped.
    pub fn is_finished(&self) -> bool {
        Rc::strong_count(&self.outcome) == 1
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.outcome.poll(cx, |place| place.take().map_or(Poll::Pending, Poll::Ready))
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Why a task has no output.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
/// use crocus::futures::{JoinError, run_until, spawn_local};
///
/// let outcome = run_until(&mut Reactor::new()?, async {
///     let task = spawn_local(std::future::pending::<()>());
///     task.abort();
///     task.await
/// })?;
/// match outcome.unwrap_err() {
///     JoinError::Panicked(payload) => std::panic::resume_unwind(payload),
///     aborted => assert_eq!(aborted.to_string(), "the task was aborted"),
/// }
/// # std::io::Result::Ok(())
/// ```
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
