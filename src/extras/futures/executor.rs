//! The tasks of a reactor, and how one is polled: in a callback of its connection, or by a call.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;

use super::closing::Waiting;
use super::outcome::{BoxedBody, Outcome};
use super::places::Places;
use super::ticket::{Inbox, Ticket};
use crate::{Handle, Reactor, Transport};

/// How many emptied buffers of connections are kept, for as many may be filled in one turn.
const SPARES: usize = 64;

/// A buffer that has grown larger is given back. So no more than 2 MiB are kept.
const LARGEST_SPARE: usize = 32 * 1024;

/// The name of tasks that were given none.
const NAMELESS: &str = "task";

/// The state that tasks and their futures share: it belongs to one reactor, and stands in its state.
pub(super) struct Executor {
    handle: Handle,
    inbox: Arc<Inbox>,
    tasks: RefCell<Places<Task>>,
    spawned: Cell<Spawned>,
    /// Whether it takes tasks, and in which turn it has ended: what a stop has dropped, its last notices
    /// cannot begin anew, for their calls are dropped too.
    open: Cell<bool>,
    ended: Cell<Option<u64>>,
    pub(super) closing: RefCell<Waiting>,
    spares: RefCell<Vec<Vec<u8>>>,
}

struct Task {
    ticket: Arc<Ticket>,
    /// `None` while it is polled.
    job: Option<Job>,
}

/// A future with its waker, and the place of its outcome.
struct Job {
    future: BoxedBody,
    waker: Waker,
    outcome: Outcome,
}

/// The first task that is spawned by one that a callback polls.
#[derive(Default)]
enum Spawned {
    #[default]
    Unwanted,
    /// It is wanted, if it has this name: the callback goes on under the name of its task.
    Wanted(&'static str),
    Claimed(Arc<Ticket>),
}

/// The type by which the executor is found in the state of its reactor.
struct State(Rc<Executor>);

impl Executor {
    /// The executor of this reactor, which is made when it is first asked for.
    pub(super) fn of(reactor: &mut Reactor) -> Rc<Self> {
        let executor = Self::find(reactor).unwrap_or_else(|| {
            let new = Rc::new(Self {
                handle: reactor.handle(),
                inbox: Inbox::new(reactor.handle()),
                tasks: RefCell::default(),
                spawned: Cell::default(),
                open: Cell::new(false),
                ended: Cell::new(None),
                closing: RefCell::default(),
                spares: RefCell::default(),
            });
            reactor.set_state(State(Rc::clone(&new)));
            new
        });
        let ends = executor.ended.get() == Some(reactor.stats().turns) && reactor.is_stopping();
        if !ends && !executor.open.replace(true) {
            let (at_shutdown, at_stop) = (Rc::clone(&executor), Rc::clone(&executor));
            reactor.on_shutdown(move |reactor| Waiting::tell(&at_shutdown.closing, reactor));
            reactor.on_stop(move |reactor| at_stop.end(reactor));
        }
        executor
    }

    fn find(reactor: &mut Reactor) -> Option<Rc<Self>> {
        reactor.state::<State>().map(|state| Rc::clone(&state.0))
    }

    /// A stop drops all tasks, before anything else ends, so that they still find their connections.
    fn end(&self, reactor: &mut Reactor) {
        self.open.set(false);
        self.ended.set(Some(reactor.stats().turns));
        reactor.lend(|| self.clear());
        self.closing.borrow_mut().begun = false;
    }

