//! The preparation of a connection, before it is announced: its PROXY header, the handshake of TLS.
//!
//! A connection that is prepared begins as `Preparing`, and has no protocol yet. Each [`Step`] reads what it needs.
//! Bytes that came behind it are put back, and are the first input of the next step, or of the protocol.

use std::time::Instant;

use super::extras::Direction;
use super::filter::{Engine, Filter};
use super::header::{Header, ProxyInfo, Taken};
use super::input::Received;
use super::{Common, Connection, Holds, Io, Life, Next, ReadBuffer, Tell, Told};
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// How many round trips a preparation may still have in a shutdown. The linger time is then that of one.
const ROUND_TRIPS: u32 = 3;

/// Whether there is any step. Without one no connection is prepared, and the compiler leaves out what would serve it.
pub(crate) const HAS_STEPS: bool = cfg!(any(feature = "proxy", feature = "tls"));

/// A step of a preparation.
pub(crate) enum Step {
    /// A header says whose connection it is.
    #[cfg_attr(not(feature = "proxy"), expect(dead_code, reason = "nobody has one"))]
    Header(Box<Header>),
    /// TLS.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nobody has one"))]
    Handshake(Box<Engine>),
}

/// The state of a preparation.
#[derive(Debug)]
pub(super) enum Preparation {
    Header(Box<Header>),
    /// The header is whole, and not taken yet.
    #[cfg_attr(not(feature = "proxy"), expect(dead_code, reason = "nobody has one"))]
    Identified(Box<ProxyInfo>),
    /// The filter has the state of the handshake.
    Handshake,
}

/// Commands.
impl<S: ByteStream> Connection<S> {
    /// Begins a step, before which a new connection is not announced.
    pub(crate) fn prepare(&mut self, step: Step, now: Instant, common: &mut Common) {
        self.life = Life::Preparing(match step {
            Step::Header(header) => {
                self.extras_mut(common); // for its deadline, and for what comes behind it
                Preparation::Header(header)
            }
            Step::Handshake(engine) => {
                self.add_filter(*engine, now, common);
                Preparation::Handshake
            }
        });
        if common.shutting_down {
            self.hurry(now, common);
        }
    }

    /// Takes the header that was the last step. The connection is new then, and may go through another.
    #[cfg(feature = "proxy")]
    pub(crate) fn identify(&mut self) -> Option<Box<ProxyInfo>> {
        match std::mem::replace(&mut self.life, Life::New) {
            Life::Preparing(Preparation::Identified(info)) => Some(info),
            life => {
                self.life = life;
                None
            }
        }
    }

    /// In a shutdown a preparation gets less time, so that a silent peer does not hold it up.
    pub(super) fn hurry(&mut self, now: Instant, common: &Common) {
        let within = common.linger() * ROUND_TRIPS;
        if let Life::Preparing(Preparation::Header(header)) = &mut self.life {
            header.hurry(now, within);
        } else if let Some(filter) = self.filter_mut() {
            filter.hurry(now, within);
        }
    }
}

/// Questions.
impl<S> Connection<S> {
    /// When a header or a handshake must be over. Not while it closes, which has a limit of its own.
    pub(super) fn preparation_deadline(&self) -> Option<Instant> {
        match &self.life {
            Life::Preparing(Preparation::Header(header)) => Some(header.deadline()),
            _ => self.filter().filter(|_| self.is_open())?.deadline(),
        }
    }

    /// The reason if that was not in time.
    pub(super) fn late_preparation(&self) -> Option<Reason> {
        match &self.life {
            Life::Preparing(Preparation::Header(header)) => Some(header.timed_out()),
            _ => self.filter().map(Filter::timed_out),
        }
    }

    /// Whether a preparation may read: its bytes are not the protocol's, which may have paused.
    pub(super) fn may_prepare(&self) -> bool {
        self.ready.contains(Readiness::READABLE) && !self.held.intersects(Holds::READ_RATE)
    }
}

/// Steps of `next`.
impl<S: ByteStream> Connection<S> {
    /// The end of all preparations.
    #[inline(always)]
    pub(super) fn announce(&mut self, common: &Common) -> Next {
        self.traffic.note_announced(common);
        self.told = Told::Made;
        self.life = Life::Open;
        if common.shutting_down {
            self.ready |= Readiness::READABLE; // as in `shut_down`
        }
        Next::Tell(Tell::Made)
    }

    /// Before a connection is announced.
    pub(super) fn while_preparing(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        match &self.life {
            _ if !HAS_STEPS => Next::Gone,
            Life::Preparing(Preparation::Header(_)) => self.await_header(io, common, buffer),
            Life::Preparing(Preparation::Identified(_)) => Next::Prepared,
            _ if self.is_handshaking() => self.shake_hands(io, common, buffer),
            _ => {
                self.life = Life::New;
                Next::Prepared
            }
        }
    }

    #[inline(never)]
    fn await_header(&mut self, io: &mut Io, common: &mut Common, buffer: &mut ReadBuffer) -> Next {
        let waits = self.may_prepare();
        if waits && io.read > 0 {
            return self.read_header(io, common, buffer);
        }
        self.settle(io, common, buffer, waits)
    }

    fn read_header(&mut self, io: &mut Io, common: &mut Common, buffer: &mut ReadBuffer) -> Next {
        let Life::Preparing(Preparation::Header(header)) = &self.life else { return Next::Again };
        let most = header.room().min(buffer.len()).min(io.read);
        let room = self.rate_allows(Direction::Reading, most, common);
        if room == 0 {
            return Next::Again; // held by its rate
        }
        let into = self.room(buffer, common);
        match self.receive(&mut into[..room]) {
            Received::Bytes(count) => {
                self.note_read(count, io, common);
                self.take_header(&into[..count], common)
            }
            Received::End => {
                if let Life::Preparing(Preparation::Header(header)) = &self.life {
                    let reason = header.truncated();
                    self.end(reason);
                }
                Next::Gone
            }
            Received::Nothing => Next::Again,
            Received::Failed(error) => self.fail(error),
        }
    }

    /// Takes bytes of the header. Those behind it are put back.
    fn take_header(&mut self, bytes: &[u8], common: &mut Common) -> Next {
        let Life::Preparing(Preparation::Header(header)) = &mut self.life else {
            return Next::Again;
        };
        match header.take(bytes) {
            Taken::More => Next::Again,
            Taken::Whole(info, behind) => {
                self.life = Life::Preparing(Preparation::Identified(info));
                if let Some(extras) = &mut self.extras
                    && !behind.is_empty()
                {
                    extras.kept.push(&behind, &mut common.spares.vectors);
                }
                Next::Prepared
            }
            Taken::Wrong(reason) => {
                self.abort(reason); // nothing was said yet that a reset could take away
                Next::Gone
            }
        }
    }
}
