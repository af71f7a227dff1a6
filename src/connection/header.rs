//! The PROXY header of a connection until it is whole.
//!
//! `no_header.rs` stands in its place without the feature `proxy`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::parts::clock::later;
use crate::proxy::{self, Fault, HEADER_TIMEOUT, LONGEST_HEADER, ProxyError};
use crate::reason::Reason;

pub(crate) use crate::proxy::ProxyInfo;

#[derive(Debug)]
pub(crate) struct Header {
    proxy: Address,
    /// Its bytes that have come.
    bytes: Vec<u8>,
    /// When it must be whole.
    by: Instant,
}

/// The outcome of a read.
pub(super) enum Taken {
    More,
    /// It is whole. These bytes came behind it.
    Whole(Box<ProxyInfo>, Vec<u8>),
    Wrong(Reason),
}

impl Header {
    pub(crate) fn new(proxy: Address, now: Instant) -> Self {
        Self { proxy, bytes: Vec::new(), by: later(now, HEADER_TIMEOUT) }
    }

    /// How many bytes may be read, at least one: one that is longer than that is refused before.
    pub(super) fn room(&self) -> usize {
        LONGEST_HEADER - self.bytes.len()
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> Taken {
        self.bytes.extend_from_slice(bytes);
        match proxy::read(&self.bytes, &self.proxy) {
            Ok(None) => Taken::More,
            Ok(Some((info, len))) => Taken::Whole(Box::new(info), self.bytes.split_off(len)),
            Err(fault) => Taken::Wrong(self.failed(fault)),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.by
    }

    /// Has it end within this time, if it would not anyway.
    pub(super) fn hurry(&mut self, now: Instant, within: Duration) {
        self.by = self.by.min(later(now, within));
    }

    pub(super) fn truncated(&self) -> Reason {
        self.failed(Fault::Truncated)
    }

    pub(super) fn timed_out(&self) -> Reason {
        self.failed(Fault::TimedOut)
    }

    fn failed(&self, fault: Fault) -> Reason {
        Reason::Proxy { error: Arc::new(ProxyError::new(fault, self.proxy.clone())) }
    }
}
