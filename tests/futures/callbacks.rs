//! Polls in the callbacks of connections.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crocus::futures::*;
use crocus::testing::Simulation;
use crocus::{Bytes, Protocol, Reactor, Transport};
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::connections::{echoed, outcome, served};
use crate::util::{Far, HOUR, MS, World, logged, pattern};

/// A task accepts connections, and spawns for each what `session` does with it. Returns the address.
fn server(
    world: &mut World,
    mut session: impl FnMut(Connection) + 'static,
) -> std::net::SocketAddr {
    let listening = async move {
        let mut incoming = listen("127.0.0.1:0").unwrap();
        let addr = incoming.local_addr().socket_addr().unwrap();
        drop(spawn_local(async move {
            while let Some(peer) = incoming.accept().await {
                session(peer);
            }
        }));
        addr
    };
    let addr = run_until(world.reactor(), listening).unwrap();
    world.quiet(); // the task waits for the first
    addr
}

async fn echo(mut peer: Connection) {
    let (reader, writer) = peer.halves();
    loop {
        let bytes = reader.fill_buf().await.unwrap();
        let count = bytes.len();
        if count == 0 {
            return;
        }
        writer.write_all(bytes).await.unwrap();
        reader.consume(count);
    }
}

fn name() -> Option<&'static str> {
    Reactor::with_lent(|reactor| reactor.name()).unwrap()
}

both! {
    fn a_connection_is_served_by_tasks_without_a_call(world) {
        let addr = server(world, |peer| drop(spawn_local(echo(peer))));
        let calls = world.reactor().stats().calls;
        let mut far = world.dial(addr);
        for size in [1, 5000, 100_000] {
            let data = pattern(size);
            world.send(&mut far, &data);
            assert!(world.read(&mut far, size) == data);
        }
        far.close_write();
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        world.until("the end", |world| task_count(world.reactor()) == 1);
        assert_eq!(world.reactor().stats().calls, calls);
    }
}

/// In the simulation, where no turn is for something else.
#[test]
fn a_session_answers_in_the_turn_in_which_it_is_accepted() {
    let mut world = World::simulated();
    let addr = server(&mut world, |mut peer| {
        drop(spawn_local(async move { peer.write_all(b"hello").await }));
    });
    let World::Simulated(simulation) = &mut world else { unreachable!() };
    let mut peer = simulation.dial(addr);
    let report = simulation.turn();
    assert_eq!((report.events, report.calls), (1, 0), "not even an event of its own");
    assert_eq!(
        (peer.received(), peer.end()),
        (b"hello".to_vec(), Some(crocus::testing::End::Closed))
    );
}

both! {
    fn the_first_task_that_is_spawned_runs_in_the_callback(world) {
        let said: Rc<RefCell<Vec<(&str, u64)>>> = Rc::default();
        let saying = Rc::clone(&said);
        let addr = server(world, move |peer| {
            for name in ["first", "second"] {
                let saying = Rc::clone(&saying);
                drop(spawn_local(async move {
                    let calls = Reactor::with_lent(|reactor| reactor.stats().calls);
                    saying.borrow_mut().push((name, calls.unwrap()));
                }));
            }
            drop(peer);
            saying.borrow_mut().push(("spawned", 0));
        });
        let calls = world.reactor().stats().calls;
        let _far = world.dial(addr);
        world.until("both", |_| said.borrow().len() == 3);
        assert_eq!(*said.borrow(), [("spawned", 0), ("first", calls), ("second", calls + 1)]);
    }
}

both! {
    fn a_task_has_its_name_in_a_callback(world) {
        let names: Rc<RefCell<Vec<Option<&str>>>> = Rc::default();
        let naming = Rc::clone(&names);
        let addr = server(world, move |mut peer| {
            naming.borrow_mut().push(name());
            let naming = Rc::clone(&naming);
            let session = async move {
                loop {
                    naming.borrow_mut().push(name());
                    if peer.read(&mut [0]).await.unwrap() == 0 {
                        return;
                    }
                }
            };
            Reactor::with_lent(|reactor| drop(spawn_named(reactor, "cache", session)));
        });
        let mut far = world.dial(addr);
        far.send(b"x");
        world.quiet();
        far.close_write();
        world.until("the end", |world| task_count(world.reactor()) == 1);
        assert_eq!(*names.borrow(), [Some("task"), Some("cache"), Some("cache")]);
        assert_eq!(world.reactor().name(), None);
    }
}

