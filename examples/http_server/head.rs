//! Request heads: where one ends, and what it asks for.
//!
//! [`Scan`] finds the end, in linear time for portions of any size. Each line ends with CRLF; no
//! other CR, LF or control byte is allowed. `httparse` then parses the whole head, and [`parse`]
//! checks the result. A request has one possible length, or it is refused (RFC 9112,
//! section 6.3).

use std::mem::MaybeUninit;

use httparse::Header;

use crate::body::{MAX_BODY, is_text};
use crate::status::Status;

/// The longest request line, in bytes. RFC 9112 asks for 8,000 at least.
pub(crate) const MAX_LINE: usize = 8 * 1024;

/// The longest head, in bytes, request line included: the limit of Node.js.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// The most fields in a head: Apache's number. Browsers send about 20.
pub(crate) const MAX_FIELDS: usize = 100;

/// Looks for the end of a head that comes in portions.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// How many bytes were looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    /// Whether the request line is complete.
    fields: bool,
}

impl Scan {
    /// Goes on in `bytes`, which begins with the bytes scanned before; returns the length of the
    /// head once it is complete.
    pub(crate) fn end_of_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Status> {
        while self.seen < bytes.len() {
            if self.seen >= self.limit() {
                return Err(if self.fields {
                    Status::FIELDS_TOO_LARGE
                } else {
                    Status::URI_TOO_LONG
                });
            }
            let byte = bytes[self.seen];
            let after_cr = self.seen > 0 && bytes[self.seen - 1] == b'\r';
            self.seen += 1;
            match byte {
                b'\n' if after_cr => {
                    if self.end_of_line()? {
                        return Ok(Some(self.seen));
                    }
                }
                _ if after_cr => return Err(Status::BAD_REQUEST),
                b'\r' => {}
                _ if is_text(byte) => {}
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
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) method_name: &'a str,
    /// The request target as it came: visible ASCII.
    pub(crate) target: &'a str,
    pub(crate) keep_alive: bool,
    /// Whether the client speaks HTTP/1.0: keep-alive has to be stated in the answer.
    pub(crate) http_1_0: bool,
    pub(crate) length: Length,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    Get,
    Head,
    /// A method of HTTP that is not served.
    Other,
    Unknown,
}

/// How long the body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    Bytes(u64),
    Chunked,
}

/// Parses a whole head. After an error the start of the next request is unknown.
pub(crate) fn parse(head: &[u8]) -> Result<Request<'_>, Status> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Err(httparse::Error::Version) if has_other_version(head) => {
            return Err(Status::VERSION_NOT_SUPPORTED);
        }
        Err(httparse::Error::TooManyHeaders) => return Err(Status::FIELDS_TOO_LARGE),
        Ok(_) | Err(_) => return Err(Status::BAD_REQUEST),
    }
    let (method_name, target) =
        (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Status::BAD_REQUEST);
    }
    let http_1_0 = parsed.version == Some(0);
    let mut judge = Judge::default();
    for field in parsed.headers.iter() {
        judge.look_at(field)?;
    }
    if judge.hosts != 1 && !(http_1_0 && judge.hosts == 0) {
        return Err(Status::BAD_REQUEST);
    }
    Ok(Request {
        method: method_of(method_name),
        method_name,
        target,
        // After CONNECT the client may already send bytes that are meant for another server.
        keep_alive: !judge.close && (!http_1_0 || judge.keep_alive) && method_name != "CONNECT",
        http_1_0,
        length: judge.length(http_1_0)?,
        expects_continue: judge.expects_continue && !http_1_0,
    })
}

fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => Method::Other,
        _ => Method::Unknown,
    }
}

/// Whether the request line is right but for a version of HTTP that is neither 1.0 nor 1.1.
fn has_other_version(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    words.next().is_none()
        && matches!(version, Some([major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// The facts about a request that its fields give.
#[derive(Default)]
struct Judge<'a> {
    hosts: usize,
    content_length: Option<u64>,
    /// The transfer coding named last, and whether others came before it.
    coding: Option<&'a [u8]>,
    more_codings: bool,
    chunked_twice: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl<'a> Judge<'a> {
    fn look_at(&mut self, field: &Header<'a>) -> Result<(), Status> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            4 if is("Host") => self.host(field.value),
            6 if is("Expect") => {
                self.expects_continue |= field.value.eq_ignore_ascii_case(b"100-continue");
                Ok(())
            }
            10 if is("Connection") => {
                self.connection(field.value);
                Ok(())
            }
            14 if is("Content-Length") => self.content_length(field.value),
            17 if is("Transfer-Encoding") => {
                self.transfer_encoding(field.value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The name is not used here, but it must be well formed (RFC 9112, section 3.2).
    fn host(&mut self, value: &[u8]) -> Result<(), Status> {
        self.hosts += 1;
        let may_stand =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%[]".contains(byte);
        if value.iter().all(may_stand) { Ok(()) } else { Err(Status::BAD_REQUEST) }
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
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}
