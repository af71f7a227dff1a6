//! Timers: their order, what they may do to each other, and the grid of those that repeat.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{HOUR, Log, MS, Recorder, SECOND, World, logged, say};
use crocus::testing::Simulation;
use crocus::{Notice, Observer, Reactor, TimerEvent, TimerId};

/// Does something inside of a turn. In a simulation the clock stands still meanwhile, so that what is set
/// with one delay has one deadline.
fn inside(world: &mut World, then: impl FnOnce(&mut Reactor) + 'static) {
    world.reactor().call_soon(then);
    world.turn();
}

/// A timer's function that writes a line with the number of the turn.
fn say_turn(log: &Log, name: &str) -> impl FnOnce(&mut Reactor) + 'static {
    let (log, name) = (log.clone(), name.to_owned());
    move |reactor| log.push(format!("{name} {}", turns(reactor)))
}

fn turns(reactor: &Reactor) -> u64 {
    reactor.stats().turns
}

/// Says that a timer is due so long after the time of the turn: exactly so in a simulation. On real
/// sockets it is later, for a delay counts from when it was asked for.
fn assert_due(reactor: &Reactor, timer: TimerId, delay: Duration, real: bool) {
    let due = reactor.timer_deadline(timer).unwrap() - reactor.now();
    assert!(if real { due >= delay } else { due == delay }, "{due:?} instead of {delay:?}");
}

/// A timer whose name is known to functions that were made before it.
type Later = Rc<Cell<Option<TimerId>>>;

both! {
    /// Twisted's `test_callLaterOrdering`, `test_callLaterKeepsCallsOrdered`, `test_callLater`.
    fn timers_fire_by_deadline_and_none_before_its_time(world) {
        let log = Log::new();
        let (lines, real) = (log.clone(), world.is_real());
        inside(world, move |reactor| {
            for delay in [3, 1, 2] {
                let lines = lines.clone();
                let wanted = reactor.now() + MS * delay;
                let timer = reactor.call_later(MS * delay, move |reactor| {
                    assert!(reactor.now() >= wanted, "by the reactor's clock");
                    lines.push(delay.to_string());
                });
                assert_due(reactor, timer, MS * delay, real);
            }
        });
        let begin = world.reactor().now();
        world.run().unwrap();
        assert_eq!(log.take(), ["1", "2", "3"]);
        assert_eq!(world.reactor().stats().panics, 0);
        if !world.is_real() {
            assert_eq!(world.reactor().now() - begin, MS * 3, "and none late");
        }
    }
}

/// Twisted's `test_callLater`, by a clock that is not the reactor's.
#[test]
fn no_timer_fires_early_by_the_system_s_clock() {
    let mut world = World::real();
    let early = Rc::new(Cell::new(0));
    for delay in 1..20 {
        // Odd fractions of the millisecond in which the poller counts.
        let delay = Duration::from_micros(delay * 317);
        let (begin, early) = (Instant::now(), early.clone());
        world.reactor().call_later(delay, move |_| {
            if begin.elapsed() < delay {
                early.set(early.get() + 1);
            }
        });
    }
    world.run().unwrap();
    assert_eq!(early.get(), 0);
    assert_eq!(world.reactor().stats().timers, 19);
}

/// A sleep that is rounded down makes the loop spin through the last fraction of a millisecond.
#[test]
fn waiting_for_a_timer_takes_few_turns() {
    let mut world = World::real();
    for delay in [300, 1_700, 4_900] {
        world.reactor().call_later(Duration::from_micros(delay), |_| {});
    }
    world.run().unwrap();
    let turns = turns(world.reactor());
    assert!(turns <= 6, "{turns} turns for three timers");
}

both! {
    /// An experiment: eight of Twisted's, and of asyncio's, came in the order 0, 2, 6, 5, 7, …
    fn timers_of_one_deadline_fire_in_order_of_making(world) {
        let log = Log::new();
        let lines = log.clone();
        inside(world, move |reactor| {
            for name in 0..100 {
                reactor.call_later(MS * 2, say(&lines, &name.to_string()));
            }
        });
        world.run().unwrap();
        let wanted: Vec<String> = (0..100).map(|name| name.to_string()).collect();
        assert_eq!(log.take(), wanted);
    }
}

