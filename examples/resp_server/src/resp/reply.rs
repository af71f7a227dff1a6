//! Replies, as RESP writes them: version 2, or version 3 to clients that asked for it.

use std::collections::VecDeque;
use std::io::Write;
use std::{fmt, mem};

use bytes::Bytes;

use super::BIG;
use super::number::{DIGITS, decimal};

/// A used buffer larger than this is given back to the allocator.
const SPARE_CAPACITY: usize = 256 * 1024;

/// The version of the protocol: `HELLO 3` changes to the third.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Version {
    #[default]
    Two,
    Three,
}

/// The replies to requests that came together, gathered for a single write.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    pub(crate) version: Version,
    bytes: Vec<u8>,
    /// Big values, which are not copied, and where in `bytes` each belongs.
    shared: Vec<(usize, Bytes)>,
    shared_len: usize,
}

/// The length of replies at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    bytes: usize,
    shared: usize,
    shared_len: usize,
}

impl Replies {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.shared_len
    }

    /// All of them, unless a big value is among them.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.shared.is_empty().then_some(&*self.bytes)
    }

    /// Takes all of them, in pieces.
    pub(crate) fn take_pieces(&mut self) -> VecDeque<Bytes> {
        let mut rest = Bytes::from(mem::take(&mut self.bytes));
        let (mut pieces, mut at) = (VecDeque::new(), 0);
        for (end, value) in mem::take(&mut self.shared) {
            pieces.push_back(rest.split_to(end - at));
            pieces.push_back(value);
            at = end;
        }
        pieces.push_back(rest);
        self.shared_len = 0;
        pieces
    }

    pub(crate) fn clear(&mut self) {
        self.take_back(Mark { bytes: 0, shared: 0, shared_len: 0 });
        self.bytes.shrink_to(SPARE_CAPACITY);
    }

    pub(crate) fn mark(&self) -> Mark {
        let (bytes, shared) = (self.bytes.len(), self.shared.len());
        Mark { bytes, shared, shared_len: self.shared_len }
    }

    /// How long the replies since `mark` are.
    pub(crate) fn len_since(&self, mark: Mark) -> usize {
        self.len() - mark.bytes - mark.shared_len
    }

    /// Takes back the replies since `mark`.
    pub(crate) fn take_back(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.shared.truncate(mark.shared);
        self.shared_len = mark.shared_len;
    }

    pub(crate) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// A text without line ends.
    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// The text of an error, of which the first word is its kind, as in `ERR syntax error`. Line ends
    /// become spaces: they would split it into two replies.
    pub(crate) fn error(&mut self, text: &[u8]) {
        let start = self.bytes.len();
        self.line(b'-', text);
        let end = self.bytes.len() - 2;
        for byte in &mut self.bytes[start..end] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }

    pub(crate) fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// How many there are: memory limits the number to less than `i64::MAX`.
    pub(crate) fn count(&mut self, count: usize) {
        self.integer(count as i64);
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len() as i64); // no slice is longer than i64::MAX
        self.bytes.extend_from_slice(bytes);
        self.end_line();
    }

    /// A bulk string that others share: not copied if it is big.
    pub(crate) fn value(&mut self, value: &Bytes) {
        if value.len() < BIG {
            return self.bulk(value);
        }
        self.header(b'$', value.len() as i64); // no slice is longer than i64::MAX
        self.shared.push((self.bytes.len(), value.clone()));
        self.shared_len += value.len();
        self.end_line();
    }

    /// A value, or null.
    pub(crate) fn value_or_null(&mut self, value: Option<&Bytes>) {
        match value {
            Some(value) => self.value(value),
            None => self.null(),
        }
    }

    /// For people: version 3 says that it is a text.
    pub(crate) fn text(&mut self, text: &str) {
        match self.version {
            Version::Two => self.bulk(text.as_bytes()),
            Version::Three => {
                self.header(b'=', text.len() as i64 + 4); // no slice is longer than i64::MAX
                self.bytes.extend_from_slice(b"txt:");
                self.bytes.extend_from_slice(text.as_bytes());
                self.end_line();
            }
        }
    }

    /// A value that does not exist.
    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(match self.version {
            Version::Two => b"$-1\r\n",
            Version::Three => b"_\r\n",
        });
    }

    /// An array that does not exist.
    pub(crate) fn null_array(&mut self) {
        self.bytes.extend_from_slice(match self.version {
            Version::Two => b"*-1\r\n",
            Version::Three => b"_\r\n",
        });
    }

    /// The beginning of an array; its elements follow.
    pub(crate) fn array(&mut self, len: usize) {
        self.header(b'*', len as i64); // no array is longer than i64::MAX
    }

    /// The beginning of a map; so many pairs follow. Version 2 has an array of twice the length.
    pub(crate) fn map(&mut self, len: usize) {
        match self.version {
            Version::Two => self.array(2 * len),
            Version::Three => self.header(b'%', len as i64), // no map is longer than i64::MAX
        }
    }

    /// The beginning of a set; its elements follow.
    pub(crate) fn set(&mut self, len: usize) {
        match self.version {
            Version::Two => self.array(len),
            Version::Three => self.header(b'~', len as i64), // no set is longer than i64::MAX
        }
    }

    /// A bulk string of formatted text.
    pub(crate) fn bulk_fmt(&mut self, text: fmt::Arguments<'_>) {
        let mut bytes = Vec::new();
        let _ = bytes.write_fmt(text); // appending to a vector does not fail
        self.bulk(&bytes);
    }

    fn header(&mut self, kind: u8, number: i64) {
        self.line(kind, decimal(number, &mut [0; DIGITS]));
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(text);
        self.end_line();
    }

    fn end_line(&mut self) {
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version) -> String {
        let mut replies = Replies { version, ..Replies::default() };
        replies.ok();
        replies.integer(-12);
        replies.array(2);
        replies.bulk(b"a\r\nb");
        replies.null();
        replies.map(1);
        replies.text("tag");
        replies.null_array();
        replies.set(1);
        replies.bulk_fmt(format_args!("{}", 7));
        let mark = replies.mark();
        replies.value(&Bytes::from(vec![b'x'; BIG]));
        assert_eq!(replies.len_since(mark), BIG + "$32768\r\n\r\n".len());
        assert!(replies.bytes().is_none());
        replies.take_back(mark);
        replies.error(b"ERR no\r\n+OK");
        replies.bytes().unwrap_or_default().escape_ascii().to_string()
    }

    #[test]
    fn replies_are_written_as_each_version_of_the_protocol_says() {
        assert_eq!(
            written(Version::Two),
            r"+OK\r\n:-12\r\n*2\r\n$4\r\na\r\nb\r\n$-1\r\n*2\r\n$3\r\ntag\r\n*-1\r\n*1\r\n$1\r\n7\r\n-ERR no  +OK\r\n"
        );
        assert_eq!(
            written(Version::Three),
            r"+OK\r\n:-12\r\n*2\r\n$4\r\na\r\nb\r\n_\r\n%1\r\n=7\r\ntxt:tag\r\n_\r\n~1\r\n$1\r\n7\r\n-ERR no  +OK\r\n"
        );
    }

    #[test]
    fn big_values_are_shared_with_the_pieces_of_a_reply() {
        let mut replies = Replies::default();
        let value = Bytes::from(vec![b'x'; BIG]);
        replies.ok();
        replies.value(&value);
        replies.value(&value);
        replies.bulk(b"end");
        let len = replies.len();
        let pieces = replies.take_pieces();
        assert_eq!((pieces.iter().map(Bytes::len).sum(), replies.len()), (len, 0));
        let shared = pieces.iter().filter(|piece| piece.as_ptr() == value.as_ptr()).count();
        assert_eq!(shared, 2);
        let header = format!("${BIG}\r\n");
        let expected = [b"+OK\r\n", header.as_bytes(), &value, b"\r\n", header.as_bytes(), &value];
        let expected = [&expected.concat()[..], b"\r\n$3\r\nend\r\n"].concat();
        assert_eq!(pieces.into_iter().collect::<Vec<_>>().concat(), expected);
    }
}
