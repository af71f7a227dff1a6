//! Threads: calls from outside, wake-ups, and handles that live longer or shorter than the reactor.

use std::cell::{Cell, RefCell};
use std::hint;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{HOUR, Log, MS, Watchdog, World, logged};
use crocus::testing::Simulation;
use crocus::{
    Address, Ended, Handle, Hold, Notice, Observer, Protocol, Reactor, Reason, Transport,
};

/// Where posted calls write; a `Log` is not `Send`.
fn channel<T>() -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
    mpsc::channel()
}

#[test]
fn handles_and_holds_can_be_sent_shared_and_cloned() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Handle>();
    check::<Hold>();
}

/// Twisted's `test_threadsAreRunInScheduledOrder`, `test_callFromThread`.
#[test]
fn posted_calls_run_in_order_on_the_reactors_thread() {
    let mut world = World::real();
    let (sender, receiver) = channel();
    let (handle, hold) = (world.reactor().handle(), world.reactor().hold());
    let thread = thread::spawn(move || {
        let _hold = hold;
        for number in 0..1_000 {
            let sender = sender.clone();
            let posted = handle.call_from_thread(move |_| {
                sender.send((number, thread::current().id())).unwrap();
            });
            assert!(posted);
            if number % 100 == 0 {
                thread::yield_now(); // let the loop fall asleep in between
            }
        }
    });
    world.run().unwrap(); // returns once the thread has dropped its hold
    thread.join().unwrap();
    let here = thread::current().id();
    assert!(receiver.try_iter().eq((0..1_000).map(|number| (number, here))));
}

/// The same from several threads at once: each one's order is kept, and nothing is lost.
#[test]
fn calls_of_several_threads_run_in_each_threads_order() {
    const THREADS: usize = 4;
    const CALLS: usize = 5_000;
    let mut world = World::real();
    let (sender, receiver) = channel();
    let threads: Vec<_> = (0..THREADS)
        .map(|name| {
            let (handle, sender) = (world.reactor().handle(), sender.clone());
            let hold = world.reactor().hold();
            thread::spawn(move || {
                let _hold = hold;
                for number in 0..CALLS {
                    let sender = sender.clone();
                    assert!(handle.call_from_thread(move |_| sender.send((name, number)).unwrap()));
                }
            })
        })
        .collect();
    world.run().unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut next = [0; THREADS];
    for (name, number) in receiver.try_iter() {
        assert_eq!(number, next[name], "of thread {name}");
        next[name] += 1;
    }
    assert_eq!(next, [CALLS; THREADS]);
}

