//! Enough of Redis for `redis-cli` and `redis-benchmark`, on the reactor.
//!
//! ```text
//! cargo run --release --example resp_server
//! redis-cli -p 5000                          # beside it
//! redis-benchmark -p 5000 -t ping,set,get -P 16 -q
//! ```
//!
//! Nothing is kept on disk. `resp.rs` decodes requests (`inline.rs` those that people type,
//! `args.rs` has the words of a request), `commands.rs` has the table of commands (`data.rs` those
//! on keys and values, `expiry.rs` those on their expiry, `about.rs` those about the server),
//! `store.rs` has the data, `reply.rs` writes the replies, `number.rs` and `glob.rs` help; this
//! file connects them to the reactor.
//!
//! It shows two techniques. One write answers all requests that come together. Once more than
//! [`HIGH_WATER`] waits to be sent, the other requests are kept until the peer has read: a peer
//! that asks for a big value ten thousand times and reads nothing costs the memory of one reply.
//! And one timer, set to the next deadline, removes all keys that expire.

mod about;
mod args;
mod commands;
mod data;
mod expiry;
mod glob;
mod inline;
mod number;
mod reply;
mod resp;
#[path = "../shared/mod.rs"]
mod shared;
mod store;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use about::Status;
use commands::Server;
use crocus::{Protocol, Reactor, Reason, TimerId, Transport};
use lexopt::ValueExt;
use reply::Replies;
use resp::Decoder;
use shared::cli::{self, Exit, ServerOptions};
use store::Store;

const HELP: &str = "\
Serves keys and values, which may expire, to clients of Redis. Keeps nothing on disk.

Usage: resp_server [--listen HOST:PORT] [--backlog N] [--max-bulk BYTES] [--trace FILE]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --max-bulk BYTES    the longest key or value [536870912, which is 512 MiB]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

There are no passwords: whoever can connect can read and change everything.
A request, and the reply to one, may have twice the length of --max-bulk, or 1 MiB. So much, and
64 KiB, may wait for one connection, however little its peer reads.

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.

Examples:
  resp_server                           then, beside it: redis-cli -p 5000
  resp_server --listen 127.0.0.1:6379   where clients of Redis look unless told otherwise
  resp_server --max-bulk 1048576        for values of up to 1 MiB

Commands: PING ECHO SET [EX PX NX XX KEEPTTL GET] GET DEL EXISTS INCR DECR INCRBY DECRBY MGET MSET
EXPIRE PEXPIRE TTL PTTL PERSIST KEYS DBSIZE FLUSHDB FLUSHALL SELECT CLIENT COMMAND CONFIG HELLO
INFO QUIT

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// While more bytes of replies than this wait, requests wait too: as many as one read brings.
const HIGH_WATER: usize = 64 * 1024;

/// Requests go on at this many bytes: a quarter, so that the kernel has data to send meanwhile.
const LOW_WATER: usize = HIGH_WATER / 4;

/// How many expired keys are removed in one turn. A million may expire together; at about a
/// microsecond each they would keep the clients waiting for a second.
const EXPIRED_AT_ONCE: usize = 1000;

/// Redis' `proto-max-bulk-len`.
const MAX_BULK: usize = 512 * 1024 * 1024;

/// The state that all connections share.
type Shared = Rc<RefCell<State>>;

struct State {
    server: Server,
    /// The timer that removes expired keys, and when it is due: at the next expiry, or before.
    alarm: Option<(TimerId, Instant)>,
}

/// One client.
struct Session {
    shared: Shared,
    decoder: Decoder,
    /// Requests are kept, since too many replies wait to be sent: `resume_writing` will come.
    is_held: bool,
    /// The client has closed its half: no more bytes come.
    is_last: bool,
}

impl Protocol for Session {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER);
        let status = &mut self.shared.borrow_mut().server.status;
        status.clients += 1;
        status.connections += 1;
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        if self.is_held {
            self.decoder.keep(data);
        } else {
            self.answer(transport, data);
        }
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.is_last = true;
        self.go_on(transport);
    }

    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        transport.pause_reading();
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        if self.is_held {
            self.answer(transport, &[]);
        }
        self.go_on(transport);
    }

    fn connection_lost(&mut self, _transport: &mut Transport<'_>, _reason: &Reason) {
        self.shared.borrow_mut().server.status.clients -= 1;
    }
}

