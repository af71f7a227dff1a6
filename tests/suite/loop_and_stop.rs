//! The loop: the order of a turn, sleeping, stopping, shutting down, and when `run` returns.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{
    Echo, Far, HOUR, Log, MS, Recorder, RecordingClient, SECOND, Watchdog, World, logged, say, slot,
};
use crocus::testing::Simulation;
use crocus::{
    Address, ConnectionId, Factory, ListenerId, Notice, Observer, Phase, Protocol, Reactor,
    Readiness, Subject, TimerEvent, TurnReport,
};

/// More than the kernel's buffers of a connection on the loopback hold, less than crocus's cap.
const TOO_MUCH: usize = 16 * 1024 * 1024;

/// One turn, which waits a little on real sockets if there is nothing to do.
fn turn(world: &mut World) -> TurnReport {
    let wait = if world.is_real() { MS * 5 } else { Duration::ZERO };
    world.reactor().turn(Some(wait)).unwrap()
}

/// A connection of `recorder` to a far end, with `connection_made` called.
fn connect(
    world: &mut World,
    mut recorder: impl FnMut() -> Recorder + 'static,
) -> (ConnectionId, Far) {
    let before = world.reactor().connections();
    let (listener, addr) = world.listen(move |_| recorder());
    let far = world.dial(addr);
    let mut id = None;
    world.until("the connection", |world| {
        id = world.reactor().connections().into_iter().find(|id| !before.contains(id));
        id.is_some()
    });
    world.reactor().stop_listening(listener);
    world.turn();
    (id.unwrap(), far)
}

fn connect_named(world: &mut World, log: &Log, name: &'static str) -> (ConnectionId, Far) {
    let log = log.clone();
    connect(world, move || Recorder::new(&log, name).with_data())
}

/// Notes on which connections something has arrived.
struct Arrivals(Rc<RefCell<Vec<ConnectionId>>>);

impl Observer for Arrivals {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        if let Notice::Event { subject: Some(Subject::Connection(id)), readiness } = notice
            && readiness.contains(Readiness::READABLE)
        {
            self.0.borrow_mut().push(*id);
        }
    }
}

/// Sends something on each connection and has them all served in the next turn, in this order.
fn make_ready(world: &mut World, connections: &mut [(ConnectionId, Far)], data: &[u8]) {
    let arrived = Rc::new(RefCell::new(Vec::new()));
    world.reactor().set_observer(Some(Box::new(Arrivals(arrived.clone()))));
    for (id, _) in &*connections {
        world.reactor().transport(*id).unwrap().pause_reading();
    }
    for (_, far) in &mut *connections {
        world.send(far, data);
    }
    world.until("all to arrive", |_| {
        connections.iter().all(|(id, _)| arrived.borrow().contains(id))
    });
    for (id, _) in &*connections {
        world.reactor().transport(*id).unwrap().resume_reading();
    }
    world.reactor().set_observer(None);
}

/// A factory that writes down all it hears.
struct Notes {
    log: Log,
    name: &'static str,
}

impl Factory for Notes {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Recorder::new(&self.log, self.name)))
    }

    fn started(&mut self, _: &mut Reactor, _: ListenerId) {
        self.log.push(format!("{} started", self.name));
    }

    fn stopped(&mut self, _: &mut Reactor, _: ListenerId) {
        self.log.push(format!("{} stopped", self.name));
    }
}

// The turn.

/// Records each step of a turn.
struct Steps(Log);

impl Observer for Steps {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        self.0.push(match notice {
            Notice::TurnBegin { .. } => "turn begins".to_owned(),
            Notice::PhaseBegin(Phase::Sleep { timeout: Some(Duration::ZERO) }) => "look".to_owned(),
            Notice::PhaseBegin(Phase::Sleep { .. }) => "sleep".to_owned(),
            Notice::PhaseBegin(phase) => phase.to_string(),
            Notice::Woke { .. } => "awake".to_owned(),
            Notice::Event { .. } => "event".to_owned(),
            Notice::CallbackBegin { callback, .. } => format!("begin {callback:?}"),
            Notice::CallbackEnd { callback, .. } => format!("end {callback:?}"),
            Notice::Received { bytes, .. } => format!("{bytes} received"),
            Notice::Sent { bytes, .. } => format!("{bytes} sent"),
            Notice::Timer { event: TimerEvent::Fired(_), .. } => "timer fires".to_owned(),
            Notice::TurnEnd(_) => "turn ends".to_owned(),
            _ => return,
        });
    }
}

both! {
    /// Derived from the order of Twisted's `runUntilCurrent` and `doIteration`.
    fn a_turn_goes_through_its_phases_in_the_published_order(world) {
        let log = Log::new();
        let inner = log.clone();
        let connection = connect(world, move || {
            let log = inner.clone();
            Recorder::new(&Log::new(), "a").on_data(move |transport, _| {
                transport.write(b"four");
                transport.write(b"teen bytes");
                transport.reactor().call_soon(say(&log, "call by the connection"));
                transport.reactor().call_later(Duration::ZERO, |_| {});
                log.push("written");
            })
        });
        let mut connections = [connection];
        make_ready(world, &mut connections, b"hello");
        // All at once, and given in the wrong order: bytes wait already.
        world.reactor().call_soon(say(&log, "call"));
        let lines = log.clone();
        world.reactor().call_later(Duration::ZERO, move |reactor| {
            lines.push("timer");
            let lines = lines.clone();
            reactor.call_soon(move |_| lines.push("call by the timer"));
        });
        world.reactor().set_observer(Some(Box::new(Steps(log.clone()))));
        let report = turn(world);
        world.reactor().set_observer(None);
        let mut lines = log.take();
        lines.retain(|line| line != "event"); // the kernel may have one more to tell
        assert_eq!(
            lines,
            [
                "turn begins",
                "look",
                "awake",
                "latch",
                "timers",
                "timer fires",
                "begin Timer",
                "timer",
                "end Timer",
                "serve",
                "5 received",
                "begin DataReceived",
                "written",
                "end DataReceived",
                "14 sent",
                "calls",
                "begin Call",
                "call",
                "end Call",
                "begin Call",
                "call by the timer",
                "end Call",
                "begin Call",
                "call by the connection",
                "end Call",
                "flush",
                "turn ends",
            ]
        );
        assert_eq!(report.timers, 1);
        assert_eq!(report.calls, 3);
        assert_eq!((report.served, report.flushed), (1, 0), "its answer left when it was served");
        assert!(!report.stopped && !report.is_idle());

        // A timer set in the serve phase is for the turn after.
        let report = turn(world);
        assert_eq!((report.timers, report.calls), (1, 0));
    }
}

both! {
    /// No poll stands between, and the bytes of the call leave with the flush of the same turn.
    fn a_call_made_by_data_received_runs_in_its_turn(world) {
        let connection = connect(world, || {
            Recorder::new(&Log::new(), "a").on_data(|transport, _| {
                let id = transport.id();
                transport.reactor().call_soon(move |reactor| {
                    assert!(reactor.transport(id).unwrap().write(b"later"));
                });
            })
        });
        let mut connections = [connection];
        make_ready(world, &mut connections, b"hello");
        let report = turn(world);
        assert_eq!((report.served, report.calls, report.flushed), (1, 1, 1));
        let [(_, far)] = &mut connections;
        assert_eq!(world.read(far, 5), b"later");
    }
}

