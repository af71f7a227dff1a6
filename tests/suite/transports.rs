//! Writing, closing, losing.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::testing::{End, Simulation};
use crocus::{Activity, Address, ConnectionId, Protocol, Reactor, Reason, Transport, Who};

use crate::util::{Far, Log, Recorder, World, pattern, slot};

/// A connection that is not accepted but handed over, and its far end; it is made in the next turn.
fn hand_over(world: &mut World, protocol: impl Protocol + 'static) -> Far {
    match world {
        World::Real(reactor) => {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            far.set_nonblocking(true).unwrap();
            let (near, _) = listener.accept().unwrap();
            reactor.adopt(near, protocol).unwrap();
            Far::Real(far)
        }
        World::Simulated(simulation) => Far::Simulated(simulation.connect(protocol)),
    }
}

/// Sends until nothing fits any more; returns how much that was.
fn send_until_stuck(world: &mut World, far: &mut Far, data: &[u8]) -> usize {
    let (mut sent, mut stuck) = (0, 0);
    while stuck < 20 {
        let count = far.send(&data[sent..]);
        sent += count;
        stuck = if count == 0 { stuck + 1 } else { 0 };
        world.turn();
    }
    assert!(sent < data.len(), "all of it found room");
    sent
}

both! {
    /// Twisted's `test_writer`.
    fn an_answer_closed_in_connection_made_arrives_whole(world) {
        let (log, mut far) = world.dialled("a", |a| {
            a.on_made(|transport| {
                assert!(transport.write(b"hello, "));
                assert!(transport.write(b"world"));
                transport.lose_connection();
                assert!(!transport.write(b"never sent"));
            })
        });
        assert_eq!(world.read_to_end(&mut far), (b"hello, world".to_vec(), Ok(())));
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a lost Closed"]);
    }
}

both! {
    /// Twisted's `test_addresses` and `test_serverAddressTCP4`.
    fn addresses_can_be_read_from_connection_made_to_connection_lost(world) {
        for reset in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            let (_, addr) = world.listen(move |peer: Address| {
                let tell = |log: Log, peer: Address| {
                    move |transport: &mut Transport| {
                        assert_eq!(*transport.peer_addr(), peer);
                        let local = transport.local_addr().unwrap().socket_addr().unwrap();
                        log.push(format!("local {local}"));
                        log.push(format!("peer {}", transport.peer_addr().socket_addr().unwrap()));
                    }
                };
                let (made, lost) = (tell(seen.clone(), peer.clone()), tell(seen.clone(), peer));
                Recorder::new(&seen, "a")
                    .on_made(move |transport| made(transport))
                    .on_lost(move |transport, _| lost(transport))
            });
            let far = world.dial(addr);
            let far_addr = far.addr();
            world.until("it to be made", |_| log.has("a made"));
            world.quiet();
            assert_eq!(world.only().peer_addr().socket_addr(), Some(far_addr));
            assert_eq!(world.only().local_addr().unwrap().socket_addr(), Some(addr));
            if reset {
                far.reset();
            } else {
                drop(far);
            }
            world.until("the loss", |_| log.count("a lost") > 0);
            let lines: Vec<String> =
                log.take().into_iter().filter(|line| !line.starts_with("a ")).collect();
            let (local, peer) = (format!("local {addr}"), format!("peer {far_addr}"));
            assert_eq!(lines, [local.clone(), peer.clone(), local, peer]);
        }
    }
}

both! {
    /// Twisted's `LargeBufferTests.testWriter` and `test_kernelBufferFull`.
    fn a_huge_write_reaches_a_slow_reader_whole(world) {
        let data = pattern(if world.is_real() { 60 << 20 } else { 3 << 20 });
        let all = data.clone();
        let (log, mut far) = world.dialled("a", |a| {
            a.on_made(move |transport| {
                assert!(transport.write(&all));
                assert_eq!(transport.buffered(), all.len());
                transport.lose_connection();
            })
            .on_lost(|transport, _| assert_eq!(transport.buffered(), 0))
        });
        let mut got = Vec::new();
        world.until("all the bytes", |_| {
            got.extend(far.receive(1 << 20).unwrap());
            got.len() == data.len()
        });
        assert!(got == data, "the bytes came in another order");
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        drop(far);
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a lost Closed"]);
    }
}

both! {
    /// The reference's experiment: Twisted sends them while it flushes, asyncio if the buffer
    /// holds something.
    fn writes_after_lose_connection_are_refused_whatever_the_buffer_holds(world) {
        for pending in [false, true] {
            let (log, mut far) = world.served_narrow("a", |a| a);
            world.quiet();
            let expected = if pending { world.much() } else { b"just this".to_vec() };
            let mut transport = world.only();
            assert!(transport.write(&expected));
            if pending {
                transport.lose_connection();
            }
            world.quiet(); // what fits leaves
            let mut transport = world.only();
            assert_eq!(transport.buffered() > 0, pending);
            transport.lose_connection();
            let buffered = transport.buffered();
            assert!(transport.is_closing());
            assert!(!transport.write(b"refused at once"));
            assert_eq!(transport.buffered(), buffered);
            world.quiet();
            assert!(!world.only().write(b"refused later too"));
            let (got, end) = world.read_to_end(&mut far);
            assert!(got == expected && end == Ok(()), "{} bytes, {end:?}", got.len());
            drop(far);
            world.until("the loss", |_| log.count("a lost") > 0);
            assert_eq!(log.take(), ["a made", "a lost Closed"]);
        }
    }
}

