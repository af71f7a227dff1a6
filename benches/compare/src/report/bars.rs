//! The bars that crocus is held to: what each asks for, what was measured, and whether it is reached.

mod contest;

use super::table::{heading, row};
use super::units::{exact_ratio, figure, grouped, spread_ratio};
use super::{CROCUS, LIMIT};
use crate::figures::{Run, Trial, quantile};
use contest::CONTESTS;

/// One bar.
#[derive(Debug)]
struct Bar {
    what: String,
    target: String,
    /// None where there are no figures.
    measured: Option<Measured>,
}

#[derive(Debug)]
struct Measured {
    text: String,
    is_reached: bool,
    /// Failures, a busy machine, or missing figures: what is judged is not the whole.
    is_doubtful: bool,
}

/// At most so many times the limit's CPU time: what is done, the workloads, the ratio.
const RATIOS: [(&str, &[&str], f64); 4] = [
    ("81 random bytes", &["random-1", "random-64", "random-512", "stampede"], 1.05),
    ("echo of 64 bytes", &["echo-64-64", "echo-64-512"], 1.05),
    ("echo of 16 KiB", &["echo-16384-1", "echo-16384-64", "echo-16384-512"], 1.03),
    ("broadcast", &["broadcast"], 1.10),
];

/// At least so much of the limit's throughput.
const BULK: f64 = 0.97;

/// At most so much more for an active connection beside all those that are idle.
const IDLE: f64 = 1.05;
const NOBODY_IDLE: &str = "idle-0";
const ALL_IDLE: &str = "idle-18000";

/// The workloads with connections that are idle, and how many bytes one may take of the server's.
const MEMORY: (&[&str], f64) = (&["idle-1000", "idle-10000", ALL_IDLE], 400.0);

/// Parts of the workload `timers`, and how many nanoseconds each may take.
const TIMERS: [(&str, f64); 3] =
    [("arm_and_cancel", 100.0), ("arm_and_fire", 150.0), ("reset", 20.0)];

/// The table of the bars.
pub(super) fn markdown(run: &Run) -> String {
    let bars = bars(run);
    let mut text = String::from("\n## The bars\n\n");
    text += &heading(4, ["bar", "target", "measured", "reached?"]);
    for bar in &bars {
        let Some(measured) = &bar.measured else {
            text += &row([&bar.what, &bar.target, "not measured", "–"]);
            continue;
        };
        let doubt = if measured.is_doubtful { "?" } else { "" };
        let reached = if measured.is_reached { "yes" } else { "**no**" };
        text += &row([&bar.what, &bar.target, &measured.text, &format!("{reached}{doubt}")]);
    }
    if bars.iter().any(|bar| bar.measured.as_ref().is_some_and(|measured| measured.is_doubtful)) {
        text += "\nA question mark: rounds are marked, or figures are missing.\n";
    }
    text
}

fn bars(run: &Run) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (what, workloads, most) in RATIOS {
        bars.extend(workloads.iter().map(|workload| ratio(run, what, workload, most)));
    }
    bars.push(bulk(run));
    bars.extend(CONTESTS.iter().map(|contest| contest.bar(run)));
    bars.push(beside_idle(run));
    bars.extend(MEMORY.0.iter().map(|workload| memory(run, workload)));
    bars.extend(TIMERS.iter().map(|&(part, most)| timer(run, part, most)));
    bars
}

fn trial<'a>(run: &'a Run, workload: &str, server: &str) -> Option<&'a Trial> {
    run.workloads.iter().find(|known| known.name == workload)?.trial(server)
}

/// crocus and the limit in one workload.
fn beside_limit<'a>(run: &'a Run, workload: &str) -> Option<(&'a Trial, &'a Trial)> {
    Some((trial(run, workload, CROCUS)?, trial(run, workload, LIMIT)?))
}

fn ratio(run: &Run, what: &str, workload: &str, most: f64) -> Bar {
    let measure = || {
        let (own, limit) = beside_limit(run, workload)?;
        let ratio = own.ratio(limit)?;
        Some(Measured {
            text: spread_ratio(ratio, own.ratio_spread(limit), exact_ratio),
            is_reached: ratio <= most,
            is_doubtful: own.is_marked() || limit.is_marked(),
        })
    };
    let what = if what == workload { what.to_owned() } else { format!("{what}, {workload}") };
    Bar {
        what: format!("{what}: CPU to the limit's"),
        target: format!("≤ {most:.2}"),
        measured: measure(),
    }
}

fn bulk(run: &Run) -> Bar {
    let measure = || {
        let (own, limit) = beside_limit(run, "bulk")?;
        let ratio = own.rate_ratio(limit)?;
        Some(Measured {
            text: exact_ratio(ratio),
            is_reached: ratio >= BULK,
            is_doubtful: own.is_marked() || limit.is_marked(),
        })
    };
    Bar {
        what: "bulk: throughput to the limit's".to_owned(),
        target: format!("≥ {BULK}"),
        measured: measure(),
    }
}

/// Not paired by round: nothing says that rounds of two workloads were run near to each other.
fn beside_idle(run: &Run) -> Bar {
    let measure = || {
        let (few, many) = (trial(run, NOBODY_IDLE, CROCUS)?, trial(run, ALL_IDLE, CROCUS)?);
        let (alone, beside) = (few.cpu()?, many.cpu()?);
        let ratio = Some(beside / alone).filter(|ratio| ratio.is_finite())?;
        Some(Measured {
            text: exact_ratio(ratio),
            is_reached: ratio <= IDLE,
            is_doubtful: few.is_marked() || many.is_marked(),
        })
    };
    Bar {
        what: format!("active connections: CPU in {ALL_IDLE} to that in {NOBODY_IDLE}"),
        target: format!("≤ {IDLE}"),
        measured: measure(),
    }
}

