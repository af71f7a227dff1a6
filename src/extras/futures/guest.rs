//! The protocol of a task's connection, and what it shares with the task.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::mem;
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::connection::Connection;
use super::executor::Executor;
use super::outside;
use super::shared::Shared;
use crate::{ConnectionId, Protocol, Reason, Transport};

/// Above this many bytes that the task has not read, its peer is not read either: the high mark of what is written.
const HIGH: usize = 64 * 1024;

/// One connection, as its protocol and its task see it.
pub(super) struct Link {
    pub(super) executor: Rc<Executor>,
    /// The name of the connection, once there is one.
    id: OnceCell<ConnectionId>,
    input: Shared<Input>,
    /// Changes when there is room to write.
    room: Shared<()>,
    /// The address of the bytes that are lent in a callback, from and to.
    lent_at: Cell<(usize, usize)>,
    /// Whether the peer is not read while it does not read, as with other protocols.
    stops_reading: Cell<bool>,
    /// Whether its protocol is gone. Not in `input`: a connection may be dropped while that is looked at, with a waker.
    over: Cell<bool>,
    /// Whether the exchange is still to come by which the connection is taken over.
    expected: Cell<bool>,
    /// The protocol that the task has given it to before that.
    successor: RefCell<Option<Box<dyn Protocol>>>,
}

#[derive(Default)]
struct Input {
    /// The bytes that have come, and that the task has not taken.
    bytes: Vec<u8>,
    /// The bytes that are coming now, if there are no others. The rest is copied after the callback.
    lent: Option<Bytes>,
    /// Whether reading pauses until it has, and waits for more.
    paused: bool,
    eof: bool,
    /// Why the connection has ended.
    end: Option<Reason>,
    /// Whether a shutdown ends reading, and whether there is one.
    reads_on: bool,
    closing: bool,
}

impl Link {
    pub(super) fn new(executor: &Rc<Executor>) -> Rc<Self> {
        Rc::new(Self {
            executor: Rc::clone(executor),
            id: OnceCell::new(),
            input: Shared::new(Input::default()),
            room: Shared::new(()),
            lent_at: Cell::default(),
            stops_reading: Cell::default(),
            over: Cell::default(),
            expected: Cell::default(),
            successor: RefCell::default(),
        })
    }

    pub(super) fn is_expected(&self) -> bool {
        self.expected.get()
    }

    pub(super) fn expect(&self) {
        self.expected.set(true);
    }

    /// Has a protocol take over, right after the exchange that is still to come if there is one. Returns whether it will.
    pub(super) fn hand_over(
        &self,
        transport: &mut Transport<'_>,
        protocol: impl Protocol + 'static,
    ) -> bool {
        if !self.expected.get() {
            return transport.set_protocol(protocol);
        }
        let takes = !transport.is_closing();
        if takes {
            self.successor.replace(Some(Box::new(protocol)));
        }
        takes
    }

    pub(super) fn set_id(&self, id: ConnectionId) {
        self.id.get_or_init(|| id);
    }

    pub(super) fn with<R>(&self, code: impl FnOnce(&mut Transport<'_>) -> R) -> Option<R> {
        self.executor.with(|reactor| Some(code(&mut reactor.transport(*self.id.get()?)?)))?
    }

    fn resume_reading(&self) {
        if let Some(&id) = self.id.get() {
            self.executor.command(move |reactor| {
                if let Some(mut transport) = reactor.transport(id) {
                    transport.resume_reading();
                }
            });
        }
    }

    /// Exchanges a buffer that was read for one with what has come, or for an empty one at the end. While a
    /// task waits, it has no buffer. Or hands out bytes that are lent.
    pub(super) fn poll_input(
        &self,
        cx: &Context<'_>,
        buffer: &mut Vec<u8>,
        lent: &mut Option<Bytes>,
    ) -> Poll<io::Result<()>> {
        buffer.clear();
        self.input.poll(cx, |input| {
            *lent = input.lent.take();
            if lent.is_some() {
                return Poll::Ready(Ok(()));
            }
            mem::swap(buffer, &mut input.bytes);
            if !buffer.is_empty() || input.eof {
                return Poll::Ready(Ok(()));
            }
            if let Some(reason) = &input.end {
                return Poll::Ready(Err(reason.into()));
            }
            if input.closing && !input.reads_on {
                return Poll::Ready(Err((&Reason::Stopped).into()));
            }
            // Not before: what comes while the task waits needs no copy.
            if mem::take(&mut input.paused) {
                self.resume_reading();
            }
            self.executor.give_back(buffer);
            self.executor.give_back(&mut input.bytes);
            Poll::Pending
        })
    }

    /// Takes what has come, and whether reading pauses.
    pub(super) fn take_input(&self) -> (Vec<u8>, bool) {
        self.input.look(|input| {
            if let Some(lent) = input.lent.take() {
                input.bytes.extend_from_slice(&lent);
            }
            (mem::take(&mut input.bytes), mem::take(&mut input.paused))
        })
    }

    /// Lends what a callback is told, if the task waits for it.
    fn lend(&self, data: &[u8], transport: &Transport<'_>) -> Option<Bytes> {
        let lent = self.input.is_awaited().then(|| transport.share(data))??;
        self.lent_at.set(address(data));
        Some(lent)
    }

    /// Keeps what was lent and not taken.
    fn end_loan(&self, data: &[u8], transport: &mut Transport<'_>) {
        self.lent_at.set((0, 0));
        self.input.look(|input| {
            if input.lent.take().is_some() {
                self.keep(input, data, transport);
            }
        });
    }

    fn keep(&self, input: &mut Input, data: &[u8], transport: &mut Transport<'_>) {
        if input.bytes.capacity() == 0 {
            input.bytes = self.executor.spare();
        }
        input.bytes.extend_from_slice(data);
        if input.bytes.len() > HIGH {
            input.paused = true;
            transport.pause_reading();
        }
    }

    /// Whether these bytes are lent, in a callback of this connection: to write them mostly takes no memory.
    pub(super) fn is_lent(&self, bytes: &[u8]) -> bool {
        let (lent, bytes) = (self.lent_at.get(), address(bytes));
        lent.0 <= bytes.0 && bytes.1 <= lent.1
    }

    /// The task has written more than there was room for: the peer is not read from `pause_writing` to `resume_writing`.
    pub(super) fn stop_reading_under_pressure(&self) {
        self.stops_reading.set(true);
    }

    pub(super) fn await_room<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.room.poll(cx, |()| Poll::Pending)
    }