both! {
    /// Twisted's `test_writeAfterDisconnect` and `test_unregisterProducerAfterDisconnect`.
    fn commands_in_connection_lost_do_nothing(world) {
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| {
            Recorder::new(&seen, "a").on_lost(|transport, _| {
                assert!(!transport.write(b"too late"));
                assert_eq!(transport.buffered(), 0);
                assert!(transport.is_closing() && !transport.is_reading());
                transport.lose_connection();
                transport.lose_write_connection();
                transport.abort_connection();
                transport.pause_reading();
                transport.resume_reading();
                transport.set_write_buffer_limits(1, 0);
                transport.set_close_timeout(Duration::ZERO);
                assert_eq!(transport.set_timeout(Some(Duration::ZERO)), None);
                assert_eq!(transport.set_timeout(None), None);
                let timer = transport.call_later(Duration::ZERO);
                let id = transport.id();
                assert_eq!(transport.reactor().timer_deadline(timer), None);
                assert!(!transport.reactor().cancel_timer(timer));
                assert!(transport.reactor().transport(id).is_none());
                assert!(!transport.reactor().connections().contains(&id));
            })
        });
        for reset in [false, true] {
            let mut far = world.dial(addr);
            world.until("it to be made", |_| log.has("a made"));
            far.send(b"hello");
            world.quiet();
            if reset {
                far.reset();
            } else {
                drop(far);
            }
            world.until("the loss", |_| log.count("a lost") > 0);
            world.pass(Duration::from_millis(5));
            world.quiet();
            let end = if reset { "a lost Failed(ConnectionReset)" } else { "a lost PeerClosed" };
            let lines = log.take();
            assert_eq!(
                (lines.first().unwrap().as_str(), lines.last().unwrap().as_str()),
                ("a made", end)
            );
            assert_eq!(lines.iter().filter(|line| line.starts_with("a lost")).count(), 1);
            assert_eq!(world.reactor().next_deadline(), None, "a timer is left over");
        }
    }
}

both! {
    /// The reference's row for the calls that are allowed there (`connectionmixins`).
    fn connection_lost_can_connect_stop_listening_and_stop(world) {
        let log = Log::new();
        let mut outside = world.listen_outside();
        let (seen, to) = (log.clone(), outside.addr());
        let listener = Rc::new(Cell::new(None));
        let known = Rc::clone(&listener);
        let (id, addr) = world.listen(move |_| {
            let (log, known) = (seen.clone(), Rc::clone(&known));
            Recorder::new(&seen, "a").on_lost(move |transport, _| {
                let log = log.clone();
                transport.reactor().connect(to, move |_| Recorder::new(&log, "new"));
                assert!(transport.reactor().stop_listening(known.get().unwrap()));
            })
        });
        listener.set(Some(id));
        let far = world.dial(addr);
        world.until("it to be made", |_| log.has("a made"));
        drop(far);
        let far = world.accept(&mut outside);
        world.until("the new one to be made", |_| log.has("new made"));
        assert_eq!(world.reactor().local_addr(id), None);
        drop(far);
        world.until("its loss", |_| log.has("new lost PeerClosed"));
        assert_eq!(log.count("a lost"), 1);

        let seen = log.clone();
        let (_, addr) = world.listen(move |_| {
            Recorder::new(&seen, "b").on_lost(|transport, _| transport.reactor().stop())
        });
        let far = world.dial(addr);
        world.until("it to be made", |_| log.has("b made"));
        drop(far);
        world.reactor().run().unwrap();
        assert_eq!(log.count("b lost PeerClosed"), 1);
    }
}

both! {
    /// Twisted's `test_clientAbortsConnectionTwice`,
    /// `test_clientAbortsConnectionThenLosesConnection` and their server counterparts.
    fn closing_and_aborting_is_one_loss_the_abort_wins(world) {
        type Command = fn(&mut Transport<'_>);
        let close: Command = |transport| transport.lose_connection();
        let abort: Command = |transport| transport.abort_connection();
        let pairs = [
            (close, close, "a lost Closed"),
            (close, abort, "a lost Aborted"),
            (abort, close, "a lost Aborted"),
            (abort, abort, "a lost Aborted"),
        ];
        for (first, second, end) in pairs {
            for when in ["made", "data", "outside"] {
                let log = Log::new();
                let seen = log.clone();
                let (listener, addr) = world.listen(move |_| {
                    let twice = move |transport: &mut Transport| {
                        first(transport);
                        assert!(transport.is_closing());
                        second(transport);
                    };
                    let recorder = Recorder::new(&seen, "a");
                    match when {
                        "made" => recorder.on_made(twice),
                        "data" => recorder.on_data(move |transport, _| twice(transport)),
                        _ => recorder,
                    }
                });
                let mut far = world.dial(addr);
                world.until("it to be made", |_| log.has("a made"));
                match when {
                    "data" => assert_eq!(far.send(b"go on"), 5),
                    "outside" => {
                        first(&mut world.only());
                        if let [id] = world.reactor().connections()[..] {
                            second(&mut world.reactor().transport(id).unwrap());
                        }
                    }
                    _ => {}
                }
                let (_, got) = world.read_to_end(&mut far);
                let abrupt = if end.ends_with("Aborted") {
                    Err(io::ErrorKind::ConnectionReset)
                } else {
                    Ok(())
                };
                assert_eq!(got, abrupt, "{when}: {end}");
                drop(far);
                world.until("the loss", |_| log.count("a lost") > 0);
                world.quiet();
                assert_eq!(log.take(), ["a made", end], "{when}");
                assert!(world.reactor().stop_listening(listener));
            }
        }
    }
}

both! {
    /// Twisted's `test_dataReceivedAbort`.
    fn an_abort_in_data_received_ends_delivery_at_once(world) {
        let world = &mut world.with_limits(Reactor::builder().read_buffer(100));
        let (log, mut far) = world.dialled("a", |a| {
            let log = a.log();
            a.on_data(move |transport, data| {
                log.push(format!("{} bytes", data.len()));
                transport.abort_connection();
                assert!(transport.is_closing() && !transport.write(b"never sent"));
            })
        });
        assert_eq!(far.send(&[b'x'; 1000]), 1000);
        assert_eq!(world.read_to_end(&mut far), (vec![], Err(io::ErrorKind::ConnectionReset)));
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "100 bytes", "a lost Aborted"]);
    }
}

both! {
    /// Twisted's `test_fullWriteBuffer` and `test_fullWriteBufferAfterByteExchange`.
    fn an_abort_with_full_buffers_resets_the_peer_at_once(world) {
        let data = world.much();
        let all = data.clone();
        let (log, mut far) = world.served_narrow("a", |a| {
            a.on_data(move |transport, _| {
                transport.write(&all);
            })
        });
        far.send(b"?");
        world.until("the buffer to fill", |_| log.has("a pause"));
        world.quiet();
        assert!(world.only().buffered() > 0);
        world.only().abort_connection();
        assert_eq!(log.count("a lost"), 0, "not from inside the command");
        world.turn();
        assert_eq!(log.take(), ["a made", "a pause", "a lost Aborted"]);
        let (got, end) = world.read_to_end(&mut far);
        assert!(got.len() < data.len() && data.starts_with(&got));
        assert_eq!(end, Err(io::ErrorKind::ConnectionReset));
        world.quiet();
        assert_eq!(log.len(), 0);
    }
}

