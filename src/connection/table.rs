//! One test per row of the table in `connection`, by its number, and tests of faults met before.
//!
//! The notices are written as words: `Made [hello] Eof`.

use std::io::ErrorKind;
use std::time::Duration;

use super::script::{Driver, Kind};
use super::{Direction, Holds, Next, ReadBuffer, Tell};
use crate::parts::token_bucket::Rate;
use crate::reason::{Activity, Reason};
use crate::system::poller::Readiness;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const CAP: usize = 1000;

fn driver_that_was_sent(bytes: &[u8]) -> Driver {
    let mut driver = Driver::open();
    driver.script.peer_sends(bytes);
    driver.take_events();
    driver
}

fn with_a_full_kernel() -> Driver {
    let mut driver = Driver::open();
    driver.take_events();
    driver.script.wire_mut().window = 0;
    driver
}

/// Closing, with all sent and FIN, and waiting for the peer's.
fn lingering() -> Driver {
    let mut driver = Driver::open();
    driver.write(b"bye", CAP);
    driver.close();
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("bye", 1));
    assert!(!driver.connection.is_gone());
    driver
}

fn due_in(driver: &Driver) -> Option<Duration> {
    driver.connection.deadline().map(|at| at - driver.now)
}

#[track_caller]
fn assert_gone(driver: &mut Driver, reason: &str) {
    assert!(driver.connection.is_gone(), "it goes on");
    let found = match driver.connection.reason() {
        Reason::Failed { activity, error } => {
            let activity =
                if activity == Activity::Closing { "while closing" } else { "while open" };
            format!("{:?} {activity}", error.kind())
        }
        other => format!("{other:?}"),
    };
    assert_eq!(found, reason);
    assert_eq!(driver.serve(), Next::Gone);
}

#[test]
fn row_01_made_is_told_once_and_first() {
    let mut driver = Driver::new();
    assert!(!driver.connection.is_up() && !driver.connection.was_announced());
    driver.script.peer_sends(b"early");
    assert_eq!(driver.serve(), Next::Rest);
    assert!(driver.connection.is_up() && driver.connection.was_announced());
    driver.settle();
    assert_eq!(driver.heard(), "Made [early]");
}

#[test]
fn row_02_closed_or_ended_before_it_was_announced_tells_nothing() {
    for close in [true, false] {
        let mut driver = Driver::new();
        assert!(if close { driver.close() } else { driver.abort() });
        assert_eq!(driver.serve(), Next::Gone);
        assert!(!driver.connection.was_announced());
        assert_eq!((driver.heard().as_str(), driver.script.wire().fins), ("", 0));
        assert_gone(&mut driver, if close { "Closed" } else { "Aborted" });
    }
}

#[test]
fn row_03_bytes_are_told_and_a_drained_stream_rests() {
    let mut driver = driver_that_was_sent(b"hello");
    assert_eq!(driver.serve(), Next::Rest);
    assert_eq!(driver.heard(), "[hello]");
    assert_eq!(driver.script.wire().reads, 1, "a short read says that it is drained");
    driver.script.wire_mut().interrupts = 2;
    driver.script.peer_sends(b"x");
    driver.settle();
    assert_eq!((driver.heard().as_str(), driver.script.wire().reads), ("[x]", 2));
    driver.latch(Readiness::READABLE);
    assert_eq!(driver.serve(), Next::Rest, "for nothing");
    assert_eq!(driver.heard(), "");
}

#[test]
fn row_04_held_bytes_wait_for_every_hold_to_be_released() {
    let mut driver = Driver::open();
    driver.hold(Holds::PROTOCOL);
    driver.hold(Holds::PRESSURE);
    driver.script.peer_sends(b"hello");
    driver.settle();
    assert_eq!((driver.heard().as_str(), driver.script.wire().reads), ("", 0));
    for (first, last) in [(Holds::PRESSURE, Holds::PROTOCOL), (Holds::PROTOCOL, Holds::PRESSURE)] {
        driver.hold(Holds::PROTOCOL | Holds::PRESSURE);
        driver.settle();
        driver.release(first);
        assert!(!driver.queued, "nothing to do yet");
        assert_eq!((driver.serve(), driver.heard().as_str()), (Next::Rest, ""));
        driver.release(last);
        assert!(driver.queued, "no event repeats what was latched");
        driver.buffer = ReadBuffer::new(3);
        driver.budgets.0 = 3;
        driver.serve();
        assert_eq!(driver.heard(), if last == Holds::PROTOCOL { "[hel]" } else { "[lo]" });
    }
}

#[test]
fn row_05_what_is_above_the_allowance_waits_for_another_visit() {
    let mut driver = driver_that_was_sent(b"abcdefgh");
    driver.budgets.0 = 5;
    driver.buffer = ReadBuffer::new(3);
    assert_eq!(driver.serve(), Next::Yield);
    assert_eq!(driver.heard(), "[abc] [de]");
    assert_eq!(driver.serve(), Next::Rest);
    assert_eq!(driver.heard(), "[fgh]");
}

#[test]
fn row_06_unread_bytes_come_again_before_anything_newer() {
    let mut driver = driver_that_was_sent(b"abc");
    let next = driver.visit(Kind::Serve, |driver, _| {
        driver.script.peer_sends(b"d");
        assert!(driver.unread(b"bc"));
    });
    assert_eq!(next, Next::Yield, "not again in this visit");
    assert_eq!(driver.heard(), "[abc]");
    driver.settle();
    assert_eq!(driver.heard(), "[bc] [d]");
    assert!(driver.unread(b"3") && driver.unread(b"12"), "the last is the first");
    driver.budgets.0 = 2;
    assert_eq!((driver.serve(), driver.heard().as_str()), (Next::Yield, ""));
    assert_eq!((driver.serve(), driver.heard().as_str()), (Next::Yield, "[12]"));
    assert_eq!((driver.serve(), driver.heard().as_str()), (Next::Rest, "[3]"));
}

#[test]
fn row_07_fin_is_told_once_behind_the_last_byte() {
    let mut driver = driver_that_was_sent(b"last");
    driver.script.peer_ends();
    driver.settle();
    assert_eq!(driver.heard(), "[last] Eof");
    driver.latch(Readiness::READABLE | Readiness::READ_CLOSED);
    driver.settle();
    assert_eq!(driver.heard(), "");
    assert!(driver.write(b"answer", CAP), "half of it is open");
    driver.settle();
    assert_eq!(driver.written(), "answer");
}

#[test]
fn row_08_it_ends_when_both_halves_are_shut() {
    let mut driver = Driver::open();
    assert!(driver.shut_write());
    driver.settle();
    driver.script.peer_ends();
    driver.settle();
    assert_eq!(driver.heard(), "Eof");
    assert_gone(&mut driver, "Closed");
    let mut driver = Driver::open();
    driver.script.peer_ends();
    driver.settle();
    driver.shut_write();
    driver.settle();
    assert_gone(&mut driver, "PeerClosed");
}

#[test]
fn row_09_pause_is_told_before_anything_is_sent() {
    let mut driver = Driver::open();
    driver.write(&[b'x'; 100], CAP);
    driver.settle();
    assert_eq!(driver.heard(), "", "not above the mark");
    driver.write(&[b'x'; 101], CAP);
    let mut waiting = 0;
    driver.visit(Kind::Flush, |driver, notice| {
        if notice == Tell::Pause {
            assert!(driver.connection.is_pressed());
            waiting = driver.connection.buffered();
        }
    });
    assert_eq!((driver.heard().as_str(), waiting), ("Pause Resume", 101));
}

#[test]
fn row_10_resume_is_told_at_the_low_mark_and_not_above() {
    let mut driver = with_a_full_kernel();
    driver.write(&[b'x'; 101], CAP);
    driver.settle();
    assert_eq!(driver.heard(), "Pause");
    driver.script.opens(75);
    driver.settle();
    assert_eq!((driver.heard().as_str(), driver.connection.buffered()), ("", 26));
    driver.script.opens(1);
    driver.settle();
    assert_eq!((driver.heard().as_str(), driver.connection.buffered()), ("Resume", 25));
    assert!(!driver.connection.is_pressed());
}

