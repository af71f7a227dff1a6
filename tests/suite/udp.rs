//! Datagrams: on real sockets and in the simulation.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::util::{Log, World, logged, message, pattern, say, tag};
use crocus::testing::{DatagramPeer, Simulation};
use crocus::{
    DatagramId, DatagramProtocol, DatagramTransport, Datagrams, Notice, Observer, Reactor, Reason,
    SocketOptions, Subject, TimerId,
};

type Then = Box<dyn FnMut(&mut DatagramTransport)>;
type ThenData = Box<dyn FnMut(&mut DatagramTransport, &[u8], SocketAddr)>;

/// Writes down what it is told, and does what it was set up to do.
///
/// Lines: `a start`, `a got …`, `a refused`, `a error …`, `a room`, `a timer`, `a shutting down`,
/// `a stop Closed`.
struct Recorder {
    log: Log,
    name: &'static str,
    start: Option<Then>,
    data: Option<ThenData>,
    refused: Option<Then>,
    room: Option<Then>,
    shutting_down: Option<Then>,
    stop: Option<Then>,
}

impl Recorder {
    fn new(log: &Log, name: &'static str) -> Self {
        Self {
            log: log.clone(),
            name,
            start: None,
            data: None,
            refused: None,
            room: None,
            shutting_down: None,
            stop: None,
        }
    }

    fn on_start(mut self, then: impl FnMut(&mut DatagramTransport) + 'static) -> Self {
        self.start = Some(Box::new(then));
        self
    }

    fn on_data(
        mut self,
        then: impl FnMut(&mut DatagramTransport, &[u8], SocketAddr) + 'static,
    ) -> Self {
        self.data = Some(Box::new(then));
        self
    }

    fn on_refused(mut self, then: impl FnMut(&mut DatagramTransport) + 'static) -> Self {
        self.refused = Some(Box::new(then));
        self
    }

    fn on_room(mut self, then: impl FnMut(&mut DatagramTransport) + 'static) -> Self {
        self.room = Some(Box::new(then));
        self
    }

    /// In place of the default, which closes. It is written down then.
    fn on_shutting_down(mut self, then: impl FnMut(&mut DatagramTransport) + 'static) -> Self {
        self.shutting_down = Some(Box::new(then));
        self
    }

    fn on_stop(mut self, then: impl FnMut(&mut DatagramTransport) + 'static) -> Self {
        self.stop = Some(Box::new(then));
        self
    }

    fn line(&self, what: &str) {
        self.log.push(format!("{} {what}", self.name));
    }
}

impl DatagramProtocol for Recorder {
    fn start_protocol(&mut self, transport: &mut DatagramTransport) {
        self.line("start");
        self.start.iter_mut().for_each(|then| then(transport));
    }

    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport,
        data: &[u8],
        from: SocketAddr,
    ) {
        match data.len() {
            0..100 => self.line(&format!("got {}", data.escape_ascii())),
            long => self.line(&format!("got {long} bytes")),
        }
        self.data.iter_mut().for_each(|then| then(transport, data, from));
    }

    fn connection_refused(&mut self, transport: &mut DatagramTransport) {
        self.line("refused");
        self.refused.iter_mut().for_each(|then| then(transport));
    }

    fn error_received(&mut self, _: &mut DatagramTransport, error: &io::Error) {
        self.line(&format!("error {:?}", error.kind()));
    }

    fn resume_writing(&mut self, transport: &mut DatagramTransport) {
        self.line("room");
        self.room.iter_mut().for_each(|then| then(transport));
    }

    fn timer_fired(&mut self, _: &mut DatagramTransport, _: TimerId) {
        self.line("timer");
    }

    fn shutting_down(&mut self, transport: &mut DatagramTransport) {
        match &mut self.shutting_down {
            Some(then) => {
                self.log.push(format!("{} shutting down", self.name));
                then(transport);
            }
            None => drop(transport.stop_listening()),
        }
    }

    fn stop_protocol(&mut self, transport: &mut DatagramTransport, reason: &Reason) {
        self.line(&format!("stop {}", tag(reason)));
        self.stop.iter_mut().for_each(|then| then(transport));
    }
}

/// A protocol that sends back what it gets.
fn echo(log: &Log) -> Recorder {
    Recorder::new(log, "a").on_data(|transport, data, from| transport.send_to(data, from).unwrap())
}

/// A socket outside of the reactor.
enum Far {
    Real(UdpSocket),
    Simulated(DatagramPeer),
}

