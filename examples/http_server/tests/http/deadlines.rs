//! Peers that stall, drip, or read slowly.

use super::*;

#[test]
pub(super) fn a_connection_without_a_request_is_closed_without_a_word() {
    let server = server(&["--timeout", SHORT]);
    assert_eq!(Client::new(&server).responses(), [], "before the first");
    let responses = until_closed(&server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(statuses(&responses), [200], "after the last");
    assert!(!responses[0].closes());
    server.stop_with_clients();
}

/// The head of a request has its own time; one that a client has sent in time may stall in its body.
#[test]
pub(super) fn a_head_has_less_time_than_the_rest() {
    let server = server(&["--header-timeout", SHORT]);
    let (mut idle, mut body) = (Client::new(&server), Client::new(&server));
    body.send("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell");
    for start in
        ["G", "\r\nGET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n"]
    {
        let last = until_closed(&server, start).pop().unwrap();
        assert_eq!((last.status, last.closes()), (408, true), "{start:?}");
    }
    for (client, rest) in [(&mut idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), (&mut body, "o")] {
        client.send(rest);
        assert_eq!(client.response().unwrap().status, 200);
    }
    drop((idle, body));
    server.stop_with_clients();
}

/// The head came while the answer before it filled the buffers. Its time begins when the client has read that.
#[test]
pub(super) fn a_head_behind_an_unread_answer_gets_408_soon() {
    let root = Folder::new();
    sparse(&root.join("file"), 8 << 20);
    let args = ["--header-timeout", SHORT, "--timeout", "86400", "--root", root.to_str().unwrap()];
    let server = server(&args);
    let mut client = Client::new(&server);
    client.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\nGET /file");
    assert_eq!(statuses(&client.responses()), [200, 408]);
}

#[test]
pub(super) fn a_request_that_stalls_gets_408() {
    let server = server(&["--timeout", SHORT, "--header-timeout", SHORT]);
    for request in [
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        assert_refused(&server, request, 408);
    }
    let first = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let responses = until_closed(&server, [first, "GET"].concat());
    assert_eq!(statuses(&responses), [200, 408]);
    assert_sound(&server);
}

/// A byte now and then is no progress: what would be the whole request after an hour is refused
/// as soon as one that stalls.
#[test]
pub(super) fn a_request_that_drips_gets_408() {
    let server = server(&["--timeout", SHORT, "--header-timeout", SHORT]);
    for start in [
        "GET /?",
        "GET / HTTP/1.1\r\nX: ",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nf0000\r\n",
    ] {
        let mut client = Client::new(&server);
        client.send(start);
        client.0.get_ref().socket().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut drops = 0;
        while let Err(error) = client.0.fill_buf() {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            client.send("x");
            drops += 1;
            assert!(drops < 1000, "it never ends");
        }
        client.0.get_ref().socket().set_read_timeout(Some(TIME_LIMIT)).unwrap();
        assert_eq!(statuses(&client.responses()), [408]);
    }
    assert_sound(&server);
}

#[test]
fn a_slow_reader_that_does_read_gets_everything() {
    const LEN: usize = 128 << 20;
    let root = Folder::new();
    sparse(&root.join("file"), LEN as u64);
    let server = server(&["--timeout", "3", "--root", root.to_str().unwrap()]);
    let mut client = Client::new(&server);
    client.send("GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    let mut came = 0;
    let mut portion = vec![0; 1 << 20];
    loop {
        // The pause is the slowness itself: 128 of them are longer than the timeout.
        thread::sleep(Duration::from_millis(30));
        match client.0.read(&mut portion).unwrap() {
            0 => break,
            count => came += count,
        }
    }
    assert_eq!(came, LEN);
}
