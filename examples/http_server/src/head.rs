//! Request heads: where one ends, and what it asks for.
//!
//! [`Scan`] finds the end, in linear time for portions of any size. Each line ends with CRLF; no
//! other CR, LF or control byte is allowed. Then [`parse`] reads the whole head: the request line
//! itself, the fields with `httparse`. A request has one possible length, or it is refused
//! (RFC 9112, section 6.3).

use httparse::Header;

use crate::body::{MAX_BODY, is_text, is_token};
use crate::status::Status;
use crate::target;

/// The longest request line, in bytes. RFC 9112 asks for 8,000 at least.
pub const MAX_LINE: usize = 8 * 1024;

/// The longest head, in bytes, request line included: the limit of Node.js.
pub const MAX_HEAD: usize = 16 * 1024;

/// The most fields in a head: Apache's number. Browsers send about 20.
pub const MAX_FIELDS: usize = 100;

/// Looks for the end of a head that comes in portions.
#[derive(Debug, Default)]
pub struct Scan {
    /// How many bytes were looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    /// Whether the request line is complete.
    fields: bool,
}

impl Scan {
    /// Goes on in `bytes`, which begins with the bytes scanned before; returns the length of the
    /// head once it is complete. One empty line before the request line belongs to the head.
    ///
    /// # Errors
    ///
    /// The status to answer with: the line or the head is too long, or a byte may not stand there.
    pub fn end_of_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Status> {
        while self.seen < bytes.len() {
            if self.seen >= self.limit() {
                return Err(if self.fields {
                    Status::FIELDS_TOO_LARGE
                } else {
                    Status::URI_TOO_LONG
                });
            }
            let after_cr = self.seen > 0 && bytes[self.seen - 1] == b'\r';
            if !after_cr && is_text(bytes[self.seen]) {
                let rest = &bytes[self.seen..bytes.len().min(self.limit())];
                self.seen += rest.iter().position(|&byte| !is_text(byte)).unwrap_or(rest.len());
                continue;
            }
            self.seen += 1;
            match bytes[self.seen - 1] {
                b'\r' if !after_cr => {}
                b'\n' if after_cr => {
                    if self.end_of_line()? {
                        return Ok(Some(self.seen));
                    }
                }
                _ => return Err(Status::BAD_REQUEST),
            }
        }
        Ok(None)
    }

    fn limit(&self) -> usize {
        if self.fields { MAX_HEAD } else { self.line + MAX_LINE }
    }

    /// Ends a line; returns whether it was the last one.
    fn end_of_line(&mut self) -> Result<bool, Status> {
        let empty = self.seen - self.line == 2;
        let first = self.line == 0;
        self.line = self.seen;
        match (empty, self.fields) {
            (true, true) => Ok(true),
            // Old clients end a body with a CRLF too many (RFC 9112, section 2.2). One is enough.
            (true, false) if first => Ok(false),
            (true, false) => Err(Status::BAD_REQUEST),
            (false, _) => {
                self.fields = true;
                Ok(false)
            }
        }
    }
}

/// A request, as its head describes it.
#[derive(PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The kind of its method.
    pub method: Method,
    /// The method's name as it came.
    pub method_name: &'a str,
    /// The request target as it came: visible ASCII. [`Target::of`](crate::target::Target::of) reads it.
    pub target: &'a str,
    /// The name and port that the client asks by; empty if it sent none. Well formed, and no more.
    pub host: &'a str,
    /// The client may send another request after this one.
    pub keep_alive: bool,
    /// The client speaks HTTP/1.0: keep-alive has to be stated in the answer.
    pub http_1_0: bool,
    /// How long the body is.
    pub length: Length,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The fields that ask for a part, or for nothing if nothing has changed.
    pub conditions: Conditions<'a>,
}

/// The method of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: the same answer as to GET, without its content.
    Head,
    /// Another method of HTTP.
    Other,
    /// A method that HTTP does not define.
    Unknown,
}

/// How long a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// This many bytes; 0 without a body.
    Bytes(u64),
    /// In chunks: the last one ends it.
    Chunked,
}

/// The values of some fields, as they came. Of a field that comes twice, the last one counts: at worst
/// the client gets more than it needs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Conditions<'a> {
    /// `Range`: the part that is asked for.
    pub range: Option<&'a [u8]>,
    /// `If-Range`: the version that the part is to be of.
    pub if_range: Option<&'a [u8]>,
    /// `If-None-Match`: the tags of the versions that the client has.
    pub if_none_match: Option<&'a [u8]>,
    /// `If-Modified-Since`: the date of the version that the client has.
    pub if_modified_since: Option<&'a [u8]>,
}

/// Parses a whole head, of which [`Scan`] has found the end.
///
/// # Errors
///
/// The status to answer with. The start of the next request is unknown then.
pub fn parse(head: &[u8]) -> Result<Request<'_>, Status> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let line = head.iter().position(|&byte| byte == b'\r').ok_or(Status::BAD_REQUEST)?;
    let (method_name, target, http_1_0) = request_line(&head[..line])?;
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let rest = head.get(line + 2..).unwrap_or_default();
    let fields = match httparse::parse_headers(rest, &mut fields) {
        Ok(httparse::Status::Complete((len, fields))) if len == rest.len() => fields,
        Err(httparse::Error::TooManyHeaders) => return Err(Status::FIELDS_TOO_LARGE),
        Ok(_) | Err(_) => return Err(Status::BAD_REQUEST),
    };
    let mut judge = Judge::default();
    for field in fields {
        judge.look_at(field)?;
    }
    if judge.hosts != 1 && !(http_1_0 && judge.hosts == 0) {
        return Err(Status::BAD_REQUEST);
    }
    Ok(Request {
        method: method_of(method_name),
        method_name,
        target,
        host: judge.host,
        // After CONNECT the client may already send bytes that are meant for another server.
        keep_alive: !judge.close && (!http_1_0 || judge.keep_alive) && method_name != "CONNECT",
        http_1_0,
        length: judge.length(http_1_0)?,
        expects_continue: judge.expects_continue && !http_1_0,
        conditions: judge.conditions,
    })
}

