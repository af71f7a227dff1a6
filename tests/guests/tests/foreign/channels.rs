//! Channels of tokio's and of async-channel: between tasks, and from threads.

use std::thread;

use crocus::Reactor;
use crocus::futures::{closing, spawn, spawn_local, task_count};
use futures::{FutureExt, join, pin_mut, select};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

use crate::child::TIME_LIMIT;
use crate::host::in_each_world;

/// Far more than a channel holds.
const COUNT: u32 = 10_000;

#[test]
fn channels_between_tasks_keep_order_and_limit() {
    in_each_world(|| async {
        let (sender, mut receiver) = mpsc::channel(3);
        let sending = spawn_local(async move {
            for i in 0..COUNT {
                sender.send(i).await.unwrap();
            }
        });
        for i in 0..COUNT {
            assert!(receiver.len() <= 3);
            assert_eq!(receiver.recv().await, Some(i));
        }
        assert_eq!(receiver.recv().await, None);
        sending.await.unwrap();

        let (sender, receiver) = async_channel::bounded(3);
        let sending = spawn_local(async move {
            for i in 0..COUNT {
                sender.send(i).await.unwrap();
            }
        });
        for i in 0..COUNT {
            assert!(receiver.len() <= 3);
            assert_eq!(receiver.recv().await, Ok(i));
        }
        assert!(receiver.recv().await.is_err());
        sending.await.unwrap();
    });
}

#[test]
fn other_things_of_tokio_sync_wake_tasks() {
    in_each_world(|| async {
        let (ask, question) = oneshot::channel::<oneshot::Sender<u32>>();
        spawn_local(async { question.await.unwrap().send(42).unwrap() });
        let (answer, answered) = oneshot::channel();
        ask.send(answer).unwrap();
        assert_eq!(answered.await, Ok(42));

        let (place, mut seen) = watch::channel(0);
        spawn_local(async move { place.send_replace(7) });
        seen.changed().await.unwrap();
        assert_eq!(*seen.borrow(), 7);

        let (notify, seats) = (Notify::new(), Semaphore::new(1));
        let waits = async {
            notify.notified().await;
            drop(seats.acquire().await.unwrap());
        };
        let seat = seats.acquire().await.unwrap();
        join!(waits, async {
            notify.notify_one();
            drop(seat);
        });
    });
}

#[test]
fn a_thread_sends_through_tokio_and_is_answered() {
    let mut reactor = Reactor::new().unwrap();
    let (sender, mut receiver) = mpsc::channel::<(u32, oneshot::Sender<u32>)>(3);
    let hold = reactor.hold(); // for as long as a task waits for the thread
    let task = spawn(&mut reactor, async move {
        let _hold = hold;
        while let Some((number, answer)) = receiver.recv().await {
            answer.send(number + 1).unwrap();
        }
    });
    let thread = thread::spawn(move || {
        for i in 0..COUNT {
            let (answer, answered) = oneshot::channel();
            sender.blocking_send((i, answer)).unwrap();
            assert_eq!(answered.blocking_recv(), Ok(i + 1));
        }
    });
    reactor.run().unwrap();
    task.take().unwrap().unwrap();
    thread.join().unwrap();
}

#[test]
fn a_thread_sends_through_async_channel_and_is_answered() {
    let mut reactor = Reactor::new().unwrap();
    let (sender, receiver) = async_channel::bounded(3);
    let (answer, answers) = async_channel::bounded(3);
    let hold = reactor.hold();
    let task = spawn(&mut reactor, async move {
        let _hold = hold;
        while let Ok(number) = receiver.recv().await {
            answer.send(number + 1).await.unwrap();
        }
    });
    let thread = thread::spawn(move || {
        for i in 0..COUNT {
            sender.send_blocking(i).unwrap();
            assert_eq!(answers.recv_blocking(), Ok(i + 1));
        }
    });
    reactor.run().unwrap();
    task.take().unwrap().unwrap();
    thread.join().unwrap();
}

/// Threads that send until nobody takes it: `end` is called when some messages have come.
fn end_in_the_middle(end: fn(&mut Reactor)) -> usize {
    let mut reactor = Reactor::new().unwrap();
    let (one, mut of_one) = mpsc::channel(3);
    let (other, of_other) = async_channel::bounded(3);
    let hold = reactor.hold();
    let task = spawn(&mut reactor, async move {
        let _hold = hold;
        let closing = closing().fuse();
        pin_mut!(closing);
        for i in 0.. {
            if i == 100 {
                Reactor::with_lent(end).unwrap();
            }
            select! {
                _told = closing => return i,
                one = of_one.recv().fuse() => one.unwrap(),
                other = of_other.recv().fuse() => other.unwrap(),
            }
        }
        unreachable!("it ends in the middle")
    });
    let one = thread::spawn(move || while one.blocking_send(()).is_ok() {});
    let other = thread::spawn(move || while other.send_blocking(()).is_ok() {});
    reactor.run().unwrap();
    assert_eq!(task_count(&mut reactor), 0);
    one.join().unwrap();
    other.join().unwrap();
    task.take().unwrap().unwrap_or(0)
}

#[test]
fn a_shutdown_ends_a_task_at_a_channel_and_its_threads_see_it() {
    assert!(end_in_the_middle(|reactor| reactor.shutdown(TIME_LIMIT)) >= 100);
}

#[test]
fn a_stop_drops_a_task_at_a_channel_and_its_threads_see_it() {
    assert_eq!(end_in_the_middle(Reactor::stop), 0);
}