both! {
    /// The latch phase comes after the sleep and before all that is called.
    fn events_are_latched_after_the_sleep_and_before_any_callback(world) {
        let log = Log::new();
        let (_, mut far) = connect_named(world, &Log::new(), "a");
        world.quiet();
        let mut turn_with_event = Vec::new();
        world.reactor().set_observer(Some(Box::new(Steps(log.clone()))));
        far.send(b"x");
        world.until("an event", |_| {
            let lines = log.take();
            let found = lines.iter().any(|line| line == "event");
            if found {
                turn_with_event = lines;
            }
            found
        });
        world.reactor().set_observer(None);
        let at = |wanted: &str| turn_with_event.iter().position(|line| line == wanted).unwrap();
        assert!(at("awake") < at("event"), "{turn_with_event:?}");
        assert!(at("event") < at("begin DataReceived"), "{turn_with_event:?}");
    }
}

both! {
    /// Twisted's `test_callWhenRunningOrder`, `test_runningForStartupEvents`.
    fn calls_made_before_run_wait_and_keep_their_order(world) {
        let log = Log::new();
        for name in ["first", "second", "third"] {
            world.reactor().call_soon(say(&log, name));
        }
        assert_eq!(log.len(), 0);
        world.run().unwrap();
        assert_eq!(log.take(), ["first", "second", "third"]);
        assert_eq!(world.reactor().stats().turns, 1);
    }
}

both! {
    /// asyncio's `call_soon`: what is asked for in a call waits for the next turn.
    fn a_call_from_a_call_runs_in_the_next_turn(world) {
        let log = Log::new();
        let lines = log.clone();
        world.reactor().call_soon(move |reactor| {
            lines.push("first");
            let lines = lines.clone();
            reactor.call_soon(move |_| lines.push("second"));
        });
        let report = world.reactor().turn(None).unwrap();
        assert_eq!((report.calls, log.take()), (1, vec!["first".to_owned()]));
        let report = world.reactor().turn(None).unwrap();
        assert_eq!((report.calls, log.take()), (1, vec!["second".to_owned()]));
        assert_eq!(report.slept, Duration::ZERO);
    }
}

both! {
    /// Twisted's `test_iterate`.
    fn a_turn_with_nothing_to_do_returns_and_says_so(world) {
        let (_, _far) = connect_named(world, &Log::new(), "a");
        world.quiet();
        let report = world.reactor().turn(Some(Duration::ZERO)).unwrap();
        assert!(report.is_idle(), "{report:?}");
        assert_eq!(report.slept, Duration::ZERO);
        assert_eq!(report.turn, world.reactor().stats().turns);
    }
}

/// Twisted's `test_iterate`: it waits for what it was given, or for the next timer.
#[test]
fn a_turn_waits_at_most_until_the_next_timer() {
    let mut simulation = Simulation::new();
    simulation.reactor().call_later(MS * 30, |_| {});
    simulation.reactor().turn(Some(MS * 10)).unwrap();
    assert_eq!(simulation.elapsed(), MS * 10);
    let report = simulation.reactor().turn(Some(HOUR)).unwrap();
    assert_eq!((simulation.elapsed(), report.timers), (MS * 30, 1));
    simulation.reactor().turn(Some(HOUR)).unwrap();
    assert_eq!(simulation.elapsed(), MS * 30 + HOUR);
}

/// The time between two turns is the host's and not the reactor's sleep.
#[test]
fn a_turn_reports_its_own_sleep_only() {
    let mut simulation = Simulation::new();
    simulation.turn();
    simulation.advance(HOUR);
    let report = simulation.reactor().turn(Some(MS)).unwrap();
    assert_eq!(report.slept, MS);

    let mut reactor = Reactor::new().unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    thread::sleep(MS * 20);
    let begin = Instant::now();
    let report = reactor.turn(Some(MS)).unwrap();
    assert!(report.slept <= begin.elapsed(), "{:?}", report.slept);
}

/// Twisted's `testWakeUp`.
#[test]
fn an_idle_reactor_sleeps_until_a_thread_wakes_it() {
    let mut world = World::real();
    let (_, _far) = connect_named(&mut world, &Log::new(), "a");
    world.listen(|_| Recorder::new(&Log::new(), "nobody"));
    world.reactor().call_later(HOUR, |_| {});
    world.quiet();

    let reactor = world.reactor();
    for _ in 0..20 {
        let begin = Instant::now();
        let report = reactor.turn(Some(MS)).unwrap();
        assert!(report.is_idle(), "{report:?}");
        assert!(begin.elapsed() >= MS, "it did not sleep");
    }

    let (handle, before) = (reactor.handle(), reactor.stats().turns);
    let waker = handle.clone();
    let thread = thread::spawn(move || {
        // Not to wait for anything: a loop that spins shall have the time to show it.
        thread::sleep(MS * 30);
        waker.call_from_thread(|_| {})
    });
    let _watchdog = Watchdog::new("the wake-up");
    let report = reactor.turn(None).unwrap();
    assert_eq!((report.calls, report.timers, report.served), (1, 0, 0));
    assert_eq!(reactor.stats().turns, before + 1);
    assert!(thread.join().unwrap());
    reactor.turn(Some(Duration::ZERO)).unwrap(); // the thread may have been late with its wake-up
    let report = reactor.turn(Some(MS)).unwrap();
    assert!(report.is_idle(), "woken once, and not again: {report:?}");
    drop(handle);
}

/// The same with `run`, which turns by itself.
#[test]
fn run_turns_only_when_there_is_something_to_do() {
    let mut world = World::real();
    let (_, _far) = connect_named(&mut world, &Log::new(), "a");
    world.quiet();
    let (handle, before) = (world.reactor().handle(), world.reactor().stats().turns);
    let thread = thread::spawn(move || {
        thread::sleep(MS * 30);
        handle.stop()
    });
    world.run().unwrap();
    assert!(thread.join().unwrap());
    let turns = world.reactor().stats().turns - before;
    assert_eq!(turns, 1);
}

