//! The clients: protocols on one reactor, and their outcomes.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::{Address, Connect, Connector, Factory, Protocol, Reactor, Reason, TimerId, Transport};

use crate::answer::{Answer, Fault};
use crate::constraint::{Constraint, Manner, Nuisance};
use crate::figures::Counts;
use crate::frame::Point;
use crate::server::LINE;

/// The state that the clients of one trial share: the server, and their outcomes.
#[derive(Debug)]
pub(crate) struct Crowd {
    server: SocketAddr,
    constraint: Constraint,
    start: Instant,
    to_come: usize,
    pub(crate) counts: Counts,
    pub(crate) arrivals: Vec<Duration>,
    pub(crate) latencies: Vec<Duration>,
    /// How long each took to be connected that took a second or more.
    pub(crate) waits: Vec<Duration>,
    pub(crate) quick: Option<Duration>,
    pub(crate) trouble: Option<String>,
    pub(crate) answers: Vec<[Point; 2]>,
}

pub(crate) type Shared = Rc<RefCell<Crowd>>;

/// A connection that takes this long on the loopback had its SYN dropped: the kernel sends it again
/// after a second at the earliest.
const SYN_AGAIN: Duration = Duration::from_secs(1);

impl Crowd {
    pub(crate) fn new(server: SocketAddr, constraint: &Constraint) -> Self {
        Self {
            server,
            constraint: constraint.clone(),
            start: Instant::now(),
            to_come: constraint.clients,
            counts: Counts::default(),
            arrivals: Vec::new(),
            latencies: Vec::new(),
            waits: Vec::new(),
            quick: None,
            trouble: None,
            answers: Vec::new(),
        }
    }

    /// Whether every client has an outcome.
    pub(crate) fn is_done(&self) -> bool {
        self.counts.total() == self.constraint.asked()
    }
}

/// Starts the clients.
pub(crate) fn start(shared: &Shared, reactor: &mut Reactor) {
    let at_once = {
        let mut crowd = shared.borrow_mut();
        crowd.start = Instant::now();
        crowd.constraint.at_once.min(crowd.to_come)
    };
    for _ in 0..at_once {
        ask(shared, reactor);
    }
    let crowd = shared.borrow();
    if crowd.constraint.quick {
        // It comes after the others have begun, and is behind them in the queue.
        let later = Rc::clone(shared);
        reactor.call_later(HEAD_START, move |reactor| ask_quickly(&later, reactor));
    }
}

/// The lead of the others before the quick client comes.
const HEAD_START: Duration = Duration::from_millis(100);

/// Sends the next client, if one is to come.
fn ask(shared: &Shared, reactor: &mut Reactor) {
    let manner = {
        let mut crowd = shared.borrow_mut();
        let Some(left) = crowd.to_come.checked_sub(1) else { return };
        crowd.to_come = left;
        crowd.constraint.manner
    };
    connect(shared, reactor, manner, false);
}

fn ask_quickly(shared: &Shared, reactor: &mut Reactor) {
    connect(shared, reactor, Manner::Ask(Duration::ZERO), true);
}

fn connect(shared: &Shared, reactor: &mut Reactor, manner: Manner, quick: bool) {
    let (server, patience) = {
        let crowd = shared.borrow();
        (crowd.server, crowd.constraint.patience)
    };
    let question = Question { crowd: Rc::clone(shared), asked: Instant::now(), manner, quick };
    reactor.connect(Connect::to(server).timeout(patience), question);
}

/// The outcome of one client.
enum Outcome {
    Served([Point; 2]),
    TimedOut,
    Wrong(String),
    /// The connection failed, or was refused or reset.
    Ended(Reason),
}

/// One client, before it is connected.
struct Question {
    crowd: Shared,
    asked: Instant,
    manner: Manner,
    quick: bool,
}

