//! The promises, checked after each visit and at each notice.

use std::time::Duration;

use super::{BYTES, Limit, Sequence, Stage};
use crate::connection::script::Kind;
use crate::connection::{ClosingTimes, Holds, Next, Output, Tell};
use crate::reason::Reason;

impl Sequence<'_> {
    pub(super) fn broken(&self) -> bool {
        self.driver.connection.output == Output::Broken
    }

    fn held_by_rate(&self) -> bool {
        let connection = &self.driver.connection;
        let held = connection.held.intersects(Holds::READ_RATE);
        let waits = connection.deadline().is_some_and(|at| at > self.driver.now);
        held && waits && self.model.limits[0].is_some()
    }

    pub(super) fn is_held(&self) -> bool {
        self.model.held || (self.model.pressed && !self.broken())
    }

    pub(super) fn check_notice(&mut self, kind: Kind, notice: Tell) {
        match notice {
            Tell::Made | Tell::Handover => self.model.last = 0,
            Tell::Data => {
                let told = self.driver.buffer.told();
                let count = told.len();
                assert!(count > 0 && kind != Kind::Flush, "a visit that does not read");
                let again = self.model.put_back && self.model.visits > 1; // registering asks once more
                assert!(!self.model.eof && !self.is_held() && !again, "nothing may come now");
                let expected = &BYTES[self.model.told..self.model.told + count];
                assert_eq!(told, expected, "lost, twice or invented");
                self.model.told += count;
                self.model.heard += count;
                self.model.last = count;
                assert!(self.model.told <= self.driver.script.wire().taken);
            }
            Tell::Eof => {
                let wire = self.driver.script.wire();
                assert!(wire.fin && self.model.told == wire.incoming.len(), "too early");
                assert!(!self.model.eof && !self.is_held() && kind != Kind::Flush);
                self.model.eof = true;
            }
            Tell::Pause | Tell::Resume => {
                assert_eq!(self.model.paused, notice == Tell::Resume, "in pairs");
                self.model.paused = !self.model.paused;
                let (marks, waits) =
                    (self.driver.connection.marks(), self.driver.connection.buffered());
                assert!(if self.model.paused { waits > marks.0 } else { waits <= marks.1 });
            }
            Tell::TimedOut => {
                let limit = self.model.timeout.take().expect("none was set");
                assert!(self.now() - self.model.active >= limit, "too early");
                assert!(!self.peer_has_spoken(), "there is something to read");
                self.model.telling_timeout = true;
            }
            Tell::ShuttingDown => {
                assert!(self.model.shutting_down.is_some() && kind != Kind::Flush);
                assert!(!std::mem::replace(&mut self.model.told_of_shutdown, true), "twice");
                let waits =
                    self.driver.connection.held.intersects(Holds::UNREAD | Holds::READ_RATE);
                let may_read = !self.driver.has_read_enough() && !waits;
                assert!(!(may_read && self.peer_has_spoken()), "what came before comes first");
            }
        }
    }

    /// Whether something waits in the socket that it may read: what was put back is no news.
    fn peer_has_spoken(&self) -> bool {
        let (model, wire) = (&self.model, self.driver.script.wire());
        let unread = wire.taken < model.seen || model.seen_end;
        unread && !wire.end_read && !self.held_by_rate() && !model.eof && !self.is_held()
    }

    /// Whether it knows of bytes or an end that it may tell.
    fn input_waits(&self) -> bool {
        let model = &self.model;
        let wire = self.driver.script.wire();
        let read = model.told < wire.taken || wire.end_read;
        let unread = wire.taken < model.seen || model.seen_end;
        let waits = read || (unread && !self.held_by_rate());
        waits && !model.eof && !self.is_held()
    }

    pub(super) fn check_visit(&mut self, kind: Kind, before: [usize; 4], after: [usize; 4]) {
        let model = &self.model;
        let [read, sent, writes, _] = [0, 1, 2, 3].map(|at| after[at] - before[at]);
        let look = usize::from(model.visits == 1); // that of a fresh connection before it closes
        let (most_read, most_sent) = self.driver.budgets;
        assert!(read <= if kind == Kind::Flush { 0 } else { most_read } + look);
        assert!(writes <= usize::from(kind != Kind::ServeWithoutWriting) && sent <= most_sent);
        let wire = self.driver.script.wire();
        assert_eq!(wire.written[model.checked..], BYTES[model.checked..wire.written.len()]);
        let checked = wire.written.len();
        assert!(checked <= model.accepted && !wire.wrote_after_fin);
        assert!(wire.fins == 0 || (model.wants_fin && checked == model.accepted), "FIN too early");
        let now = self.now();
        let allowed = |limit: Option<Limit>, passed| limit.is_none_or(|at| at.allows(now, passed));
        assert!(!self.is_open() || allowed(model.limits[0], wire.taken), "the rate of reading");
        assert!(allowed(model.limits[1], wire.written.len()), "the rate of writing");
        drop(wire);
        self.model.checked = checked;
        let closes = self.model.stage == Stage::Closing || self.model.finishing;
        if kind != Kind::ServeWithoutWriting && closes {
            let begins = self.model.closing_since.is_none();
            if begins || sent > 0 {
                self.model.closing_since = Some(now); // or since the peer took something
            }
            if begins || before[3] != after[3] {
                self.model.heard_at = now; // the wait for the peer begins at the earliest
            }
        }
    }

    pub(super) fn check_rest(&self, next: Next, kind: Kind) {
        let model = &self.model;
        assert_ne!(model.stage, Stage::Ended, "the end was asked for");
        if next != Next::Rest {
            assert_eq!(next, Next::Yield);
            return;
        }
        assert!(self.is_open() || model.stage == Stage::Closing);
        assert_ne!(model.stage, Stage::HandedOver);
        let now = self.now();
        assert!(self.driver.connection.deadline().is_none_or(|at| at > self.driver.now), "overdue");
        let may_be_silent = !self.is_open() || model.finishing;
        assert!(model.timeout.is_none_or(|it| may_be_silent || model.active + it > now));
        let by = model.closing_since.map(|at| at + model.close_timeout);
        assert!(by.is_none_or(|at| at > now), "it closes for too long");
        if self.driver.queued {
            return;
        }
        let wire = self.driver.script.wire();
        if model.stage == Stage::Closing {
            assert!(wire.taken >= model.seen, "what comes is not thrown away");
        }
        assert!(!(self.is_open() && self.input_waits()), "input is owed");
        let owed = model.shutting_down.is_some() && !model.told_of_shutdown;
        assert!(!(owed && model.stage == Stage::Up), "the shutdown is not told");
        let wants = self.is_open() && self.driver.connection.may_deliver();
        assert!(!wants || wire.reset, "it rests over what it wants to read");
        assert!(!self.broken() || self.held_by_rate(), "nobody waits for anything");
        assert!(!model.seen_reset || self.held_by_rate(), "the reset is not noticed");
        drop(wire);
        if !self.driver.flushing && kind != Kind::ServeWithoutWriting {
            self.check_output_rests();
        }
    }

    fn check_output_rests(&self) {
        let model = &self.model;
        let connection = &self.driver.connection;
        let wire = self.driver.script.wire();
        let waits = model.accepted - wire.written.len();
        if !self.broken() {
            assert_eq!(connection.buffered(), waits);
            let too_much = connection.buffered() > self.driver.common.cap;
            assert!(!self.is_open() || connection.above_cap == too_much, "the cap is measured");
            let held = connection.held.intersects(Holds::WRITE_RATE) && model.limits[1].is_some();
            let waking = connection.deadline().is_some();
            assert!(waits == 0 || wire.blocked || (held && waking), "output is owed");
            let shut = wire.fins > 0 || wire.reset; // of a reset connection it fails
            assert!(!model.wants_fin || waits > 0 || shut, "FIN is owed");
        }
        assert!(!(model.eof && wire.fins > 0), "both halves are shut");
        if model.stage == Stage::Up {
            let (marks, waits) = (connection.marks(), connection.buffered());
            assert!(!model.paused || waits > marks.1, "Resume is owed");
            assert!(model.paused || waits <= marks.0, "Pause is owed");
        }
        if model.stage == Stage::Closing && wire.fins > 0 {
            assert!(!wire.end_read, "the peer has closed");
            assert!(self.lingers_until() > self.now(), "it lingers for too long");
        }
    }

    /// When it stops waiting for the peer, if nothing comes.
    fn lingers_until(&self) -> Duration {
        let ClosingTimes { linger, shutdown_linger, .. } = *self.driver.common.closing_times;
        let heard_at = self.model.heard_at;
        match self.model.shutting_down {
            None => heard_at + linger,
            Some(at) if heard_at < at => (heard_at + linger).min(at + shutdown_linger),
            Some(_) => heard_at + shutdown_linger,
        }
    }

    pub(super) fn check_end(&mut self, next: Next) {
        assert_eq!(next, Next::Gone);
        if std::mem::replace(&mut self.model.over, true) {
            return;
        }
        let model = &self.model;
        let reason = self.driver.connection.reason();
        let wire = self.driver.script.wire();
        let unsent_now = model.accepted - wire.written.len();
        let number = match reason {
            Reason::Closed => 0,
            Reason::PeerClosed => 1,
            Reason::Aborted => 2,
            Reason::TimedOut => 3,
            Reason::CloseTimedOut { unsent } => {
                assert!(model.stage == Stage::Closing || model.finishing);
                assert_eq!(unsent, unsent_now);
                let since = model.closing_since.expect("it closes");
                assert!(unsent > 0 && self.now() >= since + model.close_timeout);
                4
            }
            Reason::Overflow { unsent } => {
                assert_eq!(model.overflow, Some(unsent));
                5
            }
            Reason::Failed { .. } => {
                assert!(wire.failures > 0);
                let reads = model.stage == Stage::Up && !model.held && !model.pressed;
                let all = model.eof || model.told == wire.incoming.len() || model.put_back_late;
                assert!(all || !reads || model.limits[0].is_some(), "what came before is lost");
                6 + usize::from(model.stage == Stage::Closing)
            }
            _ => panic!("{reason:?}"),
        };
        drop(wire);
        if matches!(number, 0 | 1 | 3) {
            self.check_orderly_end(&reason);
        }
        self.reached.ends[number] += 1;
        self.model.stage = Stage::Ended;
    }

    fn check_orderly_end(&mut self, reason: &Reason) {
        let model = &self.model;
        if !self.driver.connection.was_announced() {
            return; // closed before it was announced
        }
        let wire = self.driver.script.wire();
        assert_eq!(wire.failures, 0, "the reason is the failure");
        assert_eq!(wire.written.len(), model.accepted, "not all was sent");
        let shut = model.eof && (wire.fins > 0 || wire.reset);
        assert!(shut || model.stage == Stage::Closing, "nobody asked for the end");
        let by_us = model.we_ended_first.unwrap_or(false);
        match reason {
            Reason::TimedOut => assert!(model.over_timeout),
            Reason::Closed => assert!(by_us && !model.over_timeout),
            _ => assert!(!by_us && !model.over_timeout),
        }
        if wire.end_read {
            return;
        }
        assert!(wire.fins > 0, "neither FIN was sent nor the end read");
        let now = self.now();
        let until = model.closing_since.map(|at| at + model.close_timeout);
        let over = until.is_some_and(|at| at.min(self.lingers_until()) <= now);
        let all_read = wire.taken == wire.incoming.len() && model.heard == 0;
        let at_once = model.visits == 1 && wire.forgives && all_read;
        assert!(over || at_once, "it did not wait for the peer");
        self.reached.rare[0] += usize::from(!over);
    }
}