impl Far {
    fn send(&mut self, data: &[u8], to: SocketAddr) {
        match self {
            Self::Real(socket) => assert_eq!(socket.send_to(data, to).unwrap(), data.len()),
            Self::Simulated(peer) => peer.send_to(data, to).unwrap(),
        }
    }

    fn receive(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        match self {
            Self::Real(socket) => {
                let mut buf = vec![0; 1 << 16];
                match socket.recv_from(&mut buf) {
                    Ok((count, from)) => {
                        buf.truncate(count);
                        Some((buf, from))
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    Err(error) => panic!("{error}"),
                }
            }
            Self::Simulated(peer) => peer.receive(),
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Real(socket) => socket.local_addr().unwrap(),
            Self::Simulated(peer) => peer.addr(),
        }
    }
}

fn far_at(world: &mut World, addr: impl ToString) -> Far {
    match world {
        World::Real(_) => {
            let socket = UdpSocket::bind(addr.to_string()).unwrap();
            socket.set_nonblocking(true).unwrap();
            Far::Real(socket)
        }
        World::Simulated(simulation) => {
            Far::Simulated(simulation.bind_udp(&*addr.to_string()).unwrap())
        }
    }
}

fn far(world: &mut World) -> Far {
    far_at(world, "127.0.0.1:0")
}

/// Binds a protocol at a free port.
fn bind(world: &mut World, protocol: impl DatagramProtocol + 'static) -> (DatagramId, SocketAddr) {
    let id = world.reactor().listen_udp("127.0.0.1:0", protocol).unwrap();
    (id, world.reactor().datagram(id).unwrap().local_addr())
}

/// An address at which nobody is bound.
fn nobody(world: &mut World) -> SocketAddr {
    far(world).addr()
}

/// The next datagram that comes to a far end.
fn next(world: &mut World, far: &mut Far) -> (Vec<u8>, SocketAddr) {
    let mut got = None;
    world.until("a datagram to come", |_| {
        got = far.receive();
        got.is_some()
    });
    got.unwrap()
}

mod receiving {
    use super::*;

    both! {
        fn boundaries_are_kept_and_an_empty_datagram_is_one(world) {
            let log = Log::new();
            let (_, addr) = bind(world, echo(&log));
            let mut far = far(world);
            for data in [&b"one"[..], b"", b"two", b"three"] {
                far.send(data, addr);
            }
            world.until("all to come", |_| log.has("a got three"));
            assert_eq!(log.take(), ["a start", "a got one", "a got ", "a got two", "a got three"]);
            for data in [&b"one"[..], b"", b"two", b"three"] {
                assert_eq!(next(world, &mut far), (data.to_vec(), addr));
            }
        }
    }

    both! {
        fn the_longest_datagram_comes_whole(world) {
            let log = Log::new();
            let (_, addr) = bind(world, echo(&log));
            let mut far = far(world);
            let data = pattern(65_507);
            far.send(&data, addr);
            let (back, from) = next(world, &mut far);
            assert!(back == data && from == addr, "{} bytes from {from}", back.len());
        }
    }

    both! {
        fn a_flood_does_not_hold_up_timers_nor_other_sockets(world) {
            let mut world = world.with_limits(Reactor::builder().datagram_budget(3));
            let log = Log::new();
            let turn_of = |name: &'static str, log: &Log| {
                let inner = log.clone();
                Recorder::new(log, name).on_data(move |transport, _, _| {
                    inner.push(format!("{name} turn {}", transport.reactor().stats().turns));
                })
            };
            let (_, flooded) = bind(&mut world, turn_of("a", &log));
            let (_, other) = bind(&mut world, turn_of("b", &log));
            world.until("both to start", |_| log.len() == 2);
            log.take();
            let mut far = far(&mut world);
            for _ in 0..10 {
                far.send(b"flood", flooded);
            }
            far.send(b"one", other);
            world.until("the flood to begin", |_| log.has("a got flood"));
            world.reactor().call_later(Duration::ZERO, say(&log, "tick"));
            world.until("all to come", |_| log.count("a got") == 10 && log.has("b got one"));
            let lines = log.take();
            let place = |line: &str| lines.iter().position(|known| known == line).unwrap();
            let a_before = |end: usize| {
                lines[..end].iter().filter(|line| *line == "a got flood").count()
            };
            assert!(a_before(place("tick")) <= 3, "{lines:#?}");
            assert!(a_before(place("b got one")) <= 3, "{lines:#?}");
            let mut per_turn = BTreeMap::new();
            for line in lines.iter().filter(|line| line.starts_with("a turn")) {
                *per_turn.entry(line).or_insert(0) += 1;
            }
            assert!(per_turn.values().all(|&count| count <= 3), "{lines:#?}");
        }
    }

