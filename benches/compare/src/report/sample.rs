//! A run that nobody made, for tests: figures of a likely size, that are the same each time.

use crate::figures::{Latency, Machine, Mark, Memory, Round, Run, Server, Trial, Workload};

const ROUNDS: usize = 7;

/// What they are called, what they are, and what they cost beside the limit.
const SERVERS: [(&str, &str, f64); 14] = [
    ("limit", "epoll by hand, Rust", 1.0),
    ("crocus", "crocus 0.1.0, Rust", 1.025),
    ("mio", "mio 1.2.1, Rust", 1.06),
    ("tokio", "tokio 1.52.0, Rust", 1.24),
    ("calloop", "calloop 0.14.4, Rust", 1.37),
    ("blocking", "std, Rust", 0.96),
    ("threads", "std, Rust", 2.35),
    ("libuv", "libuv 1.44.2, C", 1.18),
    ("libevent", "libevent 2.1.12, C", 1.31),
    ("asyncio", "CPython 3.13.5", 8.4),
    ("uvloop", "uvloop 0.21.0, CPython 3.13.5", 2.96),
    ("twisted", "Twisted 24.11.0, CPython 3.13.5", 21.7),
    ("nginx", "nginx 1.26.3, C", 1.42),
    ("redis-server", "redis 8.0.2, C", 1.12),
];

/// Names, titles, operations, and what an operation costs the baseline, in nanoseconds.
const WORKLOADS: [(&str, &str, &str, f64); 27] = [
    ("random-1", "81 random bytes, 1 client", "connection", 14_300.0),
    ("random-64", "81 random bytes, 64 clients", "connection", 11_900.0),
    ("random-512", "81 random bytes, 512 clients", "connection", 12_400.0),
    ("stampede", "81 random bytes, 4,000 clients at once", "connection", 12_900.0),
    ("echo-64-1", "echo of 64 bytes, 1 connection", "message", 5_430.0),
    ("echo-64-64", "echo of 64 bytes, 64 connections", "message", 3_120.0),
    ("echo-64-512", "echo of 64 bytes, 512 connections", "message", 3_260.0),
    ("echo-64-64-pipelined", "echo of 64 bytes, 64 connections, 16 underway", "message", 214.0),
    ("echo-16384-1", "echo of 16 KiB, 1 connection", "message", 12_100.0),
    ("echo-16384-64", "echo of 16 KiB, 64 connections", "message", 9_800.0),
    ("echo-16384-512", "echo of 16 KiB, 512 connections", "message", 13_700.0),
    ("bulk", "endless bytes to 4 connections", "MiB", 142_000.0),
    ("idle-0", "echo of 64 bytes, 64 connections, 0 idle", "message", 3_110.0),
    ("idle-1000", "echo of 64 bytes, 64 connections, 1,000 idle", "message", 3_130.0),
    ("idle-10000", "echo of 64 bytes, 64 connections, 10,000 idle", "message", 3_150.0),
    ("idle-18000", "echo of 64 bytes, 64 connections, 18,000 idle", "message", 3_170.0),
    ("broadcast", "each message of 64 bytes to 256 connections", "delivery", 1_480.0),
    ("timers", "1,000,000 timers: armed, reset, cancelled, fired", "timer", 96.0),
    ("calls", "1,000,000 calls from another thread", "call", 61.0),
    ("http-small", "HTTP, a file of 512 bytes, 64 connections", "request", 6_900.0),
    ("http-1m", "HTTP, a file of 1 MiB, 8 connections", "request", 171_000.0),
    ("resp-ping-1", "PING, 64 connections", "request", 3_900.0),
    ("resp-ping-16", "PING, 64 connections, 16 underway", "request", 420.0),
    ("resp-set-1", "SET, 64 connections", "request", 4_400.0),
    ("resp-set-16", "SET, 64 connections, 16 underway", "request", 780.0),
    ("resp-get-1", "GET, 64 connections", "request", 4_200.0),
    ("resp-get-16", "GET, 64 connections, 16 underway", "request", 640.0),
];

/// A whole run; one server is not installed.
pub(super) fn run() -> Run {
    let mut servers: Vec<Server> = SERVERS
        .map(|(name, version, _)| Server {
            name: name.to_owned(),
            version: version.to_owned(),
            skipped: None,
        })
        .to_vec();
    servers.push(Server {
        name: "haproxy".to_owned(),
        version: String::new(),
        skipped: Some("not installed: haproxy".to_owned()),
    });
    Run {
        machine: Machine {
            name: "2 x AMD EPYC <Milan> & more, Linux 6.18.44".to_owned(),
            date: "2026-11-26".to_owned(),
            rustc: "rustc 1.95.0".to_owned(),
        },
        rounds: ROUNDS,
        seconds: 3.0,
        servers,
        workloads: WORKLOADS.iter().map(workload).collect(),
    }
}

/// The workload and the server are there.
pub(super) fn trial_mut<'a>(run: &'a mut Run, workload: &str, server: &str) -> &'a mut Trial {
    let workload = run.workloads.iter_mut().find(|known| known.name == workload).unwrap();
    workload.trials.iter_mut().find(|trial| trial.server == server).unwrap()
}