both! {
    /// Derived from Twisted's `timeout` of `ReactorBase`.
    fn next_deadline_tells_a_host_when_to_turn(world) {
        assert_eq!(world.reactor().next_deadline(), None, "there is nothing at all");
        let (id, mut far) = connect_named(world, &Log::new(), "a");
        world.quiet();
        assert_eq!(world.reactor().next_deadline(), None, "only an event could bring work");

        let late = world.reactor().call_later(HOUR * 2, |_| {});
        assert_eq!(world.reactor().next_deadline(), world.reactor().timer_deadline(late));
        let early = world.reactor().call_later(HOUR, |_| {});
        assert_eq!(world.reactor().next_deadline(), world.reactor().timer_deadline(early));
        world.reactor().reset_timer(early, HOUR * 3);
        let next = world.reactor().next_deadline().unwrap();
        assert!(next <= world.reactor().timer_deadline(late).unwrap(), "early, never late");
        world.turn();
        assert_eq!(world.reactor().next_deadline(), world.reactor().timer_deadline(late));
        world.reactor().cancel_timer(early);
        world.reactor().cancel_timer(late);
        world.turn();
        assert_eq!(world.reactor().next_deadline(), None);

        let at_once = |world: &mut World| {
            let next = world.reactor().next_deadline();
            next.is_some_and(|next| next <= world.reactor().now())
        };
        world.reactor().call_soon(|_| {});
        assert!(at_once(world), "a call waits");
        world.turn();
        world.reactor().transport(id).unwrap().write(b"x");
        assert!(at_once(world), "a write waits");
        world.turn();
        assert_eq!(world.read(&mut far, 1), b"x");
        let handle = world.reactor().handle();
        assert!(handle.call_from_thread(|_| {}));
        assert!(at_once(world), "a thread's call waits");
        world.quiet();
        assert_eq!(world.reactor().next_deadline(), None);
        world.reactor().stop();
        assert!(at_once(world), "a stop waits");
    }
}

#[test]
fn a_host_is_not_woken_for_a_timeout_that_closing_ends() {
    let mut simulation = Simulation::new();
    let _peer = simulation.connect(Recorder::new(&Log::new(), "a"));
    simulation.settle();
    let made = simulation.reactor().now();
    let id = simulation.reactor().connections()[0];
    simulation.reactor().transport(id).unwrap().set_timeout(Some(MS * 50));
    simulation.settle();
    assert_eq!(simulation.reactor().next_deadline(), Some(made + MS * 50));
    simulation.reactor().transport(id).unwrap().lose_connection();
    simulation.turn();
    let next = simulation.reactor().next_deadline().expect("the peer does not close");
    assert!(next > made + SECOND, "that of closing");
    simulation.advance(next - made - MS);
    assert_eq!(simulation.reactor().connections().len(), 1);
    simulation.advance(MS);
    assert_eq!(simulation.reactor().connections().len(), 0, "never late");
    assert_eq!(simulation.reactor().next_deadline(), None);
}

/// Derived from Twisted's `_threadedselect` reactor, made to be hosted by another loop.
#[cfg(unix)]
#[test]
fn a_host_loop_drives_the_reactor_by_its_descriptor() {
    use std::os::fd::{AsFd, AsRawFd};

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};

    const GUEST: Token = Token(0);
    const CLIENT: Token = Token(1);
    const ROUNDS: usize = 200;
    const TIME_LIMIT: Duration = Duration::from_secs(60);

    let mut guest = Reactor::new().unwrap();
    let listener = guest.listen("127.0.0.1:0", |_| Echo).unwrap();
    let addr = guest.local_addr(listener).unwrap().socket_addr().unwrap();
    let handle = guest.handle();
    let mut host = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let fd = guest.as_fd().as_raw_fd();
    host.registry().register(&mut SourceFd(&fd), GUEST, Interest::READABLE).unwrap();
    let mut client = mio::net::TcpStream::connect(addr).unwrap();
    host.registry().register(&mut client, CLIENT, Interest::READABLE | Interest::WRITABLE).unwrap();

    let (mut sent, mut rounds) = (0, 0);
    let mut back = Vec::new();
    let mut piece = [0; 64];
    let (called, ticks) = (Arc::new(AtomicBool::new(false)), Rc::new(Cell::new(0)));
    for _ in 0..1_000_000 {
        // A loop that misses an event sleeps here until the time limit.
        let wait = guest.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let asleep = Instant::now();
        host.poll(&mut events, Some(wait.map_or(TIME_LIMIT, |wait| wait.min(TIME_LIMIT)))).unwrap();
        assert!(asleep.elapsed() < TIME_LIMIT, "not woken, after {rounds} rounds");
        let due = guest.next_deadline().is_some_and(|at| at <= Instant::now());
        if due || events.iter().any(|event| event.token() == GUEST) {
            guest.turn(Some(Duration::ZERO)).unwrap();
        }
        if !events.iter().any(|event| event.token() == CLIENT) {
            continue;
        }
        while let Ok(count @ 1..) = client.read(&mut piece) {
            back.extend_from_slice(&piece[..count]);
        }
        if back.len() == 32 {
            assert_eq!(back, [rounds as u8; 32]);
            back.clear();
            rounds += 1;
        }
        if rounds == sent && sent < ROUNDS {
            client.write_all(&[sent as u8; 32]).unwrap();
            sent += 1;
        } else if rounds == ROUNDS {
            break;
        }
    }
    assert_eq!(rounds, ROUNDS);

    // Nothing but a thread, then nothing but a timer, brings the host to turn.
    let (call, tick) = (called.clone(), ticks.clone());
    thread::spawn(move || handle.call_from_thread(move |_| call.store(true, Ordering::Relaxed)));
    host.poll(&mut events, Some(TIME_LIMIT)).unwrap();
    for _ in 0..1_000 {
        guest.turn(Some(Duration::ZERO)).unwrap();
        if called.load(Ordering::Relaxed) {
            break;
        }
        host.poll(&mut events, Some(TIME_LIMIT)).unwrap();
    }
    assert!(called.load(Ordering::Relaxed));
    guest.call_every(MS, move |_, _| tick.set(tick.get() + 1));
    for _ in 0..1_000 {
        let wait = guest.next_deadline().unwrap().saturating_duration_since(Instant::now());
        host.poll(&mut events, Some(wait)).unwrap();
        guest.turn(Some(Duration::ZERO)).unwrap();
        if ticks.get() >= 3 {
            break;
        }
    }
    assert!(ticks.get() >= 3);
}

// No turn within a turn.

/// Tries a run and a turn inside a callback, and writes down the results.
fn nest(log: &Log, who: &str, reactor: &mut Reactor) {
    let run = reactor.run().err().map(|error| error.kind());
    let turn = reactor.turn(Some(Duration::ZERO)).err().map(|error| error.kind());
    log.push(format!("{who}: {run:?} {turn:?}"));
}

const BUSY: &str = "Some(ResourceBusy) Some(ResourceBusy)";

/// Tries it in every callback.
struct Nesting {
    log: Log,
}

impl Factory for Nesting {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        let [made, data, timer, idle, lost] = [(); 5].map(|()| self.log.clone());
        let recorder = Recorder::new(&Log::new(), "a")
            .on_made(move |transport| nest(&made, "made", transport.reactor()))
            .on_data(move |transport, _| {
                nest(&data, "data", transport.reactor());
                transport.call_later(Duration::ZERO);
            })
            .on_timer(move |transport, _| {
                nest(&timer, "connection's timer", transport.reactor());
                transport.set_timeout(Some(MS));
            })
            .on_timed_out(move |transport| {
                nest(&idle, "timed out", transport.reactor());
                transport.reactor().stop();
            })
            .on_lost(move |transport, _| nest(&lost, "lost", transport.reactor()));
        Some(Box::new(recorder))
    }

    fn started(&mut self, reactor: &mut Reactor, _: ListenerId) {
        nest(&self.log, "started", reactor);
    }

    fn stopped(&mut self, reactor: &mut Reactor, _: ListenerId) {
        nest(&self.log, "stopped", reactor);
    }
}

