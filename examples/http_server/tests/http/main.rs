//! The HTTP server from outside: with curl, wget, Chromium and wrk, with bytes as they come, with peers that lie
//! about lengths, stall, never read, or want other people's files, and much of it again over TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![cfg(target_os = "linux")] // memory and descriptors are read in /proc

#[path = "../../../../tests/programs/certificate.rs"]
mod certificate;
#[path = "../../../../tests/programs/child.rs"]
mod child;
#[path = "../../../../tests/util/folder.rs"]
#[allow(dead_code, unreachable_pub, reason = "other test programs use all of it")]
mod folder;

mod behind_a_proxy;
mod clients;
mod deadlines;
mod downloads;
mod encrypted;
mod files;
mod folders;
mod refusals;
mod requests;
mod the_end;
mod wire;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use child::{Running, Server, TIME_LIMIT, dial, run, tool};
use folder::Folder;
use http_server::body::MAX_BODY;
use http_server::head::{MAX_FIELDS, MAX_HEAD, MAX_LINE};
use wire::Wire;

const WELCOME: &[u8] = b"Welcome to crocus. Start it with --root DIR to serve files.\n";

/// A timeout that a test waits for.
const SHORT: &str = "0.3";

/// A server of these files.
fn serving(root: &Path) -> Server {
    server(&["--root", root.to_str().unwrap()])
}

fn server(args: &[&str]) -> Server {
    Server::start(program().args(["--listen", "127.0.0.1:0"]).args(args).args(wire::options()))
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_http_server"));
    // Without the warnings of slow callbacks: on a busy machine any callback may be one.
    command.env("RUST_LOG", "warn,crocus::reactor::dispatch=error");
    command
}

/// A file that takes no room on the disk.
fn sparse(path: &Path, len: u64) {
    File::create(path).unwrap().set_len(len).unwrap();
}

/// Bytes that do not repeat, so that none can be lost, doubled or exchanged unnoticed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

struct Client(BufReader<Wire>);

#[derive(PartialEq, Eq, Debug)]
struct Response {
    status: u16,
    /// The fields, one a line, without the date.
    fields: String,
    body: Vec<u8>,
}

impl Client {
    fn new(server: &Server) -> Self {
        Self::connect(server.addr)
    }

    fn connect(addr: SocketAddr) -> Self {
        let wire = Wire::dial(addr);
        wire.socket().set_nodelay(true).unwrap();
        Self(BufReader::new(wire))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn send_end(&mut self) {
        self.0.get_mut().close_write();
    }

    /// The next response to anything but HEAD; `None` at the end.
    fn response(&mut self) -> Option<Response> {
        let mut response = self.head()?;
        if ![100, 304].contains(&response.status) {
            let len = response.field("Content-Length").unwrap().parse().unwrap();
            response.body.resize(len, 0);
            self.0.read_exact(&mut response.body).unwrap();
        }
        Some(response)
    }

    /// The next response without what follows its head.
    fn head(&mut self) -> Option<Response> {
        let first = self.line()?;
        let (version, status) = first.split_at(9);
        assert_eq!(version, "HTTP/1.1 ");
        let mut response = Response {
            status: status.split(' ').next().unwrap().parse().unwrap(),
            fields: String::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line().expect("a head ends with an empty line");
            match &*line {
                "" => return Some(response),
                date if date.starts_with("Date: ") => {
                    httpdate::parse_http_date(&date[6..]).unwrap();
                }
                field => response.fields = response.fields + field + "\n",
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        Some(line.strip_suffix("\r\n").expect(&line).to_owned())
    }

    /// Everything until the server closes; a reset would be a fault.
    fn responses(&mut self) -> Vec<Response> {
        std::iter::from_fn(|| self.response()).collect()
    }
}

impl Response {
    fn field(&self, name: &str) -> Option<&str> {
        let is = |line: &&str| line.split(':').next().unwrap().eq_ignore_ascii_case(name);
        self.fields.lines().find(is).map(|line| line[name.len() + 1..].trim())
    }

    fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }
}

/// Sends these bytes and returns what comes until the server closes by itself.
fn until_closed(server: &Server, bytes: impl AsRef<[u8]>) -> Vec<Response> {
    let mut client = Client::new(server);
    client.send(bytes);
    client.responses()
}

/// Sends these bytes and nothing more, and returns what comes.
fn ask(server: &Server, bytes: impl AsRef<[u8]>) -> Vec<Response> {
    let mut client = Client::new(server);
    client.send(bytes);
    client.send_end();
    client.responses()
}

fn statuses(responses: &[Response]) -> Vec<u16> {
    responses.iter().map(|response| response.status).collect()
}

/// The answer to a GET.
fn get(server: &Server, target: &str) -> Response {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut responses = ask(server, request);
    assert_eq!(responses.len(), 1, "{target}");
    responses.remove(0)
}

/// Whether the server is as good as new.
fn assert_sound(server: &Server) {
    let response = get(server, "/");
    assert_eq!(response.status, 200);
    assert!(!response.body.is_empty());
}

/// Refused with this status, and closed; nothing that came after was taken for a request.
fn assert_refused(server: &Server, bytes: impl AsRef<[u8]>, status: u16) {
    let bytes = bytes.as_ref();
    let responses = until_closed(server, bytes);
    let start = bytes[..bytes.len().min(200)].escape_ascii();
    assert_eq!(statuses(&responses), [status], "{start}");
    assert!(responses[0].closes(), "{start}");
}
