//! The trace: whole, nested, with the sums of the counters, and the same on each run.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::thread;

use crate::util::{Log, MS, Recorder, Shared, World, sums_of_trace};
use crocus::testing::{SimulatedClock, Simulation};
use crocus::{ChromeTrace, Protocol, Reactor, Transport};

const ADDR: &str = "127.0.0.1:80";

fn watch(reactor: &mut Reactor) -> Shared {
    let file = Shared::default();
    reactor.set_observer(Some(Box::new(ChromeTrace::new(file.clone()))));
    file
}

fn text(file: &Shared) -> String {
    String::from_utf8(file.bytes()).unwrap()
}

fn sums(file: &Shared) -> crocus::Stats {
    sums_of_trace(&file.bytes()).unwrap()
}

/// Echoes slowly, by the clock of the simulation, and says good-bye after a while.
struct Slow(SimulatedClock);

impl Protocol for Slow {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.call_later(5 * MS);
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        self.0.advance(2 * MS);
        transport.write(data);
    }

    fn timer_fired(&mut self, transport: &mut Transport, _: crocus::TimerId) {
        transport.write(b"bye \"you\"\n");
        transport.lose_connection();
    }
}

/// Each kind of slice, row, arrow and mark that a simulation can have.
fn story(simulation: &mut Simulation) {
    let clock = simulation.clock();
    simulation.reactor().listen(ADDR, move |_| Slow(clock.clone())).unwrap();
    let mut peer = simulation.dial(ADDR);
    simulation.settle();
    peer.send(b"hello");
    simulation.settle();
    let other = simulation.dial(ADDR);
    simulation.settle();
    other.reset();
    simulation.advance(10 * MS);
    peer.close_write();
    simulation.settle();
    let handle = simulation.reactor().handle();
    handle.call_from_thread(|reactor| {
        reactor.connect(ADDR, |_| Recorder::new(&Log::new(), "c"));
        reactor.connect("192.0.2.1:9", |_| Recorder::new(&Log::new(), "d"));
    });
    simulation.settle();
    let full = io::Error::from_raw_os_error(libc::EMFILE);
    simulation.fail_accept(ADDR.parse().unwrap(), full);
    let _late = simulation.dial(ADDR);
    simulation.settle();
}