/// The method, the target, and whether the version is 1.0. A later minor version is read as 1.1
/// (RFC 9110, section 2.5).
fn request_line(line: &[u8]) -> Result<(&str, &str, bool), Status> {
    let line = std::str::from_utf8(line).map_err(|_| Status::BAD_REQUEST)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Status::BAD_REQUEST);
    };
    let is_target = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Status::BAD_REQUEST);
    }
    if target.is_empty() || !target.bytes().all(is_target) {
        return Err(Status::BAD_REQUEST);
    }
    match version.strip_prefix("HTTP/").map(str::as_bytes) {
        Some([b'1', b'.', minor @ b'0'..=b'9']) => Ok((method, target, *minor == b'0')),
        Some([b'0'..=b'9', b'.', b'0'..=b'9']) => Err(Status::VERSION_NOT_SUPPORTED),
        _ => Err(Status::BAD_REQUEST),
    }
}

fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => Method::Other,
        _ => Method::Unknown,
    }
}

/// The facts about a request that its fields give.
#[derive(Default)]
struct Judge<'a> {
    hosts: usize,
    host: &'a str,
    content_length: Option<u64>,
    /// The transfer coding named last, and whether others came before it.
    coding: Option<&'a [u8]>,
    more_codings: bool,
    chunked_twice: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    conditions: Conditions<'a>,
}

impl<'a> Judge<'a> {
    fn look_at(&mut self, field: &Header<'a>) -> Result<(), Status> {
        let Header { name, value } = *field;
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is("Host") => return self.host(value),
            5 if is("Range") => self.conditions.range = Some(value),
            6 if is("Expect") => {
                self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            8 if is("If-Range") => self.conditions.if_range = Some(value),
            10 if is("Connection") => self.connection(value),
            13 if is("If-None-Match") => self.conditions.if_none_match = Some(value),
            14 if is("Content-Length") => return self.content_length(value),
            17 if is("If-Modified-Since") => self.conditions.if_modified_since = Some(value),
            17 if is("Transfer-Encoding") => self.transfer_encoding(value),
            _ => {}
        }
        Ok(())
    }

    /// It must be well formed or empty (RFC 9112, section 3.2).
    fn host(&mut self, value: &'a [u8]) -> Result<(), Status> {
        self.hosts += 1;
        self.host = std::str::from_utf8(value).map_err(|_| Status::BAD_REQUEST)?;
        let fits = self.host.is_empty() || target::is_authority(self.host);
        if fits { Ok(()) } else { Err(Status::BAD_REQUEST) }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// One number, of digits only, once. RFC 9112 would allow the same number twice, but no honest
    /// client sends it so.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Status> {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().filter(|_| digits);
        let number = number.and_then(|number| number.parse().ok());
        if self.content_length.is_some() || number.is_none() {
            return Err(Status::BAD_REQUEST);
        }
        self.content_length = number;
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &'a [u8]) {
        for coding in list(value) {
            if let Some(before) = self.coding.replace(coding) {
                self.more_codings = true;
                self.chunked_twice |= before.eq_ignore_ascii_case(b"chunked");
            }
        }
    }

    fn length(&self, http_1_0: bool) -> Result<Length, Status> {
        let Some(last) = self.coding else {
            return match self.content_length.unwrap_or(0) {
                length if length > MAX_BODY => Err(Status::CONTENT_TOO_LARGE),
                length => Ok(Length::Bytes(length)),
            };
        };
        let chunked = last.eq_ignore_ascii_case(b"chunked") && !self.chunked_twice;
        if http_1_0 || self.content_length.is_some() || !chunked {
            return Err(Status::BAD_REQUEST);
        }
        if self.more_codings {
            return Err(Status::NOT_IMPLEMENTED);
        }
        Ok(Length::Chunked)
    }
}

/// The elements of a comma-separated list. Empty ones count: in a `Transfer-Encoding` they are wrong.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_may_be_any() {
        for (version, expected) in [
            ("HTTP/1.0", Ok(true)),
            ("HTTP/1.1", Ok(false)),
            ("HTTP/1.2", Ok(false)),
            ("HTTP/1.9", Ok(false)),
            ("HTTP/2.0", Err(Status::VERSION_NOT_SUPPORTED)),
            ("HTTP/0.9", Err(Status::VERSION_NOT_SUPPORTED)),
            ("HTTP/1.10", Err(Status::BAD_REQUEST)),
            ("HTTP/1.", Err(Status::BAD_REQUEST)),
            ("http/1.1", Err(Status::BAD_REQUEST)),
        ] {
            let head = format!("\r\nGET / {version}\r\nHost: h\r\n\r\n");
            assert_eq!(
                parse(head.as_bytes()).map(|request| request.http_1_0),
                expected,
                "{version}"
            );
        }
    }
}
