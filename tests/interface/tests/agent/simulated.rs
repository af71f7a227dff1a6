//! No sockets and no waiting.

use std::net::SocketAddr;
use std::time::Duration;

use crocus::testing::{Cut, End, Peer, PeerListener, Simulation};

use crate::monitor::{self, Settings};

const TARGET: &str = "127.0.0.1:8080";
const COLLECTOR: &str = "127.0.0.1:9000";
const CONTROL: &str = "/run/agent.sock";
const SECOND: Duration = Duration::from_secs(1);

struct World {
    simulation: Simulation,
    statsd: SocketAddr,
    control: Peer,
}

impl World {
    fn new(targets: &[&str], collector: Option<&str>) -> Self {
        let mut simulation = Simulation::new();
        let settings = Settings {
            control: CONTROL.into(),
            targets: targets.iter().map(|&name| name.to_owned()).collect(),
            collector: collector.map(str::to_owned),
            ..Settings::default()
        };
        simulation.reactor().drain_on_signals(settings.grace()).unwrap();
        let places = monitor::start(simulation.reactor(), settings).unwrap();
        assert_eq!(places.control.to_string(), format!("unix:{CONTROL}"));
        let control = simulation.dial(format!("unix:{CONTROL}"));
        simulation.settle();
        Self { simulation, statsd: places.statsd, control }
    }

    /// Sends commands and returns the answers that are there then.
    fn ask(&mut self, commands: &str) -> String {
        self.control.send_all(&mut self.simulation, commands.as_bytes()).unwrap();
        self.answers()
    }

    fn answers(&mut self) -> String {
        self.simulation.settle();
        String::from_utf8(self.control.received()).unwrap()
    }

    fn count(&mut self, datagrams: &[&[u8]]) {
        let mut client = self.simulation.bind_udp("127.0.0.1:0").unwrap();
        for datagram in datagrams {
            client.send_to(datagram, self.statsd).unwrap();
        }
        self.simulation.settle();
    }

    fn accept(&mut self, listener: &mut PeerListener) -> Peer {
        self.simulation.settle();
        listener.accept().expect("a connection of the agent")
    }
}

fn target(simulation: &mut Simulation) -> PeerListener {
    simulation.listen(TARGET).unwrap()
}

#[test]
fn counters_gauges_and_what_is_malformed() {
    let mut world = World::new(&[], None);
    world.count(&[b"a:1|c\na:2|c|@0.5\n", b"g:10|g", b"g:-3|g", b"h:-3|g", b"b:0.5|c"]);
    let malformed: [&[u8]; 11] = [
        b"",
        b"\n",
        b"a",
        b"a:1",
        b":1|c",
        b"a:1|x",
        b"a:nan|g",
        b"a:1|c|@0",
        b"a:1|c|@2",
        b"a b:1|c",
        b"\xff:1|c",
    ];
    world.count(&malformed);
    world.count(&[b"a:1|c|@1|x", b"a:1e308|c|@0.001"]);
    let status = world.ask("status\n");
    for line in ["counter a 5\n", "counter b 0.5\n", "gauge g 7\n", "gauge h -3\n"] {
        assert!(status.contains(line), "{line:?} in {status}");
    }
    assert!(status.contains("statsd malformed=13 no_room=0\n"), "{status}");
    assert!(world.ask("reset\nstatus\n").starts_with("ok\nstatsd malformed=0 no_room=0\n"));
}

#[test]
fn names_are_bounded() {
    let mut world = World::new(&[], None);
    for number in 0..1100 {
        world.count(&[format!("name{number}:1|c").as_bytes()]);
    }
    world.count(&[&[b'x'; 101], [b"y".repeat(101), b":1|c".to_vec()].concat().as_slice()]);
    let status = world.ask("status\n");
    assert_eq!(status.matches("counter ").count(), 1000);
    assert!(status.contains("statsd malformed=2 no_room=100\n"), "{status}");
}

