//! Connecting.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{
    FarListener, HOUR, Log, MS, Recorder, RecordingClient, Watchdog, World, bound, tag,
};
use crocus::testing::{PeerListener, Simulation};
use crocus::{
    Activity, Address, Connect, Connector, ConnectorId, Protocol, Reactor, Reason, SocketOptions,
    Transport, Who,
};

const HEAD_START: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(30);

type Built = Option<Box<dyn Protocol>>;
type Client = RecordingClient<Box<dyn FnMut(Address) -> Built>>;

/// A client that writes all it hears into the log, under `c`.
fn client(log: &Log) -> Client {
    client_with(log, |recorder| recorder)
}

fn client_with(log: &Log, set_up: impl Fn(Recorder) -> Recorder + 'static) -> Client {
    let seen = log.clone();
    building(log, move |_| Some(Box::new(set_up(Recorder::new(&seen, "c").with_data()))))
}

/// A client that must never be asked for a protocol.
fn never_connected(log: &Log) -> Client {
    let seen = log.clone();
    building(log, move |_| {
        seen.push("connected by mistake");
        None
    })
}

fn building(log: &Log, build: impl FnMut(Address) -> Built + 'static) -> Client {
    RecordingClient::new(log, "c", Box::new(build))
}

/// Keeps reasons for a closer look.
#[derive(Clone, Default)]
struct Reasons(Rc<RefCell<Vec<Reason>>>);

impl Reasons {
    fn keep(&self) -> impl FnMut(&mut Connector, &Reason) + 'static {
        let kept = Rc::clone(&self.0);
        move |_, reason| kept.borrow_mut().push(reason.clone())
    }

    /// The only one.
    fn only(&self) -> Reason {
        let kept = self.0.borrow();
        assert_eq!(kept.len(), 1, "{kept:?}");
        kept[0].clone()
    }
}

/// Waits for an outcome, and then a little for a second one.
fn outcome(world: &mut World, log: &Log) -> Vec<String> {
    world.until("an outcome", |_| log.count("c failed") + log.count("c made") > 0);
    world.quiet();
    log.take()
}

/// An address that refuses, and what keeps it so: on a real machine a socket that is bound and does
/// not listen. Without it the port might be given to somebody else meanwhile, to us for example.
struct Refusing {
    addr: SocketAddr,
    _socket: Option<socket2::Socket>,
}

impl Refusing {
    fn new(world: &mut World) -> Self {
        if !world.is_real() {
            return Self { addr: world.closed_port(), _socket: None };
        }
        let (socket, addr) = bound([127, 0, 0, 1]);
        Self { addr, _socket: Some(socket) }
    }
}

// One attempt, one outcome.

both! {
    /// Twisted's `test_connectionRefusedErrorNumber`, `testFailing`.
    fn a_closed_port_is_one_failure_with_its_errno(world) {
        let log = Log::new();
        let reasons = Reasons::default();
        let closed = Refusing::new(world);
        let factory = never_connected(&log).on_failed(reasons.keep());
        let id = world.reactor().connect(closed.addr, factory);
        assert_eq!(log.len(), 0, "not from within connect");
        assert!(world.reactor().endpoint(id).is_some());
        assert_eq!(outcome(world, &log), ["c failed Failed(ConnectionRefused)"]);
        let reason = reasons.only();
        assert!(matches!(reason, Reason::Failed { activity: Activity::Connecting, .. }), "{reason:?}");
        assert_eq!(reason.who(), Who::Peer);
        if world.is_real() {
            assert_eq!(reason.io_error().unwrap().raw_os_error(), Some(libc::ECONNREFUSED));
        }
        assert_eq!(world.reactor().endpoint(id), None, "it is over");
        assert_eq!(world.reactor().stats().failed, 1);
        world.run().unwrap(); // no timer and no socket is left
        assert_eq!(log.len(), 0);
    }
}

both! {
    /// Twisted's `test_addresses`.
    fn an_open_port_is_one_connection_with_both_addresses(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        let to = outside.addr();
        let local = Rc::new(Cell::new(None));
        let (seen, see_peer) = (Rc::clone(&local), log.clone());
        let factory = building(&log, move |peer| {
            see_peer.push(format!("built {}", peer.socket_addr() == Some(to)));
            let seen = Rc::clone(&seen);
            Some(Box::new(Recorder::new(&see_peer, "c").on_made(move |transport| {
                assert_eq!(transport.peer_addr().socket_addr(), Some(to));
                seen.set(transport.local_addr().unwrap().socket_addr());
            })))
        });
        let id = world.reactor().connect(to, factory);
        assert_eq!(log.len(), 0, "not from within connect");
        assert_eq!(world.reactor().connection_of(id), None);
        assert_eq!(outcome(world, &log), ["built true", "c made"]);
        let far = world.accept(&mut outside);
        let connection = world.reactor().connection_of(id).unwrap();
        let peer = world.reactor().transport(connection).unwrap().peer_addr().socket_addr();
        assert_eq!(peer, Some(far.addr()));
        assert!(local.get().is_some_and(|addr| addr != to));
        assert_eq!(world.reactor().listener_of(connection), None);
        drop(far);
        world.run().unwrap(); // no timer is left of the attempt
        assert_eq!(log.take(), ["c eof", "c lost PeerClosed", "c owner lost PeerClosed"]);
        assert_eq!(world.reactor().connection_of(id), None);
        assert_eq!(world.reactor().stats().connected, 1);
    }
}

/// Accepts, behind the reactor's back.
fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let _watchdog = Watchdog::new("somebody to connect");
    listener.accept().unwrap()
}

/// crocus's own: readiness that comes with the connection is not told twice by the poller.
#[test]
fn data_sent_before_the_connection_was_noticed_is_delivered() {
    let mut world = World::real();
    let log = Log::new();
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    world.reactor().connect(outside.local_addr().unwrap(), client(&log));
    // One turn begins the attempt.
    world.reactor().turn(Some(Duration::ZERO)).unwrap();
    let (mut far, _) = accept(&outside);
    io::Write::write_all(&mut far, b"hi").unwrap();
    drop(far);
    assert_eq!(log.len(), 0);
    world.run().unwrap();
    assert_eq!(
        log.take(),
        ["c made", "c data hi", "c eof", "c lost PeerClosed", "c owner lost PeerClosed"]
    );
}

