//! How to speak a protocol before two connections are joined: a forward proxy, for HTTP's `CONNECT`.
//!
//! ```text
//! cargo run --release --example connect_proxy -- --listen :8080
//! curl -x http://127.0.0.1:8080 https://example.org/            # beside it
//! ```
//!
//! The client's head is read as lines, and bytes behind it go along into the [`Tunnel`]. Until both sides are
//! joined the client is spoken to in HTTP, so a failed attempt gets a status.

mod shared;

use std::{io, process::ExitCode, time::Duration};

use crocus::framing::{FrameError, FrameHandler, Framed, Lines};
use crocus::{Connect, ConnectionId, Protocol, Reason, TimerId, Transport, Tunnel, TunnelHandler};
use lexopt::ValueExt;
use shared::cli::{self, ServerOptions};
use shared::pairs;

const HELP: &str = "\
A forward proxy: clients say with CONNECT where to. (curl does, with --proxytunnel for http:// too.)

Usage: connect_proxy [--port PORT] [--listen HOST:PORT] [--backlog N] [--trace FILE]

Options:
      --port PORT         the only port that it connects to [any]
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.
Anybody who can reach it can reach what this machine can: think twice before it listens elsewhere.

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// The longest line of a head, in bytes: enough for any credentials.
const MAX_LINE: usize = 8 * 1024;
/// The most fields in a head: Apache's number.
const MAX_FIELDS: usize = 100;
/// How long a client may take for its head, and connecting to its server: less than most clients wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client whose head is not complete.
#[derive(Clone, Default)]
struct Client {
    only_port: Option<u16>,
    request: Option<Request>,
    fields: usize,
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.call_later(PATIENCE);
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _: TimerId) {
        refuse(transport, "408 Request Timeout");
    }
}

impl FrameHandler<Lines> for Client {
    fn frame_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) {
        self.fields += 1; // the request line too
        match self.request.take() {
            None if line.is_empty() => {} // RFC 9112, section 2.2
            None => match request(line) {
                Ok(request) if self.only_port.is_some_and(|only| only != request.port) => {
                    refuse(transport, "403 Forbidden");
                }
                Ok(request) => self.request = Some(request),
                Err(status) => refuse(transport, status),
            },
            Some(request) if line.is_empty() => {
                let to = Connect::to((&*request.host, request.port)).timeout(PATIENCE);
                Tunnel::new(request).connect(transport, to.socket(pairs::keep_alive()));
            }
            Some(_) if self.fields > MAX_FIELDS + 1 || !is_field(line) => {
                refuse(transport, "400 Bad Request");
            }
            request => self.request = request,
        }
    }

    fn frame_failed(&mut self, transport: &mut Transport<'_>, _: FrameError) {
        refuse(transport, "431 Request Header Fields Too Large");
    }
}

/// Whether a line has a name, and no space in front of its colon (RFC 9112, section 5.1).
fn is_field(line: &[u8]) -> bool {
    let name = line.split(|&byte| byte == b':').next().filter(|name| name.len() < line.len());
    name.is_some_and(|name| !name.is_empty() && !name.iter().any(u8::is_ascii_whitespace))
}

/// Answers that there will be no tunnel, and closes. The status says all, for HEAD must get no content.
fn refuse(transport: &mut Transport<'_>, status: &str) {
    let fields = "Allow: CONNECT\r\nConnection: close\r\nContent-Length: 0";
    write!(transport, "HTTP/1.1 {status}\r\n{fields}\r\n\r\n");
    transport.lose_connection();
}

/// Where a client wants to go.
#[derive(Clone)]
struct Request {
    host: String,
    port: u16,
}

/// Reads `CONNECT HOST:PORT HTTP/1.1`, or with another minor version. Connecting finds out whether the host is one.
fn request(line: &[u8]) -> Result<Request, &'static str> {
    let words: Vec<_> = str::from_utf8(line).unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else { return Err("400 Bad Request") };
    if !matches!(version.as_bytes(), [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9']) {
        return Err("400 Bad Request");
    }
    if method != "CONNECT" {
        return Err("405 Method Not Allowed");
    }
    let (host, port) = target.rsplit_once(':').ok_or("400 Bad Request")?;
    let is_host = !host.is_empty() && (host.starts_with('[') || !host.contains(':'));
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit()); // `parse` takes a plus
    let port = port.parse().ok().filter(|_| is_host && is_number).ok_or("400 Bad Request")?;
    Ok(Request { host: host.to_owned(), port })
}

impl TunnelHandler for Request {
    fn joined(&mut self, near: &mut Transport<'_>, _: ConnectionId) {
        log::info!("{} to {}:{}: connected", near.peer_addr(), self.host, self.port);
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
}

fn main() -> ExitCode {
    cli::run("connect_proxy", || {
        let mut client = Client::default();
        let options = ServerOptions::from_args_and(HELP, |name, args| {
            if name == "port" {
                client.only_port = Some(args.value()?.parse_with(port)?);
            }
            Ok(name == "port")
        })?;
        let place = options.place().max_connections(pairs::of_descriptors());
        let lines = Lines::new().max_length(MAX_LINE);
        let clients = move |_peer| Framed::new(lines.clone(), client.clone());
        cli::serve_at(place.socket(pairs::keep_alive()), clients)
    })
}

fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|&port| port > 0).ok_or("--port takes a port from 1 to 65535")
}
