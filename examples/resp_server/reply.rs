//! Replies, as RESP (version 2) writes them.

use std::fmt;
use std::io::Write;

use crate::number::{DIGITS, decimal};

/// A used buffer larger than this is given back to the allocator.
const SPARE_CAPACITY: usize = 256 * 1024;

/// The replies to requests that came together, gathered for a single write.
#[derive(Debug, Default)]
pub(crate) struct Replies(Vec<u8>);

impl Replies {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.truncate(0);
        self.0.shrink_to(SPARE_CAPACITY);
    }

    /// Takes back all replies after the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(crate) fn ok(&mut self) {
        self.0.extend_from_slice(b"+OK\r\n");
    }

    /// A text without line ends.
    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// The text of an error, of which the first word is its kind, as in `ERR syntax error`.
    pub(crate) fn error(&mut self, text: impl fmt::Display) {
        self.0.push(b'-');
        let start = self.0.len();
        let _ = write!(self.0, "{text}"); // appending to a vector does not fail
        self.end_error(start);
    }

    /// The same with bytes: they may quote the peer, and need not be UTF-8.
    pub(crate) fn error_bytes(&mut self, text: &[u8]) {
        self.0.push(b'-');
        let start = self.0.len();
        self.0.extend_from_slice(text);
        self.end_error(start);
    }

    pub(crate) fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len() as i64); // no slice is longer than i64::MAX
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
    }

    /// The null bulk string, for a value that does not exist.
    pub(crate) fn null(&mut self) {
        self.0.extend_from_slice(b"$-1\r\n");
    }

    /// A bulk string, or null.
    pub(crate) fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// The beginning of an array; its elements follow.
    pub(crate) fn array(&mut self, len: usize) {
        self.header(b'*', len as i64); // no array is longer than i64::MAX
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.0.push(kind);
        self.0.extend_from_slice(text);
        self.0.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, kind: u8, number: i64) {
        self.line(kind, decimal(number, &mut [0; DIGITS]));
    }

    /// Replaces line ends: one within an error would split it into two replies.
    fn end_error(&mut self, start: usize) {
        for byte in &mut self.0[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.0.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_written_as_the_protocol_says() {
        let mut replies = Replies::default();
        replies.ok();
        replies.simple("PONG");
        replies.integer(-12);
        replies.array(2);
        replies.bulk(b"a\r\nb");
        replies.null();
        replies.bulk(b"");
        replies.error("ERR no\r\n+OK");
        let expected =
            "+OK\r\n+PONG\r\n:-12\r\n*2\r\n$4\r\na\r\nb\r\n$-1\r\n$0\r\n\r\n-ERR no  +OK\r\n";
        assert_eq!(
            replies.bytes().escape_ascii().to_string(),
            expected.as_bytes().escape_ascii().to_string()
        );
    }
}
