//! **A visit**: asks a connection what to do until it rests, and calls its protocol.
//!
//! Serving and flushing are the same visit with different allowances. The decisions are in
//! [`connection`](crate::connection). This module counts bytes, updates the poller and the timers, and
//! carries out the end.

use std::mem;
use std::time::Instant;

use super::Reactor;
use super::limits::Limits;
use super::monitor::Monitor;
use super::queues::Queue;
use super::source::{Owner, Registered, Session, Slot, Source};
use crate::address::{Address, UnixAddress};
use crate::callback::Callback;
use crate::connection::{Connection, Io, Next, Reached, ReadBuffer, Tell};
use crate::ids::ConnectionId;
use crate::observe::{Notice, Origin, Stage, Subject};
use crate::parts::arena::Key;
use crate::protocol::Protocol;
use crate::reason::Reason;
use crate::transport::Transport;

/// The part of a visit that is counted already, and told to the observer.
#[derive(Default)]
struct Seen {
    /// How many of the bytes it has sent are counted.
    sent: usize,
    /// How far the connection had come before the step; for an observer only.
    reached: Option<Reached>,
    /// Whether it was put back into the run queue.
    queued: bool,
}

impl Seen {
    #[inline(always)]
    fn begin_step(&mut self, connection: &Connection, monitor: &Monitor) {
        if monitor.is_watched() {
            self.reached = Some(connection.reached());
        }
    }

