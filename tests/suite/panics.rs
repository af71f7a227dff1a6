//! Panics: a bug stays in its connection.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

#[cfg(unix)]
use crocus::Readiness;
use crocus::testing::Simulation;
use crocus::{
    Address, Connect, DatagramProtocol, DatagramTransport, Factory, Observer, Protocol, Rate,
    Reactor, Reason, SocketOptions, Transport, Who,
};

use crate::util::{Far, HOUR, Log, Recorder, RecordingClient, World, logged, message, say};

/// The callbacks that may panic while the connection is open.
const OPEN: [&str; 7] = [
    "connection_made",
    "data_received",
    "eof_received",
    "timer_fired",
    "timed_out",
    "pause_writing",
    "resume_writing",
];

/// A protocol that panics in one callback, and reaches that callback when its peer sends a byte,
/// closes its half, and reads.
fn faulty(log: &Log, callback: &'static str, much: Vec<u8>) -> Recorder {
    let fault = move |at: &'static str| {
        move |_: &mut Transport| assert!(at != callback, "{callback}, on purpose")
    };
    let (made, data, timer) =
        (fault("connection_made"), fault("data_received"), fault("timer_fired"));
    let (eof, lost) = (fault("eof_received"), fault("connection_lost"));
    Recorder::new(log, "a")
        .on_made(move |transport| {
            match callback {
                "timer_fired" => {
                    transport.call_later(Duration::ZERO);
                }
                "timed_out" => {
                    transport.set_timeout(Some(Duration::from_millis(1)));
                }
                "pause_writing" | "resume_writing" => {
                    transport.write(&much);
                }
                _ => {}
            }
            made(transport);
        })
        .on_data(move |transport, _| {
            transport.write(b"this is dropped");
            data(transport);
        })
        .on_eof(move |transport| {
            eof(transport);
            transport.lose_connection();
        })
        .on_timer(move |transport, _| timer(transport))
        .on_timed_out(fault("timed_out"))
        .on_pause(fault("pause_writing"))
        .on_resume(fault("resume_writing"))
        .on_lost(move |transport, _| lost(transport))
}

/// Makes a faulty protocol panic.
fn provoke(far: &mut Far, callback: &str) {
    match callback {
        "data_received" => assert_eq!(far.send(b"x"), 1),
        "eof_received" => far.close_write(),
        _ => {}
    }
}

/// An echo connection that shows that others go on.
fn bystander(world: &mut World, log: &Log) -> Far {
    let seen = log.clone();
    let (_, addr) = world.listen(move |_| Recorder::new(&seen, "b").echoing());
    let far = world.dial(addr);
    world.until("the bystander to be made", |_| log.has("b made"));
    far
}

fn still_served(world: &mut World, far: &mut Far) {
    far.send(b"are you there?");
    assert_eq!(world.read(far, 14), b"are you there?");
}

/// Twisted's `test_dataReceivedThrows`, `test_resumeProducingThrows`,
/// `test_readNotificationRaises`, and the like for each callback.
#[test]
fn a_panic_in_any_callback_ends_one_connection_once() {
    for callback in OPEN {
        let mut world = World::real();
        let log = Log::new();
        let mut other = bystander(&mut world, &log);
        let (seen, much) = (log.clone(), world.much());
        let addr = world.listen_narrow(move |_| faulty(&seen, callback, much.clone()));
        let mut far = world.dial(addr);
        provoke(&mut far, callback);
        let mut got = Vec::new();
        world.until("the loss", |_| {
            if log.count("a lost") > 0 {
                return true;
            }
            if callback == "resume_writing" {
                got.extend(far.receive(1 << 20).unwrap());
            }
            false
        });
        world.quiet();
        assert_eq!(log.count("a lost"), 1);
        assert!(log.has(&format!("a lost Panicked({callback})")), "{callback}: {:?}", log.lines());
        assert_eq!(world.reactor().stats().panics, 1);
        still_served(&mut world, &mut other);
        assert_eq!(world.reactor().connections().len(), 1);
        // The peer shall not take what it has for the whole.
        let (rest, end) = world.read_to_end(&mut far);
        assert_eq!(end, Err(io::ErrorKind::ConnectionReset), "{callback}");
        got.extend(rest);
        assert_eq!(got.is_empty(), callback != "resume_writing", "what was pending is dropped");
        drop(other);
        world.until("the other loss", |_| log.has("b lost PeerClosed"));
    }
}

