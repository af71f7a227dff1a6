//! The cost of a call into user code, and of a turn with nothing to do.
//!
//! The simulation makes no system calls, not even for the time, so its figures show crocus alone.
//! The real reactor makes system calls in each turn, and reads the clock twice around each callback
//! unless `slow_callback` is off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crocus::testing::{Peer, Simulation};
use crocus::{Factory, Notice, Observer, Protocol, Reactor, Transport};
use divan::Bencher;

/// How many calls one turn gets when they are measured together.
const TOGETHER: usize = 1_000;

/// The message to an echo server: about a line.
const MESSAGE: [u8; 64] = [b'x'; 64];

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// Reads everything and writes nothing.
struct Discard;

impl Protocol for Discard {}

/// Watches, and does nothing with it.
struct Nothing;

impl Observer for Nothing {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        divan::black_box(notice);
    }
}

fn main() {
    divan::main();
}

mod empty_turn {
    use super::*;

    #[divan::bench]
    fn simulated(bencher: Bencher) {
        let mut simulation = Simulation::new();
        bencher.bench_local(|| simulation.turn());
    }

    /// One poll that does not wait.
    #[divan::bench]
    fn real(bencher: Bencher) {
        let mut reactor = real_reactor();
        bencher.bench_local(|| turn(&mut reactor));
    }
}

mod call_soon {
    use super::*;

    #[divan::bench]
    fn alone_simulated(bencher: Bencher) {
        alone(bencher, Simulation::new().reactor());
    }

    #[divan::bench]
    fn alone_real(bencher: Bencher) {
        alone(bencher, &mut real_reactor());
    }

    #[divan::bench(sample_count = 20, sample_size = 10_000)]
    fn of_a_thousand_simulated(bencher: Bencher) {
        together(bencher, Simulation::new().reactor());
    }

    #[divan::bench(sample_count = 20, sample_size = 10_000)]
    fn of_a_thousand_real(bencher: Bencher) {
        together(bencher, &mut real_reactor());
    }

    /// Without the clock readings.
    #[divan::bench(sample_count = 20, sample_size = 10_000)]
    fn of_a_thousand_real_untimed(bencher: Bencher) {
        let reactor = Reactor::builder().slow_callback(None).build();
        together(bencher, &mut reactor.expect("two descriptors are left"));
    }

    /// One call and one turn.
    fn alone(bencher: Bencher, reactor: &mut Reactor) {
        bencher.bench_local(|| {
            reactor.call_soon(|_| {});
            turn(reactor);
        });
    }

    /// One call, and a thousandth of a turn.
    fn together(bencher: Bencher, reactor: &mut Reactor) {
        let mut given = 0;
        bencher.bench_local(|| {
            reactor.call_soon(|_| {});
            given += 1;
            if given % TOGETHER == 0 {
                turn(reactor);
            }
        });
    }
}

/// Calls from another thread: each takes a lock, and the first before a turn wakes the reactor.
mod call_from_thread {
    use super::*;

    #[divan::bench]
    fn alone(bencher: Bencher) {
        let mut reactor = real_reactor();
        let handle = reactor.handle();
        bencher.bench_local(|| {
            handle.call_from_thread(|_| {});
            turn(&mut reactor);
        });
    }

    #[divan::bench(sample_count = 20, sample_size = 10_000)]
    fn of_a_thousand(bencher: Bencher) {
        let mut reactor = real_reactor();
        let handle = reactor.handle();
        let mut given = 0;
        bencher.bench_local(|| {
            handle.call_from_thread(|_| {});
            given += 1;
            if given % TOGETHER == 0 {
                turn(&mut reactor);
            }
        });
    }

