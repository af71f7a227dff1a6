//! Blocking work, done by threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use super::Reactor;
use super::dispatch::message;
use crate::observe::Subject;
use crate::parts::arena::{Arena, Key};
use crate::parts::pool::{Job, Pool, ThreadError};

/// # Work that blocks
impl Reactor {
    /// Runs `work`, which may block, in a thread, and then `then` with its result on the loop.
    ///
    /// `then` is called exactly once, in a calls phase, however the work ended; a panic of `work` is an
    /// error and has no other effect. `then` need not be `Send`: it does not leave the reactor's thread.
    /// `work` has no reactor. To have something done on the loop meanwhile, it uses a
    /// [`Handle`](crate::Handle).
    ///
    /// The threads are the reactor's own, named `crocus-worker`: made when there is work, at most
    /// [eight](crate::ReactorBuilder::threads), and ended after ten idle seconds. While all are busy,
    /// work waits in a queue without a bound, because a bound could only block the loop; see
    /// [`pending_work`](Self::pending_work). Other threads look names up, so lookups do not wait behind
    /// it.
    ///
    /// Work whose `then` is still to be called keeps [`run`](Self::run) from returning by itself, but
    /// delays neither [`stop`](Self::stop) nor [`shutdown`](Self::shutdown) nor the drop of the reactor:
    /// after these, work that has not begun is dropped, work that has begun goes on without effect on
    /// the reactor, and `then` is dropped and not called. The end of the program ends unfinished work.
    ///
    /// In a [`Simulation`](crate::testing::Simulation) there are no threads: `work` runs as if it had
    /// been given to [`call_soon`](Self::call_soon), taking no simulated time, and `then` in the turn
    /// after that.
    ///
    /// Twisted's `deferToThread`, asyncio's `run_in_executor`.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.call_in_thread(
    ///     || std::fs::read_to_string("/etc/hostname"),
    ///     |_reactor, result| match result {
    ///         Ok(Ok(name)) => println!("this is {name}"),
    ///         Ok(Err(error)) => println!("cannot read the name: {error}"),
    ///         Err(error) => println!("{error}"), // a panic, or no thread
    ///     },
    /// );
    /// reactor.run()?; // returns when the result was told
    /// # std::io::Result::Ok(())
    /// ```
    pub fn call_in_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Self, Result<T, ThreadError>) + 'static,
    ) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let failed = sender.clone();
        let key = self.work().follow_ups.insert(Box::new(Awaited { receiver, then }));
        let (shared, name) = (Arc::clone(&self.calls.shared), self.extension.name);
        let job: Job = Box::new(move || {
            let (result, _payload) = attempt(work);
            // This fails if the follow-up was dropped, and then the result is not needed.
            drop(sender.send(result));
            shared.push(name, move |reactor| reactor.work_is_through(key));
        });
        if self.simulated().is_some() {
            return self.call_soon(|_| job());
        }
        if let Err((error, job)) = self.work().workers.submit(job) {
            drop(failed.send(Err(ThreadError::NotStarted(error))));
            self.let_go(Subject::Reactor, job);
            self.call_soon(move |reactor| reactor.work_is_through(key));
        }
    }

    /// How many results of [`call_in_thread`](Self::call_in_thread) have not been told yet.
    ///
    /// A server can use this to refuse requests instead of letting them wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.call_in_thread(|| 6 * 7, |_reactor, answer| assert_eq!(answer.unwrap(), 42));
    /// assert_eq!(reactor.pending_work(), 1);
    /// reactor.run()?;
    /// assert_eq!(reactor.pending_work(), 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn pending_work(&self) -> usize {
        let work = self.threads.work.as_ref().and_then(|(work, _)| work.downcast_ref::<Work>());
        work.map_or(0, |work| work.follow_ups.len())
    }

    /// The work, which is made when it is first asked for.
    fn work(&mut self) -> &mut Work {
        let threads = self.limits.threads;
        let make =
            || (Box::new(Work::new(threads)) as Box<dyn Any>, Self::drop_work as fn(&mut Self));
        let (work, _) = self.threads.work.get_or_insert_with(make);
        work.downcast_mut().expect("nothing else is kept here")
    }

    /// Calls what follows on finished work, in the calls phase like any other call.
    fn work_is_through(&mut self, key: Key) {
        if let Some(follow_up) = self.work().follow_ups.remove(key) {
            follow_up.call(self);
        }
    }

    /// Drops the work that has not begun, and all follow-ups.
    fn drop_work(&mut self) {
        let Work { workers, follow_ups } = self.work();
        let jobs = workers.clear();
        let keys = follow_ups.keys().into_iter();
        let follow_ups: Vec<_> = keys.filter_map(|key| follow_ups.remove(key)).collect();
        self.let_go_of_each(Subject::Reactor, jobs);
        for follow_up in follow_ups {
            follow_up.let_go(self);
        }
    }
}

/// The user's work in threads, and the functions to call after it.
struct Work {
    workers: Pool,
    follow_ups: Arena<Box<dyn FollowUp>>,
}

impl Work {
    fn new(threads: usize) -> Self {
        Self { workers: Pool::new("crocus-worker", threads), follow_ups: Arena::new() }
    }
}

/// The function to call on the loop when work in a thread is done. It is not `Send`, so it stays here
/// meanwhile.
trait FollowUp {
    fn call(self: Box<Self>, reactor: &mut Reactor);
    /// Drops the function and then the result that it has not got, as user code.
    fn let_go(self: Box<Self>, reactor: &mut Reactor);
}

/// The function to call after work in a thread, and the channel of its result. Both may hold values of the user's.
struct Awaited<T, F> {
    receiver: Receiver<Result<T, ThreadError>>,
    then: F,
}

impl<T, F: FnOnce(&mut Reactor, Result<T, ThreadError>)> FollowUp for Awaited<T, F> {
    fn call(self: Box<Self>, reactor: &mut Reactor) {
        // The result was sent before the call that runs this.
        if let Ok(result) = self.receiver.try_recv() {
            (self.then)(reactor, result);
        }
    }

    fn let_go(self: Box<Self>, reactor: &mut Reactor) {
        let Self { receiver, then } = *self;
        reactor.let_go(Subject::Reactor, then);
        reactor.let_go_of_rest(Subject::Reactor, receiver);
    }
}

/// The result of `work`, and the payload of its panic, which the caller drops last, since that drop may
/// panic too.
fn attempt<T>(work: impl FnOnce() -> T) -> (Result<T, ThreadError>, Option<Box<dyn Any + Send>>) {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => (Ok(value), None),
        Err(payload) => {
            let message = message(payload.as_ref()).to_owned();
            (Err(ThreadError::Panicked { message }), Some(payload))
        }
    }
}
