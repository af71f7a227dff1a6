//! From protocol to task, and from task to protocol.

use std::time::Duration;

use crocus::futures::*;
use crocus::{Protocol, Reason, Transport};
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::connections::{outcome, served};
use crate::util::{Far, Log, MS, Recorder, World, pattern, tag};

/// Leaves all but the first byte to a task.
struct First {
    log: Log,
    pause: bool,
}

impl Protocol for First {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.unread(&data[1..]);
        if self.pause {
            transport.pause_reading();
        }
        let mut peer = Connection::take_over(transport).unwrap();
        assert!(Connection::take_over(transport).is_none(), "it is on its way");
        let log = self.log.clone();
        drop(spawn(transport.reactor(), async move {
            let mut all = String::new();
            let result = peer.read_to_string(&mut all).await;
            log.push(format!("{all} {result:?}"));
            peer.write_all(all.to_uppercase().as_bytes()).await.unwrap();
        }));
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        self.log.push(format!("lost {}", tag(reason)));
    }
}

fn taken_over(world: &mut World, pause: bool) {
    let log = Log::new();
    let making = log.clone();
    let (_, addr) = world.listen(move |_| First { log: making.clone(), pause });
    let mut far = world.dial(addr);
    far.send(b"hello ");
    world.quiet();
    far.send(b"world");
    far.close_write();
    assert_eq!(world.read_to_end(&mut far), (b"ELLO WORLD".to_vec(), Ok(())));
    assert_eq!(log.take(), ["ello world Ok(10)"]);
}

both! {
    fn a_task_takes_over_with_what_was_put_back(world) {
        taken_over(world, false);
    }
}

both! {
    fn a_task_takes_over_a_connection_whose_reading_is_paused(world) {
        taken_over(world, true);
    }
}

both! {
    fn a_task_that_takes_over_writes_on_above_the_mark(world) {
        struct Idle;
        impl Protocol for Idle {}

        let (_, addr) = world.listen(|_| Idle);
        let mut far = world.dial(addr);
        world.until("it to be made", |world| !world.reactor().connections().is_empty());
        let id = world.reactor().connections()[0];
        let data = pattern(200_000);
        let all = data.clone();
        drop(spawn(world.reactor(), async move {
            let take_over = |it: &mut crocus::Reactor| {
                Connection::take_over(&mut it.transport(id).unwrap()).unwrap()
            };
            let mut peer = crocus::Reactor::with_lent(take_over).unwrap();
            peer.write_all(&all).await.unwrap();
        }));
        let (got, end) = world.read_to_end(&mut far);
        assert!(got == data && end == Ok(()));
    }
}

/// Has a task take over what somebody else has paused, and give it away before the exchange. Returns the outcome of that.
fn passed_on(world: &mut World, log: &Log, ends: fn(&mut Transport)) -> (Far, bool) {
    struct Pausing;

    impl Protocol for Pausing {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            transport.pause_reading();
            transport.unread(&data[1..]);
        }
    }

    let (_, addr) = world.listen(|_| Pausing);
    let mut far = world.dial(addr);
    far.send(b"hello");
    far.close_write();
    world.until("the bytes", |world| world.reactor().stats().bytes_read == 5);
    let id = world.reactor().connections()[0];
    let heir = Recorder::new(log, "b").with_data().on_eof(|transport| {
        transport.write(b"goodbye");
        transport.lose_connection();
    });
    let task = spawn(world.reactor(), async move {
        let take_over = |it: &mut crocus::Reactor| {
            let mut transport = it.transport(id).unwrap();
            let taken = Connection::take_over(&mut transport).unwrap();
            ends(&mut transport);
            taken
        };
        crocus::Reactor::with_lent(take_over).unwrap().set_protocol(heir).is_ok()
    });
    let given = outcome(world, &task);
    (far, given)
}

both! {
    fn what_was_just_taken_over_can_be_given_away(world) {
        let log = Log::new();
        let (mut far, given) = passed_on(world, &log, |_| ());
        assert!(given);
        assert_eq!(world.read_to_end(&mut far), (b"goodbye".to_vec(), Ok(())));
        world.until("the loss", |_| log.count("b lost") == 1);
        assert_eq!(log.take()[..3], ["b made", "b data ello", "b eof"]);
    }
}

both! {
    fn what_was_just_taken_over_and_closes_is_given_to_nobody(world) {
        let log = Log::new();
        let (mut far, given) = passed_on(world, &log, |transport| transport.lose_connection());
        assert!(!given);
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
        assert_eq!(log.take(), [""; 0]);
    }
}

both! {
    fn a_protocol_takes_over_with_what_the_task_has_not_read(world) {
        let log = Log::new();
        let heir = Recorder::new(&log, "b").with_data().on_eof(|transport| {
            transport.write(b"goodbye");
            transport.lose_connection();
        });
        let (task, mut far) = served(world, move |mut peer| async move {
            let mut line = String::new();
            peer.read_line(&mut line).await.unwrap();
            sleep(10 * MS).await; // more comes, and the end
            peer.set_protocol(heir).unwrap();
            line
        });
        far.send(b"first\nsecond");
        world.pass(5 * MS);
        far.send(b" and third");
        far.close_write();
        assert_eq!(outcome(world, &task), "first\n");
        assert_eq!(world.read_to_end(&mut far), (b"goodbye".to_vec(), Ok(())));
        world.until("the loss", |_| log.count("b lost") == 1);
        assert_eq!(log.take()[..3], ["b made", "b data second and third", "b eof"]);
    }
}

