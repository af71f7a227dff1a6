//! Half close: one direction ends, the other goes on.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::{Protocol, Reactor, Reason, Transport, Who};

use crate::util::{Far, Log, Recorder, World, pattern, tag};

/// Leaves the end from the peer to the default.
struct Answer(Log, Vec<u8>);

impl Protocol for Answer {
    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        transport.write(&self.1);
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        self.0.push(format!("lost {}", tag(reason)));
    }
}

both! {
    /// Twisted's `HalfCloseTests.testWriteCloseNotification` and `testCloseWriteCloser`, our side.
    fn after_lose_write_connection_the_peer_can_go_on_sending(world) {
        let data = world.much();
        let all = data.clone();
        let (log, mut far) = world.dialled_narrow("a", |a| {
            a.with_data().on_pause(|_| {}).on_resume(|_| {}).on_made(move |transport| {
                assert!(transport.write(&all));
                transport.lose_write_connection();
                assert!(!transport.is_closing(), "it still reads");
            })
        });
        let (got, end) = world.read_to_end(&mut far);
        assert!(got == data && end == Ok(()), "{} bytes, {end:?}", got.len());
        for text in ["I am ", "still ", "here"] {
            far.send(text.as_bytes());
            world.quiet();
        }
        world.until("the data", |_| log.has("a data I am still here"));
        assert_eq!(log.count("a lost"), 0);
        far.close_write();
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        let lines = log.take();
        assert_eq!(lines[..3], ["a made", "a pause", "a resume"]);
        assert_eq!(lines[3..5], ["a data I am still here", "a eof"]);
        assert!(
            lines[5..] == ["a lost Closed"] || lines[5..] == ["a lost PeerClosed"],
            "{lines:?}"
        );
    }
}

both! {
    /// Twisted's `HalfCloseTests.testCloseWriteCloser`, the peer's side.
    fn a_protocol_can_write_much_after_the_peers_end(world) {
        let data = world.much();
        let (log, mut far) = world.served_narrow("a", |a| {
            a.with_data().on_eof(|_| {}).on_pause(|_| {}).on_resume(|_| {})
        });
        far.send(b"question");
        far.close_write();
        world.until("the end", |_| log.has("a eof"));
        world.quiet();
        assert_eq!(log.lines(), ["a made", "a data question", "a eof"]);
        assert!(world.only().write(&data));
        world.quiet();
        assert!(!world.only().is_closing());
        world.only().lose_connection();
        let (got, end) = world.read_to_end(&mut far);
        assert!(got == data && end == Ok(()), "{} bytes, {end:?}", got.len());
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        let pressed = ["a made", "a data question", "a eof", "a pause", "a lost PeerClosed"];
        assert_eq!(log.take(), pressed);
    }
}

both! {
    /// Both halves shut, in either order. Twisted never ends such a connection by itself (#5662).
    fn a_connection_ends_by_itself_once_both_halves_are_shut(world) {
        for peer_first in [false, true] {
            let (log, mut far) = world.served("a", |a| a.on_eof(|_| {}));
            if peer_first {
                far.close_write();
                world.until("the end", |_| log.has("a eof"));
                world.quiet();
                assert_eq!(log.count("a lost"), 0);
                assert!(world.only().write(b"last words"));
                world.only().lose_write_connection();
            } else {
                assert!(world.only().write(b"last words"));
                world.only().lose_write_connection();
                assert_eq!(world.read(&mut far, 10), b"last words");
                world.quiet();
                assert_eq!(log.lines(), ["a made"]);
                far.close_write();
            }
            assert_eq!(log.count("a lost"), 0, "not from inside the command");
            world.until("the loss", |_| log.count("a lost") > 0);
            world.quiet();
            let lines = log.take();
            assert_eq!(
                (lines.len(), &lines[..2]),
                (3, &["a made".to_owned(), "a eof".to_owned()][..])
            );
            assert!(["a lost Closed", "a lost PeerClosed"].contains(&lines[2].as_str()));
            let rest: &[u8] = if peer_first { b"last words" } else { b"" };
            assert_eq!(world.read_to_end(&mut far), (rest.to_vec(), Ok(())));
            assert_eq!(world.reactor().connections(), []);
        }
    }
}

