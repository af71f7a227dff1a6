//! One connection, several protocols after each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crocus::framing::{FrameHandler, Framed, Lines};
use crocus::testing::{Cut, End, Simulation};
use crocus::{Protocol, Reactor, Transport};

use crate::util::{Echo, HOUR, Log, MS, Recorder, RecordingClient, World, logged, pattern};

/// A protocol that can be handed out once, from a closure that may be called more often.
fn once<P>(protocol: P) -> impl FnMut() -> P {
    let mut held = Some(protocol);
    move || held.take().unwrap()
}

/// A recorder that hands over to `next`, with all the bytes of its first call.
fn until_data(recorder: Recorder, next: impl Protocol + 'static) -> Recorder {
    let (seen, mut next) = (recorder.log(), once(next));
    recorder.with_data().on_data(move |transport, data| {
        assert!(seen.hand_over(transport, next(), data));
        seen.push("asked");
    })
}

both! {
    /// Twisted's #3204, asyncio's `set_protocol`.
    fn the_next_protocol_begins_with_the_unused_bytes(world) {
        let (log, mut far) = world.dialled("a", |a| {
            let seen = a.log();
            let b = Recorder::new(&seen, "b").with_data();
            let mut next = once(b);
            a.with_data().on_data(move |transport, data| {
                assert!(seen.hand_over(transport, next(), &data[4..]));
                seen.push("asked");
            })
        });
        far.send(b"headbody ");
        world.until("the new protocol's data", |_| log.has("b data body "));
        far.send(b"and more");
        world.until("more", |_| log.has("b data body and more"));
        drop(far);
        world.until("the loss", |_| log.has("b lost PeerClosed"));
        world.quiet();
        assert_eq!(
            log.take(),
            [
                "a made",
                "a data headbody ",
                "asked",
                "a replaced",
                "b made",
                "b data body and more",
                "b eof",
                "b lost PeerClosed",
            ]
        );
    }
}

both! {
    fn a_swap_from_outside_is_done_in_the_next_turn(world) {
        let (log, mut far) = world.served("a", |a| a.with_data());
        let next = Recorder::new(&log, "b").with_data();
        assert!(log.hand_over(&mut world.only(), next, b"given "));
        assert_eq!(log.lines(), ["a made"], "not from inside the command");
        world.turn();
        assert_eq!(log.take(), ["a made", "a replaced", "b made", "b data given "]);
        far.send(b"sent");
        world.until("the data", |_| log.count("b data") > 0);
        assert_eq!(log.take(), ["b data sent"]);
        drop(far);
        world.until("the loss", |_| log.has("b lost PeerClosed"));
    }
}

