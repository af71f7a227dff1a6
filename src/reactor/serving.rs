//! Connections: what may be asked of them, and reading from them in phase 5.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use super::timing::Alarm;
use super::{Direction, Reactor, Source};
use crate::address::Address;
use crate::arena::Key;
use crate::clock::later;
use crate::connection::{Connection, ConnectionId, Idle, Owner, Rare, Received, Stage};
use crate::framing::FrameError;
use crate::observe::Callback;
use crate::protocol::Protocol;
use crate::reason::Reason;
use crate::stream::{Stream, no_sockets};
use crate::transport::Transport;

/// What callbacks, and others, may ask of a connection. Each only notes what is wanted.
impl Reactor {
    /// Lends a connection, anybody's; `None` if it is gone, or not yet told `connection_made`.
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
        let connection = self.connection(id).filter(|found| found.is_up())?;
        let peer = connection.peer.clone();
        Some(Transport::new(self, id, peer))
    }

    /// The connections that are there, those that are closing included, in no particular order.
    pub fn connections(&self) -> Vec<ConnectionId> {
        let connections = self.sources.iter().filter_map(|(key, source)| match source {
            Source::Connection(connection) if connection.is_up() => Some(ConnectionId(key)),
            _ => None,
        });
        connections.collect()
    }

    /// Takes over a connected socket: `connection_made` comes in the next turn.
    ///
    /// Should a duplicate of the descriptor live on elsewhere, the connection is closed in order all
    /// the same, but aborting it cannot reset it.
    ///
    /// # Errors
    ///
    /// If the socket is not connected, or cannot be made non-blocking; `Unsupported` in a simulation.
    pub fn adopt_stream(
        &mut self,
        stream: TcpStream,
        protocol: impl Protocol + 'static,
    ) -> io::Result<ConnectionId> {
        if self.network().is_some() {
            return Err(no_sockets());
        }
        stream.set_nonblocking(true)?;
        let peer = Address::Tcp(stream.peer_addr()?);
        let stream = Stream::Tcp(mio::net::TcpStream::from_std(stream));
        Ok(self.add_connection(stream, peer, Box::new(protocol)))
    }

    /// A connection whose `connection_made` the loop will call.
    pub(crate) fn add_connection(
        &mut self,
        stream: Stream,
        peer: Address,
        protocol: Box<dyn Protocol>,
    ) -> ConnectionId {
        let connection = self.new_connection(stream, peer, protocol, Owner::Nobody);
        let key = self.sources.insert(Source::Connection(connection));
        self.queue(key);
        ConnectionId(key)
    }

    pub(super) fn new_connection(
        &self,
        stream: Stream,
        peer: Address,
        protocol: Box<dyn Protocol>,
        owner: Owner,
    ) -> Connection {
        let Self { limits, .. } = self;
        Connection::new(stream, peer, protocol, owner, limits.marks, limits.close_timeout)
    }

    pub(crate) fn write(&mut self, id: ConnectionId, data: &[u8]) -> bool {
        let Self { sources, spares, limits, flush_queue, .. } = self;
        let Some(Source::Connection(connection)) = sources.get_mut(id.0) else { return false };
        if !connection.takes_writes() {
            return false;
        }
        let waiting = connection.outgoing.len();
        if waiting > limits.write_buffer_cap {
            self.end(id.0, Reason::Overflow { unsent: waiting });
            return false;
        }
        if !data.is_empty() {
            connection.outgoing.push(data, spares);
            flush_queue.add(id.0, connection);
        }
        true
    }

    pub(crate) fn lose_connection(&mut self, id: ConnectionId) {
        if self.over(id.0, Connection::begin_close) {
            // From here on what comes is thrown away, paused or not: a peer that reads only after it
            // has sent everything would wait for us for ever.
            if self.connection_mut(id.0).is_some_and(|connection| connection.can_read()) {
                self.queue(id.0);
            }
        }
    }

    pub(crate) fn lose_connection_over(&mut self, id: ConnectionId, error: FrameError) {
        if !self.connection_mut(id.0).is_some_and(|found| found.takes_reads()) {
            return;
        }
        self.lose_connection(id);
        if let Some(connection) = self.connection_mut(id.0)
            && connection.stage == Stage::Closing
        {
            connection.ending = Some(Reason::BadFrame { error: Arc::new(error) });
        }
    }

    pub(crate) fn lose_write_connection(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id.0)
            && connection.takes_writes()
        {
            connection.write_closing = true;
            self.touch(id.0);
        }
    }

    pub(crate) fn abort_connection(&mut self, id: ConnectionId) {
        self.end(id.0, Reason::Aborted);
    }

    pub(crate) fn pause_reading(&mut self, id: ConnectionId) {
        self.over(id.0, |connection| {
            connection.reading_paused = true;
            // What was still being read is not wanted, and nothing can be written.
            connection.is_broken() && connection.finish()
        });
    }

    pub(crate) fn resume_reading(
        &mut self,
        id: ConnectionId,
        resume: impl FnOnce(&mut Connection),
    ) {
        let Some(connection) = self.connection_mut(id.0) else { return };
        resume(connection);
        if connection.can_resume() {
            return self.queue(id.0);
        }
        if connection.can_read() {
            // No event will repeat what was latched while nobody read.
            self.queue(id.0);
        }
    }

    pub(crate) fn hold_back(&mut self, id: ConnectionId) {
        self.resume_reading(id, |connection| connection.held_back = true);
    }

    pub(crate) fn set_timeout(
        &mut self,
        id: ConnectionId,
        limit: Option<Duration>,
    ) -> Option<Duration> {
        let now = self.now();
        let connection = self.connection_mut(id.0).filter(|found| found.takes_reads())?;
        let before = connection.alarms().and_then(|alarms| alarms.idle.take());
        if let Some(idle) = &before {
            self.timers.cancel(idle.timer);
        }
        if let Some(limit) = limit {
            let timer = self.timers.insert(later(now, limit), Alarm::Idle(id.0));
            if let Some(rare) = self.rare(id.0) {
                rare.alarms.idle = Some(Idle { limit, last_activity: now, timer });
            }
        }
        before.map(|idle| idle.limit)
    }

    /// Ends a connection for whatever reason; the flush phase will tell it.
    pub(super) fn end(&mut self, key: Key, reason: Reason) {
        self.over(key, |connection| connection.end(reason));
    }

    pub(super) fn fail(&mut self, key: Key, error: io::Error) {
        self.over(key, |connection| connection.fail(error));
    }

    /// Takes a step towards the end of a connection; if it was one, nothing is timed any more, and the
    /// flush phase sees to the rest.
    pub(super) fn over(&mut self, key: Key, step: impl FnOnce(&mut Connection) -> bool) -> bool {
        let ending = self.connection_mut(key).is_some_and(step);
        if ending {
            self.cancel_alarms(key);
            self.touch(key);
        }
        ending
    }

    /// What few connections have, made if it has none yet.
    pub(super) fn rare(&mut self, key: Key) -> Option<&mut Rare> {
        let Self { sources, spare_boxes, .. } = self;
        match sources.get_mut(key)? {
            Source::Connection(connection) => Some(connection.rare(spare_boxes)),
            _ => None,
        }
    }

    pub(super) fn cancel_alarms(&mut self, key: Key) {
        let Some(alarms) = self.connection_mut(key).and_then(Connection::alarms) else { return };
        let alarms = mem::take(alarms);
        let idle = alarms.idle.map(|idle| idle.timer);
        let closing = alarms.closing.map(|closing| closing.timer);
        for timer in alarms.timers.into_iter().chain(idle).chain(closing) {
            self.timers.cancel(timer);
        }
    }
}

