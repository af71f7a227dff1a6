//! Observers, counters, and what is logged.

use std::io;
use std::time::{Duration, Instant};

use log::Level;

use crate::util::{Log, Recorder, World, logged_up_to, tag};
use crocus::testing::Simulation;
use crocus::{
    Address, Callback, ConnectionId, ListenerId, LogObserver, Observer, Protocol, Reactor,
    Readiness, Reason, Subject, TimerEvent, TimerId, Transport, TurnReport,
};

/// Records each step of a turn.
struct Steps(Log);

impl Observer for Steps {
    fn turn_begin(&mut self, turn: u64) {
        self.0.push(format!("turn {turn}"));
    }

    fn sleep_begin(&mut self, timeout: Option<Duration>) {
        self.0.push(format!("sleep {timeout:?}"));
    }

    fn sleep_end(&mut self, slept: Duration, events: usize) {
        self.0.push(format!("slept {slept:?}, {events} events"));
    }

    fn event(&mut self, subject: Option<Subject>, readiness: Readiness) {
        let readable = readiness.contains(Readiness::READABLE);
        self.0.push(format!("event for {}, readable {readable}", kind(subject)));
    }

    fn callback_begin(&mut self, subject: Subject, callback: Callback) {
        self.0.push(format!("begin {callback} of {}", kind(Some(subject))));
    }

    fn callback_end(&mut self, subject: Subject, callback: Callback, _took: Duration) {
        self.0.push(format!("end {callback} of {}", kind(Some(subject))));
    }

    fn opened(&mut self, _: ConnectionId, _: &Address) {
        self.0.push("opened");
    }

    fn closed(&mut self, _: ConnectionId, _: &Address, reason: &Reason) {
        self.0.push(format!("closed {}", tag(reason)));
    }

    fn received(&mut self, _: ConnectionId, bytes: usize) {
        self.0.push(format!("received {bytes}"));
    }

    fn sent(&mut self, _: ConnectionId, bytes: usize) {
        self.0.push(format!("sent {bytes}"));
    }

    fn timer(&mut self, _: TimerId, event: TimerEvent) {
        self.0.push(match event {
            TimerEvent::Set(_) => "timer set".to_owned(),
            TimerEvent::Fired(late) => format!("timer fired {late:?} late"),
            TimerEvent::Cancelled => "timer cancelled".to_owned(),
            _ => "something else of a timer".to_owned(),
        });
    }

    fn woken(&mut self) {
        self.0.push("woken");
    }

    fn pressure(&mut self, _: ConnectionId, high: bool, buffered: usize) {
        self.0.push(format!("pressure {high} at {buffered}"));
    }

    fn refused(&mut self, _: ListenerId, error: Option<&io::Error>) {
        self.0.push(format!("refused {:?}", error.map(io::Error::kind)));
    }

    fn turn_end(&mut self, report: &TurnReport) {
        self.0.push(format!("turn {} over", report.turn));
    }
}

fn kind(subject: Option<Subject>) -> &'static str {
    match subject {
        None => "nobody",
        Some(Subject::Reactor) => "reactor",
        Some(Subject::Listener(_)) => "listener",
        Some(Subject::Connection(_)) => "connection",
        Some(_) => "connector",
    }
}

#[test]
fn an_observer_sees_a_connection_in_order_of_the_phases() {
    let log = Log::new();
    let mut simulation = Simulation::new();
    let addr = "10.0.0.1:80";
    simulation
        .reactor()
        .listen(addr, |_| {
            Recorder::new(&Log::new(), "a").on_data(|transport, data| {
                transport.write(data);
                transport.lose_connection();
            })
        })
        .unwrap();
    simulation.settle();
    simulation.reactor().set_observer(Some(Box::new(Steps(log.clone()))));
    let first = simulation.reactor().stats().turns + 1;
    let mut peer = simulation.dial(addr);
    simulation.turn();
    assert_eq!(
        log.take(),
        [
            format!("turn {first}").as_str(),
            "sleep Some(0ns)",
            "slept 0ns, 1 events",
            "event for listener, readable true",
            "begin build_protocol of listener",
            "end build_protocol of listener",
            "opened",
            "begin connection_made of connection",
            "end connection_made of connection",
            &format!("turn {first} over"),
        ]
    );
    peer.send(b"hello");
    simulation.turn();
    assert_eq!(
        log.take(),
        [
            format!("turn {}", first + 1).as_str(),
            "sleep Some(0ns)",
            "slept 0ns, 1 events",
            "event for connection, readable true",
            "received 5",
            "begin data_received of connection",
            "end data_received of connection",
            "sent 5",
            &format!("turn {} over", first + 1),
        ]
    );
    peer.close_write();
    simulation.settle();
    assert_eq!(peer.received(), b"hello");
    let lines = log.take();
    assert!(lines.contains(&"begin connection_lost of connection".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"closed Closed".to_owned()), "{lines:#?}");
}

