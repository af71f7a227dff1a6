//! How to write a client: it connects, collects a reply, and gives up in time, a thousand times at once.
//!
//! ```text
//! cargo run --release --example random_server         # or random_server_blocking, or the article's
//! cargo run --release --example random_client
//! cargo run --release --example random_client -- localhost:5000 --count 3 --timeout 0.5
//! cargo run --release --example random_client -- --tls --ca cert.pem   # for a server with --cert cert.pem
//! ```
//!
//! It is the article's client: it asks for 16 random bytes, and prints the two points of a square that they make.

mod shared;
#[path = "shared/trust.rs"]
mod trust;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::mem;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crocus::tls::rustls::ClientConfig;
use crocus::tls::rustls::pki_types::ServerName;
use crocus::{
    Activity, Address, Connect, Connector, Endpoint, Factory, Protocol, Reactor, Reason, TimerId,
    Transport,
};
use lexopt::prelude::*;
use shared::cli::{self, Exit};
use shared::frame::{self, Point};
use trust::TrustOptions;

const HELP: &str = "\
Asks a server for 16 random bytes and prints the two points of [-1,1] x [-1,1] that they make.

Usage: random_client [HOST:PORT] [--count N] [--timeout SECONDS] [--tls [--ca FILE]]

Arguments:
  HOST:PORT  the server [localhost:5000]

Options:
      --count N          ask so many times at once [1]
      --timeout SECONDS  how long one reply may take, connecting included [10]
      --tls              speak TLS with the server, whose certificate has to be for HOST
      --ca FILE          trust the authorities in FILE, in PEM, instead of those of this system
  -h, --help             this text

Examples:
  random_client                          the server of this machine
  random_client 192.0.2.7:5000
  random_client :5001 --count 100 --timeout 2.5
  random_client --tls --ca cert.pem      a server with --cert cert.pem

Exit status: 0 all replies came whole, 1 one did not, 2 bad usage
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

const SERVER: &str = "localhost:5000";

const TIMEOUT: Duration = Duration::from_secs(10);

/// Files that are not connections: the standard streams, the poller, a name being looked up.
const OTHER_FILES: u64 = 16;

/// The error for too many open files; std has no name for it. The number is the same on every
/// Unix.
const EMFILE: i32 = 24;

fn main() -> ExitCode {
    cli::run("random_client", ask)
}

fn ask() -> Result<(), Exit> {
    let inquiry = Rc::new(RefCell::new(Inquiry::from_args()?));
    let mut reactor = cli::reactor()?;
    ask_more(&inquiry, &mut reactor);
    reactor.run()?; // returns when each question has its reply or has failed
    mem::replace(&mut inquiry.borrow_mut().outcome, Ok(()))
}

/// The questions still to ask, and the outcome. All connections share it.
#[derive(Debug)]
struct Inquiry {
    /// The server as the user named it.
    name: String,
    /// Where to connect: at first the name; after the first connection, its address.
    server: Endpoint,
    /// How to encrypt, and the name that the server's certificate must have. `None`: in clear.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// How long one reply may take.
    timeout: Duration,
    /// How many questions are still to be asked.
    left: u64,
    /// How many replies are awaited.
    open: u64,
    /// How many may be awaited: as many as we may open connections. The others wait.
    at_once: u64,
    /// Whether one connection has been made.
    found: bool,
    outcome: Result<(), Exit>,
}

impl Inquiry {
    fn from_args() -> Result<Self, Exit> {
        let (mut name, mut count, mut timeout) = (SERVER.to_owned(), 1_u64, TIMEOUT);
        let (mut given, mut trust) = (false, TrustOptions::default());
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Short('h') | Long("help") => return Err(Exit::Help(HELP)),
                Long("count") => count = args.value()?.parse_with(cli::from_one("--count"))?,
                Long("timeout") => timeout = args.value()?.parse_with(cli::seconds("--timeout"))?,
                Long(other) => {
                    let other = other.to_owned();
                    trust.take(&other, &mut args)?;
                }
                Value(text) if !given => {
                    name = cli::address(&text.string()?, "localhost")?;
                    given = true;
                }
                other => return Err(other.unexpected().into()),
            }
        }
        let tls = match trust.client()? {
            Some(config) => Some((config, trust::name_at(&name)?)),
            None => None,
        };
        let files = rlimit::increase_nofile_limit(count.saturating_add(OTHER_FILES))?;
        Ok(Self {
            server: Endpoint::from(&name),
            tls,
            name,
            timeout,
            left: count,
            open: 0,
            at_once: files.saturating_sub(OTHER_FILES).max(1),
            found: false,
            outcome: Ok(()),
        })
    }

    /// Prints the outcome of one question.
    fn tell(&mut self, reply: Result<[Point; 2], String>) {
        self.open -= 1;
        let [a, b] = match reply {
            Ok(points) => points,
            Err(message) => {
                cli::say(&format!("random_client: {message}"));
                self.outcome = Err(Exit::FailedAsTold);
                return;
            }
        };
        match cli::print(&format!("First point:  A {a}\nSecond point: B {b}\n")) {
            Ok(true) => {}
            Ok(false) => self.left = 0, // our output is not read any more
            Err(exit) => {
                self.left = 0;
                self.outcome = Err(exit);
            }
        }
    }

    /// Why there is no connection, and what to try.
    fn unreachable(&self, reason: &Reason) -> String {
        let Self { name, timeout, .. } = self;
        let (cause, hint) = match reason {
            Reason::ConnectTimedOut => (
                format!("no answer within {timeout:?}"),
                "is the address right? --timeout waits longer",
            ),
            Reason::Failed { error, .. } if error.kind() == ErrorKind::InvalidInput => {
                return error.to_string(); // it contains the name and a hint
            }
            Reason::Failed { activity: Activity::Resolving, error } => (
                error.to_string(),
                "is it spelt right? An address will do too, as in 127.0.0.1:5000",
            ),
            Reason::Failed { error, .. } if error.kind() == ErrorKind::ConnectionRefused => (
                error.to_string(),
                "is the server running? To start it: cargo run --release --example random_server",
            ),
            Reason::Failed { error, .. } if error.raw_os_error() == Some(EMFILE) => (
                error.to_string(),
                "ulimit -n tells and sets the limit, and a smaller --count needs fewer",
            ),
            Reason::Tls { error } => (reason.to_string(), trust::hint(error)),
            _ => (reason.to_string(), "is the address right, and the network up?"),
        };
        format!("cannot reach {name}: {cause}; {hint}")
    }
}

