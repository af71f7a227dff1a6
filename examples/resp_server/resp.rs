//! RESP, the protocol of Redis, without I/O: decodes requests from bytes in portions of any size.
//!
//! ```text
//! *2\r\n$3\r\nGET\r\n$3\r\nkey\r\n    an array of bulk strings, as programs send it
//! GET key\r\n                        a line of words, as people type it
//! ```
//!
//! Complete requests in the received bytes are handed out as slices: nothing is copied, nothing
//! allocated. Only the rest after the last complete request is kept. Each byte of it is decoded
//! once, for portions of any size: the work is linear in the bytes. Memory grows with the bytes
//! that came, never with the lengths that a header announces.

use std::fmt;
use std::ops::ControlFlow;

use crate::args::{Args, Span};
use crate::inline;
use crate::number::integer;

/// Arguments of one request, at most: the number Redis had until version 7.
const MAX_ARGS: i64 = 1024 * 1024;

/// The longest inline request, without its end of line; Redis' number.
pub(crate) const MAX_INLINE: usize = 64 * 1024;

/// The longest number in a header: the least one of 64 bits, with its sign.
const MAX_DIGITS: usize = 20;

/// Room for arguments that is kept for the next request: most requests have three.
const SPARE_ARGS: usize = 64;

/// Room in bytes that is kept for the text of the next inline request.
const SPARE_TEXT: usize = 256;

/// Room in bytes that is kept for the start of the next request: as much as one read brings.
const SPARE_BYTES: usize = 64 * 1024;

/// A request may be this many times as long as the longest bulk string: with Redis' 512 MiB this is
/// the limit of Redis' query buffer, 1 GiB.
const BULKS_PER_REQUEST: usize = 2;

/// The limit of a request is never less, even if bulk strings must be small.
const LEAST_MAX_REQUEST: usize = 1024 * 1024;

/// The longest bulk string that may be allowed: positions in a request have 32 bits.
pub(crate) const MOST_MAX_BULK: usize = 1024 * 1024 * 1024;

/// How long a whole request may be, headers included, if bulk strings have this limit.
pub(crate) fn max_request(max_bulk: usize) -> usize {
    (max_bulk * BULKS_PER_REQUEST).max(LEAST_MAX_REQUEST)
}

/// Invalid input. Its end is unknown, so nothing after it can be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProtocolError {
    ArrayLength,
    BulkLength,
    NoBulk(u8),
    NoEnd,
    TooLong,
    LineTooLong,
    Quotes,
}

/// Redis' messages, where Redis has one: it takes any two bytes for the end of a bulk string, and
/// closes without a message when a request is too long.
impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArrayLength => f.write_str("invalid multibulk length"),
            Self::BulkLength => f.write_str("invalid bulk length"),
            Self::NoBulk(got) => {
                // The peer chose the byte: it is shown only if it is printable.
                let got = if got.is_ascii_graphic() { char::from(*got) } else { ' ' };
                write!(f, "expected '$', got '{got}'")
            }
            Self::NoEnd => f.write_str("expected CRLF after the bulk string"),
            Self::TooLong => f.write_str("too big request"),
            Self::LineTooLong => f.write_str("too big inline request"),
            Self::Quotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

/// Decodes the requests of one connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    request: Request,
    /// Received bytes; the first `used` of them are decoded. Empty between requests.
    kept: Vec<u8>,
    used: usize,
}

impl Decoder {
    pub(crate) fn new(max_bulk: usize) -> Self {
        let max_bulk = max_bulk.min(MOST_MAX_BULK);
        Self { request: Request::new(max_bulk), kept: Vec::new(), used: 0 }
    }

    /// Keeps `data` until the next [`decode`](Self::decode).
    pub(crate) fn keep(&mut self, data: &[u8]) {
        if self.used > 0 {
            self.kept.drain(..self.used);
            self.kept.shrink_to(SPARE_BYTES);
            self.used = 0;
        }
        self.kept.extend_from_slice(data);
    }

