//! Phase 6: writing, closing, and telling of the end.

use super::timing::Alarm;
use super::{Direction, Reactor, Source};
use crate::arena::Key;
use crate::clock::later;
use crate::connection::{Closing, Connection, ConnectionId, FIRST_FLIGHT, Owner, Received, Stage};
use crate::observe::{Callback, Subject};
use crate::reason::Reason;

impl Reactor {
    /// Writes what is owed, and carries out what was asked.
    pub(super) fn flush_connection(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        connection.touched = false;
        self.tell_pressure(key);
        let sent = self.send_once(key);
        let Some(connection) = self.connection_mut(key) else { return };
        let flushed = connection.outgoing.is_empty();
        match connection.stage {
            Stage::Gone => return self.conclude(key),
            Stage::Closing if flushed => return self.end_of_output(key, sent),
            Stage::Closing => self.limit_closing(key),
            Stage::Open if flushed && connection.write_closing => self.shut_write(key),
            Stage::Open | Stage::Lingering => {}
        }
        self.register(key);
        self.tell_relief(key);
    }

    /// Writes once, within the rate if there is one; returns how many bytes left.
    fn send_once(&mut self, key: Key) -> usize {
        let budget = self.limits.write_budget;
        let Some(connection) = self.connection_mut(key) else { return 0 };
        let writes = connection.can_write();
        let throttled = connection.is_throttled() || self.totals.are_set();
        match writes {
            false => 0,
            true if !throttled => self.send_up_to(key, budget),
            true => match self.allowance(key, Direction::Writing, budget) {
                0 => 0,
                allowed => {
                    let sent = self.send_up_to(key, allowed);
                    self.pay(key, Direction::Writing, sent as u64);
                    sent
                }
            },
        }
    }

    fn send_up_to(&mut self, key: Key, budget: usize) -> usize {
        let Self { sources, spares, now, .. } = self;
        let Some(Source::Connection(connection)) = sources.get_mut(key) else { return 0 };
        match connection.send(budget, spares) {
            Ok(0) => 0,
            Ok(count) => {
                connection.active(*now);
                let more = connection.writable && !connection.outgoing.is_empty();
                self.stats.bytes_written += count as u64;
                self.observe(|observer, _| observer.sent(ConnectionId(key), count));
                if more {
                    self.touch(key);
                }
                count
            }
            Err(error) => {
                if connection.break_off(error, spares) {
                    self.cancel_alarms(key);
                    self.touch(key);
                } else {
                    self.queue(key);
                }
                0
            }
        }
    }

    /// All that was written is with the kernel and the connection is to be closed.
    fn end_of_output(&mut self, key: Key, sent: usize) {
        let Some(connection) = self.connection_mut(key) else { return };
        let answered_at_once = !connection.registered
            && sent <= FIRST_FLIGHT
            && connection.stream.forgives_late_bytes();
        if connection.eof || (answered_at_once && !self.peer_has_sent(key)) {
            return self.conclude(key);
        }
        self.linger(key);
    }

    /// One look whether the peer has sent something we did not read, so that closing would reset.
    fn peer_has_sent(&mut self, key: Key) -> bool {
        let mut look = [0; 512];
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
        if let Some(connection) = self.connection_mut(key) {
            connection.alarms_or_default().closing = Some(Closing { timer, at_the_latest });
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
        let above = |connection: &mut Connection| {
            connection.hears()
                && !connection.writing_paused
                && connection.outgoing.len() > connection.marks.high
        };
        if self.connection_mut(key).is_some_and(above) {
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
        self.cancel_alarms(key);
        self.stop_waiting(key);
        if made {
            self.call_protocol(key, Callback::ConnectionLost, |protocol, transport| {
                protocol.connection_lost(transport, &reason);
            });
        }
        let Some(Source::Connection(mut connection)) = self.sources.remove(key) else { return };
        let id = ConnectionId(key);
        let protocol = connection.protocol.take();
        self.let_go(Subject::Connection(id), protocol);
        if let Some(untold) = connection.rare.take().and_then(|rare| rare.handover.successor) {
            self.let_go(Subject::Connection(id), untold);
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
