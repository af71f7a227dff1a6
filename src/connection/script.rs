//! A stream in the hands of a test, and a driver that visits a connection as the reactor does.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{
    ClosingTimes, Common, Connection, Direction, Holds, Io, Marks, Next, ReadBuffer, Tell,
};
use crate::parts::clock::Clock;
use crate::parts::file_part::FilePart;
use crate::parts::token_bucket::Rate;
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// The state of the kernel and the peer; the test plays both.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// All that the peer ever sent, and how much of it was read.
    pub(super) incoming: Vec<u8>,
    pub(super) taken: usize,
    pub(super) fin: bool,
    pub(super) reset: bool,
    /// The pending error. The first who asks gets it, as on Linux.
    error: Option<ErrorKind>,
    /// Every write fails with this, though no event tells of an error.
    pub(super) refuses: Option<ErrorKind>,
    /// Writes fail after so many more.
    pub(super) fails_after: Option<usize>,
    /// Whether a read has found the end.
    pub(super) end_read: bool,
    /// How many bytes the kernel takes before it says `WouldBlock`.
    pub(super) window: usize,
    /// Whether a write found the window too small, so that an event will tell of more room.
    pub(super) blocked: bool,
    /// How many of the next system calls end with EINTR.
    pub(super) interrupts: usize,
    pub(super) written: Vec<u8>,
    pub(super) reads: usize,
    pub(super) writes: usize,
    /// Where the bytes of the last one lay.
    pub(super) place: usize,
    pub(super) fins: usize,
    /// Whether the last bytes were written so that FIN goes along, and nothing came between.
    more: bool,
    /// Of each write, whether it said that others follow at once.
    pub(super) mores: Vec<bool>,
    pub(super) fin_goes_along: bool,
    pub(super) wrote_after_fin: bool,
    /// How often the pending error was asked for.
    pub(super) questions: usize,
    /// How many errors a read, a write or a question brought.
    pub(super) failures: usize,
    pub(super) forgives: bool,
    /// Whether a read may be short though more waits.
    pub(super) cuts: bool,
    /// The poller would tell this.
    event: Readiness,
}

