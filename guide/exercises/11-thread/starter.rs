//! Exercise 11, thread: while one client waits for an answer from the keyboard, all others wait too.
//!
//! Let a thread wait for the keyboard.

#[path = "../../src/bin/11/reactor.rs"]
#[allow(dead_code, reason = "the handle is what you will need")]
mod reactor;

use std::cell::RefCell;
use std::env;
use std::io;
use std::mem;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use reactor::{ConnectionId, Protocol, Reactor, TimerId, Transport};

/// A message, around its random bytes.
const BEFORE: &[u8] = b"You requested some random bytes:\n\n";
const AFTER: &[u8] = b"  \n\nYou want fries with that?\n\n";

/// The longest line, in bytes.
const LONGEST: usize = 1000;

/// How long a client may say nothing.
const IDLE: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let watchers = Rc::new(RefCell::new(Watchers::default()));
    let factory = move || Messages::new(watchers.clone());
    let mut reactor = Reactor::new(listener, factory)?;
    reactor.run()
}

/// The clients that want to know what the others get, and what they are to be told.
#[derive(Default)]
struct Watchers {
    clients: Vec<ConnectionId>,
    untold: usize,
}

impl Watchers {
    /// Tells each watcher what this turn has brought.
    fn tell(&mut self, reactor: &mut Reactor) {
        let news = format!("lines answered in this turn: {}\n", mem::take(&mut self.untold));
        for &client in &self.clients {
            reactor.write(client, news.as_bytes());
        }
    }
}

/// Our code: answers each line `N` with N messages. After the line `watch` a client is told of them,
/// with `ask` it gets what somebody types at the server, and with `quit` it ends.
struct Messages {
    input: Vec<u8>,
    owed: u64,
    watchers: Rc<RefCell<Watchers>>,
    idle: Option<TimerId>,
}

impl Protocol for Messages {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        self.wait(transport);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.wait(transport);
        self.input.extend(data);
        self.go_on(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        if self.idle.is_some() {
            self.wait(transport);
        }
        self.go_on(transport);
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        transport.lose_connection();
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>) {
        self.stop_waiting(transport);
        self.watchers.borrow_mut().clients.retain(|&client| client != transport.id());
    }
}

impl Messages {
    fn new(watchers: Rc<RefCell<Watchers>>) -> Self {
        Self { input: Vec::new(), owed: 0, watchers, idle: None }
    }

    /// From now on the client has some time to say something.
    fn wait(&mut self, transport: &mut Transport<'_>) {
        self.stop_waiting(transport);
        let id = transport.id();
        let lose = move |reactor: &mut Reactor| reactor.lose_connection(id);
        self.idle = Some(transport.reactor().call_later(IDLE, lose));
    }

    fn stop_waiting(&mut self, transport: &mut Transport<'_>) {
        if let Some(timer) = self.idle.take() {
            transport.reactor().cancel(timer);
        }
    }

    /// Answers line after line, as long as the client takes the answers.
    fn go_on(&mut self, transport: &mut Transport<'_>) {
        while !transport.is_full() {
            if self.owed > 0 {
                self.owed -= 1;
                transport.write(&message());
            } else if let Some(line) = self.next_line() {
                self.line_received(transport, &line);
            } else if self.input.len() > LONGEST {
                return transport.lose_connection();
            } else {
                return transport.resume_reading();
            }
        }
        transport.pause_reading();
    }

    fn next_line(&mut self) -> Option<String> {
        let end = self.input.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.input.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim().to_owned())
    }

    /// Reads a line from the server's own terminal.
    fn ask(&mut self, transport: &mut Transport<'_>) {
        self.stop_waiting(transport);
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(0) => line.push_str("nobody is there\n"),
            Ok(_) => {}
            Err(error) => line = format!("no answer: {error}\n"),
        }
        transport.write(line.as_bytes());
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &str) {
        if line == "quit" {
            return transport.lose_connection();
        }
        if line == "ask" {
            return self.ask(transport);
        }
        if line == "watch" {
            self.watchers.borrow_mut().clients.push(transport.id());
            self.stop_waiting(transport);
            return;
        }
        self.owed = line.parse().unwrap_or(0);
        let mut watchers = self.watchers.borrow_mut();
        if watchers.untold == 0 {
            let watchers = Rc::clone(&self.watchers);
            transport.reactor().call_soon(move |reactor| watchers.borrow_mut().tell(reactor));
        }
        watchers.untold += 1;
    }
}

/// One message: 81 bytes, 16 of them random.
fn message() -> Vec<u8> {
    let random = rand::random::<u128>().to_le_bytes();
    [BEFORE, &random, AFTER].concat()
}
