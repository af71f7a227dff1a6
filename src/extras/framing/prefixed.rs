//! Frames with a binary length prefix.

use super::{Encoded, FrameError, Framing, MAX_LENGTH};

/// Frames with a length prefix of 8, 16 or 32 bits.
///
/// The length is in network byte order (big-endian) unless [set](Self::little_endian), and does not
/// count itself. A frame has at most 99,999 bytes unless [set](Self::max_length). A longer length
/// is an error once all its bytes have arrived, and nothing is allocated for a length that is only
/// announced.
///
/// Twisted's `Int8StringReceiver` and its siblings.
///
/// # Examples
///
/// ```
/// use crocus::framing::{Decoder, FrameError, LengthPrefixed};
///
/// const FRAMES: LengthPrefixed = LengthPrefixed::u16().max_length(1000);
///
/// assert_eq!(FRAMES.encode(b"hello")?.parts().concat(), b"\0\x05hello");
/// assert_eq!(Decoder::new(FRAMES).feed(b"\0\x02hi").next_frame(), Some(Ok(&b"hi"[..])));
///
/// let little = LengthPrefixed::u32().little_endian();
/// assert_eq!(little.encode(b"hi")?.parts().concat(), b"\x02\0\0\0hi");
/// assert!(LengthPrefixed::u8().encode(&[0; 256]).is_err(), "too long for one byte");
/// # Ok::<(), FrameError>(())
/// ```
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

    /// Uses little-endian byte order for the length.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.little = true;
        self
    }

    /// Allows frames of so many bytes, without the length, and no more than the length can express.
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

    /// Encodes `frame` for sending.
    ///
    /// # Errors
    ///
    /// If the encoded bytes would not decode as this one frame.
    pub fn encode<'a>(&'a self, frame: &'a [u8]) -> Result<Encoded<'a>, FrameError> {
        let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= self.max);
        let length = length.ok_or(FrameError::TooLong { limit: self.max })?;
        let width = self.width as usize;
        let (big, little) = (length.to_be_bytes(), length.to_le_bytes());
        let prefix = if self.little { &little[..width] } else { &big[big.len() - width..] };
        Ok(Encoded::new(prefix, frame, &[]))
    }

    /// Reads a length from as many bytes as the width says, so that it fits.
    fn read(&self, bytes: &[u8]) -> usize {
        let add = |length: usize, byte: &u8| length << 8 | usize::from(*byte);
        match self.little {
            true => bytes.iter().rev().fold(0, add),
            false => bytes.iter().fold(0, add),
        }
    }
}

impl Framing for LengthPrefixed {
    type Frame<'a> = &'a [u8];

    fn find<'a>(
        &mut self,
        bytes: &'a [u8],
        _seen: usize,
    ) -> Result<Option<(&'a [u8], usize)>, FrameError> {
        let width = self.width as usize;
        let Some(prefix) = bytes.get(..width) else { return Ok(None) };
        let length = self.read(prefix);
        if length > self.max {
            return Err(FrameError::TooLong { limit: self.max });
        }
        let end = width.saturating_add(length);
        Ok(bytes.get(width..end).map(|frame| (frame, end)))
    }
}
