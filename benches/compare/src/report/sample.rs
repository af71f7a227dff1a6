//! Made-up results of a small run, for tests.

use crate::figures::{Machine, Round, Run, Server, Trial, Workload};

pub(super) fn run() -> Run {
    let server = |name: &str, skipped: Option<&str>| Server {
        name: name.to_owned(),
        version: format!("{name} 1.2, C"),
        skipped: skipped.map(str::to_owned),
    };
    let mut busy = trial("blocking", &[]);
    busy.left_out = Some("has one connection at a time".to_owned());
    let echo =
        [trial("limit", &[1_000.0]), trial("crocus", &[1_040.0]), trial("mio", &[1_100.0]), busy];
    let http = [trial("crocus", &[3_000.0]), trial("nginx", &[4_000.0])];
    Run {
        machine: Machine {
            name: "2 x AMD EPYC <Milan> & more".to_owned(),
            date: "2026-11-26".to_owned(),
            rustc: "rustc 1.95.0".to_owned(),
        },
        rounds: 1,
        seconds: 0.4,
        servers: vec![
            server("limit", None),
            server("crocus", None),
            server("mio", None),
            server("blocking", None),
            server("nginx", None),
            server("libuv", Some("not installed: libuv1-dev")),
        ],
        workloads: vec![workload("echo", "limit", echo), workload("http", "nginx", http)],
    }
}

pub(super) fn workload<const N: usize>(name: &str, baseline: &str, trials: [Trial; N]) -> Workload {
    Workload {
        name: name.to_owned(),
        title: format!("{name} of <64> bytes"),
        operation: "message".to_owned(),
        baseline: baseline.to_owned(),
        trials: trials.into(),
    }
}

/// A server with a round for each of these costs.
pub(super) fn trial(server: &str, costs: &[f64]) -> Trial {
    Trial {
        server: server.to_owned(),
        left_out: None,
        rounds: rounds(costs),
        calls: None,
        instructions: None,
        memory: None,
    }
}

/// Rounds with these costs, and nothing else.
pub(super) fn rounds(costs: &[f64]) -> Vec<Round> {
    let round = |&cpu: &f64| Round {
        operations: 3_000,
        seconds: 3.0,
        cpu,
        latency: None,
        parts: Vec::new(),
        marks: Vec::new(),
    };
    costs.iter().map(round).collect()
}