both! {
    /// Twisted's `test_doubleHalfClose`, with closing mixed in and in every order.
    fn closing_a_half_twice_has_one_effect(world) {
        type Command = fn(&mut Transport<'_>);
        let half: Command = |transport| transport.lose_write_connection();
        let whole: Command = |transport| transport.lose_connection();
        for (first, second) in [(half, half), (half, whole), (whole, half), (whole, whole)] {
            for at_once in [true, false] {
                let (log, mut far) = world.served("a", |a| {
                    a.on_data(move |transport, _| {
                        assert!(transport.write(b"all"));
                        first(transport);
                        assert!(!transport.write(b"not this"));
                        if at_once {
                            second(transport);
                            assert!(!transport.write(b"nor this"));
                        }
                    })
                });
                far.send(b"x");
                assert_eq!(world.read_to_end(&mut far), (b"all".to_vec(), Ok(())));
                world.quiet();
                assert_eq!(log.lines(), ["a made"]);
                if !at_once {
                    second(&mut world.only());
                    assert!(!world.only().write(b"nor this"));
                    assert_eq!(log.count("a lost"), 0, "not from inside the command");
                    world.quiet();
                }
                far.close_write();
                world.until("the loss", |_| log.count("a lost") > 0);
                world.quiet();
                assert_eq!(log.count("a lost Closed") + log.count("a lost PeerClosed"), 1);
                // After the whole was closed not even the peer's end is told.
                let told = std::ptr::fn_addr_eq(first, half) && std::ptr::fn_addr_eq(second, half);
                assert_eq!(log.len(), if told { 3 } else { 2 }, "{:?}", log.lines());
            }
        }
    }
}

both! {
    /// The reference's experiment: Twisted calls back from inside `loseConnection` here.
    fn closing_after_a_half_close_is_told_from_the_loop(world) {
        let (log, mut far) = world.dialled("a", |a| {
            let log = a.log();
            a.on_made(|transport| transport.lose_write_connection()).on_eof(move |transport| {
                transport.lose_connection();
                log.push("closed");
            })
        });
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        far.close_write();
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        let lines = log.take();
        assert_eq!(lines[..3], ["a made", "a eof", "closed"]);
        assert_eq!(lines.len(), 4);
    }
}

both! {
    /// Twisted's `HalfCloseNoNotification.testNoNotification`.
    fn the_end_from_the_peer_closes_by_default(world) {
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| Answer(seen.clone(), vec![]));
        let mut far = world.dial(addr);
        world.until("it to be there", |world| world.reactor().stats().accepted == 1);
        far.close_write();
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        world.until("the loss", |_| log.len() > 0);
        world.quiet();
        assert_eq!(log.take(), ["lost PeerClosed"]);
    }
}

both! {
    /// The reference's experiment: Twisted sends nothing of it, asyncio all.
    fn a_pending_answer_arrives_whole_after_the_peers_end(world) {
        let log = Log::new();
        let seen = log.clone();
        let data = world.much();
        let all = data.clone();
        let addr = world.listen_narrow(move |_| Answer(seen.clone(), all.clone()));
        let mut far = world.dial(addr);
        world.until("it to be there", |world| world.reactor().stats().accepted == 1);
        world.quiet();
        far.send(b"?");
        far.close_write();
        let (got, end) = world.read_to_end(&mut far);
        assert!(got == data && end == Ok(()), "{} bytes, {end:?}", got.len());
        world.until("the loss", |_| log.len() > 0);
        world.quiet();
        assert_eq!(log.take(), ["lost PeerClosed"]);
    }
}

both! {
    /// Twisted's `testShutdownException`: shutting a half of what the peer has reset.
    fn a_half_close_that_crosses_a_reset_is_one_loss(world) {
        for paused in [false, true] {
            let (log, far) = world.served("a", |a| {
                a.on_made(move |transport| {
                    if paused {
                        transport.pause_reading();
                    }
                })
                .on_lost(|_, reason| assert_eq!(reason.who(), Who::Peer))
            });
            world.quiet();
            far.reset();
            // The reactor has not heard of the reset yet.
            world.only().lose_write_connection();
            world.until("the loss", |_| log.count("a lost") > 0);
            world.quiet();
            assert_eq!(log.take(), ["a made", "a lost Failed(ConnectionReset)"]);
        }
    }
}

