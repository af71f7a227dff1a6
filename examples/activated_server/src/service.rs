//! The service: one page and a health check, by HTTP/1.1.
//!
//! `http_server` is the whole server. This one has no bodies and no files, and leaves slow clients to the proxy in
//! front of it, which it is here for.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::path::Path;
use std::process;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crocus::{Protocol, Transport};
use http_server::head::{self, Length, Method, Request, Scan};
use http_server::status::Status;

/// While more than this waits to be sent to a client, none of its requests is answered.
const HIGH: usize = 64 * 1024;
const LOW: usize = HIGH / 4;

/// The largest page: it is answered in one piece.
const MOST: u64 = 64 * 1024;

/// How long a connection may be silent: longer than a proxy keeps one, so that the proxy closes it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection that is new when the server stops may still ask: its request is on the way.
const FIRST_REQUEST: Duration = Duration::from_secs(2);

const UNAVAILABLE: Status = Status("503 Service Unavailable");

/// The page that is served.
#[derive(Debug)]
pub(crate) struct Page(Vec<u8>);

impl Page {
    /// A page that tells which process serves it.
    pub(crate) fn of_this_process() -> Self {
        Self(format!("served by process {}\n", process::id()).into_bytes())
    }

    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut page = Vec::new();
        File::open(path)?.take(MOST + 1).read_to_end(&mut page)?;
        if page.len() as u64 > MOST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 KiB"));
        }
        Ok(Self(page))
    }
}

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) page: Page,
    stage: Stage,
}

/// How far the server has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Serving,
    /// It was told to stop, and lets the proxy know.
    Leaving,
}

impl Site {
    pub(crate) fn new(page: Page) -> Self {
        Self { page, stage: Stage::Serving }
    }

    /// Notes that the server is about to stop. Returns whether it was already.
    pub(crate) fn leave(&mut self) -> bool {
        mem::replace(&mut self.stage, Stage::Leaving) == Stage::Leaving
    }

    fn answer(&self, request: &Request<'_>) -> Result<&[u8], Status> {
        match (request.method, request.target) {
            _ if request.length != Length::Bytes(0) => Err(Status::CONTENT_TOO_LARGE),
            (Method::Unknown, _) => Err(Status::NOT_IMPLEMENTED),
            (Method::Other, _) => Err(Status::METHOD_NOT_ALLOWED),
            (_, "/") => Ok(&self.page.0),
            (_, "/health") if self.stage == Stage::Leaving => Err(UNAVAILABLE),
            (_, "/health") => Ok(b"serving\n"),
            _ => Err(Status::NOT_FOUND),
        }
    }
}

/// One connection: requests in, answers out, one after another.
#[derive(Debug)]
pub(crate) struct Http {
    site: Rc<RefCell<Site>>,
    scan: Scan,
    /// The start of a head, or requests that wait.
    input: Vec<u8>,
    history: History,
}

/// Whether the client has asked before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum History {
    New,
    Served,
}

impl Http {
    pub(crate) fn new(site: &Rc<RefCell<Site>>) -> Self {
        Self {
            site: Rc::clone(site),
            scan: Scan::default(),
            input: Vec::new(),
            history: History::New,
        }
    }

    /// Answers the requests that are there whole.
    fn advance(&mut self, transport: &mut Transport<'_>) {
        let input = mem::take(&mut self.input);
        let mut rest = &*input;
        while !transport.is_closing() && transport.buffered() <= HIGH {
            match self.scan.end_of_head(rest) {
                Ok(Some(len)) => {
                    self.scan = Scan::default();
                    self.answer(transport, &rest[..len]);
                    rest = &rest[len..];
                }
                Ok(None) => break,
                Err(status) => refuse(transport, status, rest),
            }
        }
        self.input = rest.to_vec();
    }

    fn answer(&mut self, transport: &mut Transport<'_>, head: &[u8]) {
        self.history = History::Served;
        let request = match head::parse(head) {
            Ok(request) => request,
            Err(status) => return refuse(transport, status, head),
        };
        let site = self.site.borrow();
        let (status, text) = match site.answer(&request) {
            Ok(text) => (Status::OK, Cow::from(text)),
            Err(status) => (status, text_of(status)),
        };
        let is_last = !request.keep_alive
            || request.http_1_0
            || request.length != Length::Bytes(0) // its body is not read
            || site.stage == Stage::Leaving
            || transport.reactor().is_stopping();
        send(transport, status, (&text, request.method != Method::Head), is_last);
    }
}

/// Answers what is no request. The start of the next one is unknown, so this is the last answer.
fn refuse(transport: &mut Transport<'_>, status: Status, head: &[u8]) {
    let head_only = head.strip_prefix(b"\r\n").unwrap_or(head).starts_with(b"HEAD ");
    send(transport, status, (&text_of(status), !head_only), true);
}

/// The text of an answer that consists of its status only.
fn text_of(status: Status) -> Cow<'static, [u8]> {
    format!("{}\n", status.0).into_bytes().into()
}

/// Writes an answer: its text, and whether to send that too.
fn send(transport: &mut Transport<'_>, status: Status, text: (&[u8], bool), is_last: bool) {
    let (text, is_sent) = text;
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut answer = format!("HTTP/1.1 {}\r\nDate: {date}\r\n", status.0);
    answer +=
        &format!("Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n", text.len());
    if status == Status::METHOD_NOT_ALLOWED {
        answer += "Allow: GET, HEAD\r\n";
    }
    answer += if is_last { "Connection: close\r\n\r\n" } else { "\r\n" };
    let mut answer = answer.into_bytes();
    if is_sent {
        answer.extend_from_slice(text);
    }
    transport.write(&answer);
    if is_last {
        transport.lose_connection();
    }
}

impl Protocol for Http {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.set_write_buffer_limits(HIGH, LOW);
        transport.set_timeout(Some(TIMEOUT));
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.input.extend_from_slice(data);
        self.advance(transport);
        if transport.buffered() > HIGH {
            transport.pause_reading();
        }
    }

    /// Nothing to do: `data_received` pauses reading.
    fn pause_writing(&mut self, _transport: &mut Transport<'_>) {}

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.advance(transport);
        if transport.buffered() <= HIGH {
            transport.resume_reading();
        }
    }

    /// A request that has begun is answered; the answer closes. So is the first request of a new connection: to
    /// close it now would lose a request that its client has sent just before.
    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        if self.history == History::New {
            transport.set_timeout(Some(FIRST_REQUEST));
        } else if self.input.is_empty() {
            transport.lose_connection();
        }
    }
}
