//! A small thread pool for blocking work, independent of the reactor.
//!
//! The pool starts threads as work comes, up to a limit. Idle threads end after a while, so an
//! unused pool costs nothing. Nothing waits for the threads: a thread that blocks in the system (on
//! a dead file server, in a resolver) cannot be ended from outside. When the pool is dropped, each
//! thread finishes its current job and ends.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::call_queue::give_back;
use super::one_line::OneLine;

/// How long an idle thread waits before it ends: longer than the pauses within a burst.
///
/// Starting another thread takes only some tens of microseconds.
const IDLE: Duration = Duration::from_secs(10);

/// Work for a thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The reason why work given to a thread has no result.
///
/// See [`Reactor::call_in_thread`](crate::Reactor::call_in_thread).
///
/// # Examples
///
/// ```
/// use crocus::{Reactor, ThreadError};
///
/// let mut reactor = Reactor::new()?;
/// reactor.call_in_thread(
///     || -> u32 { panic!("out of order") },
///     |_reactor, result| match result {
///         Err(ThreadError::Panicked { message, .. }) => assert_eq!(message, "out of order"),
///         other => unreachable!("{other:?}"),
///     },
/// );
/// reactor.run()?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ThreadError {
    /// The work panicked, with this message.
    #[non_exhaustive]
    Panicked {
        /// The message of the panic.
        message: String,
    },
    /// The system started no thread, and the pool had none that could do the work.
    NotStarted(io::Error),
}

impl fmt::Display for ThreadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { message } => {
                write!(f, "the work in a thread panicked: {}", OneLine(message))
            }
            Self::NotStarted(error) => write!(f, "no thread could be started: {error}"),
        }
    }
}

impl std::error::Error for ThreadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Panicked { .. } => None,
            Self::NotStarted(error) => Some(error),
        }
    }
}

/// A bounded number of threads that take jobs from an unbounded queue.
pub(crate) struct Pool {
    workers: Arc<Workers>,
}

struct Workers {
    name: &'static str,
    size: usize,
    state: Mutex<State>,
    /// Signalled when a job is queued, and when the pool closes.
    wanted: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// How many threads wait for a job.
    idle: usize,
    open: bool,
}

impl Pool {
    /// A pool of at most `size` threads of this name; the first starts when there is work.
    pub(crate) fn new(name: &'static str, size: usize) -> Self {
        let state = State { jobs: VecDeque::new(), threads: 0, idle: 0, open: true };
        let wanted = Condvar::new();
        Self { workers: Arc::new(Workers { name, size, state: Mutex::new(state), wanted }) }
    }

    /// Queues `job` for a thread, after the jobs that wait already.
    ///
    /// # Errors
    ///
    /// If there is no thread and none can be started; returns the job with the error.
    pub(crate) fn submit(&self, job: Job) -> Result<(), (io::Error, Job)> {
        let mut state = self.workers.lock();
        if state.idle <= state.jobs.len() && state.threads < self.workers.size {
            match Workers::start(&self.workers) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err((error, job)),
                Err(error) => {
                    log::warn!("cannot start a {} thread: {error}; work waits", self.workers.name);
                }
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.workers.wanted.notify_one();
        Ok(())
    }

    /// Takes back the jobs that no thread has begun.
    pub(crate) fn clear(&self) -> VecDeque<Job> {
        std::mem::take(&mut self.workers.lock().jobs)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.workers.lock().open = false;
        self.workers.wanted.notify_all();
        drop(self.clear());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.workers.name).finish_non_exhaustive()
    }
}

impl Workers {
    fn start(workers: &Arc<Self>) -> io::Result<()> {
        let member = Arc::clone(workers);
        thread::Builder::new().name(workers.name.to_owned()).spawn(move || member.work()).map(drop)
    }

