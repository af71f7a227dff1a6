//! The figures of a run; `bench.json` is this, and the reports are made of it.

use serde::{Deserialize, Deserializer, Serialize};

/// As a baseline: the same server with one loop.
pub const ONE_LOOP: &str = "one loop";

/// The end of the name of a server with two loops.
pub const TWO: &str = "-2";

/// One whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub machine: Machine,
    /// How many rounds were counted, and how many seconds each closed loop lasted.
    pub rounds: usize,
    pub seconds: f64,
    pub servers: Vec<Server>,
    pub workloads: Vec<Workload>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// For example `2 x AMD EPYC, Linux 6.18.44`.
    pub name: String,
    /// The day, as 2026-11-26.
    pub date: String,
    pub rustc: String,
}

/// Something that is compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Server {
    /// For example `libuv`.
    pub name: String,
    /// For example `libuv 1.44.2, C`. Empty if it is not there.
    pub version: String,
    /// Why it is not there, for example `not installed: libuv1-dev`.
    pub skipped: Option<String>,
}

/// One row of workloads, with a figure for each server that takes part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// For example `echo-64-512`.
    pub name: String,
    /// For example `echo of 64 bytes, 512 connections`.
    pub title: String,
    /// The name of one operation: `connection`, `message`, `MiB`, `delivery`, `timer`, `call`, `request`.
    pub operation: String,
    /// The server that the others are compared with: `limit` where there is one; or [`ONE_LOOP`].
    pub baseline: String,
    pub trials: Vec<Trial>,
}

/// One server under one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    pub server: String,
    /// Why there are no rounds, for example `has one connection at a time`.
    pub left_out: Option<String>,
    /// In the order they were run; those of all servers with one index were run one after the other.
    pub rounds: Vec<Round>,
    /// System calls of the server per operation, by strace; none where it was not counted.
    pub calls: Option<f64>,
    /// Instructions of the server in user space per operation, by callgrind.
    pub instructions: Option<f64>,
    pub memory: Option<Memory>,
}

/// One round of one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// How many operations were answered, every byte as it should be.
    pub operations: u64,
    pub seconds: f64,
    /// CPU time of the server, in nanoseconds per operation. Not a number if there was none.
    #[serde(deserialize_with = "or_nan")]
    pub cpu: f64,
    /// At the fixed rate of the workload, the same for all servers; none where it has no latency.
    pub latency: Option<Latency>,
    /// Other figures of workloads that measure themselves, for example `reset` with nanoseconds.
    pub parts: Vec<(String, f64)>,
    pub marks: Vec<Mark>,
}

/// JSON writes NaN as `null`.
fn or_nan<'de, D: Deserializer<'de>>(source: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(source)?.unwrap_or(f64::NAN))
}

/// How long answers took, in nanoseconds, from when the question was due by the rate: a client that is
/// late to ask because of an earlier answer is late for all that were due meanwhile.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// How many operations were offered per second; 0 if all were at once.
    pub rate: f64,
    pub p50: u64,
    pub p99: u64,
    pub worst: u64,
}

/// A doubt about the figures of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// So many operations were not answered, or not in time.
    Failed { operations: u64, first: String },
    /// Others used so many per cent of the two cores meanwhile.
    Busy { percent: u32 },
    /// The server did not keep up with the rate of the latencies.
    Behind,
}

/// The memory of an idle connection, in bytes; measured over those that the workload opens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Memory {
    pub connections: u64,
    /// Of the server's own memory: what became resident.
    pub user: f64,
    /// With the kernel's slabs, of which half is counted, since it has both ends here.
    pub in_all: f64,
}

impl Trial {
    /// The median of the rounds' CPU time per operation, in nanoseconds.
    ///
    /// Rounds with a failure or a busy machine count too: they are marked, not dropped.
    pub fn cpu(&self) -> Option<f64> {
        median(self.rounds.iter().map(|round| round.cpu))
    }

    /// The median of the operations per second.
    pub fn rate(&self) -> Option<f64> {
        median(self.rounds.iter().map(|round| round.operations as f64 / round.seconds))
    }

    /// The median of the ratios of each round's CPU time to that of `other` in the same round.
    pub fn ratio(&self, other: &Self) -> Option<f64> {
        median(self.rounds.iter().zip(&other.rounds).map(|(own, other)| own.cpu / other.cpu))
    }

    /// By how much the ratios spread.
    pub fn ratio_spread(&self, other: &Self) -> Option<(f64, f64)> {
        let rounds = self.rounds.iter().zip(&other.rounds);
        middle_half(&rounds.map(|(own, other)| own.cpu / other.cpu).collect::<Vec<_>>())
    }

    /// The ratios of a latency to that of `other`, for the rounds in which both have it.
    pub fn latency_ratios(&self, other: &Self, of: fn(&Latency) -> u64) -> Vec<f64> {
        let rounds = self.rounds.iter().zip(&other.rounds);
        let both =
            rounds.filter_map(|(own, other)| own.latency.as_ref().zip(other.latency.as_ref()));
        both.map(|(own, other)| of(own) as f64 / of(other) as f64).collect()
    }

    /// The median of one of the other figures.
    pub fn part(&self, name: &str) -> Option<f64> {
        let parts = self.rounds.iter().flat_map(|round| &round.parts);
        median(parts.filter(|(part, _)| part == name).map(|&(_, value)| value))
    }

    pub fn is_marked(&self) -> bool {
        self.rounds.iter().any(|round| !round.marks.is_empty())
    }
}

impl Workload {
    pub fn trial(&self, server: &str) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.server == server)
    }
}

pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    quantile(&values.collect::<Vec<_>>(), 0.5)
}

/// The middle half of them, as lower and upper quartile.
pub fn middle_half(values: &[f64]) -> Option<(f64, f64)> {
    Some((quantile(values, 0.25)?, quantile(values, 0.75)?))
}

/// By linear interpolation between the two nearest.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_nearest_values() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.99), Some(3.0));
        assert_eq!(quantile(&[4.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[4.0, 1.0, 2.0, 3.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[0.0, 10.0], 0.25), Some(2.5));
    }

    #[test]
    fn a_round_without_operations_is_written_and_read() {
        let round = Round {
            operations: 0,
            seconds: 0.1 + 0.2,
            cpu: f64::NAN,
            latency: None,
            parts: Vec::new(),
            marks: Vec::new(),
        };
        let text = serde_json::to_string(&round).unwrap();
        let again: Round = serde_json::from_str(&text).unwrap();
        assert!(again.cpu.is_nan());
        assert_eq!(again.seconds.to_bits(), round.seconds.to_bits());
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let trial = |cpu: [f64; 3]| Trial {
            server: String::new(),
            left_out: None,
            rounds: cpu
                .map(|cpu| Round {
                    operations: 1,
                    seconds: 1.0,
                    cpu,
                    latency: None,
                    parts: Vec::new(),
                    marks: Vec::new(),
                })
                .to_vec(),
            calls: None,
            instructions: None,
            memory: None,
        };
        // The machine became slower in the third round, for both.
        let (own, limit) = (trial([1.1, 1.2, 9.0]), trial([1.0, 1.0, 10.0]));
        assert_eq!(own.ratio(&limit), Some(1.1));
    }
}