    both! {
        fn the_bytes_of_a_turn_are_bounded_too(world) {
            let mut world = world.with_limits(Reactor::builder().read_budget(1000));
            let log = Log::new();
            let (_, addr) = bind(&mut world, Recorder::new(&log, "a"));
            let mut far = far(&mut world);
            for _ in 0..5 {
                far.send(&[b'x'; 600], addr);
            }
            let mut before = 0;
            world.until("all to come", |_| {
                let now = log.count("a got 600 bytes");
                assert!(now - before <= 2, "two exceed the budget, a third is not begun");
                before = now;
                now == 5
            });
        }
    }

    both! {
        fn one_socket_sends_through_another(world) {
            let log = Log::new();
            let (other, addr_of_other) = bind(world, Recorder::new(&log, "b"));
            let mut far = far(world);
            let to = far.addr();
            let (_, addr) = bind(world, Recorder::new(&log, "a").on_data(move |transport, data, _| {
                transport.reactor().datagram(other).unwrap().send_to(data, to).unwrap();
            }));
            far.send(b"hello", addr);
            assert_eq!(next(world, &mut far), (b"hello".to_vec(), addr_of_other));
        }
    }

    /// Where the system has IPv6.
    #[test]
    fn ipv6_is_no_different() {
        if UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("skipped: there is no IPv6");
            return;
        }
        for mut world in [World::real(), World::simulated()] {
            let log = Log::new();
            let place = Datagrams::at("[::1]:0").socket(SocketOptions::new().v6_only(true));
            let id = world.reactor().listen_udp(place, echo(&log)).unwrap();
            let addr = world.reactor().datagram(id).unwrap().local_addr();
            let mut far = far_at(&mut world, "[::1]:0");
            far.send(b"six", addr);
            assert_eq!(next(&mut world, &mut far).0, b"six");
        }
    }

    both! {
        fn a_socket_bound_to_all_addresses_answers_from_one(world) {
            let log = Log::new();
            let id = world.reactor().listen_udp("0.0.0.0:0", echo(&log)).unwrap();
            let mut addr = world.reactor().datagram(id).unwrap().local_addr();
            addr.set_ip(Ipv4Addr::LOCALHOST.into());
            let mut far = far(world);
            far.send(b"where", addr);
            assert_eq!(next(world, &mut far), (b"where".to_vec(), addr));
        }
    }

    #[test]
    fn a_group_is_heard_until_it_is_left() {
        let group = Ipv4Addr::new(239, 255, 77, 77);
        let mut world = World::real();
        let log = Log::new();
        let id = world.reactor().listen_udp("0.0.0.0:0", Recorder::new(&log, "a")).unwrap();
        let mut transport = world.reactor().datagram(id).unwrap();
        let to = SocketAddr::from((group, transport.local_addr().port()));
        transport.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        assert!(transport.join_multicast_v4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).is_err());
        let Far::Real(far) = far(&mut world) else { unreachable!("the world is real") };
        socket2::SockRef::from(&far).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        far.send_to(b"all", to).unwrap();
        world.until("the group to be heard", |_| log.has("a got all"));
        let mut transport = world.reactor().datagram(id).unwrap();
        transport.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        far.send_to(b"nobody", to).unwrap();
        far.send_to(b"one", ("127.0.0.1", to.port())).unwrap();
        world.until("what is sent to one to come", |_| log.has("a got one"));
        assert!(!log.has("a got nobody"));
    }

    #[test]
    fn a_simulation_knows_no_groups_and_says_so() {
        let mut world = World::simulated();
        let (id, _) = bind(&mut world, Recorder::new(&Log::new(), "a"));
        let mut transport = world.reactor().datagram(id).unwrap();
        let joined = transport.join_multicast_v4([239, 0, 0, 1].into(), Ipv4Addr::UNSPECIFIED);
        assert_eq!(joined.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}

mod starting_and_stopping {
    use super::*;

    both! {
        fn bind_fails_at_once_and_names_the_address(world) {
            let far = far(world);
            let text = far.addr().to_string();
            let error = world.reactor().listen_udp(&*text, Recorder::new(&Log::new(), "a"));
            let error = error.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().starts_with(&format!("binding {text}: ")), "{error}");
            for place in ["localhost:53", "nonsense"] {
                let error = world.reactor().listen_udp(place, Recorder::new(&Log::new(), "a"));
                assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{place}");
            }
            world.run().unwrap(); // nothing is left of those
        }
    }

    both! {
        fn stop_in_datagram_received_is_the_last_that_is_delivered(world) {
            let log = Log::new();
            let inner = log.clone();
            let (id, addr) = bind(world, Recorder::new(&log, "a").on_data(move |transport, _, from| {
                assert!(transport.stop_listening());
                assert!(!transport.stop_listening(), "it was already");
                let error = transport.send_to(b"late", from).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::NotConnected);
                // The port is free already.
                let local = transport.local_addr();
                transport.reactor().listen_udp(local, Recorder::new(&inner, "b")).unwrap();
                inner.push("a done");
            }));
            let mut far = far(world);
            for data in [b"1", b"2", b"3"] {
                far.send(data, addr);
            }
            world.until("the stop to be told", |_| log.has("a stop Closed"));
            world.quiet();
            let of_a: Vec<_> = log.take().into_iter().filter(|line| line.starts_with('a')).collect();
            assert_eq!(of_a, ["a start", "a got 1", "a done", "a stop Closed"]);
            assert!(world.reactor().datagram(id).is_none(), "a stale name finds nobody");
            far.send(b"4", addr);
            world.until("the next tenant to get it", |_| log.has("b got 4"));
        }
    }

    both! {
        fn stopped_before_it_started_it_is_told_nothing(world) {
            let log = Log::new();
            let (id, addr) = bind(world, Recorder::new(&log, "a"));
            assert!(world.reactor().datagram(id).unwrap().stop_listening());
            far_at(world, addr);
            world.run().unwrap();
            assert_eq!(log.take(), [""; 0]);
        }
    }

    both! {
        fn run_goes_on_for_a_socket_and_ends_without(world) {
            let log = Log::new();
            let (id, _) = bind(world, Recorder::new(&log, "a"));
            world.reactor().call_later(Duration::from_millis(1), move |reactor| {
                reactor.call_later(Duration::ZERO, move |reactor| {
                    reactor.datagram(id).unwrap().stop_listening();
                });
            });
            world.run().unwrap();
            assert_eq!(log.take(), ["a start", "a stop Closed"]);
        }
    }

    both! {
        fn the_end_of_the_reactor_is_told(world) {
            let log = Log::new();
            bind(world, Recorder::new(&log, "a").on_stop(|transport| {
                assert_eq!(transport.send(b"").unwrap_err().kind(), io::ErrorKind::NotConnected);
                assert_eq!(transport.local_addr().ip(), Ipv4Addr::LOCALHOST);
            }));
            world.turn();
            world.reactor().stop();
            world.run().unwrap();
            assert_eq!(log.take(), ["a start", "a stop Stopped"]);
            bind(world, Recorder::new(&log, "b"));
            world.turn();
            world.reactor().shutdown(Duration::from_secs(3600));
            world.run().unwrap();
            assert_eq!(log.take(), ["b start", "b stop Closed"]);
        }
    }

    both! {
        /// It may finish: here, until a timer of its own.
        fn a_shutdown_is_told_once_and_waits_for_the_socket(world) {
            let log = Log::new();
            let (id, addr) = bind(world, Recorder::new(&log, "a").on_shutting_down(|transport| {
                transport.call_later(Duration::from_millis(5));
                transport.reactor().shutdown(Duration::from_secs(3600)); // moves the end, tells nobody
            }));
            let (sender, _) = bind(world, Recorder::new(&log, "b"));
            world.turn();
            log.take();
            world.reactor().datagram(sender).unwrap().send_to(b"early", addr).unwrap();
            world.reactor().shutdown(Duration::from_secs(3600));
            let late = world.reactor().listen_udp("127.0.0.1:0", Recorder::new(&log, "c"));
            assert_eq!(late.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
            world.until("the timer", |_| log.has("a timer"));
            world.reactor().datagram(id).unwrap().stop_listening();
            world.run().unwrap();
            let (own, others): (Vec<_>, Vec<_>) =
                log.take().into_iter().partition(|line| line.starts_with('a'));
            assert_eq!(own[0], "a got early", "what had come comes first");
            assert_eq!(own[1..], ["a shutting down", "a timer", "a stop Closed"]);
            assert_eq!(others, ["b stop Closed"]);
        }
    }

    both! {
        /// Three times what a turn delivers; a boxed protocol is told as any other.
        fn a_shutdown_delivers_what_waits_in_the_socket(world) {
            const SENT: usize = 3 * 64;
            let log = Log::new();
            let told = Recorder::new(&log, "a").on_shutting_down(|transport| {
                transport.stop_listening();
            });
            let protocol: Box<dyn DatagramProtocol> = Box::new(told);
            let (_, addr) = bind(world, protocol);
            let (sender, _) = bind(world, Recorder::new(&log, "b"));
            world.turn();
            log.take();
            for _ in 0..SENT {
                world.reactor().datagram(sender).unwrap().send_to(b"one", addr).unwrap();
            }
            world.reactor().shutdown(Duration::from_secs(3600));
            world.run().unwrap();
            let own: Vec<_> = log.take().into_iter().filter(|line| line.starts_with('a')).collect();
            assert_eq!(own.iter().filter(|line| *line == "a got one").count(), SENT);
            assert_eq!(own[SENT..], ["a shutting down", "a stop Closed"]);
        }
    }

    both! {
        fn a_boxed_protocol_decides_what_a_shutdown_does(world) {
            let log = Log::new();
            let waits = Recorder::new(&log, "a").on_shutting_down(|transport| {
                transport.call_later(Duration::from_millis(1));
            });
            let boxed: Box<dyn DatagramProtocol> = Box::new(waits);
            let (id, _) = bind(world, boxed);
            world.reactor().shutdown(Duration::from_secs(3600));
            world.until("the timer to fire", |_| log.has("a timer"));
            world.reactor().datagram(id).unwrap().stop_listening();
            world.run().unwrap();
            assert_eq!(log.take(), ["a start", "a shutting down", "a timer", "a stop Closed"]);
        }
    }

    both! {
        fn a_socket_left_after_the_grace_is_stopped(world) {
            let log = Log::new();
            bind(world, Recorder::new(&log, "a").on_shutting_down(|_| {}));
            world.reactor().shutdown(Duration::from_millis(5));
            world.run().unwrap();
            assert_eq!(log.take(), ["a start", "a shutting down", "a stop Stopped"]);
        }
    }

    #[test]
    fn a_dropped_reactor_tells_it_too() {
        let log = Log::new();
        let mut world = World::real();
        bind(&mut world, Recorder::new(&log, "a"));
        world.turn();
        drop(world);
        assert_eq!(log.take(), ["a start", "a stop Stopped"]);
    }

    #[test]
    fn an_adopted_socket_works_and_leaves_copies_alone() {
        let mut world = World::real();
        let log = Log::new();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (copy, addr) = (socket.try_clone().unwrap(), socket.local_addr().unwrap());
        let id = world.reactor().listen_udp(socket, echo(&log)).unwrap();
        let mut far = far(&mut world);
        far.send(b"hello", addr);
        assert_eq!(next(&mut world, &mut far), (b"hello".to_vec(), addr));
        world.reactor().datagram(id).unwrap().stop_listening();
        world.run().unwrap();
        far.send(b"for the copy", addr);
        let report = world.reactor().turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(report.events, 0, "what becomes of the copy is no affair of ours");
        copy.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        copy.set_nonblocking(false).unwrap();
        let mut buf = [0; 99];
        assert_eq!(copy.recv(&mut buf).unwrap(), 12);
        assert_eq!(log.take(), ["a start", "a got hello", "a stop Closed"]);
    }

    #[test]
    fn a_simulation_adopts_no_socket() {
        let mut world = World::simulated();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = world.reactor().listen_udp(socket, Recorder::new(&Log::new(), "a"));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    #[cfg(unix)]
    fn options_reach_the_socket() {
        let mut reactor = Reactor::new().unwrap();
        let options = SocketOptions::new().reuse_port(true).broadcast(true).receive_buffer(9000);
        let options = options.send_buffer(9000).reuse_address(true);
        let log = Log::new();
        let place = Datagrams::at("127.0.0.1:0").socket(options.clone());
        let id = reactor.listen_udp(place, Recorder::new(&log, "a")).unwrap();
        let addr = reactor.datagram(id).unwrap().local_addr();
        // Another may share the port only if both want it.
        let place = Datagrams::at(addr).socket(options);
        reactor.listen_udp(place, Recorder::new(&log, "b")).unwrap();
        reactor.listen_udp(addr, Recorder::new(&log, "c")).unwrap_err();
        // Without the option this is a permission denied.
        let broadcast = SocketAddr::from(([127, 255, 255, 255], addr.port()));
        reactor.datagram(id).unwrap().send_to(b"all", broadcast).unwrap();
        let plain = reactor.listen_udp("127.0.0.1:0", Recorder::new(&log, "d")).unwrap();
        let error = reactor.datagram(plain).unwrap().send_to(b"all", broadcast).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}

mod sending {
    use super::*;

    both! {
        fn sending_the_impossible_is_an_error_at_the_call(world) {
            let log = Log::new();
            let (id, addr) = bind(world, Recorder::new(&log, "a"));
            let mut far = far(world);
            let to = far.addr();
            let mut transport = world.reactor().datagram(id).unwrap();
            let error = transport.send_to(&[0; 65_508], to).unwrap_err();
            #[cfg(target_os = "linux")]
            assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE");
            transport.send_to(b"", "[::1]:9".parse().unwrap()).unwrap_err();
            transport.send(b"to whom?").unwrap_err();
            for place in ["localhost:9", "nonsense"] {
                let error = transport.connect(place).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            }
            let error = transport.connect("[::1]:9").unwrap_err();
            assert!(error.to_string().starts_with("connecting to [::1]:9: "), "{error}");
            // None of this did it any harm.
            transport.send_to(b"sound", to).unwrap();
            assert_eq!(next(world, &mut far), (b"sound".to_vec(), addr));
            world.quiet();
            assert_eq!(log.take(), ["a start"]);
        }
    }

    /// The kernel's loopback never fills up; see `system_calls` for what is done when a kernel's does.
    #[test]
    fn a_full_buffer_is_visible_and_room_is_told_once() {
        let mut simulation = Simulation::new();
        simulation.set_window(10_000);
        simulation.set_latency(Duration::from_millis(1));
        let mut peer = simulation.bind_udp("127.0.0.1:9").unwrap();
        let to = peer.addr();
        let sent = Rc::new(Cell::new(0));
        let count = Rc::clone(&sent);
        // Sends until nothing more fits, and then knocks twice again.
        let fill = move |transport: &mut DatagramTransport| {
            let mut failures = 0;
            while failures < 3 && count.get() < 25 {
                match transport.send_to(&[0; 1000], to) {
                    Ok(()) => count.set(count.get() + 1),
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        failures += 1;
                    }
                }
            }
        };
        let log = Log::new();
        let protocol = Recorder::new(&log, "a").on_start(fill.clone()).on_room(fill);
        simulation.reactor().listen_udp("127.0.0.1:0", protocol).unwrap();
        simulation.settle();
        assert_eq!((log.take(), sent.get()), (vec!["a start".to_owned()], 9));
        simulation.advance(Duration::from_millis(1));
        assert_eq!((log.take(), sent.get()), (vec!["a room".to_owned()], 18));
        // The far end's buffer is as large; what it does not take in time is lost, as with a kernel.
        assert_eq!(std::iter::from_fn(|| peer.receive()).count(), 9);
        simulation.advance(Duration::from_millis(1));
        assert_eq!((log.take(), sent.get()), (vec!["a room".to_owned()], 25));
        simulation.advance(Duration::from_millis(5));
        assert_eq!(log.take(), [""; 0], "nothing was refused since");
    }

    #[test]
    fn the_seed_decides_what_happens_to_datagrams() {
        let history = |seed| {
            let mut simulation = Simulation::with_seed(seed);
            simulation.set_datagram_loss(20);
            simulation.set_datagram_duplication(20);
            simulation.set_datagram_reordering(20);
            let log = Log::new();
            let id = simulation.reactor().listen_udp("127.0.0.1:9", Recorder::new(&log, "a"));
            let mut peer = simulation.bind_udp("127.0.0.1:0").unwrap();
            for number in 0..100 {
                peer.send_to(format!("{number:02}").as_bytes(), ([127, 0, 0, 1], 9).into())
                    .unwrap();
            }
            simulation.settle();
            assert!(simulation.reactor().datagram(id.unwrap()).is_some());
            log.take().split_off(1)
        };
        let lines = history(1);
        assert_eq!(lines, history(1));
        assert_ne!(lines, history(2));
        let mut different = lines.clone();
        different.sort();
        assert_ne!(lines, different, "some are out of order");
        different.dedup();
        assert!(different.len() < 95, "some are lost: {}", different.len());
        assert!(different.len() < lines.len(), "some are doubled");
        assert!(different.len() > 50, "most arrive");
    }
}

mod connected {
    use super::*;

    both! {
        fn a_refusal_is_told_and_the_socket_lives_on(world) {
            let to = nobody(world);
            let log = Log::new();
            let (id, addr) = bind(world, Recorder::new(&log, "a").on_start(move |transport| {
                transport.connect(to).unwrap();
                transport.send(b"anybody?").unwrap();
            }));
            world.until("the refusal", |_| log.has("a refused"));
            let mut far = far_at(world, to);
            far.send(b"back", addr);
            world.until("the peer to be there", |_| log.has("a got back"));
            world.reactor().datagram(id).unwrap().send(b"hello").unwrap();
            assert_eq!(next(world, &mut far), (b"hello".to_vec(), addr));
            assert_eq!(log.take(), ["a start", "a refused", "a got back"]);
        }
    }

    both! {
        fn a_refusal_does_not_cost_the_next_datagram(world) {
            let to = nobody(world);
            let log = Log::new();
            let (id, _) = bind(world, Recorder::new(&log, "a").on_start(move |transport| {
                transport.connect(to).unwrap();
                transport.send(b"anybody?").unwrap();
            }));
            world.until("the question to be asked", |_| log.has("a start"));
            let other = Recorder::new(&log, "b");
            // Calls come before sockets are served: this send is the first to meet the refusal.
            world.reactor().call_soon(move |reactor| {
                reactor.listen_udp(to, other).unwrap();
                reactor.datagram(id).unwrap().send(b"hello").unwrap();
            });
            world.until("both to come", |_| log.has("b got hello") && log.has("a refused"));
            world.quiet();
            assert_eq!(log.count("a refused"), 1);
        }
    }

    both! {
        fn a_socket_without_a_peer_hears_of_no_refusal(world) {
            let to = nobody(world);
            let log = Log::new();
            let (_, addr) = bind(world, Recorder::new(&log, "a").on_start(move |transport| {
                transport.send_to(b"anybody?", to).unwrap();
            }));
            world.quiet();
            far(world).send(b"next", addr);
            world.until("the next datagram", |_| log.has("a got next"));
            assert_eq!(log.take(), ["a start", "a got next"]);
        }
    }

    both! {
        fn nothing_of_others_is_delivered_not_even_what_waits_already(world) {
            let log = Log::new();
            let (id, addr) = bind(world, Recorder::new(&log, "a"));
            let (mut peer, mut other) = (far(world), far(world));
            other.send(b"early", addr);
            let mut transport = world.reactor().datagram(id).unwrap();
            transport.connect(peer.addr()).unwrap();
            assert_eq!(transport.peer_addr(), Some(peer.addr()));
            let error = transport.connect(other.addr()).unwrap_err();
            assert!(error.to_string().contains("already"), "{error}");
            other.send(b"late", addr);
            peer.send(b"mine", addr);
            world.until("the peer's datagram", |_| log.has("a got mine"));
            world.quiet();
            assert_eq!(log.take(), ["a start", "a got mine"]);
        }
    }

    both! {
        fn after_a_connect_that_failed_the_socket_hears_everybody(world) {
            let log = Log::new();
            let (id, addr) = bind(world, Recorder::new(&log, "a"));
            let (mut peer, mut other) = (far(world), far(world));
            let mut transport = world.reactor().datagram(id).unwrap();
            let mut nobody = peer.addr();
            nobody.set_port(0);
            let error = transport.connect(nobody).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().ends_with("no peer has the port 0"), "{error}");
            transport.connect("[::1]:9").unwrap_err(); // of another family
            if world.is_real() {
                // Without the option `broadcast`.
                let mut transport = world.reactor().datagram(id).unwrap();
                transport.connect("255.255.255.255:9").unwrap_err();
            }
            let transport = world.reactor().datagram(id).unwrap();
            assert_eq!(transport.peer_addr(), None);
            other.send(b"heard", addr);
            world.until("the datagram", |_| log.has("a got heard"));
            // And it can be connected still.
            let mut transport = world.reactor().datagram(id).unwrap();
            transport.connect(peer.addr()).unwrap();
            peer.send(b"mine", addr);
            world.until("the peer's datagram", |_| log.has("a got mine"));
        }
    }

    both! {
        fn a_protocol_that_retries_each_refusal_starves_nobody(world) {
            let to = nobody(world);
            let log = Log::new();
            let again = |transport: &mut DatagramTransport| transport.send(b"?").unwrap();
            let (id, _) = bind(world, Recorder::new(&log, "a").on_refused(again));
            world.turn();
            world.reactor().datagram(id).unwrap().connect(to).unwrap();
            world.reactor().datagram(id).unwrap().send(b"?").unwrap();
            world.until("many refusals", |_| log.count("a refused") > 200);
            world.reactor().call_later(Duration::ZERO, say(&log, "tick"));
            world.until("the timer", |_| log.has("tick"));
            assert!(world.reactor().datagram(id).is_some(), "refusals do not break a socket");
        }
    }
}

