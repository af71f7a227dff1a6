//! One request, scanned where its bytes lie.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::args::{Args, Word};
use super::error::ProtocolError;
use super::number::integer;
use super::{BIG, inline};

/// Arguments of one request, at most: the number Redis had until version 7.
const MAX_ARGS: i64 = 1024 * 1024;

/// The longest inline request, without its end of line; Redis' number.
pub(super) const MAX_INLINE: usize = 64 * 1024;

/// The first bytes of a client that speaks TLS: the type of a record with a part of the handshake, and the first
/// byte of its version. No line of a client of Redis begins so.
const CLIENT_HELLO: [u8; 2] = [0x16, 0x03];

/// The longest number in a header: the least one of 64 bits, with its sign.
const MAX_DIGITS: usize = 20;

/// Room for words that is kept for the next request: most requests have three.
pub(super) const SPARE_WORDS: usize = 64;

/// Room in bytes that is kept for the text of the next inline request.
const SPARE_TEXT: usize = 256;

/// A request may be this many times as long as the longest bulk string: with Redis' 512 MiB this is
/// the limit of Redis' query buffer, 1 GiB.
const BULKS_PER_REQUEST: usize = 2;

/// The limit of a request is never less, even if bulk strings must be small.
pub(super) const LEAST_MAX_REQUEST: usize = 1024 * 1024;

/// The longest bulk string that may be allowed: positions in a request have 32 bits.
pub(crate) const MOST_MAX_BULK: usize = 1024 * 1024 * 1024;

/// How long a whole request may be, headers included, if bulk strings have this limit.
pub(crate) fn max_request(max_bulk: usize) -> usize {
    (max_bulk * BULKS_PER_REQUEST).max(LEAST_MAX_REQUEST)
}

/// The request that is being read. All positions count from its first byte; the payloads of big words
/// that grow in memory of their own are not among these bytes.
#[derive(Debug)]
pub(super) struct Request {
    max_bulk: usize,
    /// The words found so far; those of an inline request are in `unquoted`.
    pub(super) words: Vec<Word>,
    big: Vec<Bytes>,
    /// The lengths of the big words together.
    big_len: usize,
    unquoted: Vec<u8>,
    /// How many words are missing; 0 until the first header is read.
    missing: usize,
    /// How many bytes were decoded, or at least scanned.
    at: usize,
    part: Part,
    /// The bytes that have come of the big word that is read.
    growing: Vec<u8>,
}

/// The part of a bulk string that is read next.
#[derive(Clone, Copy, Debug)]
enum Part {
    Header,
    /// So many bytes, which begin at `at`.
    Payload(usize),
    /// So many bytes of a big word, with those that have come.
    Big(usize),
    /// The end of line after a big word.
    End,
}

/// The result of scanning the bytes of a request.
enum Scan {
    /// More must come.
    Part,
    /// This many bytes without a command: an empty line, an empty array.
    Nothing(usize),
    Array(usize),
    Inline(usize),
}

impl Request {
    pub(super) fn new(max_bulk: usize) -> Self {
        Self {
            max_bulk,
            words: Vec::new(),
            big: Vec::new(),
            big_len: 0,
            unquoted: Vec::new(),
            missing: 0,
            at: 0,
            part: Part::Header,
            growing: Vec::new(),
        }
    }

