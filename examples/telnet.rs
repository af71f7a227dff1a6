//! How to read the keyboard and the network at once, on one thread.
//!
//! ```text
//! cargo run --release --example periodic                  # echoes what you type; or any server
//! cargo run --release --example telnet -- localhost:5000  # Ctrl-D ends the input
//! cargo run --release --example telnet -- localhost:5000 < questions > answers
//! cargo run --release --example telnet -- --tls example.org:443
//! ```
//!
//! The reactor watches standard input and its socket. A file cannot be watched, and printing may
//! block (a slow pipe, a terminal stopped by Ctrl-S), so threads read files and print. Memory is
//! bounded: neither side is read while the other does not take more.

mod shared;
#[path = "shared/trust.rs"]
mod trust;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::rc::Rc;

use crocus::{
    Activity, Address, Connect, ConnectionId, Connector, Factory, Protocol, Reactor, Readiness,
    Ready, Reason, ThreadError, Transport, WatchId,
};
use lexopt::prelude::*;
use shared::cli::{self, Exit};
use trust::TrustOptions;

const HELP: &str = "\
Sends what you type to a server, and prints what it answers.

Usage: telnet HOST:PORT [--tls [--ca FILE]]

Options:
      --tls      speak TLS with the server, whose certificate has to be for HOST
      --ca FILE  trust the authorities in FILE, in PEM, instead of those that this system trusts
  -h, --help     this text

Ctrl-D (the end of the input) closes our half of the connection; the server's answer is printed to its
end. Ctrl-C leaves at once. The options of the Telnet protocol are left out. With --tls an answer whose
end TLS does not confirm is printed too, but counts as failed: somebody may have cut it off.

Examples:
  telnet localhost:5000
  telnet localhost:5000 < questions > answers
  telnet --tls example.org:443
  telnet --tls --ca cert.pem localhost:5000     for a server with --cert cert.pem

Exit status: 0 the connection ended in order, 1 it failed, 2 bad usage
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

/// While more than this waits to be printed, nothing more is read from the server.
const UNPRINTED: usize = 64 * 1024;

fn main() -> ExitCode {
    cli::run("telnet", talk)
}

fn talk() -> Result<(), Exit> {
    let (server, place) = server_from_args()?;
    // A job in the background is stopped as it reads the terminal, inside of a callback. Nobody else is
    // served here, so this is nothing to warn of.
    let mut reactor = Reactor::builder().slow_callback(None).build()?;
    cli::observe(&mut reactor);
    let talk = Shared::default();
    reactor.connect(place, Caller { server, talk: Rc::clone(&talk) });
    reactor.run()?; // returns when the connection has ended and all of it is printed
    mem::replace(&mut talk.borrow_mut().outcome, Ok(()))
}

/// The server as it was named, and how to connect to it.
fn server_from_args() -> Result<(String, Connect), Exit> {
    let (mut server, mut trust) = (None, TrustOptions::default());
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => return Err(Exit::Help(HELP)),
            Long(name) => {
                let name = name.to_owned();
                trust.take(&name, &mut args)?;
            }
            Value(text) if server.is_none() => {
                server = Some(cli::address(&text.string()?, "localhost")?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let nowhere = || Exit::Usage("it takes the server's address, as in localhost:5000".into());
    let server = server.ok_or_else(nowhere)?;
    let mut place = Connect::to(&*server);
    if let Some(config) = trust.client()? {
        place = place.tls(config, Some(trust::name_at(&server)?));
    }
    Ok((server, place))
}

/// The state that the connection, the keyboard and the printing thread share.
#[derive(Debug)]
struct Talk {
    connection: Option<ConnectionId>,
    input: Input,
    /// Whether the server takes less than we have to send.
    paused: bool,
    /// Received bytes that the printing thread has not been given yet.
    unprinted: Vec<u8>,
    printing: bool,
    outcome: Result<(), Exit>,
}

impl Default for Talk {
    fn default() -> Self {
        Self {
            connection: None,
            input: Input::Closed,
            paused: false,
            unprinted: Vec::new(),
            printing: false,
            outcome: Ok(()),
        }
    }
}

type Shared = Rc<RefCell<Talk>>;

/// The state of standard input.
#[derive(Debug)]
enum Input {
    /// Not read yet, or read to its end.
    Closed,
    /// A keyboard or pipe: the loop waits for it.
    Watched(WatchId),
    /// A file, which a thread is reading.
    InThread,
    /// A file. Reading goes on when the server takes more.
    Waiting(File),
}

/// The attempt to connect.
struct Caller {
    server: String,
    talk: Shared,
}

impl Factory for Caller {
    fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Session { server: self.server.clone(), talk: Rc::clone(&self.talk) }))
    }

    fn connection_failed(&mut self, _connector: &mut Connector<'_>, reason: &Reason) {
        let hint = match reason {
            Reason::Failed { error, .. } if error.kind() == ErrorKind::ConnectionRefused => {
                "is the server running?"
            }
            Reason::Failed { activity: Activity::Resolving, .. } => {
                "is it spelt right? An address will do too, as in 127.0.0.1:5000"
            }
            Reason::Tls { error } => trust::hint(error),
            _ => "is the address right, and the network up?",
        };
        let cause = match reason {
            Reason::Failed { error, .. } => error.to_string(),
            other => other.to_string(),
        };
        fail(&self.talk, format!("cannot reach {}: {cause}; {hint}", self.server));
    }
}

/// The connection.
struct Session {
    server: String,
    talk: Shared,
}

