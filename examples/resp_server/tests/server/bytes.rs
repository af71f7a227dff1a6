//! Requests as bytes: cut anywhere, in a row, and broken.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::child::dial;
use crate::{MIB, ask, bulk, expect, is_sound, request, rest_of, start, start_small, talk};

#[test]
fn a_request_byte_by_byte_is_the_same_request() {
    let server = start();
    let mut stream = dial(server.addr);
    let words: [&[u8]; 3] = [b"SET", b"key", b"a\r\nvalue"];
    for byte in [request(&words), b"GET key\r\n".to_vec(), request(&[b"GET", b"key"])].concat() {
        stream.write_all(&[byte]).unwrap();
    }
    expect(&mut stream, b"+OK\r\n$8\r\na\r\nvalue\r\n$8\r\na\r\nvalue\r\n");
    drop(stream);
    server.stop_with_clients();
}

#[test]
fn a_pipeline_is_answered_in_order_however_it_is_cut() {
    let server = start();
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for number in 0..1000 {
        let text = format!("{number}");
        if number % 3 == 0 {
            requests.extend(format!("ECHO {text}\r\n").into_bytes());
        } else {
            requests.extend(request(&[b"echo", text.as_bytes()]));
        }
        replies.extend(bulk(text.as_bytes()));
    }
    for size in [1, 7, 100, 4096, requests.len()] {
        let mut stream = dial(server.addr);
        for chunk in requests.chunks(size) {
            stream.write_all(chunk).unwrap();
        }
        expect(&mut stream, &replies);
    }
    is_sound(&server);
}

#[test]
fn nonsense_gets_an_error_and_an_orderly_end() {
    let server = start();
    let endless = [b'x'; 100_000];
    let garbage: Vec<u8> = (0..=255).cycle().skip(b'*'.into()).take(100_000).collect();
    for (bytes, error) in [
        (&b"*1\r\n$2147483647\r\n"[..], "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1000000000\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*1\r\n$4\r\nPINGPONG", "expected CRLF after the bulk string"),
        (b"PING 'a\r\n", "unbalanced quotes in request"),
        (&endless, "too big inline request"),
        (&garbage, "invalid multibulk length"),
        (b"*2000000\r\n$536870912\r\n", "invalid multibulk length"),
    ] {
        let expected = format!(r"+PONG\r\n-ERR Protocol error: {error}\r\n");
        let expected = expected.replace('\'', r"\'");
        // The server throws away the rest. No reset may destroy the error that it has sent.
        let all = [b"PING\r\n", bytes, &[b'y'; 300_000]].concat();
        assert_eq!(talk(&server, &all), expected);
        is_sound(&server);
    }
    server.stop_with_clients();
}

#[test]
fn a_request_longer_than_allowed_is_refused_by_its_headers() {
    let server = start_small();
    let three =
        [&b"*4\r\n$4\r\nMSET\r\n"[..], &bulk(&vec![b'x'; MIB]), &bulk(b"y"), b"$1048576\r\n"];
    assert_eq!(talk(&server, &three.concat()), r"-ERR Protocol error: too big request\r\n");
    is_sound(&server);
    server.stop_with_clients();
}

#[test]
fn only_whole_requests_are_answered() {
    let server = start();
    let whole = request(&[b"SET", b"key", b"value"]);
    for len in 0..whole.len() {
        let mut stream = dial(server.addr);
        stream.write_all(&[b"PING\r\n", &whole[..len]].concat()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest_of(stream), r"+PONG\r\n", "{len}");
    }
    assert_eq!(ask(&server, "GET key"), r"$-1\r\n");
    server.stop_with_clients();
}

#[test]
fn a_web_page_cannot_give_commands() {
    let server = start();
    let page = b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET key value\r\n";
    assert_eq!(talk(&server, page), "");
    assert_eq!(ask(&server, "GET key"), r"$-1\r\n");
}

#[test]
fn each_connection_has_its_own_version_of_the_protocol() {
    let server = start();
    let (mut new, mut old) = (dial(server.addr), dial(server.addr));
    new.write_all(b"HELLO 3\r\nGET nothing\r\n").unwrap();
    expect(&mut new, b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n");
    for _ in 0..3 {
        old.write_all(b"GET nothing\r\n").unwrap();
        expect(&mut old, b"$-1\r\n");
        new.write_all(b"PING\r\n").unwrap();
        while !read_line(&mut new).contains("PONG") {}
        new.write_all(b"GET nothing\r\n").unwrap();
        expect(&mut new, b"_\r\n");
    }
    drop((new, old));
    server.stop_with_clients();
}

fn read_line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}