/// Twisted's behaviour of `connectTCP(timeout)`, tried out.
#[test]
fn an_address_that_never_answers_times_out_exactly_when_asked() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let reasons = Reasons::default();
    let hole = SocketAddr::from(([192, 0, 2, 7], 80));
    simulation.set_blackhole(hole);
    let place = Connect::to(hole).timeout(Duration::from_millis(100));
    let factory = never_connected(&log).on_failed(reasons.keep());
    simulation.reactor().connect(place, factory);
    simulation.advance(Duration::from_millis(100) - MS);
    assert_eq!(log.len(), 0);
    simulation.advance(MS);
    assert_eq!(log.take(), ["c failed ConnectTimedOut"]);
    let reason = reasons.only();
    assert_eq!(reason.who(), Who::Reactor, "the system's own timeout is the system's");
    assert!(reason.io_error().is_none(), "and has an errno");
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.elapsed(), Duration::from_millis(100));
}

/// Twisted's default timeout of `connectTCP`.
#[test]
fn an_attempt_has_thirty_seconds_unless_told_otherwise() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let hole = SocketAddr::from(([192, 0, 2, 7], 80));
    simulation.set_blackhole(hole);
    simulation.reactor().connect(hole, never_connected(&log));
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed ConnectTimedOut"]);
    assert_eq!(simulation.elapsed(), TIMEOUT);
}

/// Twisted's behaviour of `connectTCP(timeout)`, tried out.
#[test]
fn an_answer_after_the_timeout_makes_no_difference() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    simulation.set_latency(Duration::from_secs(2));
    let mut outside = simulation.listen("192.0.2.7:80").unwrap();
    let place = Connect::to(outside.addr()).timeout(Duration::from_secs(1));
    simulation.reactor().connect(place, never_connected(&log));
    simulation.advance(Duration::from_secs(10));
    assert_eq!(log.take(), ["c failed ConnectTimedOut"]);
    assert_all_are_over(&mut simulation, &mut outside, 0);
}

/// Checks that all who connected to a listener are gone but `alive` of them.
fn assert_all_are_over(simulation: &mut Simulation, listener: &mut PeerListener, alive: usize) {
    let mut peers: Vec<_> = std::iter::from_fn(|| listener.accept()).collect();
    simulation.settle();
    let open = peers.iter_mut().filter_map(|peer| peer.end().is_none().then_some(())).count();
    assert_eq!(open, alive);
}

/// A listener whose queue in the kernel is full, so that the next client gets no answer.
#[cfg(target_os = "linux")]
fn full_listener() -> (TcpListener, TcpStream) {
    let (socket, _) = bound([127, 0, 0, 1]);
    socket.listen(0).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from(socket);
    let only = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // Until the listener is readable the handshake may not be through on its side.
    let mut poll = mio::Poll::new().unwrap();
    let mut watched = mio::net::TcpListener::from_std(listener.try_clone().unwrap());
    poll.registry().register(&mut watched, mio::Token(0), mio::Interest::READABLE).unwrap();
    let mut events = mio::Events::with_capacity(1);
    while events.is_empty() {
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
    }
    (listener, only)
}

/// Twisted's behaviour of `connectTCP(timeout)`, tried out, on a real kernel.
#[cfg(target_os = "linux")]
#[test]
fn a_real_silent_address_times_out_once_and_not_early() {
    let mut world = World::real();
    let log = Log::new();
    let (full, _only) = full_listener();
    let timeout = Duration::from_millis(50);
    let place = Connect::to(full.local_addr().unwrap()).timeout(timeout);
    let begin = Instant::now();
    world.reactor().connect(place, never_connected(&log));
    world.until("the timeout", |_| log.len() > 0);
    assert!(begin.elapsed() >= timeout);
    full.accept().unwrap(); // there is room now: an attempt that still lived would be answered
    world.quiet();
    assert_eq!(log.take(), ["c failed ConnectTimedOut"]);
    world.run().unwrap();
}

/// Twisted's connector as a state machine: an attempt has one outcome.
#[test]
fn answering_in_the_turn_of_the_timeout_is_one_outcome() {
    // An answer that has come counts, though no event has told it when the time is up.
    let cases = [(MS * 101, "c failed ConnectTimedOut"), (MS * 100, "c made"), (MS * 99, "c made")];
    for (latency, expected) in cases {
        let mut simulation = Simulation::new();
        let log = Log::new();
        let timeout = Duration::from_millis(100);
        simulation.set_latency(latency);
        let mut outside = simulation.listen("192.0.2.7:80").unwrap();
        let place = Connect::to(outside.addr()).timeout(timeout);
        simulation.reactor().connect(place, client(&log));
        simulation.advance(timeout);
        simulation.advance(Duration::from_secs(1));
        assert_eq!(log.take(), [expected]);
        assert_all_are_over(&mut simulation, &mut outside, usize::from(expected == "c made"));
        drop(simulation);
        log.take();
    }
}

both! {
    /// crocus's own: in Twisted the text goes to the resolver.
    fn a_text_that_is_no_address_fails_once(world) {
        for text in ["nonsense", "", "127.0.0.256:80", "localhost:99999", "::1:80", "http://a:1"] {
            let log = Log::new();
            let reasons = Reasons::default();
            let factory = never_connected(&log).on_failed(reasons.keep());
            world.reactor().connect(text, factory);
            assert_eq!(log.len(), 0, "not from within connect");
            assert_eq!(outcome(world, &log), ["c failed Failed(InvalidInput)"], "{text:?}");
            let reason = reasons.only();
            assert!(matches!(reason, Reason::Failed { activity: Activity::Resolving, .. }));
            assert!(reason.to_string().contains(text), "{reason}");
        }
        world.run().unwrap();
    }
}

// Names.

both! {
    /// crocus's own.
    fn a_host_name_is_looked_up(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        let name = format!("localhost:{}", outside.addr().port());
        world.reactor().connect(&name, client(&log));
        let mut far = world.accept(&mut outside);
        world.until("the connection", |_| log.len() > 0);
        world.send(&mut far, b"hi");
        world.until("the data", |_| log.has("c data hi"));
        assert_eq!(log.take(), ["c made", "c data hi"]);
    }
}

/// crocus's own.
#[test]
fn a_host_name_is_looked_up_by_another_thread() {
    let (said, heard) = mpsc::channel();
    let builder = Reactor::builder().resolver(move |_| {
        said.send(thread::current().id()).unwrap();
        Ok(vec![])
    });
    let mut reactor = builder.build().unwrap();
    let log = Log::new();
    reactor.connect(("a.test", 1), never_connected(&log));
    reactor.run().unwrap(); // until the failure was told
    assert_eq!(log.len(), 1);
    let threads: Vec<_> = heard.try_iter().collect();
    assert_eq!(threads.len(), 1);
    assert_ne!(threads[0], thread::current().id());
}