    /// The loop of each thread.
    fn work(&self) {
        while let Some(job) = self.next() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                // Jobs catch the panics of user code. This one comes from a `Drop` of the user's.
                // Dropping its payload might panic again and end this thread.
                std::mem::forget(payload);
            }
        }
    }

    /// Waits for the next job; on `None` the thread ends and is no longer counted.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        if state.jobs.is_empty() && state.open {
            state.idle += 1;
            let nothing = |state: &mut State| state.jobs.is_empty() && state.open;
            let waited = self.wanted.wait_timeout_while(state, IDLE, nothing);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        let job = state.jobs.pop_front();
        give_back(&mut state.jobs);
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }

    /// No user code runs under the lock, so the state behind a poisoned lock is valid.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Submits a job that reports its start and waits for its release.
    fn held(pool: &Pool, begun: &mpsc::Sender<()>) -> mpsc::Sender<()> {
        let (release, wait) = mpsc::channel::<()>();
        let begun = begun.clone();
        let job = Box::new(move || {
            begun.send(()).unwrap();
            let _ = wait.recv(); // a closed channel is a release too
        });
        assert!(pool.submit(job).is_ok());
        release
    }

    #[test]
    fn no_more_threads_than_work_and_than_the_size() {
        let pool = Pool::new("test", 3);
        assert_eq!(pool.workers.lock().threads, 0);
        let (begun, beginnings) = mpsc::channel();
        let mut held_up = Vec::new();
        for count in 1..=3 {
            held_up.push(held(&pool, &begun));
            beginnings.recv().unwrap();
            assert_eq!(pool.workers.lock().threads, count);
        }
        held_up.push(held(&pool, &begun));
        assert_eq!(pool.workers.lock().threads, 3, "the fourth waits");
        assert!(beginnings.try_recv().is_err());
        held_up.remove(0).send(()).unwrap();
        beginnings.recv().unwrap();
        assert_eq!(pool.workers.lock().threads, 3);
    }

    #[test]
    fn a_thread_that_waits_is_used_again() {
        let pool = Pool::new("test", 3);
        let (done, ends) = mpsc::channel();
        for _ in 0..100 {
            let done = done.clone();
            assert!(pool.submit(Box::new(move || done.send(()).unwrap())).is_ok());
            ends.recv().unwrap();
            while pool.workers.lock().idle == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(pool.workers.lock().threads, 1);
    }

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let pool = Pool::new("test", 1);
        assert!(pool.submit(Box::new(|| panic!("on purpose"))).is_ok());
        let (done, ends) = mpsc::channel();
        assert!(pool.submit(Box::new(move || done.send(()).unwrap())).is_ok());
        ends.recv().unwrap();
    }

    #[test]
    fn the_memory_of_many_jobs_is_given_back() {
        const MANY: usize = 100_000;
        let pool = Pool::new("test", 1);
        let (begun, beginnings) = mpsc::channel();
        let release = held(&pool, &begun);
        beginnings.recv().unwrap();
        for _ in 0..MANY {
            assert!(pool.submit(Box::new(|| ())).is_ok());
        }
        let last = held(&pool, &begun);
        assert!(pool.workers.lock().jobs.capacity() > MANY);
        drop(release);
        beginnings.recv().unwrap();
        assert!(pool.workers.lock().jobs.capacity() <= MANY / 50);
        drop(last);
    }

    #[test]
    fn dropping_the_pool_ends_idle_threads_and_drops_waiting_jobs() {
        let pool = Pool::new("test", 2);
        let workers = Arc::clone(&pool.workers);
        let (begun, beginnings) = mpsc::channel();
        let releases = [held(&pool, &begun), held(&pool, &begun)];
        beginnings.iter().take(2).for_each(drop);
        let waiting = held(&pool, &begun);
        drop(pool); // and does not wait for the threads
        assert!(waiting.send(()).is_err());
        drop(releases);
        while workers.lock().threads > 0 {
            thread::yield_now();
        }
        assert!(beginnings.try_recv().is_err());
    }
}