#[test]
fn timers_pressure_refusals_and_wakes_are_seen() {
    let log = Log::new();
    let mut simulation = Simulation::new();
    let reactor = simulation.reactor();
    reactor.set_observer(Some(Box::new(Steps(log.clone()))));
    let late = reactor.call_later(Duration::from_secs(2), |_| {});
    reactor.call_later(Duration::from_secs(1), move |reactor| {
        reactor.cancel_timer(late);
    });
    simulation.set_window(1000);
    let mut peer = simulation.connect(Recorder::new(&Log::new(), "a").on_made(|transport| {
        transport.set_write_buffer_limits(500, 100);
        transport.write(&[7; 1600]);
    }));
    simulation.advance(Duration::from_secs(3));
    let lines = log.take();
    for wanted in ["timer set", "timer fired 0ns late", "timer cancelled", "pressure true at 1600"]
    {
        assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:#?}");
    }
    assert_eq!(peer.received().len(), 1000);
    simulation.settle();
    assert!(log.has("pressure false at 0"), "{:#?}", log.lines());

    let addr = "10.0.0.1:80".parse().unwrap();
    simulation.reactor().listen(addr, |_| Recorder::new(&Log::new(), "b")).unwrap();
    simulation.fail_accept(addr, io::ErrorKind::ConnectionAborted.into());
    simulation.settle();
    assert!(log.has("refused Some(ConnectionAborted)"));

    let mut reactor = Reactor::new().unwrap();
    let log = Log::new();
    reactor.set_observer(Some(Box::new(Steps(log.clone()))));
    reactor.handle().call_from_thread(|_| {});
    reactor.run().unwrap();
    assert!(log.has("woken"));
    assert!(reactor.stats().wakes >= 1);
}

#[test]
fn the_counters_agree_with_what_happened() {
    let mut world = World::real();
    let log = Log::new();
    let (_, addr) = world.listen(|_| Recorder::new(&Log::new(), "a").echoing());
    for _ in 0..3 {
        let mut far = world.dial(addr);
        world.send(&mut far, b"0123456789");
        assert_eq!(world.read(&mut far, 10), b"0123456789");
        far.close_write();
        assert_eq!(world.read_to_end(&mut far), (Vec::new(), Ok(())));
    }
    let client_log = log.clone();
    world.reactor().connect(addr, move |_| {
        Recorder::new(&client_log, "c").on_made(|transport| transport.lose_connection())
    });
    world.until("the client's loss", |_| log.count("c lost") == 1);
    world.until("the server's loss", |world| world.reactor().stats().closed == 5);
    let stats = world.reactor().stats();
    assert_eq!((stats.accepted, stats.connected, stats.closed), (4, 1, 5));
    assert_eq!((stats.bytes_read, stats.bytes_written), (30, 30));
    assert_eq!((stats.refused, stats.failed, stats.panics), (0, 0, 0));
    assert!(stats.callbacks >= 4 * 3 && stats.turns > 0 && stats.events > 0);
}

#[test]
fn a_report_tells_what_a_turn_did() {
    let mut simulation = Simulation::new();
    assert!(simulation.turn().is_idle());
    simulation.reactor().call_soon(|_| {});
    simulation.reactor().call_later(Duration::ZERO, |_| {});
    let report = simulation.turn();
    assert_eq!((report.timers, report.calls, report.served), (1, 1, 0));
    assert!(!report.is_idle());
    simulation.reactor().call_later(Duration::from_secs(5), |_| {});
    let report = simulation.reactor().turn(None).unwrap();
    assert_eq!((report.slept, report.timers), (Duration::from_secs(5), 1));
}

struct Slow(Duration);

impl Protocol for Slow {
    fn connection_made(&mut self, transport: &mut Transport) {
        let end = Instant::now() + self.0;
        while Instant::now() < end {}
        transport.lose_connection();
    }
}

