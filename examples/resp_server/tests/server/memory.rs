//! How much memory a peer can make the server use.

use std::io::Write;
use std::net::Shutdown;

use crate::child::dial;
use crate::{MIB, bulk, expect, is_sound, request, rest_of, start, start_small};

#[test]
fn lengths_that_are_only_promised_take_no_memory() {
    let server = start();
    is_sound(&server);
    let before = server.peak_memory();
    let mut liars = Vec::new();
    for _ in 0..20 {
        let mut stream = dial(server.addr);
        stream.write_all(b"PING\r\n*1000000\r\n$536870912\r\nabc").unwrap();
        expect(&mut stream, b"+PONG\r\n");
        liars.push(stream);
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 4 * MIB, "{grown} bytes for promises");
    is_sound(&server);
}

#[test]
fn requests_of_a_peer_that_never_reads_wait() {
    const VALUE: usize = MIB;
    let server = start();
    let mut stream = dial(server.addr);
    stream.write_all(&request(&[b"SET", b"big", &[b'x'; VALUE]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    let before = server.peak_memory();
    stream.write_all(&b"GET big\r\n".repeat(10_000)).unwrap();
    expect(&mut stream, b"$1048576\r\n"); // so it is at work
    for _ in 0..100 {
        is_sound(&server);
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 12 * VALUE, "{grown} bytes for a peer that does not read");
    // It goes on where it left off.
    let reply = bulk(&[b'x'; VALUE]);
    expect(&mut stream, &reply[10..]);
    for _ in 0..20 {
        expect(&mut stream, &reply);
    }
    drop(stream);
    is_sound(&server);
}

/// A copy would need the memory of the value once more, and hold up all others while it is made.
#[test]
fn big_values_are_neither_copied_when_set_nor_when_read() {
    const VALUE: usize = 64 * MIB;
    let server = start();
    let mut stream = dial(server.addr);
    let before = server.peak_memory();
    stream.write_all(&request(&[b"SET", b"big", &vec![b'x'; VALUE]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    stream
        .write_all(b"GET big\r\nMGET big big\r\nCOPY big other\r\nGETRANGE other 1 -1\r\n")
        .unwrap();
    let reply = bulk(&vec![b'x'; VALUE]);
    expect(&mut stream, &reply);
    expect(&mut stream, b"*2\r\n");
    expect(&mut stream, &reply);
    expect(&mut stream, &reply);
    expect(&mut stream, b":1\r\n");
    expect(&mut stream, &bulk(&vec![b'x'; VALUE - 1]));
    let grown = server.peak_memory() - before;
    assert!(grown < VALUE + VALUE / 2, "{grown} bytes for a value of {VALUE}");
    drop(stream);
    server.stop_with_clients();
}

/// Big values are sent in portions: what comes behind them waits, and so does the end.
#[test]
fn replies_behind_a_big_one_and_the_end_come_in_order() {
    const VALUE: usize = 5 * MIB;
    let server = start();
    let reply = bulk(&vec![b'x'; VALUE]);
    let endings: [(&[u8], &[u8]); 3] = [
        (b"QUIT\r\nPING\r\n", b"+OK\r\n"),
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"MULTI\r\nGET big\r\nEXEC\r\n", b"+OK\r\n+QUEUED\r\n*1\r\n"),
    ];
    for (last, expected) in endings {
        let mut stream = dial(server.addr);
        let set = request(&[b"SET", b"big", &vec![b'x'; VALUE]]);
        stream.write_all(&[&set, &b"GET big\r\nPING\r\nGET big\r\n"[..], last].concat()).unwrap();
        if last.ends_with(b"EXEC\r\n") {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        expect(&mut stream, b"+OK\r\n");
        expect(&mut stream, &reply);
        expect(&mut stream, b"+PONG\r\n");
        expect(&mut stream, &reply);
        expect(&mut stream, expected);
        if last.ends_with(b"EXEC\r\n") {
            expect(&mut stream, &reply);
        }
        assert_eq!(rest_of(stream), "");
        is_sound(&server);
    }
}

#[test]
fn a_transaction_cannot_be_of_any_length() {
    let server = start_small();
    let mut stream = dial(server.addr);
    let set = request(&[b"SET", b"big", &[b'x'; MIB]]);
    stream
        .write_all(&[&b"MULTI\r\n"[..], &set, &set, &set, b"EXEC\r\nGET big\r\n"].concat())
        .unwrap();
    let error = b"-ERR the transaction is longer than 2097152 bytes\r\n";
    expect(&mut stream, b"+OK\r\n+QUEUED\r\n");
    expect(&mut stream, error);
    let rest =
        b"+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n";
    expect(&mut stream, rest);

    // Each reply is short enough, and all of them together are not.
    stream.write_all(&set).unwrap();
    expect(&mut stream, b"+OK\r\n");
    let gets = b"GET big\r\n".repeat(1000);
    stream.write_all(&[b"MULTI\r\n", &gets[..], b"INCR n\r\nEXEC\r\nGET n\r\n"].concat()).unwrap();
    expect(&mut stream, b"+OK\r\n");
    expect(&mut stream, &b"+QUEUED\r\n".repeat(1001));
    expect(&mut stream, b"-ERR the reply is longer than 2097152 bytes\r\n$1\r\n1\r\n");
    is_sound(&server);
}

#[test]
fn requests_that_waited_are_all_answered_before_the_end() {
    const VALUE: usize = 300_000;
    let server = start();
    let mut stream = dial(server.addr);
    let set = request(&[b"SET", b"big", &[b'x'; VALUE]]);
    stream.write_all(&[set, b"GET big\r\n".repeat(100)].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    expect(&mut stream, b"+OK\r\n");
    for _ in 0..100 {
        expect(&mut stream, &bulk(&[b'x'; VALUE]));
    }
    assert_eq!(rest_of(stream), "");
    is_sound(&server);
}

#[test]
fn a_short_request_cannot_have_a_reply_of_any_length() {
    let server = start_small();
    let mut stream = dial(server.addr);
    stream.write_all(&request(&[b"SET", b"big", &[b'x'; MIB]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    let before = server.peak_memory();
    let names = "$3\r\nget\r\n".repeat(100_000);
    let request = format!("*100002\r\n$7\r\nCOMMAND\r\n$4\r\nINFO\r\n{names}");
    stream.write_all(request.as_bytes()).unwrap();
    expect(&mut stream, b"-ERR the reply is longer than 2097152 bytes\r\n");
    stream.write_all(format!("MGET{}\r\nPING\r\n", " big".repeat(10_000)).as_bytes()).unwrap();
    expect(&mut stream, b"-ERR the reply is longer than 2097152 bytes\r\n+PONG\r\n");
    let grown = server.peak_memory() - before;
    assert!(grown < 12 * MIB, "{grown} bytes");
}
