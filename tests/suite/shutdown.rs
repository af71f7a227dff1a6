//! A shutdown: it is told, answers are finished, and nobody gets a part for the whole.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::util::{Far, HOUR, Log, MS, Recorder, RecordingClient, World, pattern};
use crocus::testing::Simulation;
use crocus::{Listen, ListenerId, Reason, Transport};

/// How long a silent peer is waited for in a shutdown.
const SHORT_LINGER: Duration = Duration::from_millis(500);

/// The pieces of a long answer, each written when the last has left.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 16;

fn listen(
    world: &mut World,
    place: Listen,
    build: impl FnMut(crocus::Address) -> Recorder + 'static,
) -> (ListenerId, SocketAddr) {
    let id = world.reactor().listen(place, build).unwrap();
    (id, world.reactor().local_addr(id).unwrap().socket_addr().unwrap())
}

fn greet(transport: &mut Transport) {
    assert!(transport.write(b"hi"));
}

fn refuses_to_listen(world: &mut World, addr: SocketAddr) {
    let error = world.reactor().listen(addr, |_| Recorder::new(&Log::new(), "x")).unwrap_err();
    // Were the port taken, the error would be another.
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

both! {
    fn it_is_told_once_held_or_not_and_waits(world) {
        let (log, mut far) = world.served("a", |recorder| {
            recorder
                .on_made(|transport| transport.pause_reading())
                .on_shutting_down(|transport| {
                    assert!(transport.write(b"more") && !transport.is_closing());
                    transport.reactor().shutdown(HOUR);
                    transport.call_later(MS * 5);
                })
                .on_timer(|transport, _| transport.lose_connection())
        });
        world.reactor().shutdown(HOUR);
        assert_eq!(log.count("a shutting down"), 0, "not inside of the command");
        assert_eq!(world.read_to_end(&mut far), (b"more".to_vec(), Ok(())));
        drop(far);
        world.run().unwrap();
        assert_eq!(log.take(), ["a made", "a shutting down", "a timer", "a lost Closed"]);
    }
}

both! {
    fn a_shutdown_from_its_own_callback_is_told_after_it(world) {
        let (log, mut far) = world.served("a", |recorder| {
            recorder
                .with_data()
                .on_data(|transport, _| {
                    transport.reactor().shutdown(HOUR);
                    transport.write(b"in time");
                })
                .on_shutting_down(|transport| transport.lose_connection())
        });
        world.send(&mut far, b"x");
        assert_eq!(world.read_to_end(&mut far), (b"in time".to_vec(), Ok(())));
        drop(far);
        world.run().unwrap();
        assert_eq!(log.take(), ["a made", "a data x", "a shutting down", "a lost Closed"]);
    }
}

both! {
    /// A request in the socket, which no event has reported, is answered before the default closes.
    fn what_had_arrived_is_delivered_first(world) {
        let (log, mut far) = world.served("a", |recorder| recorder.with_data().echoing());
        assert_eq!(far.send(b"request"), 7);
        if let World::Simulated(simulation) = world {
            simulation.turn(); // the network of a simulation moves at the beginning of a turn
        }
        world.reactor().shutdown(HOUR);
        assert_eq!(world.read_to_end(&mut far), (b"request".to_vec(), Ok(())));
        assert!(log.has("a data request"));
        drop(far);
        world.run().unwrap();
    }
}

both! {
    /// Once its output has left, in the visit that tells of the shutdown.
    fn what_waited_for_a_pressed_connection_is_delivered_first(world) {
        let mut world = world.with_limits(crocus::Reactor::builder().read_buffer(5));
        let (log, mut far) = world.served("a", |recorder| {
            let mut first = true;
            recorder
                .with_data()
                .on_made(|transport| transport.set_write_buffer_limits(10, 0))
                .on_data(move |transport, _| {
                    if std::mem::take(&mut first) {
                        transport.pause_reading();
                        transport.write(&[b'x'; 100]);
                        transport.reactor().shutdown(HOUR);
                    }
                })
                .on_pause(|_| {})
                .on_resume(|transport| transport.resume_reading())
                .on_shutting_down(|transport| transport.lose_connection())
        });
        world.send(&mut far, b"firstasked");
        assert_eq!(world.read_to_end(&mut far), (vec![b'x'; 100], Ok(())));
        drop(far);
        world.run().unwrap();
        let then = ["a data asked", "a shutting down", "a lost Closed"];
        let first = ["a made", "a data first", "a pause", "a resume"];
        assert_eq!(log.take(), [&first[..], &then].concat());
    }
}

/// Writes one piece, and the next when it has left; closes behind the last.
fn answer(recorder: Recorder, finishes: bool) -> Recorder {
    let whole = pattern(PIECE * PIECES);
    let next = whole[PIECE..].to_vec();
    let mut rest = 0;
    recorder
        .on_made(move |transport| {
            transport.set_write_buffer_limits(PIECE / 2, 0);
            transport.write(&whole[..PIECE]);
        })
        .on_pause(|_| {})
        .on_resume(move |transport| {
            transport.write(&next[rest..rest + PIECE]);
            rest += PIECE;
            if finishes && rest == next.len() {
                transport.lose_connection();
            } else if rest == next.len() {
                rest = 0; // it never ends
            }
        })
}

/// The same, and it closes behind the last piece itself, or leaves that to the shutdown.
fn pulled(recorder: Recorder, closes: bool) -> Recorder {
    let whole = pattern(PIECE * PIECES);
    let mut sent = PIECE;
    let first = whole[..PIECE].to_vec();
    recorder
        .on_made(move |transport| {
            transport.set_write_buffer_limits(PIECE / 2, 0);
            transport.write(&first);
        })
        .on_pause(|_| {})
        .on_resume(move |transport| {
            if sent < whole.len() {
                transport.write(&whole[sent..sent + PIECE]);
                sent += PIECE;
            } else if closes {
                transport.lose_connection();
            }
        })
}

both! {
    /// Each piece leaves whole, so the buffer is empty again and again.
    fn an_answer_in_pieces_is_finished(world) {
        let (log, mut far) = world.served_narrow("a", |recorder| {
            answer(recorder, true).on_shutting_down(|_| {})
        });
        world.quiet();
        assert_eq!(log.count("a lost"), 0, "it is in the middle");
        world.reactor().shutdown(HOUR);
        let (all, end) = world.read_to_end(&mut far);
        assert!(all == pattern(PIECE * PIECES) && end == Ok(()), "{} bytes, {end:?}", all.len());
        drop(far);
        world.run().unwrap();
        assert_eq!(log.count("a shutting down"), 1);
        assert!(log.has("a lost Closed"));
    }
}

both! {
    /// Its protocol was written before there was anything to know of a shutdown.
    fn an_answer_that_is_pulled_is_finished_by_the_default(world) {
        for lingers in [false, true] {
            let (log, mut far) = world.served_narrow("a", |recorder| pulled(recorder, !lingers));
            world.until("the middle", |_| log.has("a pause"));
            world.reactor().shutdown(HOUR);
            let (all, end) = world.read_to_end(&mut far);
            assert!(all == pattern(PIECE * PIECES) && end == Ok(()), "{} bytes, {end:?}", all.len());
            drop(far);
            world.run().unwrap();
            assert!(log.has("a lost Closed"));
        }
    }
}

both! {
    fn an_answer_that_is_pulled_without_end_is_reset(world) {
        let (log, mut far) = world.served_narrow("a", |recorder| answer(recorder, false));
        world.until("the middle", |_| log.has("a pause"));
        world.reactor().shutdown(MS * 20);
        world.run().unwrap();
        assert!(log.has("a lost Stopped"));
        assert_eq!(world.read_to_end(&mut far).1, Err(ErrorKind::ConnectionReset));
    }
}

/// A peer that takes nothing does not hold up a shutdown for all of its grace.
#[test]
fn a_pulled_answer_that_nobody_takes_is_cut_off() {
    let mut simulation = Simulation::with_limits(
        crocus::Reactor::builder().close_timeout(Duration::from_secs(3)),
        0,
    );
    let log = Log::new();
    let mut peer = simulation.connect(pulled(Recorder::new(&log, "a"), true).on_timer(|_, _| {}));
    simulation.settle();
    simulation.reactor().shutdown(HOUR);
    simulation.settle();
    let id = simulation.reactor().connections()[0];
    assert!(!simulation.reactor().transport(id).unwrap().is_closing());
    // It counts from the last progress.
    simulation.advance(Duration::from_secs(2));
    assert!(!peer.receive(PIECE / 2).is_empty());
    simulation.advance(Duration::from_secs(3) - MS);
    assert_eq!(log.count("a lost"), 0);
    simulation.advance(Duration::from_secs(3));
    assert!(log.has("a lost CloseTimedOut"));
    simulation.reactor().run().unwrap();
}

both! {
    /// One that has said all it had to, and only waits for its peer, has not been cut off.
    fn one_that_lingers_at_a_stop_keeps_its_reason(world) {
        for grace in [None, Some(Duration::ZERO)] {
            let (log, mut far) = world.served("a", |recorder| {
                recorder.on_data(|transport, _| {
                    transport.write(b"bye");
                    transport.lose_connection_because(Reason::protocol("done"));
                })
            });
            far.send(b"?");
            assert_eq!(world.read(&mut far, 3), b"bye");
            world.quiet();
            match grace {
                None => world.reactor().stop(),
                Some(grace) => world.reactor().shutdown(grace),
            }
            world.run().unwrap();
            assert_eq!(log.take(), ["a made", "a lost Protocol { error: \"done\" }"]);
            assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        }
    }
}

both! {
    fn an_answer_left_after_the_grace_ends_with_a_reset(world) {
        let (log, mut far) = world.served_narrow("a", |recorder| {
            answer(recorder, false).on_shutting_down(|_| {})
        });
        world.reactor().shutdown(MS * 20);
        world.run().unwrap();
        assert!(log.has("a lost Stopped"));
        let (_, end) = world.read_to_end(&mut far);
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "a part is not the whole");
    }
}

