//! Names that are slow to look up, or never found: they delay nobody else.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crocus::{Address, Backoff, Connect, ConnectorId, Protocol, Reactor, Reason, Reconnecting};

use crate::util::{HOUR, Log, MS, Recorder, RecordingClient, SECOND, World};
use crocus::testing::Simulation;

/// How many lookups that are waited for are made at once, how many threads there are with the others, and how many
/// names may wait: see `names.rs`.
const AT_ONCE: usize = 32;
const THREADS: usize = 2 * AT_ONCE;
const MAX_WAITING: usize = 1024;

/// A resolver that answers 127.0.0.1. For names that begin with `slow` it does so when it is told to.
#[derive(Clone, Default)]
struct Resolver(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    /// How often each name was looked up.
    asked: HashMap<String, usize>,
    /// Whether slow names are answered.
    released: bool,
}

impl Resolver {
    fn world(&self) -> World {
        let resolver = self.clone();
        let builder = Reactor::builder().slow_callback(None);
        World::Real(builder.resolver(move |name| resolver.look_up(name)).build().unwrap())
    }

    fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        *state.asked.entry(name.to_owned()).or_default() += 1;
        changed.notify_all();
        while name.starts_with("slow") && !state.released {
            state = changed.wait(state).unwrap();
        }
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }

    fn release(&self) {
        self.0.0.lock().unwrap().released = true;
        self.0.1.notify_all();
    }

    fn asked(&self) -> usize {
        self.0.0.lock().unwrap().asked.values().sum()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.release(); // or the threads of a test that failed stay for ever
    }
}

fn connect(world: &mut World, log: &Log, to: (&str, u16), timeout: Duration) -> ConnectorId {
    let seen = log.clone();
    let build = move |_: Address| -> Option<Box<dyn Protocol>> {
        Some(Box::new(Recorder::new(&seen, "c")))
    };
    world.reactor().connect(Connect::to(to).timeout(timeout), RecordingClient::new(log, "c", build))
}

/// Begins attempts at so many slow names.
fn connect_slowly(
    world: &mut World,
    log: &Log,
    names: usize,
    timeout: Duration,
) -> Vec<ConnectorId> {
    (0..names).map(|name| connect(world, log, (&format!("slow{name}"), 1), timeout)).collect()
}

/// Checks that a name is looked up and connected to while others are not answered.
fn a_good_name_is_served(world: &mut World) {
    let log = Log::new();
    let outside = world.listen_outside();
    connect(world, &log, ("good", outside.addr().port()), HOUR);
    world.until("the connection", |_| log.has("c made"));
}

/// crocus's own, as the next ones.
#[test]
fn a_name_nobody_waits_for_any_more_is_not_looked_up() {
    let resolver = Resolver::default();
    let (mut world, log) = (resolver.world(), Log::new());
    let ids = connect_slowly(&mut world, &log, 5 * AT_ONCE, HOUR);
    world.until("the first to be looked up", |_| resolver.asked() == AT_ONCE);
    // The last first, so that no room is made for one that is still to be cancelled.
    for id in ids.into_iter().rev() {
        assert!(world.reactor().cancel_connect(id));
    }
    world.until("the failures", |_| log.count("c failed Cancelled") == 5 * AT_ONCE);
    a_good_name_is_served(&mut world);
    resolver.release();
    world.quiet();
    assert_eq!(resolver.asked(), AT_ONCE + 1, "those that were under way, and the good one");
}

#[test]
fn attempts_that_timed_out_leave_room_for_a_good_name() {
    let resolver = Resolver::default();
    let (mut world, log) = (resolver.world(), Log::new());
    // If the machine is slow, each lookup begins that has a thread. One thread more is left.
    let names = THREADS - 1;
    connect_slowly(&mut world, &log, names, MS);
    world.until("the failures", |_| log.count("c failed ConnectTimedOut") == names);
    a_good_name_is_served(&mut world);
}

#[test]
fn slow_names_that_are_waited_for_leave_room_for_a_good_one() {
    let resolver = Resolver::default();
    let (mut world, log) = (resolver.world(), Log::new());
    connect_slowly(&mut world, &log, AT_ONCE - 1, HOUR);
    world.until("them to be looked up", |_| resolver.asked() == AT_ONCE - 1);
    a_good_name_is_served(&mut world);
    assert_eq!(log.len(), 0);
}