mod faults {
    use super::*;

    /// Turns, and returns what panicked through, as it does in a simulation.
    fn turn_through(world: &mut World) -> Option<String> {
        let result = catch_unwind(AssertUnwindSafe(|| world.turn()));
        result.err().map(|payload| message(payload.as_ref()).to_owned())
    }

    both! {
        fn a_panic_is_logged_and_the_socket_goes_on(world) {
            logged();
            let log = Log::new();
            let protocol = Recorder::new(&log, "a")
                .on_start(|_| panic!("start, on purpose"))
                .on_stop(|_| panic!("stop, on purpose"))
                .on_data(|_, data, _| assert!(data != b"bad", "data, on purpose"));
            let (id, addr) = bind(world, protocol);
            let mut far = far(world);
            for data in [&b"bad"[..], b"good"] {
                far.send(data, addr);
            }
            let mut through = Vec::new();
            for _ in 0..2000 {
                through.extend(turn_through(world));
                if log.has("a got good") {
                    break;
                }
            }
            world.reactor().datagram(id).unwrap().stop_listening();
            for _ in 0..3 {
                through.extend(turn_through(world));
            }
            assert_eq!(log.take(), ["a start", "a got bad", "a got good", "a stop Closed"]);
            assert_eq!(world.reactor().stats().panics, 3);
            assert_eq!(through.is_empty(), world.is_real(), "{through:?}");
            let lines = logged();
            let line = format!("({addr}) panicked: data, on purpose");
            assert!(
                lines.iter().any(|known| known.contains("datagram_received of datagram socket")
                    && known.ends_with(&line)),
                "{lines:#?}"
            );
        }
    }
}

