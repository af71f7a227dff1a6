//! A server and its clients, for as long as a workload lasts.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::figures::Memory;
use crate::load::{Beside, Load, Outcome, Plan, READY};
use crate::peers::{Peer, Started, Task};
use crate::{machine, sys};

/// Where servers run: on the first core.
pub fn server_cores() -> Vec<usize> {
    sys::cores().into_iter().take(1).collect()
}

/// Where clients run: on another core, if there is one.
pub fn client_cores() -> Vec<usize> {
    sys::cores().into_iter().skip(1).take(1).collect()
}

/// With fewer idle connections, the memory of one is too small a part of the process to measure.
const LEAST_IDLE: usize = 5_000;

/// How much of what a server said goes into an error.
const LAST_LINES: usize = 3;

pub struct Session {
    server: Started,
    clients: Clients,
    pub memory: Option<Memory>,
}

impl Session {
    /// Starts both, the clients on all cores if the server is, and connects those clients that keep a connection.
    ///
    /// # Errors
    ///
    /// If one of them cannot start, or a client cannot connect.
    pub fn open(peer: &Peer, task: &Task, load: &Load) -> io::Result<Self> {
        let server = peer.start(task)?;
        let (own, slabs) = (machine::own_memory(server.pid()), machine::slabs());
        let everywhere = task.cores.is_empty();
        let cores = if everywhere { Vec::new() } else { client_cores() };
        let mut clients = Clients::start(load, server.addr, cores)?;
        let mut memory = None;
        if let Load::Exchange { clients: active, beside: Beside::Idle(idle), .. } = *load
            && idle >= LEAST_IDLE
            && let (Some(own), Some(slabs)) = (own, slabs)
        {
            // When the last of them to connect is answered, all have been accepted.
            clients.run(Plan::Operations(active as u64))?;
            let connections = (active + idle) as f64;
            let more_own = machine::own_memory(server.pid()).unwrap_or(own) - own;
            let more_slabs = machine::slabs().unwrap_or(slabs) - slabs;
            let user = more_own / connections;
            let in_all = user + more_slabs / connections / 2.0;
            memory = Some(Memory { connections: connections as u64, user, in_all });
        }
        Ok(Self { server, clients, memory })
    }

    /// Runs the clients by a plan; also how many nanoseconds of CPU time the server took meanwhile,
    /// and how many seconds of it the clients.
    ///
    /// # Errors
    ///
    /// If the server or the clients have ended.
    pub fn run(&mut self, plan: Plan) -> io::Result<(Outcome, f64, f64)> {
        let clients = self.clients.child.id();
        let (server, load) = (sys::cpu_time(self.server.pid())?, sys::cpu_time(clients)?);
        let outcome = self.clients.run(plan).map_err(|error| self.with_last_words(&error))?;
        let server = sys::cpu_time(self.server.pid())? - server;
        let load = sys::cpu_time(clients)? - load;
        Ok((outcome, server.as_nanos() as f64, load.as_secs_f64()))
    }

    /// The error with what the server said last, which may be the cause.
    pub fn with_last_words(&self, error: &io::Error) -> io::Error {
        let said = self.server.said();
        let lines: Vec<&str> = said.lines().collect();
        match lines[lines.len().saturating_sub(LAST_LINES)..].join("; ") {
            words if words.is_empty() => io::Error::other(error.to_string()),
            words => io::Error::other(format!("{error}; the server said: {words}")),
        }
    }

    /// Ends the server in order, and the clients a moment later: its work for clients that go is not to
    /// be counted, but it may wait for them.
    ///
    /// # Errors
    ///
    /// If the server cannot be waited for.
    pub fn end(self) -> io::Result<()> {
        self.server.ask_to_end();
        drop(self.clients);
        self.server.wait_for_end().map(drop)
    }
}

/// The process of the clients.
struct Clients {
    child: Child,
    plans: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

impl Clients {
    fn start(load: &Load, server: SocketAddr, cores: Vec<usize>) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["load", &serde_json::to_string(load)?, &server.to_string()]);
        sys::prepare(&mut command, cores);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (plans, outcomes) = pipes.ok_or_else(|| io::Error::other("no pipes"))?;
        let mut clients = Self { child, plans, outcomes: BufReader::new(outcomes) };
        match clients.line()?.as_str() {
            READY => Ok(clients),
            _ => Err(io::Error::other("the clients cannot connect")),
        }
    }

    fn run(&mut self, plan: Plan) -> io::Result<Outcome> {
        writeln!(self.plans, "{}", serde_json::to_string(&plan)?)?;
        match self.line()?.as_str() {
            "" => Err(io::Error::other("the clients have ended")),
            line => Ok(serde_json::from_str(line)?),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.outcomes.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
