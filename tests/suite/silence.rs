//! Time and silence: what has come counts, a delay counts from when it is asked for, and who takes bytes
//! steadily gets all of them. Budgets and growth at the end.
//!
//! A callback that sleeps stands for work that takes long. Nothing is synchronised by it: what must count
//! has come before it returns.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crocus::testing::Simulation;
use crocus::{
    Connect, DatagramProtocol, DatagramTransport, LogObserver, Protocol, Reactor, Reason, TimerId,
    Transport,
};
use socket2::{Domain, Socket, Type};

use crate::util::{Far, HOUR, Log, MS, Recorder, RecordingClient, SECOND, World, pattern};

const LIMIT: Duration = Duration::from_millis(30);

/// Where a peer has to act in time: longer than a busy machine takes for some turns.
const LONG: Duration = Duration::from_millis(400);

/// Works for twice the limit; then something happens before it returns.
fn work(reactor: &mut Reactor, then: impl FnOnce() + 'static) {
    reactor.call_soon(move |_| {
        thread::sleep(2 * LIMIT);
        then();
    });
}

fn real_far(far: Far) -> TcpStream {
    match far {
        Far::Real(stream) => stream,
        Far::Simulated(_) => panic!("not in a simulation"),
    }
}

/// A connection of a reactor whose peer is a socket with a buffer as small as Linux makes it.
fn narrow_client(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

// Bytes that have come count.

#[test]
fn bytes_that_came_while_a_callback_worked_are_no_silence() {
    let mut world = World::real();
    let (log, far) = world.served("a", |a| {
        a.with_data().on_made(|transport| {
            transport.set_timeout(Some(LIMIT));
        })
    });
    let mut far = real_far(far);
    work(world.reactor(), move || far.write_all(b"here").unwrap());
    world.until("the end", |_| log.count("a lost") > 0);
    assert_eq!(log.lines()[..2], ["a made", "a data here"]);
}

/// A connection that is not read by its own wish is judged by what has come, too.
#[test]
fn bytes_that_are_not_read_are_no_silence() {
    let mut world = World::simulated();
    let (log, mut far) = world.served("a", |a| {
        a.on_made(|transport| {
            transport.set_timeout(Some(SECOND));
            transport.pause_reading();
        })
    });
    for _ in 0..5 {
        world.pass(900 * MS);
        far.send(b"x");
    }
    world.pass(999 * MS);
    assert_eq!(log.lines(), ["a made"]);
    world.pass(MS);
    assert_eq!(log.lines()[1], "a timed out");
}

/// One poll tells of a thousand events, and not of those behind them.
#[test]
fn bytes_that_no_poll_has_told_of_are_no_silence() {
    const MANY: usize = 1_100;
    rlimit::increase_nofile_limit(4 * MANY as u64).unwrap();
    let mut world = World::real();
    let timed_out = Rc::new(Cell::new(0));
    struct Held(Rc<Cell<usize>>);
    impl Protocol for Held {
        fn connection_made(&mut self, transport: &mut Transport) {
            transport.pause_reading();
        }
        fn timed_out(&mut self, _: &mut Transport) {
            self.0.set(self.0.get() + 1);
        }
    }
    let seen = Rc::clone(&timed_out);
    let addr = world.listen(move |_| Held(Rc::clone(&seen))).1;
    let mut fars = Vec::new();
    for _ in 0..MANY {
        fars.push(TcpStream::connect(addr).unwrap());
        world.turn();
    }
    world.until("all of them", |world| world.reactor().stats().accepted == MANY as u64);
    world.quiet();
    world.reactor().call_soon(move |reactor| {
        for id in reactor.connections() {
            reactor.transport(id).unwrap().set_timeout(Some(LIMIT));
        }
        thread::sleep(2 * LIMIT);
        fars.iter_mut().for_each(|far| far.write_all(b"here").unwrap());
        reactor.call_later(HOUR, move |_| drop(fars));
    });
    for _ in 0..2 {
        world.reactor().turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(timed_out.get(), 0);
}

/// The time at which an answer is written is that after the work for it.
#[test]
fn the_work_for_an_answer_is_not_the_silence_of_the_peer() {
    let mut world = World::real();
    let (log, mut far) = world.served("a", |a| {
        a.on_made(|transport| {
            transport.set_timeout(Some(LIMIT));
        })
        .on_data(|transport, _| {
            thread::sleep(2 * LIMIT);
            transport.write(b"answer");
        })
    });
    far.send(b"question");
    let answered = Rc::new(Cell::new(None));
    world.until("the answer", |_| !far.receive(6).unwrap().is_empty());
    answered.set(Some(Instant::now()));
    world.until("the timeout", |_| log.has("a timed out"));
    // Read a moment later than it was sent.
    assert!(answered.get().unwrap().elapsed() + 5 * MS >= LIMIT, "{:?}", answered.get());
}

/// So is that of bytes which a call has written.
#[test]
fn bytes_that_a_call_wrote_count_from_when_they_leave() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let _peer = simulation.connect(Recorder::new(&log, "a").on_made(|transport| {
        transport.set_timeout(Some(SECOND));
    }));
    simulation.settle();
    let (id, clock) = (simulation.reactor().connections()[0], simulation.clock());
    let begun = clock.now();
    simulation.reactor().call_soon(move |reactor| {
        clock.advance(MS * 500);
        reactor.transport(id).unwrap().write(b"news");
    });
    simulation.turn();
    let idle_since = simulation.reactor().transport(id).unwrap().idle_since();
    assert_eq!(idle_since, begun + MS * 500);
}

/// An observer has each callback timed in another way.
#[test]
fn an_answer_counts_from_the_end_of_the_work_for_it() {
    for watched in [false, true] {
        let mut simulation = Simulation::new();
        if watched {
            simulation.reactor().set_observer(Some(Box::new(None::<LogObserver>)));
        }
        let (log, clock) = (Log::new(), simulation.clock());
        let mut peer = simulation.connect(
            Recorder::new(&log, "a")
                .on_made(|transport| {
                    transport.set_timeout(Some(SECOND * 10));
                })
                .on_data(move |transport, _| {
                    clock.advance(SECOND * 4);
                    transport.write(b"done");
                }),
        );
        peer.send(b"do it");
        simulation.settle();
        assert_eq!(peer.received(), b"done");
        simulation.advance(SECOND * 9);
        assert!(!log.has("a timed out"), "watched: {watched}");
        simulation.advance(SECOND);
        assert!(log.has("a timed out"), "watched: {watched}");
    }
}

/// Takes what has come, up to what Linux acknowledges at a time on the loopback interface, and waits for
/// longer than it delays an acknowledgement.
fn take_a_step(far: &mut Far) {
    let mut got = 0;
    for _ in 0..8 {
        got += far.receive(128 * 1024 - got).unwrap().len();
    }
    thread::sleep(LONG + LIMIT);
}

/// Linux tells of room only when a third of the send buffer is free. So it is asked, when time is up.
#[test]
fn a_peer_that_takes_a_little_at_a_time_is_not_silent() {
    let mut world = World::real();
    let much = world.much();
    let (log, mut far) = world.served_narrow("a", |a| {
        a.on_pause(|_| {}).on_made(move |transport| {
            transport.write(&much);
            transport.set_timeout(Some(LONG));
        })
    });
    world.quiet();
    let mut left = world.only().buffered();
    assert!(left > 4 << 20, "the kernel is full");
    for _ in 0..3 {
        take_a_step(&mut far); // and the timeout is due in the next turn
        world.turn();
        assert_eq!(log.lines(), ["a made", "a pause"]);
        let now = world.only().buffered();
        assert!(now < left, "it took some");
        left = now;
    }
    world.until("the silence", |_| log.has("a timed out"));
}

/// The same for the close timeout, which counts from the last progress.
#[test]
fn a_close_waits_for_a_peer_that_takes_a_little_at_a_time() {
    let mut world = World::real().with_limits(Reactor::builder().close_timeout(LONG));
    let much = world.much();
    let (log, mut far) = world.served_narrow("a", |a| {
        a.on_made(move |transport| {
            transport.write(&much);
            transport.lose_connection();
        })
    });
    world.quiet();
    for _ in 0..3 {
        take_a_step(&mut far);
        world.turn();
        assert_eq!(log.lines(), ["a made"]);
    }
    world.until("the end", |_| log.has("a lost CloseTimedOut"));
}

#[test]
fn a_connection_that_stood_up_while_a_callback_worked_is_made() {
    let mut world = World::real();
    let mut outside = world.listen_outside();
    let log = Log::new();
    let seen = log.clone();
    let client = RecordingClient::new(&log, "c", move |_| {
        Some(Box::new(Recorder::new(&seen, "c")) as Box<dyn Protocol>)
    });
    world.reactor().connect(Connect::to(outside.addr()).timeout(LIMIT), client);
    work(world.reactor(), || {}); // in the turn in which the attempt begins
    world.until("an outcome", |_| log.len() > 0);
    assert_eq!(log.lines(), ["c made"]);
    drop(outside.accept());
}

#[test]
fn a_connection_reset_while_a_callback_worked_has_not_timed_out() {
    let mut world = World::real();
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = Log::new();
    let client = RecordingClient::new(&log, "c", |_| None);
    let place = Connect::to(outside.local_addr().unwrap()).timeout(LIMIT);
    world.reactor().connect(place, client);
    work(world.reactor(), move || {
        let (far, _) = outside.accept().unwrap();
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
    });
    world.until("an outcome", |_| log.len() > 0);
    assert_eq!(log.lines(), ["c failed Failed(ConnectionReset)"]);
}

// A delay counts from when it is asked for.

#[test]
fn no_delay_is_shorter_for_the_work_before_it_was_asked_for() {
    struct Asks(Rc<RefCell<Vec<(&'static str, Duration)>>>, Option<Instant>, Option<TimerId>);
    impl Protocol for Asks {
        fn connection_made(&mut self, transport: &mut Transport) {
            self.2 = Some(transport.call_later(HOUR));
            thread::sleep(2 * LIMIT);
            let (fired, asked) = (Rc::clone(&self.0), Instant::now());
            let reactor = transport.reactor();
            reactor.call_later(LIMIT, move |_| fired.borrow_mut().push(("later", asked.elapsed())));
            let fired = Rc::clone(&self.0);
            reactor.call_every(LIMIT, move |reactor, tick| {
                fired.borrow_mut().push(("every", asked.elapsed()));
                reactor.cancel_timer(tick.timer);
            });
            self.1 = Some(asked);
            transport.reactor().reset_timer(self.2.unwrap(), LIMIT);
            transport.set_timeout(Some(LIMIT));
        }

        fn timer_fired(&mut self, _: &mut Transport, _: TimerId) {
            self.0.borrow_mut().push(("reset", self.1.unwrap().elapsed()));
        }

        fn timed_out(&mut self, _: &mut Transport) {
            self.0.borrow_mut().push(("timeout", self.1.unwrap().elapsed()));
        }
    }
    let mut world = World::real();
    let fired = Rc::default();
    let asks = Rc::clone(&fired);
    let (_, addr) = world.listen(move |_| Asks(Rc::clone(&asks), None, None));
    let far = world.dial(addr);
    world.until("all of them", |_| fired.borrow().len() == 4);
    for (what, after) in fired.borrow().iter() {
        assert!(*after >= LIMIT, "{what} after {after:?}");
    }
    drop(far);
}

#[test]
fn a_grace_is_not_shorter_for_the_work_before_it() {
    let mut world = World::real();
    let much = world.much();
    let (log, far) = world.served_narrow("a", |a| {
        a.on_pause(|_| {}).on_made(move |transport| {
            transport.write(&much);
        })
    });
    let begun = Rc::new(Cell::new(None));
    let begin = Rc::clone(&begun);
    world.reactor().call_soon(move |reactor| {
        thread::sleep(2 * LIMIT);
        begin.set(Some(Instant::now()));
        reactor.shutdown(LIMIT);
    });
    world.run().unwrap();
    assert!(begun.get().unwrap().elapsed() >= LIMIT);
    assert_eq!(log.count("a lost"), 1);
    drop(far);
}

/// A close timeout that a callback's work before it must not shorten: a fast reader gets everything.
#[test]
fn a_reader_that_takes_everything_at_once_is_not_cut_off_for_our_work() {
    let mut world = World::real();
    let much = world.much();
    let wanted = much.clone();
    let (log, mut far) = world.dialled_narrow("a", |a| {
        a.on_made(move |transport| {
            transport.set_close_timeout(LONG);
            transport.write(&much);
            transport.lose_connection();
            thread::sleep(2 * LONG);
        })
    });
    let (got, end) = world.read_to_end(&mut far);
    assert!(got == wanted, "{} bytes", got.len());
    assert_eq!(end, Ok(()));
    drop(far);
    world.until("the loss", |_| log.has("a lost Closed"));
}

both! {
    fn no_timer_of_a_datagram_socket_precedes_its_start(world) {
        struct Says(Log);
        impl DatagramProtocol for Says {
            fn start_protocol(&mut self, _: &mut DatagramTransport) {
                self.0.push("start");
            }
            fn timer_fired(&mut self, transport: &mut DatagramTransport, _: TimerId) {
                self.0.push("timer");
                transport.stop_listening();
            }
            fn stop_protocol(&mut self, _: &mut DatagramTransport, _: &Reason) {
                self.0.push("stop");
            }
        }
        let log = Log::new();
        let id = world.reactor().listen_udp("127.0.0.1:0", Says(log.clone())).unwrap();
        world.reactor().datagram(id).unwrap().call_later(Duration::ZERO);
        world.until("the end", |_| log.has("stop"));
        assert_eq!(log.lines(), ["start", "timer", "stop"]);
    }
}

// Closing.

both! {
    /// Above the bound nothing is read, and the peer is slowed down by its own full buffers.
    fn a_close_reads_no_more_than_its_bound_of_a_peer_that_never_stops(world) {
        const BOUND: u64 = 16 << 20;
        let limits = Reactor::builder().linger(LIMIT).close_timeout(HOUR);
        let world = &mut world.with_limits(limits);
        let (log, mut far) = world.served("a", |a| a.on_data(|transport, _| {
            transport.lose_connection();
        }));
        let flood = pattern(256 * 1024);
        world.until("the end", |world| {
            far.send(&flood);
            if !world.is_real() {
                world.pass(MS);
            }
            log.count("a lost") > 0
        });
        let read = world.reactor().stats().bytes_read;
        assert!((BOUND..BOUND + (1 << 20)).contains(&read), "{read} bytes");
        assert_eq!(log.lines(), ["a made", "a lost Closed"]);
    }
}

both! {
    /// One read in a turn, while connections that are served have four.
    fn a_closing_connection_reads_less_in_a_turn_than_a_served_one(world) {
        let (log, mut far) = world.served("a", |a| a.on_data(|transport, _| {
            transport.lose_connection();
        }));
        far.send(b"close");
        world.quiet();
        let flood = pattern(64 * 1024);
        for _ in 0..100 {
            far.send(&flood);
            let before = world.reactor().stats().bytes_read;
            world.turn();
            let read = world.reactor().stats().bytes_read - before;
            assert!(read <= 64 * 1024, "{read} bytes in one turn");
        }
        assert_eq!(log.lines(), ["a made"]);
    }
}

/// The peer's window has room for a part only, and the peer speaks before it reads.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_longer_than_the_window_arrives_whole() {
    for length in [536, 537, 2_304, 12_000, 100_000] {
        let mut world = World::real();
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| {
            Recorder::new(&seen, "a").on_made(move |transport| {
                transport.write(&pattern(length));
                transport.lose_connection();
            })
        });
        let mut client = narrow_client(addr);
        world.until("it to be made", |_| log.has("a made"));
        world.quiet();
        client.write_all(b"a late question").unwrap();
        world.quiet();
        client.set_nonblocking(true).unwrap();
        let mut far = Far::Real(client);
        assert_eq!(world.read_to_end(&mut far), (pattern(length), Ok(())), "{length} bytes");
        drop(far);
        world.until("the end", |_| log.has("a lost Closed"));
    }
}

// A short read is no proof that nothing is left.

#[cfg(target_os = "linux")]
#[test]
fn bytes_behind_urgent_ones_are_delivered() {
    let mut world = World::real();
    let (log, far) = world.served("a", Recorder::with_data);
    let far = real_far(far);
    let socket = socket2::SockRef::from(&far);
    let mut wanted = "a data ".to_owned();
    for _ in 0..3 {
        socket.send(b"before").unwrap();
        socket.send_out_of_band(b"!").unwrap();
        socket.send(b"behind").unwrap();
        wanted += "beforebehind";
        world.until("all of it", |_| log.has(&wanted));
    }
}

#[cfg(target_os = "linux")]
mod unix {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;
    use crate::util::{Echo, Folder};

    #[test]
    fn bytes_behind_a_descriptor_are_delivered() {
        let (mut world, log) = (World::real(), Log::new());
        let folder = Folder::new();
        let path = folder.path();
        let seen = log.clone();
        let factory = move |_| Recorder::new(&seen, "a").with_data();
        world.reactor().listen(path.as_path(), factory).unwrap();
        let mut far = UnixStream::connect(&path).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [far.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&far, &[IoSlice::new(b"with one, ")], &mut control, SendFlags::empty()).unwrap();
        far.write_all(b"and behind").unwrap();
        world.until("all of it", |_| log.has("a data with one, and behind"));
        socket2::SockRef::from(&far).send_out_of_band(b"!").unwrap();
        far.write_all(b"; urgent").unwrap();
        world.until("that too", |_| log.has("a data with one, and behind; urgent"));
    }

    /// Linux tells of room each time the peer reads.
    #[test]
    fn an_echo_over_a_unix_socket_takes_one_turn() {
        const MESSAGES: u64 = 500;
        let mut world = World::real();
        let folder = Folder::new();
        let path = folder.path();
        world.reactor().listen(path.as_path(), |_| Echo).unwrap();
        let mut far = UnixStream::connect(&path).unwrap();
        world.until("it to be made", |world| world.reactor().stats().accepted > 0);
        world.quiet();
        let before = world.reactor().stats().turns;
        for message in 0..MESSAGES {
            far.write_all(&[message as u8; 64]).unwrap();
            let sent = world.reactor().stats().bytes_written;
            while world.reactor().stats().bytes_written == sent {
                world.turn();
            }
            far.read_exact(&mut [0; 64]).unwrap();
        }
        let turns = world.reactor().stats().turns - before;
        assert!(turns <= MESSAGES + 5, "{turns} turns for {MESSAGES} messages");
    }

    /// The interest in room comes with the first write that finds none.
    #[test]
    fn a_unix_peer_that_reads_late_gets_everything() {
        let mut world = World::real();
        let folder = Folder::new();
        let path = folder.path();
        let log = Log::new();
        let seen = log.clone();
        let much = pattern(8 << 20);
        let data = much.clone();
        let factory = move |_| {
            let data = data.clone();
            Recorder::new(&seen, "a").on_made(move |transport| {
                transport.write(&data);
                transport.lose_connection();
            })
        };
        world.reactor().listen(path.as_path(), factory).unwrap();
        let mut far = UnixStream::connect(&path).unwrap();
        world.until("it to be made", |_| log.has("a made"));
        world.quiet();
        far.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        world.until("everything", |_| {
            let mut piece = [0; 65_536];
            let count = far.read(&mut piece).unwrap_or(0);
            got.extend_from_slice(&piece[..count]);
            got.len() == much.len()
        });
        assert!(got == much);
        drop(far);
        world.until("the end", |_| log.has("a lost Closed"));
    }
}

// Budgets.

both! {
    /// A million calls must not keep others waiting.
    fn calls_have_a_budget_and_echoes_go_on_meanwhile(world) {
        let world = &mut world.with_limits(Reactor::builder().call_budget(100));
        let (log, mut far) = world.served("a", |a| a.on_data(|transport, data| {
            transport.write(data);
        }));
        let (ran, handle) = (Rc::new(Cell::new(0)), world.reactor().handle());
        let remote = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for _ in 0..5_000 {
            let (mine, theirs) = (Rc::clone(&ran), std::sync::Arc::clone(&remote));
            world.reactor().call_soon(move |_| mine.set(mine.get() + 1));
            handle.call_from_thread(move |_| {
                theirs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            });
        }
        let done = || ran.get() + remote.load(std::sync::atomic::Ordering::Relaxed);
        far.send(b"?");
        world.until("the echo", |_| !far.receive(1).unwrap().is_empty());
        assert!(done() < 1_000, "{} calls before the echo", done());
        let mut before = done();
        world.until("all calls", |_| {
            assert!(done() - before <= 100, "in one turn");
            before = done();
            before == 10_000
        });
        assert_eq!(log.lines(), ["a made"]);
    }
}

both! {
    /// All bytes written before anything can leave count as one write, in however many pieces.
    fn the_cap_does_not_depend_on_the_pieces(world) {
        for piece in [4 << 20, 64 << 10] {
            let limits = Reactor::builder().write_buffer_cap(1 << 20).slow_callback(None);
            let world = &mut world.with_limits(limits);
            let (log, mut far) = world.dialled_narrow("a", |a| {
                a.on_made(move |transport| {
                    for piece in pattern(4 << 20).chunks(piece) {
                        assert!(transport.write(piece));
                    }
                    transport.lose_connection();
                })
            });
            assert!(world.read_to_end(&mut far) == (pattern(4 << 20), Ok(())));
            drop(far);
            world.until("the end", |_| log.has("a lost Closed"));
        }
    }
}

both! {
    /// When it is served, and again when others have written.
    fn no_more_than_the_budget_leaves_for_a_connection_in_a_turn(world) {
        const BUDGET: usize = 10_000;
        let world = &mut world.with_limits(Reactor::builder().write_budget(BUDGET));
        let (log, mut far) = world.served("a", |a| {
            a.on_data(|transport, _| {
                transport.write(&pattern(BUDGET));
                let id = transport.id();
                transport.reactor().call_soon(move |reactor| {
                    reactor.transport(id).unwrap().write(&pattern(BUDGET));
                });
            })
        });
        far.send(b"?");
        let mut got = 0;
        world.until("all of it", |world| {
            let before = world.reactor().stats().bytes_written;
            world.turn();
            let sent = world.reactor().stats().bytes_written - before;
            assert!(sent <= BUDGET as u64, "{sent} bytes in one turn");
            got += far.receive(BUDGET).unwrap().len();
            got == 2 * BUDGET
        });
        assert_eq!(log.lines(), ["a made"]);
    }
}

#[test]
fn the_calls_of_a_stopped_reactor_are_dropped_with_all_that_wait() {
    let mut world = World::real().with_limits(Reactor::builder().call_budget(1));
    let handle = world.reactor().handle();
    let alive = std::sync::Arc::new(());
    for _ in 0..100 {
        let held = std::sync::Arc::clone(&alive);
        handle.call_from_thread(move |_| drop(held));
    }
    world.turn();
    world.reactor().stop();
    world.turn();
    assert_eq!(std::sync::Arc::strong_count(&alive), 1);
}
