//! Observation of turns: observers, counters, and a log of everything.
//!
//! An [`Observer`] is told of each step of the loop as a [`Notice`], and can change none of it. Without
//! an observer a step costs a branch. [`Stats`] are always counted; [`LogObserver`] logs each step through
//! the `log` crate, [`Recorder`] keeps the last ones, and [`ChromeTrace`] writes them for a viewer.

mod display;
mod log;
mod notice;
mod recorder;
mod stats;
mod trace;
mod values;
pub(crate) mod watcher;

pub use self::log::LogObserver;
pub use notice::Notice;
pub use recorder::{Record, Recorder};
pub use stats::{Stats, TurnReport};
pub use trace::ChromeTrace;
pub use values::{Command, Origin, Outcome, Phase, Queue, Stage, Subject, TimerEvent, TimerOwner};

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// Watches the steps of a turn.
///
/// The loop calls it with plain values and no access to the reactor, so it cannot change what it sees. It
/// runs on the loop's thread: while it works, no source is served. A panic in it is not caught, and ends
/// the turn half-way: the reactor cannot be turned any more.
///
/// **It is called in a turn, between callbacks, and never inside of one.** The reactor keeps what a callback
/// does and tells it when the callback has returned, before its `CallbackEnd`, in order, each notice with the
/// time at which it happened. So a protocol may share state with an observer in a `RefCell` and borrow it
/// for the length of a callback. Commands from outside of a turn are told when the next turn begins.
///
/// A pair of observers is an observer that tells both, and a shared `Rc<RefCell<O>>` is one whose state the
/// program can read.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use std::time::{Duration, Instant};
/// use crocus::{Notice, Observer, Reactor};
///
/// #[derive(Default)]
/// struct Slowest(Duration);
///
/// impl Observer for Slowest {
///     fn notice(&mut self, _at: Instant, notice: &Notice) {
///         if let Notice::CallbackEnd { took, .. } = notice {
///             self.0 = self.0.max(*took);
///         }
///     }
/// }
///
/// let slowest = Rc::new(RefCell::new(Slowest::default()));
/// let mut reactor = Reactor::new()?;
/// reactor.set_observer(Some(Box::new(Rc::clone(&slowest))));
/// reactor.call_soon(|_| std::thread::sleep(Duration::from_millis(1)));
/// reactor.run()?;
/// assert!(slowest.borrow().0 >= Duration::from_millis(1));
/// # std::io::Result::Ok(())
/// ```
pub trait Observer {
    /// Something has happened, at this moment.
    ///
    /// The moments of a reactor's notices never go back. Those that follow each other with neither user code
    /// nor a system call between them may have the same one, as most have in the simulation: their order
    /// counts. [`Notice::Sent`] has that of the end of the callback whose bytes they are, before the system call.
    fn notice(&mut self, at: Instant, notice: &Notice);
}

/// Tells both, the first one first.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        self.0.notice(at, notice);
        self.1.notice(at, notice);
    }
}

/// Tells it if it is there.
impl<O: Observer> Observer for Option<O> {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        if let Some(observer) = self {
            observer.notice(at, notice);
        }
    }
}

/// Shares it with the program.
///
/// # Panics
///
/// If it is borrowed: only a borrow that is kept across turns can be met.
impl<O: Observer + ?Sized> Observer for Rc<RefCell<O>> {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        self.borrow_mut().notice(at, notice);
    }
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        (**self).notice(at, notice);
    }
}
