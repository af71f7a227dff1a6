//! Outgoing connections that reconnect with back-off.
//!
//! A client that reconnects at once after every loss overloads a server in trouble, together with
//! all its other clients. Here the waits grow with every failure up to a cap, and each is drawn at
//! random between zero and the present limit ("full jitter"). So clients that lost their server at
//! the same moment do not come back at the same moment.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

#[cfg(feature = "tls")]
use crate::tls::TlsInfo;
use crate::{Address, Connector, Factory, ListenerId, Protocol, Reactor, Reason};

/// The limit of the first wait.
const INITIAL: Duration = Duration::from_secs(1);

/// The factor by which the limit grows with each failure.
const FACTOR: u32 = 2;

/// The longest wait, jitter included.
const MAX: Duration = Duration::from_secs(60);

/// How long a connection must last to count as healthy; the next wait is then a first one again.
///
/// A server that accepts and drops its clients does not count as recovered.
const STABLE: Duration = Duration::from_secs(10);

/// How long to wait before each further attempt to connect.
///
/// The limit of a wait is `initial`, doubled with every failure in a row, up to `max`. The wait is
/// drawn evenly between zero and the limit.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::Backoff;
///
/// let patient = Backoff::new()
///     .initial(Duration::from_secs(5)) // 5, 10, 20, … s
///     .max(Duration::from_secs(600))
///     .stable(Duration::from_secs(60)); // a connection that lasted is a fresh start
/// let brief = Backoff::new().max_attempts(3);
/// let for_tests = Backoff::new().seed(17); // the same waits in each run
/// let exact = Backoff::new().jitter(false); // 1, 2, 4, … s
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    stable: Duration,
    max_attempts: Option<u32>,
    jitter: bool,
    seed: Option<u64>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: INITIAL,
            max: MAX,
            stable: STABLE,
            max_attempts: None,
            jitter: true,
            seed: None,
        }
    }
}

impl Backoff {
    /// The defaults: limits of 1 s, 2 s, 4 s, … 60 s; a fresh start after 10 s; no limit on
    /// attempts.
    pub fn new() -> Self {
        Self::default()
    }

    /// The limit of the first wait: 1 s by default.
    ///
    /// Zero stays zero: each further attempt begins in the next turn.
    #[must_use]
    pub fn initial(mut self, limit: Duration) -> Self {
        self.initial = limit;
        self
    }

    /// The cap of all limits: 60 s by default.
    #[must_use]
    pub fn max(mut self, limit: Duration) -> Self {
        self.max = limit;
        self
    }

    /// How long a connection must last for the waits to begin anew: 10 s by default.
    #[must_use]
    pub fn stable(mut self, lasting: Duration) -> Self {
        self.stable = lasting;
        self
    }

    /// How many attempts in a row may fail, including the first; no limit by default.
    ///
    /// A connection that did not last counts as a failed attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Address, Backoff, Connector, Ended, Factory, Protocol, Reason, Reconnecting};
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// struct Client;
    ///
    /// impl Factory for Client {
    ///     fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
    ///         Some(Box::new(Idle))
    ///     }
    ///
    ///     fn gave_up(&mut self, connector: &mut Connector, _: &Reason) {
    ///         connector.reactor().stop();
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let three_times = Reconnecting::new(Client, Backoff::new().max_attempts(3));
    /// simulation.reactor().connect("192.0.2.1:80", three_times);
    /// simulation.reactor().run()?; // nobody listens there
    /// assert_eq!(simulation.reactor().stats().failed, 3);
    /// assert_eq!(simulation.reactor().ended(), Some(Ended::Stopped));
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Whether the waits are drawn at random (the default) or are equal to the limits.
    #[must_use]
    pub fn jitter(mut self, on: bool) -> Self {
        self.jitter = on;
        self
    }

    /// Draws the waits from a seed of their own, so that they repeat; else they are the reactor's
    /// [random](crate::Reactor::random) numbers.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The limit of a wait; the first wait is number one.
    fn limit(&self, wait: u32) -> Duration {
        let mut limit = self.initial.min(self.max);
        for _ in 1..wait {
            if limit.is_zero() || limit == self.max {
                break; // it grows no more
            }
            limit = limit.saturating_mul(FACTOR).min(self.max);
        }
        limit
    }
}

/// A factory that connects again whenever an attempt fails or a connection is lost.
///
/// The inner factory is told of everything first, and makes the protocols. Reconnecting ends with
/// [`Reactor::disconnect`](crate::Reactor::disconnect), when the reactor stops, or else when the inner factory is
/// told [`gave_up`](Factory::gave_up): after [`Backoff::max_attempts`], or at once if the endpoint can
/// never be connected to (`InvalidInput`: it is no address, or a path too long). A panic of the inner factory does
/// not end it.
///
/// The waits are drawn from [`Reactor::random`](crate::Reactor::random), so they repeat in a simulation.
///
/// Twisted's `ReconnectingClientFactory` and `ClientService`, without a call to `resetDelay` after
/// a success.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::testing::Simulation;
/// use crocus::{Backoff, Protocol, Reconnecting};
///
/// # struct Ping;
/// # impl Protocol for Ping {}
/// # let mut simulation = Simulation::new();
/// let factory = Reconnecting::new(|_peer| Ping, Backoff::new().jitter(false));
/// let connector = simulation.reactor().connect("192.0.2.1:5000", factory);
/// simulation.advance(Duration::from_secs(4));
/// assert_eq!(simulation.reactor().stats().failed, 3); // at 0, 1 and 3 s; the next is at 7 s
///
/// // … and when it is no longer wanted, connected or not:
/// simulation.reactor().disconnect(connector);
/// simulation.advance(Duration::from_secs(60));
/// assert_eq!(simulation.reactor().stats().failed, 4); // the attempt that was cancelled
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Reconnecting<F> {
    factory: F,
    backoff: Backoff,
    /// Failed attempts and short connections since the last connection that lasted.
    failures: u32,
    /// Waits since then.
    waits: u32,
    /// Random numbers drawn so far from the seed.
    drawn: u64,
}

