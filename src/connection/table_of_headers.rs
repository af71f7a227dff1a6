//! The rows of the table in `connection` that are about PROXY headers, by their numbers, as in `table.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::time::Duration;

use super::script::Driver;
use super::{Direction, Header, Next, Output, ReadBuffer, Step};
use crate::address::Address;
use crate::parts::token_bucket::Rate;
use crate::proxy::{HEADER_TIMEOUT, LONGEST_HEADER};
use crate::reason::Reason;

const MS: Duration = Duration::from_millis(1);
const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n";

fn preparing() -> Driver {
    let mut driver = Driver::new();
    driver.buffer = ReadBuffer::new(300);
    let proxy = Address::Tcp(([10, 0, 0, 1], 443).into());
    let step = Step::Header(Box::new(Header::new(proxy, driver.now)));
    driver.connection.prepare(step, driver.now, &mut driver.common);
    assert_eq!(driver.serve(), Next::Rest);
    driver
}

/// Reads until a step of the preparation is over.
#[track_caller]
fn until_prepared(driver: &mut Driver) {
    driver.take_events();
    while driver.queued {
        match driver.serve() {
            Next::Prepared => return,
            next => assert!(matches!(next, Next::Rest | Next::Yield), "{next:?}"),
        }
    }
    panic!("it rests before its header is whole");
}

/// The reactor takes the header, and has a protocol.
#[track_caller]
fn identified(driver: &mut Driver) -> String {
    let info = driver.connection.identify().expect("a header");
    assert!(driver.connection.identify().is_none(), "once");
    driver.queued = true;
    info.peer().to_string()
}

#[track_caller]
fn assert_gone(driver: &mut Driver, text: &str) {
    assert!(driver.connection.is_gone(), "it goes on");
    let reason = driver.connection.reason().to_string();
    assert_eq!(reason, format!("PROXY header of 10.0.0.1:443: {text}"));
    assert_eq!((driver.heard().as_str(), driver.written().as_str()), ("", ""));
}

#[test]
fn row_60_what_is_behind_a_header_is_the_first_data_wherever_it_is_cut() {
    let all = [HEADER, b"hello"].concat();
    for cut in 0..=all.len() {
        let mut driver = preparing();
        driver.script.peer_sends(&all[..cut]);
        let whole = cut >= HEADER.len();
        if !whole {
            driver.settle();
            assert!(!driver.connection.was_announced() && !driver.connection.is_gone(), "{cut}");
            driver.script.peer_sends(&all[cut..]);
        }
        until_prepared(&mut driver);
        assert!(!driver.connection.is_up(), "not before it has a protocol");
        assert_eq!(identified(&mut driver), "203.0.113.7:4711");
        driver.settle();
        if whole {
            driver.script.peer_sends(&all[cut..]);
            driver.settle();
        }
        let heard = driver.heard().replace("] [", "");
        let expected = if heard == "Made" { cut == all.len() } else { heard == "Made [hello]" };
        assert!(expected, "{cut}: {heard}");
    }
}

#[test]
fn row_60_an_end_behind_the_header_is_told_after_the_data() {
    let mut driver = preparing();
    driver.script.peer_sends(&[HEADER, b"request"].concat());
    driver.script.peer_ends();
    until_prepared(&mut driver);
    identified(&mut driver);
    driver.settle();
    assert_eq!(driver.heard(), "Made [request] Eof");
}

#[test]
fn row_60_more_than_a_buffer_holds_is_no_matter() {
    let mut driver = preparing();
    driver.buffer = ReadBuffer::new(7);
    driver.budgets = (10, 10);
    driver.script.peer_sends(&[HEADER, &[b'x'; 100]].concat());
    until_prepared(&mut driver);
    identified(&mut driver);
    driver.settle();
    let heard = driver.heard();
    assert_eq!(heard.matches('x').count(), 100, "{heard}");
}

#[test]
fn row_60_a_rate_holds_a_header_too() {
    let mut driver = preparing();
    driver.set_rate(Direction::Reading, Some(Rate::per_second(10).burst(10)));
    driver.script.peer_sends(HEADER);
    driver.settle();
    assert_eq!(driver.script.wire().taken, 10);
    assert!(driver.connection.deadline().unwrap() < driver.now + HEADER_TIMEOUT);
    for _ in 0..4 {
        driver.pass(1000 * MS);
        driver.settle();
    }
    assert!(driver.connection.identify().is_some());
}

