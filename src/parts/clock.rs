//! Monotonic time, or a clock wound by hand.
//!
//! The reactor asks for the time once per turn and everything in that turn uses the answer. Wall
//! clocks jump (Twisted's timers freeze when the administrator sets the date back); an
//! [`Instant`] does not.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A deadline that stands for "never": later than any process lives, early enough to add to.
const FAR_FUTURE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Where a reactor reads the time.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The operating system's monotonic clock.
    Monotonic,
    /// Stands still until it is wound; shared by the simulated reactor, its network and the test.
    Manual(Rc<Cell<Instant>>),
}

impl Clock {
    /// A hand-wound clock. Where it starts has no meaning, only differences have.
    pub(crate) fn manual() -> Self {
        Self::Manual(Rc::new(Cell::new(Instant::now())))
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Monotonic => Instant::now(),
            Self::Manual(now) => now.get(),
        }
    }

    /// Moves a hand-wound clock on; the system's takes no orders.
    pub(crate) fn wind(&self, by: Duration) {
        if let Self::Manual(now) = self {
            now.set(later(now.get(), by));
        }
    }
}

/// `start + delay`, or a moment a century away where that does not fit.
pub(crate) fn later(start: Instant, delay: Duration) -> Instant {
    start.checked_add(delay).unwrap_or_else(|| start + FAR_FUTURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_wound_and_for_all_who_share_it() {
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
