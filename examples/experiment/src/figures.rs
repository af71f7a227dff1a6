//! The figures of the experiment: one trial for each server under each constraint.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::constraint::Constraint;
use crate::frame::Point;
use crate::server::Model;

/// The trials of all servers under one constraint.
#[derive(Debug)]
pub(crate) struct Chapter {
    pub(crate) constraint: Constraint,
    pub(crate) trials: Vec<Trial>,
}

/// One server under one constraint.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) server: Model,
    /// How many clients asked. Clients that only hinder the server do not count.
    pub(crate) asked: usize,
    pub(crate) counts: Counts,
    /// When each served client had its whole answer, since the first client asked; in order.
    pub(crate) arrivals: Vec<Duration>,
    /// How long each of them waited, since it asked; in order.
    pub(crate) latencies: Vec<Duration>,
    /// Whole seconds until connected, and how many clients took so long: their SYNs found the queue
    /// full, and were sent again. The seconds are never zero.
    pub(crate) waited: Vec<(u64, usize)>,
    /// How often a listener's queue was full, if the kernel counts it.
    pub(crate) queues: Option<Queues>,
    /// How long the quick client waited, if there is one and it was served.
    pub(crate) quick: Option<Duration>,
    /// The first failure of a kind that has no count of its own.
    pub(crate) trouble: Option<String>,
    pub(crate) usage: Usage,
    /// The two points of each answer.
    pub(crate) answers: Vec<[Point; 2]>,
    /// The user broke it off.
    pub(crate) broken_off: bool,
}

/// The outcomes of the clients, each of whom is counted once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    /// The whole answer came, and the connection was closed in order.
    pub(crate) served: usize,
    /// The kernel refused the connection: no server listens.
    pub(crate) refused: usize,
    /// The connection was reset.
    pub(crate) reset: usize,
    /// The client did not wait any longer.
    pub(crate) timed_out: usize,
    /// An answer came, but a wrong one.
    pub(crate) wrong: usize,
    /// The system failed the client: no port, no descriptor.
    pub(crate) failed: usize,
}

impl Counts {
    pub(crate) fn total(&self) -> usize {
        let Self { served, refused, reset, timed_out, wrong, failed } = self;
        served + refused + reset + timed_out + wrong + failed
    }

    /// The clients that were not served, each kind with its word.
    pub(crate) fn unserved(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let Self { refused, reset, timed_out, wrong, failed, .. } = *self;
        let kinds = [
            (timed_out, "timed out"),
            (reset, "reset"),
            (refused, "refused"),
            (wrong, "wrong"),
            (failed, "failed"),
        ];
        kinds.into_iter().filter(|&(count, _)| count > 0)
    }
}

/// The kernel's counts of the queues of listeners.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Queues {
    /// How often a queue was full, and a SYN or the end of a handshake was dropped.
    pub(crate) overflows: u64,
    /// How often it answered a SYN by a cookie, keeping nothing: a client that gets one is connected,
    /// as far as it knows, even if the server never hears of it.
    pub(crate) cookies: u64,
}

impl Queues {
    pub(crate) fn since(self, then: Self) -> Self {
        Self { overflows: self.overflows - then.overflows, cookies: self.cookies - then.cookies }
    }
}

/// The most that a server's process was seen to use.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Usage {
    /// Resident memory in bytes, as the kernel keeps it.
    pub(crate) memory: Option<u64>,
    /// Threads, as seen every [`LOOK`](crate::child::LOOK).
    pub(crate) threads: Option<u64>,
    /// Open descriptors, seen likewise.
    pub(crate) descriptors: Option<u64>,
}

impl Trial {
    /// Time until the last client was served that was.
    pub(crate) fn last(&self) -> Option<Duration> {
        self.arrivals.last().copied()
    }

    pub(crate) fn all_served(&self) -> bool {
        self.counts.served == self.asked
    }

    /// Median, 99th percentile and worst of the latencies.
    pub(crate) fn latency(&self) -> Option<Latency> {
        let worst = *self.latencies.last()?;
        let mut histogram = Histogram::<u64>::new_with_max(LONGEST, SIGNIFICANT_DIGITS).ok()?;
        for latency in &self.latencies {
            histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST));
        }
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        Some(Latency { p50: at(0.5).min(worst), p99: at(0.99).min(worst), worst })
    }
}

/// An hour, in nanoseconds. No client waits for longer than ten minutes.
const LONGEST: u64 = 3_600_000_000_000;

/// The digits that the histogram keeps of a time: more than the table shows.
const SIGNIFICANT_DIGITS: u8 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) worst: Duration,
}

/// Milliseconds as the user has given them: `20 ms`, `0.5 ms`.
pub(crate) struct Milliseconds(pub(crate) Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0.as_micros() as f64 / 1e3)
    }
}
