//! Listening and accepting.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::util::{Far, Log, Recorder, World, logged};
use crocus::testing::{End, Simulation};
use crocus::{
    Address, Factory, Listen, ListenerId, Notice, Observer, Protocol, Reactor, ReactorBuilder,
    SocketOptions, Transport,
};

/// How long a listener rests for want of a descriptor, if none of the reactor's is closed before.
const RETRY: Duration = Duration::from_millis(100);

type OnStarted = Box<dyn FnMut(&mut Reactor, ListenerId)>;
type Build = Box<dyn FnMut(usize, Recorder) -> Option<Recorder>>;

/// A factory that writes `started` and `stopped` into the log, and makes recorders named after
/// their number: `1 made`, `2 made`, ….
struct Hooked {
    log: Log,
    count: usize,
    build: Build,
    on_started: OnStarted,
    on_stopped: Box<dyn FnMut(&mut Reactor)>,
}

impl Hooked {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            count: 0,
            build: Box::new(|_, recorder| Some(recorder)),
            on_started: Box::new(|_, _| {}),
            on_stopped: Box::new(|_| {}),
        }
    }

    fn build(mut self, build: impl FnMut(usize, Recorder) -> Option<Recorder> + 'static) -> Self {
        self.build = Box::new(build);
        self
    }

    /// Each connection is told `hi` and stays.
    fn greeting(self) -> Self {
        self.build(|_, recorder| Some(recorder.on_made(greet)))
    }

    fn on_started(mut self, then: impl FnMut(&mut Reactor, ListenerId) + 'static) -> Self {
        self.on_started = Box::new(then);
        self
    }

    fn on_stopped(mut self, then: impl FnMut(&mut Reactor) + 'static) -> Self {
        self.on_stopped = Box::new(then);
        self
    }
}

impl Factory for Hooked {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        self.count += 1;
        let recorder = Recorder::new(&self.log, &self.count.to_string());
        (self.build)(self.count, recorder).map(|recorder| Box::new(recorder) as _)
    }

    fn started(&mut self, reactor: &mut Reactor, listener: ListenerId) {
        self.log.push("started");
        (self.on_started)(reactor, listener);
    }

    fn stopped(&mut self, reactor: &mut Reactor, _: ListenerId) {
        self.log.push("stopped");
        (self.on_stopped)(reactor);
    }
}

/// Writes `hi`.
fn greet(transport: &mut Transport) {
    assert!(transport.write(b"hi"));
}

/// Writes what it is sent.
fn echo(transport: &mut Transport, data: &[u8]) {
    assert!(transport.write(data));
}

/// How many connections the log says were made.
fn made(log: &Log) -> usize {
    log.lines().iter().filter(|line| line.ends_with(" made")).count()
}

fn dial_many(world: &mut World, addr: SocketAddr, count: usize) -> Vec<Far> {
    (0..count).map(|_| world.dial(addr)).collect()
}

/// Waits until the listeners of this world have started.
fn start(world: &mut World, log: &Log) {
    world.until("the listener to start", |_| log.has("started"));
}

/// Whether an attempt to connect is refused. Its address is a listener's no more.
fn is_refused(world: &mut World, addr: SocketAddr) -> bool {
    match world {
        World::Real(_) => {
            TcpStream::connect(addr).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
        }
        World::Simulated(simulation) => {
            let mut peer = simulation.dial(addr);
            simulation.settle();
            peer.end() == Some(End::Failed(ErrorKind::ConnectionRefused))
        }
    }
}

/// Notes what the observer hears of refusals: the errno, or 0 for a factory's.
struct Refusals(Rc<RefCell<Vec<i32>>>);

impl Observer for Refusals {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        self.0.borrow_mut().push(match notice {
            Notice::TurnedAway { .. } => 0,
            Notice::CannotAccept { error, .. } => error.raw_os_error().unwrap(),
            _ => return,
        });
    }
}

// Binding.

both! {
    /// Twisted's `test_portGetHostOnIPv4`, `test_listen`.
    fn port_zero_gives_a_usable_address_at_once(world) {
        let log = Log::new();
        let id = world.reactor().listen("127.0.0.1:0", Hooked::new(&log).greeting()).unwrap();
        let addr = world.reactor().local_addr(id).unwrap();
        assert_ne!(addr.port(), Some(0));
        assert_eq!(addr.ip(), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(log.len(), 0, "nothing is called from within listen");
        let mut far = world.dial(addr.socket_addr().unwrap());
        assert_eq!(world.read(&mut far, 2), b"hi");
        assert_eq!(log.take(), ["started", "1 made"]);
    }
}

both! {
    /// Twisted's `test_cannotBind`, `test_listenFailure`.
    fn a_taken_port_fails_at_once_with_address_and_cause(world) {
        let log = Log::new();
        let outside = world.listen_outside();
        let error = world.reactor().listen(outside.addr(), Hooked::new(&log)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&outside.addr().to_string()), "{error}");
        let cause = std::error::Error::source(&error).unwrap();
        let cause = cause.downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.kind(), ErrorKind::AddrInUse);
        if world.is_real() {
            assert_eq!(cause.raw_os_error(), Some(libc::EADDRINUSE));
        }
        world.run().unwrap(); // there is nothing to wait for
        assert_eq!(log.len(), 0);
    }
}

