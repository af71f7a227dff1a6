//! Lines: frames that end in a delimiter.

use std::borrow::Cow;

use super::{Encoded, FrameError, Framing};

/// Twisted's `LineReceiver.MAX_LENGTH`.
const MAX_LENGTH: usize = 16 * 1024;

/// How many bytes are searched at once with the fastest search of the standard library.
const BLOCK: usize = 256;

/// Frames that end in a delimiter, which is not part of them.
///
/// A line has at most 16 KiB unless [set](Self::max_length), its delimiter not counted. A longer
/// one is an error as soon as no delimiter can end it in time. So at most this length and a
/// delimiter's are ever buffered, besides the chunk.
///
/// Encoding refuses a frame that would not decode as one line: one that contains a delimiter, or
/// whose end could begin one.
///
/// A header block is a line too: `Lines::delimited(b"\r\n\r\n")` delivers all of it up to the empty line.
///
/// Twisted's `LineReceiver`; its raw mode is [`raw_left`](super::FrameHandler::raw_left) here.
///
/// # Examples
///
/// ```
/// use crocus::framing::{Decoder, FrameError, Lines};
///
/// let mut decoder = Decoder::new(Lines::new());
/// let mut lines = decoder.feed(b"one\r\ntwo\nthr");
/// assert_eq!(lines.next_frame(), Some(Ok(&b"one"[..])));
/// assert_eq!(lines.next_frame(), Some(Ok(&b"two"[..])));
/// assert_eq!(lines.next_frame(), None);
///
/// let records = Lines::delimited(b";").max_length(80);
/// assert_eq!(records.encode(b"three")?.parts().concat(), b"three;");
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    end: Ending,
    max: usize,
}

#[derive(Clone, Debug)]
enum Ending {
    CrlfOrLf,
    Delimiter(Cow<'static, [u8]>),
}

impl Lines {
    /// Lines that end in CRLF or in LF alone; encoded with CRLF.
    ///
    /// A CR elsewhere is part of the line.
    pub const fn new() -> Self {
        Self { end: Ending::CrlfOrLf, max: MAX_LENGTH }
    }

    /// Lines that end in `delimiter` and nothing else.
    ///
    /// # Panics
    ///
    /// If `delimiter` is empty.
    pub fn delimited(delimiter: impl Into<Cow<'static, [u8]>>) -> Self {
        let delimiter = delimiter.into();
        assert!(!delimiter.is_empty(), "an empty delimiter ends nothing");
        Self { end: Ending::Delimiter(delimiter), max: MAX_LENGTH }
    }

    /// Allows lines of so many bytes, the delimiter not counted.
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
        let delimiter = self.delimiter();
        let inside = match &self.end {
            Ending::CrlfOrLf => find_byte(frame, b'\n').is_some(),
            Ending::Delimiter(_) => find(frame, delimiter).is_some(),
        };
        // The frame's last bytes could begin an early delimiter, as "aa" does in "ba" + "aa".
        let begins = (1..delimiter.len()).any(|early| {
            let (head, tail) = delimiter.split_at(early);
            frame.ends_with(head) && delimiter.starts_with(tail)
        });
        if inside || begins {
            return Err(FrameError::malformed("a line with its delimiter inside"));
        }
        Ok(Encoded::new(&[], frame, delimiter))
    }

    /// The longest delimiter.
    fn delimiter(&self) -> &[u8] {
        match &self.end {
            Ending::CrlfOrLf => b"\r\n",
            Ending::Delimiter(delimiter) => delimiter,
        }
    }

    /// The first line, in bytes that can hold the longest one.
    fn first<'a>(&self, bytes: &'a [u8], seen: usize) -> Option<(&'a [u8], usize)> {
        match &self.end {
            Ending::CrlfOrLf => {
                let feed = seen + find_byte(&bytes[seen..], b'\n')?;
                let line = &bytes[..feed];
                Some((line.strip_suffix(b"\r").unwrap_or(line), feed + 1))
            }
            Ending::Delimiter(delimiter) => {
                // The last bytes seen may be the beginning of a delimiter.
                let from = seen.saturating_sub(delimiter.len() - 1);
                let end = from + find(&bytes[from..], delimiter)?;
                Some((&bytes[..end], end + delimiter.len()))
            }
        }
    }

    /// Whether bytes without a line's end may still become a line that is not too long.
    fn may_end(&self, bytes: &[u8]) -> bool {
        if bytes.len() <= self.max {
            return true;
        }
        let delimiter = self.delimiter();
        let first = (bytes.len() + 1).saturating_sub(delimiter.len());
        (first..=self.max).any(|at| delimiter.starts_with(&bytes[at..]))
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

impl Framing for Lines {
    type Frame<'a> = &'a [u8];

    fn find<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: usize,
    ) -> Result<Option<(&'a [u8], usize)>, FrameError> {
        // A delimiter that ends after this comes too late.
        let window = &bytes[..bytes.len().min(self.max.saturating_add(self.delimiter().len()))];
        match self.first(window, seen.min(window.len())) {
            Some((line, used)) if line.len() <= self.max => Ok(Some((line, used))),
            None if self.may_end(window) => Ok(None),
            _ => Err(FrameError::TooLong { limit: self.max }),
        }
    }
}

fn find(bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find_byte(&bytes[from..], delimiter[0])?;
        if bytes[at..].starts_with(delimiter) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Searches with `contains` (memchr), some eight times as fast as `position`, then finds the place.
fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    let block = bytes.chunks(BLOCK).position(|block| block.contains(&byte))?;
    let rest = &bytes[block * BLOCK..];
    rest.iter().position(|&found| found == byte).map(|at| block * BLOCK + at)
}
