//! Step 07b: each client is read once in a turn.

mod reactor;

use std::cell::RefCell;
use std::env;
use std::io;
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
    let watchers = Watchers::default();
    let factory = move || Messages { input: Vec::new(), watchers: watchers.clone() };
    let mut reactor = Reactor::new(listener, factory)?;
    reactor.run()
}

/// The slots of the clients that want to know what the others get.
type Watchers = Rc<RefCell<Vec<usize>>>;

/// Our code: answers each line `N` with N messages. After the line `watch` a client is told of them.
struct Messages {
    input: Vec<u8>,
    watchers: Watchers,
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
        self.watchers.borrow_mut().retain(|&watcher| watcher != transport.slot());
    }
}

impl Messages {
    fn line_received(&self, transport: &mut Transport<'_>, line: &str) {
        if line == "watch" {
            self.watchers.borrow_mut().push(transport.slot());
            return;
        }
        transport.write(&answer(line));
        for &watcher in &*self.watchers.borrow() {
            transport.reactor().write(watcher, b"a line was answered\n");
        }
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
