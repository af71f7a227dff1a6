//! The filter between the stream and the buffers: plain bytes on one side, those of the wire on the other.
//!
//! TLS is the only one. It has bytes of its own to send, an end of its own, and errors of its own.
//! `no_filter.rs` stands in its place without the feature `tls`.

use std::any::Any;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::parts::clock::later;
use crate::parts::outgoing::{Outgoing, Spares};
use crate::parts::write_buffer::WriteBuffer;
use crate::reason::Reason;
use crate::tls::{Fault, HANDSHAKE_TIMEOUT, Opened as Read};

pub(crate) use crate::tls::Engine;

/// The most plain bytes of a record. As many as a multiple of it are encrypted at once, so that records are full.
const RECORD: usize = 16 * 1024;

/// How many bytes may be ready for the wire: more than the kernel takes at once, mostly. Bytes for a peer that does not
/// read wait plain, and once.
const MOST_SEALED: usize = 1024 * 1024;

/// The first byte of an alert that TLS 1.2 sends; version 1.3 makes all of its records look like data.
const ALERT: u8 = 21;

pub(crate) struct Filter {
    engine: Engine,
    /// The bytes that are ready to leave: those in clear from before the switch, then those of TLS.
    wire: Outgoing,
    /// The last bytes of the wire are of files: no more than so many.
    filed: usize,
    /// The bytes of TLS that came before this began, along with something else.
    early: Vec<u8>,
    state: State,
    /// When the handshake must be over.
    by: Instant,
    /// Told when the bytes that came before it are delivered.
    failure: Option<Reason>,
    /// Whether an end without close_notify counts as an end.
    truncation_allowed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Handshaking,
    Up,
    /// Nothing more is encrypted: close_notify was, or TLS has failed.
    Finished,
}

/// Why no more can be encrypted.
pub(super) enum SealError {
    /// The keys are used up.
    Keys(io::Error),
    /// A file cannot be read.
    File(io::Error),
}

/// The outcome of opening the bytes of a read.
pub(super) enum Opened {
    More,
    /// The peer's last byte came before, and it says so.
    Ended,
    Failed(Reason),
    /// Code of the config has.
    Panicked(Box<dyn Any + Send>),
}

impl Filter {
    /// Begins TLS, behind bytes that are still to leave in clear.
    pub(super) fn begin(
        engine: Engine,
        now: Instant,
        clear: Outgoing,
        spares: &mut Spares,
    ) -> Box<Self> {
        let by = later(now, HANDSHAKE_TIMEOUT);
        let (early, state) = (Vec::new(), State::Handshaking);
        let mut filter = Self {
            engine,
            wire: clear,
            filed: 0,
            early,
            state,
            by,
            failure: None,
            truncation_allowed: false,
        };
        filter.take_sealed(spares);
        Box::new(filter)
    }

    /// Takes what was put back for bytes of TLS, as long as nothing else can have come. Returns whether it has.
    pub(super) fn take_early(&mut self, kept: &mut WriteBuffer, spares: &mut Spares) -> bool {
        if !self.is_handshaking() || kept.is_empty() {
            return false;
        }
        self.early.extend_from_slice(kept.unsent());
        kept.clear(&mut spares.vectors);
        true
    }

    /// The bytes that came before a read, to be [opened](Self::open).
    pub(super) fn early(&mut self) -> Option<Vec<u8>> {
        (!self.early.is_empty()).then(|| mem::take(&mut self.early))
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.state == State::Handshaking
    }

    /// Whether the handshake has come to a good end; a failed one is over too.
    pub(super) fn is_secure(&self) -> bool {
        !self.engine.is_handshaking()
    }

