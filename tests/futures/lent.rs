//! Bytes that a task is lent: under TLS, in a switch to it, and in a hand-over.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use crocus::futures::*;
use crocus::testing::Cut;
use crocus::{Listen, Protocol, Reactor, Reason, SocketOptions, Transport};
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt};

use super::connections::{echo, outcome, served, served_at};
use crate::certificates::Configs;
use crate::far::TlsFar;
use crate::util::{Far, MS, World, pattern};

/// A high mark. One write takes one byte more at most, unless the bytes are lent.
const MARK: usize = 5000;

/// Less than this is never lent on real sockets.
const LEAST: usize = 4096;

fn place() -> Listen {
    Listen::at("127.0.0.1:0")
}

/// Has a task serve the next connection from outside, which speaks TLS.
fn secured<T: 'static, F: Future<Output = T> + 'static>(
    world: &mut World,
    serve: impl FnOnce(Connection) -> F + 'static,
) -> (JoinHandle<T>, TlsFar) {
    let configs = Configs::new();
    let at = place().tls(Arc::clone(&configs.server));
    let (task, far) = served_at(world, at, serve);
    (task, TlsFar::client(far, &configs.client))
}

fn set_marks(peer: &Connection) {
    peer.transport(|transport| transport.set_write_buffer_limits(MARK, 0)).unwrap();
}

/// Echoes until the peer's end; returns the longest write.
async fn echo_with_marks(mut peer: Connection) -> usize {
    set_marks(&peer);
    let (reader, writer) = peer.halves();
    let mut longest = 0;
    loop {
        let bytes = reader.fill_buf().await.unwrap();
        if bytes.is_empty() {
            return longest;
        }
        let count = writer.write(bytes).await.unwrap();
        reader.consume(count);
        longest = longest.max(count);
    }
}

/// Sends the data, and reads it back until the end.
fn echoed_securely(world: &mut World, far: &mut TlsFar, data: &[u8]) {
    far.write(data);
    far.until_got(world, data.len());
    far.notify();
    far.until_ended(world);
    assert!(far.got == data && far.notified);
}

both! {
    fn a_task_under_tls_echoes_what_it_is_lent(world) {
        let (task, mut far) = secured(world, echo_with_marks);
        echoed_securely(world, &mut far, &pattern(300_000));
        let longest = outcome(world, &task);
        assert!(longest > MARK + 1, "no more than {longest} bytes are written at once");
    }
}

both! {
    fn what_a_task_was_lent_is_not_lent_any_more_when_it_has_waited(world) {
        let (task, mut far) = secured(world, |mut peer| async move {
            set_marks(&peer);
            let (reader, writer) = peer.halves();
            let bytes = reader.fill_buf().await.unwrap();
            sleep(MS).await;
            (bytes.len(), writer.write(bytes).await.unwrap())
        });
        far.write(&pattern(20_000));
        let (there, written) = outcome_securely(world, &mut far, &task);
        assert!(there > MARK + 1, "{there} bytes have come");
        assert_eq!(written, MARK + 1);
    }
}

#[test]
fn an_echo_under_tls_may_be_cut_anywhere() {
    for seed in 0..20 {
        let mut world = World::simulated();
        let World::Simulated(simulation) = &mut world else { unreachable!() };
        simulation.set_cut(Cut::Random(if seed % 2 == 0 { 300 } else { 20_000 }));
        let (task, mut far) = secured(&mut world, echo_with_marks);
        far.portion = 1 + usize::from(u16::MAX) / 20 * seed;
        echoed_securely(&mut world, &mut far, &pattern(50_000 + seed));
        outcome(&mut world, &task);
    }
}

both! {
    fn an_echo_under_tls_to_a_peer_that_does_not_read_is_bounded(world) {
        const MOST: usize = 2 * 64 * 1024;
        let at = |configs: &Configs| narrow().tls(Arc::clone(&configs.server));
        let configs = Configs::new();
        let (task, far) = served_at(world, at(&configs), echo);
        let mut far = TlsFar::client(far, &configs.client);
        far.shake_hands(world);
        let data = world.much();
        far.write(&data);
        let (mut most, mut still, mut left) = (0, 0, far.waiting());
        while still < 100 {
            far.send();
            still = if far.waiting() == left { still + 1 } else { 0 };
            left = far.waiting();
            world.turn();
            most = most.max(world.only().buffered());
        }
        assert!((64 * 1024..MOST).contains(&most), "{most} bytes wait");
        far.until_got(world, data.len());
        far.notify();
        far.until_ended(world);
        assert!(far.got == data);
        outcome(world, &task).unwrap();
    }
}