#[test]
fn a_poll_notes_status_and_latency() {
    let mut world = World::new(&[TARGET], None);
    assert!(world.ask("status\n").contains("polls=1 failures=1"), "nobody listens yet");
    world.simulation.set_cut(Cut::Every(1));
    let mut listener = target(&mut world.simulation);
    world.simulation.advance(10 * SECOND);
    let mut server = world.accept(&mut listener);
    assert_eq!(server.received(), b"GET /health HTTP/1.0\r\n\r\n");
    world.simulation.advance(Duration::from_millis(1500));
    server.send_all(&mut world.simulation, b"HTTP/1.1 503 Not Well\r\n\r\nbody").unwrap();
    world.simulation.settle(); // all bytes are taken, but not all have arrived
    let status = world.ask("status\n");
    let expected = format!("target {TARGET} polls=2 failures=1 latency_ms=1500.000 status=503\n");
    assert!(status.contains(&expected), "{status}");
}

#[test]
fn unkind_targets_are_failures_and_polled_again() {
    let mut world = World::new(&[TARGET], None);
    let mut listener = target(&mut world.simulation);
    world.simulation.advance(2 * SECOND);
    let answers: [(&[u8], &str); 4] = [
        (b"", "error=no answer in time"),
        (b"SSH-2.0-x\r\n", "error=the answer is not HTTP"),
        (b"HTTP/1.1 20000 x\r\n", "error=the answer is not HTTP"),
        (&[b'x'; 5000], "error="),
    ];
    for (answer, error) in answers {
        world.simulation.advance(8 * SECOND);
        let mut server = world.accept(&mut listener);
        server.send_all(&mut world.simulation, answer).unwrap();
        world.simulation.advance(2 * SECOND);
        let status = world.ask("status\n");
        assert!(status.contains(error), "{error} in {status}");
        assert!(!status.contains(" status="), "{status}");
    }
    world.simulation.advance(8 * SECOND);
    drop(world.accept(&mut listener)); // closes
    assert!(world.ask("status\n").contains("polls=6 failures=6"));
    assert_eq!(world.simulation.reactor().connections().len(), 1, "only the control is left");
}

#[test]
fn commands_in_one_piece_are_answered_in_their_order() {
    for cut in [Cut::Whole, Cut::Every(1)] {
        let mut world = World::new(&[TARGET], None);
        world.simulation.set_cut(cut);
        let mut listener = target(&mut world.simulation);
        let commands =
            format!("poll {TARGET}\nreset\npoll nobody\ninterval 1\nwhat\r\ninterval 50\n");
        assert_eq!(world.ask(&commands), "", "the poll comes first");
        let mut server = world.accept(&mut listener);
        server.send_all(&mut world.simulation, b"HTTP/1.0 200 OK\r\n").unwrap();
        let answers = world.answers();
        let lines: Vec<_> = answers.lines().collect();
        assert!(lines[0].ends_with("status=200"), "{answers}");
        assert_eq!(lines[1..4], ["ok", "ok", "error: no such target: nobody"]);
        assert_eq!(lines[4], "error: an interval is a number in 50..=86400000");
        assert_eq!(lines[5..], ["error: no such command: what", "ok"]);
        world.simulation.advance(Duration::from_millis(50));
        world.accept(&mut listener); // the new interval holds
    }
}

#[test]
fn a_client_that_ends_its_half_gets_its_answer() {
    let mut world = World::new(&[TARGET], None);
    let mut listener = target(&mut world.simulation);
    assert_eq!(world.ask(&format!("poll {TARGET}\nstatus\n")), "");
    world.control.close_write();
    world.simulation.settle();
    let mut server = world.accept(&mut listener);
    server.send(b"HTTP/1.0 204 No Content\r\n\r\n");
    assert_eq!(world.answers().matches("status=204").count(), 2);
    assert_eq!(world.control.end(), Some(End::Closed));
}

#[test]
fn a_part_of_a_line_is_not_obeyed() {
    let mut world = World::new(&[], None);
    assert_eq!(world.ask("reset\ninterval 5000"), "ok\n");
    world.control.close_write();
    assert_eq!(world.answers(), "error: the last line has no end\n");
    assert_eq!(world.control.end(), Some(End::Closed));
}

#[test]
fn a_long_line_ends_the_client() {
    let mut world = World::new(&[], None);
    world.control.send(&[b'x'; 2000]);
    assert!(world.answers().starts_with("error: "));
    assert_eq!(world.control.end(), Some(End::Closed));
}