    /// Hands out the requests at the beginning of `bytes`; returns how long they are together.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Args<'_>) -> ControlFlow<()>,
    ) -> Result<(usize, ControlFlow<()>), ProtocolError> {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let (len, text) = match self.scan(rest)? {
                Scan::Part => break,
                Scan::Nothing(len) => (len, None),
                Scan::Array(len) => (len, Some(rest)),
                Scan::Inline(len) => (len, Some(&self.unquoted[..])),
            };
            used += len;
            let flow = text.map(|bytes| each(Args::new(bytes, &self.words, &self.big)));
            self.start_over();
            if flow == Some(ControlFlow::Break(())) {
                return Ok((used, ControlFlow::Break(())));
            }
        }
        Ok((used, ControlFlow::Continue(())))
    }

    /// Where the payload of a big word begins, if the scan has stopped there because not all of it is
    /// among the `available` bytes.
    pub(super) fn big_word_begins(&self, available: usize) -> Option<usize> {
        let begins = matches!(self.part, Part::Payload(len)
            if len >= BIG && available < self.at + len);
        begins.then_some(self.at)
    }

    /// The big word begins with these bytes, and is not complete.
    pub(super) fn fill_from(&mut self, bytes: Vec<u8>) {
        if let Part::Payload(len) = self.part {
            self.part = Part::Big(len);
            self.growing = bytes;
        }
    }

    /// Takes what belongs to the big word that is incomplete, if there is one; returns the rest.
    pub(super) fn fill<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let Part::Big(len) = self.part else { return data };
        let (more, rest) = data.split_at(data.len().min(len - self.growing.len()));
        self.growing.extend_from_slice(more);
        if self.growing.len() == len {
            let mut bytes = std::mem::take(&mut self.growing);
            bytes.shrink_to_fit(); // room that no byte has touched: the allocator moves nothing
            self.words.push(Word::Big(self.big.len() as u32)); // no more than there are words
            self.big.push(bytes.into());
            self.big_len += len;
            self.part = Part::End;
        }
        rest
    }

    fn start_over(&mut self) {
        self.words.clear();
        self.words.shrink_to(SPARE_WORDS);
        if self.big_len > 0 {
            self.big = Vec::new();
            self.big_len = 0;
        }
        self.unquoted.clear();
        self.unquoted.shrink_to(SPARE_TEXT);
        self.at = 0;
    }

    /// Goes on where the last scan of this request ran out of bytes.
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, ProtocolError> {
        if self.missing == 0 {
            if bytes[0] != b'*' {
                return self.scan_line(bytes);
            }
            let Some((count, end)) = number(&bytes[1..]).ok_or(ProtocolError::ArrayLength)? else {
                return Ok(Scan::Part);
            };
            self.at = 1 + end;
            if count <= 0 {
                return Ok(Scan::Nothing(self.at));
            }
            if count > MAX_ARGS {
                return Err(ProtocolError::ArrayLength);
            }
            self.missing = count as usize; // from 1 to MAX_ARGS
        }
        while self.missing > 0 {
            if !self.scan_bulk(bytes)? {
                return Ok(Scan::Part);
            }
            self.missing -= 1;
        }
        Ok(Scan::Array(self.at))
    }

    /// Takes one bulk string; `false`: it is not complete yet.
    fn scan_bulk(&mut self, bytes: &[u8]) -> Result<bool, ProtocolError> {
        let len = match self.part {
            Part::Payload(len) => len,
            Part::Big(_) => return Ok(false),
            Part::End => 0,
            Part::Header => match self.scan_bulk_header(&bytes[self.at..])? {
                Some(len) => len,
                None => return Ok(false),
            },
        };
        match bytes.get(self.at + len..) {
            Some([b'\r', b'\n', ..]) => {}
            None | Some([] | [b'\r']) => return Ok(false),
            Some(_) => return Err(ProtocolError::NoEnd),
        }
        if !matches!(self.part, Part::End) {
            self.words.push(Word::at(self.at, len));
        }
        self.at += len + 2;
        self.part = Part::Header;
        Ok(true)
    }

    fn scan_bulk_header(&mut self, header: &[u8]) -> Result<Option<usize>, ProtocolError> {
        match header {
            [] => return Ok(None),
            [b'$', ..] => {}
            [other, ..] => return Err(ProtocolError::NoBulk(*other)),
        }
        let Some((len, end)) = number(&header[1..]).ok_or(ProtocolError::BulkLength)? else {
            return Ok(None);
        };
        let len = usize::try_from(len).ok().filter(|&len| len <= self.max_bulk);
        let len = len.ok_or(ProtocolError::BulkLength)?;
        self.at += 1 + end;
        if self.big_len + self.at + len > max_request(self.max_bulk) {
            return Err(ProtocolError::TooLong);
        }
        self.part = Part::Payload(len);
        Ok(Some(len))
    }

    fn scan_line(&mut self, bytes: &[u8]) -> Result<Scan, ProtocolError> {
        if bytes.starts_with(&CLIENT_HELLO) {
            return Err(ProtocolError::Tls);
        }
        let looked_at = self.at;
        let Some(more) = bytes[looked_at..].iter().position(|&byte| byte == b'\n') else {
            self.at = bytes.len();
            return if bytes.len() > MAX_INLINE + 1 {
                Err(ProtocolError::LineTooLong)
            } else {
                Ok(Scan::Part)
            };
        };
        let end = looked_at + more;
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        if line.len() > MAX_INLINE {
            return Err(ProtocolError::LineTooLong);
        }
        inline::split(line, &mut self.unquoted, &mut self.words).ok_or(ProtocolError::Quotes)?;
        Ok(if self.words.is_empty() { Scan::Nothing(end + 1) } else { Scan::Inline(end + 1) })
    }
}

/// The integer at the beginning, and where the CRLF after it ends. `Some(None)`: more bytes must
/// come; `None`: it is no integer.
#[inline]
fn number(bytes: &[u8]) -> Option<Option<(i64, usize)>> {
    if let [digit @ b'0'..=b'9', b'\r', b'\n', ..] = bytes {
        return Some(Some((i64::from(digit - b'0'), 3))); // nearly all are like this
    }
    let Some(end) = bytes.iter().take(MAX_DIGITS + 1).position(|&byte| byte == b'\r') else {
        return if bytes.len() > MAX_DIGITS { None } else { Some(None) };
    };
    let number = integer(&bytes[..end])?;
    match bytes.get(end + 1) {
        Some(b'\n') => Some(Some((number, end + 2))),
        Some(_) => None,
        None => Some(None),
    }
}