both! {
    /// The reference's experiment: asyncio never notices.
    fn an_idle_half_closed_connection_notices_a_reset(world) {
        for paused in [false, true] {
            let (log, mut far) = world.served("a", |recorder| {
                recorder
                    .on_eof(move |transport| {
                        if paused {
                            transport.pause_reading();
                        }
                    })
                    .on_lost(|_, reason| {
                        // Linux says EPIPE: the reset met a connection at its end already.
                        assert!(reason.io_error().is_some());
                        assert_eq!(reason.who(), Who::Peer);
                    })
            });
            far.close_write();
            world.until("the end", |_| log.has("a eof"));
            world.quiet();
            assert_eq!(log.lines(), ["a made", "a eof"]);
            far.reset();
            world.until("the loss", |_| log.count("a lost Failed") > 0);
            world.quiet();
            assert_eq!(log.take().len(), 3);
        }
    }
}

both! {
    /// The order of the two: bytes first, the end after, whatever the size of the reads.
    fn the_end_comes_after_the_last_byte_of_any_read(world) {
        for size in 1..=9 {
            let world = &mut world.with_limits(Reactor::builder().read_buffer(size).read_budget(3));
            let (log, mut far) = world.served("a", |a| a.with_data().on_eof(|_| {}));
            far.send(b"eighteen letters!!");
            far.close_write();
            world.until("the end", |_| log.has("a eof"));
            world.quiet();
            assert_eq!(log.take(), ["a made", "a data eighteen letters!!", "a eof"]);
            world.only().lose_connection();
            world.until("the loss", |_| log.count("a lost") > 0);
            assert_eq!(log.take(), ["a lost PeerClosed"]);
        }
    }
}

/// A half close has no deadline, the peer may take its time; the whole close after it has one.
#[test]
fn a_half_closed_connection_lives_until_it_is_closed() {
    let mut world = World::simulated();
    let (log, mut far) = world.dialled("a", |a| {
        a.on_made(|transport| {
            transport.write(&pattern(1 << 20));
            transport.lose_write_connection();
        })
    });
    world.pass(Duration::from_secs(3600));
    assert_eq!(log.lines(), ["a made", "a pause"]);
    world.only().lose_connection();
    world.pass(Duration::from_secs(30) - Duration::from_nanos(1));
    assert_eq!(log.len(), 2);
    world.pass(Duration::from_nanos(1));
    assert_eq!(log.take(), ["a made", "a pause", "a lost CloseTimedOut"]);
    assert_eq!(world.read_to_end(&mut far).1, Err(io::ErrorKind::ConnectionReset));
}

/// The kernel may keep a part of a segment for a FIN that is to follow. Here the close of the socket sends it,
/// and that comes after `connection_lost`.
#[test]
fn last_bytes_leave_before_connection_lost_has_worked() {
    let mut world = World::real();
    let peer = Rc::new(RefCell::new(None::<Far>));
    let (at_the_end, log) = (Rc::clone(&peer), Log::new());
    let seen = log.clone();
    let (_, addr) = world.listen(move |_| {
        let peer = Rc::clone(&at_the_end);
        Recorder::new(&seen, "a")
            .on_eof(|transport| {
                transport.write(&[b'x'; 700]);
                transport.lose_connection();
            })
            .on_lost(move |_, _| {
                // A tenth of the time that Linux keeps such bytes for.
                let begin = Instant::now();
                let mut got = 0;
                while got < 700 && begin.elapsed() < Duration::from_millis(20) {
                    got += peer.borrow_mut().as_mut().unwrap().receive(700 - got).unwrap().len();
                }
                assert_eq!(got, 700, "the bytes wait for the FIN");
            })
    });
    let mut far = world.dial(addr);
    far.close_write();
    *peer.borrow_mut() = Some(far);
    world.until("the loss", |_| log.has("a lost PeerClosed"));
}
