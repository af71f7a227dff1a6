//! The needs of code that builds upon a reactor: state, answers, holds, names, notices of the end, lending.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{Echo, HOUR, Log, MS, Recorder, SECOND, Watchdog, World, logged};
use crocus::framing::{FrameHandler, Framed, Lines};
use crocus::testing::Simulation;
use crocus::{
    Callback, ConnectionId, Ended, Hold, Notice, Observer, Protocol, Reactor, Subject, Transport,
};

struct Names(Vec<&'static str>);

/// Says when it is dropped, and whether the reactor that dropped it still works.
struct Witness(Log, &'static str);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.push(format!("{} dropped", self.1));
    }
}

both! {
    fn state_is_found_by_its_type_and_can_be_replaced(world) {
        let reactor = world.reactor();
        assert!(reactor.state::<Names>().is_none());
        assert!(reactor.set_state(Names(vec!["a"])).is_none());
        assert_eq!(reactor.set_state(7_u32), None);
        reactor.handle().call_from_thread(|reactor| {
            reactor.state::<Names>().unwrap().0.push("b");
        });
        world.run().unwrap();
        let reactor = world.reactor();
        assert_eq!(reactor.set_state(Names(vec![])).unwrap().0, ["a", "b"]);
        assert_eq!((reactor.take_state::<u32>(), reactor.take_state::<u32>()), (Some(7), None));
    }
}

both! {
    fn state_outlives_a_stop_and_goes_with_the_reactor_in_order(world) {
        struct First(#[expect(dead_code)] Witness);
        struct Second(#[expect(dead_code)] Witness);

        let mut inner = world.with_limits(Reactor::builder());
        let log = Log::new();
        inner.reactor().set_state(First(Witness(log.clone(), "first")));
        inner.reactor().set_state(Second(Witness(log.clone(), "second")));
        inner.reactor().stop();
        inner.run().unwrap();
        assert_eq!(log.len(), 0);
        let (_, addr) = inner.listen({
            let log = log.clone();
            move |_| Recorder::new(&log, "a")
        });
        let _far = inner.dial(addr);
        inner.until("the connection", |_| log.len() == 1);
        drop(inner);
        assert_eq!(log.take(), ["a made", "a lost Stopped", "second dropped", "first dropped"]);
    }
}

both! {
    fn a_stop_is_told_before_connections_are(world) {
        let (log, _far) = world.served("a", |a| a);
        world.quiet();
        let lines = log.clone();
        world.reactor().on_shutdown(|_| panic!("it does not shut down in order"));
        world.reactor().on_stop(move |reactor| {
            lines.push(format!("stop, {} connections", reactor.connections().len()));
            let lines = lines.clone();
            reactor.on_stop(move |_| lines.push("the next stop"));
        });
        world.reactor().stop();
        world.run().unwrap();
        assert_eq!(log.take(), ["a made", "stop, 1 connections", "a lost Stopped"]);
        assert_eq!(world.reactor().ended(), Some(Ended::Stopped));
        world.run().unwrap();
        assert_eq!((log.len(), world.reactor().ended()), (0, Some(Ended::NothingLeft)));
        world.reactor().stop();
        world.run().unwrap();
        assert_eq!(log.take(), ["the next stop"]);
    }
}

both! {
    fn a_hold_keeps_run_and_shutdown_waiting_and_is_told_when(world) {
        let log = Log::new();
        let hold = world.reactor().hold();
        let (lines, held) = (log.clone(), hold.clone());
        world.reactor().on_shutdown(move |reactor| {
            lines.push("shutdown begins");
            let lines = lines.clone();
            reactor.call_later(MS * 20, move |_| {
                lines.push("done");
                drop(held);
            });
        });
        let lines = log.clone();
        world.reactor().on_stop(move |_| lines.push("stop"));
        drop(hold);
        world.reactor().call_later(MS, |reactor| reactor.shutdown(HOUR));
        let begin = world.reactor().now();
        world.run().unwrap();
        assert_eq!(log.take(), ["shutdown begins", "done", "stop"]);
        assert_eq!(world.reactor().ended(), Some(Ended::ShutDown));
        assert!(world.reactor().now() - begin >= MS * 20);
    }
}

both! {
    fn a_hold_is_not_waited_for_beyond_the_grace(world) {
        let hold = world.reactor().hold();
        world.reactor().shutdown(MS * 5);
        world.run().unwrap();
        assert_eq!(world.reactor().ended(), Some(Ended::Stopped));
        drop(hold);
    }
}

both! {
    fn a_handle_alone_does_not_keep_run_waiting(world) {
        let handle = world.reactor().handle();
        world.run().unwrap();
        assert_eq!(world.reactor().ended(), Some(Ended::NothingLeft));
        assert!(handle.call_from_thread(|_| {}));
    }
}

#[test]
fn an_answer_comes_back_to_the_thread_that_asked() {
    let mut world = World::real();
    world.reactor().set_state(Names(vec!["a", "b"]));
    let (handle, hold) = (world.reactor().handle(), world.reactor().hold());
    let thread = thread::spawn(move || {
        let _hold = hold;
        let mut patient = handle.ask(|reactor| reactor.state::<Names>().unwrap().0.len());
        let count = patient.wait_timeout(HOUR).unwrap();
        let again = patient.try_take().unwrap_err();
        let failed = handle.ask(|_| -> u8 { panic!("on purpose") }).wait().unwrap_err();
        (count, again.kind(), failed.kind(), handle)
    });
    world.run().unwrap();
    let (count, again, failed, handle) = thread.join().unwrap();
    assert_eq!(count, 2);
    assert_eq!((again, failed), (io::ErrorKind::NotConnected, io::ErrorKind::NotConnected));
    drop(world);
    let gone = handle.ask(|_| ()).wait().unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotConnected);
}

#[test]
fn a_stop_drops_the_questions_that_wait() {
    let mut reactor = Reactor::new().unwrap();
    let handle = reactor.handle();
    let mut late = None;
    reactor.on_stop({
        let handle = handle.clone();
        let (sender, receiver) = mpsc::channel();
        late.replace(receiver);
        move |_| sender.send(handle.ask(|_| ())).unwrap()
    });
    reactor.stop();
    reactor.run().unwrap();
    let mut answer = late.unwrap().recv().unwrap();
    assert_eq!(answer.try_take().unwrap_err().kind(), io::ErrorKind::NotConnected);
}

both! {
    fn on_its_own_thread_an_answer_is_refused_and_not_waited_for(world) {
        let _watchdog = Watchdog::new("the refusal");
        let handle = world.reactor().handle();
        let refused = handle.ask(|_| 1).wait().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Deadlock);
        let mut patient = handle.ask(|_| 2);
        let error = patient.wait_timeout(HOUR).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Deadlock);
        assert_eq!(patient.try_take().unwrap(), None);
        world.turn();
        assert_eq!(patient.try_take().unwrap(), Some(2), "it comes all the same");
        let there = handle.ask(|_| 3);
        world.turn();
        assert_eq!(there.wait().unwrap(), 3, "it is there already");
    }
}

