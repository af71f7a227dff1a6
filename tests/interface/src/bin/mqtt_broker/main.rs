//! A small MQTT 3.1.1 broker. Try it: `mosquitto_sub -p 1883 -t '#' -v`
//!
//! It has QoS 0, clean sessions, retained messages, wills and wildcards. A message of QoS 1 is
//! acknowledged, and passed on with QoS 0.

mod server;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crocus::Reactor;
use lexopt::{Arg, Parser, ValueExt};
use server::Limits;

const HELP: &str = "\
mqtt_broker [--listen HOST:PORT] [--max-packet BYTES] [--max-queue BYTES]

  --listen HOST:PORT   where to listen; port 0 takes a free one [127.0.0.1:1883]
  --max-packet BYTES   the longest packet that a client may send [262144]
  --max-queue BYTES    how much may wait for a slow subscriber before it misses messages [1048576]

RUST_LOG sets what is logged [info].
";

/// How many bytes are read from a client in one turn.
const READ_BUDGET: usize = 32 << 10;

/// How long clients may take to leave at a shutdown.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some((at, limits)) = options(Parser::from_env())? else {
        return Ok(io::stdout().write_all(HELP.as_bytes())?);
    };
    let mut reactor = reactor(limits)?;
    reactor.drain_on_signals(GRACE)?;
    let listener = server::listen(&mut reactor, &at, limits)?;
    let address = reactor.local_addr(listener).ok_or("the listener has no address")?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()?;
    reactor.run()?;
    log::info!("stopped");
    Ok(())
}

/// In one turn a subscriber gets what many publishers send. With little read from each, and all that
/// waits written at once, one that reads fast enough misses nothing.
fn reactor(limits: Limits) -> io::Result<Reactor> {
    let waiting = limits.queue.saturating_add(limits.packet); // never more, but for short answers
    Reactor::builder()
        .read_budget(READ_BUDGET)
        .write_budget(waiting)
        .write_buffer_cap(waiting.saturating_add(1 << 20))
        .build()
}

/// Reads the command line. `None`: help is wanted.
fn options(mut parser: Parser) -> Result<Option<(String, Limits)>, lexopt::Error> {
    let (mut at, mut limits) = ("127.0.0.1:1883".to_owned(), Limits::default());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("listen") => at = parser.value()?.string()?,
            Arg::Long("max-packet") => limits.packet = parser.value()?.parse()?,
            Arg::Long("max-queue") => limits.queue = parser.value()?.parse()?,
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            arg => return Err(arg.unexpected()),
        }
    }
    Ok(Some((at, limits)))
}