both! {
    /// An experiment with Twisted and asyncio, which both obey here.
    fn a_due_timer_cancelled_by_another_does_not_fire(world) {
        let log = Log::new();
        let lines = log.clone();
        inside(world, move |reactor| {
            let (second, seen) = (Later::default(), lines.clone());
            let target = second.clone();
            reactor.call_later(MS, move |reactor| {
                let cancelled = reactor.cancel_timer(target.get().unwrap());
                seen.push(format!("first {cancelled}"));
            });
            second.set(Some(reactor.call_later(MS, say(&lines, "second"))));
            reactor.call_later(MS, say(&lines, "third"));
        });
        world.run().unwrap();
        assert_eq!(log.take(), ["first true", "third"]);
    }
}

both! {
    /// An experiment with Twisted, which obeys here.
    fn a_due_timer_reset_by_another_fires_later(world) {
        let log = Log::new();
        let (lines, real) = (log.clone(), world.is_real());
        inside(world, move |reactor| {
            let (second, seen) = (Later::default(), lines.clone());
            let target = second.clone();
            reactor.call_later(MS, move |reactor| {
                let target = target.get().unwrap();
                assert!(reactor.reset_timer(target, MS * 2));
                assert_due(reactor, target, MS * 2, real);
                seen.push(format!("first {}", turns(reactor)));
            });
            second.set(Some(reactor.call_later(MS, say_turn(&lines, "second"))));
            reactor.call_later(MS, say_turn(&lines, "third"));
        });
        world.run().unwrap();
        let lines = log.take();
        let turn = lines[0].strip_prefix("first ").unwrap().to_owned();
        assert!(lines[1].starts_with("third "), "{lines:?}");
        assert!(world.is_real() || lines[1] == format!("third {turn}"), "one deadline, one turn");
        assert!(lines[2].starts_with("second "), "{lines:?}");
        assert_ne!(lines[2], format!("second {turn}"));
        assert_eq!(lines.len(), 3, "{lines:?}");
    }
}

both! {
    /// Twisted's code of `DelayedCall.delay`, and an experiment with it.
    fn a_timer_made_sooner_fires_once_in_the_next_turn(world) {
        let log = Log::new();
        let lines = log.clone();
        inside(world, move |reactor| {
            let (second, seen) = (Later::default(), lines.clone());
            let target = second.clone();
            reactor.call_later(MS, move |reactor| {
                assert!(reactor.reset_timer(target.get().unwrap(), Duration::ZERO));
                seen.push(format!("first {}", turns(reactor)));
            });
            second.set(Some(reactor.call_later(HOUR, say_turn(&lines, "second"))));
        });
        world.run().unwrap();
        let lines = log.take();
        let turn: u64 = lines[0].strip_prefix("first ").unwrap().parse().unwrap();
        assert_eq!(lines[1..], [format!("second {}", turn + 1)]);
    }
}

both! {
    /// Derived from asyncio's `_run_once`; Twisted's `callLater(0)`, by experiment.
    fn an_immediate_timer_set_by_a_timer_fires_next_turn(world) {
        let log = Log::new();
        let lines = log.clone();
        let (first, second, third) =
            (lines.clone(), say_turn(&lines, "second"), say_turn(&lines, "third"));
        inside(world, move |reactor| {
            reactor.call_later(Duration::ZERO, move |reactor| {
                first.push(format!("first {}", turns(reactor)));
                reactor.call_later(Duration::ZERO, move |reactor| {
                    second(reactor);
                    reactor.call_later(Duration::ZERO, third);
                });
            });
        });
        let turn = turns(world.reactor());
        assert_eq!(log.len(), 0, "not in the turn in which it was set");
        world.run().unwrap();
        let wanted = ["first", "second", "third"].iter().zip(turn + 1..);
        let wanted: Vec<String> = wanted.map(|(name, turn)| format!("{name} {turn}")).collect();
        assert_eq!(log.take(), wanted);
    }
}

fn chain(reactor: &mut Reactor, links: Rc<Cell<u64>>, on: Rc<Cell<bool>>) {
    if on.get() {
        links.set(links.get() + 1);
        reactor.call_later(Duration::ZERO, move |reactor| chain(reactor, links, on));
    }
}

