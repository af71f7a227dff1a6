//! The tasks of a reactor, and the call that polls one.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use slab::Slab;

use super::closing::Waiting;
use super::ticket::{Inbox, Ticket};
use crate::{Handle, Reactor};

/// How many emptied buffers of connections are kept, for as many may be filled in one turn.
const SPARES: usize = 64;

/// The name of tasks that were given none.
const NAMELESS: &str = "task";

/// A buffer that has grown larger is given back.
const LARGEST_SPARE: usize = 256 * 1024;

type Future = Pin<Box<dyn std::future::Future<Output = ()>>>;

/// What tasks and their futures share: it belongs to one reactor, and stands in its state.
pub(super) struct Executor {
    inbox: Arc<Inbox>,
    tasks: RefCell<Slab<Task>>,
    life: Cell<Life>,
    handle: Handle,
    pub(super) closing: RefCell<Waiting>,
    spares: RefCell<Vec<Vec<u8>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Life {
    New,
    Open,
    /// Stopped in this turn.
    Ended(u64),
}

struct Task {
    ticket: Arc<Ticket>,
    waker: Waker,
    /// `None` while it is polled.
    future: Option<Future>,
}

/// The type by which the executor is found in the state of its reactor.
struct State(Rc<Executor>);

impl Executor {
    /// The executor of this reactor, which is made when it is first asked for.
    pub(super) fn of(reactor: &mut Reactor) -> Rc<Self> {
        let found = Self::find(reactor);
        let executor = found.unwrap_or_else(|| {
            let new = Rc::new(Self {
                inbox: Arc::default(),
                tasks: RefCell::default(),
                life: Cell::new(Life::New),
                handle: reactor.handle(),
                closing: RefCell::default(),
                spares: RefCell::default(),
            });
            reactor.set_state(State(Rc::clone(&new)));
            new
        });
        // What a stop leaves, its last notices cannot begin anew: their calls are dropped, too.
        let ended = Life::Ended(reactor.stats().turns);
        let life = executor.life.get();
        if life != Life::Open && !(life == ended && reactor.is_stopping()) {
            executor.begin(reactor);
        }
        executor
    }

    fn find(reactor: &mut Reactor) -> Option<Rc<Self>> {
        reactor.state::<State>().map(|state| Rc::clone(&state.0))
    }

    /// Asks to be told of the end, for each run anew.
    fn begin(self: &Rc<Self>, reactor: &mut Reactor) {
        self.life.set(Life::Open);
        let this = Rc::clone(self);
        reactor.on_shutdown(move |reactor| Waiting::begin(&this.closing, reactor));
        let this = Rc::clone(self);
        reactor.on_stop(move |reactor| this.end(reactor));
    }

    /// A stop drops all tasks, first of all, so that they still find their connections.
    fn end(&self, reactor: &mut Reactor) {
        self.life.set(Life::Ended(reactor.stats().turns));
        reactor.lend(|| self.clear());
        self.closing.borrow_mut().reset();
    }

    /// Drops the tasks one by one: two panics at once would end the process.
    fn clear(&self) {
        let tasks = self.tasks.take();
        tasks.iter().for_each(|(_, task)| task.ticket.close());
        for (_, task) in tasks {
            if catch_unwind(AssertUnwindSafe(|| drop(task))).is_err() {
                log::error!("a task panicked when it was dropped");
            }
        }
        self.inbox.clear();
    }

    /// Takes a task; while the reactor stops it is dropped at once.
    pub(super) fn add(
        &self,
        reactor: &mut Reactor,
        future: impl std::future::Future<Output = ()> + 'static,
    ) -> Arc<Ticket> {
        let handle = self.handle.named(reactor.name().unwrap_or(NAMELESS));
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let ticket = Ticket::new(entry.key(), &self.inbox, handle);
        if self.life.get() == Life::Open {
            let (waker, future) =
                (Waker::from(Arc::clone(&ticket)), Some(Box::pin(future) as Future));
            entry.insert(Task { ticket: Arc::clone(&ticket), waker, future });
            drop(tasks);
            ticket.wake_by_ref();
        } else {
            drop(tasks);
            ticket.close();
            reactor.lend(|| drop(future));
        }
        ticket
    }

    pub(super) fn count(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Takes the future of a task out, to poll or to drop it.
    fn take(&self, ticket: &Arc<Ticket>) -> Option<(Future, Waker)> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(ticket.key).filter(|task| Arc::ptr_eq(&task.ticket, ticket))?;
        Some((task.future.take()?, task.waker.clone()))
    }

    fn put_back(&self, ticket: &Ticket, future: Future) {
        if let Some(task) = self.tasks.borrow_mut().get_mut(ticket.key) {
            task.future = Some(future);
        }
    }

    fn remove(&self, ticket: &Ticket) {
        ticket.close();
        drop(self.tasks.borrow_mut().try_remove(ticket.key));
    }

    /// Drops a task now.
    pub(super) fn cancel(&self, reactor: &mut Reactor, ticket: &Arc<Ticket>) {
        if let Some((future, _)) = self.take(ticket) {
            self.remove(ticket);
            reactor.lend(|| drop(future));
        }
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

    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut spares = self.spares.borrow_mut();
        if (1..=LARGEST_SPARE).contains(&buffer.capacity()) && spares.len() < SPARES {
            buffer.clear();
            spares.push(buffer);
        }
    }
}

impl Drop for State {
    /// Tasks own connections, and these the executor: to drop the tasks breaks the circle.
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// Polls the task that was woken first. One task for a call: so each has its own name for observers and in
/// the warning of a slow callback, and the budget of calls is one of polls.
pub(super) fn poll_next(reactor: &mut Reactor) {
    let Some(executor) = Executor::find(reactor) else { return };
    let Some(ticket) = executor.inbox.pop() else { return };
    let Some((mut future, waker)) = executor.take(&ticket) else { return };
    ticket.begin_poll();
    let poll = || {
        let mut cx = Context::from_waker(&waker);
        let goes_on = !ticket.is_aborted() && future.as_mut().poll(&mut cx).is_pending();
        goes_on.then_some(future) // else it is dropped here, where the reactor is lent
    };
    match catch_unwind(AssertUnwindSafe(|| reactor.lend(poll))) {
        Ok(Some(future)) => executor.put_back(&ticket, future),
        Ok(None) => executor.remove(&ticket),
        Err(panic) => {
            executor.remove(&ticket);
            resume_unwind(panic);
        }
    }
}