both! {
    /// crocus's own.
    fn an_unknown_host_is_one_failure_of_looking_up(world) {
        let log = Log::new();
        let reasons = Reasons::default();
        // A label of more than 63 letters: no resolver has to ask anybody else to know.
        let name = format!("{}.invalid", "a".repeat(64));
        let factory = never_connected(&log).on_failed(reasons.keep());
        world.reactor().connect((name.as_str(), 80), factory);
        world.until("the failure", |_| log.len() > 0);
        world.quiet();
        assert_eq!(log.len(), 1);
        let reason = reasons.only();
        assert!(
            matches!(reason, Reason::Failed { activity: Activity::Resolving, .. }),
            "{reason:?}"
        );
        assert_eq!(reason.who(), Who::System);
        world.run().unwrap();
    }
}

/// Twisted's `test_endpointConnectFailureAfterIteration`, for no address at all.
#[test]
fn a_host_without_an_address_is_one_failure() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let reasons = Reasons::default();
    simulation.set_host("empty", &[]);
    let factory = never_connected(&log).on_failed(reasons.keep());
    simulation.reactor().connect("empty:80", factory);
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed Failed(NotFound)"]);
    assert!(matches!(reasons.only(), Reason::Failed { activity: Activity::Resolving, .. }));
    assert_eq!(simulation.elapsed(), Duration::ZERO);
}

// Several addresses.

/// Addresses for a host in the simulation, the last byte of each telling them apart.
fn ips<const N: usize>(last: [u8; N]) -> [IpAddr; N] {
    last.map(|last| Ipv4Addr::new(192, 0, 2, last).into())
}

fn at(last: u8) -> SocketAddr {
    (ips([last])[0], 80).into()
}

/// A simulation in which `host` has these addresses, all of them silent.
fn silent_host<const N: usize>(last: [u8; N]) -> Simulation {
    let mut simulation = Simulation::new();
    simulation.set_host("host", &ips(last));
    for last in last {
        simulation.set_blackhole(at(last));
    }
    simulation
}

/// Twisted's `test_IPv6IsFaster`, `test_otherConnectionsCancelled`.
#[test]
fn a_second_address_begins_exactly_after_the_head_start() {
    let to = Connect::to("host:80");
    for (head_start, place) in
        [(HEAD_START, to.clone()), (Duration::from_secs(2), to.head_start(Duration::from_secs(2)))]
    {
        let mut simulation = silent_host([1]);
        simulation.set_host("host", &ips([1, 2]));
        let log = Log::new();
        let mut second = simulation.listen(at(2)).unwrap();
        simulation.reactor().connect(place, client(&log));
        simulation.advance(head_start - MS);
        assert_eq!(log.len(), 0);
        assert!(second.accept().is_none(), "not before its time");
        simulation.advance(MS);
        assert_eq!(log.take(), ["c made"]);
        let peer = second.accept().unwrap();
        assert!(second.accept().is_none());
        drop(peer);
        simulation.reactor().run().unwrap();
        assert_eq!(simulation.elapsed(), head_start, "no timer is left, and the first is given up");
        assert_eq!(log.take(), ["c eof", "c lost PeerClosed", "c owner lost PeerClosed"]);
    }
}

/// Twisted's `test_otherConnectionsCancelled`.
#[test]
fn an_answer_after_another_address_won_makes_no_protocol() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    simulation.set_host("host", &ips([1, 2]));
    let mut slow = simulation.listen(at(1)).unwrap();
    let mut quick = simulation.listen(at(2)).unwrap();
    simulation.set_latency(Duration::from_secs(1));
    simulation.reactor().connect("host:80", client(&log));
    simulation.turn();
    simulation.turn();
    simulation.set_latency(Duration::from_millis(10));
    simulation.advance(Duration::from_secs(5));
    assert_eq!(log.take(), ["c made"]);
    assert_eq!(simulation.reactor().connections().len(), 1);
    assert_all_are_over(&mut simulation, &mut slow, 0);
    assert_all_are_over(&mut simulation, &mut quick, 1);
    drop(simulation);
    log.take();
}

/// Twisted's `test_otherConnectionsCancelled`, at the limit.
#[test]
fn two_answers_in_one_turn_make_one_protocol() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    simulation.set_host("host", &ips([1, 2]));
    let mut first = simulation.listen(at(1)).unwrap();
    let mut second = simulation.listen(at(2)).unwrap();
    simulation.set_latency(HEAD_START + Duration::from_millis(50));
    simulation.reactor().connect("host:80", client(&log));
    simulation.turn();
    simulation.turn();
    simulation.set_latency(Duration::from_millis(50));
    simulation.advance(HEAD_START + Duration::from_millis(50));
    let mut peers = [first.accept().unwrap(), second.accept().unwrap()];
    assert_eq!(simulation.elapsed(), HEAD_START + Duration::from_millis(50));
    simulation.advance(Duration::from_secs(1));
    assert_eq!(log.take(), ["c made"]);
    let ended = peers.each_mut().map(|peer| peer.end().is_some());
    assert_eq!(ended.iter().filter(|&&ended| ended).count(), 1, "the other one is closed");
    assert_eq!(simulation.reactor().connections().len(), 1);
    drop(simulation);
    log.take();
}

/// Twisted's `test_endpointConnectFailureAfterIteration`: the next one does not wait.
#[test]
fn after_a_refusal_the_next_address_is_tried_at_once() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    simulation.set_host("host", &ips([1, 2, 3]));
    let mut third = simulation.listen(at(3)).unwrap();
    simulation.reactor().connect("host:80", client(&log));
    simulation.settle();
    assert_eq!(log.take(), ["c made"]);
    drop(third.accept().unwrap());
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.elapsed(), Duration::ZERO);
}

/// Twisted's `test_endpointConnectFailureAfterIteration`.
#[test]
fn when_all_addresses_fail_there_is_one_failure() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let reasons = Reasons::default();
    simulation.set_host("host", &ips([1, 2, 3]));
    let factory = never_connected(&log).on_failed(reasons.keep());
    simulation.reactor().connect("host:80", factory);
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed Failed(ConnectionRefused)"]);
    assert!(matches!(reasons.only(), Reason::Failed { activity: Activity::Connecting, .. }));
    assert_eq!(simulation.elapsed(), Duration::ZERO);
    assert_eq!(simulation.reactor().next_deadline(), None);
}

/// Twisted's `test_endpointConnectFailureAfterIteration`, where the last one is still out.
#[test]
fn one_refusal_is_no_outcome_while_another_address_hangs() {
    let mut simulation = silent_host([1]);
    let log = Log::new();
    simulation.set_host("host", &ips([1, 2]));
    simulation.reactor().connect("host:80", never_connected(&log));
    simulation.advance(TIMEOUT - MS);
    assert_eq!(log.len(), 0, "the first may still answer");
    simulation.advance(MS);
    assert_eq!(log.take(), ["c failed ConnectTimedOut"]);
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.elapsed(), TIMEOUT);
}

