//! How to read without end (discard), and to write without end in bounded memory (chargen).
//!
//! ```text
//! cargo run --release --example simple_services -- --service chargen
//! nc 127.0.0.1 5000 | head                            # beside it
//! ```
//!
//! These are two early services of the Internet. `chargen` writes up to the high mark, and goes on when the
//! transport calls `resume_writing`.

mod shared;

use std::process::ExitCode;
use std::time::Duration;

use crocus::{Address, Factory, Protocol, Transport};
use lexopt::ValueExt;
use shared::cli::{self, Exit, ServerOptions};

const HELP: &str = "\
Serves discard (RFC 863), which reads and forgets, or chargen (RFC 864), which writes without end.

Usage: simple_services [--service NAME] [--listen HOST:PORT] [--backlog N] [--trace FILE]

Options:
      --service NAME      discard or chargen [chargen]
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.

Examples:
  simple_services                        then, beside it: nc 127.0.0.1 5000 | head
  simple_services --service discard      then: nc -N 127.0.0.1 5000 < some_file

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// Reads and ignores everything, as the default methods do.
struct Discard;

impl Protocol for Discard {}

/// Writes lines of printable characters, each beginning one character later than the one before.
#[derive(Default)]
struct Chargen {
    /// Where in the pattern the next line begins.
    start: usize,
}

/// The number of printable ASCII characters, space included.
const PRINTABLE: usize = 95;

/// Characters in a line, as in the example of RFC 864.
const LINE: usize = 72;

/// How long a shutdown waits for a client that takes nothing: these bytes are worth no more.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Lines are written until more than this waits to be sent: the reactor's high mark. Above it
/// `resume_writing` is sure to come.
const ENOUGH: usize = 64 * 1024;

impl Chargen {
    fn write_more(&mut self, transport: &mut Transport<'_>) {
        while !transport.is_closing() && transport.buffered() <= ENOUGH {
            let mut line = [b'\n'; LINE + 2];
            line[LINE] = b'\r';
            for (offset, byte) in line[..LINE].iter_mut().enumerate() {
                *byte = b' ' + ((self.start + offset) % PRINTABLE) as u8;
            }
            transport.write(&line);
            self.start = (self.start + 1) % PRINTABLE;
        }
    }
}

impl Protocol for Chargen {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        self.write_more(transport);
    }

    /// Does not pause reading, as the default would: input is thrown away in any case.
    fn pause_writing(&mut self, _transport: &mut Transport<'_>) {}

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.write_more(transport);
    }

    /// A client that has closed its half may read on: `nc < /dev/null`.
    fn eof_received(&mut self, _transport: &mut Transport<'_>) {}

    /// The default would let it finish, and it never does.
    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        transport.set_close_timeout(LAST_WAIT);
        transport.lose_connection();
    }
}

#[derive(Clone, Copy)]
enum Service {
    Discard,
    Chargen,
}

impl Factory for Service {
    fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
        Some(match self {
            Self::Discard => Box::new(Discard),
            Self::Chargen => Box::new(Chargen::default()),
        })
    }
}

fn service_of(text: &str) -> Result<Service, &'static str> {
    match text {
        "discard" => Ok(Service::Discard),
        "chargen" => Ok(Service::Chargen),
        _ => Err("--service takes discard or chargen"),
    }
}

fn main() -> ExitCode {
    cli::run("simple_services", serve)
}

fn serve() -> Result<(), Exit> {
    let mut service = Service::Chargen;
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        let known = name == "service";
        if known {
            service = args.value()?.parse_with(service_of)?;
        }
        Ok(known)
    })?;
    cli::serve_at(options.place(), service)
}