/// The same in the simulation, where a panic goes through so that an assertion fails the test.
#[test]
fn in_the_simulation_a_panic_reaches_the_test() {
    for callback in OPEN.into_iter().chain(["connection_lost", "drop"]) {
        struct Fragile(Recorder, bool);
        impl Protocol for Fragile {
            fn connection_made(&mut self, transport: &mut Transport) {
                self.0.connection_made(transport);
            }
            fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
                self.0.data_received(transport, data);
            }
            fn eof_received(&mut self, transport: &mut Transport) {
                self.0.eof_received(transport);
            }
            fn pause_writing(&mut self, transport: &mut Transport) {
                self.0.pause_writing(transport);
            }
            fn resume_writing(&mut self, transport: &mut Transport) {
                self.0.resume_writing(transport);
            }
            fn timer_fired(&mut self, transport: &mut Transport, timer: crocus::TimerId) {
                self.0.timer_fired(transport, timer);
            }
            fn timed_out(&mut self, transport: &mut Transport) {
                self.0.timed_out(transport);
            }
            fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
                self.0.connection_lost(transport, reason);
            }
        }
        impl Drop for Fragile {
            fn drop(&mut self) {
                assert!(!self.1 || std::thread::panicking(), "drop, on purpose");
            }
        }

        let log = Log::new();
        let mut simulation = Simulation::new();
        let fragile = Fragile(faulty(&log, callback, vec![7; 1 << 20]), callback == "drop");
        let mut far = simulation.connect(fragile);
        let mut other = simulation.connect(Recorder::new(&log, "b").echoing());
        let result = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..100 {
                simulation.advance(Duration::from_millis(1));
                match callback {
                    "data_received" => assert_eq!(far.send(b"x"), 1),
                    "eof_received" | "connection_lost" | "drop" => far.close_write(),
                    "resume_writing" => drop(far.received()),
                    _ => {}
                }
            }
        }));
        let payload = result.expect_err(callback);
        assert_eq!(message(payload.as_ref()), format!("{callback}, on purpose"));
        simulation.settle();
        other.send(b"are you there?");
        simulation.settle();
        assert_eq!(other.received(), b"are you there?");
        drop(other);
        simulation.settle();
        assert_eq!(log.count("b lost PeerClosed"), 1, "{callback}");
    }
}

/// The reference's experiment, and Twisted's rule that slot and descriptor are freed all the same.
#[test]
fn a_panic_in_connection_lost_or_drop_frees_the_connection() {
    struct Guard(Log, bool);
    impl Guard {
        fn fault(&self) {
            assert!(self.1, "on purpose");
        }
    }
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.push("dropped");
            assert!(!self.1, "on purpose");
        }
    }
    for in_drop in [false, true] {
        let mut world = World::real();
        let log = Log::new();
        let mut other = bystander(&mut world, &log);
        let (seen, began) = (log.clone(), log.len());
        let (listener, addr) = world.listen(move |_| {
            let guard = Guard(seen.clone(), in_drop);
            Recorder::new(&seen, "a").on_lost(move |_, _| guard.fault())
        });
        let mut far = world.dial(addr);
        world.until("it to be made", |_| log.has("a made"));
        assert_eq!(world.reactor().connection_count(listener), Some(1));
        far.close_write();
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        let told = ["a made", "a eof", "a lost PeerClosed", "dropped"];
        assert_eq!(log.lines()[began..], told);
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        assert_eq!(world.reactor().connection_count(listener), Some(0));
        assert_eq!((world.reactor().stats().panics, world.reactor().stats().closed), (1, 1));
        still_served(&mut world, &mut other);
        drop(other);
        world.until("the other loss", |_| log.has("b lost PeerClosed"));
    }
}

