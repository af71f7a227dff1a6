//! The framing of a message in SMTP: it ends with a dot in a line of its own.

use crocus::framing::{FrameError, Framing};

/// A framing of one frame: a message of at most so many bytes, without the dots that only the way needs.
///
/// The end is CRLF, a dot and CRLF, and nothing that resembles it: servers that take `\n.\n` for an end let a
/// client smuggle a second message past those that do not.
pub(crate) struct DotStuffed(pub(crate) usize);

const END: &[u8] = b"\r\n.\r\n";

impl Framing for DotStuffed {
    type Frame<'a> = Vec<u8>;

    fn find(&mut self, bytes: &[u8], seen: usize) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
        // The line feed before an empty message ended the command.
        if bytes.starts_with(&END[2..]) {
            return Ok(Some((Vec::new(), END.len() - 2)));
        }
        let begin = seen.saturating_sub(END.len() - 1);
        let found = bytes[begin..].windows(END.len()).position(|window| window == END);
        // The first line end of the end is the message's own.
        let longest = self.0.saturating_add(END.len() - 2);
        match found.map(|at| begin + at + END.len()) {
            Some(end) if end <= longest => {
                Ok(Some((unstuffed(&bytes[..end - END.len() + 2]), end)))
            }
            None if bytes.len() < longest => Ok(None),
            _ => Err(FrameError::TooLong { limit: self.0 }),
        }
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
        let mut decoder = Decoder::new(DotStuffed(20));
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
        let cases: [Case; 9] = [
            (b"a\r\n.\r\nQUIT", &[b"a\r\n"], None, b"QUIT"),
            (b".\r\n", &[b""], None, b""),
            (b"..\r\n...a\r\n.\r\n", &[b".\r\n..a\r\n"], None, b""),
            (b"\r\n.\r\n", &[b"\r\n"], None, b""),
            (b"a\n.\nb\r.\r\n.\n", &[], None, b"a\n.\nb\r.\r\n.\n"),
            (b"a\n.b\r\n.\r\n", &[b"a\n.b\r\n"], None, b""),
            (b"123456789012345678\r\n.\r\n", &[b"123456789012345678\r\n"], None, b""),
            (b"1234567890123456789\r\n.\r\n", &[], too_long.clone(), b""),
            (b"12345678901234567890123", &[], too_long, b""),
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
