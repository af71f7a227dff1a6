//! The tasks that are set to the servers.

use std::path::{Path, PathBuf};
use std::{fs, io};

use charts::number::grouped;

use crate::certificates;
use crate::figures::ONE_LOOP;
use crate::load::{Beside, Load, Tls};

/// One row of the comparison.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    pub title: String,
    /// The service it is about.
    pub service: &'static str,
    /// The name of one operation.
    pub operation: &'static str,
    /// The server that the others are compared with, or [`ONE_LOOP`](crate::figures::ONE_LOOP).
    pub baseline: &'static str,
    pub kind: Kind,
    /// For how many operations more than to begin with system calls and instructions are counted; none
    /// where they say nothing that another workload does not.
    pub counted: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// Clients of ours, in a closed loop.
    Loop(Load),
    /// Clients of ours, each of which asks once.
    Stampede(Load),
    /// redis-benchmark, with a command and so many of them at once.
    Redis { command: &'static str, pipeline: u64 },
    /// The server measures itself.
    Alone { count: u64 },
}

/// How large everything is: realistic, or just large enough for a smoke test.
struct Size {
    crowd: usize,
    idle: &'static [usize],
    tls_idle: usize,
    members: usize,
    count: u64,
    /// Of those that fire beside clients.
    timers: u64,
}

const FULL: Size = Size {
    crowd: 10_000,
    idle: &[1_000, 10_000, 18_000],
    tls_idle: 5_000, // each has a full handshake, and with fewer their memory is not measured
    members: 1_000,
    count: 1_000_000,
    timers: 100_000,
};
const SMOKE: Size =
    Size { crowd: 300, idle: &[30], tls_idle: 30, members: 100, count: 1_000, timers: 1_000 };

/// Pages that HTTP servers serve, as files in a folder.
const PAGES: [(&str, usize); 2] = [("small", 1024), ("1m", 1024 * 1024)];

/// All workloads; the files that HTTP servers serve, and the certificate, are written to `folder`.
///
/// # Errors
///
/// If a file cannot be written.
pub fn all(folder: &Path, smoke: bool) -> io::Result<Vec<Workload>> {
    let size = if smoke { SMOKE } else { FULL };
    let mut all = random(&size);
    all.extend(echo());
    all.push(Workload {
        name: "bulk".into(),
        title: "one stream without end".into(),
        service: "bulk",
        operation: "MiB",
        baseline: "limit",
        kind: Kind::Loop(Load::Download { tls: None }),
        counted: Some(40),
    });
    all.push(Workload {
        name: "flood".into(),
        title: "echo of one stream without end".into(),
        service: "flood",
        operation: "MiB",
        baseline: "limit",
        kind: Kind::Loop(Load::Flood),
        counted: Some(40),
    });
    let members = size.members;
    all.extend(beside_work(&size));
    all.extend(size.idle.iter().copied().map(idle));
    all.push(Workload {
        name: "broadcast".into(),
        title: format!("chat: 64 bytes to each of {}", grouped(members as u64)),
        service: "broadcast",
        operation: "delivery",
        baseline: "limit",
        kind: Kind::Loop(Load::Group { members }),
        counted: Some(20 * members as u64),
    });
    all.extend([
        alone("timers", "timers, with so many live", "timer", "crocus", size.count),
        alone("calls", "calls from another thread", "call", "limit", size.count),
    ]);
    for (name, length) in PAGES {
        all.push(page(folder, name, length)?);
    }
    all.extend([1, 16].into_iter().flat_map(redis));
    all.extend(on_cores());
    certificates::make(folder)?;
    all.extend(over_tls(folder, &size));
    Ok(all)
}

fn random(size: &Size) -> Vec<Workload> {
    let workload = |name: String, title, kind, counted| Workload {
        name,
        title,
        service: "random",
        operation: "connection",
        baseline: "limit",
        kind,
        counted,
    };
    let at_once = |clients: usize| {
        let title = format!("81 bytes, {clients} at once");
        let counted = (clients <= 64).then_some(2_000);
        workload(
            format!("random-{clients}"),
            title,
            Kind::Loop(Load::Ask { clients, tls: None }),
            counted,
        )
    };
    let crowd = size.crowd;
    let stampede = workload(
        "stampede".into(),
        format!("81 bytes, stampede of {}", grouped(crowd as u64)),
        Kind::Stampede(Load::Ask { clients: crowd, tls: None }),
        None,
    );
    [1, 64, 512].map(at_once).into_iter().chain([stampede]).collect()
}

