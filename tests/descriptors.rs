//! Every descriptor is given back.
//!
//! A program of its own, with one test: it counts the descriptors of the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod util;

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use crocus::{Address, Connect, Connector, Factory, Protocol, Reactor, Reason, Transport};
use util::{Log, Recorder, World, bound, open_descriptors};

/// How often everything is done, and how many at once.
const ROUNDS: usize = 10;
const AT_ONCE: usize = 100;

/// A way for connections to end: its name, and the function that does it.
type Way = (&'static str, fn(&mut World));

/// Twisted's `test_buildProtocolReturnsNone` and the descriptor checks of its connection tests.
#[test]
fn a_thousand_ends_of_each_kind_leave_no_descriptor() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&"on purpose") {
            say(panic); // a thousand are on purpose, and nothing to read
        }
    }));
    let mut world = World::real();
    let before = open_descriptors();
    let ways: [Way; 10] = [
        ("accepted and closed by the peer", closed_by_the_peer),
        ("answered and closed in connection_made", closed_at_once),
        ("accepted and aborted", aborted),
        ("refused by the factory", refused),
        ("victims of a panic of the factory", panicked),
        ("queued when the listener stopped", queued),
        ("connects refused by the peer", connects_refused),
        ("connects that failed on our side", connects_failed),
        ("connects cancelled or timed out", connects_given_up),
        ("adopted and stopped", adopted),
    ];
    for (what, way) in ways {
        for _ in 0..ROUNDS {
            way(&mut world);
        }
        assert_eq!(open_descriptors(), before, "{AT_ONCE} times {ROUNDS} {what}");
    }
    drop(world);
    let without = open_descriptors();
    for _ in 0..AT_ONCE {
        full_reactor();
        assert_eq!(open_descriptors(), without, "a reactor dropped with everything in it");
    }
}

/// Has `AT_ONCE` clients served by a factory, waits until `done` counts as many ends, and takes the
/// listener away.
fn serve(
    world: &mut World,
    factory: impl Factory + 'static,
    mut behave: impl FnMut(TcpStream),
    done: impl Fn(&Reactor) -> usize,
) {
    let (id, addr) = world.listen(factory);
    let start = done(world.reactor());
    let clients: Vec<_> = (0..AT_ONCE).map(|_| TcpStream::connect(addr).unwrap()).collect();
    clients.into_iter().for_each(&mut behave);
    world.until("all to be gone", |world| done(world.reactor()) == start + AT_ONCE);
    stop(world, id);
}

fn stop(world: &mut World, id: crocus::ListenerId) {
    world.reactor().stop_listening(id);
    world.until("the listener to go", |world| world.reactor().local_addr(id).is_none());
}

fn closed(reactor: &Reactor) -> usize {
    usize::try_from(reactor.stats().closed).unwrap()
}

fn turned_away(reactor: &Reactor) -> usize {
    usize::try_from(reactor.stats().turned_away).unwrap()
}

fn failed(reactor: &Reactor) -> usize {
    usize::try_from(reactor.stats().failed).unwrap()
}

fn closed_by_the_peer(world: &mut World) {
    let log = Log::new();
    serve(world, move |_| Recorder::new(&log, "a"), drop, closed);
}

fn closed_at_once(world: &mut World) {
    let log = Log::new();
    let answer = |transport: &mut Transport| {
        assert!(transport.write(b"hi"));
        transport.lose_connection();
    };
    serve(world, move |_| Recorder::new(&log, "a").on_made(answer), drop, closed);
}

fn aborted(world: &mut World) {
    let log = Log::new();
    let abort = |transport: &mut Transport| transport.abort_connection();
    serve(world, move |_| Recorder::new(&log, "a").on_made(abort), drop, closed);
}

struct RefusesAll;

impl Factory for RefusesAll {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        None
    }
}

fn refused(world: &mut World) {
    serve(world, RefusesAll, drop, turned_away);
}

struct Panics;

impl Factory for Panics {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        panic!("on purpose");
    }
}

fn panicked(world: &mut World) {
    serve(world, Panics, drop, turned_away);
}

