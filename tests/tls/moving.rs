//! Bytes on their way: pressure, pauses, rates, portions, keys.

use std::cell::RefCell;
#[cfg(all(unix, feature = "sendfile"))]
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crocus::framing::{FrameHandler, Framed, Lines};
use crocus::testing::{Cut, Simulation};
use crocus::{Connect, Listen, Protocol, Rate, Reactor, Reason, Transport};

use crate::certificates::{Configs, VERSIONS};
use crate::closing::served;
use crate::far::TlsFar;
#[cfg(all(unix, feature = "sendfile"))]
use crate::util::Folder;
use crate::util::{Log, MS, Recorder, SECOND, World, pattern, tag};

both! {
    fn a_peer_that_does_not_read_is_told_by_pressure(world) {
        let (log, mut far) = served(world, &Configs::new(), |a| a.echoing().on_pause(|transport| {
            let (high, _) = transport.write_buffer_limits();
            assert!(transport.buffered() > high);
            transport.pause_reading();
        }));
        let data = pattern(4 << 20);
        far.write(&data);
        world.until("pressure", |_| {
            far.send();
            log.has("a pause")
        });
        world.quiet();
        let limit = 64 * 1024 + 256 * 1024 + 16 * 1024; // the mark, a turn's reading, a record
        let waiting = world.only().buffered();
        assert!(waiting <= limit + limit / 100, "{waiting} bytes wait");
        far.until_got(world, data.len());
        assert!(far.got == data);
        assert!(log.count("a resume") > 0);
    }
}

both! {
    fn what_a_paused_protocol_does_not_read_comes_later(world) {
        let (log, mut far) = served(world, &Configs::new(), |a| {
            a.with_data().on_data(|transport, data| {
                transport.unread(&data[1..]);
                transport.pause_reading();
            })
        });
        far.write(b"abc");
        far.send();
        world.until("one", |_| log.count("a data") == 1);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a data abc"]);
        world.only().resume_reading();
        world.until("two", |_| log.has("a data bc"));
    }
}

both! {
    fn another_protocol_takes_over_with_what_was_put_back(world) {
        let (log, mut far) = served(world, &Configs::new(), |a| {
            let log = a.log();
            a.on_data(move |transport, data| {
                let other = Recorder::new(&log, "b").with_data().echoing();
                log.hand_over(transport, other, &data[2..]);
            })
        });
        far.write(b"a:bcd");
        far.until_got(world, 3);
        assert_eq!(far.got, b"bcd");
        assert!(log.has("b data bcd"));
    }
}

/// Sends its bytes, and closes when all have come back.
struct Exchange {
    sent: Vec<u8>,
    got: Rc<RefCell<Vec<u8>>>,
    log: Log,
}

impl Protocol for Exchange {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.write(&self.sent);
    }

    fn pause_writing(&mut self, _: &mut Transport) {} // it reads on, or both ends would wait

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        let mut got = self.got.borrow_mut();
        got.extend_from_slice(data);
        if got.len() == self.sent.len() {
            transport.lose_connection();
        }
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        self.log.push(format!("c lost {}", tag(reason)));
    }
}

/// Two ends in one simulation. Returns what came back, the log, and how long it took in turns.
fn exchange(configs: &Configs, set_up: impl FnOnce(&mut Simulation), data: &[u8]) -> (Log, u64) {
    let mut simulation = Simulation::with_seed(data.len() as u64);
    set_up(&mut simulation);
    let log = Log::new();
    let place = Listen::at("127.0.0.1:443").tls(Arc::clone(&configs.server));
    let server = log.clone();
    let factory = move |_| Recorder::new(&server, "s").echoing();
    simulation.reactor().listen(place, factory).unwrap();
    let got = Rc::new(RefCell::new(Vec::new()));
    let client = Exchange { sent: data.to_vec(), got: Rc::clone(&got), log: log.clone() };
    let mut client = Some(client);
    let to = Connect::to("localhost:443").tls(Arc::clone(&configs.client), None);
    simulation.reactor().connect(to, move |_| client.take());
    simulation.advance(Duration::from_secs(600));
    assert!(*got.borrow() == data, "{} of {} bytes", got.borrow().len(), data.len());
    assert_eq!(log.lines().last().map(String::as_str), Some("c lost Closed"), "{:?}", log.lines());
    assert!(log.has("s lost PeerClosed"));
    (log, simulation.reactor().stats().bytes_read)
}

