//! Sending from the read buffer: what is echoed is not copied.
//!
//! `data_received` is lent the bytes of a read. If it writes some of them back, they become a piece of the output, and
//! the next step sends them from where they lie. Before the buffer is filled anew, and at the end of each visit,
//! what the kernel has not taken of them is copied. So [`Connection::room`] is the only way to fill the buffer.

use std::mem;
use std::ops::Range;

use super::read_buffer::{ReadBuffer, address};
use super::{Common, Connection};
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;

/// The bytes that a protocol is being told, at the beginning of the read buffer.
#[derive(Debug)]
pub(crate) struct Loan {
    /// Where they lie, as addresses.
    place: Range<usize>,
    /// Fewer that are written back are copied.
    least: usize,
}

impl Loan {
    pub(super) fn none(least: usize) -> Self {
        Self { place: 0..0, least }
    }

    pub(crate) fn begin(&mut self, told: &[u8]) {
        self.place = address(told);
    }

    pub(crate) fn end(&mut self) {
        self.place = 0..0;
    }

    /// The place in the buffer of bytes that are written back; `None`: they are to be copied.
    #[inline]
    fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        if bytes.len() < self.least {
            return None;
        }
        let Range { start, end } = address(bytes);
        let begin = self.place.start;
        (begin <= start && end <= self.place.end).then(|| start - begin..end - begin)
    }
}

/// Commands.
impl<S: ByteStream> Connection<S> {
    /// As [`write`](Self::write), by the protocol that is being told something: if it is told bytes and writes them
    /// back, they are noted, and not copied.
    #[inline]
    pub(crate) fn write_back(&mut self, data: &[u8], common: &mut Common) -> bool {
        // A filter copies them anyway.
        if let Some(place) = common.loan.find(data)
            && self.filter().is_none()
        {
            let takes = self.takes_more();
            if takes {
                self.outgoing.lend(place, &mut common.spares);
            }
            return takes;
        }
        self.write(data, common)
    }

    /// Begins a visit; returns how many bytes wait in memory.
    #[inline(always)]
    pub(crate) fn begin_visit(&mut self) -> usize {
        let nothing_waits = !self.has_plain() && self.is_straight();
        if nothing_waits { 0 } else { self.begin_rarer_visit() }
    }

    /// Aborts it if a visit has not ended as it should, and bytes that were lent are lost: a callback has replaced its
    /// reactor by another. Returns how many bytes wait in memory.
    #[inline(never)]
    fn begin_rarer_visit(&mut self) -> usize {
        if self.is_lent() {
            self.abort(Reason::Aborted); // one that is gone keeps its reason
        }
        self.in_memory()
    }
}

/// Steps of `next`.
impl<S: ByteStream> Connection<S> {
    /// The buffer, to be filled anew.
    #[inline(always)]
    pub(super) fn room<'b>(
        &mut self,
        buffer: &'b mut ReadBuffer,
        common: &mut Common,
    ) -> &'b mut [u8] {
        self.copy_lent(buffer, common);
        buffer.bytes_mut()
    }

    /// Copies what is still to be sent of the buffer.
    #[inline(always)]
    pub(super) fn copy_lent(&mut self, buffer: &ReadBuffer, common: &mut Common) {
        if self.is_lent() {
            let mut queue = mem::take(self.waiting());
            queue.copy_lent(buffer.bytes(), &mut common.spares);
            *self.waiting() = queue;
        }
    }
}