/// Twisted's `test_endpointConnectingCancelled`, by the timeout: it covers all addresses.
#[test]
fn one_timeout_ends_all_addresses_that_hang() {
    let mut simulation = silent_host([1, 2, 3, 4]);
    let log = Log::new();
    let place = Connect::to("host:80").timeout(Duration::from_millis(600));
    simulation.reactor().connect(place, never_connected(&log));
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed ConnectTimedOut"]);
    assert_eq!(simulation.elapsed(), Duration::from_millis(600));
}

/// RFC 8305, section 4; Twisted's endpoint takes the addresses as they come.
#[test]
fn a_family_that_hangs_costs_one_head_start() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let v6 = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
    simulation.set_host("host", &[v6(1), v6(2), v6(3), ips([1])[0]]);
    for last in 1..=3 {
        simulation.set_blackhole((v6(last), 80).into());
    }
    let _outside = simulation.listen(at(1)).unwrap();
    simulation.reactor().connect("host:80", client(&log));
    simulation.advance(HEAD_START);
    assert_eq!(log.take(), ["c made"]);
    drop(simulation);
    log.take();
}

// Cancelling.

both! {
    /// Twisted's `test_userFail`.
    fn cancelled_before_it_began_an_attempt_fails_once(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        let id = world.reactor().connect(outside.addr(), never_connected(&log));
        assert!(world.reactor().cancel_connect(id));
        assert!(!world.reactor().cancel_connect(id), "it is cancelled already");
        assert_eq!(log.len(), 0, "not from within the command");
        assert_eq!(outcome(world, &log), ["c failed Cancelled"]);
        assert!(!world.reactor().cancel_connect(id), "it is over");
        assert!(outside.accept().is_none());
        world.run().unwrap();
    }
}

/// Twisted's `test_endpointConnectingCancelled`.
#[test]
fn cancelled_while_connecting_an_attempt_fails_once() {
    let mut simulation = silent_host([1, 2, 3]);
    let log = Log::new();
    let id = simulation.reactor().connect("host:80", never_connected(&log));
    simulation.advance(HEAD_START + MS); // two of the three are being tried
    assert!(simulation.reactor().cancel_connect(id));
    assert_eq!(log.len(), 0);
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed Cancelled"]);
    assert_eq!(simulation.elapsed(), HEAD_START + MS);
    assert!(!simulation.reactor().cancel_connect(id));
}

/// Twisted's `test_endpointConnectingCancelled`, on real sockets.
#[cfg(target_os = "linux")]
#[test]
fn a_real_attempt_cancelled_while_connecting_fails_once() {
    let mut world = World::real();
    let log = Log::new();
    let (full, _only) = full_listener();
    let id = world.reactor().connect(full.local_addr().unwrap(), never_connected(&log));
    world.quiet();
    assert_eq!(log.len(), 0);
    assert!(world.reactor().cancel_connect(id));
    assert_eq!(outcome(&mut world, &log), ["c failed Cancelled"]);
    world.run().unwrap();
}

/// Twisted's `test_endpointConnectingCancelled`, for the lookup.
#[test]
fn cancelled_during_the_lookup_an_attempt_ignores_the_answer() {
    for answered in [true, false] {
        let mut world = World::real();
        let log = Log::new();
        let mut outside = world.listen_outside();
        let name = format!("localhost:{}", outside.addr().port());
        let first = Cell::new(true);
        let factory = client(&log).on_failed(move |connector, _| {
            if first.take() {
                assert!(connector.connect(), "this one may share the first one's lookup");
            }
        });
        let place = Connect::to(&name).timeout(HOUR);
        let id = world.reactor().connect(place, factory);
        world.reactor().turn(Some(Duration::ZERO)).unwrap();
        if answered {
            // The answer is in the queue, and the loop would take it in its next turn.
            let _watchdog = Watchdog::new("the answer");
            while world.reactor().next_deadline().unwrap() > Instant::now() + HOUR / 2 {
                thread::yield_now();
            }
        }
        assert!(world.reactor().cancel_connect(id));
        world.until("the connection", |_| log.has("c made"));
        world.quiet();
        assert_eq!(log.take(), ["c failed Cancelled", "c made"]);
        let _far = world.accept(&mut outside);
        assert!(outside.accept().is_none(), "only one connection was made");
        assert_eq!(world.reactor().stats().connected, 1);
    }
}

both! {
    /// Twisted's `test_stopServiceWhileRetrying`, for one connector.
    fn cancelled_before_a_retry_an_attempt_fails_once_more(world) {
        let log = Log::new();
        let closed = Refusing::new(world);
        let first = Rc::new(Cell::new(true));
        let factory = never_connected(&log).on_failed(move |connector, _| {
            if first.take() {
                assert!(connector.connect_after(HOUR));
            }
        });
        let id = world.reactor().connect(closed.addr, factory);
        assert_eq!(outcome(world, &log), ["c failed Failed(ConnectionRefused)"]);
        assert!(world.reactor().endpoint(id).is_some());
        assert!(world.reactor().cancel_connect(id));
        assert_eq!(log.len(), 0);
        world.run().unwrap(); // the timer is gone, or this would take an hour
        assert_eq!(log.take(), ["c failed Cancelled"]);
        assert!(!world.reactor().cancel_connect(id));
    }
}

both! {
    /// Twisted's `test_userFail`.
    fn cancelling_is_refused_when_nothing_is_under_way(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        let id: Rc<Cell<Option<ConnectorId>>> = Rc::default();
        let (own, seen) = (Rc::clone(&id), log.clone());
        let cancel = move |transport: &mut Transport| {
            let cancelled = transport.reactor().cancel_connect(own.get().unwrap());
            seen.push(format!("cancelled {cancelled}"));
        };
        let cancel = Rc::new(cancel);
        let factory = client_with(&log, move |recorder| {
            let (when_made, when_lost) = (Rc::clone(&cancel), Rc::clone(&cancel));
            recorder
                .on_made(move |transport| when_made(transport))
                .on_lost(move |transport, _| when_lost(transport))
        });
        let seen = log.clone();
        let factory = factory.on_lost(move |connector, _| {
            let id = connector.id();
            seen.push(format!("cancelled {}", connector.reactor().cancel_connect(id)));
        });
        id.set(Some(world.reactor().connect(outside.addr(), factory)));
        let far = world.accept(&mut outside);
        world.until("the connection", |_| log.len() > 0);
        assert!(!world.reactor().cancel_connect(id.get().unwrap()));
        drop(far);
        world.run().unwrap();
        assert!(!world.reactor().cancel_connect(id.get().unwrap()));
        assert_eq!(log.take(), [
            "c made",
            "cancelled false",
            "c eof",
            "c lost PeerClosed",
            "cancelled false",
            "c owner lost PeerClosed",
            "cancelled false",
        ]);
    }
}