/// The owner hears after the protocol, and a panic does not prevent that.
#[test]
fn an_owner_hears_the_loss_after_panics_in_last_callbacks() {
    for callback in ["data_received", "connection_lost", "drop"] {
        struct Fragile(Recorder, bool);
        impl Protocol for Fragile {
            fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
                self.0.data_received(transport, data);
            }
            fn connection_made(&mut self, transport: &mut Transport) {
                self.0.connection_made(transport);
            }
            fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
                self.0.connection_lost(transport, reason);
            }
        }
        impl Drop for Fragile {
            fn drop(&mut self) {
                assert!(!self.1, "on purpose");
            }
        }
        let mut world = World::real();
        let log = Log::new();
        let mut outside = world.listen_outside();
        let seen = log.clone();
        let client = RecordingClient::new(&log, "a", move |_| {
            Some(Box::new(Fragile(faulty(&seen, callback, vec![]), callback == "drop")))
        });
        world.reactor().connect(outside.addr(), client);
        let mut far = world.accept(&mut outside);
        world.until("it to be made", |_| log.has("a made"));
        if callback == "data_received" {
            far.send(b"x");
        } else {
            drop(far);
        }
        world.until("the owner's notice", |_| log.count("a owner lost") > 0);
        world.quiet();
        let reason = match callback {
            "data_received" => "Panicked(data_received)",
            _ => "PeerClosed",
        };
        let (lost, owner) = (format!("a lost {reason}"), format!("a owner lost {reason}"));
        assert_eq!(log.take(), ["a made".to_owned(), lost, owner]);
        assert_eq!(world.reactor().stats().panics, 1);
    }
}

/// Twisted forgets the rest when one of many fails. Here all are told of the stop.
#[test]
fn a_panic_at_the_stop_keeps_nobody_from_hearing() {
    let mut world = World::real();
    let log = Log::new();
    let seen = log.clone();
    let (_, addr) =
        world.listen(move |_| Recorder::new(&seen, "a").on_lost(|_, _| panic!("on purpose")));
    let clients: Vec<Far> = (0..3).map(|_| world.dial(addr)).collect();
    world.until("all to be made", |_| log.count("a made") == 3);
    world.reactor().stop();
    world.turn();
    assert_eq!(log.count("a lost Stopped"), 3);
    assert_eq!(world.reactor().stats().panics, 3);
    assert_eq!(world.reactor().connections(), []);
    drop(clients);
}

/// The rule that something worse than a close wins over it.
#[test]
fn a_panic_after_lose_connection_drops_what_was_pending() {
    let mut world = World::real();
    let (log, mut far) = world.served("a", |a| {
        a.on_data(|transport, _| {
            transport.write(b"never sent");
            transport.lose_connection();
            panic!("on purpose");
        })
        .on_lost(|_, reason| assert_eq!(reason.who(), Who::Reactor))
    });
    far.send(b"x");
    assert_eq!(world.read_to_end(&mut far), (vec![], Err(io::ErrorKind::ConnectionReset)));
    world.until("the loss", |_| log.count("a lost") > 0);
    world.quiet();
    assert_eq!(log.take(), ["a made", "a lost Panicked(data_received)"]);
}

/// Twisted's `test_dataReceivedThrows` after an abort: the reason is the error.
#[test]
fn a_panic_after_abort_connection_prevails() {
    let mut world = World::real();
    let (log, mut far) = world.served("a", |a| {
        a.on_data(|transport, _| {
            transport.abort_connection();
            panic!("on purpose");
        })
    });
    far.send(b"x");
    world.until("the loss", |_| log.count("a lost") > 0);
    world.quiet();
    assert_eq!(log.take(), ["a made", "a lost Panicked(data_received)"]);
}

/// Connections in one batch with a panic, served before it and after it.
#[test]
fn all_others_in_the_batch_of_a_panic_are_served() {
    let mut world = World::real();
    let log = Log::new();
    let seen = log.clone();
    let (_, addr) = world.listen(move |_| {
        Recorder::new(&seen, "a").on_data(|transport, data| {
            assert!(data != b"panic", "on purpose");
            transport.write(data);
        })
    });
    let mut clients: Vec<Far> = (0..30).map(|_| world.dial(addr)).collect();
    world.until("all to be made", |_| log.count("a made") == 30);
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(if number % 3 == 1 { b"panic" } else { b"hello" });
    }
    for (number, client) in clients.iter_mut().enumerate() {
        if number % 3 == 1 {
            let end = Err(io::ErrorKind::ConnectionReset);
            assert_eq!(world.read_to_end(client), (vec![], end));
        } else {
            assert_eq!(world.read(client, 5), b"hello");
        }
    }
    assert_eq!(world.reactor().stats().panics, 10);
    assert_eq!(log.count("a lost Panicked(data_received)"), 10);
    drop(clients);
    world.until("all to be lost", |_| log.count("a lost PeerClosed") == 20);
}

