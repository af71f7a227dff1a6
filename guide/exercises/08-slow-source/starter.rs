//! Exercise 08, slow source: ten ticks are sent at once.
//!
//! Let a tenth of a second pass before each. Nobody else may wait for it, so do not sleep.

#[path = "../../src/bin/08/reactor.rs"]
#[expect(dead_code, reason = "this program needs less of the reactor than that of chapter 8")]
mod reactor;

use std::env;
use std::io;
use std::net::TcpListener;

use reactor::{Protocol, Reactor, Transport};

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let mut reactor = Reactor::new(listener, || Slow)?;
    reactor.run()
}

/// Sends ten ticks to everybody who connects.
struct Slow;

impl Protocol for Slow {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        for _ in 0..10 {
            transport.write(b"tick\n");
        }
    }

    fn data_received(&mut self, _transport: &mut Transport<'_>, _data: &[u8]) {}

    fn connection_lost(&mut self, _transport: &mut Transport<'_>) {}
}