impl Protocol for Session {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        self.talk.borrow_mut().connection = Some(transport.id());
        if let Err(error) = begin_to_read(&self.talk, transport.reactor()) {
            end_input(&self.talk, transport.reactor(), Some(error));
        }
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        let mut talk = self.talk.borrow_mut();
        talk.unprinted.extend_from_slice(data);
        if talk.unprinted.len() > UNPRINTED {
            transport.pause_reading();
        }
        drop(talk);
        print_more(&self.talk, transport.reactor());
    }

    /// The default would pause reading from a server that does not read. This pauses the input.
    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        let mut talk = self.talk.borrow_mut();
        talk.paused = true;
        if let Input::Watched(watch) = talk.input {
            transport.reactor().set_interest(watch, Readiness::default());
        }
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        let mut talk = self.talk.borrow_mut();
        talk.paused = false;
        match mem::replace(&mut talk.input, Input::InThread) {
            Input::Waiting(file) => read_in_thread(&self.talk, transport.reactor(), file),
            other => talk.input = other,
        }
        if let Input::Watched(watch) = talk.input {
            transport.reactor().set_interest(watch, Readiness::READABLE);
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        self.talk.borrow_mut().connection = None;
        end_input(&self.talk, transport.reactor(), None);
        let ours = matches!(reason, Reason::Aborted); // printing failed, and that is recorded
        if !reason.is_clean() && !ours {
            fail(&self.talk, format!("the connection with {} failed: {reason}", self.server));
        }
    }
}

/// Records why we fail; the first cause counts.
fn fail(talk: &Shared, message: String) {
    let outcome = &mut talk.borrow_mut().outcome;
    if outcome.is_ok() {
        *outcome = Err(Exit::Failed(message));
    }
}

/// Starts to read standard input: in the loop if it can be watched, else in a thread.
fn begin_to_read(shared: &Shared, reactor: &mut Reactor) -> io::Result<()> {
    // A duplicate without std's buffer: the reactor cannot see bytes that a buffer holds.
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let file = stdin.try_clone()?;
    let talk = Rc::clone(shared);
    let read = move |reactor: &mut Reactor, stdin: &mut File, _: Ready| {
        let mut piece = [0; PIECE];
        let result = stdin.read(&mut piece);
        said(&talk, reactor, result.map(|count| &piece[..count]));
    };
    match reactor.watch(stdin, Readiness::READABLE, read) {
        Ok(watch) => shared.borrow_mut().input = Input::Watched(watch),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            shared.borrow_mut().input = Input::InThread;
            read_in_thread(shared, reactor, file);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Reads one piece of a file, which may be on a slow disk.
fn read_in_thread(shared: &Shared, reactor: &mut Reactor, mut file: File) {
    let talk = Rc::clone(shared);
    let read = move || {
        let mut piece = vec![0; PIECE];
        let result = file.read(&mut piece);
        (file, result.map(|count| piece[..count].to_vec()))
    };
    reactor.call_in_thread(read, move |reactor, result| match result {
        Ok((file, piece)) => {
            if !said(&talk, reactor, piece.as_deref().map_err(|error| error.kind().into())) {
                return;
            }
            if talk.borrow().paused {
                talk.borrow_mut().input = Input::Waiting(file);
            } else {
                read_in_thread(&talk, reactor, file);
            }
        }
        Err(error) => end_input(&talk, reactor, Some(io::Error::other(error))),
    });
}

/// Sends the bytes that were read; returns whether to read on.
fn said(shared: &Shared, reactor: &mut Reactor, read: io::Result<&[u8]>) -> bool {
    let connection = shared.borrow().connection;
    match read {
        Ok([]) => end_input(shared, reactor, None),
        Ok(piece) => {
            let Some(mut transport) = connection.and_then(|id| reactor.transport(id)) else {
                return false;
            };
            transport.write(piece);
            return true;
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => return true,
        Err(error) => end_input(shared, reactor, Some(error)),
    }
    false
}

/// The input has ended: closes our half, once all is sent. The server may go on.
fn end_input(shared: &Shared, reactor: &mut Reactor, error: Option<io::Error>) {
    let mut talk = shared.borrow_mut();
    if let Input::Watched(watch) = mem::replace(&mut talk.input, Input::Closed) {
        reactor.unwatch(watch);
    }
    if let Some(mut transport) = talk.connection.and_then(|id| reactor.transport(id)) {
        transport.lose_write_connection();
    }
    drop(talk);
    if let Some(error) = error {
        fail(shared, format!("cannot read standard input: {error}"));
    }
}

/// Has a thread print the received bytes, one piece after another.
fn print_more(shared: &Shared, reactor: &mut Reactor) {
    let mut talk = shared.borrow_mut();
    if talk.printing || talk.unprinted.is_empty() {
        return;
    }
    talk.printing = true;
    let piece = mem::take(&mut talk.unprinted);
    if let Some(mut transport) = talk.connection.and_then(|id| reactor.transport(id)) {
        transport.resume_reading();
    }
    drop(talk);
    let talk = Rc::clone(shared);
    let print = move || {
        let mut out = io::stdout().lock();
        out.write_all(&piece).and_then(|()| out.flush())
    };
    reactor.call_in_thread(print, move |reactor, result| printed(&talk, reactor, result));
}

fn printed(shared: &Shared, reactor: &mut Reactor, result: Result<io::Result<()>, ThreadError>) {
    shared.borrow_mut().printing = false;
    let error = match result {
        Ok(Ok(())) => return print_more(shared, reactor),
        Ok(Err(error)) => error,
        Err(error) => io::Error::other(error),
    };
    let connection = shared.borrow().connection;
    // A reader like `head` may have closed the pipe. This is no error, but we are done.
    if error.kind() != ErrorKind::BrokenPipe {
        fail(shared, format!("cannot write to standard output: {error}"));
    }
    if let Some(mut transport) = connection.and_then(|id| reactor.transport(id)) {
        transport.abort_connection();
    }
}
