//! Bars that hold crocus against others in every workload where both take part.

use super::super::units::{exact_ratio, figure};
use super::super::{CROCUS, LIMIT};
use super::{Bar, Measured};
use crate::figures::{Run, Trial, Workload};

/// Counts of system calls are equal when they differ by no more than this share: where a count begins
/// and ends, an operation may be cut in two.
const EQUAL: f64 = 0.005;

/// A figure of crocus against that of each peer.
pub(super) struct Contest {
    what: &'static str,
    target: &'static str,
    is_peer: fn(&str) -> bool,
    /// Whether a trial has the figure; where neither has it, there is nothing to compare.
    has_figure: fn(&Trial) -> bool,
    /// Whether it is found out apart from the rounds, so that their marks do not matter.
    is_counted: bool,
    /// crocus's and the peer's, in any unit.
    measure: fn(&Trial, &Trial) -> Option<(f64, f64)>,
    /// Whether crocus's is good enough beside the peer's.
    holds: fn(f64, f64) -> bool,
    show: fn(f64, f64) -> String,
}

pub(super) const CONTESTS: [Contest; 4] = [
    Contest {
        what: "CPU to each peer's, in each workload",
        target: "< 1",
        is_peer: |server| !server.starts_with(LIMIT),
        has_figure: |trial| trial.cpu().is_some(),
        is_counted: false,
        measure: |own, other| Some((own.ratio(other)?, 1.0)),
        holds: |own, other| own < other,
        show: |own, _| exact_ratio(own),
    },
    Contest {
        what: "system calls per operation",
        target: "no peer has fewer",
        is_peer: |server| !server.starts_with(LIMIT),
        has_figure: |trial| trial.calls.is_some(),
        is_counted: true,
        measure: |own, other| own.calls.zip(other.calls),
        holds: |own, other| own * (1.0 - EQUAL) <= other,
        show: |own, other| format!("{} to {}", figure(own), figure(other)),
    },
    Contest {
        what: "instructions per operation to the limit's",
        target: "≤ 2",
        is_peer: |server| server == LIMIT,
        has_figure: |trial| trial.instructions.is_some(),
        is_counted: true,
        measure: |own, other| own.instructions.zip(other.instructions),
        holds: |own, other| own <= 2.0 * other,
        show: |own, other| exact_ratio(own / other),
    },
    Contest {
        what: "instructions per operation to those of tokio, libuv, calloop",
        target: "< 1",
        is_peer: |server| matches!(server, "tokio" | "libuv" | "calloop"),
        has_figure: |trial| trial.instructions.is_some(),
        is_counted: true,
        measure: |own, other| own.instructions.zip(other.instructions),
        holds: |own, other| own < other,
        show: |own, other| exact_ratio(own / other),
    },
];

impl Contest {
    pub(super) fn bar(&self, run: &Run) -> Bar {
        Bar {
            what: self.what.to_owned(),
            target: self.target.to_owned(),
            measured: self.measured(run),
        }
    }

    fn measured(&self, run: &Run) -> Option<Measured> {
        let (mut measured, mut missing, mut marked) = (0, 0, false);
        let mut losses: Vec<(&str, Vec<String>)> = Vec::new();
        for (workload, own, peer) in run.workloads.iter().flat_map(|workload| self.pairs(workload))
        {
            let Some((figure, other)) = (self.measure)(own, peer) else {
                missing += usize::from((self.has_figure)(own) || (self.has_figure)(peer));
                continue;
            };
            measured += 1;
            // A peer that fails is its own affair.
            marked |= !self.is_counted && own.is_marked();
            if !(self.holds)(figure, other) {
                let loss = format!("{} {}", workload.name, (self.show)(figure, other));
                note(&mut losses, &peer.server, loss);
            }
        }
        if measured == 0 {
            return None;
        }
        Some(Measured {
            text: verdict(&losses, measured, missing),
            is_reached: losses.is_empty(),
            is_doubtful: missing > 0 || marked,
        })
    }

    /// crocus and its peers, as far as they take part.
    fn pairs<'a>(
        &self,
        workload: &'a Workload,
    ) -> impl Iterator<Item = (&'a Workload, &'a Trial, &'a Trial)> {
        let takes_part = |trial: &&Trial| !trial.rounds.is_empty();
        let own = workload.trial(CROCUS).filter(takes_part);
        let peers = workload.trials.iter().filter(takes_part);
        let peers = peers.filter(|trial| trial.server != CROCUS && (self.is_peer)(&trial.server));
        peers.filter_map(move |peer| Some((workload, own?, peer)))
    }
}

