//! Flow control: a writer is told when to pause, a reader can pause, and no source waits for ever.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crocus::testing::Simulation;
use crocus::{Bytes, ConnectionId, Protocol, Reactor, Transport};

use crate::util::{Log, Recorder, World, pattern};

const HIGH: usize = 64 * 1024;
const READ_BUDGET: usize = 256 * 1024;

both! {
    /// Twisted's `test_pauseProducingInConnectionMade`, asyncio's gh-103607.
    fn a_pause_in_connection_made_holds_all_data_back(world) {
        let (log, mut far) = world.dialled("a", |a| {
            a.with_data().on_made(|transport| {
                assert!(transport.is_reading());
                transport.pause_reading();
                assert!(!transport.is_reading());
            })
        });
        far.send(b"before ");
        world.until("it to be made", |_| log.has("a made"));
        far.send(b"and after");
        world.quiet();
        assert_eq!(log.lines(), ["a made"]);
        world.only().resume_reading();
        assert!(world.only().is_reading());
        assert_eq!(log.len(), 1, "not from inside the command");
        world.until("the data", |_| log.count("a data") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a data before and after"]);
        drop(far);
        world.until("the loss", |_| log.has("a lost PeerClosed"));
    }
}

both! {
    /// A large piece leaves at once if nothing waits before it; the order is that of writing.
    fn large_and_small_pieces_arrive_in_order(world) {
        let large = pattern(60_000);
        let answer = [&large[..], b"small", &large[..9_000], b"end"].concat();
        let log = Log::new();
        let addr = world.listen_narrow(move |_| {
            let large = large.clone();
            Recorder::new(&log, "a").on_data(move |transport, questions| {
                for piece in [&large[..], b"small", &large[..9_000], b"end"].repeat(questions.len()) {
                    assert!(transport.write(piece));
                }
            })
        });
        let mut far = world.dial(addr);
        // Nothing is read meanwhile, so that the kernel takes all of the first and a part of a later one.
        for _ in 0..20 {
            far.send(b"?");
            world.quiet();
        }
        for _ in 0..20 {
            assert_eq!(world.read(&mut far, answer.len()), answer);
        }
    }
}

both! {
    /// Contract 1. A protocol that writes on in `resume_writing` is called for sure.
    fn no_byte_leaves_inside_a_callback_however_large_the_pieces(world) {
        const PIECE: usize = HIGH / 4;
        let (log, mut far) = world.dialled("a", |a| {
            a.on_data(|transport, _| {
                (0..5).for_each(|_| assert!(transport.write(&[7; PIECE])));
                assert_eq!(transport.buffered(), 5 * PIECE);
            })
        });
        far.send(b"?");
        assert_eq!(world.read(&mut far, 5 * PIECE), [7; 5 * PIECE]);
        world.quiet();
        assert_eq!((log.count("a pause"), log.count("a resume")), (1, 1));
    }
}

both! {
    /// A command puts a connection into a queue only if a visit is of use; an empty queue lets it sleep.
    fn commands_without_effect_cost_no_turn(world) {
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| Recorder::new(&seen, "quiet"));
        let quiet = world.dial(addr);
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| {
            Recorder::new(&seen, "busy").with_data().on_data(|transport, _| {
                let reactor = transport.reactor();
                for id in reactor.connections() {
                    let mut transport = reactor.transport(id).unwrap();
                    transport.pause_reading();
                    transport.resume_reading();
                    assert!(transport.unread(b"") && transport.write(b""));
                    transport.set_write_buffer_limits(HIGH, HIGH / 4);
                    transport.set_timeout(None);
                    transport.set_read_rate(None);
                }
            })
        });
        let mut busy = world.dial(addr);
        world.until("both", |_| log.has("quiet made") && log.has("busy made"));
        world.quiet();
        for text in ["1", "12", "123"] {
            busy.send(&text.as_bytes()[text.len() - 1..]);
            let turns = world.reactor().stats().turns;
            world.until("the data", |_| log.has(&format!("busy data {text}")));
            assert_eq!(world.reactor().next_deadline(), None, "something is queued");
            assert!(world.reactor().turn(Some(Duration::ZERO)).unwrap().is_idle());
            assert!(world.is_real() || world.reactor().stats().turns <= turns + 3);
        }
        drop((quiet, busy));
    }
}