both! {
    /// Twisted's `test_multipleRun`.
    fn run_and_turn_inside_any_callback_are_errors(world) {
        let log = Log::new();
        let (_, addr) = world.listen(Nesting { log: log.clone() });
        let nowhere = world.closed_port();
        let failed = log.clone();
        let client = RecordingClient::new(&Log::new(), "c", |_| None)
            .on_failed(move |connector, _| nest(&failed, "failed", connector.reactor()));
        world.reactor().connect(nowhere, client);
        let mut far = world.dial(addr);
        world.until("the outcomes", |_| log.count("made") + log.count("failed") == 2);
        let lines = log.clone();
        world.reactor().call_soon(move |reactor| nest(&lines, "call", reactor));
        let lines = log.clone();
        world.reactor().call_later(Duration::ZERO, move |reactor| nest(&lines, "timer", reactor));
        let lines = log.clone();
        world.reactor().call_every(Duration::ZERO, move |reactor, tick| {
            nest(&lines, "tick", reactor);
            reactor.cancel_timer(tick.timer);
        });
        far.send(b"x");
        world.run().unwrap();
        let mut lines = log.take();
        lines.sort();
        let mut who = [
            "started",
            "made",
            "failed",
            "call",
            "timer",
            "tick",
            "data",
            "connection's timer",
            "timed out",
            "lost",
            "stopped",
        ];
        who.sort_unstable();
        assert_eq!(lines, who.map(|who| format!("{who}: {BUSY}")));
        world.run().unwrap();
        assert_eq!(log.len(), 0);
    }
}

both! {
    /// Twisted's `test_multipleRun`: also where an outer `run` would have nothing left to wait for.
    fn run_inside_the_last_callback_is_an_error_too(world) {
        let log = Log::new();
        let lines = log.clone();
        world.reactor().call_soon(move |reactor| nest(&lines, "call", reactor));
        world.run().unwrap();
        let lines = log.clone();
        world.reactor().call_later(MS, move |reactor| nest(&lines, "timer", reactor));
        world.run().unwrap();
        assert_eq!(log.take(), [format!("call: {BUSY}"), format!("timer: {BUSY}")]);
    }
}

// When run returns.

both! {
    /// No counterpart in Twisted, whose `run` waits for ever.
    fn run_with_nothing_to_wait_for_returns_without_a_turn(world) {
        world.run().unwrap();
        let timer = world.reactor().call_later(HOUR, |_| {});
        let (listener, _) = world.listen(|_| Echo);
        world.reactor().cancel_timer(timer);
        world.reactor().stop_listening(listener);
        let begin = world.reactor().now();
        world.run().unwrap();
        if !world.is_real() {
            assert_eq!(world.reactor().now(), begin, "it waited for a cancelled timer");
        }
    }
}

both! {
    /// asyncio's callback chains.
    fn run_returns_after_the_last_timer_and_call(world) {
        let log = Log::new();
        let lines = log.clone();
        world.reactor().call_later(MS * 2, move |reactor| {
            lines.push("timer");
            reactor.call_soon(move |reactor| {
                lines.push("call by the timer");
                reactor.call_later(Duration::ZERO, move |reactor| {
                    lines.push("timer by the call");
                    reactor.call_later(MS, move |_| lines.push("the last"));
                });
            });
        });
        world.run().unwrap();
        let wanted = ["timer", "call by the timer", "timer by the call", "the last"];
        assert_eq!(log.take(), wanted);
    }
}

both! {
    /// A server of a single client.
    fn run_returns_after_the_last_listener_and_connection(world) {
        let (log, far) = world.dialled("a", |a| {
            let lines = a.log();
            a.on_made(move |transport| {
                let id = transport.id();
                let listener = transport.reactor().listener_of(id).unwrap();
                transport.reactor().stop_listening(listener);
                lines.push("no more listening");
            })
            .on_eof(|transport| {
                transport.call_later(MS);
            })
            .on_timer(|transport, _| transport.lose_connection())
        });
        world.until("the connection", |_| log.has("no more listening"));
        drop(far);
        world.run().unwrap();
        assert_eq!(
            log.take(),
            ["a made", "no more listening", "a eof", "a timer", "a lost PeerClosed"]
        );
        assert_eq!(world.reactor().connections(), []);
    }
}

/// If nothing could ever happen, `run` returns an error instead of waiting.
#[test]
fn run_does_not_return_while_somebody_listens_or_is_connected() {
    let mut simulation = Simulation::new();
    let listener = simulation.reactor().listen("127.0.0.1:0", |_| Echo).unwrap();
    let addr = simulation.reactor().local_addr(listener).unwrap().socket_addr().unwrap();
    simulation.reactor().run().unwrap_err();
    let peer = simulation.dial(addr);
    simulation.reactor().run().unwrap_err();
    simulation.reactor().stop_listening(listener);
    simulation.reactor().run().unwrap_err();
    assert_eq!(simulation.reactor().connections().len(), 1);
    drop(peer);
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.reactor().connections().len(), 0);
}

both! {
    /// Twisted's `stopConnecting` tests wait likewise.
    fn run_returns_after_the_outcome_of_an_attempt(world) {
        let log = Log::new();
        let nowhere = world.closed_port();
        world.reactor().connect(nowhere, RecordingClient::new(&log, "c", |_| None));
        world.run().unwrap();
        assert_eq!(log.take(), ["c failed Failed(ConnectionRefused)"]);
    }
}

// Stop.

both! {
    /// Twisted's `test_stopWhenNotStarted`, where it is an error; here it is for the next turn.
    fn a_stop_before_run_ends_it_after_one_turn(world) {
        let log = Log::new();
        world.reactor().listen("127.0.0.1:0", Notes { log: log.clone(), name: "f" }).unwrap();
        assert!(!world.reactor().is_stopping());
        world.reactor().stop();
        assert!(world.reactor().is_stopping());
        assert_eq!(log.len(), 0);
        world.reactor().call_soon(say(&log, "call"));
        world.run().unwrap();
        assert_eq!(log.take(), ["f started", "call", "f stopped"]);
        assert_eq!(world.reactor().stats().turns, 1);
        assert!(!world.reactor().is_stopping(), "it is over");
    }
}

both! {
    /// Twisted's `test_stopWhenAlreadyStopped`, where the second is an error.
    fn stop_twice_in_one_callback_is_stop_once(world) {
        let log = Log::new();
        let (_, _far) = connect_named(world, &log, "a");
        world.reactor().call_soon(|reactor| {
            reactor.stop();
            reactor.stop();
        });
        world.run().unwrap();
        assert_eq!(log.take(), ["a made", "a lost Stopped"]);
        // The second was not kept for the next run.
        world.reactor().call_later(MS, say(&log, "timer"));
        world.run().unwrap();
        assert_eq!(log.take(), ["timer"]);
    }
}

