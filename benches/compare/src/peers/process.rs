//! A server's process: started, waited for, and ended.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Task;
use super::scratch::Scratch;
use crate::service::NO_SUCH_SERVICE;
use crate::sys;

/// The interval for polling conditions that no event reports.
const LOOK: Duration = Duration::from_millis(5);

/// How long a server may take to end when asked to.
const UNTIL_IT_ENDS: Duration = Duration::from_secs(10);

/// How much of what a server said goes into an error.
const LAST_LINES: usize = 8;

/// A server that listens. Killed, and waited for, when dropped.
pub struct Started {
    process: Process,
    pub addr: SocketAddr,
}

impl Started {
    pub(super) fn new(process: Process, addr: SocketAddr) -> Self {
        Self { process, addr }
    }

    /// Its process, or that of the wrapper.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Its stderr so far.
    pub fn said(&self) -> String {
        self.process.said()
    }

    /// Asks it to end (SIGTERM), so that a wrapper can write what it has counted.
    pub fn ask_to_end(&self) {
        // A wrapper gets the signal too: strace ignores it with -o, valgrind is the server.
        let _ = sys::signal_group(self.process.child.id(), libc::SIGTERM);
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for.
    pub fn end(self) -> io::Result<ExitStatus> {
        self.ask_to_end();
        self.wait_for_end()
    }

    /// Waits until it has ended, as it was asked to, and kills it after some seconds.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for.
    pub fn wait_for_end(mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.process.end_within(UNTIL_IT_ENDS) {
            return Ok(status);
        }
        self.process.kill();
        self.process.child.wait()
    }
}

/// A process of a server, in a process group of its own, with its scratch directory.
pub(super) struct Process {
    /// For example `libuv for echo`, for errors.
    what: String,
    child: Child,
    /// Kept open after the first line: a process that writes to a pipe without a reader is killed.
    stdout: Option<BufReader<ChildStdout>>,
    scratch: Scratch,
}

impl Process {
    /// Starts a program. Its stderr goes to a file, and its stdout too unless that is a pipe.
    pub(super) fn spawn(
        what: String,
        arguments: Vec<OsString>,
        task: &Task,
        scratch: Scratch,
        pipe: bool,
    ) -> io::Result<Self> {
        let words: Vec<OsString> =
            task.wrapper.iter().map(OsString::from).chain(arguments).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).process_group(0);
        command.env("RUST_BACKTRACE", "0"); // a panic's message is to be among the last lines
        sys::prepare(&mut command, task.cores.clone());
        let trying = |error| failed(&what, format_args!("{command:?}: {error}"));
        let log = File::create(scratch.path().join("stderr")).map_err(trying)?;
        let stdout = if pipe { Stdio::piped() } else { log.try_clone().map_err(trying)?.into() };
        let spawned = command.stdin(Stdio::null()).stdout(stdout).stderr(log).spawn();
        let mut child = spawned.map_err(|error| failed(&what, format!("{command:?}: {error}")))?;
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Self { what, child, stdout, scratch })
    }

    /// The first line on stdout, without its end.
    pub(super) fn first_line(&mut self, within: Duration) -> io::Result<String> {
        let Some(mut stdout) = self.stdout.take() else {
            return Err(self.failure("its stdout is not read"));
        };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let result = stdout.read_line(&mut line).map(|_| line);
            let _ = sender.send((result, stdout)); // fails if the receiver has given up
        });
        let Ok((line, stdout)) = receiver.recv_timeout(within) else {
            return Err(self.failure(&format!("prints nothing for {within:?}")));
        };
        self.stdout = Some(stdout);
        match line {
            Ok(line) if !line.is_empty() => Ok(line.trim_end().to_owned()),
            Ok(_) => Err(self.failure("ends without a word on stdout")),
            Err(error) => Err(self.failure(&format!("its stdout: {error}"))),
        }
    }

    /// Waits until it takes a connection.
    pub(super) fn wait_for_connect(
        &mut self,
        addr: SocketAddr,
        within: Duration,
    ) -> io::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let connected = TcpStream::connect_timeout(&addr, within);
            // Another process may listen there, and our server may have ended because of it.
            if let Ok(Some(_)) = self.child.try_wait() {
                return Err(self.failure(&format!("was to listen on {addr}, and has ended")));
            }
            match connected {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(self.failure(&format!("connect to {addr} for {within:?}: {error}")));
                }
                Err(_) => thread::sleep(LOOK),
            }
        }
    }

    /// Waits until it has ended by itself; `None` if it does not.
    pub(super) fn end_within(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
                result => return result.ok().flatten(),
            }
        }
    }

    /// Kills it, and those it started.
    fn kill(&mut self) {
        let _ = sys::signal_group(self.child.id(), libc::SIGKILL);
        let _ = self.child.kill(); // in case that it has left its group
    }

    fn said(&self) -> String {
        let said = fs::read(self.scratch.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// An error that says what failed, how the process ended if it did, and what it said last.
    pub(super) fn failure(&mut self, cause: &str) -> io::Error {
        // A process that has closed its stdout is about to end.
        let status = self.end_within(Duration::from_millis(200));
        let mut message = format!("cannot start {}: {cause}", self.what);
        if let Some(status) = status {
            message += &format!(" ({status})");
        }
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
            message += "\n  it said: ";
            message += line;
        }
        let unsupported = status.and_then(|status| status.code()) == Some(NO_SUCH_SERVICE);
        let kind = if unsupported { io::ErrorKind::Unsupported } else { io::ErrorKind::Other };
        io::Error::new(kind, message)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once it has been waited for, its number may belong to another process.
        if let Ok(None) = self.child.try_wait() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// An error that says what failed, and why.
pub(super) fn failed(what: &str, cause: impl Display) -> io::Error {
    io::Error::other(format!("cannot start {what}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let arguments = ["sh", "-c", script].map(OsString::from).to_vec();
        let scratch = Scratch::new().unwrap();
        Process::spawn("a shell".to_owned(), arguments, &Task::default(), scratch, true).unwrap()
    }

    #[test]
    fn a_process_that_ends_at_once_is_quoted() {
        let error = shell("echo no such luck >&2; exit 3").first_line(LOOK * 1000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let message = error.to_string();
        assert!(message.starts_with("cannot start a shell: "), "{message}");
        assert!(message.contains("exit status: 3"), "{message}");
        assert!(message.ends_with("it said: no such luck"), "{message}");
    }

    #[test]
    fn a_silent_process_is_given_up() {
        let start = Instant::now();
        assert!(shell("sleep 60; echo late").first_line(LOOK).is_err());
        assert!(start.elapsed() < LOOK * 1000);
    }

    #[test]
    fn a_process_that_a_wrapper_started_ends_with_it() {
        let mut process = shell("sleep 60 & echo $!; wait");
        let pid: u32 = process.first_line(LOOK * 1000).unwrap().parse().unwrap();
        drop(process);
        let deadline = Instant::now() + LOOK * 1000;
        // Its new parent may not have waited for it: then it is a zombie, without memory.
        while fs::read(format!("/proc/{pid}/statm")).is_ok_and(|memory| memory[0] != b'0') {
            assert!(Instant::now() < deadline, "{pid} lives on");
            thread::sleep(LOOK);
        }
    }
}
