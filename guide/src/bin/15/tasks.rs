//! Futures that the reactor polls.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crocus::{Handle, Reactor};

pub(crate) type Task = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// The tasks that are not ready yet, by number.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) waiting: BTreeMap<usize, Task>,
    spawned: usize,
}

/// A waker: the number of a task, and a handle to say it to the reactor.
struct Number {
    number: usize,
    handle: Handle,
}

impl Wake for Number {
    fn wake(self: Arc<Self>) {
        let number = self.number;
        eprintln!("reactor | task {number} | woken");
        self.handle.call_from_thread(move |reactor| poll(reactor, number));
    }
}

fn waker(reactor: &Reactor, number: usize) -> Waker {
    Arc::new(Number { number, handle: reactor.handle().named("task") }).into()
}

/// Begins a task: it is polled in the next calls phase.
pub(crate) fn spawn(reactor: &mut Reactor, task: Task) {
    let mut tasks = reactor.take_state::<Tasks>().unwrap_or_default();
    tasks.spawned += 1;
    waker(reactor, tasks.spawned).wake();
    tasks.waiting.insert(tasks.spawned, task);
    reactor.set_state(tasks);
}

/// Polls a task, unless it is over.
fn poll(reactor: &mut Reactor, number: usize) {
    let tasks = reactor.state::<Tasks>();
    let Some(mut task) = tasks.and_then(|it| it.waiting.remove(&number)) else { return };
    let waker = waker(reactor, number);
    let poll = reactor.lend(|| task.as_mut().poll(&mut Context::from_waker(&waker)));
    eprintln!("code | task {number} | {poll:?}");
    match (poll, reactor.state::<Tasks>()) {
        (Poll::Pending, Some(tasks)) => drop(tasks.waiting.insert(number, task)),
        _ => reactor.lend(|| drop(task)),
    }
}
