//! One client: its request's head, then a tunnel.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crocus::framing::{FrameError, FrameHandler, Framed, Lines};
use crocus::{Address, Connect, ConnectionId, Protocol, Reactor, Reason, TimerId, Transport};
use crocus::{Tunnel, TunnelEnd, TunnelHandler};

use crate::request::Request;

/// How long a head may be, without the empty line at its end.
const MAX_HEAD: usize = 16 * 1024;

/// How long a client may take for its head.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long nothing must move in a drain before a tunnel counts as idle, and ends.
const QUIET: Duration = Duration::from_secs(5);

/// The limits for all clients.
pub(crate) struct Limits {
    pub(crate) ports: Vec<u16>,
    pub(crate) connect: Duration,
    pub(crate) idle: Duration,
}

/// The protocol of a new client.
pub(crate) fn client(limits: &Rc<Limits>) -> impl Protocol + use<> {
    Framed::new(Lines::delimited(b"\r\n\r\n").max_length(MAX_HEAD), Client(Rc::clone(limits)))
}

/// A client whose head is awaited.
struct Client(Rc<Limits>);

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.call_later(HEAD_TIME);
    }

    fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
        refuse(transport, "408 Request Timeout", "the head took too long");
    }
}

impl FrameHandler<Lines> for Client {
    fn frame_received(&mut self, transport: &mut Transport, head: &[u8]) {
        let request = match Request::parse(head) {
            Ok(request) => request,
            Err(fault) => return refuse(transport, "400 Bad Request", &fault),
        };
        if !self.0.ports.contains(&request.port) {
            return refuse(transport, "403 Forbidden", "this port is not allowed");
        }
        let to = Connect::to((&*request.host, request.port)).timeout(self.0.connect);
        // The head for the server goes through the tunnel, before what the client has sent behind its own.
        transport.unread(&request.head);
        let (client, server) = (transport.peer_addr().clone(), to.endpoint().to_string());
        let answers = Answers { client, method: request.method, server };
        Tunnel::new(answers).idle_timeout(self.0.idle).quiet(QUIET).connect(transport, to);
    }

    fn frame_failed(&mut self, transport: &mut Transport, error: FrameError) {
        refuse(transport, "431 Request Header Fields Too Large", &error.to_string());
    }
}

/// Tells a client how its attempt went, and the log how its tunnel ended.
struct Answers {
    client: Address,
    method: String,
    server: String,
}

impl TunnelHandler for Answers {
    fn joined(&mut self, near: &mut Transport, _: ConnectionId) {
        if self.method == "CONNECT" {
            near.write(b"HTTP/1.1 200 Connection established\r\n\r\n");
        }
    }

    fn connection_failed(&mut self, near: &mut Transport, reason: &Reason) {
        let status = match (reason, reason.io_error().map(|error| error.kind())) {
            (Reason::ConnectTimedOut, _) | (_, Some(ErrorKind::TimedOut)) => "504 Gateway Timeout",
            (_, Some(ErrorKind::InvalidInput)) => "400 Bad Request",
            _ => "502 Bad Gateway",
        };
        refuse(near, status, &format!("{}: {reason}", self.server));
    }

    fn ended(&mut self, _: &mut Reactor, end: &TunnelEnd) {
        log::info!("{}: {} {}: {end}", self.client, self.method, self.server);
    }
}

/// Answers an error and closes. The cause goes to the log only, so that the answer fits a HEAD, too.
fn refuse(transport: &mut Transport, status: &str, cause: &str) {
    log::info!("{}: {status}: {cause}", transport.peer_addr());
    write!(transport, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    transport.lose_connection_because(Reason::protocol(format!("{status}: {cause}")));
}