both! {
    fn a_flood_that_the_task_has_not_read_goes_to_the_protocol(world) {
        let log = Log::new();
        let heir = Recorder::new(&log, "b");
        let (task, mut far) = served(world, move |mut peer| async move {
            sleep(20 * MS).await;
            let mut first = [0; 10];
            peer.read_exact(&mut first).await.unwrap();
            peer.set_protocol(heir).unwrap();
        });
        let data = pattern(1 << 20);
        let mut sent = 0;
        world.until("all to be read", |world| {
            sent += far.send(&data[sent..]);
            world.reactor().stats().bytes_read == data.len() as u64
        });
        outcome(world, &task);
        far.close_write();
        world.until("the loss", |_| log.count("b lost") == 1);
    }
}

both! {
    fn a_connection_that_is_over_is_given_to_no_protocol(world) {
        let log = Log::new();
        let heir = Recorder::new(&log, "b");
        let (task, far) = served(world, move |mut peer| async move {
            peer.read(&mut [0]).await.unwrap_err();
            peer.set_protocol(heir).unwrap_err().kind()
        });
        world.quiet();
        far.reset();
        assert_eq!(outcome(world, &task), std::io::ErrorKind::ConnectionReset);
        assert_eq!(log.take(), [""; 0]);
    }
}

both! {
    fn a_task_whose_connection_ends_before_the_exchange_gets_an_error(world) {
        let log = Log::new();
        let making = log.clone();

        struct Cut(Log);

        impl Protocol for Cut {
            fn connection_made(&mut self, transport: &mut Transport) {
                let mut peer = Connection::take_over(transport).unwrap();
                transport.abort_connection();
                let log = self.0.clone();
                drop(spawn(transport.reactor(), async move {
                    let error = peer.read(&mut [0]).await.unwrap_err();
                    log.push(format!("{:?}", error.kind()));
                }));
            }
        }

        let (_, addr) = world.listen(move |_| Cut(making.clone()));
        let _far = world.dial(addr);
        world.until("the error", |_| log.has("ConnectionAborted"));
    }
}

/// Other code takes the connection from its task, whose handle of it is dropped before or after the exchange.
fn taken_away(world: &mut World, pauses: bool, drop_after: Duration) {
    let log = Log::new();
    let heir = Recorder::new(&log, "b").with_data().on_eof(|transport| {
        transport.write(b"goodbye");
        transport.lose_connection();
    });
    let (task, mut far) = served(world, move |peer| async move {
        let give = |transport: &mut Transport| {
            if pauses {
                transport.pause_reading();
            }
            transport.set_protocol(heir)
        };
        assert_eq!(peer.transport(give), Some(true));
        sleep(drop_after).await;
        drop(peer);
        sleep(MS).await;
    });
    outcome(world, &task);
    let id = world.reactor().connections()[0];
    world.reactor().transport(id).unwrap().resume_reading();
    far.send(b"hello");
    far.close_write();
    assert_eq!(world.read_to_end(&mut far), (b"goodbye".to_vec(), Ok(())));
    world.until("the loss", |_| log.count("b lost") == 1);
    assert_eq!(log.take()[..3], ["b made", "b data hello", "b eof"]);
}

both! {
    fn a_connection_that_a_task_has_lost_to_another_goes_on(world) {
        taken_away(world, false, 2 * MS);
    }
}

both! {
    fn a_connection_that_is_being_taken_from_a_task_goes_on(world) {
        taken_away(world, false, Duration::ZERO);
    }
}

both! {
    fn a_paused_connection_that_is_being_taken_goes_on(world) {
        taken_away(world, true, Duration::ZERO);
    }
}

both! {
    fn a_task_closes_a_connection_whose_reading_is_paused(world) {
        let (task, mut far) = served(world, |mut peer| async move {
            peer.write_all(b"goodbye").await.unwrap();
            peer.transport(|transport| transport.pause_reading());
        });
        outcome(world, &task);
        assert_eq!(world.read_to_end(&mut far), (b"goodbye".to_vec(), Ok(())));
    }
}

both! {
    fn what_was_just_taken_over_and_is_dropped_is_closed(world) {
        struct Idle;
        impl Protocol for Idle {}

        let (_, addr) = world.listen(|_| Idle);
        let mut far = world.dial(addr);
        world.until("it to be made", |world| !world.reactor().connections().is_empty());
        let id = world.reactor().connections()[0];
        let task = spawn(world.reactor(), async move {
            let take_over = |it: &mut crocus::Reactor| {
                drop(Connection::take_over(&mut it.transport(id).unwrap()).unwrap());
            };
            crocus::Reactor::with_lent(take_over).unwrap();
        });
        outcome(world, &task);
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())));
    }
}
