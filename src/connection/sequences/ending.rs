//! The end of a sequence: nothing is in the way any more, and time passes.

use super::{Sequence, Stage};
use crate::connection::script::Kind;
use crate::connection::{Holds, Next};
use crate::system::poller::Readiness;

/// Enough for every deadline that may still come, and for what is owed without bytes.
const ROUNDS: usize = 50;

/// No sequence of a seed needs more, whatever it owes; a fuzzer can choose slower rates and more writes.
const MOST_OF_A_SEED: usize = 3000;

impl Sequence<'_> {
    pub(super) fn wind_up(&mut self) {
        self.model.quiet = true;
        self.release();
        self.model.pressed = false;
        self.driver.release(Holds::PRESSURE);
        self.driver.script.opens(1 << 20);
        for _ in 0..self.most_rounds() {
            self.take_events();
            if self.driver.queued {
                self.visit(Kind::Serve);
            }
            if self.driver.flushing {
                self.visit(Kind::Flush);
            }
            if self.driver.connection.is_gone() {
                return self.stays_gone();
            }
            if !self.driver.queued && !self.driver.flushing {
                if self.driver.connection.deadline().is_none() && self.is_at_rest() {
                    return;
                }
                self.pass_to_deadline();
            }
        }
        panic!("it comes to no end");
    }

    /// A slow rate lets a byte pass at a time, and takes a round to wait for it and one to pass it on.
    fn most_rounds(&self) -> usize {
        let (model, wire) = (&self.model, self.driver.script.wire());
        let unsent = model.accepted - wire.written.len();
        let untold = wire.incoming.len() - model.told;
        let owed = ROUNDS + 2 * (unsent + untold);
        if self.choices.are_of_a_seed() { owed.min(MOST_OF_A_SEED) } else { owed }
    }

    fn is_at_rest(&mut self) -> bool {
        self.take_events();
        if self.driver.queued {
            return false;
        }
        let wire = self.driver.script.wire();
        if self.is_held() || self.model.stage != Stage::Up {
            return false;
        }
        assert!(self.model.eof || self.model.told == wire.incoming.len(), "undelivered");
        assert!(self.model.eof == wire.fin && !wire.reset, "the end is not told");
        assert_eq!(wire.written.len(), self.model.accepted, "unsent");
        self.reached.ends[8] += 1;
        true
    }

    fn stays_gone(&mut self) {
        let before = self.counts();
        self.driver.latch(Readiness::FAILED);
        for kind in [Kind::Serve, Kind::Flush, Kind::ServeWithoutWriting] {
            assert_eq!(self.driver.visit(kind, |_, _| {}), Next::Gone);
        }
        self.write();
        self.unread();
        self.close();
        self.hand_over();
        self.shut_write();
        self.set_timeout();
        assert_eq!(before, self.counts(), "gone means gone");
    }
}
