//! One connection: requests in, answers out, one after another.
//!
//! ```text
//!    ┌───────────── no body ─────────────┐
//!    │                                   ▼
//!   Head ───▶ Body: skipped ───▶ the answer, with its file ───▶ Head
//! ```
//!
//! While more than [`HIGH`] bytes wait to be sent, no request is read, and those of a file count. So a
//! connection holds at most these bytes, a small file or one page, and one portion of input,
//! even if the peer asks for much and reads slowly.
//!
//! One timer enforces all timeouts. Nothing moves it. It fires after the shortest of them, checks how long
//! ago the last step was, and begins again with the time that is left. A whole head or a whole body is a step,
//! a single byte is not: a peer that sends byte by byte gains no time. Only a shutdown has a timeout of its own, for
//! a connection that has not asked yet.
//!
//! A connection may need two descriptors, its own and its file's. So a site has as many places as there
//! are pairs, and the listener accepts no more clients than that. While all places are taken, each
//! answer closes its connection, and a client that waits gets its place. A client that asks nothing then
//! has no longer than for a head, too.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::{Activity, Protocol, Reason, TimerId, Transport};
use http_server::body::Body;
use http_server::head::{self, Length, Request, Scan};
use http_server::status::Status;
use http_server::target::Scheme;

use crate::answer::{Answer, Content, Date, Persistence};
use crate::files::{self, Root};

/// While more than `HIGH` bytes wait to be sent, no request is answered; at `LOW` it goes on.
const HIGH: usize = 64 * 1024;
const LOW: usize = HIGH / 4;

/// Up to this size a file is read and leaves with the head of its answer; the kernel sends larger ones. For a small
/// file a call and the moving of pages cost more than a copy.
const SMALL: usize = 32 * 1024;

/// The first bytes of a client that speaks TLS: the type of a record with a part of the handshake, and the first
/// byte of its version. To a port without TLS this is a head that is refused.
const CLIENT_HELLO: [u8; 2] = [0x16, 0x03];

/// How long a connection that is new when the server stops may still ask: its request may be on the way. With it an
/// answer has more than half of the grace, which is 5 s.
const FIRST_REQUEST: Duration = Duration::from_secs(2);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the rest of a head.
    pub(crate) head: Duration,
    /// For a body, for the next request, and for a peer that does not read.
    pub(crate) other: Duration,
}

impl Patience {
    fn shortest(self) -> Duration {
        self.head.min(self.other)
    }
}

/// The state that the connections of a server share.
#[derive(Debug)]
pub(crate) struct Site {
    root: Option<Root>,
    patience: Patience,
    /// How many clients there may be at once.
    places: usize,
    date: Date,
    /// The answer being written.
    out: Vec<u8>,
}

impl Site {
    pub(crate) fn new(root: Option<Root>, patience: Patience, places: usize) -> Self {
        Self { root, patience, places, date: Date::default(), out: Vec::new() }
    }

    /// Whether all places are taken, so that other clients may be waiting for one. A client whose handshake of TLS is
    /// not over has one too, though it has no protocol yet: so it is the listener that counts.
    fn is_full(&self, transport: &mut Transport<'_>) -> bool {
        let id = transport.id();
        let reactor = transport.reactor();
        let listener = reactor.listener_of(id);
        let clients = listener.and_then(|listener| reactor.connection_count(listener));
        clients.is_some_and(|clients| clients >= self.places)
    }
}

/// The protocol of one connection.
#[derive(Debug)]
pub(crate) struct Http {
    site: Rc<RefCell<Site>>,
    state: State,
    scan: Scan,
    /// Received bytes that could not be used yet: the start of a head, or waiting requests.
    input: Vec<u8>,
    /// When the last step was; while the peer is to read, when it was last seen to have read.
    since: Instant,
    /// How many bytes it had taken then.
    taken: u64,
    history: History,
}

/// Whether the client has asked before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum History {
    New,
    Asked,
}

