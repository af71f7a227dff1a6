//! Exercise 02, cap: the server starts as many threads as there are clients.
//!
//! Let it serve four at a time. The fifth waits until one has left, and the server logs
//! `main | #5 | waits`.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// A message, around its random bytes.
const BEFORE: &[u8] = b"You requested some random bytes:\n\n";
const AFTER: &[u8] = b"  \n\nYou want fries with that?\n\n";

/// The most messages that one line may ask for: some 16 MB.
const MOST: usize = 200_000;

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    for number in 1.. {
        let (stream, _peer) = listener.accept()?;
        eprintln!("main | #{number} | accepted");
        let work = move || match serve(&stream, number) {
            Ok(()) => eprintln!("thread {number} | #{number} | closed"),
            Err(error) => eprintln!("thread {number} | #{number} | failed: {error}"),
        };
        if let Err(error) = thread::Builder::new().spawn(work) {
            eprintln!("main | #{number} | failed: no thread: {error}");
        }
    }
    Ok(())
}

/// Answers each line `N` with N messages, until the client sends no more.
fn serve(mut stream: &TcpStream, number: usize) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let line = line?;
        eprintln!("thread {number} | #{number} | read {} bytes", line.len() + 1);
        let answer = answer(&line);
        stream.write_all(&answer)?;
        eprintln!("thread {number} | #{number} | wrote {} bytes", answer.len());
    }
    Ok(())
}

/// As many messages as the line says; none if it is no number.
fn answer(line: &str) -> Vec<u8> {
    let count = line.trim().parse().unwrap_or(0).min(MOST);
    (0..count).map(|_| message()).collect::<Vec<_>>().concat()
}

/// One message: 81 bytes, 16 of them random.
fn message() -> Vec<u8> {
    let random = rand::random::<u128>().to_le_bytes();
    [BEFORE, &random, AFTER].concat()
}
