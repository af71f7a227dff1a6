//! Connections: reading, writing, half-close, errors, the ways they end.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crocus::futures::*;
use crocus::{Address, Listen, Reactor, Reason, Transport};
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};

use crate::util::{Far, MS, SECOND, World, pattern};

/// Echoes until the peer's end.
pub(crate) async fn echo(mut peer: Connection) -> io::Result<u64> {
    let (reader, writer) = peer.halves();
    let mut sum = 0;
    loop {
        let bytes = reader.fill_buf().await?;
        let count = bytes.len();
        if count == 0 {
            return Ok(sum);
        }
        writer.write_all(bytes).await?;
        reader.consume(count);
        sum += count as u64;
    }
}

/// Has a task serve the next connection from outside, and returns both.
pub(crate) fn served<T: 'static, F: Future<Output = T> + 'static>(
    world: &mut World,
    serve: impl FnOnce(Connection) -> F + 'static,
) -> (JoinHandle<T>, Far) {
    served_at(world, Listen::at("127.0.0.1:0"), serve)
}

/// The same with options of the listener.
pub(crate) fn served_at<T: 'static, F: Future<Output = T> + 'static>(
    world: &mut World,
    at: Listen,
    serve: impl FnOnce(Connection) -> F + 'static,
) -> (JoinHandle<T>, Far) {
    let addr: Rc<RefCell<Option<Address>>> = Rc::default();
    let place = Rc::clone(&addr);
    let task = spawn(world.reactor(), async move {
        let mut incoming = listen(at).unwrap();
        *place.borrow_mut() = Some(incoming.local_addr().clone());
        let peer = incoming.accept().await.unwrap();
        drop(incoming);
        serve(peer).await
    });
    world.until("it to listen", |_| addr.borrow().is_some());
    let addr = addr.borrow().as_ref().and_then(Address::socket_addr).unwrap();
    (task, world.dial(addr))
}

/// Waits until a task is over.
pub(crate) fn outcome<T>(world: &mut World, task: &JoinHandle<T>) -> T {
    world.until("the task to be over", |_| task.is_finished());
    task.take().unwrap().unwrap()
}

/// Sends what is left of the data behind `sent`, and reads all of it back.
pub(crate) fn echoed(world: &mut World, far: &mut Far, data: &[u8], mut sent: usize) {
    let mut all = Vec::new();
    world.until("the echo", |_| {
        sent += far.send(&data[sent..]);
        far.take_some(&mut all).unwrap();
        all.len() == data.len()
    });
    assert!(all == data);
}

both! {
    fn a_task_echoes_until_the_end_of_its_peer(world) {
        let (task, mut far) = served(world, echo);
        let data = pattern(300_000);
        echoed(world, &mut far, &data, 0);
        far.close_write();
        assert_eq!(outcome(world, &task).unwrap(), data.len() as u64);
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
    }
}

both! {
    fn two_tasks_hold_a_dialogue(world) {
        let answer = run_until(world.reactor(), async {
            let mut incoming = listen("127.0.0.1:0")?;
            let connecting = connect(incoming.local_addr());
            let server = spawn_local(async move {
                let mut peer = incoming.next().await.unwrap();
                let mut lines = Vec::new();
                for question in ["name?\n", "age?\n"] {
                    peer.write_all(question.as_bytes()).await?;
                    let mut line = String::new();
                    peer.read_line(&mut line).await?;
                    lines.push(line);
                }
                io::Result::Ok(lines)
            });
            let mut client = connecting.await?;
            let mut question = String::new();
            client.read_line(&mut question).await?;
            client.write_all(b"Ada\n36\n").await?;
            let mut second = String::new();
            client.read_line(&mut second).await?;
            question += &second;
            assert_eq!(client.read(&mut [0]).await?, 0, "the server has closed");
            io::Result::Ok((question, server.await.unwrap()?))
        });
        let (questions, answers) = answer.unwrap().unwrap();
        assert_eq!((questions.as_str(), answers), ("name?\nage?\n", vec!["Ada\n".into(), "36\n".into()]));
    }
}

both! {
    fn after_close_reading_goes_on(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            peer.write_all(b"question").await.unwrap();
            peer.close().await.unwrap();
            let late = peer.write(b"more").await.unwrap_err().kind();
            let mut answer = String::new();
            peer.read_to_string(&mut answer).await.unwrap();
            (late, answer)
        });
        assert_eq!(world.read_to_end(&mut far), (b"question".to_vec(), Ok(())));
        far.send(b"answer");
        world.quiet();
        far.close_write();
        assert_eq!(outcome(world, &task), (ErrorKind::BrokenPipe, "answer".to_owned()));
    }
}

