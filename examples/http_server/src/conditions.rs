//! Requests for a part of a file, or for nothing if it has not changed (RFC 9110, sections 13 and 14).
//!
//! `If-Match` and `If-Unmodified-Since` are ignored: they protect from lost updates, and nothing is updated
//! here. Of several ranges none is served, but the whole file, as the RFC allows.

use std::fmt::Write;
use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_server::head::{Conditions, list};
use http_server::status::Status;
use httpdate::HttpDate;

/// How exact a date is.
const SECOND: Duration = Duration::from_secs(1);

/// The first second that has no date in HTTP: the year 10,000.
const END_OF_TIME: u64 = 253_402_300_800;

/// Room for the fields of an answer with a file, in bytes: a tag, a date, and the range it may have.
const FIELDS: usize = 256;

/// The marks of a version of a file.
#[derive(Debug)]
pub(crate) struct Version {
    /// The fields that tell a client which version this is; the tag stands in the first one.
    fields: String,
    tag: Range<usize>,
    /// In whole seconds, as HTTP has them; none for a file from the future.
    modified: Option<SystemTime>,
    /// No later version gets the same date, for its second is over. An earlier one may have had it: a client must not ask
    /// by a date that it got in the same second (RFC 9110, section 13.1.5).
    is_exact: bool,
}

impl Version {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self::seen_at(SystemTime::now(), file)
    }

    fn seen_at(now: SystemTime, file: &Metadata) -> Self {
        let (seconds, nanos) = (file.mtime(), file.mtime_nsec());
        let known = u64::try_from(seconds).ok().filter(|&seconds| seconds < END_OF_TIME);
        let modified = known.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let modified = modified.filter(|&modified| modified <= now);
        let mut fields = String::with_capacity(FIELDS);
        fields.push_str("ETag: ");
        let start = fields.len();
        push_tag(
            &mut fields,
            [file.ino(), file.len(), seconds.cast_unsigned(), nanos.cast_unsigned()],
        );
        let tag = start..fields.len();
        fields.push_str("\r\n");
        if let Some(time) = modified {
            let _ = write!(fields, "Last-Modified: {}\r\n", HttpDate::from(time)); // to a string: cannot fail
        }
        let is_exact = modified.is_some_and(|modified| modified + SECOND <= now);
        Self { fields, tag, modified, is_exact }
    }

    fn tag(&self) -> &[u8] {
        &self.fields.as_bytes()[self.tag.clone()]
    }

    /// The fields that tell a client which version this is.
    pub(crate) fn into_fields(self) -> String {
        self.fields
    }

    /// Whether the client has this version. A tag is more exact than a date, so the date counts only
    /// without one.
    pub(crate) fn is_known_to(&self, request: &Conditions<'_>) -> bool {
        if let Some(tags) = request.if_none_match {
            let opaque = |tag: &'_ [u8]| tag.strip_prefix(b"W/").unwrap_or(tag) == self.tag();
            return list(tags).any(|tag| tag == b"*" || opaque(tag));
        }
        let since = request.if_modified_since.and_then(date);
        since.zip(self.modified).is_some_and(|(since, modified)| modified <= since)
    }

    /// The part that is asked for, of `len` bytes; `None` means all of them: no part is asked for, or one of
    /// another version, or in a way that is not understood.
    ///
    /// # Errors
    ///
    /// `RANGE_NOT_SATISFIABLE` if none of the bytes that are asked for exists.
    pub(crate) fn part(
        &self,
        request: &Conditions<'_>,
        len: u64,
    ) -> Result<Option<Range<u64>>, Status> {
        let is_meant = request.if_range.is_none_or(|version| {
            version == self.tag() || self.is_exact && date(version) == self.modified
        });
        match request.range.filter(|_| is_meant).and_then(|range| parse(range, len)) {
            Some(range) if range.is_empty() => Err(Status::RANGE_NOT_SATISFIABLE),
            range => Ok(range),
        }
    }
}

