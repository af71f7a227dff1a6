//! Exercise 03, rest: the server turns as fast as it can, also when there is nothing to do.
//!
//! Let it rest for a millisecond after each turn for nothing.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

/// A message, around its random bytes.
const BEFORE: &[u8] = b"You requested some random bytes:\n\n";
const AFTER: &[u8] = b"  \n\nYou want fries with that?\n\n";

/// The most messages that one line may ask for: some 16 MB.
const MOST: usize = 200_000;

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let mut server = Server::new(listener)?;
    loop {
        server.turn()?;
    }
}

/// The listener, and the connections it has accepted.
struct Server {
    listener: TcpListener,
    connections: Vec<Connection>,
    accepted: usize,
    turns: usize,
    for_nothing: usize,
}

impl Server {
    fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, connections: Vec::new(), accepted: 0, turns: 0, for_nothing: 0 })
    }

    /// Asks the listener and every connection once.
    fn turn(&mut self) -> io::Result<()> {
        self.turns += 1;
        let accepted = self.accept()?;
        let served = self.serve();
        if accepted || served {
            eprintln!("server | turn {} | {} turns for nothing", self.turns, self.for_nothing);
            self.for_nothing = 0;
        } else {
            self.for_nothing += 1;
        }
        Ok(())
    }

    /// Accepts one client; `false` if nobody waits.
    fn accept(&mut self) -> io::Result<bool> {
        match self.listener.accept() {
            Ok((stream, _peer)) => {
                stream.set_nonblocking(true)?;
                self.accepted += 1;
                eprintln!("server | #{} | accepted", self.accepted);
                self.connections.push(Connection::new(self.accepted, stream));
                Ok(true)
            }
            Err(error) if is_not_now(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Serves each connection once, and drops those that are over; `false` if none had anything.
    fn serve(&mut self) -> bool {
        let mut served = false;
        self.connections.retain_mut(|connection| {
            let outcome = connection.serve();
            served |= !matches!(outcome, Ok(Served::Nothing));
            let number = connection.number;
            match outcome {
                Ok(Served::Nothing | Served::Some) => return true,
                Ok(Served::End) => eprintln!("server | #{number} | closed"),
                Err(error) => eprintln!("server | #{number} | failed: {error}"),
            }
            false
        });
        served
    }
}

/// How much there was to read.
enum Served {
    Nothing,
    Some,
    End,
}

/// One client, and its line so far.
struct Connection {
    number: usize,
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    fn new(number: usize, stream: TcpStream) -> Self {
        Self { number, stream, input: Vec::new() }
    }

    /// Reads once, if there is something, and answers the lines that are complete.
    fn serve(&mut self) -> io::Result<Served> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Ok(Served::End),
            Ok(count) => {
                eprintln!("server | #{} | read {count} bytes", self.number);
                self.input.extend(&buffer[..count]);
                self.answer_lines()?;
                Ok(Served::Some)
            }
            Err(error) if is_not_now(&error) => Ok(Served::Nothing),
            Err(error) => Err(error),
        }
    }

    fn answer_lines(&mut self) -> io::Result<()> {
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let answer = answer(&String::from_utf8_lossy(&line));
            self.stream.write_all(&answer)?;
            eprintln!("server | #{} | wrote {} bytes", self.number, answer.len());
        }
        Ok(())
    }
}

/// Whether a call could do nothing now, and is to be made again later.
fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
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