both! {
    /// Nothing is unsent, and yet its protocol has not finished.
    fn one_left_with_an_empty_buffer_is_reset_too(world) {
        for stops in [false, true] {
            let (log, mut far) = world.served("a", |recorder| {
                recorder
                    .on_made(greet)
                    .on_shutting_down(|_| {})
            });
            assert_eq!(world.read(&mut far, 2), b"hi");
            world.reactor().shutdown(if stops { HOUR } else { MS * 5 });
            if stops {
                world.until("the notice", |_| log.has("a shutting down"));
                world.reactor().stop();
            }
            world.run().unwrap();
            assert_eq!(log.take(), ["a made", "a shutting down", "a lost Stopped"]);
            assert_eq!(world.read_to_end(&mut far), (vec![], Err(ErrorKind::ConnectionReset)));
        }
    }
}

both! {
    /// It has sent all and FIN, so its peer has the whole.
    fn one_left_after_its_fin_is_not_reset(world) {
        let (log, mut far) = world.served("a", |recorder| {
            recorder
                .on_made(|transport| {
                    transport.write(b"whole");
                    transport.lose_write_connection();
                })
                .on_shutting_down(|_| {})
        });
        world.reactor().shutdown(MS * 5);
        world.run().unwrap();
        assert!(log.has("a lost Stopped"));
        assert_eq!(world.read_to_end(&mut far), (b"whole".to_vec(), Ok(())));
    }
}