both! {
    /// Twisted's `test_runAfterStop`, where it is refused.
    fn run_again_after_a_stop_begins_with_nothing_left(world) {
        let log = Log::new();
        let held = Rc::new(());
        let (listener, addr) = world.listen(|_| Echo);
        let mut far = world.dial(addr);
        world.until("the connection", |world| world.reactor().connections().len() == 1);
        let old = world.reactor().connections()[0];
        let (lines, inner) = (log.clone(), held.clone());
        world.reactor().call_soon(move |reactor| {
            let stale = || {
                let (lines, held) = (lines.clone(), inner.clone());
                move |what: &'static str| {
                    lines.push(what);
                    drop(held);
                }
            };
            let (later, soon, after) = (stale(), stale(), stale());
            reactor.call_later(MS, move |_| later("stale timer"));
            reactor.call_later(Duration::ZERO, move |_| soon("stale timer without delay"));
            let (lines, held) = (lines.clone(), inner.clone());
            reactor.call_every(MS, move |_, _| {
                let _held = &held;
                lines.push("stale tick");
            });
            reactor.stop();
            reactor.call_soon(move |_| after("stale call"));
            assert!(reactor.handle().call_from_thread(|_| panic!("a stale call of a thread")));
        });
        world.run().unwrap();
        assert_eq!(log.len(), 0);
        assert_eq!(Rc::strong_count(&held), 1, "their functions are gone");
        let reactor = world.reactor();
        assert_eq!(reactor.connections(), []);
        assert!(reactor.transport(old).is_none());
        assert!(reactor.local_addr(listener).is_none());
        assert!(!reactor.stop_listening(listener));
        assert_eq!(world.read_to_end(&mut far), (Vec::new(), Ok(())));

        // The second run: another listener at the same port, another client, the same reactor.
        let seen = log.clone();
        let again = world.reactor().listen(addr, move |_| {
            Recorder::new(&seen, "b").with_data().on_data(|transport, _| {
                transport.reactor().call_later(MS * 5, Reactor::stop);
            })
        });
        let again = again.unwrap();
        assert_ne!(again, listener);
        let mut far = world.dial(addr);
        world.until("the second connection", |_| log.has("b made"));
        assert!(world.reactor().transport(old).is_none());
        world.send(&mut far, b"hello");
        world.run().unwrap();
        assert_eq!(log.take(), ["b made", "b data hello", "b lost Stopped"]);
        assert_eq!(world.reactor().stats().panics, 0);
    }
}

both! {
    /// Twisted's `test_stopShutDownEvents`.
    fn a_stop_at_startup_tells_started_and_stopped_once(world) {
        let log = Log::new();
        for name in ["f", "g"] {
            let notes = Notes { log: log.clone(), name };
            world.reactor().listen("127.0.0.1:0", notes).unwrap();
        }
        let lines = log.clone();
        world.reactor().call_soon(move |reactor| {
            reactor.stop();
            lines.push("stop");
        });
        world.run().unwrap();
        world.quiet();
        let mut lines = log.take();
        lines[3..].sort(); // listeners are closed in no particular order
        assert_eq!(lines, ["f started", "g started", "stop", "f stopped", "g stopped"]);
    }
}

both! {
    /// Twisted's `test_shutdownFiresTriggersAsynchronously`.
    fn stop_tells_nobody_before_the_callback_has_returned(world) {
        let log = Log::new();
        let lines = log.clone();
        let connection = connect(world, move || {
            let lines = lines.clone();
            Recorder::new(&lines.clone(), "a").on_data(move |transport, _| {
                lines.push("before");
                transport.reactor().stop();
                assert!(transport.write(b"still open"));
                lines.push("after");
            })
        });
        let mut connections = [connection];
        make_ready(world, &mut connections, b"x");
        log.take();
        assert!(turn(world).stopped);
        assert_eq!(log.take(), ["before", "after", "a lost Stopped"]);
        assert_eq!(world.reactor().stats().panics, 0);
        let [(_, far)] = &mut connections;
        assert_eq!(
            world.read_to_end(far),
            (b"still open".to_vec(), Ok(())),
            "the turn was finished"
        );
    }
}

/// Twisted's `test_shutdownDisconnectsCleanly`, `test_beforeTriggerException`,
/// `test_duringTriggerException`.
#[test]
fn a_panic_in_a_last_callback_is_logged_others_hear() {
    struct Bad(Log);

    impl Factory for Bad {
        fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
            None
        }

        fn stopped(&mut self, _: &mut Reactor, _: ListenerId) {
            self.0.push("bad stopped");
            panic!("stopped, on purpose");
        }
    }

    let mut world = World::real();
    logged();
    let log = Log::new();
    let lines = log.clone();
    let (_, _bad) = connect(&mut world, move || {
        Recorder::new(&lines, "bad").on_lost(|_, _| panic!("on purpose"))
    });
    let (_, _good) = connect_named(&mut world, &log, "good");
    let lines = log.clone();
    let (_, _worse) = connect(&mut world, move || {
        Recorder::new(&lines, "worse").on_lost(|_, _| panic!("again on purpose"))
    });
    world.reactor().listen("127.0.0.1:0", Bad(log.clone())).unwrap();
    let notes = Notes { log: log.clone(), name: "good" };
    world.reactor().listen("127.0.0.1:0", notes).unwrap();
    world.quiet();
    log.take();
    world.reactor().stop();
    world.run().unwrap();
    world.quiet();
    let mut lines = log.take();
    lines.sort();
    let wanted = [
        "bad lost Stopped",
        "bad stopped",
        "good lost Stopped",
        "good stopped",
        "worse lost Stopped",
    ];
    assert_eq!(lines, wanted);
    let logged = logged();
    for text in ["panicked: on purpose", "panicked: again on purpose", "stopped, on purpose"] {
        assert_eq!(logged.iter().filter(|line| line.ends_with(text)).count(), 1, "{logged:?}");
    }
}

both! {
    /// An experiment: Twisted forgets this one.
    fn a_paused_idle_connection_hears_of_the_stop_once(world) {
        let log = Log::new();
        let (id, mut far) = connect_named(world, &log, "a");
        world.reactor().transport(id).unwrap().pause_reading();
        far.send(b"never delivered");
        world.quiet();
        world.reactor().stop();
        world.run().unwrap();
        world.quiet();
        assert_eq!(log.take(), ["a made", "a lost Stopped"]);
    }
}

both! {
    /// An experiment with Twisted.
    fn a_connection_ready_at_the_stop_is_served_first(world) {
        let log = Log::new();
        let lines = log.clone();
        let first = connect(world, move || {
            Recorder::new(&lines, "a")
                .with_data()
                .on_data(|transport, _| transport.reactor().stop())
        });
        let second = connect_named(world, &log, "b");
        let mut connections = [first, second];
        make_ready(world, &mut connections, b"x");
        log.take();
        assert!(turn(world).stopped);
        world.quiet();
        let mut lines = log.take();
        lines[2..].sort();
        assert_eq!(lines, ["a data x", "b data x", "a lost Stopped", "b lost Stopped"]);
    }
}

