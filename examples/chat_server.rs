//! How to write to all connections: a chat room, in which every member gets the lines of the others.
//!
//! ```text
//! cargo run --release --example chat_server
//! nc 127.0.0.1 5000                                   # beside it, twice
//! ```
//!
//! The room knows its members by their connections' ids, and a callback may write to any of them
//! through the reactor: `transport.reactor().transport(id)`. The id of a lost connection gives
//! `None`, so an outdated entry does no harm.

mod shared;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;
use std::rc::Rc;

use crocus::framing::{FrameError, FrameHandler, Framed, Lines};
use crocus::{ConnectionId, Protocol, Reactor, Reason, Transport};
use shared::cli::{self, Exit, ServerOptions};

const HELP: &str = "\
A chat room for everybody who connects: type a name, and then lines.

Usage: chat_server [--listen HOST:PORT] [--backlog N] [--trace FILE]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.
In the room: /who tells who is there, /quit leaves. Lines have at most 4096 bytes of UTF-8. A client
that sends anything else is told so and has to leave; so has one that does not read.

Examples:
  chat_server                            then, beside it and twice: nc 127.0.0.1 5000
  chat_server --listen 0.0.0.0:5000      for everybody on the network

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// The longest line, in bytes.
const LONGEST_LINE: usize = 4096;

/// The longest name, in characters.
const LONGEST_NAME: usize = 20;

/// A client with more unread bytes than this is dropped: some 250 of the longest lines. The others
/// never wait for it.
const BACKLOG: usize = 1 << 20;

/// The members of the room. All connections share it.
#[derive(Default)]
struct Room {
    members: BTreeMap<ConnectionId, String>,
}

impl Room {
    /// Sends a line to all members but one.
    fn tell_others(&self, reactor: &mut Reactor, from: ConnectionId, line: &str) {
        for &id in self.members.keys().filter(|&&id| id != from) {
            if let Some(mut transport) = reactor.transport(id) {
                transport.write(line.as_bytes());
            }
        }
    }

    fn names(&self) -> String {
        if self.members.is_empty() {
            return "nobody".to_owned();
        }
        self.members.values().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Why this name cannot be taken, if it cannot.
    fn objection(&self, name: &str) -> Option<&'static str> {
        let good = |char: char| char.is_alphanumeric() || "-_.".contains(char);
        if name.is_empty() || name.chars().count() > LONGEST_NAME || !name.chars().all(good) {
            return Some("a name has 1 to 20 letters, digits, or one of - _ .");
        }
        let taken = self.members.values().any(|member| member == name);
        taken.then_some("that name is taken")
    }
}

/// A connection; a member of the room once it has a name.
struct Guest {
    room: Rc<RefCell<Room>>,
}

impl Guest {
    fn join(&self, transport: &mut Transport<'_>, name: &str) {
        let mut room = self.room.borrow_mut();
        if let Some(objection) = room.objection(name) {
            transport.write(format!("! {objection}\nname? ").as_bytes());
            return;
        }
        let (id, here) = (transport.id(), room.names());
        room.members.insert(id, name.to_owned());
        transport.write(format!("* welcome, {name}; here: {here}\n").as_bytes());
        room.tell_others(transport.reactor(), id, &format!("* {name} is here\n"));
        log::info!("{name} joined from {}", transport.peer_addr());
    }

    /// Takes a member out of the room. It comes where a connection is closed, since `connection_lost` waits
    /// until the peer has closed too: its name would be taken for some seconds more.
    fn leave(&self, transport: &mut Transport<'_>, why: &dyn Display) {
        let id = transport.id();
        let mut room = self.room.borrow_mut();
        let Some(name) = room.members.remove(&id) else { return };
        log::info!("{name} left: {why}");
        room.tell_others(transport.reactor(), id, &format!("* {name} has left\n"));
    }

    fn say(&self, transport: &mut Transport<'_>, name: &str, text: &str) {
        if text == "/quit" {
            self.leave(transport, &"it said so");
            return transport.lose_connection();
        }
        let room = self.room.borrow();
        match text {
            "" => {}
            "/who" => drop(transport.write(format!("* here: {}\n", room.names()).as_bytes())),
            _ => {
                let id = transport.id();
                let plain: String = text.chars().filter(|&char| cli::is_harmless(char)).collect();
                room.tell_others(transport.reactor(), id, &format!("{name}: {plain}\n"));
            }
        }
    }

    fn name_of(&self, id: ConnectionId) -> Option<String> {
        self.room.borrow().members.get(&id).cloned()
    }
}

impl Protocol for Guest {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.write(b"name? ");
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.leave(transport, &"it hung up");
        transport.lose_connection();
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        self.leave(transport, reason);
    }
}

impl FrameHandler<Lines> for Guest {
    fn frame_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) {
        let Ok(text) = str::from_utf8(line) else {
            transport.write(b"! that is not UTF-8; good-bye\n");
            self.leave(transport, &"it sent what is not UTF-8");
            return transport.lose_connection();
        };
        match self.name_of(transport.id()) {
            Some(name) => self.say(transport, &name, text),
            None => self.join(transport, text.trim()),
        }
    }

    /// A last line without its end is a line too.
    fn eof_in_frame(&mut self, transport: &mut Transport<'_>, part: &[u8]) {
        self.frame_received(transport, part);
        self.eof_received(transport);
    }

    fn frame_failed(&mut self, transport: &mut Transport<'_>, error: FrameError) {
        transport.write(b"! that line is too long; good-bye\n");
        self.leave(transport, &error);
        transport.lose_connection_because(Reason::protocol(error));
    }
}

fn main() -> ExitCode {
    cli::run("chat_server", serve)
}

fn serve() -> Result<(), Exit> {
    let options = ServerOptions::from_args(HELP)?;
    let mut reactor = Reactor::builder().write_buffer_cap(BACKLOG).build()?;
    cli::observe(&mut reactor);
    let room = Rc::new(RefCell::new(Room::default()));
    cli::serve_on(reactor, options.place(), move |_peer| guest(&room))
}

fn guest(room: &Rc<RefCell<Room>>) -> Framed<Lines, Guest> {
    Framed::new(Lines::new().max_length(LONGEST_LINE), Guest { room: Rc::clone(room) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
mod tests {
    use crocus::testing::{Peer, Simulation};

    use super::*;

    fn heard(peer: &mut Peer) -> String {
        String::from_utf8(peer.received()).unwrap()
    }

    /// The connection of one who hangs up and does not read stays until the close timeout.
    #[test]
    fn a_user_who_hangs_up_has_left_at_once() {
        let room = Rc::new(RefCell::new(Room::default()));
        let mut simulation = Simulation::new();
        simulation.set_window(LONGEST_LINE);
        let [mut anna, mut bert] = ["anna\n", "bert\n"].map(|name| {
            let mut peer = simulation.connect(guest(&room));
            peer.send(name.as_bytes());
            simulation.settle();
            peer
        });
        for _ in 0..3 {
            bert.send(&[&[b'x'; LONGEST_LINE - 1][..], b"\n"].concat());
            simulation.settle();
        }
        anna.close_write();
        simulation.settle();
        assert_eq!((anna.end(), simulation.reactor().connections().len()), (None, 2));
        assert!(heard(&mut bert).ends_with("* anna has left\n"));
        let mut again = simulation.connect(guest(&room));
        again.send(b"anna\n");
        simulation.settle();
        assert_eq!(heard(&mut again), "name? * welcome, anna; here: bert\n");
    }
}
