//! In the place of `header.rs` without the feature `proxy`: no connection has a header, and the compiler knows it.

use std::time::{Duration, Instant};

use crate::reason::Reason;

#[derive(Debug)]
pub(crate) enum Header {}

#[derive(Debug)]
pub(crate) enum ProxyInfo {}

#[expect(dead_code, reason = "nobody can make one")]
pub(super) enum Taken {
    More,
    Whole(Box<ProxyInfo>, Vec<u8>),
    Wrong(Reason),
}

#[expect(clippy::needless_pass_by_ref_mut, reason = "the same interface")]
impl Header {
    pub(super) fn room(&self) -> usize {
        match *self {}
    }

    pub(super) fn take(&mut self, _: &[u8]) -> Taken {
        match *self {}
    }

    pub(super) fn deadline(&self) -> Instant {
        match *self {}
    }

    pub(super) fn hurry(&mut self, _: Instant, _: Duration) {
        match *self {}
    }

    pub(super) fn truncated(&self) -> Reason {
        match *self {}
    }

    pub(super) fn timed_out(&self) -> Reason {
        match *self {}
    }
}
