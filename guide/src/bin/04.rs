//! Step 04: sleeps until the kernel says which client has something.

use std::env;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// A message, around its random bytes.
const BEFORE: &[u8] = b"You requested some random bytes:\n\n";
const AFTER: &[u8] = b"  \n\nYou want fries with that?\n\n";

/// The most messages that one line may ask for: some 16 MB.
const MOST: usize = 200_000;

/// The listener's token. A connection's token is its slot.
const LISTENER: Token = Token(usize::MAX);

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = std::net::TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let mut server = Server::new(listener)?;
    let mut events = Events::with_capacity(128);
    loop {
        server.turn(&mut events)?;
    }
}

/// The poller, the listener, and the connections by slot.
struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    accepted: usize,
    turns: usize,
}

impl Server {
    fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (poll, mut listener) = (Poll::new()?, TcpListener::from_std(listener));
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { poll, listener, connections: Slab::new(), accepted: 0, turns: 0 })
    }

    /// Sleeps until there are events, and serves each.
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        self.turns += 1;
        self.sleep(events)?;
        for event in &*events {
            match event.token() {
                LISTENER => self.accept(),
                Token(slot) => self.serve(slot),
            }
        }
        Ok(())
    }

    /// Waits for the kernel. A signal may end the wait without an event.
    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            result => result?,
        }
        eprintln!("kernel | turn {} | events: {}", self.turns, events.iter().count());
        Ok(())
    }

    /// Accepts until nobody waits.
    fn accept(&mut self) {
        loop {
            let accepted = self.listener.accept();
            match accepted.and_then(|(stream, _peer)| self.add(stream)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return eprintln!("server | listener | failed: {error}"),
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream) -> io::Result<()> {
        self.accepted += 1;
        eprintln!("server | #{} | accepted", self.accepted);
        let entry = self.connections.vacant_entry();
        let token = Token(entry.key());
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        entry.insert(Connection::new(self.accepted, stream));
        Ok(())
    }

    fn serve(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let number = connection.number;
        eprintln!("kernel | #{number} | readable");
        match connection.serve() {
            Ok(Input::Drained) => return,
            Ok(Input::Ended) => eprintln!("server | #{number} | closed"),
            Err(error) => eprintln!("server | #{number} | failed: {error}"),
        }
        self.connections.remove(slot);
    }
}

/// Why a connection is read no further.
enum Input {
    Drained,
    Ended,
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

    /// Reads until nothing is left, and answers the lines that are complete.
    fn serve(&mut self) -> io::Result<Input> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Input::Ended),
                Ok(count) => {
                    eprintln!("server | #{} | read {count} bytes", self.number);
                    self.input.extend(&buffer[..count]);
                    self.answer_lines()?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Input::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
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
