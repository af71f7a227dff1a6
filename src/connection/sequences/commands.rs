//! Commands, of the protocol and of others.

use super::{BYTES, Limit, MS, Sequence, Stage};
use crate::connection::script::Driver;
use crate::connection::{Direction, Holds, Output};
use crate::parts::token_bucket::Rate;

impl Sequence<'_> {
    pub(super) fn command(&mut self) {
        match self.choices.below(40) {
            0..=12 => self.write(),
            13 => self.close(),
            14 if self.chance(4) => self.abort(),
            15 if self.chance(2) => self.shut_write(),
            16..=17 => self.hold(),
            18..=20 => self.release(),
            21..=24 => self.unread(),
            25..=26 => self.hand_over(),
            27..=28 => self.set_timeout(),
            29 => self.set_close_timeout(),
            30 => self.set_rate(Direction::Reading),
            31 => self.set_rate(Direction::Writing),
            34 if self.model.shutting_down.is_some() => self.close_when_written(),
            32..=33 => {
                let high = self.choices.below(120);
                let low = self.choices.below(high + 1);
                self.log(format_args!("set_marks {high} {low}"));
                self.driver.set_marks(high, low);
                if self.model.finishing && !self.waits_to_write() {
                    self.note_close();
                }
            }
            _ => {}
        }
    }

    pub(super) fn write(&mut self) {
        // A fuzzer may choose so many writes that the bytes run out. One that echoes has written at most a little more
        // than it was told.
        let left = BYTES.len() - self.model.accepted;
        let count = match self.model.echoes {
            true => self.model.told.saturating_sub(self.model.accepted + self.model.last),
            false => self.choices.below(80),
        };
        let count = count.min(left);
        let data = &BYTES[self.model.accepted..self.model.accepted + count];
        let shares = self.choices.below(3) == 0;
        self.write_as(count, |driver, cap| match shares {
            true => driver.write_owned(data, cap),
            false => driver.write(data, cap),
        });
    }

    fn write_as(&mut self, count: usize, write: impl FnOnce(&mut Driver, usize) -> bool) {
        let cap = self.driver.common.cap;
        let left_too_much = self.driver.connection.above_cap;
        let unsent = self.driver.connection.buffered();
        let broken = self.driver.connection.output == Output::Broken;
        let wanted = self.is_open() && !self.model.wants_fin && !broken;
        let taken = write(&mut self.driver, cap);
        self.log(format_args!("write {count}: {taken}"));
        assert_eq!(taken, wanted && !left_too_much);
        if taken {
            self.model.accepted += count;
        } else if wanted {
            self.model.overflow = Some(unsent);
            self.model.stage = Stage::Ended;
        }
    }

    /// Writes back some of what it was told last, and what comes next in the order.
    pub(super) fn echo(&mut self) {
        let from = self.model.told - self.model.last;
        if self.model.accepted < from {
            self.write();
        }
        while (from..self.model.told).contains(&self.model.accepted) {
            let begin = self.model.accepted - from;
            let end = begin + self.some(self.model.last - begin);
            self.write_as(end - begin, |driver, _| driver.echo(begin..end));
            if !self.is_open() || self.model.wants_fin || self.chance(4) {
                return;
            }
        }
    }

    fn ends_first(&mut self) {
        let by_us = !self.driver.script.wire().end_read;
        self.model.we_ended_first.get_or_insert(by_us);
        self.model.wants_fin = true;
    }

    pub(super) fn close(&mut self) {
        self.close_by(Driver::close);
    }

    /// As the default answer to a shutdown.
    pub(super) fn close_when_written(&mut self) {
        if self.model.stage != Stage::Up || !self.waits_to_write() {
            return self.close_by(Driver::close_when_written);
        }
        self.log(format_args!("close_when_written"));
        assert!(!self.driver.close_when_written());
        self.model.finishing = true;
        let now = self.now();
        self.model.closing_since.get_or_insert(now);
    }

    /// As the reactor does after `Resume`.
    pub(super) fn close_if_written(&mut self) {
        if self.model.finishing && !self.waits_to_write() {
            return self.close_by(Driver::close_if_written);
        }
        assert!(!self.driver.close_if_written());
    }

    /// Whether the protocol was told to pause, or is to be.
    fn waits_to_write(&self) -> bool {
        let connection = &self.driver.connection;
        self.model.paused || connection.buffered() > connection.marks().0
    }

    fn close_by(&mut self, close: fn(&mut Driver) -> bool) {
        let begins = close(&mut self.driver);
        self.log(format_args!("close: {begins}"));
        assert_eq!(begins, self.is_open());
        if begins {
            self.note_close();
        }
    }

    fn note_close(&mut self) {
        self.model.finishing = false;
        self.model.over_timeout = self.model.telling_timeout;
        let new = self.model.stage == Stage::New;
        let gone = self.driver.connection.is_gone();
        self.model.stage = if new || gone { Stage::Ended } else { Stage::Closing };
        self.model.heard_at = self.now();
        if !new {
            self.ends_first();
        }
    }

    fn abort(&mut self) {
        self.log(format_args!("abort"));
        let ends = !self.driver.connection.is_gone();
        assert_eq!(self.driver.abort(), ends);
        if ends {
            self.model.finishing = false;
            self.model.stage = Stage::Ended;
        }
    }

    pub(super) fn shut_write(&mut self) {
        let shuts = self.driver.shut_write();
        self.log(format_args!("shut_write: {shuts}"));
        let broken = self.driver.connection.output == Output::Broken;
        assert_eq!(shuts, self.is_open() && !self.model.wants_fin && !broken);
        if self.is_open() {
            self.ends_first();
        }
    }

    fn hold(&mut self) {
        self.log(format_args!("hold"));
        self.driver.hold(Holds::PROTOCOL);
        self.model.held = true;
        self.note_end();
    }

    /// A command may end a broken connection.
    pub(super) fn note_end(&mut self) {
        if self.driver.connection.is_gone() {
            self.model.stage = Stage::Ended;
        }
    }

    pub(super) fn release(&mut self) {
        self.log(format_args!("release"));
        self.driver.release(Holds::PROTOCOL);
        self.model.held = false;
    }

    pub(super) fn unread(&mut self) {
        let count = self.choices.below(self.model.last + 1);
        let bytes = &BYTES[self.model.told - count..self.model.told];
        let kept = self.driver.unread(bytes);
        self.log(format_args!("unread {count}: {kept}"));
        assert_eq!(kept, matches!(self.model.stage, Stage::Up | Stage::HandedOver));
        if kept {
            self.model.told -= count;
            self.model.last -= count;
            self.model.put_back |= count > 0 && self.model.stage == Stage::Up;
            let late = self.driver.script.wire().reset;
            self.model.put_back_late |= count > 0 && late;
        }
    }

    pub(super) fn hand_over(&mut self) {
        let done = self.driver.hand_over();
        self.log(format_args!("hand_over: {done}"));
        assert_eq!(done, self.model.stage == Stage::Up);
        if done {
            self.model.stage = Stage::HandedOver;
            self.model.pressed = false;
            if std::mem::take(&mut self.model.finishing) {
                self.model.closing_since = None; // the other protocol is told of the shutdown, too
            }
        }
    }

    pub(super) fn set_timeout(&mut self) {
        let limit = (!self.chance(4)).then(|| self.some(60) as u32 * MS);
        self.log(format_args!("set_timeout {limit:?}"));
        let former = self.driver.set_timeout(limit);
        assert_eq!(former, self.model.timeout.filter(|_| self.is_open()));
        if self.is_open() {
            (self.model.timeout, self.model.active) = (limit, self.now());
        }
    }

    fn set_close_timeout(&mut self) {
        let limit = self.some(120) as u32 * MS;
        self.log(format_args!("set_close_timeout {limit:?}"));
        let now = self.now();
        let Driver { connection, common, now: instant, .. } = &mut self.driver;
        connection.set_close_timeout(limit, *instant, common);
        self.model.close_timeout = limit;
        if let Some(since) = &mut self.model.closing_since {
            *since = now;
        }
    }

    fn set_rate(&mut self, direction: Direction) {
        let burst = self.some(40);
        let rate = Rate::per_second(200 + self.choices.below(2000) as u64).burst(burst as u64);
        let rate = (!self.chance(3)).then_some(rate);
        self.log(format_args!("set_rate {direction:?} {rate:?}"));
        self.driver.set_rate(direction, rate);
        let passed = self.passed(direction);
        let since = self.now();
        let limit = rate.map(|rate| Limit { rate, burst, since, passed });
        self.model.limits[direction as usize] = limit;
    }

    fn passed(&self, direction: Direction) -> usize {
        let wire = self.driver.script.wire();
        match direction {
            Direction::Reading => wire.taken,
            Direction::Writing => wire.written.len(),
        }
    }
}