both! {
    /// crocus's own.
    fn listening_at_no_address_is_invalid_input_at_once(world) {
        let texts = ["nonsense", "localhost:80", "127.0.0.256:80", "127.0.0.1:99999", "", "::1:80"];
        for text in texts {
            let error = world.reactor().listen(text, Hooked::new(&Log::new())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
            assert!(error.to_string().contains(text), "{error}");
        }
        world.run().unwrap();
    }
}

/// crocus's own.
#[test]
fn listening_at_an_address_of_another_machine_fails_at_once() {
    let mut reactor = Reactor::new().unwrap();
    let error = reactor.listen("192.0.2.1:0", Hooked::new(&Log::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

// Starting and stopping.

both! {
    /// Twisted's `test_serverStartStop`; in crocus each listener starts and stops what it shares.
    fn each_listener_starts_and_stops_a_shared_factory_once(world) {
        let log = Log::new();
        let shared = Rc::new(RefCell::new(Hooked::new(&log)));
        let (first, first_addr) = world.listen(Rc::clone(&shared));
        let (second, second_addr) = world.listen(Rc::clone(&shared));
        let _fars = [world.dial(first_addr), world.dial(second_addr)];
        world.until("both to be served", |_| made(&log) == 2);
        assert_eq!(shared.borrow().count, 2, "both listeners use the one factory");
        assert_eq!(log.count("started"), 2);
        assert!(world.reactor().stop_listening(first));
        world.until("the notice", |_| log.has("stopped"));
        world.quiet();
        assert_eq!(log.count("stopped"), 1);
        assert!(world.reactor().stop_listening(second));
        world.until("the notice", |_| log.count("stopped") == 2);
        world.quiet();
        assert_eq!((log.count("started"), log.count("stopped")), (2, 2));
        let (_, again) = world.listen(Rc::clone(&shared));
        let _far = world.dial(again);
        world.until("the third", |_| log.has("3 made"));
        assert_eq!((log.count("started"), log.count("stopped")), (3, 2));
    }
}

both! {
    /// Twisted's `test_serverStartStop`.
    fn started_comes_first_and_stopped_last_once_each(world) {
        let log = Log::new();
        let bound = Rc::new(Cell::new(None));
        let seen = Rc::clone(&bound);
        let hooked = Hooked::new(&log)
            .on_started(move |reactor, id| seen.set(reactor.local_addr(id).unwrap().socket_addr()));
        let (id, addr) = world.listen(hooked);
        let mut far = world.dial(addr);
        world.until("the connection", |_| log.has("1 made"));
        far.close_write();
        world.until("the loss", |_| log.has("1 lost PeerClosed"));
        assert_eq!(bound.get(), Some(addr));
        assert!(world.reactor().stop_listening(id));
        assert_eq!(log.count("stopped"), 0, "notices come from the loop");
        assert!(world.reactor().local_addr(id).is_some(), "until the factory heard");
        world.until("the notice", |_| log.has("stopped"));
        world.quiet();
        assert_eq!(log.take(), ["started", "1 made", "1 eof", "1 lost PeerClosed", "stopped"]);
        assert_eq!(world.reactor().local_addr(id), None);
    }
}

both! {
    /// Twisted's `test_serverStartStop`.
    fn a_listener_stopped_before_any_turn_hears_nothing(world) {
        let log = Log::new();
        let (id, addr) = world.listen(Hooked::new(&log));
        assert!(world.reactor().stop_listening(id));
        world.quiet();
        assert_eq!(log.len(), 0);
        assert!(is_refused(world, addr));
    }
}

both! {
    /// crocus's own.
    fn a_listener_may_be_stopped_by_its_own_start_hook(world) {
        let log = Log::new();
        let hooked = Hooked::new(&log).on_started(|reactor, id| {
            assert!(reactor.stop_listening(id));
            assert!(!reactor.stop_listening(id));
        });
        let (_, addr) = world.listen(hooked);
        world.until("the notice", |_| log.has("stopped"));
        world.quiet();
        assert_eq!(log.take(), ["started", "stopped"]);
        assert!(is_refused(world, addr));
    }
}

both! {
    /// Twisted's `test_serverStartStop`, for a stop of the reactor.
    fn a_stop_of_the_reactor_stops_its_listeners_once(world) {
        let log = Log::new();
        let (id, addr) = world.listen(Hooked::new(&log));
        let _far = world.dial(addr);
        world.until("a connection", |_| log.has("1 made"));
        world.reactor().stop();
        world.turn();
        assert_eq!(log.take(), ["started", "1 made", "1 lost Stopped", "stopped"]);
        assert!(!world.reactor().stop_listening(id));
        world.quiet();
        assert_eq!(log.len(), 0);
    }
}

both! {
    /// crocus's own.
    fn dropping_the_reactor_stops_its_listeners_once(world) {
        let log = Log::new();
        let mut other = world.with_limits(Reactor::builder());
        other.listen(Hooked::new(&log));
        start(&mut other, &log);
        drop(other);
        assert_eq!(log.take(), ["started", "stopped"]);
    }
}

both! {
    /// Twisted's `test_restartListening`.
    fn the_stop_hook_may_listen_at_the_same_address_again(world) {
        let log = Log::new();
        let addr = Rc::new(Cell::new(None));
        let (again, port) = (log.clone(), Rc::clone(&addr));
        let hooked = Hooked::new(&log).greeting().on_stopped(move |reactor| {
            let port: SocketAddr = port.get().unwrap();
            reactor.listen(port, Hooked::new(&again).greeting()).unwrap();
        });
        let (id, bound) = world.listen(hooked);
        addr.set(Some(bound));
        let mut before = world.dial(bound);
        assert_eq!(world.read(&mut before, 2), b"hi");
        assert!(world.reactor().stop_listening(id));
        world.until("the second start", |_| log.count("started") == 2);
        let mut after = world.dial(bound);
        assert_eq!(world.read(&mut after, 2), b"hi");
        assert_eq!(log.take(), ["started", "1 made", "stopped", "started", "1 made"]);
    }
}

/// Twisted's `test_exceptInStop`, `test_restartAfterExcept`.
#[test]
fn a_panic_in_stopped_leaves_the_address_free() {
    let log = Log::new();
    let mut world = World::real();
    let (id, addr) = world.listen(Hooked::new(&log).on_stopped(|_| panic!("on purpose")));
    start(&mut world, &log);
    assert!(world.reactor().stop_listening(id));
    world.until("the notice", |_| log.has("stopped"));
    assert_eq!(world.reactor().stats().panics, 1);
    assert_eq!(world.reactor().local_addr(id), None);
    world.reactor().listen(addr, Hooked::new(&log).greeting()).unwrap();
    let mut far = world.dial(addr);
    assert_eq!(world.read(&mut far, 2), b"hi");
    assert_eq!(log.take(), ["started", "stopped", "started", "1 made"]);
}

/// crocus's own: a bug in a hook is no reason not to serve.
#[test]
fn a_listener_whose_start_hook_panicked_serves_all_the_same() {
    let log = Log::new();
    let mut world = World::real();
    let (_, addr) =
        world.listen(Hooked::new(&log).greeting().on_started(|_, _| panic!("on purpose")));
    let mut far = world.dial(addr);
    assert_eq!(world.read(&mut far, 2), b"hi");
    assert_eq!(log.take(), ["started", "1 made"]);
}

both! {
    /// crocus's own; in Twisted the second stop fails.
    fn stopping_twice_is_harmless_and_says_so(world) {
        let log = Log::new();
        let (id, _) = world.listen(Hooked::new(&log));
        start(world, &log);
        assert!(world.reactor().stop_listening(id));
        assert!(!world.reactor().stop_listening(id));
        assert!(!world.reactor().pause_accepting(id));
        assert!(!world.reactor().resume_accepting(id));
        world.quiet();
        assert!(!world.reactor().stop_listening(id));
        assert!(!world.reactor().pause_accepting(id));
        assert!(!world.reactor().resume_accepting(id));
        assert_eq!(world.reactor().connection_count(id), None);
        assert_eq!(log.take(), ["started", "stopped"]);
    }
}

both! {
    /// crocus's own.
    fn an_old_listener_id_does_not_reach_its_successor(world) {
        let log = Log::new();
        let (old, _) = world.listen(Hooked::new(&log));
        start(world, &log);
        world.reactor().stop_listening(old);
        world.until("the notice", |_| log.has("stopped"));
        let (new, addr) = world.listen(Hooked::new(&log).greeting());
        assert_ne!(old, new);
        assert!(!world.reactor().stop_listening(old));
        assert!(!world.reactor().pause_accepting(old));
        let mut far = world.dial(addr);
        assert_eq!(world.read(&mut far, 2), b"hi");
    }
}

both! {
    /// crocus's own: in Twisted it is CannotListenError, since the port closes later.
    fn stopping_frees_the_port_for_the_same_callback(world) {
        let log = Log::new();
        let (id, addr) = world.listen(Hooked::new(&log).greeting());
        let mut open = world.dial(addr); // so that there is a connection of the port's former life
        assert_eq!(world.read(&mut open, 2), b"hi");
        let seen = log.clone();
        world.reactor().call_soon(move |reactor| {
            assert!(reactor.stop_listening(id));
            let again = reactor.listen(addr, Hooked::new(&seen).greeting());
            seen.push(format!("bound {}", again.is_ok()));
        });
        world.until("the call", |_| log.count("bound") == 1);
        assert!(log.has("bound true"), "{:?}", log.lines());
        let mut far = world.dial(addr);
        assert_eq!(world.read(&mut far, 2), b"hi");
    }
}

both! {
    /// crocus's own.
    fn a_stopped_listener_resets_clients_in_its_queue(world) {
        let log = Log::new();
        let (id, addr) = world.listen(Hooked::new(&log));
        start(world, &log);
        world.reactor().pause_accepting(id);
        let mut fars = dial_many(world, addr, 3);
        world.quiet();
        world.reactor().stop_listening(id);
        for far in &mut fars {
            assert_eq!(world.read_to_end(far), (vec![], Err(ErrorKind::ConnectionReset)));
        }
        assert!(is_refused(world, addr));
        world.quiet();
        assert_eq!(log.take(), ["started", "stopped"]);
    }
}

both! {
    /// Twisted's `test_closePortInProtocolFactory`; Twisted accepts all of the batch, crocus one.
    fn a_connection_that_stops_its_listener_is_still_served(world) {
        let log = Log::new();
        let port = Rc::new(Cell::new(None));
        let stopped = Rc::clone(&port);
        let hooked = Hooked::new(&log).build(move |_, recorder| {
            let stopped = Rc::clone(&stopped);
            let recorder = recorder.on_made(move |transport| {
                assert!(transport.reactor().stop_listening(stopped.get().unwrap()));
                greet(transport);
            });
            Some(recorder.on_data(echo))
        });
        let (id, addr) = world.listen(hooked);
        port.set(Some(id));
        start(world, &log);
        world.reactor().pause_accepting(id);
        let mut fars = dial_many(world, addr, 3);
        world.quiet();
        world.reactor().resume_accepting(id);
        world.until("the notice", |_| log.has("stopped"));
        assert_eq!(log.take(), ["started", "1 made", "stopped"]);
        let mut first = fars.remove(0);
        assert_eq!(world.read(&mut first, 2), b"hi");
        world.send(&mut first, b"still here?");
        assert_eq!(world.read(&mut first, 11), b"still here?");
        for mut far in fars {
            assert_eq!(world.read_to_end(&mut far), (vec![], Err(ErrorKind::ConnectionReset)));
        }
        assert_eq!(log.len(), 0);
    }
}

both! {
    /// Twisted's `test_listen` and asyncio's `Server.close`.
    fn connections_outlive_their_listener(world) {
        let log = Log::new();
        let hooked = Hooked::new(&log).build(|_, recorder| {
            Some(recorder.on_data(echo))
        });
        let (id, addr) = world.listen(hooked);
        let mut far = world.dial(addr);
        world.until("a connection", |_| log.has("1 made"));
        let connection = world.reactor().connections()[0];
        assert_eq!(world.reactor().listener_of(connection), Some(id));
        assert_eq!(world.reactor().connection_count(id), Some(1));
        world.reactor().stop_listening(id);
        world.until("the notice", |_| log.has("stopped"));
        assert_eq!(world.reactor().listener_of(connection), Some(id), "it is still counted");
        assert_eq!(world.reactor().connection_count(id), Some(1));
        for _ in 0..3 {
            world.send(&mut far, b"echo");
            assert_eq!(world.read(&mut far, 4), b"echo");
        }
        far.close_write();
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        world.run().unwrap(); // with the last connection the last work is gone
        assert_eq!(world.reactor().connection_count(id), None);
        assert_eq!(log.take(), ["started", "1 made", "stopped", "1 eof", "1 lost PeerClosed"]);
    }
}

// Refusing.

both! {
    /// Twisted's `test_buildProtocolReturnsNone`.
    fn a_refused_client_sees_the_end_another_is_served(world) {
        let log = Log::new();
        let heard = Rc::new(RefCell::new(Vec::new()));
        world.reactor().set_observer(Some(Box::new(Refusals(Rc::clone(&heard)))));
        let (id, addr) = world.listen(Hooked::new(&log).build(|number, recorder| {
            (number == 3).then(|| recorder.on_made(greet))
        }));
        for _ in 0..2 {
            let mut far = world.dial(addr);
            assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        }
        let mut far = world.dial(addr);
        assert_eq!(world.read(&mut far, 2), b"hi");
        assert_eq!(log.take(), ["started", "3 made"]);
        assert_eq!(*heard.borrow(), [0, 0]);
        let stats = world.reactor().stats();
        assert_eq!((stats.accepted, stats.turned_away, stats.accept_errors), (3, 2, 0));
        assert_eq!(world.reactor().connection_count(id), Some(1));
    }
}

/// crocus's own: Twisted leaves the socket of the second open for ever.
#[test]
fn a_panic_of_the_factory_costs_one_client_only() {
    let log = Log::new();
    let mut world = World::real();
    let (id, addr) = world.listen(Hooked::new(&log).build(|number, recorder| {
        assert_ne!(number, 2, "on purpose");
        Some(recorder.on_made(greet))
    }));
    start(&mut world, &log);
    world.reactor().pause_accepting(id);
    let mut fars = dial_many(&mut world, addr, 3);
    world.reactor().resume_accepting(id);
    assert_eq!(world.read(&mut fars[0], 2), b"hi");
    assert_eq!(world.read_to_end(&mut fars[1]), (vec![], Ok(())));
    assert_eq!(world.read(&mut fars[2], 2), b"hi");
    assert_eq!(log.take(), ["started", "1 made", "3 made"]);
    let stats = world.reactor().stats();
    assert_eq!((stats.panics, stats.turned_away, stats.accept_errors), (1, 1, 0));
    assert_eq!(world.reactor().connection_count(id), Some(2));
}

// Bursts, pauses and limits.

both! {
    /// Twisted's `test_acceptScaling`.
    fn a_burst_larger_than_the_budget_strands_nobody(world) {
        for budget in [1, 16] {
            let mut world = world.with_limits(ReactorBuilder::default().accept_budget(budget));
            let log = Log::new();
            let (id, addr) = world.listen(Hooked::new(&log).greeting());
            start(&mut world, &log);
            world.reactor().pause_accepting(id);
            let mut fars = dial_many(&mut world, addr, 150);
            world.quiet(); // whatever the poller has to say about them is said
            world.reactor().resume_accepting(id);
            let mut before = 0;
            world.until("all to be accepted", |world| {
                let accepted = world.reactor().stats().accepted;
                assert!(accepted - before <= budget as u64, "the others wait too long");
                before = accepted;
                accepted == 150
            });
            for far in &mut fars {
                assert_eq!(world.read(far, 2), b"hi");
            }
            assert_eq!(made(&log), 150);
        }
    }
}

both! {
    /// Twisted's `test_acceptScaling`, for connections that are turned away.
    fn a_burst_of_refused_connections_strands_nobody(world) {
        let mut world = world.with_limits(ReactorBuilder::default().accept_budget(4));
        let log = Log::new();
        let (id, addr) = world.listen(Hooked::new(&log).build(|_, _| None));
        start(&mut world, &log);
        world.reactor().pause_accepting(id);
        let mut fars = dial_many(&mut world, addr, 30);
        world.quiet();
        world.reactor().resume_accepting(id);
        for far in &mut fars {
            assert_eq!(world.read_to_end(far), (vec![], Ok(())));
        }
    }
}

both! {
    /// crocus's own.
    fn clients_wait_while_accepting_is_paused(world) {
        let log = Log::new();
        let (id, addr) = world.listen(Hooked::new(&log).greeting());
        start(world, &log);
        assert!(world.reactor().pause_accepting(id));
        let mut fars = dial_many(world, addr, 3);
        world.quiet();
        assert_eq!(made(&log), 0);
        assert!(world.reactor().resume_accepting(id));
        assert_eq!(made(&log), 0, "no callback comes from within a command");
        for far in &mut fars {
            assert_eq!(world.read(far, 2), b"hi");
        }
    }
}

both! {
    /// crocus's own.
    fn accepting_paused_by_a_connection_ends_with_that_connection(world) {
        let log = Log::new();
        let hooked = Hooked::new(&log).build(|_, recorder| {
            Some(recorder.on_made(|transport| {
                let id = transport.id();
                let listener = transport.reactor().listener_of(id).unwrap();
                assert!(transport.reactor().pause_accepting(listener));
                greet(transport);
            }))
        });
        let (id, addr) = world.listen(hooked);
        let mut fars = dial_many(world, addr, 3);
        for (number, far) in fars.iter_mut().enumerate() {
            assert_eq!(world.read(far, 2), b"hi");
            world.quiet();
            assert_eq!(made(&log), number + 1);
            assert!(world.reactor().resume_accepting(id));
        }
    }
}

both! {
    /// crocus's own.
    fn accepting_may_be_paused_before_the_loop_turns(world) {
        let log = Log::new();
        let (id, addr) = world.listen(Hooked::new(&log).greeting());
        assert!(world.reactor().pause_accepting(id));
        let mut far = world.dial(addr);
        start(world, &log);
        world.quiet();
        assert_eq!(log.take(), ["started"]);
        assert!(world.reactor().resume_accepting(id));
        assert_eq!(world.read(&mut far, 2), b"hi");
    }
}

both! {
    /// crocus's own.
    fn accepting_stops_at_the_limit_and_goes_on_below(world) {
        let log = Log::new();
        let place = Listen::at("127.0.0.1:0").max_connections(2);
        let hooked = Hooked::new(&log).greeting();
        let id = world.reactor().listen(place, hooked).unwrap();
        let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
        let fars = dial_many(world, addr, 6);
        for (number, mut far) in fars.into_iter().enumerate() {
            assert_eq!(world.read(&mut far, 2), b"hi");
            world.until("as many as may be", |_| made(&log) == (number + 2).min(6));
            world.quiet();
            assert_eq!(made(&log), (number + 2).min(6));
            assert_eq!(world.reactor().connection_count(id), Some(2.min(6 - number)));
            far.close_write();
            assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        }
        world.until("the last to go", |world| world.reactor().connection_count(id) == Some(0));
    }
}

both! {
    /// crocus's own.
    fn refused_connections_do_not_count_towards_the_limit(world) {
        let log = Log::new();
        let place = Listen::at("127.0.0.1:0").max_connections(1);
        let hooked = Hooked::new(&log)
            .build(|number, recorder| (number > 5).then(|| recorder.on_made(greet)));
        let id = world.reactor().listen(place, hooked).unwrap();
        let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
        let mut fars = dial_many(world, addr, 6);
        assert_eq!(world.read(&mut fars[5], 2), b"hi");
        assert_eq!(world.reactor().connection_count(id), Some(1));
    }
}

// Errors of accept.

/// Twisted's `test_closePeerOnEMFILE`, `test_tooManyFilesFromAccept`; crocus lets clients wait.
#[test]
fn clients_wait_for_a_descriptor_and_are_served_later() {
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        let log = Log::new();
        let mut simulation = Simulation::new();
        let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
        simulation.reactor().listen(addr, Hooked::new(&log).greeting()).unwrap();
        simulation.settle();
        simulation.fail_accept(addr, io::Error::from_raw_os_error(errno));
        let mut peers: Vec<_> = (0..3).map(|_| simulation.dial(addr)).collect();
        simulation.settle();
        assert_eq!(log.take(), ["started"], "errno {errno}");
        assert!(peers.iter_mut().all(|peer| peer.end().is_none()), "nobody is turned away");
        simulation.advance(RETRY - Duration::from_millis(1));
        assert_eq!(log.len(), 0);
        simulation.advance(Duration::from_millis(1));
        assert_eq!(log.take(), ["1 made", "2 made", "3 made"], "errno {errno}");
        assert!(peers.iter_mut().all(|peer| peer.received() == b"hi"));
    }
}

/// Twisted's `test_tooManyFilesFromAccept`: no new trigger is needed.
#[test]
fn a_freed_descriptor_serves_a_waiting_client_at_once() {
    let log = Log::new();
    let mut simulation = Simulation::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    let served = simulation.dial(addr);
    simulation.settle();
    simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::EMFILE));
    let _waiting = simulation.dial(addr);
    simulation.settle();
    assert_eq!(log.take(), ["started", "1 made"]);
    served.reset();
    simulation.settle();
    assert_eq!(log.take(), ["1 lost Failed(ConnectionReset)", "2 made"]);
    assert_eq!(simulation.elapsed(), Duration::ZERO, "without waiting for anything");
}

/// Twisted's `test_tooManyFilesFromAccept`: the log has few lines, and the loop does not spin.
#[test]
fn each_shortage_is_logged_once() {
    drop(logged());
    let log = Log::new();
    let mut simulation = Simulation::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    simulation.settle();
    let mut waiting = Vec::new();
    for shortage in 1..=2 {
        for _ in 0..50 {
            simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::EMFILE));
        }
        waiting.push(simulation.dial(addr));
        let before = simulation.reactor().stats();
        simulation.advance(RETRY * 49);
        assert_eq!(made(&log), shortage - 1, "it lasts");
        let after = simulation.reactor().stats();
        assert!(after.turns - before.turns <= 200, "{} turns", after.turns - before.turns);
        assert_eq!(after.accept_errors - before.accept_errors, 50);
        assert_eq!(after.turned_away, 0);
        simulation.advance(RETRY);
        assert_eq!(made(&log), shortage);
        let lines = logged();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("WARN"), "{lines:?}");
        assert!(lines[0].contains(&addr.to_string()), "{lines:?}");
    }
}

