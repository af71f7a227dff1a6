//! The most frequent step of a connection: a few copied bytes leave, and nothing else is to be done.

use super::output::{Output, Pressure, offer};
use super::{Common, Connection, Input, Io, Life, Next, ReadBuffer};
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

impl<S: ByteStream> Connection<S> {
    /// The byte that leaves next.
    #[inline]
    pub(crate) fn first_unsent(&self) -> u8 {
        self.outgoing.first_copied().unwrap_or(0)
    }

    /// Sends a few bytes of a connection that has nothing else to do: what is left of most visits when the callback
    /// has answered, and all of most visits by the flush queue. It asks once for all that is rarer: `None` if there is any
    /// of it, and nothing was done. Adds what the kernel has taken to the bytes `sent_in_visit`.
    ///
    /// It spares an echo the other steps of `next`. A broadcast, of which each visit is little more than this, gains most.
    #[inline(always)]
    pub(crate) fn send_plainly(
        &mut self,
        budget: usize,
        sent_in_visit: &mut usize,
        common: &mut Common,
        buffer: &ReadBuffer,
    ) -> Option<Next> {
        if self.ready != Readiness::WRITABLE {
            return None;
        }
        let Some(unsent) = self.outgoing.only_copied() else {
            return self.send_piece(budget, sent_in_visit, common, buffer);
        };
        let all = unsent.len();
        if !self.has_only_to_send(all, budget, common) {
            return None;
        }
        match offer(&mut self.stream, &mut self.ready, all, |stream| stream.write(unsent)) {
            Ok(sent) if sent < all => return Some(self.note_part(sent, sent_in_visit, common)),
            Ok(_) => {}
            Err(error) => return Some(self.break_off(error, common)),
        }
        self.note_sent(all, sent_in_visit, common);
        self.above_cap = false;
        self.outgoing.clear_copied(&mut common.spares);
        Some(Next::Rest)
    }

    /// The same for bytes that are lent or shared. Apart, so that those that are copied are not asked what they are.
    #[inline(never)]
    fn send_piece(
        &mut self,
        budget: usize,
        sent_in_visit: &mut usize,
        common: &mut Common,
        buffer: &ReadBuffer,
    ) -> Option<Next> {
        let unsent = self.outgoing.only_piece(buffer.bytes())?;
        let all = unsent.len();
        if !self.has_only_to_send(all, budget, common) {
            return None;
        }
        match offer(&mut self.stream, &mut self.ready, all, |stream| stream.write(unsent)) {
            Ok(sent) => {
                let next = self.note_part(sent, sent_in_visit, common);
                Some(if sent == all { Next::Rest } else { next })
            }
            Err(error) => Some(self.break_off(error, common)),
        }
    }

    /// Whether so many bytes, which are all that wait, may leave, and nothing else is to be done.
    #[inline(always)]
    fn has_only_to_send(&self, all: usize, budget: usize, common: &Common) -> bool {
        (all > 0 && all <= budget && all <= self.marks.high())
            && matches!(self.life, Life::Open)
            && (self.input, self.output) == (Input::Open, Output::Open)
            && self.pressure == Pressure::Low
            && self.is_straight()
            && !common.shutting_down
    }

    /// Notes the bytes that the kernel has taken, which are not all, or not copied.
    #[inline(never)]
    fn note_part(&mut self, sent: usize, sent_in_visit: &mut usize, common: &mut Common) -> Next {
        if sent > 0 {
            self.outgoing.advance(sent, &mut common.spares);
            self.note_sent(sent, sent_in_visit, common);
            self.above_cap = false;
        }
        Next::Again
    }

    /// Sends, if there is nothing else to do.
    #[inline(always)]
    pub(super) fn send_at_once(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &ReadBuffer,
    ) -> Option<Next> {
        if self.ready != Readiness::WRITABLE {
            return None; // mostly it is to be read first: asked before the allowance
        }
        let next = self.send_plainly(io.write?, &mut io.sent, common, buffer)?;
        if next != Next::Rest {
            io.write = Some(0); // it was this visit's write
        }
        Some(next)
    }
}
