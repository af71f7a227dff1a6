//! How a protocol keeps its place in a stream, and sends files of any size: an HTTP/1.1 server.
//!
//! ```text
//! cargo run --release -p http_server -- --root target/doc
//! curl -v http://127.0.0.1:5000/crocus/        # beside it, or a browser
//! cargo run --release -p http_server -- --root target/doc --cert cert.pem --key key.pem      # HTTPS
//! ```
//!
//! Read the modules in this order: `connection` reads requests and sends answers; `head`, `target` and
//! `body`, in the library of this package, find the end of a request and what it asks for; `answer`,
//! `conditions`, `files` and `listing` make the answer. HTTP/2, compression and several ranges at once are left
//! out; a proxy can add some of these.

#[path = "../../shared/proxied.rs"]
mod proxied;
#[path = "../../shared/secure.rs"]
mod secure;
#[path = "../../shared/mod.rs"]
mod shared;

mod answer;
mod conditions;
mod connection;
mod files;
mod listing;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use connection::{Http, Patience, Site};
use files::Root;
use lexopt::ValueExt;
use proxied::ProxyOptions;
use secure::TlsOptions;
use shared::cli::{self, Exit, ServerOptions};
use shared::pairs;

const HELP: &str = "\
Serves a welcome at / to everybody who asks by HTTP or HTTPS, or the files of a directory.

Usage: http_server [--root DIR] [--timeout SECONDS] [--header-timeout SECONDS]
                   [--cert FILE --key FILE | --self-signed] [--proxy-protocol NETWORKS]
                   [--listen HOST:PORT] [--backlog N] [--trace FILE]

Options:
      --root DIR          serve the files of DIR; for a directory its index.html, or a list of links.
                          Names that begin with a dot are not served, nor are links to them or to
                          the outside. DIR may be replaced at any time: the next request gets the new one
      --timeout SECONDS   how long to wait for a request or its body, or for a client to read [60]
      --header-timeout SECONDS
                          how long to wait for the rest of a request's head, and for a request
                          while no more clients fit [10]
      --cert FILE --key FILE  serve HTTPS with these, in PEM; SIGHUP reads them again
      --self-signed       serve HTTPS with a certificate made for this run, to try things with
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --proxy-protocol NETWORKS
                          read a PROXY header first, and serve only proxies in these networks, as in
                          10.0.0.0/8,::1; the log names the clients, and not the proxy
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order: answers are finished,
for at most 5 s. A second one stops at once.

Examples:
  http_server                           then, beside it: curl -v http://127.0.0.1:5000/
  http_server --root target/doc         after cargo doc; http://127.0.0.1:5000/crocus/
  http_server --self-signed             then: curl --insecure https://127.0.0.1:5000/
  RUST_LOG=info http_server             logs each request

Exit status: 0 stopped as asked, 1 cannot listen or serve DIR, 2 bad usage, 130 stopped by a second
             Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// How long to wait for a request: nginx's default.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait for the rest of a head, which clients send at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest timeout, in seconds: a day.
const LONGEST_TIMEOUT: f64 = 86_400.0;

/// The protocols by their names in ALPN, the best one first. A client that knows HTTP/2 too takes one of these.
const PROTOCOLS: [&str; 2] = ["http/1.1", "http/1.0"];

fn main() -> ExitCode {
    cli::run("http_server", serve)
}

fn serve() -> Result<(), Exit> {
    let (mut dir, mut proxies) = (None, ProxyOptions::default());
    let mut tls = TlsOptions::of_protocols(&PROTOCOLS);
    let mut patience = Patience { head: HEADER_TIMEOUT, other: TIMEOUT };
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        match name {
            "root" => dir = Some(PathBuf::from(args.value()?)),
            "timeout" => patience.other = args.value()?.parse_with(timeout_of)?,
            "header-timeout" => patience.head = args.value()?.parse_with(timeout_of)?,
            _ => return Ok(tls.take(name, args)? || proxies.take(name, args)?),
        }
        Ok(true)
    })?;
    let root = dir.map(root_at).transpose()?;
    let places = pairs::of_descriptors();
    let site = Rc::new(RefCell::new(Site::new(root, patience, places)));
    let place = proxies.behind(options.place()).max_connections(places);
    secure::serve(tls, place, move |_peer| Http::new(&site))
}

fn timeout_of(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().filter(|&seconds| seconds > 0.0 && seconds <= LONGEST_TIMEOUT);
    seconds.map(Duration::from_secs_f64).ok_or("a timeout takes seconds, as in 30 or 0.5")
}

fn root_at(dir: PathBuf) -> Result<Root, Exit> {
    Root::new(dir.clone()).map_err(|error| {
        Exit::Failed(format!("cannot serve {}: {error}; --root takes a directory", dir.display()))
    })
}
