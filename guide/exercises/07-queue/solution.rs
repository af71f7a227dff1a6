//! Exercise 07, queue, solved: this is the reactor of chapter 7.

#[path = "../../src/bin/07/reactor.rs"]
mod reactor;

use std::cell::RefCell;
use std::env;
use std::io;
use std::mem;
use std::net::TcpListener;
use std::rc::Rc;

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
    let watchers = Rc::new(RefCell::new(Watchers::default()));
    let factory = move || Messages { input: Vec::new(), watchers: watchers.clone() };
    let mut reactor = Reactor::new(listener, factory)?;
    reactor.run()
}

/// The slots of the clients that want to know what the others get, and what they are to be told.
#[derive(Default)]
struct Watchers {
    slots: Vec<usize>,
    untold: usize,
}

impl Watchers {
    /// Tells each watcher what this turn has brought.
    fn tell(&mut self, reactor: &mut Reactor) {
        let news = format!("lines answered in this turn: {}\n", mem::take(&mut self.untold));
        for &slot in &self.slots {
            reactor.write(slot, news.as_bytes());
        }
    }
}

/// Our code: answers each line `N` with N messages. After the line `watch` a client is told of them.
struct Messages {
    input: Vec<u8>,
    watchers: Rc<RefCell<Watchers>>,
}

impl Protocol for Messages {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.input.extend(data);
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            self.line_received(transport, String::from_utf8_lossy(&line).trim());
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>) {
        self.watchers.borrow_mut().slots.retain(|&watcher| watcher != transport.slot());
    }
}

impl Messages {
    fn line_received(&self, transport: &mut Transport<'_>, line: &str) {
        if line == "watch" {
            self.watchers.borrow_mut().slots.push(transport.slot());
            return;
        }
        transport.write(&answer(line));
        let mut watchers = self.watchers.borrow_mut();
        if watchers.untold == 0 {
            let watchers = Rc::clone(&self.watchers);
            transport.reactor().call_soon(move |reactor| watchers.borrow_mut().tell(reactor));
        }
        watchers.untold += 1;
    }
}

/// As many messages as the line says; none if it is no number.
fn answer(line: &str) -> Vec<u8> {
    let count = line.parse().unwrap_or(0).min(MOST);
    (0..count).map(|_| message()).collect::<Vec<_>>().concat()
}

/// One message: 81 bytes, 16 of them random.
fn message() -> Vec<u8> {
    let random = rand::random::<u128>().to_le_bytes();
    [BEFORE, &random, AFTER].concat()
}
