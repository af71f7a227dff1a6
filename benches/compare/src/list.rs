//! `peers`: says who is there, and starts each once for each service that it has.

use std::io;
use std::path::PathBuf;

use crate::peers::{self, Peer, SERVICES, Task};
use crate::service::{CallFigures, TimerFigures};
use crate::sys;

/// So few timers and calls tell whether a server counts at all.
const FEW: u64 = 1000;

/// Prints a line for each peer and service. Whether all did what they are there for.
pub fn run() -> bool {
    let mut good = true;
    for peer in peers::all(false) {
        match (&peer.version, &peer.skipped) {
            (Some(version), _) => println!("{}: {version}", peer.name),
            (_, reason) => println!("{}: skipped, {}", peer.name, reason.as_deref().unwrap_or("")),
        }
        for service in SERVICES.into_iter().chain(["http", "resp"]) {
            if peer.serves(service) {
                good &= report(service, try_once(&peer, service));
            }
        }
    }
    good
}

fn report(service: &str, result: io::Result<String>) -> bool {
    match result {
        Ok(said) => println!("  {service}: {said}"),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            println!("  {service}: does not have it");
        }
        Err(error) => {
            println!("  {service}: {error}");
            return false;
        }
    }
    true
}

fn try_once(peer: &Peer, service: &str) -> io::Result<String> {
    let root = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let task = Task { service: service.to_owned(), count: FEW, root, ..Task::default() };
    match service {
        "timers" => peer.measure::<TimerFigures>(&task).map(|figures| format!("{figures:?}")),
        "calls" => peer.measure::<CallFigures>(&task).map(|figures| format!("{figures:?}")),
        _ => {
            let started = peer.start(&task)?;
            let (addr, cpu) = (started.addr, sys::cpu_time(started.pid())?);
            let (said, status) = (started.said(), started.end()?);
            Ok(format!(
                "on {addr} after {cpu:?} of CPU time; {status}; {} bytes of log",
                said.len()
            ))
        }
    }
}
