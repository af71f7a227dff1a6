//! Frames of one fixed size.

use super::{Encoded, Found, FrameError, Framing};

/// Frames of one fixed size, with nothing between them.
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
}

impl Framing for FixedSize {
    fn find(&mut self, bytes: &[u8], _seen: usize) -> Result<Option<Found>, FrameError> {
        Ok((bytes.len() >= self.size).then_some(Found { frame: 0..self.size, used: self.size }))
    }

    fn encode<'a>(&'a self, frame: &'a [u8]) -> Result<Encoded<'a>, FrameError> {
        match frame.len() {
            len if len == self.size => Ok(Encoded::new(&[], frame, &[])),
            len if len > self.size => Err(FrameError::TooLong { limit: self.size }),
            _ => Err(FrameError::Malformed("a frame shorter than the fixed size")),
        }
    }
}
