//! Outgoing connections that come back.

use std::net::SocketAddr;
use std::time::Duration;

use crate::util::{Log, MS, Recorder, RecordingClient, SECOND, World, tag};
use crocus::testing::{PeerListener, Simulation};
use crocus::{
    Address, Backoff, Connector, ConnectorId, Endpoint, Factory, Protocol, Reactor, Reason,
    Reconnecting,
};

const SERVER: &str = "127.0.0.1:80";

fn exact() -> Backoff {
    Backoff::new().jitter(false)
}

/// A client that comes back, and writes down what it hears.
fn client(simulation: &mut Simulation, log: &Log, backoff: Backoff) -> ConnectorId {
    let seen = log.clone();
    let build = move |_: Address| -> Option<Box<dyn Protocol>> {
        Some(Box::new(Recorder::new(&seen, "c")))
    };
    let inner = RecordingClient::new(log, "c", build);
    simulation.reactor().connect(SERVER, Reconnecting::new(inner, backoff))
}

/// When, in seconds from now on, the log gets another line that begins with `prefix`.
fn moments(simulation: &mut Simulation, log: &Log, prefix: &str, count: usize) -> Vec<u64> {
    let begin = simulation.elapsed();
    let mut moments = Vec::new();
    while moments.len() < count {
        let before = log.count(prefix);
        simulation.advance(SECOND);
        for _ in before..log.count(prefix) {
            moments.push((simulation.elapsed() - begin).as_secs());
        }
        assert!(simulation.elapsed() < Duration::from_secs(100_000), "{:#?}", log.lines());
    }
    moments
}

fn listen(simulation: &mut Simulation) -> PeerListener {
    simulation.listen(SERVER).unwrap()
}

/// Twisted's ClientService tests, without the first wait counted as a failure.
#[test]
fn the_waits_double_from_the_first_to_the_cap() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    client(&mut simulation, &log, exact());
    simulation.settle();
    assert_eq!(log.take(), ["c failed Failed(ConnectionRefused)"]);
    let failures = moments(&mut simulation, &log, "c failed", 9);
    let waits: Vec<u64> =
        std::iter::once(&0).chain(&failures).zip(&failures).map(|(a, b)| b - a).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

/// Twisted's #4734: jitter there comes after the cap and exceeds it.
#[test]
fn random_waits_never_exceed_the_limit() {
    let mut all = Vec::new();
    for seed in 0..50 {
        let mut simulation = Simulation::new();
        let log = Log::new();
        client(&mut simulation, &log, Backoff::new().max(8 * SECOND).seed(seed));
        simulation.settle();
        let mut last = simulation.elapsed();
        for limit in [1, 2, 4, 8, 8, 8] {
            let before = log.count("c failed");
            while log.count("c failed") == before {
                simulation.advance(Duration::from_millis(1));
            }
            let wait = simulation.elapsed() - last;
            last = simulation.elapsed();
            assert!(wait <= limit * SECOND + Duration::from_millis(1), "{wait:?} of {limit} s");
            all.push(wait.as_secs_f64() / f64::from(limit));
        }
    }
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    assert!((0.4..0.6).contains(&mean), "evenly spread would be 0.5, this is {mean}");
}

#[test]
fn a_connection_that_lasted_begins_the_waits_anew() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    client(&mut simulation, &log, exact());
    simulation.settle();
    assert_eq!(moments(&mut simulation, &log, "c failed", 3), [1, 3, 7]);
    let mut listener = listen(&mut simulation);
    assert_eq!(moments(&mut simulation, &log, "c made", 1), [8]);
    let peer = listener.accept().unwrap();
    simulation.advance(10 * SECOND);
    drop((peer, listener));
    simulation.settle();
    assert!(log.has("c owner lost PeerClosed"), "{:#?}", log.lines());
    assert_eq!(moments(&mut simulation, &log, "c failed", 2), [1, 3]);
}

