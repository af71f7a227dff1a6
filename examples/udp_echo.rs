//! How to answer datagrams, and why not to answer all of them.
//!
//! ```text
//! cargo run --release --example udp_echo
//! nc -u 127.0.0.1 5000                               # beside it; type, and see it come back
//! echo hello | socat -t 1 - UDP:127.0.0.1:5000
//! ```
//!
//! It sends each datagram back to its source (RFC 862). The source may be forged: it may be the address of
//! another echo, or our own. The two would send the datagram to and fro for ever. So one source gets a
//! limited number of answers in a second.
//!
//! To see each datagram: `RUST_LOG=udp_echo=debug cargo run --example udp_echo`

mod shared;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

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
where strangers send. In a second, one source gets at most 1000 answers, so that two servers which
answer each other stop.

Examples:
  udp_echo                             then, beside it: nc -u 127.0.0.1 5000
  udp_echo --listen [::1]:0            any free port, IPv6
  RUST_LOG=udp_echo=debug udp_echo     tells of each datagram

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// How many answers one source gets in a [`SPAN`]: more than people send by hand, and few enough that a
/// loop ends within milliseconds.
const MOST_ANSWERS: u32 = 1000;

/// How many sources are answered in a [`SPAN`]: some 3 MB to remember them.
const MOST_SOURCES: usize = 65_536;

const SPAN: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Echo {
    /// When the present span began.
    since: Option<Instant>,
    answered: HashMap<SocketAddr, u32>,
}

impl Echo {
    /// Counts a datagram; returns whether its source may get another answer.
    fn may_answer(&mut self, now: Instant, from: SocketAddr) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SPAN) {
            self.since = Some(now);
            self.answered.clear();
        }
        if self.answered.len() >= MOST_SOURCES && !self.answered.contains_key(&from) {
            return false;
        }
        let answers = self.answered.entry(from).or_default();
        *answers += 1;
        *answers <= MOST_ANSWERS
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport<'_>,
        data: &[u8],
        from: SocketAddr,
    ) {
        let length = data.len();
        if !self.may_answer(transport.reactor().now(), from) {
            return log::debug!("{length} bytes from {from} dropped: too many in a second");
        }
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
    let id = reactor
        .listen_udp(listen, Echo::default())
        .map_err(|error| cli::cannot_listen(listen, &error))?;
    if let Some(transport) = reactor.datagram(id) {
        cli::announce(transport.local_addr())?;
    }
    Ok(reactor.run()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;
    use crocus::testing::Simulation;

    /// Has an echo at port 7 send a datagram to `port`, as if one had come from there.
    fn provoke(simulation: &mut Simulation, port: u16) {
        let id = simulation.reactor().listen_udp("127.0.0.1:7", Echo::default()).unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        simulation.reactor().datagram(id).unwrap().send_to(b"hello", to).unwrap();
        simulation.settle(); // panics if it does not come to rest
    }

    #[test]
    fn an_echo_does_not_answer_itself_without_end() {
        let mut simulation = Simulation::new();
        provoke(&mut simulation, 7);
        assert_eq!(simulation.reactor().stats().datagrams_sent, 1 + u64::from(MOST_ANSWERS));
    }

    #[test]
    fn two_echoes_do_not_answer_each_other_without_end() {
        let mut simulation = Simulation::new();
        simulation.reactor().listen_udp("127.0.0.1:8", Echo::default()).unwrap();
        provoke(&mut simulation, 8);
        assert_eq!(simulation.reactor().stats().datagrams_sent, 1 + 2 * u64::from(MOST_ANSWERS));
    }

    #[test]
    fn a_source_is_answered_again_in_the_next_second() {
        let (mut echo, now) = (Echo::default(), Instant::now());
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert!((0..MOST_ANSWERS).all(|_| echo.may_answer(now, one)));
        assert!(!echo.may_answer(now, one));
        assert!(echo.may_answer(now, other));
        assert!(echo.may_answer(now + SPAN, one));
    }

    #[test]
    fn the_memory_of_sources_is_bounded() {
        let (mut echo, now) = (Echo::default(), Instant::now());
        for source in 0..MOST_SOURCES as u32 {
            assert!(echo.may_answer(now, SocketAddr::from((source.to_be_bytes(), 9))));
        }
        assert!(!echo.may_answer(now, SocketAddr::from(([1, 2, 3, 4], 9))));
        assert!(echo.may_answer(now, SocketAddr::from(([0, 0, 0, 1], 9))), "one that is known");
        assert_eq!(echo.answered.len(), MOST_SOURCES);
    }
}
