//! Servers in processes of their own.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::first_line::first_line;
use crate::shared::cli::{Exit, GRACE};

/// Set for a process that is to be a server.
const ROLE: &str = "CROCUS_RESTART_SERVER";

/// Takes the socket that is its standard input for the first one handed over, and becomes the program. Only the
/// process itself can say `LISTEN_PID`, and a shell may do it without unsafe code.
const HAND_OVER: &str =
    r#"exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$ exec "$0" "$@""#;

/// Where servers listen: below the ports that Linux gives to clients, so that no client of ours gets the port of a
/// server that is away (ip(7), `ip_local_port_range`).
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How often to try for a port that is free.
const TRIES: usize = 100;

/// How many of the last bytes that a server has said are looked at.
const LAST_WORDS: u64 = 4096;

/// How long a program may take for what it does at once: many times what it needs on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often to look whether a program has ended: so often that a restart does not take longer by it.
const LOOK: Duration = Duration::from_micros(200);

/// Whether this process was started to be a server.
pub(crate) fn is_server() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// A program that runs. Dropping this kills it.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Exit> {
        let name = command.get_program().display().to_string();
        command.spawn().map(Self).map_err(|error| {
            Exit::Failed(format!("cannot start {name}: {error}; Debian has it in a package"))
        })
    }

    /// Waits for its end; `None` if it has not come in time.
    pub(crate) fn wait_until(&mut self, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
        loop {
            let status = self.0.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An `activated_server` that runs. Its standard error is kept, and told if it fails.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    said: File,
}

impl Server {
    /// Starts one, and waits until it listens.
    pub(crate) fn start(addr: SocketAddr, options: &[String]) -> Result<Self, Exit> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--listen", &addr.to_string()]).args(options).stdin(Stdio::null());
        Self::start_within(PATIENCE, &mut command)
    }

    /// The same with a socket that it is to take over.
    pub(crate) fn hand_over(socket: &TcpListener, options: &[String]) -> Result<Self, Exit> {
        let mut command = Command::new("sh");
        command.args(["-c", HAND_OVER]).arg(std::env::current_exe()?).args(options);
        command.stdin(OwnedFd::from(socket.try_clone()?));
        Self::start_within(PATIENCE, &mut command)
    }

    fn start_within(patience: Duration, command: &mut Command) -> Result<Self, Exit> {
        let (path, said) = temporary("said")?;
        fs::remove_file(path)?; // it stays as long as it is open
        let command = command.env(ROLE, "1").stdout(Stdio::piped()).stderr(said.try_clone()?);
        let mut server = Self { process: Process::start(command)?, said };
        let deadline = Instant::now() + patience;
        let stdout = server.process.0.stdout.take();
        let line = stdout.map(|stdout| first_line(stdout, patience)).transpose()?;
        let line = line.flatten().unwrap_or_default();
        if line.starts_with("listening on ") {
            return Ok(server);
        }
        if !line.is_empty() {
            return Err(Exit::Failed(format!("a server did not start, it said {line:?}")));
        }
        let ended = server.process.wait_until(deadline)?;
        let words = server.last_words()?;
        Err(Exit::Failed(match ended {
            Some(_) => format!("a server did not start: {words}"),
            None => format!(
                "a server did not start: for {patience:?} it neither said where it listens nor \
                 ended; its last words: {words}"
            ),
        }))
    }

    /// Ends it by SIGTERM, and waits until it has ended: for as long as it goes on by its options, and some time more.
    pub(crate) fn stop(self, delay: Duration) -> Result<(), Exit> {
        self.stop_within(delay + GRACE + PATIENCE) // it has started, so its delay is an hour at most
    }

    fn stop_within(mut self, patience: Duration) -> Result<(), Exit> {
        let process = &mut self.process;
        kill_process(Pid::from_child(&process.0), Signal::TERM).map_err(std::io::Error::from)?;
        let ended = process.wait_until(Instant::now() + patience)?;
        let words = self.last_words()?;
        Err(Exit::Failed(match ended {
            Some(status) if status.success() => return Ok(()),
            Some(status) => format!("a server did not stop in order: {status}: {words}"),
            None => format!(
                "a server did not stop: it goes on {patience:?} after SIGTERM; its last words: \
                 {words}"
            ),
        }))
    }

    /// The last line that it has said.
    fn last_words(&mut self) -> std::io::Result<String> {
        let start = self.said.metadata()?.len().saturating_sub(LAST_WORDS);
        self.said.seek(SeekFrom::Start(start))?;
        let mut words = Vec::new();
        (&self.said).take(LAST_WORDS).read_to_end(&mut words)?;
        let words = String::from_utf8_lossy(&words);
        Ok(words.lines().last().unwrap_or("it said nothing").to_owned())
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<SocketAddr, Exit> {
    for _ in 0..TRIES {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)));
        if TcpListener::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    Err(Exit::Failed(format!("no port of {TRIES} from {PORTS:?} is free")))
}

/// A new file of this process's own, in the folder for temporary ones, to be removed by the one who made it.
pub(crate) fn temporary(name: &str) -> Result<(std::path::PathBuf, File), Exit> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("crocus-{}-{number}-{name}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let file =
        file.map_err(|error| Exit::Failed(format!("cannot write to {}: {error}", path.display())))?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    /// Shorter than the programs of these tests run, and longer than nothing.
    const SHORT: Duration = Duration::from_millis(50);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    fn message<T>(result: Result<T, Exit>) -> String {
        let Err(Exit::Failed(message)) = result else { panic!("it has not failed") };
        message
    }

    #[test]
    fn a_server_that_neither_listens_nor_ends_is_given_up() {
        for script in
            ["exec >&- 2>&-; exec sleep 20", "exec sleep 20", "printf list; exec sleep 20"]
        {
            let error = message(Server::start_within(SHORT, &mut shell(script)));
            let words = "for 50ms it neither said where it listens nor ended; its last words: ";
            assert!(error.contains(words), "{script}: {error}");
        }
    }

    #[test]
    fn a_server_that_does_not_heed_sigterm_is_given_up() {
        let mut command = shell("trap '' TERM; echo listening on nothing; exec sleep 20");
        let server = Server::start_within(PATIENCE, &mut command).unwrap();
        let error = message(server.stop_within(SHORT));
        assert!(error.contains("it goes on 50ms after SIGTERM"), "{error}");
    }
}
