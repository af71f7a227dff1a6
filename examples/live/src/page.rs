//! The page's own protocol: a little HTTP, and a stream of frames.
//!
//! Each answer ends its connection, but the stream. Nothing that a page sends changes the server.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::{Address, Listen, Protocol, Reason, SocketOptions, TimerId, Transport};

use http_server::head::{self, Method, Scan};
use http_server::status::Status;
use http_server::target::{Scheme, Target};

use crate::feed::{FRAME, Feed};

const HTML: &str = include_str!("page.html");

/// The place of the nonce in the page.
const NONCE: &str = "{nonce}";

/// How long a head may take, and how long a page may take nothing of the stream.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many pages, and requests for them, at once.
const MOST_PAGES: usize = 32;

/// Frames that a page has not taken are old: few of them fit into the kernel's buffer.
const BUFFER: usize = 64 * 1024;

/// The state that all connections of the page share.
#[derive(Clone)]
pub(crate) struct Site {
    feed: Rc<RefCell<Feed>>,
    /// The names by which it may be asked for. A page of somebody else's that has got this machine's address for
    /// its own name asks by that name.
    hosts: Rc<RefCell<Vec<String>>>,
}

impl Site {
    pub(crate) fn new(feed: &Rc<RefCell<Feed>>) -> Self {
        Self { feed: Rc::clone(feed), hosts: Rc::default() }
    }

    pub(crate) fn place(&self, at: &str) -> Listen {
        let socket = SocketOptions::new().send_buffer(BUFFER);
        Listen::at(at).max_connections(MOST_PAGES).socket(socket)
    }

    /// Tells the address that it is at.
    pub(crate) fn is_at(&self, addr: &str) {
        let port = addr.rsplit(':').next().unwrap_or_default();
        let local = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}"));
        let mut hosts = self.hosts.borrow_mut();
        hosts.push(addr.to_owned());
        hosts.extend(local);
    }

    pub(crate) fn factory(self) -> impl Fn(Address) -> Page {
        move |_peer| Page {
            site: self.clone(),
            head: Vec::new(),
            scan: Scan::default(),
            since: Instant::now(),
            asked: false,
        }
    }
}

/// A connection of a browser.
pub(crate) struct Page {
    site: Site,
    head: Vec<u8>,
    scan: Scan,
    /// When it was made.
    since: Instant,
    /// Whether its request has come. It makes no second one.
    asked: bool,
}

/// The parts of the site.
enum Wanted {
    Page,
    Frames,
}

/// The page is there under other names; see [`Site::hosts`].
const MISDIRECTED: Status = Status("421 Misdirected Request");

impl Page {
    fn answer(&self, transport: &mut Transport<'_>, head_only: bool, wanted: &Wanted) {
        match wanted {
            Wanted::Page => {
                let nonce = format!("{:032x}", rand::random::<u128>());
                let body = if head_only { String::new() } else { HTML.replace(NONCE, &nonce) };
                transport.write(page_head(&nonce).as_bytes());
                transport.write(body.as_bytes());
                transport.lose_connection();
            }
            Wanted::Frames => {
                transport.write(STREAM.as_bytes());
                if head_only {
                    return transport.lose_connection();
                }
                if self.site.feed.borrow_mut().join(transport.id()) {
                    transport.call_later(FRAME);
                }
            }
        }
    }

    /// Whether only the head is wanted, and of what; once the request has come.
    fn read(&mut self) -> Result<Option<(bool, Wanted)>, Status> {
        let Some(length) = self.scan.end_of_head(&self.head)? else { return Ok(None) };
        let request = head::parse(&self.head[..length])?;
        let known = |known: &String| known.eq_ignore_ascii_case(request.host);
        if !self.site.hosts.borrow().iter().any(known) {
            return Err(MISDIRECTED);
        }
        let head_only = match request.method {
            Method::Get => false,
            Method::Head => true,
            Method::Other | Method::Unknown => return Err(Status::METHOD_NOT_ALLOWED),
        };
        let wanted = match Target::of(Scheme::Http, request.method_name, request.target)? {
            Target::Path { path: "/", .. } => Wanted::Page,
            Target::Path { path: "/frames", .. } => Wanted::Frames,
            _ => return Err(Status::NOT_FOUND),
        };
        Ok(Some((head_only, wanted)))
    }

