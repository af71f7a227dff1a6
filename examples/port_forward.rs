//! How to join two connections: a client of one address talks to the server at another.
//!
//! ```text
//! cargo run --release --example port_forward -- --listen :5000 --to example.org:80
//! curl -H 'Host: example.org' http://127.0.0.1:5000/            # beside it
//! ```
//!
//! Either connection may be encrypted: with `--cert` and `--key` it takes the TLS off for a server that has none,
//! with `--to tls:HOST:PORT` it adds one for a client that has none.
//!
//! [`Tunnel`] joins the two connections, and does what belongs to it: pressure, half-close, resets, the
//! shutdown. This program says where to listen, where to connect to, and what to do without descriptors:
//! a client costs two, so only as many are accepted as there are pairs, and the others wait.

#[path = "shared/secure.rs"]
mod secure;
mod shared;
#[path = "shared/trust.rs"]
mod trust;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crocus::proxy::Version;
use crocus::{
    Connect, ConnectionId, Listen, Protocol, Reactor, Reason, TimerId, Transport, Tunnel,
    TunnelEnd, TunnelHandler,
};
use lexopt::prelude::*;
use secure::TlsOptions;
use shared::cli::{self, Exit};
use shared::pairs;

const HELP: &str = "\
Forwards connections: whoever connects to one address talks to another.

Usage: port_forward [OPTIONS] --to ADDRESS

Options:
  -l, --listen ADDRESS           where to listen; port 0 chooses a free one [127.0.0.1:5000]
  -t, --to ADDRESS               where to connect to, for each connection anew
      --connect-timeout SECONDS  how long that may take, name lookup included [10]
      --send-proxy[=v1|v2]       tells the server whose each connection is, by a PROXY header [v1]
      --idle-timeout SECONDS     resets a session in which nothing moves for so long [never]
      --cert FILE --key FILE     speak TLS with clients, with these, in PEM; SIGHUP reads them again
      --self-signed              the same with a certificate made for this run, to try things with
      --ca FILE                  for tls: trust the authorities in FILE, in PEM, and not this system's
      --trace FILE               writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help                     this text

An ADDRESS is HOST:PORT, or unix:PATH for a Unix socket; for --to also tls:HOST:PORT, a server that
speaks TLS, whose certificate has to be for HOST. A PROXY header goes ahead of it, in clear.
The first line of output tells where it listens. Ctrl-C or SIGTERM stops in order, a second one at once.

Examples:
  port_forward --listen :6380 --to 127.0.0.1:6379           then: redis-cli -p 6380
  port_forward --to unix:/run/docker.sock                   then: curl 127.0.0.1:5000/version
  port_forward --listen unix:web.sock --to example.org:80   then: nc -U web.sock
  port_forward --self-signed --to 127.0.0.1:6379            then: redis-cli --tls --insecure -p 5000
  port_forward --to tls:example.org:443                     then: nc 127.0.0.1 5000
  port_forward --send-proxy --to 127.0.0.1:5001    for: echo_server --listen :5001 --proxy-protocol 127.0.0.1

Exit status: 0 stopped as asked, 1 cannot listen or read FILE, 2 bad usage, 130 a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// How long connecting may take, unless set otherwise: shorter than most clients wait.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a client that waits for a descriptor tries again.
const AGAIN: Duration = Duration::from_millis(100);

/// No free descriptor: ENFILE and EMFILE.
const EXHAUSTED: [i32; 2] = [23, 24];

/// A client that is not joined with the server yet.
#[derive(Clone)]
struct Client {
    to: Connect,
    idle: Option<Duration>,
    /// The server is told whose the connection is.
    header: Option<Version>,
    /// There was no descriptor for the server: try again, after a while.
    waits: bool,
}

impl Client {
    fn connect(&self, transport: &mut Transport<'_>) {
        let session = Session {
            name: format!("{} to {}", transport.peer_addr(), self.to.endpoint()),
            again: Self { waits: true, ..self.clone() },
        };
        let mut tunnel = Tunnel::new(session);
        if let Some(limit) = self.idle {
            tunnel = tunnel.idle_timeout(limit);
        }
        tunnel.connect(transport, self.target(transport));
    }

    /// Where to connect to, with the header for this client: the first bytes, and in clear.
    fn target(&self, transport: &Transport<'_>) -> Connect {
        let to = self.to.clone();
        match (self.header, transport.local_addr()) {
            (Some(version), Ok(here)) => to.preface(version.header(transport.peer_addr(), &here)),
            _ => to, // one that is gone already has no address
        }
    }
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        if self.waits {
            transport.pause_reading();
            transport.call_later(AGAIN);
        } else {
            self.connect(transport);
        }
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _: TimerId) {
        self.connect(transport);
    }
}