both! {
    /// Twisted's `test_stopStartReading` and `test_resumeProducing`.
    fn resuming_delivers_what_is_there_though_no_more_comes(world) {
        let world = &mut world.with_limits(Reactor::builder().read_buffer(10));
        let (log, mut far) =
            world.served("a", |a| a.with_data().on_data(|transport, _| transport.pause_reading()));
        let text: Vec<u8> = (0..95).map(|i| b'a' + i % 26).collect();
        far.send(&text);
        log.take();
        for piece in text.chunks(10) {
            world.until("a piece", |_| log.len() > 0);
            world.quiet();
            assert_eq!(log.take(), [format!("a data {}", piece.escape_ascii())]);
            world.only().resume_reading();
        }
        world.quiet();
        assert_eq!(log.len(), 0);
        drop(far);
        world.until("the loss", |_| log.has("a lost PeerClosed"));
    }
}

both! {
    /// Twisted's `test_resumeProducingWhileDisconnecting` and
    /// `test_resumeProducingWhileDisconnected`.
    fn resuming_after_closing_or_loss_delivers_nothing(world) {
        for abort in [false, true] {
            let (log, mut far) = world.served("a", |a| {
                a.on_made(|transport| transport.pause_reading()).on_lost(|transport, _| {
                    transport.resume_reading();
                    assert!(!transport.is_reading());
                })
            });
            far.send(b"never delivered");
            world.quiet();
            let mut transport = world.only();
            if abort {
                transport.abort_connection();
            } else {
                transport.lose_connection();
            }
            transport.resume_reading();
            assert!(!transport.is_reading());
            world.quiet();
            let (got, end) = world.read_to_end(&mut far);
            assert_eq!((got.len(), end.is_ok()), (0, !abort));
            drop(far);
            world.until("the loss", |_| log.count("a lost") > 0);
            world.quiet();
            let end = if abort { "a lost Aborted" } else { "a lost Closed" };
            assert_eq!(log.take(), ["a made", end]);
            assert!(world.reactor().turn(Some(Duration::ZERO)).unwrap().is_idle());
        }
    }
}

both! {
    /// asyncio's `test_pause_reading`: idempotent since 3.7.
    fn however_often_reading_was_paused_it_is_resumed_once(world) {
        let (log, mut far) = world.served("a", |a| {
            a.with_data().on_made(|transport| {
                transport.pause_reading();
                transport.pause_reading();
                transport.resume_reading();
                transport.resume_reading();
                assert!(transport.is_reading());
            })
        });
        far.send(b"hello");
        world.until("the data", |_| log.has("a data hello"));
        world.only().pause_reading();
        world.only().pause_reading();
        far.send(b"later");
        world.quiet();
        assert_eq!(log.lines(), ["a made", "a data hello"]);
        world.only().resume_reading();
        world.until("the data", |_| log.has("a data hellolater"));
        drop(far);
        world.until("the loss", |_| log.has("a lost PeerClosed"));
    }
}

both! {
    /// Twisted's `test_streamingProducer`, and asyncio's tests of `pause_writing`.
    fn one_pause_above_high_water_and_one_resume_at_low(world) {
        let (log, mut far) = world.served_narrow("a", |a| {
            a.on_pause(|transport| assert!(transport.buffered() > HIGH))
                .on_resume(|transport| assert!(transport.buffered() <= HIGH / 4))
        });
        let mut expected = world.much();
        assert!(world.only().write(&expected));
        assert_eq!(log.len(), 1, "not from inside the command");
        world.until("the pause", |_| log.has("a pause"));
        for _ in 0..5 {
            assert!(world.only().write(b"a little more"));
            expected.extend(b"a little more");
            world.quiet();
        }
        assert_eq!(log.lines(), ["a made", "a pause"], "not for every write");
        assert!(world.read(&mut far, expected.len()) == expected);
        world.until("the resume", |_| log.has("a resume"));
        world.quiet();
        assert_eq!(log.take(), ["a made", "a pause", "a resume"]);
        assert!(world.only().write(b"and little again"));
        assert_eq!(world.read(&mut far, 16), b"and little again");
        assert_eq!(log.len(), 0);
        drop(far);
        world.until("the loss", |_| log.has("a lost PeerClosed"));
    }
}

