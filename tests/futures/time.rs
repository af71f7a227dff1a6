//! Sleeps, timeouts, intervals.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crocus::Reactor;
use crocus::futures::*;
use crocus::testing::Simulation;

use crate::util::{HOUR, MS, SECOND, World};

/// The time of the reactor of this task.
fn now() -> std::time::Instant {
    Reactor::with_lent(|reactor| reactor.now()).unwrap()
}

both! {
    fn a_sleep_is_never_too_short(world) {
        for delay in [Duration::ZERO, MS, 7 * MS] {
            let slept = run_until(world.reactor(), async move {
                let begin = now();
                sleep(delay).await;
                now() - begin
            });
            assert!(slept.unwrap() >= delay);
        }
    }
}

both! {
    fn a_sleep_until_the_past_ends_in_the_next_turn(world) {
        let past = world.reactor().now();
        run_until(world.reactor(), sleep_until(past)).unwrap();
    }
}

both! {
    fn a_sleep_that_is_dropped_leaves_no_timer(world) {
        run_until(world.reactor(), async {
            let mut long = Box::pin(sleep(HOUR));
            poll_fn(|cx| {
                assert!(long.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(long);
        })
        .unwrap();
        assert_eq!(world.reactor().next_deadline(), None);
    }
}

#[test]
fn a_sleep_that_is_dropped_outside_of_its_task_leaves_no_timer() {
    let mut simulation = Simulation::new();
    let place: Rc<RefCell<Option<Pin<Box<Sleep>>>>> = Rc::default();
    let kept = Rc::clone(&place);
    run_until(simulation.reactor(), async move {
        let mut long = Box::pin(sleep(HOUR));
        poll_fn(|cx| Poll::Ready(long.as_mut().poll(cx).is_pending())).await;
        *kept.borrow_mut() = Some(long);
    })
    .unwrap();
    assert!(simulation.reactor().next_deadline().is_some());
    drop(place.take());
    simulation.settle();
    assert_eq!(simulation.reactor().next_deadline(), None);
}

#[test]
fn a_sleep_that_other_wakers_poll_makes_no_call() {
    /// Wakes a task by another waker than its own.
    struct Other(Waker);

    impl Wake for Other {
        fn wake(self: Arc<Self>) {
            self.0.wake_by_ref();
        }
    }

    let mut simulation = Simulation::new();
    let task = spawn(simulation.reactor(), async {
        let mut sleep = sleep(HOUR);
        for _ in 0..10 {
            let mut poll = |cx: &mut Context<'_>| {
                let other = Waker::from(Arc::new(Other(cx.waker().clone())));
                Pin::new(&mut sleep).poll(&mut Context::from_waker(&other))
            };
            assert!(poll_fn(|cx| Poll::Ready(poll(cx).is_pending())).await);
        }
        poll_fn(|cx| Pin::new(&mut sleep).poll(cx)).await;
    });
    simulation.settle();
    assert_eq!(simulation.reactor().stats().calls, 1);
    simulation.advance(HOUR);
    assert!(task.is_finished());
}

#[test]
fn a_sleep_that_moves_to_another_task_wakes_that_one() {
    let mut simulation = Simulation::new();
    let elapsed = run_until(simulation.reactor(), async {
        let begin = now();
        let mut moving = Box::pin(sleep(SECOND));
        poll_fn(|cx| Poll::Ready(moving.as_mut().poll(cx).is_pending())).await;
        sleep(400 * MS).await;
        spawn_local(async move {
            moving.await;
            now() - begin
        })
        .await
        .unwrap()
    });
    assert_eq!(elapsed.unwrap(), SECOND);
}

both! {
    fn a_timeout_gives_the_output_that_is_there_in_time(world) {
        let output = run_until(world.reactor(), timeout(HOUR, async { 42 })).unwrap();
        assert_eq!(output.unwrap(), 42);
        let slow = run_until(world.reactor(), timeout(MS, pending::<()>())).unwrap();
        assert_eq!(slow.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(world.reactor().next_deadline(), None);
    }
}

#[test]
fn an_interval_keeps_to_its_grid_and_leaves_out_what_is_late() {
    let mut simulation = Simulation::new();
    let clock = simulation.clock();
    let ticks = run_until(simulation.reactor(), async move {
        let begin = now();
        let mut interval = interval(SECOND);
        let mut ticks = Vec::new();
        for busy in [0, 300, 2500, 0, 1000, 0] {
            let missed = interval.tick().await;
            ticks.push(((now() - begin).as_millis(), missed));
            clock.advance(busy * MS);
        }
        ticks
    });
    let expected = [(1000, 0), (2000, 0), (3000, 0), (5500, 1), (6000, 0), (7000, 0)];
    assert_eq!(ticks.unwrap(), expected);
    assert_eq!(simulation.reactor().next_deadline(), None);
}
