//! The load: clients that ask, and check every byte of the answers.
//!
//! A load has a number of *clients*, which do one operation at a time each: a new connection, or a
//! message on an established one. They run in a closed loop (the next operation begins when the last is
//! answered), once each, or at a fixed rate, which is how latency is measured.
//!
//! A client that has failed at an operation rests for the rest of the run, and is made anew before the
//! next: so a run against a broken server ends soon, and the next one begins with working connections.

mod ask;
mod connection;
mod download;
mod exchange;
mod flood;
mod group;
mod request;
mod role;
mod run;
mod steady;
mod tls;

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token};
use serde::{Deserialize, Serialize};

pub use ask::Ask;
pub use connection::{Connection, Place};
pub use download::Download;
pub use exchange::Exchange;
pub use flood::Flood;
pub use group::Group;
pub use request::Request;
pub use role::{Beside, Load, READY, serve};
use run::Run;
use steady::Steady;
pub use tls::Tls;

/// How long to wait for the next answer of any client; those that are not answered then have failed.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How a load is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Plan {
    /// A closed loop for so many seconds.
    Seconds(f64),
    /// A closed loop of so many operations.
    Operations(u64),
    /// One operation of each client, all begun at once.
    Once,
    /// So many operations per second, for so many seconds, whether or not the last are answered.
    Paced { rate: f64, seconds: f64 },
}

/// The end of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub operations: u64,
    /// Until the last answer.
    pub seconds: f64,
    /// In nanoseconds, from when the operation was due.
    pub p50: u64,
    pub p99: u64,
    pub worst: u64,
    pub failed: u64,
    pub first_failure: Option<String>,
}

/// How far a client has come with its operation: it waits for an event, or so many operations are
/// answered as they should be, or something is wrong with the answer.
pub type Progress = io::Result<Option<u64>>;

/// A client that does one operation at a time.
pub trait Client {
    /// Begins the next operation. Its first socket is registered under `token`, the others under the
    /// tokens that follow.
    fn begin(&mut self, registry: &Registry, token: Token, scratch: &mut [u8]) -> Progress;

    /// Goes on, because its socket of that number is ready.
    fn ready(&mut self, socket: usize, scratch: &mut [u8]) -> Progress;

    /// Gives up its operation, and connects anew.
    fn renew(&mut self) -> io::Result<()>;
}

/// How large the buffer is that clients read into.
const SCRATCH: usize = 256 * 1024;

/// Each client has so many tokens.
const TOKENS: usize = 1 << 16;

/// The first token of the client beside them.
const BESIDE: Token = Token(usize::MAX - TOKENS);

/// Clients, and what they share.
pub struct Crowd<C> {
    poll: Poll,
    clients: Vec<C>,
    scratch: Vec<u8>,
    /// Those that did not finish their operation.
    broken: Vec<usize>,
    beside: Option<Steady>,
}

impl<C: Client> Crowd<C> {
    /// # Errors
    ///
    /// If the system has no poller for it.
    pub fn new(clients: Vec<C>, beside: Option<Steady>) -> io::Result<Self> {
        let scratch = vec![0; SCRATCH];
        Ok(Self { poll: Poll::new()?, clients, scratch, broken: Vec::new(), beside })
    }

    /// Runs the clients by a plan.
    ///
    /// # Errors
    ///
    /// If the poller fails, or a client that failed before cannot connect anew. The outcome tells of
    /// operations that go wrong.
    pub fn run(&mut self, plan: Plan) -> io::Result<Outcome> {
        for client in self.broken.drain(..) {
            self.clients[client].renew()?;
        }
        let mut run = Run::new(plan, self.clients.len(), Instant::now());
        let mut events = Events::with_capacity(1024);
        if let Some(beside) = &mut self.beside {
            beside.begin();
        }
        loop {
            while let Some(client) = run.next_to_begin(Instant::now()) {
                let token = Token(client * TOKENS);
                let registry = self.poll.registry();
                let progress = self.clients[client].begin(registry, token, &mut self.scratch);
                run.note(client, progress, Instant::now());
            }
            let now = Instant::now();
            let may_end = self.beside.as_ref().map_or(Ok(true), |beside| beside.may_end(now))?;
            if may_end && run.is_over(now) {
                self.broken = run.broken();
                return Ok(run.outcome());
            }
            let wait = match self.beside {
                None => run.time_to_wait(Instant::now()),
                Some(_) => Duration::ZERO, // what is due beside them may be so in less than a millisecond
            };
            self.poll.poll(&mut events, Some(wait))?;
            if let Some(beside) = &mut self.beside {
                let registry = self.poll.registry();
                beside.go_on(Instant::now(), registry, BESIDE, &mut self.scratch)?;
                for event in events.iter().filter(|event| event.token() >= BESIDE) {
                    beside.ready(event.token().0 - BESIDE.0, &mut self.scratch)?;
                }
            }
            for event in events.iter().filter(|event| event.token() < BESIDE) {
                let Token(token) = event.token();
                let (client, socket) = (token / TOKENS, token % TOKENS);
                let progress = self.clients[client].ready(socket, &mut self.scratch);
                run.note(client, progress, Instant::now());
            }
        }
    }
}