impl Wire {
    fn interrupt(&mut self) -> io::Result<()> {
        if self.interrupts > 0 {
            self.interrupts -= 1;
            return Err(ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    fn fail<T>(&mut self, kind: ErrorKind) -> io::Result<T> {
        self.failures += 1;
        Err(kind.into())
    }

    /// Linux gives first what came, then the end or the error, then the end for ever.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        assert!(!buf.is_empty(), "an empty read looks like the end");
        self.interrupt()?;
        self.reads += 1;
        let count = buf.len().min(self.incoming.len() - self.taken);
        if count > 0 {
            buf[..count].copy_from_slice(&self.incoming[self.taken..self.taken + count]);
            self.taken += count;
            return Ok(count);
        }
        if !self.fin {
            if let Some(kind) = self.error.take() {
                return self.fail(kind);
            }
            if !self.reset {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
        self.end_read = true;
        Ok(0)
    }

    fn write(&mut self, data: &[u8], more: bool) -> io::Result<usize> {
        self.interrupt()?;
        self.writes += 1;
        self.place = data.as_ptr().addr();
        self.mores.push(more);
        self.wrote_after_fin |= self.fins > 0;
        if let Some(left) = &mut self.fails_after {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return self.fail(ErrorKind::ConnectionReset),
            }
        }
        if let Some(kind) = self.refuses {
            return self.fail(kind);
        }
        if self.fins > 0 || self.reset {
            let kind = self.error.take().unwrap_or(ErrorKind::BrokenPipe);
            return self.fail(kind);
        }
        let count = data.len().min(self.window);
        self.blocked = count < data.len();
        self.more = more && !self.blocked;
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.window -= count;
        self.written.extend_from_slice(&data[..count]);
        Ok(count)
    }

    fn shut_write(&mut self) -> io::Result<()> {
        if self.reset {
            return Err(ErrorKind::NotConnected.into());
        }
        self.fins += 1;
        self.fin_goes_along = self.more;
        if self.fin {
            self.event |= Readiness::FAILED | Readiness::READ_CLOSED;
        }
        Ok(())
    }

    /// The event that registering brings.
    fn state(&self) -> Readiness {
        let mut state = Readiness::default();
        if self.taken < self.incoming.len() {
            state |= Readiness::READABLE;
        }
        if self.fin {
            state |= Readiness::READABLE | Readiness::READ_CLOSED;
        }
        if self.reset || (self.fin && self.fins > 0) {
            state |= Readiness::FAILED | Readiness::READ_CLOSED;
        }
        if self.window > 0 {
            state |= Readiness::WRITABLE;
        }
        state
    }
}

/// The stream. The test holds another name of it.
#[derive(Clone, Debug)]
pub(super) struct Script(Rc<RefCell<Wire>>);

impl Script {
    fn new() -> Self {
        let wire = Wire { window: usize::MAX, forgives: true, ..Wire::default() };
        Self(Rc::new(RefCell::new(wire)))
    }

    pub(super) fn wire(&self) -> Ref<'_, Wire> {
        self.0.borrow()
    }

    pub(super) fn wire_mut(&self) -> RefMut<'_, Wire> {
        self.0.borrow_mut()
    }

    /// Whether the peer has ended its half.
    pub(super) fn is_over(&self) -> bool {
        let wire = self.wire();
        wire.fin || wire.reset
    }

    pub(super) fn peer_sends(&self, bytes: &[u8]) {
        assert!(!self.is_over(), "the peer has ended");
        let mut wire = self.wire_mut();
        wire.incoming.extend_from_slice(bytes);
        wire.event |= Readiness::READABLE;
    }

    pub(super) fn peer_ends(&self) {
        let mut wire = self.wire_mut();
        wire.fin = true;
        wire.event |= Readiness::READABLE | Readiness::READ_CLOSED;
        if wire.fins > 0 {
            wire.event |= Readiness::FAILED;
        }
    }

    pub(super) fn peer_resets(&self) {
        let mut wire = self.wire_mut();
        wire.reset = true;
        wire.error =
            Some(if wire.fin { ErrorKind::BrokenPipe } else { ErrorKind::ConnectionReset });
        wire.event |= Readiness::FAILED | Readiness::READ_CLOSED;
    }

    /// The peer takes bytes: so many more have room.
    pub(super) fn opens(&self, room: usize) {
        let mut wire = self.wire_mut();
        wire.window = wire.window.saturating_add(room);
        if wire.blocked {
            wire.event |= Readiness::WRITABLE;
        }
    }
}

impl ByteStream for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wire_mut().read(buf)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.wire_mut().write(data, false)
    }

    fn write_last(&mut self, data: &[u8]) -> io::Result<usize> {
        self.wire_mut().write(data, true)
    }

    fn write_slices(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let data: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.wire_mut().write(&data, more)
    }

    fn send_file(&mut self, _: &FilePart, _: usize) -> io::Result<Option<usize>> {
        Ok(None)
    }

    fn shut_write(&self) -> io::Result<()> {
        self.wire_mut().shut_write()
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        let mut wire = self.wire_mut();
        let error = wire.error.take();
        wire.questions += 1;
        wire.failures += usize::from(error.is_some());
        Ok(error.map(io::Error::from))
    }

    fn forgives_late_bytes(&self) -> bool {
        self.wire().forgives
    }

    fn reads_to_the_end(&self) -> bool {
        !self.wire().cuts
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Serve,
    /// Others have written, so that a flush follows.
    ServeWithoutWriting,
    Flush,
}

/// More steps than any visit of these tests needs: who takes more goes round in a circle.
const MOST_STEPS: usize = 1000;

/// Does what the reactor does: queues, visits, time. Commands queue as `reactor/commands.rs` has it.
pub(super) struct Driver {
    pub(super) connection: Connection<Script>,
    pub(super) script: Script,
    pub(super) now: Instant,
    pub(super) buffer: ReadBuffer,
    /// How much a visit may read and write.
    pub(super) budgets: (usize, usize),
    /// Whether the poller may have more events to tell.
    pub(super) more_events: bool,
    /// Whether a flush tries the short way first.
    pub(super) flushes_plainly: bool,
    /// The queues it waits in.
    pub(super) queued: bool,
    pub(super) flushing: bool,
    pub(super) registered: bool,
    io: Io,
    pub(super) common: Common,
    visited: bool,
    /// How much of its allowance this visit has read, or told of what was read before.
    consumed: usize,
    steps: usize,
    notices: Vec<Tell>,
    bytes: VecDeque<Vec<u8>>,
}

impl Driver {
    pub(super) fn new() -> Self {
        let script = Script::new();
        let clock = Clock::manual();
        let now = clock.now();
        let second = Duration::from_secs(1);
        let closing_times = ClosingTimes {
            close_timeout: 30 * second,
            linger: 5 * second,
            shutdown_linger: second / 2,
        };
        Self {
            connection: Connection::new(script.clone(), Marks::new(100, 25)),
            script,
            now,
            buffer: ReadBuffer::new(64),
            budgets: (1000, 1000),
            flushes_plainly: true,
            queued: true,
            flushing: false,
            registered: false,
            io: Io {
                read: 0,
                put_off: 0,
                write: None,
                serves: false,
                fresh: true,
                timed_out: false,
                asked: false,
                sent: 0,
            },
            common: Common::new(closing_times, usize::MAX, 1, &clock),
            more_events: false,
            visited: false,
            consumed: 0,
            steps: 0,
            notices: Vec::new(),
            bytes: VecDeque::new(),
        }
    }

