//! The flush phase: what others have written to connections leaves.

use std::hint::black_box;

use super::Reactor;
use super::monitor::Watched;
use super::queues::Queue;
use super::source::{Slot, Source};
use crate::connection::{Next, ReadBuffer};
use crate::ids::ConnectionId;
use crate::observe::Phase;
use crate::parts::arena::Key;
use crate::reason::Reason;
use crate::system::stream::Registered;

/// So many connections are looked at ahead: enough for their memory to be fetched at once, and few enough for it to
/// be in the cache still when the last of them is flushed.
const AHEAD: usize = 16;

impl Reactor {
    /// Phase 6. Flushes the connections that were in the queue when the phase began, each once.
    pub(super) fn flush(&mut self) {
        self.begin_phase(Phase::Flush);
        self.end_what_was_lost();
        if self.queues.is_empty(Queue::Flush) {
            return;
        }
        let queue = self.queues.take(Queue::Flush);
        let mut buffer = self.memory.lend_buffer(self.limits.read_buffer);
        for group in queue.chunks(AHEAD) {
            self.fetch(group);
            for &key in group {
                self.monitor.report.flushed += 1;
                if !self.flush_plainly(key, &buffer) {
                    self.visit(key, Queue::Flush, &mut buffer);
                }
                self.monitor.worked();
            }
        }
        self.memory.give_back_buffer(buffer);
        self.queues.give_back(queue);
    }

    /// Ends what has lost its protocol or its function, for a callback had replaced this reactor by another until now.
    fn end_what_was_lost(&mut self) {
        if let Some(key) = self.queues.visited.take() {
            self.abort(ConnectionId(key), Reason::Aborted);
        }
        if let Some(lost) = self.time.ticking.take() {
            self.timers.cancel(lost.timer);
        }
    }

    /// Reads something of these connections, and so has their memory in the processor's cache soon. After a broadcast it
    /// has left the cache, and the processor would wait for it three times for each connection.
    fn fetch(&self, keys: &[Key]) {
        let look = |&key| match self.sources.get(key) {
            Some(Source::Connection(session)) => session.connection.first_unsent(),
            _ => 0,
        };
        black_box(keys.iter().map(look).fold(0, u8::wrapping_add)); // else the compiler would leave the looks out
    }

    /// A visit in short, of a connection that has [only to send](crate::connection::Connection::send_plainly): of
    /// most that a broadcast goes to. `false`: it is still to be visited.
    #[inline]
    fn flush_plainly(&mut self, key: Key, buffer: &ReadBuffer) -> bool {
        let Self { sources, memory, monitor, hot, .. } = self;
        let Some(Slot { source: Source::Connection(session), waits, .. }) = sources.slot(key)
        else {
            return false;
        };
        if session.connection.stream.registered() != Registered::Fully {
            return false;
        }
        let (common, turn) = (&mut memory.common, monitor.stats.turns);
        let watched = Watched::begin(&session.connection, common, monitor);
        let budget = waits.budget_left(hot.write_budget, turn);
        let next = session.connection.send_plainly(budget, &mut 0, common, buffer);
        Watched::end(watched, ConnectionId(key), &session.connection, common, monitor);
        match next {
            Some(Next::Rest) => waits.leave(Queue::Flush), // its deadline has only moved away from its timer
            Some(_) => waits.note_sent(hot.write_budget, hot.write_budget, turn), // this was the turn's write
            None => {}
        }
        next == Some(Next::Rest)
    }
}