/// Adds a loss to those against the same peer.
fn note<'a>(losses: &mut Vec<(&'a str, Vec<String>)>, peer: &'a str, loss: String) {
    match losses.iter_mut().find(|(known, _)| *known == peer) {
        Some((_, known)) => known.push(loss),
        None => losses.push((peer, vec![loss])),
    }
}

/// `in 250 of 252 comparisons; behind nginx: http-small 1.120, http-1m 1.300`
fn verdict(losses: &[(&str, Vec<String>)], measured: usize, missing: usize) -> String {
    let lost: usize = losses.iter().map(|(_, lost)| lost.len()).sum();
    let mut text = match lost {
        0 => format!("in all {measured} comparisons"),
        lost => format!("in {} of {measured} comparisons", measured - lost),
    };
    for (peer, lost) in losses {
        text += &format!("; behind {peer}: {}", lost.join(", "));
    }
    if missing > 0 {
        text += &format!("; {missing} not measured");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    /// Two workloads in which crocus and these take part.
    fn run(peers: &[&str]) -> Run {
        let mut run = sample::run();
        run.workloads.retain(|workload| matches!(workload.name.as_str(), "random-1" | "bulk"));
        for workload in &mut run.workloads {
            workload
                .trials
                .retain(|trial| trial.server == CROCUS || peers.contains(&trial.server.as_str()));
            for trial in &mut workload.trials {
                trial.rounds = sample::rounds(&[1_000.0, 2_000.0]);
                trial.calls = Some(4.0);
                trial.instructions = Some(600.0);
            }
        }
        run
    }

    fn judged(run: &Run, contest: usize) -> (String, bool, bool) {
        let measured = CONTESTS[contest].measured(run).unwrap();
        (measured.text, measured.is_reached, measured.is_doubtful)
    }

    #[test]
    fn who_is_ahead_is_named_with_the_ratio() {
        let mut run = run(&["limit", "mio", "tokio"]);
        for (workload, server) in [("random-1", "mio"), ("bulk", "mio"), ("bulk", "tokio")] {
            let trial = sample::trial_mut(&mut run, workload, server);
            trial.rounds = sample::rounds(&[1_100.0, 2_200.0]);
        }
        let text = "in 3 of 4 comparisons; behind tokio: random-1 1.000";
        assert_eq!(judged(&run, 0), (text.to_owned(), false, false));
        sample::trial_mut(&mut run, "random-1", "tokio").rounds = sample::rounds(&[2_500.0; 2]);
        assert_eq!(judged(&run, 0), ("in all 4 comparisons".to_owned(), true, false));
        sample::trial_mut(&mut run, "bulk", "mio").rounds.clear();
        assert_eq!(judged(&run, 0).0, "in all 3 comparisons");
    }

    #[test]
    fn equal_counts_of_system_calls_are_no_fewer() {
        let mut run = run(&["limit", "mio"]);
        sample::trial_mut(&mut run, "bulk", "mio").calls = Some(3.99);
        assert_eq!(judged(&run, 1), ("in all 2 comparisons".to_owned(), true, false));
        sample::trial_mut(&mut run, "bulk", "mio").calls = Some(3.0);
        sample::trial_mut(&mut run, "random-1", "mio").calls = None;
        let text = "in 0 of 1 comparisons; behind mio: bulk 4.00 to 3.00; 1 not measured";
        assert_eq!(judged(&run, 1), (text.to_owned(), false, true));
    }

    #[test]
    fn instructions_are_held_against_the_limit_and_three_peers() {
        let mut run = run(&["limit", "mio", "tokio", "libuv"]);
        for workload in ["random-1", "bulk"] {
            sample::trial_mut(&mut run, workload, "limit").instructions = Some(300.0);
            sample::trial_mut(&mut run, workload, "tokio").instructions = Some(601.0);
            sample::trial_mut(&mut run, workload, "mio").instructions = Some(1.0);
        }
        assert_eq!(judged(&run, 2), ("in all 2 comparisons".to_owned(), true, false));
        let text = "in 2 of 4 comparisons; behind libuv: random-1 1.000, bulk 1.000";
        assert_eq!(judged(&run, 3), (text.to_owned(), false, false));
        sample::trial_mut(&mut run, "bulk", "limit").instructions = Some(250.0);
        let text = "in 1 of 2 comparisons; behind limit: bulk 2.400";
        assert_eq!(judged(&run, 2), (text.to_owned(), false, false));
    }

    #[test]
    fn without_a_figure_there_is_no_contest() {
        let mut run = run(&["mio"]);
        for workload in ["random-1", "bulk"] {
            sample::trial_mut(&mut run, workload, CROCUS).calls = None;
        }
        assert!(CONTESTS[1].measured(&run).is_none());
        assert!(CONTESTS[2].measured(&run).is_none());
    }
}
