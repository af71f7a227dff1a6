//! The load as a process of its own: it reads plans from stdin, and writes their outcomes to
//! stdout, a line of JSON each.
//!
//! A process for each server, since one process may not have open as many files as all of them need.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::exchange::Text;
use super::request::Page;
use super::{
    Ask, Client, Connection, Crowd, Download, Exchange, Flood, Group, Outcome, Place, Plan,
    Request, Steady, Tls,
};

/// The clients, and their requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Load {
    /// Clients that connect for each answer of 81 bytes.
    Ask { clients: usize, tls: Option<Tls> },
    /// Clients that each send `pipeline` messages at once, and wait for them to come back.
    Exchange { clients: usize, size: usize, pipeline: usize, beside: Beside, tls: Option<Tls> },
    /// One client that reads an endless stream.
    Download { tls: Option<Tls> },
    /// One client that sends an endless stream, and reads it when it comes back.
    Flood,
    /// A chat.
    Group { members: usize },
    /// Clients that ask for one file by HTTP.
    Request { clients: usize, file: PathBuf },
}

/// The company of the clients that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Beside {
    Nothing,
    /// So many that only hold a connection.
    Idle(usize),
    /// A stream that is sent back, at a pace.
    Flood,
    /// A chat of so many, at a pace.
    Group(usize),
    /// So many timers, of the server's own.
    Timers(u64),
}

/// The process writes this when all connections are established.
pub const READY: &str = "ready";

/// Runs the load against a server until stdin ends.
///
/// # Errors
///
/// If it cannot connect, or stdin says something else than plans.
pub fn serve(load: &Load, server: SocketAddr) -> io::Result<()> {
    match load {
        Load::Ask { clients, tls } => obey(each(*clients, || Ask::new(server, tls.as_ref()))?),
        Load::Exchange { clients, size, pipeline, beside, tls } => {
            let (place, text) = (Place::new(server, tls.as_ref())?, Text::new(size * pipeline));
            let idle = if let Beside::Idle(count) = *beside { count } else { 0 };
            let _idle = each(idle, || Connection::used(&place))?;
            let beside = match *beside {
                Beside::Flood => Some(Steady::flood(&place)?),
                Beside::Group(members) => Some(Steady::group(server, members)?),
                Beside::Nothing | Beside::Idle(_) | Beside::Timers(_) => None,
            };
            let clients = each(*clients, || Exchange::new(&place, &text, *size, *pipeline))?;
            obey_beside(clients, beside)
        }
        Load::Download { tls } => obey(vec![Download::new(&Place::new(server, tls.as_ref())?)?]),
        Load::Flood => obey(vec![Flood::new(&Place::new(server, None)?)?]),
        Load::Group { members } => obey(vec![Group::new(server, *members)?]),
        Load::Request { clients, file } => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let page = Page::new(&name, std::fs::read(file)?);
            obey(each(*clients, || Request::new(server, &page))?)
        }
    }
}

fn each<C>(count: usize, make: impl Fn() -> io::Result<C>) -> io::Result<Vec<C>> {
    (0..count).map(|_| make()).collect()
}

fn obey<C: Client>(clients: Vec<C>) -> io::Result<()> {
    obey_beside(clients, None)
}

fn obey_beside<C: Client>(clients: Vec<C>, beside: Option<Steady>) -> io::Result<()> {
    let mut crowd = Crowd::new(clients, beside)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{READY}")?;
    stdout.flush()?;
    for line in io::stdin().lock().lines() {
        let plan: Plan = serde_json::from_str(&line?)?;
        let outcome: Outcome = crowd.run(plan)?;
        writeln!(stdout, "{}", serde_json::to_string(&outcome)?)?;
        stdout.flush()?;
    }
    Ok(())
}