impl<F: Factory> Reconnecting<F> {
    /// A factory that connects again and again, with the protocols that `factory` makes.
    pub fn new(factory: F, backoff: Backoff) -> Self {
        Self { factory, backoff, drawn: 0, failures: 0, waits: 0 }
    }

    /// A random number, of the own seed if there is one, else of the reactor.
    fn draw(&mut self, connector: &mut Connector<'_>) -> u64 {
        let Some(seed) = self.backoff.seed else { return connector.reactor().random() };
        self.drawn += 1;
        BuildHasherDefault::<DefaultHasher>::new().hash_one((seed, self.drawn))
    }

    /// Tells the inner factory of an end, and goes on if it is to connect again: also after a panic, for a bug there
    /// shall not cost all further connections.
    fn tell(
        &mut self,
        connector: &mut Connector<'_>,
        reason: &Reason,
        tell: impl FnOnce(&mut F, &mut Connector<'_>, &Reason),
        is_over: impl FnOnce(&Reason) -> bool,
    ) {
        let told = catch_unwind(AssertUnwindSafe(|| tell(&mut self.factory, connector, reason)));
        // Else nobody wants it any more, or the inner factory connects itself.
        if connector.may_connect() && !matches!(reason, Reason::Cancelled) {
            if is_over(reason) || self.backoff.max_attempts.is_some_and(|max| self.failures >= max)
            {
                self.factory.gave_up(connector, reason);
            } else {
                self.try_again(connector);
            }
        }
        if let Err(panic) = told {
            resume_unwind(panic);
        }
    }

    fn try_again(&mut self, connector: &mut Connector<'_>) {
        self.waits = self.waits.saturating_add(1);
        let limit = self.backoff.limit(self.waits);
        let wait = match self.backoff.jitter {
            true => up_to(limit, self.draw(connector)),
            false => limit,
        };
        connector.connect_after(wait);
        log::debug!("connecting to {} again in {wait:?}", connector.endpoint());
    }
}

impl<F: Factory> Factory for Reconnecting<F> {
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        self.factory.build_protocol(peer)
    }

    #[cfg(feature = "tls")]
    fn build_tls_protocol(&mut self, peer: Address, tls: &TlsInfo) -> Option<Box<dyn Protocol>> {
        self.factory.build_tls_protocol(peer, tls)
    }

    fn started(&mut self, reactor: &mut Reactor, listener: ListenerId) {
        self.factory.started(reactor, listener);
    }

    fn stopped(&mut self, reactor: &mut Reactor, listener: ListenerId) {
        self.factory.stopped(reactor, listener);
    }

    fn connection_failed(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        if !matches!(reason, Reason::Cancelled) {
            self.failures = self.failures.saturating_add(1);
        }
        self.tell(connector, reason, F::connection_failed, is_hopeless);
    }

    fn connection_lost(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        if connector.lasted() >= self.backoff.stable {
            (self.failures, self.waits) = (0, 0);
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        self.tell(connector, reason, F::connection_lost, |_| false);
    }

    fn gave_up(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        self.factory.gave_up(connector, reason);
    }
}

/// A duration between zero and `limit`, both included, for a random number.
fn up_to(limit: Duration, random: u64) -> Duration {
    limit.mul_f64(random as f64 / u64::MAX as f64).min(limit)
}

/// Whether each further attempt would fail in the same way: what was asked for is no address, or none
/// that the system knows how to connect to.
fn is_hopeless(reason: &Reason) -> bool {
    reason.io_error().is_some_and(|error| error.kind() == io::ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::random::Random;

    #[test]
    fn random_waits_fill_the_range_and_stay_in_it() {
        let limit = Duration::from_secs(10);
        let mut random = Random::new(1);
        let drawn: Vec<Duration> = (0..1000).map(|_| up_to(limit, random.next())).collect();
        assert!(drawn.iter().all(|wait| *wait <= limit));
        let below = |part: u32| drawn.iter().filter(|wait| **wait < limit * part / 4).count();
        for part in 1..4 {
            assert!(below(part).abs_diff(250 * part as usize) < 60, "{part}: {}", below(part));
        }
        assert_eq!(up_to(Duration::ZERO, u64::MAX), Duration::ZERO);
        assert_eq!((up_to(limit, 0), up_to(limit, u64::MAX)), (Duration::ZERO, limit));
    }

    #[test]
    fn limits_double_up_to_the_cap_and_never_overflow() {
        let backoff = Backoff::new();
        let seconds: Vec<u64> = (1..10).map(|wait| backoff.limit(wait).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.limit(10_000), MAX);
        assert_eq!(backoff.limit(u32::MAX), MAX);
        assert_eq!(Backoff::new().initial(Duration::MAX).limit(2), MAX);
        let nanosecond = Backoff::new().initial(Duration::from_nanos(1));
        assert_eq!(nanosecond.limit(33), Duration::from_nanos(1 << 32), "no leap to the cap");
        for wait in [1, 2, 33, u32::MAX] {
            assert_eq!(Backoff::new().initial(Duration::ZERO).limit(wait), Duration::ZERO);
            assert_eq!(Backoff::new().max(Duration::ZERO).limit(wait), Duration::ZERO);
        }
    }
}
