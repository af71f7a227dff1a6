//! A connection with a filter: the way of the bytes through it.
//!
//! Bytes that were put back when TLS begins, by a protocol or by the step of the preparation before it, are its
//! first input.

use std::io;
use std::mem;
use std::time::Instant;

use super::extras::{Direction, Extras};
use super::filter::{Engine, Filter, Opened, SealError};
use super::input::Received;
use super::{
    Common, Connection, End, Holds, Input, Io, Life, Next, Output, ReadBuffer, Side, Tell,
};
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// How many bytes are read at once from a connection with a filter, or from a file, into a buffer that all share. With
/// what the filter had before, they fit into the read buffer.
pub(super) const READ: usize = 48 * 1024;

/// How much more a read may bring than it has read: a record that was almost complete.
const BEFORE: usize = 16 * 1024;

/// Commands.
impl<S: ByteStream> Connection<S> {
    /// Begins TLS in the middle: what was written before leaves in clear, and what is put back until the next
    /// step is the peer's first. Returns whether it will.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no filter"))]
    pub(crate) fn start_tls(&mut self, engine: Engine, now: Instant, common: &mut Common) -> bool {
        let open = self.input == Input::Open && self.output == Output::Open;
        if !self.is_up() || !self.is_open() || !open || self.filter().is_some() {
            return false;
        }
        self.add_filter(engine, now, common);
        true
    }

    pub(super) fn add_filter(&mut self, engine: Engine, now: Instant, common: &mut Common) {
        let clear = mem::take(&mut self.outgoing);
        let filter = Filter::begin(engine, now, clear, &mut common.spares);
        self.extras_mut(common).filter = Some(filter);
    }

    #[cfg(feature = "tls")]
    pub(crate) fn allow_truncation(&mut self, allowed: bool) -> bool {
        let filter = self.filter_mut();
        filter.map(|filter| filter.allow_truncation(allowed)).is_some()
    }

    /// The outcome of the handshake, once it is over.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Option<crate::tls::TlsInfo> {
        self.filter()?.info()
    }
}

impl Extras {
    /// Without the feature there is none, and the compiler knows it.
    #[inline(always)]
    pub(super) fn filter(&self) -> Option<&Filter> {
        if cfg!(feature = "tls") { self.filter.as_deref() } else { None }
    }

    #[inline(always)]
    pub(super) fn filter_mut(&mut self) -> Option<&mut Filter> {
        if cfg!(feature = "tls") { self.filter.as_deref_mut() } else { None }
    }
}

/// Questions.
impl<S> Connection<S> {
    #[inline(always)]
    pub(super) fn filter(&self) -> Option<&Filter> {
        self.extras.as_ref()?.filter()
    }

    #[inline(always)]
    pub(super) fn filter_mut(&mut self) -> Option<&mut Filter> {
        self.extras.as_mut()?.filter_mut()
    }

    /// How many bytes wait to be handed to the kernel, encrypted or still to be, in memory or in a file.
    #[inline(always)]
    pub(crate) fn buffered(&self) -> usize {
        self.outgoing.len() + self.filter().map_or(0, |filter| filter.wire().len())
    }

    /// How many of them are in memory.
    #[inline(always)]
    pub(crate) fn in_memory(&self) -> usize {
        self.outgoing.in_memory() + self.filter().map_or(0, Filter::in_memory)
    }

    /// Whether bytes of the read buffer are still to be sent.
    #[inline(always)]
    pub(super) fn is_lent(&self) -> bool {
        self.outgoing.is_lent() || self.filter().is_some_and(|filter| filter.wire().is_lent())
    }

    #[inline(always)]
    pub(crate) fn is_handshaking(&self) -> bool {
        self.filter().is_some_and(Filter::is_handshaking)
    }

    #[cfg(feature = "tls")]
    pub(crate) fn is_encrypted(&self) -> bool {
        self.filter().is_some_and(Filter::is_secure)
    }
}

/// Steps of `next`.
impl<S: ByteStream> Connection<S> {
    /// Whether what waits can leave only after the handshake.
    pub(super) fn has_to_shake_hands(&self) -> bool {
        self.is_handshaking() && self.is_unfinished()
    }

    /// A step of a handshake before which nothing can be told.
    #[inline(never)]
    pub(super) fn shake_hands(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        let mut more = false;
        if self.may_deliver() {
            if io.read > 0 {
                return self.pull(io, common, buffer);
            }
            more = true; // but not in this visit
        }
        if io.write.is_some() {
            match self.flush(io, common, buffer) {
                Ok(unsent) => more |= unsent,
                Err(error) => return self.break_off(error, common),
            }
        }
        self.settle(io, common, buffer, more)
    }