both! {
    /// Twisted's `test_synchronousRemovePendingBefore`, `test_synchronousBeforeRemovesDuring`,
    /// `test_triggersRunOnce`: here it is connections who end each other.
    fn connections_that_end_each_other_at_the_stop_hear_once(world) {
        let log = Log::new();
        let mut fars = Vec::new();
        for name in ["a", "b", "c"] {
            let lines = log.clone();
            fars.push(connect(world, move || {
                Recorder::new(&lines, name).on_lost(|transport, _| {
                    let reactor = transport.reactor();
                    for id in reactor.connections() {
                        if let Some(mut other) = reactor.transport(id) {
                            other.abort_connection();
                        }
                    }
                    reactor.stop();
                })
            }));
        }
        log.take();
        world.reactor().stop();
        world.run().unwrap();
        world.quiet();
        for name in ["a", "b", "c"] {
            assert_eq!(log.count(&format!("{name} lost")), 1, "{:?}", log.lines());
        }
        assert_eq!(log.len(), 3);
    }
}

both! {
    /// Work set up by the last callbacks waits for the next run and is not lost.
    fn work_set_up_in_connection_lost_awaits_the_next_run(world) {
        let log = Log::new();
        let lines = log.clone();
        let (_, _far) = connect(world, move || {
            let log = lines.clone();
            Recorder::new(&lines, "a").on_lost(move |transport, _| {
                let reactor = transport.reactor();
                assert!(reactor.is_stopping());
                let (soon, later) = (log.clone(), log.clone());
                reactor.call_soon(move |_| soon.push("call"));
                reactor.call_later(MS, move |_| later.push("timer"));
            })
        });
        world.reactor().stop();
        world.run().unwrap();
        assert_eq!(log.take(), ["a made", "a lost Stopped"]);
        world.run().unwrap();
        let mut heard = log.take();
        if world.is_real() {
            heard.sort(); // on a slow machine the timer is due when the next run begins
        }
        assert_eq!(heard, ["call", "timer"]);
        assert_eq!(world.reactor().stats().panics, 0);
    }
}

both! {
    /// A `stop` or `shutdown` in `connection_lost` during a stop asks for what is happening already.
    fn a_stop_in_connection_lost_spares_the_next_run(world) {
        for orderly in [false, true] {
            let log = Log::new();
            let lines = log.clone();
            let (_, _far) = connect(world, move || {
                Recorder::new(&lines, "a").on_lost(move |transport, _| {
                    if orderly {
                        transport.reactor().shutdown(HOUR);
                    } else {
                        transport.reactor().stop();
                    }
                })
            });
            world.reactor().stop();
            world.run().unwrap();
            assert_eq!(log.take(), ["a made", "a lost Stopped"]);
            assert!(!world.reactor().is_stopping(), "orderly: {orderly}");
            world.reactor().call_later(MS, say(&log, "timer"));
            world.run().unwrap();
            assert_eq!(log.take(), ["timer"], "orderly: {orderly}");
        }
    }
}

both! {
    /// Attempts are told too.
    fn a_stopped_attempt_fails_and_cannot_try_again(world) {
        let log = Log::new();
        let outside = world.listen_outside();
        let again = log.clone();
        let client = RecordingClient::new(&log, "c", |_| None).on_failed(move |connector, _| {
            again.push(format!("again: {}", connector.connect()));
        });
        world.reactor().connect(outside.addr(), client);
        world.reactor().call_soon(Reactor::stop);
        // The attempt begins in this turn, and cannot be through in it.
        world.run().unwrap();
        world.quiet();
        assert_eq!(log.take(), ["c failed Stopped", "again: false"]);
        world.run().unwrap();
    }
}

// One connection and another, in one turn.

both! {
    /// Twisted's `test_removedFromReactor`.
    fn a_ready_connection_ended_by_another_hears_nothing_more(world) {
        let log = Log::new();
        let target = Rc::new(Cell::new(None));
        let (lines, victim) = (log.clone(), target.clone());
        let first = connect(world, move || {
            let victim: Rc<Cell<Option<ConnectionId>>> = victim.clone();
            Recorder::new(&lines, "a").with_data().on_data(move |transport, _| {
                let mut other = transport.reactor().transport(victim.get().unwrap()).unwrap();
                other.abort_connection();
                assert!(!other.write(b"too late"));
            })
        });
        let second = connect_named(world, &log, "b");
        target.set(Some(second.0));
        let mut connections = [first, second];
        make_ready(world, &mut connections, b"x");
        log.take();
        turn(world);
        world.quiet();
        assert_eq!(log.take(), ["a data x", "b lost Aborted"]);
        assert_eq!(world.reactor().stats().panics, 0);
    }
}

both! {
    /// Twisted's `test_lostFileDescriptor`, where it is a best effort only.
    fn a_reused_slot_gets_nothing_of_its_former_connection(world) {
        // A byte per turn, so that the first has more to be read when it is ended.
        *world = world.with_limits(Reactor::builder().read_budget(1));
        let log = Log::new();
        let mut outside = world.listen_outside();
        let ids = Rc::new(RefCell::new(Vec::new()));
        let (lines, made) = (log.clone(), ids.clone());
        let client = RecordingClient::new(&log, "client", move |_| {
            let made = made.clone();
            let name = if made.borrow().is_empty() { "old" } else { "new" };
            let recorder = Recorder::new(&lines, name).with_data();
            Some(Box::new(recorder.on_made(move |transport| {
                made.borrow_mut().push(transport.id());
            })))
        });
        let client = client.on_lost(|connector, _| {
            connector.connect();
        });
        let connector = world.reactor().connect(outside.addr(), client);
        let mut old_far = world.accept(&mut outside);
        world.until("the first connection", |_| ids.borrow().len() == 1);
        let old = ids.borrow()[0];
        assert_eq!(world.reactor().connection_of(connector), Some(old));
        world.send(&mut old_far, &[b'o'; 100]);
        world.until("some bytes", |_| log.has("old data ooo"));
        world.reactor().transport(old).unwrap().abort_connection();
        let mut new_far = world.accept(&mut outside);
        world.until("the second connection", |_| ids.borrow().len() == 2);
        let new = ids.borrow()[1];
        assert_eq!(slot(old), slot(new), "not the case this test is about");
        assert_ne!(old, new);
        assert!(world.reactor().transport(old).is_none());
        world.quiet();
        world.send(&mut new_far, b"fresh");
        world.until("the new bytes", |_| log.has("new data fresh"));
        let lines = log.take();
        let wanted =
            ["old lost Aborted", "client owner lost Aborted", "new made", "new data fresh"];
        assert_eq!(lines[lines.len() - 4..], wanted);
        assert!(lines[1].len() < "old data ".len() + 100, "more was to come: {lines:?}");
        assert_eq!(lines.len(), 6, "{lines:?}");
    }
}