/// Twisted's `test_connectionAbortedFromAccept`, `test_permissionFailure`.
#[test]
fn a_client_gone_before_accept_does_not_delay_others() {
    let errors = [
        libc::ECONNABORTED,
        libc::EPERM,
        libc::EPROTO,
        libc::EINTR,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
    ];
    drop(logged());
    let log = Log::new();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let mut simulation = Simulation::new();
    simulation.reactor().set_observer(Some(Box::new(Refusals(Rc::clone(&heard)))));
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    simulation.settle();
    for errno in errors {
        simulation.fail_accept(addr, io::Error::from_raw_os_error(errno));
    }
    let _peers = [simulation.dial(addr), simulation.dial(addr)];
    simulation.settle();
    assert_eq!(log.take(), ["started", "1 made", "2 made"]);
    assert_eq!(simulation.elapsed(), Duration::ZERO, "nobody had to wait");
    let refusals: Vec<i32> = errors.into_iter().filter(|&errno| errno != libc::EINTR).collect();
    assert_eq!(*heard.borrow(), refusals, "an interrupted call refuses nobody");
    assert_eq!(logged(), [""; 0], "it is not worth a line");
}

/// Twisted's `test_connectionAbortedFromAccept`, with more of them than the budget.
#[test]
fn a_burst_of_clients_who_are_gone_strands_nobody() {
    let log = Log::new();
    let mut simulation = Simulation::with_limits(ReactorBuilder::default().accept_budget(2), 0);
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    simulation.settle();
    for _ in 0..10 {
        simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::ECONNABORTED));
    }
    let _peer = simulation.dial(addr);
    simulation.settle();
    assert_eq!(log.take(), ["started", "1 made"]);
}