#[test]
fn row_11_a_write_leaves_in_the_visit_by_one_call() {
    let mut driver = driver_that_was_sent(b"ab");
    driver.budgets.1 = 5;
    driver.buffer = ReadBuffer::new(1);
    let next = driver.visit(Kind::Serve, |driver, notice| {
        if notice == Tell::Data {
            assert!(driver.write(b"four", CAP));
            assert_eq!(driver.script.wire().writes, 0, "no byte leaves inside of a command");
        }
    });
    assert_eq!(next, Next::Yield, "the allowance is spent");
    assert_eq!((driver.written().as_str(), driver.script.wire().writes), ("fourf", 1));
    assert_eq!(driver.serve(), Next::Rest);
    assert_eq!((driver.written().as_str(), driver.script.wire().writes), ("fourfour", 2));
    driver.script.wire_mut().interrupts = 2;
    driver.write(b"x", CAP);
    assert_eq!(driver.flush(), Next::Rest);
    assert_eq!(driver.written(), "fourfourx");
}

#[test]
fn row_11_a_second_write_waits_for_another_visit() {
    let mut driver = Driver::open();
    driver.write(&[b'x'; 101], CAP);
    let next = driver.visit(Kind::Flush, |driver, notice| {
        if notice == Tell::Resume {
            driver.write(b"more", CAP);
        }
    });
    assert_eq!((next, driver.script.wire().writes), (Next::Yield, 1));
    driver.settle();
    assert_eq!((driver.written().len(), driver.script.wire().writes), (105, 2));
}

#[test]
fn row_11_shared_bytes_leave_among_copied_ones_in_one_call() {
    const SHARED: &[u8] = b"as many as are not copied, and more";
    let mut driver = Driver::open();
    driver.write(b"a", CAP);
    driver.write_owned(SHARED, CAP);
    driver.write(b"b", CAP);
    driver.write_owned(b"few", CAP);
    driver.write_owned(SHARED, CAP);
    assert_eq!(driver.connection.buffered(), 5 + 2 * SHARED.len());
    driver.shut_write();
    driver.flush();
    let shared = str::from_utf8(SHARED).unwrap();
    assert_eq!(driver.written(), ["a", shared, "bfew", shared].concat());
    let wire = driver.script.wire();
    assert_eq!((wire.writes, wire.fins, wire.fin_goes_along), (1, 1, true));
}

#[test]
fn row_11_as_many_shared_pieces_leave_in_a_visit_as_it_allows() {
    let mut driver = Driver::open();
    driver.set_marks(usize::MAX, 0);
    for _ in 0..200 {
        driver.write_owned(&[b'x'; 20], usize::MAX);
    }
    driver.budgets.1 = 3990;
    assert_eq!((driver.flush(), driver.written().len()), (Next::Yield, 3990));
    // A call that is followed by another at once says so.
    assert_eq!(driver.script.wire().mores, [true, true, true, false]);
    driver.settle();
    assert_eq!(driver.written().len(), 4000);
}

#[test]
fn row_11_what_left_before_a_failed_call_is_counted() {
    let mut driver = Driver::open();
    for _ in 0..65 {
        driver.write_owned(&[b'x'; 16], usize::MAX);
    }
    driver.budgets.1 = 2000;
    driver.script.wire_mut().fails_after = Some(1);
    driver.flush();
    assert_eq!(driver.written().len(), 1024);
    assert_eq!((driver.connection.traffic().written, driver.sent()), (1024, 1024));
}

#[cfg(all(unix, feature = "sendfile"))]
#[test]
fn row_11_many_files_and_what_is_between_them_leave_in_one_visit() {
    let mut driver = Driver::open();
    driver.set_marks(usize::MAX, 0);
    for _ in 0..5 {
        driver.write(b"head", CAP);
        assert!(driver.send_file(0..9).unwrap() && driver.send_file(1..2).unwrap());
    }
    driver.write(b"tail", CAP);
    assert_eq!((driver.flush(), driver.written().len()), (Next::Rest, 5 * 14 + 4));
    let one = [true, false, false]; // a head waits for its file
    assert_eq!(driver.script.wire().mores, [one.repeat(5), vec![false]].concat());
}

#[cfg(all(unix, feature = "sendfile"))]
#[test]
fn row_11_a_file_leaves_behind_its_head_within_the_allowance() {
    let content = std::fs::read_to_string("Cargo.toml").unwrap();
    let len = content.len();
    let mut driver = Driver::open();
    driver.budgets.1 = len;
    driver.write(b"head", CAP);
    assert!(driver.send_file(0..len as u64).unwrap());
    driver.write(b"tail", CAP);
    assert_eq!(driver.connection.buffered(), len + 8);
    driver.set_marks(usize::MAX, 0);
    assert_eq!(driver.flush(), Next::Yield, "the allowance is spent");
    assert_eq!(driver.written(), ["head", &content[..len - 4]].concat());
    driver.settle();
    assert_eq!(driver.written(), ["head", &content, "tail"].concat());
    driver.script.wire_mut().window = 3;
    assert!(driver.send_file(5..15).unwrap());
    driver.flush();
    driver.script.opens(100);
    driver.settle();
    assert!(driver.written().ends_with(&["tail", &content[5..15]].concat()));
}

#[test]
fn row_12_a_write_above_the_cap_ends_it() {
    let mut driver = with_a_full_kernel();
    assert!(driver.write(b"123", 4), "in one piece or in many");
    assert!(driver.write(b"45", 4) && driver.write(b"6", 4) && driver.write(b"", 4));
    driver.script.opens(2);
    driver.settle();
    assert!(driver.write(b"7", 4), "not above what was left");
    driver.flush();
    assert!(!driver.write(b"8", 4));
    assert!(driver.flushing, "somebody must see to the end");
    driver.settle();
    assert_gone(&mut driver, "Overflow { unsent: 5 }");
    assert_eq!(driver.heard(), "");
}

#[test]
fn row_13_fin_follows_the_last_byte_and_later_writes_are_dropped() {
    let mut driver = with_a_full_kernel();
    driver.write(b"last", CAP);
    assert!(driver.shut_write() && !driver.shut_write());
    assert!(!driver.write(b"late", CAP));
    driver.script.opens(3);
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("las", 0));
    driver.script.opens(9);
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("last", 1));
    assert!(driver.script.wire().fin_goes_along, "in one segment");
    driver.script.peer_sends(b"go on");
    driver.settle();
    assert_eq!(driver.heard(), "[go on]");
}

#[test]
fn row_14_silence_is_told_once_and_a_close_then_says_why() {
    let mut driver = Driver::open();
    driver.set_timeout(Some(10 * SECOND));
    driver.pass(9 * SECOND);
    driver.script.peer_sends(b"x");
    driver.settle();
    assert_eq!(due_in(&driver), Some(10 * SECOND), "reading is activity");
    driver.pass(5 * SECOND);
    driver.write(b"y", CAP);
    driver.settle();
    assert_eq!(due_in(&driver), Some(10 * SECOND), "so is writing");
    driver.pass(10 * SECOND - MS);
    driver.serve();
    assert_eq!(driver.heard(), "[x]");
    driver.pass(MS);
    driver.settle();
    assert_eq!((driver.heard().as_str(), due_in(&driver)), ("TimedOut", None));
    driver.set_timeout(Some(SECOND));
    driver.pass(SECOND);
    driver.visit(Kind::Serve, |driver, _| assert!(driver.close()));
    driver.script.peer_ends();
    driver.settle();
    assert_gone(&mut driver, "TimedOut");
}

#[test]
fn row_14_a_close_long_after_the_timeout_is_our_own() {
    let mut driver = Driver::open();
    driver.set_timeout(Some(SECOND));
    driver.pass(SECOND);
    driver.settle();
    assert_eq!(driver.heard(), "TimedOut");
    driver.close();
    driver.script.peer_ends();
    driver.settle();
    assert_gone(&mut driver, "Closed");
}

