//! The protocol of a task's connection, and the state that the two share.

use std::cell::{RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::task::Waker;

use super::connection::Connection;
use super::executor::Executor;
use super::incoming::Queue;
use super::slot::{Slot, wake};
use crate::{Protocol, Reason, Transport};

/// Above this many bytes that the task has not read, its peer is not read either: as the high mark of what is written.
const HIGH: usize = 64 * 1024;

/// One connection, as its protocol and its task see it.
pub(super) struct Link {
    pub(super) executor: Rc<Executor>,
    state: RefCell<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// The bytes that have come and that the task has not taken.
    pub(super) input: Vec<u8>,
    /// Whether reading pauses until the task has taken them.
    pub(super) paused: bool,
    pub(super) eof: bool,
    /// Why nothing more can be read, behind the bytes that have come, or written.
    pub(super) end: Option<Reason>,
    /// Whether a shutdown has begun, which the reader has to learn.
    pub(super) closing: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// Whether the task goes on reading in a shutdown.
    pub(super) reads_on: bool,
}

impl Link {
    pub(super) fn new(executor: &Rc<Executor>) -> Rc<Self> {
        Rc::new(Self { executor: Rc::clone(executor), state: RefCell::default() })
    }

    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn wake_reader(&self, mut state: RefMut<'_, State>) {
        let waker = state.reader.take();
        drop(state); // the waker may be anybody's
        wake(waker);
    }

    fn end(&self, reason: &Reason) {
        let mut state = self.state();
        state.end.get_or_insert_with(|| reason.clone());
        let writer = state.writer.take();
        self.wake_reader(state);
        wake(writer);
    }
}

/// The place that waits for a connection to be made.
pub(super) enum Awaited {
    Nobody,
    Connecting(Rc<Slot<io::Result<Connection>>>),
    Incoming(Rc<Queue>),
}

/// The protocol of a connection that a task has.
pub(super) struct Guest {
    link: Rc<Link>,
    awaited: Awaited,
}

impl Guest {
    pub(super) fn new(link: Rc<Link>, awaited: Awaited) -> Self {
        Self { link, awaited }
    }
}

impl Protocol for Guest {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        let connection = |transport: &Transport<'_>| Connection::new(&self.link, transport);
        match std::mem::replace(&mut self.awaited, Awaited::Nobody) {
            Awaited::Nobody => transport.resume_reading(), // the former protocol may have paused it
            Awaited::Connecting(slot) => slot.give(Ok(connection(transport))),
            Awaited::Incoming(queue) => {
                let connection = connection(transport);
                queue.push(connection, transport);
            }
        }
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        let mut state = self.link.state();
        if state.input.capacity() == 0 {
            state.input = self.link.executor.spare();
        }
        state.input.extend_from_slice(data);
        if state.input.len() > HIGH {
            state.paused = true;
            transport.pause_reading();
        }
        self.link.wake_reader(state);
    }

    fn eof_received(&mut self, _: &mut Transport<'_>) {
        let mut state = self.link.state();
        state.eof = true;
        self.link.wake_reader(state);
    }

    /// The task sees for itself how much waits, and goes on reading meanwhile.
    fn pause_writing(&mut self, _: &mut Transport<'_>) {}

    fn resume_writing(&mut self, _: &mut Transport<'_>) {
        let waker = self.link.state().writer.take();
        wake(waker);
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        transport.abort_connection_because(Reason::TimedOut);
    }

    fn shutting_down(&mut self, _: &mut Transport<'_>) {
        let mut state = self.link.state();
        state.closing = true;
        self.link.wake_reader(state);
    }

    fn connection_lost(&mut self, _: &mut Transport<'_>, reason: &Reason) {
        self.link.end(reason);
    }
}

impl Drop for Guest {
    /// Without `connection_lost` it never took over, or another protocol has.
    fn drop(&mut self) {
        self.link.end(&Reason::Aborted);
    }
}
