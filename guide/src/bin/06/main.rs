//! Step 06: our code in one file, the reactor in another.

mod reactor;

use std::env;
use std::io;
use std::net::TcpListener;

use reactor::{Protocol, Reactor, Transport};

/// A message, around its random bytes.
const BEFORE: &[u8] = b"You requested some random bytes:\n\n";
const AFTER: &[u8] = b"  \n\nYou want fries with that?\n\n";

/// The most messages that one line may ask for: some 16 MB.
const MOST: usize = 200_000;

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let mut reactor = Reactor::new(listener, || Messages { input: Vec::new() })?;
    reactor.run()
}

/// Our code: answers each line `N` with N messages.
struct Messages {
    input: Vec<u8>,
}

impl Protocol for Messages {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.input.extend(data);
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            transport.write(&answer(&String::from_utf8_lossy(&line)));
        }
    }
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