fn exchange(name: String, title: String, load: Load, counted: Option<u64>) -> Workload {
    Workload {
        name,
        title,
        service: "echo",
        operation: "message",
        baseline: "limit",
        kind: Kind::Loop(load),
        counted,
    }
}

fn echo() -> Vec<Workload> {
    let echo = |size: usize, clients: usize, pipeline: usize| {
        let (suffix, more) = match pipeline {
            1 => (String::new(), String::new()),
            many => (format!("-x{many}"), format!(", {many} at once")),
        };
        let length = if size < 1024 { format!("{size} B") } else { format!("{} KiB", size / 1024) };
        let connections = match clients {
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        };
        exchange(
            format!("echo-{size}-{clients}{suffix}"),
            format!("echo of {length}, {connections}{more}"),
            Load::Exchange { clients, size, pipeline, beside: Beside::Nothing, tls: None },
            (clients <= 64 && pipeline * size <= 16 * 1024).then_some(2_560 * pipeline as u64),
        )
    };
    let sizes = [64, 16 * 1024];
    let mut all: Vec<Workload> =
        sizes.iter().flat_map(|&size| [1, 64, 512].map(|clients| echo(size, clients, 1))).collect();
    all.insert(3, echo(64, 64, 16));
    all
}

/// The load of the clients that have company: as `echo-64-64`.
fn active(beside: Beside) -> Load {
    Load::Exchange { clients: 64, size: 64, pipeline: 1, beside, tls: None }
}

/// For the latency. A message's share of the CPU time has that of the other work in it, of which all do the same.
fn beside_work(size: &Size) -> [Workload; 3] {
    let workload = |name: &str, beside, service, work: &str| {
        let title = format!("64 active beside {work}");
        Workload { service, ..exchange(name.to_owned(), title, active(beside), None) }
    };
    let (members, timers) = (size.members, size.timers);
    let group = format!("a chat: 64 bytes to each of {}", grouped(members as u64));
    let ticking = format!("{} timers", grouped(timers));
    [
        workload("beside-flood", Beside::Flood, "flood", "a flood that is sent back"),
        workload("beside-broadcast", Beside::Group(members), "beside-broadcast", &group),
        workload("beside-timers", Beside::Timers(timers), "beside-timers", &ticking),
    ]
}

fn idle(idle: usize) -> Workload {
    let title = format!("64 active beside {} idle", grouped(idle as u64));
    exchange(format!("idle-{idle}"), title, active(Beside::Idle(idle)), None)
}

/// Server and clients on all cores: what a second loop costs, beside the same server with one.
fn on_cores() -> [Workload; 2] {
    let workload = |name: &str, what: &str, service, operation, load| Workload {
        name: name.to_owned(),
        title: format!("{what}, one loop or two on all cores"),
        service,
        operation,
        baseline: ONE_LOOP,
        kind: Kind::Loop(load),
        counted: None, // under the tools a loop finds more at once than it does by itself
    };
    let ask = Load::Ask { clients: 64, tls: None };
    let echo = active(Beside::Nothing);
    [
        workload("two-random-64", "81 bytes, 64 at once", "cores-random", "connection", ask),
        workload("two-echo-64-64", "echo of 64 B, 64 connections", "cores-echo", "message", echo),
    ]
}

fn alone(
    name: &'static str,
    title: &str,
    operation: &'static str,
    baseline: &'static str,
    count: u64,
) -> Workload {
    let (name, title, kind) =
        (name.to_owned(), format!("{} {title}", grouped(count)), Kind::Alone { count });
    let service = if name == "timers" { "timers" } else { "calls" };
    Workload { name, title, service, operation, baseline, kind, counted: None }
}

fn page(folder: &Path, name: &str, length: usize) -> io::Result<Workload> {
    let file: PathBuf = folder.join(format!("{name}.bin"));
    fs::write(&file, (0..length).map(|_| rand::random()).collect::<Vec<u8>>())?;
    let title = if length < 100_000 { "HTTP, 1 KiB" } else { "HTTP, 1 MiB" };
    Ok(Workload {
        name: format!("http-{name}"),
        title: title.to_owned(),
        service: "http",
        operation: "request",
        baseline: "nginx",
        kind: Kind::Loop(Load::Request { clients: 64, file }),
        counted: Some(if length < 100_000 { 2_560 } else { 128 }),
    })
}