/// Notes the subjects of calls and timers.
struct Subjects(Rc<RefCell<Vec<(Subject, Callback)>>>);

impl Observer for Subjects {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        if let Notice::CallbackBegin { subject, callback } = notice {
            self.0.borrow_mut().push((*subject, *callback));
        }
    }
}

both! {
    fn calls_and_timers_carry_the_name_under_which_they_are_made(world) {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let reactor = world.reactor();
        reactor.set_observer(Some(Box::new(Subjects(seen.clone()))));
        reactor.with_name("cache", |reactor| {
            reactor.call_soon(|reactor| {
                reactor.call_later(Duration::ZERO, |_| {}); // takes the name on
                reactor.with_name("inner", |reactor| reactor.call_soon(|_| {}));
            });
            let ticks = Cell::new(0);
            reactor.call_every(MS, move |reactor, tick| {
                if ticks.replace(ticks.get() + 1) == 1 {
                    reactor.cancel_timer(tick.timer);
                }
            });
        });
        reactor.handle().named("bridge").call_from_thread(|_| {});
        reactor.call_soon(|_| {});
        let failed = catch_unwind(AssertUnwindSafe(|| reactor.with_name("x", |_| panic!("it"))));
        assert!(failed.is_err());
        reactor.call_later(HOUR, |_| {});
        let twice_ticked = seen.clone();
        world.until("the second tick", |_| {
            let seen = twice_ticked.borrow();
            seen.iter().filter(|(_, callback)| *callback == Callback::Timer).count() == 3
        });
        world.pass(MS * 10); // nothing more comes
        if !world.is_real() {
            world.pass(HOUR);
        }
        let named = |name, callback| (Subject::Named(name), callback);
        let mut seen = seen.take();
        seen.retain(|(_, callback)| matches!(callback, Callback::Call | Callback::Timer));
        let count = |wanted| seen.iter().filter(|&&one| one == wanted).count();
        assert_eq!(count(named("cache", Callback::Call)), 1);
        assert_eq!(count(named("cache", Callback::Timer)), 3);
        assert_eq!(count(named("inner", Callback::Call)), 1);
        assert_eq!(count(named("bridge", Callback::Call)), 1);
        assert_eq!(count((Subject::Reactor, Callback::Call)), 1);
        let unnamed = if world.is_real() { 0 } else { 1 }; // real hours do not pass
        assert_eq!(count((Subject::Reactor, Callback::Timer)), unnamed);
    }
}

