//! The end of a run: done, nobody left, stop, shutdown.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::ErrorKind;
use std::rc::Rc;

use crocus::futures::*;
use crocus::{Ended, Reactor};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::util::{HOUR, MS, SECOND, World};

struct Said(Rc<RefCell<Vec<&'static str>>>, &'static str);

impl Drop for Said {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

both! {
    fn run_returns_when_nobody_can_wake_the_tasks(world) {
        let task = spawn(world.reactor(), pending::<()>());
        world.run().unwrap();
        assert_eq!(world.reactor().ended(), Some(Ended::NothingLeft));
        assert!(!task.is_finished());
        assert_eq!(task_count(world.reactor()), 1, "it waits on, for another run");
        task.abort();
        world.run().unwrap();
        assert!(task.is_finished());
    }
}

both! {
    fn run_until_says_that_nobody_can_wake_its_future(world) {
        let error = run_until(world.reactor(), pending::<()>()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock);
        assert_eq!(task_count(world.reactor()), 0, "it is dropped");
    }
}

both! {
    fn two_tasks_that_wait_for_each_other_keep_nothing_running(world) {
        let place: Rc<Cell<Option<JoinHandle<()>>>> = Rc::default();
        let other = Rc::clone(&place);
        let one = spawn(world.reactor(), async move { other.take().unwrap().await.unwrap() });
        place.set(Some(spawn(world.reactor(), async move { one.await.unwrap() })));
        world.run().unwrap();
        assert_eq!(task_count(world.reactor()), 2);
    }
}

both! {
    fn a_hold_keeps_the_reactor_running_for_a_task(world) {
        let hold = world.reactor().hold();
        let task = spawn(world.reactor(), async move {
            let _hold = hold;
            for _ in 0..3 {
                sleep(MS).await;
            }
        });
        world.run().unwrap();
        assert!(task.is_finished());
    }
}

both! {
    fn a_stop_drops_all_tasks_while_the_reactor_works(world) {
        let said = Rc::new(RefCell::new(Vec::new()));
        let task = {
            let said = Said(Rc::clone(&said), "dropped");
            spawn(world.reactor(), async move {
                let _said = said;
                let mut incoming = listen("127.0.0.1:0").unwrap();
                let _sleeping = timeout(HOUR, incoming.accept()).await;
            })
        };
        let after = Said(Rc::clone(&said), "timer");
        world.reactor().call_later(HOUR, move |_| drop(after));
        world.reactor().call_later(5 * MS, |reactor| reactor.stop());
        world.run().unwrap();
        assert!(matches!(task.take(), Some(Err(JoinError::Aborted))));
        assert_eq!(*said.borrow(), ["dropped", "timer"], "tasks go first");
        assert_eq!(task_count(world.reactor()), 0);
        assert_eq!(world.reactor().next_deadline(), None);
    }
}

both! {
    fn run_until_says_that_the_reactor_was_stopped(world) {
        world.reactor().call_later(MS, |reactor| reactor.stop());
        let error = run_until(world.reactor(), sleep(HOUR)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(run_until(world.reactor(), async { 42 }).unwrap(), 42, "it can run again");
    }
}

both! {
    fn what_is_spawned_while_the_reactor_stops_is_dropped_at_once(world) {
        let late: Rc<Cell<Option<JoinHandle<()>>>> = Rc::default();
        let place = Rc::clone(&late);
        drop(spawn(world.reactor(), pending::<()>()));
        world.reactor().on_stop(move |reactor| place.set(Some(spawn(reactor, async {}))));
        world.reactor().call_soon(|reactor| reactor.stop());
        world.run().unwrap();
        assert!(matches!(late.take().unwrap().take(), Some(Err(JoinError::Aborted))));
        for _ in 0..3 {
            let task = spawn(world.reactor(), async { 42 });
            world.run().unwrap();
            assert_eq!(task.take().unwrap().unwrap(), 42);
        }
    }
}

both! {
    fn the_drop_of_a_reactor_drops_its_tasks(world) {
        let said = Rc::new(RefCell::new(Vec::new()));
        let mut former = std::mem::replace(world, World::simulated());
        for name in ["one", "two"] {
            let said = Said(Rc::clone(&said), name);
            drop(spawn(former.reactor(), async move {
                let _said = said;
                let mut incoming = listen("127.0.0.1:0").unwrap();
                let client = connect(incoming.local_addr()).await.unwrap();
                let _server = incoming.accept().await.unwrap();
                drop(client);
                pending::<()>().await;
            }));
        }
        former.turn();
        former.turn();
        drop(former);
        said.borrow_mut().sort_unstable();
        assert_eq!(*said.borrow(), ["one", "two"]);
    }
}

#[test]
fn tasks_that_panic_when_dropped_end_no_process() {
    /// Panics when it is dropped, with a payload that does the same.
    struct Bomb(u32);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if let Some(less) = self.0.checked_sub(1) {
                std::panic::panic_any(Self(less));
            }
        }
    }

    let mut world = World::real();
    for _ in 0..2 {
        let bomb = Bomb(2);
        drop(spawn(world.reactor(), async move {
            let _bomb = bomb;
            pending::<()>().await;
        }));
    }
    world.quiet();
    world.reactor().stop();
    world.run().unwrap();
    assert_eq!(task_count(world.reactor()), 0);
}