#[test]
fn the_warning_of_a_slow_poll_names_its_connection() {
    let mut simulation = Simulation::new();
    let clock = simulation.clock();
    drop(spawn(simulation.reactor(), async move {
        let mut incoming = listen("127.0.0.1:7").unwrap();
        let mut peer = incoming.accept().await.unwrap();
        peer.read(&mut [0]).await.unwrap();
        clock.advance(500 * MS);
    }));
    simulation.settle();
    let mut peer = simulation.dial("127.0.0.1:7");
    simulation.settle();
    peer.send(b"x");
    logged();
    simulation.settle();
    let lines = logged();
    let told = format!("({}) took 500ms", peer.addr());
    assert!(lines.len() == 1 && lines[0].contains("data_received of connection"), "{lines:?}");
    assert!(lines[0].contains(&told), "{lines:?}");
}

#[test]
fn a_task_that_wakes_itself_in_a_callback_waits_for_the_others() {
    let mut simulation = Simulation::new();
    let polls = Rc::new(Cell::new(0));
    let counting = Rc::clone(&polls);
    drop(spawn(simulation.reactor(), async move {
        let mut incoming = listen("127.0.0.1:7").unwrap();
        let mut peer = incoming.accept().await.unwrap();
        peer.read(&mut [0]).await.unwrap();
        poll_fn(|cx| {
            counting.set(counting.get() + 1);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
        .await;
    }));
    simulation.settle();
    let mut peer = simulation.dial("127.0.0.1:7");
    while polls.get() == 0 {
        peer.send(b"x");
        simulation.turn();
    }
    assert_eq!(polls.get(), 2, "in the callback, and in the calls phase");
    simulation.turn();
    assert_eq!(polls.get(), 3);
}

/// The connection is one of the other reactor, and its task one of this.
#[test]
fn a_task_of_another_reactor_is_polled_by_that_one() {
    let (mut one, mut other) = (Simulation::new(), Simulation::new());
    let place: Rc<Cell<Option<Connection>>> = Rc::default();
    let giving = Rc::clone(&place);
    drop(spawn(other.reactor(), async move {
        giving.set(listen("127.0.0.1:7").unwrap().accept().await);
    }));
    other.settle();
    let mut peer = other.dial("127.0.0.1:7");
    other.settle();
    let mut connection = place.take().unwrap();
    let task = spawn(one.reactor(), async move {
        let mut byte = [0];
        connection.read(&mut byte).await.unwrap();
        byte[0]
    });
    one.settle();
    peer.send(b"x");
    other.settle();
    assert!(!task.is_finished(), "not by the reactor of the connection");
    one.settle();
    assert_eq!(task.take().unwrap().unwrap(), b'x');
}

/// Spawns a session, and panics.
fn clumsy_server(world: &mut World) -> std::net::SocketAddr {
    server(world, |peer| {
        drop(spawn_local(echo(peer)));
        panic!("on purpose");
    })
}

#[test]
fn a_panic_of_an_acceptor_costs_the_session_nothing() {
    let mut world = World::real();
    let addr = clumsy_server(&mut world);
    logged();
    let mut far = world.dial(addr);
    world.send(&mut far, b"hello");
    assert_eq!(world.read(&mut far, 5), b"hello");
    assert_eq!(world.reactor().stats().panics, 1);
    let lines = logged().join("\n");
    assert!(lines.contains("a call of task panicked: on purpose"), "{lines}");
}

#[test]
fn a_simulation_lets_a_panic_in_a_callback_through() {
    let mut world = World::simulated();
    let addr = clumsy_server(&mut world);
    let mut far = world.dial(addr);
    let run = catch_unwind(AssertUnwindSafe(|| world.turn()));
    assert_eq!(run.unwrap_err().downcast_ref(), Some(&"on purpose"));
    world.send(&mut far, b"hello");
    assert_eq!(world.read(&mut far, 5), b"hello");
}

#[test]
fn a_panic_in_a_callback_is_reported_although_the_reactor_stops() {
    let mut world = World::simulated();
    let addr = server(&mut world, |_| {
        Reactor::with_lent(|reactor| reactor.stop());
        panic!("on purpose");
    });
    let _far = world.dial(addr);
    let run = catch_unwind(AssertUnwindSafe(|| world.turn()));
    assert_eq!(run.unwrap_err().downcast_ref(), Some(&"on purpose"));
}

/// More connections than read buffers may be kept, each of which takes a part of what it was lent at a time.
fn read_in_parts(world: &mut World, reads: fn(usize) -> usize) {
    const SIZE: usize = 50_000;
    let done = Rc::new(Cell::new(0));
    let counting = Rc::clone(&done);
    let addr = server(world, move |mut peer| {
        let counting = Rc::clone(&counting);
        drop(spawn_local(async move {
            let mut all = Vec::new();
            for round in 0.. {
                let bytes = peer.fill_buf().await.unwrap();
                let count = reads(round).min(bytes.len());
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&bytes[..count]);
                peer.consume(count);
                sleep(MS).await;
            }
            peer.write_all(&all).await.unwrap();
            counting.set(counting.get() + 1);
        }));
    });
    let mut fars: Vec<Far> = (0..12).map(|_| world.dial(addr)).collect();
    for (number, far) in fars.iter_mut().enumerate() {
        let data = &pattern(SIZE + number)[number..];
        for piece in data.chunks(SIZE / 4) {
            world.send(far, piece);
        }
        far.close_write();
    }
    for (number, far) in fars.iter_mut().enumerate() {
        let (got, end) = world.read_to_end(far);
        assert!(got == pattern(SIZE + number)[number..] && end == Ok(()), "{number}");
    }
    assert_eq!(done.get(), fars.len());
}

both! {
    fn bytes_that_a_task_leaves_are_kept_for_it(world) {
        read_in_parts(world, |round| [1, 7000, 4096][round % 3]);
    }
}

both! {
    fn bytes_that_a_task_takes_late_are_kept_for_it(world) {
        read_in_parts(world, |_| usize::MAX);
    }
}

both! {
    fn an_echo_to_a_peer_that_does_not_read_is_bounded(world) {
        const READ: usize = 256 * 1024;
        const MARK: usize = 64 * 1024;
        let (task, mut far) = served(world, echo);
        // More than the kernel ever takes for a peer: 32 MiB on some systems.
        let data = pattern(if world.is_real() { 48 << 20 } else { 8 << 20 });
        let (mut sent, mut most, mut still) = (0, 0, 0);
        world.until("it to be made", |world| !world.reactor().connections().is_empty());
        while still < 100 {
            let taken = far.send(&data[sent..]);
            sent += taken;
            still = if taken == 0 { still + 1 } else { 0 };
            world.turn();
            most = most.max(world.only().buffered());
        }
        assert!((MARK..=READ + MARK).contains(&most), "{most} bytes wait");
        echoed(world, &mut far, &data, sent);
        far.close_write();
        outcome(world, &task);
    }
}

both! {
    fn an_echo_that_raises_its_marks_is_read_on(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            peer.transport(|transport| transport.set_write_buffer_limits(5000, 1000)).unwrap();
            let mut all = 0;
            while all < 50_000 {
                let (reader, writer) = peer.halves();
                let bytes = reader.fill_buf().await.unwrap();
                let count = bytes.len();
                writer.write_all(bytes).await.unwrap();
                reader.consume(count);
                all += count;
                let raise = |transport: &mut Transport| transport.set_write_buffer_limits(1 << 20, 1 << 18);
                peer.transport(raise).unwrap();
            }
        });
        for _ in 0..5 {
            world.send(&mut far, &pattern(10_000));
            assert!(world.read(&mut far, 10_000) == pattern(10_000));
        }
        outcome(world, &task);
    }
}

