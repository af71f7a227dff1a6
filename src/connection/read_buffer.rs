//! The buffer that all connections of a reactor are read into, and bytes of it that others keep.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

/// The buffer begins at the beginning of a page, or it is read into slowly: a long copy by `rep movsb`, as the kernel's
/// are, takes five times as long on an AMD Zen 3 if it goes to a place a few bytes further in its page than it comes
/// from. A large allocation begins 16 bytes behind the beginning of a page, and what a peer has sent in the kernel often
/// at the beginning of one.
const PAGE: usize = 4096;

/// So many buffers beside the one that is read into may have bytes that others keep. Then nothing is shared, but copied by
/// those who want it, until one is free: or a few bytes that somebody keeps would each take a whole buffer.
const MOST_KEPT: usize = 8;

/// After so many turns that needed no other buffer the free ones are given back. So if somebody keeps bytes now and then,
/// those buffers are allocated anew once in so many turns at most.
const QUIET: u32 = 500;

/// The buffer that all connections of a reactor are read into.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    /// Shared with those who keep bytes of it. Then the next read gets another.
    memory: Arc<BytesMut>,
    /// Those that it was exchanged for, to be used again.
    others: Vec<Arc<BytesMut>>,
    /// How many bytes, at the beginning, the last notice of bytes tells of.
    told: usize,
    /// How many turns have ended since the last exchange.
    quiet: u32,
}

impl ReadBuffer {
    pub(crate) fn new(size: usize) -> Self {
        Self { memory: page_aligned(size), others: Vec::new(), told: 0, quiet: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.memory.len()
    }

    /// The bytes that the last notice of bytes tells of.
    #[inline]
    pub(crate) fn told(&self) -> &[u8] {
        &self.bytes()[..self.told]
    }

    /// Notes how many bytes the next notice tells of.
    #[inline]
    pub(super) fn tell(&mut self, count: usize) {
        self.told = count;
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory
    }

    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        if is_shared(&self.memory) {
            self.exchange();
        }
        // Nobody else has it: only `share` clones it.
        Arc::get_mut(&mut self.memory).map_or(&mut [], |memory| memory)
    }

    /// Takes a buffer of which nobody keeps bytes.
    #[cold]
    fn exchange(&mut self) {
        self.quiet = 0;
        match self.others.iter_mut().find(|other| !is_shared(other)) {
            Some(free) => mem::swap(free, &mut self.memory),
            None => {
                let new = page_aligned(self.len());
                self.others.push(mem::replace(&mut self.memory, new));
            }
        }
    }

    /// Gives the free ones back if they have not been needed for long.
    #[inline]
    pub(crate) fn end_turn(&mut self) {
        if !self.others.is_empty() {
            self.give_back_in_time();
        }
    }

    #[cold]
    fn give_back_in_time(&mut self) {
        self.quiet += 1;
        if self.quiet >= QUIET {
            self.quiet = 0;
            self.others.retain(is_shared);
        }
    }

    /// These bytes to be kept, without a copy. `None`: they are no part of the buffer, or too many buffers are kept.
    pub(crate) fn share(&self, data: &[u8]) -> Option<Bytes> {
        /// A part of the memory of a buffer, which is that of its owners.
        struct Part(Arc<BytesMut>, Range<usize>);

        impl AsRef<[u8]> for Part {
            fn as_ref(&self) -> &[u8] {
                &self.0[self.1.clone()]
            }
        }

        let (whole, part) = (address(&self.memory), address(data));
        let is_part = whole.start <= part.start && part.end <= whole.end;
        (is_part && self.may_be_kept()).then(|| {
            let range = part.start - whole.start..part.end - whole.start;
            Bytes::from_owner(Part(Arc::clone(&self.memory), range))
        })
    }

    /// Whether the next read has a buffer though this one is kept.
    fn may_be_kept(&self) -> bool {
        let is_free = |other: &Arc<_>| !is_shared(other);
        is_shared(&self.memory) || self.others.len() < MOST_KEPT || self.others.iter().any(is_free)
    }
}