/// The marks to the byte: strictly above the high one, at the low one.
#[test]
fn the_marks_are_exact() {
    let mut simulation = Simulation::new();
    simulation.set_window(1000);
    let log = Log::new();
    let marks = |transport: &mut Transport| transport.set_write_buffer_limits(500, 100);
    let recorder = Recorder::new(&log, "a").on_made(marks);
    let mut far = simulation.connect(recorder.on_pause(|_| {}).on_resume(|_| {}));
    simulation.settle();
    let id = simulation.reactor().connections()[0];
    let write = |simulation: &mut Simulation, bytes: usize| {
        assert!(simulation.reactor().transport(id).unwrap().write(&vec![7; bytes]));
        simulation.settle();
        simulation.reactor().transport(id).unwrap().buffered()
    };
    // The high mark is looked at before sending, the low one after.
    assert_eq!(write(&mut simulation, 500), 0);
    assert_eq!(log.take(), ["a made"]);
    assert_eq!(far.received().len(), 500);
    assert_eq!(write(&mut simulation, 501), 0);
    assert_eq!(log.take(), ["a pause", "a resume"], "it is told in pairs though all left at once");
    assert_eq!(far.received().len(), 501);
    assert_eq!(write(&mut simulation, 1500), 500);
    assert_eq!(log.take(), ["a pause"]);
    assert_eq!(write(&mut simulation, 100), 600);
    assert_eq!(log.len(), 0, "not for every write");
    // Room is told when a third of the window is free, so more than one byte at a time.
    assert_eq!(far.receive(499).len(), 499);
    assert_eq!(write(&mut simulation, 0), 101);
    assert_eq!(log.len(), 0);
    assert_eq!(far.receive(332).len(), 332);
    assert_eq!(write(&mut simulation, 0), 101);
    assert_eq!(far.receive(1).len(), 1);
    assert_eq!(write(&mut simulation, 0), 0);
    assert_eq!(log.take(), ["a resume"]);
    assert_eq!(far.received().len(), 768);
    assert_eq!(write(&mut simulation, 1501), 501);
    assert_eq!(log.take(), ["a pause"]);
    assert_eq!(far.receive(401).len(), 401);
    assert_eq!(write(&mut simulation, 0), 100);
    assert_eq!(log.take(), ["a resume"]);
    assert_eq!(far.received().len(), 1000);
    simulation.settle();
    assert_eq!(far.received().len(), 100);
    simulation.settle();
    // Marks the wrong way round count as equal.
    simulation.reactor().transport(id).unwrap().set_write_buffer_limits(10, 9999);
    assert_eq!(write(&mut simulation, 10), 0);
    assert_eq!(log.len(), 0);
    assert_eq!(write(&mut simulation, 1345), 355);
    assert_eq!(log.take(), ["a pause"]);
    assert_eq!(far.receive(344).len(), 344);
    assert_eq!(write(&mut simulation, 0), 11);
    assert_eq!(log.len(), 0);
    assert_eq!(far.receive(345).len(), 345);
    assert_eq!(write(&mut simulation, 344), 10);
    assert_eq!(log.take(), ["a resume"]);
    drop(far);
    simulation.settle();
    assert_eq!(log.count("a lost Failed(ConnectionReset)"), 1);
}

both! {
    /// asyncio's `set_write_buffer_limits`, given while much is waiting.
    fn changed_marks_are_told_by_the_loop(world) {
        let huge = world.much().len();
        let (log, far) = world.served_narrow("a", |a| {
            a.on_made(move |transport| transport.set_write_buffer_limits(huge, 0))
                .on_pause(|_| {})
                .on_resume(|_| {})
        });
        let much = world.much();
        world.only().write(&much);
        world.quiet();
        assert!(world.only().buffered() > 0);
        assert_eq!(log.lines(), ["a made"]);
        world.only().set_write_buffer_limits(0, 0);
        assert_eq!(log.len(), 1, "not from inside the command");
        world.turn();
        assert_eq!(log.lines(), ["a made", "a pause"]);
        world.only().set_write_buffer_limits(huge, huge);
        world.turn();
        assert_eq!(log.lines(), ["a made", "a pause", "a resume"]);
        far.reset();
        world.until("the loss", |_| log.has("a lost Failed(ConnectionReset)"));
    }
}