both! {
    /// Derived from asyncio's `_run_once`.
    fn an_endless_chain_of_immediate_timers_starves_no_socket(world) {
        let (_log, mut far) = world.served("a", |a| a.with_data().echoing());
        let (links, on) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(true)));
        let (first, still_on) = (links.clone(), on.clone());
        inside(world, move |reactor| chain(reactor, first, still_on));
        for round in 0..10 {
            let (turn, link) = (turns(world.reactor()), links.get());
            assert_eq!(far.send(b"x"), 1);
            assert_eq!(world.read(&mut far, 1), b"x", "round {round}");
            assert_eq!(links.get() - link, turns(world.reactor()) - turn, "one link per turn");
        }
        on.set(false);
    }
}

both! {
    /// Twisted's `test_cancelCancelledDelayedCall`, `test_cancelCalledDelayedCallSynchronous`,
    /// `test_cancelCalledDelayedCallAsynchronous`, `testAdvanceCancel`.
    fn cancelling_a_timer_that_fired_says_false(world) {
        let log = Log::new();
        let reactor = world.reactor();
        let cancelled = reactor.call_later(MS, say(&log, "cancelled"));
        assert!(reactor.cancel_timer(cancelled));
        assert!(!reactor.cancel_timer(cancelled), "it was already");

        let (itself, lines) = (Later::default(), log.clone());
        let target = itself.clone();
        let fired = reactor.call_later(MS, move |reactor| {
            let known = reactor.cancel_timer(target.get().unwrap());
            lines.push(format!("cancel itself: {known}"));
        });
        itself.set(Some(fired));
        reactor.call_later(MS * 2, say(&log, "the other"));
        world.run().unwrap();
        assert_eq!(log.take(), ["cancel itself: false", "the other"]);

        let reactor = world.reactor();
        assert!(!reactor.cancel_timer(fired), "it fired");
        let next = reactor.call_later(MS, say(&log, "next"));
        assert!(!reactor.cancel_timer(fired), "a stale name does not reach the next tenant of its slot");
        assert!(!reactor.cancel_timer(cancelled));
        assert_ne!(next, fired);
        world.run().unwrap();
        assert_eq!(log.take(), ["next"]);
    }
}

both! {
    /// Twisted's `test_active`.
    fn a_timer_is_pending_until_it_fires_or_is_cancelled(world) {
        let log = Log::new();
        let (itself, lines) = (Later::default(), log.clone());
        let target = itself.clone();
        let reactor = world.reactor();
        let timer = reactor.call_later(MS, move |reactor| {
            let timer = target.get().unwrap();
            lines.push(format!("pending: {}", reactor.timer_deadline(timer).is_some()));
            lines.push(format!("can be moved: {}", reactor.reset_timer(timer, MS)));
        });
        itself.set(Some(timer));
        let cancelled = reactor.call_later(MS, |_| {});
        assert!(reactor.timer_deadline(timer).is_some());
        assert!(reactor.timer_deadline(cancelled).is_some());
        reactor.cancel_timer(cancelled);
        assert_eq!(reactor.timer_deadline(cancelled), None);
        assert!(!reactor.reset_timer(cancelled, MS));
        world.run().unwrap();
        assert_eq!(world.reactor().timer_deadline(timer), None);
        assert!(!world.reactor().reset_timer(timer, MS));
        assert_eq!(log.take(), ["pending: false", "can be moved: false"]);
    }
}

/// CPython's and Twisted's promise that `cancel` drops the function and what it holds.
#[test]
fn cancelling_drops_the_function_at_once() {
    let mut reactor = Reactor::new().unwrap();
    let held = Rc::new(());
    let inside = held.clone();
    let timer = reactor.call_later(HOUR, move |_| drop(inside));
    assert_eq!(Rc::strong_count(&held), 2);
    reactor.cancel_timer(timer);
    assert_eq!(Rc::strong_count(&held), 1);
}

both! {
    /// Twisted's `testCallLaterResetLater`, `testCallLaterResetSooner`, `test_callLaterReset`.
    fn reset_later_then_sooner_fires_once_at_the_last_deadline(world) {
        let log = Log::new();
        let (lines, real) = (log.clone(), world.is_real());
        inside(world, move |reactor| {
            let wanted = reactor.now() + MS * 2;
            let seen = lines.clone();
            let timer = reactor.call_later(MS * 4, move |reactor| {
                assert!(reactor.now() >= wanted);
                seen.push("fired");
            });
            assert!(reactor.reset_timer(timer, HOUR));
            assert!(reactor.reset_timer(timer, MS));
            assert!(reactor.reset_timer(timer, MS * 2));
            assert_due(reactor, timer, MS * 2, real);
            // Around it, so that its order shows.
            reactor.call_later(MS * 3, say(&lines, "after"));
            reactor.call_later(MS, say(&lines, "before"));
        });
        let begin = world.reactor().now();
        world.run().unwrap();
        assert_eq!(log.take(), ["before", "fired", "after"]);
        if !world.is_real() {
            assert_eq!(world.reactor().now() - begin, MS * 3, "nothing was left of the hour");
        }
    }
}