both! {
    /// Twisted's `test_scheduledThreadsNotRunUntilReactorRuns`.
    fn calls_posted_before_run_wait_for_it(world) {
        let (sender, receiver) = channel();
        let handle = world.reactor().handle();
        thread::spawn(move || {
            for number in 0..3 {
                let sender = sender.clone();
                assert!(handle.call_from_thread(move |_| sender.send(number).unwrap()));
            }
        })
        .join()
        .unwrap();
        assert!(receiver.try_recv().is_err());
        world.run().unwrap();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}

/// Twisted's `test_wakerOverflow`.
#[test]
fn many_calls_posted_while_nobody_turns_are_kept() {
    const CALLS: usize = 100_000;
    let mut world = World::real();
    let (sender, receiver) = channel();
    let handle = world.reactor().handle();
    {
        let _watchdog = Watchdog::new("the posts to be taken");
        thread::spawn(move || {
            for number in 0..CALLS {
                let sender = sender.clone();
                assert!(handle.call_from_thread(move |_| sender.send(number).unwrap()));
            }
        })
        .join()
        .unwrap();
    }
    let budget = 1024;
    for taken in (0..CALLS).step_by(budget) {
        let report = world.reactor().turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(report.calls, budget.min(CALLS - taken), "the others wait for other turns");
        assert!(world.reactor().next_deadline().is_some() || taken + budget >= CALLS);
    }
    assert!(receiver.try_iter().eq(0..CALLS));
    world.run().unwrap();
    assert!(world.reactor().stats().wakes <= 2, "one word wakes for all of them");
}

/// Twisted's `test_wakerOverflow`, with the loop running.
#[test]
fn many_calls_posted_while_the_loop_turns_run_in_order() {
    const CALLS: usize = 100_000;
    let mut world = World::real();
    let (sender, receiver) = channel();
    let (handle, hold) = (world.reactor().handle(), world.reactor().hold());
    let thread = thread::spawn(move || {
        let _hold = hold;
        for number in 0..CALLS {
            let sender = sender.clone();
            assert!(handle.call_from_thread(move |_| sender.send(number).unwrap()));
        }
    });
    world.run().unwrap();
    thread.join().unwrap();
    assert!(receiver.try_iter().eq(0..CALLS));
}

both! {
    /// Twisted's `test_delayedCallFromThread`.
    fn calls_posted_by_timers_run_in_the_same_turn(world) {
        let log = Log::new();
        let (sender, receiver) = channel();
        let (timer, call) = (world.reactor().handle(), world.reactor().handle());
        let (by_timer, by_call) = (sender.clone(), sender);
        let lines = log.clone();
        world.reactor().call_later(MS, move |reactor| {
            lines.push("timer");
            timer.call_from_thread(move |reactor| {
                by_timer.send(("by the timer", reactor.stats().turns)).unwrap();
                call.call_from_thread(move |reactor| {
                    by_call.send(("by the call", reactor.stats().turns)).unwrap();
                });
            });
            assert!(reactor.next_deadline().is_some_and(|next| next <= reactor.now()));
        });
        let _watchdog = Watchdog::new("the call");
        while log.len() == 0 {
            world.reactor().turn(Some(HOUR)).unwrap();
        }
        let turn = world.reactor().stats().turns;
        assert_eq!(receiver.try_recv(), Ok(("by the timer", turn)));
        assert!(receiver.try_recv().is_err());
        let report = world.reactor().turn(Some(HOUR)).unwrap();
        assert_eq!((report.calls, report.slept), (1, Duration::ZERO));
        assert_eq!(receiver.try_recv(), Ok(("by the call", turn + 1)));
    }
}

fn post_again(handle: Handle, count: Arc<AtomicUsize>) {
    let inner = handle.clone();
    handle.call_from_thread(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        post_again(inner, count);
    });
}

both! {
    /// Derived from Twisted's snapshot of the queue: a call that posts itself starves nobody.
    fn a_call_that_posts_itself_runs_once_per_turn(world) {
        let (_log, mut far) = world.served("a", |a| a.echoing());
        let count = Arc::new(AtomicUsize::new(0));
        post_again(world.reactor().handle(), count.clone());
        let fires = Rc::new(Cell::new(0));
        let fire = fires.clone();
        world.reactor().call_later(Duration::ZERO, move |_| fire.set(fire.get() + 1));
        let before = world.reactor().stats().turns;
        for _ in 0..5 {
            assert_eq!(far.send(b"x"), 1);
            assert_eq!(world.read(&mut far, 1), b"x");
        }
        let turns = world.reactor().stats().turns - before;
        assert_eq!(count.load(Ordering::Relaxed) as u64, turns);
        assert_eq!(fires.get(), 1);
        world.reactor().stop();
        world.run().unwrap();
    }
}

fn call_again(reactor: &mut Reactor) {
    reactor.call_soon(call_again);
}