fn memory(run: &Run, workload: &str) -> Bar {
    let most = MEMORY.1;
    let measure = || {
        let own = trial(run, workload, CROCUS)?;
        let memory = own.memory.filter(|memory| memory.user.is_finite())?;
        Some(Measured {
            text: format!(
                "{} bytes ({} connections)",
                figure(memory.user),
                grouped(memory.connections)
            ),
            is_reached: memory.user <= most,
            is_doubtful: own.is_marked(),
        })
    };
    Bar {
        what: format!("memory of an idle connection, {workload}"),
        target: format!("≤ {most} bytes"),
        measured: measure(),
    }
}

fn timer(run: &Run, part: &str, most: f64) -> Bar {
    let measure = || {
        let own = trial(run, "timers", CROCUS)?;
        let time = own.part(part)?;
        let times = own.rounds.iter().flat_map(|round| &round.parts);
        let times: Vec<f64> =
            times.filter(|(name, _)| name == part).map(|&(_, time)| time).collect();
        let spread = quantile(&times, 0.25).zip(quantile(&times, 0.75));
        Some(Measured {
            text: format!("{} ns", spread_ratio(time, spread, figure)),
            is_reached: time <= most,
            is_doubtful: own.is_marked(),
        })
    };
    Bar {
        what: format!("timers: {}", part.replace('_', " ")),
        target: format!("≤ {most} ns"),
        measured: measure(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::figures::{Mark, Memory};

    /// The last three cells of the bar whose name begins so.
    fn judged(run: &Run, what: &str) -> [String; 3] {
        let text = markdown(run);
        let start = format!("| {what}");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        [cells[1], cells[2], cells[3]].map(str::to_owned)
    }

    #[test]
    fn a_ratio_is_judged_before_it_is_rounded() {
        let mut run = sample::run();
        for (cost, expected) in [(1_050.0, "yes"), (1_050.2, "**no**")] {
            let costs: [(_, &[f64]); 2] = [(CROCUS, &[cost; 3]), (LIMIT, &[1_000.0; 3])];
            sample::set(&mut run, "random-64", &costs);
            assert_eq!(
                judged(&run, "81 random bytes, random-64"),
                ["≤ 1.05", "1.050 (1.050–1.050)", expected]
            );
        }
        let limit = sample::trial_mut(&mut run, "random-64", LIMIT);
        limit.rounds[1].marks = vec![Mark::Busy { percent: 50 }];
        assert_eq!(judged(&run, "81 random bytes, random-64")[2], "**no**?");
        assert!(markdown(&run).contains("A question mark"));
    }

    #[test]
    fn throughput_is_to_be_high() {
        let mut run = sample::run();
        for (operations, expected) in [(970, "yes"), (969, "**no**")] {
            sample::set(&mut run, "bulk", &[(CROCUS, &[1.0; 3]), (LIMIT, &[1.0; 3])]);
            for (server, operations) in [(CROCUS, operations), (LIMIT, 1_000)] {
                for round in &mut sample::trial_mut(&mut run, "bulk", server).rounds {
                    round.operations = operations;
                }
            }
            assert_eq!(judged(&run, "bulk")[2], expected);
        }
    }

    #[test]
    fn idle_connections_may_take_neither_time_nor_memory() {
        let mut run = sample::run();
        for (cost, bytes, expected) in [(1_050.0, 400.0, "yes"), (1_060.0, 401.0, "**no**")] {
            sample::trial_mut(&mut run, "idle-0", CROCUS).rounds = sample::rounds(&[1_000.0]);
            let many = sample::trial_mut(&mut run, "idle-18000", CROCUS);
            many.rounds = sample::rounds(&[cost]);
            many.memory = Some(Memory { connections: 18_000, user: bytes, in_all: 0.0 });
            assert_eq!(judged(&run, "active")[2], expected);
            let memory = judged(&run, "memory of an idle connection, idle-18000");
            assert_eq!(
                memory[1..],
                [format!("{bytes} bytes (18,000 connections)"), expected.into()]
            );
        }
    }

    #[test]
    fn timers_are_judged_by_their_parts() {
        let mut run = sample::run();
        for (times, expected) in [([15.0, 20.0, 40.0], "yes"), ([15.0, 20.5, 21.0], "**no**")] {
            let timers = sample::trial_mut(&mut run, "timers", CROCUS);
            timers.rounds = sample::rounds(&[90.0; 3]);
            for (round, time) in timers.rounds.iter_mut().zip(times) {
                round.parts = vec![("reset".to_owned(), time)];
            }
            assert_eq!(judged(&run, "timers: reset")[2], expected);
            assert_eq!(judged(&run, "timers: arm and fire")[1..], ["not measured", "–"]);
        }
    }

    #[test]
    fn what_is_missing_is_not_measured() {
        let nothing = Run { workloads: Vec::new(), ..sample::run() };
        let text = markdown(&nothing);
        assert_eq!(text.matches("| not measured | – |").count(), bars(&nothing).len());
        assert!(!text.contains("question mark"));
    }
}