#[test]
fn the_collector_gets_reports_and_is_connected_to_again() {
    let mut world = World::new(&[], Some(COLLECTOR));
    let mut listener = world.simulation.listen(COLLECTOR).unwrap();
    for _ in 0..3 {
        world.simulation.advance(60 * SECOND);
        let mut collector = world.accept(&mut listener);
        collector.received();
        world.count(&[b"a:1|c"]);
        world.simulation.advance(10 * SECOND);
        let report = String::from_utf8(collector.received()).unwrap();
        assert!(report.starts_with("report ") && report.ends_with("end\n"), "{report}");
        assert!(report.contains("counter a "), "{report}");
    }
}

#[test]
fn a_collector_that_does_not_read_costs_reports_and_no_memory() {
    let mut world = World::new(&[], Some(COLLECTOR));
    let mut listener = world.simulation.listen(COLLECTOR).unwrap();
    for number in 0..1000 {
        world.count(&[format!("name{number}:1|c").as_bytes()]);
    }
    world.simulation.advance(2 * SECOND);
    let _collector = world.accept(&mut listener);
    assert_eq!(world.ask("interval 50\n"), "ok\n");
    for _ in 0..100 {
        world.simulation.advance(SECOND / 2);
        let reactor = world.simulation.reactor();
        for id in reactor.connections() {
            let waiting = reactor.transport(id).map_or(0, |transport| transport.buffered());
            assert!(waiting < 300 * 1024);
        }
    }
    let status = world.ask("status\n");
    assert!(!status.contains("dropped=0\n"), "{status}");
    world.simulation.advance(120 * SECOND);
    world.accept(&mut listener); // it was given up, and connected to again
}

#[test]
fn sigterm_waits_for_the_poll_and_sends_the_last_report() {
    let mut world = World::new(&[TARGET], Some(COLLECTOR));
    let mut targets = target(&mut world.simulation);
    let mut collectors = world.simulation.listen(COLLECTOR).unwrap();
    world.simulation.advance(10 * SECOND);
    drop(world.accept(&mut targets));
    let mut collector = world.accept(&mut collectors);
    let asked = format!("poll {TARGET}\nstatus\n");
    assert_eq!(world.ask(&asked), "");
    let mut server = world.accept(&mut targets);
    collector.received();
    let mut client = world.simulation.bind_udp("127.0.0.1:0").unwrap();
    for _ in 0..200 {
        client.send_to(b"last:1|c", world.statsd).unwrap(); // they arrive after the signal
    }
    assert!(world.simulation.signal(15));
    world.simulation.advance(SECOND);
    assert_eq!(collector.received(), b"", "not before the poll has ended");
    server.send(b"HTTP/1.0 200 OK\r\n\r\n");
    server.close_write();
    let answers = world.answers();
    assert_eq!(answers.matches("status=200").count(), 2, "the poll and the status: {answers}");
    assert_eq!(world.control.end(), Some(End::Closed));
    let report = String::from_utf8(collector.received()).unwrap();
    assert!(report.contains("status=200") && report.contains("counter last 200\n"), "{report}");
    assert_eq!(report.matches("report ").count(), 1, "{report}");
    assert_eq!(collector.end(), Some(End::Closed));
    drop((server, collector, world.control));
    world.simulation.reactor().run().unwrap();
    assert_eq!(world.simulation.reactor().ended(), Some(crocus::Ended::ShutDown));
}

#[test]
fn quit_ends_in_order_and_a_silent_target_does_not_hold_it_up() {
    let mut world = World::new(&[TARGET], Some(COLLECTOR));
    let mut targets = target(&mut world.simulation);
    let mut collectors = world.simulation.listen(COLLECTOR).unwrap();
    world.simulation.advance(10 * SECOND);
    let _silent = world.accept(&mut targets);
    let mut collector = world.accept(&mut collectors);
    assert_eq!(world.ask("quit\n"), "ok\n");
    drop(world.control);
    let before = world.simulation.elapsed();
    world.simulation.reactor().run().unwrap();
    assert!(world.simulation.elapsed() - before < 4 * SECOND);
    let report = String::from_utf8(collector.received()).unwrap();
    assert!(report.contains("error=no answer in time"), "{report}");
    assert_eq!(world.simulation.reactor().ended(), Some(crocus::Ended::ShutDown));
}
