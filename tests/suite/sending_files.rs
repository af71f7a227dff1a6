//! Files that are sent, among copied and shared bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::sync::Arc;

use crocus::{Bytes, Rate, Reactor, Transport};

use crate::util::{Folder, Recorder, SECOND, World, pattern};

/// Larger than what a turn writes, and than what the kernel takes of a narrow connection.
const LARGE: usize = 1 << 20;

/// A file with these bytes; gone with its folder.
fn file_of(folder: &Folder, bytes: &[u8]) -> File {
    let path = folder.join("file");
    fs::write(&path, bytes).unwrap();
    File::open(path).unwrap()
}

both! {
    fn copied_shared_and_filed_bytes_leave_in_the_order_of_writing(world) {
        let folder = Folder::new();
        let all = pattern(LARGE);
        let file = Arc::new(file_of(&folder, &all));
        let shared = Bytes::from(all.clone());
        let (_, mut far) = world.dialled_narrow("a", |a| {
            a.on_data(move |transport, _| {
                assert!(transport.write(b"head"));
                assert!(transport.write_owned(shared.clone()));
                assert!(transport.write_owned("small"));
                assert!(transport.send_file(Arc::clone(&file), 1..70_000).unwrap());
                assert!(transport.send_file(Arc::clone(&file), 5..5).unwrap());
                assert!(transport.send_file(Arc::clone(&file), 0..9).unwrap());
                assert!(transport.write_owned(shared.slice(..3000)));
                assert!(transport.write_owned(shared.slice(3000..6000)));
                assert!(transport.write(b"tail"));
                assert_eq!(transport.buffered(), 4 + LARGE + 5 + 69_999 + 9 + 6000 + 4);
                transport.lose_connection();
                assert!(!transport.write_owned("late"));
                assert!(!transport.send_file(Arc::clone(&file), 0..9).unwrap());
            })
        });
        far.send(b"?");
        let parts = [b"head", &all[..], b"small", &all[1..70_000], &all[..9], &all[..6000], b"tail"];
        assert_eq!(world.read_to_end(&mut far), (parts.concat(), Ok(())));
        world.until("the end", |world| world.reactor().connections().is_empty());
    }
}

both! {
    fn many_small_files_and_pieces_leave_in_one_turn(world) {
        let folder = Folder::new();
        let all = pattern(1100);
        let file = Arc::new(file_of(&folder, &all));
        let shared = Bytes::from(all.clone());
        let (log, mut far) = world.dialled("a", |a| a);
        world.until("it to be made", |_| log.has("a made"));
        let mut expected = Vec::new();
        for _ in 0..20 {
            let mut transport = world.only();
            assert!(transport.write(b"head"));
            assert!(transport.send_file(Arc::clone(&file), 1..100).unwrap());
            assert!((0..2).all(|_| transport.write_owned(shared.clone())));
            expected.extend([b"head", &all[1..100], &all.repeat(2)].concat());
        }
        world.turn();
        assert_eq!(world.only().buffered(), 0);
        assert!(world.read(&mut far, expected.len()) == expected);
    }
}

both! {
    fn a_file_presses_and_relieves_as_other_output_does(world) {
        let folder = Folder::new();
        let all = world.much();
        let file = file_of(&folder, &all);
        let (log, mut far) = world.dialled_narrow("a", |a| {
            a.on_pause(|_| {}).on_resume(|transport| {
                assert!(transport.buffered() <= transport.write_buffer_limits().1);
                transport.write(b"more");
            })
        });
        world.until("it to be made", |_| log.has("a made"));
        let len = all.len() as u64;
        assert!(world.only().send_file(file, 0..len).unwrap());
        assert_eq!(world.only().buffered(), all.len());
        world.until("pressure", |_| log.has("a pause"));
        world.quiet();
        assert!(!log.has("a resume"));
        assert_eq!(world.read(&mut far, all.len() + 4), [&all[..], b"more"].concat());
        assert_eq!((log.count("a pause"), log.count("a resume")), (1, 1));
        assert_eq!(world.only().bytes_written(), len + 4);
    }
}

both! {
    /// The cap is about memory, and a file takes none.
    fn a_file_does_not_count_for_the_cap(world) {
        let mut world = world.with_limits(Reactor::builder().write_buffer_cap(10_000));
        let folder = Folder::new();
        let all = world.much();
        let file = file_of(&folder, &all);
        let (log, _far) = world.dialled_narrow("a", |a| a.on_pause(|_| {}));
        world.until("it to be made", |_| log.has("a made"));
        assert!(world.only().send_file(file, 0..all.len() as u64).unwrap());
        world.quiet();
        assert!(world.only().buffered() > 10_000);
        assert!(world.only().write_owned(vec![b'x'; 20_000]));
        world.quiet();
        assert!(!world.only().write_owned(vec![b'x'; 20_000]), "these are in memory");
        world.until("the end", |_| log.has("a lost Overflow"));
    }
}

