//! Other threads: a handle is the way in, a hold keeps the reactor running, an answer comes back.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use mio::Waker;

use crate::answer::{Answer, Reply};
use crate::parts::call_queue::CallQueue;
use crate::reactor::Reactor;

/// Reaches a reactor from any thread.
///
/// A handle is the way in and no more: it does not keep [`run`](Reactor::run) from returning. A thread
/// that has more to say through it takes a [`Hold`] as well. A server needs none, since its listeners keep it running.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
///
/// let mut reactor = Reactor::new()?;
/// let (handle, hold) = (reactor.handle(), reactor.hold());
/// std::thread::spawn(move || {
///     handle.call_from_thread(|_reactor| println!("said on the reactor's thread"));
///     drop(hold);
/// });
/// reactor.run()?; // returns when the hold is gone and the call has run
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    name: Option<&'static str>,
}

impl Handle {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), name: None }
    }

    /// Returns a handle to the same reactor whose calls carry a name, as by
    /// [`with_name`](Reactor::with_name).
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// let handle = reactor.handle().named("cache"); // a slow call is logged with this name
    /// assert!(handle.call_from_thread(|_reactor| {}));
    /// reactor.run()?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn named(&self, name: &'static str) -> Self {
        Self { shared: Arc::clone(&self.shared), name: Some(name) }
    }

    /// Runs `call` on the reactor's thread, in the next [calls phase](Reactor::turn).
    ///
    /// Calls run in the order in which they are given, and wake a sleeping reactor. While it is awake they
    /// cost no system call. Never blocks on the reactor. Returns `false`, and drops `call`, if the reactor
    /// no longer exists.
    ///
    /// The queue keeps the closure without a box if it captures at most 64 bytes and its type is among the first
    /// 16 that the queue has met, or the first 15 if a larger closure came before them. The reactor takes the whole
    /// queue and leaves another one, which has met its own types. So calls of few types that come as often as
    /// before allocate nothing.
    ///
    /// Twisted's `callFromThread`, asyncio's `call_soon_threadsafe`.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// let handle = reactor.handle();
    /// assert!(handle.call_from_thread(|_reactor| println!("on the reactor's thread")));
    /// reactor.run()?;
    /// assert_eq!(reactor.stats().calls, 1);
    ///
    /// drop(reactor);
    /// assert!(!handle.call_from_thread(|_reactor| unreachable!()), "it is gone");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn call_from_thread(&self, call: impl FnOnce(&mut Reactor) + Send + 'static) -> bool {
        self.shared.push(self.name, call)
    }

    /// Runs `question` on the reactor's thread, as [`call_from_thread`](Self::call_from_thread) does, and
    /// gives back what it returns.
    ///
    /// The [`Answer`] can be waited for, looked at now and then, or dropped; the question is asked in any case.
    /// It fails if the question was dropped: because the reactor no longer exists or was stopped before, or
    /// because the question panicked.
    ///
    /// To have the answer sent to another reactor or into a channel, send it from within a
    /// `call_from_thread`.
    ///
    /// Twisted's `blockingCallFromThread`, asyncio's `run_coroutine_threadsafe`.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// let (handle, hold) = (reactor.handle(), reactor.hold());
    /// let asking = std::thread::spawn(move || {
    ///     let _hold = hold; // for as long as this thread has questions
    ///     handle.ask(|reactor| reactor.connections().len()).wait()
    /// });
    /// reactor.run()?;
    /// assert_eq!(asking.join().unwrap()?, 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Reactor) -> T + Send + 'static,
    ) -> Answer<T> {
        let (reply, answer) = Reply::new(self.shared.thread);
        // If the reactor is gone the reply is dropped here, which the answer tells.
        self.call_from_thread(move |reactor| reply.give(question(reactor)));
        answer
    }

    /// Asks the reactor to [stop](Reactor::stop); returns `false` if it no longer exists.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Ended, Reactor};
    ///
    /// let mut reactor = Reactor::new()?;
    /// let (handle, _hold) = (reactor.handle(), reactor.hold());
    /// std::thread::spawn(move || handle.stop());
    /// reactor.run()?;
    /// assert_eq!(reactor.ended(), Some(Ended::Stopped));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stop(&self) -> bool {
        self.call_from_thread(Reactor::stop)
    }

    /// Asks the reactor to [shut down](Reactor::shutdown) within `grace`; returns `false` if it no longer
    /// exists.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::{Ended, Protocol, Reactor};
    ///
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// let mut reactor = Reactor::new()?;
    /// reactor.listen("127.0.0.1:0", |_peer| Idle)?;
    /// let handle = reactor.handle();
    /// std::thread::spawn(move || handle.shutdown(Duration::from_secs(10)));
    /// reactor.run()?;
    /// assert_eq!(reactor.ended(), Some(Ended::ShutDown));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn shutdown(&self, grace: Duration) -> bool {
        self.call_from_thread(move |reactor| reactor.shutdown(grace))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Keeps a reactor running: while it exists, [`run`](Reactor::run) does not return for lack of work, and a