#[test]
fn all_comes_however_the_stream_is_cut() {
    for version in VERSIONS {
        let configs = Configs::of(&[version]);
        for cut in (1..10).chain([15, 16, 17, 100, 1000, 16_384, 16_406]) {
            let data = pattern(if cut < 10 { 300 } else { 40_000 });
            exchange(&configs, |simulation| simulation.set_cut(Cut::Every(cut)), &data);
        }
        for most in [2, 10, 3000] {
            exchange(&configs, |simulation| simulation.set_cut(Cut::Random(most)), &pattern(3000));
        }
    }
}

#[test]
fn a_stream_that_is_cut_at_any_one_byte_goes_on() {
    let configs = Configs::new();
    for at in 1..1500 {
        let mut world = World::simulated();
        let log = Log::new();
        let server = log.clone();
        let place = Listen::at("127.0.0.1:0").tls(Arc::clone(&configs.server));
        let factory = move |_| Recorder::new(&server, "s").with_data().echoing();
        let id = world.reactor().listen(place, factory).unwrap();
        let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
        let mut far = TlsFar::client(world.dial(addr), &configs.client);
        far.write(b"hello");
        let (mut sent, mut cut) = (0, false);
        let mut rest = far.take_out();
        world.until("the echo", |_| {
            far.read();
            rest.extend(far.take_out());
            let next = if cut { rest.len() } else { rest.len().min(at - sent) };
            far.write_raw(&rest[..next]);
            far.send();
            rest.drain(..next);
            sent += next;
            cut |= sent == at;
            far.got == b"hello"
        });
        if !cut {
            assert!(at > 300, "{at} bytes are all");
            return;
        }
        assert_eq!(log.take(), ["s made", "s data hello"]);
    }
}

#[test]
fn a_seed_gives_the_same_history() {
    let run = || {
        let configs = Configs::new(); // the same would resume the session
        exchange(&configs, |simulation| simulation.set_cut(Cut::Random(50)), &pattern(5000))
    };
    let (first, second) = (run(), run());
    assert_eq!((first.0.take(), first.1), (second.0.take(), second.1));
}

#[test]
fn a_narrow_window_and_latency_lose_nothing() {
    let configs = Configs::new();
    for window in [1, 100, 20_000] {
        let set_up = |simulation: &mut Simulation| {
            simulation.set_window(window);
            simulation.set_latency(Duration::from_micros(10));
        };
        exchange(&configs, set_up, &pattern(window * 10 + 200));
    }
}

#[test]
fn a_small_read_buffer_delivers_records_in_pieces() {
    for size in [1, 7, 5000] {
        let world = World::simulated();
        let mut world = world.with_limits(Reactor::builder().read_buffer(size));
        let (log, mut far) = served(&mut world, &Configs::new(), move |a| {
            a.on_data(move |transport, data| {
                assert!(data.len() <= size);
                transport.write(data);
            })
        });
        let data = pattern(40_000);
        far.write(&data);
        far.until_got(&mut world, data.len());
        assert!(far.got == data);
        assert_eq!(log.count("a lost"), 0);
    }
}

#[test]
fn records_of_one_byte_arrive() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| a.with_data());
    for byte in b"one by one" {
        far.write(&[*byte]);
    }
    far.send();
    world.pass(MS);
    assert_eq!(log.take(), ["a made", "a data one by one"]);
}

#[test]
fn new_keys_are_answered_and_go_unnoticed() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| a.with_data().echoing());
    for round in 0..5 {
        far.tls.refresh_traffic_keys().unwrap();
        far.write(b"x");
        far.until_got(&mut world, round + 1);
    }
    assert_eq!(log.count("a lost"), 0);
    assert!(far.error.is_none());
}

/// Answers each line with as many bytes as fit below the high mark, before they are encrypted.
struct Full(Log);

impl Protocol for Full {}

impl FrameHandler<Lines> for Full {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        self.0.push(String::from_utf8_lossy(line));
        if line == b"first" {
            transport.write(&[b'.'; 1000]);
        }
    }
}

#[test]
fn pressure_that_encryption_adds_is_told_so_that_frames_wait_for_it() {
    let mut world = World::simulated();
    let configs = Configs::new();
    let log = Log::new();
    let its = log.clone();
    let place = Listen::at("127.0.0.1:0").tls(Arc::clone(&configs.server));
    let factory = move |_| Framed::new(Lines::new(), Full(its.clone()));
    let id = world.reactor().listen(place, factory).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let mut far = TlsFar::client(world.dial(addr), &configs.client);
    far.shake_hands(&mut world);
    world.pass(MS);
    world.only().set_write_buffer_limits(1000, 100);
    if let World::Simulated(simulation) = &mut world {
        simulation.set_window(40); // which the answer of the handshake fills
    }
    for line in [&b"first\r\n"[..], b"second\r\n"] {
        far.write(line);
        for _ in 0..5 {
            far.send();
            world.pass(MS); // it comes to rest
        }
    }
    assert!(world.only().buffered() > 1000, "more than was written");
    assert_eq!(log.take(), ["first"]);
    far.until_got(&mut world, 1000);
    assert_eq!(log.take(), ["second"]);
}

