//! A forward proxy: a client says with `CONNECT` where to, and is joined with that server.
//!
//! ```text
//! cargo run --release --example connect_proxy -- --listen :8080
//! curl -x http://127.0.0.1:8080 https://example.org/            # beside it
//! ```
//!
//! The bytes behind the client's head ([RFC 9110], section 9.3.6) stay in order: they are put back, and
//! [`Tunnel`] passes them on first. A failed attempt is answered in HTTP, for until both sides are joined the
//! client is still spoken to in its own protocol.
//!
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6

mod shared;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crocus::{
    Connect, ConnectionId, Protocol, Reactor, Reason, SocketOptions, TimerId, Transport, Tunnel,
    TunnelEnd, TunnelHandler,
};
use httparse::Status;
use lexopt::ValueExt;
use shared::cli::{self, Exit, ServerOptions};

const HELP: &str = "\
A forward proxy: clients say with CONNECT where to. (curl does, with --proxytunnel for http:// too.)

Usage: connect_proxy [OPTIONS]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog NUMBER    how many clients may wait to be accepted [4096]
      --port PORT         the only port that it connects to [any]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells where it listens. Ctrl-C or SIGTERM stops in order, a second one at once.
Anybody who can reach it can reach what this machine can: think twice before it listens elsewhere.

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// The longest head, in bytes: enough for any credentials.
const MAX_HEAD: usize = 8 * 1024;

/// The most fields in a head: Apache's number.
const MAX_FIELDS: usize = 100;

/// How long a client may take for its head, and connecting to its server: less than most clients wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a side may be silent before the kernel asks whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A client whose head is not complete.
struct Client {
    head: Vec<u8>,
    only_port: Option<u16>,
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.call_later(PATIENCE);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.head.extend_from_slice(data);
        match self.request() {
            Ok(None) => {}
            Ok(Some((request, end))) => {
                transport.unread(&self.head[end..]);
                let to = Connect::to((&*request.host, request.port)).timeout(PATIENCE);
                Tunnel::new(request).connect(transport, to.socket(sockets()));
            }
            Err(status) => refuse(transport, status),
        }
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _: TimerId) {
        refuse(transport, "408 Request Timeout");
    }
}

impl Client {
    /// The place it asks for, and where its head ends; `None` if more of it is to come.
    ///
    /// This begins anew with each portion, which the limit makes harmless.
    fn request(&self) -> Result<Option<(Request, usize)>, &'static str> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        let end = match head.parse(&self.head) {
            Ok(Status::Complete(end)) if end <= MAX_HEAD => end,
            Ok(Status::Partial) if self.head.len() <= MAX_HEAD => return Ok(None),
            Ok(_) => return Err("431 Request Header Fields Too Large"),
            Err(_) => return Err("400 Bad Request"),
        };
        if head.method != Some("CONNECT") {
            return Err("405 Method Not Allowed");
        }
        let request = head.path.and_then(authority).ok_or("400 Bad Request")?;
        let allowed = self.only_port.is_none_or(|only| only == request.port);
        if allowed { Ok(Some((request, end))) } else { Err("403 Forbidden") }
    }
}

/// Answers that there will be no tunnel, and closes.
fn refuse(transport: &mut Transport<'_>, status: &str) {
    let fields = "Allow: CONNECT\r\nContent-Type: text/plain\r\nConnection: close";
    let length = status.len() + 1;
    write!(
        transport,
        "HTTP/1.1 {status}\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{status}\n"
    );
    transport.lose_connection();
}

/// Where a client wants to go.
struct Request {
    host: String,
    port: u16,
}

impl TunnelHandler for Request {
    fn joined(&mut self, near: &mut Transport<'_>, _: ConnectionId) {
        near.write(b"HTTP/1.1 200 Connection established\r\n\r\n");
    }

    fn connection_failed(&mut self, near: &mut Transport<'_>, reason: &Reason) {
        log::info!("{} to {}:{}: {reason}", near.peer_addr(), self.host, self.port);
        match io::Error::from(reason).kind() {
            io::ErrorKind::TimedOut => refuse(near, "504 Gateway Timeout"),
            io::ErrorKind::InvalidInput => refuse(near, "400 Bad Request"),
            _ => refuse(near, "502 Bad Gateway"),
        }
    }

    fn ended(&mut self, _: &mut Reactor, end: &TunnelEnd) {
        log::info!("{}:{}: {end}", self.host, self.port);
    }
}

/// Reads `HOST:PORT`. Connecting finds out whether the host is one.
fn authority(text: &str) -> Option<Request> {
    let (host, port) = text.rsplit_once(':')?;
    let is_host = !host.is_empty() && (host.starts_with('[') || !host.contains(':'));
    Some(Request { host: host.to_owned(), port: port.parse().ok()? }).filter(|_| is_host)
}

fn sockets() -> SocketOptions {
    SocketOptions::new().keep_alive(KEEP_ALIVE)
}

fn main() -> ExitCode {
    cli::run("connect_proxy", serve)
}

fn serve() -> Result<(), Exit> {
    let mut only_port = None;
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        let known = name == "port";
        only_port = if known { Some(args.value()?.parse()?) } else { only_port };
        Ok(known)
    })?;
    let place = options.place().max_connections(cli::pairs_of_descriptors()).socket(sockets());
    cli::serve(place, move |_peer| Client { head: Vec::new(), only_port })
}