/// The fake-clock version of the reference's experiment with a peer that never reads (#8902).
#[test]
fn closing_to_a_stuck_peer_ends_at_its_deadline() {
    for (own, limit) in [(None, 30), (Some(7), 7)] {
        let mut world = World::simulated();
        let unsent = Rc::new(Cell::new(None));
        let told = Rc::clone(&unsent);
        let (log, mut far) = world.served("a", |a| {
            let told = Rc::clone(&told);
            a.on_made(move |transport| {
                if let Some(own) = own {
                    transport.set_close_timeout(Duration::from_secs(own));
                }
                transport.write(&pattern(1 << 20));
                transport.lose_connection();
            })
            .on_lost(move |_, reason| match reason {
                Reason::CloseTimedOut { unsent } => told.set(Some(*unsent)),
                other => panic!("{other:?}"),
            })
        });
        world.quiet();
        let buffered = world.only().buffered();
        assert_eq!(buffered, (1 << 20) - (64 << 10), "all but what the window holds");
        world.pass(Duration::from_secs(limit) - Duration::from_nanos(1));
        assert_eq!(log.count("a lost"), 0);
        world.pass(Duration::from_nanos(1));
        assert_eq!(log.take(), ["a made", "a lost CloseTimedOut"]);
        assert_eq!(unsent.get(), Some(buffered));
        let (got, end) = world.read_to_end(&mut far);
        assert_eq!((got.len(), end), (64 << 10, Err(io::ErrorKind::ConnectionReset)));
    }
}

/// The deadline counts from the last progress: it is for a peer that takes nothing.
#[test]
fn the_close_deadline_counts_from_when_the_peer_took_something() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut far = simulation.connect(Recorder::new(&log, "a").on_made(|transport| {
        transport.write(&pattern(1 << 20));
        transport.lose_connection();
    }));
    let mut got = 0;
    for _ in 0..60 {
        simulation.advance(Duration::from_secs(1));
        got += far.receive(1000).len();
    }
    assert_eq!((got, log.lines()), (60_000, vec!["a made".to_owned()]));
    simulation.advance(Duration::from_millis(29_999));
    assert_eq!(log.lines(), ["a made"]);
    // The bytes it took last were seen when the time was up, and count from there.
    simulation.advance(Duration::from_millis(30_001));
    assert_eq!(log.take(), ["a made", "a lost CloseTimedOut"]);
    assert_eq!(simulation.reactor().next_deadline(), None, "a timer is left over");
}

/// The reference's experiment with a peer that never reads, on real sockets.
#[test]
fn closing_to_a_real_stuck_peer_ends() {
    let limit = Duration::from_millis(40);
    let mut world = World::real().with_limits(Reactor::builder().close_timeout(limit));
    let data = world.much();
    let total = data.len();
    let (log, mut far) = world.dialled_narrow("a", |a| {
        a.on_made(move |transport| {
            transport.write(&data);
            transport.lose_connection();
        })
        .on_lost(move |transport, reason| {
            let Reason::CloseTimedOut { unsent } = *reason else { panic!("{reason:?}") };
            assert!(unsent > 0 && unsent < total);
            assert_eq!(unsent, transport.buffered());
        })
    });
    let began = Instant::now();
    world.until("the loss", |_| log.count("a lost") > 0);
    assert!(began.elapsed() >= limit);
    world.quiet();
    assert_eq!(log.take(), ["a made", "a lost CloseTimedOut"]);
    assert_eq!(world.read_to_end(&mut far).1, Err(io::ErrorKind::ConnectionReset));
}

/// A close deadline of its own kind: the time for closing ends the wait for the peer's FIN too.
#[test]
fn lingering_ends_with_the_earlier_of_two_timeouts() {
    for (close_timeout, expected) in [(30, 5), (2, 2)] {
        let limits = Reactor::builder().close_timeout(Duration::from_secs(close_timeout));
        let mut world = World::simulated().with_limits(limits);
        let (log, mut far) = world.served("a", |a| {
            a.on_data(|transport, _| {
                transport.write(b"enough");
                transport.lose_connection();
            })
        });
        far.send(b"one");
        world.pass(Duration::ZERO);
        assert_eq!(world.read_to_end(&mut far), (b"enough".to_vec(), Ok(())));
        world.pass(Duration::from_secs(expected) - Duration::from_nanos(1));
        assert_eq!(log.count("a lost"), 0);
        world.pass(Duration::from_nanos(1));
        assert_eq!(log.take(), ["a made", "a lost Closed"]);
    }
}

/// A connection that is closed at once gets no deadline at all, which saves its cost.
#[test]
fn a_close_that_is_through_at_once_sets_no_timer() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let answer = |transport: &mut Transport| {
        transport.write(b"answer");
        transport.lose_connection();
    };
    let mut asked = simulation.connect(Recorder::new(&log, "asked").on_eof(answer));
    simulation.settle();
    asked.close_write();
    let mut unasked = simulation.connect(Recorder::new(&log, "unasked").on_made(answer));
    simulation.turn();
    assert_eq!(log.count("asked lost PeerClosed") + log.count("unasked lost Closed"), 2);
    assert_eq!(simulation.reactor().next_deadline(), None);
    simulation.settle();
    assert_eq!((asked.received(), asked.end()), (b"answer".to_vec(), Some(End::Closed)));
    assert_eq!((unasked.received(), unasked.end()), (b"answer".to_vec(), Some(End::Closed)));
}

