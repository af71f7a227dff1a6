//! The whole comparison: workload after workload, and then the counts of all of them.

use std::io;
use std::path::Path;

use crate::figures::{self, Mark, Run, Server, Trial};
use crate::options::Options;
use crate::peers::{self, Peer, Scratch};
use crate::workloads::{self, Kind, Workload};
use crate::{counting, machine, redis_load, report, rounds, server};

/// Servers that must not fail: if they do, the figures are not worth much, or crocus is broken.
const FAULTLESS: [&str; 2] = ["crocus", "limit"];

/// Measures, and writes the reports after each workload, so that little is lost when it is
/// interrupted. Returns whether all operations were answered correctly.
///
/// # Errors
///
/// If nothing is to be measured, or something cannot be written.
pub fn compare(options: &Options) -> io::Result<bool> {
    if options.python {
        peers::make_venv()?;
    }
    let scratch = Scratch::new()?;
    let root = scratch.path().join("www");
    std::fs::create_dir(&root)?;
    let mut skipped = Vec::new();
    let workloads = workloads(options, &root, &mut skipped)?;
    let peers = peers(options)?;
    let mut run = describe(options, &peers);
    measure(&workloads, &peers, options, &root, &mut run)?;
    if options.counts {
        count(&workloads, &peers, options, &root, &mut run, &mut skipped)?;
    }
    run.servers.extend(skipped);
    report::write(&run, &options.out)?;
    for name in ["bench.json", "bench.md", "bench.svg"] {
        println!("{}", options.out.join(name).display());
    }
    Ok(complaints(&run, &workloads, options.smoke))
}

/// Those whose names contain one of the texts, as far as their clients are there.
fn workloads(
    options: &Options,
    root: &Path,
    skipped: &mut Vec<Server>,
) -> io::Result<Vec<Workload>> {
    let mut workloads = workloads::all(root, options.smoke)?;
    let is_wanted = |name: &str| {
        options.only.is_empty() || options.only.iter().any(|text| name.contains(text.as_str()))
    };
    workloads.retain(|workload| is_wanted(&workload.name));
    let is_redis = |workload: &Workload| matches!(workload.kind, Kind::Redis { .. });
    if workloads.iter().any(is_redis) && !redis_load::is_there() {
        workloads.retain(|workload| !is_redis(workload));
        skipped.push(missing(redis_load::PROGRAM));
    }
    if workloads.is_empty() {
        let only = options.only.join(",");
        return Err(io::Error::other(format!("no workload that is there is called {only}")));
    }
    Ok(workloads)
}

/// The peers that are asked for, those that are not there included.
fn peers(options: &Options) -> io::Result<Vec<Peer>> {
    let mut peers = peers::all(options.smoke);
    let servers = &options.servers;
    if let Some(name) = servers.iter().find(|name| peers.iter().all(|peer| peer.name != **name)) {
        let known: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        let known = known.join(", ");
        return Err(io::Error::other(format!("there is no server {name}, only {known}")));
    }
    peers.retain(|peer| servers.is_empty() || peer.name == "limit" || servers.contains(&peer.name));
    Ok(peers)
}

fn describe(options: &Options, peers: &[Peer]) -> Run {
    let servers = peers.iter().map(|peer| Server {
        name: peer.name.clone(),
        version: peer.version.clone().unwrap_or_default(),
        skipped: peer.skipped.clone(),
    });
    Run {
        machine: machine::describe(),
        rounds: options.rounds,
        seconds: options.seconds,
        servers: servers.collect(),
        workloads: Vec::new(),
    }
}

fn missing(tool: &str) -> Server {
    let skipped = Some(format!("not installed: {tool}"));
    Server { name: tool.to_owned(), version: String::new(), skipped }
}

fn measure(
    workloads: &[Workload],
    peers: &[Peer],
    options: &Options,
    root: &Path,
    run: &mut Run,
) -> io::Result<()> {
    for (index, workload) in workloads.iter().enumerate() {
        say("", index, workloads.len(), workload);
        run.workloads.push(figures::Workload {
            name: workload.name.clone(),
            title: workload.title.clone(),
            operation: workload.operation.to_owned(),
            baseline: workload.baseline.to_owned(),
            trials: rounds::measure(workload, peers, options, root),
        });
        report::write(run, &options.out)?;
    }
    Ok(())
}

/// A second pass, since under the tools the machine is busy in another way.
fn count(
    workloads: &[Workload],
    peers: &[Peer],
    options: &Options,
    root: &Path,
    run: &mut Run,
    skipped: &mut Vec<Server>,
) -> io::Result<()> {
    let (tools, absent) = counting::tools();
    skipped.extend(absent.into_iter().map(|tool| missing(tool.name())));
    for (index, workload) in workloads.iter().enumerate() {
        if workload.counted.is_none() || tools.is_empty() {
            continue;
        }
        say("counting, ", index, workloads.len(), workload);
        let trials = &mut run.workloads[index].trials;
        counting::count(&tools, workload, peers, trials, root);
        report::write(run, &options.out)?;
    }
    Ok(())
}

fn say(what: &str, index: usize, of: usize, workload: &Workload) {
    eprintln!("[{what}{}/{of}] {}: {}", index + 1, workload.name, workload.title);
}

/// Prints each failure of a server that must not fail; whether there was none.
fn complaints(run: &Run, workloads: &[Workload], smoke: bool) -> bool {
    let mut good = true;
    for (figures, workload) in run.workloads.iter().zip(workloads) {
        for trial in &figures.trials {
            let name = trial.server.as_str();
            let is_ours = smoke && server::names().any(|known| known == name);
            if let Some(complaint) = complaint(trial, workload)
                && (is_ours || FAULTLESS.contains(&name))
            {
                eprintln!("failed: {} at {}: {complaint}", trial.server, figures.name);
                good = false;
            }
        }
    }
    good
}

fn complaint(trial: &Trial, workload: &Workload) -> Option<String> {
    let mut marks = trial.rounds.iter().flat_map(|round| &round.marks);
    let failure = marks.find_map(|mark| match mark {
        Mark::Failed { operations, first } => Some(format!("{operations} operations: {first}")),
        _ => None,
    });
    let reason = trial.left_out.as_deref();
    let is_meant = reason == Some(rounds::LACKING) || reason == workload.leaves_out(&trial.server);
    failure.or_else(|| reason.filter(|_| !is_meant).map(str::to_owned))
}
