//! Request bodies, which are skipped. The end of a body is the start of the next request.
//!
//! RFC 9112, sections 6 and 7. Reading is strict: if a proxy before us read a length differently
//! from us, a peer could smuggle requests past it.

use crate::head::Length;
use crate::status::Status;

/// The longest body that is skipped, in bytes: nginx's default.
pub const MAX_BODY: u64 = 1024 * 1024;

/// The most bytes for all chunk extensions and the trailer together: as many as for a head.
const MAX_EXTRA: usize = 16 * 1024;

/// Digits of a chunk's size: as many as a `u64` has, leading zeros included.
const MAX_DIGITS: u8 = 16;

/// The rest of a body.
#[derive(Debug)]
pub enum Body {
    /// This many bytes.
    Length(u64),
    /// In chunks.
    Chunked(Chunked),
}

impl Body {
    /// The body of a request whose head says how long it is.
    pub fn of(length: Length) -> Self {
        match length {
            Length::Bytes(count) => Self::Length(count),
            Length::Chunked => {
                Self::Chunked(Chunked { step: Step::Size, digits: 0, left: 0, total: 0, extra: 0 })
            }
        }
    }

    /// Skips the bytes of `data` that belong to the body; returns how many there are.
    ///
    /// # Errors
    ///
    /// The status to answer with. The start of the next request is unknown then.
    pub fn skip(&mut self, data: &[u8]) -> Result<usize, Status> {
        match self {
            Self::Length(left) => Ok(take(left, data.len())),
            Self::Chunked(chunked) => chunked.skip(data),
        }
    }

    /// Whether all of it was skipped.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.step == Step::Over,
        }
    }
}

/// A body in chunks, each with its size before it.
#[derive(Debug)]
pub struct Chunked {
    step: Step,
    digits: u8,
    /// Bytes still to come of the chunk.
    left: u64,
    /// The sizes of all chunks until now, added up.
    total: u64,
    /// Bytes of extensions and trailer until now.
    extra: usize,
}

/// The part of the body that the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Size,
    /// White space before an extension.
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a line of the trailer, or of the empty line that ends it all.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Over,
}

impl Chunked {
    fn skip(&mut self, data: &[u8]) -> Result<usize, Status> {
        let mut used = 0;
        while used < data.len() && self.step != Step::Over {
            if self.step != Step::Data {
                self.step = self.after(data[used])?;
                used += 1;
                continue;
            }
            used += take(&mut self.left, data.len() - used);
            if self.left == 0 {
                self.step = Step::DataCr;
            }
        }
        Ok(used)
    }