#[test]
fn the_warning_of_a_slow_call_shows_its_name() {
    logged();
    let mut reactor = Reactor::builder().slow_callback(Some(MS)).build().unwrap();
    reactor.with_name("bridge", |reactor| {
        reactor.call_soon(|_| thread::sleep(MS * 3)); // longer than the limit, whatever it takes
    });
    reactor.run().unwrap();
    let lines = logged();
    assert!(lines.iter().any(|line| line.contains("a call of bridge took")), "{lines:?}");
}

struct Member(Vec<&'static str>);

impl Protocol for Member {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        let id = transport.id();
        let busy = transport.reactor().with_protocol(id, |_: &mut Self, _| ()).is_none();
        self.0.push(if busy { "busy" } else { "entered twice" });
        transport.write(data);
    }
}

both! {
    fn a_protocol_is_reached_by_its_type_unless_it_is_being_called(world) {
        let (_, addr) = world.listen(|_| -> Box<dyn Protocol> { Box::new(Member(Vec::new())) });
        let mut far = world.dial(addr);
        world.until("a connection", |world| !world.reactor().connections().is_empty());
        world.send(&mut far, b"x");
        assert_eq!(world.read(&mut far, 1), b"x");
        let id = world.only().id();
        let reactor = world.reactor();
        assert!(reactor.with_protocol(id, |_: &mut Echo, _| ()).is_none(), "it is no echo");
        let seen = reactor.with_protocol(id, |member: &mut Member, transport| {
            transport.write(b"from outside");
            std::mem::take(&mut member.0)
        });
        assert_eq!(seen.unwrap(), ["busy"]);
        assert_eq!(world.read(&mut far, 12), b"from outside");

        let reactor = world.reactor();
        let failed = catch_unwind(AssertUnwindSafe(|| {
            reactor.with_protocol(id, |_: &mut Member, _| -> () { panic!("on purpose") })
        }));
        assert!(failed.is_err());
        world.send(&mut far, b"y");
        assert_eq!(world.read(&mut far, 1), b"y", "the protocol is back at its place");

        world.reactor().with_protocol(id, |_: &mut Member, transport| transport.abort_connection());
        world.quiet();
        assert!(world.reactor().with_protocol(id, |_: &mut Member, _| ()).is_none(), "it is gone");
    }
}

both! {
    /// Its seat is empty, and what came would be told to nobody.
    fn while_a_protocol_is_reached_from_outside_nothing_turns(world) {
        let (_, addr) = world.listen(|_| Member(Vec::new()));
        let mut far = world.dial(addr);
        world.until("a connection", |world| !world.reactor().connections().is_empty());
        let id = world.only().id();
        world.send(&mut far, b"x");
        let turned = world.reactor().with_protocol(id, |_: &mut Member, transport| {
            let reactor = transport.reactor();
            let nested = reactor.with_protocol(id, |_: &mut Member, _| ());
            assert!(nested.is_none());
            (0..3).any(|_| reactor.turn(Some(Duration::ZERO)).is_ok())
        });
        assert_eq!(world.read(&mut far, 1), b"x");
        assert_eq!(turned, Some(false));
    }
}