    /// Reads once, through the filter.
    #[inline(never)]
    pub(super) fn pull(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        if let Some(failure) = self.filter_mut().and_then(Filter::take_failure) {
            return self.fail_tls(failure, common);
        }
        if let Some(early) = self.filter_mut().and_then(Filter::early) {
            return self.open(&early, common, buffer);
        }
        let fits = buffer.len().checked_sub(BEFORE).filter(|&fits| fits > 0);
        let most = fits.unwrap_or(buffer.len()).min(READ).min(io.read);
        let room = self.rate_allows(Direction::Reading, most, common);
        if room == 0 {
            return Next::Again; // held by its rate
        }
        let mut wire = mem::take(&mut common.wire);
        wire.resize(READ, 0);
        let next = match self.receive(&mut wire[..room]) {
            Received::Bytes(count) => {
                self.note_read(count, io, common);
                self.open(&wire[..count], common, buffer)
            }
            Received::End => self.end_of_stream(),
            Received::Nothing if self.output == Output::Broken => self.finish(),
            Received::Nothing => Next::Again,
            Received::Failed(error) => self.fail(error),
        };
        common.wire = wire;
        next
    }

    /// Takes bytes of the wire. Plain ones are told, or kept for a protocol that does not hear them yet.
    fn open(&mut self, bytes: &[u8], common: &mut Common, buffer: &mut ReadBuffer) -> Next {
        let hears = self.hears() && !self.held.are_against_delivering() && self.kept() == 0;
        let keeps = self.is_open();
        let room = self.room(buffer, common);
        let Some(extras) = &mut self.extras else { return Next::Again };
        let (kept, mut told) = (&mut extras.kept, 0);
        let Some(filter) = &mut extras.filter else { return Next::Again };
        let opened = filter.open(bytes, &mut common.spares, &mut |plain, spares| {
            let here = if hears { plain.len().min(room.len() - told) } else { 0 };
            room[told..told + here].copy_from_slice(&plain[..here]);
            told += here;
            if keeps && here < plain.len() {
                kept.push(&plain[here..], &mut spares.vectors);
            }
        });
        match opened {
            Opened::More => {}
            Opened::Ended => {
                self.input = Input::Ended;
                self.ended_first.get_or_insert(Side::Peer);
                self.ready.remove(Readiness::READABLE);
            }
            Opened::Failed(reason) if told == 0 && kept.is_empty() => {
                return self.fail_tls(reason, common);
            }
            Opened::Failed(reason) => {
                filter.put_off(reason);
                self.ready |= Readiness::READABLE;
            }
            Opened::Panicked(payload) => {
                common.panic = Some(payload);
                self.end_by_fault(Reason::config_panicked());
                return Next::Gone;
            }
        }
        if told == 0 {
            return Next::Again;
        }
        buffer.tell(told);
        Next::Tell(Tell::Data)
    }

    /// The end of the stream. It is the peer's end only if TLS has said so, or the protocol knows better.
    fn end_of_stream(&mut self) -> Next {
        let Some(reason) = self.filter().and_then(Filter::truncated) else { return Next::Again };
        if self.output == Output::Broken {
            return self.finish(); // and that is why
        }
        if self.is_handshaking() {
            self.end(reason); // nothing was cut that anybody took for the whole
        } else {
            self.end_by_failure(reason);
        }
        Next::Gone
    }

    /// TLS has failed. Nothing more is told; an alert tells the peer.
    #[inline(never)]
    pub(super) fn fail_tls(&mut self, reason: Reason, common: &mut Common) -> Next {
        self.outgoing.clear(&mut common.spares);
        if let Some(extras) = &mut self.extras {
            extras.kept.clear(&mut common.spares.vectors);
        }
        if self.output == Output::Broken {
            self.end(reason);
            return Next::Gone;
        }
        self.want_fin();
        self.held.remove(Holds::UNREAD);
        self.life = Life::Ending(End::Closing, reason);
        Next::Again
    }

    /// Takes what was put back before TLS began for its first bytes, and what was written before for its first output.
    pub(super) fn begin_filter(&mut self, common: &mut Common, buffer: &ReadBuffer) {
        if self.filter().is_some() {
            self.copy_lent(buffer, common);
        }
        let Some(extras) = &mut self.extras else { return };
        let Some(filter) = &mut extras.filter else { return };
        if filter.take_early(&mut extras.kept, &mut common.spares) {
            self.held.remove(Holds::UNREAD);
            self.ready |= Readiness::READABLE;
        }
    }

    /// Encrypts as much as this step may send.
    #[inline(never)]
    pub(super) fn seal(&mut self, most: usize, common: &mut Common) -> io::Result<()> {
        let last = self.output == Output::FinWanted;
        let Some(filter) = self.extras.as_mut().and_then(|extras| extras.filter.as_mut()) else {
            return Ok(());
        };
        let Common { wire, spares, .. } = common;
        wire.resize(READ, 0);
        match filter.seal(&mut self.outgoing, most, last, spares, wire) {
            Ok(()) => Ok(()),
            Err(SealError::Keys(error)) => Err(error),
            Err(SealError::File(error)) => Err(self.end_by_file(error)),
        }
    }
}
