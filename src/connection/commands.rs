//! Commands and questions to a connection.
//!
//! The steps of `next` are in the other files.

use std::time::Instant;

use super::output::{Output, Pressure};
use super::{Common, Connection, Holds, Input, Life, Reached, Side, Told, Traffic};
use crate::reason::Reason;
use crate::system::poller::Readiness;
use crate::system::stream::ByteStream;

/// Commands. A returned `bool` says whether a visit is needed, unless documented otherwise.
impl<S: ByteStream> Connection<S> {
    /// Begins an orderly close, for the reason given or the one that the state shows.
    pub(crate) fn close(&mut self, because: Option<Reason>) -> bool {
        match self.life {
            Life::New => return self.end(because.unwrap_or(Reason::Closed)),
            Life::Open | Life::HandingOver | Life::Finishing => {}
            Life::Closing(_) | Life::Lingering(_) | Life::Gone(_) => return false,
        }
        if self.output == Output::Broken {
            self.finish();
            return true;
        }
        let timed_out = || self.is_telling_timeout().then_some(Reason::TimedOut);
        let reason = because.or_else(timed_out).unwrap_or_else(|| self.orderly_reason());
        self.want_fin();
        self.held.remove(Holds::UNREAD); // nothing is delivered any more
        self.life = Life::Closing(reason);
        true
    }

    /// Closes it in order, but not before its protocol has been told to go on writing, if it was told to pause:
    /// it may be in the middle of an answer.
    pub(crate) fn close_when_written(&mut self, now: Instant, common: &mut Common) -> bool {
        if !self.hears() || !self.may_write_more() {
            return self.close(None);
        }
        self.life = Life::Finishing;
        self.limit_close(now, common);
        false
    }

    /// Closes it if it only waits for its protocol, and that was told to go on and has added nothing: nothing
    /// will ask it for more.
    pub(crate) fn close_if_written(&mut self) -> bool {
        matches!(self.life, Life::Finishing) && !self.may_write_more() && self.close(None)
    }

    /// Ends it now, whatever is still unsent.
    pub(crate) fn end(&mut self, reason: Reason) -> bool {
        if self.is_gone() {
            return false;
        }
        self.life = Life::Gone(reason);
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

    /// Ends it because of a fault on this side, which overrides any other reason.
    pub(crate) fn end_by_fault(&mut self, reason: Reason) {
        self.output = Output::Reset;
        self.life = Life::Gone(reason);
    }

    /// Ends it with the reactor. After a shutdown it `resets`: its protocol was told, and has not finished.
    /// Not after FIN: then nothing is missing, and the peer gets no error. One that lingers keeps its reason, if its
    /// peer has sent nothing since: one that goes on sending gets a reset, which may overtake the last bytes.
    pub(crate) fn stop(&mut self, resets: bool) -> bool {
        let sends = self.discarded() > 0 || self.ready.contains(Readiness::READABLE);
        if matches!(self.life, Life::Lingering(_)) && !sends {
            self.finish();
            return true;
        }
        let ends = self.end(Reason::Stopped);
        if ends && resets && !matches!(self.output, Output::FinSent) {
            self.output = Output::Reset;
        }
        ends
    }

    /// Begins the part of a connection in a shutdown of the reactor: an open one has its protocol told, a
    /// lingering one waits for less time.
    ///
    /// A read finds what has come and was not reported yet, so that it is delivered before.
    pub(crate) fn shut_down(&mut self, now: Instant, common: &Common) -> bool {
        match self.life {
            Life::New | Life::Open | Life::HandingOver => {
                self.ready |= Readiness::READABLE;
                true
            }
            Life::Lingering(_) => {
                self.shorten_linger(now, common);
                true
            }
            Life::Finishing | Life::Closing(_) | Life::Gone(_) => false,
        }
    }

    /// Ends the notices to its protocol; `next` tells the one that takes over. Returns whether it will.
    pub(crate) fn hand_over(&mut self) -> bool {
        if !self.hears() {
            return false;
        }
        if matches!(self.life, Life::Finishing)
            && let Some(extras) = &mut self.extras
        {
            extras.forget_close_limit(); // the other protocol is told of the shutdown, too
        }
        self.life = Life::HandingOver;
        self.pressure = Pressure::Low;
        self.held.remove(Holds::PRESSURE); // that of the former protocol
        true
    }

    /// Stops reading for this reason.
    pub(crate) fn hold(&mut self, hold: Holds) -> bool {
        self.held.insert(hold);
        if hold == Holds::PROTOCOL && self.is_open() && self.output == Output::Broken {
            // The protocol wants no more input, and nothing can be written.
            self.finish();
            return true;
        }
        false
    }

    /// Reads on, if there is no other hold. No event repeats what was latched meanwhile.
    pub(crate) fn release(&mut self, hold: Holds) -> bool {
        self.held.remove(hold);
        self.is_open() && self.may_deliver()
    }
}

/// Questions.
impl<S> Connection<S> {
    /// Whether it is neither closing nor gone.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.life, Life::New | Life::Open | Life::HandingOver | Life::Finishing)
    }

    /// Whether its present protocol gets notices.
    pub(crate) fn hears(&self) -> bool {
        matches!(self.life, Life::Open | Life::Finishing)
    }

    /// Whether it was announced and has not ended, so that other code may reach it.
    pub(crate) fn is_up(&self) -> bool {
        self.was_announced() && !self.is_gone()
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.life, Life::Gone(_))
    }

    /// Whether input is delivered, as far as its protocol controls this.
    pub(crate) fn is_reading(&self) -> bool {
        self.hears() && !self.held.intersects(Holds::PROTOCOL | Holds::PRESSURE)
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Whether `Made` was told, so that the end must be told too.
    pub(crate) fn was_announced(&self) -> bool {
        self.told != Told::Nothing
    }

    /// The stages it has reached.
    pub(crate) fn reached(&self) -> Reached {
        Reached {
            fin_received: self.input != Input::Open,
            fin_sent: matches!(self.output, Output::FinSent),
            closing: matches!(self.life, Life::Closing(_) | Life::Lingering(_)),
            lingering: matches!(self.life, Life::Lingering(_)),
        }
    }

    /// Whether the peer must not take the bytes it got for all.
    pub(super) fn ends_abruptly(&self) -> bool {
        matches!(self.output, Output::Reset) || !self.outgoing.is_empty()
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
            Life::Closing(reason) | Life::Lingering(reason) | Life::Gone(reason) => reason.clone(),
            Life::New | Life::Open | Life::HandingOver | Life::Finishing => Reason::Closed,
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
        self.outgoing.clear(&mut common.spares);
        if let Some(extras) = self.extras.take() {
            common.give_back(extras);
        }
    }
}

impl<S> std::fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("life", &self.life)
            .field("unsent", &self.outgoing.len())
            .finish_non_exhaustive()
    }
}