both! {
    fn after_the_end_of_its_peer_a_task_can_write(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            let mut question = String::new();
            peer.read_to_string(&mut question).await.unwrap();
            sleep(5 * MS).await;
            peer.write_all(question.as_bytes()).await.unwrap();
            assert_eq!(peer.read(&mut [0]).await.unwrap(), 0, "the end is told again");
        });
        far.send(b"hello");
        far.close_write();
        assert_eq!(world.read_to_end(&mut far), (b"hello".to_vec(), Ok(())));
        outcome(world, &task);
    }
}

both! {
    fn a_reset_is_an_error_with_its_errno_behind_the_bytes_before_it(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            let mut all = Vec::new();
            let error = peer.read_to_end(&mut all).await.unwrap_err();
            let again = peer.read(&mut [0]).await.unwrap_err();
            let writing = peer.write(b"x").await.unwrap_err();
            (all, [error, again, writing].map(|error| error.raw_os_error()))
        });
        far.send(b"hello");
        world.quiet();
        far.reset();
        let (all, errors) = outcome(world, &task);
        assert_eq!(all, b"hello");
        assert_eq!(errors, [Some(libc_reset()); 3]);
    }
}

/// Its number, on this system.
fn libc_reset() -> i32 {
    use std::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    socket2::SockRef::from(&server).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(server);
    io::Read::read(&mut client, &mut [0]).unwrap_err().raw_os_error().unwrap()
}

both! {
    fn a_refused_attempt_is_an_error_with_its_errno(world) {
        let closed = world.closed_port();
        let error = run_until(world.reactor(), connect(closed)).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.raw_os_error().is_some());
    }
}

/// Ready when it is polled again, whatever came.
struct Once(Connecting, bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.1, true) {
            true => Poll::Ready(()),
            false => self.0.as_mut().poll(cx).map(drop),
        }
    }
}

both! {
    fn an_attempt_that_is_dropped_when_it_has_succeeded_closes_its_connection(world) {
        let mut outside = world.listen_outside();
        let to = outside.addr();
        let task = spawn(world.reactor(), Once(connect(to), false));
        outcome(world, &task);
        let mut far = world.accept(&mut outside);
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
    }
}

both! {
    fn an_attempt_that_is_dropped_is_cancelled(world) {
        run_until(world.reactor(), async {
            let nowhere = crocus::Connect::to("192.0.2.1:80").timeout(60 * SECOND);
            let _ = timeout(MS, connect(nowhere)).await;
            drop(connect("192.0.2.1:80")); // never polled
        })
        .unwrap();
        world.run().unwrap();
        let stats = world.reactor().stats();
        assert_eq!((stats.connected, stats.failed), (0, 1));
    }
}

both! {
    fn a_connection_that_is_dropped_is_closed_behind_its_bytes(world) {
        let data = pattern(200_000);
        let all = data.clone();
        let (task, mut far) = served(world, |mut peer| async move {
            peer.write_all(&all).await.unwrap();
        });
        let (got, end) = world.read_to_end(&mut far);
        assert!(got == data && end == Ok(()));
        outcome(world, &task);
    }
}

both! {
    fn a_connection_of_a_task_that_panics_is_reset(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            peer.write_all(b"the first half").await.unwrap();
            sleep(MS).await;
            panic!("on purpose");
        });
        let (_, end) = world.read_to_end(&mut far);
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
        world.until("the task to be over", |_| task.is_finished());
        assert!(matches!(task.take(), Some(Err(JoinError::Panicked(_)))));
    }
}

both! {
    fn a_connection_that_was_closing_when_its_task_panics_is_reset(world) {
        let (task, mut far) = served(world, |peer| async move {
            peer.transport(|transport| {
                transport.write(&[7; 32 << 20]); // more than the kernel takes
                transport.lose_connection();
            });
            panic!("on purpose");
        });
        world.until("the task to be over", |_| task.is_finished());
        assert_eq!(world.read_to_end(&mut far).1, Err(ErrorKind::ConnectionReset));
    }
}

both! {
    fn a_connection_of_a_part_that_did_not_panic_is_reset_too(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            peer.write_all(b"the first half").await.unwrap();
            let holding = async move {
                let _peer = peer;
                std::future::pending::<()>().await;
            };
            spawn_local(holding.or(async { panic!("on purpose") })).await
        });
        assert_eq!(world.read_to_end(&mut far).1, Err(ErrorKind::ConnectionReset));
        assert!(outcome(world, &task).is_err());
    }
}