/// crocus's own: what a firewall says of one client, a sandbox says of all (`accept` forbidden by seccomp).
#[test]
fn a_listener_forbidden_to_accept_rests_and_says_so_once() {
    for errno in [libc::EPERM, libc::EACCES, libc::ECONNABORTED] {
        drop(logged());
        let log = Log::new();
        let mut simulation = Simulation::new();
        let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
        simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
        simulation.settle();
        for _ in 0..3 * 64 {
            simulation.fail_accept(addr, io::Error::from_raw_os_error(errno));
        }
        let _peer = simulation.dial(addr);
        simulation.settle();
        assert_eq!(simulation.reactor().stats().accept_errors, 64, "errno {errno}");
        simulation.advance(3 * RETRY);
        assert_eq!(simulation.reactor().stats().accept_errors, 3 * 64, "errno {errno}");
        assert_eq!(log.take(), ["started", "1 made"], "it lasted three rests");
        let lines = logged();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("ERROR listener at "), "{lines:?}");
        assert!(lines[0].contains("127.0.0.1:5000 cannot accept"), "{lines:?}");
    }
}

/// crocus's own: the queue of a listener is taken at a shutdown, which ends nevertheless.
#[test]
fn a_listener_forbidden_to_accept_does_not_hold_up_a_shutdown() {
    let log = Log::new();
    let mut simulation = Simulation::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    simulation.settle();
    for _ in 0..2 * 4096 {
        simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::EPERM));
    }
    simulation.reactor().shutdown(Duration::from_secs(1));
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.reactor().stats().accept_errors, 4096 + 1);
    assert_eq!(simulation.elapsed(), Duration::ZERO);
    assert_eq!(log.take(), ["started", "stopped"]);
}

