//! The program: its options and its end.

use std::io::{Read, Write};

use crate::child::{self, dial, run};
use crate::{MIB, bulk, expect, program, request, rest_of, start};

#[test]
fn replies_are_sent_before_a_stop() {
    const VALUE: usize = 10_000;
    let server = start();
    let mut stream = dial(server.addr);
    stream.write_all(&request(&[b"SET", b"k", &[b'x'; VALUE]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    stream.write_all(&b"GET k\r\n".repeat(2000)).unwrap();
    let reply = bulk(&[b'x'; VALUE]);
    expect(&mut stream, &reply);
    server.program.signal("TERM");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.chunks(reply.len()).all(|one| one == reply), "a reply was cut off");
    drop(stream);
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn a_big_reply_is_sent_whole_before_a_stop() {
    const VALUE: usize = 8 * MIB;
    let server = start();
    let mut stream = dial(server.addr);
    stream.write_all(&request(&[b"SET", b"k", &vec![b'x'; VALUE]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    stream.write_all(b"GET k\r\n").unwrap();
    expect(&mut stream, b"$8388608\r\n");
    server.program.signal("TERM");
    let line = server.program.error_line();
    assert!(line.starts_with("stopping"), "{line}");
    expect(&mut stream, &[&vec![b'x'; VALUE][..], b"\r\n"].concat());
    assert_eq!(rest_of(stream), "");
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn a_stop_ends_idle_clients_in_order() {
    let server = start();
    let mut stream = dial(server.addr);
    stream.write_all(b"PING\r\n").unwrap();
    expect(&mut stream, b"+PONG\r\n");
    server.program.signal("TERM");
    assert_eq!(rest_of(stream), "");
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn a_signal_waits_for_no_silent_client() {
    child::end_by_a_signal(program().args(["--listen", "127.0.0.1:0"]), false);
}

#[test]
fn wrong_limits_are_told() {
    for value in ["0", "x", "-1", "1073741825", ""] {
        let end = run(program().args(["--max-bulk", value]));
        assert!(end.complaint(2).contains("--max-bulk takes a number of bytes"), "{end:?}");
    }
    let end = run(program().arg("--nonsense"));
    assert!(end.complaint(2).contains("--nonsense"), "{end:?}");
    let end = run(program().arg("--help"));
    assert!(end.code == Some(0) && end.text().contains("--max-bulk"), "{end:?}");
}
