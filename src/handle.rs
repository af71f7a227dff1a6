//! Reaching the reactor from other threads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use crate::reactor::Reactor;

/// A call on its way from another thread.
pub(crate) type RemoteCall = Box<dyn FnOnce(&mut Reactor) + Send>;

/// Reaches a reactor from any thread.
///
/// While a handle lives, [`run`](Reactor::run) does not return by itself for want of work, since
/// work may come through it.
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
    /// Has `call` run on the reactor's thread, in the calls phase of its next turn, after all that
    /// were given before it. Wakes the reactor if it sleeps.
    ///
    /// Never blocks on the reactor. Returns `false`, and drops `call`, if the reactor is no more.
    ///
    /// Twisted's `callFromThread`, asyncio's `call_soon_threadsafe`.
    pub fn call_from_thread(&self, call: impl FnOnce(&mut Reactor) + Send + 'static) -> bool {
        self.shared.push(Box::new(call))
    }

    /// Has the reactor [stop](Reactor::stop). `false` if it is no more.
    pub fn stop(&self) -> bool {
        self.call_from_thread(Reactor::stop)
    }

    /// Another handle to the same reactor, which does not keep `run` from returning.
    pub fn downgrade(&self) -> WeakHandle {
        WeakHandle { shared: Arc::clone(&self.shared) }
    }
}

/// Reaches a reactor from any thread, and keeps no [`run`](Reactor::run) from returning.
///
/// Made by [`Handle::downgrade`]. For code that serves the reactor and has no work of its own for it.
#[derive(Clone)]
pub struct WeakHandle {
    shared: Arc<Shared>,
}

impl WeakHandle {
    /// As [`Handle::call_from_thread`]. `false` also if the reactor has returned from its last `run` and is
    /// no more.
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
            // The reactor may have been waiting for nothing but us.
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

/// What a reactor and the other threads have in common.
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Whether the queue may have something in it: saves the reactor the lock in most turns.
    filled: AtomicBool,
    /// `None` in a simulated reactor, which never sleeps.
    waker: Option<Waker>,
    handles: AtomicUsize,
}

struct Queue {
    /// Whether the reactor is still there to empty it.
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

    /// Unbounded on purpose: a bounded queue, filled from the loop's own thread, blocks for ever.
    pub(crate) fn push(&self, call: RemoteCall) -> bool {
        let mut queue = self.lock();
        if !queue.open {
            return false;
        }
        queue.calls.push_back(call);
        drop(queue);
        // Who finds it filled already knows that the reactor has been woken, and will look after this:
        // it clears the mark before it takes the lock. To look first keeps those who call in numbers
        // from taking the mark away from each other.
        if !self.filled.load(Ordering::Acquire) && !self.filled.swap(true, Ordering::AcqRel) {
            self.wake();
        }
        true
    }

    /// Takes all calls that are there, and leaves `empty` in exchange, so that no queue has to grow
    /// again.
    pub(crate) fn take(&self, empty: &mut VecDeque<RemoteCall>) {
        if self.filled.load(Ordering::Acquire) && self.filled.swap(false, Ordering::AcqRel) {
            std::mem::swap(&mut self.lock().calls, empty);
        }
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// No more calls are taken; returns those that came too late.
    pub(crate) fn close(&self) -> VecDeque<RemoteCall> {
        let mut queue = self.lock();
        queue.open = false;
        std::mem::take(&mut queue.calls)
    }

    /// Whether a handle is held anywhere.
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

    /// No code of the user's runs under the lock, so a poisoned one holds nothing broken.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