/// crocus's own: clients that are refused one by one among others are no reason to rest.
#[test]
fn refused_clients_among_others_do_not_make_a_listener_rest() {
    let log = Log::new();
    let mut simulation = Simulation::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    let mut peers = Vec::new();
    for _ in 0..200 {
        simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::EPERM));
        peers.push(simulation.dial(addr));
        simulation.settle();
    }
    assert_eq!(made(&log), 200);
    assert_eq!(simulation.elapsed(), Duration::ZERO);
}

/// Twisted's `test_unknownSocketErrorRaise`; in crocus the listener lives, since others may pass.
#[test]
fn an_unknown_accept_error_is_logged_and_does_not_spin() {
    drop(logged());
    let log = Log::new();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let mut simulation = Simulation::new();
    simulation.reactor().set_observer(Some(Box::new(Refusals(Rc::clone(&heard)))));
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    simulation.settle();
    for _ in 0..20 {
        simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::EBADF));
    }
    let _peer = simulation.dial(addr);
    simulation.settle();
    let turns = simulation.reactor().stats().turns;
    assert_eq!(heard.take(), [libc::EBADF]);
    let lines = logged();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("ERROR"), "{lines:?}");
    assert!(lines[0].contains(&addr.to_string()), "{lines:?}");
    simulation.advance(RETRY * 19);
    assert_eq!(made(&log), 0);
    assert!(simulation.reactor().stats().turns - turns <= 100);
    simulation.advance(RETRY);
    assert_eq!(made(&log), 1);
}

