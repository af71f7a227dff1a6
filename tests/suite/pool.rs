//! Work in threads: the order, how many at once, panics, and ends that wait for nobody.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{HOUR, Log, Watchdog, World, logged};
use crocus::testing::Simulation;
use crocus::{Reactor, ThreadError};

/// Work that tells when it begins, and goes on until it is released.
fn stuck(
    begun: &Sender<usize>,
    number: usize,
) -> (Sender<()>, impl FnOnce() -> usize + Send + use<>) {
    let (release, wait) = mpsc::channel();
    let begun = begun.clone();
    let work = move || {
        begun.send(number).unwrap();
        let _ = wait.recv(); // an error is an end too
        number
    };
    (release, work)
}

both! {
    /// Twisted's `test_deferredResult`, `test_callInThread`.
    fn work_runs_once_and_its_result_reaches_the_loop(world) {
        let log = Log::new();
        let here = thread::current().id();
        let real = world.is_real();
        let seen = log.clone(); // not `Send`
        world.reactor().call_in_thread(
            || (thread::current().id(), thread::current().name().map(str::to_owned)),
            move |reactor, result| {
                let (id, name) = result.unwrap();
                assert_eq!(thread::current().id(), here);
                assert_eq!(id != here, real);
                if real {
                    assert_eq!(name.as_deref(), Some("crocus-worker"));
                }
                assert_eq!(reactor.pending_work(), 0);
                seen.push("told");
            },
        );
        assert_eq!(world.reactor().pending_work(), 1);
        assert_eq!(log.len(), 0, "not within the command");
        world.run().unwrap();
        assert_eq!(log.take(), ["told"]);
        assert_eq!(world.reactor().stats().panics, 0);
    }
}

both! {
    /// Twisted's `test_deferredFailure`.
    fn a_panic_in_work_is_an_error_with_its_message(world) {
        let log = Log::new();
        logged();
        let works: [fn(); 3] = [
            || panic!("on purpose"),
            || panic!("number {} on purpose", 2),
            || std::panic::panic_any(3), // on purpose
        ];
        for work in works {
            let seen = log.clone();
            world.reactor().call_in_thread(work, move |_, result| {
                let error = result.unwrap_err();
                assert!(error.source().is_none());
                seen.push(error.to_string());
            });
        }
        let seen = log.clone();
        world.reactor().call_in_thread(|| 4, move |_, result| {
            assert_eq!(result.unwrap(), 4);
            seen.push("4");
        });
        world.run().unwrap();
        let mut lines = log.take();
        lines.sort_unstable();
        let said = |what: &str| format!("the work in a thread panicked: {what}");
        let mut expected = [
            "4".to_owned(), said("(no message)"), said("number 2 on purpose"), said("on purpose"),
        ];
        expected.sort_unstable();
        assert_eq!(lines, expected);
        assert_eq!(world.reactor().stats().panics, 0, "no callback's");
        assert_eq!(logged(), [""; 0]);
    }
}

#[test]
fn errors_can_be_sent_and_are_errors() {
    fn check<T: Error + Send + Sync + 'static>() {}
    check::<ThreadError>();
}

#[test]
fn a_panic_in_one_result_is_logged_others_come() {
    let mut world = World::real();
    logged();
    let told = Rc::new(Cell::new(0));
    for number in 0..10 {
        let told = told.clone();
        world.reactor().call_in_thread(
            move || number,
            move |_, result| {
                told.set(told.get() + 1);
                assert_ne!(result.unwrap(), 3, "on purpose");
            },
        );
    }
    world.run().unwrap();
    assert_eq!((told.get(), world.reactor().stats().panics), (10, 1));
    assert_eq!(logged().len(), 1);
}

