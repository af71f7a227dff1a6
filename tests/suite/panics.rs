//! Panics: a bug stays in its connection.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crocus::testing::Simulation;
use crocus::{Protocol, Reason, Transport, Who};

use crate::util::{Far, Log, Recorder, RecordingClient, World, message};

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
