//! Answers: how a request is answered, and how the answer is written.

use std::borrow::Cow;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use http_server::head::{Method, Request};
use http_server::status::Status;
use http_server::target::{Scheme, Target};
use httpdate::HttpDate;

use crate::conditions::Version;
use crate::files::{Body, Found, Root};

const TEXT: &str = "text/plain; charset=utf-8";
const PAGE: &str = "text/html; charset=utf-8";

const WELCOME: &str = "Welcome to crocus. Start it with --root DIR to serve files.\n";

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) content: Content,
    /// The fields that belong to this answer only, each with its CRLF.
    pub(crate) fields: String,
    /// HEAD gets the same answer as GET, without the content.
    pub(crate) head_only: bool,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// Not even an empty one.
    Nothing,
    /// With its type.
    Text(Cow<'static, str>, &'static str),
    File(Body, &'static str),
}

/// Whether a connection stays open after its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Persistence {
    KeepAlive,
    /// For a client of HTTP/1.0: the answer has to say so.
    KeepAliveTold,
    Close,
}

impl Persistence {
    /// The option for the `Connection` field.
    pub(crate) fn option(self) -> Option<&'static str> {
        match self {
            Self::KeepAlive => None,
            Self::KeepAliveTold => Some("keep-alive"),
            Self::Close => Some("close"),
        }
    }
}

impl Answer {
    fn new(status: Status, content: Content, fields: String) -> Self {
        Self { status, content, fields, head_only: false }
    }

    /// An answer that consists of its status only, as a text.
    pub(crate) fn of(status: Status) -> Self {
        let allow = if status == Status::METHOD_NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
        let text = format!("{}\n", status.0);
        Self::new(status, Content::Text(text.into(), TEXT), allow.to_owned())
    }

    /// Answers a request that came by this scheme, with the files below `root` if there is one.
    pub(crate) fn to(request: &Request<'_>, scheme: Scheme, root: Option<&Root>) -> Self {
        let target = Target::of(scheme, request.method_name, request.target);
        let answer = match (request.method, target) {
            (Method::Get | Method::Head, Ok(Target::Path { path, query })) => {
                get(request, path, query, root)
            }
            (Method::Unknown, _) => Err(Status::NOT_IMPLEMENTED),
            (_, Ok(_)) => Err(Status::METHOD_NOT_ALLOWED),
            (_, Err(status)) => Err(status),
        };
        let head_only = request.method == Method::Head;
        Self { head_only, ..answer.unwrap_or_else(Self::of) }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.status == Status::OK
    }

    /// Writes the status line, the fields, and the content, unless it is a file's.
    pub(crate) fn write(&self, out: &mut Vec<u8>, date: &[u8], connection: Option<&str>) {
        for part in [b"HTTP/1.1 ", self.status.0.as_bytes(), b"\r\nServer: crocus\r\nDate: ", date]
        {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.fields.as_bytes());
        let kind_and_len = match &self.content {
            Content::Nothing => None,
            Content::Text(text, kind) => Some((kind, text.len() as u64)),
            Content::File(body, kind) => Some((kind, body.len())),
        };
        // Writing to a vector cannot fail.
        if let Some((kind, len)) = kind_and_len {
            for part in ["Content-Type: ", kind, "\r\nContent-Length: "] {
                out.extend_from_slice(part.as_bytes());
            }
            let _ = write!(out, "{len}\r\n");
        }
        if let Some(option) = connection {
            let _ = write!(out, "Connection: {option}\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if let (false, Content::Text(text, _)) = (self.head_only, &self.content) {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn get(
    request: &Request<'_>,
    path: &str,
    query: &str,
    root: Option<&Root>,
) -> Result<Answer, Status> {
    let text = |text, kind| Answer::new(Status::OK, Content::Text(text, kind), String::new());
    let Some(root) = root else {
        return if path == "/" { Ok(text(WELCOME.into(), TEXT)) } else { Err(Status::NOT_FOUND) };
    };
    Ok(match root.find(path)? {
        Found::File(body, version, kind) => file(request, body, version, kind),
        Found::Listing(page) => text(page.into(), PAGE),
        Found::Directory => Answer {
            fields: format!("Location: {path}/{query}\r\n"),
            ..Answer::of(Status::MOVED_PERMANENTLY)
        },
    })
}

/// A file, a part of it, or nothing if the client has it.
fn file(request: &Request<'_>, mut body: Body, version: Version, kind: &'static str) -> Answer {
    let len = body.len();
    if version.is_known_to(&request.conditions) {
        return Answer::new(Status::NOT_MODIFIED, Content::Nothing, version.into_fields());
    }
    let part = match request.method {
        Method::Get => version.part(&request.conditions, len),
        _ => Ok(None), // a range has no meaning for HEAD
    };
    let mut fields = version.into_fields();
    fields.push_str("Accept-Ranges: bytes\r\n");
    match part {
        Ok(None) => Answer::new(Status::OK, Content::File(body, kind), fields),
        Ok(Some(part)) => {
            fields += &format!("Content-Range: bytes {}-{}/{len}\r\n", part.start, part.end - 1);
            body.cut(part);
            Answer::new(Status::PARTIAL_CONTENT, Content::File(body, kind), fields)
        }
        Err(status) => {
            Answer { fields: format!("Content-Range: bytes */{len}\r\n"), ..Answer::of(status) }
        }
    }
}

/// The time for the `Date` field, formatted once a second.
#[derive(Debug, Default)]
pub(crate) struct Date {
    second: u64,
    text: Vec<u8>,
}

impl Date {
    pub(crate) fn now(&mut self) -> &[u8] {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            let _ = write!(self.text, "{}", HttpDate::from(now)); // to a vector: cannot fail
        }
        &self.text
    }
}