/// Gives servers rounds with these costs, and nothing else.
pub(super) fn set(run: &mut Run, workload: &str, costs: &[(&str, &[f64])]) {
    for (server, costs) in costs {
        trial_mut(run, workload, server).rounds = rounds(costs);
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

fn workload(&(name, title, operation, cost): &(&str, &str, &str, f64)) -> Workload {
    let baseline = match name {
        _ if name.starts_with("http") => "nginx",
        _ if name.starts_with("resp") => "redis-server",
        _ => "limit",
    };
    let factor = |server: &str| SERVERS.iter().find(|(name, ..)| *name == server).unwrap().2;
    let trials = SERVERS.iter().enumerate();
    let trials = trials.map(|(index, &(server, _, own))| {
        let cost = cost * own / factor(baseline);
        trial(name, server, cost, index)
    });
    Workload {
        name: name.to_owned(),
        title: title.to_owned(),
        operation: operation.to_owned(),
        baseline: baseline.to_owned(),
        trials: trials.collect(),
    }
}

fn trial(workload: &str, server: &str, cost: f64, index: usize) -> Trial {
    let left_out = left_out(workload, server);
    let is_alone = matches!(workload, "timers" | "calls");
    let noise = |round, size| noise(&format!("{workload} {server}"), round, size);
    let count = if left_out.is_some() { 0 } else { ROUNDS };
    // With one at a time the cores sleep and wake.
    let size = if workload.ends_with("-1") { 0.15 } else { 0.02 };
    let costs: Vec<f64> = (0..count).map(|round| tenth(cost * noise(round, size))).collect();
    let mut rounds = rounds(&costs);
    for (index, round) in rounds.iter_mut().enumerate() {
        round.operations = (3e9 / round.cpu * 0.8) as u64;
        round.parts = parts(workload, round.cpu);
        round.latency = (!is_alone).then(|| Latency {
            rate: 20_000.0,
            p50: (41_000.0 * noise(index, 0.1)) as u64,
            p99: (180_000.0 * noise(index, 0.3)) as u64,
            worst: (2_400_000.0 * noise(index, 0.5)) as u64,
        });
    }
    if matches!((workload, server), ("stampede" | "random-512", "twisted")) {
        rounds[0].marks =
            vec![Mark::Failed { operations: 3, first: "reset".to_owned() }, Mark::Behind];
        rounds[1].marks = vec![Mark::Busy { percent: 12 }];
    }
    let is_idle = workload.starts_with("idle-") && workload != "idle-0" && count > 0;
    Trial {
        server: server.to_owned(),
        left_out,
        calls: (count > 0 && !is_alone).then_some(2.0 + (index / 3) as f64 * 0.31),
        instructions: (count > 0 && server != "twisted").then_some(tenth(cost * 0.21)),
        memory: is_idle.then(|| Memory {
            connections: workload["idle-".len()..].parse().unwrap(),
            user: tenth(cost / 10.0),
            in_all: tenth(1_480.0 + cost / 10.0),
        }),
        rounds,
    }
}

/// A factor near 1. The machine is slower in some rounds, for all alike.
fn noise(seed: &str, round: usize, size: f64) -> f64 {
    let common = 1.0 + 0.1 * (round % 3) as f64;
    common * (1.0 + size * scatter(&format!("{seed} {round} {size}")))
}

/// Between -1 and 1, in no order.
fn scatter(seed: &str) -> f64 {
    let hash = seed.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    (hash >> 40) as f64 / f64::from(1 << 23) - 1.0
}

/// A figure with few digits: one with all of them may be another in its last bit once it was read.
fn tenth(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

fn left_out(workload: &str, server: &str) -> Option<String> {
    let is_own = match server {
        "nginx" => workload.starts_with("http"),
        "redis-server" => workload.starts_with("resp"),
        _ => true,
    };
    let reason = match (workload, server) {
        _ if !is_own => "does not have this service",
        ("random-1" | "random-64" | "random-512" | "stampede", "blocking") => return None,
        (_, "blocking") => "has one connection at a time",
        (_, "threads") if workload.starts_with("idle-1") => "a thread for each would not fit",
        ("timers" | "calls", "threads") => "has no loop",
        (_, "limit" | "mio" | "libevent" | "calloop" | "threads" | "uvloop" | "twisted")
            if workload.starts_with("http") || workload.starts_with("resp") =>
        {
            "no server of this kind"
        }
        _ => return None,
    };
    Some(reason.to_owned())
}

fn parts(workload: &str, cost: f64) -> Vec<(String, f64)> {
    let parts: &[(&str, f64)] = match workload {
        "timers" => &[
            ("arm", 0.6),
            ("reset", 0.12),
            ("arm_and_cancel", 0.8),
            ("cancel", 0.2),
            ("arm_and_fire", 1.3),
        ],
        "calls" => &[
            ("calls_per_second", 1.9e5),
            ("round_trip_p50", 130.0),
            ("round_trip_p99", 400.0),
            ("round_trip_worst", 9_000.0),
        ],
        _ => &[],
    };
    parts.iter().map(|&(name, share)| (name.to_owned(), tenth(share * cost))).collect()
}
