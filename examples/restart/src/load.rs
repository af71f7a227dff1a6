//! The load: requests at a fixed rate, whether the former ones are answered or not.
//!
//! A client that waits for its answer before it asks again asks less while a server is away, and so sees little of
//! it. Here each request is due at its moment, and its time counts from then.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crocus::{
    Address, Connect, ConnectionId, Connector, Factory, Protocol, Reactor, Reason, Transport,
};

use crate::shared::cli::{self, Exit};
use crate::tally::{Outcome, Tally};

/// How long a request waits: longer than any way of restarting takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often to look which requests are due.
const TICK: Duration = Duration::from_millis(1);

const FIELDS: usize = 16;

/// The server that is asked, how often and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) server: SocketAddr,
    /// Requests a second.
    pub(crate) rate: u32,
    /// How long at least.
    pub(crate) seconds: u32,
    /// Whether connections stay open for further requests.
    pub(crate) keep_alive: bool,
}

impl Plan {
    /// How many requests there are at least.
    pub(crate) fn least(self) -> u64 {
        u64::from(self.rate) * u64::from(self.seconds)
    }
}

/// Asks until as many requests as planned were sent and the restarts are over, and each has its outcome.
pub(crate) fn run(plan: Plan, over: &Arc<AtomicBool>) -> Result<Tally, Exit> {
    let mut reactor = cli::reactor()?;
    let begun = reactor.now();
    let load = Load { plan, begun, sent: 0, open: 0, idle: VecDeque::new(), tally: Tally::new() };
    let load = Rc::new(RefCell::new(load));
    let (shared, over) = (Rc::clone(&load), Arc::clone(over));
    reactor.call_every(TICK, move |reactor, _tick| {
        let is_over = over.load(Ordering::Acquire) && shared.borrow().is_done();
        if !is_over {
            return ask_those_due(&shared, reactor);
        }
        if shared.borrow().open == 0 {
            reactor.stop();
        }
    });
    reactor.run()?;
    Ok(load.replace_with(|load| Load { idle: VecDeque::new(), tally: Tally::new(), ..*load }).tally)
}

/// The state that all requests share.
struct Load {
    plan: Plan,
    begun: Instant,
    sent: u64,
    /// How many have no outcome yet.
    open: u64,
    /// Connections that wait for a request. The one that has waited longest is the next, so that each hears in good
    /// time that its server is about to stop.
    idle: VecDeque<ConnectionId>,
    tally: Tally,
}

type Shared = Rc<RefCell<Load>>;

impl Load {
    fn is_done(&self) -> bool {
        self.sent >= self.plan.least()
    }

    /// When a request is due.
    fn due(&self, number: u64) -> Instant {
        self.begun + Duration::from_secs_f64(number as f64 / f64::from(self.plan.rate))
    }

    fn ended(&mut self, outcome: Outcome) {
        self.open -= 1;
        self.tally.count(outcome, 1);
    }
}

fn ask_those_due(shared: &Shared, reactor: &mut Reactor) {
    let now = reactor.now();
    loop {
        let mut load = shared.borrow_mut();
        let due = load.due(load.sent);
        if due > now {
            return;
        }
        load.sent += 1;
        load.open += 1;
        let (idle, server) = (load.idle.pop_front(), load.plan.server);
        drop(load);
        let asked = idle.and_then(|id| {
            reactor.with_protocol(id, |client: &mut Client, transport| {
                let is_open = !transport.is_closing();
                if is_open {
                    client.ask(due, transport);
                }
                is_open
            })
        });
        if asked != Some(true) {
            let question = Question { load: Rc::clone(shared), due };
            reactor.connect(Connect::to(server).timeout(PATIENCE), question);
        }
    }
}

/// A request without a connection.
struct Question {
    load: Shared,
    due: Instant,
}

impl Factory for Question {
    fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
        let load = Rc::clone(&self.load);
        Some(Box::new(Client { load, due: Some(self.due), received: Vec::new() }))
    }

    fn connection_failed(&mut self, _connector: &mut Connector<'_>, reason: &Reason) {
        self.load.borrow_mut().ended(outcome_of(reason, 0));
    }
}

/// A connection.
struct Client {
    load: Shared,
    /// When the request was due that has no answer yet.
    due: Option<Instant>,
    received: Vec<u8>,
}

impl Client {
    fn ask(&mut self, due: Instant, transport: &mut Transport<'_>) {
        self.due = Some(due);
        let keep_alive = self.load.borrow().plan.keep_alive;
        transport.write(match keep_alive {
            true => b"GET / HTTP/1.1\r\nHost: crocus\r\n\r\n".as_slice(),
            false => b"GET / HTTP/1.1\r\nHost: crocus\r\nConnection: close\r\n\r\n",
        });
    }

    fn answered(&mut self, answer: &Answer, transport: &mut Transport<'_>) {
        let Some(due) = self.due.take() else { return };
        let mut load = self.load.borrow_mut();
        if answer.status == 200 {
            load.open -= 1;
            load.tally.answered(answer.process, transport.reactor().now() - due);
        } else {
            load.ended(Outcome::Refusal(answer.status));
        }
        self.received.clear();
        if load.plan.keep_alive && !answer.is_last {
            load.idle.push_back(transport.id());
        }
    }
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.set_timeout(Some(PATIENCE));
        if let Some(due) = self.due {
            self.ask(due, transport);
        }
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.received.extend_from_slice(data);
        match Answer::of(&self.received) {
            Ok(Some(answer)) => self.answered(&answer, transport),
            Ok(None) => {}
            Err(error) => {
                log::warn!("{error}: {}", self.received.escape_ascii());
                transport.abort_connection();
            }
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        let mut load = self.load.borrow_mut();
        match self.due {
            Some(_) => load.ended(outcome_of(reason, self.received.len())),
            None => load.idle.retain(|idle| *idle != transport.id()),
        }
    }
}

/// How a request without a whole answer has ended.
fn outcome_of(reason: &Reason, received: usize) -> Outcome {
    match reason {
        Reason::ConnectTimedOut | Reason::TimedOut => Outcome::TimedOut,
        Reason::Failed { error, .. } => match error.kind() {
            ErrorKind::ConnectionRefused => Outcome::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Outcome::Reset,
            _ => Outcome::Failed,
        },
        reason if !reason.is_clean() => Outcome::Failed,
        _ if received == 0 => Outcome::Closed,
        _ => Outcome::Cut,
    }
}

/// An answer that came whole.
struct Answer {
    status: u16,
    /// The process that it is from, if it says so.
    process: Option<u32>,
    is_last: bool,
}

impl Answer {
    /// `None`: it is not whole yet.
    fn of(bytes: &[u8]) -> Result<Option<Self>, httparse::Error> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(len) = head.parse(bytes)? else { return Ok(None) };
        let field = |name: &str| {
            let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let is_last = field("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let length = field("Content-Length").and_then(|length| length.parse::<usize>().ok());
        let length = length.ok_or(httparse::Error::HeaderValue)?;
        let Some(text) = bytes.get(len..len + length) else { return Ok(None) };
        let text = std::str::from_utf8(text).unwrap_or_default();
        let process = text.trim_end().strip_prefix("served by process ");
        Ok(Some(Self {
            status: head.code.unwrap_or_default(),
            process: process.and_then(|number| number.parse().ok()),
            is_last,
        }))
    }
}
