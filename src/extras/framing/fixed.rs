//! Frames of one fixed size.

use super::{Encoded, FrameError, Framing};

/// Frames of one fixed size, with nothing between them.
///
/// # Examples
///
/// ```
/// use crocus::framing::{Decoder, FixedSize};
///
/// const CELLS: FixedSize = FixedSize::new(4);
///
/// let mut decoder = Decoder::new(CELLS);
/// let mut frames = decoder.feed(b"onceonly!");
/// assert_eq!(frames.next_frame(), Some(Ok(&b"once"[..])));
/// assert_eq!(frames.next_frame(), Some(Ok(&b"only"[..])));
/// assert_eq!(frames.next_frame(), None);
/// assert!(CELLS.encode(b"five!").is_err());
/// ```
#[derive(Clone, Debug)]
pub struct FixedSize {
    size: usize,
}

impl FixedSize {
    /// Frames of `size` bytes.
    ///
    /// # Panics
    ///
    /// If `size` is zero.
    pub const fn new(size: usize) -> Self {
        assert!(size > 0, "frames without bytes cannot be told apart");
        Self { size }
    }

    /// Encodes `frame` for sending.
    ///
    /// # Errors
    ///
    /// If the encoded bytes would not decode as this one frame.
    pub fn encode<'a>(&'a self, frame: &'a [u8]) -> Result<Encoded<'a>, FrameError> {
        match frame.len() {
            len if len == self.size => Ok(Encoded::new(&[], frame, &[])),
            len if len > self.size => Err(FrameError::TooLong { limit: self.size }),
            _ => Err(FrameError::malformed("a frame shorter than the fixed size")),
        }
    }
}

impl Framing for FixedSize {
    type Frame<'a> = &'a [u8];

    fn find<'a>(
        &mut self,
        bytes: &'a [u8],
        _seen: usize,
    ) -> Result<Option<(&'a [u8], usize)>, FrameError> {
        Ok(bytes.get(..self.size).map(|frame| (frame, self.size)))
    }
}
