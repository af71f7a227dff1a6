//! Figures that do not wobble: system calls and instructions per operation, counted by strace and
//! callgrind.
//!
//! A server is run twice, the second time for more operations, and the difference counts; the start does
//! not. Under either tool servers are slow, so that batches are as large as the clients can
//! make them.

use std::path::Path;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Strace,
    Callgrind,
}

/// Those that are there, and those that are not.
pub fn tools() -> (Vec<Tool>, Vec<Tool>) {
    [Tool::Strace, Tool::Callgrind].into_iter().partition(|tool| {
        let version = Command::new(tool.name()).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    })
}

/// Counts for the servers that took part in a workload.
pub fn count(
    tools: &[Tool],
    workload: &Workload,
    peers: &[Peer],
    trials: &mut [Trial],
    root: &Path,
) {
    let Some(more) = workload.counted else { return };
    for trial in trials.iter_mut().filter(|trial| trial.left_out.is_none()) {
        let Some(peer) = peers.iter().find(|peer| peer.name == trial.server) else { continue };
        for &tool in tools {
            match tool.per_operation(workload, peer, more, root) {
                Ok(figure) => *tool.place(trial) = Some(figure),
                Err(error) => eprintln!("  {}: {}: {error}", trial.server, tool.name()),
            }
        }
    }
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::Strace => "strace",
            Self::Callgrind => "valgrind",
        }
    }

    /// Where its figure goes.
    fn place(self, trial: &mut Trial) -> &mut Option<f64> {
        match self {
            Self::Strace => &mut trial.calls,
            Self::Callgrind => &mut trial.instructions,
        }
    }

    fn wrapper(self, file: &Path) -> Vec<String> {
        let file = file.display().to_string();
        match self {
            // setpriv, since a killed strace would leave the server running.
            Self::Strace => {
                words(["strace", "-f", "-c", "-o", &file, "setpriv", "--pdeathsig", "KILL"])
            }
            // More than 500 threads, as `threads` has them in a chat, need an option.
            Self::Callgrind => {
                let file = format!("--callgrind-out-file={file}");
                words(["valgrind", "-q", "--tool=callgrind", "--max-threads=2000", &file])
            }
        }
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
        let figure = (long - short) / (more - operations);
        // The tool may have been killed before it could write everything.
        if figure.is_finite() && figure > 0.0 {
            return Ok(figure);
        }
        let what = format!("{short} for {operations} operations, {long} for {more}");
        Err(io::Error::other(format!("counted {what}")))
    }

    /// The count, and for how many operations it is.
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

    fn total(self, file: &Path) -> io::Result<f64> {
        let wrong = |cause: &dyn std::fmt::Display| {
            io::Error::other(format!("read {}: {cause}", file.display()))
        };
        let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
        let total = match self {
            Self::Strace => strace_total(&text),
            Self::Callgrind => callgrind_total(&text),
        };
        total.ok_or_else(|| wrong(&"it has no total"))
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// The calls in the last line: `100.00    0.012345           3      4096        12 total`.
///
/// Not every version has the time per call in it, and where no call failed the errors are left out;
/// so the column is where the heading says that calls end.
fn strace_total(text: &str) -> Option<f64> {
    let heading = text.lines().find(|line| line.starts_with("% time"))?;
    let end = heading.find("calls")? + "calls".len();
    let line = text.lines().find(|line| line.ends_with(" total"))?;
    line.get(..end)?.split_whitespace().next_back()?.parse().ok()
}

/// All instructions: `totals: 123456`.
fn callgrind_total(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("totals:"))?;
    line.split_once(' ')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_in_either_layout_of_strace() {
        let recent = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000006           0        12           recvfrom
 40.00    0.000004           4         1         1 access
------ ----------- ----------- --------- --------- ----------------
100.00    0.000010           0     12345         1 total
";
        let older = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
100.00    0.000010           0     12345           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.000010                 12345           total
";
        assert_eq!([recent, older].map(strace_total), [Some(12_345.0); 2]);
        assert_eq!(
            strace_total(&recent.replace("        1 total", "          total")),
            Some(12_345.0)
        );
    }

    #[test]
    fn a_table_that_was_cut_off_has_no_total() {
        assert_eq!(strace_total(""), None);
        assert_eq!(
            strace_total("% time     seconds  usecs/call     calls    errors syscall\n"),
            None
        );
        assert_eq!(callgrind_total("summary: 5\n"), None);
    }

    #[test]
    fn instructions_are_in_the_line_of_totals() {
        assert_eq!(callgrind_total("fn=(0)\n0 5\ntotals: 123456789\n"), Some(123_456_789.0));
    }

    #[test]
    fn a_tool_is_told_where_to_write() {
        let wrapper = Tool::Callgrind.wrapper(Path::new("/a dir/x"));
        assert_eq!(wrapper.last().unwrap(), "--callgrind-out-file=/a dir/x");
        assert_eq!(Tool::Strace.wrapper(Path::new("/x"))[3..5], ["-o", "/x"]);
    }
}
