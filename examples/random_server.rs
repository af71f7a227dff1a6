//! The article's server with what a service needs: options, signals, a log, a reactor for each core.
//!
//! ```text
//! cargo run --release --example random_server
//! cargo run --release --example random_client        # beside it, or: nc 127.0.0.1 5000 | xxd
//! ```
//!
//! To watch the reactor turn: `RUST_LOG=crocus=trace cargo run --example random_server`, or with `-- --trace FILE`
//! for a time line: open FILE at <https://ui.perfetto.dev>.

#[path = "shared/secure.rs"]
mod secure;
mod shared;

use std::process::ExitCode;

use crocus::{Cores, Protocol, Transport};
use lexopt::ValueExt;
use secure::TlsOptions;
use shared::cli::{self, Exit, ServerOptions};
use shared::frame;

const HELP: &str = "\
Serves 16 random bytes in a frame of 81 to everybody who connects, all at the same time.

Usage: random_server [--listen HOST:PORT] [--backlog N] [--threads N] [--trace FILE]
                     [--cert FILE --key FILE | --self-signed]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --threads N         how many reactors share the port, each in a thread; 0: one per core [1]
      --cert FILE --key FILE  speak TLS with these, in PEM; SIGHUP reads them again
      --self-signed       speak TLS with a certificate made for this run, to try things with
      --trace FILE        writes each turn (of one reactor) to FILE, for ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.

Examples:
  random_server                         then, beside it: random_client
  random_server --listen [::1]:0        any free port, IPv6
  RUST_LOG=crocus=trace random_server   shows each turn of the reactor

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

struct RandomBytes;

impl Protocol for RandomBytes {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        // This thread's cryptographic generator, reseeded from the system now and then: no system
        // call per connection.
        transport.write(&frame::encode(rand::random()));
        transport.lose_connection();
    }
}

fn main() -> ExitCode {
    cli::run("random_server", serve)
}

fn serve() -> Result<(), Exit> {
    let (mut threads, mut tls) = (1, TlsOptions::default());
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        if name == "threads" {
            threads = args.value()?.parse_with(cli::threads_of)?;
            return Ok(true);
        }
        tls.take(name, args)
    })?;
    if threads != 1 {
        return serve_on_cores(threads, options, tls);
    }
    secure::serve(tls, options.place(), |_peer| RandomBytes)
}

/// The same on several cores. The closure runs once in each thread.
fn serve_on_cores(threads: usize, options: ServerOptions, tls: TlsOptions) -> Result<(), Exit> {
    let addr = options.listen;
    let tls = tls.server()?;
    let cores = Cores::start(threads, move |core| {
        cli::observe(core.reactor());
        cli::drain_cores_on_signals(core)?;
        let mut place = options.place();
        if let Some(tls) = &tls {
            if core.index() == 0 {
                tls.reload_on_hangup(core.reactor())?; // for all of them
            }
            place = tls.secure(place);
        }
        core.listen(place, |_peer| RandomBytes)?;
        Ok(())
    })
    .map_err(|error| cli::cannot_listen(addr, &error))?;
    for addr in cores.addresses() {
        cli::announce(addr)?;
    }
    Ok(cores.join()?)
}
