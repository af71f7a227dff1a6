//! The commands of a connection.
//!
//! A command changes its state and queues it for a visit. It makes no callback, and no byte moves inside
//! it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use bytes::Bytes;

use super::Reactor;
use super::monitor::Watched;
use super::queues::Queue;
use super::source::{Session, Source};
use crate::connection::{Common, Connection, Direction, Holds, Marks};
use crate::ids::ConnectionId;
use crate::observe::{Command, Subject};
#[cfg(all(unix, feature = "sendfile"))]
use crate::parts::file_part::FilePart;
use crate::parts::token_bucket::Rate;
use crate::protocol::Protocol;
use crate::reason::Reason;
use crate::transport::Transport;

/// # Connections by their id
impl Reactor {
    /// Lends any connection; `None` if it is gone, or its `connection_made` has not come yet.
    ///
    /// It works for any connection, also for the one whose callback is running.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::{ConnectionId, Reactor};
    /// fn tell_everybody(reactor: &mut Reactor, text: &[u8]) {
    ///     for id in reactor.connections() {
    ///         if let Some(mut transport) = reactor.transport(id) {
    ///             transport.write(text);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn transport(&mut self, id: ConnectionId) -> Option<Transport<'_>> {
        self.session(id).filter(|session| session.connection.is_up())?;
        Some(Transport::new(self, id))
    }

    /// Calls `code` with the protocol of a connection, if it is a `P`, and with its transport.
    ///
    /// Returns `None`, and drops `code`, if the connection is gone, or its `connection_made` has not come yet,
    /// or its protocol is of another type, or is being called further up the stack, as the protocol is whose
    /// callback this is called in. A protocol in a `Box<dyn Protocol>` is found by its own type. One that is
    /// part of another, as the handler in a [`Framed`](crate::framing::Framed), is reached by way of that.
    ///
    /// Commands that `code` gives to a transport work as for any other caller: nothing is called back inside
    /// of it, and a [turn](Self::turn) in it is refused. A panic in it is one of the calling code, and the
    /// connection goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    /// use crocus::{Protocol, Transport};
    ///
    /// struct Member {
    ///     name: String,
    /// }
    ///
    /// impl Protocol for Member {}
    ///
    /// let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Member { name: "Ada".to_owned() });
    /// simulation.settle();
    /// for id in simulation.reactor().connections() {
    ///     simulation.reactor().with_protocol(id, |member: &mut Member, transport| {
    ///         member.name.push('!');
    ///         write!(transport, "hello {}", member.name);
    ///     });
    /// }
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"hello Ada!");
    /// ```
    pub fn with_protocol<P: Protocol, R>(
        &mut self,
        id: ConnectionId,
        code: impl FnOnce(&mut P, &mut Transport<'_>) -> R,
    ) -> Option<R> {
        let session = self.sources.session(id.0).filter(|session| session.connection.is_up())?;
        let mut protocol = session.protocol.take_if(|it| find::<P>(it.as_mut()).is_some())?;
        let outside = self.time.refuse_turns();
        let result = catch_unwind(AssertUnwindSafe(|| {
            find(protocol.as_mut()).map(|it| code(it, &mut Transport::new(self, id)))
        }));
        self.time.in_turn &= !outside;
        match self.sources.get_mut(id.0).and_then(Source::protocol) {
            Some(place @ None) => *place = Some(protocol),
            _ => self.let_go(Subject::Connection(id), protocol),
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// All connections, closing ones included, in no particular order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let first = simulation.connect(Idle);
    /// let second = simulation.connect(Idle);
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().connections().len(), 2);
    ///
    /// drop(first);
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().connections().len(), 1);
    /// ```
    pub fn connections(&self) -> Vec<ConnectionId> {
        let connections = self.sources.iter().filter_map(|(key, source)| match source {
            Source::Connection(session) if session.connection.is_up() => Some(ConnectionId(key)),
            _ => None,
        });
        connections.collect()
    }

    pub(crate) fn session(&self, id: ConnectionId) -> Option<&Session> {
        match self.sources.get(id.0)? {
            Source::Connection(session) => Some(session),
            _ => None,
        }
    }

    /// Gives a connection a command, and queues it for a visit if the command returns `true`. Returns
    /// the result.
    ///
    /// If the notices to its protocol have ended, by this command or before, its timers are cancelled. Observers
    /// see no command without a `name`: the reactor itself gives it.
    #[inline(always)]
    pub(super) fn command(
        &mut self,
        id: ConnectionId,
        queue: Queue,
        name: impl Into<Option<Command>>,
        command: impl FnOnce(&mut Connection, &mut Common) -> bool,
    ) -> bool {
        let Self { sources, queues, timers, memory, monitor, .. } = self;
        let Some(slot) = sources.slot(id.0) else { return false };
        let Source::Connection(session) = &mut slot.source else { return false };
        let (connection, common) = (&mut session.connection, &mut memory.common);
        if let Some(name) = name.into() {
            monitor.command(Subject::Connection(id), || name);
        }
        let watched = Watched::begin(connection, common, monitor);
        let visit = command(connection, common);
        Watched::end(watched, id, connection, common, monitor);
        if visit {
            if !session.connection.hears() {
                session.cancel_timers(timers, monitor);
            }
            if queues.visited != Some(id.0) && queues.add(queue, id.0, &mut slot.waits) {
                monitor.queued(move || Subject::Connection(id), queue, false);
            }
        }
        visit
    }

    /// The same for a command that a message seldom needs: one copy serves them all.
    #[inline(never)]
    fn rare_command(
        &mut self,
        id: ConnectionId,
        queue: Queue,
        name: Option<Command>,
        command: &mut dyn FnMut(&mut Connection, &mut Common) -> bool,
    ) -> bool {
        self.command(id, queue, name, command)
    }

    #[inline]
    pub(crate) fn write(&mut self, id: ConnectionId, data: &[u8]) -> bool {
        let bytes = data.len();
        // Fewer bytes are copied, whoever writes them.
        let is_told = bytes >= self.hot.lent_from && self.queues.visited == Some(id.0);
        self.output(id, Command::Write { bytes }, bytes > 0, |it, common| match is_told {
            true => it.write_back(data, common),
            false => it.write(data, common),
        })
    }

    pub(crate) fn write_owned(&mut self, id: ConnectionId, data: Bytes) -> bool {
        let bytes = data.len();
        let name = Command::Write { bytes };
        self.output(id, name, bytes > 0, |it, common| it.write_owned(data, common))
    }

    #[cfg(all(unix, feature = "sendfile"))]
    pub(crate) fn send_file(&mut self, id: ConnectionId, part: FilePart) -> bool {
        let bytes = part.len();
        let name = Command::SendFile { bytes };
        self.output(id, name, bytes > 0, |it, common| it.send_file(part, common))
    }

    /// Adds to the output of a connection, if there is `any`; returns whether that was taken.
    #[inline(always)]
    fn output(
        &mut self,
        id: ConnectionId,
        name: Command,
        any: bool,
        add: impl FnOnce(&mut Connection, &mut Common) -> bool,
    ) -> bool {
        let mut taken = false;
        self.command(id, Queue::Flush, name, |connection, common| {
            taken = add(connection, common);
            if taken { any } else { connection.is_gone() }
        });
        taken
    }

    pub(crate) fn unread(&mut self, id: ConnectionId, ahead: usize, data: &[u8]) -> bool {
        let mut taken = false;
        self.command(
            id,
            Queue::Run,
            Command::Unread { bytes: data.len() },
            |connection, common| {
                taken = connection.unread(ahead, data, common);
                taken && !data.is_empty()
            },
        );
        taken
    }

    pub(crate) fn lose_connection(&mut self, id: ConnectionId, because: Option<Reason>) {
        let name = Command::LoseConnection;
        self.command(id, Queue::Flush, name, |connection, common| {
            connection.close_because(because, common)
        });
    }

    pub(crate) fn close_when_written(&mut self, id: ConnectionId) {
        let (name, now) = (Some(Command::LoseConnection), self.time.clock.now());
        self.rare_command(id, Queue::Flush, name, &mut |connection, common| {
            connection.close_when_written(now, common)
        });
        self.retime(id, |_, _| ());
    }

    pub(crate) fn close_if_written(&mut self, id: ConnectionId) {
        self.rare_command(id, Queue::Flush, None, &mut |connection, _| {
            connection.close_if_written()
        });
    }

    pub(crate) fn lose_write_connection(&mut self, id: ConnectionId) {
        let name = Some(Command::LoseWriteConnection);
        self.rare_command(id, Queue::Flush, name, &mut |connection, _| connection.shut_write());
    }

    /// Resets a connection, whatever is still unsent.
    pub(crate) fn abort(&mut self, id: ConnectionId, reason: Reason) {
        let (name, mut reason) = (Some(Command::AbortConnection), Some(reason));
        self.rare_command(id, Queue::Flush, name, &mut |connection, _| {
            reason.take().is_some_and(|reason| connection.abort(reason))
        });
    }

    /// Ends a connection because of a fault on this side.
    pub(crate) fn end_by_fault(&mut self, id: ConnectionId, reason: Reason) {
        let mut former = None;
        self.command(id, Queue::Flush, None, |connection, _| {
            former = connection.end_by_fault(reason);
            true
        });
        self.let_go_of_rest(Subject::Connection(id), former); // it may be the user's, and the last
    }

    /// Ends a connection with the reactor.
    pub(crate) fn stop_connection(&mut self, id: ConnectionId) {
        let resets = self.memory.common.shutting_down;
        self.rare_command(id, Queue::Flush, None, &mut |connection, _| connection.stop(resets));
    }

    pub(crate) fn shut_down_connection(&mut self, id: ConnectionId) {
        let now = self.now();
        self.rare_command(id, Queue::Run, None, &mut |connection, common| {
            connection.shut_down(now, common)
        });
    }

    pub(crate) fn hold_reading(&mut self, id: ConnectionId, hold: Holds) {
        let name = Some(Command::PauseReading);
        self.rare_command(id, Queue::Flush, name, &mut |connection, _| connection.hold(hold));
    }

    pub(crate) fn release_reading(&mut self, id: ConnectionId, hold: Holds) {
        let name = Some(Command::ResumeReading);
        self.rare_command(id, Queue::Run, name, &mut |connection, _| connection.release(hold));
    }

    pub(crate) fn set_marks(&mut self, id: ConnectionId, marks: Marks) {
        let name = Some(Command::SetWriteBufferLimits { high: marks.high(), low: marks.low() });
        self.rare_command(id, Queue::Flush, name, &mut |connection, _| connection.set_marks(marks));
    }

    pub(crate) fn set_protocol(&mut self, id: ConnectionId, next: Box<dyn Protocol>) -> bool {
        let mut pressed = false;
        let done = self.command(id, Queue::Run, Command::SetProtocol, |connection, _| {
            pressed = connection.is_pressed();
            connection.hand_over()
        });
        if !done {
            self.let_go(Subject::Connection(id), next);
            return false;
        }
        if pressed {
            self.tell_pressure(id, false);
        }
        if let Some(session) = self.sources.session(id.0) {
            session.attached(&mut self.memory.attached).successor = Some(next);
        }
        true
    }

    pub(crate) fn set_timeout(
        &mut self,
        id: ConnectionId,
        limit: Option<Duration>,
    ) -> Option<Duration> {
        let now = self.time.clock.now(); // as late as possible: it counts from here
        let name = Command::SetTimeout(limit);
        self.set_timing(id, name, |connection, common| connection.set_timeout(limit, now, common))?
    }

    pub(crate) fn set_close_timeout(&mut self, id: ConnectionId, limit: Duration) {
        let (name, now) = (Command::SetCloseTimeout(limit), self.time.clock.now());
        self.set_timing(id, name, |connection, common| {
            connection.set_close_timeout(limit, now, common);
        });
    }

    pub(crate) fn set_rate(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        rate: Option<Rate>,
    ) -> Option<Rate> {
        let now = self.time.clock.now();
        let name = Some(match direction {
            Direction::Reading => Command::SetReadRate,
            Direction::Writing => Command::SetWriteRate,
        });
        self.rare_command(id, Queue::Run, name, &mut |connection, _| {
            connection.forget_rate_hold(direction)
        });
        self.retime(id, |connection, common| connection.set_rate(direction, rate, now, common))?
    }

    /// Changes a setting that may move the deadline of a connection.
    fn set_timing<R>(
        &mut self,
        id: ConnectionId,
        name: Command,
        set: impl FnOnce(&mut Connection, &mut Common) -> R,
    ) -> Option<R> {
        self.sources.session(id.0)?;
        self.monitor.command(Subject::Connection(id), || name);
        self.retime(id, set)
    }

    fn retime<R>(
        &mut self,
        id: ConnectionId,
        set: impl FnOnce(&mut Connection, &mut Common) -> R,
    ) -> Option<R> {
        let Self { sources, timers, memory, monitor, .. } = self;
        let session = sources.session(id.0)?;
        let before = set(&mut session.connection, &mut memory.common);
        if let Some(timer) = session.timer.take() {
            timers.call_off(timer, monitor);
        }
        session.arm(id.0, timers, monitor);
        Some(before)
    }
}

/// The protocol as a `P`, also in a box in a box.
fn find<P: Protocol>(mut protocol: &mut dyn Protocol) -> Option<&mut P> {
    loop {
        let any: &mut dyn Any = protocol;
        if any.is::<P>() {
            return any.downcast_mut();
        }
        protocol = any.downcast_mut::<Box<dyn Protocol>>()?.as_mut();
    }
}