    fn after(&mut self, byte: u8) -> Result<Step, Status> {
        match (self.step, byte) {
            (Step::Size, b'\r') if self.digits > 0 => Ok(Step::SizeLf),
            (Step::Size | Step::SizeSpace, b';') if self.digits > 0 => Ok(Step::Extension),
            (Step::Size | Step::SizeSpace, b' ' | b'\t') if self.digits > 0 => {
                self.extra(Step::SizeSpace)
            }
            (Step::Size, _) => self.digit(byte),
            (Step::Extension, b'\r') => Ok(Step::SizeLf),
            (Step::Extension, _) if is_text(byte) => self.extra(Step::Extension),
            (Step::SizeLf, b'\n') => self.size_known(),
            (Step::DataCr, b'\r') => Ok(Step::DataLf),
            (Step::DataLf, b'\n') => {
                self.digits = 0;
                Ok(Step::Size)
            }
            (Step::TrailerStart, b'\r') => Ok(Step::EndLf),
            (Step::TrailerStart | Step::TrailerName, _) if is_token(byte) => {
                self.extra(Step::TrailerName)
            }
            (Step::TrailerName, b':') => self.extra(Step::TrailerValue),
            (Step::TrailerValue, b'\r') => Ok(Step::TrailerLf),
            (Step::TrailerValue, _) if is_text(byte) => self.extra(Step::TrailerValue),
            (Step::TrailerLf, b'\n') => Ok(Step::TrailerStart),
            (Step::EndLf, b'\n') => Ok(Step::Over),
            _ => Err(Status::BAD_REQUEST),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<Step, Status> {
        let digit = char::from(byte).to_digit(16).ok_or(Status::BAD_REQUEST)?;
        if self.digits == MAX_DIGITS {
            return Err(Status::BAD_REQUEST);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit); // 16 digits of 4 bits: none is lost
        Ok(Step::Size)
    }

    fn size_known(&mut self) -> Result<Step, Status> {
        self.total = self.total.saturating_add(self.left);
        match self.left {
            _ if self.total > MAX_BODY => Err(Status::CONTENT_TOO_LARGE),
            0 => Ok(Step::TrailerStart),
            _ => Ok(Step::Data),
        }
    }

    fn extra(&mut self, step: Step) -> Result<Step, Status> {
        self.extra += 1;
        if self.extra > MAX_EXTRA {
            return Err(Status::FIELDS_TOO_LARGE);
        }
        Ok(step)
    }
}

/// Takes up to `there` bytes off `left`; returns how many.
fn take(left: &mut u64, there: usize) -> usize {
    let count = usize::try_from(*left).map_or(there, |left| left.min(there));
    *left -= count as u64;
    count
}

/// Whether a byte may stand in a line: all may but control bytes, except the tab.
pub(crate) fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Whether a byte may stand in the name of a field or of a method (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    /// Feeds a body in portions; returns how many bytes it took, if it ended.
    fn skip(mut body: Body, bytes: &[u8], portion: usize) -> Result<Option<usize>, Status> {
        let mut used = 0;
        for part in bytes.chunks(portion) {
            let took = body.skip(part)?;
            used += took;
            if body.is_over() {
                return Ok(Some(used));
            }
            assert_eq!(took, part.len(), "all of it is looked at until the end");
        }
        Ok(None)
    }

    #[test]
    fn a_body_ends_where_it_says_whatever_the_portions() {
        let bodies: [&[u8]; 10] = [
            b"0\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"00000000000000aA\r\n0123456789012345678901234567890123456789\
              0123456789012345678901234567890123456789\
              0123456789012345678901234567890123456789\
              01234567890123456789012345678901234567890123456789\r\n0\r\n\r\n",
            b"5;name=value;\"quoted\"\r\n\r\n0\r\n\r\n0\r\n\r\n",
            b"1\r\n\n\r\n000\r\n\r\n",
            b"0;last\r\n\r\n",
            b"5 ; a = b\r\nhello\r\n0\r\n\r\n",
            b"5\t \t;a\r\nhello\r\n0 ;b\r\n\r\n",
            b"0\r\nTrailer: value\r\nAnother: \xff\t\r\n\r\n",
            b"2\r\n\r\n\r\n2\r\n\r\n\r\n0\r\na: b\r\n\r\n",
        ];
        for body in bodies {
            let followed = [body, b"GET / HTTP/1.1\r\n"].concat();
            for portion in 1..followed.len() {
                let end = skip(Body::of(Length::Chunked), &followed, portion);
                assert_eq!(end, Ok(Some(body.len())), "{}", body.escape_ascii());
            }
            for len in 0..body.len() {
                assert_eq!(skip(Body::of(Length::Chunked), &body[..len], 3), Ok(None));
            }
        }
        for portion in 1..9 {
            assert_eq!(skip(Body::Length(5), b"helloGET /", portion), Ok(Some(5)));
            assert_eq!(skip(Body::Length(5), b"hell", portion), Ok(None));
        }
    }

    #[test]
    fn there_is_no_second_way_to_read_a_chunk() {
        let bodies: [&[u8]; 33] = [
            b"\r\n",
            b";a\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"5 5;a\r\nhello\r\n",
            b" ;a\r\n",
            b"+5\r\nhello\r\n",
            b"-5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"5g\r\nhello\r\n",
            b"5_0\r\n",
            b"5.\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\rhello\r\n",
            b"5\rhello\r\n",
            b"5;a\nhello\r\n",
            b"5;a\r5\r\n",
            b"5;a\0\r\nhello\r\n",
            b"5\r\nhello\n",
            b"5\r\nhello0\r\n",
            b"5\r\nhello\r0",
            b"5\r\nhello!\r\n",
            b"00000000000000005\r\n",
            b"10000000000000000\r\n",
            b"0\r\n folded\r\n",
            b"0\r\nno colon\r\n",
            b"0\r\nname\r\n",
            b"0\r\n: value\r\n",
            b"0\r\na : value\r\n",
            b"0\r\nGET / HTTP/1.1\r\n",
            b"0\r\na: b\r\n\tfolded\r\n",
            b"0\r\na: b\n\r\n",
            b"0\r\n\r0",
        ];
        for body in bodies {
            for portion in 1..9 {
                let end = skip(Body::of(Length::Chunked), body, portion);
                assert_eq!(end, Err(Status::BAD_REQUEST), "{}", body.escape_ascii());
            }
        }
    }

    #[test]
    fn the_limits_hold_whatever_the_portions() {
        let most = format!("{MAX_BODY:x}\r\n");
        let more = format!("{:x}\r\n", MAX_BODY + 1);
        let extension = [&b"1;"[..], &[b'x'; MAX_EXTRA + 1]].concat();
        let trailer = [&b"0\r\n"[..], &b"a: b\r\n".repeat(MAX_EXTRA / 4 + 1)].concat();
        for portion in [1, 2, 3, 7, 4096, 100_000] {
            assert_eq!(skip(Body::of(Length::Chunked), most.as_bytes(), portion), Ok(None));
            let end = skip(Body::of(Length::Chunked), more.as_bytes(), portion);
            assert_eq!(end, Err(Status::CONTENT_TOO_LARGE));
            let end = skip(Body::of(Length::Chunked), b"ffffffffffffffff\r\n", portion);
            assert_eq!(end, Err(Status::CONTENT_TOO_LARGE));
            for extra in [&extension, &trailer] {
                let end = skip(Body::of(Length::Chunked), extra, portion);
                assert_eq!(end, Err(Status::FIELDS_TOO_LARGE));
                assert_eq!(skip(Body::of(Length::Chunked), &extra[..MAX_EXTRA], portion), Ok(None));
            }
        }
    }

    #[test]
    fn many_chunks_add_up() {
        let mut body = b"10000\r\n".to_vec();
        body.resize(body.len() + 0x10000, b'x');
        body.extend(b"\r\n");
        let full = body.repeat(16);
        assert_eq!(
            skip(Body::of(Length::Chunked), &full, 5000),
            Ok(None),
            "a limit is not exceeded by itself"
        );
        let over = [&full[..], b"1\r\n"].concat();
        assert_eq!(skip(Body::of(Length::Chunked), &over, 5000), Err(Status::CONTENT_TOO_LARGE));
    }
}