both! {
    /// Derived from Twisted's `runUntilCurrent`, which runs the threads' calls in every iteration.
    fn calls_renewed_for_ever_do_not_keep_posted_ones_waiting(world) {
        let mut world = world.with_limits(Reactor::builder().call_budget(1));
        world.reactor().call_soon(call_again);
        let (sender, receiver) = channel();
        let (handle, stopper) = (world.reactor().handle(), world.reactor().handle());
        let post = move || handle.call_from_thread(move |_| sender.send("called").unwrap());
        assert!(thread::spawn(post).join().unwrap());
        let mut turn = || {
            let report = world.reactor().turn(Some(Duration::ZERO)).unwrap();
            assert_eq!(report.calls, 1);
            world.reactor().ended()
        };
        assert_eq!(turn(), None);
        assert!(receiver.try_recv().is_err(), "the reactor's own call was first");
        assert_eq!(turn(), None);
        assert_eq!(receiver.try_recv(), Ok("called"));
        assert!(thread::spawn(move || stopper.stop()).join().unwrap());
        assert_eq!(turn(), None);
        assert_eq!(turn(), Some(Ended::Stopped));
    }
}

both! {
    /// A call of the reactor's own knows it too.
    fn a_posted_call_knows_that_others_wait(world) {
        let (sender, receiver) = channel();
        let handle = world.reactor().handle();
        for _ in 0..3 {
            let sender = sender.clone();
            handle.call_from_thread(move |reactor| sender.send(reactor.has_work()).unwrap());
        }
        world.run().unwrap();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [true, true, false]);
    }
}

/// It must not replace it. If it does, no call is lost, and none is counted that is not there.
#[test]
fn a_posted_call_that_replaces_its_reactor_breaks_no_count() {
    let mut reactor = Reactor::builder().call_budget(3).build().unwrap();
    let (sender, receiver) = channel();
    let handle = reactor.handle();
    handle.call_from_thread(|reactor| {
        *reactor = Reactor::builder().call_budget(1).build().unwrap();
    });
    for number in 0..4 {
        let sender = sender.clone();
        handle.call_from_thread(move |_| sender.send(number).unwrap());
    }
    for numbers in [0..2, 2..3, 3..4] {
        assert!(reactor.has_work());
        reactor.turn(Some(Duration::ZERO)).unwrap();
        assert!(receiver.try_iter().eq(numbers));
    }
    assert!(!reactor.has_work());
}

/// It must not either. If it does, the new reactor counts nothing of the connection.
#[test]
fn a_connection_lost_that_replaces_its_reactor_breaks_no_count() {
    struct Replaces(Rc<Cell<bool>>);

    impl Protocol for Replaces {
        fn connection_made(&mut self, transport: &mut Transport) {
            transport.lose_connection();
        }

        fn connection_lost(&mut self, transport: &mut Transport, _: &Reason) {
            *transport.reactor() = Reactor::new().unwrap();
            self.0.set(true);
        }
    }

    let (mut reactor, replaced) = (Reactor::new().unwrap(), Rc::new(Cell::new(false)));
    let factory = replaced.clone();
    let listener =
        reactor.listen("127.0.0.1:0", move |_: Address| Replaces(factory.clone())).unwrap();
    let Some(Address::Tcp(place)) = reactor.local_addr(listener) else { panic!("no port") };
    let _far = TcpStream::connect(place).unwrap();
    while !replaced.get() {
        reactor.turn(Some(HOUR)).unwrap();
    }
    assert_eq!((reactor.stats().accepted, reactor.stats().closed), (0, 0));
}

/// It must not either: its protocol is lost. If the former reactor comes back, the connection does not stay for ever.
#[test]
fn a_connection_whose_reactor_was_away_ends_with_its_protocol() {
    struct Replaces;

    impl Protocol for Replaces {
        fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
            let former = std::mem::replace(transport.reactor(), Reactor::new().unwrap());
            transport.reactor().call_soon(move |reactor| *reactor = former);
        }
    }

    let mut world = World::real();
    let (_, addr) = world.listen(|_| Replaces);
    let mut far = world.dial(addr);
    far.send(b"x");
    world.until("the end", |world| world.reactor().stats().closed == 1);
    assert_eq!(world.reactor().connections(), []);
    let (_log, mut other) = world.served("b", |b| b);
    other.send(b"x");
    world.quiet();
    assert_eq!(world.reactor().connections().len(), 1, "the others go on");
}