/// Wakes a task, and panics.
struct Clumsy(Waker);

impl Wake for Clumsy {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
        panic!("on purpose");
    }
}

#[test]
fn a_waker_that_panics_in_a_callback_loses_no_task() {
    let mut world = World::real();
    let (task, mut far) = served(&mut world, |mut peer| async move {
        let mut byte = [0];
        let mut read = Box::pin(peer.read(&mut byte));
        let first = poll_fn(|cx| {
            let waker = Waker::from(Arc::new(Clumsy(cx.waker().clone())));
            Poll::Ready(read.as_mut().poll(&mut Context::from_waker(&waker)).is_ready())
        });
        assert!(!first.await);
        poll_fn(|_| Poll::<()>::Pending).await;
    });
    world.quiet();
    world.send(&mut far, b"x");
    world.until("the panic", |world| world.reactor().stats().panics == 1);
    task.abort();
    world.until("the task to be over", |_| task.is_finished());
}

#[test]
fn a_waker_that_panics_at_the_end_of_a_task_leaves_nothing_of_it() {
    let mut world = World::real();
    let mut task = spawn(world.reactor(), sleep(MS));
    let clumsy = Waker::from(Arc::new(Clumsy(Waker::noop().clone())));
    let waiting = Pin::new(&mut task).poll(&mut Context::from_waker(&clumsy));
    assert!(waiting.is_pending());
    logged();
    world.run().unwrap();
    assert_eq!((world.reactor().stats().panics, task_count(world.reactor())), (1, 0));
    assert!(task.is_finished() && matches!(task.take(), Some(Ok(()))));
}

