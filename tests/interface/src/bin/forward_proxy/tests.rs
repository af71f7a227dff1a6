//! The protocol on a network in memory.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crocus::testing::{Cut, End, Peer, Simulation};

use crate::proxy::{Limits, client};
use crate::request::Request;

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

fn connect(simulation: &mut Simulation) -> Peer {
    let [connect, idle] = [10, 300].map(Duration::from_secs);
    simulation.connect(client(&Rc::new(Limits { ports: vec![80, 443], connect, idle })))
}

fn send(simulation: &mut Simulation, peer: &mut Peer, data: &[u8]) {
    peer.send_all(simulation, data).unwrap();
    simulation.settle();
}

/// A tunnel that is open, and its server.
fn tunnel(simulation: &mut Simulation) -> (Peer, Peer) {
    let mut listener = simulation.listen("192.0.2.1:443").unwrap();
    let mut near = connect(simulation);
    let answer = near.exchange(simulation, b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n");
    assert_eq!(answer, ESTABLISHED);
    (near, listener.accept().unwrap())
}

/// The status of the answer to a head, after which the proxy closes.
fn status(simulation: &mut Simulation, head: &[u8]) -> String {
    let mut near = connect(simulation);
    let answer = near.exchange(simulation, head);
    assert_eq!(near.end(), Some(End::Closed));
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The head that the server gets.
fn rewritten(head: &str) -> String {
    let head = head.replace('\n', "\r\n");
    String::from_utf8(Request::parse(head.as_bytes()).unwrap().head).unwrap().replace("\r\n", "\n")
}

#[test]
fn bytes_sent_with_the_head_come_first() {
    let mut simulation = Simulation::new();
    simulation.set_cut(Cut::Every(1));
    let mut listener = simulation.listen("[2001:db8::2]:443").unwrap();
    let mut near = connect(&mut simulation);
    send(&mut simulation, &mut near, b"CONNECT [2001:db8::2]:443 HTTP/1.1\r\nHost: x\r\n\r\nhello");
    send(&mut simulation, &mut near, b" world");
    near.close_write();
    simulation.settle();
    let mut far = listener.accept().unwrap();
    assert_eq!(far.received(), b"hello world");
    assert_eq!(far.end(), Some(End::Closed));
    send(&mut simulation, &mut far, b"the other half goes on");
    assert_eq!(near.received(), [ESTABLISHED, b"the other half goes on"].concat());
    assert_eq!(near.end(), None);
    far.close_write();
    simulation.settle();
    assert_eq!(near.end(), Some(End::Closed));
}

#[test]
fn a_reset_is_passed_on() {
    let mut simulation = Simulation::new();
    let (near, mut far) = tunnel(&mut simulation);
    near.reset();
    simulation.settle();
    assert_eq!(far.end(), Some(End::Failed(ErrorKind::ConnectionReset)));
    let mut simulation = Simulation::new();
    let (mut near, far) = tunnel(&mut simulation);
    far.reset();
    simulation.settle();
    assert_eq!(near.end(), Some(End::Failed(ErrorKind::ConnectionReset)));
}

#[test]
fn a_request_is_passed_on_with_its_body() {
    let mut simulation = Simulation::new();
    simulation.set_cut(Cut::Every(7));
    simulation.set_host("example.org", &["192.0.2.1".parse().unwrap()]);
    let mut listener = simulation.listen("192.0.2.1:80").unwrap();
    let mut near = connect(&mut simulation);
    let request = b"PUT http://example.org/a?b HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
    send(&mut simulation, &mut near, request);
    let mut far = listener.accept().unwrap();
    let expected = "PUT /a?b HTTP/1.1\r\nHost: example.org\r\nContent-Length: 4\r\n\
                    Via: 1.1 forward_proxy\r\nConnection: close\r\n\r\nbody";
    assert_eq!(String::from_utf8(far.received()).unwrap(), expected);
    send(&mut simulation, &mut far, b"HTTP/1.1 204 No Content\r\n\r\n");
    drop(far);
    simulation.settle();
    assert_eq!(near.received(), b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(near.end(), Some(End::Closed));
}

#[test]
fn headers_of_the_hop_are_removed() {
    let head = "GET HTTP://Example.org:8080?q HTTP/1.0\nhost: evil.example\nProxy-Connection: keep-alive\n\
                Connection: x-mine, Content-Length\nConnection: te\nX-Mine: 1\nTE: gzip\ncontent-length: 0\n\
                Proxy-Authorization: Basic x\nX-Kept: a";
    let expected = "GET /?q HTTP/1.0\nHost: Example.org:8080\ncontent-length: 0\nX-Kept: a\n\
                    Via: 1.0 forward_proxy\nConnection: close\n\n";
    assert_eq!(rewritten(head), expected);
    assert!(rewritten("OPTIONS http://a HTTP/1.1").starts_with("OPTIONS * HTTP/1.1\n"));
    assert!(rewritten("GET http://a HTTP/1.1").starts_with("GET / HTTP/1.1\nHost: a\n"));
}

#[test]
fn bad_requests_are_refused() {
    let mut simulation = Simulation::new();
    let targets = [
        "CONNECT 192.0.2.1",
        "CONNECT :443",
        "CONNECT unix:/run/x",
        "CONNECT unix:/run/x:443",
        "CONNECT 192.0.2.1:+443",
        "CONNECT 192.0.2.256:443",
        "GET /index.html",
        "GET https://example.org/",
        "GET http:///x",
        "GET http://user@example.org/",
    ];
    for target in targets {
        let head = format!("{target} HTTP/1.1\r\n\r\n");
        assert_eq!(status(&mut simulation, head.as_bytes()), "400", "{target}");
    }
    for head in ["\r\n\r\n", "\x16\x03\x01\r\n\r\n", "GET http://a/ HTTP/1.1\nA: b\n\nX: y\r\n\r\n"]
    {
        assert_eq!(status(&mut simulation, head.as_bytes()), "400", "{head:?}");
    }
}

#[test]
fn ports_lengths_and_failures() {
    let mut simulation = Simulation::new();
    assert_eq!(status(&mut simulation, b"CONNECT 192.0.2.1:25 HTTP/1.1\r\n\r\n"), "403");
    assert_eq!(status(&mut simulation, b"GET http://192.0.2.1:25/ HTTP/1.1\r\n\r\n"), "403");
    assert_eq!(status(&mut simulation, b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n"), "502");
    assert_eq!(status(&mut simulation, b"CONNECT unknown.example:443 HTTP/1.1\r\n\r\n"), "502");
    assert_eq!(status(&mut simulation, &[b'x'; 16 * 1024 + 10]), "431");
    let headers = "A: b\r\n".repeat(101);
    let many = format!("GET http://a/ HTTP/1.1\r\n{headers}\r\n");
    assert_eq!(status(&mut simulation, many.as_bytes()), "400");
}

#[test]
fn deadlines() {
    let mut simulation = Simulation::new();
    let mut slow = connect(&mut simulation);
    for _ in 0..10 {
        slow.send(b"x");
        simulation.advance(Duration::from_secs(1));
    }
    assert!(slow.received().starts_with(b"HTTP/1.1 408 "));
    assert_eq!(slow.end(), Some(End::Closed));

    simulation.set_blackhole("192.0.2.9:443".parse().unwrap());
    let mut near = connect(&mut simulation);
    near.send(b"CONNECT 192.0.2.9:443 HTTP/1.1\r\n\r\n");
    simulation.advance(Duration::from_secs(10));
    assert!(near.received().starts_with(b"HTTP/1.1 504 "));

    let (mut near, mut far) = tunnel(&mut simulation);
    for _ in 0..3 {
        simulation.advance(Duration::from_secs(200));
        far.send(b"one side is enough");
    }
    simulation.advance(Duration::from_secs(299));
    near.received();
    assert_eq!((near.end(), far.end()), (None, None));
    simulation.advance(Duration::from_secs(1));
    let reset = Some(End::Failed(ErrorKind::ConnectionReset));
    assert_eq!((near.end(), far.end()), (reset, reset));
}

#[test]
fn a_drain_finishes_what_moves() {
    let mut simulation = Simulation::new();
    let (mut near, mut far) = tunnel(&mut simulation);
    let mut waiting = connect(&mut simulation);
    waiting.send(b"GET ");
    far.send(b"x"); // a tunnel that nothing has passed would be closed at once
    simulation.settle();
    simulation.reactor().shutdown(Duration::from_secs(30));
    simulation.settle();
    assert_eq!(waiting.end(), Some(End::Closed));
    for _ in 0..5 {
        far.send(b"x");
        simulation.advance(Duration::from_secs(4));
    }
    assert_eq!(near.received(), b"xxxxxx");
    assert_eq!(near.end(), None);
    simulation.advance(Duration::from_secs(2));
    // Nobody here knows whether that was all.
    let reset = Some(End::Failed(ErrorKind::ConnectionReset));
    assert_eq!((near.end(), far.end()), (reset, reset));
}
