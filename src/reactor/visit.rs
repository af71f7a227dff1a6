//! **A visit**: asks a connection what to do until it rests, and calls its protocol.
//!
//! Serving and flushing are the same visit with different allowances. (`flushing` has a short way for most of the
//! latter.) The decisions are in
//! [`connection`](crate::connection). This module tells the observer what has moved, updates
//! the poller and the timers, and carries out the end.

use std::mem;

use super::Reactor;
use super::limits::HotLimits;
use super::monitor::Watched;
use super::queues::{Queue, Waits};
use super::source::{Owner, Session, Slot, Source};
use crate::callback::Callback;
use crate::connection::{HAS_STEPS, Io, Next, ReadBuffer, Tell};
use crate::ids::ConnectionId;
use crate::observe::{Notice, Origin, Stage, Subject};
use crate::parts::arena::Key;
use crate::protocol::Protocol;
use crate::reason::Reason;
use crate::system::stream::Registered;
use crate::transport::Transport;

/// A connection in its slot, with the loop's data about it.
struct Visited<'a> {
    session: &'a mut Session,
    waits: &'a mut Waits,
}

impl<'a> Visited<'a> {
    #[inline(always)]
    fn of(slot: &'a mut Slot) -> Option<Self> {
        match &mut slot.source {
            Source::Connection(session) => Some(Self { session, waits: &mut slot.waits }),
            _ => None,
        }
    }

    /// Begins a visit from a queue; returns its allowances. Bytes that the connection has sent in this turn already, when
    /// it was served, count against them.
    #[inline(always)]
    fn begin(&mut self, from: Queue, limits: HotLimits, turn: u64) -> Io {
        let Self { session, waits } = self;
        let budget = limits.write_budget;
        // Half of what waits in memory, if that is more: a connection that many others write to keeps up with them.
        let half = session.connection.begin_visit() / 2;
        Io {
            read: if from == Queue::Run { limits.read_budget } else { 0 },
            put_off: 0,
            write: match from {
                _ if waits.is_to_flush() => None, // others wrote too: all leaves together, in the flush phase
                Queue::Run => Some(budget.max(half)),
                Queue::Flush => Some(waits.budget_left(budget, turn) + half.saturating_sub(budget)),
            },
            serves: from == Queue::Run,
            fresh: session.connection.stream.registered() == Registered::No,
            timed_out: false,
            asked: false,
            sent: 0,
        }
    }
}

impl Reactor {
    /// Visits a source; `false` if it is there and not a connection.
    #[inline]
    pub(crate) fn visit(&mut self, key: Key, from: Queue, buffer: &mut ReadBuffer) -> bool {
        // A command of this connection's own callback queues nothing: the visit goes on after it.
        self.queues.visited = Some(key);
        let known = self.visit_connection(key, from, buffer);
        self.queues.visited = None;
        if self.memory.common.panics().are_there() {
            self.note_drops(Subject::Connection(ConnectionId(key)));
        }
        known
    }

    /// Notes the panics of values of the user's that the connection has dropped: bytes, a reason, the config of its TLS.
    #[cold]
    pub(super) fn note_drops(&mut self, subject: Subject) {
        for payload in self.memory.common.panics().take() {
            self.note_panic(subject, Callback::Drop, payload);
        }
    }

    /// Each round of the outer loop does everything between two callbacks with one lookup of the source:
    /// it puts the protocol back, asks the connection until it has a notice or rests, and does what
    /// follows.
    fn visit_connection(&mut self, key: Key, from: Queue, buffer: &mut ReadBuffer) -> bool {
        let id = ConnectionId(key);
        let Some(slot) = self.sources.slot(key) else { return true }; // gone since it was queued
        slot.waits.leave(from);
        let Some(mut visited) = Visited::of(slot) else { return false };
        let mut io = visited.begin(from, self.hot, self.monitor.stats.turns);
        loop {
            let Visited { session, waits } = visited;
            let (common, monitor) = (&mut self.memory.common, &mut self.monitor);
            let watched = Watched::begin(&session.connection, common, monitor);
            let notice = loop {
                match session.connection.next(&mut io, common, buffer) {
                    Next::Tell(notice) => break Some(notice),
                    Next::Prepared => break None,
                    Next::Again => {}
                    Next::Gone => {
                        Watched::end(watched, id, &session.connection, common, monitor);
                        self.conclude(key);
                        return true;
                    }
                    next @ (Next::Rest | Next::Yield) => {
                        if !session.register(key, &self.poller) {
                            continue; // it has failed
                        }
                        session.arm(key, &mut self.timers, monitor);
                        waits.note_sent(io.sent, self.hot.write_budget, monitor.stats.turns);
                        Watched::end(watched, id, &session.connection, common, monitor);
                        if next == Next::Yield && self.queues.add(Queue::Run, key, waits) {
                            monitor.queued(move || Subject::Connection(id), Queue::Run, true);
                        }
                        return true;
                    }
                }
            };
            Watched::end(watched, id, &session.connection, common, monitor);
            let mut protocol = session.protocol.take(); // out of its seat while it is called
            match (notice, &mut protocol) {
                (Some(notice), Some(protocol)) => self.tell(key, notice, protocol, buffer),
                (Some(_), None) => {}
                (None, _) => protocol = self.prepared(key),
            }
            match self.sources.slot(key).and_then(Visited::of) {
                Some(found) => visited = found,
                None => return self.let_go_of_lost(id, protocol),
            }
            visited.session.protocol = protocol;
        }
    }