both! {
    fn of_two_successors_only_the_first_takes_over(world) {
        let dropped = Rc::new(());
        let held = Rc::clone(&dropped);
        let (log, mut far) = world.dialled("a", |a| {
            let seen = a.log();
            let b = Recorder::new(&seen, "b").with_data();
            let mut next = once(b);
            a.on_data(move |transport, data| {
                assert!(seen.hand_over(transport, next(), data));
                let held = held.clone();
                let c = Recorder::new(&seen, "c").on_made(move |_| drop(held.clone()));
                assert!(!seen.hand_over(transport, c, data));
            })
        });
        far.send(b"once");
        world.until("the data", |_| log.count("b data") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a replaced", "b made", "b data once"]);
        drop(far);
        world.until("the loss", |_| log.has("b lost PeerClosed"));
        drop(dropped);
    }
}

both! {
    /// In each callback but the last, the next protocol takes over.
    fn every_callback_may_hand_over(world) {
        let log = Log::new();
        let [h, g, f, e, d, c, b, a] = ["h", "g", "f", "e", "d", "c", "b", "a"]
            .map(|name| Recorder::new(&log, name).with_data());
        let next = |protocol: Recorder, bytes: &'static [u8]| {
            let (log, mut protocol) = (log.clone(), once(protocol));
            move |transport: &mut Transport| {
                assert!(log.hand_over(transport, protocol(), bytes));
            }
        };
        let h = h.on_lost(|transport, _| {
            assert!(!transport.set_protocol(Recorder::new(&Log::new(), "never")));
        });
        let g = g.on_eof(next(h, b"seven"));
        // More than the high mark, which all the same is sent at once: paused, and resumed.
        let press = |transport: &mut Transport| {
 transport.write(&[7; 11]);
 };
        let f = f.on_made(press).on_pause(|_| {}).on_resume(next(g, b"six"));
        let e = e
            .on_made(move |transport| {
                transport.set_write_buffer_limits(10, 5);
                press(transport);
            })
            .on_pause(next(f, b"five"));
        let d = d
            .on_made(|transport| {
 transport.set_timeout(Some(MS));
 })
            .on_timed_out(next(e, b"four"));
        let mut fired = next(d, b"three");
        let c = c
            .on_made(|transport| {
 transport.call_later(MS);
 })
            .on_timer(move |transport, _| fired(transport));
        let mut given = next(c, b"two");
        let b = b.on_data(move |transport, _| given(transport));
        let a = a.on_made(next(b, b"one"));
        let mut a = once(a);
        let (_, addr) = world.listen(move |_| a());
        let mut far = world.dial(addr);
        world.until("the sixth", |_| log.has("g data six"));
        far.close_write();
        world.until("the last", |_| log.has("h lost PeerClosed"));
        let lines = log.take();
        let order = |name: &str| {
            let mine: Vec<_> = lines.iter().filter(|line| line.starts_with(name)).collect();
            let mine: Vec<&str> = mine.iter().map(|line| &line[2..]).collect();
            mine.join(", ")
        };
        assert_eq!(order("a"), "made, replaced");
        assert_eq!(order("b"), "made, data one, replaced");
        assert_eq!(order("c"), "made, data two, timer, replaced");
        assert_eq!(order("d"), "made, data three, timed out, replaced");
        assert_eq!(order("e"), "made, data four, pause, replaced");
        assert_eq!(order("f"), "made, data five, pause, resume, replaced");
        assert_eq!(order("g"), "made, data six, eof, replaced");
        assert_eq!(order("h"), "made, data seven, eof, lost PeerClosed");
    }
}

both! {
    fn unused_bytes_and_the_end_wait_while_reading_pauses(world) {
        let (log, mut far) = world.served("a", |a| {
            let seen = a.log();
            let b = Recorder::new(&seen, "b").with_data().on_data(|transport, _| {
                transport.pause_reading();
            });
            let (mut next, mut all) = (once(b), Vec::new());
            a.on_data(move |_, data| all.extend_from_slice(data)).on_eof(move |transport| {
                transport.pause_reading();
                assert!(seen.hand_over(transport, next(), b"unused"));
            })
        });
        far.send(b"unused");
        far.close_write();
        world.until("the new one", |_| log.has("b made"));
        world.quiet();
        assert_eq!(log.take(), ["a made", "a eof", "a replaced", "b made"]);
        world.only().resume_reading();
        assert_eq!(log.len(), 0);
        world.quiet();
        assert_eq!(log.take(), ["b data unused"], "it paused again");
        world.only().resume_reading();
        world.until("the loss", |_| log.has("b lost PeerClosed"));
        assert_eq!(log.take(), ["b eof", "b lost PeerClosed"]);
    }
}

both! {
    fn a_successor_that_closes_gets_no_bytes(world) {
        let (log, mut far) = world.dialled("a", |a| {
            let b = Recorder::new(&a.log(), "b").with_data().on_made(|transport| {
                transport.write(b"bye");
                transport.lose_connection();
            });
            until_data(a, b)
        });
        far.send(b"never used");
        assert_eq!(world.read_to_end(&mut far), (b"bye".to_vec(), Ok(())));
        drop(far);
        world.until("the loss", |_| log.has("b lost Closed"));
        assert_eq!(
            log.take(),
            ["a made", "a data never used", "asked", "a replaced", "b made", "b lost Closed"]
        );
    }
}