#[test]
fn row_15_after_failed_sending_what_came_before_is_told() {
    let mut driver = with_a_full_kernel();
    driver.write(b"never", CAP);
    driver.settle();
    driver.script.peer_sends(b"last words");
    driver.script.peer_resets();
    driver.budgets.0 = 4;
    driver.latch(Readiness::WRITABLE); // it tells of nothing to read
    assert_eq!(driver.serve(), Next::Yield);
    assert_eq!((driver.heard().as_str(), driver.connection.buffered()), ("[last]", 0));
    assert!(!driver.write(b"more", CAP));
    driver.budgets.0 = 50;
    assert_eq!(driver.serve(), Next::Gone, "though no event tells of the end");
    assert_eq!(driver.heard(), "[ words]");
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn row_15_failed_sending_relieves_a_reader_held_by_pressure() {
    let mut driver = with_a_full_kernel();
    driver.write(&[b'x'; 101], CAP);
    driver.visit(Kind::Flush, |driver, _| driver.hold(Holds::PRESSURE));
    driver.script.peer_sends(b"last");
    driver.script.peer_resets();
    driver.latch(Readiness::WRITABLE);
    driver.settle();
    assert_eq!(driver.heard(), "Pause [last]");
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn row_15_failed_sending_lets_the_next_protocol_hear_what_was_kept() {
    let mut driver = driver_that_was_sent(b"abc");
    driver.script.peer_ends();
    driver.settle();
    assert_eq!(driver.heard(), "[abc] Eof");
    driver.unread(b"c");
    driver.write(b"never", CAP);
    driver.hand_over();
    driver.script.peer_resets();
    assert_eq!(driver.flush(), Next::Yield, "it fails while nobody can hear");
    driver.settle();
    assert_eq!(driver.heard(), "Handover [c]");
    assert_gone(&mut driver, "BrokenPipe while open");
}

#[test]
fn row_15_failed_sending_without_anything_to_read_ends_it() {
    let mut driver = Driver::open();
    driver.script.wire_mut().refuses = Some(ErrorKind::TimedOut);
    driver.write(b"never", CAP);
    driver.flush();
    driver.settle();
    assert_gone(&mut driver, "TimedOut while open");
}

#[test]
fn row_16_failed_sending_ends_it_if_nobody_reads() {
    for held in [true, false] {
        let mut driver = Driver::open();
        if held {
            driver.hold(Holds::PROTOCOL);
            driver.script.peer_sends(b"unwanted");
        } else {
            driver.script.peer_ends();
        }
        driver.settle();
        driver.heard();
        driver.script.peer_resets();
        driver.write(b"answer", CAP);
        assert_eq!(driver.flush(), Next::Gone);
        assert_eq!(driver.heard(), "");
        let error = if held { "ConnectionReset" } else { "BrokenPipe" };
        assert_gone(&mut driver, &format!("{error} while open"));
    }
}

#[test]
fn row_17_a_broken_connection_that_is_held_ends() {
    let mut driver = Driver::open();
    driver.script.peer_sends(b"last words");
    driver.script.peer_resets();
    driver.write(b"x", CAP);
    assert_eq!(driver.flush(), Next::Yield, "broken, and not read yet");
    driver.hold(Holds::PROTOCOL);
    assert!(driver.flushing, "somebody must see to the end");
    assert_eq!(driver.heard(), "");
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn row_17_a_broken_connection_that_is_closed_ends_over_its_failure() {
    let mut driver = Driver::open();
    driver.script.peer_sends(b"last words");
    driver.script.peer_resets();
    driver.write(b"x", CAP);
    assert_eq!(driver.flush(), Next::Yield, "broken, and not read yet");
    assert!(driver.close());
    assert_eq!((driver.heard().as_str(), driver.script.wire().fins), ("", 0));
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn row_18_a_held_connection_notices_a_reset() {
    let mut driver = Driver::open();
    driver.hold(Holds::PROTOCOL);
    driver.script.peer_sends(b"unwanted");
    driver.settle();
    driver.script.peer_resets();
    driver.settle();
    assert_eq!(driver.heard(), "");
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn row_18_a_hang_up_without_an_error_announces_the_end() {
    let mut driver = Driver::open();
    driver.hold(Holds::PROTOCOL);
    driver.script.peer_sends(b"last");
    driver.script.peer_ends();
    driver.latch(Readiness::FAILED);
    assert_eq!((driver.serve(), driver.serve()), (Next::Rest, Next::Rest));
    assert_eq!(driver.script.wire().questions, 1, "asked once");
    driver.release(Holds::PROTOCOL);
    driver.serve();
    assert_eq!(driver.heard(), "[last] Eof");
}

#[test]
fn row_18_a_new_hang_up_grants_kept_bytes_once_more() {
    let mut driver = driver_that_was_sent(b"abcd");
    driver.latch(Readiness::FAILED); // without an error
    driver.visit(Kind::Serve, |driver, _| {
        driver.unread(b"d");
    });
    driver.serve();
    assert_eq!(driver.heard(), "[abcd] [d]");
    assert!(driver.unread(b"bcd"), "between two visits");
    driver.script.peer_resets();
    driver.settle();
    assert_eq!(driver.heard(), "[bcd]", "they came before the reset");
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn row_19_an_error_on_reading_ends_it_behind_the_bytes() {
    let mut driver = Driver::open();
    driver.script.peer_sends(b"last");
    driver.script.peer_resets();
    driver.settle();
    assert_eq!(driver.heard(), "[last]");
    assert_gone(&mut driver, "ConnectionReset while open");
    assert!(driver.connection.ends_abruptly(), "the peer must not take a part for the whole");
}

#[test]
fn row_19_a_hang_up_that_was_none_hides_no_later_bytes() {
    let mut driver = Driver::open();
    driver.budgets = (1000, 1);
    driver.write(b"abc", CAP);
    driver.latch(Readiness::FAILED);
    assert_eq!((driver.flush(), driver.serve()), (Next::Yield, Next::Yield));
    driver.script.peer_sends(b"last");
    driver.script.peer_resets();
    driver.visit(Kind::ServeWithoutWriting, |_, _| {}); // before the poller tells of them
    driver.settle();
    assert_eq!(driver.heard(), "[last]");
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn row_20_an_empty_bucket_holds_until_it_has_a_portion() {
    let mut driver = driver_that_was_sent(b"abcdefgh");
    driver.set_rate(Direction::Reading, Some(Rate::per_second(1000).burst(5)));
    driver.settle();
    assert_eq!((driver.heard().as_str(), due_in(&driver)), ("[abcde]", Some(2 * MS)));
    driver.serve();
    assert_eq!(driver.heard(), "", "held");
    driver.unread(b"e");
    driver.settle();
    assert_eq!(driver.heard(), "[e]", "it was paid for");
    driver.pass(2 * MS);
    driver.settle();
    assert_eq!(driver.heard(), "[fg]");
    driver.set_rate(Direction::Reading, None);
    driver.settle();
    assert_eq!((driver.heard().as_str(), due_in(&driver)), ("[h]", None));
}

#[test]
fn row_20_a_rate_of_writing_holds_only_writing() {
    let mut driver = Driver::open();
    driver.set_rate(Direction::Writing, Some(Rate::per_second(1000).burst(5)));
    driver.write(b"abcdefgh", CAP);
    driver.script.peer_sends(b"read");
    driver.settle();
    assert_eq!((driver.written().as_str(), due_in(&driver)), ("abcde", Some(2 * MS)));
    driver.script.peer_sends(b" on");
    driver.settle();
    assert_eq!(driver.heard(), "[read] [ on]");
    driver.close();
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("abcde", 0));
    driver.pass(3 * MS);
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("abcdefgh", 1));
}

#[test]
fn row_21_a_former_protocol_hears_no_more() {
    let mut driver = with_a_full_kernel();
    driver.write(&[b'x'; 101], CAP);
    driver.visit(Kind::Flush, |driver, _| driver.hold(Holds::PRESSURE));
    assert_eq!(driver.heard(), "Pause");
    assert!(driver.hand_over() && !driver.hand_over());
    assert!(!driver.connection.hears() && !driver.connection.is_pressed());
    driver.script.peer_sends(b"for the next");
    driver.script.opens(90);
    driver.take_events();
    assert_eq!(driver.flush(), Next::Yield, "handing over reads, and this does not");
    assert_eq!((driver.heard().as_str(), driver.written().len()), ("", 90));
    driver.settle();
    assert_eq!(driver.heard(), "Handover [for the next]");
}

#[test]
fn row_22_the_next_hears_what_was_kept_and_eof_again() {
    let mut driver = driver_that_was_sent(b"abc");
    driver.script.peer_ends();
    driver.settle();
    assert_eq!(driver.heard(), "[abc] Eof");
    assert!(driver.unread(b"c"), "kept for who takes over");
    driver.settle();
    assert_eq!(driver.heard(), "", "not after the end");
    driver.hand_over();
    assert!(driver.unread(b"b"));
    driver.settle();
    assert_eq!(driver.heard(), "Handover [bc] Eof");
}

#[test]
fn row_22_what_was_put_back_follows_in_the_same_visit() {
    let mut driver = driver_that_was_sent(b"abc");
    let next = driver.visit(Kind::Serve, |driver, notice| {
        if driver.is_told(notice, 3) {
            driver.unread(b"bc");
            driver.hand_over();
        }
    });
    assert_eq!((next, driver.heard().as_str()), (Next::Rest, "[abc] Handover [bc]"));
}

#[test]
fn row_22_the_next_hears_eof_before_both_halves_end_it() {
    let mut driver = Driver::open();
    driver.script.peer_ends();
    driver.settle();
    driver.hand_over();
    driver.shut_write();
    driver.visit(Kind::Serve, |driver, notice| {
        if notice == Tell::Handover {
            driver.hold(Holds::PROTOCOL);
        }
    });
    assert_eq!(driver.flush(), Next::Rest);
    assert_eq!((driver.heard().as_str(), driver.script.wire().fins), ("Eof Handover", 1));
    assert!(!driver.connection.is_gone());
    driver.release(Holds::PROTOCOL);
    driver.settle();
    assert_eq!(driver.heard(), "Eof");
    assert_gone(&mut driver, "PeerClosed");
}

#[test]
fn row_22_handing_over_costs_a_full_read() {
    let mut driver = Driver::open();
    driver.budgets.0 = 3 * driver.buffer.len();
    let next = driver.visit(Kind::Serve, |_, _| unreachable!("nothing to tell"));
    assert_eq!(next, Next::Rest);
    driver.hand_over();
    let next = driver.visit(Kind::Serve, |driver, _| assert!(driver.hand_over()));
    assert_eq!((next, driver.heard().as_str()), (Next::Yield, "Handover Handover Handover"));
}

#[test]
fn row_23_a_connection_handed_over_closes_or_ends_untold() {
    let mut driver = Driver::open();
    driver.write(b"rest", CAP);
    driver.hand_over();
    assert!(driver.close() && !driver.connection.is_open());
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("rest", 1));
    driver.script.peer_ends();
    driver.settle();
    assert_gone(&mut driver, "Closed");
    assert_eq!(driver.heard(), "");
    let mut driver = Driver::open();
    driver.hand_over();
    assert!(driver.abort());
    assert_gone(&mut driver, "Aborted");
    assert_eq!(driver.heard(), "");
}

#[test]
fn row_24_close_sends_what_waits_and_takes_no_more() {
    let mut driver = with_a_full_kernel();
    driver.write(b"rest", CAP);
    assert!(driver.close() && !driver.close());
    assert!(!driver.write(b"more", CAP) && !driver.unread(b"x") && !driver.hand_over());
    assert_eq!(driver.set_timeout(Some(SECOND)), None);
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("", 0));
    driver.script.opens(9);
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("rest", 1));
    assert!(driver.script.wire().fin_goes_along);
    assert_eq!(driver.heard(), "");
}

#[test]
fn row_25_late_bytes_are_thrown_away_in_spite_of_holds() {
    let mut full = with_a_full_kernel();
    full.write(b"rest", CAP);
    full.close();
    for mut driver in [full, lingering()] {
        driver.hold(Holds::PROTOCOL | Holds::PRESSURE);
        driver.settle();
        driver.budgets.0 = 3;
        driver.script.peer_sends(b"late");
        driver.take_events();
        assert_eq!(driver.serve(), Next::Yield, "within the allowance");
        assert_eq!(driver.serve(), Next::Rest);
        assert_eq!((driver.heard().as_str(), driver.script.wire().taken), ("", 4));
        assert!(!driver.connection.is_gone());
    }
}

#[test]
fn row_26_all_sent_it_lingers_for_the_peer() {
    let mut driver = lingering();
    assert_eq!(due_in(&driver), Some(5 * SECOND));
    driver.write(b"more", CAP);
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("bye", 1));
    assert!(driver.script.wire().fin_goes_along);
}

#[test]
fn row_27_all_sent_and_the_peer_closed_it_is_gone() {
    let mut driver = Driver::open();
    driver.script.peer_ends();
    driver.settle();
    driver.write(b"answer", CAP);
    driver.close();
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.heard().as_str()), ("answer", "Eof"));
    assert_eq!(driver.script.wire().fins, 0, "closing the socket sends it");
    assert!(!driver.script.wire().wrote_after_fin);
    assert_gone(&mut driver, "PeerClosed");
}