/// crocus's own.
#[test]
fn a_listener_stopped_during_a_shortage_leaves_no_timer() {
    let log = Log::new();
    let mut simulation = Simulation::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    let id = simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    simulation.settle();
    simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::EMFILE));
    simulation.settle();
    simulation.reactor().stop_listening(id);
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.elapsed(), Duration::ZERO);
    assert_eq!(log.take(), ["started", "stopped"]);
}

/// crocus's own.
#[test]
fn a_shortage_and_a_pause_end_with_the_later() {
    let log = Log::new();
    let mut simulation = Simulation::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 5000));
    let id = simulation.reactor().listen(addr, Hooked::new(&log)).unwrap();
    simulation.settle();
    simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::EMFILE));
    let _peer = simulation.dial(addr);
    simulation.settle();
    simulation.reactor().pause_accepting(id);
    simulation.advance(RETRY * 3);
    assert_eq!(log.take(), ["started"]);
    simulation.reactor().resume_accepting(id);
    simulation.settle();
    assert_eq!(log.take(), ["1 made"]);
}

// Options, on real sockets only: a simulation has none.

/// Listens with `options`, connects, and returns what `look` sees in `connection_made`.
fn accepted_with<T: 'static>(
    options: SocketOptions,
    look: impl Fn(&mut Transport) -> T + 'static,
) -> T {
    let mut world = World::real();
    let log = Log::new();
    let seen = Rc::new(Cell::new(None));
    let result = Rc::clone(&seen);
    let look = Rc::new(look);
    let hooked = Hooked::new(&log).build(move |_, recorder| {
        let (look, seen) = (Rc::clone(&look), Rc::clone(&seen));
        Some(recorder.on_made(move |transport| seen.set(Some(look(transport)))))
    });
    let place = Listen::at("127.0.0.1:0").socket(options);
    let id = world.reactor().listen(place, hooked).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let _far = world.dial(addr);
    world.until("a connection", |_| made(&log) == 1);
    result.take().unwrap()
}

/// crocus's own: Twisted sets them per connection.
#[test]
fn no_delay_set_on_the_listener_arrives_at_accepted_connections() {
    let no_delay = |transport: &mut Transport| transport.no_delay().unwrap();
    assert!(accepted_with(SocketOptions::new(), no_delay), "it is on by default");
    assert!(!accepted_with(SocketOptions::new().no_delay(false), no_delay));
}

/// crocus's own: Twisted sets them per connection.
#[test]
fn keep_alive_set_on_the_listener_arrives_at_accepted_connections() {
    let keep_alive = |transport: &mut Transport| transport.keep_alive().unwrap();
    assert!(!accepted_with(SocketOptions::new(), keep_alive), "it is off by default");
    let options = SocketOptions::new().keep_alive(Duration::from_secs(77));
    assert!(accepted_with(options, keep_alive));
}