both! {
    /// Once it is closing the answer is `false` and nothing changes. Closing after asking keeps the protocol.
    fn a_connection_that_ends_first_stays_with_its_protocol(world) {
        for after in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            let untold = Rc::new(());
            let held = Rc::clone(&untold);
            let (listener, addr) = world.listen(move |_| {
                let held = held.clone();
                let b = Recorder::new(&Log::new(), "b").on_made(move |_| drop(held.clone()));
                let mut next = once(b);
                Recorder::new(&seen, "a").on_data(move |transport, _| {
                    if after {
                        assert!(transport.set_protocol(next()));
                        transport.abort_connection();
                        assert!(!transport.set_protocol(Plain));
                    } else {
                        transport.lose_connection();
                        assert!(!transport.set_protocol(next()));
                    }
                })
            });
            let mut far = world.dial(addr);
            far.send(b"hello");
            drop(world.read_to_end(&mut far));
            drop(far);
            world.until("the loss", |_| log.count("a lost") > 0);
            let end = if after { "a lost Aborted" } else { "a lost Closed" };
            assert_eq!(log.take(), ["a made", end]);
            world.reactor().stop_listening(listener);
            world.quiet();
            assert_eq!(Rc::strong_count(&untold), 1, "it was let go");
        }
    }
}

struct Plain;
impl Protocol for Plain {}

both! {
    fn a_swap_ends_timers_and_keeps_the_timeout(world) {
        let timers = Rc::new(RefCell::new(Vec::new()));
        let set = Rc::clone(&timers);
        let (log, mut far) = world.dialled("a", |a| {
            let seen = a.log();
            let b = Recorder::new(&seen, "b").on_made(|transport| {
                let half_a_minute = Some(Duration::from_secs(30));
                assert_eq!(transport.set_timeout(None), half_a_minute);
                transport.call_later(20 * MS);
            });
            let (mut next, set) = (once(b), Rc::clone(&set));
            a.on_made(|transport| {
                transport.set_timeout(Some(Duration::from_secs(30)));
            })
            .on_data(move |transport, _| {
                set.borrow_mut().push(transport.call_later(10 * MS));
                assert!(seen.hand_over(transport, next(), b""));
                set.borrow_mut().push(transport.call_later(Duration::ZERO));
            })
        });
        far.send(b"now");
        world.until("the timer", |_| log.has("b timer"));
        world.quiet();
        assert_eq!(log.take(), ["a made", "a replaced", "b made", "b timer"]);
        for &timer in &*timers.borrow() {
            assert!(!world.reactor().cancel_timer(timer));
        }
        drop(far);
        world.until("the loss", |_| log.has("b lost PeerClosed"));
    }
}

both! {
    /// Two timers of one moment: the first hands over, the second is not told to anybody.
    fn a_timer_due_at_the_swap_is_not_told(world) {
        let (log, _far) = world.dialled("a", |a| {
            let seen = a.log();
            let mut next = once(Recorder::new(&seen, "b"));
            a.on_made(|transport| {
                transport.call_later(MS);
                transport.call_later(MS);
                transport.set_timeout(Some(MS));
            })
            .on_timer(move |transport, _| {
                assert!(seen.hand_over(transport, next(), b""));
            })
        });
        world.until("the loss", |_| log.has("b lost TimedOut"));
        assert_eq!(
            log.take(),
            ["a made", "a timer", "a replaced", "b made", "b timed out", "b lost TimedOut"]
        );
    }
}

both! {
    /// The former one was paused by the default, and reading with it.
    fn a_successor_under_pressure_is_told_so(world) {
        let log = Log::new();
        let seen = log.clone();
        let addr = world.listen_narrow(move |_| Paused(seen.clone()));
        let mut far = world.dial(addr);
        world.until("the connection", |world| world.reactor().connections().len() == 1);
        let much = world.much();
        world.only().write(&much);
        world.until("the pause", |_| log.has("paused"));
        assert!(!world.only().is_reading());
        let next = Recorder::new(&log, "b").with_data();
        assert!(log.hand_over(&mut world.only(), next, b"unused"));
        world.until("the pause of b", |_| log.has("b pause"));
        assert_eq!(log.take(), ["paused", "b made", "b data unused", "b pause"]);
        assert!(world.read(&mut far, much.len()) == much);
        world.until("the relief", |_| log.has("b resume"));
        assert!(world.only().is_reading());
        drop(far);
        world.until("the loss", |_| log.has("b lost PeerClosed"));
    }
}