#[test]
fn row_28_a_fresh_connection_that_sent_all_does_not_linger() {
    // The peer said something; its stream takes no late bytes; the answer is too long.
    for (sent, forgives, length) in
        [(0, true, 9), (1, true, 9), (0, false, 9), (0, true, 536), (0, true, 537)]
    {
        let mut driver = Driver::new();
        driver.budgets.1 = 20_000;
        driver.script.wire_mut().forgives = forgives;
        driver.script.peer_sends(&[b'?'; 1][..sent]);
        driver.visit(Kind::Serve, |driver, notice| {
            assert_eq!(notice, Tell::Made);
            driver.write(&vec![b'!'; length], 20_000);
            driver.close();
        });
        assert_eq!((driver.written().len(), driver.script.wire().fins), (length, 1));
        let at_once = sent == 0 && forgives && length <= 536;
        assert_eq!(driver.connection.is_gone(), at_once);
        if at_once {
            assert_gone(&mut driver, "Closed");
        }
    }
}

#[test]
fn row_28_discarded_bytes_of_the_peer_count_in_a_shutdown() {
    let mut driver = Driver::new();
    driver.shut_down();
    driver.script.peer_sends(b"?");
    driver.visit(Kind::Serve, |driver, notice| {
        assert_eq!(notice, Tell::Made);
        driver.write(b"!", CAP);
        driver.close();
    });
    assert_eq!((driver.written().as_str(), driver.script.wire().taken), ("!", 1));
    assert!(!driver.connection.is_gone(), "the peer has sent something, and may send more");
}

#[test]
fn row_28_all_that_the_visit_sent_counts() {
    let mut driver = Driver::new();
    driver.budgets.1 = 20_000;
    driver.visit(Kind::Serve, |driver, notice| match notice {
        Tell::Made => assert!(driver.write(&[b'!'; 537], 20_000)),
        Tell::Resume => assert!(driver.close()),
        _ => {}
    });
    assert_eq!((driver.heard().as_str(), driver.written().len()), ("Made Pause Resume", 537));
    assert!(!driver.connection.is_gone(), "it was more than one segment");
}

#[test]
fn a_connection_with_more_to_do_does_not_send_plainly() {
    type Make = fn(&mut Driver);
    let rarer: [Make; 9] = [
        |driver| driver.connection.latch(Readiness::READABLE),
        |driver| driver.connection.latch(Readiness::HANGUP),
        |driver| driver.set_rate(Direction::Writing, Some(Rate::per_second(9))),
        |driver| _ = driver.unread(b"again"),
        |driver| driver.set_marks(4, 0),
        |driver| _ = driver.shut_write(),
        |driver| _ = driver.close(),
        |driver| driver.common.shutting_down = true,
        |driver| _ = driver.write(b", and more than may be sent", CAP),
    ];
    for make in rarer {
        let mut driver = Driver::open();
        driver.write(b"bytes", CAP);
        make(&mut driver);
        assert_eq!(send_plainly(&mut driver), (None, 0));
        assert_eq!(driver.written(), "");
    }
}

