//! Requests of every kind, in whatever portions.

use super::*;

#[test]
pub(super) fn pipelined_ones_are_answered_in_order() {
    let dir = Folder::new();
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for round in 0..100 {
        let name = format!("{}.txt", round % 10);
        let content = noise(round % 10 * 40_000 + 1);
        fs::write(dir.join(&name), &content).unwrap();
        write!(requests, "GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        expected.push(content);
    }
    requests.extend(b"GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    requests.extend(b"GET /0.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    let server = serving(&dir);
    let mut responses = until_closed(&server, &requests);
    let last = responses.pop().unwrap();
    assert_eq!((last.status, last.closes()), (404, true), "nothing comes after a close");
    assert_eq!(responses.len(), expected.len());
    for (response, content) in responses.iter().zip(&expected) {
        assert_eq!((response.status, response.closes()), (200, false));
        assert!(response.body == *content);
    }
    server.stop_with_clients();
}

#[test]
fn that_come_after_a_large_answer_are_answered() {
    let dir = Folder::new();
    let content = noise(10_000_000);
    fs::write(dir.join("large"), &content).unwrap();
    let server = serving(&dir);
    let mut client = Client::new(&server);
    for _ in 0..3 {
        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.response().unwrap().body == content);
    }
    drop(client);
    server.stop_with_clients();
}

/// All there is, in one conversation.
const CONVERSATION: &str = "\
    GET / HTTP/1.1\r\nHost: localhost:5000\r\n\r\n\
    \r\nGET /?query HTTP/1.1\r\nHOST:[::1]:80\r\nContent-Length: 5\r\n\r\nhello\
    GET http://localhost/ HTTP/1.1\r\nHost: \t\r\nTransfer-Encoding: Chunked\r\n\r\n\
    5;name=value\r\nhello\r\n00A ; a = b\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n\
    GET /none HTTP/1.1\r\nhost: h\r\nX: \t, \x7e \r\n\r\n\
    POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 00003\r\n\r\nabc\
    OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n\
    get / HTTP/1.1\r\nHost: h\r\n\r\n\
    GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nab\
    GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n\
    GET / HTTP/1.0\r\nConnection: Keep-Alive, TE\r\n\r\n\
    GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n\
    GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const STATUSES: [u16; 12] = [200, 200, 200, 404, 405, 405, 501, 100, 200, 200, 200, 200];

#[test]
pub(super) fn of_every_kind_are_answered_whatever_the_portions() {
    let server = server(&[]);
    let at_once = until_closed(&server, CONVERSATION);
    assert_eq!(statuses(&at_once), STATUSES);
    assert_eq!(at_once[4].field("Allow"), Some("GET, HEAD"));
    assert_eq!(at_once[10].field("Connection"), Some("keep-alive"));
    assert!(at_once[..11].iter().all(|response| !response.closes()));
    assert!(at_once[11].closes(), "HTTP/1.0 does not keep alive unless asked");
    for portion in [1, 2, 3, 5, 7, 50] {
        let mut client = Client::new(&server);
        for part in CONVERSATION.as_bytes().chunks(portion) {
            // The end is not taken: the server may have closed by then.
            let _ = client.0.get_mut().write_all(part);
        }
        assert_eq!(client.responses(), at_once, "{portion} bytes at a time");
    }
    server.stop_with_clients();
}

#[test]
fn of_a_later_minor_version_are_served_as_of_1_1() {
    let server = server(&[]);
    let request = "GET / HTTP/1.2\r\nHost: h\r\n\r\nGET / HTTP/1.9\r\nHost: h\r\n\r\n";
    let responses = ask(&server, request);
    assert_eq!(statuses(&responses), [200, 200]);
    assert!(responses.iter().all(|response| !response.closes()));
    server.stop_with_clients();
}

#[test]
pub(super) fn head_that_is_refused_gets_no_content() {
    let server = server(&["--timeout", SHORT, "--header-timeout", SHORT]);
    let long = format!("HEAD /{} HTTP/1.1\r\n\r\n", "x".repeat(MAX_LINE));
    let chunked = "HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx";
    for (request, ends, status) in [
        ("HEAD / HTTP/1.1\r\nHost: a:b\r\n\r\n", false, 400),
        ("\r\nHEAD / HTTP/2.0\r\nHost: h\r\n\r\n", false, 505),
        (&long, false, 414),
        (chunked, false, 400),
        ("HEAD / HTTP/1.1\r\n", false, 408),
        (&chunked[..chunked.len() - 1], false, 408),
        ("HEAD / HTTP/1.1\r\nHost: h", true, 400),
        (&chunked[..chunked.len() - 1], true, 400),
    ] {
        let mut client = Client::new(&server);
        client.send(request);
        if ends {
            client.send_end();
        }
        assert_eq!(client.head().unwrap().status, status, "{request:?}");
        let mut content = Vec::new();
        client.0.read_to_end(&mut content).unwrap();
        assert!(content.is_empty(), "{request:?}: {}", content.escape_ascii());
    }
    server.stop_with_clients();
}

#[test]
fn that_end_in_the_middle_are_refused() {
    let server = server(&[]);
    let requests = [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ];
    for request in requests {
        for len in 1..request.len() {
            let responses = ask(&server, &request[..len]);
            assert_eq!(statuses(&responses), [400], "{:?}", &request[..len]);
        }
        assert_eq!(statuses(&ask(&server, request)), [200]);
    }
    assert_eq!(statuses(&ask(&server, "")), [], "who asks nothing gets nothing");
    server.stop_with_clients();
}

#[test]
fn head_gets_the_fields_of_get_and_no_content() {
    let dir = Folder::new();
    fs::write(dir.join("a.txt"), "content").unwrap();
    let server = serving(&dir);
    let mut client = Client::new(&server);
    client.send("HEAD /a.txt HTTP/1.1\r\nHost: h\r\n\r\nHEAD /none HTTP/1.1\r\nHost: h\r\n\r\n");
    client.send("GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!(client.head().unwrap().status, 404);
    let get = client.response().unwrap();
    assert_eq!((head.status, &head.fields), (200, &get.fields));
    assert_eq!(get.body, b"content");
    drop(client);
    assert_sound_after(&server);
}

fn assert_sound_after(server: &Server) {
    assert_eq!(get(server, "/a.txt").status, 200);
}

#[test]
fn that_expect_leave_get_it_before_the_body() {
    let server = server(&[]);
    let mut client = Client::new(&server);
    client.send("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().unwrap().status, 100);
    client.send("hello");
    assert_eq!(client.response().unwrap().status, 200);
    // No leave for a body that changes nothing; and no request can follow where it may stand.
    let refused = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    client.send(refused);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let responses = client.responses();
    assert_eq!(statuses(&responses), [405]);
    assert!(responses[0].closes());
    assert_refused(&server, refused.replace(": 5", ": 5000000"), 413);
    server.stop_with_clients();
}