both! {
    /// ranch answers them too, gunicorn since its 20.1. The port is free at once, for a successor.
    fn those_in_the_queue_are_served_and_told(world) {
        let log = Log::new();
        let seen = log.clone();
        let (id, addr) = world.listen(move |_| {
            Recorder::new(&seen, "a")
                .on_made(greet)
                .on_shutting_down(|transport| transport.lose_connection())
        });
        world.quiet();
        let mut fars: Vec<Far> = (0..100).map(|_| world.dial(addr)).collect();
        if let World::Simulated(simulation) = world {
            // Its network moves in a turn; so the listener is paused, and the reactor turned.
            simulation.reactor().pause_accepting(id);
            simulation.turn();
            simulation.reactor().resume_accepting(id);
        }
        world.reactor().shutdown(HOUR);
        refuses_to_listen(world, addr);
        for far in &mut fars {
            assert_eq!(world.read_to_end(far), (b"hi".to_vec(), Ok(())));
        }
        assert_eq!((log.count("a made"), log.count("a shutting down")), (100, 100));
        drop(fars);
        world.run().unwrap();
        assert_eq!(log.count("a lost Closed"), 100);
    }
}

both! {
    /// At the limit they wait for their turn, and are served in the same shutdown.
    fn those_in_the_queue_wait_for_room(world) {
        let log = Log::new();
        let seen = log.clone();
        let place = Listen::at("127.0.0.1:0").max_connections(1);
        let (_, addr) = listen(world, place, move |_| {
            Recorder::new(&seen, "a").on_made(greet)
        });
        let mut fars: Vec<Far> = (0..4).map(|_| world.dial(addr)).collect();
        assert_eq!(world.read(&mut fars[0], 2), b"hi");
        world.reactor().shutdown(HOUR);
        for far in fars.drain(1..) {
            let mut far = far;
            assert_eq!(world.read_to_end(&mut far), (b"hi".to_vec(), Ok(())));
        }
        drop(fars);
        world.run().unwrap();
        assert_eq!((log.count("a made"), log.count("a lost Closed")), (4, 4));
    }
}