both! {
    /// Twisted's `test_userFail`, from inside `connection_failed`.
    fn connection_failed_can_cancel_only_its_own_next_attempt(world) {
        let log = Log::new();
        let closed = Refusing::new(world);
        let seen = log.clone();
        let first = Rc::new(Cell::new(true));
        let factory = never_connected(&log).on_failed(move |connector, _| {
            let id = connector.id();
            assert!(!connector.reactor().cancel_connect(id), "this attempt is over");
            if first.take() {
                assert!(connector.connect());
                assert!(connector.reactor().cancel_connect(id));
                assert!(!connector.connect(), "a failure is owed already");
                seen.push("asked and cancelled");
            }
        });
        world.reactor().connect(closed.addr, factory);
        world.run().unwrap();
        assert_eq!(log.take(), [
            "c failed Failed(ConnectionRefused)",
            "asked and cancelled",
            "c failed Cancelled",
        ]);
    }
}

// Connecting again.

both! {
    /// Twisted's `test_clientStartStop`, and its behaviour of `connect` from a failure, tried out.
    fn connecting_again_from_connection_failed_succeeds_once_somebody_listens(world) {
        let log = Log::new();
        let closed = Refusing::new(world);
        let addr = closed.addr;
        let (closed, server) = (Cell::new(Some(closed)), log.clone());
        let tries = Cell::new(0);
        let ids = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&ids);
        let factory = client(&log).on_failed(move |connector, _| {
            tries.set(tries.get() + 1);
            seen.borrow_mut().push(connector.id());
            if tries.get() == 3 {
                drop(closed.take());
                let recorder = server.clone();
                let make = move |_| Recorder::new(&recorder, "s");
                connector.reactor().listen(addr, make).unwrap();
            }
            assert_eq!(connector.endpoint().to_string(), addr.to_string());
            assert!(connector.connect());
            assert!(!connector.connect(), "it is trying already");
            assert!(!connector.connect_after(HOUR), "it is trying already");
        });
        let id = world.reactor().connect(addr, factory);
        world.until("the connection", |_| log.has("c made") && log.has("s made"));
        world.quiet();
        assert_eq!(log.count("c failed Failed(ConnectionRefused)"), 3);
        assert_eq!(log.len(), 5);
        assert_eq!(*ids.borrow(), [id; 3], "it is the same connector");
        assert!(world.reactor().connection_of(id).is_some());
        assert_eq!(world.reactor().stats().failed, 3);
    }
}

/// Twisted's `ReconnectingClientFactory.retry`, its clock.
#[test]
fn connect_after_waits_exactly_as_long_as_asked() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let tries = Cell::new(0);
    let factory = never_connected(&log).on_failed(move |connector, _| {
        tries.set(tries.get() + 1);
        if tries.get() < 4 {
            assert!(connector.connect_after(Duration::from_secs(tries.get())));
        }
    });
    simulation.reactor().connect(at(1), factory);
    for (wait, count) in [(0, 1), (1, 1), (2, 1), (3, 1)] {
        if wait > 0 {
            simulation.advance(Duration::from_secs(wait) - MS);
            assert_eq!(log.len(), 0);
            simulation.advance(MS);
        }
        simulation.settle();
        assert_eq!(log.take().len(), count, "after {wait} s");
    }
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.elapsed(), Duration::from_secs(6));
}

/// crocus's own: each attempt has the whole timeout.
#[test]
fn each_attempt_has_a_timeout_of_its_own() {
    let mut simulation = silent_host([1]);
    let log = Log::new();
    let first = Cell::new(true);
    let factory = never_connected(&log).on_failed(move |connector, _| {
        if first.take() {
            assert!(connector.connect_after(Duration::from_secs(10)));
        }
    });
    simulation.reactor().connect(at(1), factory);
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed ConnectTimedOut"; 2]);
    assert_eq!(simulation.elapsed(), TIMEOUT + Duration::from_secs(10) + TIMEOUT);
}

both! {
    /// Twisted's `test_connectorIdentity`, `test_reconnect`.
    fn a_connector_can_connect_again_from_connection_lost(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        let ids = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&ids);
        let factory = client(&log).on_lost(move |connector, _| {
            seen.borrow_mut().push(connector.id());
            if seen.borrow().len() < 3 {
                assert!(connector.connect());
                assert!(!connector.connect());
            }
        });
        let id = world.reactor().connect(outside.addr(), factory);
        let mut connections = Vec::new();
        for round in 1..=3 {
            let far = world.accept(&mut outside);
            world.until("the connection", |_| log.count("c made") == round);
            connections.push(world.reactor().connection_of(id).unwrap());
            drop(far);
            world.until("the loss", |_| log.count("c owner lost") == round);
        }
        world.run().unwrap();
        let round = ["c made", "c eof", "c lost PeerClosed", "c owner lost PeerClosed"];
        assert_eq!(log.take(), round.repeat(3));
        assert_eq!(*ids.borrow(), [id; 3]);
        connections.dedup();
        assert_eq!(connections.len(), 3, "each is a connection of its own");
    }
}

both! {
    /// Twisted's `test_loseOrder`.
    fn the_owner_hears_of_the_loss_after_the_protocol(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        let told: Rc<RefCell<Vec<Reason>>> = Rc::default();
        let (protocols, owners) = (Rc::clone(&told), Rc::clone(&told));
        let factory = client_with(&log, move |recorder| {
            let protocols = Rc::clone(&protocols);
            recorder.on_lost(move |_, reason| protocols.borrow_mut().push(reason.clone()))
        });
        let factory =
            factory.on_lost(move |_, reason| owners.borrow_mut().push(reason.clone()));
        world.reactor().connect(outside.addr(), factory);
        let far = world.accept(&mut outside);
        world.until("the connection", |_| log.has("c made"));
        far.reset();
        world.until("the loss", |_| log.count("c owner lost") == 1);
        assert_eq!(log.take(), [
            "c made",
            "c lost Failed(ConnectionReset)",
            "c owner lost Failed(ConnectionReset)",
        ]);
        let told = told.borrow();
        let errors: Vec<_> = told.iter().map(|reason| reason.io_error().unwrap()).collect();
        assert!(std::ptr::eq(errors[0], errors[1]), "it is the very same error");
    }
}

// Bugs and refusals of the user's.