fn queued(world: &mut World) {
    let (id, addr) = world.listen(RefusesAll);
    world.reactor().pause_accepting(id);
    let clients: Vec<_> = (0..AT_ONCE).map(|_| TcpStream::connect(addr).unwrap()).collect();
    world.quiet();
    stop(world, id);
    drop(clients);
}

/// Never gets anywhere.
struct Client(Rc<Cell<usize>>);

impl Factory for Client {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        None
    }

    fn connection_failed(&mut self, _: &mut Connector, _: &Reason) {
        self.0.set(self.0.get() + 1);
    }
}

/// Has `AT_ONCE` attempts made, each of which has to fail.
fn fail(world: &mut World, mut attempt: impl FnMut(&mut Reactor, Client)) {
    let failures = Rc::new(Cell::new(0));
    let start = failed(world.reactor());
    for _ in 0..AT_ONCE {
        attempt(world.reactor(), Client(Rc::clone(&failures)));
    }
    world.until("all to fail", |_| failures.get() == AT_ONCE);
    assert_eq!(failed(world.reactor()), start + AT_ONCE);
    world.run().unwrap();
}

fn connects_refused(world: &mut World) {
    let (_held, addr) = bound([127, 0, 0, 1]); // bound, but it does not listen
    fail(world, |reactor, client| {
        reactor.connect(addr, client);
    });
}

fn connects_failed(world: &mut World) {
    let (_held, taken) = bound([127, 0, 0, 1]);
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = outside.local_addr().unwrap();
    let mut number = 0;
    fail(world, |reactor, client| {
        number += 1;
        let place = Connect::to(addr);
        let place = if number % 2 == 0 { place.local_addr(taken) } else { place };
        // By turns the local address cannot be had, and the client's factory refuses.
        reactor.connect(place, client);
    });
}

fn connects_given_up(world: &mut World) {
    // Its queue is full with a few, so that most of the others are not answered.
    let (socket, addr) = bound([127, 0, 0, 1]);
    socket.listen(0).unwrap();
    let mut number = 0;
    fail(world, |reactor, client| {
        number += 1;
        let place = Connect::to(addr).timeout(Duration::from_millis(5));
        let id = reactor.connect(place, client);
        if number % 2 == 0 {
            reactor.call_soon(move |reactor| {
                reactor.call_soon(move |reactor| {
                    reactor.call_soon(move |reactor| {
                        reactor.cancel_connect(id);
                    });
                });
            });
        }
    });
}

fn adopted(world: &mut World) {
    let log = Log::new();
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = outside.local_addr().unwrap();
    let copy = outside.try_clone().unwrap();
    let id = world.reactor().listen(copy, RefusesAll).unwrap();
    let start = closed(world.reactor());
    world.reactor().pause_accepting(id);
    for _ in 0..AT_ONCE {
        let stream = TcpStream::connect(addr).unwrap();
        let recorder = Recorder::new(&log, "a").on_made(|transport| transport.abort_connection());
        world.reactor().adopt(stream, recorder).unwrap();
    }
    world.until("all to be gone", |world| closed(world.reactor()) == start + AT_ONCE);
    stop(world, id);
}

/// A reactor with something of everything in it, dropped as it is.
fn full_reactor() {
    let log = Log::new();
    let mut world = World::real();
    let seen = log.clone();
    let (_, addr) = world.listen(move |_| Recorder::new(&seen, "s"));
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = world.dial(addr);
    let seen = log.clone();
    world.reactor().connect(addr, move |_| Recorder::new(&seen, "c"));
    world.until("connections", |_| log.count("s made") == 2 && log.count("c made") == 1);
    let _waiting = TcpStream::connect(addr).unwrap();
    let to = outside.local_addr().unwrap();
    world.reactor().connect(to, Client(Rc::default()));
    world.reactor().turn(Some(Duration::ZERO)).unwrap();
    world.reactor().connect(to, Client(Rc::default()));
    let taken = world.reactor().listen(addr, RefusesAll).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    drop(world);
    drop(far);
}
