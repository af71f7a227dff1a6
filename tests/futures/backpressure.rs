//! Backpressure in both directions, and memory that is bounded.

use crocus::Reactor;
use crocus::futures::*;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use super::connections::{outcome, served};
use crate::util::{MS, World, pattern};

/// The most that is read at a time in the first test.
const READ: usize = 64 * 1024;

/// The most that a connection may keep for a task that does not read: the mark and one read, twice.
const KEPT: u64 = 2 * (64 * 1024 + READ as u64);

/// The high mark, and what one write may exceed it by.
const UNSENT: usize = 64 * 1024 + 1;

both! {
    fn a_peer_that_floods_is_not_read_while_the_task_does_not(world) {
        let world = &mut world.with_limits(Reactor::builder().read_buffer(READ));
        let (task, mut far) = served(world, |mut peer| async move {
            let mut first = [0];
            peer.read_exact(&mut first).await.unwrap();
            sleep(30 * MS).await;
            let kept = peer.transport(|transport| transport.bytes_read()).unwrap();
            let mut all = first.to_vec();
            peer.read_to_end(&mut all).await.unwrap();
            (kept, all)
        });
        let data = pattern(8 << 20);
        let mut sent = 0;
        world.until("the task to be over", |_| {
            sent += far.send(&data[sent..]);
            if sent == data.len() {
                far.close_write();
            }
            task.is_finished()
        });
        let (kept, all) = task.take().unwrap().unwrap();
        assert!(kept <= KEPT, "{kept} bytes are kept");
        assert!(all == data);
    }
}

both! {
    fn a_write_waits_for_a_peer_that_does_not_read(world) {
        let data = world.much();
        let all = data.clone();
        let (task, mut far) = served(world, |mut peer| async move {
            let mut most = 0;
            let mut written = 0;
            while written < all.len() {
                written += peer.write(&all[written..]).await.unwrap();
                most = most.max(peer.transport(|transport| transport.buffered()).unwrap());
            }
            most
        });
        world.pass(30 * MS);
        assert!(!task.is_finished(), "the peer has read nothing");
        let unsent = world.only().buffered();
        assert!(unsent <= UNSENT, "{unsent} bytes wait");
        let (got, end) = world.read_to_end(&mut far);
        assert!(got == data && end == Ok(()));
        assert!(outcome(world, &task) <= UNSENT);
    }
}

both! {
    fn a_task_reads_on_while_it_writes_to_a_peer_that_does_not_read(world) {
        let data = world.much();
        let (task, mut far) = served(world, |mut peer| async move {
            let (reader, writer) = peer.halves();
            let reading = async {
                let mut word = [0; 4];
                reader.read_exact(&mut word).await.unwrap();
                word
            };
            let writing = async {
                writer.write_all(&data).await.unwrap();
                *b"late"
            };
            futures_lite::future::or(reading, writing).await
        });
        world.pass(20 * MS);
        assert!(!task.is_finished());
        far.send(b"stop");
        assert_eq!(&outcome(world, &task), b"stop");
    }
}

both! {
    fn the_marks_of_a_connection_are_those_of_its_task(world) {
        let (task, _far) = served(world, |mut peer| async move {
            peer.transport(|transport| transport.set_write_buffer_limits(10, 0)).unwrap();
            let written = peer.write(&[b'x'; 100]).await.unwrap();
            peer.write_all(&[b'x'; 100]).await.unwrap(); // in pieces, each when the last has left
            written
        });
        assert_eq!(outcome(world, &task), 11);
    }
}

both! {
    fn a_peer_that_is_gone_ends_a_write_that_waits(world) {
        let data = world.much();
        let (task, far) = served(world, |mut peer| async move {
            peer.write_all(&data).await.unwrap_err().kind()
        });
        world.pass(10 * MS);
        far.reset();
        let kind = outcome(world, &task);
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
    }
}