impl Question {
    /// Counts it, and has the next one come.
    fn tell(&self, reactor: &mut Reactor, outcome: Outcome) {
        let mut crowd = self.crowd.borrow_mut();
        match outcome {
            Outcome::Served(points) => {
                let latency = self.asked.elapsed();
                let arrival = crowd.start.elapsed();
                crowd.counts.served += 1;
                crowd.arrivals.push(arrival);
                crowd.latencies.push(latency);
                crowd.answers.push(points);
                if self.quick {
                    crowd.quick = Some(latency);
                }
            }
            Outcome::TimedOut | Outcome::Ended(Reason::ConnectTimedOut) => {
                crowd.counts.timed_out += 1;
            }
            Outcome::Wrong(message) => {
                crowd.counts.wrong += 1;
                crowd.trouble.get_or_insert(message);
            }
            Outcome::Ended(reason) => match kind_of(&reason) {
                Some(ErrorKind::ConnectionRefused) => crowd.counts.refused += 1,
                Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => crowd.counts.reset += 1,
                _ => {
                    crowd.counts.failed += 1;
                    crowd.trouble.get_or_insert_with(|| reason.to_string());
                }
            },
        }
        drop(crowd);
        ask(&self.crowd, reactor);
    }
}

fn kind_of(reason: &Reason) -> Option<ErrorKind> {
    match reason {
        Reason::Failed { error, .. } => Some(error.kind()),
        _ => None,
    }
}

impl Factory for Question {
    fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
        let Self { crowd, asked, manner, quick } = self;
        let question =
            Self { crowd: Rc::clone(crowd), asked: *asked, manner: *manner, quick: *quick };
        Some(Box::new(Client {
            question,
            told: 0,
            patience_ends: None,
            out_of_patience: false,
            answer: Answer::new(crowd.borrow().constraint.task),
        }))
    }

    fn connection_failed(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        self.tell(connector.reactor(), Outcome::Ended(reason.clone()));
    }
}

/// One client, connected.
struct Client {
    question: Question,
    /// How much of its line it has sent.
    told: usize,
    patience_ends: Option<TimerId>,
    out_of_patience: bool,
    answer: Answer,
}

impl Client {
    /// Sends the part of its line that is due.
    fn speak(&mut self, transport: &mut Transport<'_>) {
        let rest = &LINE[self.told..];
        let due = match self.question.manner {
            Manner::Listen => return,
            Manner::Ask(_) => rest,
            Manner::Dribble(gap) => {
                if rest.len() > 1 {
                    transport.call_later(gap);
                }
                &rest[..1]
            }
        };
        transport.write(due);
        self.told += due.len();
    }
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        let spent = self.question.asked.elapsed();
        let mut crowd = self.question.crowd.borrow_mut();
        if spent >= SYN_AGAIN {
            crowd.waits.push(spent);
        }
        let patience = crowd.constraint.patience.saturating_sub(spent);
        drop(crowd);
        self.patience_ends = Some(transport.call_later(patience));
        match self.question.manner {
            Manner::Ask(moment) if !moment.is_zero() => drop(transport.call_later(moment)),
            _ => self.speak(transport),
        }
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, timer: TimerId) {
        if self.patience_ends == Some(timer) {
            self.out_of_patience = true;
            transport.abort_connection();
        } else {
            self.speak(transport);
        }
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        if self.answer.take(data).is_err() {
            transport.abort_connection();
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        let outcome = match self.answer.result() {
            _ if self.out_of_patience => Outcome::TimedOut,
            Err(Fault::Wrong(message)) => Outcome::Wrong(message),
            Ok(points) if reason.is_clean() => Outcome::Served(points),
            Err(Fault::Short(message)) if reason.is_clean() => Outcome::Wrong(message),
            _ => Outcome::Ended(reason.clone()),
        };
        self.question.tell(transport.reactor(), outcome);
    }
}

/// Connects a client that hinders the server; once it is connected, the others come.
pub(crate) fn start_behind(nuisance: Nuisance, shared: &Shared, reactor: &mut Reactor) {
    let server = shared.borrow().server;
    let crowd = Rc::clone(shared);
    reactor.connect(server, Obstacle { nuisance, crowd });
}

struct Obstacle {
    nuisance: Nuisance,
    crowd: Shared,
}

impl Factory for Obstacle {
    fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Self { nuisance: self.nuisance, crowd: Rc::clone(&self.crowd) }))
    }

    /// Without it the trial would mean nothing: no client asks, and all count as failed.
    fn connection_failed(&mut self, _connector: &mut Connector<'_>, reason: &Reason) {
        let mut crowd = self.crowd.borrow_mut();
        crowd.counts.failed = crowd.constraint.asked();
        crowd.trouble = Some(format!("the client in the way is not connected: {reason}"));
    }
}

impl Protocol for Obstacle {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        if self.nuisance == Nuisance::Stalled {
            transport.pause_reading();
        }
        start(&self.crowd, transport.reactor());
    }
}