both! {
    /// Twisted's `test_callLaterResetKeepsCallsOrdered`,
    /// `test_callLaterResetInsideCallKeepsCallsOrdered`.
    fn a_reset_keeps_all_others_in_order(world) {
        let log = Log::new();
        let lines = log.clone();
        inside(world, move |reactor| {
            let (moved, seen) = (Later::default(), lines.clone());
            let target = moved.clone();
            reactor.call_later(MS, move |reactor| {
                seen.push("a");
                assert!(reactor.reset_timer(target.get().unwrap(), MS * 3)); // at 4
            });
            moved.set(Some(reactor.call_later(MS * 2, say(&lines, "moved"))));
            let outside = reactor.call_later(MS * 2, say(&lines, "d"));
            reactor.call_later(MS * 3, say(&lines, "b"));
            reactor.call_later(MS * 4, say(&lines, "c"));
            reactor.call_later(MS * 5, say(&lines, "e"));
            assert!(reactor.reset_timer(outside, MS * 4));
        });
        world.run().unwrap();
        let lines = log.take();
        if world.is_real() {
            // The turn in which `a` fired may have been a late one, and so the new deadline too.
            let others: Vec<&String> = lines.iter().filter(|line| *line != "moved").collect();
            assert_eq!(others, ["a", "b", "c", "d", "e"], "`d` was moved last, for as long as `c`");
            assert_eq!(lines.len(), 6);
        } else {
            assert_eq!(lines, ["a", "b", "moved", "d", "c", "e"], "equals in the order of making");
        }
    }
}

both! {
    /// Twisted's `test_distantDelayedCall`.
    fn the_longest_delay_is_taken_and_disturbs_nobody(world) {
        let log = Log::new();
        let reactor = world.reactor();
        let distant = reactor.call_later(Duration::MAX, say(&log, "distant"));
        let moved = reactor.call_later(MS, say(&log, "moved"));
        assert!(reactor.reset_timer(moved, Duration::MAX));
        let every = reactor.call_every(Duration::MAX, |_, _| {});
        for timer in [distant, moved, every] {
            assert!(reactor.timer_deadline(timer).unwrap() > reactor.now() + HOUR * 24 * 365 * 90);
        }
        reactor.call_later(MS, say(&log, "near"));
        world.until("the near one", |_| log.has("near"));
        world.quiet();
        let reactor = world.reactor();
        for timer in [distant, moved, every] {
            assert!(reactor.cancel_timer(timer));
        }
        world.run().unwrap();
        assert_eq!(log.take(), ["near"]);
    }
}

/// Twisted's `test_distantDelayedCall`: the sleep itself.
#[test]
fn a_sleep_until_the_longest_delay_can_be_woken_from() {
    let mut world = World::real();
    world.reactor().call_later(Duration::MAX, |_| {});
    let handle = world.reactor().handle();
    let poster = thread::spawn(move || handle.stop());
    world.run().unwrap();
    assert!(poster.join().unwrap());
}

both! {
    /// Twisted's `test_delayedCallStopsReactor`.
    fn a_timer_that_stops_the_reactor_ends_the_run(world) {
        let log = Log::new();
        let reactor = world.reactor();
        reactor.call_later(HOUR, say(&log, "never"));
        reactor.call_later(MS, Reactor::stop);
        world.run().unwrap();
        assert_eq!(log.len(), 0);
        if !world.is_real() {
            // A timer that was dropped must not wind the clock either.
            let begin = world.reactor().now();
            world.run().unwrap();
            assert_eq!(world.reactor().now(), begin);
        }
    }
}

