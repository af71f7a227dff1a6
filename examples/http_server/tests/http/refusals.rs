//! Requests that are none, or that could be read in two ways.

use std::net::Shutdown;

use super::*;

/// A request of which nothing but the fields is given.
fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

#[test]
fn bytes_that_are_not_http_get_400_501_or_505() {
    let server = server(&[]);
    let table: &[(&[u8], u16)] = &[
        (b"\r\n\r\n", 400),
        (b"\0", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / \r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
        (b"GET / / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / / HTTP/2.0\r\nHost: h\r\n\r\n", 400),
        (b"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / http/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1\r\nHost: h\r\n\r\n", 400),
        (b"GET / FTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/2.1\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        // The beginning of TLS.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        // Targets.
        (b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        // Line ends.
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\r\n", 400),
        (b"GET / HTTP/1.1\rHost: h\r\r", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n", 400),
        (b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        // Fields.
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: h\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tfolded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: \x08\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA(: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\xc3: b\r\n\r\n", 400),
    ];
    for (bytes, status) in table {
        assert_refused(&server, bytes, *status);
    }
    server_is_as_new(server);
}

fn server_is_as_new(server: Server) {
    assert_sound(&server);
    server.stop_with_clients();
}

#[test]
fn of_a_target_that_is_none_leave_the_connection() {
    let server = server(&[]);
    for target in ["*", "nothing", "https://h/", "http://", "http:///", "http:/h/", "ftp://h/"] {
        assert_eq!(get(&server, target).status, 400, "{target}");
    }
    for target in
        ["/%zz", "http://a:b/", "http://[::1/", "http://a%zz/", "http://:80/", ":80", "a:b"]
    {
        assert_eq!(get(&server, target).status, 400, "{target}");
    }
    let wrong = "POST a:b HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(statuses(&ask(&server, wrong)), [400, 405]);
    for target in ["http://h", "HTTP://h:80/", "http://h?q", "/", "/?", "/?//..", "http://a@h/"] {
        assert_eq!(get(&server, target).status, 200, "{target}");
    }
    assert_refused(&server, "CONNECT a:b HTTP/1.1\r\nHost: h\r\n\r\n", 400);
    let connect = "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n";
    assert_refused(&server, [connect, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"].concat(), 405);
    server_is_as_new(server);
}

/// Bytes that one reader takes for a part of the request, and another one for the next request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_length_that_could_be_read_in_two_ways() {
    let server = server(&[]);
    let mut table = vec![
        // Both lengths, in any order and spelling.
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", 400),
        ("Content-Length: 5\r\nTransfer-Encoding:\r\n", 400),
        // Two of one.
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 0\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: 5, 6\r\n", 400),
        ("Content-Length: 5,\r\n", 400),
        // Not a number, or too large a number.
        ("Content-Length:\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: -5\r\n", 400),
        ("Content-Length: -0\r\n", 400),
        ("Content-Length: 5 5\r\n", 400),
        ("Content-Length: 5a\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5.0\r\n", 400),
        ("Content-Length: 5e0\r\n", 400),
        ("Content-Length: 1_0\r\n", 400),
        ("Content-Length: \"5\"\r\n", 400),
        ("Content-Length: five\r\n", 400),
        ("Content-Length: ٥\r\n", 400),
        ("Content-Length: 5;\r\n", 400),
        ("Content-Length: 18446744073709551616\r\n", 400),
        ("Content-Length: 18446744073709551621\r\n", 400),
        ("Content-Length: 99999999999999999999999999\r\n", 400),
        // Names that some readers take for these.
        ("Content-Length : 5\r\n", 400),
        ("Content-Length\t: 5\r\n", 400),
        (" Content-Length: 5\r\n", 400),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Transfer-Encoding\x0b: chunked\r\n", 400),
        ("Transfer-Encoding\r\n : chunked\r\n", 400),
        ("Transfer-Encoding:\r\n chunked\r\n", 400),
        ("X: y\rTransfer-Encoding: chunked\r\n", 400),
        ("X: y\nTransfer-Encoding: chunked\r\n", 400),
        ("X: y\r\n\tTransfer-Encoding: chunked\r\n", 400),
        ("X: \0Transfer-Encoding: chunked\r\n", 400),
        // Codings: chunked has to be the last, and there can be no other.
        ("Transfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding: gzip\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 400),
        ("Transfer-Encoding: chunkedx\r\n", 400),
        ("Transfer-Encoding: x chunked\r\n", 400),
        ("Transfer-Encoding: chunked x\r\n", 400),
        ("Transfer-Encoding: chunked;q=1\r\n", 400),
        ("Transfer-Encoding: \"chunked\"\r\n", 400),
        ("Transfer-Encoding: \x0bchunked\r\n", 400),
        ("Transfer-Encoding: chunked\x0c\r\n", 400),
        ("Transfer-Encoding: chunked,\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 400),
        ("Transfer-Encoding: chunked, gzip\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
        ("Transfer-Encoding: , chunked\r\n", 501),
        ("Content-Length: 1048577\r\n", 413),
        ("Content-Length: 18446744073709551615\r\n", 413),
    ];
    // The same again where the method allows no body by custom: bodies are bodies.
    for (fields, status) in table.drain(..) {
        let request = with(fields) + "0\r\n\r\n" + HIDDEN;
        assert_refused(&server, &request, status);
        assert_refused(&server, request.replacen("POST", "GET", 1), status);
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_refused(&server, [old, HIDDEN].concat(), 400);
    server_is_as_new(server);
}

#[test]
fn chunks_that_could_be_read_in_two_ways() {
    let server = server(&[]);
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5;\nx\r\nhello\r\n0\r\n\r\n",
        "5\rX\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nno field\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
    ] {
        let request = with("Transfer-Encoding: chunked\r\n") + body + HIDDEN;
        assert_refused(&server, request, 400);
    }
    server_is_as_new(server);
}

#[test]
fn bytes_of_a_body_are_no_request() {
    let server = server(&[]);
    let len = HIDDEN.len();
    for (fields, body) in [
        (format!("Content-Length: {len}\r\n"), HIDDEN.to_owned()),
        ("Transfer-Encoding: chunked\r\n".into(), format!("{len:x}\r\n{HIDDEN}\r\n0\r\n\r\n")),
        ("Transfer-Encoding: chunked\r\n".into(), format!("0\r\n{}", &HIDDEN[22..])),
        // Fields that mean nothing here mean no length either.
        (format!("Content_Length: 5\r\nContent-Length: {len}\r\n"), HIDDEN.to_owned()),
        (format!("X-Content-Length: 0\r\nContent-Length: {len}\r\n"), HIDDEN.to_owned()),
    ] {
        let request = with(&fields) + &body + "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(statuses(&ask(&server, &request)), [405, 200], "{request:?}");
    }
    server_is_as_new(server);
}

#[test]
pub(super) fn heads_and_bodies_are_refused_just_above_the_limit() {
    let server = server(&[]);
    let of_line = |len: usize| {
        let rest = "GET /? HTTP/1.1\r\n".len();
        format!("GET /?{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(len - rest))
    };
    let of_head = |len: usize| {
        let rest = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(len - rest))
    };
    let of_fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    for (request, status) in [
        (of_line(MAX_LINE), 200),
        (of_line(MAX_LINE + 1), 414),
        (of_head(MAX_HEAD), 200),
        (of_head(MAX_HEAD + 1), 431),
        (of_fields(MAX_FIELDS), 200),
        (of_fields(MAX_FIELDS + 1), 431),
    ] {
        assert_eq!(statuses(&ask(&server, &request)), [status], "{}", request.len());
        // In two portions, which makes no difference.
        let mut client = Client::new(&server);
        client.send(&request[..request.len() / 2]);
        client.send(&request[request.len() / 2..]);
        client.send_end();
        assert_eq!(statuses(&client.responses()), [status]);
    }
    let most = usize::try_from(MAX_BODY).unwrap();
    for (len, status) in [(most, 405), (most + 1, 413)] {
        let plain = with(&format!("Content-Length: {len}\r\n")) + &"x".repeat(len);
        assert_eq!(statuses(&ask(&server, plain)), [status]);
        let chunk = format!("{len:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(len));
        let chunked = with("Transfer-Encoding: chunked\r\n") + &chunk;
        assert_eq!(statuses(&ask(&server, chunked)), [status]);
    }
    server_is_as_new(server);
}

#[test]
fn an_endless_request_gets_its_answer() {
    let server = server(&[]);
    let before = server.peak_memory();
    let chunked = with("Transfer-Encoding: chunked\r\n");
    for (start, forever, status) in [
        (String::new(), "x", 414),
        ("GET /".into(), "x", 414),
        ("GET / HTTP/1.1\r\nX: ".into(), "x", 431),
        ("GET / HTTP/1.1\r\n".into(), "X: y\r\n", 431),
        (chunked.clone(), "1\r\nx\r\n", 413),
        (chunked.clone() + "1;", "x", 431),
        (chunked.clone(), "1;x=yyyyyyyyyyyyyyyy\r\nx\r\n", 431),
        (chunked.clone() + "0\r\n", "X: y\r\n", 431),
        (chunked + "0\r\nX", "x", 431),
        (String::new(), "\r\n", 400),
        (with("Content-Length: 9999999\r\n"), "x", 413),
    ] {
        let mut client = Client::new(&server);
        client.send(&start);
        let mut sender = client.0.get_ref().socket().try_clone().unwrap();
        let portion = forever.repeat(8192);
        let sending = thread::spawn(move || while sender.write_all(portion.as_bytes()).is_ok() {});
        assert_eq!(statuses(&client.responses()), [status], "{start:?} {forever:?}");
        client.0.get_ref().socket().shutdown(Shutdown::Both).unwrap();
        sending.join().unwrap();
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 2_000_000, "{grown} bytes");
    assert_sound(&server);
}

#[test]
fn garbage_of_any_kind_harms_nobody() {
    let server = server(&[]);
    let words: [&[u8]; 22] = [
        b"GET ",
        b"HEAD / ",
        b"POST / ",
        b"/",
        b" ",
        b"HTTP/1.1\r\n",
        b"HTTP/1.0\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"Host: h\r\n",
        b"Content-Length: 5\r\n",
        b"hello",
        b"0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"5\r\n",
        b"Connection: close\r\n",
        b"\xff\xfe",
        b"%",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\n",
    ];
    let mut chance = noise(64 * 1024).into_iter().map(usize::from);
    let mut next = |below: usize| chance.next().unwrap() % below;
    for _ in 0..1000 {
        let count = next(30);
        let bytes: Vec<u8> = (0..count).flat_map(|_| words[next(words.len())].to_vec()).collect();
        let mut client = Client::new(&server);
        client.send(&bytes);
        client.send_end();
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).expect("every answer arrives");
        let answer = String::from_utf8(answer).unwrap();
        let known = ["200", "400", "404", "405", "501", "505", ""];
        let status = answer.get(9..12).unwrap_or_default();
        assert!(known.contains(&status), "{}: {answer}", bytes.escape_ascii());
    }
    server_is_as_new(server);
}
