//! The page at byte level, and in a browser.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[path = "../../../../tests/programs/child.rs"]
mod child;
mod driver;
mod frames;
mod in_browser;
mod viewer;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use child::{Running, Server, dial};
use serde_json::Value;

/// A server, and the address of its page.
pub(crate) struct Live {
    pub(crate) server: Server,
    pub(crate) page: SocketAddr,
}

impl Live {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_live"));
        command.args(["--listen", "127.0.0.1:0", "--page", "127.0.0.1:0"]).args(args);
        let server = Server::start(&mut command);
        let page = page_of(&server.program);
        Self { server, page }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.page)
    }

    /// The whole answer to a request.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = dial(self.page);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn watch(&self) -> Frames {
        self.watch_by(dial(self.page))
    }

    /// The same by a connection to the page that is there.
    pub(crate) fn watch_by(&self, mut stream: TcpStream) -> Frames {
        let host = self.page;
        stream
            .write_all(format!("GET /frames HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
            .unwrap();
        Frames(BufReader::new(stream))
    }
}

fn page_of(program: &Running) -> SocketAddr {
    let line = program.line();
    let url = line.strip_prefix("the page is at http://").expect(&line);
    url.trim_end_matches('/').parse().unwrap()
}

/// The frames that a page gets.
pub(crate) struct Frames(BufReader<TcpStream>);

impl Frames {
    pub(crate) fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    /// The frames until one is as wanted, that one included.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.next());
            if wanted(&frames[frames.len() - 1]) {
                return frames;
            }
        }
    }
}
