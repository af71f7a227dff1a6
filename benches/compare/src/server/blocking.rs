//! std alone, one connection at a time: what a program costs that need not serve two.
//!
//! The sessions are shared with `threads.rs`, which has a thread for each.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::thread;

use super::writing::answer;
use super::{ACCEPT_PAUSE, listen, no_such_service};
use crate::service::{READ_BUFFER, bulk_block};

/// The whole life of a connection. An error is a peer that went away.
pub type Session = fn(TcpStream) -> io::Result<()>;

static BULK: LazyLock<Vec<u8>> = LazyLock::new(bulk_block);

pub fn serve(service: &str, _count: u64) -> io::Result<()> {
    match session(service) {
        Some(session) => accept(|stream| drop(session(stream))),
        None => no_such_service(),
    }
}

pub fn session(service: &str) -> Option<Session> {
    match service {
        "random" => Some(answer),
        "echo" => Some(echo),
        "bulk" => Some(bulk),
        _ => None,
    }
}

/// Has `serve` serve one connection after the other.
pub fn accept(serve: impl Fn(TcpStream)) -> io::Result<()> {
    let listener = listen()?;
    listener.set_nonblocking(false)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => serve(stream),
            Err(_) => thread::sleep(ACCEPT_PAUSE),
        }
    }
}

/// The buffer is on the heap: a thread's stack would have no room for it.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

fn bulk(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.write_all(&BULK)?;
    }
}
