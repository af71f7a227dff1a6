//! The rows of the table about bytes that are sent from the read buffer.

use super::script::{Driver, Kind};
use super::{Direction, Holds, Next, ReadBuffer, Tell};
use crate::parts::token_bucket::Rate;

const CAP: usize = 1000;

/// Open, with its first event taken, and a buffer for so many bytes.
fn open(buffer: usize) -> Driver {
    let mut driver = Driver::open();
    driver.take_events();
    driver.buffer = ReadBuffer::new(buffer);
    driver
}

fn send(driver: &mut Driver, bytes: &[u8]) {
    driver.script.peer_sends(bytes);
    driver.take_events();
}

/// Echoes whatever it is told, whole.
fn echo(driver: &mut Driver, notice: Tell) {
    if notice == Tell::Data {
        driver.echo(0..driver.buffer.told().len());
    }
}

#[test]
fn row_64_what_is_echoed_is_not_copied() {
    let mut driver = open(64);
    send(&mut driver, b"hello");
    let mut place = 0;
    let next = driver.visit(Kind::Serve, |driver, notice| {
        place = driver.buffer.told().as_ptr().addr();
        echo(driver, notice);
        assert_eq!(driver.script.wire().writes, 0, "nothing leaves in a callback");
        assert_eq!(driver.connection.buffered(), 5, "it counts like what is copied");
    });
    assert_eq!((next, driver.written().as_str()), (Next::Rest, "hello"));
    assert_eq!(driver.script.wire().place, place);
}

#[test]
fn row_64_pieces_of_it_leave_together_with_what_is_written_between_them() {
    let mut driver = open(64);
    send(&mut driver, b"abcdef");
    driver.visit(Kind::Serve, |driver, notice| {
        if driver.is_told(notice, 6) {
            driver.write(b"<", CAP);
            driver.echo(0..2);
            driver.echo(2..3);
            driver.write(b"|", CAP);
            driver.echo(4..6);
            driver.echo(0..1);
            driver.write(b">", CAP);
        }
    });
    assert_eq!((driver.written().as_str(), driver.script.wire().writes), ("<abc|efa>", 1));
}

#[test]
fn row_64_a_pause_before_they_leave_changes_nothing() {
    let mut driver = open(64);
    send(&mut driver, b"abcdef");
    driver.visit(Kind::Serve, |driver, notice| {
        if driver.is_told(notice, 6) {
            driver.set_marks(3, 0);
            driver.echo(0..6);
        } else {
            assert_eq!(notice == Tell::Pause, driver.connection.buffered() == 6);
            driver.write(b"!", CAP);
        }
    });
    assert_eq!(driver.heard(), "[abcdef] Pause Resume");
    driver.settle();
    assert_eq!(driver.written(), "abcdef!!");
}

#[test]
fn row_65_what_the_kernel_does_not_take_is_copied() {
    for window in 0..6 {
        let mut driver = open(64);
        driver.script.wire_mut().window = window;
        send(&mut driver, b"hello");
        driver.visit(Kind::Serve, echo);
        assert_eq!(driver.connection.buffered(), 5 - window.min(5));
        driver.script.opens(100);
        driver.settle();
        assert_eq!(driver.written(), "hello");
    }
}

#[test]
fn row_65_a_read_in_the_same_visit_does_not_overwrite_it() {
    let mut driver = open(3);
    send(&mut driver, b"abcdefgh");
    assert_eq!(driver.visit(Kind::Serve, echo), Next::Rest);
    assert_eq!(driver.heard(), "[abc] [def] [gh]");
    assert_eq!((driver.written().as_str(), driver.script.wire().writes), ("abcdefgh", 1));
}

#[test]
fn row_65_a_rate_a_hold_and_a_visit_without_writing_leave_it_whole() {
    let mut limited = open(64);
    limited.set_rate(Direction::Writing, Some(Rate::per_second(1000).burst(2)));
    let mut driver = open(64);
    for (driver, kind) in [(&mut limited, Kind::Serve), (&mut driver, Kind::ServeWithoutWriting)] {
        send(driver, b"hello");
        driver.visit(kind, echo);
        assert!(driver.connection.buffered() >= 3);
        for _ in 0..100 {
            driver.pass(std::time::Duration::from_millis(50));
            driver.settle();
        }
        assert_eq!(driver.written(), "hello");
    }
}

#[test]
fn row_65_a_close_and_a_successor_get_it_sent() {
    // With a budget of 5 the successor is told in another visit, in which it writes nothing.
    for (hands_over, budget, all) in
        [(false, 1000, "hello"), (true, 1000, "hello!"), (true, 5, "hello")]
    {
        let mut driver = open(5);
        driver.budgets.0 = budget;
        driver.script.wire_mut().window = 2;
        send(&mut driver, b"hello, and more that is not read");
        driver.visit(Kind::Serve, |driver, notice| {
            if driver.is_told(notice, 5) {
                driver.echo(0..5);
                match hands_over {
                    true => driver.hand_over(),
                    false => driver.close(),
                };
            } else if notice == Tell::Handover {
                driver.hold(Holds::PROTOCOL);
                driver.write(b"!", CAP);
            }
        });
        driver.script.opens(100);
        driver.settle();
        assert_eq!(driver.written(), all);
    }
}

#[test]
fn row_66_after_resume_input_waits_for_another_visit() {
    let mut driver = open(64);
    driver.set_marks(10, 0);
    driver.settle();
    driver.script.peer_sends(b"first");
    driver.write(&[b'x'; 20], CAP);
    driver.hold(Holds::PRESSURE);
    driver.take_events();
    driver.flushing = false; // this visit sends
    driver.visit(Kind::Serve, |driver, notice| {
        if notice == Tell::Resume {
            driver.release(Holds::PRESSURE);
        }
    });
    assert_eq!(
        driver.heard(),
        "Pause Resume",
        "what is read now could not be answered in this visit"
    );
    driver.settle();
    assert_eq!(driver.heard(), "[first]");
}

#[test]
fn a_visit_that_was_left_halfway_ends_the_connection() {
    let mut driver = open(64);
    send(&mut driver, b"secret");
    driver.begin(Kind::Serve);
    assert_eq!(driver.ask(), Next::Tell(Tell::Data));
    driver.echo(0..6);
    _ = driver.connection.begin_visit(); // as the next visit does
    assert_eq!(driver.serve(), Next::Gone);
    assert_eq!(driver.written(), "");
}