#[test]
fn a_trace_nests_and_its_sums_are_those_of_the_counters() {
    let mut simulation = Simulation::new();
    let trace = watch(simulation.reactor());
    story(&mut simulation);
    let mut stats = simulation.reactor().stats();
    assert!(stats.failed == 1 && stats.accept_errors == 1 && stats.connected == 1, "{stats:?}");
    assert!(stats.timers >= 1 && stats.closed >= 2 && stats.accepted >= 3, "{stats:?}");
    simulation.reactor().stop();
    simulation.turn();
    stats = simulation.reactor().stats();
    drop(simulation.reactor().set_observer(None)); // before the end of the reactor, which drops more
    assert_eq!(sums(&trace), stats);
    let text = text(&trace);
    for mark in ["reset", "out of descriptors", "refused", "not connected", "a timer fires"] {
        assert!(text.contains(&format!(r#"{{"name":"{mark}","cat":"#)), "{mark}: {text}");
    }
    for arrow in ["timer", "connect"] {
        assert!(
            text.contains(&format!(r#"{{"name":"{arrow}","cat":"{arrow}","ph":"s""#)),
            "{arrow}"
        );
    }
}

both! {
    fn a_trace_of_real_and_simulated_exchanges_has_their_sums(world) {
        let trace = watch(world.reactor());
        let (_, mut far) = world.dialled("a", |a| a.echoing());
        for round in 0..10 {
            world.send(&mut far, &[round; 100]);
            assert_eq!(world.read(&mut far, 100), [round; 100]);
        }
        let handle = world.reactor().handle();
        thread::spawn(move || handle.call_from_thread(|_| {})).join().unwrap();
        far.close_write();
        world.until("the end", |world| {
            let stats = world.reactor().stats();
            stats.closed == 1 && stats.calls == 1
        });
        world.reactor().stop();
        while !world.reactor().turn(None).unwrap().stopped {}
        let mut stats = world.reactor().stats();
        stats.slow_callbacks = 0;
        drop(world.reactor().set_observer(None));
        assert_eq!(sums(&trace), stats);
        let wake = r#"{"name":"wakes the reactor","cat":"wake","ph":"X","tid":2"#;
        assert_eq!(text(&trace).matches(wake).count() as u64, stats.wakes);
    }
}

#[test]
fn the_trace_of_a_simulation_is_always_the_same() {
    let tell = || {
        let mut simulation = Simulation::new();
        let trace = watch(simulation.reactor());
        let clock = simulation.clock();
        simulation.reactor().listen(ADDR, move |_| Slow(clock.clone())).unwrap();
        let mut peer = simulation.dial(ADDR);
        peer.send(b"hello");
        simulation.settle();
        simulation.advance(5 * MS);
        peer.close_write();
        simulation.settle();
        drop(simulation);
        text(&trace)
    };
    let trace = tell();
    assert_eq!(trace, tell());
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/trace.json");
    if std::env::var_os("CROCUS_BLESS").is_some() {
        fs::write(&kept, &trace).unwrap();
    }
    // Compared by lines: a difference is then one of them.
    let wanted = fs::read_to_string(kept).unwrap();
    for (line, wanted) in trace.lines().zip(wanted.lines()) {
        assert_eq!(line, wanted, "if it is meant to be so: CROCUS_BLESS=1 cargo test tracing");
    }
    assert_eq!(trace.lines().count(), wanted.lines().count());
}

#[test]
fn a_trace_without_its_end_is_readable_to_the_last_turn() {
    let mut simulation = Simulation::new();
    let trace = watch(simulation.reactor());
    simulation.reactor().call_soon(|_| {});
    simulation.turn();
    let so_far = trace.bytes(); // as if the program were killed now
    let events: serde_json::Value = serde_json::from_slice(&[&so_far[..], b"]"].concat()).unwrap();
    let names: Vec<_> = events.as_array().unwrap().iter().map(|event| &event["name"]).collect();
    assert!(names.contains(&&"a call".into()), "{names:?}");
}

#[test]
fn a_trace_above_its_limit_ends_and_counts_what_it_drops() {
    let mut simulation = Simulation::new();
    let trace = Shared::default();
    let limited = ChromeTrace::new(trace.clone()).limit(4000);
    simulation.reactor().set_observer(Some(Box::new(limited)));
    let _peer = simulation.connect(Recorder::new(&Log::new(), "a"));
    for _ in 0..20 {
        simulation.turn();
    }
    let full = trace.bytes().len();
    assert!((4000..6000).contains(&full), "{full}");
    for _ in 0..1000 {
        simulation.turn();
    }
    assert_eq!(trace.bytes().len(), full);
    simulation.reactor().set_observer(None);
    sums_of_trace(&trace.bytes()).unwrap();
    let text = text(&trace);
    let dropped: serde_json::Value = serde_json::from_str(&text).unwrap();
    let last = dropped.as_array().unwrap().last().unwrap().clone();
    let number = last["args"]["notices"].as_u64().unwrap();
    // Each of the later turns has nine marks.
    assert!(last["name"] == "dropped" && (9000..9300).contains(&number), "{last}");
    assert!(text.contains("the trace is full") && text.contains("the trace ends"), "{text}");
}

#[test]
fn text_of_others_cannot_break_the_trace() {
    struct Rude;
    impl Protocol for Rude {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            let text = String::from_utf8_lossy(data).into_owned();
            transport.lose_connection_because(crocus::Reason::protocol(text));
        }
    }
    let mut simulation = Simulation::new();
    let trace = watch(simulation.reactor());
    let mut peer = simulation.connect(Rude);
    peer.send(b"\"}]\n</script><b>\\\x00\xff");
    simulation.settle();
    peer.close_write();
    simulation.settle();
    drop(simulation);
    assert_eq!(sums(&trace).closed, 1);
}

/// A disk that fills up.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_writer_ends_the_trace_and_is_returned() {
    let mut simulation = Simulation::new();
    let trace = Rc::new(RefCell::new(ChromeTrace::new(Full(2000))));
    simulation.reactor().set_observer(Some(Box::new(Rc::clone(&trace))));
    for _ in 0..10 {
        simulation.turn();
    }
    drop(simulation);
    let trace = Rc::into_inner(trace).unwrap().into_inner();
    assert_eq!(trace.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

/// As one that writes to all connections may do: those that close are among them.
#[test]
fn bytes_that_a_closing_connection_refuses_do_not_wait() {
    let mut simulation = Simulation::new();
    let file = watch(simulation.reactor());
    let _peer = simulation.connect(Recorder::new(&Log::new(), "a"));
    simulation.settle();
    let id = simulation.reactor().connections()[0];
    simulation.reactor().transport(id).unwrap().lose_connection();
    simulation.settle();
    assert!(!simulation.reactor().transport(id).unwrap().write(b"too late"), "it lingers");
    simulation.settle();
    let text = text(&file);
    let buffered: Vec<&str> =
        text.lines().filter(|line| line.contains(r#""name":"buffered""#)).collect();
    assert!(buffered.iter().all(|line| line.contains(r#""value":0"#)), "{buffered:?}");
}