/// More connections than read buffers may be kept; each task keeps a part of a record while the others read.
fn read_in_parts(world: &mut World) {
    const SIZE: usize = 50_000;
    let mut all: Vec<_> = (0..12)
        .map(|_| {
            secured(world, |mut peer| async move {
                let mut all = Vec::new();
                for round in 0.. {
                    let bytes = peer.fill_buf().await.unwrap();
                    let count = [1, 7000, 4096][round % 3].min(bytes.len());
                    if count == 0 {
                        break;
                    }
                    all.extend_from_slice(&bytes[..count]);
                    peer.consume(count);
                    sleep(MS).await;
                }
                all
            })
        })
        .collect();
    for (number, (_, far)) in all.iter_mut().enumerate() {
        far.shake_hands(world);
        far.write(&pattern(SIZE + number)[number..]);
        far.notify();
    }
    world.until("all to be read", |world| {
        all.iter_mut().for_each(|(_, far)| far.step());
        world.pass(MS);
        all.iter().all(|(task, _)| task.is_finished())
    });
    for (number, (task, _)) in all.iter().enumerate() {
        assert!(task.take().unwrap().unwrap() == pattern(SIZE + number)[number..], "{number}");
    }
}

both! {
    fn a_part_of_a_record_that_a_task_keeps_stays(world) {
        read_in_parts(world);
    }
}

both! {
    fn a_task_switches_to_tls_in_the_callback_that_lends_it_bytes(world) {
        const CLEAR: usize = 10_000;
        let configs = Configs::new();
        let tls = Arc::clone(&configs.server);
        let (task, raw) = served(world, |mut peer| async move {
            let mut left = CLEAR;
            while left > 0 {
                let (reader, writer) = peer.halves();
                let bytes = reader.fill_buf().await.unwrap();
                let clear = &bytes[..bytes.len().min(left)];
                writer.write_all(clear).await.unwrap(); // in clear, though TLS begins before it leaves
                left -= clear.len();
                let count = clear.len();
                reader.consume(count);
            }
            peer.start_tls(tls).unwrap(); // what is left of the read is its beginning
            echo_with_marks(peer).await
        });
        let mut far = TlsFar::client(raw, &configs.client);
        let (clear, hello) = (pattern(CLEAR), far.take_out());
        far.write_raw(&clear);
        far.write_raw(&hello);
        far.send();
        let mut raw = far.take_far();
        assert!(world.read(&mut raw, CLEAR) == clear);
        far.put_far(raw);
        echoed_securely(world, &mut far, &pattern(100_000));
        let longest = outcome(world, &task);
        assert!(longest > MARK + 1, "no more than {longest} bytes are written at once");
    }
}

both! {
    fn a_task_that_had_its_peer_paused_and_has_read_all_begins_tls(world) {
        const CLEAR: usize = 100_000;
        let configs = Configs::new();
        let tls = Arc::clone(&configs.server);
        let (task, raw) = served(world, |mut peer| async move {
            while peer.transport(|transport| transport.is_reading()).unwrap() {
                sleep(MS).await; // more comes than may wait for the task
            }
            let mut clear = vec![0; CLEAR];
            peer.read_exact(&mut clear).await.unwrap();
            peer.start_tls(tls).unwrap();
            let mut line = String::new();
            peer.read_line(&mut line).await.unwrap();
            (clear, line)
        });
        let mut far = TlsFar::client(raw, &configs.client);
        let hello = far.take_out();
        far.write_raw(&pattern(CLEAR));
        far.send();
        far.write_raw(&hello);
        far.write(b"QUIT\n");
        let (clear, line) = outcome_securely(world, &mut far, &task);
        assert!(clear == pattern(CLEAR));
        assert_eq!(line, "QUIT\n");
    }
}

/// The ways by which a task begins TLS.
#[derive(Clone, Copy, Debug)]
enum By {
    Method,
    Transport,
}

/// Says STARTTLS with something behind it, in the same read or a moment later. Returns what the task reads after it.
fn injected(
    world: &mut World,
    injected: &[u8],
    late: bool,
    by: By,
) -> Result<String, std::io::Error> {
    let configs = Configs::new();
    let tls = Arc::clone(&configs.server);
    let (task, raw) = served(world, move |mut peer| async move {
        let mut line = String::new();
        peer.read_line(&mut line).await.unwrap();
        assert_eq!(line, "STARTTLS\n");
        let came = |transport: &mut Transport<'_>| transport.bytes_read();
        while late && peer.transport(came) == Some(line.len() as u64) {
            sleep(MS).await; // more comes
        }
        match by {
            By::Method => peer.start_tls(tls).unwrap(),
            By::Transport => {
                assert!(peer.transport(|transport| transport.start_tls(tls)).unwrap());
            }
        }
        line.clear();
        peer.read_line(&mut line).await.map(|_| line)
    });
    let mut far = TlsFar::client(raw, &configs.client);
    let hello = far.take_out();
    far.write_raw(b"STARTTLS\n");
    if late {
        far.send();
        world.quiet();
    }
    far.write_raw(injected);
    far.write_raw(&hello);
    far.write(b"QUIT\n");
    outcome_securely(world, &mut far, &task)
}