/// Twisted's `test_lostFileDescriptor`: the same, with the other's place in the queue left behind.
#[test]
fn a_reused_slot_does_not_inherit_a_place_in_line() {
    let mut world = World::Real(Reactor::builder().read_budget(1).build().unwrap());
    let log = Log::new();
    let extra = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut new_far = TcpStream::connect(extra.local_addr().unwrap()).unwrap();
    let mut stream = Some(extra.accept().unwrap().0);
    let mut outside = world.listen_outside();
    let lines = log.clone();
    let (adopted, made) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    let (returned, told) = (adopted.clone(), made.clone());
    let client = RecordingClient::new(&log, "client", move |_| {
        Some(Box::new(Recorder::new(&lines, "old").with_data()))
    });
    let lines = log.clone();
    let client = client.on_lost(move |connector, _| {
        let Some(stream) = stream.take() else { return };
        let told = told.clone();
        let recorder = Recorder::new(&lines, "new")
            .with_data()
            .on_made(move |transport| told.set(Some(transport.id())));
        returned.set(connector.reactor().adopt(stream, recorder).ok());
    });
    let connector = world.reactor().connect(outside.addr(), client);
    let old_far = world.accept(&mut outside);
    world.until("the first connection", |_| log.has("old made"));
    let old = world.reactor().connection_of(connector).unwrap();
    let lines = log.clone();
    let killer = connect(&mut world, move || {
        Recorder::new(&lines, "killer").on_data(move |transport, _| {
            if let Some(mut old) = transport.reactor().transport(old) {
                old.abort_connection();
            }
        })
    });
    let mut connections = [(old, old_far), killer];
    make_ready(&mut world, &mut connections, b"more than one byte");
    log.take();
    // The old one reads a byte and queues again; then it is ended, and its slot taken at once.
    turn(&mut world);
    assert_eq!(log.take(), ["old data m", "old lost Aborted", "client owner lost Aborted"]);
    let new = adopted.get().unwrap();
    assert_eq!(slot(old), slot(new), "not the case this test is about");
    new_far.write_all(b"fresh").unwrap();
    world.until("the new bytes", |_| log.has("new data fresh"));
    world.quiet();
    assert_eq!(log.take(), ["new made", "new data fresh"]);
    assert_eq!(made.get(), Some(new), "it is called by its own name");
    assert!(world.reactor().transport(old).is_none());
}

both! {
    /// Twisted's `test_serverReadFailure`, and its `_disconnectSelectable`.
    fn an_error_on_one_connection_ends_only_that_one(world) {
        let log = Log::new();
        let (_, bad) = connect_named(world, &log, "bad");
        let (_, mut good) = connect_named(world, &log, "good");
        bad.reset();
        world.until("the error", |_| log.count("bad lost") > 0);
        good.send(b"x");
        world.until("the bytes", |_| log.has("good data x"));
        world.quiet();
        let wanted = ["bad made", "good made", "bad lost Failed(ConnectionReset)", "good data x"];
        assert_eq!(log.take(), wanted);
    }
}

// Shutdown.

/// A connection that owes more than fits on the way, and a far end that does not read it yet.
fn connect_owing(world: &mut World, log: &Log) -> Far {
    let lines = log.clone();
    let (id, far) = connect(world, move || {
        Recorder::new(&lines, "a")
            .on_made(|transport| {
                assert!(transport.write(&vec![b'x'; TOO_MUCH]));
            })
            .on_pause(|_| {})
            .on_resume(|_| {})
    });
    world.quiet();
    assert!(world.reactor().transport(id).unwrap().buffered() > 0, "all of it left at once");
    far
}

both! {
    /// Twisted's `test_asynchronousBefore`: what goes on while the end is awaited.
    fn a_shutdown_sends_everything_and_then_stops(world) {
        let log = Log::new();
        let mut far = connect_owing(world, &log);
        let (_, second) = connect_named(world, &log, "b");
        let (lines, reported) = (log.clone(), Rc::new(Cell::new(false)));
        world.reactor().listen("127.0.0.1:0", Notes { log: log.clone(), name: "f" }).unwrap();
        world.quiet();
        log.take();
        let stopped = reported.clone();
        world.reactor().call_every(Duration::ZERO, move |_, _| {
            if !stopped.replace(true) {
                lines.push("tick");
            }
        });
        world.reactor().shutdown(HOUR);
        assert!(world.reactor().is_stopping());
        assert!(!turn(world).stopped, "they are told");
        drop(second);
        let mut received = Vec::new();
        let mut stopped = false;
        let mut far = Some(&mut far);
        let mut ended = None;
        for _ in 0..1_000_000 {
            if turn(world).stopped {
                stopped = true;
                break;
            }
            assert!(!log.has("a lost Stopped"));
            if let Some(open) = far.as_deref_mut() {
                received.extend(open.receive(1 << 20).unwrap());
                if received.len() == TOO_MUCH {
                    open.close_write();
                    far = None;
                    ended = Some(log.count("a lost"));
                }
            }
        }
        assert!(stopped, "with {} bytes received", received.len());
        assert_eq!(received.len(), TOO_MUCH);
        assert_eq!(ended, Some(0), "it did not wait for its peer");
        let mut lines = log.take();
        lines.sort();
        assert_eq!(lines, ["a lost Closed", "a resume", "b lost Closed", "f stopped", "tick"]);
        world.quiet();
        assert!(!world.reactor().is_stopping());
        world.run().unwrap();
        assert_eq!(log.len(), 0, "and the timer is gone");
    }
}

/// The same with `run`, to the end.
#[test]
fn run_returns_when_a_shutdown_has_drained_everything() {
    let mut world = World::real();
    let log = Log::new();
    let Far::Real(mut far) = connect_owing(&mut world, &log) else { unreachable!() };
    let _unused = world.reactor().handle(); // it does not keep a shutdown waiting
    world.reactor().call_later(HOUR, |_| {});
    world.reactor().call_soon(|reactor| reactor.shutdown(HOUR));
    let reader = thread::spawn(move || {
        far.set_nonblocking(false).unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        all.len()
    });
    world.run().unwrap();
    assert_eq!(reader.join().unwrap(), TOO_MUCH);
    assert_eq!(log.take(), ["a made", "a pause", "a resume", "a lost Closed"]);
}

both! {
    /// nginx's `worker_shutdown_timeout`.
    fn a_shutdown_cuts_the_rest_after_the_grace(world) {
        let log = Log::new();
        let _far = connect_owing(world, &log);
        log.take();
        let begin = world.reactor().now();
        world.reactor().shutdown(MS * 30);
        world.run().unwrap();
        let took = world.reactor().now() - begin;
        assert!(took >= MS * 30, "{took:?}");
        assert!(world.is_real() || took == MS * 30, "{took:?}");
        world.quiet();
        assert_eq!(log.take(), ["a lost Stopped"]);
    }
}