    /// Queues a connection whose timer fired, at its deadline or before. The connection checks the
    /// deadline when it is served.
    pub(crate) fn visit_at_deadline(&mut self, key: Key) {
        if let Some(session) = self.sources.session(key) {
            session.timer = None;
            self.queue(key);
        }
    }

    /// Drops the protocol of a source that is not there any more: a callback has replaced this reactor by another.
    #[cold]
    fn let_go_of_lost(&mut self, id: ConnectionId, protocol: Option<Box<dyn Protocol>>) -> bool {
        self.let_go(Subject::Connection(id), protocol);
        true
    }

    pub(crate) fn tell_opened(&mut self, id: ConnectionId, origin: Origin) {
        let Self { sources, monitor, .. } = self;
        if monitor.is_watched()
            && let Some(session) = sources.session(id.0)
        {
            let peer = &session.peer;
            monitor.note(|| Notice::Opened { connection: id, peer: peer.clone(), origin });
        }
    }

    /// Calls a protocol with a notice of its connection.
    #[inline]
    fn tell(
        &mut self,
        key: Key,
        tell: Tell,
        protocol: &mut Box<dyn Protocol>,
        buffer: &ReadBuffer,
    ) {
        match tell {
            Tell::Data => {
                let data = buffer.told();
                self.memory.common.loan.begin(data);
                self.tell_by(
                    ConnectionId(key),
                    Callback::DataReceived,
                    Some(buffer),
                    |transport| {
                        protocol.data_received(transport, data);
                    },
                );
                self.memory.common.loan.end();
            }
            Tell::Made => self.tell_made(ConnectionId(key), protocol),
            rarer => self.tell_rarer(key, rarer, protocol),
        }
    }

    /// Out of line, for most visits tell of bytes.
    #[inline(never)]
    fn tell_made(&mut self, id: ConnectionId, protocol: &mut Box<dyn Protocol>) {
        self.tell_by(id, Callback::ConnectionMade, None, |transport| {
            protocol.connection_made(transport);
        });
    }

    /// The notices that are rarer still.
    #[inline(never)]
    fn tell_rarer(&mut self, key: Key, tell: Tell, protocol: &mut Box<dyn Protocol>) {
        let id = ConnectionId(key);
        match tell {
            Tell::Pause => self.tell_pressure(id, true),
            Tell::Resume => self.tell_pressure(id, false),
            Tell::Handover => self.swap(key, protocol),
            Tell::Made | Tell::Data | Tell::Eof | Tell::TimedOut | Tell::ShuttingDown => {}
        }
        let done = self.tell_by(id, callback_of(tell), None, |transport| match tell {
            Tell::Made | Tell::Data => {} // told above
            Tell::Handover => protocol.connection_made(transport),
            Tell::Eof => protocol.eof_received(transport),
            Tell::Pause => protocol.pause_writing(transport),
            Tell::Resume => protocol.resume_writing(transport),
            Tell::TimedOut => protocol.timed_out(transport),
            Tell::ShuttingDown => protocol.shutting_down(transport),
        });
        if done && tell == Tell::Resume {
            self.close_if_written(id);
        }
    }

