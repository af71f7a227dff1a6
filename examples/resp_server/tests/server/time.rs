//! Keys that expire.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Instant;

use crate::child::{Server, TIME_LIMIT, dial};
use crate::{MIB, ask, expect, program, request, start, wait_until};

#[test]
fn keys_end_when_they_should_whether_or_not_anybody_asks() {
    let server = start();
    assert_eq!(
        ask(&server, "SET a 1 PX 30\r\nSET b 1\r\nPEXPIRE b 60\r\nSET c 1"),
        r"+OK\r\n+OK\r\n:1\r\n+OK\r\n"
    );
    wait_until(&server, "GET a", r"$-1\r\n");
    // DBSIZE counts what is in memory: only the timer makes it less.
    wait_until(&server, "DBSIZE", r":1\r\n");
    assert_eq!(ask(&server, "EXISTS a b c"), r":1\r\n");
    server.stop_with_clients();
}

#[test]
fn keys_end_one_after_the_other_while_nobody_is_connected() {
    let mut command = program();
    // The allocator shall give back what was freed, instead of learning to keep it.
    command.env("MALLOC_MMAP_THRESHOLD_", "131072");
    let server = Server::start(command.args(["--listen", "127.0.0.1:0"]));
    let mut stream = dial(server.addr);
    for number in 0..40 {
        let (key, time) = (format!("key {number}"), format!("{}", 100 + 2 * number));
        let words: [&[u8]; 5] = [b"SET", key.as_bytes(), &[b'x'; MIB], b"PX", time.as_bytes()];
        stream.write_all(&request(&words)).unwrap();
    }
    expect(&mut stream, &b"+OK\r\n".repeat(40));
    drop(stream);
    let end = Instant::now() + TIME_LIMIT;
    while server.memory() > 20 * MIB {
        assert!(Instant::now() < end, "only requests end keys");
    }
    wait_until(&server, "DBSIZE", r":0\r\n");
}

#[test]
fn thousands_of_keys_end_together() {
    let server = start();
    let mut requests = String::new();
    for number in 0..5000 {
        write!(requests, "SET key{number} value PX {}\r\n", 50 + number % 7).unwrap();
    }
    assert_eq!(ask(&server, requests.trim_end()).matches("OK").count(), 5000);
    wait_until(&server, "DBSIZE", r":0\r\n");
    server.stop_with_clients();
}

#[test]
fn a_key_can_end_sooner_and_a_flush_forgets_it() {
    let server = start();
    ask(&server, "SET late v EX 1000\r\nSET k v EX 1000\r\nPEXPIRE k 20");
    wait_until(&server, "DBSIZE", r":1\r\n");
    ask(&server, "SET k v PX 20\r\nFLUSHDB\r\nSET k v");
    ask(&server, "SET other v PX 40");
    wait_until(&server, "DBSIZE", r":1\r\n");
    assert_eq!(ask(&server, "GET k\r\nTTL k"), r"$1\r\nv\r\n:-1\r\n");
}

#[test]
fn a_watched_key_that_ends_is_a_changed_key() {
    let server = start();
    let mut stream = dial(server.addr);
    stream.write_all(b"SET k v PX 30\r\nWATCH k\r\n").unwrap();
    expect(&mut stream, b"+OK\r\n+OK\r\n");
    wait_until(&server, "GET k", r"$-1\r\n");
    stream.write_all(b"MULTI\r\nSET other v\r\nEXEC\r\n").unwrap();
    expect(&mut stream, b"+OK\r\n+QUEUED\r\n*-1\r\n");
    drop(stream);
    server.stop_with_clients();
}