/// Derived from the code of Twisted's `runUntilCurrent`.
#[test]
fn a_panic_in_a_timer_is_logged_others_fire() {
    let mut world = World::real();
    let log = Log::new();
    logged();
    let lines = log.clone();
    inside(&mut world, move |reactor| {
        let first = say_turn(&lines, "first");
        reactor.call_later(MS, move |reactor| {
            first(reactor);
            panic!("on purpose");
        });
        reactor.call_later(MS, say_turn(&lines, "second"));
        reactor.call_later(MS, say_turn(&lines, "third"));
    });
    world.run().unwrap();
    let lines = log.take();
    let turn = lines[0].strip_prefix("first ").unwrap();
    assert_eq!(lines[1..], [format!("second {turn}"), format!("third {turn}")]);
    let logged = logged();
    let panics: Vec<&String> = logged.iter().filter(|line| line.contains("on purpose")).collect();
    assert_eq!(panics.len(), 1, "{logged:?}");
    assert!(panics[0].starts_with("ERROR"), "{logged:?}");
    assert_eq!(world.reactor().stats().panics, 1);
}

/// The simulation's promise that an assertion inside a callback fails the test.
#[test]
fn in_a_simulation_a_panic_in_a_timer_surfaces() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    simulation.reactor().call_later(SECOND, |_| panic!("on purpose"));
    simulation.reactor().call_later(SECOND, say(&log, "second"));
    let result = catch_unwind(AssertUnwindSafe(|| simulation.advance(SECOND)));
    assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"on purpose"));
    simulation.settle();
    assert_eq!(log.take(), ["second"]);
    simulation.reactor().run().unwrap();
}

/// The same for a timer that repeats: it has ended, and `run` does not wait for it.
#[test]
fn in_a_simulation_a_panic_in_a_tick_ends_it() {
    let mut simulation = Simulation::new();
    simulation.reactor().call_every(SECOND, |_, _| panic!("on purpose"));
    let result = catch_unwind(AssertUnwindSafe(|| simulation.advance(SECOND)));
    assert!(result.is_err());
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.elapsed(), SECOND);
}

/// Derived from the purge rule in Twisted's `_cancelCallLater`, and aiohttp's pull request 8608.
/// (That the heap itself stays small is tested beside it.)
#[test]
fn a_hundred_thousand_timers_made_and_cancelled_leave_nothing() {
    let mut simulation = Simulation::new();
    let held = Rc::new(());
    let reactor = simulation.reactor();
    let timers: Vec<TimerId> = (0..100_000)
        .map(|delay| {
            let held = held.clone();
            reactor.call_later(SECOND * (delay % 97), move |_| drop(held))
        })
        .collect();
    assert_eq!(Rc::strong_count(&held), 100_001);
    for timer in timers {
        assert!(reactor.cancel_timer(timer));
    }
    assert_eq!(Rc::strong_count(&held), 1);
    reactor.run().unwrap();
    assert_eq!(reactor.stats().timers, 0);
    assert_eq!(simulation.elapsed(), Duration::ZERO, "nothing was left to wait for");
}

/// Twisted's `test_reactorTimeSkips`, `test_reactorTimeCountSkips`,
/// `test_countLengthyIntervalCounts`.
#[test]
fn late_ticks_are_left_out_counted_and_stay_on_grid() {
    const INTERVAL: Duration = Duration::from_millis(5);
    let mut world = World::real();
    let ticks = Rc::new(RefCell::new(Vec::new()));
    let deadlines = Rc::new(RefCell::new(Vec::new()));
    let (seen, next) = (ticks.clone(), deadlines.clone());
    let timer = world.reactor().call_every(INTERVAL, move |reactor, tick| {
        seen.borrow_mut().push((reactor.now(), tick.missed));
        let next = next.clone();
        reactor
            .call_soon(move |reactor| next.borrow_mut().extend(reactor.timer_deadline(tick.timer)));
        if seen.borrow().len() == 1 {
            thread::sleep(INTERVAL * 7 / 2); // a lengthy one: three ticks fall into it
        }
        if seen.borrow().len() == 6 {
            assert!(reactor.cancel_timer(tick.timer));
        }
    });
    let start = world.reactor().timer_deadline(timer).unwrap() - INTERVAL;
    world.run().unwrap();
    let (ticks, deadlines) = (ticks.take(), deadlines.take());
    assert_eq!(ticks.len(), 6);
    assert_eq!(deadlines.len(), 5, "the last was cancelled");
    let mut count = 0;
    for (index, (now, missed)) in ticks.iter().enumerate() {
        // However late the loop is: of the grid's points so far each was ticked or counted missed.
        count += 1 + u32::try_from(*missed).unwrap();
        assert!(*now >= start + INTERVAL * count, "tick {index} is early");
        assert!(*now < start + INTERVAL * (count + 1), "tick {index} left nothing out in time");
        if let Some(deadline) = deadlines.get(index) {
            assert_eq!(*deadline, start + INTERVAL * (count + 1), "off the grid after {index}");
        }
    }
    assert!(ticks[1].1 >= 2, "{} were missed while the first took its time", ticks[1].1);
}