thread_local! {
    /// How many bombs there are, and how many were dropped.
    static BOMBS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Panics when it is dropped.
struct Bomb;

impl Bomb {
    fn new() -> Self {
        BOMBS.set((BOMBS.get().0 + 1, BOMBS.get().1));
        Self
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        BOMBS.set((BOMBS.get().0, BOMBS.get().1 + 1));
        panic!("a bomb was dropped, on purpose");
    }
}

/// A protocol or factory of any kind with a bomb in it.
struct Armed(#[allow(dead_code, reason = "it is dropped")] Bomb);

impl Protocol for Armed {}

impl DatagramProtocol for Armed {}

impl Factory for Armed {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Self(Bomb::new())))
    }
}

impl Observer for Armed {
    fn notice(&mut self, _: Instant, _: &crocus::Notice) {}
}

/// Sets calls and timers with bombs in their functions.
fn arm_calls(reactor: &mut Reactor) {
    let (timer, ticker, call, work) = (Bomb::new(), Bomb::new(), Bomb::new(), Bomb::new());
    reactor.call_later(HOUR, move |_| drop(timer));
    reactor.call_every(HOUR, move |_, _| _ = &ticker);
    reactor.call_soon(move |_| drop(call));
    // Never done, so that the function waits.
    let (_never, wait) = std::sync::mpsc::channel::<()>();
    std::mem::forget(_never);
    reactor.call_in_thread(move || wait.recv().is_ok(), move |_, _| drop(work));
}

/// Gives a reactor two bombs in each place where it keeps what is the user's.
fn arm_twice(world: &mut World) {
    arm(world);
    arm(world);
    arm_calls(world.reactor());
    arm_calls(world.reactor());
}

fn arm(world: &mut World) {
    let hook = Bomb::new();
    let options = SocketOptions::new().hook(move |_| {
        let _ = &hook;
        Ok(())
    });
    let local = "127.0.0.1:0";
    let listener = world.reactor().listen(local, Armed(Bomb::new())).unwrap();
    let addr = world.reactor().local_addr(listener).unwrap();
    world.reactor().connect(Connect::to(&addr).socket(options), Armed(Bomb::new()));
    let wanted = world.reactor().connections().len() + 2;
    world.until("both", |world| world.reactor().connections().len() == wanted);
    world.reactor().listen_udp(local, Armed(Bomb::new())).unwrap();
    #[cfg(unix)]
    if world.is_real() {
        let (reader, writer) = io::pipe().unwrap();
        std::mem::forget(writer); // else the watch would be called
        let (source, function) = (ArmedPipe(reader, Bomb::new()), Bomb::new());
        let watch = move |_: &mut Reactor, _: &mut ArmedPipe, _| _ = &function;
        world.reactor().watch(source, Readiness::READABLE, watch).unwrap();
    }
}