#[test]
fn no_more_work_at_once_than_threads() {
    const WORK: usize = 20;
    let mut world = World::real().with_limits(Reactor::builder().threads(3));
    let (begun, beginnings) = mpsc::channel();
    let ended = Rc::new(RefCell::new(Vec::new()));
    let mut releases = Vec::new();
    for number in 0..WORK {
        let (release, work) = stuck(&begun, number);
        releases.push(Some(release));
        let ended = ended.clone();
        world.reactor().call_in_thread(work, move |_, result| {
            ended.borrow_mut().push(result.unwrap());
        });
    }
    let _watchdog = Watchdog::new("the work to begin");
    let mut running: Vec<usize> = beginnings.iter().take(3).collect();
    running.sort_unstable();
    assert_eq!(running, [0, 1, 2]);
    for next in 3..WORK {
        assert!(beginnings.try_recv().is_err(), "three at once");
        releases[next - 3] = None;
        assert_eq!(beginnings.recv().unwrap(), next);
    }
    releases.clear();
    world.run().unwrap();
    let mut ended = ended.take();
    assert!(ended.starts_with(&[0]));
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..WORK));
}

/// A size of 0 would never do anything.
#[test]
fn there_is_at_least_one_thread() {
    let mut world = World::real().with_limits(Reactor::builder().threads(0));
    let told = Rc::new(Cell::new(false));
    let tell = told.clone();
    world.reactor().call_in_thread(|| (), move |_, _| tell.set(true));
    world.run().unwrap();
    assert!(told.get());
}

#[test]
fn run_waits_for_work_that_does_not_block_it() {
    let mut world = World::real();
    let (begun, beginnings) = mpsc::channel();
    let (release, work) = stuck(&begun, 7);
    let (log, seen) = (Log::new(), Log::new());
    world.reactor().call_in_thread(work, {
        let log = log.clone();
        move |_, result| log.push(format!("told {}", result.unwrap()))
    });
    let mut release = Some(release);
    let (ticked, tick_log) = (seen.clone(), log.clone());
    world.reactor().call_every(Duration::from_millis(1), move |reactor, tick| {
        ticked.push("tick");
        if ticked.len() == 20 {
            reactor.cancel_timer(tick.timer); // nothing but the work is left
            tick_log.push("released");
            drop(release.take());
        }
    });
    world.run().unwrap();
    assert_eq!(log.take(), ["released", "told 7"]);
    assert_eq!(beginnings.try_iter().count(), 1);
}

/// In Twisted's pool, which is joined at the end, it hangs.
#[test]
fn neither_stop_shutdown_nor_drop_waits_for_stuck_work() {
    let ends: [fn(&mut Reactor); 2] = [Reactor::stop, |reactor| reactor.shutdown(HOUR)];
    for end in ends {
        let mut world = World::real().with_limits(Reactor::builder().threads(1));
        let (begun, beginnings) = mpsc::channel();
        let told = Arc::new(());
        let (first, work) = stuck(&begun, 1);
        let kept = told.clone();
        world.reactor().call_in_thread(work, move |_, _| panic!("told {kept:?} of the first"));
        let (second, work) = stuck(&begun, 2);
        let kept = told.clone();
        world.reactor().call_in_thread(work, move |_, _| panic!("told {kept:?} of the second"));
        assert_eq!(beginnings.recv(), Ok(1));
        world.reactor().call_soon(end);
        world.run().unwrap();
        assert_eq!(world.reactor().pending_work(), 0);
        assert_eq!(Arc::strong_count(&told), 1, "what was to follow is gone");
        assert!(second.send(()).is_err(), "what had not begun is gone");
        // The next run has the pool to itself as soon as the thread is free.
        let heard = Rc::new(Cell::new(false));
        let hear = heard.clone();
        world.reactor().call_in_thread(|| (), move |_, result| hear.set(result.is_ok()));
        drop(first);
        world.run().unwrap();
        assert!(heard.get());

        let (release, work) = stuck(&begun, 3);
        world.reactor().call_in_thread(work, |_, _| panic!("told of the third"));
        assert_eq!(beginnings.recv(), Ok(3));
        let _watchdog = Watchdog::new("the drop");
        drop(world);
        assert!(release.send(()).is_ok(), "it goes on, and nobody is told");
    }
}

