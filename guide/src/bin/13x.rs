//! Step 13x, wrong: tells watchers all that the reactor does, and so what it does to tell them.

use std::cell::RefCell;
use std::env;
use std::io;
use std::mem;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crocus::{ConnectionId, Notice, Observer, Protocol, Reactor, Reason, Transport};

/// A message, around its random bytes.
const BEFORE: &[u8] = b"You requested some random bytes:\n\n";
const AFTER: &[u8] = b"  \n\nYou want fries with that?\n\n";

/// The longest line, in bytes.
const LONGEST: usize = 1000;

/// How long a client may say nothing.
const IDLE: Duration = Duration::from_secs(5);

/// How often the watchers are told.
const OFTEN: Duration = Duration::from_millis(10);

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let watchers = Rc::new(RefCell::new(Watchers::default()));
    let mut reactor = Reactor::new()?;
    let seen = Rc::new(RefCell::new(Seen::default()));
    reactor.set_observer(Some(Box::new(Rc::clone(&seen))));
    let told = Rc::clone(&watchers);
    reactor.call_every(OFTEN, move |reactor, _tick| {
        let text = mem::take(&mut seen.borrow_mut().text);
        for &client in &told.borrow().clients {
            write(reactor, client, text.as_bytes());
        }
    });
    let listener = reactor.listen(addr.as_str(), move |_peer| Messages::new(watchers.clone()))?;
    if let Some(addr) = reactor.local_addr(listener) {
        println!("listening on {addr}");
    }
    reactor.run()
}

/// The notices since the watchers were told.
#[derive(Default)]
struct Seen {
    text: String,
}

impl Observer for Seen {
    fn notice(&mut self, _at: Instant, notice: &Notice) {
        self.text += &format!("{notice}\n");
    }
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
            write(reactor, client, news.as_bytes());
        }
    }
}

/// Writes to a connection, unless it is over.
fn write(reactor: &mut Reactor, id: ConnectionId, data: &[u8]) {
    if let Some(mut transport) = reactor.transport(id) {
        transport.write(data);
    }
}

/// Our code: answers each line `N` with N messages. After the line `watch` a client is told of them,
/// with `ask` it gets what somebody types at the server, and with `quit` it ends.
struct Messages {
    input: Vec<u8>,
    owed: u64,
    watchers: Rc<RefCell<Watchers>>,
}

impl Protocol for Messages {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.set_timeout(Some(IDLE));
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.input.extend(data);
        self.go_on(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        transport.default_resume_writing();
        self.go_on(transport);
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, _reason: &Reason) {
        self.watchers.borrow_mut().clients.retain(|&client| client != transport.id());
    }
}

impl Messages {
    fn new(watchers: Rc<RefCell<Watchers>>) -> Self {
        Self { input: Vec::new(), owed: 0, watchers }
    }

    /// Answers line after line, as long as the client takes the answers.
    fn go_on(&mut self, transport: &mut Transport<'_>) {
        let (full, _) = transport.write_buffer_limits();
        while transport.buffered() <= full && !transport.is_closing() {
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

    /// Reads a line from the server's own terminal. This blocks, so a thread does it.
    fn ask(&self, transport: &mut Transport<'_>) {
        transport.set_timeout(None);
        let (id, handle) = (transport.id(), transport.reactor().handle());
        let started = thread::Builder::new().spawn(move || {
            let mut line = String::new();
            match io::stdin().read_line(&mut line) {
                Ok(0) => line.push_str("nobody is there\n"),
                Ok(_) => {}
                Err(error) => line = format!("no answer: {error}\n"),
            }
            handle.call_from_thread(move |reactor| write(reactor, id, line.as_bytes()))
        });
        if let Err(error) = started {
            transport.write(format!("no thread: {error}\n").as_bytes());
        }
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
            transport.set_timeout(None);
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