mod timers {
    use super::*;

    both! {
        fn timers_fire_and_end_with_their_socket(world) {
            let log = Log::new();
            let (id, _) = bind(world, Recorder::new(&log, "a"));
            let mut transport = world.reactor().datagram(id).unwrap();
            transport.call_later(Duration::from_millis(1));
            let cancelled = transport.call_later(Duration::from_millis(1));
            let never = transport.call_later(Duration::from_secs(3600));
            assert!(world.reactor().cancel_timer(cancelled));
            world.until("the first to fire", |_| log.has("a timer"));
            assert!(world.reactor().reset_timer(never, Duration::from_secs(7200)));
            world.reactor().datagram(id).unwrap().stop_listening();
            assert!(!world.reactor().cancel_timer(never), "it went with its socket");
            let mut transport = world.reactor().datagram(id).unwrap();
            let late = transport.call_later(Duration::ZERO);
            assert!(!world.reactor().cancel_timer(late), "a closed socket gets none");
            world.run().unwrap();
            assert_eq!(log.take(), ["a start", "a timer", "a stop Closed"]);
        }
    }

    both! {
        fn a_timer_due_before_the_start_fires_after_it(world) {
            let log = Log::new();
            let (id, _) = bind(world, Recorder::new(&log, "a"));
            world.reactor().datagram(id).unwrap().call_later(Duration::ZERO);
            world.until("it to fire", |_| log.has("a timer"));
            assert_eq!(log.take(), ["a start", "a timer"]);
        }
    }
}