/// Asks the questions that are left, as many at once as are allowed.
///
/// The others start when the first has connected, so that a name is looked up once.
fn ask_more(shared: &Rc<RefCell<Inquiry>>, reactor: &mut Reactor) {
    let mut inquiry = shared.borrow_mut();
    let at_once = if inquiry.found { inquiry.at_once } else { 1 };
    while inquiry.left > 0 && inquiry.open < at_once {
        inquiry.left -= 1;
        inquiry.open += 1;
        let mut place = Connect::to(inquiry.server.clone()).timeout(inquiry.timeout);
        if let Some((config, name)) = &inquiry.tls {
            place = place.tls(Arc::clone(config), Some(name.clone()));
        }
        let question = Question { inquiry: Rc::clone(shared), asked: reactor.now() };
        reactor.connect(place, question);
    }
}

/// One question.
struct Question {
    inquiry: Rc<RefCell<Inquiry>>,
    asked: Instant,
}

impl Factory for Question {
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        let mut inquiry = self.inquiry.borrow_mut();
        inquiry.found = true;
        inquiry.server = Endpoint::from(&peer);
        let (shared, asked) = (Rc::clone(&self.inquiry), self.asked);
        Some(Box::new(Reply { inquiry: shared, asked, bytes: Vec::with_capacity(frame::LEN) }))
    }

    fn connection_failed(&mut self, _connector: &mut Connector<'_>, reason: &Reason) {
        let mut inquiry = self.inquiry.borrow_mut();
        let mut message = inquiry.unreachable(reason);
        // An unreachable server is not tried again.
        match mem::take(&mut inquiry.left) {
            0 => {}
            left => message += &format!(" ({left} more were not asked for)"),
        }
        inquiry.tell(Err(message));
    }
}

/// Collects one reply. It ends when the connection ends: a client that decodes the first 81 bytes
/// at once does not notice that more come.
struct Reply {
    inquiry: Rc<RefCell<Inquiry>>,
    asked: Instant,
    bytes: Vec<u8>,
}

impl Protocol for Reply {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        let reactor = transport.reactor();
        let spent = reactor.now().saturating_duration_since(self.asked);
        ask_more(&self.inquiry, reactor);
        let timeout = self.inquiry.borrow().timeout;
        transport.call_later(timeout.saturating_sub(spent));
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        // One byte too many is kept as evidence, and no more: the reply may be endless.
        let room = frame::LEN + 1 - self.bytes.len();
        self.bytes.extend_from_slice(&data[..data.len().min(room)]);
        if self.bytes.len() > frame::LEN {
            transport.abort_connection();
        }
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _timer: TimerId) {
        transport.abort_connection();
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        let result = self.result(reason);
        self.inquiry.borrow_mut().tell(result);
        ask_more(&self.inquiry, transport.reactor());
    }
}

impl Reply {
    /// The points, or the error: a wrong reply, or a connection that failed.
    fn result(&self, reason: &Reason) -> Result<[Point; 2], String> {
        let inquiry = self.inquiry.borrow();
        let Inquiry { name, timeout, tls, .. } = &*inquiry;
        let came = self.bytes.len();
        if reason.is_clean() || came > frame::LEN {
            return frame::decode(&self.bytes).map_err(|error| format!("{name}: {error}"));
        }
        let expected = frame::LEN;
        Err(match reason {
            Reason::Aborted if came == expected => format!(
                "{name}: {expected} bytes came, as expected, but the server did not close within \
                 {timeout:?}"
            ),
            Reason::Aborted => {
                let hint = match (came, tls) {
                    (0, None) => "--timeout waits longer; if the server speaks TLS, so does --tls",
                    _ => "--timeout waits longer",
                };
                format!(
                    "{name}: no whole reply within {timeout:?}: {came} bytes came, {expected} were \
                     expected; {hint}"
                )
            }
            _ => format!("{name}: {reason}: {came} bytes came, {expected} were expected"),
        })
    }
}