    /// Asks a thread, which answers a sleeping reactor: two thread switches, mostly the system's
    /// cost.
    #[divan::bench(sample_count = 20, sample_size = 500)]
    fn there_and_back(bencher: Bencher) {
        let mut reactor = real_reactor();
        let handle = reactor.handle();
        let (ask, asked) = mpsc::channel();
        let thread = thread::spawn(move || {
            while asked.recv().is_ok() {
                handle.call_from_thread(|_| {});
            }
        });
        bencher.bench_local(|| {
            ask.send(()).expect("the thread is there");
            let wanted = reactor.stats().calls + 1;
            while reactor.stats().calls < wanted {
                reactor.turn(None).expect("the poller works");
            }
        });
        drop(ask);
        thread.join().expect("it does not panic");
    }
}

/// Messages to protocols.
///
/// In the simulation the figure includes sending and receiving at the far end, with an allocation
/// for each segment; `to_nobody` is the same without a callback that writes.
#[divan::bench_group(sample_count = 20, sample_size = 1_000)]
mod message {
    use super::*;

    #[divan::bench]
    fn to_nobody_simulated(bencher: Bencher) {
        let mut simulation = Simulation::new();
        let mut peer = simulation.connect(Discard);
        bencher.bench_local(|| {
            peer.send(&MESSAGE);
            simulation.turn();
        });
    }

    #[divan::bench]
    fn echoed_simulated(bencher: Bencher) {
        echo(bencher, Simulation::new());
    }

    /// The same with an observer that does nothing: what the notices cost.
    #[divan::bench]
    fn echoed_observed_simulated(bencher: Bencher) {
        let mut simulation = Simulation::new();
        simulation.reactor().set_observer(Some(Box::new(Nothing)));
        echo(bencher, simulation);
    }

    fn echo(bencher: Bencher, mut simulation: Simulation) {
        let mut peer = simulation.connect(Echo);
        simulation.settle();
        bencher.bench_local(|| {
            peer.send(&MESSAGE);
            simulation.turn();
            simulation.turn();
            assert_eq!(peer.receive(MESSAGE.len()).len(), MESSAGE.len());
        });
    }

    /// To a hundred connections; the figure is per message.
    #[divan::bench(sample_size = 10_000)]
    fn echoed_to_a_hundred_simulated(bencher: Bencher) {
        let mut simulation = Simulation::new();
        let mut peers: Vec<Peer> = (0..100).map(|_| simulation.connect(Echo)).collect();
        simulation.settle();
        let mut sent = 0;
        bencher.bench_local(|| {
            peers[sent].send(&MESSAGE);
            sent += 1;
            if sent == peers.len() {
                sent = 0;
                simulation.settle();
                peers.iter_mut().for_each(|peer| drop(peer.receive(MESSAGE.len())));
            }
        });
    }

    /// Over the loopback interface: at least four system calls on our side, and two on the other.
    #[divan::bench]
    fn echoed_real(bencher: Bencher) {
        let (mut reactor, mut client) = real_server(|_| Echo);
        let mut back = [0; MESSAGE.len()];
        bencher.bench_local(|| {
            client.write_all(&MESSAGE).expect("the server is there");
            let wanted = reactor.stats().bytes_written + MESSAGE.len() as u64;
            while reactor.stats().bytes_written < wanted {
                reactor.turn(None).expect("the poller works");
            }
            client.read_exact(&mut back).expect("it was sent");
        });
    }
}

fn real_reactor() -> Reactor {
    Reactor::new().expect("two descriptors are left")
}

/// A server and a connected client.
fn real_server(factory: impl Factory + 'static) -> (Reactor, TcpStream) {
    let mut reactor = real_reactor();
    let listener = reactor.listen("127.0.0.1:0", factory).expect("a port is left");
    let addr = reactor.local_addr(listener).and_then(|addr| addr.socket_addr());
    let client = TcpStream::connect(addr.expect("it listens")).expect("it listens");
    (reactor, client)
}

fn turn(reactor: &mut Reactor) {
    reactor.turn(Some(Duration::ZERO)).expect("the poller works");
}