/// Neither a result that nobody wants nor a panic in a `Drop` of the user's costs a thread.
#[test]
fn a_drop_that_panics_in_a_thread_costs_nothing() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped on purpose");
        }
    }

    let mut world = World::real().with_limits(Reactor::builder().threads(1));
    let (begun, beginnings) = mpsc::channel();
    let (release, work) = stuck(&begun, 1);
    let unwanted = move || {
        work();
        Bomb
    };
    world.reactor().call_in_thread(unwanted, |_, _| panic!("told of what was stopped"));
    assert_eq!(beginnings.recv(), Ok(1));
    world.reactor().stop();
    world.run().unwrap();
    drop(release);
    let log = Log::new();
    let seen = log.clone();
    world.reactor().call_in_thread(
        || std::panic::panic_any(Bomb),
        move |_, result| seen.push(result.unwrap_err().to_string()),
    );
    let seen = log.clone();
    world.reactor().call_in_thread(|| "still here", move |_, result| seen.push(result.unwrap()));
    world.run().unwrap();
    assert_eq!(log.take(), ["the work in a thread panicked: (no message)", "still here"]);
}

both! {
    fn a_result_may_ask_for_more_work(world) {
        fn step(reactor: &mut Reactor, left: u32, log: Log) {
            reactor.call_in_thread(move || left, move |reactor, result| {
                let left = result.unwrap();
                log.push(left.to_string());
                if left > 0 {
                    step(reactor, left - 1, log);
                }
            });
        }
        let log = Log::new();
        step(world.reactor(), 3, log.clone());
        world.run().unwrap();
        assert_eq!(log.take(), ["3", "2", "1", "0"]);
    }
}

/// The order, the turns and the time of the simulated world are always the same.
#[test]
fn in_a_simulation_work_runs_as_a_call() {
    let mut simulation = Simulation::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    for number in 0..3 {
        let (worked, followed) = (order.clone(), order.clone());
        simulation.reactor().call_in_thread(
            move || worked.lock().unwrap().push(format!("work {number}")),
            move |_, _| followed.lock().unwrap().push(format!("then {number}")),
        );
    }
    let take = || std::mem::take(&mut *order.lock().unwrap());
    assert_eq!(take(), [""; 0]);
    simulation.turn();
    assert_eq!(take(), ["work 0", "work 1", "work 2"]);
    simulation.turn();
    assert_eq!(take(), ["then 0", "then 1", "then 2"]);
    assert_eq!(simulation.elapsed(), Duration::ZERO);
    simulation.reactor().run().unwrap();
}

/// Asks for a result a thousand times, at any moment of the other side.
#[test]
fn the_loop_sleeps_between_the_results_of_many_works() {
    const WORK: usize = 2_000;
    let mut world = World::real();
    let told = Rc::new(Cell::new(0));
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..WORK {
        let (told, done) = (told.clone(), done.clone());
        world.reactor().call_in_thread(
            move || done.fetch_add(1, Ordering::Relaxed),
            move |_, _| told.set(told.get() + 1),
        );
    }
    world.run().unwrap();
    assert_eq!((told.get(), done.load(Ordering::Relaxed)), (WORK, WORK));

    let turns = world.reactor().stats().turns;
    let (begun, beginnings) = mpsc::channel();
    let (release, work) = stuck(&begun, 0);
    world.reactor().call_in_thread(work, |_, _| {});
    let releaser = thread::spawn(move || released_after_a_while(&beginnings, release));
    world.run().unwrap();
    releaser.join().unwrap();
    assert!(world.reactor().stats().turns - turns <= 3, "it waits asleep");
}

fn released_after_a_while(beginnings: &Receiver<usize>, release: Sender<()>) {
    beginnings.recv().unwrap();
    let end = Instant::now() + Duration::from_millis(20);
    while Instant::now() < end {
        thread::yield_now();
    }
    drop(release);
}