#[cfg(unix)]
struct ArmedPipe(io::PipeReader, #[allow(dead_code, reason = "it is dropped")] Bomb);

#[cfg(unix)]
impl std::os::fd::AsFd for ArmedPipe {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// crocus's own, as the next ones: a second panic while the first unwinds would end the process.
#[test]
fn at_a_stop_every_drop_that_panics_is_contained() {
    let mut world = World::real();
    let log = Log::new();
    let (_, addr) = world.listen(one_recorder(&log));
    let _far = world.dial(addr);
    world.until("the bystander", |_| log.has("b made"));
    arm_twice(&mut world);
    assert_eq!(BOMBS.get().1, 0);
    world.reactor().stop();
    world.run().unwrap();
    assert_eq!(log.take(), ["b made", "b lost Stopped"]);
    let (made, dropped) = BOMBS.get();
    assert_eq!((made, dropped), (24, 24));
    assert_eq!(world.reactor().stats().panics, dropped);
    world.run().unwrap(); // and it can be run again
}

fn one_recorder(log: &Log) -> impl FnMut(Address) -> Recorder + 'static {
    let log = log.clone();
    move |_| Recorder::new(&log, "b")
}

#[test]
fn dropping_a_reactor_contains_every_drop_that_panics() {
    let armed_observer = Armed(Bomb::new());
    let resolver = Bomb::new();
    let builder = Reactor::builder().resolver(move |_| {
        let _ = &resolver;
        Ok(Vec::new())
    });
    let mut world = World::Real(builder.build().unwrap());
    // Timers and calls that a last notice sets up are left when the reactor goes.
    let (_, addr) = world.listen(|_| LeavesBombs);
    let _far = world.dial(addr);
    world.until("it to be made", |world| world.reactor().connections().len() == 1);
    arm_twice(&mut world);
    world.reactor().set_observer(Some(Box::new(armed_observer)));
    drop(world);
    assert_eq!(BOMBS.get(), (2 + 24 + 8, 2 + 24 + 8));
}

struct LeavesBombs;

impl Protocol for LeavesBombs {
    fn connection_lost(&mut self, transport: &mut Transport, _: &Reason) {
        arm_calls(transport.reactor());
        arm_calls(transport.reactor());
    }
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_is_contained() {
    let mut world = World::real();
    let log = Log::new();
    for _ in 0..2 {
        world.reactor().call_soon(|_| std::panic::panic_any(Bomb::new()));
    }
    world.reactor().call_soon(say(&log, "others go on"));
    world.until("the last call", |_| log.len() > 0);
    assert_eq!((BOMBS.get(), world.reactor().stats().panics), ((2, 2), 2));
}

/// Panics at once.
struct Faulty;

impl DatagramProtocol for Faulty {
    fn start_protocol(&mut self, _: &mut DatagramTransport<'_>) {
        panic!("on purpose");
    }
}

#[test]
fn the_log_of_a_panic_has_the_address_of_its_subject() {
    let mut world = World::real();
    let log = Log::new();
    let (_, addr) = world.listen(move |_| Recorder::new(&log, "a"));
    logged();
    world.reactor().connect(addr, |_: Address| -> Recorder { panic!("on purpose") });
    world.until("the panic", |world| world.reactor().stats().panics == 1);
    let lines = logged();
    assert!(lines.iter().any(|line| line.contains(&format!("({addr})"))), "{lines:?}");
    world.reactor().listen_udp("127.0.0.1:0", Faulty).unwrap();
    world.until("the panic", |world| world.reactor().stats().panics == 2);
    let lines = logged();
    assert!(lines.iter().any(|line| line.contains("(127.0.0.1:")), "{lines:?}");
}

/// An error of the user's own.
#[derive(Debug)]
struct ArmedError(#[allow(dead_code, reason = "it is dropped")] Bomb);

impl std::fmt::Debug for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bomb")
    }
}

impl std::fmt::Display for ArmedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("on purpose")
    }
}

impl std::error::Error for ArmedError {}

/// The last to let go of a reason is the reactor.
#[test]
fn an_error_that_panics_when_dropped_is_contained() {
    for mut world in [World::real(), World::simulated()] {
        let before = BOMBS.get();
        let log = Log::new();
        let mut other = world.is_real().then(|| bystander(&mut world, &log));
        let (_, addr) = world.listen(|_| Leaves);
        let mut far = world.dial(addr);
        far.send(b"x");
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
            drop(far);
            world.until("the end", |world| world.reactor().stats().closed == 1);
        }));
        assert_eq!(outcome.is_ok(), world.is_real(), "a simulation lets a panic through");
        assert_eq!(world.reactor().stats().closed, 1);
        assert_eq!(world.reactor().stats().panics, 1);
        assert_eq!(BOMBS.get(), (before.0 + 1, before.1 + 1));
        if let Some(other) = &mut other {
            still_served(&mut world, other);
        }
        if let Err(payload) = outcome {
            assert_eq!(message(payload.as_ref()), "a bomb was dropped, on purpose");
        }
    }
}

