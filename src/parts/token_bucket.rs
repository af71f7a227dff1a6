//! Rate limits: a bucket of tokens that fills with time, and from which each byte takes one.
//!
//! The bucket reads no clock: callers pass the time. It stores its level as the time it took to
//! earn, so that frequent reads lose nothing to rounding.

use std::time::{Duration, Instant};

/// A bucket holds a tenth of a second's worth, unless set otherwise.
///
/// Short enough that a stream does not visibly stop and go, long enough that its timer costs
/// little.
const BURSTS_PER_SECOND: u64 = 10;

/// A connection that waits goes on at half a default burst: at most twenty times a second.
const PORTIONS_PER_SECOND: u64 = 2 * BURSTS_PER_SECOND;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A limit on the bytes read or written per second, and on the burst after a silence.
///
/// For [`Transport::set_read_rate`](crate::Transport::set_read_rate) and its counterpart for writing.
///
/// A token bucket (Twisted's `htb`). It fills with time, up to the burst, and each byte takes a
/// token out. In any span of `t` seconds at most `rate × t + burst` bytes pass. When it is empty,
/// the connection waits until half the burst is there again, or a twentieth of a second's worth if
/// that is less.
///
/// # Examples
///
/// ```
/// use crocus::Rate;
///
/// let rate = Rate::per_second(100_000).burst(64 * 1024);
/// assert_eq!(rate.bytes_per_second(), 100_000);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rate {
    bytes_per_second: u64,
    burst: u64,
}

impl Rate {
    /// Allows `bytes` per second, at least 1, with a burst of a tenth of that.
    pub const fn per_second(bytes: u64) -> Self {
        let bytes_per_second = if bytes == 0 { 1 } else { bytes };
        Self { bytes_per_second, burst: 1 }.burst(bytes_per_second / BURSTS_PER_SECOND)
    }

    /// Allows `bytes` at once after a silence, at least 1.
    #[must_use]
    pub const fn burst(mut self, bytes: u64) -> Self {
        self.burst = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// The bytes per second.
    pub const fn bytes_per_second(self) -> u64 {
        self.bytes_per_second
    }

    /// How many bytes a waiting connection waits for.
    fn portion(self) -> u64 {
        (self.burst / 2).min(self.bytes_per_second / PORTIONS_PER_SECOND).max(1)
    }

    /// How long it takes to earn so many bytes, rounded up.
    fn time_for(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * NANOS_PER_SECOND).div_ceil(self.bytes_per_second.into());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many bytes are earned in `time`, rounded down.
    fn bytes_in(self, time: Duration) -> u64 {
        let bytes = time.as_nanos() * u128::from(self.bytes_per_second) / NANOS_PER_SECOND;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// A bucket with its present tokens.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    /// The level, as the time that it took to earn.
    level: Duration,
    /// The time at which `level` was computed.
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: rate.time_for(rate.burst), at: now }
    }

    /// Goes on at another rate. The tokens in it stay, as far as there is room: to set a rate again does not
    /// allow a burst.
    pub(crate) fn set_rate(&mut self, rate: Rate, now: Instant) {
        self.fill(now);
        let kept = self.rate.bytes_in(self.level).min(rate.burst);
        if rate != self.rate {
            self.level = rate.time_for(kept);
            self.rate = rate;
        }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// How many bytes may pass; none unless there is a portion worth a system call.
    pub(crate) fn available(&mut self, now: Instant) -> usize {
        self.fill(now);
        if self.level < self.rate.time_for(self.rate.portion()) {
            return 0;
        }
        usize::try_from(self.rate.bytes_in(self.level)).unwrap_or(usize::MAX)
    }

    /// Records that so many bytes have passed.
    pub(crate) fn take(&mut self, bytes: u64) {
        self.level = self.level.saturating_sub(self.rate.time_for(bytes));
    }

    /// How long it takes until a portion is available.
    pub(crate) fn time_to_wait(&self) -> Duration {
        self.rate.time_for(self.rate.portion()).saturating_sub(self.level)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.level = self.level.saturating_add(passed).min(self.rate.time_for(self.rate.burst));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_full_bucket_gives_the_burst_and_then_the_rate() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(Rate::per_second(1000).burst(300), begin);
        assert_eq!(bucket.available(begin), 300);
        bucket.take(300);
        assert_eq!(bucket.available(begin), 0);
        assert_eq!(bucket.time_to_wait(), 50 * MS);
        assert_eq!(bucket.available(begin + 49 * MS), 0, "not worth it yet");
        assert_eq!(bucket.available(begin + 50 * MS), 50);
        assert_eq!(bucket.available(begin + 10_000 * MS), 300, "and no more than the burst");
    }

    #[test]
    fn no_more_bytes_pass_than_the_rate_allows() {
        for rate in [1, 3, 7, 999, 1_000_003, 3_000_000_000] {
            let limit = Rate::per_second(rate);
            let begin = Instant::now();
            let mut bucket = Bucket::new(limit, begin);
            let (mut passed, mut now) = (0, Duration::ZERO);
            for step in 0..2000u64 {
                let some = bucket.available(begin + now).min(1 + step as usize % 700) as u64;
                bucket.take(some);
                passed += some;
                assert!(passed <= limit.burst + limit.bytes_in(now), "{rate} at {now:?}");
                now += Duration::from_nanos(1 + step * 7919 % 1_000_000);
            }
        }
    }

    #[test]
    fn after_the_wait_bytes_pass_and_no_time_is_lost() {
        for rate in [1, 9, 64, 1000, 1_000_000] {
            let limit = Rate::per_second(rate).burst(rate * 5);
            let begin = Instant::now();
            let mut bucket = Bucket::new(limit, begin);
            bucket.take(limit.burst);
            let (mut passed, mut now) = (0, Duration::ZERO);
            while now < Duration::from_secs(100) {
                now += bucket.time_to_wait();
                let some = bucket.available(begin + now) as u64;
                assert!(some > 0, "{rate} at {now:?}");
                bucket.take(some);
                passed += some;
            }
            assert!(passed + 1 >= rate * 100, "{passed} at {rate}");
        }
    }

    #[test]
    fn no_rate_is_too_small_or_too_large() {
        let now = Instant::now();
        for rate in [Rate::per_second(0).burst(0), Rate::per_second(u64::MAX).burst(u64::MAX)] {
            let mut bucket = Bucket::new(rate, now);
            assert!(bucket.available(now) >= 1);
            bucket.take(1);
            assert!(bucket.time_to_wait() <= Duration::from_secs(1));
        }
    }
}
