//! Limits: which clients are accepted, how many of them, and how many bytes per second pass.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::testing::{Peer, Simulation};
use crocus::{
    Address, Connect, Factory, Listen, ListenerId, Notice, Observer, Protocol, Rate, Reactor,
    SocketOptions, Transport,
};

use crate::util::{Echo, Log, MS, Recorder, World, pattern};

fn local() -> Listen {
    Listen::at("127.0.0.1:0")
}

fn listen(
    world: &mut World,
    place: Listen,
    factory: impl Factory + 'static,
) -> (ListenerId, SocketAddr) {
    let id = world.reactor().listen(place, factory).unwrap();
    (id, world.reactor().local_addr(id).unwrap().socket_addr().unwrap())
}

/// Counts what an observer hears of refusals.
struct Refusals(Rc<Cell<usize>>);

impl Observer for Refusals {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        assert!(!matches!(notice, Notice::CannotAccept { .. }), "{notice}");
        if matches!(notice, Notice::TurnedAway { .. }) {
            self.0.set(self.0.get() + 1);
        }
    }
}

fn count_refusals(world: &mut World) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    world.reactor().set_observer(Some(Box::new(Refusals(Rc::clone(&count)))));
    count
}

both! {
    fn a_closure_refuses_by_none(world) {
        let refusals = count_refusals(world);
        let log = Log::new();
        let (seen, open) = (log.clone(), Rc::new(Cell::new(false)));
        let door = Rc::clone(&open);
        let (id, addr) = listen(world, local(), move |peer: Address| {
            assert!(peer.ip().is_some());
            door.get().then(|| Recorder::new(&seen, "a"))
        });
        let mut refused = world.dial(addr);
        world.until("the refusal", |_| refusals.get() == 1);
        assert!(world.read_to_end(&mut refused).0.is_empty());
        assert_eq!((log.len(), world.reactor().stats().turned_away), (0, 1));
        open.set(true);
        let welcome = world.dial(addr);
        world.until("it to be made", |_| log.has("a made"));
        assert_eq!(world.reactor().connection_count(id), Some(1));
        drop(welcome);
        world.until("the loss", |_| log.has("a lost PeerClosed"));
        assert_eq!(refusals.get(), 1);
    }
}

both! {
    /// Twisted's `LimitConnectionsByPeer`, `testConnectionLimiting`.
    fn a_peer_has_so_many_connections_and_others_have_theirs(world) {
        let refusals = count_refusals(world);
        let log = Log::new();
        let seen = log.clone();
        let place = local().max_connections_per_peer(2);
        let (id, addr) = listen(world, place, move |peer: Address| {
            Recorder::new(&seen, &format!("{}", peer.ip().unwrap()))
        });
        let one = world.dial(addr);
        let _two = world.dial(addr);
        world.until("both to be made", |world| world.reactor().connection_count(id) == Some(2));
        let mut three = world.dial(addr);
        world.until("the refusal", |_| refusals.get() == 1);
        assert!(world.read_to_end(&mut three).0.is_empty());
        // From another address.
        let place = Connect::to(addr).local_addr("127.0.0.2:0".parse().unwrap());
        struct Plain;
        impl Protocol for Plain {}
        world.reactor().connect(place, |_| Plain);
        world.until("the other", |world| world.reactor().connection_count(id) == Some(3));
        assert_eq!((log.count("127.0.0.2 made"), refusals.get()), (1, 1));
        drop(one);
        world.until("one to go", |world| world.reactor().connection_count(id) == Some(2));
        let _four = world.dial(addr);
        world.until("room for another", |world| world.reactor().connection_count(id) == Some(3));
        assert_eq!(refusals.get(), 1);
        world.reactor().stop();
        world.turn();
    }
}

both! {
    /// Twisted's `testConnectionCounting`: also with a factory that refuses or fails.
    fn a_client_refused_by_the_factory_does_not_count(world) {
        struct Refuses;

        impl Factory for Refuses {
            fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
                None
            }
        }

        let refusals = count_refusals(world);
        let place = local().max_connections_per_peer(1);
        let (id, addr) = listen(world, place, Rc::new(RefCell::new(Refuses)));
        for count in 1..4 {
            let mut far = world.dial(addr);
            world.until("the refusal", |_| refusals.get() == count);
            assert!(world.read_to_end(&mut far).0.is_empty());
        }
        assert_eq!(world.reactor().connection_count(id), Some(0));
    }
}