    pub(super) fn begin(&mut self, kind: Kind) {
        let (read, write) = self.budgets;
        match kind {
            Kind::Serve => self.queued = false,
            Kind::ServeWithoutWriting => (self.queued, self.flushing) = (false, true),
            Kind::Flush => self.flushing = false,
        }
        self.io = Io {
            read: if kind == Kind::Flush { 0 } else { read },
            put_off: 0,
            write: (!self.flushing).then_some(write),
            serves: kind != Kind::Flush,
            fresh: !self.registered,
            timed_out: false,
            asked: false,
            sent: 0,
        };
        self.common.begin_turn(self.now);
        self.common.latest.callback = Some(self.now);
        self.common.more_events = self.more_events;
        self.visited = true;
        (self.consumed, self.steps) = (0, 0);
    }

    /// Asks until there is something to tell, or the visit is over.
    pub(super) fn ask(&mut self) -> Next {
        self.common.loan.end();
        // As `reactor/flushing.rs` has it.
        let flushes = self.flushes_plainly && self.steps == 0 && !self.io.serves && self.registered;
        if let Some(budget) = self.io.write.filter(|_| flushes)
            && let Some(next) =
                self.connection.send_plainly(budget, &mut 0, &mut self.common, &self.buffer)
        {
            self.io.write = Some(0);
            if next == Next::Rest {
                self.visited = false;
                return next;
            }
        }
        let next = loop {
            self.steps += 1;
            assert!(self.steps < MOST_STEPS, "this visit has no end");
            let before = self.io.read + self.io.put_off;
            let next = self.connection.next(&mut self.io, &mut self.common, &mut self.buffer);
            self.consumed += before - (self.io.read + self.io.put_off);
            match next {
                Next::Again => {}
                Next::Rest | Next::Yield if !self.registered => self.register(),
                next => break next,
            }
        };
        match next {
            Next::Tell(notice) => self.note(notice),
            _ => {
                self.visited = false;
                self.buffer = ReadBuffer::new(self.buffer.len()); // as if another connection had been read
            }
        }
        self.queued |= next == Next::Yield;
        next
    }

    fn register(&mut self) {
        self.registered = true;
        let mut wire = self.script.wire_mut();
        wire.event = wire.state();
    }

    fn note(&mut self, notice: Tell) {
        self.notices.push(notice);
        if notice == Tell::Data {
            self.common.loan.begin(self.buffer.told());
            self.bytes.push_back(self.buffer.told().to_vec());
        }
    }

    /// Whether this is a notice of so many bytes.
    #[cfg(test)]
    pub(super) fn is_told(&self, notice: Tell, bytes: usize) -> bool {
        notice == Tell::Data && self.buffer.told().len() == bytes
    }

    /// Visits with a protocol.
    pub(super) fn visit(&mut self, kind: Kind, mut tell: impl FnMut(&mut Self, Tell)) -> Next {
        self.begin(kind);
        loop {
            match self.ask() {
                Next::Tell(notice) => tell(self, notice),
                next => return next,
            }
        }
    }

    /// Passes on what the poller has; to one that is not registered it has nothing.
    pub(super) fn take_events(&mut self) -> Readiness {
        let mut event = Readiness::default();
        if self.registered {
            event = mem::take(&mut self.script.wire_mut().event);
        }
        if event != Readiness::default() {
            self.latch(event);
        }
        event
    }

    pub(super) fn latch(&mut self, event: Readiness) {
        self.connection.latch(event);
        self.run(true);
    }

    /// Lets time pass. A deadline that comes has the connection served.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        let due = self.connection.deadline().is_some_and(|at| at <= self.now);
        self.run(due);
    }

    fn run(&mut self, worth_it: bool) {
        self.queued |= worth_it && !self.visited;
    }

    fn flush_later(&mut self, worth_it: bool) {
        self.flushing |= worth_it && !self.visited;
    }
}

/// The steps and questions that the rows of the table need.
#[cfg(test)]
impl Driver {
    /// One that was told `Made`, and is registered.
    pub(super) fn open() -> Self {
        let mut driver = Self::new();
        assert_eq!(driver.serve(), Next::Rest);
        assert_eq!(driver.heard(), "Made");
        driver
    }

    pub(super) fn serve(&mut self) -> Next {
        self.visit(Kind::Serve, |_, _| {})
    }

    pub(super) fn flush(&mut self) -> Next {
        self.visit(Kind::Flush, |_, _| {})
    }

    /// Tells the connection what the poller has, and visits it as long as it is queued.
    pub(super) fn settle(&mut self) {
        self.take_events();
        for _ in 0..MOST_STEPS {
            if self.queued {
                self.serve();
            }
            if self.flushing {
                self.flush();
            }
            if self.connection.is_gone() || !(self.queued || self.flushing) {
                return;
            }
        }
        panic!("visits without end");
    }