impl Session {
    /// Answers the complete requests, until too much waits to be sent.
    fn answer(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        let room = HIGH_WATER.saturating_sub(transport.buffered());
        let mut state = self.shared.borrow_mut();
        let State { server, alarm } = &mut *state;
        server.replies.clear(); // a panic would have left some
        server.now = transport.reactor().now();
        let decoded = self.decoder.decode(data, |args| {
            commands::execute(server, args);
            if server.closing || server.replies.len() > room {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        self.is_held = decoded.is_ok_and(|flow| flow.is_break());
        if let Err(error) = decoded {
            log::info!("{}: {error}", transport.peer_addr());
            server.replies.error(format_args!("ERR Protocol error: {error}"));
        }
        transport.write(server.replies.bytes());
        server.replies.clear();
        if std::mem::take(&mut server.closing) || decoded.is_err() {
            transport.lose_connection();
        }
        let next = server.store.next_deadline();
        if next.is_some_and(|end| alarm.is_none_or(|(_, due)| end < due)) {
            drop(state);
            set_alarm(&self.shared, transport.reactor());
        }
    }

    /// Unless requests are kept, reads on; closes instead if the client has closed its half.
    fn go_on(&self, transport: &mut Transport<'_>) {
        if self.is_held {
            return;
        }
        if self.is_last {
            transport.lose_connection();
        } else {
            transport.resume_reading();
        }
    }
}

/// Sets the timer that removes keys when they expire.
fn set_alarm(shared: &Shared, reactor: &mut Reactor) {
    let State { server, alarm } = &mut *shared.borrow_mut();
    let Some(end) = server.store.next_deadline() else { return };
    if let Some((timer, _)) = alarm.take() {
        reactor.cancel_timer(timer);
    }
    let delay = end.saturating_duration_since(reactor.now());
    let state = Rc::clone(shared);
    *alarm = Some((reactor.call_later(delay, move |reactor| expire(&state, reactor)), end));
}

/// Removes expired keys; if there are too many, the rest in the next turn.
fn expire(shared: &Shared, reactor: &mut Reactor) {
    {
        let State { server, alarm } = &mut *shared.borrow_mut();
        *alarm = None;
        server.store.expire(reactor.now(), EXPIRED_AT_ONCE);
    }
    set_alarm(shared, reactor);
}

fn main() -> ExitCode {
    cli::run("resp_server", serve)
}

fn serve() -> Result<(), Exit> {
    let mut max_bulk = MAX_BULK;
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        let known = name == "max-bulk";
        if known {
            max_bulk = args.value()?.parse_with(max_bulk_of)?;
        }
        Ok(known)
    })?;
    let mut reactor = cli::reactor()?;
    cli::drain_on_signals(&mut reactor)?;
    let state = State { server: new_server(max_bulk), alarm: None };
    let shared = Rc::new(RefCell::new(state));
    let sessions = Rc::clone(&shared);
    let addr = cli::listen(&mut reactor, options.place(), move |_peer| Session {
        shared: Rc::clone(&sessions),
        decoder: Decoder::new(max_bulk),
        is_held: false,
        is_last: false,
    })?;
    shared.borrow_mut().server.status.port = addr.and_then(|addr| addr.port()).unwrap_or(0);
    Ok(reactor.run()?)
}

fn new_server(max_bulk: usize) -> Server {
    let now = Instant::now();
    Server {
        store: Store::default(),
        replies: Replies::default(),
        now,
        closing: false,
        max_reply: resp::max_request(max_bulk),
        status: Status { started: now, port: 0, clients: 0, connections: 0, commands: 0 },
    }
}

fn max_bulk_of(text: &str) -> Result<usize, &'static str> {
    let bytes = text.parse().ok().filter(|bytes| (1..=resp::MOST_MAX_BULK).contains(bytes));
    bytes.ok_or("--max-bulk takes a number of bytes up to 1073741824, as in 1048576")
}
