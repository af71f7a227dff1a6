//! Netstrings: `5:hello,`.

use std::io::Write;

use super::{Encoded, FrameError, Framing, MAX_LENGTH};

/// Netstrings: the length in decimal digits, a colon, the frame, and a comma.
///
/// A frame has at most 99,999 bytes unless [set](Self::max_length). An error is reported as soon as
/// it shows: a length that is too large at its first digit too many, a leading zero at the next
/// digit. Nothing is allocated for a length that is only announced.
///
/// Specified by D. J. Bernstein, <https://cr.yp.to/proto/netstrings.txt>; Twisted's
/// `NetstringReceiver`.
///
/// # Examples
///
/// ```
/// use crocus::framing::{Decoder, FrameError, Netstrings};
///
/// let short = Netstrings::new().max_length(5);
/// assert_eq!(short.encode(b"hello")?.parts().concat(), b"5:hello,");
///
/// let mut decoder = Decoder::new(short);
/// let mut frames = decoder.feed(b"5:hello,12:");
/// assert_eq!(frames.next_frame(), Some(Ok(&b"hello"[..])));
/// assert_eq!(frames.next_frame(), Some(Err(FrameError::TooLong { limit: 5 })));
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Netstrings {
    max: usize,
}

impl Netstrings {
    /// Netstrings of at most 99,999 bytes.
    pub const fn new() -> Self {
        Self { max: MAX_LENGTH }
    }

    /// Allows frames of so many bytes.
    #[must_use]
    pub const fn max_length(mut self, bytes: usize) -> Self {
        self.max = bytes;
        self
    }

    /// Encodes `frame` for sending.
    ///
    /// # Errors
    ///
    /// If the encoded bytes would not decode as this one frame.
    pub fn encode<'a>(&'a self, frame: &'a [u8]) -> Result<Encoded<'a>, FrameError> {
        if frame.len() > self.max {
            return Err(FrameError::TooLong { limit: self.max });
        }
        let mut head = [0; 21];
        let mut room = &mut head[..];
        write!(room, "{}:", frame.len()).expect("a usize has at most 20 digits");
        let unused = room.len();
        Ok(Encoded::new(&head[..head.len() - unused], frame, b","))
    }

    /// Appends a digit to a length.
    fn lengthen(&self, length: usize, digit: u8) -> Result<usize, FrameError> {
        let longer =
            length.checked_mul(10).and_then(|tens| tens.checked_add(usize::from(digit - b'0')));
        longer.filter(|&longer| longer <= self.max).ok_or(FrameError::TooLong { limit: self.max })
    }
}

impl Default for Netstrings {
    fn default() -> Self {
        Self::new()
    }
}

impl Framing for Netstrings {
    type Frame<'a> = &'a [u8];

    fn find<'a>(
        &mut self,
        bytes: &'a [u8],
        _seen: usize,
    ) -> Result<Option<(&'a [u8], usize)>, FrameError> {
        let mut length = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b':' if at > 0 => return body(bytes, at + 1, length),
                b'0'..=b'9' if at == 1 && length == 0 => {
                    return Err(FrameError::malformed(
                        "the length of a netstring begins with zero",
                    ));
                }
                b'0'..=b'9' => length = self.lengthen(length, byte)?,
                _ => {
                    return Err(FrameError::malformed("the length of a netstring is no number"));
                }
            }
        }
        Ok(None)
    }
}

/// The frame that begins at `start`, once its comma has arrived.
fn body(bytes: &[u8], start: usize, length: usize) -> Result<Option<(&[u8], usize)>, FrameError> {
    let end = start.saturating_add(length);
    match bytes.get(end) {
        None => Ok(None),
        Some(b',') => Ok(Some((&bytes[start..end], end + 1))),
        Some(_) => Err(FrameError::malformed("a netstring does not end in a comma")),
    }
}