/// Twisted's `test_withCountFloatingPointBoundary`.
#[test]
fn ten_thousand_ticks_do_not_drift() {
    const INTERVAL: Duration = Duration::from_nanos(100_000_001);
    let mut simulation = Simulation::new();
    let reactor = simulation.reactor();
    let start = reactor.now();
    let mut count = 0;
    reactor.call_every(INTERVAL, move |reactor, tick| {
        count += 1;
        assert_eq!(reactor.now() - start, INTERVAL * count);
        assert_eq!(tick.missed, 0);
        if count == 10_000 {
            reactor.cancel_timer(tick.timer);
        }
    });
    reactor.run().unwrap();
    assert_eq!(reactor.stats().timers, 10_000);
    assert_eq!(simulation.elapsed(), INTERVAL * 10_000);
}

both! {
    /// Twisted's `test_withCountIntervalZero`.
    fn with_no_interval_it_ticks_once_every_turn(world) {
        let (log, mut far) = world.served("a", |a| a.with_data());
        let ticks = Rc::new(Cell::new(0));
        let count = ticks.clone();
        let timer = world.reactor().call_every(Duration::ZERO, move |_, tick| {
            assert_eq!(tick.missed, 0);
            count.set(count.get() + 1);
        });
        let before = turns(world.reactor());
        far.send(b"x");
        world.until("the bytes", |_| log.has("a data x"));
        world.quiet();
        assert_eq!(ticks.get(), turns(world.reactor()) - before);
        assert!(world.reactor().cancel_timer(timer));
        let before = ticks.get();
        world.quiet();
        assert_eq!(ticks.get(), before);
        assert_eq!(world.reactor().stats().panics, 0);
    }
}

/// Records how late timers fire.
struct Lateness(Rc<RefCell<Vec<Duration>>>);

impl Observer for Lateness {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        if let Notice::Timer { event: TimerEvent::Fired(late), .. } = notice {
            self.0.borrow_mut().push(*late);
        }
    }
}

/// A timer without interval is due again in each turn, so it is never later than the last one.
#[test]
fn with_no_interval_the_lateness_does_not_add_up() {
    let mut world = World::real();
    let (late, moments) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    world.reactor().set_observer(Some(Box::new(Lateness(late.clone()))));
    let seen = moments.clone();
    world.reactor().call_every(Duration::ZERO, move |reactor, tick| {
        seen.borrow_mut().push(reactor.now());
        match seen.borrow().len() {
            1 => thread::sleep(MS * 5),
            4 => drop(reactor.cancel_timer(tick.timer)),
            _ => {}
        }
    });
    world.run().unwrap();
    let (late, moments) = (late.take(), moments.take());
    assert_eq!((late.len(), moments.len()), (4, 4));
    for index in 1..4 {
        let since = moments[index] - moments[index - 1];
        assert!(late[index] <= since, "{:?} late, {since:?} after the last", late[index]);
    }
}

/// Observers learn the lateness of each timer that fires.
#[test]
fn a_simulated_timer_is_never_late() {
    let mut simulation = Simulation::new();
    let late = Rc::new(RefCell::new(Vec::new()));
    simulation.reactor().set_observer(Some(Box::new(Lateness(late.clone()))));
    for delay in [3, 1, 7] {
        simulation.reactor().call_later(MS * delay, |_| {});
    }
    simulation.advance(SECOND);
    assert_eq!(late.take(), [Duration::ZERO; 3]);
}

both! {
    /// Twisted's `testStopAtOnce`.
    fn a_repeating_timer_can_cancel_itself_in_its_first_tick(world) {
        let log = Log::new();
        let lines = log.clone();
        world.reactor().call_every(MS, move |reactor, tick| {
            assert_eq!(reactor.timer_deadline(tick.timer), None, "as while it fires");
            lines.push(format!("tick {}", reactor.cancel_timer(tick.timer)));
            lines.push(format!("again {}", reactor.cancel_timer(tick.timer)));
            // The slot it leaves is taken at once, by another that shall not suffer from it.
            let lines = lines.clone();
            reactor.call_later(MS * 3, move |_| lines.push("the next tenant"));
        });
        world.run().unwrap();
        assert_eq!(log.take(), ["tick true", "again false", "the next tenant"]);
        assert_eq!(world.reactor().stats().panics, 0);
    }
}

