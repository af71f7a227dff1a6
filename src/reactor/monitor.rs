//! The observer and the counters of the loop.
//!
//! Each seam of the loop is a call of a method of [`Monitor`]. With nobody watching it costs
//! a branch: the notice is made out of line, and only for an observer.

use std::any::Any;
use std::time::Instant;

use crate::callback::Callback;
use crate::connection::{Common, Connection, Reached};
use crate::ids::ConnectionId;
use crate::observe::watcher::{Running, Watcher};
use crate::observe::{
    Command, Notice, Queue, Stage, Stats, Subject, TimerEvent, TimerOwner, TurnReport,
};
use crate::parts::timers::TimerId;

#[derive(Default)]
pub(crate) struct Monitor {
    pub(crate) watcher: Option<Box<Watcher>>,
    pub(crate) stats: Stats,
    pub(crate) report: TurnReport,
    /// In a simulation, the first panic of this turn.
    pub(crate) panic: Option<Box<dyn Any + Send>>,
}

impl Monitor {
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        self.watcher.is_some()
    }

    /// Tells the observer, if there is one.
    #[inline(always)]
    pub(crate) fn note(&mut self, make: impl FnOnce() -> Notice) {
        self.tell(make, Watcher::take);
    }

    /// Tells it of what comes at once after the last notice, so at the same time.
    #[inline(always)]
    pub(crate) fn note_at_once(&mut self, make: impl FnOnce() -> Notice) {
        self.tell(make, Watcher::take_at_once);
    }

    /// Tells it of a mark of the turn.
    #[inline(always)]
    pub(crate) fn mark(&mut self, make: impl FnOnce() -> Notice) {
        self.tell(make, Watcher::take_mark);
    }

    #[inline(always)]
    fn tell<T>(&mut self, make: impl FnOnce() -> T, take: impl FnOnce(&mut Watcher, T)) {
        if let Some(watcher) = &mut self.watcher {
            // Moved into it, `make` is put together here, and not before the branch.
            out_of_line(watcher, move |watcher| take(watcher, make()));
        }
    }

    /// Tells the observer of the end of the sleep; the clock has just been read.
    pub(crate) fn woke(&mut self, at: Instant, events: usize) {
        let slept = self.report.slept;
        if let Some(watcher) = &mut self.watcher {
            watcher.take_woke(at, Notice::Woke { slept, events });
        }
    }

    /// Notes that a source was visited.
    #[inline(always)]
    pub(crate) fn worked(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            watcher.worked();
        }
    }

    /// Tells the observer of a command.
    #[inline(always)]
    pub(crate) fn command(&mut self, to: Subject, make: impl FnOnce() -> Command) {
        self.tell(make, move |watcher, command| watcher.take_command(to, command));
    }

    #[inline(always)]
    pub(crate) fn queued(&mut self, of: impl FnOnce() -> Subject, queue: Queue, spent: bool) {
        self.note_at_once(move || Notice::Queued { subject: of(), queue, spent });
    }

    /// Tells which stages a connection has reached.
    fn tell_stages(&mut self, connection: ConnectionId, before: Reached, now: Reached) {
        let stages = [
            (Stage::FinReceived, before.fin_received, now.fin_received),
            #[cfg(feature = "tls")]
            (Stage::Encrypted, before.encrypted, now.encrypted),
            (Stage::Closing, before.closing, now.closing),
            (Stage::FinSent, before.fin_sent, now.fin_sent),
            (Stage::Lingering, before.lingering, now.lingering),
        ];
        for (stage, _, _) in stages.into_iter().filter(|&(_, before, now)| now && !before) {
            self.note(|| Notice::Stage { connection, stage });
        }
    }

    #[inline(always)]
    pub(crate) fn timer(&mut self, timer: TimerId, owner: TimerOwner, event: TimerEvent) {
        self.note(move || Notice::Timer { timer, owner, event });
    }

    #[inline(always)]
    pub(crate) fn begin_callback(
        &mut self,
        subject: impl FnOnce() -> Subject,
        callback: Callback,
    ) -> Option<Running> {
        let watcher = self.watcher.as_mut()?;
        Some(out_of_line(watcher, move |watcher| watcher.begin_callback(subject(), callback)))
    }

    #[inline]
    pub(crate) fn end_callback(
        &mut self,
        subject: Subject,
        callback: Callback,
        running: &Running,
        ended: Instant,
    ) {
        if let Some(watcher) = &mut self.watcher {
            watcher.end_callback(subject, callback, running, ended);
        }
    }

    pub(crate) fn begin_turn(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            watcher.begin_turn();
        }
    }

    pub(crate) fn end_turn(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            watcher.end_turn();
        }
    }
}

/// A connection before a step, for an observer, who is told the difference.
pub(super) struct Watched {
    /// How far it had come.
    reached: Reached,
    /// How many bytes all connections had read and written.
    read: u64,
    written: u64,
}

impl Watched {
    /// `None` without an observer.
    #[inline(always)]
    pub(super) fn begin(
        connection: &Connection,
        common: &Common,
        monitor: &Monitor,
    ) -> Option<Self> {
        monitor.is_watched().then(|| Self::at(connection, common))
    }

    #[cold]
    #[inline(never)]
    fn at(connection: &Connection, common: &Common) -> Self {
        let (read, written) = (common.moved.read, common.moved.written);
        Self { reached: connection.reached(), read, written }
    }

    /// Tells what has changed.
    #[inline(always)]
    pub(super) fn end(
        watched: Option<Self>,
        id: ConnectionId,
        state: &Connection,
        common: &Common,
        monitor: &mut Monitor,
    ) {
        if let Some(before) = watched {
            before.tell_change(id, state, common, monitor);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_change(
        self,
        connection: ConnectionId,
        state: &Connection,
        common: &Common,
        monitor: &mut Monitor,
    ) {
        let Some(watcher) = &mut monitor.watcher else { return };
        let received = (common.moved.read - self.read) as usize;
        if received > 0 {
            watcher.take_received(Notice::Received { connection, bytes: received });
        }
        let sent = (common.moved.written - self.written) as usize;
        if sent > 0 {
            let waiting = state.buffered();
            watcher.take_sent(Notice::Sent { connection, bytes: sent, waiting });
        }
        let now = state.reached();
        if self.reached != now {
            monitor.tell_stages(connection, self.reached, now);
        }
    }
}

/// Without an observer none of it is in the way.
#[cold]
#[inline(never)]
fn out_of_line<R>(watcher: &mut Watcher, tell: impl FnOnce(&mut Watcher) -> R) -> R {
    tell(watcher)
}
