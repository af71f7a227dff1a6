//! How requests and replies wait for each other, however big: enough of Redis for its own tools and the
//! clients of many languages.
//!
//! ```text
//! cargo run --release -p resp_server
//! redis-cli -p 5000                          # beside it
//! redis-benchmark -p 5000 -t ping,set,get -P 16 -q
//! ```
//!
//! Nothing is kept on disk. `resp/` decodes requests and writes replies, `commands/` has the commands
//! in a table by group, `store/` has the data, `client.rs` what is known of a client, `server.rs` what
//! all share; `session.rs` connects them to the reactor.
//!
//! It shows three techniques. One write answers all requests that come together. Once more than 64 KiB
//! wait to be sent, the other requests are kept until the peer has read: a peer that asks for a big
//! value ten thousand times and reads nothing costs the memory of one reply. And a big value is never
//! copied as a whole, which would hold up all other clients: it stays in the memory that it was received
//! in, and is sent in portions.

mod client;
mod commands;
mod resp;
#[path = "../../shared/secure.rs"]
mod secure;
mod server;
mod session;
#[path = "../../shared/mod.rs"]
mod shared;
mod store;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;

use crocus::Address;
use lexopt::ValueExt;
use secure::TlsOptions;
use server::Server;
use session::{Session, State};
use shared::cli::{self, Exit, ServerOptions};

const HELP: &str = "\
Serves keys and values, which may expire, to clients of Redis. Keeps nothing on disk.

Usage: resp_server [--listen HOST:PORT] [--backlog N] [--max-bulk BYTES] [--trace FILE]
                   [--cert FILE --key FILE | --self-signed]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --max-bulk BYTES    the longest key or value [536870912, which is 512 MiB]
      --cert FILE --key FILE  speak TLS with these, in PEM; SIGHUP reads them again
      --self-signed       speak TLS with a certificate made for this run, to try things with
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

There are no passwords: whoever can connect can read and change everything.
A request, the reply to one, and a transaction may have twice the length of --max-bulk, or 1 MiB. So
much of each, and 64 KiB, may wait for one connection, however little its peer reads.

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.

Examples:
  resp_server                           then, beside it: redis-cli -p 5000
  resp_server --listen 127.0.0.1:6379   where clients of Redis look unless told otherwise
  resp_server --max-bulk 1048576        for values of up to 1 MiB
  resp_server --self-signed             then: redis-cli --tls --insecure -p 5000

Commands: those on strings and on keys of any type, on expiry, transactions, and some about the
server. `redis-cli -p 5000 command list` names them, and `help` in redis-cli explains them.

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// Redis' `proto-max-bulk-len`.
const MAX_BULK: usize = 512 * 1024 * 1024;

fn main() -> ExitCode {
    cli::run("resp_server", serve)
}

fn serve() -> Result<(), Exit> {
    let (mut max_bulk, mut tls) = (MAX_BULK, TlsOptions::default());
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        if name == "max-bulk" {
            max_bulk = args.value()?.parse_with(max_bulk_of)?;
            return Ok(true);
        }
        tls.take(name, args)
    })?;
    let mut reactor = cli::reactor()?;
    cli::drain_on_signals(&mut reactor)?;
    let place = tls.secure(&mut reactor, options.place())?;
    let state = State { server: Server::new(max_bulk), alarm: None };
    let shared = Rc::new(RefCell::new(state));
    let sessions = Rc::clone(&shared);
    let addr = cli::listen(&mut reactor, place, move |peer: Address| {
        let client = sessions.borrow_mut().server.admit(peer.to_string());
        Session::new(Rc::clone(&sessions), client, max_bulk)
    })?;
    shared.borrow_mut().server.status.port = addr.and_then(|addr| addr.port()).unwrap_or(0);
    Ok(reactor.run()?)
}

fn max_bulk_of(text: &str) -> Result<usize, &'static str> {
    let bytes = text.parse().ok().filter(|bytes| (1..=resp::MOST_MAX_BULK).contains(bytes));
    bytes.ok_or("--max-bulk takes a number of bytes up to 1073741824, as in 1048576")
}