/// Another reason takes its place.
#[test]
fn an_error_that_is_replaced_may_panic_when_dropped() {
    let mut world = World::real();
    let log = Log::new();
    let mut other = bystander(&mut world, &log);
    let (_, addr) = world.listen(|_| Leaves);
    let mut far = world.dial(addr);
    far.send(b"x");
    world.until("the error", |_| BOMBS.get().0 == 1);
    far.reset();
    world.until("the end", |world| world.reactor().stats().closed == 1);
    assert_eq!((world.reactor().stats().panics, BOMBS.get()), (1, (1, 1)));
    still_served(&mut world, &mut other);
}

/// A panic is a reason, and takes the place of any other.
#[test]
fn an_error_that_a_panic_replaces_may_panic_when_dropped() {
    struct Fails;

    impl Protocol for Fails {
        fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
            transport.abort_connection_because(Reason::protocol(ArmedError(Bomb::new())));
            panic!("on purpose");
        }
    }

    let mut world = World::real();
    let log = Log::new();
    let mut other = bystander(&mut world, &log);
    let (_, addr) = world.listen(|_| Fails);
    let mut far = world.dial(addr);
    far.send(b"x");
    world.until("the end", |world| world.reactor().stats().closed == 1);
    assert_eq!((world.reactor().stats().panics, BOMBS.get()), (2, (1, 1)));
    still_served(&mut world, &mut other);
}

/// A callback must not replace its reactor. If it does, the bytes that were lent are lost; the error stays.
#[test]
fn an_error_of_a_replaced_reactor_may_panic_when_dropped() {
    struct Replaces;

    impl Protocol for Replaces {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            transport.write(data); // enough to be lent, and not copied
            transport.abort_connection_because(Reason::protocol(ArmedError(Bomb::new())));
            let former = std::mem::replace(transport.reactor(), Reactor::new().unwrap());
            transport.reactor().call_soon(move |reactor| *reactor = former);
        }
    }

    let mut world = World::real();
    let log = Log::new();
    let mut other = bystander(&mut world, &log);
    let (_, addr) = world.listen(move |_| Replaces);
    let mut far = world.dial(addr);
    far.send(&[7; 8192]);
    world.until("the error", |_| BOMBS.get().0 == 1);
    far.reset();
    world.until("the end", |world| world.reactor().stats().closed == 1);
    assert_eq!((world.reactor().stats().panics, BOMBS.get()), (1, (1, 1)));
    still_served(&mut world, &mut other);
}

/// The owner of bytes that are shared: the reactor may be the last to have them.
struct ArmedOwner(#[allow(dead_code, reason = "it is dropped")] Bomb);

impl AsRef<[u8]> for ArmedOwner {
    fn as_ref(&self) -> &[u8] {
        &[7; 5000]
    }
}

/// Two at once do too: each is dropped by itself. They have left when they are dropped, or are discarded.
#[test]
fn owners_of_bytes_may_panic_when_dropped() {
    for aborts in [false, true] {
        let mut world = World::real();
        let log = Log::new();
        let mut other = bystander(&mut world, &log);
        let (_, addr) = world.listen(move |_: Address| {
            Recorder::new(&log, "a").on_made(move |transport| {
                for _ in 0..2 {
                    let owner = ArmedOwner(Bomb::new());
                    assert!(transport.write_owned(bytes::Bytes::from_owner(owner)));
                }
                if aborts {
                    transport.abort_connection();
                }
            })
        });
        let _far = world.dial(addr);
        world.until("the drops", |world| world.reactor().stats().panics == 2);
        still_served(&mut world, &mut other);
    }
}

/// Ends its connection with an error of its own.
struct Leaves;

impl Protocol for Leaves {
    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        transport.lose_connection_because(Reason::protocol(ArmedError(Bomb::new())));
    }
}

/// The errors of a resolver and of a hook are the user's too, one for each address that is tried.
#[test]
fn errors_of_attempts_that_panic_when_dropped_are_contained() {
    let failure = || io::Error::other(ArmedError(Bomb::new()));
    let builder = Reactor::builder().resolver(move |name| match name {
        "two" => Ok(vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()]),
        _ => Err(failure()),
    });
    let mut world = World::Real(builder.build().unwrap());
    let log = Log::new();
    let nobody = |_: Address| -> Option<Box<dyn Protocol>> { None };
    world.reactor().connect("none:80", RecordingClient::new(&log, "a", nobody));
    world.until("the failure", |_| log.has("a failed Failed(Other)"));
    #[cfg(unix)]
    {
        let failing =
            Connect::to("two:80").socket(SocketOptions::new().hook(move |_| Err(failure())));
        world.reactor().connect(failing, RecordingClient::new(&log, "b", nobody));
        world.until("the failure", |_| log.has("b failed Failed(Other)"));
    }
    world.quiet();
    // The resolver's error is dropped by its thread, or here.
    assert_eq!(world.reactor().stats().failed, if cfg!(unix) { 2 } else { 1 });
    world.reactor().call_soon(say(&log, "others go on"));
    world.until("the last call", |_| log.has("others go on"));
}