/// Twisted's behaviour, tried out: there the owner is not told.
#[test]
fn an_owner_may_connect_again_though_its_protocol_panicked() {
    let mut world = World::real();
    let log = Log::new();
    let mut outside = world.listen_outside();
    let factory = client_with(&log, |recorder| recorder.on_lost(|_, _| panic!("on purpose")));
    let first = Cell::new(true);
    let factory = factory.on_lost(move |connector, _| {
        if first.take() {
            assert!(connector.connect());
        }
    });
    world.reactor().connect(outside.addr(), factory);
    for round in 1..=2 {
        let far = world.accept(&mut outside);
        world.until("the connection", |_| log.count("c made") == round);
        drop(far);
        world.until("the loss", |_| log.count("c owner lost") == round);
    }
    world.run().unwrap();
    let round = ["c made", "c eof", "c lost PeerClosed", "c owner lost PeerClosed"];
    assert_eq!(log.take(), round.repeat(2));
}

/// Twisted's behaviour, tried out: there it is called twice.
#[test]
fn a_panic_in_connection_failed_does_not_repeat_it() {
    let mut world = World::real();
    let log = Log::new();
    let closed = Refusing::new(&mut world);
    let factory = never_connected(&log).on_failed(|_, _| panic!("on purpose"));
    let id = world.reactor().connect(closed.addr, factory);
    world.run().unwrap();
    assert_eq!(log.take(), ["c failed Failed(ConnectionRefused)"]);
    assert_eq!(world.reactor().stats().panics, 1);
    assert_eq!(world.reactor().endpoint(id), None);
}

/// crocus's own: a callback that panics keeps the attempt that it asked for before.
#[test]
fn a_panic_in_connection_failed_keeps_the_attempt_asked_for() {
    let mut world = World::real();
    let log = Log::new();
    let closed = Refusing::new(&mut world);
    let first = Cell::new(true);
    let factory = never_connected(&log).on_failed(move |connector, _| {
        if first.take() {
            assert!(connector.connect());
            panic!("on purpose");
        }
    });
    world.reactor().connect(closed.addr, factory);
    world.run().unwrap();
    assert_eq!(log.take(), ["c failed Failed(ConnectionRefused)"; 2]);
}

/// crocus's own.
#[test]
fn an_owner_that_panics_in_connection_lost_is_told_once() {
    let mut world = World::real();
    let log = Log::new();
    let mut outside = world.listen_outside();
    let factory = client(&log).on_lost(|_, _| panic!("on purpose"));
    world.reactor().connect(outside.addr(), factory);
    drop(world.accept(&mut outside));
    world.run().unwrap();
    assert_eq!(log.take(), ["c made", "c eof", "c lost PeerClosed", "c owner lost PeerClosed"]);
}

both! {
    /// Twisted's behaviour of `buildProtocol` that returns `None`, in `test_tcp`.
    fn a_client_factory_that_refuses_is_told_and_closes(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        let seen = log.clone();
        let factory = building(&log, move |_| {
            seen.push("refused");
            None
        });
        let id = world.reactor().connect(outside.addr(), factory);
        let mut far = world.accept(&mut outside);
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        world.run().unwrap();
        assert_eq!(log.take(), ["refused", "c failed Refused"]);
        assert_eq!(world.reactor().connection_of(id), None);
        assert_eq!(world.reactor().stats().connected, 0);
    }
}

/// crocus's own.
#[test]
fn a_client_factory_that_panics_is_one_failure_and_closes() {
    let mut world = World::real();
    let log = Log::new();
    let mut outside = world.listen_outside();
    let factory = building(&log, |_| panic!("on purpose"));
    world.reactor().connect(outside.addr(), factory);
    let mut far = world.accept(&mut outside);
    assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
    world.run().unwrap();
    assert_eq!(log.take(), ["c failed Panicked(build_protocol)"]);
}

/// Twisted's and asyncio's behaviour, tried out: both leave the connection open.
#[test]
fn a_panic_in_connection_made_ends_it_on_both_sides() {
    let mut world = World::real();
    let log = Log::new();
    let seen = log.clone();
    let panic = |_: &mut Transport| panic!("on purpose");
    let (_, addr) = world.listen(move |_| Recorder::new(&seen, "s").on_made(panic));
    let mut far = world.dial(addr);
    assert_eq!(world.read_to_end(&mut far), (vec![], Err(ErrorKind::ConnectionReset)));
    world.until("the loss", |_| log.count("s lost") == 1);
    world.quiet();
    assert_eq!(log.take(), ["s made", "s lost Panicked(connection_made)"]);

    let mut outside = world.listen_outside();
    let factory = client_with(&log, move |recorder| recorder.on_made(panic));
    world.reactor().connect(outside.addr(), factory);
    let mut far = world.accept(&mut outside);
    assert_eq!(world.read_to_end(&mut far), (vec![], Err(ErrorKind::ConnectionReset)));
    world.until("the owner to be told", |_| log.count("c owner lost") == 1);
    world.quiet();
    assert_eq!(
        log.take(),
        ["c made", "c lost Panicked(connection_made)", "c owner lost Panicked(connection_made)",]
    );
}

// Options.

both! {
    /// Twisted's `test_clientBind`, `test_hostAddress`.
    fn the_server_sees_the_local_address_that_was_asked_for(world) {
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |peer: Address| {
            seen.push(peer.socket_addr().unwrap().to_string());
            Recorder::new(&seen, "s")
        });
        // An address of the loopback network that nobody else uses, so that its ports are free.
        let ip = if cfg!(target_os = "linux") { [127, 0, 31, 1] } else { [127, 0, 0, 1] };
        let free = if world.is_real() {
            bound(ip).1
        } else {
            (ip, 1234).into()
        };
        for wanted in [(ip, 0).into(), free] {
            let place = Connect::to(addr).local_addr(wanted);
            let inside = Rc::new(Cell::new(None));
            let see = Rc::clone(&inside);
            let factory = client_with(&log, move |recorder| {
                let see = Rc::clone(&see);
                recorder.on_made(move |transport| {
                    see.set(transport.local_addr().unwrap().socket_addr());
                })
            });
            let id = world.reactor().connect(place, factory);
            world.until("both ends", |_| log.has("c made") && log.has("s made"));
            let local: SocketAddr = inside.get().unwrap();
            assert!(log.has(&local.to_string()), "{:?}", log.lines());
            assert_eq!(local.ip(), wanted.ip());
            assert!(wanted.port() == 0 || local.port() == wanted.port());
            let connection = world.reactor().connection_of(id).unwrap();
            world.reactor().transport(connection).unwrap().abort_connection();
            world.until("the loss", |_| log.count("s lost") + log.count("c owner lost") == 2);
            log.take();
        }
    }
}

