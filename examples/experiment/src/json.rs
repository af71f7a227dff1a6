//! The figures for programs: `experiment.json`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::{Chapter, Trial};
use crate::options::Options;
use crate::report;

/// Times are in milliseconds, memory in bytes; an unknown value is null.
pub(crate) fn document(chapters: &[Chapter], options: &Options, files: u64) -> Value {
    json!({
        "program": concat!("crocus ", env!("CARGO_PKG_VERSION")),
        "system": std::env::consts::OS,
        "cores": std::thread::available_parallelism().ok().map(usize::from),
        "descriptor_limit": files,
        "clients": options.clients,
        "seed": options.seed,
        "broken_off": chapters.iter().flat_map(|chapter| &chapter.trials).any(|trial| trial.broken_off),
        "constraints": chapters.iter().map(chapter).collect::<Vec<_>>(),
    })
}

fn chapter(chapter: &Chapter) -> Value {
    let Chapter { constraint, trials } = chapter;
    json!({
        "name": constraint.name(),
        "title": constraint.title(),
        "task": constraint.task.to_string(),
        "patience_ms": milliseconds(constraint.patience),
        "server_descriptors": constraint.descriptors,
        "verdict": report::verdict(chapter),
        "trials": trials.iter().map(trial).collect::<Vec<_>>(),
    })
}

fn trial(trial: &Trial) -> Value {
    let latency = trial.latency();
    let counts = &trial.counts;
    json!({
        "server": trial.server.name(),
        "broken_off": trial.broken_off,
        "asked": trial.asked,
        "served": counts.served,
        "refused": counts.refused,
        "reset": counts.reset,
        "timed_out": counts.timed_out,
        "wrong": counts.wrong,
        "failed": counts.failed,
        "trouble": trial.trouble,
        "last_ms": trial.last().map(milliseconds),
        "p50_ms": latency.map(|latency| milliseconds(latency.p50)),
        "p99_ms": latency.map(|latency| milliseconds(latency.p99)),
        "worst_ms": latency.map(|latency| milliseconds(latency.worst)),
        "quick_ms": trial.quick.map(milliseconds),
        "connected_after_seconds": trial.waited,
        "listen_overflows": trial.queues.map(|queues| queues.overflows),
        "syn_cookies": trial.queues.map(|queues| queues.cookies),
        "peak_memory": trial.usage.memory,
        "threads": trial.usage.threads,
        "descriptors": trial.usage.descriptors,
        "arrivals_ms": trial.arrivals.iter().copied().map(milliseconds).collect::<Vec<_>>(),
        "points": trial.answers.iter().map(|points| points.map(|point| [point.x, point.y])).collect::<Vec<_>>(),
    })
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