#[test]
fn the_time_of_the_last_bytes_is_exact_where_silence_counts() {
    for exact in [false, true] {
        let mut driver = driver_that_was_sent(b"bytes");
        driver.set_timeout(exact.then_some(9 * SECOND));
        driver.begin(Kind::Serve);
        driver.common.latest.callback = Some(driver.now + SECOND); // callbacks have taken so long
        assert_eq!(driver.ask(), Next::Tell(Tell::Data));
        let since = driver.connection.idle_since(&driver.common);
        assert_eq!(since, if exact { driver.now + SECOND } else { driver.now });
    }
}

#[test]
fn a_connection_that_has_only_to_send_does_so_in_a_step() {
    let mut driver = Driver::open();
    driver.write(b"bytes", CAP);
    assert_eq!(send_plainly(&mut driver), (Some(Next::Rest), 5));
    assert_eq!(driver.written(), "bytes");
    assert_eq!(send_plainly(&mut driver), (None, 0), "nothing is left to send");
    driver.script.wire_mut().window = 2;
    driver.write(b"bytes", CAP);
    assert_eq!(send_plainly(&mut driver), (Some(Next::Again), 2), "a part is left to send");
    assert_eq!(driver.written(), "bytesby");
    assert_eq!(send_plainly(&mut driver), (None, 0), "there is no room");
}

fn send_plainly(driver: &mut Driver) -> (Option<Next>, usize) {
    let mut sent = 0;
    (driver.connection.send_plainly(5, &mut sent, &mut driver.common, &driver.buffer), sent)
}

#[test]
fn row_29_a_peer_that_takes_nothing_is_cut_off() {
    let mut driver = with_a_full_kernel();
    driver.write(b"rest", CAP);
    driver.connection.set_close_timeout(9 * SECOND, driver.now, &mut driver.common);
    driver.close();
    driver.settle();
    assert_eq!(due_in(&driver), Some(9 * SECOND));
    driver.pass(5 * SECOND);
    driver.script.opens(1);
    driver.script.peer_sends(b"x");
    driver.settle();
    assert_eq!(due_in(&driver), Some(9 * SECOND), "from when it took something");
    driver.pass(5 * SECOND);
    driver.script.peer_sends(b"y");
    driver.settle();
    assert_eq!(due_in(&driver), Some(4 * SECOND), "what it sends is no progress");
    driver.pass(4 * SECOND);
    driver.settle();
    assert_gone(&mut driver, "CloseTimedOut { unsent: 3 }");
}

#[test]
fn row_29_without_its_own_the_close_timeout_is_the_common_one() {
    let mut driver = with_a_full_kernel();
    driver.write(b"rest", CAP);
    driver.close();
    driver.settle();
    assert_eq!(due_in(&driver), Some(30 * SECOND));
    driver.pass(10 * SECOND);
    driver.connection.set_close_timeout(60 * SECOND, driver.now, &mut driver.common);
    assert_eq!(due_in(&driver), Some(60 * SECOND), "set while it closes: from then on");
}

#[test]
fn row_30_a_peer_that_is_heard_is_waited_for_longer() {
    let mut driver = lingering();
    for _ in 0..6 {
        driver.pass(4 * SECOND);
        driver.script.peer_sends(b"late");
        driver.settle();
        assert_eq!(due_in(&driver), Some(5 * SECOND));
    }
    driver.pass(4 * SECOND);
    driver.script.peer_sends(b"late");
    driver.settle();
    assert_eq!(due_in(&driver), Some(2 * SECOND), "within the close timeout");
    driver.pass(2 * SECOND);
    driver.settle();
    assert_gone(&mut driver, "Closed");
}

#[test]
fn row_31_the_peers_fin_ends_the_lingering() {
    let mut driver = lingering();
    driver.script.peer_sends(b"late");
    driver.script.peer_ends();
    driver.settle();
    assert_eq!((driver.heard().as_str(), driver.script.wire().taken), ("", 4));
    assert_gone(&mut driver, "Closed");
    let mut driver = lingering();
    driver.script.peer_resets();
    driver.settle();
    assert_gone(&mut driver, "ConnectionReset while closing");
}

#[test]
fn row_32_lingering_ends_when_its_time_is_up() {
    let mut driver = lingering();
    driver.pass(5 * SECOND - MS);
    assert_eq!(driver.serve(), Next::Rest);
    driver.pass(MS);
    driver.settle();
    assert_eq!(driver.heard(), "");
    assert_gone(&mut driver, "Closed");
}

#[test]
fn row_32_a_failure_that_is_known_is_the_reason() {
    let mut driver = driver_that_was_sent(b"abcdefgh");
    driver.budgets = (1, 1000);
    driver.visit(Kind::Serve, |driver, _| {
        driver.unread(b"a");
    });
    driver.shut_write();
    driver.flush();
    driver.script.peer_resets();
    driver.take_events();
    driver.visit(Kind::Serve, |driver, _| {
        driver.unread(b"a");
    });
    assert_eq!(driver.heard(), "[a] [a]", "the reset waits for what was put back");
    driver.close();
    driver.flush();
    driver.pass(30 * SECOND);
    driver.serve();
    assert_gone(&mut driver, "ConnectionReset while closing");
}

#[test]
fn row_33_gone_is_the_last_word() {
    let mut driver = driver_that_was_sent(b"unread");
    driver.write(b"unsent", CAP);
    driver.set_timeout(Some(SECOND));
    assert!(driver.abort() && !driver.abort());
    driver.latch(Readiness::FAILED);
    driver.pass(2 * SECOND);
    assert_eq!((due_in(&driver), driver.flush(), driver.serve()), (None, Next::Gone, Next::Gone));
    assert!(!driver.write(b"x", CAP) && !driver.unread(b"x") && !driver.shut_write());
    assert!(!driver.close() && !driver.hand_over());
    assert_eq!(driver.set_timeout(Some(SECOND)), None);
    assert_eq!((driver.heard().as_str(), driver.written().as_str()), ("", ""));
    assert_gone(&mut driver, "Aborted");
}

// Faults met in a former trial.