    /// Calls `each` with each complete request, those kept first, until it breaks. Returns whether
    /// it did; then the bytes after the request are kept.
    ///
    /// # Errors
    ///
    /// If the input is invalid. The requests before were handed out; do not decode any more.
    pub(crate) fn decode(
        &mut self,
        data: &[u8],
        each: impl FnMut(Args<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ProtocolError> {
        if self.kept.is_empty() {
            let (used, flow) = self.request.decode(data, each)?;
            self.kept.extend_from_slice(&data[used..]);
            return Ok(flow);
        }
        if !data.is_empty() {
            self.keep(data);
        }
        let (used, flow) = self.request.decode(&self.kept[self.used..], each)?;
        self.used += used;
        if self.used == self.kept.len() {
            self.kept = Vec::new(); // an idle connection owns no buffer
            self.used = 0;
        }
        Ok(flow)
    }
}

/// The request that is being read. All positions count from its first byte.
#[derive(Debug)]
struct Request {
    max_bulk: usize,
    /// The words found so far; those of an inline request are in `unquoted`.
    spans: Vec<Span>,
    unquoted: Vec<u8>,
    /// How many words are missing; 0 until the first header is read.
    missing: usize,
    /// How many bytes were decoded, or at least scanned.
    at: usize,
    /// The length of the bulk string that begins at `at`, once its header is read.
    bulk: Option<usize>,
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
    fn new(max_bulk: usize) -> Self {
        let (spans, unquoted) = (Vec::new(), Vec::new());
        Self { max_bulk, spans, unquoted, missing: 0, at: 0, bulk: None }
    }

    /// Hands out the requests at the beginning of `bytes`; returns how long they are together.
    fn decode(
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
            let flow = text.map(|bytes| each(Args::new(bytes, &self.spans)));
            self.start_over();
            if flow == Some(ControlFlow::Break(())) {
                return Ok((used, ControlFlow::Break(())));
            }
        }
        Ok((used, ControlFlow::Continue(())))
    }

    fn start_over(&mut self) {
        self.spans.clear();
        self.spans.shrink_to(SPARE_ARGS);
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
        let len = match self.bulk {
            Some(len) => len,
            None => match self.scan_bulk_header(&bytes[self.at..])? {
                Some(len) => len,
                None => return Ok(false),
            },
        };
        match bytes.get(self.at + len..) {
            Some([b'\r', b'\n', ..]) => {}
            None | Some([] | [b'\r']) => return Ok(false),
            Some(_) => return Err(ProtocolError::NoEnd),
        }
        self.spans.push(Span::new(self.at, len));
        self.at += len + 2;
        self.bulk = None;
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
        if self.at + len > max_request(self.max_bulk) {
            return Err(ProtocolError::TooLong);
        }
        self.bulk = Some(len);
        Ok(Some(len))
    }

    fn scan_line(&mut self, bytes: &[u8]) -> Result<Scan, ProtocolError> {
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
        inline::split(line, &mut self.unquoted, &mut self.spans).ok_or(ProtocolError::Quotes)?;
        Ok(if self.spans.is_empty() { Scan::Nothing(end + 1) } else { Scan::Inline(end + 1) })
    }
}

/// The integer at the beginning, and where the CRLF after it ends. `Some(None)`: more bytes must
/// come; `None`: it is no integer.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    const MAX_BULK: usize = 100;

