//! Frames out of chunks, without any I/O.

use super::buffer::{Buffer, Pending};
use super::{Found, FrameError, Framing};

/// Cuts a stream, which comes in chunks of any size, into frames.
///
/// The frames, and the error that may end them, depend on the stream alone and not on the chunks. It
/// takes time in proportion to the bytes, however small the chunks. Memory is taken for what has come
/// of one frame, and for a chunk, never for what is only announced.
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

    /// Takes the next bytes of the stream, and gives the frames that are complete now.
    ///
    /// A frame that lies within `chunk` is a part of it, not a copy, if nothing was left from before.
    /// What is not taken out of the returned value is kept when that is dropped.
    pub fn feed<'a>(&'a mut self, chunk: &'a [u8]) -> Fed<'a, F> {
        Fed { framing: &mut self.framing, pending: Pending::new(&mut self.buffer, chunk) }
    }

    /// The next frame in what was fed before and kept.
    ///
    /// # Errors
    ///
    /// Once, when the stream breaks the rules of the framing; then `None` for ever.
    pub fn next_frame(&mut self) -> Option<Result<&[u8], FrameError>> {
        let found = Pending::new(&mut self.buffer, &[]).find(&mut self.framing);
        match found? {
            Ok(Found { frame, used }) => Some(Ok(&self.buffer.take(used)[frame])),
            Err(error) => Some(Err(error)),
        }
    }

    /// The rules in force.
    pub fn framing(&self) -> &F {
        &self.framing
    }

    /// The rules in force, to be changed for the frames to come.
    pub fn framing_mut(&mut self) -> &mut F {
        self.buffer.look_again();
        &mut self.framing
    }

    /// What was fed and not used: the beginning of a frame, or frames not asked for yet.
    pub fn rest(&self) -> &[u8] {
        self.buffer.unused()
    }

    /// What was fed and not used, for somebody who goes on with other rules.
    pub fn into_rest(self) -> Vec<u8> {
        self.buffer.into_unused()
    }
}

/// What was fed to a [`Decoder`], until it is dropped and the decoder keeps the rest.
#[derive(Debug)]
pub struct Fed<'a, F> {
    framing: &'a mut F,
    pending: Pending<'a>,
}

impl<F: Framing> Fed<'_, F> {
    /// The next frame, if all of it is there.
    ///
    /// # Errors
    ///
    /// Once, when the stream breaks the rules of the framing; then `None` for ever, and what is fed
    /// is thrown away.
    pub fn next_frame(&mut self) -> Option<Result<&[u8], FrameError>> {
        match self.pending.find(self.framing)? {
            Ok(Found { frame, used }) => Some(Ok(&self.pending.take(used)[frame])),
            Err(error) => Some(Err(error)),
        }
    }

    /// The next bytes as they are, at most `max`: for a stream that has others than frames. Empty if
    /// nothing is there.
    pub fn take_raw(&mut self, max: usize) -> &[u8] {
        let there = self.pending.bytes().len();
        self.pending.take(there.min(max))
    }

    /// What is not taken yet.
    pub fn rest(&self) -> &[u8] {
        self.pending.bytes()
    }

    /// The rules in force, to be changed for the frames to come.
    pub fn framing_mut(&mut self) -> &mut F {
        self.pending.look_again();
        self.framing
    }
}
