//! A forward HTTP proxy: tunnels by `CONNECT`, and requests with an absolute target.
//!
//! One request for each connection. The proxy asks the server to close behind its answer, and passes on all
//! that the client sends until then. It trusts the server to ignore what comes behind the request, as RFC 9112
//! wants it (section 9.6).

mod proxy;
mod request;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use crocus::{Ended, Listen, Reactor};
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
A forward HTTP proxy.

usage: forward_proxy [OPTION]...

  --listen HOST:PORT       where clients connect [127.0.0.1:8080]
  --allow-port PORT        a port that clients may reach, for each of them once [80 and 443]
  --connect-timeout SECS   how long a server may take to answer [10]
  --idle-timeout SECONDS   how long both sides together may be silent [300]
  --grace SECONDS          how long a drain may take, on SIGINT or SIGTERM [30]
";

/// How many clients are served at once. Each takes two descriptors, and a process mostly has 1,024.
const MAX_CONNECTIONS: usize = 500;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forward_proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Parser) -> Result<(), Box<dyn Error>> {
    let mut listen = "127.0.0.1:8080".to_owned();
    let [connect, idle, mut grace] = [10, 300, 30].map(Duration::from_secs);
    let mut limits = proxy::Limits { ports: Vec::new(), connect, idle };
    while let Some(option) = options.next()? {
        match option {
            Arg::Long("listen") => listen = options.value()?.string()?,
            Arg::Long("allow-port") => limits.ports.push(options.value()?.parse()?),
            Arg::Long("connect-timeout") => limits.connect = seconds(&mut options)?,
            Arg::Long("idle-timeout") => limits.idle = seconds(&mut options)?,
            Arg::Long("grace") => grace = seconds(&mut options)?,
            Arg::Long("help") => return Ok(write!(std::io::stdout(), "{HELP}")?),
            other => return Err(other.unexpected().into()),
        }
    }
    if limits.ports.is_empty() {
        limits.ports = vec![80, 443];
    }
    let limits = Rc::new(limits);
    let mut reactor = Reactor::new()?;
    let place = Listen::at(&*listen).max_connections(MAX_CONNECTIONS);
    let listener = reactor.listen(place, move |_peer| proxy::client(&limits))?;
    reactor.drain_on_signals(grace)?;
    if let Some(address) = reactor.local_addr(listener) {
        writeln!(std::io::stdout(), "listening on {address}")?;
    }
    reactor.run()?;
    if reactor.ended() == Some(Ended::Stopped) {
        log::warn!("stopped before all transfers were finished");
    }
    Ok(())
}

fn seconds(options: &mut Parser) -> Result<Duration, lexopt::Error> {
    Ok(Duration::from_secs(options.value()?.parse::<u32>()?.into()))
}