/// crocus's own.
#[test]
fn options_can_be_changed_for_one_connection() {
    let changed = accepted_with(SocketOptions::new(), |transport| {
        transport.set_no_delay(false).unwrap();
        transport.set_keep_alive(Some(Duration::from_secs(5).into())).unwrap();
        (transport.no_delay().unwrap(), transport.keep_alive().unwrap())
    });
    assert_eq!(changed, (false, true));
}

/// A client whose own buffers are as small as they get.
#[cfg(target_os = "linux")]
fn narrow_client(addr: SocketAddr) -> Far {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    Far::Real(socket.into())
}

/// crocus's own. Measured by how much of a large write the kernel takes while the peer does not
/// read.
#[cfg(target_os = "linux")]
#[test]
fn accepted_connections_inherit_the_send_buffer() {
    const WRITTEN: usize = 1024 * 1024;
    let taken = |bytes| {
        let mut world = World::real();
        let log = Log::new();
        let hooked = Hooked::new(&log).build(|_, recorder| {
            Some(recorder.on_made(|transport| {
                transport.write(&vec![0; WRITTEN]);
            }))
        });
        let place = Listen::at("127.0.0.1:0").socket(SocketOptions::new().send_buffer(bytes));
        let id = world.reactor().listen(place, hooked).unwrap();
        let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
        let _far = narrow_client(addr);
        world.until("a connection", |_| made(&log) == 1);
        world.quiet();
        let connection = world.reactor().connections()[0];
        WRITTEN - world.reactor().transport(connection).unwrap().buffered()
    };
    let (small, large) = (taken(4096), taken(200 * 1024));
    assert!(small < 64 * 1024, "{small}");
    assert!(large > 128 * 1024, "{large}");
}

/// crocus's own. Measured by how much a client can send while the server does not read.
#[cfg(target_os = "linux")]
#[test]
fn accepted_connections_inherit_the_receive_buffer() {
    let accepting = |bytes| {
        let mut world = World::real();
        let log = Log::new();
        let hooked = Hooked::new(&log)
            .build(|_, recorder| Some(recorder.on_made(|transport| transport.pause_reading())));
        let place = Listen::at("127.0.0.1:0").socket(SocketOptions::new().receive_buffer(bytes));
        let id = world.reactor().listen(place, hooked).unwrap();
        let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
        let far = narrow_client(addr);
        world.until("a connection", |_| made(&log) == 1);
        (world, far)
    };
    let (mut world, mut far) = accepting(200 * 1024);
    world.send(&mut far, &[0; 96 * 1024]); // more than the default takes
    let (mut world, mut far) = accepting(4096);
    let mut sent = 0;
    for _ in 0..20 {
        sent += far.send(&[0; 64 * 1024]);
        world.turn();
    }
    assert!(sent < 32 * 1024, "{sent}");
}

/// crocus's own.
#[cfg(target_os = "linux")]
#[test]
fn two_listeners_share_a_port_if_both_say_so() {
    let mut world = World::real();
    let logs = [Log::new(), Log::new()];
    let place = |at: SocketAddr| Listen::at(at).socket(SocketOptions::new().reuse_port(true));
    let first = Hooked::new(&logs[0]).greeting();
    let id = world.reactor().listen(place(([127, 0, 0, 1], 0).into()), first).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let selfish = world.reactor().listen(addr, Hooked::new(&Log::new())).unwrap_err();
    assert_eq!(selfish.kind(), ErrorKind::AddrInUse);
    let second = Hooked::new(&logs[1]).greeting();
    let second = world.reactor().listen(place(addr), second).unwrap();
    for mut far in dial_many(&mut world, addr, 64) {
        assert_eq!(world.read(&mut far, 2), b"hi");
    }
    assert_eq!(made(&logs[0]) + made(&logs[1]), 64);
    assert!(made(&logs[0]) > 0 && made(&logs[1]) > 0, "the kernel spreads them");
    world.reactor().stop_listening(id);
    let before = made(&logs[1]);
    for mut far in dial_many(&mut world, addr, 8) {
        assert_eq!(world.read(&mut far, 2), b"hi");
    }
    assert_eq!(made(&logs[1]), before + 8);
    assert!(world.reactor().stop_listening(second));
}

/// crocus's own.
#[test]
fn an_ipv6_listener_takes_ipv4_too_if_told() {
    let mut world = World::real();
    let Some((_, v6, v4)) = listen_on_ipv6(&mut world, false) else { return };
    for addr in [v6, v4] {
        let mut far = world.dial(addr);
        assert_eq!(world.read(&mut far, 2), b"hi");
    }
}

/// crocus's own. On Linux nobody else can listen at an address that a listener takes for both families.
#[cfg(target_os = "linux")]
#[test]
fn an_ipv6_listener_leaves_ipv4_to_others_if_told() {
    let mut world = World::real();
    let other = Log::new();
    let mut tries = 0;
    let (log, v6, v4) = loop {
        let Some((log, v6, v4)) = listen_on_ipv6(&mut world, true) else { return };
        if world.reactor().listen(v4, Hooked::new(&other).greeting()).is_ok() {
            break (log, v6, v4);
        }
        // The kernel chose a port that is free for IPv6. For IPv4 another program may have it.
        tries += 1;
        assert!(tries < 100, "no port is free for both");
    };
    for (addr, expected) in [(v4, (0, 1)), (v6, (1, 1))] {
        let mut far = world.dial(addr);
        assert_eq!(world.read(&mut far, 2), b"hi");
        assert_eq!((log.count("1 made"), other.count("1 made")), expected);
    }
}

