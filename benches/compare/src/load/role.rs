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
    Ask, Beside, Client, Connection, Crowd, Download, Exchange, Flood, Group, Outcome, Place, Plan,
    Request, Tls,
};

/// The clients, and their requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Load {
    /// Clients that connect for each answer of 81 bytes.
    Ask { clients: usize, tls: Option<Tls> },
    /// Clients that each send `pipeline` messages at once, and wait for them to come back; beside them
    /// some that only hold a connection, or a flood.
    Exchange {
        clients: usize,
        size: usize,
        pipeline: usize,
        idle: usize,
        flood: bool,
        tls: Option<Tls>,
    },
    /// One client that reads an endless stream.
    Download { tls: Option<Tls> },
    /// One client that sends an endless stream, and reads it when it comes back.
    Flood,
    /// A chat.
    Group { members: usize },
    /// Clients that ask for one file by HTTP.
    Request { clients: usize, file: PathBuf },
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
        Load::Exchange { clients, size, pipeline, idle, flood, tls } => {
            let (place, text) = (Place::new(server, tls.as_ref())?, Text::new(size * pipeline));
            let _idle = each(*idle, || Connection::used(&place))?;
            let beside = flood.then(|| Beside::new(&place)).transpose()?;
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

fn obey_beside<C: Client>(clients: Vec<C>, beside: Option<Beside>) -> io::Result<()> {
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