/// [shutdown](Reactor::shutdown) waits, within its grace.
///
/// Made by [`Reactor::hold`], for work that the reactor cannot see: a thread that will call in, a task of a
/// scheduler. It may be cloned, and dropped on any thread. [`stop`](Reactor::stop) does not wait for it.
/// To be told that it is time to let go, see [`on_shutdown`](Reactor::on_shutdown).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::Reactor;
///
/// let mut reactor = Reactor::new()?;
/// let hold = reactor.hold();
/// reactor.on_shutdown(move |_reactor| drop(hold)); // nothing is under way, so nothing is waited for
/// reactor.call_soon(|reactor| reactor.shutdown(Duration::from_secs(10)));
/// reactor.run()?;
/// # std::io::Result::Ok(())
/// ```
#[must_use = "a hold that is dropped keeps nothing running"]
pub struct Hold {
    shared: Arc<Shared>,
}

impl Hold {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.holds.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared) }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.shared.holds.fetch_sub(1, Ordering::SeqCst) == 1 {
            // The reactor may sleep only because this hold existed.
            self.shared.wake_if_asleep();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

/// The state that a reactor shares with its handles and holds.
///
/// # No wake-up is lost, and none is given to a reactor that is awake
///
/// A wake-up is a system call. It is needed only if the reactor sleeps, or may go to sleep without another
/// look at what is written here. `asleep` says so: from the end of a turn to the end of the next sleep. So a
/// host loop that polls the reactor's descriptor between turns is woken as well.
///
/// Each side first writes its own variable and then reads the other's:
///
/// ```text
///   another thread                              the reactor
///   1  filled = true   (or: holds - 1)          3  asleep = true        end of the turn
///   2  if asleep: asleep = false, wake          4  if filled: no sleep  next turn
/// ```
///
/// All four are `SeqCst`, so they have one order that all threads agree on. If 2 does not see 3, then 2 is
/// before 3 in it, hence 1 before 4, and 4 sees 1. So at least one of the two sides acts. With weaker orders
/// both reads could miss both writes, for a processor lets a read overtake the write before it.
///
/// Of several threads that find `asleep` only one gets `true` from the exchange, so a sleep costs one wake-up.
/// This one may be slow between the exchange and the wake-up; then the others rely on it, and it comes. If
/// the reactor woke for another reason meanwhile, the late wake-up costs a turn with nothing to do.
///
/// The reactor sets `asleep` to `false` when it has slept, without an order: a thread that still reads `true`
/// gives a wake-up that nobody needed, and one that reads `false` is before the next 3.
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Whether the queue may contain calls: saves the reactor the lock in most turns.
    filled: AtomicBool,
    /// Whether the reactor may need a wake-up to notice a change.
    asleep: AtomicBool,
    /// `None` in a simulated reactor, which never sleeps.
    waker: Option<Waker>,
    holds: AtomicUsize,
    /// The thread that the reactor was made on. It is not `Send`, so it stays there.
    thread: ThreadId,
}

struct Queue {
    /// Whether the reactor still takes calls.
    open: bool,
    calls: CallQueue<Reactor>,
}

impl Shared {
    pub(crate) fn new(waker: Option<Waker>) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(Queue { open: true, calls: CallQueue::default() }),
            filled: AtomicBool::new(false),
            asleep: AtomicBool::new(true),
            waker,
            holds: AtomicUsize::new(0),
            thread: std::thread::current().id(),
        })
    }

    /// Unbounded on purpose: a bounded queue that the loop's own thread fills blocks for ever.
    pub(crate) fn push(
        &self,
        name: Option<&'static str>,
        function: impl FnOnce(&mut Reactor) + Send + 'static,
    ) -> bool {
        let mut queue = self.lock();
        if !queue.open {
            return false; // drops the guard, and then the function, which may have a `Drop` of the user's
        }
        queue.calls.push(name, function);
        drop(queue);
        // If `filled` is set, another thread has set it and sees to the wake-up, and the reactor will take
        // this call too: it clears `filled` before it takes the lock. The load before the store keeps many
        // calling threads from contending for the cache line.
        if !self.filled.load(Ordering::Acquire) && !self.filled.swap(true, Ordering::SeqCst) {
            self.wake_if_asleep();
        }
        true
    }

    /// Swaps all queued calls for an empty queue, whose memory is used next.
    pub(crate) fn swap(&self, empty: &mut CallQueue<Reactor>) {
        if self.filled.load(Ordering::Acquire) && self.filled.swap(false, Ordering::AcqRel) {
            std::mem::swap(&mut self.lock().calls, empty);
        }
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::SeqCst)
    }

    /// The reactor may sleep from here on: changes need a wake-up. It looks at them again before it does.
    pub(crate) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// The reactor has slept, and looks at everything before it sleeps again.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Refuses calls from now on, and returns those that have not run.
    pub(crate) fn close(&self) -> CallQueue<Reactor> {
        let mut queue = self.lock();
        queue.open = false;
        std::mem::take(&mut queue.calls)
    }

    /// Whether a [`Hold`] exists.
    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::SeqCst) > 0
    }

    fn wake_if_asleep(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(waker) = &self.waker
            && let Err(error) = waker.wake()
        {
            log::error!("the reactor cannot be woken: {error}");
        }
    }

    /// No user code runs under the lock, so the state behind a poisoned lock is valid.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