#[test]
fn a_server_that_drops_clients_is_not_hammered() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut listener = listen(&mut simulation);
    client(&mut simulation, &log, exact());
    let mut gone = Vec::new();
    for _ in 0..6 {
        while listener.accept().map(drop).is_none() {
            simulation.advance(SECOND);
        }
        simulation.settle();
        gone.push(simulation.elapsed().as_secs());
    }
    let waits: Vec<u64> = gone.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16], "no connection lasted");
}

#[test]
fn the_limit_of_attempts_ends_it() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let connector = client(&mut simulation, &log, exact().max_attempts(3));
    simulation.reactor().run().unwrap();
    assert_eq!(log.take().len(), 3, "run returned, since nothing is left");
    assert_eq!(simulation.elapsed(), 3 * SECOND);
    assert!(simulation.reactor().endpoint(connector).is_none());
}

#[test]
fn a_loss_after_a_healthy_time_is_no_failure() {
    for max in [1, 3] {
        let mut simulation = Simulation::new();
        let log = Log::new();
        let mut listener = listen(&mut simulation);
        client(&mut simulation, &log, exact().max_attempts(max));
        simulation.settle();
        let peer = listener.accept().unwrap();
        simulation.advance(60 * SECOND);
        drop((peer, listener));
        simulation.reactor().run().unwrap();
        assert_eq!(log.count("c failed"), max as usize);
    }
}

/// Twisted's `test_stopServiceWhileRetrying`.
#[test]
fn given_up_while_it_waits_it_leaves_no_timer() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let connector = client(&mut simulation, &log, exact());
    simulation.settle();
    assert!(simulation.reactor().disconnect(connector));
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed Failed(ConnectionRefused)", "c failed Cancelled"]);
    assert_eq!(simulation.elapsed(), Duration::ZERO);
    assert!(!simulation.reactor().disconnect(connector), "it is over");
}

/// Twisted's `test_stopServiceWhileConnecting`.
#[test]
fn given_up_while_it_connects_the_attempt_is_cancelled() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    simulation.set_blackhole(SERVER.parse::<SocketAddr>().unwrap());
    let connector = client(&mut simulation, &log, exact());
    simulation.advance(SECOND);
    assert!(simulation.reactor().disconnect(connector));
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed Cancelled"]);
    assert_eq!(simulation.elapsed(), SECOND);
}

/// Its factory may want another at once, and a cancelled one has not failed.
#[test]
fn a_cancelled_attempt_counts_as_none_that_failed() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let factory = inner(&log).on_failed(|connector, reason| {
        if matches!(reason, Reason::Cancelled) {
            connector.connect();
        }
    });
    let client = Reconnecting::new(factory, exact().max_attempts(2));
    let connector = simulation.reactor().connect(SERVER, client);
    assert!(simulation.reactor().cancel_connect(connector));
    simulation.reactor().run().unwrap();
    assert_eq!(log.count("c failed Cancelled"), 1);
    assert_eq!(log.count("c failed Failed"), 2, "{:?}", log.lines());
}

/// Twisted's `test_stopTryingWhenConnected` and `test_stopServiceWhileDisconnecting`.
#[test]
fn given_up_while_connected_it_closes_in_order() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut listener = listen(&mut simulation);
    let connector = client(&mut simulation, &log, exact());
    simulation.settle();
    let mut peer = listener.accept().unwrap();
    assert!(simulation.reactor().disconnect(connector));
    assert!(simulation.reactor().disconnect(connector), "closing already");
    simulation.settle();
    assert_eq!(log.take(), ["c made"], "it waits for the peer");
    peer.close_write();
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c lost Closed", "c owner lost Closed"]);
    assert!(listener.accept().is_none());
}

#[test]
fn a_reactor_that_stops_is_not_connected_to_again() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let _listener = listen(&mut simulation);
    client(&mut simulation, &log, exact());
    simulation.settle();
    simulation.reactor().stop();
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c made", "c lost Stopped", "c owner lost Stopped"]);
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), [""; 0]);
}

/// A client with one attempt, which writes down when it gives up.
struct OneAttempt(Log);

