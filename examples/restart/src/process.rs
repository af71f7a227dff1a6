//! Servers in processes of their own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};

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

    /// Ends it by SIGTERM, and waits until it has ended.
    pub(crate) fn stop(mut self) -> Result<ExitStatus, Exit> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).map_err(std::io::Error::from)?;
        Ok(self.0.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `activated_server`, and waits until it listens.
pub(crate) fn start_server(addr: SocketAddr, options: &[String]) -> Result<Process, Exit> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--listen", &addr.to_string()]).args(options).stdin(Stdio::null());
    wait_until_it_listens(&mut command)
}

/// The same with a socket that it is to take over.
pub(crate) fn hand_over(socket: &TcpListener, options: &[String]) -> Result<Process, Exit> {
    let mut command = Command::new("sh");
    command.args(["-c", HAND_OVER]).arg(std::env::current_exe()?).args(options);
    command.stdin(OwnedFd::from(socket.try_clone()?));
    wait_until_it_listens(&mut command)
}

fn wait_until_it_listens(command: &mut Command) -> Result<Process, Exit> {
    // The server's last words go nowhere: the tally says more.
    let command = command.env(ROLE, "1").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process::start(command)?;
    let mut line = String::new();
    if let Some(stdout) = process.0.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if !line.starts_with("listening on ") {
        return Err(Exit::Failed(format!("a server did not start, it said {line:?}")));
    }
    Ok(process)
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
    let file = File::create(&path)
        .map_err(|error| Exit::Failed(format!("cannot write to {}: {error}", path.display())))?;
    Ok((path, file))
}