#[test]
fn a_peer_that_asks_for_keys_and_reads_nothing_costs_no_memory() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| a);
    if let World::Simulated(simulation) = &mut world {
        simulation.set_window(100); // it holds no answers either
    }
    for _ in 0..30 {
        far.tls.refresh_traffic_keys().unwrap();
        far.send();
        world.pass(MS);
        let connections = world.reactor().connections();
        let Some(&id) = connections.first() else { break };
        let waiting = world.reactor().transport(id).unwrap().buffered();
        assert!(waiting < 200, "{waiting} bytes wait");
    }
    assert!(log.count("a lost") <= 1);
}

#[test]
fn a_rate_holds_for_the_bytes_of_the_wire() {
    let mut world = World::simulated();
    let configs = Configs::new();
    let log = Log::new();
    let server = log.clone();
    let place = Listen::at("127.0.0.1:0")
        .tls(Arc::clone(&configs.server))
        .read_rate(Rate::per_second(1000))
        .write_rate(Rate::per_second(1000));
    let id = world.reactor().listen(place, move |_| Recorder::new(&server, "s").echoing()).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let mut far = TlsFar::client(world.dial(addr), &configs.client);
    let data = pattern(10_000);
    far.write(&data);
    let mut seconds = 0;
    while far.got.len() < data.len() {
        far.step();
        world.pass(SECOND);
        seconds += 1;
        assert!(seconds < 100);
    }
    assert!(far.got == data);
    assert!((9..=30).contains(&seconds), "{seconds} s");
}

#[test]
fn the_cap_counts_what_is_encrypted_too() {
    let world = World::simulated();
    let mut world = world.with_limits(Reactor::builder().write_buffer_cap(100_000));
    let (log, far) = served(&mut world, &Configs::new(), |a| {
        a.on_pause(|_| {})
            .on_timer(|transport, _| {
                transport.write(&pattern(50_000));
                transport.call_later(MS);
            })
            .on_made(|transport| {
                transport.call_later(MS);
            })
    });
    world.pass(SECOND);
    assert_eq!(log.count("a lost Overflow"), 1);
    drop(far);
}

#[cfg(all(unix, feature = "sendfile"))]
#[test]
fn a_file_does_not_count_for_the_cap_when_encrypted() {
    let world = World::simulated();
    let mut world = world.with_limits(Reactor::builder().write_buffer_cap(10_000));
    let folder = Folder::new();
    let (all, path) = (pattern(4 << 20), folder.join("file"));
    std::fs::write(&path, &all).unwrap();
    let file = Arc::new(File::open(path).unwrap());
    let (log, mut far) = served(&mut world, &Configs::new(), |a| a.on_pause(|_| {}));
    for _ in 0..2 {
        assert!(world.only().send_file(Arc::clone(&file), 0..all.len() as u64).unwrap());
        world.quiet();
        assert!(world.only().write(b"between"), "what waits is in the file");
        world.quiet();
    }
    far.until_got(&mut world, 2 * (all.len() + 7));
    assert!(far.got == [&all[..], b"between"].concat().repeat(2));
    assert!(world.only().send_file(file, 0..all.len() as u64).unwrap());
    assert!(world.only().write(&[b'x'; 20_000]));
    world.quiet();
    assert!(!world.only().write(b"x"), "these are in memory");
    world.until("the end", |_| log.has("a lost Overflow"));
}

#[test]
fn silence_is_judged_over_tls_as_without() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| {
        a.on_made(|transport| {
            transport.set_timeout(Some(3 * SECOND));
        })
    });
    world.pass(2 * SECOND);
    far.write(b"x");
    far.send();
    world.pass(2 * SECOND);
    assert_eq!(log.take(), ["a made"]);
    world.pass(SECOND);
    assert_eq!(log.take(), ["a timed out"]);
    far.step();
    assert!(far.notified);
}

#[test]
fn what_waits_leaves_in_one_write_and_full_records() {
    let mut world = World::simulated();
    let (_log, mut far) = served(&mut world, &Configs::new(), |a| {
        a.on_made(|transport| {
            for piece in pattern(40_000).chunks(100) {
                transport.write(piece);
            }
        })
    });
    let before = world.reactor().stats().bytes_written;
    far.until_got(&mut world, 40_000);
    let overhead = world.reactor().stats().bytes_written - before;
    assert!(overhead <= 40_000 + 3 * 22 + 300, "{overhead}: three records, and tickets");
}