both! {
    fn what_was_injected_before_tls_is_never_read_as_encrypted(world) {
        let world = &mut world.with_limits(Reactor::builder().linger(MS)); // the far end stays
        for (late, by) in [false, true].into_iter().flat_map(|late| [(late, By::Method), (late, By::Transport)]) {
            assert_eq!(injected(world, b"", late, by).unwrap(), "QUIT\n");
            let error = injected(world, b"DELETE\n", late, by).unwrap_err();
            let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<Reason>());
            assert!(matches!(reason, Some(Reason::Tls { .. })), "{late} {by:?} {error:?}");
        }
    }
}

both! {
    fn a_task_cannot_switch_to_tls_twice_nor_at_the_end(world) {
        let configs = Configs::new();
        let tls = Arc::clone(&configs.server);
        let (task, mut far) = served(world, |mut peer| async move {
            peer.close().await.unwrap();
            let closed = peer.start_tls(Arc::clone(&tls)).unwrap_err().kind();
            let mut all = String::new();
            peer.read_to_string(&mut all).await.unwrap();
            (closed, all)
        });
        far.send(b"hello");
        world.quiet();
        far.close_write();
        let expected = (std::io::ErrorKind::BrokenPipe, "hello".to_owned());
        assert_eq!(outcome(world, &task), expected, "what has come is still there");
        let (task, mut far) = secured(world, |mut peer| async move {
            peer.read_exact(&mut [0]).await.unwrap();
            peer.start_tls(configs.server).unwrap_err().kind()
        });
        far.write(b"x");
        let kind = outcome_securely(world, &mut far, &task);
        assert_eq!(kind, std::io::ErrorKind::BrokenPipe);
    }
}

both! {
    fn a_config_that_rustls_does_not_take_ends_the_connection_and_a_read_tells_why(world) {
        let world = &mut world.with_limits(Reactor::builder().linger(MS)); // the far end stays
        let mut bad = rustls::ServerConfig::clone(&Configs::new().server);
        bad.max_fragment_size = Some(1);
        let (task, mut far) = served(world, |mut peer| async move {
            peer.read_exact(&mut [0]).await.unwrap();
            let refused = peer.start_tls(Arc::new(bad)).unwrap_err().kind();
            (refused, peer.read(&mut [0]).await.unwrap_err())
        });
        far.send(b"x");
        let (refused, error) = outcome(world, &task);
        assert_eq!(refused, std::io::ErrorKind::BrokenPipe);
        let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<Reason>());
        assert!(matches!(reason, Some(Reason::Tls { .. })), "{error:?}");
    }
}

both! {
    fn what_a_task_has_not_read_stays_when_another_connection_begins_tls(world) {
        let configs = Configs::new();
        let tls = Arc::clone(&configs.server);
        let (task, mut far) = served(world, |mut peer| async move {
            let mut other = listen("127.0.0.1:0").unwrap();
            let at = other.local_addr().socket_addr().unwrap();
            let (near, other) = (connect(at).await.unwrap(), other.accept().await.unwrap());
            peer.fill_buf().await.unwrap();
            sleep(MS).await; // the end comes too
            let begun = peer.transport(|transport| {
                transport.reactor().transport(other.id()).unwrap().start_tls(tls)
            });
            assert_eq!(begun, Some(true));
            let mut all = String::new();
            peer.read_to_string(&mut all).await.unwrap();
            drop(near);
            all
        });
        far.send(b"hello");
        far.close_write();
        assert_eq!(outcome(world, &task), "hello");
    }
}

/// Keeps what it is told.
struct Heir(Rc<RefCell<Vec<u8>>>);

impl Protocol for Heir {
    fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
        self.0.borrow_mut().extend_from_slice(data);
    }
}

fn heir() -> (Heir, Rc<RefCell<Vec<u8>>>) {
    let place = Rc::default();
    (Heir(Rc::clone(&place)), place)
}