both! {
    fn a_frame_handler_is_reached_by_way_of_its_adaptor(world) {
        struct Count(usize);

        impl Protocol for Count {}

        impl FrameHandler<Lines> for Count {
            fn frame_received(&mut self, _: &mut Transport, _: &[u8]) {
                self.0 += 1;
            }
        }

        let (_, addr) = world.listen(|_| Framed::new(Lines::new(), Count(0)));
        let mut far = world.dial(addr);
        world.send(&mut far, b"one\ntwo\n");
        world.until("two frames", |world| {
            let ids = world.reactor().connections();
            ids.first().is_some_and(|&id| {
                let count = |framed: &mut Framed<Lines, Count>, transport: &mut Transport| {
                    framed.with_handler(transport, |handler, _| handler.0)
                };
                world.reactor().with_protocol(id, count) == Some(2)
            })
        });
    }
}

both! {
    fn a_lent_reactor_is_reached_from_deep_inside(world) {
        assert_eq!(Reactor::with_lent(|_| ()), None, "none is lent");
        let (log, mut far) = world.served("a", |a| {
            a.on_data(|transport, data| {
                let id = transport.id();
                let answer = data.to_vec();
                transport.reactor().lend(move || {
                    let written = Reactor::with_lent(|reactor| {
                        assert!(reactor.turn(None).is_err(), "it is in a turn");
                        reactor.transport(id).unwrap().write(&answer)
                    });
                    assert_eq!(written, Some(true));
                });
                transport.write(b"!");
            })
        });
        world.send(&mut far, b"abc");
        assert_eq!(world.read(&mut far, 4), b"abc!");
        assert_eq!(log.take(), ["a made"]);
        assert_eq!(Reactor::with_lent(|_| ()), None, "it is back");
    }
}

both! {
    fn a_lent_reactor_in_use_is_not_given_again_but_can_be_lent_on(world) {
        let soon = Log::new();
        let lines = soon.clone();
        world.reactor().lend(move || {
            Reactor::with_lent(|reactor| {
                assert_eq!(Reactor::with_lent(|_| ()), None, "it is the argument");
                let lines = lines.clone();
                reactor.lend(move || {
                    Reactor::with_lent(|reactor| reactor.call_soon(move |_| lines.push("inner")));
                });
                assert_eq!(Reactor::with_lent(|_| ()), None);
                reactor.call_soon(|_| {});
            })
            .unwrap();
            Reactor::with_lent(|reactor| reactor.call_soon(move |_| lines.push("outer"))).unwrap();
        });
        world.turn();
        assert_eq!(soon.take(), ["inner", "outer"]);
    }
}

#[test]
fn the_reactor_lent_last_is_the_one_given() {
    let (mut first, mut second) = (Simulation::new(), Simulation::new());
    first.reactor().set_state("first");
    second.reactor().set_state("second");
    let name = || Reactor::with_lent(|reactor| *reactor.state::<&str>().unwrap());
    first.reactor().lend(|| {
        assert_eq!(name(), Some("first"));
        second.reactor().lend(|| assert_eq!(name(), Some("second")));
        assert_eq!(name(), Some("first"));
        assert_eq!(thread::spawn(|| Reactor::with_lent(|_| ())).join().unwrap(), None);
    });
}

#[test]
fn while_a_thread_ends_its_reactor_is_lent_to_nobody() {
    struct Late(Reactor, mpsc::Sender<bool>);

    impl Drop for Late {
        fn drop(&mut self) {
            let lent =
                catch_unwind(AssertUnwindSafe(|| self.0.lend(|| Reactor::with_lent(|_| ()))));
            self.1.send(matches!(lent, Ok(None))).unwrap();
        }
    }

    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }

    let (sender, told) = mpsc::channel();
    thread::spawn(|| {
        LATE.set(None); // so that it outlives the thread-locals of crocus
        let mut reactor = Reactor::new().unwrap();
        reactor.lend(|| ());
        LATE.set(Some(Late(reactor, sender)));
    });
    assert_eq!(told.recv(), Ok(true));
}