    /// Calls a protocol that is out of its seat; returns whether it has not panicked.
    #[inline(always)]
    fn tell_by(
        &mut self,
        id: ConnectionId,
        callback: Callback,
        buffer: Option<&ReadBuffer>,
        code: impl FnOnce(&mut Transport<'_>),
    ) -> bool {
        let subject = Subject::Connection(id); // in the closure it costs an echo two instructions
        let done = self.call(
            move || subject,
            callback,
            |reactor| {
                code(&mut Transport::telling(reactor, id, buffer));
            },
        );
        if done.is_none() {
            self.end_by_panic(id, callback);
        }
        done.is_some()
    }

    /// Ends the connection of a protocol that panicked. `connection_lost` is still to come.
    #[cold]
    #[inline(never)]
    fn end_by_panic(&mut self, id: ConnectionId, callback: Callback) {
        self.end_by_fault(id, Reason::Panicked { callback });
    }

    /// Another protocol takes over.
    #[cold]
    fn swap(&mut self, key: Key, protocol: &mut Box<dyn Protocol>) {
        let successor = self.sources.session(key).and_then(Session::take_successor);
        let former = successor.map(|successor| mem::replace(protocol, successor));
        let id = ConnectionId(key);
        self.let_go(Subject::Connection(id), former);
        let stage = Stage::HandedOver;
        self.monitor.note(|| Notice::Stage { connection: id, stage });
    }

    pub(crate) fn tell_pressure(&mut self, id: ConnectionId, high: bool) {
        let Self { sources, monitor, .. } = self;
        if let Some(session) = sources.session(id.0) {
            let waiting = session.connection.buffered();
            monitor.note(|| Notice::Pressure { connection: id, high, waiting });
        }
    }

    /// Gives the last notice, and frees everything. First the protocol is told, then the descriptor is
    /// closed, then the owner is told and may already reconnect.
    #[inline(never)]
    fn conclude(&mut self, key: Key) {
        let id = ConnectionId(key);
        if let Some(payload) = self.memory.common.panic.take() {
            self.note_panic(Subject::Connection(id), Callback::TlsConfig, payload);
        }
        let Self { sources, timers, monitor, .. } = self;
        let Some(Slot { source: Source::Connection(session), owner, .. }) = sources.slot(key)
        else {
            return;
        };
        let (owner, peer) = (*owner, session.peer.clone());
        session.cancel_timers(timers, monitor);
        let reason = session.connection.reason();
        let announced = session.connection.was_announced();
        let protocol = session.protocol.take();
        let unbuilt = HAS_STEPS && protocol.is_none() && !announced;
        let identified = session.is_identified();
        if let Some(protocol) = protocol {
            self.tell_lost(id, protocol, announced.then_some(&reason));
        }
        if !self.free(key, owner == Owner::None) {
            return; // `connection_lost` has replaced this reactor: nothing here is about this one
        }
        self.monitor.stats.closed += 1;
        self.monitor.note(|| {
            let (peer, reason) = (peer.clone(), reason.clone());
            Notice::Gone { connection: id, peer, reason }
        });
        self.descriptor_freed();
        match owner {
            Owner::None => {}
            Owner::Listener(listener) => {
                if unbuilt {
                    self.ended_unprepared(listener, &peer, &reason);
                }
                self.accepted_connection_gone(listener, &peer, identified);
            }
            Owner::Connector(connector) => {
                if let Some(kind) = self.kind(connector) {
                    kind.connection_gone(self, connector, announced, &reason);
                }
            }
        }
        self.let_go_of_rest(Subject::Connection(id), reason);
    }

    /// Gives a protocol its last notice, if it had any other, and drops it.
    #[inline(always)]
    fn tell_lost(
        &mut self,
        id: ConnectionId,
        mut protocol: Box<dyn Protocol>,
        reason: Option<&Reason>,
    ) {
        if let Some(reason) = reason {
            self.call(
                move || Subject::Connection(id),
                Callback::ConnectionLost,
                |reactor| {
                    protocol.connection_lost(&mut Transport::new(reactor, id), reason);
                },
            );
        }
        // As `let_go`, but in line: each connection comes here.
        self.call(move || Subject::Connection(id), Callback::Drop, |_| drop(protocol));
    }

    /// Closes the socket and frees the slot; `false` if it is not there. A duplicate of an `adopted` socket may stay open
    /// elsewhere.
    fn free(&mut self, key: Key, adopted: bool) -> bool {
        let Self { sources, poller, memory, .. } = self;
        let Some(session) = sources.session(key) else { return false };
        let untold = session.take_successor();
        if let Some(used) = session.attached.take() {
            memory.give_back_attached(used);
        }
        session.connection.prepare_to_close(adopted, &mut memory.common);
        if adopted {
            session.connection.stream.deregister(poller.registry());
        }
        sources.discard(key);
        if let Some(untold) = untold {
            self.let_go(Subject::Connection(ConnectionId(key)), untold);
        }
        true
    }

    /// Calls a protocol. If it panics, its connection is ended; `connection_lost` is still to come.
    pub(crate) fn call_protocol(
        &mut self,
        key: Key,
        callback: Callback,
        code: impl FnOnce(&mut dyn Protocol, &mut Transport<'_>),
    ) {
        let id = ConnectionId(key);
        let done = self.seat(key, callback, Source::protocol, |protocol, reactor| {
            code(protocol.as_mut(), &mut Transport::new(reactor, id));
        });
        if done.is_none() {
            self.end_by_panic(id, callback);
        }
    }
}

fn callback_of(tell: Tell) -> Callback {
    match tell {
        Tell::Made | Tell::Handover => Callback::ConnectionMade,
        Tell::Data => Callback::DataReceived,
        Tell::Eof => Callback::EofReceived,
        Tell::Pause => Callback::PauseWriting,
        Tell::Resume => Callback::ResumeWriting,
        Tell::TimedOut => Callback::TimedOut,
        Tell::ShuttingDown => Callback::ShuttingDown,
    }
}
