//! Bytes that have arrived and are not used yet, in a buffer or in the chunk.

use std::mem;

use super::{FrameError, Framing};

/// A buffer of this capacity is kept, whatever is left in it: so short lines that come in portions cost no
/// allocation each.
const SMALL: usize = 256;

/// Bytes that are copied because they are needed longer than their chunk.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// How many of `bytes`, from the front, are used.
    used: usize,
    /// How many of the unused bytes were searched without finding a frame.
    seen: usize,
    /// The framing has failed; nothing is kept any more.
    failed: bool,
}

impl Buffer {
    pub(super) fn unused(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    fn is_empty(&self) -> bool {
        self.used == self.bytes.len()
    }

    fn push(&mut self, data: &[u8]) {
        // Moving the rest to the front once half is used costs each byte at most one move.
        if self.used > 0 && self.used >= self.bytes.len() / 2 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(data);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.used = 0;
        self.seen = 0;
        if self.bytes.capacity() > SMALL {
            self.bytes = Vec::new();
        }
    }

    /// Gives memory back after a delivery: so a connection that is idle owns no more than a few times what it
    /// waits to go on with.
    fn give_back(&mut self) {
        if self.is_empty() {
            self.clear();
        } else if self.bytes.capacity() > SMALL.max(4 * self.unused().len()) {
            self.bytes = self.unused().to_vec();
            self.used = 0;
        }
    }
}

/// A buffer and a chunk behind it; dropping this keeps the unused part of the chunk.
///
/// One of the two is always empty. So a chunk is copied whole if its first frame began before it;
/// otherwise only the beginning of its last frame is copied.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    buffer: &'a mut Buffer,
    chunk: &'a [u8],
}

impl<'a> Pending<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, mut chunk: &'a [u8]) -> Self {
        if buffer.failed {
            chunk = &[];
        }
        if !buffer.is_empty() {
            buffer.push(chunk);
            chunk = &[];
        }
        Self { buffer, chunk }
    }

    /// All unused bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        if self.buffer.is_empty() { self.chunk } else { self.buffer.unused() }
    }

    /// The next frame; an error comes once, and nothing after it.
    pub(super) fn next<F: Framing>(
        &mut self,
        framing: &mut F,
    ) -> Option<Result<F::Frame<'_>, FrameError>> {
        // The frame borrows the bytes, so only the other fields may change.
        let Buffer { bytes, used, seen, failed } = &mut *self.buffer;
        let buffered = *used < bytes.len();
        let unused = if buffered { &bytes[*used..] } else { self.chunk };
        if unused.len() == *seen {
            return None;
        }
        let (count, result) = match framing.find(unused, mem::take(seen)) {
            Ok(Some((frame, count))) => {
                // A frame that takes no bytes would come for ever.
                assert!((1..=unused.len()).contains(&count), "a frame of {count} bytes");
                (count, Ok(frame))
            }
            Ok(None) => {
                *seen = unused.len();
                return None;
            }
            Err(error) => {
                *failed = true;
                (unused.len(), Err(error))
            }
        };
        match buffered {
            true => *used += count,
            false => self.chunk = &self.chunk[count..],
        }
        Some(result)
    }

    /// Takes the next bytes as they are: at most `max`.
    pub(super) fn take(&mut self, max: u64) -> &[u8] {
        self.look_again();
        let count = usize::try_from(max).unwrap_or(usize::MAX).min(self.bytes().len());
        if self.buffer.is_empty() {
            let (taken, rest) = self.chunk.split_at(count);
            self.chunk = rest;
            return taken;
        }
        let from = self.buffer.used;
        self.buffer.used += count;
        &self.buffer.bytes[from..self.buffer.used]
    }

    /// Searches everything anew, by other rules.
    pub(super) fn look_again(&mut self) {
        self.buffer.seen = 0;
    }

    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.chunk = &[];
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let seen = self.buffer.seen;
        self.buffer.give_back();
        self.buffer.push(self.chunk);
        self.buffer.seen = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes come in portions of one size and leave in those of another.
    #[test]
    fn bytes_leave_in_order_in_any_portions_and_move_little() {
        for (portion, taken) in (1..30).flat_map(|a| (1..30).map(move |b| (a, b))) {
            let mut buffer = Buffer::default();
            let all: Vec<u8> = (0..600u16).map(|n| n as u8).collect();
            let mut left = Vec::new();
            for chunk in all.chunks(portion) {
                let mut pending = Pending::new(&mut buffer, chunk);
                while pending.bytes().len() >= taken {
                    left.extend_from_slice(pending.take(taken as u64));
                }
                drop(pending);
                assert!(buffer.bytes.len() <= 2 * (portion + taken), "{}", buffer.bytes.len());
            }
            left.extend_from_slice(buffer.unused());
            assert_eq!(left, all);
        }
    }

    #[test]
    fn the_rest_is_not_moved_before_half_is_used() {
        let mut buffer = Buffer::default();
        drop(Pending::new(&mut buffer, &[1; 100]));
        for used in 1..50 {
            Pending::new(&mut buffer, &[]).take(1);
            assert_eq!((buffer.used, buffer.unused().len()), (used, 100 - used));
        }
    }

    #[test]
    fn an_empty_buffer_is_freed_and_a_nearly_empty_one_shrinks() {
        for size in [1, SMALL, 16 * SMALL] {
            let mut buffer = Buffer::default();
            drop(Pending::new(&mut buffer, &vec![1; size]));
            drop(Pending::new(&mut buffer, &[2; 2]));
            Pending::new(&mut buffer, &[]).take(size as u64);
            assert_eq!(buffer.unused(), [2, 2]);
            assert!(buffer.bytes.capacity() <= 2 * SMALL, "{}", buffer.bytes.capacity());
            Pending::new(&mut buffer, &[]).take(2);
            assert_eq!(buffer.unused().len(), 0);
            assert!(buffer.bytes.capacity() <= SMALL, "{}", buffer.bytes.capacity());
        }
    }
}