both! {
    /// Twisted's `test_reentrantStreamingProducerUsingWrite`.
    fn writes_from_within_resume_writing_are_told_in_strict_pairs(world) {
        const ROUNDS: usize = 6;
        let much = world.much();
        let piece = much.clone();
        let (log, mut far) = world.dialled_narrow("a", |a| {
            let (first, next) = (piece.clone(), piece.clone());
            let mut rounds = 1;
            a.on_made(move |transport| {
                transport.write(&first);
            })
            .on_pause(|_| {})
            .on_resume(move |transport| {
                rounds += 1;
                if rounds <= ROUNDS {
                    assert!(transport.write(&next));
                } else {
                    transport.lose_connection();
                }
            })
        });
        let mut got = Vec::new();
        world.until("all of it", |_| {
            got.extend(far.receive(1 << 20).unwrap());
            got.len() == ROUNDS * much.len()
        });
        assert!(got.chunks(much.len()).all(|piece| piece == much));
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        drop(far);
        world.until("the loss", |_| log.count("a lost") > 0);
        let mut expected = vec!["a made"];
        expected.extend(["a pause", "a resume"].repeat(ROUNDS));
        expected.push("a lost Closed");
        assert_eq!(log.take(), expected);
    }
}

both! {
    /// Twisted's `test_nonStreamingProducer` and `test_dontPausePullConsumerOnWrite`: with both
    /// marks at nothing, `resume_writing` asks for the next piece once the last has left.
    fn resume_writing_is_called_once_per_drained_buffer(world) {
        let much = world.much();
        let piece = much.clone();
        let (log, mut far) = world.dialled_narrow("a", |a| {
            let (first, next) = (piece.clone(), piece.clone());
            let mut asked = 0;
            a.on_made(move |transport| {
                transport.set_write_buffer_limits(0, 0);
                transport.write(&first);
            })
            .on_pause(|transport| assert!(transport.buffered() > 0))
            .on_resume(move |transport| {
                assert_eq!(transport.buffered(), 0);
                asked += 1;
                if asked == 1 {
                    transport.write(&next);
                }
            })
        });
        assert!(world.read(&mut far, 2 * much.len()) == much.repeat(2));
        world.until("the second question", |_| log.count("a resume") == 2);
        world.quiet();
        assert!(world.reactor().turn(Some(Duration::ZERO)).unwrap().is_idle(), "it spins");
        assert_eq!(log.take(), ["a made", "a pause", "a resume", "a pause", "a resume"]);
        drop(far);
        world.until("the loss", |_| log.has("a lost PeerClosed"));
    }
}

both! {
    /// Twisted's `test_resumeProducingAbort` and `test_resumeProducingAbortLater`.
    fn an_abort_from_a_notice_of_pressure_is_told_once(world) {
        for later in [false, true] {
            for notice in ["pause", "resume"] {
                let log = Log::new();
                let seen = log.clone();
                let much = world.much();
                let addr = world.listen_narrow(move |_| {
                    let all = much.clone();
                    let end = move |transport: &mut Transport| {
                        let id = transport.id();
                        if later {
                            transport.reactor().call_soon(move |reactor| {
                                reactor.transport(id).unwrap().abort_connection();
                            });
                        } else {
                            transport.abort_connection();
                        }
                    };
                    let recorder = Recorder::new(&seen, "a").on_made(move |transport| {
                        transport.write(&all);
                    });
                    if notice == "pause" { recorder.on_pause(end) } else { recorder.on_resume(end) }
                });
                let mut far = world.dial(addr);
                world.until("the loss", |_| {
                    if notice == "resume" {
                        drop(far.receive(1 << 20));
                    }
                    log.count("a lost") > 0
                });
                world.quiet();
                let expected: &[&str] = match notice {
                    "pause" => &["a made", "a pause", "a lost Aborted"],
                    _ => &["a made", "a pause", "a resume", "a lost Aborted"],
                };
                assert_eq!(log.take(), expected);
            }
        }
    }
}

