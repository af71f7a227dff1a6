//! Protocols that get their bytes in frames. The network cuts the frames, and nothing may show it.

use std::rc::Rc;

use crocus::framing::{FixedSize, FrameHandler, Framed};
use crocus::{Protocol, Reason, TimerId, Transport};

use crate::actors::{Actor, Scene};

/// The longest frame.
const LONGEST: usize = 300;

impl Scene {
    /// An actor as a protocol: as it is, or behind a framing.
    pub fn dress(self: &Rc<Self>, actor: Actor) -> Box<dyn Protocol> {
        let framed = self.profile.framed > 0 && self.chance.one_in(self.profile.framed);
        if !framed || self.is_in_clear(actor.who) {
            return Box::new(actor);
        }
        let size = self.chance.size(LONGEST);
        self.ledger.borrow_mut().parties[actor.who].frames.insert(actor.number, size);
        Box::new(Framed::new(FixedSize::new(size), Handler { actor, raw: 0 }))
    }
}

/// An actor behind a framing; at times it wants some bytes as they come.
struct Handler {
    actor: Actor,
    raw: u64,
}

impl FrameHandler<FixedSize> for Handler {
    fn frame_received(&mut self, transport: &mut Transport, frame: &[u8]) {
        self.actor.frame_received(transport, frame);
        if self.actor.scene.chance.one_in(6) {
            self.raw = self.actor.scene.chance.size(LONGEST) as u64;
        }
    }

    fn raw_left(&self) -> u64 {
        self.raw
    }

    fn eof_in_frame(&mut self, transport: &mut Transport, part: &[u8]) {
        self.actor.ended(transport, part);
    }
}

impl Protocol for Handler {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.actor.connection_made(transport);
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        self.actor.raw_received(transport, data, self.raw);
        self.raw -= data.len() as u64;
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        self.actor.ended(transport, &[]);
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        self.actor.pause_writing(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.actor.resume_writing(transport);
    }

    fn timer_fired(&mut self, transport: &mut Transport, timer: TimerId) {
        self.actor.timer_fired(transport, timer);
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        self.actor.timed_out(transport);
    }

    fn shutting_down(&mut self, transport: &mut Transport) {
        self.actor.shutting_down(transport);
    }

    fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
        self.actor.connection_lost(transport, reason);
    }
}