both! {
    fn a_connection_that_a_panic_drops_beside_the_reactor_is_reset(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            peer.write_all(b"the first half").await.unwrap();
            sleep(MS).await;
            Reactor::with_lent(|_| {
                let _peer = peer;
                panic!("on purpose");
            });
        });
        assert_eq!(world.read_to_end(&mut far).1, Err(ErrorKind::ConnectionReset));
        world.until("the task to be over", |_| task.is_finished());
        assert!(matches!(task.take(), Some(Err(JoinError::Panicked(_)))));
    }
}

both! {
    fn a_silent_connection_is_reset_with_an_error(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            peer.transport(|transport| transport.set_timeout(Some(20 * MS))).unwrap();
            let error = peer.read(&mut [0]).await.unwrap_err();
            let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<Reason>());
            (error.kind(), matches!(reason, Some(Reason::TimedOut)))
        });
        assert_eq!(world.read_to_end(&mut far).1, Err(ErrorKind::ConnectionReset));
        assert_eq!(outcome(world, &task), (ErrorKind::TimedOut, true));
    }
}

both! {
    fn a_read_that_is_dropped_has_taken_nothing(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            let mut all = Vec::new();
            while all.len() < 5 {
                let mut piece = [0; 2];
                if let Ok(read) = timeout(3 * MS, peer.read(&mut piece)).await {
                    all.extend_from_slice(&piece[..read.unwrap()]);
                }
            }
            all
        });
        for piece in [b"h", b"e", b"l", b"l", b"o"] {
            world.pass(5 * MS);
            far.send(piece);
        }
        assert_eq!(outcome(world, &task), b"hello");
    }
}

both! {
    fn a_task_reaches_the_settings_and_addresses_of_its_connection(world) {
        let (task, far) = served(world, |peer| async move {
            let local = peer.transport(|transport| transport.local_addr());
            assert_eq!(peer.transport(|transport: &mut Transport| transport.id()), Some(peer.id()));
            (peer.peer_addr().socket_addr(), local.unwrap().is_ok())
        });
        let expected = (Some(far.addr()), true);
        assert_eq!(outcome(world, &task), expected);
    }
}

both! {
    fn connections_wait_for_their_task_and_a_crowd_of_them_in_the_kernel(world) {
        const MANY: usize = 150;
        let addr: Rc<RefCell<Option<Address>>> = Rc::default();
        let place = Rc::clone(&addr);
        let go = Rc::new(std::cell::Cell::new(false));
        let gone = Rc::clone(&go);
        let task = spawn(world.reactor(), async move {
            let listen_at = Listen::at("127.0.0.1:0").backlog(256);
            let mut incoming = listen(listen_at).unwrap();
            *place.borrow_mut() = Some(incoming.local_addr().clone());
            while !gone.get() {
                sleep(MS).await;
            }
            let mut firsts = 0;
            for _ in 0..MANY {
                let mut peer = incoming.accept().await.unwrap();
                let mut byte = [0];
                peer.read_exact(&mut byte).await.unwrap();
                firsts += usize::from(byte[0]);
            }
            firsts
        });
        world.until("it to listen", |_| addr.borrow().is_some());
        let to = addr.borrow().as_ref().and_then(Address::socket_addr).unwrap();
        let mut fars: Vec<Far> = (0..MANY).map(|_| world.dial(to)).collect();
        fars.iter_mut().for_each(|far| assert_eq!(far.send(&[1]), 1));
        world.pass(20 * MS);
        let accepted = world.reactor().connections().len();
        assert!((64..=128).contains(&accepted), "{accepted} are accepted");
        go.set(true);
        assert_eq!(outcome(world, &task), MANY);
    }
}

both! {
    fn a_connection_that_is_not_accepted_is_closed_with_its_listener(world) {
        let addr: Rc<RefCell<Option<Address>>> = Rc::default();
        let place = Rc::clone(&addr);
        let task = spawn(world.reactor(), async move {
            let incoming = listen("127.0.0.1:0").unwrap();
            *place.borrow_mut() = Some(incoming.local_addr().clone());
            sleep(20 * MS).await;
            drop(incoming);
        });
        world.until("it to listen", |_| addr.borrow().is_some());
        let to = addr.borrow().as_ref().and_then(Address::socket_addr).unwrap();
        let mut far = world.dial(to);
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        far.close_write();
        outcome(world, &task);
        world.run().unwrap();
    }
}