both! {
    /// Twisted's `FileDescriptor.connectionLost`, which stops the producer first.
    fn a_loss_under_pressure_tells_no_resume(world) {
        for end in ["reset", "abort", "close"] {
            let much = world.much();
            let (log, mut far) = world.dialled_narrow("a", |a| {
                let all = much.clone();
                a.on_made(move |transport| {
                    transport.write(&all);
                })
            });
            world.until("the pause", |_| log.has("a pause"));
            match end {
                "reset" => far.reset(),
                "abort" => world.only().abort_connection(),
                _ => {
                    world.only().lose_connection();
                    assert_eq!(world.read_to_end(&mut far).1, Ok(()));
                    drop(far);
                }
            }
            world.until("the loss", |_| log.count("a lost") > 0);
            world.quiet();
            let lines = log.take();
            assert_eq!(
                (lines.len(), &lines[..2]),
                (3, &["a made".to_owned(), "a pause".into()][..])
            );
        }
    }
}

/// Nothing but what the documentation of `Protocol` calls an echo server.
struct Echo {
    most: Rc<Cell<usize>>,
}

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
        self.most.set(self.most.get().max(transport.buffered()));
    }
}

both! {
    /// asyncio's flow control, on by default: what Twisted does not have.
    fn a_naive_echo_to_a_stuck_peer_is_bounded(world) {
        let most = Rc::new(Cell::new(0));
        let seen = Rc::clone(&most);
        let addr = world.listen_narrow(move |_| Echo { most: Rc::clone(&seen) });
        let mut far = world.dial(addr);
        let data = pattern(if world.is_real() { 32 << 20 } else { 2 << 20 });
        let (mut sent, mut stuck) = (0, 0);
        while stuck < 20 {
            let count = far.send(&data[sent..]);
            sent += count;
            stuck = if count == 0 { stuck + 1 } else { 0 };
            world.turn();
        }
        assert!(sent < data.len(), "the peer was not held up");
        assert!(most.get() > HIGH && most.get() <= HIGH + READ_BUDGET, "{}", most.get());
        let mut got = Vec::new();
        world.until("every byte", |_| {
            sent += far.send(&data[sent..]);
            got.extend(far.receive(1 << 20).unwrap());
            got.len() == data.len()
        });
        assert!(got == data);
        assert!(most.get() <= HIGH + READ_BUDGET, "{}", most.get());
        far.close_write();
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        world.until("the loss", |world| world.reactor().connections().is_empty());
    }
}

both! {
    /// The reference's own, curio's 106.
    fn a_greedy_sender_gets_one_budget_per_turn(world) {
        let log = Log::new();
        let greedy = Rc::new(Cell::new(0));
        let seen = (log.clone(), Rc::clone(&greedy));
        let mut names = ["greedy", "modest"].into_iter();
        let (_, addr) = world.listen(move |_| {
            let (log, greedy) = seen.clone();
            let name = names.next().unwrap();
            Recorder::new(&log, name).on_data(move |transport, data| {
                if name == "greedy" {
                    greedy.set(greedy.get() + data.len());
                } else {
                    transport.write(data);
                }
            })
        });
        if let World::Simulated(simulation) = world {
            simulation.set_window(1 << 20);
        }
        let mut greedy_far = world.dial(addr);
        world.until("it to be made", |_| log.has("greedy made"));
        let mut modest_far = world.dial(addr);
        world.until("it to be made", |_| log.has("modest made"));
        let flood = pattern(1 << 20);
        for _ in 0..20 {
            assert_eq!(modest_far.send(b"ping"), 4);
            let mut answer = Vec::new();
            let mut turns = 0;
            world.until("the answer", |world| {
                // As much as fits, so that there is always more for the greedy one.
                while greedy_far.send(&flood) > 0 {}
                let before = greedy.get();
                world.turn();
                turns += 1;
                let served = greedy.get() - before;
                assert!(served <= READ_BUDGET, "{served} bytes in one turn");
                answer.extend(modest_far.receive(4).unwrap());
                answer.len() == 4
            });
            assert_eq!(answer, b"ping");
            if !world.is_real() {
                assert!(turns <= 4, "{turns}: the network takes one there and one back");
            }
        }
        assert!(greedy.get() > READ_BUDGET, "the greedy one sent much");
        greedy_far.reset();
        drop(modest_far);
        world.until("both losses", |_| log.count("greedy lost") + log.count("modest lost") == 2);
    }
}

