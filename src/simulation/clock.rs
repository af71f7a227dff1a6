//! The clock of a simulation, as a test and its protocols hold it.

use std::time::{Duration, Instant};

use crate::parts::clock::Clock;

/// The clock of a [`Simulation`](super::testing::Simulation), shared by all its clones.
///
/// A protocol that holds one can take time in a callback, as one that computes or blocks does.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::testing::{Simulation, SimulatedClock};
/// use crocus::{Protocol, Transport};
///
/// /// Needs two seconds for each answer.
/// struct Slow(SimulatedClock);
///
/// impl Protocol for Slow {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         let began = self.0.now();
///         self.0.advance(Duration::from_secs(2));
///         assert_eq!(self.0.now() - began, Duration::from_secs(2));
///         transport.write(data);
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// let mut peer = simulation.connect(Slow(simulation.clock()));
/// peer.send(b"hello");
/// simulation.settle();
/// assert_eq!(peer.received(), b"hello");
/// assert_eq!(simulation.elapsed(), Duration::from_secs(2));
/// assert_eq!(simulation.reactor().stats().slow_callbacks, 1);
/// ```
#[derive(Clone, Debug)]
pub struct SimulatedClock(Clock);

impl SimulatedClock {
    pub(super) fn new(clock: &Clock) -> Self {
        Self(clock.clone())
    }

    /// The time. Only differences have a meaning.
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// Moves the clock, and does nothing else: no turn runs, and a running turn keeps its time.
    ///
    /// Timers that have come due meanwhile fire in the next turn, late. To let time pass with each event at its
    /// own moment, use [`Simulation::advance`](super::testing::Simulation::advance).
    pub fn advance(&self, by: Duration) {
        self.0.wind(by);
    }
}
