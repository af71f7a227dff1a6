//! One round's figures, from its clients' and its server's outcomes.

use std::io;
use std::time::Instant;

use crate::figures::{Latency, Mark, Round};
use crate::load::{Outcome, Plan};
use crate::options::Options;
use crate::peers::{Peer, Started, Task};
use crate::service::{CallFigures, TimerFigures};
use crate::{redis_load, sys};

fn plain_round(operations: u64, seconds: f64, cpu: f64) -> Round {
    Round { operations, seconds, cpu, latency: None, parts: Vec::new(), marks: Vec::new() }
}

/// # Errors
///
/// If nothing was answered: there is no use in asking again, and waiting.
pub(super) fn our_round(outcome: &Outcome, cpu: f64, plan: Plan) -> io::Result<Round> {
    if outcome.operations == 0 {
        let failure = outcome.first_failure.as_deref().unwrap_or("nothing was asked");
        return Err(io::Error::other(format!("no operation succeeded: {failure}")));
    }
    let mut round =
        plain_round(outcome.operations, outcome.seconds, cpu / outcome.operations as f64);
    round.marks.extend(failures(outcome));
    if plan == Plan::Once {
        round.latency = latency(outcome, 0.0); // all at once: at no rate
    }
    Ok(round)
}

pub(super) fn redis_round(
    server: &Started,
    command: &str,
    pipeline: u64,
    options: &Options,
) -> io::Result<(Round, f64)> {
    let requests = redis_load::requests(pipeline, options.seconds);
    let cpu = sys::cpu_time(server.pid())?;
    let ran = redis_load::run(server.addr, command, pipeline, requests)?;
    let cpu = (sys::cpu_time(server.pid())? - cpu).as_secs_f64();
    Ok((plain_round(requests, ran.seconds, cpu * 1e9 / requests as f64), ran.cpu + cpu))
}

/// Of those that were answered, if any was.
pub(super) fn latency(outcome: &Outcome, rate: f64) -> Option<Latency> {
    let Outcome { operations, p50, p99, worst, .. } = *outcome;
    (operations > 0).then_some(Latency { rate, p50, p99, worst })
}

pub(super) fn failures(outcome: &Outcome) -> Option<Mark> {
    let first = outcome.first_failure.clone()?;
    Some(Mark::Failed { operations: outcome.failed, first })
}

pub(super) fn lonely_round(peer: &Peer, task: &Task) -> io::Result<Round> {
    let began = Instant::now();
    let part = |name: &str, value: f64| (name.to_owned(), value);
    if task.service == "timers" {
        let figures: TimerFigures = peer.measure(task)?;
        let TimerFigures { arm, reset, arm_and_cancel, cancel, arm_and_fire } = figures;
        let mut round = plain_round(task.count, began.elapsed().as_secs_f64(), arm_and_fire);
        round.parts = vec![
            part("arm", arm),
            part("reset", reset),
            part("arm_and_cancel", arm_and_cancel),
            part("cancel", cancel),
            part("arm_and_fire", arm_and_fire),
        ];
        return Ok(round);
    }
    let figures: CallFigures = peer.measure(task)?;
    let mut round =
        plain_round(task.count, task.count as f64 / figures.calls_per_second, figures.cpu);
    round.parts = vec![
        part("round_trip_p50", figures.round_trip_p50 as f64),
        part("round_trip_p99", figures.round_trip_p99 as f64),
        part("round_trip_worst", figures.round_trip_worst as f64),
    ];
    Ok(round)
}
