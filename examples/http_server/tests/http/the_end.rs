//! How a server ends.

use super::*;

#[test]
pub(super) fn closes_the_idle_and_lets_answers_and_requests_be_finished() {
    const LEN: u64 = 64 << 20;
    let root = Folder::new();
    fs::write(root.join("index.html"), "index").unwrap();
    sparse(&root.join("file"), LEN);
    let server = serving(&root);
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut fresh = Client::new(&server);
    let mut idle = Client::new(&server);
    idle.send(request);
    assert_eq!(idle.response().unwrap().status, 200);
    let mut reading = [Client::new(&server), Client::new(&server)];
    for client in &mut reading {
        client.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().unwrap().status, 200);
    }
    let mut asking = Client::new(&server);
    asking.send([request, &request[..20]].concat());
    assert_eq!(asking.response().unwrap().status, 200);

    server.program.signal("TERM");
    let line = server.program.error_line();
    assert_eq!(line, "stopping, 5 open; Ctrl-C again to drop them");
    assert_eq!(
        TcpStream::connect(server.addr).unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    assert_eq!(fresh.responses(), []);
    assert_eq!(idle.responses(), []);
    asking.send(&request[20..]);
    let last = asking.responses();
    assert_eq!((statuses(&last), last[0].closes()), (vec![200], true));
    for client in &mut reading {
        // Were the first closed by the end of the grace only, so would be the second.
        assert_eq!(io::copy(&mut client.0, &mut io::sink()).unwrap(), LEN);
    }
    drop((fresh, idle, reading, asking));
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn does_not_wait_for_ever_nor_after_a_second_signal() {
    let root = Folder::new();
    sparse(&root.join("file"), 1 << 30);
    for (signals, code) in [(1, Some(0)), (2, Some(130))] {
        let server = serving(&root);
        let mut stuck = Client::new(&server);
        stuck.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(stuck.head().unwrap().status, 200);
        server.program.signal("TERM");
        assert_eq!(server.program.error_line(), "stopping, 1 open; Ctrl-C again to drop them");
        if signals == 2 {
            server.program.signal("TERM");
        }
        assert_eq!(server.program.finish().code, code);
    }
}

#[test]
fn comes_at_once_when_nothing_can_be_served() {
    let dir = Folder::new();
    fs::write(dir.join("file"), "").unwrap();
    for name in ["none", "file"] {
        let path = dir.join(name);
        let end = run(program().arg("--root").arg(&path));
        let start = format!("http_server: cannot serve {}: ", path.display());
        let complaint = end.complaint(1);
        assert!(complaint.starts_with(&start), "{complaint}");
        assert!(complaint.ends_with("; --root takes a directory"), "{complaint}");
    }
    for args in [
        &["--timeout", "0"][..],
        &["--timeout", "-1"],
        &["--timeout", "soon"],
        &["--timeout", "nan"],
        &["--timeout", "inf"],
        &["--timeout"],
        &["--root"],
        &["--roots", "x"],
        &["x"],
    ] {
        let end = run(program().args(args));
        assert!(end.complaint(2).ends_with("; http_server --help tells more"), "{end:?}");
    }
    let end = run(program().arg("--help"));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    assert!(end.text().contains("--timeout SECONDS"));
}

#[test]
fn a_signal_waits_for_no_silent_client() {
    child::end_by_a_signal(program().args(["--listen", "127.0.0.1:0"]), false);
}
