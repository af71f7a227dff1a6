//! The time to the first callback: a reactor shall be up within a millisecond.

use std::net::TcpStream;
use std::time::Duration;

use crocus::{Protocol, Reactor};
use divan::Bencher;

struct Silent;

impl Protocol for Silent {}

fn main() {
    divan::main();
}

/// A fresh reactor and its first call; dropping it is not in the figure.
#[divan::bench(sample_size = 1)]
fn to_the_first_call() -> Reactor {
    let mut reactor = Reactor::new().expect("two descriptors are left");
    reactor.call_soon(|reactor| reactor.stop());
    reactor.run().expect("the poller works");
    reactor
}

/// A fresh reactor, and its first connection.
#[divan::bench(sample_size = 1)]
fn to_the_first_connection(bencher: Bencher) {
    bencher.bench_local(|| {
        let mut reactor = Reactor::new().expect("two descriptors are left");
        let listener = reactor.listen("127.0.0.1:0", |_| Silent).expect("a port is left");
        let addr = reactor.local_addr(listener).and_then(|addr| addr.socket_addr());
        let client = TcpStream::connect(addr.expect("it listens")).expect("it listens");
        while reactor.stats().accepted == 0 {
            reactor.turn(Some(Duration::from_secs(1))).expect("the poller works");
        }
        (reactor, client)
    });
}