/// Twisted's `test_clientBind`.
#[test]
fn a_local_address_that_is_not_ours_fails_once() {
    let mut world = World::real();
    let outside = world.listen_outside();
    let (_held, taken) = bound([127, 0, 0, 1]);
    let cases: [(SocketAddr, Option<i32>); 3] = [
        (taken, Some(libc::EADDRINUSE)),
        (([192, 0, 2, 1], 0).into(), Some(libc::EADDRNOTAVAIL)),
        ("[::1]:0".parse().unwrap(), None), // of another family; systems differ in the errno
    ];
    for (local, errno) in cases {
        let log = Log::new();
        let reasons = Reasons::default();
        let factory = never_connected(&log).on_failed(reasons.keep());
        let place = Connect::to(outside.addr()).local_addr(local);
        world.reactor().connect(place, factory);
        assert_eq!(log.len(), 0, "not from within connect");
        assert_eq!(outcome(&mut world, &log).len(), 1);
        let reason = reasons.only();
        assert!(matches!(reason, Reason::Failed { activity: Activity::Binding, .. }), "{reason:?}");
        let found = reason.io_error().unwrap().raw_os_error();
        assert!(errno.is_none() || found == errno, "{reason:?}");
    }
    world.run().unwrap();
}

/// crocus's own: asked to connect from the very address that it connects to, the kernel connects the
/// socket to itself. With a port that the kernel chooses this happens by chance.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_to_itself_is_told_as_refused() {
    let mut world = World::real();
    let addr = bound([127, 0, 31, 2]).1; // and closed again
    for _ in 0..2 {
        let log = Log::new();
        let reasons = Reasons::default();
        let factory = never_connected(&log).on_failed(reasons.keep());
        world.reactor().connect(Connect::to(addr).local_addr(addr), factory);
        assert_eq!(outcome(&mut world, &log), ["c failed Failed(ConnectionRefused)"]);
        assert_eq!(reasons.only().io_error().unwrap().raw_os_error(), Some(libc::ECONNREFUSED));
    }
    // The port is free at once, for a server that does not ask for SO_REUSEADDR either.
    let server = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    server.bind(&addr.into()).unwrap();
}

/// crocus's own.
#[cfg(target_os = "linux")]
#[test]
fn a_fixed_local_port_serves_connections_to_several_servers() {
    let mut world = World::real();
    let log = Log::new();
    let local = bound([127, 0, 31, 3]).1;
    let servers = [(); 3].map(|()| world.listen_outside());
    let connect = |world: &mut World, server: SocketAddr| {
        world.reactor().connect(Connect::to(server).local_addr(local), client(&log));
        outcome(world, &log)
    };
    assert_eq!(connect(&mut world, servers[0].addr()), ["c made"]);
    assert_eq!(connect(&mut world, servers[1].addr()), ["c made"], "two at a time");
    // We close first, so our port stays in TIME_WAIT.
    for id in world.reactor().connections() {
        world.reactor().transport(id).unwrap().lose_connection();
    }
    for server in servers.into_iter().take(2) {
        let FarListener::Real(server) = server else { unreachable!("the world is real") };
        drop(server.accept().unwrap());
    }
    world.until("the losses", |_| log.count("c lost") == 2);
    log.take();
    let third = world.listen_outside();
    assert_eq!(connect(&mut world, third.addr()), ["c made"]);
}

/// crocus's own.
#[test]
fn the_options_of_an_attempt_arrive_at_its_connection() {
    let look = |options: SocketOptions| {
        let mut world = World::real();
        let log = Log::new();
        let outside = world.listen_outside();
        let found = Rc::new(Cell::new(None));
        let seen = Rc::clone(&found);
        let factory = client_with(&log, move |recorder| {
            let seen = Rc::clone(&seen);
            recorder.on_made(move |transport| {
                let options = (transport.no_delay().unwrap(), transport.keep_alive().unwrap());
                seen.set(Some(options));
            })
        });
        world.reactor().connect(Connect::to(outside.addr()).socket(options), factory);
        world.until("the connection", |_| log.has("c made"));
        found.get().unwrap()
    };
    assert_eq!(look(SocketOptions::new()), (true, false));
    let options = SocketOptions::new().no_delay(false).keep_alive(Duration::from_secs(77));
    assert_eq!(look(options), (false, true));
}

both! {
    /// crocus's own.
    fn a_closure_is_a_client_factory_that_lets_failures_go(world) {
        let log = Log::new();
        let closed = Refusing::new(world);
        let mut outside = world.listen_outside();
        let seen = log.clone();
        world.reactor().connect(closed.addr, move |_| Recorder::new(&seen, "x"));
        let seen = log.clone();
        world.reactor().connect(outside.addr(), move |_| Recorder::new(&seen, "c"));
        drop(world.accept(&mut outside));
        world.run().unwrap();
        assert_eq!(log.take(), ["c made", "c eof", "c lost PeerClosed"]);
    }
}

// Stopping.

both! {
    /// Twisted's `test_clientConnectionFailedStopsReactor`.
    fn a_stop_from_connection_failed_ends_the_run(world) {
        let log = Log::new();
        let closed = Refusing::new(world);
        let (_, _) = world.listen(|_| Recorder::new(&Log::new(), "s")); // would keep it running
        let factory = never_connected(&log).on_failed(|connector, _| {
            connector.reactor().stop();
            assert!(!connector.connect(), "it is stopping");
        });
        world.reactor().connect(closed.addr, factory);
        world.run().unwrap();
        assert_eq!(log.take(), ["c failed Failed(ConnectionRefused)"]);
    }
}

both! {
    /// Twisted's `test_clientConnectionFailedStopsReactor`, whose server goes away just then.
    fn a_server_that_stops_during_a_connect_makes_one_outcome(world) {
        for turns in 0..=2 {
            let mut world = world.with_limits(Reactor::builder());
            let log = Log::new();
            let (id, addr) = world.listen(|_| Recorder::new(&Log::new(), "s"));
            world.turn();
            world.reactor().connect(addr, client(&log));
            for _ in 0..turns {
                world.reactor().turn(Some(Duration::ZERO)).unwrap();
            }
            world.reactor().stop_listening(id);
            if turns == 2 {
                world.reactor().call_later(Duration::from_millis(1), Reactor::stop);
            }
            world.run().unwrap();
            let lines = log.take();
            // How far the handshake was is not for us to say; one outcome there must be.
            let failed = lines.len() == 1 && lines[0].starts_with("c failed Failed(Connection");
            let lost = lines.first().is_some_and(|line| line == "c made")
                && lines.last().is_some_and(|line| line.starts_with("c owner lost"));
            assert!(failed || lost, "{lines:?}");
            let stats = world.reactor().stats();
            assert_eq!(stats.failed + stats.connected, 1);
        }
    }
}