mod watching {
    use super::*;

    /// Records each step of a turn.
    struct Steps(Log);

    impl Observer for Steps {
        fn notice(&mut self, _: Instant, notice: &Notice) {
            if let Some(subject) = notice.subject() {
                assert!(matches!(subject, Subject::Datagram(_)), "{notice}");
            }
            self.0.push(match notice {
                Notice::CallbackBegin { callback, .. } => callback.to_string(),
                Notice::DatagramReceived { from, bytes, .. } => {
                    format!("{bytes} bytes from {from}")
                }
                Notice::DatagramSent { to, bytes, .. } => format!("{bytes} bytes to {to}"),
                _ => return,
            });
        }
    }

    both! {
        fn observers_and_counters_see_each_datagram(world) {
            let steps = Log::new();
            world.reactor().set_observer(Some(Box::new(Steps(steps.clone()))));
            let log = Log::new();
            let (id, addr) = bind(world, echo(&log));
            let mut far = far(world);
            far.send(b"hello", addr);
            next(world, &mut far);
            let mut transport = world.reactor().datagram(id).unwrap();
            transport.connect(far.addr()).unwrap();
            transport.send(b"bye").unwrap();
            transport.stop_listening();
            world.run().unwrap();
            world.reactor().set_observer(None);
            let far = far.addr();
            let (from, to, bye) = (
                format!("5 bytes from {far}"),
                format!("5 bytes to {far}"),
                format!("3 bytes to {far}"),
            );
            let expected =
                ["start_protocol", &from, "datagram_received", &to, &bye, "stop_protocol", "a drop"];
            assert_eq!(steps.take(), expected);
            let stats = world.reactor().stats();
            assert_eq!((stats.datagrams_received, stats.bytes_read), (1, 5));
            assert_eq!((stats.datagrams_sent, stats.bytes_written), (2, 8));
        }
    }
}