    fn part(&self, transport: &mut Transport<'_>) {
        self.stop_frames(transport);
        transport.lose_connection();
    }

    /// It comes where a connection is closed: until `connection_lost` it has no timer, and could not be the clock.
    fn stop_frames(&self, transport: &mut Transport<'_>) {
        let next = self.site.feed.borrow_mut().unjoin(transport.id());
        if let Some(mut clock) = next.and_then(|id| transport.reactor().transport(id)) {
            clock.call_later(FRAME);
        }
    }

    fn refuse(transport: &mut Transport<'_>, Status(status): Status) {
        let allow =
            if Status(status) == Status::METHOD_NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
        let refusal = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{allow}{CLOSE}\r\n");
        transport.write(refusal.as_bytes());
        transport.lose_connection();
    }
}

impl Protocol for Page {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        self.site.feed.borrow_mut().enter(transport.id());
        self.since = transport.reactor().now();
        transport.set_timeout(Some(PATIENCE));
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        if self.asked {
            return;
        }
        self.head.extend_from_slice(data);
        match self.read() {
            Ok(None) => {
                // A single byte gains no time.
                let waited = transport.reactor().now().saturating_duration_since(self.since);
                transport.set_timeout(Some(PATIENCE.saturating_sub(waited)));
                return;
            }
            Ok(Some((head_only, wanted))) => self.answer(transport, head_only, &wanted),
            Err(status) => Self::refuse(transport, status),
        }
        self.asked = true;
        transport.set_timeout(Some(PATIENCE));
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _: TimerId) {
        Feed::tick(&self.site.feed, transport.reactor());
        transport.call_later(FRAME);
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.part(transport);
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        self.part(transport);
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, _: &Reason) {
        self.stop_frames(transport);
        self.site.feed.borrow_mut().leave(transport.id());
    }
}

const CLOSE: &str =
    "Connection: close\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n";

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
    Connection: close\r\n\r\nretry: 1000\n\n";

/// The page may run its own script, use its own style, and ask this server; nothing else.
fn page_head(nonce: &str) -> String {
    let length = HTML.len() + (nonce.len() - NONCE.len()) * HTML.matches(NONCE).count();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n\
         Content-Security-Policy: default-src 'none'; script-src 'nonce-{nonce}'; \
         style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n{CLOSE}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use crocus::testing::{End, Simulation};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_head_that_comes_byte_by_byte_has_no_more_time() {
        let site = Site::new(&Rc::new(RefCell::new(Feed::new("echo", false))));
        let mut simulation = Simulation::new();
        let mut peer = simulation.connect(site.factory()(Address::Tcp(([127, 0, 0, 1], 9).into())));
        for _ in 0..PATIENCE.as_secs() {
            assert_eq!(peer.end(), None);
            peer.send(b"G");
            simulation.advance(SECOND);
        }
        assert_eq!(peer.end(), Some(End::Closed));
    }

    /// The connection of a page that takes nothing stays until its close timeout; the others are not to wait for it.
    #[test]
    fn a_page_that_takes_nothing_does_not_stop_the_frames() {
        let site = Site::new(&Rc::new(RefCell::new(Feed::new("echo", false))));
        site.is_at("127.0.0.1:80");
        let mut simulation = Simulation::new();
        simulation.set_window(1024);
        let [slow, mut other] = [1, 2].map(|port| {
            let from = Address::Tcp(([127, 0, 0, 1], port).into());
            let mut peer = simulation.connect(site.clone().factory()(from));
            peer.send(b"GET /frames HTTP/1.1\r\nHost: localhost:80\r\n\r\n");
            simulation.settle();
            peer
        });
        let mut frames = |simulation: &mut Simulation| {
            let mut seen = 0;
            for _ in 0..20 {
                simulation.advance(FRAME);
                loop {
                    let bytes = other.received();
                    if bytes.is_empty() {
                        break;
                    }
                    seen += bytes.windows(6).filter(|word| word == b"data: ").count();
                    simulation.settle();
                }
            }
            seen
        };
        assert!(frames(&mut simulation) > 15);
        for _ in 0..PATIENCE.as_secs() / 2 {
            frames(&mut simulation);
        }
        assert_eq!(simulation.reactor().connections().len(), 2, "it is closing");
        assert!(frames(&mut simulation) > 15);
        drop(slow);
    }
}
