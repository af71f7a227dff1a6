//! Commands and questions to a connection.
//!
//! The steps of `next` are in the other files.

use std::time::Instant;

use super::output::{Output, Pressure};
use super::{Common, Connection, End, Holds, Input, Life, Reached, Told, Traffic};
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// Commands. A returned `bool` says whether a visit is needed, unless documented otherwise.
impl<S: ByteStream> Connection<S> {
    /// Begins an orderly close, for the reason given or the one that the state shows.
    pub(crate) fn close(&mut self, because: Option<Reason>) -> bool {
        match self.life {
            Life::Preparing(_) => return self.end(because.unwrap_or(Reason::Closed)),
            // With a filter it has spoken with its peer.
            Life::New if self.filter().is_none() => {
                return self.end(because.unwrap_or(Reason::Closed));
            }
            Life::New => {}
            Life::Open | Life::HandingOver | Life::Finishing => {}
            Life::Ending(..) => return false,
        }
        if self.output == Output::Broken {
            self.finish();
            return true;
        }
        let timed_out = || self.is_telling_timeout().then_some(Reason::TimedOut);
        let reason = because.or_else(timed_out).unwrap_or_else(|| self.orderly_reason());
        self.want_fin();
        self.held.remove(Holds::UNREAD); // nothing is delivered any more
        self.life = Life::Ending(End::Closing, reason);
        true
    }

    /// The same for a reason that may be the user's.
    pub(crate) fn close_because(&mut self, because: Option<Reason>, common: &mut Common) -> bool {
        let kept = because.clone();
        let closes = self.close(because);
        if closes && kept.is_some() {
            self.extras_mut(common).because = kept;
        }
        closes
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

    /// Begins the part of a connection in a shutdown of the reactor: an open one has its protocol told, a
    /// lingering one waits for less time.
    ///
    /// A read finds what has come and was not reported yet, so that it is delivered before.
    pub(crate) fn shut_down(&mut self, now: Instant, common: &Common) -> bool {
        match self.life {
            Life::Preparing(_) => {
                self.hurry(now, common);
                self.ready |= Readiness::READABLE;
                true
            }
            Life::New | Life::Open | Life::HandingOver => {
                self.ready |= Readiness::READABLE;
                true
            }
            Life::Ending(End::Lingering, _) => {
                self.shorten_linger(now, common);
                true
            }
            Life::Finishing | Life::Ending(End::Closing | End::Gone, _) => false,
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
        !matches!(self.life, Life::Ending(..))
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
        matches!(self.life, Life::Ending(End::Gone, _))
    }

    /// Whether input is delivered, as far as its protocol controls this.
    pub(crate) fn is_reading(&self) -> bool {
        let held = self.held.intersects(Holds::PROTOCOL | Holds::PRESSURE);
        self.hears() && !held && !self.is_handshaking()
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
            #[cfg(feature = "tls")]
            encrypted: self.is_encrypted(),
            closing: matches!(self.life, Life::Ending(End::Closing | End::Lingering, _)),
            lingering: matches!(self.life, Life::Ending(End::Lingering, _)),
        }
    }
}

impl<S> std::fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("life", &self.life)
            .field("unsent", &self.buffered())
            .finish_non_exhaustive()
    }
}