/// The same for a repeated call, which is lost too.
#[test]
fn a_repeated_call_whose_reactor_was_away_is_over() {
    let mut reactor = Reactor::new().unwrap();
    let timer = reactor.call_every(Duration::ZERO, |reactor, _| {
        let former = std::mem::replace(reactor, Reactor::new().unwrap());
        reactor.call_soon(move |reactor| *reactor = former);
    });
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(reactor.stats().timers, 1);
    assert!(!reactor.has_work());
    assert!(!reactor.reset_timer(timer, HOUR));
}

/// Twisted's `testCallFromThreadStops`.
#[test]
fn a_thread_stops_the_reactor_and_everybody_is_told() {
    let mut world = World::real();
    let (log, _far) = world.served("a", |a| a);
    world.reactor().call_later(HOUR, |_| {});
    let handle = world.reactor().handle();
    let kept = handle.clone();
    let thread = thread::spawn(move || handle.stop());
    world.run().unwrap();
    assert!(thread.join().unwrap());
    assert_eq!(log.take(), ["a made", "a lost Stopped"]);
    assert!(kept.call_from_thread(|_| {}), "it stopped, and is still there");
}

#[test]
fn a_thread_shuts_the_reactor_down_in_order() {
    let mut world = World::real();
    let (log, mut far) = world.served("a", |a| {
        a.on_made(|transport| {
            transport.write(b"all");
        })
    });
    let handle = world.reactor().handle();
    let thread = thread::spawn(move || handle.shutdown(HOUR));
    assert_eq!(world.read_to_end(&mut far), (b"all".to_vec(), Ok(())));
    drop(far);
    world.run().unwrap();
    assert!(thread.join().unwrap());
    assert_eq!(log.take(), ["a made", "a lost Closed"]);
}

both! {
    /// asyncio's `call_soon_threadsafe` on a closed loop, where it is an exception.
    fn a_handle_without_a_reactor_drops_the_call(world) {
        let mut inner = world.with_limits(Reactor::builder());
        let handle = inner.reactor().handle();
        let held = Arc::new(());
        let waiting = held.clone();
        assert!(handle.call_from_thread(move |_| drop(waiting)));
        assert_eq!(Arc::strong_count(&held), 2);
        drop(inner);
        assert_eq!(Arc::strong_count(&held), 1, "what waited is gone, and was not run");
        let late = held.clone();
        assert!(!handle.call_from_thread(move |_| drop(late)));
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(!handle.stop());
        let clone = handle.clone();
        assert!(!thread::spawn(move || clone.stop()).join().unwrap());
        drop(handle);
    }
}

both! {
    /// asyncio's `call_soon_threadsafe` while the loop is being closed.
    fn a_call_posted_during_the_drop_is_dropped_too(world) {
        /// Posts when it is dropped: inside of the drop of the reactor that holds it.
        struct Parting(Handle, Arc<AtomicUsize>);

        impl Drop for Parting {
            fn drop(&mut self) {
                let count = self.1.clone();
                self.0.call_from_thread(move |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        }

        let mut inner = world.with_limits(Reactor::builder());
        let count = Arc::new(AtomicUsize::new(0));
        let parting = Parting(inner.reactor().handle(), count.clone());
        inner.reactor().call_later(HOUR, move |_| drop(parting));
        let parting = Parting(inner.reactor().handle(), count.clone());
        let handle = inner.reactor().handle();
        handle.call_from_thread(move |_| drop(parting));
        drop(inner);
        assert_eq!(count.load(Ordering::Relaxed), 0);
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(!handle.stop());
    }
}

/// Twisted's code of `runUntilCurrent`: an exception in a thread's call is logged.
#[test]
fn a_panic_in_a_posted_call_is_logged_once() {
    let mut world = World::real();
    logged();
    let (sender, receiver) = channel();
    let (handle, hold) = (world.reactor().handle(), world.reactor().hold());
    thread::spawn(move || {
        let _hold = hold;
        let (before, after) = (sender.clone(), sender);
        handle.call_from_thread(move |_| before.send("before").unwrap());
        handle.call_from_thread(|_| panic!("on purpose"));
        handle.call_from_thread(move |_| after.send("after").unwrap());
    });
    world.run().unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["before", "after"]);
    let logged = logged();
    assert_eq!(logged.iter().filter(|line| line.contains("on purpose")).count(), 1, "{logged:?}");
    assert_eq!(world.reactor().stats().panics, 1);
}

/// Counts the wake-ups.
struct Wakes(Rc<RefCell<usize>>);

impl Observer for Wakes {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        if matches!(notice, Notice::Woken) {
            *self.0.borrow_mut() += 1;
        }
    }
}