/// The next task of the connection.
#[derive(Debug, Default)]
enum State {
    /// To read a head.
    #[default]
    Head,
    /// To skip a body.
    Body { body: Body, answer: Answer, persistence: Persistence },
}

/// The result of a step, with the number of bytes it used.
enum Step {
    Done(usize),
    NeedsMore(usize),
}

impl Http {
    pub(crate) fn new(site: &Rc<RefCell<Site>>) -> Self {
        Self {
            site: Rc::clone(site),
            state: State::Head,
            scan: Scan::default(),
            input: Vec::new(),
            since: Instant::now(),
            taken: 0,
            history: History::New,
        }
    }

    /// Uses as much of `data` as it can now; returns how many bytes. The caller keeps the rest.
    fn advance(&mut self, transport: &mut Transport<'_>, data: &[u8]) -> usize {
        let mut used = 0;
        while !transport.is_closing() && transport.buffered() <= HIGH {
            match self.step(transport, &data[used..]) {
                Ok(Step::Done(count)) => {
                    used += count;
                    self.since = transport.reactor().now();
                }
                Ok(Step::NeedsMore(count)) => return used + count,
                Err(status) => self.refuse(transport, status, &data[used..]),
            }
        }
        if transport.is_closing() { data.len() } else { used }
    }

    fn step(&mut self, transport: &mut Transport<'_>, data: &[u8]) -> Result<Step, Status> {
        match &mut self.state {
            State::Head => {
                let Some(len) = self.scan.end_of_head(data)? else { return Ok(Step::NeedsMore(0)) };
                self.scan = Scan::default();
                self.answer(transport, &head::parse(&data[..len])?);
                Ok(Step::Done(len))
            }
            State::Body { body, .. } => {
                let count = body.skip(data)?;
                if !body.is_over() {
                    return Ok(Step::NeedsMore(count));
                }
                if let State::Body { answer, persistence, .. } = mem::take(&mut self.state) {
                    self.send(transport, answer, persistence);
                }
                Ok(Step::Done(count))
            }
        }
    }

    /// Answers a request, now or after its body.
    fn answer(&mut self, transport: &mut Transport<'_>, request: &Request<'_>) {
        self.history = History::Asked;
        let scheme = if transport.is_encrypted() { Scheme::Https } else { Scheme::Http };
        let answer = Answer::to(request, scheme, self.site.borrow().root.as_ref());
        let Request { method_name, target, .. } = request;
        log::info!("{}: {method_name} {target}: {}", transport.peer_addr(), answer.status.0);
        let persistence = match request {
            Request { keep_alive: false, .. } => Persistence::Close,
            Request { http_1_0: true, .. } => Persistence::KeepAliveTold,
            _ => Persistence::KeepAlive,
        };
        let body = match request.length {
            Length::Bytes(0) => return self.send(transport, answer, persistence),
            length => Body::of(length),
        };
        if request.expects_continue {
            if !answer.is_ok() {
                // The client may send the body or not, so no next request can be found.
                return self.send(transport, answer, Persistence::Close);
            }
            transport.write(CONTINUE);
        }
        self.state = State::Body { body, answer, persistence };
    }

    /// Sends an answer, with its file if it has one.
    fn send(&self, transport: &mut Transport<'_>, answer: Answer, persistence: Persistence) {
        let site = &mut *self.site.borrow_mut();
        let last = transport.reactor().is_stopping() || site.is_full(transport);
        let persistence = if last { Persistence::Close } else { persistence };
        site.out.clear();
        answer.write(&mut site.out, site.date.now(), persistence.option());
        let sent = match answer.content {
            Content::File(file, _) if !answer.head_only => {
                send_with_file(transport, &mut site.out, file)
            }
            _ => Ok(transport.write(&site.out)),
        };
        if let Err(error) = sent {
            log::warn!("{}: a file ended too early: {error}", transport.peer_addr());
            transport.abort_connection(); // no clean end: the file is incomplete
        } else if persistence == Persistence::Close {
            transport.lose_connection();
        }
    }

