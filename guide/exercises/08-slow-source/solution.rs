//! Exercise 08, slow source, solved.

#[path = "../../src/bin/08/reactor.rs"]
#[expect(dead_code, reason = "this program needs less of the reactor than that of chapter 8")]
mod reactor;

use std::env;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use reactor::{ConnectionId, Protocol, Reactor, Transport};

/// Before each tick.
const PAUSE: Duration = Duration::from_millis(100);

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
        let id = transport.id();
        tick_later(transport.reactor(), id, 10);
    }

    fn data_received(&mut self, _transport: &mut Transport<'_>, _data: &[u8]) {}

    fn connection_lost(&mut self, _transport: &mut Transport<'_>) {}
}

/// So many ticks, one after the other.
fn tick_later(reactor: &mut Reactor, id: ConnectionId, left: usize) {
    if left == 0 {
        return;
    }
    reactor.call_later(PAUSE, move |reactor| {
        reactor.write(id, b"tick\n");
        tick_later(reactor, id, left - 1);
    });
}