struct Paused(Log);

impl Protocol for Paused {
    fn pause_writing(&mut self, transport: &mut Transport) {
        self.0.push("paused");
        Plain.pause_writing(transport);
    }
}

both! {
    /// Each exchange waits for its turn, so that a circle of exchanges holds nobody up.
    fn protocols_that_hand_over_in_a_circle_starve_nobody(world) {
        struct Circle(Rc<Cell<usize>>);

        impl Protocol for Circle {
            fn connection_made(&mut self, transport: &mut Transport) {
                self.0.set(self.0.get() + 1);
                assert!(transport.set_protocol(Self(Rc::clone(&self.0))));
            }
        }

        let log = Log::new();
        let seen = log.clone();
        let rounds = Rc::new(Cell::new(0));
        let counted = Rc::clone(&rounds);
        let (_, around) = world.listen(move |_| Circle(Rc::clone(&counted)));
        let (_, addr) = world.listen(move |_| Recorder::new(&seen, "a").with_data());
        let _circling = world.dial(around);
        world.until("the circle", |_| rounds.get() > 2);
        let before = rounds.get();
        world.turn();
        let one_turn = rounds.get() - before;
        assert!((1..=5).contains(&one_turn), "{one_turn} exchanges in one turn");
        let mut far = world.dial(addr);
        far.send(b"hello");
        world.until("the other", |_| log.has("a data hello"));
        drop(far);
        world.until("the loss", |_| log.has("a lost PeerClosed"));
    }
}

both! {
    /// A header, a chain of inner protocols, each taking one byte, and passing on the rest.
    fn new_bytes_follow_those_passed_on(world) {
        struct Peel(Log, u8);

        impl Protocol for Peel {
            fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
                self.0.push(format!("{} of {}", char::from(data[0]), data.len()));
                let next = Self(self.0.clone(), self.1 + 1);
                assert!(transport.unread(&data[1..]));
                assert!(transport.set_protocol(next));
                transport.write(&data[..1]);
            }
        }

        let limits = Reactor::builder().read_buffer(4).read_budget(12);
        let world = &mut world.with_limits(limits);
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| Peel(seen.clone(), 0));
        let mut far = world.dial(addr);
        world.until("the connection", |world| world.reactor().connections().len() == 1);
        far.send(b"abcdefghijklmnopqrstuvwxyz");
        assert_eq!(world.read(&mut far, 26), b"abcdefghijklmnopqrstuvwxyz");
    }
}

/// More than one budget is handed over: it comes in portions, in order, and before what is newer.
#[test]
fn unused_bytes_are_given_within_the_budget() {
    let limits = Reactor::builder().read_buffer(10).read_budget(30);
    let mut simulation = Simulation::with_limits(limits, 0);
    let log = Log::new();
    let portions = Rc::new(RefCell::new(Vec::new()));
    let taken = Rc::clone(&portions);
    let all = Rc::new(RefCell::new(Vec::new()));
    let gathered = Rc::clone(&all);
    let b = Recorder::new(&log, "b").on_data(move |transport, data| {
        taken.borrow_mut().push((transport.reactor().stats().turns, data.len()));
        gathered.borrow_mut().extend_from_slice(data);
    });
    let mut far = simulation.connect(Recorder::new(&log, "a"));
    simulation.settle();
    far.send(b"newer");
    let id = simulation.reactor().connections()[0];
    let unused = pattern(100);
    let mut transport = simulation.reactor().transport(id).unwrap();
    assert!(log.hand_over(&mut transport, b, &unused));
    simulation.settle();
    let portions = portions.borrow();
    assert_eq!(portions.iter().map(|(_, bytes)| bytes).sum::<usize>(), 105);
    for (turn, _) in portions.iter() {
        let of_turn = portions.iter().filter(|(other, _)| other == turn);
        assert!(of_turn.map(|(_, bytes)| bytes).sum::<usize>() <= 30, "{portions:?}");
    }
    assert_eq!(*all.borrow(), [unused, b"newer".to_vec()].concat());
    drop(far);
    simulation.settle();
}