/// Dropping the last hold lets `run` return, without a call.
#[test]
fn run_returns_when_the_last_hold_is_dropped() {
    let mut world = World::real();
    let (wakes, ended) = (Rc::new(RefCell::new(0)), Arc::new(AtomicUsize::new(0)));
    world.reactor().set_observer(Some(Box::new(Wakes(wakes.clone()))));
    let hold = world.reactor().hold();
    let clones: Vec<Hold> = (0..10).map(|_| hold.clone()).collect();
    let end = ended.clone();
    let thread = thread::spawn(move || {
        drop(hold);
        for clone in clones {
            // Not to wait for anything: if `run` returned for less than the last, it has the time.
            thread::sleep(MS * 2);
            end.fetch_add(1, Ordering::SeqCst);
            drop(clone);
        }
    });
    world.run().unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 10);
    thread.join().unwrap();
    assert!(*wakes.borrow() <= 1, "only the last one wakes");

    // The same where nobody can drop it meanwhile: a `run` that would wait returns an error.
    let mut simulation = Simulation::new();
    let hold = simulation.reactor().hold();
    simulation.reactor().run().unwrap_err();
    drop(hold);
    simulation.reactor().run().unwrap();
}

/// A call that a thread posts just before it drops its hold runs, whatever the interleaving.
#[test]
fn a_call_posted_just_before_the_last_hold_goes_is_not_missed() {
    const ROUNDS: usize = 5_000;
    let mut world = World::real();
    let _watchdog = Watchdog::new("the rounds");
    let heard = Arc::new(AtomicUsize::new(0));
    let (handles, given) = channel::<(Handle, Hold)>();
    let count = heard.clone();
    let thread = thread::spawn(move || {
        for (round, (handle, hold)) in given.iter().enumerate() {
            for _ in 0..round % 400 {
                hint::spin_loop();
            }
            let count = count.clone();
            handle.call_from_thread(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            });
            drop(hold);
        }
    });
    for round in 1..=ROUNDS {
        handles.send((world.reactor().handle(), world.reactor().hold())).unwrap();
        world.reactor().run().unwrap();
        assert_eq!(heard.load(Ordering::SeqCst), round, "run returned with a call still queued");
    }
    drop(handles);
    thread.join().unwrap();
}

/// Two reactors in one thread, each with its own queue.
#[test]
fn a_call_of_one_reactor_can_post_to_another() {
    let (mut first, mut second) = (Reactor::new().unwrap(), Reactor::new().unwrap());
    let (sender, receiver) = channel();
    let (to_second, to_first) = (second.handle(), first.handle());
    to_first.call_from_thread(move |_| {
        to_second.call_from_thread(move |_| sender.send("second").unwrap());
    });
    drop(to_first);
    let _watchdog = Watchdog::new("both runs");
    first.run().unwrap();
    assert!(receiver.try_recv().is_err());
    second.run().unwrap();
    assert_eq!(receiver.try_recv(), Ok("second"));
}