    /// Counts the bytes that have moved since the last step, and tells the observer what has changed.
    #[inline]
    fn count(
        &mut self,
        id: ConnectionId,
        connection: &Connection,
        io: &mut Io,
        monitor: &mut Monitor,
    ) {
        let received = mem::take(&mut io.received);
        let sent = io.sent - mem::replace(&mut self.sent, io.sent);
        monitor.stats.bytes_read += received as u64;
        monitor.stats.bytes_written += sent as u64;
        if monitor.is_watched() {
            self.tell_step(id, connection, (received, sent), monitor);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_step(
        &mut self,
        connection: ConnectionId,
        state: &Connection,
        (received, sent): (usize, usize),
        monitor: &mut Monitor,
    ) {
        let Some(before) = self.reached.take() else { return };
        if received > 0 {
            monitor.note(|| Notice::Received { connection, bytes: received });
        }
        if sent > 0 {
            let waiting = state.buffered();
            monitor.note(|| Notice::Sent { connection, bytes: sent, waiting });
        }
        monitor.reached(connection, before, state.reached());
        if self.queued {
            monitor.queued(|| Subject::Connection(connection), Queue::Run, true);
        }
    }
}

impl Queue {
    /// The allowances of a visit from this queue.
    fn io(self, now: Instant, limits: &Limits) -> Io {
        Io {
            now,
            latest: now,
            read: if self == Self::Run { limits.read_budget } else { 0 },
            put_off: 0,
            write: Some(limits.write_budget),
            serves: self == Self::Run,
            fresh: false,
            timed_out: false,
            asked: false,
            more_events: false,
            received: 0,
            sent: 0,
        }
    }

    /// Begins a visit: the source leaves the queue. Bytes that it has sent in this turn already, when
    /// it was served, count against its allowance.
    #[inline(always)]
    fn begin(self, slot: &mut Slot, turn: u64, io: &mut Io) {
        let Slot { source, waits, registered, .. } = slot;
        waits.leave(self);
        let Source::Connection(session) = source else { return };
        session.connection.check_loan();
        io.fresh = *registered == Registered::No && session.connection.traffic().is_unread();
        let Some(budget) = io.write else { return };
        // Half of what waits in memory, if that is more: a connection that many others write to keeps up with them.
        let more = (session.connection.in_memory() / 2).saturating_sub(budget);
        io.write = match self {
            _ if waits.is_to_flush() => None, // others wrote too: all leaves together, in the flush phase
            Self::Run => Some(budget + more),
            Self::Flush => Some(waits.budget_left(budget, turn) + more),
        };
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
        known
    }

    /// Each round of the outer loop does everything between two callbacks with one lookup of the source:
    /// it puts the protocol back, asks the connection until it has a notice or rests, and does what
    /// follows.
    fn visit_connection(&mut self, key: Key, from: Queue, buffer: &mut ReadBuffer) -> bool {
        let (id, turn) = (ConnectionId(key), self.monitor.stats.turns);
        let (mut io, mut seen) = (from.io(self.time.now, &self.limits), Seen::default());
        // The protocol, out of its session while it is called.
        let mut seated: Option<Box<dyn Protocol>> = None;
        loop {
            let Self { sources, queues, timers, poller, memory, monitor, time, limits, .. } = self;
            let Some(slot) = sources.slot(key) else {
                self.let_go_of_lost(id, seated);
                return true;
            };
            if seated.is_none() {
                from.begin(slot, turn, &mut io);
            }
            let Source::Connection(session) = &mut slot.source else { return false };
            if let Some(protocol) = seated {
                session.protocol = Some(protocol);
            }
            session.tell_the_time(&mut io, time);
            seen.begin_step(&session.connection, monitor);
            let notice = loop {
                match session.connection.next(&mut io, &mut memory.common, buffer) {
                    Next::Tell(notice) => break Some(notice),
                    Next::Again => {}
                    Next::Prepared => break None,
                    Next::Gone => {
                        seen.count(id, &session.connection, &mut io, monitor);
                        self.conclude(key);
                        return true;
                    }
                    next @ (Next::Rest | Next::Yield) => {
                        if !session.register(key, poller, &mut slot.registered) {
                            continue; // it has failed
                        }
                        session.arm(key, timers, monitor);
                        slot.waits.note_sent(io.sent, limits.write_budget, turn);
                        seen.queued =
                            next == Next::Yield && queues.add(Queue::Run, key, &mut slot.waits);
                        seen.count(id, &session.connection, &mut io, monitor);
                        return true;
                    }
                }
            };
            seated = session.protocol.take();
            seen.count(id, &session.connection, &mut io, monitor);
            match notice {
                Some(notice) => self.tell(key, notice, &mut seated, buffer),
                None => seated = self.prepared(key),
            }
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

    /// Drops the protocol of a source that is not there: it is gone since it was queued, or a callback
    /// has replaced this reactor by another.
    #[cold]
    fn let_go_of_lost(&mut self, id: ConnectionId, protocol: Option<Box<dyn Protocol>>) {
        self.let_go(Subject::Connection(id), protocol);
    }

    pub(crate) fn tell_opened(&mut self, id: ConnectionId, origin: Origin) {
        let Self { sources, monitor, .. } = self;
        if let Some(session) = sources.session(id.0) {
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
        seated: &mut Option<Box<dyn Protocol>>,
        buffer: &ReadBuffer,
    ) {
        let Some(protocol) = seated else { return };
        let id = ConnectionId(key);
        match tell {
            Tell::Pause => self.tell_pressure(id, true),
            Tell::Resume => self.tell_pressure(id, false),
            Tell::Handover => self.swap(key, protocol),
            Tell::Made | Tell::Data(_) | Tell::Eof | Tell::TimedOut | Tell::ShuttingDown => {}
        }
        let callback = callback_of(tell);
        let done = self.call(Subject::Connection(id), callback, |reactor| {
            let transport = &mut Transport::new(reactor, id);
            match tell {
                Tell::Made | Tell::Handover => protocol.connection_made(transport),
                Tell::Data(count) => protocol.data_received(transport, buffer.told(count)),
                Tell::Eof => protocol.eof_received(transport),
                Tell::Pause => protocol.pause_writing(transport),
                Tell::Resume => protocol.resume_writing(transport),
                Tell::TimedOut => protocol.timed_out(transport),
                Tell::ShuttingDown => protocol.shutting_down(transport),
            }
        });
        if done.is_none() {
            self.end_by_panic(id, callback);
        } else if tell == Tell::Resume {
            self.close_if_written(id);
        }
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
        if let Some(payload) = self.memory.common.panic.take() {
            let subject = Subject::Connection(ConnectionId(key));
            self.note_panic(subject, Callback::TlsConfig, payload);
        }
        let Self { sources, timers, monitor, .. } = self;
        let Some(session) = sources.session(key) else { return };
        session.cancel_timers(timers, monitor);
        let reason = session.connection.reason();
        let announced = session.connection.was_announced();
        let mut protocol = session.protocol.take();
        let unbuilt = protocol.is_none() && !announced;
        let identified = session.is_identified();
        let id = ConnectionId(key);
        let subject = Subject::Connection(id);
        if let Some(protocol) = protocol.as_mut().filter(|_| announced) {
            self.call(subject, Callback::ConnectionLost, |reactor| {
                protocol.connection_lost(&mut Transport::new(reactor, id), &reason);
            });
        }
        self.let_go(subject, protocol);
        let Some((owner, peer)) = self.free(key) else { return };
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
                    log::info!("a connection of {peer} has come to no protocol: {reason}");
                    self.listener_prepared(listener);
                }
                self.accepted_connection_gone(listener, &peer, identified);
            }
            Owner::Connector(connector) => {
                if let Some(kind) = self.kind(connector) {
                    kind.connection_gone(self, connector, announced, &reason);
                }
            }
        }
        self.let_go_of_rest(subject, reason);
    }

    /// Closes the socket and frees the slot; returns the owner and the peer.
    fn free(&mut self, key: Key) -> Option<(Owner, Address)> {
        let Self { sources, poller, memory, .. } = self;
        let slot = sources.slot(key)?;
        let owner = slot.owner;
        let Source::Connection(session) = &mut slot.source else { return None };
        let peer = mem::replace(&mut session.peer, Address::Unix(UnixAddress::unnamed()));
        let untold = session.take_successor();
        if let Some(used) = session.attached.take() {
            memory.give_back_attached(used);
        }
        let adopted = owner == Owner::None;
        session.connection.prepare_to_close(adopted, &mut memory.common);
        if adopted {
            session.connection.stream.deregister(poller.registry());
        }
        sources.remove(key);
        if let Some(untold) = untold {
            self.let_go(Subject::Connection(ConnectionId(key)), untold);
        }
        Some((owner, peer))
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
        Tell::Data(_) => Callback::DataReceived,
        Tell::Eof => Callback::EofReceived,
        Tell::Pause => Callback::PauseWriting,
        Tell::Resume => Callback::ResumeWriting,
        Tell::TimedOut => Callback::TimedOut,
        Tell::ShuttingDown => Callback::ShuttingDown,
    }
}