/// Starts a client that is refused and waits for an hour to connect again.
fn waiting_client(world: &mut World, log: &Log) -> Refusing {
    let closed = Refusing::new(world);
    let factory = never_connected(log).on_failed(|connector, reason| {
        let again = connector.connect_after(HOUR);
        assert_eq!(again, tag(reason) != "Stopped", "{reason:?}");
    });
    world.reactor().connect(closed.addr, factory);
    assert_eq!(outcome(world, log), ["c failed Failed(ConnectionRefused)"]);
    closed
}

/// Twisted's `test_stopServiceWhileConnecting`, for the reactor.
#[test]
fn a_stop_fails_attempts_in_every_state() {
    let simulation = silent_host([1, 2, 3]);
    let log = Log::new();
    let mut world = World::Simulated(simulation);
    let _closed = waiting_client(&mut world, &log);
    world.reactor().connect("host:80", never_connected(&log));
    world.pass(HEAD_START * 2);
    world.reactor().connect("host:80", never_connected(&log)); // not begun when the stop comes
    world.reactor().stop();
    world.run().unwrap();
    assert_eq!(log.take(), ["c failed Stopped"; 3]);
    world.run().unwrap(); // and nothing is left
    let World::Simulated(simulation) = world else { unreachable!() };
    assert_eq!(simulation.elapsed(), HEAD_START * 2);
}

/// Twisted's `test_stopServiceWhileConnecting`, for the reactor, on real sockets.
#[cfg(target_os = "linux")]
#[test]
fn a_stop_fails_real_attempts_in_every_state() {
    let mut world = World::real();
    let log = Log::new();
    let (full, _only) = full_listener();
    let _closed = waiting_client(&mut world, &log);
    world.reactor().connect(full.local_addr().unwrap(), never_connected(&log));
    world.quiet();
    // While its name is being looked up: the answer cannot be taken before the stop.
    world.reactor().connect("localhost:1", never_connected(&log));
    world.reactor().stop();
    world.run().unwrap();
    assert_eq!(log.take(), ["c failed Stopped"; 3]);
    world.run().unwrap();
    assert_eq!(log.len(), 0);
}

both! {
    /// Twisted's `test_stopServiceWhileRetrying`, for a shutdown.
    fn a_shutdown_gives_up_attempts_at_once(world) {
        let log = Log::new();
        let _closed = waiting_client(world, &log);
        let to = world.listen_outside();
        world.reactor().connect(to.addr(), never_connected(&log));
        world.reactor().shutdown(HOUR);
        assert_eq!(log.len(), 0, "not from within the command");
        world.run().unwrap();
        assert_eq!(log.take(), ["c failed Stopped"; 2]);
    }
}

both! {
    /// Twisted's `test_clientConnectionLostWhileStopping`.
    fn during_a_shutdown_a_lost_client_cannot_connect_again(world) {
        for at_once in [true, false] {
            let log = Log::new();
            let mut outside = world.listen_outside();
            let seen = log.clone();
            let factory = client(&log).on_lost(move |connector, _| {
                seen.push(format!("again {}", connector.connect()));
            });
            world.reactor().connect(outside.addr(), factory);
            let _far = world.accept(&mut outside);
            world.until("the connection", |_| log.has("c made"));
            let reason = if at_once {
                world.reactor().stop();
                "Stopped"
            } else {
                world.reactor().shutdown(Duration::ZERO);
                "Closed"
            };
            world.run().unwrap();
            let lines = log.take();
            assert_eq!(lines.len(), 4, "{lines:?}");
            assert_eq!(lines[0], "c made");
            assert!(lines[1].starts_with("c lost "));
            assert!(lines[2].starts_with("c owner lost "));
            assert!(!at_once || lines[2].ends_with(reason));
            assert_eq!(lines[3], "again false");
            world.run().unwrap();
        }
    }
}

both! {
    /// crocus's own.
    fn connecting_while_stopping_fails_with_stopped(world) {
        let log = Log::new();
        let outside = world.listen_outside();
        world.reactor().stop();
        let id = world.reactor().connect(outside.addr(), never_connected(&log));
        assert!(!world.reactor().cancel_connect(id), "its failure is on the way");
        assert_eq!(log.len(), 0, "not from within connect");
        world.run().unwrap();
        assert_eq!(log.take(), ["c failed Stopped"]);
        world.run().unwrap();
        assert_eq!(log.len(), 0);
    }
}

both! {
    /// crocus's own: `run` can be called again.
    fn after_a_stop_one_can_connect_again(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        world.reactor().connect(outside.addr(), never_connected(&log));
        world.reactor().stop();
        world.run().unwrap();
        world.reactor().connect(outside.addr(), client(&log));
        world.until("the connection", |_| log.has("c made"));
        let lines = log.take();
        assert_eq!(lines.last().unwrap(), "c made");
        while outside.accept().is_some() {}
        world.run().unwrap();
    }
}

/// Twisted's `test_stopServiceWhileConnecting`, for a reactor that is dropped.
#[test]
fn attempts_fail_with_stopped_when_the_reactor_is_dropped() {
    let log = Log::new();
    let mut simulation = silent_host([1]);
    simulation.reactor().connect(at(1), never_connected(&log));
    simulation.settle();
    drop(simulation);
    assert_eq!(log.take(), ["c failed Stopped"]);
}

/// crocus's own: the outcome that was decided first is told.
#[test]
fn an_attempt_cancelled_before_a_stop_hears_of_the_cancel() {
    let log = Log::new();
    let mut simulation = silent_host([1]);
    let id = simulation.reactor().connect(at(1), never_connected(&log));
    simulation.settle();
    assert!(simulation.reactor().cancel_connect(id));
    simulation.reactor().shutdown(HOUR);
    simulation.reactor().run().unwrap();
    assert_eq!(log.take(), ["c failed Cancelled"]);
}

both! {
    /// Twisted's `test_clientStartStop`: one factory, many connectors.
    fn connectors_are_independent_of_each_other(world) {
        let log = Log::new();
        let closed = Refusing::new(world);
        let mut outside = world.listen_outside();
        let ids: Vec<ConnectorId> = (0..20)
            .map(|n| {
                let to = if n % 2 == 0 { closed.addr } else { outside.addr() };
                world.reactor().connect(to, client(&log))
            })
            .collect();
        world.until("all outcomes", |_| log.len() == 20);
        assert_eq!((log.count("c made"), log.count("c failed")), (10, 10));
        let standing = ids.iter().filter(|&&id| world.reactor().connection_of(id).is_some());
        assert_eq!(standing.count(), 10);
        while outside.accept().is_some() {}
        world.run().unwrap();
        assert_eq!(log.count("c owner lost PeerClosed"), 10);
    }
}