/// Listens on all addresses of IPv6; returns the log, the address of this machine, and that with its IPv4 address.
/// `None`: this machine has no IPv6.
fn listen_on_ipv6(world: &mut World, only: bool) -> Option<(Log, SocketAddr, SocketAddr)> {
    TcpListener::bind("[::1]:0").ok()?;
    let log = Log::new();
    let place = Listen::at("[::]:0").socket(SocketOptions::new().v6_only(only));
    let id = world.reactor().listen(place, Hooked::new(&log).greeting()).unwrap();
    let port = world.reactor().local_addr(id).unwrap().port().unwrap();
    Some((log, (Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into()))
}

// Adopting, on real sockets only.

/// Twisted's adopt tests of internet `test_tcp`, and `test_descriptorClosed`.
#[test]
fn an_adopted_listener_serves_clients_already_in_its_queue() {
    let mut world = World::real();
    let log = Log::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut early = world.dial(addr);
    let options = SocketOptions::new().keep_alive(Duration::from_secs(77));
    let hooked = Hooked::new(&log).build(|number, recorder| {
        Some(recorder.on_made(move |transport| {
            // The first was there before the options were.
            assert_eq!(transport.keep_alive().unwrap(), number > 1);
            greet(transport);
        }))
    });
    let id = world.reactor().listen(Listen::at(listener).socket(options), hooked).unwrap();
    assert_eq!(world.reactor().local_addr(id), Some(Address::Tcp(addr)));
    let mut late = world.dial(addr);
    assert_eq!(world.read(&mut early, 2), b"hi");
    assert_eq!(world.read(&mut late, 2), b"hi");
    assert!(world.reactor().stop_listening(id));
    assert!(is_refused(&mut world, addr), "there is no other copy of it");
    world.until("the notice", |_| log.has("stopped"));
    assert_eq!(log.take(), ["started", "1 made", "2 made", "stopped"]);
}

/// Twisted's adopt tests of internet `test_tcp`.
#[test]
fn stopping_an_adopted_listener_leaves_the_callers_copy_alone() {
    let mut world = World::real();
    let log = Log::new();
    let kept = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = kept.local_addr().unwrap();
    let given = kept.try_clone().unwrap();
    let id = world.reactor().listen(given, Hooked::new(&log)).unwrap();
    start(&mut world, &log);
    world.reactor().stop_listening(id);
    world.until("the notice", |_| log.has("stopped"));
    let events = world.reactor().stats().events;
    let far = world.dial(addr); // somebody still listens
    world.quiet();
    assert_eq!(world.reactor().stats().events, events, "the poller must have forgotten it");
    kept.set_nonblocking(false).unwrap();
    assert_eq!(kept.accept().unwrap().1, far.addr());
    assert_eq!(log.take(), ["started", "stopped"]);
}

/// crocus's own.
#[test]
fn a_simulated_reactor_refuses_a_real_listener() {
    let mut simulation = Simulation::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = simulation.reactor().listen(listener, Hooked::new(&Log::new()));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
    simulation.reactor().run().unwrap();
}

/// Twisted's adopt tests of internet `test_tcp`.
#[test]
fn an_adopted_stream_is_a_connection_like_any_other() {
    let mut world = World::real();
    let log = Log::new();
    let mut outside = world.listen_outside();
    let stream = TcpStream::connect(outside.addr()).unwrap();
    let addr = stream.local_addr().unwrap();
    let expected = (Address::Tcp(outside.addr()), Address::Tcp(addr));
    let recorder = Recorder::new(&log, "a")
        .with_data()
        .on_made(move |transport| {
            assert_eq!(transport.peer_addr(), &expected.0);
            assert_eq!(transport.local_addr().unwrap(), expected.1);
            assert!(transport.no_delay().unwrap(), "as on every other connection");
            #[cfg(target_os = "linux")]
            {
                let unsent = socket2::SockRef::from(&transport.as_fd()).tcp_notsent_lowat();
                assert_eq!(
                    unsent.unwrap(),
                    128 * 1024,
                    "so that a slow peer is seen to take bytes"
                );
            }
            greet(transport);
        })
        .on_data(|transport, _| transport.lose_connection());
    let id = world.reactor().adopt(stream, recorder).unwrap();
    assert_eq!(log.len(), 0, "nothing is called from within adopt");
    let mut far = world.accept(&mut outside);
    assert_eq!(world.read(&mut far, 2), b"hi");
    assert_eq!(world.reactor().connections(), [id]);
    assert_eq!(world.reactor().listener_of(id), None);
    world.send(&mut far, b"bye");
    assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
    drop(far);
    world.run().unwrap();
    assert_eq!(log.take(), ["a made", "a data bye", "a lost Closed"]);
}

/// Twisted's adopt tests of internet `test_tcp`, where `loseConnection` shuts the connection down.
#[test]
fn an_adopted_stream_closes_in_order_despite_a_copy() {
    for answers in [true, false] {
        let mut world = World::real();
        let log = Log::new();
        let mut outside = world.listen_outside();
        let kept = TcpStream::connect(outside.addr()).unwrap();
        let mut far = world.accept(&mut outside);
        let recorder = Recorder::new(&log, "a")
            .on_made(move |transport| {
                greet(transport);
                if !answers {
                    transport.lose_connection();
                }
            })
            .on_data(|transport, _| transport.lose_connection());
        world.reactor().adopt(kept.try_clone().unwrap(), recorder).unwrap();
        if answers {
            world.send(&mut far, b"bye");
        }
        world.until("the loss", |world| {
            far.close_write();
            world.turn();
            log.count("a lost") == 1
        });
        let mut rest = [0; 8];
        let Far::Real(mut far) = far else { unreachable!() };
        assert_eq!(far.read(&mut rest).unwrap(), 2);
        let end = far.read(&mut rest).map_err(|error| error.kind());
        assert_eq!(end, Ok(0), "no FIN; it {}", if answers { "answers" } else { "closes at once" });
        let events = world.reactor().stats().events;
        drop(far);
        world.quiet();
        assert_eq!(world.reactor().stats().events, events, "the poller must have forgotten it");
        drop(kept);
    }
}

/// crocus's own.
#[test]
fn a_socket_that_is_not_connected_is_not_adopted() {
    let mut reactor = Reactor::new().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let error =
        reactor.adopt(TcpStream::from(socket), Recorder::new(&Log::new(), "a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert_eq!(reactor.connections(), []);
    reactor.run().unwrap();
}
