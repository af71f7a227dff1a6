//! What does not wobble: system calls and instructions per operation, counted by strace and callgrind.
//!
//! A server is run twice, the second time for more operations, and the difference counts: what starting
//! costs does not. Under either tool servers are slow, so that batches are as large as the clients can
//! make them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::figures::Trial;
use crate::load::Plan;
use crate::peers::{Peer, Task};
use crate::redis_load;
use crate::rounds::task;
use crate::session::Session;
use crate::workloads::{Kind, Workload};

/// How many operations the shorter run has, as a share of what the other has more.
const SHORTER: u64 = 5;

#[derive(Clone, Copy)]
enum Tool {
    Strace,
    Callgrind,
}

/// Counts for those who took part in a workload.
pub fn count(workload: &Workload, peers: &[Peer], trials: &mut [Trial], root: &Path) {
    let Some(more) = workload.counted else { return };
    for trial in trials.iter_mut().filter(|trial| trial.left_out.is_none()) {
        let Some(peer) = peers.iter().find(|peer| peer.name == trial.server) else { continue };
        let count = |tool: Tool| match tool.per_operation(workload, peer, more, root) {
            Ok(figure) => Some(figure),
            Err(error) => {
                eprintln!("  {}: {}: {error}", trial.server, tool.name());
                None
            }
        };
        (trial.calls, trial.instructions) = (count(Tool::Strace), count(Tool::Callgrind));
    }
}

/// Which of the tools are missing.
pub fn missing() -> Vec<&'static str> {
    let there = |tool: Tool| {
        let version = Command::new(tool.name()).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    [Tool::Strace, Tool::Callgrind].into_iter().filter(|&tool| !there(tool)).map(Tool::name).collect()
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Strace => "strace",
            Self::Callgrind => "valgrind",
        }
    }

    fn wrapper(self, file: &Path) -> Vec<String> {
        let file = file.display();
        let words = match self {
            Self::Strace => format!("strace -f -c -o {file}"),
            Self::Callgrind => format!("valgrind -q --tool=callgrind --callgrind-out-file={file}"),
        };
        words.split(' ').map(str::to_owned).collect()
    }

    fn per_operation(
        self,
        workload: &Workload,
        peer: &Peer,
        more: u64,
        root: &Path,
    ) -> io::Result<f64> {
        let (short, operations) = self.run(workload, peer, more / SHORTER, root)?;
        let (long, more) = self.run(workload, peer, more / SHORTER + more, root)?;
        Ok((long - short) / (more - operations))
    }

    /// What was counted, for how many operations.
    fn run(
        self,
        workload: &Workload,
        peer: &Peer,
        operations: u64,
        root: &Path,
    ) -> io::Result<(f64, f64)> {
        let file = root.with_file_name(format!("counted-by-{}", self.name()));
        let task = Task { wrapper: self.wrapper(&file), ..task(workload, root) };
        let done = match &workload.kind {
            Kind::Loop(load) => {
                let mut session = Session::open(peer, &task, load)?;
                let (outcome, ..) = session.run(Plan::Operations(operations))?;
                session.end()?;
                if let Some(failure) = outcome.first_failure {
                    return Err(io::Error::other(failure));
                }
                outcome.operations
            }
            Kind::Redis { command, pipeline } => {
                let server = peer.start(&task)?;
                redis_load::run(server.addr, command, *pipeline, operations)?;
                server.end()?;
                operations
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let total = self.total(&file)?;
        fs::remove_file(&file)?;
        Ok((total, done as f64))
    }

    fn total(self, file: &PathBuf) -> io::Result<f64> {
        let text = fs::read_to_string(file)?;
        let total = match self {
            Self::Strace => strace_total(&text),
            Self::Callgrind => callgrind_total(&text),
        };
        total.ok_or_else(|| io::Error::other(format!("{} has no total", file.display())))
    }
}

/// The calls of the line `100.00    0.012345           3      4096       12 total`.
fn strace_total(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.ends_with(" total"))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    // Older versions leave the time per call out of this line.
    words.iter().skip(2).take(words.len().saturating_sub(3)).find_map(|word| {
        word.parse::<f64>().ok().filter(|_| !word.contains('.')).filter(|&calls| calls > 0.0)
    })
}

fn callgrind_total(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("totals:"))?;
    line.split_once(' ')?.1.trim().parse().ok()
}