both! {
    /// Twisted's `testDelayedStart`: cancelled before the first tick.
    fn a_repeating_timer_ticks_first_after_one_interval(world) {
        let log = Log::new();
        let (lines, begin) = (log.clone(), world.reactor().now());
        world.reactor().call_every(MS * 2, move |reactor, tick| {
            assert!(reactor.now() >= begin + MS * 2);
            lines.push("first tick");
            reactor.cancel_timer(tick.timer);
        });
        let lines = log.clone();
        let cancelled = world.reactor().call_every(MS, move |_, _| lines.push("cancelled"));
        assert!(world.reactor().cancel_timer(cancelled));
        world.run().unwrap();
        assert_eq!(log.take(), ["first tick"]);
        assert_eq!(world.reactor().stats().panics, 0);
    }
}

/// Twisted's `LoopingCall` `test_reset`.
#[test]
fn resetting_a_repeating_timer_begins_a_new_grid() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let (lines, start) = (log.clone(), simulation.reactor().now());
    let timer = simulation.reactor().call_every(SECOND * 10, move |reactor, tick| {
        assert_eq!(reactor.timer_deadline(tick.timer), None, "it fires");
        lines.push(format!("{} {}", (reactor.now() - start).as_secs(), tick.missed));
    });
    simulation.advance(SECOND * 14);
    assert!(simulation.reactor().reset_timer(timer, SECOND * 10));
    simulation.advance(SECOND * 20);
    assert_eq!(log.take(), ["10 0", "24 0", "34 0"]);
    assert!(simulation.reactor().reset_timer(timer, SECOND), "to sooner");
    simulation.advance(SECOND * 12);
    assert_eq!(log.take(), ["35 0", "45 0"]);
}

/// Twisted's `testFailure`.
#[test]
fn a_panic_in_a_tick_ends_it_and_is_logged() {
    let mut world = World::real();
    let log = Log::new();
    logged();
    let (lines, mut count) = (log.clone(), 0);
    world.reactor().call_every(MS, move |_, _| {
        count += 1;
        lines.push(format!("tick {count}"));
        assert_ne!(count, 2, "on purpose");
    });
    world.run().unwrap();
    assert_eq!(log.take(), ["tick 1", "tick 2"]);
    let logged = logged();
    assert_eq!(logged.iter().filter(|line| line.contains("on purpose")).count(), 1, "{logged:?}");
    let lines = log.clone();
    world.reactor().call_every(MS, move |reactor, tick| {
        lines.push("another");
        reactor.cancel_timer(tick.timer);
    });
    world.run().unwrap();
    assert_eq!(log.take(), ["another"]);
}

/// Twisted's `testAdvance`, and the code of its `Clock`.
#[test]
fn one_advance_fires_all_due_timers_at_their_moments() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let start = simulation.reactor().now();
    let at = move |log: &Log, name: &'static str| {
        let log = log.clone();
        move |reactor: &mut Reactor| {
            log.push(format!("{name} at {}", (reactor.now() - start).as_secs()));
        }
    };
    let (first, made) = (at(&log, "one"), at(&log, "two, made by one"));
    simulation.reactor().call_later(SECOND, move |reactor| {
        first(reactor);
        reactor.call_later(SECOND, made);
    });
    simulation.reactor().call_later(SECOND * 2, at(&log, "two"));
    simulation.reactor().call_later(SECOND * 10, at(&log, "ten"));
    simulation.reactor().call_later(SECOND * 10 + MS, at(&log, "later"));
    simulation.advance(SECOND - Duration::from_nanos(1));
    assert_eq!(log.len(), 0, "short of the first");
    simulation.advance(SECOND * 9 + Duration::from_nanos(1));
    assert_eq!(log.take(), ["one at 1", "two at 2", "two, made by one at 2", "ten at 10"]);
    assert_eq!(simulation.elapsed(), SECOND * 10);
}