#[test]
fn a_hang_up_outlives_a_spent_read_budget() {
    let mut driver = Driver::open();
    driver.script.peer_sends(b"abcdefgh");
    driver.script.peer_resets();
    driver.budgets.0 = 8;
    driver.take_events();
    assert_eq!(driver.serve(), Next::Yield);
    driver.hold(Holds::PROTOCOL);
    assert_eq!(driver.serve(), Next::Gone);
    assert_eq!(driver.heard(), "[abcdefgh]");
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn a_close_over_a_full_kernel_is_visited_and_finishes() {
    let mut driver = with_a_full_kernel();
    driver.write(b"rest", CAP);
    driver.settle();
    assert!(driver.close() && driver.flushing);
    assert_eq!(driver.flush(), Next::Rest);
    assert!(driver.connection.deadline().is_some(), "not for ever");
    driver.script.opens(4);
    driver.script.peer_ends();
    driver.settle();
    assert_eq!(driver.written(), "rest");
    assert_gone(&mut driver, "Closed");
}

#[test]
fn an_overdue_timeout_is_told_to_the_next_protocol() {
    let mut driver = Driver::open();
    driver.set_timeout(Some(SECOND));
    driver.hand_over();
    driver.pass(2 * SECOND);
    assert_eq!(driver.flush(), Next::Yield);
    assert_eq!(driver.heard(), "");
    driver.settle();
    assert_eq!(driver.heard(), "Handover TimedOut");
}

#[test]
fn a_peer_that_floods_is_cut_off_all_the_same() {
    let mut full = with_a_full_kernel();
    full.write(b"rest", CAP);
    full.close();
    for mut driver in [full, lingering()] {
        driver.settle();
        driver.budgets.0 = 64; // full reads, so that more may be there
        for _ in 0..40 {
            driver.script.peer_sends(&[b'x'; 100]);
            driver.take_events();
            driver.pass(SECOND);
            driver.serve();
        }
        assert!(driver.connection.is_gone(), "ten seconds after the close timeout");
    }
}

#[test]
fn kept_bytes_are_not_given_again_in_the_same_visit() {
    let mut driver = driver_that_was_sent(b"abc");
    let mut times = 0;
    for _ in 0..3 {
        let next = driver.visit(Kind::Serve, |driver, _| {
            times += 1;
            driver.unread(b"abc");
        });
        assert_eq!(next, Next::Yield);
    }
    assert_eq!((times, driver.heard().as_str()), (3, "[abc] [abc] [abc]"));
}

#[test]
fn kept_bytes_come_before_the_end() {
    let mut driver = driver_that_was_sent(b"abc");
    driver.script.peer_ends();
    driver.take_events();
    driver.visit(Kind::Serve, |driver, notice| {
        if driver.is_told(notice, 3) {
            driver.unread(b"c");
        }
    });
    driver.settle();
    assert_eq!(driver.heard(), "[abc] [c] Eof");
}

#[test]
fn resume_is_told_though_the_visit_has_sent_fin() {
    let mut driver = Driver::open();
    driver.write(&[b'x'; 101], CAP);
    driver.shut_write();
    driver.settle();
    assert_eq!((driver.heard().as_str(), driver.script.wire().fins), ("Pause Resume", 1));
}

#[test]
fn both_halves_shut_is_noticed_though_the_visit_has_written() {
    let mut driver = Driver::open();
    driver.script.peer_ends();
    driver.settle();
    driver.budgets.1 = 2;
    driver.write(b"abc", CAP);
    driver.shut_write();
    assert_eq!(driver.flush(), Next::Yield);
    assert_eq!(driver.serve(), Next::Gone, "it wrote, sent FIN and saw the end");
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("abc", 1));
    assert_gone(&mut driver, "PeerClosed");
}

#[test]
fn a_flush_reads_nothing_and_judges_no_silence_over_bytes() {
    let mut driver = driver_that_was_sent(b"news");
    driver.set_timeout(Some(SECOND));
    driver.pass(2 * SECOND);
    assert_eq!(driver.flush(), Next::Yield);
    assert_eq!((driver.heard().as_str(), driver.script.wire().reads), ("", 0));
    driver.settle();
    assert_eq!(driver.heard(), "[news]");
    driver.pass(SECOND);
    let reads = driver.script.wire().reads;
    assert_eq!((driver.flush(), driver.heard().as_str()), (Next::Yield, ""));
    assert_eq!(driver.script.wire().reads, reads);
    driver.serve();
    assert_eq!(driver.heard(), "TimedOut", "after a look at the stream");
    assert_eq!(driver.script.wire().reads, reads + 1);
}

#[test]
fn a_visit_without_writing_writes_nothing_and_a_flush_follows() {
    let mut driver = driver_that_was_sent(b"ask");
    driver.write(b"from others", CAP);
    driver.visit(Kind::ServeWithoutWriting, |driver, _| {
        driver.write(&[b'x'; 101], CAP);
    });
    assert_eq!((driver.heard().as_str(), driver.script.wire().writes), ("[ask]", 0));
    driver.flush();
    assert_eq!((driver.heard().as_str(), driver.script.wire().writes), ("Pause Resume", 1));
}

#[test]
fn a_rate_that_holds_the_reading_lets_everything_else_pass() {
    let mut driver = driver_that_was_sent(b"abcdefgh");
    driver.set_rate(Direction::Reading, Some(Rate::per_second(10).burst(4)));
    driver.set_timeout(Some(10 * MS));
    driver.settle();
    assert_eq!((driver.heard().as_str(), due_in(&driver)), ("[abcd]", Some(10 * MS)));
    driver.write(&[b'x'; 101], CAP);
    driver.settle();
    assert_eq!((driver.heard().as_str(), driver.written().len()), ("Pause Resume", 101));
    driver.pass(10 * MS);
    driver.settle();
    assert_eq!((driver.heard().as_str(), due_in(&driver)), ("TimedOut", Some(90 * MS)));
    driver.pass(90 * MS);
    driver.settle();
    assert_eq!(driver.heard(), "[e]");
    driver.shut_write();
    driver.hand_over();
    driver.settle();
    assert_eq!((driver.heard().as_str(), driver.script.wire().fins), ("Handover", 1));
    driver.script.peer_resets();
    driver.settle();
    assert_gone(&mut driver, "ConnectionReset while open");
}

#[test]
fn row_04_a_held_end_is_told_after_release() {
    let mut driver = Driver::open();
    driver.hold(Holds::PROTOCOL);
    driver.script.peer_ends();
    driver.settle();
    assert_eq!(driver.heard(), "");
    driver.release(Holds::PROTOCOL);
    driver.settle();
    assert_eq!(driver.heard(), "Eof");
}

#[test]
fn row_34_an_end_or_an_error_ends_it_in_each_state() {
    for closing in [false, true] {
        let mut ended = if closing { lingering() } else { Driver::open() };
        assert!(ended.connection.abort(Reason::Aborted));
        assert_gone(&mut ended, "Aborted");
    }
    let mut full = with_a_full_kernel();
    full.write(b"rest", CAP);
    full.close();
    for mut driver in [full, lingering()] {
        driver.settle();
        driver.script.peer_resets();
        driver.settle();
        assert_gone(&mut driver, "ConnectionReset while closing");
    }
}

#[test]
fn row_35_a_shutdown_is_told_once_after_what_has_come() {
    let mut driver = Driver::open();
    driver.script.peer_sends(b"news"); // and no event yet
    driver.shut_down();
    assert_eq!((driver.serve(), driver.heard().as_str()), (Next::Rest, "[news] ShuttingDown"));
    driver.shut_down();
    driver.settle();
    assert_eq!(driver.heard(), "");
    driver.script.peer_sends(b"more");
    driver.settle();
    assert_eq!(driver.heard(), "[more]", "a protocol may go on");
}

#[test]
fn row_35_a_shutdown_is_told_though_it_is_held() {
    let mut driver = driver_that_was_sent(b"later");
    driver.hold(Holds::PROTOCOL | Holds::PRESSURE);
    driver.shut_down();
    driver.settle();
    assert_eq!(driver.heard(), "ShuttingDown");
    driver.release(Holds::PROTOCOL | Holds::PRESSURE);
    driver.settle();
    assert_eq!(driver.heard(), "[later]");
}

#[test]
fn row_35_a_peer_that_floods_does_not_delay_the_notice() {
    let mut driver = driver_that_was_sent(&[b'x'; 100]);
    driver.budgets.0 = 8;
    driver.shut_down();
    assert_eq!((driver.serve(), driver.heard().as_str()), (Next::Yield, "[xxxxxxxx] ShuttingDown"));
}

#[test]
fn row_67_a_shutdown_is_told_after_the_input_that_resume_has_put_off() {
    for in_resume in [false, true] {
        let mut driver = with_a_full_kernel();
        driver.write(&[b'x'; 200], CAP);
        driver.hold(Holds::PRESSURE);
        driver.settle();
        driver.script.peer_sends(b"request");
        if !in_resume {
            driver.shut_down();
        }
        driver.script.opens(1000);
        driver.take_events();
        driver.heard();
        driver.visit(Kind::Serve, |driver, notice| {
            if notice == Tell::Resume {
                driver.release(Holds::PRESSURE);
                if in_resume {
                    driver.shut_down();
                }
            }
        });
        assert_eq!(driver.heard(), "Resume [request] ShuttingDown");
    }
}