both! {
    fn a_protocol_gets_what_a_task_was_lent_and_has_not_read(world) {
        let (heir, inherited) = heir();
        let (task, mut far) = secured(world, move |mut peer| async move {
            let there = peer.fill_buf().await.unwrap().len();
            let mut first = [0; 10];
            peer.read_exact(&mut first).await.unwrap();
            peer.set_protocol(heir).unwrap();
            (there, first)
        });
        let data = pattern(40_000);
        far.write(&data);
        let (there, first) = outcome_securely(world, &mut far, &task);
        assert!(there >= LEAST, "{there} bytes have come");
        assert_eq!(first, data[..10]);
        world.until("the rest", |_| {
            far.step();
            inherited.borrow().len() == data.len() - 10
        });
        assert!(inherited.borrow()[..] == data[10..]);
    }
}

fn outcome_securely<T>(world: &mut World, far: &mut TlsFar, task: &JoinHandle<T>) -> T {
    world.until("the task to be over", |_| {
        far.step();
        task.is_finished()
    });
    task.take().unwrap().unwrap()
}

both! {
    fn a_protocol_gets_what_a_task_was_lent_and_has_not_looked_at(world) {
        let (heir, inherited) = heir();
        let (task, mut far) = served(world, move |mut peer| async move {
            let mut waited = false;
            let waiting = poll_fn(|cx| {
                let there = Box::pin(peer.fill_buf()).poll(cx);
                assert!(there.is_pending(), "nothing has come yet");
                Poll::Ready(())
            });
            waiting.await;
            // The bytes wake it, and it does not look.
            poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
            peer.set_protocol(heir).unwrap();
        });
        world.quiet();
        let data = pattern(20_000);
        world.send(&mut far, &data[..10_000]);
        outcome(world, &task);
        world.send(&mut far, &data[10_000..]);
        world.until("all of it", |_| inherited.borrow().len() == data.len());
        assert!(inherited.borrow()[..] == data);
    }
}

fn narrow() -> Listen {
    place().socket(SocketOptions::new().send_buffer(64 * 1024).receive_buffer(64 * 1024))
}

both! {
    fn what_a_task_has_written_back_is_copied_when_it_hands_over(world) {
        // One read is all that a visit may: so the protocol takes over in the next, when others may have been read.
        const READ: usize = 2 * LEAST;
        let limits = Reactor::builder().read_buffer(READ).read_budget(READ);
        let world = &mut world.with_limits(limits);
        let much = world.much().len() - READ / 4;
        let data = pattern(much + 300_000);
        let (heir, inherited) = heir();
        let (task, mut far) = served_at(world, narrow(), move |mut peer| async move {
            peer.transport(|transport| transport.set_write_buffer_limits(usize::MAX, 0)).unwrap();
            let mut left = much;
            while left > 0 {
                let (reader, writer) = peer.halves();
                let bytes = reader.fill_buf().await.unwrap();
                let count = bytes.len().min(left);
                assert_eq!(writer.write(&bytes[..count]).await.unwrap(), count);
                reader.consume(count);
                left -= count;
            }
            peer.set_protocol(heir).unwrap(); // in the callback that has lent it the last bytes
        });
        let mut sent = 0;
        world.until("all to be sent", |_| {
            sent += far.send(&data[sent..]);
            sent == data.len()
        });
        outcome(world, &task);
        world.until("the rest", |_| inherited.borrow().len() == data.len() - much);
        assert!(inherited.borrow()[..] == data[much..]);
        assert!(world.read(&mut far, much) == data[..much]);
    }
}

/// Leaves all to a task at once.
struct Leaving(Rc<RefCell<Option<JoinHandle<usize>>>>);

impl Protocol for Leaving {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.unread(data);
        let peer = Connection::take_over(transport).unwrap();
        *self.0.borrow_mut() = Some(spawn(transport.reactor(), echo_with_marks(peer)));
    }
}

both! {
    fn a_task_that_takes_over_is_lent_what_comes_behind_what_was_put_back(world) {
        let place: Rc<RefCell<Option<JoinHandle<usize>>>> = Rc::default();
        let leaving = Rc::clone(&place);
        let (_, addr) = world.listen(move |_| Leaving(Rc::clone(&leaving)));
        let mut far: Far = world.dial(addr);
        for size in [20_001, 20_002] {
            world.send(&mut far, &pattern(size));
            assert!(world.read(&mut far, size) == pattern(size));
        }
        far.close_write();
        let task = place.borrow_mut().take().unwrap();
        let longest = outcome(world, &task);
        assert!(longest > MARK + 1, "no more than {longest} bytes are written at once");
    }
}
