//! Visits, and what the protocol does when it is told something.

use super::{Sequence, Stage};
use crate::connection::script::Kind;
use crate::connection::{End, Holds, Life, Next, ReadBuffer, Tell};

impl Sequence<'_> {
    /// Each queue once, as the reactor has it, or a visit for no reason.
    pub(super) fn turn(&mut self) {
        if !self.chance(4) {
            self.take_events();
        }
        let (stray, others) = (self.chance(12), self.chance(5));
        if self.driver.queued || stray {
            self.visit(if others { Kind::ServeWithoutWriting } else { Kind::Serve });
        }
        if self.driver.flushing || (stray && self.model.visits > 0) {
            self.visit(Kind::Flush);
        }
    }

    pub(super) fn visit(&mut self, kind: Kind) {
        self.driver.budgets = (self.some(60), self.some(40));
        self.driver.flushes_plainly = !self.chance(3);
        let room = self.some(40);
        self.driver.buffer = ReadBuffer::new(room);
        self.log(format_args!("{kind:?} with {:?} and {room}", self.driver.budgets));
        let before = self.counts();
        let excused = std::mem::take(&mut self.model.put_back) || kind == Kind::Flush;
        self.count_states();
        self.driver.begin(kind);
        if std::mem::take(&mut self.model.stirred) {
            self.model.active = self.now();
        }
        self.model.visits += 1;
        let (mut heard, told) = (0, self.model.heard);
        let next = loop {
            match self.driver.ask() {
                Next::Tell(notice) => self.hear(kind, notice),
                next => break next,
            }
            self.model.telling_timeout = false;
            heard += 1;
        };
        self.log(format_args!("  {next:?}"));
        self.note_moves();
        let after = self.counts();
        self.check_visit(kind, before, after);
        assert!(self.model.heard - told <= self.driver.budgets.0, "more than the visit may tell");
        let moved = heard > 0 || before != after || excused || self.model.put_back;
        self.model.idle_visits =
            if moved || next != Next::Yield { 0 } else { self.model.idle_visits + 1 };
        assert!(self.model.idle_visits < 2, "it yields for nothing");
        self.count_states();
        if self.driver.connection.is_gone() {
            self.check_end(next);
        } else {
            self.check_rest(next, kind);
        }
    }

    /// Bytes read, bytes written, writes, FINs.
    pub(super) fn counts(&self) -> [usize; 4] {
        let wire = self.driver.script.wire();
        [wire.taken, wire.written.len(), wire.writes, wire.fins]
    }

    fn note_moves(&mut self) {
        let [taken, written, ..] = self.counts();
        if self.model.moved != (taken, written) {
            self.model.active = self.now();
            if self.model.moved.0 != taken {
                self.model.heard_at = self.now();
            }
            self.model.moved = (taken, written);
        }
    }

    fn hear(&mut self, kind: Kind, notice: Tell) {
        self.log(format_args!("  told {notice:?}"));
        self.note_moves();
        self.check_notice(kind, notice);
        let first = notice == Tell::Made || notice == Tell::Handover;
        let stage = match self.model.stage {
            Stage::New => notice == Tell::Made,
            Stage::HandedOver => notice == Tell::Handover,
            Stage::Up => !first,
            Stage::Closing | Stage::Ended => false,
        };
        assert!(stage, "{notice:?} comes out of turn");
        let number = match notice {
            Tell::Made => 0,
            Tell::Data => 1,
            Tell::Eof => 2,
            Tell::Pause => 3,
            Tell::Resume => 4,
            Tell::TimedOut => 5,
            Tell::Handover => 6,
            Tell::ShuttingDown => 7,
        };
        self.reached.notices[number] += 1;
        if first {
            self.model.stage = Stage::Up;
            (self.model.eof, self.model.paused, self.model.put_back) = (false, false, false);
            self.model.told_of_shutdown = false;
        }
        self.react(notice);
        if notice == Tell::Resume {
            self.close_if_written();
        }
    }

    fn react(&mut self, notice: Tell) {
        if self.model.quiet {
            return;
        }
        match notice {
            Tell::Pause if !self.chance(3) => {
                self.model.pressed = true;
                self.driver.hold(Holds::PRESSURE);
                self.note_end();
            }
            Tell::Resume => {
                self.model.pressed = false;
                self.driver.release(Holds::PRESSURE);
            }
            Tell::Eof | Tell::TimedOut if self.chance(3) => self.close(),
            Tell::ShuttingDown if self.chance(2) => self.close_when_written(),
            Tell::Data if self.model.echoes && !self.chance(4) => self.echo(),
            Tell::Data if self.chance(5) => self.unread(),
            Tell::Made if self.chance(12) => self.close(),
            _ => {}
        }
        if self.chance(4) {
            self.command();
        }
    }

    fn count_states(&mut self) {
        let connection = &self.driver.connection;
        let life = match connection.life {
            Life::Preparing(_) | Life::New => 0,
            Life::Open | Life::Finishing => 1,
            Life::HandingOver => 2,
            Life::Ending(End::Closing, _) => 3,
            Life::Ending(End::Lingering, _) => 4,
            Life::Ending(End::Gone, _) => 5,
        };
        self.reached.lives[life] += 1;
        let (rates, one) = ((Holds::READ_RATE, Holds::WRITE_RATE), Holds::PROTOCOL);
        let holds = [one, Holds::PRESSURE, rates.0, Holds::UNREAD, rates.1];
        for (count, hold) in self.reached.holds.iter_mut().zip(holds) {
            *count += usize::from(connection.held.intersects(hold));
        }
        self.reached.holds[3] += usize::from(self.model.put_back);
        self.reached.rare[2] += usize::from(self.model.finishing);
        self.reached.rare[1] += usize::from(self.broken());
    }
}