impl Factory for OneAttempt {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Recorder::new(&self.0, "c")))
    }

    fn gave_up(&mut self, _: &mut Connector, reason: &Reason) {
        self.0.push(format!("c gave up {}", tag(reason)));
    }
}

/// crocus's own.
#[test]
fn one_that_is_not_wanted_any_more_does_not_give_up() {
    type End = fn(&mut Reactor, ConnectorId);
    let lost: End = |_, _| {};
    let disconnected: End = |reactor, connector| _ = reactor.disconnect(connector);
    let stopped: End = |reactor, _| reactor.stop();
    let shut_down: End = |reactor, _| reactor.shutdown(SECOND);
    for (end, gives_up) in [(lost, 1), (disconnected, 0), (stopped, 0), (shut_down, 0)] {
        let (mut simulation, log) = (Simulation::new(), Log::new());
        let mut listener = listen(&mut simulation);
        let client = Reconnecting::new(OneAttempt(log.clone()), exact().max_attempts(1));
        let connector = simulation.reactor().connect(SERVER, client);
        simulation.settle();
        end(simulation.reactor(), connector);
        simulation.settle();
        drop(listener.accept());
        simulation.reactor().run().unwrap();
        assert_eq!(log.count("c lost"), 1);
        assert_eq!(log.count("c gave up"), gives_up, "{:?}", log.lines());
    }
}

/// crocus's own.
#[test]
fn a_panic_of_its_factory_does_not_end_it() {
    let mut world = World::real();
    let (log, mut server) = (Log::new(), world.listen_outside());
    let factory = inner(&log).on_failed(|_, _| panic!("on purpose"));
    world.reactor().connect(server.addr(), Reconnecting::new(factory, exact().initial(MS)));
    for _ in 0..3 {
        world.accept(&mut server); // and refused
    }
    assert!(world.reactor().stats().panics >= 2);
}

/// crocus's own.
#[test]
fn what_can_never_be_connected_to_is_told_once() {
    let too_long = "x".repeat(200);
    for endpoint in [Endpoint::from("nonsense"), Endpoint::from("127.0.0.1:99999")] {
        for mut world in [World::real(), World::simulated()] {
            let log = Log::new();
            world.reactor().connect(endpoint.clone(), Reconnecting::new(inner(&log), exact()));
            world.run().unwrap(); // returns, since no attempt is to come
            assert_eq!(log.take(), ["c failed Failed(InvalidInput)"], "{endpoint}");
        }
    }
    #[cfg(unix)]
    {
        let (mut world, log) = (World::real(), Log::new());
        world
            .reactor()
            .connect(format!("unix:{too_long}"), Reconnecting::new(inner(&log), exact()));
        world.run().unwrap();
        assert_eq!(log.take(), ["c failed Failed(InvalidInput)"]);
    }
}

fn inner(log: &Log) -> RecordingClient<impl FnMut(Address) -> Option<Box<dyn Protocol>> + use<>> {
    RecordingClient::new(log, "c", |_: Address| -> Option<Box<dyn Protocol>> { None })
}

/// crocus's own.
#[test]
fn without_a_first_wait_all_attempts_come_at_once() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    client(&mut simulation, &log, exact().initial(Duration::ZERO).max_attempts(100));
    simulation.reactor().run().unwrap();
    assert_eq!(log.count("c failed"), 100);
    assert_eq!(simulation.elapsed(), Duration::ZERO);
}

/// crocus's own: random waits are the simulation's, whose seed decides everything.
#[test]
fn the_seed_of_a_simulation_decides_the_waits() {
    let waits = |seed| {
        let mut simulation = Simulation::with_seed(seed);
        let log = Log::new();
        client(&mut simulation, &log, Backoff::new().max_attempts(8));
        simulation.reactor().run().unwrap();
        assert_eq!(log.count("c failed"), 8);
        simulation.elapsed()
    };
    assert_eq!(waits(1), waits(1));
    assert_ne!(waits(1), waits(2));
}
