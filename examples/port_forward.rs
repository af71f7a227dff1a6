//! Forwards connections: a client of one address talks to the server at another.
//!
//! ```text
//! cargo run --release --example port_forward -- --listen :5000 --to example.org:80
//! curl -H 'Host: example.org' http://127.0.0.1:5000/            # beside it
//! ```
//!
//! A connection has two sides. The bytes of one are written to the other, and three events are
//! passed on too: one side does not read (then the other is not read either, so memory is bounded),
//! one side has sent all it has to send, or one side is lost by an error.
//!
//! At a shutdown nobody here knows whether a server is in the middle of an answer. So a session goes on
//! until nothing has moved for some time, and is then closed in order; one that is busy to the end of the
//! grace is reset.

mod shared;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use crocus::{
    Address, Connect, ConnectionId, Connector, ConnectorId, Endpoint, Factory, Listen, ListenerId,
    Protocol, Reactor, Reason, SocketOptions, Transport,
};
use lexopt::prelude::*;
use shared::cli::{self, Exit};

const HELP: &str = "\
Forwards connections: whoever connects to one address talks to another.

Usage: port_forward [--listen ADDRESS] --to ADDRESS

Options:
  -l, --listen ADDRESS  where to listen; port 0 chooses a free one [127.0.0.1:5000]
  -t, --to ADDRESS      where to connect to, for each connection anew
  -h, --help            this text

An ADDRESS is HOST:PORT, or unix:PATH for a Unix socket.
The first line of output tells where it listens. Ctrl-C or SIGTERM stops in order, a second one at once.

Examples:
  port_forward --listen :6380 --to 127.0.0.1:6379           then: redis-cli -p 6380
  port_forward --to unix:/run/docker.sock                   then: curl 127.0.0.1:5000/version
  port_forward --listen unix:web.sock --to example.org:80   then: nc -U web.sock

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// How long a side may be silent before the kernel sends a keep-alive probe. Sessions may be silent
/// for days; one whose peer has vanished must not be kept for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long nothing must move before a shutdown closes a session: the answer of a server that thinks longer
/// is lost.
const QUIET: Duration = Duration::from_secs(1);

/// One side of a forwarded connection.
struct Side {
    other: Other,
}

/// The other side.
enum Other {
    /// Not connected to yet: its address.
    Target(Rc<Endpoint>),
    /// The server: connected, or being connected to.
    Upstream(ConnectorId),
    /// The client, which was accepted.
    Client(ConnectionId),
}

impl Other {
    fn transport<'a>(&self, reactor: &'a mut Reactor) -> Option<Transport<'a>> {
        let id = match self {
            Self::Target(_) => None,
            Self::Upstream(connector) => reactor.connection_of(*connector),
            Self::Client(id) => Some(*id),
        };
        reactor.transport(id?)
    }
}

impl Side {
    /// Acts on the other side, if it is connected. If it was lost, its loss ends this one too.
    fn with_other(&self, transport: &mut Transport<'_>, action: impl FnOnce(&mut Transport<'_>)) {
        if let Some(mut other) = self.other.transport(transport.reactor()) {
            action(&mut other);
        }
    }
}

impl Protocol for Side {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        match &self.other {
            Other::Target(target) => {
                // The client's bytes wait in the kernel until the server is connected.
                transport.pause_reading();
                let upstream =
                    Upstream { client: transport.id(), addr: transport.peer_addr().clone() };
                let place =
                    Connect::to(&**target).socket(SocketOptions::new().keep_alive(KEEP_ALIVE));
                let connector = transport.reactor().connect(place, upstream);
                self.other = Other::Upstream(connector);
            }
            _ => self.with_other(transport, |other| other.resume_reading()),
        }
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.with_other(transport, |other| {
            other.write(data);
        });
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.with_other(transport, |other| other.lose_write_connection());
    }

    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        self.with_other(transport, |other| other.pause_reading());
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.with_other(transport, |other| other.resume_reading());
    }

    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        transport.set_timeout(Some(QUIET));
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        let other = self.other.transport(transport.reactor()).map_or(0, |other| other.buffered());
        if transport.buffered() + other > 0 {
            transport.set_timeout(Some(QUIET)); // somebody reads slowly, and more may follow
            return;
        }
        self.with_other(transport, |other| other.lose_connection());
        transport.lose_connection();
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        // A clean end means that both sides have sent all: the other closes once it is flushed.
        if reason.is_clean() {
            return;
        }
        // The other side is reset, so that it cannot take a part of the data for all of it.
        log::info!("{} lost: {reason}", transport.peer_addr());
        self.with_other(transport, |other| other.abort_connection());
        if let Other::Upstream(connector) = self.other {
            transport.reactor().disconnect(connector);
        }
    }
}

/// Connects to the server for a client.
struct Upstream {
    client: ConnectionId,
    addr: Address,
}

impl Factory for Upstream {
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        log::info!("{} to {peer}", self.addr);
        Some(Box::new(Side { other: Other::Client(self.client) }))
    }

    fn connection_failed(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        if !matches!(reason, Reason::Cancelled | Reason::Stopped) {
            log::warn!("cannot connect {} to {}: {reason}", self.addr, connector.endpoint());
        }
        if let Some(mut client) = connector.reactor().transport(self.client) {
            client.lose_connection();
        }
    }
}

fn main() -> ExitCode {
    cli::run("port_forward", serve)
}

fn serve() -> Result<(), Exit> {
    let (listen, to) = options()?;
    let mut reactor = cli::reactor()?;
    cli::drain_on_signals(&mut reactor)?;
    let listener = listen_at(&mut reactor, &listen, Rc::new(to))?;
    if let Some(addr) = reactor.local_addr(listener) {
        cli::announce(addr)?;
    }
    Ok(reactor.run()?)
}

fn listen_at(reactor: &mut Reactor, at: &str, to: Rc<Endpoint>) -> Result<ListenerId, Exit> {
    let side = move |_peer| Side { other: Other::Target(Rc::clone(&to)) };
    match at.strip_prefix("unix:") {
        Some(_) => reactor.listen(at, side).map_err(|error| {
            Exit::Failed(format!("{error}; --listen unix:PATH takes a path that is free"))
        }),
        None => {
            let addr = cli::resolve(at)?;
            let place = Listen::at(addr).socket(SocketOptions::new().keep_alive(KEEP_ALIVE));
            let listening = reactor.listen(place, side);
            listening.map_err(|error| cli::cannot_listen(addr, &error))
        }
    }
}

/// Where to listen, and where to connect to.
fn options() -> Result<(String, Endpoint), Exit> {
    let (mut listen, mut to) = (cli::LISTEN.to_owned(), None);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => return Err(Exit::Help(HELP)),
            Short('l') | Long("listen") => listen = place(&args.value()?.string()?)?,
            Short('t') | Long("to") => to = Some(place(&args.value()?.string()?)?),
            other => return Err(other.unexpected().into()),
        }
    }
    let to = to.ok_or_else(|| Exit::Usage("where to? It takes --to HOST:PORT".to_owned()))?;
    Ok((listen, to.into()))
}

/// An address as people type it, or `unix:` and a path.
fn place(text: &str) -> Result<String, Exit> {
    match text.strip_prefix("unix:") {
        Some("") => Err(Exit::Usage("unix: takes a path, as in unix:/run/web.sock".to_owned())),
        Some(_) => Ok(text.to_owned()),
        None => cli::address(text, "127.0.0.1"),
    }
}
