//! Frames behind their length in binary.

use super::{Encoded, Found, FrameError, Framing, MAX_LENGTH};

/// Frames behind their length, in 8, 16 or 32 bits.
///
/// The length comes in network byte order, the big end first, unless [set](Self::little_endian), and
/// does not count itself. A frame has at most 99,999 bytes unless [set](Self::max_length). A length
/// above that is an error once all its bytes are there, and nothing is allocated for one that is only
/// announced.
///
/// Twisted's `Int8StringReceiver` and its siblings.
#[derive(Clone, Debug)]
pub struct LengthPrefixed {
    width: Width,
    little: bool,
    max: usize,
}

#[derive(Clone, Copy, Debug)]
enum Width {
    U8 = 1,
    U16 = 2,
    U32 = 4,
}

impl LengthPrefixed {
    /// A length of one byte.
    pub const fn u8() -> Self {
        Self { width: Width::U8, little: false, max: u8::MAX as usize }
    }

    /// A length of two bytes.
    pub const fn u16() -> Self {
        Self { width: Width::U16, little: false, max: u16::MAX as usize }
    }

    /// A length of four bytes.
    pub const fn u32() -> Self {
        Self { width: Width::U32, little: false, max: MAX_LENGTH }
    }

    /// Has the length come with the little end first.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.little = true;
        self
    }

    /// Allows frames of so many bytes, the length not counted, or as many as the length can tell if
    /// that is less.
    #[must_use]
    pub const fn max_length(mut self, bytes: usize) -> Self {
        let most = match self.width {
            Width::U8 => u8::MAX as usize,
            Width::U16 => u16::MAX as usize,
            Width::U32 => u32::MAX as usize,
        };
        self.max = if bytes < most { bytes } else { most };
        self
    }

    /// Reads a length, which fits: `bytes` are as many as the width says.
    fn read(&self, bytes: &[u8]) -> usize {
        let add = |length: usize, byte: &u8| length << 8 | usize::from(*byte);
        match self.little {
            true => bytes.iter().rev().fold(0, add),
            false => bytes.iter().fold(0, add),
        }
    }
}

impl Framing for LengthPrefixed {
    fn find(&mut self, bytes: &[u8], _seen: usize) -> Result<Option<Found>, FrameError> {
        let width = self.width as usize;
        let Some(prefix) = bytes.get(..width) else { return Ok(None) };
        let length = self.read(prefix);
        if length > self.max {
            return Err(FrameError::TooLong { limit: self.max });
        }
        let end = width.saturating_add(length);
        Ok((bytes.len() >= end).then_some(Found { frame: width..end, used: end }))
    }

    fn encode<'a>(&'a self, frame: &'a [u8]) -> Result<Encoded<'a>, FrameError> {
        let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= self.max);
        let length = length.ok_or(FrameError::TooLong { limit: self.max })?;
        let width = self.width as usize;
        let (big, little) = (length.to_be_bytes(), length.to_le_bytes());
        let prefix = if self.little { &little[..width] } else { &big[big.len() - width..] };
        Ok(Encoded::new(prefix, frame, &[]))
    }
}