/// An IPv4 peer of an IPv6 listener is the same as that of another one.
#[test]
fn an_ipv4_peer_written_as_ipv6_is_counted_as_one() {
    let world = &mut World::real();
    let refusals = count_refusals(world);
    let place = Listen::at("[::]:0")
        .max_connections_per_peer(1)
        .socket(SocketOptions::new().v6_only(false));
    struct Plain;
    impl Protocol for Plain {}
    let Ok(id) = world.reactor().listen(place, |_| Plain) else {
        return; // a machine without IPv6
    };
    let port = world.reactor().local_addr(id).unwrap().port().unwrap();
    let _one = world.dial(SocketAddr::from(([127, 0, 0, 1], port)));
    world.until("the first", |world| world.reactor().connection_count(id) == Some(1));
    let _two = world.dial(SocketAddr::from(([127, 0, 0, 1], port)));
    world.until("the refusal", |_| refusals.get() == 1);
}

both! {
    /// Twisted's `test_readLimit` and `test_writeLimit`. However slow the machine, it is not faster.
    fn an_echo_at_a_rate_takes_its_time(world) {
        const LENGTH: usize = 30_000;

        let rate = Rate::per_second(100_000).burst(5_000);
        for place in [local().read_rate(rate), local().write_rate(rate)] {
            let (_, addr) = listen(world, place, |_| Echo);
            let begin = world.reactor().now();
            let mut far = world.dial(addr);
            let all = pattern(LENGTH);
            world.send(&mut far, &all);
            assert!(world.read(&mut far, LENGTH) == all);
            let took = world.reactor().now() - begin;
            assert!(took >= 249 * MS, "{took:?}");
        }
    }
}

/// A simulated connection that counts what it is given, with a peer that sends all it can.
fn counted(simulation: &mut Simulation, rate: Option<Rate>) -> (Peer, Rc<Cell<usize>>) {
    struct Count(Rc<Cell<usize>>, Option<Rate>);

    impl Protocol for Count {
        fn connection_made(&mut self, transport: &mut Transport) {
            assert_eq!(transport.set_read_rate(self.1), None);
        }

        fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
            self.0.set(self.0.get() + data.len());
        }
    }

    let got = Rc::new(Cell::new(0));
    let mut peer = simulation.connect(Count(Rc::clone(&got), rate));
    peer.send(&pattern(60_000));
    (peer, got)
}

#[test]
fn reading_at_a_rate_follows_the_clock() {
    let mut simulation = Simulation::new();
    let (peer, got) = counted(&mut simulation, Some(Rate::per_second(20_000).burst(4_000)));
    let turns_before = simulation.reactor().stats().turns;
    simulation.settle();
    assert_eq!(got.get(), 4_000, "the burst, at once");
    for ms in 1..=2_800u32 {
        simulation.advance(MS);
        let earned = 4_000 + 20 * ms as usize;
        assert!(got.get() <= earned, "{} after {ms} ms", got.get());
        // A twentieth of a second's worth is waited for.
        assert!(got.get() + 1_000 >= earned.min(60_000), "{} after {ms} ms", got.get());
    }
    assert_eq!(got.get(), 60_000);
    // `advance` takes a turn or two for each millisecond by itself; a portion takes two more.
    let turns = simulation.reactor().stats().turns - turns_before;
    assert!(turns < 2 * 2_800 + 4 * 60, "{turns} turns");
    drop(peer);
}

/// Nothing is polled and nothing tried: `run` sleeps from one portion to the next.
#[test]
fn a_throttled_connection_takes_few_turns_per_portion() {
    let rate = Rate::per_second(20_000).burst(1_000);
    let mut simulation = Simulation::new();
    let (peers, counts): (Vec<_>, Vec<_>) =
        (0..3).map(|_| counted(&mut simulation, Some(rate))).unzip();
    simulation.reactor().call_later(Duration::from_secs(2), Reactor::stop);
    simulation.reactor().run().unwrap();
    let got: usize = counts.iter().map(|got| got.get()).sum();
    let wanted = 3 * 41_000;
    assert!(got <= wanted && got + 3_000 >= wanted, "{got}");
    let turns = simulation.reactor().stats().turns;
    // A portion is half the burst: eighty of them.
    assert!(turns < 80 * 10, "{turns} turns");
    drop(peers);
}

/// Twisted's `test_limit`: lifting the limit goes on at once and leaves no timers.
#[test]
fn a_lifted_limit_counts_at_once_and_leaves_no_timer() {
    let slow = Rate::per_second(100);
    let mut simulation = Simulation::new();
    let (peer, got) = counted(&mut simulation, Some(slow));
    let (other_peer, other) = counted(&mut simulation, Some(slow));
    simulation.settle();
    assert!(simulation.reactor().next_deadline().is_some(), "somebody waits");
    let ids = simulation.reactor().connections();
    simulation.reactor().transport(ids[1]).unwrap().abort_connection();
    simulation.settle();
    let before = got.get() + other.get();
    assert!(before <= 20, "{before}");
    let mut transport = simulation.reactor().transport(ids[0]).unwrap();
    assert_eq!(transport.set_read_rate(None), Some(slow));
    simulation.settle();
    assert_eq!(got.get().max(other.get()), 60_000);
    drop((peer, other_peer));
    let begin = simulation.elapsed();
    simulation.reactor().run().unwrap();
    assert!(simulation.elapsed() == begin, "it waited for nobody");
}

