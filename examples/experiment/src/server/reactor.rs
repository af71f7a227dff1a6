//! The reactor's server: nothing in it waits.

use std::rc::Rc;

use crocus::{Address, Factory, Listen, Protocol, Reactor, TimerId, Transport};

use super::{LINE_MAX, Source, Task, pattern};
use crate::cli::{self, Exit};
use crate::frame;

pub(super) fn serve(task: Task, source: Source, backlog: u32) -> Result<(), Exit> {
    let mut reactor = Reactor::new()?;
    let place = Listen::at("127.0.0.1:0").backlog(backlog);
    let answers = Answers { task, source: Rc::new(source) };
    let listener = reactor.listen(place, answers)?;
    if let Some(addr) = reactor.local_addr(listener) {
        cli::announce(addr)?;
    }
    Ok(reactor.run()?)
}

struct Answers {
    task: Task,
    source: Rc<Source>,
}

impl Factory for Answers {
    fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
        let source = Rc::clone(&self.source);
        Some(match self.task {
            Task::Long(size) => Box::new(LongAnswer { source, size, written: 0 }),
            task => Box::new(Answer { source, task, heard: 0 }),
        })
    }
}

/// Answers at once, or when the time has come, or when the client has asked.
struct Answer {
    source: Rc<Source>,
    task: Task,
    heard: usize,
}

impl Answer {
    fn answer(&self, transport: &mut Transport<'_>) {
        transport.write(&self.source.answer());
        transport.lose_connection();
    }
}

impl Protocol for Answer {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        match self.task {
            Task::Delay(delay) => drop(transport.call_later(delay)),
            Task::Line => {}
            _ => self.answer(transport),
        }
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _timer: TimerId) {
        self.answer(transport);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.heard += data.len();
        if data.contains(&b'\n') {
            self.answer(transport);
        } else if self.heard > LINE_MAX {
            transport.abort_connection();
        }
    }
}

/// Writes as much as the marks allow, and goes on when it is sent: a client that does not read
/// costs this much memory and no more.
struct LongAnswer {
    source: Rc<Source>,
    size: usize,
    written: usize,
}

/// More waiting than this is too much: the reactor's high mark.
const ENOUGH: usize = 64 * 1024;

impl LongAnswer {
    fn write_more(&mut self, transport: &mut Transport<'_>) {
        while self.written < self.size && transport.buffered() <= ENOUGH {
            let piece = pattern(self.written, self.size - self.written);
            transport.write(piece);
            self.written += piece.len();
        }
        if self.written == self.size {
            transport.lose_connection();
        }
    }
}

impl Protocol for LongAnswer {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.write(&self.source.answer());
        self.written = frame::LEN;
        self.write_more(transport);
    }

    fn pause_writing(&mut self, _transport: &mut Transport<'_>) {}

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.write_more(transport);
    }
}