both! {
    /// The owner of a client's connection hears of its end, whatever its protocol was by then.
    fn the_owner_hears_the_end_after_a_swap(world) {
        let log = Log::new();
        let mut listener = world.listen_outside();
        let seen = log.clone();
        let factory = RecordingClient::new(&log, "owner", move |_| {
            Some(Box::new(until_data(Recorder::new(&seen, "a"), Recorder::new(&seen, "b").with_data())))
        });
        world.reactor().connect(listener.addr(), factory);
        let mut far = world.accept(&mut listener);
        far.send(b"hello");
        world.until("the data", |_| log.has("b data hello"));
        drop(far);
        world.until("the owner", |_| log.has("owner owner lost PeerClosed"));
        let lines = log.take();
        assert_eq!(lines[lines.len() - 2..], ["b lost PeerClosed", "owner owner lost PeerClosed"]);
    }
}

/// Both are shut, but the new protocol was not given everything: then it does not end yet.
#[test]
fn shut_on_both_sides_it_lives_until_everything_is_told() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let b = Recorder::new(&log, "b").with_data().on_made(|transport| {
        transport.lose_write_connection();
    });
    let (asking, mut next) = (log.clone(), once(b.on_eof(|_| {})));
    let a = Recorder::new(&log, "a").on_eof(move |transport| {
        transport.pause_reading();
        assert!(asking.hand_over(transport, next(), b"unused"));
    });
    let mut far = simulation.connect(a);
    far.close_write();
    simulation.settle();
    assert_eq!(log.take(), ["a made", "a eof", "a replaced", "b made"]);
    let id = simulation.reactor().connections()[0];
    simulation.reactor().transport(id).unwrap().resume_reading();
    simulation.settle();
    assert_eq!(log.take(), ["b data unused", "b eof", "b lost PeerClosed"]);
}

/// Sending fails while bytes are handed over: they, and the end, are told before the loss.
#[test]
fn unused_bytes_are_given_although_sending_failed() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut far = simulation.connect(until_data(
        Recorder::new(&log, "a"),
        Recorder::new(&log, "b").with_data().on_eof(|transport| {
            transport.write(b"late");
        }),
    ));
    simulation.settle();
    far.send(b"last words");
    drop(far);
    simulation.turn();
    simulation.settle();
    let lines = log.take();
    assert_eq!(
        lines[..6],
        ["a made", "a data last words", "asked", "a replaced", "b made", "b data last words",]
    );
    assert_eq!(log.count("b lost") + lines.iter().filter(|l| l.starts_with("b lost")).count(), 1);
}

/// A panic ends the connection, whoever it is of; of a drop, it is only logged.
#[test]
fn a_panic_of_either_protocol_ends_as_always() {
    struct Fragile;

    impl Protocol for Fragile {
        fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
            assert!(transport.set_protocol(Plain));
        }
    }

    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("dropped on purpose");
        }
    }

    let world = &mut World::real();
    let log = Log::new();
    logged();
    let seen = log.clone();
    let (_, addr) = world.listen(move |_| {
        let b = Recorder::new(&seen, "b").on_made(|_| panic!("made on purpose"));
        until_data(Recorder::new(&seen, "a"), b)
    });
    let mut far = world.dial(addr);
    far.send(b"hello");
    world.until("the loss", |_| log.has("b lost Panicked(connection_made)"));
    let seen = log.clone();
    let (_, addr) = world.listen(move |_| {
        let asking = seen.clone();
        Recorder::new(&seen, "c").on_data(move |transport, _| {
            assert!(transport.set_protocol(Recorder::new(&asking, "d")));
            panic!("after asking, on purpose");
        })
    });
    let mut far = world.dial(addr);
    far.send(b"hello");
    world.until("the loss", |_| log.has("c lost Panicked(data_received)"));
    assert_eq!(log.count("d"), 0);
    let (_, addr) = world.listen(|_| Fragile);
    let mut far = world.dial(addr);
    far.send(b"hello");
    let mut said = Vec::new();
    world.until("the log", |_| {
        said.extend(logged());
        said.iter().any(|line| line.contains("dropped on purpose"))
    });
    assert_eq!(world.reactor().connections().len(), 1, "it goes on, with the next protocol");
}

