//! Sends every datagram back to where it came from (RFC 862, over UDP).
//!
//! ```text
//! cargo run --release --example udp_echo
//! nc -u 127.0.0.1 5000                               # beside it; type, and see it come back
//! echo hello | socat -t 1 - UDP:127.0.0.1:5000
//! ```
//!
//! To see each datagram: `RUST_LOG=udp_echo=debug cargo run --example udp_echo`

mod shared;

use std::net::SocketAddr;
use std::process::ExitCode;

use crocus::{DatagramProtocol, DatagramTransport};
use shared::cli::{self, Exit};

const HELP: &str = "\
Sends every datagram back to where it came from.

Usage: udp_echo [--listen HOST:PORT] [--trace FILE]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops it.
Anybody can send a datagram in the name of anybody else, who then gets the answer: do not listen
where strangers send.

Examples:
  udp_echo                             then, beside it: nc -u 127.0.0.1 5000
  udp_echo --listen [::1]:0            any free port, IPv6
  RUST_LOG=udp_echo=debug udp_echo     tells of each datagram

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

struct Echo;

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport<'_>,
        data: &[u8],
        from: SocketAddr,
    ) {
        let length = data.len();
        match transport.send_to(data, from) {
            Ok(()) => log::debug!("{length} bytes sent back to {from}"),
            // Nothing is kept to be sent later: with UDP, a client that wants an answer asks again.
            Err(error) => log::debug!("{length} bytes from {from} dropped: {error}"),
        }
    }
}

fn main() -> ExitCode {
    cli::run("udp_echo", serve)
}

fn serve() -> Result<(), Exit> {
    let listen = cli::listen_address(HELP)?;
    let mut reactor = cli::reactor()?;
    cli::drain_on_signals(&mut reactor)?;
    let id =
        reactor.listen_udp(listen, Echo).map_err(|error| cli::cannot_listen(listen, &error))?;
    if let Some(transport) = reactor.datagram(id) {
        cli::announce(transport.local_addr())?;
    }
    Ok(reactor.run()?)
}
