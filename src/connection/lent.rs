//! Sending from the read buffer: what is echoed is not copied.
//!
//! `data_received` is lent the bytes of a read. If it writes some of them back, they become a piece of the output, and
//! the next step sends them from where they lie. Before the buffer is filled anew, and at the end of each visit,
//! what the kernel has not taken of them is copied. So [`Connection::room`] is the only way to fill the buffer.

use std::mem;
use std::ops::Range;

use bytes::{Buf, BytesMut};

use super::{Common, Connection};
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;

/// The buffer begins at the beginning of a page, or it is read into slowly: a long copy by `rep movsb`, as the kernel's
/// are, takes five times as long on an AMD Zen 3 if it goes to a place a few bytes further in its page than it comes
/// from. A large allocation begins 16 bytes behind the beginning of a page, and what a peer has sent in the kernel often
/// at the beginning of one.
const PAGE: usize = 4096;

/// The buffer that all connections of a reactor are read into.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    memory: BytesMut,
}

impl ReadBuffer {
    pub(crate) fn new(size: usize) -> Self {
        let mut memory = BytesMut::zeroed(size + PAGE);
        memory.advance(memory.as_ptr().align_offset(PAGE).min(PAGE));
        memory.truncate(size);
        Self { memory }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.memory.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that a notice tells of: so many, at the beginning.
    #[inline]
    pub(crate) fn told(&self, count: usize) -> &[u8] {
        &self.bytes()[..count]
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

/// The bytes that a protocol is being told, at the beginning of the read buffer.
#[derive(Debug)]
pub(super) struct Loan {
    /// Where they lie, as addresses.
    place: Range<usize>,
    /// Fewer that are written back are copied.
    least: usize,
}

impl Loan {
    pub(super) fn none(least: usize) -> Self {
        Self { place: 0..0, least }
    }

    pub(super) fn begin(&mut self, told: &[u8]) {
        self.place = address(told);
    }

    pub(super) fn end(&mut self) {
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

fn address(bytes: &[u8]) -> Range<usize> {
    let Range { start, end } = bytes.as_ptr_range();
    start as usize..end as usize
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

    /// Ends it if a visit has not ended as it should, and bytes that were lent are lost: a callback has replaced its
    /// reactor by another.
    #[inline]
    pub(crate) fn check_loan(&mut self) {
        if self.is_lent() {
            self.end_by_fault(Reason::Aborted);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_buffer_begins_with_a_page_and_is_whole() {
        for size in [1, 64, PAGE, 256 * 1024] {
            let mut buffer = ReadBuffer::new(size);
            assert_eq!(buffer.bytes_mut().as_ptr().addr() % PAGE, 0, "{size}");
            assert_eq!((buffer.bytes().len(), buffer.len()), (size, size));
        }
        assert!(ReadBuffer::default().is_empty());
    }
}