#[test]
fn a_slow_callback_is_logged_with_its_name_and_peer() {
    logged_up_to(Level::Trace);
    let limits = || Reactor::builder().slow_callback(Some(Duration::from_millis(20)));
    let mut world = World::real().with_limits(limits());
    let (_, addr) = world.listen(|_| Slow(Duration::from_millis(30)));
    let mut far = world.dial(addr);
    assert!(world.read_to_end(&mut far).1.is_ok());
    let lines = logged_up_to(Level::Trace);
    let line = lines.iter().find(|(_, line)| line.contains("nothing else was served"));
    let (level, line) = line.expect("a warning");
    assert_eq!(*level, Level::Warn);
    assert!(line.contains("connection_made") && line.contains(&far.addr().to_string()), "{line}");
    assert!(world.reactor().stats().slow_callbacks >= 1);

    let mut world = World::real().with_limits(Reactor::builder().slow_callback(None));
    let (_, addr) = world.listen(|_| Slow(Duration::from_millis(110)));
    let mut far = world.dial(addr);
    assert!(world.read_to_end(&mut far).1.is_ok());
    assert!(logged_up_to(Level::Trace).is_empty(), "not asked for");
}

struct SlowThenCancels;

impl Protocol for SlowThenCancels {
    fn connection_made(&mut self, transport: &mut Transport) {
        let timer = transport.reactor().call_later(Duration::from_secs(60), |_| {});
        let end = Instant::now() + Duration::from_millis(30);
        while Instant::now() < end {}
        transport.reactor().cancel_timer(timer);
        transport.lose_connection();
    }
}

#[test]
fn nobody_else_is_blamed_for_a_slow_callback() {
    logged_up_to(Level::Trace);
    let limits = Reactor::builder().slow_callback(Some(Duration::from_millis(20)));
    let mut world = World::real().with_limits(limits);
    let (_, addr) = world.listen(|_| SlowThenCancels);
    let idle = world.reactor().call_later(Duration::from_secs(60), |_| {});
    let end = Instant::now() + Duration::from_millis(30);
    while Instant::now() < end {} // what passes outside of callbacks is nobody's fault
    world.reactor().cancel_timer(idle);
    let mut far = world.dial(addr);
    assert!(world.read_to_end(&mut far).1.is_ok());
    let lines = logged_up_to(Level::Trace);
    let slow: Vec<_> = lines.iter().filter(|(_, line)| line.contains("nothing else")).collect();
    assert!(!slow.is_empty());
    assert!(slow.iter().all(|(_, line)| line.starts_with("connection_made")), "{slow:?}");
}

#[test]
fn a_panic_is_logged_with_its_callback_and_peer() {
    logged_up_to(Level::Trace);
    let mut world = World::real();
    let (log, mut far) = world.dialled("a", |a| {
        a.on_data(|_, data| panic!("a bug, on purpose: {}", String::from_utf8_lossy(data)))
    });
    world.send(&mut far, b"x\nERROR \x1b[31m\"forged\"");
    world.until("the loss", |_| log.has("a lost Panicked(data_received)"));
    let lines = logged_up_to(Level::Trace);
    let error = lines.iter().find(|(level, _)| *level == Level::Error);
    let (_, line) = error.expect("an error is logged");
    let quoted = r#"a bug, on purpose: x\nERROR \u{1b}[31m"forged""#;
    for wanted in ["data_received", &far.addr().to_string(), quoted] {
        assert!(line.contains(wanted), "{line}");
    }
    assert_eq!(line.lines().count(), 1, "what the peer sent makes no line of its own");
}

#[test]
fn the_logging_observer_tells_of_connections() {
    logged_up_to(Level::Trace);
    let mut world = World::real();
    world.reactor().set_observer(Some(Box::new(LogObserver::new())));
    let (_log, mut far) =
        world.dialled("a", |a| a.on_made(|transport| transport.lose_connection()));
    assert!(world.read_to_end(&mut far).1.is_ok());
    let lines = logged_up_to(Level::Trace);
    let peer = far.addr().to_string();
    let about = |what: &str| {
        let found = |(level, line): &(Level, String)| {
            *level == Level::Debug && line.contains(&peer) && line.contains(what)
        };
        lines.iter().any(found)
    };
    assert!(about("opened") && about("ended: closed"), "{lines:#?}");
    assert!(lines.iter().any(|(level, line)| *level == Level::Trace && line.contains("sleep")));
}