#[test]
fn a_panic_brings_the_lent_reactor_back() {
    let mut simulation = Simulation::new();
    simulation.reactor().set_state(7);
    for inside in [false, true] {
        let failed = catch_unwind(AssertUnwindSafe(|| {
            simulation.reactor().lend(|| {
                if inside {
                    Reactor::with_lent(|_| panic!("on purpose"));
                }
                panic!("on purpose")
            })
        }));
        assert!(failed.is_err());
        assert_eq!(simulation.reactor().state::<i32>(), Some(&mut 7));
        assert_eq!(Reactor::with_lent(|_| ()), None);
    }
    simulation.reactor().lend(|| assert!(Reactor::with_lent(|_| ()).is_some()));
}

/// A lent reactor may run; its callbacks then find nothing lent, for it is in use.
#[test]
fn a_reactor_lent_outside_of_a_turn_can_be_run() {
    let mut reactor = Reactor::new().unwrap();
    reactor.call_later(MS, |_| assert_eq!(Reactor::with_lent(|_| ()), None));
    reactor.lend(|| Reactor::with_lent(|reactor| reactor.run().unwrap()).unwrap());
    assert_eq!((reactor.stats().timers, reactor.stats().panics), (1, 0));
}

both! {
    fn bytes_and_idle_time_of_a_connection_are_known(world) {
        let (_log, mut far) = world.served("a", |a| a.echoing());
        world.quiet();
        let made = world.only().idle_since();
        assert_eq!((world.only().bytes_read(), world.only().bytes_written()), (0, 0));
        world.pass(MS * 5);
        assert_eq!(world.only().idle_since(), made);
        world.send(&mut far, b"hello");
        assert_eq!(world.read(&mut far, 5), b"hello");
        assert_eq!((world.only().bytes_read(), world.only().bytes_written()), (5, 5));
        let active = world.only().idle_since();
        assert!(active >= made + MS * 5);
        assert!(active <= world.reactor().now());
    }
}

both! {
    fn bytes_are_still_known_in_connection_lost(world) {
        let counts = Rc::new(Cell::new((0, 0)));
        let seen = counts.clone();
        let (_log, mut far) = world.served("a", move |a| {
            a.echoing().on_lost(move |transport, _| {
                seen.set((transport.bytes_read(), transport.bytes_written()));
            })
        });
        world.send(&mut far, b"hello");
        assert_eq!(world.read(&mut far, 5), b"hello");
        world.only().abort_connection();
        world.quiet();
        assert_eq!(counts.get(), (5, 5));
    }
}

both! {
    fn a_close_timeout_set_while_closing_counts_from_then(world) {
        let mut inner = world.with_limits(Reactor::builder().close_timeout(HOUR));
        let much = inner.much();
        let (log, _far) = inner.served_narrow("a", move |a| {
            a.on_made(move |transport| {
                transport.write(&much);
                transport.lose_connection();
            })
        });
        inner.until("closing", |inner| {
            let ids = inner.reactor().connections();
            ids.first().is_some_and(|&id| inner.reactor().transport(id).unwrap().is_closing())
        });
        inner.quiet();
        inner.only().set_close_timeout(MS * 5);
        inner.pass(MS * 10);
        inner.until("the end", |inner| inner.reactor().connections().is_empty());
        assert!(log.take().last().unwrap().starts_with("a lost CloseTimedOut"));
    }
}

both! {
    fn an_override_can_do_what_the_default_pause_does(world) {
        struct Extended(Rc<Cell<(u32, u32)>>);

        impl Protocol for Extended {
            fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
                transport.write(&data.repeat(1000));
            }

            fn pause_writing(&mut self, transport: &mut Transport) {
                let (paused, resumed) = self.0.get();
                self.0.set((paused + 1, resumed));
                transport.default_pause_writing();
                assert!(!transport.is_reading());
            }

            fn resume_writing(&mut self, transport: &mut Transport) {
                let (paused, resumed) = self.0.get();
                self.0.set((paused, resumed + 1));
                transport.default_resume_writing();
                assert!(transport.is_reading());
            }
        }

        let counts = Rc::new(Cell::new((0, 0)));
        let (_, addr) = world.listen({
            let counts = counts.clone();
            move |_| Extended(counts.clone())
        });
        let mut far = world.dial(addr);
        world.send(&mut far, &[b'x'; 1000]);
        assert_eq!(world.read(&mut far, 1_000_000).len(), 1_000_000);
        world.quiet();
        let (paused, resumed) = counts.get();
        assert!(paused > 0 && paused == resumed, "{paused} {resumed}");
    }
}