/// The serve phase, for connections.
impl Reactor {
    /// Reads what has come, up to the budget.
    pub(super) fn serve_connection(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        let (made, held_back) = (connection.made, connection.held_back);
        let throttled = connection.is_throttled() || !made;
        if !made {
            self.make_connection(key);
        }
        if held_back {
            self.resume_protocol(key);
        }
        let mut scratch = mem::take(&mut self.scratch);
        if scratch.is_empty() {
            scratch = vec![0; self.limits.read_buffer].into_boxed_slice();
        }
        let read_before = self.stats.bytes_read;
        let mut budget = if throttled { self.read_allowance(key) } else { self.limits.read_budget };
        while let Some(spent) = self.serve_once(key, &mut scratch, budget) {
            budget = budget.saturating_sub(spent);
        }
        self.scratch = scratch;
        if throttled {
            self.pay(key, Direction::Reading, self.stats.bytes_read - read_before);
        }
    }

    /// Reads or hands over once; returns how much of the budget that took, or `None` if it is done.
    fn serve_once(&mut self, key: Key, scratch: &mut [u8], budget: usize) -> Option<usize> {
        let connection = self.connection_mut(key)?;
        let goes_on = connection.can_read();
        if budget > 0 && goes_on {
            if connection.is_between() {
                return Some(self.hand_over(key, budget));
            }
            let room = scratch.len().min(budget);
            return Some(self.read_once(key, &mut scratch[..room]));
        }
        if goes_on || connection.can_resume() {
            self.queue(key);
        } else if connection.hangup {
            self.look_for_error(key);
        }
        None
    }

