//! Writing, closing, and telling of the end: in phase 6, and for a connection that was served right
//! after that.

use std::collections::VecDeque;
use std::{io, mem};

use super::timing::Alarm;
use super::{Direction, Reactor, Source};
use crate::arena::Key;
use crate::clock::later;
use crate::connection::{Closing, Connection, ConnectionId, FIRST_FLIGHT, Owner, Received, Stage};
use crate::observe::{Callback, Subject};
use crate::reason::Reason;

/// Who is to be flushed.
#[derive(Debug, Default)]
pub(super) struct FlushQueue {
    /// Each at most once.
    waiting: VecDeque<Key>,
    /// The connection being served, if nobody had written to it before: it is flushed right after,
    /// and need not wait.
    at_hand: Option<Key>,
}

impl FlushQueue {
    /// Puts a connection at the back, unless it is in there.
    pub(super) fn add(&mut self, key: Key, connection: &mut Connection) {
        if !mem::replace(&mut connection.touched, true) && self.at_hand != Some(key) {
            self.waiting.push_back(key);
        }
    }

    pub(super) fn next(&mut self) -> Option<Key> {
        self.waiting.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Key) -> bool) {
        self.waiting.retain(keep);
    }
}

impl Reactor {
    /// Has a connection flushed, at the latest in the next flush phase.
    pub(crate) fn touch(&mut self, key: Key) {
        let Self { sources, flush_queue, .. } = self;
        if let Some(Source::Connection(connection)) = sources.get_mut(key) {
            flush_queue.add(key, connection);
        }
    }

    /// Serves a connection, and flushes it right after if it was written to meanwhile; not if it
    /// waits to be flushed already. Then others write to it too, as in a chat, and all of it leaves
    /// together.
    pub(super) fn at_hand(&mut self, key: Key, waits: bool, serve: impl FnOnce(&mut Self)) {
        if waits {
            return serve(self);
        }
        self.flush_queue.at_hand = Some(key);
        serve(self);
        self.flush_queue.at_hand = None;
        self.flush_connection(key);
    }

    /// Writes what is owed, and carries out what was asked.
    pub(super) fn flush_connection(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        if !mem::take(&mut connection.touched) {
            return;
        }
        let throttled = connection.is_throttled();
        if connection.is_under_pressure() {
            self.tell_pressure(key);
        }
        self.report.flushed += 1;
        let sent = match throttled {
            false => self.send_up_to(key, self.limits.write_budget),
            true => self.send_throttled(key),
        };
        let Some(connection) = self.connection_mut(key) else { return };
        let flushed = connection.outgoing.is_empty();
        let (unknown, paused) = (!connection.registered, connection.writing_paused);
        match connection.stage {
            Stage::Gone => return self.conclude(key),
            Stage::Closing if flushed => return self.end_of_output(key, sent),
            Stage::Closing => self.limit_closing(key),
            Stage::Open if flushed && connection.write_closing => self.shut_write(key),
            Stage::Open | Stage::Lingering => {}
        }
        if unknown {
            self.register(key);
        }
        if paused {
            self.tell_relief(key);
        }
    }

    /// Writes once, within the rates; returns how many bytes left.
    fn send_throttled(&mut self, key: Key) -> usize {
        if !self.connection_mut(key).is_some_and(|found| found.can_write()) {
            return 0;
        }
        match self.allowance(key, Direction::Writing, self.limits.write_budget) {
            0 => 0,
            allowed => {
                let sent = self.send_up_to(key, allowed);
                self.pay(key, Direction::Writing, sent as u64);
                sent
            }
        }
    }

    /// Writes once; returns how many bytes left.
    fn send_up_to(&mut self, key: Key, budget: usize) -> usize {
        let Self { sources, spares, flush_queue, now, .. } = self;
        let Some(Source::Connection(connection)) = sources.get_mut(key) else { return 0 };
        match connection.send(budget, spares) {
            Ok(0) => 0,
            Ok(count) => {
                connection.active(*now);
                if connection.can_write() {
                    flush_queue.add(key, connection);
                }
                self.sent(key, count)
            }
            Err(error) => self.writing_failed(key, error),
        }
    }

    fn sent(&mut self, key: Key, count: usize) -> usize {
        self.stats.bytes_written += count as u64;
        self.observe(|observer, _| observer.sent(ConnectionId(key), count));
        count
    }

    /// Nothing more can be written. The connection ends, or first delivers what came before.
    fn writing_failed(&mut self, key: Key, error: io::Error) -> usize {
        let Self { sources, spares, .. } = self;
        let Some(Source::Connection(connection)) = sources.get_mut(key) else { return 0 };
        if connection.break_off(error, spares) {
            self.cancel_alarms(key);
            self.touch(key);
        } else {
            self.queue(key);
        }
        0
    }

    /// All that was written is with the kernel and the connection is to be closed.
    fn end_of_output(&mut self, key: Key, sent: usize) {
        let Some(connection) = self.connection_mut(key) else { return };
        let answered_at_once = !connection.registered
            && sent <= FIRST_FLIGHT
            && connection.stream.forgives_late_bytes();
        if connection.eof {
            return self.conclude(key); // closing sends FIN
        }
        if answered_at_once {
            self.shut_write(key); // so that the answer is on its way before we look
            if !self.peer_has_sent(key) {
                return self.conclude(key);
            }
        }
        self.linger(key);
    }

    /// One look whether the peer has sent something we did not read, so that closing would reset.
    fn peer_has_sent(&mut self, key: Key) -> bool {
        let mut look = [0];
        let Some(connection) = self.connection_mut(key) else { return false };
        match connection.receive(&mut look) {
            Received::Bytes(_) => true,
            Received::Nothing | Received::End => false,
            Received::Failed(error) => {
                connection.fail(error);
                false
            }
        }
    }