/// Connections that wait end, and their timers with them.
#[test]
fn no_timer_outlives_those_who_wait() {
    let slow = Rate::per_second(10).burst(1);
    let mut simulation = Simulation::new();
    let held: Vec<_> = (0..3).map(|_| counted(&mut simulation, Some(slow))).collect();
    simulation.settle();
    for id in simulation.reactor().connections() {
        simulation.reactor().transport(id).unwrap().abort_connection();
    }
    simulation.settle();
    assert_eq!(simulation.reactor().next_deadline(), None);
    drop(held);
}

/// Says much, and closes.
struct Flood(usize, Rate, Log);

impl Protocol for Flood {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.set_write_rate(Some(self.1));
        transport.set_close_timeout(Duration::from_secs(2));
        transport.write(&pattern(self.0));
        transport.lose_connection();
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &crocus::Reason) {
        self.2.push(crate::util::tag(reason));
    }
}

#[test]
fn closing_is_throttled_too_and_its_deadline_waits_for_progress() {
    let rate = Rate::per_second(10_000).burst(1_000);
    let log = Log::new();
    let mut simulation = Simulation::new();
    let mut far = simulation.connect(Flood(15_000, rate, log.clone()));
    simulation.advance(1_300 * MS);
    let early = far.received().len();
    assert!((13_000..=14_000).contains(&early), "{early}");
    simulation.advance(200 * MS);
    assert_eq!(early + far.received().len(), 15_000);
    drop(far);
    simulation.settle();
    assert_eq!(log.take(), ["Closed"]);

    let mut far = simulation.connect(Flood(200_000, rate, log.clone()));
    simulation.advance(4_000 * MS);
    assert_eq!(log.len(), 0, "it takes as much as it gets");
    simulation.advance(5_000 * MS);
    assert_eq!(log.take(), ["CloseTimedOut"], "its window is full, and it does not read");
    assert_eq!(far.received().len(), 65_536);
    assert!(simulation.reactor().connections().is_empty());
}

both! {
    /// A protocol may set it with each piece of data: what has passed counts all the same.
    fn a_rate_set_again_allows_no_further_burst(world) {
        let total = Rc::new(Cell::new(0));
        let (seen, mut rate) = (Rc::clone(&total), 1000);
        let (log, mut far) = world.served("a", |a| a.on_data(move |transport, data| {
            seen.set(seen.get() + data.len());
            transport.set_read_rate(Some(Rate::per_second(rate).burst(100)));
            rate = 2001 - rate; // and with another one
        }));
        far.send(&[0; 200]);
        world.until("the first", |_| total.get() > 0);
        let first = total.get();
        let begun = Instant::now();
        let simulated = |world: &mut World| match world {
            World::Real(_) => begun.elapsed(),
            World::Simulated(simulation) => simulation.elapsed(),
        };
        let begin = simulated(world);
        world.until("more", |world| {
            far.send(&[0; 20_000]);
            let most = 102 + 1001 * (simulated(world) - begin).as_millis() as usize / 1000;
            assert!(total.get() - first <= most + 1, "{} of {most}", total.get() - first);
            world.pass(MS);
            total.get() - first >= 300
        });
        assert_eq!(log.lines(), ["a made"]);
    }
}

/// By the time of the turn, a callback that works for long before a read would earn two bursts.
#[test]
fn work_before_a_read_earns_no_second_burst() {
    let mut simulation = Simulation::new();
    let (log, clock) = (Log::new(), simulation.clock());
    let mut far = simulation.connect(Recorder::new(&log, "a").on_made(move |transport| {
        transport.set_read_rate(Some(Rate::per_second(1000).burst(100)));
        clock.advance(100 * MS); // a burst's worth
    }));
    far.send(&[0; 1000]);
    simulation.settle();
    let read = simulation.reactor().stats().bytes_read;
    assert_eq!((read, simulation.elapsed()), (100, 100 * MS));
    simulation.advance(100 * MS);
    assert_eq!(simulation.reactor().stats().bytes_read, 200);
}

