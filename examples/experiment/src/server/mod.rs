//! The servers under test. Each runs in a process of its own: this program in another role.

mod blocking;
mod reactor;
mod threads;

use std::fmt;
use std::io::{self, Read};
use std::process;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use lexopt::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use socket2::{Domain, Socket, Type};

use crate::cli::{self, Exit};
use crate::frame;

/// A kind of server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Model {
    /// The article's: accept, answer, close, one client after the other; listen(1).
    Blocking,
    /// The same with a long backlog, to tell the backlog's share from that of blocking.
    Blocking4096,
    /// One thread for each connection.
    Threads,
    /// crocus.
    Reactor,
    /// The article's, in Python.
    Python,
}

/// The work of a server for a client before it closes the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// Answers: the article's 81 bytes.
    Answer,
    /// Waits this long for its random bytes, and answers.
    Delay(Duration),
    /// Reads a line, and answers.
    Line,
    /// Answers with this many bytes: the 81, and a pattern.
    Long(usize),
}

/// The article's listen(1).
const ARTICLE_BACKLOG: u32 = 1;

/// The backlog of the other servers; the kernel may give less (net.core.somaxconn).
const BACKLOG: u32 = 4096;

/// The question of a client, where it has to ask one.
pub(crate) const LINE: &[u8] = b"send me bytes\n";

/// No client says more than this before the end of its line.
const LINE_MAX: usize = 1024;

impl Model {
    pub(crate) const ALL: [Self; 5] =
        [Self::Blocking, Self::Blocking4096, Self::Threads, Self::Reactor, Self::Python];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Blocking4096 => "blocking-4096",
            Self::Threads => "threads",
            Self::Reactor => "reactor",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// As it is passed to the server's process.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => f.write_str("answer"),
            Self::Delay(delay) => write!(f, "delay:{}", delay.as_secs_f64()),
            Self::Line => f.write_str("line"),
            Self::Long(size) => write!(f, "long:{size}"),
        }
    }
}

impl FromStr for Task {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once(':') {
            None if text == "answer" => Some(Self::Answer),
            None if text == "line" => Some(Self::Line),
            Some(("delay", delay)) => {
                let delay = delay.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                delay.map(Self::Delay)
            }
            Some(("long", size)) => {
                size.parse().ok().filter(|&size| size >= frame::LEN).map(Self::Long)
            }
            _ => None,
        };
        parsed.ok_or("a task is answer, delay:SECONDS, line, or long:BYTES")
    }
}

/// A server's own command line.
struct Orders {
    model: Model,
    task: Task,
    descriptors: Option<u64>,
    source: Source,
}

/// Serves, as the arguments say, until the process that has started this one is gone.
pub(crate) fn serve(args: &mut lexopt::Parser) -> Result<(), Exit> {
    let orders = Orders::from_args(args)?;
    if let Some(limit) = orders.descriptors {
        rlimit::Resource::NOFILE.set(limit, limit)?;
    }
    die_with_the_parent();
    match orders.model {
        Model::Blocking => blocking::serve(orders.task, &orders.source, listen(ARTICLE_BACKLOG)?),
        Model::Blocking4096 => blocking::serve(orders.task, &orders.source, listen(BACKLOG)?),
        Model::Threads => threads::serve(orders.task, orders.source, listen(BACKLOG)?),
        Model::Reactor => reactor::serve(orders.task, orders.source, BACKLOG),
        Model::Python => Err(Exit::Usage("that server is not in this program".to_owned())),
    }
}

impl Orders {
    fn from_args(args: &mut lexopt::Parser) -> Result<Self, Exit> {
        let (mut model, mut task, mut descriptors, mut seed) = (None, Task::Answer, None, None);
        while let Some(arg) = args.next()? {
            match arg {
                Long("task") => task = args.value()?.parse()?,
                Long("descriptors") => descriptors = Some(args.value()?.parse()?),
                Long("seed") => seed = Some(args.value()?.parse()?),
                Value(name) => model = Model::ALL.into_iter().find(|model| name == model.name()),
                other => return Err(other.unexpected().into()),
            }
        }
        let model = model.ok_or_else(|| Exit::Usage("serve takes a kind of server".to_owned()))?;
        Ok(Self { model, task, descriptors, source: Source { seed, served: AtomicU64::new(0) } })
    }
}

/// Ends this process when its standard input ends. The parent holds the other end of the pipe, and
/// the kernel closes it when the parent dies. A thread waits for it, since most of these servers
/// cannot wait for two events at once; it is not counted as one of theirs.
fn die_with_the_parent() {
    thread::spawn(|| {
        let mut nothing = [0; 1];
        // An error ends the process too.
        while io::stdin().read(&mut nothing).is_ok_and(|count| count > 0) {}
        process::exit(0);
    });
}

/// Where the random bytes come from.
struct Source {
    /// With a seed, the answers are the same in each run, if not always in the same order.
    seed: Option<u64>,
    served: AtomicU64,
}

impl Source {
    fn answer(&self) -> [u8; frame::LEN] {
        let random = match self.seed {
            None => rand::random(),
            Some(seed) => {
                let number = self.served.fetch_add(1, Ordering::Relaxed);
                StdRng::seed_from_u64(seed.wrapping_add(number)).random()
            }
        };
        frame::encode(random)
    }
}

/// A blocking socket that listens at a free port, and has said so.
fn listen(backlog: u32) -> Result<Socket, Exit> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    if let Some(addr) = socket.local_addr()?.as_socket() {
        cli::announce(addr)?;
    }
    Ok(socket)
}

/// A piece of a long answer, from byte `at` on. The bytes after the first 81 are a pattern that
/// shows if a piece was lost, doubled or exchanged.
pub(crate) fn pattern(at: usize, longest: usize) -> &'static [u8] {
    let start = at % PERIOD;
    &PATTERN[start..][..longest.min(PIECE)]
}

/// A prime, so that it divides no usual buffer size.
const PERIOD: usize = 251;

/// How much is written at once: the reactor's high mark.
const PIECE: usize = 64 * 1024;

static PATTERN: [u8; PERIOD + PIECE] = {
    let mut bytes = [0; PERIOD + PIECE];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at % PERIOD) as u8;
        at += 1;
    }
    bytes
};