/// Random timers against a list that is searched.
#[test]
fn random_timers_fire_in_order_once_and_on_time() {
    for seed in 1..=30_u64 {
        let mut simulation = Simulation::new();
        let mut random = seed;
        let mut below = move |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let fired = Rc::new(RefCell::new(Vec::new()));
        // Deadline, order of making, name; in the list as long as it is pending.
        let mut pending: Vec<(Instant, usize, TimerId)> = Vec::new();
        for order in 0..2_000 {
            let reactor = simulation.reactor();
            let now = reactor.now();
            let delay = MS * u32::try_from(below(40)).unwrap();
            match below(4) {
                0 | 1 => {
                    let fired = fired.clone();
                    let timer = reactor.call_later(delay, move |_| fired.borrow_mut().push(order));
                    pending.push((now + delay, order, timer));
                }
                2 if !pending.is_empty() => {
                    let index = below(pending.len() as u64) as usize;
                    assert!(reactor.reset_timer(pending[index].2, delay), "seed {seed}");
                    pending[index].0 = now + delay;
                }
                _ if !pending.is_empty() => {
                    let (_, _, timer) = pending.swap_remove(below(pending.len() as u64) as usize);
                    assert!(reactor.cancel_timer(timer), "seed {seed}");
                }
                _ => {}
            }
            let earliest = pending.iter().map(|(deadline, ..)| *deadline).min();
            let told = simulation.reactor().next_deadline();
            assert!(
                earliest.is_none_or(|earliest| told.is_some_and(|told| told <= earliest)),
                "next_deadline is late with seed {seed}"
            );
            if below(3) == 0 {
                simulation.advance(MS * u32::try_from(below(6)).unwrap());
                let now = simulation.reactor().now();
                let mut due: Vec<_> = pending.extract_if(.., |timer| timer.0 <= now).collect();
                due.sort();
                let due: Vec<usize> = due.into_iter().map(|(_, order, _)| order).collect();
                assert_eq!(fired.take(), due, "seed {seed}");
            }
        }
    }
}

#[test]
fn ten_thousand_years_are_a_deadline_like_any_other() {
    let years = Duration::from_secs(10_000 * 365 * 24 * 3600);
    let mut reactor = Reactor::new().unwrap();
    let timer = reactor.call_later(years, |_| {});
    assert!(reactor.next_deadline().is_some());
    reactor.turn(Some(Duration::ZERO)).unwrap();
    reactor.call_soon(move |reactor| assert!(reactor.cancel_timer(timer)));
    reactor.run().unwrap();

    let mut simulation = Simulation::new();
    let fired = Rc::new(Cell::new(false));
    let fire = Rc::clone(&fired);
    simulation.reactor().call_later(years, move |_| fire.set(true));
    simulation.reactor().run().unwrap();
    assert!(fired.get());
    assert_eq!(simulation.elapsed(), years);
}

#[test]
fn a_million_timers() {
    const COUNT: u32 = 1_000_000;
    let mut simulation = Simulation::new();
    let fired = Rc::new(Cell::new(0));
    let mut timers: Vec<TimerId> = Vec::new();
    for number in 0..COUNT {
        // Delays all over a second, in no order.
        let delay =
            Duration::from_micros(u64::from(number.wrapping_mul(2_654_435_761) % 1_000_000));
        let fire = Rc::clone(&fired);
        timers.push(simulation.reactor().call_later(delay, move |_| fire.set(fire.get() + 1)));
    }
    for timer in timers.iter().step_by(2) {
        assert!(simulation.reactor().cancel_timer(*timer));
    }
    for timer in timers.iter().skip(1).step_by(4) {
        assert!(simulation.reactor().reset_timer(*timer, Duration::from_secs(2)));
    }
    simulation.advance(Duration::from_secs(1));
    assert_eq!(fired.get(), COUNT / 4);
    simulation.advance(Duration::from_secs(1));
    assert_eq!(fired.get(), COUNT / 2);
    assert_eq!(simulation.reactor().next_deadline(), None);
}

#[test]
fn while_the_clock_stands_still_everything_else_goes_on() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    simulation.reactor().call_later(Duration::from_nanos(1), say(&log, "fired"));
    let mut peer = simulation.connect(Recorder::new(&log, "a").echoing());
    for _ in 0..1000 {
        assert_eq!(peer.send(b"x"), 1);
        simulation.settle();
        assert_eq!(peer.received(), b"x");
    }
    assert!(!log.has("fired"));
    simulation.advance(Duration::from_nanos(1));
    assert!(log.has("fired"));
}