both! {
    fn those_still_in_the_queue_after_the_grace_are_reset(world) {
        let log = Log::new();
        let seen = log.clone();
        let place = Listen::at("127.0.0.1:0").max_connections(1);
        let (_, addr) = listen(world, place, move |_| {
            Recorder::new(&seen, "a").on_shutting_down(|_| {})
        });
        let _first = world.dial(addr);
        world.until("the first", |_| log.has("a made"));
        let mut second = world.dial(addr);
        world.quiet();
        world.reactor().shutdown(MS * 5);
        world.run().unwrap();
        assert_eq!(world.read_to_end(&mut second), (vec![], Err(ErrorKind::ConnectionReset)));
        assert_eq!(log.take(), ["a made", "a shutting down", "a lost Stopped"]);
    }
}

both! {
    /// They were not wanted before either.
    fn the_queue_of_a_paused_listener_is_not_taken(world) {
        let log = Log::new();
        let seen = log.clone();
        let (id, addr) = world.listen(move |_| Recorder::new(&seen, "a"));
        world.quiet();
        world.reactor().pause_accepting(id);
        let mut far = world.dial(addr);
        world.quiet();
        world.reactor().shutdown(HOUR);
        world.run().unwrap();
        assert_eq!(world.read_to_end(&mut far), (vec![], Err(ErrorKind::ConnectionReset)));
        assert_eq!(log.len(), 0);
    }
}

/// An idle peer, and one whose connection lingers already, are waited for only shortly.
#[test]
fn silent_peers_do_not_hold_it_up() {
    for lingers in [false, true] {
        let mut simulation = Simulation::new();
        let log = Log::new();
        let recorder = Recorder::new(&log, "a").with_data().echoing();
        let mut peer = simulation.connect(recorder.on_eof(|_| {}));
        peer.send(b"x");
        simulation.settle();
        if lingers {
            let id = simulation.reactor().connections()[0];
            simulation.reactor().transport(id).unwrap().lose_connection();
            simulation.advance(Duration::from_secs(1));
        }
        let begun = simulation.elapsed();
        simulation.reactor().shutdown(HOUR);
        simulation.reactor().run().unwrap();
        assert_eq!(simulation.elapsed() - begun, SHORT_LINGER);
        assert_eq!(log.take(), ["a made", "a data x", "a lost Closed"]);
        assert_eq!(peer.received(), b"x");
    }
}

/// A peer that sends is listened to, so that no reset overtakes its answer.
#[test]
fn a_peer_that_still_sends_is_waited_for() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut peer = simulation.connect(Recorder::new(&log, "a"));
    simulation.settle();
    simulation.reactor().shutdown(HOUR);
    for _ in 0..10 {
        peer.send(b"more");
        simulation.advance(SHORT_LINGER - MS);
        assert_eq!(log.count("a lost"), 0);
    }
    simulation.advance(MS);
    assert_eq!(log.take(), ["a made", "a lost Closed"]);
}

/// The reactor is idle again after a shutdown, and the usual time applies.
#[test]
fn the_next_run_lingers_as_usual_and_takes_new_ones() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    simulation.reactor().shutdown(HOUR);
    simulation.reactor().run().unwrap();
    let _peer = simulation.connect(Recorder::new(&log, "a").on_shutting_down(|_| {}));
    simulation.settle();
    simulation.reactor().listen("127.0.0.1:0", |_| Recorder::new(&Log::new(), "b")).unwrap();
    let id = simulation.reactor().connections()[0];
    simulation.reactor().transport(id).unwrap().lose_connection();
    simulation.advance(SHORT_LINGER * 2);
    assert_eq!(log.take(), ["a made"]);
}