    /// Why a connection takes nothing more.
    pub(super) fn error(&self) -> io::Error {
        let end = self.input.look(|input| input.end.as_ref().map(io::Error::from));
        let here = self.executor.with(|_| ()).map(|()| io::ErrorKind::BrokenPipe.into());
        end.or(here).unwrap_or_else(outside)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Why the connection has failed, if it has.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.input.look(|input| Some(input.end.as_ref().filter(|end| !end.is_clean())?.into()))
    }

    pub(super) fn read_in_shutdown(&self) {
        self.input.look(|input| input.reads_on = true);
    }

    fn end(&self, reason: &Reason) {
        self.over.set(true);
        self.input.note(|input| _ = input.end.get_or_insert_with(|| reason.clone()));
        self.room.note(|()| ());
    }
}

fn address(bytes: &[u8]) -> (usize, usize) {
    let Range { start, end } = bytes.as_ptr_range();
    (start as usize, end as usize)
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// Takes a connection that was made.
pub(super) trait Receive {
    fn receive(&self, connection: Connection, transport: &mut Transport<'_>);
}

/// The protocol of a connection that a task has.
pub(super) struct Guest {
    link: Rc<Link>,
    /// `None`: the connection has come from another protocol.
    receiver: Option<Weak<dyn Receive>>,
}

impl Guest {
    pub(super) fn new(link: Rc<Link>, receiver: Option<Weak<dyn Receive>>) -> Self {
        Self { link, receiver }
    }

    /// Notes something in a callback. A task that waits for it is polled now, and may use the connection as the callback may.
    fn tell(
        &self,
        transport: &mut Transport<'_>,
        note: impl FnOnce(&Rc<Link>, &mut Transport<'_>),
    ) {
        self.link.executor.poll_woken(transport, |transport| note(&self.link, transport));
    }
}

impl Protocol for Guest {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        let receiver = self.receiver.take();
        self.tell(transport, |link, transport| match receiver {
            Some(receiver) => {
                let connection = Connection::new(link, transport);
                if let Some(receiver) = receiver.upgrade() {
                    receiver.receive(connection, transport);
                }
            }
            None => {
                link.expected.set(false);
                transport.resume_reading(); // the former protocol may have paused it
                if let Some(protocol) = link.successor.take() {
                    transport.set_protocol(protocol);
                }
                link.room.note(|()| ()); // during the exchange nobody was told of room
            }
        });
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        let lent = self.link.lend(data, transport);
        let lends = lent.is_some();
        self.tell(transport, |link, transport| {
            link.input.note(|input| match lent {
                Some(_) => input.lent = lent,
                None => link.keep(input, data, transport),
            });
        });
        if lends {
            self.link.end_loan(data, transport);
        }
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.tell(transport, |link, _| link.input.note(|input| input.eof = true));
    }

    /// The task sees for itself how much waits. It goes on reading meanwhile, unless it writes back what it reads.
    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        if self.link.stops_reading.take() {
            transport.default_pause_writing();
        }
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.link.stops_reading.set(false);
        transport.default_resume_writing();
        self.tell(transport, |link, _| link.room.note(|()| ()));
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        transport.abort_connection_because(Reason::TimedOut);
    }

    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        self.tell(transport, |link, _| link.input.note(|input| input.closing = true));
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