#[test]
fn attempts_at_one_slow_name_share_its_lookup() {
    let resolver = Resolver::default();
    let (mut world, log) = (resolver.world(), Log::new());
    let outside = [(); 3].map(|()| world.listen_outside());
    for outside in outside.iter().cycle().take(3 * AT_ONCE) {
        connect(&mut world, &log, ("slow", outside.addr().port()), HOUR);
    }
    world.until("it to be looked up", |_| resolver.asked() == 1);
    a_good_name_is_served(&mut world);
    assert_eq!(resolver.asked(), 2);
    resolver.release();
    world.until("the connections", |_| log.count("c made") == 3 * AT_ONCE);
    let mut peers = Vec::new();
    for id in world.reactor().connections() {
        peers
            .push(world.reactor().transport(id).unwrap().peer_addr().socket_addr().unwrap().port());
    }
    for outside in outside {
        let port = outside.addr().port();
        assert!(peers.iter().filter(|&&peer| peer == port).count() >= AT_ONCE, "each its own");
    }
    assert_eq!(resolver.asked(), 2);
}

#[test]
fn an_attempt_takes_the_answer_to_a_cancelled_one() {
    let resolver = Resolver::default();
    let (mut world, log) = (resolver.world(), Log::new());
    let outside = world.listen_outside();
    let first = connect(&mut world, &log, ("slow", 1), HOUR);
    world.until("it to be looked up", |_| resolver.asked() == 1);
    world.reactor().cancel_connect(first);
    world.until("the failure", |_| log.has("c failed Cancelled"));
    connect(&mut world, &log, ("slow", outside.addr().port()), HOUR);
    world.quiet();
    resolver.release();
    world.until("the connection", |_| log.has("c made"));
    assert_eq!(resolver.asked(), 1);
}

#[test]
fn after_an_outage_of_the_resolver_clients_connect_again() {
    let resolver = Resolver::default();
    let (mut world, log) = (resolver.world(), Log::new());
    connect_slowly(&mut world, &log, 3 * AT_ONCE, MS);
    world.until("the failures", |_| log.count("c failed ConnectTimedOut") == 3 * AT_ONCE);
    log.take();
    let outside = world.listen_outside();
    for name in 0..3 * AT_ONCE {
        connect(&mut world, &log, (&format!("slow{name}"), outside.addr().port()), HOUR);
    }
    resolver.release();
    world.until("the connections", |_| log.count("c made") == 3 * AT_ONCE);
}

#[test]
fn one_name_too_many_is_one_failure_that_says_so() {
    let resolver = Resolver::default();
    let (mut world, log) = (resolver.world(), Log::new());
    connect_slowly(&mut world, &log, AT_ONCE + MAX_WAITING, HOUR);
    world.quiet();
    assert_eq!(log.len(), 0);
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&reasons);
    let factory =
        RecordingClient::new(&log, "c", |_: Address| -> Option<Box<dyn Protocol>> { None })
            .on_failed(move |_, reason| kept.lock().unwrap().push(reason.to_string()));
    world.reactor().connect(("one-more", 1), factory);
    world.until("the failure", |_| log.len() > 0);
    world.quiet();
    assert_eq!(log.take(), ["c failed Failed(ResourceBusy)"]);
    let reason = reasons.lock().unwrap()[0].clone();
    assert_eq!(reason, "looking up the name: 1024 other names wait already to be looked up");
    // An attempt at a name that waits already needs no room of its own.
    connect(&mut world, &log, ("slow9", 1), HOUR);
    world.quiet();
    assert_eq!(log.len(), 0);
}

#[test]
fn a_panic_of_the_resolver_is_one_failure() {
    let builder = Reactor::builder().resolver(|name| panic!("{name}, on purpose"));
    let (mut world, log) = (World::Real(builder.build().unwrap()), Log::new());
    connect(&mut world, &log, ("host", 1), HOUR);
    connect(&mut world, &log, ("host", 2), HOUR);
    world.until("the failures", |_| log.len() == 2);
    world.quiet();
    assert_eq!(log.take(), ["c failed Failed(Other)"; 2]);
}

/// The text may quote a peer, and the default notice of a failure logs it.
#[test]
fn the_text_of_a_resolver_stays_on_one_line() {
    let reasons = Log::new();
    let builder = Reactor::builder().resolver(|name| {
        assert!(name != "panics", "a\nERROR forged");
        Err(io::Error::other("a\nERROR forged"))
    });
    let mut world = World::Real(builder.build().unwrap());
    for name in ["panics", "fails"] {
        let seen = reasons.clone();
        let nobody = |_: Address| -> Option<Box<dyn Protocol>> { None };
        let client = RecordingClient::new(&Log::new(), "c", nobody)
            .on_failed(move |_, reason: &Reason| seen.push(reason.to_string()));
        world.reactor().connect((name, 1), client);
        world.until("the failure", |_| reasons.len() == 1);
        let text = reasons.take().remove(0);
        assert!(text.ends_with(r"a\nERROR forged"), "{text}");
    }
}

