//! A server's process, as seen by the experiment: started, looked at, and ended.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::Exit;
use crate::constraint::Constraint;
use crate::figures::Usage;
use crate::first_line::first_line;
use crate::server::Model;

/// How often a server is looked at. The kernel keeps the peak of its memory; shorter peaks of
/// threads and descriptors may be missed.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// How long a server may take until it says where it listens: many times what it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The thread with which a server notices that its parent is gone: not one of its own.
const WATCHMAN: u64 = 1;

/// A server that listens. Dropping this kills it. If this process dies before, the standard input
/// of the server ends, and the server ends itself.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    _lifeline: Option<ChildStdin>,
    pub(crate) addr: SocketAddr,
    usage: Usage,
    looked: Instant,
}

impl Server {
    pub(crate) fn start(
        model: Model,
        constraint: &Constraint,
        seed: Option<u64>,
    ) -> Result<Self, Exit> {
        let failed = |error| Exit::Failed(format!("cannot start the server {model}: {error}"));
        let mut command = command(model, constraint, seed).map_err(failed)?;
        separate(&mut command);
        // Servers log the faults of their clients; this program counts them instead.
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "off");
        }
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let lifeline = process.stdin.take();
        let first = process.stdout.take().map(|stdout| first_line(stdout, PATIENCE));
        let first = first.transpose()?.flatten();
        let addr = first.as_deref().and_then(|it| it.strip_prefix("listening on ")?.parse().ok());
        let looked = Instant::now();
        let Some(addr) = addr else {
            let _ = process.kill(); // unless it has ended
            let status = process.wait()?;
            let why = match first.as_deref() {
                Some("") => status.to_string(),
                Some(line) => format!("its first line is {line:?}"),
                None => format!("it says nothing for {PATIENCE:?}"),
            };
            return Err(Exit::Failed(format!("the server {model} does not start: {why}")));
        };
        Ok(Self { process, _lifeline: lifeline, addr, usage: Usage::default(), looked })
    }

    /// Measures its resources, if it is time to.
    pub(crate) fn look(&mut self) {
        if self.looked.elapsed() >= LOOK {
            self.look_now();
        }
    }

    /// Measures once more, and returns the peaks.
    pub(crate) fn usage(&mut self) -> Usage {
        self.look_now();
        self.usage
    }

    fn look_now(&mut self) {
        self.looked = Instant::now();
        let seen = usage_of(self.process.id());
        let Usage { memory, threads, descriptors } = &mut self.usage;
        *memory = seen.memory.max(*memory);
        *threads = seen.threads.max(*threads);
        *descriptors = seen.descriptors.max(*descriptors);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(model: Model, constraint: &Constraint, seed: Option<u64>) -> io::Result<Command> {
    let task = constraint.task.to_string();
    let descriptors = constraint.descriptors.map(|limit| limit.to_string());
    let seed = seed.map(|seed| seed.to_string());
    if model == Model::Python {
        let none = || "-".to_owned();
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("blocking.py"), &task]);
        command.args([descriptors.unwrap_or_else(none), seed.unwrap_or_else(none)]);
        return Ok(command);
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", model.name(), "--task", &task]);
    for (option, value) in [("--descriptors", descriptors), ("--seed", seed)] {
        if let Some(value) = value {
            command.args([option, &value]);
        }
    }
    Ok(command)
}

/// Ctrl-C is for this process, which ends the others.
#[cfg(unix)]
fn separate(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn separate(_command: &mut Command) {}

/// Read from /proc, where there is one: see proc_pid_status(5).
fn usage_of(process: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Usage {
        memory: field("VmHWM:").map(|kib| kib * 1024),
        threads: field("Threads:").map(|count| count.saturating_sub(WATCHMAN)),
        descriptors: descriptors_of(process),
    }
}

/// Since Linux 6.2 the size of the folder is the number; before, the entries have to be counted.
fn descriptors_of(process: u32) -> Option<u64> {
    let folder = format!("/proc/{process}/fd");
    match fs::metadata(&folder).ok()?.len() {
        0 => Some(fs::read_dir(&folder).ok()?.count() as u64),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    #[test]
    fn a_server_that_says_nothing_is_not_waited_for() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf list; exec sleep 20"]).stdout(Stdio::piped());
        let mut silent = shell.spawn().unwrap();
        let first = first_line(silent.stdout.take().unwrap(), Duration::from_millis(50));
        silent.kill().unwrap();
        silent.wait().unwrap();
        assert_eq!(first.unwrap(), None);
    }
}