both! {
    /// The stop is told to the former protocol, and not to the next one.
    fn a_stop_before_the_swap_tells_the_former_protocol(world) {
        let (log, _far) = world.served("a", |a| a);
        assert!(log.hand_over(&mut world.only(), Plain, b""));
        world.only().abort_connection();
        world.reactor().stop();
        world.turn();
        assert_eq!(log.take(), ["a made", "a lost Aborted"]);
    }
}

both! {
    /// Before or after the command: what is put back last is delivered first, and all of it to the next.
    fn bytes_put_back_go_to_the_next_protocol(world) {
        let (log, mut far) = world.dialled("a", |a| {
            let seen = a.log();
            let b = Recorder::new(&seen, "b").with_data().on_made(|transport| {
                transport.resume_reading();
            });
            let mut next = once(b);
            a.with_data().on_data(move |transport, data| {
                assert!(transport.unread(&data[2..]));
                transport.pause_reading();
                assert!(seen.hand_over(transport, next(), &data[1..2]));
            })
        });
        far.send(b"abc");
        world.until("the unused bytes", |_| log.has("b data bc"));
        far.send(b"more");
        world.until("what came later", |_| log.has("b data bcmore"));
        drop(far);
        world.until("the loss", |_| log.has("b lost PeerClosed"));
        assert_eq!(log.count("a data"), 1);
    }
}

/// Reads a line, and leaves what follows to an echo.
struct Header;

impl Protocol for Header {}

impl FrameHandler<Lines> for Header {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        assert_eq!(line, b"upgrade");
        transport.write(b"ok ");
        assert!(transport.set_protocol(Echo));
    }
}

#[test]
fn after_a_line_the_next_protocol_gets_the_rest() {
    for cut in 1..=9 {
        let mut simulation = Simulation::new();
        simulation.set_cut(Cut::Every(cut));
        let mut peer = simulation.connect(Framed::new(Lines::new(), Header));
        peer.send(b"upgrade\r\nnot a line, and \xff\n another");
        peer.close_write();
        simulation.settle();
        assert_eq!(peer.received(), b"ok not a line, and \xff\n another", "cut at {cut}");
        assert_eq!(peer.end(), Some(End::Closed), "cut at {cut}");
    }
}

both! {
    /// With bytes put back or without: it waits for the peer's FIN, and not for a time to be up.
    fn a_close_after_a_hand_over_ends_with_the_peer(world) {
        for (puts_back, hands_over) in [(false, true), (true, true), (true, false)] {
            let limits = Reactor::builder().linger(HOUR).close_timeout(HOUR);
            let world = &mut world.with_limits(limits);
            let (log, mut far) = world.served("a", |a| a.on_data(move |transport, data| {
                if puts_back {
                    transport.unread(data);
                }
                if hands_over {
                    transport.set_protocol(Recorder::new(&Log::new(), "b"));
                }
                transport.write(b"bye");
                transport.lose_connection();
            }));
            far.send(b"enough");
            assert_eq!(world.read(&mut far, 3), b"bye");
            world.quiet();
            assert_eq!(log.count("a lost"), 0, "it lingers");
            far.close_write();
            world.until("the loss", |_| log.has("a lost Closed"));
        }
    }
}
