//! Asks the targets whether they are well.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::framing::{FrameError, FrameHandler, Framed, Lines};
use crocus::{Address, Connect, Connector, Factory, Protocol, Reactor, Reason, TimerId, Transport};

use super::figures::Outcome;
use super::{Shared, control, finish};

/// How long the rest of an answer is waited for, once its status is known.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A status line is short.
const STATUS_LINE: Lines = Lines::new().max_length(1000);

/// Polls every target that is not being polled.
pub(crate) fn start_all(agent: &Shared, reactor: &mut Reactor) {
    let count = agent.borrow().figures.targets.len();
    for target in 0..count {
        start(agent, reactor, target);
    }
}

/// Polls a target, unless a poll is under way.
pub(crate) fn start(agent: &Shared, reactor: &mut Reactor, target: usize) {
    let now = reactor.now();
    let (name, timeout) = {
        let agent = &mut *agent.borrow_mut();
        let Some(entry) = agent.figures.targets.get_mut(target) else { return };
        if entry.polling_since.is_some() {
            return;
        }
        entry.polling_since = Some(now);
        (entry.name.clone(), agent.settings.timeout)
    };
    let poll = Poll { agent: Rc::clone(agent), target, deadline: now + timeout };
    reactor.connect(Connect::to(name).timeout(timeout), poll);
}

/// Notes the outcome of a poll, once, and tells those who wait for it.
fn note(agent: &Shared, reactor: &mut Reactor, target: usize, outcome: Outcome) {
    let now = reactor.now();
    let (waiting, text) = {
        let figures = &mut agent.borrow_mut().figures;
        let Some(entry) = figures.targets.get_mut(target) else { return };
        let Some(since) = entry.polling_since.take() else { return };
        entry.note(outcome, now.saturating_duration_since(since));
        (std::mem::take(&mut entry.waiting), entry.to_string())
    };
    log::debug!("{text}");
    for id in waiting {
        control::answer(reactor, id, &text);
    }
    finish(agent, reactor);
}

/// One poll; it makes the protocol of its connection, or hears why there is none.
struct Poll {
    agent: Shared,
    target: usize,
    deadline: Instant,
}

impl Factory for Poll {
    fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
        let agent = Rc::clone(&self.agent);
        let probe = Probe { agent, target: self.target, deadline: self.deadline, is_noted: false };
        Some(Box::new(Framed::new(STATUS_LINE, probe)))
    }

    fn connection_failed(&mut self, connector: &mut Connector, reason: &Reason) {
        note(&self.agent, connector.reactor(), self.target, Err(reason.to_string()));
    }
}

/// The connection of a poll.
struct Probe {
    agent: Shared,
    target: usize,
    deadline: Instant,
    /// A later poll may be under way when this connection ends, and must not get its outcome.
    is_noted: bool,
}

impl Probe {
    fn note(&mut self, transport: &mut Transport, outcome: Outcome) {
        if !std::mem::replace(&mut self.is_noted, true) {
            note(&self.agent, transport.reactor(), self.target, outcome);
        }
    }
}

impl Protocol for Probe {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.write(b"GET /health HTTP/1.0\r\n\r\n");
        transport.set_close_timeout(CLOSE_TIMEOUT);
        let now = transport.reactor().now();
        transport.call_later(self.deadline.saturating_duration_since(now));
    }

    fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
        self.note(transport, Err("no answer in time".to_owned()));
        transport.abort_connection();
    }

    /// The poll goes on: its timer ends it before the grace is over.
    fn shutting_down(&mut self, _: &mut Transport) {}

    fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
        self.note(transport, Err(format!("no answer: {reason}")));
    }
}

impl FrameHandler<Lines> for Probe {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        let outcome = status(line).ok_or_else(|| "the answer is not HTTP".to_owned());
        self.note(transport, outcome);
        transport.lose_connection();
    }

    fn frame_failed(&mut self, transport: &mut Transport, error: FrameError) {
        self.note(transport, Err(error.to_string()));
        transport.lose_connection();
    }
}

/// The number in `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let line = str::from_utf8(line).ok()?;
    let (_version, rest) = line.strip_prefix("HTTP/1.")?.split_once(' ')?;
    let number = rest.split(' ').next()?;
    number.parse().ok().filter(|status| (100..1000).contains(status))
}
