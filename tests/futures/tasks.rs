//! Tasks: spawning, joining, aborting, panics, names, wakes.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crocus::futures::*;
use crocus::{Reactor, Transport};

use crate::util::{MS, World, logged};

/// Sets its cell when it is dropped.
struct Flag(Rc<Cell<bool>>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

fn flag() -> (Flag, Rc<Cell<bool>>) {
    let cell = Rc::default();
    (Flag(Rc::clone(&cell)), cell)
}

/// Lets others go on, until the next turn.
async fn yield_now() {
    let mut woken = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut woken, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

both! {
    fn a_task_runs_to_its_end_and_its_handle_gives_the_output(world) {
        let task = spawn(world.reactor(), async { 6 * 7 });
        assert!(!task.is_finished(), "it is not polled at once");
        world.run().unwrap();
        assert!(task.is_finished());
        assert_eq!(task.take().unwrap().unwrap(), 42);
        assert!(task.take().is_none(), "it is given once");
        assert_eq!(task_count(world.reactor()), 0);
    }
}

both! {
    fn a_task_waits_for_those_that_it_has_spawned(world) {
        let sum = run_until(world.reactor(), async {
            let tasks: Vec<_> = (1..=10).map(|number| spawn_local(async move { number })).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            sum
        });
        assert_eq!(sum.unwrap(), 55);
    }
}

both! {
    fn a_task_without_a_handle_goes_on(world) {
        let (flag, dropped) = flag();
        drop(spawn(world.reactor(), async move {
            sleep(MS).await;
            drop(flag);
        }));
        world.run().unwrap();
        assert!(dropped.get());
    }
}

both! {
    fn an_aborted_task_is_dropped_where_it_waits(world) {
        let (flag, dropped) = flag();
        let task = spawn(world.reactor(), async move {
            let _flag = flag;
            pending::<()>().await;
        });
        world.turn();
        task.abort();
        assert!(!dropped.get(), "not inside of the call");
        world.turn();
        assert!(dropped.get() && task.is_finished());
        assert!(matches!(task.take(), Some(Err(JoinError::Aborted))));
        assert_eq!(task_count(world.reactor()), 0);
        task.abort();
        world.quiet();
    }
}

both! {
    fn a_task_that_was_never_polled_can_be_aborted(world) {
        let (flag, dropped) = flag();
        let task = spawn(world.reactor(), async move { drop(flag) });
        task.abort();
        world.run().unwrap();
        assert!(dropped.get());
        assert!(matches!(task.take(), Some(Err(JoinError::Aborted))));
    }
}

both! {
    fn a_task_can_abort_itself(world) {
        let (flag, dropped) = flag();
        let task: Rc<Cell<Option<JoinHandle<()>>>> = Rc::default();
        let own = Rc::clone(&task);
        task.set(Some(spawn(world.reactor(), async move {
            let _flag = flag;
            own.take().unwrap().abort();
            pending::<()>().await;
        })));
        world.quiet();
        assert!(dropped.get());
    }
}

both! {
    fn a_panic_is_the_outcome_of_its_task_and_costs_no_other(world) {
        let clumsy = spawn(world.reactor(), async {
            yield_now().await;
            panic!("on purpose");
        });
        let other = spawn(world.reactor(), async {
            sleep(MS).await;
            "fine"
        });
        world.run().unwrap();
        let Some(Err(JoinError::Panicked(panic))) = clumsy.take() else { panic!("no panic") };
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
        assert_eq!(other.take().unwrap().unwrap(), "fine");
        assert_eq!(world.reactor().stats().panics, 0, "it was told to the holder of its handle");
    }
}

/// A task's handle, where its own future finds it.
type Own = Rc<RefCell<Option<JoinHandle<u8>>>>;

/// Is ready at once. Its drop looks for its outcome, and may panic.
struct Looks {
    own: Own,
    seen: Rc<RefCell<Vec<(bool, bool)>>>,
    panics: bool,
}

impl Future for Looks {
    type Output = u8;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u8> {
        Poll::Ready(5)
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        let own = self.own.borrow();
        let own = own.as_ref().unwrap();
        self.seen.borrow_mut().push((own.is_finished(), own.take().is_some()));
        assert!(!self.panics, "on purpose");
    }
}

both! {
    fn an_outcome_is_not_there_while_the_future_is_dropped(world) {
        for panics in [false, true] {
            let (own, seen) = (Own::default(), Rc::<RefCell<Vec<_>>>::default());
            let future = Looks { own: Rc::clone(&own), seen: Rc::clone(&seen), panics };
            let task = spawn(world.reactor(), future);
            *own.borrow_mut() = Some(task);
            world.run().unwrap();
            assert_eq!(*seen.borrow(), [(false, false)], "{panics}");
            let task = own.take().unwrap();
            assert!(task.is_finished());
            match task.take() {
                Some(Ok(5)) if !panics => {}
                Some(Err(JoinError::Panicked(panic))) if panics => {
                    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
                }
                other => panic!("{panics} {other:?}"),
            }
            assert!(task.take().is_none(), "an outcome is given once");
        }
    }
}

#[test]
fn the_loop_reports_a_panic_that_no_handle_gets() {
    let mut world = World::real();
    logged();
    drop(spawn_named(world.reactor(), "clumsy", async { panic!("on purpose") }));
    world.run().unwrap();
    assert_eq!(world.reactor().stats().panics, 1);
    let lines = logged().join("\n");
    assert!(lines.contains("clumsy") && lines.contains("on purpose"), "{lines}");
    assert_eq!(task_count(world.reactor()), 0);
}

#[test]
fn a_simulation_lets_a_panic_through_that_no_handle_gets() {
    let mut world = World::simulated();
    drop(spawn(world.reactor(), async { panic!("on purpose") }));
    let run = catch_unwind(AssertUnwindSafe(|| world.reactor().run()));
    assert_eq!(run.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(task_count(world.reactor()), 0);
}

both! {
    fn run_until_lets_the_panic_of_its_future_through(world) {
        let reactor = world.reactor();
        let run = catch_unwind(AssertUnwindSafe(|| {
            run_until(reactor, async { panic!("on purpose") })
        }));
        let panic = run.map(|result: std::io::Result<()>| result.unwrap()).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    }
}

both! {
    fn run_until_leaves_everything_else_as_it_is(world) {
        let other = spawn(world.reactor(), async {
            sleep(20 * MS).await;
            "later"
        });
        assert_eq!(run_until(world.reactor(), async { "soon" }).unwrap(), "soon");
        assert!(!other.is_finished());
        world.run().unwrap();
        assert_eq!(other.take().unwrap().unwrap(), "later");
    }
}

both! {
    fn tasks_inherit_the_name_of_their_maker(world) {
        let names = run_until(world.reactor(), async {
            let name = || Reactor::with_lent(|reactor| reactor.name()).unwrap();
            let own = name();
            let named = Reactor::with_lent(|reactor| {
                spawn_named(reactor, "cache", async move {
                    sleep(MS).await; // the name is that of each poll
                    (name(), spawn_local(async move { name() }).await.unwrap())
                })
            });
            (own, named.unwrap().await.unwrap())
        });
        assert_eq!(names.unwrap(), (Some("task"), (Some("cache"), Some("cache"))));
    }
}

/// The other tasks take no time, so that the name is the right one.
#[test]
fn the_warning_of_a_slow_callback_names_the_task_that_did_not_yield() {
    let mut world = World::Simulated(crocus::testing::Simulation::new());
    let World::Simulated(simulation) = &mut world else { unreachable!() };
    let clock = simulation.clock();
    for name in ["quick", "slow", "brisk"] {
        let clock = clock.clone();
        drop(spawn_named(simulation.reactor(), name, async move {
            yield_now().await;
            if name == "slow" {
                clock.advance(500 * MS);
            }
        }));
    }
    logged();
    simulation.settle();
    let lines = logged();
    assert!(lines.len() == 1 && lines[0].contains("a call of slow took 500ms"), "{lines:?}");
}

both! {
    fn a_task_that_wakes_itself_is_polled_once_in_a_turn(world) {
        let polls = Rc::new(Cell::new(0));
        let counting = Rc::clone(&polls);
        let task = spawn(world.reactor(), poll_fn(move |cx| -> Poll<()> {
            counting.set(counting.get() + 1);
            cx.waker().wake_by_ref();
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        for turns in 1..=10 {
            world.turn();
            assert_eq!(polls.get(), turns);
        }
        task.abort();
    }
}

both! {
    fn wakes_of_a_task_that_is_over_have_no_effect(world) {
        let kept: Rc<Cell<Option<Waker>>> = Rc::default();
        let keeping = Rc::clone(&kept);
        drop(spawn(world.reactor(), poll_fn(move |cx| {
            keeping.set(Some(cx.waker().clone()));
            Poll::Ready(())
        })));
        world.run().unwrap();
        let waker = kept.take().unwrap();
        let next = spawn(world.reactor(), pending::<()>()); // has the place of the first
        world.run().unwrap();
        let calls = world.reactor().stats().calls;
        waker.wake();
        assert!(!world.reactor().has_work());
        assert_eq!(world.reactor().stats().calls, calls);
        assert!(!next.is_finished());
    }
}

#[test]
fn a_thread_wakes_a_task() {
    let mut world = World::real();
    let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let set = std::sync::Arc::clone(&done);
    let thread = std::thread::spawn(move || {
        let waker = receiver.recv().unwrap();
        set.store(true, std::sync::atomic::Ordering::SeqCst);
        waker.wake();
    });
    let hold = world.reactor().hold(); // the thread will wake
    let task = spawn(world.reactor(), async move {
        poll_fn(|cx| match done.load(std::sync::atomic::Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => {
                let _ = sender.send(cx.waker().clone());
                Poll::Pending
            }
        })
        .await;
        drop(hold);
    });
    world.run().unwrap();
    thread.join().unwrap();
    assert!(task.is_finished());
}

#[test]
fn wakes_of_many_threads_are_not_lost() {
    const THREADS: usize = 4;
    const WAKES: usize = 2_000;
    let mut world = World::real();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let hold = world.reactor().hold();
    let seen = std::sync::Arc::clone(&count);
    let task = spawn(world.reactor(), async move {
        let mut threads = Vec::new();
        poll_fn(|cx| {
            while threads.len() < THREADS {
                let (waker, count) = (cx.waker().clone(), std::sync::Arc::clone(&seen));
                threads.push(std::thread::spawn(move || {
                    for _ in 0..WAKES {
                        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        waker.wake_by_ref();
                    }
                }));
            }
            let all = seen.load(std::sync::atomic::Ordering::SeqCst) == THREADS * WAKES;
            if all { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(hold);
    });
    world.run().unwrap();
    assert!(task.is_finished());
}

both! {
    fn work_in_a_thread_gives_its_result_to_the_task(world) {
        let (fine, panicked) = run_until(world.reactor(), async {
            let fine = call_in_thread(|| 6 * 7).await;
            (fine, call_in_thread(|| -> u32 { panic!("on purpose") }).await)
        })
        .unwrap();
        assert_eq!(fine.unwrap(), 42);
        assert_eq!(panicked.unwrap_err().to_string(), "the work in a thread panicked: on purpose");
    }
}

both! {
    fn outside_of_a_task_the_functions_complain(world) {
        assert_eq!(listen("127.0.0.1:0").unwrap_err().kind(), std::io::ErrorKind::NotConnected);
        assert_eq!(listen_udp("127.0.0.1:0").unwrap_err().kind(), std::io::ErrorKind::NotConnected);
        let complaint = catch_unwind(|| drop(spawn_local(async {}))).unwrap_err();
        assert_eq!(
            complaint.downcast_ref(),
            Some(&"it works in a task of a reactor, and this is none".to_owned())
        );
        world.quiet();
    }
}

/// A task may be spawned by a callback, where the reactor is at hand.
struct Spawner(Rc<Cell<bool>>);

impl crocus::Protocol for Spawner {
    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        let (id, done) = (transport.id(), Rc::clone(&self.0));
        drop(spawn(transport.reactor(), async move {
            let wrote = Reactor::with_lent(|it| it.transport(id).unwrap().write(b"answer"));
            done.set(wrote == Some(true));
        }));
    }
}

both! {
    fn a_callback_spawns_a_task_which_answers_in_the_same_turn(world) {
        let done = Rc::new(Cell::new(false));
        let making = Rc::clone(&done);
        let (_, addr) = world.listen(move |_| Spawner(Rc::clone(&making)));
        let mut far = world.dial(addr);
        far.send(b"question");
        let mut all = Vec::new();
        world.until("the answer", |_| {
            far.take_some(&mut all).unwrap();
            all == b"answer"
        });
        assert!(done.get());
    }
}

/// An echo of one byte at a time, in the simulation, where no turn is for something else.
#[test]
fn a_message_to_a_task_is_answered_in_one_turn() {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};

    let mut simulation = crocus::testing::Simulation::new();
    drop(spawn(simulation.reactor(), async {
        let mut incoming = listen("127.0.0.1:7").unwrap();
        let mut peer = incoming.accept().await.unwrap();
        let mut byte = [0];
        while peer.read(&mut byte).await.unwrap() > 0 {
            peer.write_all(&byte).await.unwrap();
        }
    }));
    simulation.settle();
    let mut peer = simulation.dial("127.0.0.1:7");
    simulation.settle();
    for byte in 0..10 {
        peer.send(&[byte]);
        let report = simulation.turn();
        assert_eq!((report.served, report.calls), (1, 0), "one poll, in the callback");
        assert_eq!(peer.received(), [byte]);
        assert_eq!(simulation.reactor().next_deadline(), None, "nothing is left to be done");
    }
}