    /// The requests in `bytes`, fed in chunks of `size`, and the error after them. With
    /// `one_by_one` each call decodes one request.
    fn requests(
        bytes: &[u8],
        size: usize,
        one_by_one: bool,
    ) -> (Vec<String>, Option<ProtocolError>) {
        let mut decoder = Decoder::new(MAX_BULK);
        let mut found = Vec::new();
        for chunk in bytes.chunks(size) {
            let mut chunk = chunk;
            loop {
                let decoded = decoder.decode(chunk, |args| {
                    found.push(format!("{args:?}"));
                    if one_by_one { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                match decoded {
                    Ok(ControlFlow::Continue(())) => break,
                    Ok(ControlFlow::Break(())) => chunk = &[],
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    /// Checks the requests found in `bytes`, for chunks of several sizes.
    fn check(bytes: &[u8], expected: &[&str], error: Option<ProtocolError>) {
        for size in (1..=9).chain([bytes.len().max(1)]) {
            for one_by_one in [false, true] {
                let (found, ended) = requests(bytes, size, one_by_one);
                let what = bytes[..bytes.len().min(80)].escape_ascii();
                assert_eq!(found, expected, "{what} in chunks of {size}");
                assert_eq!(ended, error, "{what} in chunks of {size}");
            }
        }
    }

    #[test]
    fn requests_are_found_however_they_are_cut() {
        let all = b"*1\r\n$4\r\nPING\r\nGET key\r\n*0\r\n\r\n  \n*-5\r\n\
                    *3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nab\r\ncd*1\r\n$4\r\n\r\nset \"a b\" 'c'\n\
                    *2\r\n$1\r\n\xff\r\n$2\r\n\r\n\r\nping\r\n*1\r\n$9\r\nnot whol";
        let expected = [
            "[PING]",
            "[GET, key]",
            r"[SET, , ab\r\ncd*1\r\n$4]",
            "[set, a b, c]",
            r"[\xff, \r\n]",
            "[ping]",
        ];
        check(all, &expected, None);
    }

    #[test]
    fn what_is_no_request_is_an_error_behind_those_before_it() {
        use ProtocolError::{ArrayLength, BulkLength, LineTooLong, NoBulk, NoEnd, Quotes, TooLong};
        let long = [&b"x"[..], &b"x".repeat(MAX_INLINE), b"\r\n"].concat();
        let many = b"*999999\r\n".iter().copied().chain(b"$99\r\n".iter().copied());
        let many: Vec<u8> = many.collect();
        let cases: [(&[u8], ProtocolError); 22] = [
            (b"*x\r\n", ArrayLength),
            (b"*\r\n", ArrayLength),
            (b"*1\rx", ArrayLength),
            (b"*+1\r\n", ArrayLength),
            (b"*01\r\n", ArrayLength),
            (b"*1048577\r\n", ArrayLength),
            (b"*1000000000\r\n", ArrayLength),
            (b"*123456789012345678901234567890", ArrayLength),
            (b"*1\r\n:1\r\n", NoBulk(b':')),
            (b"*2\r\n$1\r\na\r\n*1\r\n", NoBulk(b'*')),
            (b"*1\r\n$-1\r\n", BulkLength),
            (b"*1\r\n$x\r\n", BulkLength),
            (b"*1\r\n$101\r\n", BulkLength),
            (b"*1\r\n$2147483647\r\n", BulkLength),
            (b"*1\r\n$123456789012345678901234567890", BulkLength),
            (b"*1\r\n$1\r\nab\r\n", NoEnd),
            (b"*1\r\n$1\r\na\rb", NoEnd),
            (b"a 'b\r\n", Quotes),
            (b"\"\n", Quotes),
            (&long, LineTooLong),
            (&b"x".repeat(2 * MAX_INLINE), LineTooLong),
            (b"*1\r\n$ 1\r\n", BulkLength),
        ];
        for (bytes, error) in cases {
            check(bytes, &[], Some(error));
            check(&[b"PING\r\n", bytes].concat(), &["[PING]"], Some(error));
        }
        check(&many, &[], None);
        let words = b"$99\r\n".iter().chain(&[b'x'; 99]).chain(b"\r\n");
        let words: Vec<u8> = words.copied().collect();
        let request = [b"*999999\r\n", &*words.repeat(LEAST_MAX_REQUEST / 99)].concat();
        assert_eq!(requests(&request, 65536, false), (vec![], Some(TooLong)));
    }

    #[test]
    fn the_longest_line_and_the_longest_bulk_string_are_taken() {
        let line = [&b"x".repeat(MAX_INLINE)[..], b"\r\n"].concat();
        check(&line, &[&format!("[{}]", "x".repeat(MAX_INLINE))], None);
        let bulk = [&b"*1\r\n$100\r\n"[..], &[b'y'; MAX_BULK], b"\r\n"].concat();
        check(&bulk, &[&format!("[{}]", "y".repeat(MAX_BULK))], None);
    }

    #[test]
    fn promises_take_no_memory_and_idle_decoders_have_none() {
        let mut decoder = Decoder::new(usize::MAX);
        let lie = b"*1048576\r\n$1073741824\r\nabc";
        assert!(decoder.decode(lie, |_| panic!("it is not whole")).unwrap().is_continue());
        assert!(decoder.kept.capacity() < 100 && decoder.request.spans.capacity() < 100);

        let mut decoder = Decoder::new(1024 * 1024);
        let words = [&b"*100000\r\n"[..], &b"$0\r\n\r\n".repeat(100_000)].concat();
        let mut count = 0;
        for chunk in words.chunks(1000) {
            assert!(
                decoder
                    .decode(chunk, |args| {
                        count += args.len();
                        ControlFlow::Continue(())
                    })
                    .is_ok()
            );
        }
        assert_eq!((count, decoder.kept.capacity()), (100_000, 0));
        assert!(decoder.request.spans.capacity() <= SPARE_ARGS);
    }

    #[test]
    fn a_long_request_byte_by_byte_is_looked_at_once() {
        const LEN: usize = 4 * 1024 * 1024;
        let mut decoder = Decoder::new(LEN);
        let header = format!("*2\r\n$4\r\nECHO\r\n${LEN}\r\n");
        let request = [header.as_bytes(), &vec![b'x'; LEN], b"\r\n"].concat();
        let mut found = 0;
        for byte in request.chunks(1) {
            let flow = decoder.decode(byte, |args| {
                found += args[1].len();
                ControlFlow::Continue(())
            });
            assert!(flow.is_ok());
        }
        assert_eq!(found, LEN);
    }
}