both! {
    /// A second Ctrl-C, with less patience.
    fn shutdown_called_again_moves_the_end_of_the_grace(world) {
        let log = Log::new();
        let _far = connect_owing(world, &log);
        log.take();
        let begin = world.reactor().now();
        world.reactor().shutdown(HOUR);
        world.reactor().shutdown(MS * 10);
        world.run().unwrap();
        assert!(world.is_real() || world.reactor().now() - begin == MS * 10);
        assert_eq!(log.take(), ["a lost Stopped"]);
    }
}

both! {
    /// A stop in a shutdown is a stop.
    fn stop_ends_a_shutdown_at_once(world) {
        let log = Log::new();
        let _far = connect_owing(world, &log);
        log.take();
        world.reactor().shutdown(HOUR);
        world.quiet();
        assert_eq!(log.len(), 0);
        world.reactor().stop();
        assert!(turn(world).stopped);
        assert_eq!(log.take(), ["a lost Stopped"]);
        // And nothing of the shutdown is left for the next run.
        let lines = log.clone();
        let begin = world.reactor().now();
        world.reactor().call_later(MS, move |_| lines.push("timer"));
        world.run().unwrap();
        assert_eq!(log.take(), ["timer"]);
        assert!(world.is_real() || world.reactor().now() - begin == MS);
    }
}

both! {
    /// There is nothing to wait for.
    fn shutdown_of_a_reactor_without_connections_does_not_wait(world) {
        let log = Log::new();
        world.reactor().listen("127.0.0.1:0", Notes { log: log.clone(), name: "f" }).unwrap();
        world.quiet();
        let handle = world.reactor().handle();
        world.reactor().call_later(HOUR, |_| {});
        let begin = world.reactor().now();
        world.reactor().shutdown(HOUR);
        world.run().unwrap();
        assert!(world.is_real() || world.reactor().now() == begin);
        assert_eq!(log.take(), ["f started", "f stopped"]);
        drop(handle);
    }
}

both! {
    /// The port is free at once (else the error were another), attempts fail, and nothing new is begun.
    fn shutdown_closes_listeners_and_gives_up_attempts_old_and_new(world) {
        let log = Log::new();
        let _far = connect_owing(world, &log);
        let (_, addr) = world.listen(Notes { log: log.clone(), name: "f" });
        world.quiet();
        log.take();
        let outside = world.listen_outside();
        let old = RecordingClient::new(&log, "old", |_| None);
        world.reactor().connect(outside.addr(), old);
        world.reactor().shutdown(HOUR);
        let error = world.reactor().listen(addr, |_| Echo).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
        let new = RecordingClient::new(&log, "new", |_| None)
            .on_failed(|connector, _| assert!(!connector.connect()));
        world.reactor().connect(outside.addr(), new);
        world.quiet();
        let mut lines = log.take();
        lines.sort();
        assert_eq!(lines, ["f stopped", "new failed Stopped", "old failed Stopped"]);
        world.reactor().stop();
        world.run().unwrap();
        assert_eq!(log.take(), ["a lost Stopped"]);
        assert_eq!(world.reactor().stats().panics, 0);
    }
}

// Drop.

both! {
    /// Twisted's reactor cannot be dropped; its `disconnectAll` is the nearest.
    fn dropping_a_reactor_tells_everybody_once_whatever_their_state(world) {
        let mut inner = world.with_limits(Reactor::builder());
        let log = Log::new();
        let owing = connect_owing(&mut inner, &log);
        let (paused, paused_far) = connect_named(&mut inner, &log, "paused");
        inner.reactor().transport(paused).unwrap().pause_reading();
        let (closing, closing_far) = connect_named(&mut inner, &log, "lingering");
        inner.reactor().transport(closing).unwrap().lose_connection();
        let (half, mut half_far) = connect_named(&mut inner, &log, "half");
        inner.reactor().transport(half).unwrap().lose_write_connection();
        assert_eq!(inner.read_to_end(&mut half_far), (Vec::new(), Ok(())));
        let (aborted, aborted_far) = connect_named(&mut inner, &log, "aborted");
        inner.listen(Notes { log: log.clone(), name: "f" });
        inner.quiet();
        let outside = inner.listen_outside();
        let client = RecordingClient::new(&log, "c", |_| None);
        inner.reactor().connect(outside.addr(), client);
        inner.reactor().transport(aborted).unwrap().abort_connection();
        let held = Rc::new(());
        let (timer, call) = (held.clone(), held.clone());
        inner.reactor().call_later(HOUR, move |_| drop(timer));
        inner.reactor().call_soon(move |_| drop(call));
        log.take();
        drop(inner);
        let mut lines = log.take();
        lines.sort();
        assert_eq!(
            lines,
            [
                "a lost Stopped",
                "aborted lost Aborted",
                "c failed Stopped",
                "f stopped",
                "half lost Stopped",
                "lingering lost Closed",
                "paused lost Stopped",
            ]
        );
        assert_eq!(Rc::strong_count(&held), 1);
        drop((owing, paused_far, closing_far, half_far, aborted_far));
    }
}

both! {
    /// A callback during the drop may still use the reactor, but not turn it.
    fn connection_lost_during_a_drop_can_change_nothing(world) {
        let mut inner = world.with_limits(Reactor::builder());
        let log = Log::new();
        let lines = log.clone();
        let (_, _far) = connect(&mut inner, move || {
            let log = lines.clone();
            Recorder::new(&lines, "a").on_lost(move |transport, _| {
                assert!(!transport.write(b"x"));
                let reactor = transport.reactor();
                nest(&log, "lost", reactor);
                let (soon, later) = (log.clone(), log.clone());
                reactor.call_soon(move |_| soon.push("never"));
                reactor.call_later(Duration::ZERO, move |_| later.push("never"));
                let listens = reactor.listen("127.0.0.1:0", |_| Echo);
                assert_eq!(listens.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
                reactor.stop();
                reactor.shutdown(HOUR);
                log.push("done");
            })
        });
        drop(inner);
        assert_eq!(log.take(), ["a made", "a lost Stopped", &format!("lost: {BUSY}"), "done"]);
    }
}

/// crocus's own: a shutdown under load gives everybody a whole answer, also those who wait in the queue.
#[test]
fn a_shutdown_under_load_finishes_every_answer() {
    let mut world = World::real().with_limits(Reactor::builder().accept_budget(7));
    let log = Log::new();
    let seen = log.clone();
    let (_, addr) = world.listen(move |_| {
        Recorder::new(&seen, "a").on_made(|transport| {
            transport.write(&[7; 100_000]);
            transport.lose_connection();
        })
    });
    let mut clients: Vec<Far> = (0..60).map(|_| world.dial(addr)).collect();
    world.until("some to be accepted", |_| log.count("a made") >= 20);
    world.reactor().shutdown(Duration::from_secs(60));
    assert!(log.count("a made") < 60, "nobody waits");
    for mut client in clients.drain(..) {
        let (all, end) = world.read_to_end(&mut client);
        assert_eq!((all.len(), end), (100_000, Ok(())));
    }
    world.run().unwrap();
    assert_eq!((log.count("a made"), log.count("a lost Closed")), (60, 60));
}
