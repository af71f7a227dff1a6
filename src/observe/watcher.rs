//! The observer with what it is to be told.
//!
//! A notice is told at once while the loop itself works. A notice from a callback, or from outside
//! of a turn, waits: see [`Observer`].
//!
//! Reading the clock costs more than all else that is done for a notice. So it is read where user code or a
//! system call has taken time, and a notice that follows another at once gets the time of that one.
//!
//! A message makes seven notices. So they have one short way through here, and what is rare is out of line.

use std::time::Instant;

use super::{Command, Notice, Observer, Subject};
use crate::callback::Callback;
use crate::parts::clock::Clock;

/// An observer, and the notices that wait for it.
pub(crate) struct Watcher {
    pub(crate) observer: Box<dyn Observer>,
    clock: Clock,
    /// The time of the last notice, and what has happened since it was read.
    last: Instant,
    since: Since,
    waiting: Vec<(Instant, Notice)>,
    /// Whether a turn is running that it has seen begin.
    in_turn: bool,
    /// How many callbacks are running, one inside another.
    depth: u32,
    /// The owner of the callback that is running.
    subject: Option<Subject>,
}

/// The last thing that has taken time since the clock was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Nothing: a mark of the turn was told.
    Mark,
    /// Nothing: bytes were received.
    Received,
    /// Nothing, or the system call that sends what the callback has written. It gets the time of the callback's
    /// end: another reading would cost more than the call's length is worth.
    Callback,
    /// A system call or user code.
    Work,
}

/// A callback that is running.
pub(crate) struct Running {
    pub(crate) began: Instant,
    /// The owner of the callback outside of this one.
    outer: Option<Subject>,
}

impl Watcher {
    pub(crate) fn new(observer: Box<dyn Observer>, clock: Clock) -> Self {
        let (last, since) = (clock.now(), Since::Work);
        let (waiting, in_turn, depth, subject) = (Vec::new(), false, 0, None);
        Self { observer, clock, last, since, waiting, in_turn, depth, subject }
    }

    pub(crate) fn begin_turn(&mut self) {
        self.in_turn = true;
        self.depth = 0;
        self.subject = None;
        self.since = Since::Work; // user code may have run since the last turn ended
        self.tell_what_waits();
    }

    pub(crate) fn end_turn(&mut self) {
        self.in_turn = false;
    }

    /// A notice of what has taken time, as most have.
    #[inline(never)] // one copy of it for all
    pub(crate) fn take(&mut self, notice: Notice) {
        self.read_clock_unless(None, Since::Work);
        self.tell(notice);
    }

    /// A notice of what comes at once after the last one.
    pub(crate) fn take_at_once(&mut self, notice: Notice) {
        self.tell(notice);
    }

    /// A mark of the turn: its beginning or end, or the beginning of a phase.
    pub(crate) fn take_mark(&mut self, notice: Notice) {
        self.read_clock_unless(Some(Since::Mark), Since::Mark);
        self.tell(notice);
    }

    /// The end of the sleep, after which the reactor has just read the clock.
    pub(crate) fn take_woke(&mut self, at: Instant, notice: Notice) {
        (self.last, self.since) = (at, Since::Mark);
        self.tell(notice);
    }

    pub(crate) fn take_received(&mut self, notice: Notice) {
        self.read_clock_unless(None, Since::Received);
        self.tell(notice);
    }

    pub(crate) fn take_sent(&mut self, notice: Notice) {
        self.read_clock_unless(Some(Since::Callback), Since::Work);
        self.tell(notice);
    }

    /// A source was visited: time has passed, even if there is nothing to tell.
    pub(crate) fn worked(&mut self) {
        self.since = Since::Work;
    }

    pub(crate) fn take_command(&mut self, to: Subject, command: Command) {
        let notice = Notice::Command { by: self.subject, to, command };
        self.read_clock_unless(None, Since::Work);
        match self.depth {
            0 => self.tell(notice),
            // Nearly all commands come from a callback, so they wait at once.
            _ => self.waiting.push((self.last, notice)),
        }
    }

    pub(crate) fn begin_callback(&mut self, subject: Subject, callback: Callback) -> Running {
        self.read_clock_unless(Some(Since::Received), Since::Work);
        self.tell(Notice::CallbackBegin { subject, callback });
        self.depth += 1;
        Running { began: self.last, outer: self.subject.replace(subject) }
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
        (self.last, self.since) = (ended, Since::Callback);
        self.tell(Notice::CallbackEnd { subject, callback, took });
    }

    /// Sets the time of the next notice. If `at_once` is all that has been since the last one, it has the same.
    #[inline(always)]
    fn read_clock_unless(&mut self, at_once: Option<Since>, since: Since) {
        if at_once != Some(self.since) {
            self.last = self.clock.now();
        }
        self.since = since;
    }

    /// Tells a notice, or has it wait.
    #[inline(never)] // one copy of it for all
    fn tell(&mut self, notice: Notice) {
        if !self.in_turn || self.depth > 0 {
            return self.keep(notice);
        }
        if !self.waiting.is_empty() {
            self.tell_what_waits();
        }
        self.observer.notice(self.last, &notice);
    }

    #[inline(never)]
    fn keep(&mut self, notice: Notice) {
        if self.in_turn || !notice.is_of_the_turn() {
            self.waiting.push((self.last, notice));
        } // else it was set in the middle of this turn
    }

    #[inline(never)]
    fn tell_what_waits(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting); // a `drain` takes longer
        for (at, notice) in &waiting {
            self.observer.notice(*at, notice);
        }
        waiting.clear();
        self.waiting = waiting;
    }
}
