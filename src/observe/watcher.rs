//! The observer with what it is to be told.
//!
//! A notice is told at once while the loop itself works. A notice from a callback, or from outside
//! of a turn, waits: see [`Observer`].

use std::time::Instant;

use super::{Command, Notice, Observer, Subject};
use crate::callback::Callback;
use crate::parts::clock::Clock;

/// An observer, and the notices that wait for it.
pub(crate) struct Watcher {
    pub(crate) observer: Box<dyn Observer>,
    clock: Clock,
    waiting: Vec<(Instant, Notice)>,
    /// Whether a turn is running that it has seen begin.
    in_turn: bool,
    /// How many callbacks are running, one inside another.
    depth: u32,
    /// The owner of the callback that is running.
    subject: Option<Subject>,
}

/// A callback that is running.
pub(crate) struct Running {
    pub(crate) began: Instant,
    /// The owner of the callback outside of this one.
    outer: Option<Subject>,
}

impl Watcher {
    pub(crate) fn new(observer: Box<dyn Observer>, clock: Clock) -> Self {
        let (waiting, subject) = (Vec::new(), None);
        Self { observer, clock, waiting, in_turn: false, depth: 0, subject }
    }

    pub(crate) fn begin_turn(&mut self) {
        self.in_turn = true;
        self.depth = 0;
        self.subject = None;
        self.tell_what_waits();
    }

    pub(crate) fn end_turn(&mut self) {
        self.in_turn = false;
    }

    pub(crate) fn take(&mut self, notice: Notice) {
        let at = self.clock.now();
        self.take_at(at, notice);
    }

    pub(crate) fn take_command(&mut self, to: Subject, command: Command) {
        let by = self.subject;
        self.take(Notice::Command { by, to, command });
    }

    pub(crate) fn begin_callback(&mut self, subject: Subject, callback: Callback) -> Running {
        let began = self.clock.now();
        self.take_at(began, Notice::CallbackBegin { subject, callback });
        self.depth += 1;
        Running { began, outer: self.subject.replace(subject) }
    }

    /// Ends a callback, unless it is the one that has set this observer.
    pub(crate) fn end_callback(
        &mut self,
        subject: Subject,
        callback: Callback,
        running: &Running,
        ended: Instant,
    ) {
        if self.depth == 0 {
            return;
        }
        self.subject = running.outer;
        self.depth -= 1;
        let took = ended.saturating_duration_since(running.began);
        self.take_at(ended, Notice::CallbackEnd { subject, callback, took });
    }

    fn take_at(&mut self, at: Instant, notice: Notice) {
        if !self.in_turn && notice.is_of_the_turn() {
            return; // it was set in the middle of this turn
        }
        if self.in_turn && self.depth == 0 {
            self.tell_what_waits();
            self.observer.notice(at, &notice);
        } else {
            self.waiting.push((at, notice));
        }
    }

    fn tell_what_waits(&mut self) {
        for (at, notice) in self.waiting.drain(..) {
            self.observer.notice(at, &notice);
        }
    }
}