/// Writes a tag: which file it is, how long, and when it was written, in seconds and nanoseconds. So a file
/// that takes the place of another one differs even if it is as long and as old.
fn push_tag(out: &mut String, [inode, len, seconds, nanos]: [u64; 4]) {
    for (before, number) in [('"', inode), ('-', len), ('-', seconds), ('.', nanos)] {
        out.push(before);
        push_hex(out, number);
    }
    out.push('"');
}

/// As `{:x}` writes it, in a tenth of the time: each answer with a file has four of them.
fn push_hex(out: &mut String, number: u64) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place)) & 0xf;
        out.push(char::from(b"0123456789abcdef"[digit as usize]));
    }
}

fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// The range that a value like `bytes=0-499`, `bytes=500-` or `bytes=-500` means, of `len` bytes. It is empty
/// if there are none of them; `None` if the value means nothing.
fn parse(value: &[u8], len: u64) -> Option<Range<u64>> {
    let (unit, range) = std::str::from_utf8(value).ok()?.split_once('=')?;
    let (first, last) =
        range.trim().split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes"))?;
    Some(match (first, last) {
        ("", count) => match number(count)? {
            1.. if len == 0 => return None, // all there is, and no range tells that
            count => len.saturating_sub(count)..len,
        },
        (first, "") => number(first)?..len,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..len.min(last.saturating_add(1))
        }
    })
}

/// A number of digits only. One that is too large for any file is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    #[test]
    fn a_tag_has_its_numbers_in_hexadecimal() {
        for [a, b, c, d] in [[0, 1, 15, 16], [0x1234_5678_9abc_def0, u64::MAX, 1 << 60, 255]] {
            let mut tag = String::new();
            push_tag(&mut tag, [a, b, c, d]);
            assert_eq!(tag, format!("\"{a:x}-{b:x}-{c:x}.{d:x}\""));
        }
    }

    #[test]
    fn a_date_whose_second_is_not_over_asks_for_no_part() {
        let file = std::env::current_exe().unwrap().metadata().unwrap();
        let written = UNIX_EPOCH + Duration::from_secs(file.mtime().unsigned_abs());
        let date = HttpDate::from(written).to_string();
        let request = Conditions {
            range: Some(b"bytes=0-4"),
            if_range: Some(date.as_bytes()),
            ..Conditions::default()
        };
        let part = |later| {
            let later = Duration::from_millis(later);
            Version::seen_at(written + later, &file).part(&request, 10)
        };
        assert_eq!((part(0), part(999)), (Ok(None), Ok(None)), "it may change and keep the date");
        assert_eq!(part(1000), Ok(Some(0..5)));
    }

    #[test]
    fn a_range_is_what_it_says_or_nothing() {
        for (value, range) in [
            ("bytes=0-4", 0..5),
            ("Bytes=0-0", 0..1),
            ("bytes= 3-7 ", 3..8),
            ("bytes=3-", 3..10),
            ("bytes=3-99999999999999999999999", 3..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
        ] {
            assert_eq!(parse(value.as_bytes(), 10), Some(range), "{value}");
        }
        for value in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert!(parse(value.as_bytes(), 10).is_some_and(|range| range.is_empty()), "{value}");
        }
        assert!(parse(b"bytes=0-", 0).is_some_and(|range| range.is_empty()), "an empty file");
        assert!(parse(b"bytes=-0", 0).is_some_and(|range| range.is_empty()), "none of nothing");
        assert_eq!(parse(b"bytes=-3", 0), None, "all of an empty file, which is no range");
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=4-3",
            "bytes=+1-2",
            "bytes=0-1,3-4",
            "bytes 0-1",
            "lines=0-1",
            "bytes=0 -1",
            "bytes=--1",
        ] {
            assert_eq!(parse(value.as_bytes(), 10), None, "{value}");
        }
    }
}
