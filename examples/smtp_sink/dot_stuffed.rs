//! The framing of a message in SMTP: it ends with a dot in a line of its own.

use crocus::framing::{FrameError, Framing};

/// A framing of messages of at most so many bytes, without the dots that only the way needs.
///
/// The end is CRLF, a dot and CRLF, and nothing that resembles it: servers that take `\n.\n` for an end let a
/// client smuggle a second message past those that do not.
pub(crate) struct DotStuffed {
    longest: usize,
    /// How many dots begin a line, in so many bytes.
    dots: usize,
    counted: usize,
}

const END: &[u8] = b"\r\n.\r\n";

impl DotStuffed {
    pub(crate) fn new(longest: usize) -> Self {
        Self { longest, dots: 0, counted: 0 }
    }

    /// How many of the bytes do not count for the limit; they begin with those counted before.
    fn dots(&mut self, bytes: &[u8]) -> usize {
        let new = bytes.iter().enumerate().skip(self.counted).filter(|(_, byte)| **byte == b'.');
        self.dots += new.filter(|(at, _)| *at == 0 || bytes[..*at].ends_with(&END[..2])).count();
        self.counted = bytes.len();
        self.dots
    }
}

impl Framing for DotStuffed {
    type Frame<'a> = Vec<u8>;

    fn find(&mut self, bytes: &[u8], seen: usize) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
        // The line feed before an empty message ended the command.
        if bytes.starts_with(&END[2..]) {
            *self = Self::new(self.longest);
            return Ok(Some((Vec::new(), END.len() - 2)));
        }
        let begin = seen.saturating_sub(END.len() - 1);
        let found = bytes[begin..].windows(END.len()).position(|window| window == END);
        let Some(end) = found.map(|at| begin + at + END.len()) else {
            // The first line end of the end is the message's own.
            let is_part =
                bytes.len() - self.dots(bytes) < self.longest.saturating_add(END.len() - 2);
            return if is_part {
                Ok(None)
            } else {
                Err(FrameError::TooLong { limit: self.longest })
            };
        };
        let message = unstuffed(&bytes[..end - END.len() + 2]);
        if message.len() > self.longest {
            return Err(FrameError::TooLong { limit: self.longest });
        }
        *self = Self::new(self.longest);
        Ok(Some((message, end)))
    }
}

/// Removes the first dot of each line that begins with one.
fn unstuffed(message: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        let begins = plain.is_empty() || plain.ends_with(b"\r\n");
        plain.extend_from_slice(line.strip_prefix(b".").filter(|_| begins).unwrap_or(line));
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;
    use crocus::framing::Decoder;

    /// Decodes bytes in pieces of this size: the messages, the first error, and what is left.
    fn decoded(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<FrameError>, Vec<u8>) {
        let mut decoder = Decoder::new(DotStuffed::new(20));
        let (mut messages, mut fault) = (Vec::new(), None);
        for piece in bytes.chunks(piece) {
            let mut fed = decoder.feed(piece);
            while let Some(frame) = fed.next_frame() {
                match frame {
                    Ok(message) => messages.push(message),
                    Err(error) => fault = fault.or(Some(error)),
                }
            }
        }
        (messages, fault, decoder.rest().to_vec())
    }

    #[test]
    fn a_message_is_the_same_however_it_is_cut() {
        let too_long = Some(FrameError::TooLong { limit: 20 });
        type Case = (&'static [u8], &'static [&'static [u8]], Option<FrameError>, &'static [u8]);
        let cases: [Case; 12] = [
            (b"a\r\n.\r\nQUIT", &[b"a\r\n"], None, b"QUIT"),
            (b".\r\n", &[b""], None, b""),
            (b"..\r\n...a\r\n.\r\n", &[b".\r\n..a\r\n"], None, b""),
            (b"\r\n.\r\n", &[b"\r\n"], None, b""),
            (b"a\n.\nb\r.\r\n.\n", &[], None, b"a\n.\nb\r.\r\n.\n"),
            (b"a\n.b\r\n.\r\n", &[b"a\n.b\r\n"], None, b""),
            (b"123456789012345678\r\n.\r\n", &[b"123456789012345678\r\n"], None, b""),
            (b"1234567890123456789\r\n.\r\n", &[], too_long.clone(), b""),
            (b"12345678901234567890123", &[], too_long.clone(), b""),
            // Dots that only the way needs do not count (RFC 1870).
            (b"..34567\r\n..345678901\r\n.\r\n", &[b".34567\r\n.345678901\r\n"], None, b""),
            (b"..34567\r\n..3456789012\r\n.\r\n", &[], too_long.clone(), b""),
            (b"..\r\n..\r\n..\r\n..\r\n..\r\n..\r\n..\r\n.\r\n", &[], too_long, b""),
        ];
        for (bytes, messages, fault, left) in cases {
            for piece in 1..=bytes.len() {
                let (found, error, rest) = decoded(bytes, piece);
                let name = format!("{} by {piece}", bytes.escape_ascii());
                assert_eq!(found, messages, "{name}");
                assert_eq!(error, fault, "{name}");
                assert!(fault.is_some() || rest == left, "{name}: {}", rest.escape_ascii());
            }
        }
    }
}