#[test]
fn row_67_a_stream_that_resumes_in_each_visit_hears_of_a_shutdown() {
    let mut driver = driver_that_was_sent(&[b'?'; 500]);
    driver.budgets = (8, 200);
    driver.write(&[b'x'; 150], CAP);
    driver.flushing = false; // this visit sends
    driver.shut_down();
    driver.visit(Kind::Serve, |driver, notice| {
        if notice == Tell::Resume {
            driver.write(&[b'x'; 150], CAP);
        }
    });
    assert_eq!(driver.heard(), "[????????] Pause Resume ShuttingDown");
}

#[test]
fn row_35_a_flush_leaves_the_notice_to_a_visit_that_reads() {
    let mut driver = driver_that_was_sent(b"news");
    driver.shut_down();
    assert_eq!((driver.flush(), driver.heard().as_str()), (Next::Yield, ""));
    driver.settle();
    assert_eq!(driver.heard(), "[news] ShuttingDown");
}

#[test]
fn row_35_an_end_that_has_come_is_told_first() {
    let mut driver = Driver::open();
    driver.script.peer_ends();
    driver.shut_down();
    driver.visit(Kind::Serve, |driver, _| {
        driver.close();
    });
    assert_eq!(driver.heard(), "Eof", "and it is closing then");
}

#[test]
fn row_36_one_that_comes_up_in_a_shutdown_is_told_after_made() {
    let mut driver = Driver::new();
    driver.script.peer_sends(b"news");
    driver.shut_down();
    assert_eq!((driver.serve(), driver.heard().as_str()), (Next::Rest, "Made [news] ShuttingDown"));
}

#[test]
fn row_36_one_that_was_read_in_its_first_visit_waits_for_its_peer() {
    let mut driver = Driver::new();
    driver.script.peer_sends(b"ask");
    driver.shut_down();
    driver.visit(Kind::Serve, |driver, notice| match notice {
        Tell::Data => {
            driver.write(b"answer", CAP);
        }
        Tell::ShuttingDown => {
            driver.close();
        }
        _ => {}
    });
    driver.settle();
    assert_eq!((driver.written().as_str(), driver.script.wire().fins), ("answer", 1));
    assert_eq!(due_in(&driver), Some(SECOND / 2), "it may still send");
}

#[test]
fn row_37_a_protocol_that_takes_over_is_told_too() {
    let mut driver = driver_that_was_sent(b"abc");
    driver.shut_down();
    let mut former = true;
    driver.visit(Kind::Serve, |driver, notice| {
        if notice == Tell::ShuttingDown && std::mem::replace(&mut former, false) {
            driver.hand_over();
            driver.unread(b"c");
        }
    });
    driver.settle();
    assert_eq!(driver.heard(), "[abc] ShuttingDown Handover [c] ShuttingDown");
}

/// Its write of this visit finds no room, which is an answer: it does not ask again in each visit.
#[test]
fn a_timeout_comes_with_a_false_report_of_room() {
    let mut driver = with_a_full_kernel();
    driver.write(b"rest", CAP);
    driver.set_timeout(Some(SECOND));
    driver.settle();
    driver.latch(Readiness::WRITABLE);
    driver.pass(SECOND);
    driver.settle();
    assert_eq!(driver.heard(), "TimedOut");
}

#[test]
fn row_37_a_former_protocol_is_not_told() {
    let mut driver = Driver::open();
    driver.hand_over();
    driver.shut_down();
    driver.settle();
    assert_eq!(driver.heard(), "Handover ShuttingDown");
}

#[test]
fn row_38_one_that_closes_is_not_told_of_a_shutdown() {
    let mut driver = with_a_full_kernel();
    driver.write(b"rest", CAP);
    driver.close();
    driver.settle();
    let due = due_in(&driver);
    driver.shut_down();
    driver.settle();
    assert_eq!((driver.heard().as_str(), due_in(&driver)), ("", due), "and keeps its time");
    driver.script.opens(4);
    driver.settle();
    assert_eq!(due_in(&driver), Some(SECOND / 2));
}

#[test]
fn row_39_a_shutdown_shortens_the_wait_for_a_silent_peer() {
    let mut driver = lingering();
    driver.shut_down();
    driver.settle();
    assert_eq!((driver.heard().as_str(), due_in(&driver)), ("", Some(SECOND / 2)));
    driver.pass(SECOND / 4);
    driver.script.peer_sends(b"late");
    driver.settle();
    assert_eq!(due_in(&driver), Some(SECOND / 2), "a peer that sends is waited for");
    driver.pass(SECOND / 2);
    driver.settle();
    assert_gone(&mut driver, "Closed");
}

#[test]
fn row_39_a_shutdown_never_lengthens_the_wait() {
    let mut driver = lingering();
    driver.pass(SECOND * 5 - MS);
    driver.shut_down();
    driver.settle();
    assert_eq!(due_in(&driver), Some(MS));
}

#[test]
fn row_40_what_waits_without_an_event_is_no_silence() {
    let mut driver = Driver::open();
    driver.set_timeout(Some(SECOND));
    driver.script.wire_mut().incoming.extend_from_slice(b"untold");
    driver.pass(SECOND);
    driver.serve();
    assert_eq!((driver.heard().as_str(), due_in(&driver)), ("[untold]", Some(SECOND)));
    driver.pass(SECOND);
    driver.serve();
    assert_eq!(driver.heard(), "TimedOut");
}

#[test]
fn row_41_what_the_stream_takes_without_an_event_is_progress() {
    for close in [false, true] {
        let mut driver = with_a_full_kernel();
        driver.connection.set_close_timeout(SECOND, driver.now, &mut driver.common);
        driver.set_timeout(Some(SECOND));
        driver.write(b"rest", CAP);
        if close {
            driver.close();
        }
        driver.settle();
        for left in [3, 2, 1] {
            driver.script.wire_mut().window = 1;
            driver.pass(SECOND);
            driver.serve();
            assert_eq!((driver.heard().as_str(), driver.connection.buffered()), ("", left));
            assert_eq!(due_in(&driver), Some(SECOND));
        }
        driver.pass(SECOND);
        driver.serve();
        if close {
            assert_gone(&mut driver, "CloseTimedOut { unsent: 1 }");
        } else {
            assert_eq!(driver.heard(), "TimedOut");
        }
    }
}

#[test]
fn row_42_what_comes_and_is_not_read_is_no_silence() {
    for hold in [Holds::PROTOCOL, Holds::PRESSURE] {
        let mut driver = Driver::open();
        driver.take_events();
        driver.set_timeout(Some(SECOND));
        driver.hold(hold);
        driver.pass(SECOND - MS);
        driver.script.peer_sends(b"x");
        driver.settle();
        assert_eq!((driver.heard().as_str(), due_in(&driver)), ("", Some(SECOND)));
        driver.pass(SECOND);
        driver.serve();
        assert_eq!(driver.heard(), "TimedOut", "what waits for long is silence again");
    }
}

#[test]
fn row_43_no_more_is_discarded_than_the_bound() {
    let mut full = with_a_full_kernel();
    full.write(b"rest", CAP);
    full.close();
    for mut driver in [full, lingering()] {
        let piece = vec![b'x'; 1 << 20];
        driver.buffer = ReadBuffer::new(piece.len());
        driver.budgets.0 = 2 * piece.len();
        for _ in 0..20 {
            driver.script.peer_sends(&piece);
            driver.settle();
        }
        let most = super::input::MOST_DISCARDED;
        assert_eq!(driver.script.wire().taken, most, "then the kernel slows the peer down");
        assert_eq!(driver.serve(), Next::Rest, "it costs nothing more");
        driver.pass(30 * SECOND);
        driver.settle();
        assert!(driver.connection.is_gone());
    }
}

/// The turn's time is that before the work of a callback.
#[test]
fn activity_does_not_take_a_later_timeout_back() {
    let mut driver = driver_that_was_sent(b"ask");
    let later = driver.now + 9 * SECOND;
    driver.visit(Kind::Serve, |driver, notice| {
        if notice == Tell::Data {
            driver.connection.set_timeout(Some(SECOND), later, &mut driver.common);
            driver.write(b"answer", CAP);
        }
    });
    assert_eq!(driver.written(), "answer");
    assert_eq!(due_in(&driver), Some(10 * SECOND));
}

