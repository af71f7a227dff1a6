//! Frames from chunks, without any I/O.

use super::buffer::{Buffer, Pending};
use super::{FrameError, Framing};

/// Cuts a stream, which arrives in chunks of any size, into frames.
///
/// The frames, and the error that may end them, depend only on the stream and not on the chunks.
/// The time is proportional to the bytes, however small the chunks. Memory is used for the part of
/// a frame that has arrived and for a chunk, never for a length that is only announced.
///
/// # Examples
///
/// ```
/// use crocus::framing::{Decoder, FrameError, Lines};
///
/// let mut decoder = Decoder::new(Lines::new().max_length(5));
/// let mut frames = decoder.feed(b"one\r\ntwo\nthr");
/// assert_eq!(frames.next_frame(), Some(Ok(&b"one"[..])));
/// assert_eq!(frames.next_frame(), Some(Ok(&b"two"[..])));
/// assert_eq!(frames.next_frame(), None);
/// drop(frames);
/// assert_eq!(decoder.rest(), b"thr");
///
/// let mut frames = decoder.feed(b"ee\nmillions\n");
/// assert_eq!(frames.next_frame(), Some(Ok(&b"three"[..])));
/// assert_eq!(frames.next_frame(), Some(Err(FrameError::TooLong { limit: 5 })));
/// assert_eq!(frames.next_frame(), None, "after an error nothing comes");
/// ```
#[derive(Debug)]
pub struct Decoder<F> {
    framing: F,
    buffer: Buffer,
}

impl<F: Framing> Decoder<F> {
    /// A decoder at the beginning of a stream.
    pub fn new(framing: F) -> Self {
        Self { framing, buffer: Buffer::default() }
    }

    /// Takes the next bytes of the stream, maybe none, and returns what can be taken now.
    ///
    /// If nothing was left from before, a frame within `chunk` is a part of it, not a copy.
    /// Dropping the returned value keeps the bytes that were not taken.
    pub fn feed<'a>(&'a mut self, chunk: &'a [u8]) -> Fed<'a, F> {
        Fed { framing: &mut self.framing, pending: Pending::new(&mut self.buffer, chunk) }
    }

    /// The bytes kept from earlier chunks: the beginning of a frame, or frames not asked for yet.
    pub fn rest(&self) -> &[u8] {
        self.buffer.unused()
    }
}

/// The bytes fed to a [`Decoder`]; dropping this keeps the rest in the decoder.
///
/// # Examples
///
/// ```
/// use crocus::framing::{Decoder, Lines};
///
/// let mut decoder = Decoder::new(Lines::new());
/// let mut fed = decoder.feed(b"4\r\n\x01\x02\n\nbye\r\nand");
/// assert_eq!(fed.next_frame(), Some(Ok(&b"4"[..])));
/// assert_eq!(fed.take_raw(4), b"\x01\x02\n\n"); // a body behind its length
/// *fed.framing_mut() = Lines::new().max_length(80); // other rules from here on
/// assert_eq!(fed.next_frame(), Some(Ok(&b"bye"[..])));
/// assert_eq!(fed.next_frame(), None);
/// assert_eq!(fed.rest(), b"and");
/// drop(fed);
/// assert_eq!(decoder.rest(), b"and");
/// ```
#[derive(Debug)]
pub struct Fed<'a, F> {
    framing: &'a mut F,
    pending: Pending<'a>,
}

impl<F: Framing> Fed<'_, F> {
    /// The next frame, if it is complete.
    ///
    /// # Errors
    ///
    /// Once, when the stream breaks the rules of the framing; then `None` for ever, and later bytes
    /// are dropped.
    pub fn next_frame(&mut self) -> Option<Result<F::Frame<'_>, FrameError>> {
        self.pending.next(self.framing)
    }

    /// The next raw bytes, at most `max`, for a stream with more than frames; empty if there are
    /// none.
    pub fn take_raw(&mut self, max: u64) -> &[u8] {
        self.pending.take(max)
    }

    /// The bytes that are not taken yet.
    pub fn rest(&self) -> &[u8] {
        self.pending.bytes()
    }

    /// The rules in force, which may be changed for the next frames.
    pub fn framing_mut(&mut self) -> &mut F {
        self.pending.look_again();
        self.framing
    }
}