    /// Sends FIN and waits for the peer's, throwing away what still comes.
    fn linger(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        connection.stage = Stage::Lingering;
        self.shut_write(key);
        self.limit_closing(key);
        self.linger_on(key);
        self.register(key);
        if self.connection_mut(key).is_some_and(|found| found.can_read()) {
            self.queue(key);
        }
    }

    /// Gives a peer that is heard of the time to be heard of again, within the close timeout.
    pub(super) fn linger_on(&mut self, key: Key) {
        let end = later(self.now(), self.limits.linger);
        let Some(connection) = self.connection_mut(key) else { return };
        if let Some(closing) = connection.alarms().and_then(|alarms| alarms.closing) {
            self.timers.reset(closing.timer, end.min(closing.at_the_latest));
        }
    }

    fn shut_write(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        if connection.write_closed {
            return;
        }
        connection.write_closed = true;
        // It fails if the peer has reset the connection; reading will find that, with the errno.
        if connection.stream.shut_write().is_err() {
            connection.readable = true;
        }
        if connection.can_read() {
            self.queue(key);
        }
        self.over(key, |connection| {
            connection.end_was_told() && connection.stage == Stage::Open && connection.finish()
        });
    }

    /// Sets the end of closing, once. Who is closed at once never gets a timer.
    fn limit_closing(&mut self, key: Key) {
        let now = self.now();
        let Some(connection) = self.connection_mut(key) else { return };
        if connection.alarms().is_some_and(|alarms| alarms.closing.is_some()) {
            return;
        }
        let at_the_latest = later(now, connection.close_timeout);
        let timer = self.timers.insert(at_the_latest, Alarm::Close(key));
        if let Some(rare) = self.rare(key) {
            rare.alarms.closing = Some(Closing { timer, at_the_latest });
        }
    }

    /// The time for closing is over.
    pub(super) fn closing_is_over(&mut self, key: Key) {
        self.over(key, |connection| match connection.outgoing.len() {
            0 => connection.finish(),
            unsent => connection.end(Reason::CloseTimedOut { unsent }),
        });
    }

    /// Tells the poller, once, for both directions and for good. The kernel reports at once what is
    /// there already.
    fn register(&mut self, key: Key) {
        let Self { sources, poller, .. } = self;
        let Some(Source::Connection(connection)) = sources.get_mut(key) else { return };
        if connection.registered || connection.stage == Stage::Gone {
            return;
        }
        match connection.stream.register(poller.registry(), key.token()) {
            Ok(()) => connection.registered = true,
            Err(error) => self.fail(key, error),
        }
    }

    /// Above the high mark: `pause_writing`.
    fn tell_pressure(&mut self, key: Key) {
        if self.connection_mut(key).is_some_and(|found| found.hears()) {
            self.set_writing_paused(key, true);
            self.call_protocol(key, Callback::PauseWriting, |protocol, transport| {
                protocol.pause_writing(transport);
            });
        }
    }

    /// Down to the low mark after that: `resume_writing`.
    fn tell_relief(&mut self, key: Key) {
        let below = |connection: &mut Connection| {
            connection.hears()
                && connection.writing_paused
                && connection.outgoing.len() <= connection.marks.low
        };
        if self.connection_mut(key).is_some_and(below) {
            self.set_writing_paused(key, false);
            self.call_protocol(key, Callback::ResumeWriting, |protocol, transport| {
                protocol.resume_writing(transport);
            });
        }
    }

    pub(super) fn set_writing_paused(&mut self, key: Key, paused: bool) {
        let Some(connection) = self.connection_mut(key) else { return };
        connection.writing_paused = paused;
        let buffered = connection.outgoing.len();
        self.observe(|observer, _| observer.pressure(ConnectionId(key), paused, buffered));
    }

    /// Gives the last notice, and frees everything. The protocol hears first, then the descriptor
    /// is closed, then the owner hears and may already reconnect.
    pub(super) fn conclude(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        connection.finish();
        let made = connection.made;
        let reason = connection.ending.clone().unwrap_or(Reason::Closed);
        let (timed, waits) = (connection.rare.is_some(), connection.waits());
        if timed {
            self.cancel_alarms(key);
        }
        if waits {
            self.stop_waiting(key);
        }
        if made {
            self.call_protocol(key, Callback::ConnectionLost, |protocol, transport| {
                protocol.connection_lost(transport, &reason);
            });
        }
        let Some(Source::Connection(mut connection)) = self.sources.remove(key) else { return };
        let id = ConnectionId(key);
        let protocol = connection.protocol.take();
        self.let_go(Subject::Connection(id), protocol);
        if let Some(mut rare) = connection.rare.take() {
            if let Some(untold) = rare.handover.successor.take() {
                self.let_go(Subject::Connection(id), untold);
            }
            self.spare_boxes.give_back(rare);
        }
        connection.prepare_to_close(self.poller.registry());
        connection.outgoing.clear(&mut self.spares);
        let Connection { stream, owner, peer, .. } = connection;
        drop(stream);
        self.stats.closed += 1;
        if made {
            self.observe(|observer, _| observer.closed(id, &peer, &reason));
        }
        self.descriptor_freed();
        match owner {
            Owner::Nobody => {}
            Owner::Listener(listener) => self.accepted_connection_gone(listener, &peer),
            Owner::Connector(connector) => self.connection_of_connector_lost(connector, &reason),
        }
    }
}
