//! The peer, the kernel, the clock.

use std::io::ErrorKind;
use std::time::Duration;

use super::{BYTES, MS, Sequence};
use crate::system::poller::Readiness;

impl Sequence<'_> {
    pub(super) fn outside(&mut self) {
        let over = self.driver.script.is_over();
        match self.choices.below(16) {
            0..=5 if !over => {
                let (count, from) = (self.some(60), self.driver.script.wire().incoming.len());
                self.driver.script.peer_sends(&BYTES[from..from + count]);
                self.log(format_args!("the peer sends {count}"));
            }
            6 if !over && self.chance(2) => {
                self.driver.script.peer_ends();
                self.log(format_args!("the peer ends"));
            }
            7 if self.chance(4) && !self.driver.script.wire().reset => {
                self.driver.script.peer_resets();
                self.log(format_args!("the peer resets"));
            }
            8..=10 => {
                let room = self.some(60);
                self.driver.script.opens(room);
                self.log(format_args!("the kernel takes {room} more"));
            }
            11 => {
                let count = self.some(3);
                self.driver.script.wire_mut().interrupts = count;
                self.log(format_args!("{count} interrupts"));
            }
            12 => self.spurious(),
            13 if self.chance(3) => self.pass_to_deadline(),
            15 if self.model.shutting_down.is_none() && self.chance(3) => self.shut_down(),
            14 if self.chance(12) => {
                self.driver.script.wire_mut().refuses = Some(ErrorKind::TimedOut);
                self.log(format_args!("writes fail, and no event says so"));
            }
            _ => {
                let time = self.some(15) as u32 * MS;
                self.pass(time);
            }
        }
    }

    fn shut_down(&mut self) {
        self.log(format_args!("the reactor shuts down"));
        self.driver.shut_down();
        self.model.shutting_down = Some(self.now());
        if self.is_open() {
            self.model.seen = self.driver.script.wire().incoming.len(); // it looks
        }
    }

    fn spurious(&mut self) {
        if !self.driver.registered {
            return;
        }
        let (read, write) = (Readiness::READABLE, Readiness::WRITABLE);
        let event = [read, write, read | write, Readiness::FAILED][self.choices.below(4)];
        self.log(format_args!("spurious {event:?}"));
        self.driver.latch(event);
        self.see(event);
    }

    pub(super) fn take_events(&mut self) {
        let event = self.driver.take_events();
        if event != Readiness::default() {
            self.log(format_args!("events {event:?}"));
            self.see(event);
        }
    }

    /// From here on the connection knows what is there.
    fn see(&mut self, event: Readiness) {
        let connection = &self.driver.connection;
        self.model.stirred |= event.contains(Readiness::READABLE)
            && connection.held.are_against_reading()
            && connection.is_timed();
        let mut wire = self.driver.script.wire_mut();
        if event.contains(Readiness::READABLE) {
            self.model.seen = wire.incoming.len();
        }
        if event.intersects(Readiness::READ_CLOSED | Readiness::HANGUP) {
            self.model.seen_end = wire.fin || wire.reset;
        }
        self.model.seen_reset |= event.contains(Readiness::HANGUP) && wire.reset;
        if event.contains(Readiness::WRITABLE) && wire.window > 0 {
            wire.blocked = false;
        }
    }

    fn pass(&mut self, time: Duration) {
        self.log(format_args!("{time:?} pass"));
        self.driver.pass(time);
    }

    pub(super) fn pass_to_deadline(&mut self) {
        if let Some(at) = self.driver.connection.deadline() {
            let time = at.saturating_duration_since(self.driver.now);
            self.pass(time);
        }
    }
}
