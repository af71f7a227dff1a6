//! Obeys lines: `status`, `poll NAME`, `reset`, `interval MS`, `quit`.
//!
//! An answer is any number of lines, and then `ok` or `error: …`.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crocus::framing::{FrameError, FrameHandler, Framed, Lines};
use crocus::{Address, ConnectionId, Listen, Protocol, Reactor, Reason, TimerId, Transport};

use super::{INTERVALS, Shared, poll};

const MAX_CLIENTS: usize = 16;
const COMMANDS: Lines = Lines::new().max_length(1000);
/// A client that is silent for so long makes room for others.
const SILENCE: Duration = Duration::from_secs(600);
/// A client that does not read its answers holds the end up for so long: less than the grace.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) fn listen(reactor: &mut Reactor, agent: &Shared, path: PathBuf) -> io::Result<Address> {
    let place = Listen::at(path).mode(0o600).max_connections(MAX_CLIENTS);
    let shared = Rc::clone(agent);
    let listener = reactor.listen(place, move |_peer| {
        let control = Control { agent: Rc::clone(&shared), is_waiting: false, is_to_end: false };
        Framed::new(COMMANDS, control)
    })?;
    reactor.local_addr(listener).ok_or_else(|| io::ErrorKind::NotConnected.into())
}

/// Gives a client the outcome that it waits for, if it is still there.
pub(crate) fn answer(reactor: &mut Reactor, id: ConnectionId, text: &str) {
    reactor.with_protocol(id, |framed: &mut Framed<Lines, Control>, transport| {
        framed.with_handler(transport, |control, transport| control.answer(transport, text));
    });
}

/// One client. It is not read while it waits for a poll, so that the answers keep their order.
struct Control {
    agent: Shared,
    is_waiting: bool,
    is_to_end: bool,
}

impl Control {
    fn answer(&mut self, transport: &mut Transport, text: &str) {
        write!(transport, "{text}\nok\n");
        self.is_waiting = false;
        transport.resume_reading();
        if self.is_to_end {
            transport.call_later(Duration::ZERO);
        }
    }

    /// Does as told; `Ok` if there is an answer by now.
    fn obey(&mut self, transport: &mut Transport, command: &str) -> Result<(), String> {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("status", "") => {
                let agent = self.agent.borrow();
                let interval = agent.settings.interval.as_millis();
                writeln!(transport, "{}interval {interval}", agent.figures);
            }
            ("reset", "") => self.agent.borrow_mut().figures.reset(),
            ("interval", text) => self.set_interval(transport.reactor(), text)?,
            ("poll", name) => return self.poll(transport, name),
            ("quit", "") => {
                let grace = self.agent.borrow().settings.grace();
                transport.reactor().shutdown(grace);
            }
            _ => return Err(format!("no such command: {}", command.escape_debug())),
        }
        transport.write(b"ok\n");
        Ok(())
    }

    fn poll(&mut self, transport: &mut Transport, name: &str) -> Result<(), String> {
        let find = |target: &super::figures::Target| target.name == name;
        let Some(target) = self.agent.borrow().figures.targets.iter().position(find) else {
            return Err(format!("no such target: {}", name.escape_debug()));
        };
        if transport.reactor().is_stopping() {
            return Err("the agent is stopping".to_owned());
        }
        poll::start(&self.agent, transport.reactor(), target);
        self.agent.borrow_mut().figures.targets[target].waiting.push(transport.id());
        self.is_waiting = true;
        transport.pause_reading();
        Ok(())
    }

    fn set_interval(&self, reactor: &mut Reactor, text: &str) -> Result<(), String> {
        let number = text.parse().ok().filter(|number| INTERVALS.contains(number));
        let number = number.ok_or_else(|| format!("an interval is a number in {INTERVALS:?}"))?;
        let mut agent = self.agent.borrow_mut();
        agent.settings.interval = Duration::from_millis(number);
        if let Some(ticker) = agent.ticker {
            reactor.set_timer_interval(ticker, agent.settings.interval);
        }
        Ok(())
    }
}

impl Protocol for Control {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.set_timeout(Some(SILENCE));
        transport.set_close_timeout(CLOSE_TIMEOUT);
    }

    fn shutting_down(&mut self, transport: &mut Transport) {
        self.is_to_end = true;
        if !self.is_waiting {
            transport.lose_connection();
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport, _: &Reason) {
        for target in &mut self.agent.borrow_mut().figures.targets {
            target.waiting.retain(|&waiting| waiting != transport.id());
        }
    }

    /// The commands behind a poll are answered too, before a shutdown closes the connection.
    fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
        match transport.unread_len() {
            0 => transport.lose_connection(),
            _ => drop(transport.call_later(Duration::ZERO)),
        }
    }
}

impl FrameHandler<Lines> for Control {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        let command = String::from_utf8_lossy(line);
        if let Err(error) = self.obey(transport, command.trim()) {
            writeln!(transport, "error: {error}");
        }
    }

    fn frame_failed(&mut self, transport: &mut Transport, error: FrameError) {
        writeln!(transport, "error: {error}");
        transport.lose_connection();
    }

    /// A part of a line is not obeyed: the rest of its number may be missing.
    fn eof_in_frame(&mut self, transport: &mut Transport, _: &[u8]) {
        transport.write(b"error: the last line has no end\n");
        transport.lose_connection();
    }
}
