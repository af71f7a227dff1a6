//! The outcomes of requests, counted.

use std::collections::BTreeSet;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told apart: requests give up before.
const LONGEST: u64 = 60_000_000;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// With a whole answer of the status 200.
    Answered,
    /// With another status: behind a proxy mostly 502 or 503.
    Refusal(u16),
    /// There was no listener.
    Refused,
    /// The connection was reset before the answer was whole.
    Reset,
    /// The connection was closed before a byte of the answer.
    Closed,
    /// The connection was closed within the answer.
    Cut,
    /// Nothing came in time.
    TimedOut,
    /// Anything else.
    Failed,
}

/// How many requests ended in which way, and how long the answers took.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) outcomes: Vec<(Outcome, u64)>,
    /// In microseconds, from the moment when a request was due.
    pub(crate) times: Option<Histogram<u64>>,
    /// The numbers of the processes that have answered.
    pub(crate) processes: BTreeSet<u32>,
    pub(crate) restarts: u32,
}

impl Tally {
    pub(crate) fn new() -> Self {
        // Three digits: the bounds are in order, so it is made.
        let times = Histogram::new_with_bounds(1, LONGEST, 3).ok();
        Self { outcomes: Vec::new(), times, processes: BTreeSet::new(), restarts: 0 }
    }

    pub(crate) fn count(&mut self, outcome: Outcome, times: u64) {
        match self.outcomes.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count += times,
            None => self.outcomes.push((outcome, times)),
        }
    }

    /// Counts an answer of a process, and how long it took.
    pub(crate) fn answered(&mut self, process: Option<u32>, after: Duration) {
        self.count(Outcome::Answered, 1);
        self.processes.extend(process);
        if let Some(times) = &mut self.times {
            times.saturating_record(u64::try_from(after.as_micros()).unwrap_or(LONGEST));
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.outcomes.iter().map(|(_, count)| count).sum()
    }

    fn failed(&self) -> u64 {
        let failed = self.outcomes.iter().filter(|(outcome, _)| *outcome != Outcome::Answered);
        failed.map(|(_, count)| count).sum()
    }

    pub(crate) fn heading() -> String {
        "| way | restarts | processes | requests | failed | how | half within | 99.9 % within | slowest |\n\
         |:--|--:|--:|--:|--:|:--|--:|--:|--:|\n"
            .to_owned()
    }

    pub(crate) fn row(&self, way: &str) -> String {
        let failed = self.outcomes.iter().filter(|(outcome, _)| *outcome != Outcome::Answered);
        let mut how: Vec<_> = failed.map(|(outcome, count)| format!("{count} {outcome}")).collect();
        how.sort();
        let time = |quantile: f64| match &self.times {
            Some(times) if !times.is_empty() => {
                format!("{:.1} ms", times.value_at_quantile(quantile) as f64 / 1000.0)
            }
            _ => "–".to_owned(),
        };
        format!(
            "| {way} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            self.restarts,
            self.processes.len(),
            self.total(),
            self.failed(),
            how.join(", "),
            time(0.5),
            time(0.999),
            time(1.0),
        )
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Refusal(status) => write!(f, "with status {status}"),
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Closed => f.write_str("closed"),
            Self::Cut => f.write_str("cut"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Failed => f.write_str("failed otherwise"),
        }
    }
}