both! {
    /// The reference's experiments, and the reset counterpart of Twisted's AbortConnection tests.
    fn a_reset_is_told_once_in_every_state(world) {
        for state in ["reading", "paused", "writing", "writing paused", "closing", "lingering"] {
            let log = Log::new();
            let seen = log.clone();
            let ending = state == "closing" || state == "lingering";
            let phase = if ending { Activity::Closing } else { Activity::Open };
            let addr = world.listen_narrow(move |_| {
                Recorder::new(&seen, "a").on_lost(move |_, reason| {
                    assert_eq!(reason.who(), Who::Peer);
                    assert!(!reason.is_clean());
                    let Reason::Failed { activity: told, .. } = *reason else { return };
                    assert_eq!(told, phase, "{state}");
                })
            });
            let mut far = world.dial(addr);
            world.until("it to be made", |_| log.has("a made"));
            let much = world.much();
            let mut transport = world.only();
            if state.starts_with("writing") || state == "closing" {
                transport.write(&much);
            }
            if state.contains("paused") {
                transport.pause_reading();
            }
            if ending {
                transport.lose_connection();
            }
            world.quiet();
            if state == "lingering" {
                assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
                world.quiet();
            }
            if state == "paused" {
                far.send(b"never seen");
                world.quiet();
            }
            far.reset();
            world.until("the loss", |_| log.count("a lost") > 0);
            world.quiet();
            let lines = log.take();
            let end = ["a lost Failed(ConnectionReset)"];
            let pressed = state.starts_with("writing");
            let pause: &[&str] = if pressed { &["a pause"] } else { &[] };
            assert_eq!(lines, [&["a made"], pause, &end].concat(), "{state}");
            assert_eq!(world.reactor().connections(), []);
        }
    }
}

/// Twisted's `HalfClose testShutdownException`, before the first byte: the peer came and went.
#[test]
fn a_reset_before_connection_made_is_told_once() {
    for what in ["nothing", "write", "close", "write and close", "half close", "pause"] {
        let mut world = World::real();
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| {
            Recorder::new(&seen, "a").on_made(move |transport| {
                if what.contains("write") {
                    transport.write(b"is anybody there?");
                }
                match what {
                    "close" | "write and close" => transport.lose_connection(),
                    "half close" => transport.lose_write_connection(),
                    "pause" => transport.pause_reading(),
                    _ => {}
                }
            })
        });
        world.dial(addr).reset();
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a lost Failed(ConnectionReset)"], "{what}");
    }
}

both! {
    /// The rule of Twisted's epoll reactor's `_doReadOrWrite`.
    fn data_before_a_hang_up_is_delivered_first(world) {
        for reset in [false, true] {
            let (log, mut far) = world.served("a", |a| a.with_data());
            far.send(b"last ");
            world.quiet();
            far.send(b"words");
            if reset {
                if !world.is_real() {
                    world.turn(); // a simulated reset overtakes what is still under way
                }
                far.reset();
            } else {
                drop(far);
            }
            world.until("the loss", |_| log.count("a lost") > 0);
            world.quiet();
            let end: &[&str] = if reset {
                &["a lost Failed(ConnectionReset)"]
            } else {
                &["a eof", "a lost PeerClosed"]
            };
            assert_eq!(log.take(), [&["a made", "a data last words"], end].concat());
        }
    }
}

both! {
    /// Twisted's `test_writeAfterShutdownWithoutReading`.
    fn a_paused_connection_ends_when_a_write_fails(world) {
        let (log, far) = world.served("a", |a| {
            a.on_made(|transport| transport.pause_reading()).on_lost(|_, reason| {
                assert_eq!(reason.who(), Who::Peer);
                assert!(reason.io_error().is_some());
            })
        });
        drop(far);
        world.quiet();
        assert_eq!(log.lines(), ["a made"], "an end in order waits for reading to go on");
        assert!(world.only().write(b"hello?"));
        world.until("the loss", |_| log.count("a lost Failed") > 0);
        world.quiet();
        assert_eq!((log.len(), log.count("a made")), (2, 1));
    }
}

both! {
    /// Twisted's `test_connectionLostAfterPausedTransport`.
    fn resuming_delivers_data_and_end_in_order(world) {
        let (log, mut far) =
            world.served("a", |a| a.with_data().on_made(|transport| transport.pause_reading()));
        far.send(b"last words");
        drop(far);
        world.quiet();
        assert_eq!(log.lines(), ["a made"]);
        world.only().resume_reading();
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a data last words", "a eof", "a lost PeerClosed"]);
    }
}

both! {
    /// The reference's experiment: after `loseConnection` no data.
    fn data_after_lose_connection_is_not_delivered(world) {
        let world = &mut world.with_limits(Reactor::builder().read_buffer(5));
        let (log, mut far) = world.served("a", |a| {
            a.with_data().on_data(|transport, _| {
                transport.write(b"thank you");
                transport.lose_connection();
            })
        });
        assert_eq!(far.send(b"first, and more in the same segment"), 35);
        assert_eq!(world.read_to_end(&mut far), (b"thank you".to_vec(), Ok(())));
        assert_eq!(far.send(b"and later"), 9);
        world.quiet();
        far.close_write();
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a data first", "a lost Closed"]);
    }
}

both! {
    /// A closing connection is still read. Otherwise both sides would wait for the other to read.
    fn a_peer_that_reads_late_gets_the_whole_answer(world) {
        let (log, mut far) =
            world.served_narrow("a", |a| a.on_made(|transport| transport.pause_reading()));
        let (question, answer) = (pattern(32 << 20), world.much());
        let sent = send_until_stuck(world, &mut far, &question);
        assert!(world.only().write(&answer));
        for _ in 0..4 {
            world.quiet(); // until nothing moves in either direction
        }
        assert!(world.only().buffered() > 0);
        world.only().lose_connection();
        world.send(&mut far, &question[sent..][..1 << 20]);
        far.close_write();
        let (got, end) = world.read_to_end(&mut far);
        assert!(got == answer && end == Ok(()), "{} bytes, {end:?}", got.len());
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a pause", "a lost Closed"]);
    }
}

/// Servers lose the end of their answer if the peer has sent bytes that nobody reads.
#[test]
fn clients_sending_before_the_answer_get_no_reset() {
    for size in [20, 20_000, 300_000] {
        let mut world = World::real();
        let log = Log::new();
        let seen = log.clone();
        let answer = pattern(size);
        let all = answer.clone();
        let (_, addr) = world.listen(move |_| {
            let all = all.clone();
            Recorder::new(&seen, "a").on_made(move |transport| {
                transport.write(&all);
                transport.lose_connection();
            })
        });
        let mut clients: Vec<Far> = (0..100).map(|_| world.dial(addr)).collect();
        for client in &mut clients {
            assert_eq!(client.send(&[b'x'; 5000]), 5000);
        }
        for mut client in clients {
            let (got, end) = world.read_to_end(&mut client);
            assert!(got == answer && end == Ok(()), "{} bytes of {size}, {end:?}", got.len());
        }
        world.until("all to be lost", |_| log.count("a lost") == 100);
        assert_eq!(log.count("a lost Closed"), 100);
    }
}