/// It stands between the adoption and its `connection_made`.
#[test]
fn one_that_was_adopted_before_is_made_and_told() {
    let mut world = World::real();
    let log = Log::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let adopted =
        Recorder::new(&log, "a").on_shutting_down(|transport| transport.abort_connection());
    world.reactor().adopt(listener.accept().unwrap().0, adopted).unwrap();
    world.reactor().shutdown(HOUR);
    let _late = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let late = Recorder::new(&log, "late");
    let error = world.reactor().adopt(listener.accept().unwrap().0, late).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    world.run().unwrap();
    assert_eq!(log.take(), ["a made", "a shutting down", "a lost Aborted"]);
}

both! {
    /// Each attempt has one outcome, also one that is begun when all are told of the end.
    fn an_attempt_begun_in_a_last_notice_fails(world) {
        for drops in [false, true] {
            let mut inner = world.with_limits(crocus::Reactor::builder());
            let closed = inner.closed_port();
            let log = Log::new();
            let lines = log.clone();
            let (_, far) = inner.served("a", |recorder| {
                recorder.on_lost(move |transport, _| {
                    let (first, second) = (lines.clone(), lines.clone());
                    let client = RecordingClient::new(&first, "c", |_| None);
                    let client = client.on_failed(move |connector, _| {
                        let another = RecordingClient::new(&second, "d", |_| None);
                        connector.reactor().connect(closed, another);
                    });
                    transport.reactor().connect(closed, client);
                })
            });
            if drops {
                drop(inner);
            } else {
                inner.reactor().stop();
                inner.run().unwrap();
            }
            assert_eq!(log.take(), ["c failed Stopped", "d failed Stopped"]);
            drop(far);
        }
    }
}

both! {
    fn connections_of_a_stopped_listener_are_counted_to_the_last(world) {
        let log = Log::new();
        let seen = log.clone();
        let (id, addr) = world.listen(move |_| Recorder::new(&seen, "a"));
        let mut fars: Vec<Far> = (0..3).map(|_| world.dial(addr)).collect();
        world.until("all three", |_| log.count("a made") == 3);
        assert!(world.reactor().stop_listening(id));
        world.quiet();
        assert!(!world.reactor().stop_listening(id));
        assert_eq!(world.reactor().local_addr(id).unwrap().socket_addr(), Some(addr));
        for left in [2, 1, 0] {
            drop(fars.pop());
            let count = (left > 0).then_some(left);
            world.until("one to go", |world| world.reactor().connection_count(id) == count);
        }
        assert!(world.reactor().local_addr(id).is_none());
        world.run().unwrap();
    }
}

// Reasons of the protocol's own.

both! {
    fn a_reason_of_its_own_is_told_when_all_is_sent(world) {
        let (log, mut far) = world.served("a", |recorder| {
            recorder
                .on_data(|transport, _| {
                    transport.write(b"bye");
                    transport.lose_connection_because(Reason::protocol("over quota\r\nWARN"));
                    transport.lose_connection_because(Reason::protocol("too late"));
                })
                .on_lost(|_, reason| {
                    assert!(!reason.is_clean());
                    assert_eq!(reason.to_string(), r"closed: over quota\r\nWARN", "on one line");
                })
        });
        world.send(&mut far, b"x");
        assert_eq!(world.read_to_end(&mut far), (b"bye".to_vec(), Ok(())));
        drop(far);
        world.until("the loss", |_| log.count("a lost Protocol") == 1);
    }
}

both! {
    /// An override of `timed_out` that says good-bye first.
    fn a_close_after_the_timeout_may_end_with_it(world) {
        let (log, mut far) = world.served("a", |recorder| {
            let ends = |transport: &mut Transport, _| {
                transport.lose_connection_because(Reason::TimedOut);
            };
            recorder
                .on_made(|transport| {
                    transport.set_timeout(Some(MS));
                })
                .on_timed_out(|transport| {
                    transport.call_later(MS);
                })
                .on_timer(ends)
        });
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        drop(far);
        world.until("the loss", |_| log.has("a lost TimedOut"));
    }
}

both! {
    /// The close is in order, with any reason.
    fn a_reason_does_not_change_how_it_is_closed(world) {
        let (log, mut far) = world.served("a", |recorder| {
            recorder.on_made(|transport| {
                transport.write(b"all of it");
                transport.lose_connection_because(Reason::Aborted);
            })
        });
        assert_eq!(world.read_to_end(&mut far), (b"all of it".to_vec(), Ok(())));
        drop(far);
        world.until("the loss", |_| log.has("a lost Aborted"));
    }
}