/// Logs what becomes of a client.
struct Session {
    name: String,
    again: Client,
}

impl TunnelHandler for Session {
    fn joined(&mut self, _: &mut Transport<'_>, _: ConnectionId) {
        log::info!("{}: connected", self.name);
    }

    fn connection_failed(&mut self, near: &mut Transport<'_>, reason: &Reason) {
        let errno = reason.io_error().and_then(io::Error::raw_os_error);
        if errno.is_some_and(|errno| EXHAUSTED.contains(&errno)) {
            log::debug!("{}: {reason}; trying again", self.name);
            near.set_protocol(self.again.clone());
        } else if let Reason::Tls { error } = reason {
            log::warn!("cannot connect {}: {reason}; {}", self.name, trust::hint(error));
        } else if !matches!(reason, Reason::Stopped) {
            log::warn!("cannot connect {}: {reason}", self.name);
        }
    }

    fn ended(&mut self, _: &mut Reactor, end: &TunnelEnd) {
        log::info!("{}: {end}", self.name);
    }
}

fn main() -> ExitCode {
    cli::run("port_forward", serve)
}

fn serve() -> Result<(), Exit> {
    let Options { listen, tls, client } = Options::from_args()?;
    let place = match listen.strip_prefix("unix:") {
        Some(_) => Listen::at(&*listen),
        None => Listen::at(cli::resolve(&listen)?).socket(pairs::keep_alive()),
    };
    let place = place.max_connections(pairs::of_descriptors());
    secure::serve(tls, place, move |_peer| client.clone())
}

struct Options {
    listen: String,
    tls: TlsOptions,
    client: Client,
}

impl Options {
    fn from_args() -> Result<Self, Exit> {
        let (mut listen, mut to) = (cli::LISTEN.to_owned(), None);
        let (mut connect_timeout, mut idle, mut header) = (CONNECT_TIMEOUT, None, None);
        let (mut tls, mut ca) = (TlsOptions::default(), None);
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Short('h') | Long("help") => return Err(Exit::Help(HELP)),
                Long("trace") => cli::trace_to(args.value()?)?,
                Short('l') | Long("listen") => listen = place(&args.value()?.string()?)?,
                Short('t') | Long("to") => to = Some(args.value()?.string()?),
                Long("connect-timeout") => {
                    connect_timeout =
                        args.value()?.parse_with(cli::seconds("--connect-timeout"))?;
                }
                Long("send-proxy") => header = Some(version(args.optional_value())?),
                Long("idle-timeout") => {
                    idle = Some(args.value()?.parse_with(cli::seconds("--idle-timeout"))?);
                }
                Long("ca") => ca = Some(PathBuf::from(args.value()?)),
                Long(name) => {
                    let name = name.to_owned();
                    if !tls.take(&name, &mut args)? {
                        return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into());
                    }
                }
                other => return Err(other.unexpected().into()),
            }
        }
        let to = to.ok_or_else(|| Exit::Usage("where to? It takes --to HOST:PORT".to_owned()))?;
        let to = target(&to, ca.as_deref())?.timeout(connect_timeout).socket(pairs::keep_alive());
        Ok(Self { listen, tls, client: Client { to, idle, header, waits: false } })
    }
}

/// Where to connect to, and whether by TLS.
fn target(to: &str, ca: Option<&Path>) -> Result<Connect, Exit> {
    let Some(server) = to.strip_prefix("tls:") else {
        return match ca {
            None => Ok(Connect::to(&*place(to)?)),
            Some(_) => Err(Exit::Usage("--ca goes with --to tls:HOST:PORT".to_owned())),
        };
    };
    let server = cli::address(server, "localhost")?;
    let name = trust::name_at(&server)?;
    Ok(Connect::to(&*server).tls(trust::client(ca)?, Some(name)))
}

/// The version of `--send-proxy`. HAProxy's `send-proxy` is version 1, too.
fn version(value: Option<OsString>) -> Result<Version, Exit> {
    let Some(value) = value else { return Ok(Version::V1) };
    value.parse().map_err(Exit::from)
}

/// An address as people type it, or `unix:` and a path.
fn place(text: &str) -> Result<String, Exit> {
    match text.strip_prefix("unix:") {
        Some("") => Err(Exit::Usage("unix: takes a path, as in unix:/run/web.sock".to_owned())),
        Some(_) => Ok(text.to_owned()),
        None => cli::address(text, "127.0.0.1"),
    }
}
