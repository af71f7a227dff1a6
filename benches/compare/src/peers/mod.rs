//! The servers that are compared: whether they are there, and how they are started.
//!
//! A [`Peer`] is a server by the name under which the reports have it. All are processes of their
//! own: the Rust servers are this very program, those in C are built from `c/`, those in Python are
//! run from `python/`, and nginx, redis-server and crocus's example programs are what they are.
//!
//! Besides the services of [`crate::service`] there are two that only some have: `http` serves the
//! files of [`Task::root`], and `resp` is what redis-server speaks.

mod c;
mod nginx;
mod process;
mod python;
mod redis;
mod rust;
mod scratch;
mod tools;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use socket2::{Domain, Socket, Type};

pub use process::Started;
use process::{Process, failed};
pub use python::make_venv;
pub use scratch::Scratch;

use crate::server::names;

/// The services of the contract on one core and without TLS, which a server that is made for the comparison has.
pub const SERVICES: [&str; 9] = [
    "random",
    "echo",
    "flood",
    "bulk",
    "broadcast",
    "beside-broadcast",
    "beside-timers",
    "timers",
    "calls",
];

/// How long a server may take to listen. Under a wrapper, valgrind for example, all is slower.
const UNTIL_IT_LISTENS: Duration = Duration::from_secs(10);
const UNTIL_IT_LISTENS_WRAPPED: Duration = Duration::from_secs(60);

/// How long a server may measure itself: far longer than a million timers take any of them.
const UNTIL_IT_HAS_MEASURED: Duration = Duration::from_secs(600);

/// Something that is compared.
pub struct Peer {
    pub name: String,
    /// For example `libuv 1.44.2, C`; `None` if it is not there.
    pub version: Option<String>,
    /// Why it is not there, for example `not installed: libuv1-dev`.
    pub skipped: Option<String>,
    program: Option<Box<dyn Program>>,
}

/// The task that a server is started for.
#[derive(Clone, Debug, Default)]
pub struct Task {
    pub service: String,
    /// The COUNT of a service; 0 if it takes none.
    pub count: u64,
    /// The directory whose files `http` serves, and in which the certificate is.
    pub root: Option<PathBuf>,
    /// On which cores it runs; none: on all.
    pub cores: Vec<usize>,
    /// Words before the program, for example `strace -f -c -o FILE`.
    pub wrapper: Vec<String>,
}

/// How a peer is called.
trait Program {
    fn serves(&self, service: &str) -> bool;

    /// The program and its arguments.
    ///
    /// # Errors
    ///
    /// If something is missing that only this service needs.
    fn arguments(&self, task: &Task, place: &Place) -> io::Result<Vec<OsString>>;

    /// Whether its first line says where it listens. Otherwise it listens where it is told.
    fn picks_its_port(&self) -> bool {
        true
    }
}

/// Where a server runs.
struct Place<'a> {
    /// A directory for its files, removed after it.
    dir: &'a Path,
    /// An address that is reserved for servers which must be told where to listen.
    addr: SocketAddr,
}

/// A program that was found.
struct Found {
    version: String,
    program: Box<dyn Program>,
}

/// All peers, those that are not there included. Builds what has to be built, which takes a minute
/// or two the first time.
///
/// For a smoke test only those that start at once, which those in Python do not, and crocus's examples
/// as `cargo test` has built them already.
pub fn all(smoke: bool) -> Vec<Peer> {
    let mut all: Vec<_> = names().map(|name| (name, rust::find(name, smoke))).collect();
    all.extend(["libuv", "libevent"].map(|name| (name, c::find(name))));
    if !smoke {
        all.extend(["asyncio", "uvloop", "twisted"].map(|name| (name, python::find(name))));
    }
    all.extend([
        ("nginx", nginx::find(true)),
        ("nginx-read", nginx::find(false)),
        ("redis-server", redis::find()),
    ]);
    all.into_iter().map(|(name, found)| Peer::new(name, found)).collect()
}

impl Peer {
    fn new(name: &str, found: Result<Found, String>) -> Self {
        let name = name.to_owned();
        match found {
            Ok(Found { version, program }) => {
                Self { name, version: Some(version), skipped: None, program: Some(program) }
            }
            Err(reason) => Self { name, version: None, skipped: Some(reason), program: None },
        }
    }

    /// Whether it takes part in a service. A Rust server is taken to have all of the contract until
    /// it is started: then the error is [`io::ErrorKind::Unsupported`].
    pub fn serves(&self, service: &str) -> bool {
        self.program.as_ref().is_some_and(|program| program.serves(service))
    }

    /// Starts it, and waits until it listens.
    ///
    /// It ends with the thread that calls this, not only with the process.
    ///
    /// # Errors
    ///
    /// If it is not there, has no such service, or does not listen in time; with what it said.
    pub fn start(&self, task: &Task) -> io::Result<Started> {
        let program = self.program(task)?;
        let reserved = Reserved::new()?;
        let mut process = self.spawn(program, task, reserved.addr)?;
        let within = match task.wrapper.is_empty() {
            true => UNTIL_IT_LISTENS,
            false => UNTIL_IT_LISTENS_WRAPPED,
        };
        if !program.picks_its_port() {
            process.wait_for_connect(reserved.addr, within)?;
            return Ok(Started::new(process, reserved.addr));
        }
        let line = process.first_line(within)?;
        match line.strip_prefix("listening on ").and_then(|addr| addr.parse().ok()) {
            Some(addr) => Ok(Started::new(process, addr)),
            None => Err(process.failure(&format!("prints {line:?}, not where it listens"))),
        }
    }

    /// Has it measure itself, for `timers` and `calls`; returns its figures.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start), and if it does not print these figures in time.
    pub fn measure<T: DeserializeOwned>(&self, task: &Task) -> io::Result<T> {
        let program = self.program(task)?;
        let reserved = Reserved::new()?;
        let mut process = self.spawn(program, task, reserved.addr)?;
        let line = process.first_line(UNTIL_IT_HAS_MEASURED)?;
        let figures = serde_json::from_str(&line)
            .map_err(|error| process.failure(&format!("prints {line:?}: {error}")))?;
        process.end_within(UNTIL_IT_LISTENS); // a wrapper has its own things to write
        Ok(figures)
    }

    fn program(&self, task: &Task) -> io::Result<&dyn Program> {
        let Task { service, .. } = task;
        let Some(program) = &self.program else {
            let reason = self.skipped.as_deref().unwrap_or("not there");
            return Err(failed(&format!("{} for {service}", self.name), reason));
        };
        if !program.serves(service) {
            let message = format!("{} does not have the service {service}", self.name);
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(program.as_ref())
    }

    fn spawn(&self, program: &dyn Program, task: &Task, addr: SocketAddr) -> io::Result<Process> {
        let what = format!("{} for {}", self.name, task.service);
        let scratch = Scratch::new().map_err(|error| failed(&what, error))?;
        let place = Place { dir: scratch.path(), addr };
        let arguments = program.arguments(task, &place).map_err(|error| failed(&what, error))?;
        Process::spawn(what, arguments, task, scratch, program.picks_its_port())
    }
}

/// A port that the system gives to no other program as long as this lives, and at which a server can
/// listen all the same: Linux lets sockets share one that all have SO_REUSEADDR, as long as at most
/// one listens, and this one does not.
struct Reserved {
    _socket: Socket,
    addr: SocketAddr,
}

impl Reserved {
    fn new() -> io::Result<Self> {
        Self::bind().map_err(|error| io::Error::other(format!("reserve a port: {error}")))
    }

    fn bind() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let addr = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { _socket: socket, addr })
    }
}