    /// Calls `connection_made`, once, unless the connection was given up before.
    pub(super) fn make_connection(&mut self, key: Key) {
        self.touch(key); // to be registered, if nothing else
        let Some(connection) = self.connection_mut(key).filter(|found| found.takes_reads()) else {
            return;
        };
        connection.made = true;
        let peer = connection.peer.clone();
        self.observe(|observer, _| observer.opened(ConnectionId(key), &peer));
        self.call_protocol(key, Callback::ConnectionMade, |protocol, transport| {
            protocol.connection_made(transport);
        });
    }

    /// Asks for what the protocol held back, before anything newer is read.
    fn resume_protocol(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key).filter(|found| found.can_resume()) else {
            return;
        };
        connection.held_back = false;
        self.call_protocol(key, Callback::ReadingResumed, |protocol, transport| {
            protocol.reading_resumed(transport);
        });
    }

    /// A connection broke while nobody reads it: paused, or at its end already.
    fn look_for_error(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        // Without an error both directions are shut in order, and reading will find the end.
        if let Ok(Some(error)) | Err(error) = connection.stream.take_error() {
            self.fail(key, error);
        }
    }

    /// Reads once and delivers; returns how much of the budget that took.
    fn read_once(&mut self, key: Key, scratch: &mut [u8]) -> usize {
        let now = self.now;
        let Some(connection) = self.connection_mut(key) else { return 0 };
        let count = match connection.receive(scratch) {
            Received::Bytes(count) => count,
            Received::Nothing => {
                // Writing failed, and all that came before was delivered.
                self.over(key, |connection| connection.is_broken() && connection.finish());
                return 0;
            }
            Received::Failed(error) => {
                self.fail(key, error);
                return 0;
            }
            Received::End => {
                self.end_of_input(key);
                return 0;
            }
        };
        connection.active(now);
        let delivered = connection.takes_reads();
        let lingering = connection.stage == Stage::Lingering;
        self.stats.bytes_read += count as u64;
        self.observe(|observer, _| observer.received(ConnectionId(key), count));
        if lingering {
            self.linger_on(key);
        }
        if delivered {
            self.call_protocol(key, Callback::DataReceived, |protocol, transport| {
                protocol.data_received(transport, &scratch[..count]);
            });
        }
        count
    }

    pub(super) fn end_of_input(&mut self, key: Key) {
        if self.over(key, |connection| connection.is_broken() && connection.finish()) {
            return;
        }
        if self.connection_mut(key).is_some_and(|found| found.takes_reads()) {
            self.call_protocol(key, Callback::EofReceived, |protocol, transport| {
                protocol.eof_received(transport);
            });
        }
        self.over(key, |connection| {
            connection.end_was_told() && connection.write_closed && connection.finish()
        });
        self.touch(key);
    }
}