/// One side of a proxy, whose other side takes what it receives.
struct Side {
    log: Log,
    other: Rc<RefCell<VecDeque<ConnectionId>>>,
    most: Rc<Cell<usize>>,
}

impl Side {
    fn with_other(&self, transport: &mut Transport, then: impl FnOnce(&mut Transport)) {
        let me = transport.id();
        let other = self.other.borrow().iter().copied().find(|&id| id != me);
        if let Some(mut other) = other.and_then(|id| transport.reactor().transport(id)) {
            then(&mut other);
        }
    }
}

impl Protocol for Side {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.other.borrow_mut().push_back(transport.id());
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        self.with_other(transport, |other| {
            other.write(data);
            self.most.set(self.most.get().max(other.buffered()));
        });
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        self.log.push("pause");
        self.with_other(transport, |other| other.pause_reading());
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.log.push("resume");
        self.with_other(transport, |other| other.resume_reading());
    }

    fn connection_lost(&mut self, transport: &mut Transport, reason: &crocus::Reason) {
        self.log.push(format!("lost {}", crate::util::tag(reason)));
        self.with_other(transport, |other| other.lose_connection());
    }
}

both! {
    /// Twisted's `test_registerProducers` of the port forwarder.
    fn a_proxy_is_bounded_and_ends_with_either_side(world) {
        let log = Log::new();
        let (other, most) = (Rc::default(), Rc::new(Cell::new(0)));
        let seen = (log.clone(), Rc::clone(&other), Rc::clone(&most));
        let addr = world.listen_narrow(move |_| {
            let (log, other, most) = seen.clone();
            Side { log, other, most }
        });
        let mut source = world.dial(addr);
        world.until("the source", |_| other.borrow().len() == 1);
        let mut sink = world.dial(addr);
        world.until("the sink", |_| other.borrow().len() == 2);
        let data = pattern(if world.is_real() { 16 << 20 } else { 2 << 20 });
        let mut sent = 0;
        world.until("the pressure", |_| {
            sent += source.send(&data[sent..]);
            log.has("pause")
        });
        let mut got = Vec::new();
        world.until("every byte", |_| {
            sent += source.send(&data[sent..]);
            got.extend(sink.receive(100_000).unwrap());
            got.len() == data.len()
        });
        assert!(got == data);
        assert!(most.get() > HIGH && most.get() <= HIGH + READ_BUDGET, "{}", most.get());
        world.quiet();
        let lines = log.take();
        assert!(lines.chunks(2).all(|pair| pair == ["pause", "resume"]), "{lines:?}");
        sink.reset();
        assert_eq!(world.read_to_end(&mut source), (vec![], Ok(())));
        drop(source);
        world.until("both losses", |_| log.len() == 2);
        assert_eq!(log.take(), ["lost Failed(ConnectionReset)", "lost Closed"]);
    }
}

both! {
    /// crocus's own: pressure and the user pause reading each for themselves.
    fn the_end_of_pressure_keeps_a_pause_the_protocol_made(world) {
        struct Paused(Log);
        impl Protocol for Paused {
            fn connection_made(&mut self, transport: &mut Transport) {
                transport.pause_reading();
                transport.write(&[7; 200_000]); // above the mark: the defaults pause and resume
                self.0.push("made");
            }
            fn data_received(&mut self, _: &mut Transport, _: &[u8]) {
                self.0.push("data");
            }
        }
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| Paused(seen.clone()));
        let mut far = world.dial(addr);
        world.send(&mut far, b"x");
        assert_eq!(world.read(&mut far, 200_000).len(), 200_000);
        world.quiet();
        assert_eq!(log.lines(), ["made"]);
        assert!(!world.only().is_reading());
        world.only().resume_reading();
        world.until("the data", |_| log.has("data"));
    }
}