/// Nobody waits for its answer any more when the reactor goes.
#[test]
fn a_late_error_of_a_resolver_may_panic_when_dropped() {
    let builder = Reactor::builder().resolver(|_| Err(io::Error::other(ArmedError(Bomb::new()))));
    let mut reactor = builder.build().unwrap();
    let log = Log::new();
    let nobody = |_: Address| -> Option<Box<dyn Protocol>> { None };
    let id = reactor.connect("none:80", RecordingClient::new(&log, "a", nobody));
    reactor.turn(Some(Duration::ZERO)).unwrap();
    let answered =
        |reactor: &Reactor| reactor.next_deadline().is_some_and(|at| at <= Instant::now());
    while !answered(&reactor) {
        std::thread::yield_now();
    }
    reactor.cancel_connect(id);
    drop(reactor);
    assert_eq!(log.take(), ["a failed Cancelled"]);
    assert_eq!(BOMBS.get(), (0, 1), "it was made in the thread");
}

/// A result that comes too late is dropped with the function that waits for it: one by one.
#[test]
fn a_late_result_and_its_function_may_both_panic_when_dropped() {
    let (finished, wait) = std::sync::mpsc::channel();
    let mut reactor = Reactor::builder().threads(1).build().unwrap();
    let then = Bomb::new();
    reactor.call_in_thread(Bomb::new, move |_, result| {
        std::mem::forget(result);
        drop(then);
    });
    // The only thread is through with the first when it comes to this.
    reactor.call_in_thread(move || finished.send(()).is_ok(), |_, _| {});
    wait.recv().unwrap();
    drop(reactor);
    assert_eq!(BOMBS.get(), (1, 2), "the result was made in the thread");
}

/// The first of them reaches the test, which has to keep it from being dropped.
#[test]
fn in_a_simulation_the_second_payload_is_dropped() {
    let mut simulation = Simulation::new();
    for _ in 0..2 {
        simulation.reactor().call_soon(|_| std::panic::panic_any(Bomb::new()));
    }
    let payload = catch_unwind(AssertUnwindSafe(|| simulation.settle())).unwrap_err();
    assert!(payload.is::<Bomb>());
    assert_eq!(BOMBS.get(), (2, 1));
    std::mem::forget(payload);
}

/// A test that fails drops its simulation while it panics.
#[test]
fn a_simulation_dropped_by_a_panic_contains_others() {
    let caught = catch_unwind(|| {
        let mut world = World::simulated();
        arm_twice(&mut world);
        world.reactor().call_soon(|_| std::panic::panic_any(Bomb::new()));
        panic!("the test fails");
    });
    assert_eq!(message(caught.unwrap_err().as_ref()), "the test fails");
    assert_eq!(BOMBS.get(), (20, 20));
}

/// Not only its calls and protocols, but the bytes that wait in its connections.
#[test]
fn a_simulation_dropped_by_a_panic_drops_each_owner_of_bytes() {
    let caught = catch_unwind(|| {
        let (mut world, log) = (World::simulated(), Log::new());
        let (_, addr) = world.listen(move |_: Address| {
            Recorder::new(&log, "a").on_made(|transport| {
                transport.set_write_rate(Some(Rate::per_second(1).burst(1)));
                for _ in 0..2 {
                    let owner = ArmedOwner(Bomb::new());
                    assert!(transport.write_owned(bytes::Bytes::from_owner(owner)));
                }
            })
        });
        let _far = world.dial(addr);
        world.until("the bytes", |_| BOMBS.get().0 == 2);
        panic!("the test fails");
    });
    assert_eq!(message(caught.unwrap_err().as_ref()), "the test fails");
    assert_eq!(BOMBS.get(), (2, 2));
}