/// The same with clients on threads of their own, who send whenever they come to it.
#[test]
fn clients_sending_during_the_answer_get_no_reset() {
    use std::io::{Read, Write};

    for size in [20, 300_000] {
        let mut world = World::real();
        let log = Log::new();
        let seen = log.clone();
        let answer = pattern(size);
        let all = answer.clone();
        let (_, addr) = world.listen(move |_| {
            let all = all.clone();
            Recorder::new(&seen, "a").on_made(move |transport| {
                transport.write(&all);
                transport.lose_connection();
            })
        });
        let client = move || {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            for _ in 0..50 {
                // It may fail once the server has had enough; what counts is what can be read.
                drop(stream.write_all(&[b'x'; 100]));
            }
            let mut got = Vec::new();
            let end = stream.read_to_end(&mut got).map(drop).map_err(|error| error.kind());
            (got, end)
        };
        let clients: Vec<_> = (0..100).map(|_| std::thread::spawn(client)).collect();
        world.until("all clients to be through", |_| clients.iter().all(|one| one.is_finished()));
        for client in clients {
            let (got, end) = client.join().unwrap();
            assert!(got == answer && end == Ok(()), "{} bytes of {size}, {end:?}", got.len());
        }
        world.until("all to be lost", |_| log.count("a lost") == 100);
    }
}

/// The reference's experiment: the deadline ends it at the latest.
#[test]
fn a_half_closed_stuck_peer_is_cut_at_the_deadline() {
    let mut world = World::simulated();
    let (log, mut far) = world.served("a", |a| {
        a.on_made(|transport| {
            transport.write(&pattern(1 << 20));
            transport.lose_connection();
        })
    });
    far.close_write();
    world.pass(Duration::from_millis(29_999));
    assert_eq!(log.count("a lost"), 0);
    world.pass(Duration::from_millis(1));
    world.quiet();
    assert_eq!(log.take(), ["a made", "a lost CloseTimedOut"]);
}

both! {
    /// Twisted's `test_protocolGarbageAfterLostConnection`.
    fn a_protocol_is_dropped_in_the_turn_of_its_loss(world) {
        struct Guard(Log);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.push("dropped");
            }
        }
        for reset in [false, true] {
            let (log, far) = world.served("a", |a| {
                let seen = a.log();
                let guard = Guard(seen.clone());
                a.on_lost(move |_, _| guard.0.push("lost"))
            });
            if reset {
                far.reset();
            } else {
                drop(far);
            }
            world.until("the loss", |_| log.has("lost"));
            assert!(log.has("dropped"), "not later than in the same turn");
            assert_eq!(log.take().last().unwrap(), "dropped");
        }
    }
}