#[test]
fn a_waker_that_panics_hides_a_shutdown_from_no_other() {
    let mut world = World::real();
    let mut closes = Box::pin(closing());
    let clumsy = spawn(world.reactor(), async move {
        let clumsy = Waker::from(Arc::new(Clumsy(Waker::noop().clone())));
        let waiting = closes.as_mut().poll(&mut Context::from_waker(&clumsy));
        assert!(waiting.is_pending());
        std::future::pending::<()>().await;
        drop(closes);
    });
    let told = spawn(world.reactor(), async { drop(closing().await) });
    world.quiet();
    world.reactor().shutdown(HOUR);
    world.until("the other to be told", |_| told.is_finished());
    assert!(matches!(told.take(), Some(Ok(()))));
    assert_eq!(world.reactor().stats().panics, 1);
    clumsy.abort();
    world.run().unwrap();
}

/// Counts what comes.
struct Counter(Rc<Cell<usize>>);

impl Protocol for Counter {
    fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
        self.0.set(self.0.get() + data.len());
    }
}

both! {
    fn a_protocol_that_takes_over_above_the_mark_is_read(world) {
        let world = &mut world.with_limits(Reactor::builder().read_buffer(16 * 1024));
        let count = Rc::new(Cell::new(0));
        let counting = Rc::clone(&count);
        let (task, mut far) = served(world, |mut peer| async move {
            peer.transport(|transport| transport.set_write_buffer_limits(10, 0)).unwrap();
            let (reader, writer) = peer.halves();
            let bytes = reader.fill_buf().await.unwrap();
            let count = writer.write(bytes).await.unwrap();
            reader.consume(count);
            peer.set_protocol(Counter(counting)).unwrap();
            count
        });
        let data = pattern(100_000);
        world.send(&mut far, &data);
        let echoed = outcome(world, &task);
        assert!(echoed >= 4096, "{echoed} bytes are written at once");
        world.until("the rest", |_| count.get() == data.len() - echoed);
    }
}

both! {
    fn bytes_that_are_handed_over_wait_for_room(world) {
        let block = Bytes::from(pattern(200_000));
        let blocks = world.much().len() / block.len() + 2;
        let (writing, written) = (block.clone(), Rc::new(Cell::new(0)));
        let counting = Rc::clone(&written);
        let (task, mut far) = served(world, move |mut peer| async move {
            let (_, writer) = peer.halves();
            for _ in 0..blocks {
                writer.write_owned(writing.clone()).await.unwrap();
                counting.set(counting.get() + 1);
            }
        });
        world.pass(20 * MS);
        assert!(!task.is_finished() && written.get() > 0, "{} blocks", written.get());
        let (got, end) = world.read_to_end(&mut far);
        assert!(got == block.repeat(blocks) && end == Ok(()));
        outcome(world, &task);
    }
}
