//! Signals, as events of the loop.
//!
//! A program of its own, with one test after the other inside: signals belong to the whole process.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod util;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crocus::Reactor;
use crocus::testing::Simulation;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::low_level::raise;
use util::{Log, Recorder, World};

#[test]
fn signals() {
    a_signal_wakes_the_loop_and_calls_its_action();
    the_last_action_given_counts_and_may_replace_itself();
    a_panic_in_an_action_is_contained();
    listening_to_signals_keeps_no_reactor_from_returning();
    two_reactors_both_hear();
    the_first_signal_drains_and_the_second_stops();
    a_signal_that_cannot_be_caught_is_an_error();
    a_simulated_reactor_gets_the_signals_of_the_test();
    signals_shut_a_simulated_reactor_down();
}

fn a_signal_wakes_the_loop_and_calls_its_action() {
    let mut reactor = Reactor::new().unwrap();
    let _alive = reactor.hold();
    reactor.on_signal(SIGUSR1, Reactor::stop).unwrap();
    let thread = std::thread::spawn(|| raise(SIGUSR1).unwrap());
    reactor.run().unwrap();
    thread.join().unwrap();
}

fn the_last_action_given_counts_and_may_replace_itself() {
    let log = Log::new();
    let mut reactor = Reactor::new().unwrap();
    let seen = log.clone();
    reactor.on_signal(SIGUSR1, move |_| seen.push("never")).unwrap();
    let seen = log.clone();
    reactor
        .on_signal(SIGUSR1, move |reactor| {
            seen.push("first");
            let seen = seen.clone();
            reactor.on_signal(SIGUSR1, move |_| seen.push("second")).unwrap();
        })
        .unwrap();
    for wanted in ["first", "second", "second"] {
        raise(SIGUSR1).unwrap();
        while log.len() == 0 {
            reactor.turn(None).unwrap();
        }
        assert_eq!(log.take(), [wanted]);
    }
}

fn a_panic_in_an_action_is_contained() {
    let mut reactor = Reactor::new().unwrap();
    let heard = Rc::new(Cell::new(0));
    let count = Rc::clone(&heard);
    let action = move |_: &mut Reactor| {
        count.set(count.get() + 1);
        assert!(count.get() > 1, "on purpose");
    };
    reactor.on_signal(SIGUSR2, action).unwrap();
    for wanted in 1..3 {
        raise(SIGUSR2).unwrap();
        while heard.get() < wanted {
            reactor.turn(None).unwrap();
        }
    }
    assert_eq!(reactor.stats().panics, 1);
}

fn listening_to_signals_keeps_no_reactor_from_returning() {
    let mut reactor = Reactor::new().unwrap();
    reactor.on_signal(SIGUSR1, |_| {}).unwrap();
    reactor.run().unwrap();
    reactor.call_later(Duration::ZERO, |_| {});
    reactor.run().unwrap();
}

fn two_reactors_both_hear() {
    let log = Log::new();
    let mut reactors = [Reactor::new().unwrap(), Reactor::new().unwrap()];
    for (reactor, name) in reactors.iter_mut().zip(["one", "two"]) {
        let seen = log.clone();
        reactor.on_signal(SIGUSR1, move |_| seen.push(name)).unwrap();
    }
    raise(SIGUSR1).unwrap();
    for reactor in &mut reactors {
        let before = log.len();
        while log.len() == before {
            reactor.turn(None).unwrap();
        }
    }
    assert_eq!(log.take(), ["one", "two"]);
}

fn the_first_signal_drains_and_the_second_stops() {
    for second in [SIGINT, SIGTERM] {
        let log = Log::new();
        let mut world = World::real();
        world.reactor().drain_on_signals(Duration::from_secs(3600)).unwrap();
        let seen = log.clone();
        let (listener, addr) = world.listen(move |_| {
            Recorder::new(&seen, "a")
                .on_shutting_down(|transport| transport.lose_write_connection())
        });
        let mut far = world.dial(addr);
        world.until("the connection", |_| log.has("a made"));
        raise(SIGTERM).unwrap();
        world.until("the drain", |world| world.reactor().is_stopping());
        assert!(!world.reactor().stop_listening(listener), "it is closed already");
        // The peer gets our end, and keeps its own half open.
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        assert_eq!(log.take(), ["a made", "a shutting down"], "it waits for the peer");
        raise(second).unwrap();
        world.reactor().run().unwrap();
        assert_eq!(log.take(), ["a lost Stopped"]);
        assert!(!world.reactor().is_stopping());
    }
}

fn a_signal_that_cannot_be_caught_is_an_error() {
    let mut reactor = Reactor::new().unwrap();
    for signal in [9, 19, 11, 4711, -1, 0] {
        let error = reactor.on_signal(signal, |_| {}).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{signal}");
    }
    reactor.run().unwrap();
}

fn a_simulated_reactor_gets_the_signals_of_the_test() {
    let mut simulation = Simulation::new();
    assert!(!simulation.signal(SIGUSR1), "it has no action");
    let log = Log::new();
    for (signal, name) in [(SIGTERM, "term"), (SIGUSR1, "one")] {
        let log = log.clone();
        simulation.reactor().on_signal(signal, move |_| log.push(name)).unwrap();
    }
    assert!(!simulation.signal(SIGINT), "only others have one");
    for signal in [SIGTERM, SIGUSR1, SIGTERM] {
        assert!(simulation.signal(signal));
    }
    assert_eq!(log.len(), 0, "nothing is called outside of a turn");
    simulation.turn();
    assert_eq!(log.take(), ["one", "term"], "two of a kind count as one");
    simulation.settle();
    assert_eq!(log.len(), 0);
    assert!(simulation.signal(SIGTERM));
    simulation.settle();
    assert_eq!(log.take(), ["term"]);
    simulation.reactor().run().unwrap(); // signals do not keep it running
}

fn signals_shut_a_simulated_reactor_down() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut peer = simulation.connect(Recorder::new(&log, "a"));
    simulation.reactor().drain_on_signals(Duration::from_secs(10)).unwrap();
    simulation.settle();
    assert!(simulation.signal(SIGINT));
    simulation.settle();
    assert!(simulation.reactor().is_stopping());
    assert_eq!(peer.received(), b"");
    assert!(simulation.signal(SIGINT), "the second one");
    assert!(simulation.turn().stopped);
    assert!(log.has("a lost Closed"), "it had nothing more to send: {:?}", log.lines());
}
