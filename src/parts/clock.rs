//! The monotonic clock, and a manual clock for simulations.
//!
//! The reactor reads the clock once per turn, and everything in that turn uses this time. Wall
//! clocks jump (Twisted's timers freeze when the administrator sets the date back); an [`Instant`]
//! does not.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The delay that stands for "never": longer than a process lives, short enough to add.
const FAR_FUTURE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The clock that a reactor reads.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The operating system's monotonic clock.
    Monotonic,
    /// Stands still until `wind` advances it; shared by the simulated reactor, its network and the
    /// test.
    Manual(Rc<Cell<Instant>>),
}

impl Clock {
    /// A manual clock; only differences between its times have a meaning.
    pub(crate) fn manual() -> Self {
        Self::Manual(Rc::new(Cell::new(Instant::now())))
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Monotonic => Instant::now(),
            Self::Manual(now) => now.get(),
        }
    }

    /// Advances a manual clock; has no effect on the system's clock.
    pub(crate) fn wind(&self, by: Duration) {
        if let Self::Manual(now) = self {
            now.set(later(now.get(), by));
        }
    }
}

/// A time that is as late as the end of the last callback: what that has done, and what the loop does after it, counts
/// from here.
#[derive(Debug)]
pub(crate) struct Latest {
    clock: Clock,
    /// When the last callback ended, while the loop runs and callbacks are timed.
    pub(crate) callback: Option<Instant>,
}

impl Latest {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, callback: None }
    }

    /// Reads the clock only within a callback, outside of the loop, and if callbacks are not timed.
    #[inline]
    pub(crate) fn get(&self) -> Instant {
        self.callback.unwrap_or_else(|| self.clock.now())
    }
}

/// `start + delay`, or a century after `start` if the sum overflows.
pub(crate) fn later(start: Instant, delay: Duration) -> Instant {
    start.checked_add(delay).unwrap_or_else(|| start + FAR_FUTURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_for_all_clones_when_advanced() {
        let clock = Clock::manual();
        let other = clock.clone();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.wind(Duration::from_secs(3));
        assert_eq!(other.now() - start, Duration::from_secs(3));
    }

    #[test]
    fn no_delay_is_too_long() {
        let now = Instant::now();
        assert!(later(now, Duration::MAX) > now + Duration::from_secs(3600 * 24 * 365 * 99));
    }
}