#[cfg(feature = "tls")]
#[test]
fn row_60_what_is_behind_a_header_is_the_first_of_tls() {
    let (server, mut client) = crate::tls::pair::engines();
    let mut hello = Vec::new();
    client.sealed(&mut |piece| hello.extend_from_slice(piece));
    let mut driver = preparing();
    driver.buffer = ReadBuffer::new(30_000);
    driver.budgets = (100_000, 100_000);
    driver.script.peer_sends(&[HEADER, &hello].concat());
    until_prepared(&mut driver);
    assert_eq!(identified(&mut driver), "203.0.113.7:4711");
    let step = Step::Handshake(Box::new(server));
    driver.connection.prepare(step, driver.now, &mut driver.common);
    driver.settle();
    assert_eq!(driver.script.wire().written[0], 22, "a ServerHello");
    assert!(!driver.connection.was_announced());
}

#[test]
fn row_61_bytes_that_are_no_header_are_answered_with_a_reset() {
    let long = [b"PROXY ".as_slice(), &[b'x'; 200]].concat();
    let huge = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".as_slice()].concat();
    for (bytes, text) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "there is none"),
        (b"PROXX", "there is none"),
        (b"PROXY TCP4 1.2.3.4\r\n", "it breaks the rules"),
        (&long, "it is too long"),
        (&huge, "it is too long"),
    ] {
        let mut driver = preparing();
        driver.script.peer_sends(bytes);
        driver.settle();
        assert_gone(&mut driver, text);
        assert_eq!(driver.connection.output, Output::Reset);
    }
}

#[test]
fn row_62_a_header_ends_with_the_peer_or_its_time() {
    let mut driver = preparing();
    driver.script.peer_sends(&HEADER[..HEADER.len() - 1]);
    driver.script.peer_ends();
    driver.settle();
    assert_gone(&mut driver, "the connection ended before it was there");

    let mut driver = preparing();
    let left = driver.connection.deadline().unwrap() - driver.now;
    assert_eq!(left, HEADER_TIMEOUT);
    driver.pass(HEADER_TIMEOUT - MS);
    driver.script.peer_sends(&HEADER[..10]);
    driver.settle();
    driver.pass(MS);
    driver.settle();
    assert_gone(&mut driver, "it did not come in time");

    let mut driver = preparing();
    driver.script.peer_resets();
    driver.settle();
    let reason = driver.connection.reason();
    assert!(matches!(reason, Reason::Failed { .. }), "{reason}");
    assert!(reason.to_string().starts_with("reading the PROXY header: "), "{reason}");
}

#[test]
fn row_62_a_header_that_waits_in_the_stream_is_in_time() {
    let mut driver = preparing();
    driver.script.peer_sends(HEADER); // and no event tells of it
    driver.pass(HEADER_TIMEOUT);
    assert_eq!(driver.serve(), Next::Prepared);
    assert_eq!(identified(&mut driver), "203.0.113.7:4711");
}

#[test]
fn a_shutdown_gives_a_header_less_time_and_a_stop_none() {
    let mut driver = preparing();
    driver.shut_down();
    driver.settle();
    let left = driver.connection.deadline().unwrap() - driver.now;
    assert!(left < HEADER_TIMEOUT / 2, "{left:?}");
    driver.script.peer_sends(&[HEADER, b"late"].concat());
    until_prepared(&mut driver);
    identified(&mut driver);
    driver.settle();
    assert_eq!(driver.heard(), "Made [late] ShuttingDown");

    let mut driver = preparing();
    driver.script.peer_sends(&HEADER[..5]);
    driver.settle();
    assert!(driver.connection.stop(false));
    assert!(matches!(driver.connection.reason(), Reason::Stopped));
}

#[test]
fn no_more_is_read_than_a_header_may_have() {
    let field = [4, 0x0f, 0xe0];
    let rest = u16::try_from(LONGEST_HEADER - 16).unwrap().to_be_bytes();
    let header = [b"\r\n\r\n\0\r\nQUIT\n\x20\0".as_slice(), &rest, &field].concat();
    let mut driver = preparing();
    driver.buffer = ReadBuffer::new(100_000);
    driver.budgets = (100_000, 100_000);
    driver.script.peer_sends(&header);
    driver.script.peer_sends(&[0; 2 * LONGEST_HEADER]);
    until_prepared(&mut driver);
    assert_eq!(identified(&mut driver), "10.0.0.1:443");
    assert_eq!(driver.script.wire().taken, LONGEST_HEADER);
}
