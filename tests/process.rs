//! The process around a reactor: what is inherited, what interrupts it, and large numbers.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod util;

use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crocus::testing::Simulation;
use crocus::{Reactor, TimerId};
use util::{Log, Recorder, World};

#[test]
fn a_program_that_is_started_inherits_no_descriptor() {
    let before = inherited();
    let mut world = World::real();
    let log = Log::new();
    let (seen, made) = (log.clone(), log.clone());
    let (_, addr) = world.listen(move |_| Recorder::new(&seen, "a"));
    world.reactor().connect_tcp(addr, move |_| Recorder::new(&made, "c"));
    world.until("both ends", |_| log.has("a made") && log.has("c made"));
    assert_eq!(inherited(), before, "the poller, the waker, the listener, two connections");
}

/// The descriptors that a program started now has, as the system lists them.
fn inherited() -> String {
    let list = Command::new("sh").args(["-c", "ls /proc/$$/fd"]).output().unwrap();
    String::from_utf8(list.stdout).unwrap()
}

#[test]
fn a_reactor_that_is_stopped_and_continued_goes_on() {
    let mut reactor = Reactor::new().unwrap();
    let fired = Rc::new(Cell::new(false));
    let fire = Rc::clone(&fired);
    let pid = std::process::id();
    // SIGCONT interrupts the wait (signal(7) lists epoll_wait), and must not be an error.
    let script = format!("kill -STOP {pid}; kill -CONT {pid}");
    let mut child = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    reactor.call_later(Duration::from_millis(50), move |_| fire.set(true));
    reactor.run().unwrap();
    assert!(fired.get());
    assert!(child.wait().unwrap().success());
}

#[test]
fn ten_thousand_years_are_a_deadline_like_any_other() {
    let years = Duration::from_secs(10_000 * 365 * 24 * 3600);
    let mut reactor = Reactor::new().unwrap();
    let timer = reactor.call_later(years, |_| {});
    assert!(reactor.next_deadline().is_some());
    reactor.turn(Some(Duration::ZERO)).unwrap();
    reactor.call_soon(move |reactor| assert!(reactor.cancel(timer)));
    reactor.run().unwrap();

    let mut simulation = Simulation::new();
    let fired = Rc::new(Cell::new(false));
    let fire = Rc::clone(&fired);
    simulation.reactor().call_later(years, move |_| fire.set(true));
    simulation.reactor().run().unwrap();
    assert!(fired.get());
    assert_eq!(simulation.elapsed(), years);
}

#[test]
fn a_million_timers() {
    const COUNT: u32 = 1_000_000;
    let mut simulation = Simulation::new();
    let fired = Rc::new(Cell::new(0));
    let mut timers: Vec<TimerId> = Vec::new();
    for number in 0..COUNT {
        // Delays all over a second, in no order.
        let delay =
            Duration::from_micros(u64::from(number.wrapping_mul(2_654_435_761) % 1_000_000));
        let fire = Rc::clone(&fired);
        timers.push(simulation.reactor().call_later(delay, move |_| fire.set(fire.get() + 1)));
    }
    for timer in timers.iter().step_by(2) {
        assert!(simulation.reactor().cancel(*timer));
    }
    for timer in timers.iter().skip(1).step_by(4) {
        assert!(simulation.reactor().reset(*timer, Duration::from_secs(2)));
    }
    simulation.advance(Duration::from_secs(1));
    assert_eq!(fired.get(), COUNT / 4);
    simulation.advance(Duration::from_secs(1));
    assert_eq!(fired.get(), COUNT / 2);
    assert_eq!(simulation.reactor().next_deadline(), None);
}

#[test]
fn while_the_clock_stands_still_everything_else_goes_on() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let seen = log.clone();
    simulation.reactor().call_later(Duration::from_nanos(1), move |_| seen.push("fired"));
    let mut peer = simulation.connect(Recorder::new(&log, "a").on_data(|transport, data| {
        transport.write(data);
    }));
    for _ in 0..1000 {
        assert_eq!(peer.send(b"x"), 1);
        simulation.settle();
        assert_eq!(peer.received(), b"x");
    }
    assert!(!log.has("fired"));
    simulation.advance(Duration::from_nanos(1));
    assert!(log.has("fired"));
}