both! {
    /// The reference's own: one event batch, and the first of two ends the second.
    fn ended_by_another_in_the_batch_hears_only_the_loss(world) {
        type Command = fn(&mut Transport<'_>);
        let close: Command = |transport| transport.lose_connection();
        let abort: Command = |transport| transport.abort_connection();
        let write_and_close: Command = |transport| {
            assert!(transport.write(b"bye"));
            transport.lose_connection();
        };
        for (command, end, text) in
            [(close, "Closed", ""), (abort, "Aborted", ""), (write_and_close, "Closed", "bye")]
        {
            let log = Log::new();
            let ids: Rc<RefCell<Vec<ConnectionId>>> = Rc::default();
            let end_others = |log: &Log, name: &str| {
                let (made, data) = (Rc::clone(&ids), Rc::clone(&ids));
                Recorder::new(log, name)
                    .with_data()
                    .on_made(move |transport| made.borrow_mut().push(transport.id()))
                    .on_data(move |transport, _| {
                        let me = transport.id();
                        for &id in data.borrow().iter().filter(|&&id| id != me) {
                            command(&mut transport.reactor().transport(id).unwrap());
                        }
                    })
            };
            let mut first = hand_over(world, end_others(&log, "a"));
            let mut second = hand_over(world, end_others(&log, "b"));
            world.until("both to be made", |_| log.count("a made") + log.count("b made") == 2);
            world.quiet();
            log.take();
            // The connection that is served first ends the other.
            assert_eq!(first.send(b"x") + second.send(b"x"), 2);
            world.until("data", |_| log.len() > 0);
            let winner = log.lines()[0][..1].to_owned();
            let (loser, mut far) = if winner == "a" { ("b", second) } else { ("a", first) };
            let got = world.read_to_end(&mut far);
            if end == "Closed" {
                assert_eq!(got, (text.as_bytes().to_vec(), Ok(())));
            }
            drop(far);
            world.until("the loss", |_| log.count(&format!("{loser} lost")) > 0);
            world.quiet();
            assert_eq!(log.take(), [format!("{winner} data x"), format!("{loser} lost {end}")]);
            world.only().abort_connection();
            world.quiet();
            assert_eq!(log.take(), [format!("{winner} lost Aborted")]);
        }
    }
}

both! {
    /// The reference's own: the second has an error in the batch in which the first ends it.
    fn closed_by_another_with_a_reset_due_is_one_loss(world) {
        let log = Log::new();
        let target = Rc::new(Cell::new(None));
        let (known, told) = (Rc::clone(&target), Rc::clone(&target));
        let recorder = Recorder::new(&log, "a").on_data(move |transport, _| {
            if let Some(mut other) = transport.reactor().transport(known.get().unwrap()) {
                other.write(b"bye");
                other.lose_connection();
            }
        });
        let mut first = hand_over(world, recorder);
        let mut second = hand_over(
            world,
            Recorder::new(&log, "b").on_made(move |transport| told.set(Some(transport.id()))),
        );
        world.until("both to be made", |_| log.len() == 2);
        world.quiet();
        log.take();
        first.send(b"x");
        second.send(b"y");
        second.reset();
        world.until("the loss", |_| log.count("b lost") > 0);
        world.quiet();
        assert_eq!(log.count("b lost Failed(ConnectionReset)"), 1);
        assert_eq!(log.count("b lost"), 1);
        drop(first);
        world.until("the other loss", |_| log.has("a lost PeerClosed"));
    }
}

both! {
    /// The reference's own: commands of one connection to another are carried out.
    fn two_connections_may_write_to_each_other_in_one_batch(world) {
        let log = Log::new();
        let ids: Rc<RefCell<Vec<ConnectionId>>> = Rc::default();
        let relay = |name: &str| {
            let (made, data) = (Rc::clone(&ids), Rc::clone(&ids));
            Recorder::new(&log, name)
                .on_made(move |transport| made.borrow_mut().push(transport.id()))
                .on_data(move |transport, bytes| {
                    let me = transport.id();
                    for &id in data.borrow().iter().filter(|&&id| id != me) {
                        assert!(transport.reactor().transport(id).unwrap().write(bytes));
                    }
                })
        };
        let mut first = hand_over(world, relay("a"));
        let mut second = hand_over(world, relay("b"));
        world.until("both to be made", |_| log.len() == 2);
        first.send(b"from a");
        second.send(b"from b");
        assert_eq!(world.read(&mut second, 6), b"from a");
        assert_eq!(world.read(&mut first, 6), b"from b");
        drop((first, second));
        world.until("the losses", |_| log.count("a lost") + log.count("b lost") == 2);
    }
}

both! {
    /// asyncio's gh-155888.
    fn an_empty_write_does_nothing_and_does_not_hinder_closing(world) {
        let (log, mut far) = world.served("a", |a| a);
        world.quiet();
        assert!(world.only().write(b""));
        assert_eq!(world.only().buffered(), 0);
        let report = world.reactor().turn(Some(Duration::ZERO)).unwrap();
        assert!(report.is_idle(), "{report:?}");
        assert!(world.only().write(b""));
        world.only().lose_connection();
        assert!(!world.only().write(b""));
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        drop(far);
        world.until("the loss", |_| log.count("a lost") > 0);
        assert_eq!(log.take(), ["a made", "a lost Closed"]);
    }
}

both! {
    /// Twisted's `test_writeSequeceWithoutWrite`.
    fn many_small_writes_equal_one_of_their_sum(world) {
        let data = pattern(100_000);
        let all = data.clone();
        let (log, mut far) = world.dialled("a", |a| {
            a.on_made(move |transport| {
                for piece in all.chunks(7) {
                    assert!(transport.write(piece));
                }
                transport.lose_connection();
            })
        });
        assert!(world.read_to_end(&mut far) == (data, Ok(())));
        drop(far);
        world.until("the loss", |_| log.has("a lost Closed"));
    }
}

both! {
    /// Twisted's `test_tcpNoDelay` and `test_tcpKeepAlive`.
    fn socket_options_are_errors_once_the_connection_ends(world) {
        fn objections(transport: &mut Transport) -> Vec<io::ErrorKind> {
            [
                transport.no_delay().unwrap_err().kind(),
                transport.set_no_delay(true).unwrap_err().kind(),
                transport.keep_alive().unwrap_err().kind(),
                transport.set_keep_alive(None).unwrap_err().kind(),
            ]
            .to_vec()
        }
        let (log, mut far) = world.served("a", |a| {
            a.on_made(|transport| {
                assert!(transport.no_delay().unwrap(), "it is on unless the listener says otherwise");
                assert!(!transport.keep_alive().unwrap());
                for on in [true, false] {
                    transport.set_no_delay(on).unwrap();
                    assert_eq!(transport.no_delay().unwrap(), on);
                    transport.set_keep_alive(on.then_some(Duration::from_secs(60).into())).unwrap();
                    assert_eq!(transport.keep_alive().unwrap(), on);
                }
            })
            .on_data(|transport, _| {
                transport.lose_connection();
                assert_eq!(objections(transport), [io::ErrorKind::NotConnected; 4]);
            })
            .on_lost(|transport, _| {
                assert_eq!(objections(transport), [io::ErrorKind::NotConnected; 4]);
            })
        });
        far.send(b"x");
        world.quiet();
        drop(far);
        world.until("the loss", |_| log.count("a lost") > 0);
        assert_eq!(log.take(), ["a made", "a lost Closed"]);
    }
}

both! {
    fn formatted_text_is_written_until_the_close(world) {
        let (log, mut far) = world.served("a", |a| {
            a.on_data(|transport, data| {
                assert!(write!(transport, "{} bytes", data.len()));
                assert!(writeln!(transport, ", {:?}", Some(7)));
                assert!(write!(transport, ""));
                transport.lose_connection();
                assert!(!write!(transport, "late {}", 1));
            })
        });
        world.send(&mut far, b"hello");
        assert_eq!(world.read_to_end(&mut far), (b"5 bytes, Some(7)\n".to_vec(), Ok(())));
        drop(far);
        world.until("the loss", |_| log.count("a lost") > 0);
    }
}

both! {
    /// A writer that ignores pauses, and a peer that does not read. Twisted has no bound for them.
    fn a_buffer_beyond_the_cap_ends_the_connection(world) {
        let world = &mut world.with_limits(Reactor::builder().write_buffer_cap(1000));
        let much = world.much();
        let (log, mut far) = world.served_narrow("a", |a| {
            a.on_pause(|_| {}).on_data(move |transport, asked| match asked {
                b"all" => {
                    assert!(much.chunks(900).all(|piece| transport.write(piece)), "what is written");
                    assert!(transport.write(&much), "before anything can be sent");
                    assert!(!transport.is_closing());
                }
                _ => {
                    assert!(transport.buffered() > 1000, "the peer did not take it");
                    assert!(!transport.write(&[3; 1]));
                    assert!(transport.is_closing());
                    assert!(!transport.write(&[4; 1]));
                }
            })
            .on_lost(|transport, reason| {
                let Reason::Overflow { unsent } = *reason else { panic!("{reason:?}") };
                assert_eq!((unsent, reason.who()), (transport.buffered(), Who::Reactor));
            })
        });
        far.send(b"all");
        world.until("what was written", |_| log.has("a pause"));
        world.quiet();
        far.send(b"one more");
        world.until("the loss", |_| log.count("a lost") > 0);
        assert_eq!(world.read_to_end(&mut far).1, Err(io::ErrorKind::ConnectionReset));
        world.quiet();
        assert_eq!(log.take(), ["a made", "a pause", "a lost Overflow"]);
    }
}

both! {
    /// The demand behind the cap: a broadcaster is bounded, and only the peer that does not read
    /// pays for it.
    fn a_broadcast_ends_only_the_peer_that_does_not_read(world) {
        let cap = 2 << 20;
        let world = &mut world.with_limits(Reactor::builder().write_buffer_cap(cap));
        let log = Log::new();
        let seen = log.clone();
        let mut names = ["reader", "idler"].into_iter();
        let addr = world.listen_narrow(move |_| {
            Recorder::new(&seen, names.next().unwrap()).on_pause(|_| {}).on_resume(|_| {})
        });
        let mut reader = world.dial(addr);
        world.until("it to be made", |_| log.has("reader made"));
        let idler = world.dial(addr);
        world.until("the idler to be made", |_| log.has("idler made"));
        let (news, mut sent) = (pattern(50_000), Vec::new());
        let mut got = Vec::new();
        world.until("the overflow", |world| {
            for id in world.reactor().connections() {
                let mut transport = world.reactor().transport(id).unwrap();
                transport.write(&news);
                assert!(transport.buffered() <= cap + news.len());
            }
            sent.extend_from_slice(&news);
            world.turn();
            got.extend(reader.receive(1 << 20).unwrap());
            log.has("idler lost Overflow")
        });
        assert_eq!(log.count("reader lost"), 0);
        let rest = sent.len() - got.len();
        got.extend(world.read(&mut reader, rest));
        assert!(got == sent);
        drop((reader, idler));
        world.until("the loss", |_| log.has("reader lost PeerClosed"));
    }
}

/// Twisted's TimeoutMixin tests `test_noTimeout`, `test_resetTimeout`, `test_setTimeoutReturn`.
#[test]
fn an_idle_timeout_counts_from_the_last_byte() {
    let second = Duration::from_secs(1);
    let mut world = World::simulated();
    let (log, mut far) = world.served("a", |a| {
        a.on_made(move |transport| {
            assert_eq!(transport.set_timeout(Some(3 * second)), None);
            assert_eq!(transport.set_timeout(Some(10 * second)), Some(3 * second));
        })
        .on_timed_out(|_| {})
    });
    world.quiet();
    let first = world.reactor().next_deadline();
    assert!(first.is_some());
    world.pass(9 * second);
    far.send(b"here I am");
    world.pass(Duration::ZERO);
    assert_eq!(world.reactor().next_deadline(), first, "bytes move no timer");
    world.pass(9 * second);
    world.only().write(b"so am I");
    world.pass(10 * second - Duration::from_nanos(1));
    assert_eq!(log.lines(), ["a made"]);
    world.pass(Duration::from_nanos(1));
    assert_eq!(log.lines(), ["a made", "a timed out"]);
    world.pass(100 * second);
    assert_eq!(log.lines(), ["a made", "a timed out"], "once");
    assert_eq!(world.reactor().next_deadline(), None);

    assert_eq!(world.only().set_timeout(Some(second)), None, "it is off after it fired");
    assert_eq!(world.only().set_timeout(None), Some(second));
    assert_eq!(world.only().set_timeout(None), None);
    world.pass(100 * second);
    assert_eq!(log.len(), 2, "cancelled");

    world.only().set_timeout(Some(second));
    assert_eq!(far.receive(100).unwrap(), b"so am I");
    drop(far);
    world.pass(100 * second);
    assert_eq!(log.take(), ["a made", "a timed out", "a eof", "a lost PeerClosed"]);
}

/// Twisted's `test_sendAvoidsTimeout`, the other side: what does not leave is no activity.
#[test]
fn writing_to_a_stuck_peer_does_not_prevent_the_timeout() {
    let mut world = World::simulated();
    let (log, _far) = world.served("a", |a| {
        a.on_made(|transport| {
            transport.set_timeout(Some(Duration::from_secs(10)));
            transport.write(&pattern(1 << 20));
        })
    });
    for _ in 0..9 {
        world.pass(Duration::from_secs(1));
        world.only().write(b"hello?");
    }
    assert_eq!(log.count("a timed out"), 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(log.lines(), ["a made", "a pause", "a timed out"]);
    // By default it is closed then; the close has its own deadline.
    world.pass(Duration::from_secs(30));
    assert_eq!(log.lines(), ["a made", "a pause", "a timed out", "a lost CloseTimedOut"]);
}

both! {
    /// The default of Twisted's TimeoutMixin: the connection is closed.
    fn an_idle_connection_is_closed_by_default(world) {
        struct Idle(Log);
        impl Protocol for Idle {
            fn connection_made(&mut self, transport: &mut Transport) {
                transport.set_timeout(Some(Duration::from_millis(20)));
            }
            fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
                self.0.push(format!("lost {}", crate::util::tag(reason)));
            }
        }
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| Idle(seen.clone()));
        let mut far = world.dial(addr);
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        drop(far);
        world.until("the loss", |_| log.len() > 0);
        world.quiet();
        assert_eq!(log.take(), ["lost TimedOut"]);
        assert_eq!(world.reactor().next_deadline(), None);
    }
}