    /// Answers with an error and closes, since the start of the next request is unknown. `data` is the
    /// unfinished head, if it is one.
    fn refuse(&self, transport: &mut Transport<'_>, status: Status, data: &[u8]) {
        let speaks_tls = matches!(self.state, State::Head) && data.starts_with(&CLIENT_HELLO);
        let why = if speaks_tls { "; it speaks TLS, and this port does not" } else { "" };
        log::info!("{}: {}{why}", transport.peer_addr(), status.0);
        let head_only = match &self.state {
            State::Body { answer, .. } => answer.head_only,
            _ => data.strip_prefix(b"\r\n").unwrap_or(data).starts_with(b"HEAD "),
        };
        self.send(transport, Answer { head_only, ..Answer::of(status) }, Persistence::Close);
    }

    /// The same for a request of which nothing more comes.
    fn refuse_input(&mut self, transport: &mut Transport<'_>, status: Status) {
        let input = mem::take(&mut self.input);
        self.refuse(transport, status, &input);
    }

    /// Goes on with the kept input. A connection that waits for a request keeps no buffer.
    fn advance_input(&mut self, transport: &mut Transport<'_>) {
        let mut input = mem::take(&mut self.input);
        let used = self.advance(transport, &input);
        if used < input.len() {
            input.drain(..used);
            self.input = input;
        }
    }

    /// Whether no request has begun. Old clients end a body with a CRLF too many, which begins none
    /// (RFC 9112, section 2.2).
    fn is_idle(&self) -> bool {
        matches!(self.state, State::Head) && matches!(&*self.input, b"" | b"\r\n")
    }

    /// How long there is still time for the next step. A peer that `is_to_read` first is not late with a head.
    fn time_left(&self, transport: &mut Transport<'_>, is_to_read: bool) -> Duration {
        let patience = self.site.borrow().patience;
        let is_in_head = matches!(self.state, State::Head) && !self.is_idle();
        let keeps_others_out = self.is_idle() && self.site.borrow().is_full(transport);
        let is_short = !is_to_read && (is_in_head || keeps_others_out);
        let limit = if is_short { patience.head } else { patience.other };
        let waited = transport.reactor().now().saturating_duration_since(self.since);
        limit.saturating_sub(waited)
    }
}

impl Protocol for Http {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.set_write_buffer_limits(HIGH, LOW);
        transport.allow_truncation(true); // a request tells its end itself
        self.since = transport.reactor().now();
        let patience = self.site.borrow().patience;
        transport.call_later(patience.shortest());
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        if self.is_idle() {
            self.since = transport.reactor().now();
        }
        if self.input.is_empty() {
            let used = self.advance(transport, data);
            self.input.extend_from_slice(&data[used..]);
        } else {
            self.input.extend_from_slice(data);
            self.advance_input(transport);
        }
        if transport.buffered() > HIGH {
            transport.pause_reading();
        }
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        if self.is_idle() {
            return transport.lose_connection();
        }
        self.refuse_input(transport, Status::BAD_REQUEST); // the input ended within a request
    }

    /// Nothing to do: `data_received` pauses reading.
    fn pause_writing(&mut self, _transport: &mut Transport<'_>) {}

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.since = transport.reactor().now();
        self.advance_input(transport);
        if transport.buffered() <= HIGH {
            transport.resume_reading();
        }
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _timer: TimerId) {
        let taken = mem::replace(&mut self.taken, transport.bytes_written());
        if transport.buffered() > 0 && taken < self.taken {
            self.since = transport.reactor().now();
        }
        let left = self.time_left(transport, transport.buffered() > 0);
        if !left.is_zero() {
            let patience = self.site.borrow().patience;
            transport.call_later(left.min(patience.shortest()));
        } else if transport.buffered() > 0 {
            log::info!("{}: does not read", transport.peer_addr());
            transport.abort_connection();
        } else if self.is_idle() {
            transport.lose_connection();
        } else {
            self.refuse_input(transport, Status::REQUEST_TIMEOUT);
        }
    }

    /// A request that has begun is answered; the answer closes. So is the first request of a new connection: to
    /// close it now would lose a request that its client has sent just before.
    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        if !self.is_idle() {
            return;
        }
        match self.history {
            History::New => drop(transport.set_timeout(Some(FIRST_REQUEST))),
            History::Asked => transport.lose_connection(),
        }
    }

    /// The time for a first request is over. One that has begun has the time of every request.
    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        if self.is_idle() {
            transport.lose_connection();
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        match reason {
            Reason::Tls { error } => log::info!("{error}"), // it names the peer
            Reason::Failed { activity: Activity::SendingFile, .. } => {
                log::warn!("{}: {reason}", transport.peer_addr());
            }
            _ => log::debug!("{}: {reason}", transport.peer_addr()),
        }
    }
}

