//! The server with the clients of Redis, beside Redis itself, against peers that misbehave, and over TLS.
#![cfg(target_os = "linux")] // memory is read from /proc
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[path = "../../../../tests/programs/certificate.rs"]
mod certificate;
#[path = "../../../../tests/programs/child.rs"]
mod child;
#[path = "../../../../tests/util/folder.rs"]
#[allow(dead_code, unreachable_pub, reason = "other test programs use all of it")]
mod folder;

mod beside_redis;
mod bytes;
mod clients;
mod encrypted;
mod memory;
mod program;
mod redis_tools;
mod scan;
mod suite;
mod time;

use std::io::{Read, Write};
use std::process::Command;
use std::time::Instant;

use child::{Server, TIME_LIMIT, dial};

pub(crate) const MIB: usize = 1024 * 1024;

/// The program, without warnings of slow callbacks: on a busy machine any callback may be one.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resp_server"));
    command.env("RUST_LOG", "warn,crocus::reactor::dispatch=error");
    command
}

pub(crate) fn start() -> Server {
    Server::start(program().args(["--listen", "127.0.0.1:0"]))
}

/// A server that takes values of up to 1 MiB, and so replies of up to 2 MiB.
pub(crate) fn start_small() -> Server {
    Server::start(program().args(["--listen", "127.0.0.1:0", "--max-bulk", "1048576"]))
}

/// Sends `request` on a connection of its own, and returns all that comes until the server closes.
pub(crate) fn talk(server: &Server, request: &[u8]) -> String {
    let mut stream = dial(server.addr);
    stream.write_all(request).unwrap();
    rest_of(stream)
}

pub(crate) fn rest_of(mut stream: impl Read) -> String {
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply.escape_ascii().to_string()
}

/// The replies to lines as people type them; the last one has the server close.
pub(crate) fn ask(server: &Server, lines: &str) -> String {
    let replies = talk(server, format!("{lines}\r\nQUIT\r\n").as_bytes());
    replies.strip_suffix(r"+OK\r\n").unwrap().to_owned()
}

/// Reads exactly what is expected.
pub(crate) fn expect(stream: &mut impl Read, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).unwrap();
    assert!(got == expected, "{}", got[..got.len().min(200)].escape_ascii());
}

pub(crate) fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

pub(crate) fn request(words: &[&[u8]]) -> Vec<u8> {
    let header = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().fold(header, |all, word| [all, bulk(word)].concat())
}

/// Asks until the reply is as expected.
pub(crate) fn wait_until(server: &Server, line: &str, expected: &str) {
    let end = Instant::now() + TIME_LIMIT;
    loop {
        let reply = ask(server, line);
        if reply == expected {
            return;
        }
        assert!(Instant::now() < end, "{line} is still {reply}");
    }
}

/// Checks that everybody is served as if nothing had happened.
pub(crate) fn is_sound(server: &Server) {
    assert_eq!(
        ask(server, "SET sound yes\r\nGET sound\r\nDEL sound"),
        r"+OK\r\n$3\r\nyes\r\n:1\r\n"
    );
}
