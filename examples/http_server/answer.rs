//! Answers: how a request is answered, and how the answer is written.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

use crate::files::{self, Found, Root};
use crate::head::{Method, Request};
use crate::status::Status;

const TEXT: &str = "text/plain; charset=utf-8";

const WELCOME: &[u8] = b"Welcome to crocus. Start it with --root DIR to serve files.\n";

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) content: Content,
    /// The path of the directory, for a redirect to it.
    location: Option<String>,
    /// HEAD gets the same answer as GET, without the content.
    pub(crate) head_only: bool,
}

#[derive(Debug)]
pub(crate) enum Content {
    Welcome,
    /// The status in words.
    Status,
    File(files::Body, &'static str),
}

impl Answer {
    /// An answer that consists of its status only.
    pub(crate) fn of(status: Status) -> Self {
        Self { status, content: Content::Status, location: None, head_only: false }
    }

    /// Answers a request, with the files below `root` if there is one.
    pub(crate) fn to(request: &Request<'_>, root: Option<&Root>) -> Self {
        let mut answer = match request.method {
            Method::Get | Method::Head => get(request.target, root).unwrap_or_else(Self::of),
            Method::Other => Self::of(Status::METHOD_NOT_ALLOWED),
            Method::Unknown => Self::of(Status::NOT_IMPLEMENTED),
        };
        answer.head_only = request.method == Method::Head;
        answer
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.status == Status::OK
    }

    /// Writes the status line, the fields, and the content, unless it is a file's.
    pub(crate) fn write(&self, out: &mut Vec<u8>, date: &[u8], connection: Option<&str>) {
        let (content_type, len) = match &self.content {
            Content::Welcome => (TEXT, WELCOME.len() as u64),
            Content::Status => (TEXT, self.status.0.len() as u64 + 1),
            Content::File(body, content_type) => (*content_type, body.len()),
        };
        for part in [b"HTTP/1.1 ", self.status.0.as_bytes(), b"\r\nServer: crocus\r\nDate: ", date]
        {
            out.extend_from_slice(part);
        }
        // Writing to a vector cannot fail.
        let _ = write!(out, "\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n");
        if self.status == Status::METHOD_NOT_ALLOWED {
            out.extend_from_slice(b"Allow: GET, HEAD\r\n");
        }
        if let Some(location) = &self.location {
            let _ = write!(out, "Location: {location}\r\n");
        }
        if let Some(option) = connection {
            let _ = write!(out, "Connection: {option}\r\n");
        }
        out.extend_from_slice(b"\r\n");
        match self.content {
            _ if self.head_only => {}
            Content::Welcome => out.extend_from_slice(WELCOME),
            Content::Status => {
                out.extend_from_slice(self.status.0.as_bytes());
                out.push(b'\n');
            }
            Content::File(..) => {}
        }
    }
}

fn get(target: &str, root: Option<&Root>) -> Result<Answer, Status> {
    let (path, query) = path_and_query(target)?;
    let Some(root) = root else {
        let welcome = Answer { content: Content::Welcome, ..Answer::of(Status::OK) };
        return if path == "/" { Ok(welcome) } else { Err(Status::NOT_FOUND) };
    };
    Ok(match root.find(path)? {
        Found::File(body, content_type) => {
            Answer { content: Content::File(body, content_type), ..Answer::of(Status::OK) }
        }
        Found::Directory => Answer {
            location: Some(format!("{path}/{query}")),
            ..Answer::of(Status::MOVED_PERMANENTLY)
        },
    })
}

/// The path of a target, and its query with the question mark (RFC 9112, section 3.2). The target
/// is `/path?query`, or `http://host/path?query` as in requests to a proxy.
fn path_and_query(target: &str) -> Result<(&str, &str), Status> {
    const SCHEME: &str = "http://";
    let origin = match target.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            let authority = rest.find(['/', '?']).unwrap_or(rest.len());
            if authority == 0 {
                return Err(Status::BAD_REQUEST);
            }
            &rest[authority..]
        }
        _ if target.starts_with('/') => target,
        _ => return Err(Status::BAD_REQUEST),
    };
    let (path, query) = origin.split_at(origin.find('?').unwrap_or(origin.len()));
    Ok((if path.is_empty() { "/" } else { path }, query))
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