    /// When the handshake must be over, if it is not.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.is_handshaking().then_some(self.by)
    }

    /// Has the handshake end within this time, if it would not anyway.
    pub(super) fn hurry(&mut self, now: Instant, within: Duration) {
        self.by = self.by.min(later(now, within));
    }

    /// Whether nothing is left to be encrypted, now or later.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Finished
    }

    /// The bytes for the wire.
    #[inline]
    pub(super) fn wire(&self) -> &Outgoing {
        &self.wire
    }

    /// How many of them are in memory; those that were read from a file do not count.
    pub(super) fn in_memory(&self) -> usize {
        let all = self.wire.in_memory();
        all - self.filed.min(all)
    }

    #[inline]
    pub(super) fn wire_mut(&mut self) -> &mut Outgoing {
        &mut self.wire
    }

    /// Whether it has something to send now. `plain`: bytes wait to be encrypted; `fin`: they are the last.
    pub(super) fn can_send(&self, plain: bool, fin: bool) -> bool {
        !self.wire.is_empty() || (self.state == State::Up && (plain || fin))
    }

    /// Whether FIN must wait: for bytes, for the close_notify, or, while this side is `open`, for the handshake.
    pub(super) fn is_unfinished(&self, plain: bool, open: bool) -> bool {
        let notify = match self.state {
            State::Handshaking => open,
            State::Up => true,
            State::Finished => false,
        };
        !self.wire.is_empty() || plain || notify
    }

    /// Encrypts bytes, until `most` are ready for the wire, and close_notify behind them if they are the `last`.
    ///
    /// One record at a time, so that each is copied while it is in the cache, and all have the same memory. Bytes of a
    /// file are read into `buffer` before. Bytes in memory behind them wait until these have left.
    ///
    /// # Errors
    ///
    /// If the keys are used up, or the file cannot be read.
    pub(super) fn seal(
        &mut self,
        plain: &mut Outgoing,
        most: usize,
        last: bool,
        spares: &mut Spares,
        buffer: &mut [u8],
    ) -> Result<(), SealError> {
        if self.state != State::Up {
            return Ok(());
        }
        let room = most.min(MOST_SEALED).saturating_sub(self.wire.len()).next_multiple_of(RECORD);
        let mut left = plain.len().min(room);
        while left > 0 {
            let (of_file, before) = (plain.file().is_some(), self.wire.len());
            self.filed = self.filed.min(before);
            if self.filed > 0 && !of_file {
                break;
            }
            let count =
                self.seal_some(plain.read(left, buffer).map_err(SealError::File)?, spares)?;
            if of_file {
                self.filed += self.wire.len() - before;
            }
            plain.advance(count, spares);
            left -= count;
        }
        if last && plain.is_empty() {
            self.state = State::Finished;
            self.engine.close();
            self.take_sealed(spares);
        }
        Ok(())
    }

    fn seal_some(&mut self, plain: &[u8], spares: &mut Spares) -> Result<usize, SealError> {
        for record in plain.chunks(RECORD) {
            self.engine.seal(record);
            if !self.take_records(spares) {
                self.state = State::Finished;
                return Err(SealError::Keys(io::Error::other(self.engine.error(used_up()))));
            }
        }
        Ok(plain.len())
    }

    /// Takes bytes of the wire; `sink` gets the plain ones.
    pub(super) fn open(
        &mut self,
        bytes: &[u8],
        spares: &mut Spares,
        sink: &mut dyn FnMut(&[u8], &mut Spares),
    ) -> Opened {
        let opened = self.engine.open(bytes, &mut |plain| sink(plain, spares));
        if self.state == State::Finished {
            self.engine.sealed(&mut |_| {}); // nothing follows close_notify, not even an alert
        } else {
            self.take_sealed(spares);
        }
        if self.state == State::Handshaking && !self.engine.is_handshaking() {
            self.state = State::Up;
        }
        match opened {
            Ok(Read::More) => Opened::More,
            Ok(Read::Ended) => Opened::Ended,
            Ok(Read::Panicked(payload)) => {
                self.state = State::Finished;
                Opened::Panicked(payload)
            }
            Err(error) => {
                let reason = self.failed(Fault::Tls(error));
                self.state = State::Finished;
                Opened::Failed(reason)
            }
        }
    }

    /// Keeps a failure until what came before it is delivered.
    pub(super) fn put_off(&mut self, failure: Reason) {
        self.failure = Some(failure);
    }

    pub(super) fn take_failure(&mut self) -> Option<Reason> {
        self.failure.take()
    }

    pub(super) fn allow_truncation(&mut self, allowed: bool) {
        self.truncation_allowed = allowed;
    }

    /// The reason of an end that the peer did not announce; `None` if it is an end like any other.
    pub(super) fn truncated(&self) -> Option<Reason> {
        let fine = self.truncation_allowed && !self.is_handshaking();
        (!fine).then(|| self.failed(Fault::Truncated))
    }

    pub(super) fn timed_out(&self) -> Reason {
        self.failed(Fault::TimedOut)
    }

    fn failed(&self, fault: Fault) -> Reason {
        Reason::Tls { error: Arc::new(self.engine.error(fault)) }
    }

    fn take_sealed(&mut self, spares: &mut Spares) {
        let Self { engine, wire, .. } = self;
        engine.sealed(&mut |record| wire.push(record, spares));
    }

    /// Takes the records of plain bytes; `false` if there are none, because the keys are used up.
    ///
    /// TLS 1.2 has no way to renew its keys. rustls says close_notify then, in place of the bytes. The peer must not
    /// get that: it would take what it has for all.
    fn take_records(&mut self, spares: &mut Spares) -> bool {
        let Self { engine, wire, .. } = self;
        let mut used_up = false;
        let count = engine.sealed(&mut |record| match record.first() {
            Some(&ALERT) => used_up = true,
            _ => wire.push(record, spares),
        });
        count > 0 && !used_up
    }

    /// The outcome of the handshake, once it is over.
    pub(super) fn info(&self) -> Option<crate::tls::TlsInfo> {
        self.is_secure().then(|| self.engine.info())
    }
}

fn used_up() -> Fault {
    Fault::Tls(rustls::Error::General("the keys of this connection are used up".to_owned()))
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("state", &self.state).finish_non_exhaustive()
    }
}