#[test]
fn a_thread_may_end_with_tasks_alive() {
    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }

    for early in [true, false] {
        let ended = std::thread::spawn(move || {
            let mut world = World::real();
            if early {
                WORLD.set(None); // so that it outlives the thread-locals of crocus
            }
            drop(spawn(world.reactor(), async {
                let _incoming = listen("127.0.0.1:0").unwrap();
                sleep(HOUR).await;
            }));
            world.turn();
            assert_eq!(task_count(world.reactor()), 1);
            WORLD.set(Some(world)); // dropped with the thread
        });
        ended.join().unwrap();
    }
}

both! {
    fn a_shutdown_ends_incoming_and_reading_but_not_an_answer(world) {
        let served = spawn(world.reactor(), async {
            let mut incoming = listen("127.0.0.1:0").unwrap();
            let connecting = connect(incoming.local_addr());
            let server = spawn_local(async move {
                let mut peer = incoming.accept().await.unwrap();
                let mut question = [0; 8];
                peer.read_exact(&mut question).await.unwrap();
                sleep(20 * MS).await; // the shutdown begins meanwhile
                peer.write_all(b"answer").await.unwrap();
                let error = peer.read(&mut question).await.unwrap_err();
                (error.kind(), incoming.accept().await.is_none())
            });
            let mut client = connecting.await.unwrap();
            client.read_in_shutdown();
            client.write_all(b"question").await.unwrap();
            sleep(10 * MS).await;
            Reactor::with_lent(|reactor| reactor.shutdown(10 * SECOND)).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            drop(client);
            (answer, server.await.unwrap())
        });
        world.run().unwrap();
        assert_eq!(world.reactor().ended(), Some(Ended::ShutDown));
        let (answer, (kind, ended)) = match served.take() {
            Some(Ok(served)) => served,
            other => panic!("{other:?}"),
        };
        assert_eq!((answer.as_str(), kind, ended), ("answer", ErrorKind::ConnectionAborted, true));
    }
}

both! {
    fn the_hold_of_closing_keeps_a_shutdown_waiting(world) {
        let said = Rc::new(RefCell::new(Vec::new()));
        for name in ["one", "two"] {
            let said = Rc::clone(&said);
            drop(spawn(world.reactor(), async move {
                let _hold = closing().await;
                sleep(10 * MS).await;
                said.borrow_mut().push(name);
            }));
        }
        world.reactor().call_later(5 * MS, |reactor| reactor.shutdown(HOUR));
        world.run().unwrap();
        assert_eq!(world.reactor().ended(), Some(Ended::ShutDown));
        assert_eq!(*said.borrow(), ["one", "two"]);
    }
}

both! {
    fn closing_is_ready_at_once_in_a_shutdown_and_not_in_the_next_run(world) {
        let hold = world.reactor().hold();
        world.reactor().call_later(MS, |reactor| reactor.shutdown(HOUR));
        let late = spawn(world.reactor(), async move {
            drop(closing().await);
            for _ in 0..3 {
                drop(closing().await);
            }
            drop(hold);
        });
        world.run().unwrap();
        assert!(late.is_finished());
        let next = run_until(world.reactor(), timeout(MS, closing())).unwrap();
        assert!(next.is_err(), "the next run has no shutdown");
    }
}

both! {
    fn a_closing_that_is_dropped_holds_nothing_up(world) {
        let task = spawn(world.reactor(), async {
            for _ in 0..3 {
                timeout(MS, closing()).await.unwrap_err();
            }
            pending::<()>().await;
        });
        world.reactor().call_later(50 * MS, |reactor| reactor.shutdown(HOUR));
        world.run().unwrap();
        assert_eq!(world.reactor().ended(), Some(Ended::ShutDown));
        assert!(matches!(task.take(), Some(Err(JoinError::Aborted))));
    }
}

both! {
    fn a_task_that_holds_its_connection_is_cut_off_after_the_grace(world) {
        let task = spawn(world.reactor(), async {
            let mut incoming = listen("127.0.0.1:0").unwrap();
            let connecting = connect(incoming.local_addr());
            let _server = incoming.accept();
            let mut client = connecting.await.unwrap();
            client.read_in_shutdown();
            let _ = client.read(&mut [0]).await;
            pending::<()>().await;
        });
        world.reactor().call_later(20 * MS, |reactor| reactor.shutdown(30 * MS));
        world.run().unwrap();
        assert_eq!(world.reactor().ended(), Some(Ended::Stopped));
        assert!(matches!(task.take(), Some(Err(JoinError::Aborted))));
    }
}

both! {
    fn a_shutdown_ends_an_incoming_that_has_only_begun(world) {
        let task = spawn(world.reactor(), async {
            let mut incoming = listen("127.0.0.1:0").unwrap();
            Reactor::with_lent(|reactor| reactor.shutdown(HOUR)); // before the loop has seen the listener
            let _hold = closing().await;
            timeout(SECOND, incoming.accept()).await.map(|peer| peer.is_none())
        });
        world.run().unwrap();
        assert!(task.take().unwrap().unwrap().unwrap());
    }
}