/// Each of these once went on for ever in one visit.
#[test]
fn what_a_protocol_repeats_for_ever_ends_the_visit() {
    let mut silent = Driver::open();
    silent.set_timeout(Some(Duration::ZERO));
    for _ in 0..3 {
        silent.visit(Kind::Serve, |driver, _| {
            driver.set_timeout(Some(Duration::ZERO));
        });
        assert_eq!(silent.heard(), "TimedOut");
        assert_eq!(due_in(&silent), Some(Duration::ZERO), "in another visit");
    }
    let mut pressed = with_a_full_kernel();
    pressed.write(&[7; 900], CAP);
    pressed.visit(Kind::Flush, |driver, notice| match notice {
        Tell::Pause => driver.set_marks(2000, 2000),
        _ => driver.set_marks(10, 10),
    });
    assert_eq!(pressed.heard(), "Pause Resume");
    for _ in 0..3 {
        pressed.visit(Kind::Flush, |driver, notice| match notice {
            Tell::Pause => driver.set_marks(2000, 2000),
            _ => driver.set_marks(10, 10),
        });
        assert!(
            pressed.connection.buffered() == 900 && pressed.heard().len() <= "Pause Resume".len()
        );
    }
    let mut picky = driver_that_was_sent(b"all");
    picky.set_timeout(Some(SECOND));
    for _ in 0..3 {
        picky.visit(Kind::Serve, |driver, _| {
            driver.unread(b"all");
        });
        assert_eq!(picky.heard(), "[all]");
    }
    picky.pass(SECOND);
    picky.visit(Kind::Serve, |driver, notice| match notice {
        Tell::TimedOut => {}
        _ => {
            driver.unread(b"all");
        }
    });
    assert_eq!(picky.heard(), "[all] TimedOut", "bytes given again are no sign of life");
    picky.script.peer_resets();
    picky.take_events();
    for _ in 0..3 {
        picky.visit(Kind::Serve, |driver, _| {
            driver.unread(b"all");
        });
    }
    assert_eq!(picky.heard(), "[all] [all]", "once more, and no more");
    assert_gone(&mut picky, "ConnectionReset while open");
}

#[test]
fn a_new_timeout_set_meanwhile_hides_no_reason() {
    let mut driver = Driver::open();
    driver.set_timeout(Some(SECOND));
    driver.pass(SECOND);
    driver.visit(Kind::Serve, |driver, _| {
        driver.set_timeout(Some(SECOND));
        driver.close();
    });
    assert!(format!("{:?}", driver.connection.reason()).contains("TimedOut"));
}

#[test]
fn bytes_put_back_behind_others_come_after_them() {
    let mut driver = driver_that_was_sent(b"abc");
    driver.visit(Kind::Serve, |driver, _| {
        driver.unread(b"a");
        driver.connection.unread(1, b"bc", &mut driver.common);
    });
    driver.settle();
    assert_eq!(driver.heard(), "[abc] [abc]");
}

#[test]
fn row_44_one_without_pressure_is_closed_at_once() {
    let mut driver = with_a_full_kernel();
    driver.write(&[b'x'; 100], CAP); // not above the mark
    driver.close_when_written();
    assert!(!driver.connection.is_open());
}

#[test]
fn row_45_one_under_pressure_hears_everything_and_may_write() {
    let mut driver = with_a_full_kernel();
    driver.write(&[b'x'; 101], CAP);
    driver.settle();
    driver.close_when_written();
    driver.script.peer_sends(b"more");
    driver.script.opens(76);
    driver.settle();
    assert_eq!(driver.heard(), "Pause [more] Resume");
    assert!(driver.write(b"and on", CAP));
}

#[test]
fn row_46_higher_marks_leave_nothing_to_wait_for() {
    let mut driver = with_a_full_kernel();
    driver.write(&[b'x'; 101], CAP);
    driver.close_when_written();
    assert!(driver.connection.is_open(), "it is to be told to pause");
    driver.set_marks(200, 100);
    assert!(!driver.connection.is_open());
}

#[test]
fn row_46_it_closes_after_resume_unless_more_was_written() {
    let mut driver = with_a_full_kernel();
    driver.write(&[b'x'; 101], CAP);
    driver.settle();
    driver.close_when_written();
    assert!(!driver.connection.close_if_written(), "not before it was told");
    driver.script.opens(76);
    driver.settle();
    driver.write(&[b'y'; 76], CAP);
    assert!(!driver.connection.close_if_written(), "it is to be told again");
    driver.script.opens(76);
    driver.settle();
    assert!(driver.connection.close_if_written() && !driver.connection.is_open());
    driver.script.opens(1000);
    driver.settle();
    assert_eq!(driver.heard(), "Pause Resume Pause Resume");
    assert_eq!(driver.written(), "x".repeat(101) + &"y".repeat(76));
}

#[test]
fn row_47_a_peer_that_takes_nothing_is_not_waited_for() {
    let mut driver = with_a_full_kernel();
    driver.write(&[b'x'; 101], CAP);
    driver.settle();
    driver.close_when_written();
    driver.settle();
    assert_eq!(due_in(&driver), Some(30 * SECOND));
    driver.pass(10 * SECOND);
    driver.script.opens(1);
    driver.settle();
    assert_eq!(due_in(&driver), Some(30 * SECOND), "from when it took something");
    driver.pass(30 * SECOND);
    driver.settle();
    assert_gone(&mut driver, "CloseTimedOut { unsent: 100 }");
}

#[test]
fn row_48_one_that_lingers_keeps_its_reason_at_a_stop() {
    for resets in [false, true] {
        let mut driver = lingering();
        assert!(driver.connection.stop(resets));
        assert_gone(&mut driver, "Closed");
    }
    // A peer that goes on sending gets a reset, and may not have all.
    let mut driver = lingering();
    driver.script.peer_sends(b"more");
    driver.take_events();
    driver.settle();
    assert!(driver.connection.stop(false));
    assert_gone(&mut driver, "Stopped");
}

#[test]
fn row_49_events_that_are_still_to_be_told_are_waited_for() {
    for held in [Holds::PROTOCOL, Holds::PRESSURE] {
        let mut driver = Driver::open();
        driver.connection.set_timeout(Some(SECOND), driver.now, &mut driver.common);
        driver.hold(held);
        driver.pass(SECOND);
        driver.more_events = true;
        assert_eq!(driver.serve(), Next::Yield);
        driver.more_events = false;
        driver.script.peer_sends(b"x"); // one of those
        driver.take_events();
        assert_eq!((driver.serve(), driver.heard().as_str()), (Next::Rest, ""));
        driver.pass(SECOND);
        driver.settle();
        assert_eq!(driver.heard(), "TimedOut");
    }
}

#[cfg(all(unix, feature = "sendfile"))]
#[test]
fn row_63_a_file_that_has_become_shorter_resets() {
    let path = std::env::temp_dir().join(format!("crocus-row-63-{}", std::process::id()));
    let life = |act: fn(&mut Driver)| {
        std::fs::write(&path, [b'x'; 10]).unwrap();
        let mut driver = Driver::open();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        assert!(driver.send_file_at(&path, 0..10).unwrap());
        driver.script.wire_mut().window = 4;
        act(&mut driver);
        driver.settle();
        file.set_len(4).unwrap();
        driver.script.peer_sends(b"not to be told any more");
        driver.script.opens(9);
        driver.take_events();
        driver.heard();
        driver.flush();
        driver.settle();
        assert_eq!((driver.written().as_str(), driver.heard().as_str()), ("xxxx", ""));
        let reason = driver.connection.reason();
        let text = "reading a file to send it: the file has become shorter";
        assert!(driver.connection.is_gone() && reason.to_string() == text, "{reason}");
        assert_eq!(driver.connection.output, super::Output::Reset);
    };
    life(|_| {});
    life(|driver| assert!(driver.close()));
    life(|driver| assert!(driver.hand_over()));
    std::fs::remove_file(path).unwrap();
}