/// An empty bucket holds up bytes, and nothing else.
#[test]
fn a_throttled_connection_hears_everything_but_data() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let a = Recorder::new(&log, "a").with_data().on_made(|transport| {
        transport.set_read_rate(Some(Rate::per_second(10).burst(4)));
        transport.call_later(5 * MS);
    });
    let mut far = simulation.connect(a);
    simulation.settle();
    far.send(b"1234567890");
    simulation.settle();
    assert_eq!(log.take(), ["a made", "a data 1234"]);
    simulation.advance(5 * MS);
    assert_eq!(log.take(), ["a timer"]);
    let id = simulation.reactor().connections()[0];
    simulation.reactor().transport(id).unwrap().write(b"hello");
    simulation.settle();
    assert_eq!(far.received(), b"hello");
    // Another protocol takes over, and what was read already is free.
    let b = Recorder::new(&log, "b").with_data();
    assert!(log.hand_over(&mut simulation.reactor().transport(id).unwrap(), b, b"unused"));
    simulation.settle();
    assert_eq!(log.take(), ["a replaced", "b made", "b data unused"]);
    // Pausing and resuming does not let anybody past.
    let mut transport = simulation.reactor().transport(id).unwrap();
    transport.pause_reading();
    transport.resume_reading();
    simulation.settle();
    assert_eq!(log.len(), 0);
    simulation.reactor().transport(id).unwrap().pause_reading();
    simulation.advance(Duration::from_secs(10));
    assert_eq!(log.len(), 0);
    simulation.reactor().transport(id).unwrap().resume_reading();
    simulation.settle();
    assert_eq!(log.take(), ["b data 5678"]);
    far.reset();
    simulation.settle();
    assert_eq!(log.take(), ["b lost Failed(ConnectionReset)"]);
}

/// The end waits behind the bytes, and what comes after closing is thrown away unpaid.
#[test]
fn the_end_comes_behind_the_last_bytes() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let slow = |transport: &mut Transport| {
        transport.set_read_rate(Some(Rate::per_second(100).burst(10)));
    };
    let mut far = simulation.connect(Recorder::new(&log, "a").with_data().on_made(slow));
    simulation.settle();
    far.send(b"12345678901234567890");
    far.close_write();
    simulation.settle();
    assert_eq!(log.take(), ["a made", "a data 1234567890"]);
    simulation.advance(Duration::from_secs(1));
    assert_eq!(log.take(), ["a data 1234567890", "a eof", "a lost PeerClosed"]);

    let mut far = simulation.connect(Recorder::new(&log, "b").on_made(move |transport| {
        slow(transport);
        transport.lose_connection();
    }));
    simulation.turn();
    far.send(&pattern(10_000));
    far.close_write();
    simulation.settle();
    assert_eq!(log.take(), ["b made", "b lost Closed"]);
}

/// While it waits for its turn a connection may be idle for too long.
#[test]
fn waiting_for_the_bucket_is_no_activity() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut far = simulation.connect(Recorder::new(&log, "a").with_data().on_made(|transport| {
        transport.set_read_rate(Some(Rate::per_second(1).burst(2)));
        transport.set_timeout(Some(900 * MS));
    }));
    far.send(b"1234");
    simulation.advance(899 * MS);
    assert_eq!(log.take(), ["a made", "a data 12"]);
    simulation.advance(MS);
    assert_eq!(log.take(), ["a timed out"]);
    drop(far);
    simulation.advance(MS);
    assert_eq!(log.take(), ["a lost TimedOut"]);
}

#[test]
fn one_seed_gives_one_history_of_throttled_connections() {
    let history = || {
        let mut simulation = Simulation::with_seed(7);
        simulation.set_cut(crocus::testing::Cut::Random(900));
        let held: Vec<_> =
            (0..5).map(|i| counted(&mut simulation, Some(Rate::per_second(4_000 * i)))).collect();
        let mut seen = Vec::new();
        for _ in 0..50 {
            simulation.advance(37 * MS);
            seen.extend(held.iter().map(|(_, got)| got.get()));
        }
        (seen, simulation.reactor().stats())
    };
    assert_eq!(history(), history());
}

/// One throttled connection takes nothing from the others.
#[test]
fn the_others_go_on_at_their_own_pace() {
    let mut world = World::real();
    let rate = Rate::per_second(1_000);
    let slow = local().read_rate(rate);
    let log = Log::new();
    let (seen, also) = (log.clone(), log.clone());
    let (_, throttled) = listen(&mut world, slow, move |_| Recorder::new(&seen, "slow"));
    let (_, free) = listen(&mut world, local(), move |_| {
        let mut got = 0;
        let log = also.clone();
        Recorder::new(&also, "free").on_data(move |_, data| {
            got += data.len();
            if got == 1 << 20 {
                log.push("all");
            }
        })
    });
    let mut held = world.dial(throttled);
    held.send(&pattern(100_000));
    let mut far = world.dial(free);
    let begin = Instant::now();
    world.send(&mut far, &pattern(1 << 20));
    world.until("all of it", |_| log.has("all"));
    assert!(begin.elapsed() < Duration::from_secs(50));
    drop((far, held));
    world.reactor().stop();
    world.turn();
}
