//! How short a server is: an echo (RFC 862) is one method, and its memory is bounded.
//!
//! ```text
//! cargo run --release --example echo_server
//! nc 127.0.0.1 5000                                   # beside it
//! ```

#[path = "shared/proxied.rs"]
mod proxied;
#[path = "shared/secure.rs"]
mod secure;
mod shared;

use std::process::ExitCode;

use crocus::{Protocol, Transport};
use proxied::ProxyOptions;
use secure::TlsOptions;
use shared::cli::{self, ServerOptions};

const HELP: &str = "\
Sends back to everybody what they send.

Usage: echo_server [--listen HOST:PORT] [--backlog N] [--trace FILE]
                   [--cert FILE --key FILE | --self-signed] [--proxy-protocol NETWORKS]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --cert FILE --key FILE  speak TLS with these, in PEM; SIGHUP reads them again
      --self-signed       speak TLS with a certificate made for this run, to try things with
      --proxy-protocol NETWORKS  read a PROXY header first, and serve only proxies in these, as in
                          10.0.0.0/8,::1
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.
A client that sends and does not read is not read either: it costs no more than some 300 kB.

Examples:
  echo_server                            then, beside it: nc 127.0.0.1 5000
  echo_server --listen [::1]:0           any free port, IPv6
  echo_server --self-signed              then: openssl s_client -connect 127.0.0.1:5000 -quiet

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        transport.write(data);
    }
}

fn main() -> ExitCode {
    cli::run("echo_server", || {
        let (mut tls, mut proxies) = (TlsOptions::default(), ProxyOptions::default());
        let options = ServerOptions::from_args_and(HELP, |name, args| {
            Ok(tls.take(name, args)? || proxies.take(name, args)?)
        })?;
        secure::serve(tls, proxies.behind(options.place()), |_peer| Echo)
    })
}