fn page_aligned(size: usize) -> Arc<BytesMut> {
    let mut memory = BytesMut::zeroed(size + PAGE);
    memory.advance(memory.as_ptr().align_offset(PAGE).min(PAGE));
    memory.truncate(size);
    Arc::new(memory)
}

fn is_shared(memory: &Arc<BytesMut>) -> bool {
    Arc::strong_count(memory) > 1
}

/// Where bytes lie.
pub(super) fn address(bytes: &[u8]) -> Range<usize> {
    let Range { start, end } = bytes.as_ptr_range();
    start as usize..end as usize
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use super::*;

    #[test]
    fn the_read_buffer_begins_with_a_page_and_is_whole() {
        for size in [1, 64, PAGE, 256 * 1024] {
            let mut buffer = ReadBuffer::new(size);
            assert_eq!(buffer.bytes_mut().as_ptr().addr() % PAGE, 0, "{size}");
            assert_eq!((buffer.bytes().len(), buffer.len()), (size, size));
        }
    }

    /// Fills the buffer with a number, and shares it.
    fn read_and_share(buffer: &mut ReadBuffer, number: u8) -> Option<Bytes> {
        buffer.bytes_mut().fill(number);
        buffer.share(buffer.bytes())
    }

    #[test]
    fn bytes_that_are_kept_stay_and_their_buffer_is_used_again() {
        let mut buffer = ReadBuffer::new(10);
        let (mut kept, mut places) = (VecDeque::new(), HashSet::new());
        for round in 0..=u8::MAX {
            let shared = read_and_share(&mut buffer, round).expect("few are kept");
            assert_eq!(shared.as_ptr(), buffer.bytes().as_ptr(), "no copy");
            places.insert(shared.as_ptr());
            kept.push_back((round, shared));
            assert!(kept.iter().all(|(round, bytes)| bytes.iter().all(|byte| byte == round)));
            if kept.len() > 3 {
                kept.pop_front();
            }
        }
        assert_eq!(places.len(), 4);
    }

    #[test]
    fn no_more_than_nine_buffers_are_kept_however_long() {
        let mut buffer = ReadBuffer::new(10);
        let shared = (0..100).map(|number| read_and_share(&mut buffer, number));
        let mut kept: Vec<_> = shared.flatten().collect();
        assert_eq!((kept.len(), buffer.others.len()), (MOST_KEPT, MOST_KEPT));
        assert!(kept.iter().zip(0..).all(|(bytes, number)| bytes[..] == [number; 10]));
        kept.swap_remove(3);
        let next = read_and_share(&mut buffer, 100).expect("one is free");
        assert_eq!(
            buffer.share(&buffer.bytes()[1..3]),
            Some(next.slice(1..3)),
            "of the same buffer"
        );
        assert_eq!(read_and_share(&mut buffer, 101), None);
        assert_eq!(buffer.others.len(), MOST_KEPT);
    }

    #[test]
    fn buffers_that_are_not_needed_for_long_are_given_back() {
        let mut buffer = ReadBuffer::new(10);
        let mut kept: Vec<_> =
            (0..5).filter_map(|number| read_and_share(&mut buffer, number)).collect();
        buffer.bytes_mut();
        kept.truncate(2);
        (1..QUIET).for_each(|_| buffer.end_turn());
        assert_eq!(buffer.others.len(), 5, "not at once");
        kept.extend(read_and_share(&mut buffer, 6));
        buffer.bytes_mut(); // needs another, so the time begins anew
        (1..QUIET).for_each(|_| buffer.end_turn());
        assert_eq!(buffer.others.len(), 5, "it was needed meanwhile");
        buffer.end_turn();
        assert_eq!(buffer.others.len(), 3, "those stay of which bytes are kept");
        assert!([0, 1, 6].iter().zip(&kept).all(|(number, bytes)| bytes[..] == [*number; 10]));
    }

    #[test]
    fn bytes_from_elsewhere_are_not_shared() {
        assert_eq!(ReadBuffer::new(10).share(&[7; 10]), None);
    }
}