#[test]
fn a_lookup_outlives_a_stop_and_serves_the_next_run() {
    let resolver = Resolver::default();
    let (mut world, log) = (resolver.world(), Log::new());
    let outside = world.listen_outside();
    connect_slowly(&mut world, &log, AT_ONCE, HOUR);
    world.until("them to be looked up", |_| resolver.asked() == AT_ONCE);
    world.reactor().stop();
    world.run().unwrap();
    assert_eq!(log.take(), ["c failed Stopped"; AT_ONCE]);
    resolver.release();
    // Their answers may have come before this stop, which drops the calls that brought them.
    world.reactor().stop();
    world.run().unwrap();
    for name in 0..AT_ONCE {
        connect(&mut world, &log, (&format!("slow{name}"), outside.addr().port()), HOUR);
    }
    world.until("the connections", |_| log.count("c made") == AT_ONCE);
}

/// The simulation has its own network, with its own names.
#[test]
fn a_simulation_does_not_ask_the_resolver() {
    let builder = Reactor::builder().resolver(|_| Err(io::ErrorKind::NotFound.into()));
    let mut world = World::simulated().with_limits(builder);
    let (log, outside) = (Log::new(), world.listen_outside());
    connect(&mut world, &log, ("localhost", outside.addr().port()), HOUR);
    world.until("the connection", |_| log.has("c made"));
}

/// An attempt hears why its name was not found, however many wait for it.
#[test]
fn all_attempts_at_a_name_hear_why_it_was_not_found() {
    let no_such_name = |_: &str| Err(io::Error::new(io::ErrorKind::NotFound, "no such name"));
    let mut world = World::Real(Reactor::builder().resolver(no_such_name).build().unwrap());
    let (log, heard) = (Log::new(), Log::new());
    for _ in 0..3 {
        let heard = heard.clone();
        let factory =
            RecordingClient::new(&log, "c", |_: Address| -> Option<Box<dyn Protocol>> { None })
                .on_failed(move |_, reason: &Reason| heard.push(reason.to_string()));
        world.reactor().connect(("host", 1), factory);
    }
    world.until("the failures", |_| log.len() == 3);
    assert_eq!(heard.take(), ["looking up the name: no such name"; 3]);
}

/// crocus's own, as the next: the same rules where the test sets how long a lookup takes.
#[test]
fn a_good_name_does_not_wait_for_slow_ones_that_timed_out() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    for name in 0..160 {
        let name = format!("slow{name}");
        simulation.set_lookup_time(&name, 2 * SECOND);
        let client =
            RecordingClient::new(&log, "c", |_: Address| -> Option<Box<dyn Protocol>> { None });
        let to = Connect::to((name.as_str(), 1)).timeout(250 * MS);
        simulation.reactor().connect(to, client);
    }
    simulation.advance(300 * MS);
    assert_eq!(log.take(), ["c failed ConnectTimedOut"; 160]);
    simulation.set_host("good", &[Ipv4Addr::LOCALHOST.into()]);
    simulation.set_lookup_time("good", MS);
    let _listener = simulation.listen("127.0.0.1:80").unwrap();
    let seen = log.clone();
    simulation.reactor().connect(("good", 80), move |_: Address| Recorder::new(&seen, "c"));
    simulation.advance(MS);
    assert_eq!(log.take(), ["c made"]);
}

#[test]
fn reconnecting_clients_recover_within_one_lookup_of_an_outage() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let names: Vec<String> = (0..40).map(|name| format!("host{name}")).collect();
    let _listener = simulation.listen("127.0.0.1:80").unwrap();
    for name in &names {
        simulation.set_lookup_time(name, 5 * SECOND); // and then it is not found
        let seen = log.clone();
        let client = Reconnecting::new(
            move |_: Address| Recorder::new(&seen, "c"),
            Backoff::new().max(SECOND),
        );
        let to = Connect::to((name.as_str(), 80)).timeout(SECOND);
        simulation.reactor().connect(to, client);
    }
    simulation.advance(60 * SECOND);
    assert_eq!(log.len(), 0);
    for name in &names {
        simulation.set_host(name, &[Ipv4Addr::LOCALHOST.into()]);
        simulation.set_lookup_time(name, MS);
    }
    simulation.advance(7 * SECOND); // a lookup, and the wait after its failure
    assert_eq!(log.count("c made"), 40);
}