    /// Drops the tasks one by one: two panics at once would end the process.
    fn clear(&self) {
        let tasks = self.tasks.take();
        tasks.iter().for_each(|task| task.ticket.close());
        for task in tasks.into_values() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
                log::error!("a task panicked when it was dropped");
                mem::forget(payload); // its `Drop` might panic
            }
        }
        self.inbox.clear();
    }

    /// Takes a task; while the reactor stops it is dropped at once.
    pub(super) fn add(
        &self,
        reactor: &mut Reactor,
        future: BoxedBody,
        outcome: Outcome,
    ) -> Arc<Ticket> {
        let mut tasks = self.tasks.borrow_mut();
        let ticket = Ticket::new(tasks.next(), &self.inbox, reactor.name().unwrap_or(NAMELESS));
        let job = Job { future, waker: Waker::from(Arc::clone(&ticket)), outcome };
        if self.open.get() {
            tasks.insert(Task { ticket: Arc::clone(&ticket), job: Some(job) });
            match self.spawned.take() {
                Spawned::Wanted(name) if name == ticket.name => {
                    self.spawned.set(Spawned::Claimed(Arc::clone(&ticket)));
                }
                other => {
                    self.spawned.set(other);
                    ticket.queue();
                }
            }
        } else {
            ticket.close();
            drop(tasks);
            reactor.lend(|| drop(job));
        }
        ticket
    }

    pub(super) fn count(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Polls the task that a callback of a connection wakes by `note`, and the first one that it spawns, which mostly has the
    /// connection. So bytes are used while they are in the processor's cache, and those that are written to this
    /// connection leave as if the callback had written them.
    ///
    /// The callback is no task's: a panic of one costs another connection nothing, and goes on in a call.
    pub(super) fn poll_woken(
        &self,
        transport: &mut Transport<'_>,
        note: impl FnOnce(&mut Transport<'_>),
    ) {
        let Some(woken) = Ticket::claim(&self.inbox, || note(transport)) else { return };
        transport.reactor().with_name(woken.name, |reactor| {
            self.spawned.set(Spawned::Wanted(woken.name));
            let panics = reactor.lend(|| {
                let panic = self.poll(&woken);
                let Spawned::Claimed(spawned) = self.spawned.take() else { return (panic, None) };
                (panic, self.poll(&spawned))
            });
            for panic in [panics.0, panics.1].into_iter().flatten() {
                reactor.call_soon(|_| drop(panic));
            }
        });
    }

    /// Polls a task, unless it is over; the reactor is lent. Returns its panic, if nobody has its handle.
    fn poll(&self, ticket: &Arc<Ticket>) -> Option<Panic> {
        let Job { future, waker, outcome } = self.take(ticket)?;
        ticket.begin_poll();
        let aborted = ticket.is_aborted();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if aborted {
                drop(future);
                return None;
            }
            outcome.poll(future, &mut Context::from_waker(&waker))
        }));
        if let Ok(Some(future)) = polled {
            self.put_back(ticket, Some(Job { future, waker, outcome }));
            return None;
        }
        // The waker of the one who waits for it may be anybody's.
        let ended = catch_unwind(AssertUnwindSafe(|| outcome.end(aborted, polled.err())));
        self.put_back(ticket, None);
        Some(Panic(Some(ended.unwrap_or_else(Some)?)))
    }

    fn has(&self, ticket: &Arc<Ticket>) -> bool {
        ticket.find(&mut self.tasks.borrow_mut()).is_some()
    }

    /// Takes the future of a task out, to poll or to drop it.
    fn take(&self, ticket: &Arc<Ticket>) -> Option<Job> {
        ticket.find(&mut self.tasks.borrow_mut())?.job.take()
    }

    /// Ends a poll: the future goes on, or the task is over.
    fn put_back(&self, ticket: &Arc<Ticket>, job: Option<Job>) {
        let mut tasks = self.tasks.borrow_mut();
        let Some(task) = ticket.find(&mut tasks) else { return };
        task.job = job;
        if task.job.is_none() {
            ticket.close();
            tasks.remove(ticket.key);
        }
    }

    /// Drops a task now.
    pub(super) fn cancel(&self, reactor: &mut Reactor, ticket: &Arc<Ticket>) {
        let job = self.take(ticket);
        self.put_back(ticket, None);
        reactor.lend(|| drop(job));
    }

    /// Calls `code` with the reactor of these tasks, if it is lent: inside a poll or the drop of a task.
    pub(super) fn with<R>(&self, code: impl FnOnce(&mut Reactor) -> R) -> Option<R> {
        Reactor::with_lent(|reactor| {
            let state = reactor.state::<State>();
            state.is_some_and(|state| std::ptr::eq(&*state.0, self)).then(|| code(reactor))
        })?
    }

    /// The same, but elsewhere the code is called by the loop, in the next calls phase.
    pub(super) fn command(&self, code: impl FnOnce(&mut Reactor) + Send + 'static) {
        let mut code = Some(code);
        self.with(|reactor| code.take().map(|code| code(reactor)));
        if let Some(code) = code {
            self.handle.call_from_thread(code);
        }
    }

    /// An empty buffer.
    pub(super) fn spare(&self) -> Vec<u8> {
        self.spares.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back that is empty again.
    pub(super) fn give_back(&self, buffer: &mut Vec<u8>) {
        let (mut buffer, mut spares) = (mem::take(buffer), self.spares.borrow_mut());
        if (1..=LARGEST_SPARE).contains(&buffer.capacity()) && spares.len() < SPARES {
            buffer.clear();
            spares.push(buffer);
        }
    }
}

impl Ticket {
    /// The task, unless it is over and another has its place.
    fn find<'a>(self: &Arc<Self>, tasks: &'a mut Places<Task>) -> Option<&'a mut Task> {
        tasks.get_mut(self.key).filter(|task| Arc::ptr_eq(&task.ticket, self))
    }
}

impl Drop for State {
    /// Tasks own connections, and these the executor: to drop the tasks breaks the circle.
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// A panic of a task that nobody has a handle of. When it is dropped it goes on.
struct Panic(Option<Box<dyn Any + Send>>);

impl Drop for Panic {
    fn drop(&mut self) {
        if let Some(payload) = self.0.take()
            && !thread::panicking()
        {
            resume_unwind(payload);
        }
    }
}

/// Polls the task that was woken first. One task for a call: so each has its own name for observers and in
/// the warning of a slow callback, and the budget of calls is one of polls.
pub(super) fn poll_next(reactor: &mut Reactor) {
    let Some(executor) = Executor::find(reactor) else { return };
    // The inbox may have tickets of tasks that are over, if another thread woke them while the reactor stopped.
    let mut woken = std::iter::from_fn(|| executor.inbox.pop());
    if let Some(ticket) = woken.find(|ticket| executor.has(ticket)) {
        drop(reactor.lend(|| executor.poll(&ticket))); // a panic goes on
    }
}
