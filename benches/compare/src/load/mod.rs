//! The load: clients that ask, and check every byte of the answers.
//!
//! A load has a number of *clients*, which do one operation at a time each: a new connection, or a
//! message on one that stands. They run in a closed loop (the next operation begins when the last is
//! answered), once each, or at a fixed rate, which is how latency is measured.

mod ask;
mod download;
mod exchange;
mod group;
mod hold;
mod request;
mod role;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Registry, Token};
use serde::{Deserialize, Serialize};

pub use ask::Ask;
pub use download::Download;
pub use exchange::Exchange;
pub use group::Group;
pub use hold::Held;
pub use request::Request;
pub use role::{Load, run};

/// How long a client may take for one operation; a server that takes longer has failed at it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// After so many failures there is nothing to be measured.
const MOST_FAILURES: u64 = 1000;

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

/// What became of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub operations: u64,
    pub seconds: f64,
    /// In nanoseconds, from when the operation was due.
    pub p50: u64,
    pub p99: u64,
    pub worst: u64,
    pub failed: u64,
    pub first_failure: Option<String>,
}

/// How far a client has come with its operation.
pub enum Progress {
    /// It waits for an event.
    Waiting,
    /// So many operations are answered as they should be.
    Done(u64),
    /// What is wrong with the answer.
    Failed(String),
}

impl From<io::Error> for Progress {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Somebody who does one operation at a time.
pub trait Client {
    /// Begins the next operation. Sockets are registered under `token`, and what more there are under
    /// those that follow it.
    fn begin(&mut self, registry: &Registry, token: Token, scratch: &mut [u8]) -> Progress;

    /// Goes on, since the socket of that number among its own is ready.
    fn ready(&mut self, socket: usize, scratch: &mut [u8]) -> Progress;
}

/// Each client has so many tokens.
const TOKENS: usize = 1 << 16;

/// Runs clients by a plan.
///
/// # Errors
///
/// What the poller says. What goes wrong with an operation is told in the outcome.
pub fn drive<C: Client>(poll: &mut Poll, clients: &mut [C], plan: Plan) -> io::Result<Outcome> {
    let mut run = Run::new(plan, clients.len());
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 256 * 1024];
    loop {
        run.release_due();
        while let Some(client) = run.next_to_begin() {
            let progress = clients[client].begin(poll.registry(), token(client), &mut scratch);
            run.note(client, progress);
        }
        if run.is_over() {
            return Ok(run.outcome());
        }
        poll.poll(&mut events, run.time_to_wait())?;
        for event in &events {
            let Token(token) = event.token();
            let (client, socket) = (token / TOKENS, token % TOKENS);
            let progress = clients[client].ready(socket, &mut scratch);
            run.note(client, progress);
        }
    }
}

fn token(client: usize) -> Token {
    Token(client * TOKENS)
}

/// Who is at what, and how long it took.
struct Run {
    plan: Plan,
    began: Instant,
    /// Operations that are due, and not begun.
    due: VecDeque<Instant>,
    idle: VecDeque<usize>,
    /// By client: since when its operation was due; `None` if it is at none.
    busy: Vec<Option<Instant>>,
    begun: u64,
    at_work: usize,
    outcome: Outcome,
    latencies: Histogram<u64>,
    last_answer: Instant,
}

impl Run {
    fn new(plan: Plan, clients: usize) -> Self {
        let began = Instant::now();
        Self {
            plan,
            began,
            due: VecDeque::new(),
            idle: (0..clients).collect(),
            busy: vec![None; clients],
            begun: 0,
            at_work: 0,
            outcome: Outcome::default(),
            latencies: Histogram::new(3).expect("three digits are allowed"),
            last_answer: began,
        }
    }

    /// Whether operations are still to be begun.
    fn goes_on(&self) -> bool {
        match self.plan {
            Plan::Seconds(seconds) => self.began.elapsed().as_secs_f64() < seconds,
            Plan::Operations(count) => self.outcome.operations < count && self.outcome.failed == 0,
            Plan::Once => self.begun < self.busy.len() as u64,
            Plan::Paced { rate, seconds } => self.begun < (rate * seconds) as u64,
        }
    }

    /// Adds what has become due since the last time.
    fn release_due(&mut self) {
        let Plan::Paced { rate, seconds } = self.plan else { return };
        let elapsed = self.began.elapsed().as_secs_f64().min(seconds);
        let released = self.begun + self.due.len() as u64;
        for index in released..(elapsed * rate) as u64 {
            self.due.push_back(self.began + Duration::from_secs_f64(index as f64 / rate));
        }
    }

    fn next_to_begin(&mut self) -> Option<usize> {
        let since = match self.plan {
            Plan::Paced { .. } if self.idle.is_empty() => return None,
            Plan::Paced { .. } => self.due.pop_front()?,
            Plan::Once => self.began,
            _ => Instant::now(),
        };
        if !self.goes_on() {
            return None;
        }
        let client = self.idle.pop_front()?;
        self.busy[client] = Some(since);
        self.begun += 1;
        self.at_work += 1;
        Some(client)
    }

    fn note(&mut self, client: usize, progress: Progress) {
        let Some(since) = self.busy[client] else { return };
        match progress {
            Progress::Waiting => return,
            Progress::Done(operations) => {
                self.last_answer = Instant::now();
                let took = self.last_answer - since;
                self.latencies.saturating_record(took.as_nanos() as u64);
                self.outcome.operations += operations;
            }
            Progress::Failed(why) => self.fail(why),
        }
        self.busy[client] = None;
        self.at_work -= 1;
        if self.plan != Plan::Once {
            self.idle.push_back(client);
        }
    }

    fn fail(&mut self, why: String) {
        self.outcome.failed += 1;
        self.outcome.first_failure.get_or_insert(why);
    }

    /// Whether all is answered that was to be asked, or nothing more is to be expected.
    fn is_over(&mut self) -> bool {
        let stuck = self.at_work > 0 && self.last_answer.elapsed() > PATIENCE;
        let hopeless = self.outcome.failed >= MOST_FAILURES;
        if !stuck && !hopeless && (self.goes_on() || self.at_work > 0) {
            return false;
        }
        for _ in 0..self.at_work {
            self.fail("no answer in time".into());
        }
        true
    }

    fn time_to_wait(&self) -> Option<Duration> {
        let Plan::Paced { rate, .. } = self.plan else { return Some(Duration::from_millis(100)) };
        if !self.due.is_empty() {
            return Some(Duration::from_millis(100)); // all clients are busy
        }
        let next = Duration::from_secs_f64((self.begun + 1) as f64 / rate);
        // mio rounds up to the millisecond: spin for what is shorter.
        let wait = next.saturating_sub(self.began.elapsed());
        Some(if wait < Duration::from_millis(2) { Duration::ZERO } else { wait })
    }

    fn outcome(self) -> Outcome {
        Outcome {
            seconds: (self.last_answer - self.began).as_secs_f64(),
            p50: self.latencies.value_at_quantile(0.5),
            p99: self.latencies.value_at_quantile(0.99),
            worst: self.latencies.max(),
            ..self.outcome
        }
    }
}
