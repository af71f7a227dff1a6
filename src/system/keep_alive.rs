//! Keep-alive: when the kernel probes a silent peer.

use std::io;
use std::time::Duration;

use socket2::TcpKeepalive;

use super::error::invalid;

/// The most that Linux takes as the times of keep-alive, and as the number of probes: `MAX_TCP_KEEPIDLE`,
/// `MAX_TCP_KEEPINTVL` and `MAX_TCP_KEEPCNT` of its source.
const MAX_SECONDS: u64 = 32_767;
const MAX_COUNT: u32 = 127;

/// The time between probes of the kernel, in tcp(7). A short silence gets a shorter one.
const MAX_DEFAULT_INTERVAL: Duration = Duration::from_secs(75);

/// When the kernel probes a silent peer, and when it gives up.
///
/// A peer that is gone without a word is noticed after `idle` + `count` × `interval`; the connection then
/// ends with `TimedOut` as its error. Times are rounded up to whole seconds, which the kernel counts in.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::KeepAlive;
///
/// let noticed_after_25_s = KeepAlive::after(Duration::from_secs(10))
///     .interval(Duration::from_secs(5))
///     .count(3);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    idle: Duration,
    interval: Option<Duration>,
    count: Option<u32>,
}

impl KeepAlive {
    /// Probes after a silence of `idle` (TCP_KEEPIDLE), at most 32,767 s.
    pub fn after(idle: Duration) -> Self {
        Self { idle, interval: None, count: None }
    }

    /// The time between two probes (TCP_KEEPINTVL), at most 32,767 s.
    ///
    /// By default as long as `idle`, but at most 75 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// How many probes without an answer end the connection (TCP_KEEPCNT): 1 to 127.
    ///
    /// By default as the system has it: 9 on Linux.
    #[must_use]
    pub fn count(mut self, probes: u32) -> Self {
        self.count = Some(probes);
        self
    }

    /// The form that the system takes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what the kernel does not take, with the name of the value.
    pub(crate) fn for_system(self) -> io::Result<TcpKeepalive> {
        let interval = self.interval.unwrap_or_else(|| self.idle.min(MAX_DEFAULT_INTERVAL));
        let how = TcpKeepalive::new().with_time(in_seconds("idle", self.idle)?);
        let how = how.with_interval(in_seconds("interval", interval)?);
        match self.count {
            Some(count) if !(1..=MAX_COUNT).contains(&count) => Err(invalid(format!(
                "keep_alive: a count of {count} probes is not from 1 to {MAX_COUNT}"
            ))),
            Some(count) => Ok(how.with_retries(count)),
            None => Ok(how),
        }
    }
}

impl From<Duration> for KeepAlive {
    fn from(idle: Duration) -> Self {
        Self::after(idle)
    }
}

/// A time in whole seconds, at least one, rounded up.
fn in_seconds(what: &str, time: Duration) -> io::Result<Duration> {
    let begun = u64::from(time.subsec_nanos() > 0);
    let seconds = time.as_secs().saturating_add(begun).max(1);
    if seconds > MAX_SECONDS {
        let message = format!("keep_alive: the {what} of {seconds} s is more than {MAX_SECONDS} s");
        return Err(invalid(message));
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_keep_alive_are_rounded_up_or_refused() {
        let seconds = |millis| in_seconds("idle", Duration::from_millis(millis)).unwrap().as_secs();
        let given = [0, 1, 900, 1_000, 1_001, 32_767_000];
        assert_eq!(given.map(seconds), [1, 1, 1, 1, 2, 32_767]);
        let error = KeepAlive::after(Duration::from_secs(40_000)).for_system().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "keep_alive: the idle of 40000 s is more than 32767 s");
        for too_long in [Duration::from_millis(32_767_001), Duration::MAX] {
            assert!(in_seconds("idle", too_long).is_err(), "{too_long:?}");
        }
        for count in [0, 128] {
            let error = KeepAlive::after(Duration::ZERO).count(count).for_system().unwrap_err();
            assert!(error.to_string().contains("keep_alive: a count"), "{error}");
        }
    }
}