    /// All that the protocol was told since this was asked last; bytes in brackets.
    pub(super) fn heard(&mut self) -> String {
        let mut bytes = mem::take(&mut self.bytes);
        let notices = mem::take(&mut self.notices);
        let words = notices.into_iter().map(|notice| match notice {
            Tell::Data => {
                format!("[{}]", String::from_utf8_lossy(&bytes.pop_front().unwrap_or_default()))
            }
            other => format!("{other:?}"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn written(&self) -> String {
        String::from_utf8_lossy(&self.script.wire().written).into_owned()
    }
}

/// Commands.
impl Driver {
    pub(super) fn write(&mut self, data: &[u8], cap: usize) -> bool {
        self.common.cap = cap;
        let taken = self.connection.write(data, &mut self.common);
        self.note_write(taken, data.len())
    }

    /// Writes back some of the bytes that were told last.
    pub(super) fn echo(&mut self, told: Range<usize>) -> bool {
        let Self { connection, common, buffer, .. } = self;
        let data = &buffer.told()[told.clone()];
        let taken = connection.write_back(data, common);
        self.note_write(taken, told.len())
    }

    fn note_write(&mut self, taken: bool, count: usize) -> bool {
        self.flush_later(if taken { count > 0 } else { self.connection.is_gone() });
        taken
    }

    pub(super) fn write_owned(&mut self, data: &'static [u8], cap: usize) -> bool {
        self.common.cap = cap;
        let taken = self.connection.write_owned(data.into(), &mut self.common);
        self.flush_later(if taken { !data.is_empty() } else { self.connection.is_gone() });
        taken
    }

    #[cfg(all(test, unix, feature = "sendfile"))]
    pub(super) fn send_file(&mut self, range: Range<u64>) -> io::Result<bool> {
        self.send_file_at("Cargo.toml".as_ref(), range)
    }

    #[cfg(all(test, unix, feature = "sendfile"))]
    pub(super) fn send_file_at(
        &mut self,
        path: &std::path::Path,
        range: Range<u64>,
    ) -> io::Result<bool> {
        let file = std::fs::File::open(path)?;
        let part = FilePart::new(file.into(), range)?;
        let taken = self.connection.send_file(part, &mut self.common);
        self.flush_later(taken);
        Ok(taken)
    }

    /// The reactor shuts down.
    pub(super) fn shut_down(&mut self) {
        self.common.shutting_down = true;
        let visit = self.connection.shut_down(self.now, &self.common);
        self.run(visit);
    }

    /// How many bytes this visit has sent.
    #[cfg(test)]
    pub(super) fn sent(&self) -> usize {
        self.io.sent
    }

    /// Whether this visit has read all that it may.
    pub(super) fn has_read_enough(&self) -> bool {
        self.consumed >= self.budgets.0
    }

    pub(super) fn unread(&mut self, data: &[u8]) -> bool {
        let kept = self.connection.unread(0, data, &mut self.common);
        self.run(kept);
        kept
    }

    pub(super) fn close(&mut self) -> bool {
        let closing = self.connection.close(None);
        self.flush_later(closing);
        closing
    }

    pub(super) fn close_when_written(&mut self) -> bool {
        let closing = self.connection.close_when_written(self.now, &mut self.common);
        self.flush_later(closing);
        closing
    }

    pub(super) fn close_if_written(&mut self) -> bool {
        let closing = self.connection.close_if_written();
        self.flush_later(closing);
        closing
    }

    pub(super) fn abort(&mut self) -> bool {
        let ended = self.connection.abort(Reason::Aborted);
        self.flush_later(ended);
        ended
    }

    pub(super) fn shut_write(&mut self) -> bool {
        let wanted = self.connection.shut_write();
        self.flush_later(wanted);
        wanted
    }

    pub(super) fn hold(&mut self, hold: Holds) {
        let visit = self.connection.hold(hold);
        self.flush_later(visit);
    }

    pub(super) fn release(&mut self, hold: Holds) {
        let visit = self.connection.release(hold);
        self.run(visit);
    }

    pub(super) fn hand_over(&mut self) -> bool {
        let done = self.connection.hand_over();
        self.run(done);
        done
    }

    pub(super) fn set_marks(&mut self, high: usize, low: usize) {
        self.connection.set_marks(Marks::new(high, low));
        self.flush_later(true);
    }

    pub(super) fn set_timeout(&mut self, limit: Option<Duration>) -> Option<Duration> {
        self.connection.set_timeout(limit, self.now, &mut self.common)
    }

    pub(super) fn set_rate(&mut self, direction: Direction, rate: Option<Rate>) {
        let held = self.connection.forget_rate_hold(direction);
        self.run(held);
        self.connection.set_rate(direction, rate, self.now, &mut self.common);
    }
}