fn redis(pipeline: u64) -> [Workload; 3] {
    [("ping_mbulk", "PING"), ("set", "SET"), ("get", "GET")].map(|(command, title)| Workload {
        name: format!("resp-{}-{pipeline}", title.to_lowercase()),
        title: format!("Redis: {title}, 64 connections, {pipeline} at once"),
        service: "resp",
        operation: "request",
        baseline: "redis-server",
        kind: Kind::Redis { command, pipeline },
        counted: (command == "get").then_some(20_000),
    })
}

/// How many operations are counted of those in which a handshake is most of the work.
const COUNTED_HANDSHAKES: u64 = 500;

/// The cost of a handshake is the inverse of how many a second of the server's CPU time has room for.
fn over_tls(folder: &Path, size: &Size) -> Vec<Workload> {
    let tls = |resumes| Some(Tls { folder: folder.to_owned(), resumes });
    let workload = |name: String, title: String, service, operation, load, counted| Workload {
        name,
        title,
        service,
        operation,
        baseline: "limit",
        kind: Kind::Loop(load),
        counted,
    };
    let ask = |resumes, kind: &str| {
        let title = format!("TLS: 81 bytes after a {kind} handshake, 64 at once");
        let load = Load::Ask { clients: 64, tls: tls(resumes) };
        let name = format!("tls-{kind}-64");
        workload(name, title, "tls-random", "connection", load, Some(COUNTED_HANDSHAKES))
    };
    let exchange = |name, title, size, beside, counted| {
        let load = Load::Exchange { clients: 64, size, pipeline: 1, beside, tls: tls(false) };
        workload(name, title, "tls-echo", "message", load, counted)
    };
    let echo = |size: usize, length| {
        let title = format!("TLS: echo of {length}, 64 connections");
        exchange(format!("tls-echo-{size}-64"), title, size, Beside::Nothing, Some(2_560))
    };
    let idle = size.tls_idle;
    let beside = format!("TLS: 64 active beside {} idle", grouped(idle as u64));
    let bulk = Load::Download { tls: tls(false) };
    let stream = "TLS: one stream without end".to_owned();
    vec![
        ask(false, "full"),
        ask(true, "resumed"),
        echo(64, "64 B"),
        echo(16 * 1024, "16 KiB"),
        exchange(format!("tls-idle-{idle}"), beside, 64, Beside::Idle(idle), None),
        workload("tls-bulk".into(), stream, "tls-bulk", "MiB", bulk, Some(40)),
    ]
}

/// Above so many timers calloop is not asked: each one that is moved or cancelled is searched for among
/// all (`TimerWheel::cancel` in its `sources/timer.rs`), so that a million would take hours.
const SEARCHED: u64 = 10_000;

/// Above so many connections there is no thread for each: Linux maps no more than 65,530 areas unless
/// told otherwise, and a thread takes four.
const THREADS: usize = 16_000;

impl Workload {
    /// Whether a server is started for each round. One that works without being asked would disturb the
    /// rounds of the others; and how the kernel spreads connections over loops and threads over cores is
    /// another thing each time.
    pub fn starts_anew(&self) -> bool {
        let ticks =
            matches!(self.kind, Kind::Loop(Load::Exchange { beside: Beside::Timers(_), .. }));
        ticks || self.baseline == ONE_LOOP
    }

    /// Whether it is there for the latency of clients beside other work: then all rounds have it.
    pub fn is_for_latency(&self) -> bool {
        let Kind::Loop(Load::Exchange { beside, .. }) = self.kind else { return false };
        !matches!(beside, Beside::Nothing | Beside::Idle(_))
    }

    /// The COUNT of its service; 0 if that takes none.
    pub fn count(&self) -> u64 {
        match self.kind {
            Kind::Alone { count } => count,
            Kind::Loop(Load::Exchange { beside: Beside::Group(members), .. }) => members as u64,
            Kind::Loop(Load::Exchange { beside: Beside::Timers(count), .. }) => count,
            _ => 0,
        }
    }

    /// Why a server is left out that has the service.
    pub fn leaves_out(&self, server: &str) -> Option<&'static str> {
        let reason = match (server, &self.kind) {
            ("blocking", Kind::Loop(Load::Exchange { clients: 2.., .. })) => {
                "has one connection at a time"
            }
            ("threads", Kind::Loop(Load::Exchange { clients, beside: Beside::Idle(idle), .. }))
                if clients + idle > THREADS =>
            {
                "a thread for each takes more than vm.max_map_count allows"
            }
            ("calloop", Kind::Alone { count }) if self.name == "timers" && *count > SEARCHED => {
                "its timers are searched: 10,000 take half a second, and 100 times as many 10,000 times as long"
            }
            _ => return None,
        };
        Some(reason)
    }
}
