//! The end of a connection: in order, by an error, by a command, and why.

use std::io;
use std::mem;
use std::sync::Arc;

use super::filter::Filter;
use super::{Common, Connection, End, Input, Io, Life, Next, Output, ReadBuffer, Side};
use crate::reason::{Activity, Reason};
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// Commands.
impl<S: ByteStream> Connection<S> {
    /// Ends it now, whatever is still unsent.
    pub(crate) fn end(&mut self, reason: Reason) -> bool {
        if self.is_gone() {
            return false;
        }
        self.life = Life::Ending(End::Gone, reason);
        true
    }

    /// Ends it because the system has failed. If the peer is still there it has got a part, unless it got FIN.
    pub(super) fn end_by_failure(&mut self, reason: Reason) {
        if self.end(reason) && self.output != Output::FinSent {
            self.output = Output::Reset;
        }
    }

    /// Ends it with a reset, so that the peer cannot take what it got for all. Returns whether this ended it.
    pub(crate) fn abort(&mut self, reason: Reason) -> bool {
        let ends = self.end(reason);
        if ends {
            self.output = Output::Reset;
        }
        ends
    }

    /// Ends it because of a fault on this side, which overrides any other reason: returns that.
    pub(crate) fn end_by_fault(&mut self, reason: Reason) -> Option<Reason> {
        self.output = Output::Reset;
        match mem::replace(&mut self.life, Life::Ending(End::Gone, reason)) {
            Life::Ending(_, former) => Some(former),
            _ => None,
        }
    }

    /// Ends it with the reactor. After a shutdown it `resets`: its protocol was told, and has not finished.
    /// Not after FIN: then nothing is missing, and the peer gets no error. One that lingers keeps its reason, if its
    /// peer has sent nothing since: one that goes on sending gets a reset, which may overtake the last bytes.
    pub(crate) fn stop(&mut self, resets: bool) -> bool {
        let sends = self.discarded() > 0 || self.ready.contains(Readiness::READABLE);
        if matches!(self.life, Life::Ending(End::Lingering, _)) && !sends {
            self.finish();
            return true;
        }
        let ends = self.end(Reason::Stopped);
        if ends && resets && !matches!(self.output, Output::FinSent) {
            self.output = Output::Reset;
        }
        ends
    }
}

/// Steps of `next`.
impl<S: ByteStream> Connection<S> {
    #[inline(never)]
    pub(super) fn while_closing(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        // Nothing can be encrypted any more, so what waits would wait for the close timeout.
        if let Some(failure) = self.filter_mut().and_then(Filter::take_failure) {
            return self.fail_tls(failure, common);
        }
        let mut more = false;
        if self.may_discard() {
            if io.read > 0 {
                return self.discard(io, common, buffer);
            }
            more = true; // but not in this visit
        }
        if io.write.is_some() {
            match self.send(io, common, buffer) {
                Ok(unsent) => more |= unsent,
                Err(error) => return self.fail(error),
            }
            if !self.is_unfinished() {
                return self.all_sent(io, common);
            }
            self.close_limit(common);
        }
        self.settle(io, common, buffer, more)
    }

    /// Closes, or lingers, when the kernel has everything.
    fn all_sent(&mut self, io: &Io, common: &mut Common) -> Next {
        if self.input != Input::Open {
            return self.finish(); // closing sends FIN
        }
        let at_once = io.fresh && self.traffic.is_unread() && self.is_on_its_way(io);
        // Before `peer_has_sent`, so that the answer is on its way.
        if let Err(error) = self.send_fin() {
            return self.fail(error);
        }
        if at_once {
            match self.peer_has_sent(common) {
                Ok(true) => {}
                Ok(false) => return self.finish(),
                Err(error) => return self.fail(error),
            }
        }
        self.linger(common);
        Next::Again
    }

    #[inline(never)]
    pub(super) fn while_lingering(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        let mut more = false;
        if self.may_discard() {
            if io.read > 0 {
                return self.discard(io, common, buffer);
            }
            more = true; // but not in this visit
        }
        if self.input != Input::Open {
            return self.finish();
        }
        self.settle(io, common, buffer, more)
    }

    /// Ends it in order: for its reason to close, or because both sides have finished. Not if the stream has
    /// failed meanwhile, and the error has only waited for bytes that were put back.
    #[inline(never)]
    pub(super) fn finish(&mut self) -> Next {
        if let Some(error) = self.take_hangup_error() {
            return self.fail(error);
        }
        match &mut self.life {
            Life::Ending(end, _) => *end = End::Gone,
            _ => self.life = Life::Ending(End::Gone, self.reason_of_both()),
        }
        Next::Gone
    }

    /// The reason when both sides have finished, or sending failed and the peer has finished.
    fn reason_of_both(&self) -> Reason {
        let error = self.extras.as_ref().and_then(|extras| extras.sending_failed.as_ref());
        match error {
            Some(error) => Reason::of_failure(self.activity(), Arc::clone(error)),
            None => self.orderly_reason(),
        }
    }

    /// Ends it because the system reported an error. If TLS has failed before, that stays the reason: peers that
    /// do not speak it reset a connection whose hello they have not read.
    #[inline(never)]
    pub(crate) fn fail(&mut self, error: io::Error) -> Next {
        let error = self.take_hangup_error().unwrap_or(error);
        self.end_by_failure(match &self.life {
            #[cfg(feature = "tls")]
            Life::Ending(_, failure @ Reason::Tls { .. }) => failure.clone(),
            _ => Reason::of_failure(self.activity(), Arc::new(error)),
        });
        Next::Gone
    }

    fn activity(&self) -> Activity {
        match self.life {
            Life::Ending(End::Closing | End::Lingering, _) => Activity::Closing,
            #[cfg(feature = "proxy")]
            Life::Preparing(super::Preparation::Header(_)) => Activity::Identifying,
            #[cfg(feature = "tls")]
            _ if self.is_handshaking() => Activity::Handshaking,
            _ => Activity::Open,
        }
    }
}

/// Questions.
impl<S> Connection<S> {
    /// Whether the peer must not take the bytes it got for all.
    pub(super) fn ends_abruptly(&self) -> bool {
        matches!(self.output, Output::Reset) || self.buffered() > 0
    }

    /// The reason of an end in order: the side that ended its output first.
    pub(super) fn orderly_reason(&self) -> Reason {
        match self.ended_first {
            Some(Side::Peer) => Reason::PeerClosed,
            Some(Side::Us) | None => Reason::Closed,
        }
    }

    /// Why it is gone.
    pub(crate) fn reason(&self) -> Reason {
        match &self.life {
            Life::Ending(_, reason) => reason.clone(),
            _ => Reason::Closed,
        }
    }
}

impl Connection {
    /// Makes the coming close a reset if the peer must not take the bytes it got for all.
    ///
    /// A duplicate of an `adopted` stream may stay open elsewhere, and then the close of one descriptor
    /// sends no FIN. So this sends it.
    pub(crate) fn prepare_to_close(&mut self, adopted: bool, common: &mut Common) {
        if self.ends_abruptly() {
            self.stream.reset_on_close();
        } else if adopted && self.output != Output::FinSent {
            // It fails if the connection is gone already, and then FIN is not needed.
            drop(self.stream.shut_write());
        }
        self.clear(common);
    }

    /// Drops each value of the user's that it has but its reason, by itself.
    #[inline(always)]
    pub(crate) fn clear(&mut self, common: &mut Common) {
        self.clear_output(common);
        if let Some(extras) = self.extras.take() {
            common.give_back(extras);
        }
    }
}
