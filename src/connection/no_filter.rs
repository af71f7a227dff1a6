//! In the place of `filter.rs` without the feature `tls`: no connection has a filter, and the compiler knows it.

use std::any::Any;
use std::io;
use std::time::{Duration, Instant};

use crate::parts::outgoing::{Outgoing, Spares};
use crate::parts::write_buffer::WriteBuffer;
use crate::reason::Reason;

#[derive(Debug)]
pub(crate) enum Filter {}

#[derive(Debug)]
pub(crate) enum Engine {}

#[expect(dead_code, reason = "nobody can make one")]
pub(super) enum SealError {
    Keys(io::Error),
    File(io::Error),
}

#[expect(dead_code, reason = "nobody can make one")]
pub(super) enum Opened {
    More,
    Ended,
    Failed(Reason),
    Panicked(Box<dyn Any + Send>),
}

#[expect(clippy::needless_pass_by_ref_mut, reason = "the same interface")]
impl Filter {
    pub(super) fn begin(engine: Engine, _: Instant, _: Outgoing, _: &mut Spares) -> Box<Self> {
        match engine {}
    }

    pub(super) fn take_early(&mut self, _: &mut WriteBuffer, _: &mut Spares) -> bool {
        match *self {}
    }

    pub(super) fn early(&mut self) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(super) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(super) fn is_closed(&self) -> bool {
        match *self {}
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn hurry(&mut self, _: Instant, _: Duration) {
        match *self {}
    }

    pub(super) fn wire(&self) -> &Outgoing {
        match *self {}
    }

    pub(super) fn in_memory(&self) -> usize {
        match *self {}
    }

    pub(super) fn wire_mut(&mut self) -> &mut Outgoing {
        match *self {}
    }

    pub(super) fn can_send(&self, _: bool, _: bool) -> bool {
        match *self {}
    }

    pub(super) fn is_unfinished(&self, _: bool, _: bool) -> bool {
        match *self {}
    }

    pub(super) fn seal(
        &mut self,
        _: &mut Outgoing,
        _: usize,
        _: bool,
        _: &mut Spares,
        _: &mut [u8],
    ) -> Result<(), SealError> {
        match *self {}
    }

    pub(super) fn open(
        &mut self,
        _: &[u8],
        _: &mut Spares,
        _: &mut dyn FnMut(&[u8], &mut Spares),
    ) -> Opened {
        match *self {}
    }

    pub(super) fn put_off(&mut self, _: Reason) {
        match *self {}
    }

    pub(super) fn take_failure(&mut self) -> Option<Reason> {
        match *self {}
    }

    pub(super) fn truncated(&self) -> Option<Reason> {
        match *self {}
    }

    pub(super) fn timed_out(&self) -> Reason {
        match *self {}
    }
}
