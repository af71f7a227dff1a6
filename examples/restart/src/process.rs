//! Servers in processes of their own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::shared::cli::Exit;

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
        Self::wait_until_it_listens(&mut command)
    }

    /// The same with a socket that it is to take over.
    pub(crate) fn hand_over(socket: &TcpListener, options: &[String]) -> Result<Self, Exit> {
        let mut command = Command::new("sh");
        command.args(["-c", HAND_OVER]).arg(std::env::current_exe()?).args(options);
        command.stdin(OwnedFd::from(socket.try_clone()?));
        Self::wait_until_it_listens(&mut command)
    }

    fn wait_until_it_listens(command: &mut Command) -> Result<Self, Exit> {
        let (path, said) = temporary("said")?;
        fs::remove_file(path)?; // it stays as long as it is open
        let command = command.env(ROLE, "1").stdout(Stdio::piped()).stderr(said.try_clone()?);
        let mut server = Self { process: Process::start(command)?, said };
        let mut line = String::new();
        if let Some(stdout) = server.process.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.is_empty() {
            server.process.0.wait()?;
            let words = server.last_words()?;
            return Err(Exit::Failed(format!("a server did not start: {words}")));
        }
        if !line.starts_with("listening on ") {
            return Err(Exit::Failed(format!("a server did not start, it said {line:?}")));
        }
        Ok(server)
    }

    /// Ends it by SIGTERM, and waits until it has ended.
    pub(crate) fn stop(mut self) -> Result<(), Exit> {
        let process = &mut self.process.0;
        kill_process(Pid::from_child(process), Signal::TERM).map_err(std::io::Error::from)?;
        let status = process.wait()?;
        if status.success() {
            return Ok(());
        }
        let words = self.last_words()?;
        Err(Exit::Failed(format!("a server did not stop in order: {status}: {words}")))
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

/// A file of this process's own, in the folder for temporary ones, to be removed by the one who made it.
pub(crate) fn temporary(name: &str) -> Result<(std::path::PathBuf, File), Exit> {
    let path = std::env::temp_dir().join(format!("crocus-{}-{name}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let file =
        file.map_err(|error| Exit::Failed(format!("cannot write to {}: {error}", path.display())))?;
    Ok((path, file))
}