both! {
    fn a_tick_moves_its_next_one_and_changes_its_interval(world) {
        let mut inner = Simulation::new();
        let _ = &world; // the times are exact only where time stands still
        let log = Log::new();
        let (lines, start) = (log.clone(), inner.reactor().now());
        inner.reactor().call_every(SECOND * 10, move |reactor, tick| {
            let at = (reactor.now() - start).as_secs();
            lines.push(format!("{at}"));
            match at {
                10 => assert!(reactor.reset_timer(tick.timer, SECOND * 3)),
                23 => assert!(reactor.set_timer_interval(tick.timer, SECOND)),
                25 => {
                    assert!(reactor.cancel_timer(tick.timer));
                    assert!(!reactor.reset_timer(tick.timer, SECOND), "it is cancelled");
                    assert!(!reactor.set_timer_interval(tick.timer, SECOND));
                }
                _ => {}
            }
        });
        inner.advance(SECOND * 60);
        assert_eq!(log.take(), ["10", "13", "23", "24", "25"]);
    }
}

#[test]
fn an_interval_is_set_from_outside_of_the_tick() {
    let mut simulation = Simulation::new();
    let once = simulation.reactor().call_later(SECOND, |_| {});
    assert!(!simulation.reactor().set_timer_interval(once, SECOND), "it has no interval");
    let timer = simulation.reactor().call_every(SECOND * 10, |_, _| {});
    simulation.advance(SECOND * 4);
    assert!(simulation.reactor().set_timer_interval(timer, SECOND * 2));
    simulation.advance(SECOND * 6);
    assert_eq!(simulation.reactor().stats().timers, 1 + 3);
}

/// Threads that call, hold and let go while the reactor falls asleep and wakes: no wake-up is ever lost.
#[test]
fn no_wake_up_is_lost_between_threads_and_a_dozing_reactor() {
    const THREADS: usize = 3;
    const ROUNDS: usize = 3_000;
    let mut reactor = Reactor::new().unwrap();
    let _watchdog = Watchdog::new("the last call");
    let asked = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (handle, hold) = (reactor.handle(), reactor.hold());
            let asked = asked.clone();
            thread::spawn(move || {
                let _hold: Hold = hold;
                for round in 0..ROUNDS {
                    let count = asked.clone();
                    // Waiting lets the reactor fall asleep, at another moment each time.
                    handle.ask(move |_| count.fetch_add(1, Ordering::Relaxed)).wait().unwrap();
                    for _ in 0..(round * 7 + number * 13) % 300 {
                        std::hint::spin_loop();
                    }
                }
            })
        })
        .collect();
    reactor.run().unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), THREADS * ROUNDS);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The same with a host that sleeps on the reactor's descriptor between turns.
#[cfg(unix)]
#[test]
fn a_host_that_sleeps_between_turns_is_woken() {
    use std::os::fd::{AsFd, AsRawFd};

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};

    let mut guest = Reactor::new().unwrap();
    let mut host = Poll::new().unwrap();
    let fd = guest.as_fd().as_raw_fd();
    host.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (handle, end) = (guest.handle(), over.clone());
    let thread = thread::spawn(move || {
        for _ in 0..2_000 {
            handle.ask(|_| ()).wait().unwrap();
        }
        end.store(true, Ordering::SeqCst);
        handle.call_from_thread(|_| {});
    });
    let _watchdog = Watchdog::new("the host");
    let mut events = Events::with_capacity(4);
    while !over.load(Ordering::SeqCst) {
        if guest.next_deadline().is_none() {
            host.poll(&mut events, None).unwrap();
        }
        guest.turn(Some(Duration::ZERO)).unwrap();
    }
    thread.join().unwrap();
}

#[cfg(unix)]
#[test]
fn a_transport_has_the_descriptor_of_its_socket() {
    use socket2::SockRef;

    let mut world = World::real();
    let (_log, far) = world.served("a", |a| a);
    world.quiet();
    let crate::util::Far::Real(far) = far else { unreachable!() };
    let transport = world.only();
    let peer = SockRef::from(&transport).peer_addr().unwrap().as_socket();
    assert_eq!(peer, Some(far.local_addr().unwrap()));
    let ids: Vec<ConnectionId> = world.reactor().connections();
    assert_eq!(ids.len(), 1);
}
