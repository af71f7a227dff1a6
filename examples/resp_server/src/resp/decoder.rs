//! The requests of one connection, decoded from bytes in portions of any size.
//!
//! ```text
//! *2\r\n$3\r\nGET\r\n$3\r\nkey\r\n    an array of bulk strings, as programs send it
//! GET key\r\n                        a line of words, as people type it
//! ```
//!
//! Complete requests in the received bytes are handed out as slices: nothing is copied, nothing
//! allocated. Only the rest after the last complete request is kept. Each byte of it is decoded
//! once, for portions of any size: the work is linear in the bytes. Memory grows with the bytes
//! that came, never with the lengths that a header announces. A [big](super::BIG) word that is not
//! complete grows in memory of its own: whoever keeps it needs no copy.

use std::ops::ControlFlow;

use super::args::Args;
use super::error::ProtocolError;
use super::request::{MOST_MAX_BULK, Request};

/// Room in bytes that is kept for the start of the next request: as much as one read brings.
const SPARE_BYTES: usize = 64 * 1024;

/// Decodes the requests of one connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    request: Request,
    /// Received bytes; the first `used` of them are decoded. Empty between requests.
    kept: Vec<u8>,
    used: usize,
}

impl Decoder {
    pub(crate) fn new(max_bulk: usize) -> Self {
        let max_bulk = max_bulk.min(MOST_MAX_BULK);
        Self { request: Request::new(max_bulk), kept: Vec::new(), used: 0 }
    }

    /// Keeps `data` until the next [`decode`](Self::decode).
    pub(crate) fn keep(&mut self, data: &[u8]) {
        if self.used > 0 {
            self.kept.drain(..self.used);
            self.kept.shrink_to(SPARE_BYTES);
            self.used = 0;
        }
        self.kept.extend_from_slice(data);
    }

    /// Calls `each` with each complete request, those kept first, until it breaks. Returns whether
    /// it did; then the bytes after the request are kept.
    ///
    /// # Errors
    ///
    /// If the input is invalid. The requests before were handed out; do not decode any more.
    pub(crate) fn decode(
        &mut self,
        data: &[u8],
        each: impl FnMut(Args<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ProtocolError> {
        let data = self.request.fill(data);
        let flow = if self.kept.is_empty() {
            let (used, flow) = self.request.decode(data, each)?;
            self.kept.extend_from_slice(&data[used..]);
            flow
        } else {
            if !data.is_empty() {
                self.keep(data);
            }
            let (used, flow) = self.request.decode(&self.kept[self.used..], each)?;
            self.used += used;
            flow
        };
        if let Some(at) = self.request.big_word_begins(self.kept.len() - self.used) {
            self.request.fill_from(self.kept.split_off(self.used + at));
        } else if self.used == self.kept.len() {
            self.kept = Vec::new(); // an idle connection owns no buffer
            self.used = 0;
        }
        Ok(flow)
    }
}

#[cfg(test)]
mod tests;