/// crocus's own: a listener under a storm accepts its budget and lets the others have their turn.
#[test]
fn a_storm_of_connections_delays_others_by_one_budget() {
    const BUDGET: usize = 4;
    let mut simulation = Simulation::with_limits(Reactor::builder().accept_budget(BUDGET), 0);
    let log = Log::new();
    let seen = log.clone();
    let listener =
        simulation.reactor().listen("127.0.0.1:80", move |_| Recorder::new(&seen, "s")).unwrap();
    let mut peer = simulation.connect(Recorder::new(&log, "p").echoing());
    simulation.settle();
    let _storm: Vec<_> = (0..400).map(|_| simulation.dial("127.0.0.1:80")).collect();
    let mut turns = 0;
    while simulation.reactor().connection_count(listener) < Some(400) {
        let before = log.count("s made");
        peer.send(b"x");
        simulation.turn();
        assert!(log.count("s made") - before <= BUDGET);
        simulation.turn(); // brings the answer
        assert_eq!(peer.received(), b"x", "in turn {turns} of the storm");
        turns += 1;
    }
    assert!(turns >= 400 / BUDGET / 2);
}

/// Back pressure does not reach senders that are not read by the same protocol.
#[test]
fn a_reader_keeps_up_with_many_that_write_to_it() {
    const SENDERS: usize = 8;
    const PORTION: usize = 1000; // read per turn from each, and the budget of writing
    let limits = Reactor::builder().read_buffer(PORTION).read_budget(PORTION).write_budget(PORTION);
    let mut simulation = Simulation::with_limits(limits, 0);
    simulation.set_window(1 << 20);
    let mut reader = simulation.connect(crate::util::Echo);
    simulation.settle();
    let to = simulation.reactor().connections()[0];
    let most = Rc::new(Cell::new(0));
    let mut senders: Vec<_> =
        (0..SENDERS).map(|_| simulation.connect(PassOn { to, most: Rc::clone(&most) })).collect();
    simulation.settle();
    let mut got = 0;
    for _ in 0..300 {
        for sender in &mut senders {
            assert_eq!(sender.send(&[7; PORTION]), PORTION);
        }
        simulation.turn();
        got += reader.received().len();
    }
    simulation.settle();
    got += reader.received().len();
    assert_eq!(got, SENDERS * PORTION * 300);
    assert!(most.get() <= 4 * SENDERS * PORTION, "{} bytes waited", most.get());
}

/// A call takes a bounded number of pieces, and a turn takes many calls.
#[test]
fn a_reader_keeps_up_with_many_small_shared_pieces() {
    const PIECES: usize = 256; // a turn
    let piece = Bytes::from(vec![7; 1500]);
    let limits = Reactor::builder().write_budget(PIECES * piece.len());
    let mut simulation = Simulation::with_limits(limits, 0);
    simulation.set_window(1 << 20);
    let mut reader = simulation.connect(crate::util::Echo);
    simulation.settle();
    let to = simulation.reactor().connections()[0];
    let mut got = 0;
    for _ in 0..100 {
        let mut transport = simulation.reactor().transport(to).unwrap();
        for _ in 0..PIECES {
            assert!(transport.write_owned(piece.clone()));
        }
        simulation.turn();
        let waiting = simulation.reactor().transport(to).unwrap().buffered();
        assert_eq!(waiting, 0, "all leaves in the turn");
        got += reader.received().len();
    }
    simulation.settle();
    got += reader.received().len();
    assert_eq!(got, PIECES * piece.len() * 100);
}

/// Passes what it receives on to another connection, and notes how much waited there at most.
struct PassOn {
    to: ConnectionId,
    most: Rc<Cell<usize>>,
}

impl Protocol for PassOn {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        let mut other = transport.reactor().transport(self.to).unwrap();
        other.write(data);
        self.most.set(self.most.get().max(other.buffered()));
    }
}
