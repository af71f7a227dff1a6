//! A connection goes from one protocol to another.
//!
//! A command notes who takes over, with the bytes the former protocol did not use. The serve phase
//! does the rest, piece by piece within the budget: it puts the new protocol in, and gives it those
//! bytes, and the end of input if that came already, before anything newer is read.

use std::mem;

use super::{Reactor, Source};
use crate::arena::Key;
use crate::connection::{ConnectionId, Rare};
use crate::observe::{Callback, Subject};
use crate::protocol::Protocol;

impl Reactor {
    pub(crate) fn set_protocol(
        &mut self,
        id: ConnectionId,
        protocol: Box<dyn Protocol>,
        unused: &[u8],
    ) -> bool {
        let hears = self.connection_mut(id.0).is_some_and(|found| found.hears());
        let Some(Rare { handover, alarms, .. }) = hears.then(|| self.rare(id.0)).flatten() else {
            self.let_go(Subject::Connection(id), protocol);
            return false;
        };
        handover.successor = Some(protocol);
        // What the protocol was not given yet came after what it passes on.
        let later = mem::replace(&mut handover.unused, unused.iter().copied().collect());
        handover.unused.extend(later);
        let timers = mem::take(&mut alarms.timers);
        for timer in timers {
            self.timers.cancel(timer);
        }
        self.queue(id.0);
        true
    }

    /// Takes one step of a hand-over; returns how much of the budget that took.
    pub(super) fn hand_over(&mut self, key: Key, budget: usize) -> usize {
        let Self { sources, run_queue, .. } = self;
        let Some(Source::Connection(connection)) = sources.get_mut(key) else { return 0 };
        if connection.is_swapping() {
            // It was queued to be served, as it is now, and whoever serves it queues it for more.
            if run_queue.back() == Some(&key) {
                run_queue.pop_back();
                connection.queued = false;
            }
            self.swap_protocols(key);
            return self.limits.read_buffer;
        }
        let Some(rare) = &mut connection.rare else { return 0 };
        let unused = &mut rare.handover.unused;
        let piece: Vec<u8> = unused.drain(..unused.len().min(budget)).collect();
        if piece.is_empty() {
            rare.handover.eof = false;
            self.end_of_input(key);
            return 0;
        }
        self.call_protocol(key, Callback::DataReceived, |protocol, transport| {
            protocol.data_received(transport, &piece);
        });
        piece.len()
    }

    /// The moment: lets the former protocol go, and tells the new one.
    fn swap_protocols(&mut self, key: Key) {
        let Some(connection) = self.connection_mut(key) else { return };
        connection.held_back = false; // by the former protocol
        let Some(rare) = &mut connection.rare else { return };
        let Some(successor) = rare.handover.successor.take() else { return };
        rare.handover.eof = connection.eof;
        let former = connection.protocol.replace(successor);
        connection.reading_withheld = false;
        if connection.writing_paused {
            self.set_writing_paused(key, false);
        }
        self.let_go(Subject::Connection(ConnectionId(key)), former);
        self.touch(key); // the new one is told if too much is waiting
        self.call_protocol(key, Callback::ConnectionMade, |protocol, transport| {
            protocol.connection_made(transport);
        });
    }
}
