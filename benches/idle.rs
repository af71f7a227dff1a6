//! Idle connections: the time to accept them, to send a message to each, and to drop them all. The time of one must not
//! depend on how many there are.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crocus::{Address, Listen, Protocol, Reactor};
use divan::Bencher;
use divan::counter::ItemsCount;

/// The first three are what a process may have that gets 20,000 descriptors, as on many systems. The others are measured
/// where it gets enough.
const COUNTS: [usize; 5] = [900, 3_000, 9_000, 30_000, 100_000];

/// For the reactor, its listeners, and what the program itself has open.
const OTHERS: u64 = 200;

/// So many connections wait at each listener: Linux has a queue for 4,096 of them.
const EACH: usize = 3_000;

struct Silent;

impl Protocol for Silent {}

fn main() {
    divan::main();
}

/// So many connections as this process may have: it has both ends of each.
fn counts() -> impl Iterator<Item = usize> {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(0);
    COUNTS.into_iter().filter(move |&count| 2 * count as u64 + OTHERS <= limit)
}

/// A reactor with connections that it has not accepted yet.
fn asked(count: usize) -> (Reactor, Vec<TcpStream>) {
    let mut reactor = Reactor::new().expect("two descriptors are left");
    let place = || Listen::at("127.0.0.1:0").backlog(4096);
    let places: Vec<SocketAddr> = (0..count.div_ceil(EACH))
        .filter_map(|_| {
            let listener = reactor.listen(place(), |_: Address| Silent).expect("a port is left");
            reactor.local_addr(listener)?.socket_addr()
        })
        .collect();
    let dial = |index| TcpStream::connect(places[index / EACH]).expect("enough descriptors");
    let clients = (0..count).map(dial).collect();
    (reactor, clients)
}

fn accept_all(reactor: &mut Reactor, count: usize) {
    while reactor.stats().accepted < count as u64 {
        reactor.turn(Some(Duration::from_secs(1))).expect("the poller works");
    }
}

fn connected(count: usize) -> (Reactor, Vec<TcpStream>) {
    let (mut reactor, clients) = asked(count);
    accept_all(&mut reactor, count);
    (reactor, clients)
}

#[divan::bench(args = counts(), sample_count = 10, sample_size = 1)]
fn accept(bencher: Bencher, count: usize) {
    bencher.counter(ItemsCount::new(count)).with_inputs(|| asked(count)).bench_local_values(
        |(mut reactor, clients)| {
            accept_all(&mut reactor, count);
            (reactor, clients)
        },
    );
}

#[divan::bench(args = counts(), sample_count = 10, sample_size = 1)]
fn broadcast(bencher: Bencher, count: usize) {
    bencher.counter(ItemsCount::new(count)).with_inputs(|| connected(count)).bench_local_values(
        |(mut reactor, clients)| {
            for id in reactor.connections() {
                if let Some(mut transport) = reactor.transport(id) {
                    transport.write(b"a message for all");
                }
            }
            reactor.turn(Some(Duration::ZERO)).expect("the poller works");
            (reactor, clients)
        },
    );
}

#[divan::bench(args = counts(), sample_count = 10, sample_size = 1)]
fn drop_all(bencher: Bencher, count: usize) {
    bencher.counter(ItemsCount::new(count)).with_inputs(|| connected(count)).bench_local_values(
        |(mut reactor, clients)| {
            for id in reactor.connections() {
                if let Some(mut transport) = reactor.transport(id) {
                    transport.abort_connection();
                }
            }
            reactor.turn(Some(Duration::ZERO)).expect("the poller works");
            assert_eq!(reactor.stats().closed, count as u64);
            (reactor, clients)
        },
    );
}