both! {
    fn a_range_that_the_file_does_not_have_is_refused_at_once(world) {
        let folder = Folder::new();
        let file = Arc::new(file_of(&folder, b"0123456789"));
        let (log, mut far) = world.dialled("a", |a| a);
        world.until("it to be made", |_| log.has("a made"));
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        for range in [0..11, 11..11, 5..4, u64::MAX - 1..u64::MAX] {
            let error = world.only().send_file(Arc::clone(&file), range).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        let error = world.only().send_file(Arc::clone(&file), 2..11).unwrap_err();
        assert_eq!(error.to_string(), "send bytes 2 to 11 of a file: it has 10");
        let folder = File::open(&*folder).unwrap();
        let device = File::open("/dev/zero").unwrap();
        for other in [folder, device] {
            let error = world.only().send_file(other, 0..0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        assert!(world.only().send_file(file, 8..10).unwrap());
        assert_eq!(world.read(&mut far, 2), b"89");
    }
}

both! {
    /// Contract 12 in small: a peer never takes a part for the whole.
    fn a_file_that_becomes_shorter_resets_the_connection(world) {
        let folder = Folder::new();
        let all = world.much();
        let file = file_of(&folder, &all);
        let (log, mut far) = world.dialled_narrow("a", |a| {
            let log = a.log();
            let a = a.on_lost(move |_, reason| log.push(reason.to_string()));
            a.on_data(move |transport, _| {
                let file = file.try_clone().unwrap();
                let len = file.metadata().unwrap().len();
                assert!(transport.send_file(file, 0..len).unwrap());
                transport.lose_connection();
            })
        });
        far.send(b"?");
        let begin = world.read(&mut far, 1000);
        let cut = OpenOptions::new().write(true).open(folder.join("file")).unwrap();
        cut.set_len(all.len() as u64 - 1).unwrap();
        let (rest, end) = world.read_to_end(&mut far);
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
        assert!(all.starts_with(&[begin, rest].concat()));
        world.until("the loss", |_| log.has("a lost Failed(UnexpectedEof)"));
        assert_eq!(log.count("reading a file to send it: the file has become shorter"), 1);
    }
}

both! {
    fn a_file_that_grows_meanwhile_is_sent_up_to_its_range(world) {
        let folder = Folder::new();
        let all = world.much();
        let file = file_of(&folder, &all);
        let (log, mut far) = world.dialled_narrow("a", |a| {
            a.on_made(move |transport| {
                let file = file.try_clone().unwrap();
                let len = file.metadata().unwrap().len();
                assert!(transport.send_file(file, 0..len).unwrap());
                transport.lose_connection();
            })
        });
        world.until("it to be made", |_| log.has("a made"));
        let mut more = OpenOptions::new().append(true).open(folder.join("file")).unwrap();
        more.write_all(b"more").unwrap();
        let (got, end) = world.read_to_end(&mut far);
        assert_eq!((got.len(), end), (all.len(), Ok(())));
        assert!(got == all);
    }
}

both! {
    /// The budget bounds what one turn sends of it, and the rate what a second does.
    fn a_file_keeps_to_the_write_rate(world) {
        let folder = Folder::new();
        let file = file_of(&folder, &pattern(30_000));
        let (log, mut far) = world.dialled("a", |a| a);
        world.until("it to be made", |_| log.has("a made"));
        world.only().set_write_rate(Some(Rate::per_second(100_000).burst(10_000)));
        assert!(world.only().send_file(file, 0..30_000).unwrap());
        world.turn();
        assert!((1..=10_000).contains(&world.only().bytes_written()));
        assert_eq!(world.read(&mut far, 30_000), pattern(30_000));
    }
}

both! {
    fn a_turn_sends_no_more_of_a_file_than_the_write_budget(world) {
        let mut world = world.with_limits(Reactor::builder().write_budget(7_000));
        let folder = Folder::new();
        let file = file_of(&folder, &pattern(30_000));
        let (log, _far) = world.dialled("a", |a| a);
        world.until("it to be made", |_| log.has("a made"));
        assert!(world.only().send_file(file, 0..30_000).unwrap());
        world.turn();
        assert_eq!(world.only().bytes_written(), 7_000);
        world.turn();
        assert_eq!(world.only().bytes_written(), 14_000);
    }
}

both! {
    fn a_file_goes_on_behind_another_protocol(world) {
        let folder = Folder::new();
        let all = world.much();
        let file = file_of(&folder, &all);
        let (log, mut far) = world.dialled_narrow("a", |a| a.on_pause(|_| {}));
        world.until("it to be made", |_| log.has("a made"));
        assert!(world.only().send_file(file, 0..all.len() as u64).unwrap());
        world.quiet();
        let next = Recorder::new(&log, "b").on_made(|transport: &mut Transport| {
            transport.write(b"next");
            transport.lose_connection();
        });
        assert!(log.hand_over(&mut world.only(), next, b""));
        let (got, end) = world.read_to_end(&mut far);
        assert_eq!(end, Ok(()));
        assert!(got == [&all[..], b"next"].concat());
    }
}

both! {
    fn a_peer_that_does_not_take_the_file_is_cut_off(world) {
        let folder = Folder::new();
        let all = world.much();
        let file = Arc::new(file_of(&folder, &all));
        let sent = Arc::clone(&file);
        let (log, mut far) = world.dialled_narrow("a", |a| {
            a.on_made(move |transport| {
                transport.set_close_timeout(SECOND / 20);
                let len = sent.metadata().unwrap().len();
                assert!(transport.send_file(Arc::clone(&sent), 0..len).unwrap());
                transport.lose_connection();
            })
        });
        world.until("the end", |_| log.count("a lost CloseTimedOut") == 1);
        let (got, end) = world.read_to_end(&mut far);
        assert!(got.len() < all.len() && end.is_err(), "{} {end:?}", got.len());
    }
}