both! {
    /// The owner's rule: all that is timed for a connection ends with it.
    fn timers_of_a_connection_fire_once_and_die_with_it(world) {
        let timers = Rc::new(RefCell::new(Vec::new()));
        let (set, fired) = (Rc::clone(&timers), Rc::new(Cell::new(None)));
        let told = Rc::clone(&fired);
        let (log, far) = world.dialled("a", |a| {
            let (set, told) = (Rc::clone(&set), Rc::clone(&told));
            a.on_made(move |transport| {
                let hour = Duration::from_secs(3600);
                for delay in [Duration::ZERO, hour, hour] {
                    set.borrow_mut().push(transport.call_later(delay));
                }
                transport.set_timeout(Some(hour));
                let moved = set.borrow()[2];
                assert!(transport.reactor().reset_timer(moved, 2 * hour));
            })
            .on_timer(move |_, timer| told.set(Some(timer)))
        });
        world.until("the timer", |_| log.has("a timer"));
        world.quiet();
        assert_eq!(fired.get(), Some(timers.borrow()[0]));
        assert!(world.reactor().timer_deadline(timers.borrow()[1]).is_some());
        world.only().lose_connection();
        for &timer in timers.borrow().iter() {
            assert_eq!(world.reactor().timer_deadline(timer), None);
            assert!(
                !world.reactor().cancel_timer(timer) && !world.reactor().reset_timer(timer, Duration::ZERO)
            );
        }
        drop(far);
        world.until("the loss", |_| log.count("a lost") > 0);
        if !world.is_real() {
            world.pass(Duration::from_secs(3 * 3600));
        }
        world.quiet();
        assert_eq!(log.take(), ["a made", "a timer", "a lost Closed"]);
        assert_eq!(world.reactor().next_deadline(), None);
    }
}