/// Sends the head of an answer and its file.
fn send_with_file(
    transport: &mut Transport<'_>,
    head: &mut Vec<u8>,
    mut file: files::Body,
) -> io::Result<bool> {
    let len = usize::try_from(file.len()).unwrap_or(usize::MAX);
    if len > SMALL {
        return Ok(transport.write(head) && file.send(transport)?);
    }
    let mut read = head.len();
    head.resize(read + len, 0);
    while read < head.len() {
        read += file.read(&mut head[read..])?;
    }
    Ok(transport.write(head))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use crocus::testing::{End, Peer, Simulation};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    const MS: Duration = Duration::from_millis(1);
    /// Of a shutdown; longer than anything that the tests wait for.
    const GRACE: Duration = Duration::from_secs(3600);

    /// A client of a server that stops. It has asked this before.
    fn client_of_the_last_hour(asked: &[u8]) -> (Simulation, Peer) {
        let patience = Patience { head: Duration::from_secs(10), other: Duration::from_secs(60) };
        let site = Rc::new(RefCell::new(Site::new(None, patience, usize::MAX)));
        let mut simulation = Simulation::new();
        let mut peer = simulation.connect(Http::new(&site));
        peer.send(asked);
        simulation.settle();
        assert_eq!(peer.received().is_empty(), asked.is_empty());
        simulation.reactor().shutdown(GRACE);
        simulation.settle();
        (simulation, peer)
    }

    /// Checks that its only answer is one that closes.
    fn assert_is_last(peer: &mut Peer) {
        let answer = String::from_utf8(peer.received()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert_eq!(peer.end(), Some(End::Closed));
    }

    #[test]
    fn a_first_request_on_its_way_is_answered_after_the_signal() {
        let (mut simulation, mut peer) = client_of_the_last_hour(b"");
        simulation.advance(FIRST_REQUEST - MS);
        assert_eq!(peer.end(), None);
        peer.send(REQUEST);
        simulation.settle();
        assert_is_last(&mut peer);
    }

    #[test]
    fn a_first_request_that_has_begun_has_its_usual_time() {
        let (mut simulation, mut peer) = client_of_the_last_hour(b"");
        peer.send(&REQUEST[..9]);
        simulation.advance(FIRST_REQUEST * 2);
        assert_eq!(peer.end(), None);
        peer.send(&REQUEST[9..]);
        simulation.settle();
        assert_is_last(&mut peer);
    }

    #[test]
    fn a_new_client_that_says_nothing_is_not_waited_for_long() {
        for said in [&b""[..], b"\r\n"] {
            let (mut simulation, mut peer) = client_of_the_last_hour(b"");
            peer.send(said);
            simulation.advance(FIRST_REQUEST);
            assert_eq!((peer.received(), peer.end()), (vec![], Some(End::Closed)));
        }
    }

    #[test]
    fn a_client_that_was_answered_is_closed_at_once() {
        let (_simulation, mut peer) = client_of_the_last_hour(REQUEST);
        assert_eq!(peer.end(), Some(End::Closed));
    }
}
