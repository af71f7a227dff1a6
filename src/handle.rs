//! Handles that reach the reactor from other threads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::Waker;

use crate::reactor::Reactor;

/// A call on its way from another thread.
pub(crate) type RemoteCall = Box<dyn FnOnce(&mut Reactor) + Send>;

/// Reaches a reactor from any thread.
///
/// While a handle exists, [`run`](Reactor::run) does not return for lack of work, since work may
/// come through the handle.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
///
/// let mut reactor = Reactor::new()?;
/// let handle = reactor.handle();
/// std::thread::spawn(move || {
///     handle.call_from_thread(|_reactor| println!("said on the reactor's thread"));
/// });
/// reactor.run()?; // returns when the call has run and the handle is gone
/// # std::io::Result::Ok(())
/// ```
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Runs `call` on the reactor's thread, in the next [calls phase](Reactor::turn).
    ///
    /// Calls run in the order in which they are given, and wake a sleeping reactor. Never blocks on
    /// the reactor. Returns `false`, and drops `call`, if the reactor no longer exists.
    ///
    /// Twisted's `callFromThread`, asyncio's `call_soon_threadsafe`.
    pub fn call_from_thread(&self, call: impl FnOnce(&mut Reactor) + Send + 'static) -> bool {
        self.shared.push(Box::new(call))
    }

    /// Asks the reactor to [stop](Reactor::stop); returns `false` if it no longer exists.
    pub fn stop(&self) -> bool {
        self.call_from_thread(Reactor::stop)
    }

    /// Asks the reactor to [shut down](Reactor::shutdown) within `grace`; returns `false` if it no longer
    /// exists.
    pub fn shutdown(&self, grace: Duration) -> bool {
        self.call_from_thread(move |reactor| reactor.shutdown(grace))
    }

    /// Returns a handle to the same reactor that does not keep `run` from returning.
    pub fn downgrade(&self) -> WeakHandle {
        WeakHandle { shared: Arc::clone(&self.shared) }
    }
}

/// A handle to a reactor that does not keep [`run`](Reactor::run) from returning.
///
/// Made by [`Handle::downgrade`]. For code that serves the reactor and gives it no work of its own.
#[derive(Clone)]
pub struct WeakHandle {
    shared: Arc<Shared>,
}

impl WeakHandle {
    /// The same as [`Handle::call_from_thread`].
    ///
    /// Returns `false` also if the reactor has returned from its last `run` and no longer exists.
    pub fn call_from_thread(&self, call: impl FnOnce(&mut Reactor) + Send + 'static) -> bool {
        self.shared.push(Box::new(call))
    }
}

impl fmt::Debug for WeakHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakHandle").finish_non_exhaustive()
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The reactor may wait only because this handle existed.
            self.shared.wake();
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::AcqRel);
        Self { shared: Arc::clone(shared) }
    }
}

/// The state that a reactor shares with its handles.
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Whether the queue may contain calls: saves the reactor the lock in most turns.
    filled: AtomicBool,
    /// `None` in a simulated reactor, which never sleeps.
    waker: Option<Waker>,
    handles: AtomicUsize,
}

struct Queue {
    /// Whether the reactor still takes calls.
    open: bool,
    calls: VecDeque<RemoteCall>,
}

impl Shared {
    pub(crate) fn new(waker: Option<Waker>) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(Queue { open: true, calls: VecDeque::new() }),
            filled: AtomicBool::new(false),
            waker,
            handles: AtomicUsize::new(0),
        })
    }

    /// Unbounded on purpose: a bounded queue that the loop's own thread fills blocks for ever.
    pub(crate) fn push(&self, call: RemoteCall) -> bool {
        let mut queue = self.lock();
        if !queue.open {
            return false;
        }
        queue.calls.push_back(call);
        drop(queue);
        // If `filled` is set, the reactor has been woken and will take this call: it clears
        // `filled` before it takes the lock. The load before the swap keeps many calling threads
        // from contending for the cache line.
        if !self.filled.load(Ordering::Acquire) && !self.filled.swap(true, Ordering::AcqRel) {
            self.wake();
        }
        true
    }

    /// Takes all queued calls and leaves `empty` in their place, so that no queue grows anew.
    pub(crate) fn take(&self, empty: &mut VecDeque<RemoteCall>) {
        if self.filled.load(Ordering::Acquire) && self.filled.swap(false, Ordering::AcqRel) {
            std::mem::swap(&mut self.lock().calls, empty);
        }
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Refuses calls from now on, and returns those that have not run.
    pub(crate) fn close(&self) -> VecDeque<RemoteCall> {
        let mut queue = self.lock();
        queue.open = false;
        std::mem::take(&mut queue.calls)
    }

    /// Whether a [`Handle`] exists; weak ones do not count.
    pub(crate) fn is_held(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker
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