both! {
    /// The reference's own: an id that is kept too long names no connection.
    fn a_stale_id_does_not_reach_the_slots_next_connection(world) {
        let log = Log::new();
        let far = hand_over(world, Recorder::new(&log, "old"));
        world.until("it to be made", |_| log.has("old made"));
        let old = world.only().id();
        assert!(world.reactor().transport(old).is_some());
        drop(far);
        world.until("the loss", |_| log.count("old lost") > 0);
        assert!(world.reactor().transport(old).is_none());

        let mut far = hand_over(world, Recorder::new(&log, "new"));
        world.until("it to be made", |_| log.has("new made"));
        let new = world.only().id();
        assert_eq!(slot(old), slot(new), "the slot is used again");
        assert!(world.reactor().transport(old).is_none());
        assert!(world.reactor().transport(new).is_some());
        assert_eq!(world.reactor().listener_of(old), None);
        assert!(world.only().write(b"to the new one"));
        assert_eq!(world.read(&mut far, 14), b"to the new one");
        drop(far);
        world.until("the loss", |_| log.has("new lost PeerClosed"));
    }
}

both! {
    /// The rule "lost if and only if made", for a connection that is given up before.
    fn a_connection_closed_before_it_was_made_is_told_nothing(world) {
        let log = Log::new();
        let mut inner = world.with_limits(Reactor::builder());
        let far = hand_over(&mut inner, Recorder::new(&log, "a"));
        drop(inner);
        if let Far::Real(_) = &far {
            let mut far = far;
            assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        }
        assert_eq!(log.take(), [""; 0]);
    }
}

/// The rule "`connection_made` once, and first": nobody can write to it, or set it a timer, before.
#[test]
fn a_connection_cannot_be_reached_before_connection_made() {
    let mut world = World::real();
    let log = Log::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other_far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    let seen = log.clone();
    let mut near = Some(near);
    let adopting = Recorder::new(&log, "a").on_data(move |transport, _| {
        let reactor = transport.reactor();
        let id = reactor.adopt(near.take().unwrap(), Recorder::new(&seen, "b")).unwrap();
        assert!(reactor.transport(id).is_none());
        assert!(!reactor.connections().contains(&id));
        seen.push("asked");
    });
    let mut far = hand_over(&mut world, adopting);
    world.until("it to be made", |_| log.has("a made"));
    far.send(b"x");
    world.until("the other to be made", |_| log.has("b made"));
    assert_eq!(log.take(), ["a made", "asked", "b made"]);
    assert_eq!(world.reactor().connections().len(), 2);
    drop((far, other_far));
    world.until("the losses", |_| log.count("a lost") + log.count("b lost") == 2);
}

both! {
    /// Twisted's `test_writeAfterShutdownWithoutReading`, with more to read.
    fn data_of_a_gone_peer_arrives_though_writing_fails(world) {
        let world = &mut world.with_limits(Reactor::builder().read_buffer(100).read_budget(200));
        let got = Rc::new(Cell::new(0));
        let count = Rc::clone(&got);
        let (log, mut far) = world.dialled("a", |a| {
            let count = Rc::clone(&count);
            a.on_made(|transport| transport.pause_reading()).on_data(move |transport, data| {
                count.set(count.get() + data.len());
                transport.write(b"thanks for that");
            })
        });
        world.send(&mut far, &[b'x'; 10_000]);
        world.until("it to be made", |_| log.has("a made"));
        // Gone without having read: what is written to it from now on is answered by a reset.
        drop(far);
        world.quiet();
        world.only().resume_reading();
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(got.get(), 10_000);
        let lines = log.take();
        assert!(lines[1].starts_with("a lost Failed(") || lines[1] == "a eof", "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("a lost")).count(), 1);
    }
}

/// crocus's own: a lingering peer is given up when it is silent, not while it still sends.
#[test]
fn a_sending_peer_is_lingered_for_until_the_timeout() {
    let limits = Reactor::builder().linger(Duration::from_secs(5));
    let mut simulation = Simulation::with_limits(limits.close_timeout(Duration::from_secs(30)), 0);
    let log = Log::new();
    let mut peer = simulation.connect(Recorder::new(&log, "a").on_data(|transport, _| {
        transport.write(b"enough");
        transport.lose_connection();
    }));
    peer.send(b"x");
    for _ in 0..9 {
        simulation.advance(Duration::from_secs(3));
        peer.send(b"and on");
    }
    assert_eq!(log.lines(), ["a made"], "heard of every three seconds");
    assert_eq!(peer.received(), b"enough");
    simulation.advance(Duration::from_secs(2));
    assert_eq!(log.len(), 1);
    simulation.advance(Duration::from_secs(1));
    assert_eq!(log.take(), ["a made", "a lost Closed"], "at the close timeout");
}

/// crocus's own, found by a random world: the hang-up was latched while there was still more to read
/// than the budget allows, and then the protocol paused.
#[test]
fn a_reset_is_noticed_while_reading_is_paused() {
    let limits = Reactor::builder().read_buffer(1).read_budget(1);
    let mut simulation = Simulation::with_limits(limits, 0);
    let log = Log::new();
    let mut left = 3;
    let mut peer = simulation.connect(Recorder::new(&log, "a").on_data(move |transport, _| {
        left -= 1;
        if left == 0 {
            transport.pause_reading();
        }
    }));
    peer.send(&[b'x'; 10]);
    simulation.turn();
    peer.reset();
    simulation.settle();
    assert_eq!(log.take(), ["a made", "a lost Failed(ConnectionReset)"]);
}
