//! The page and its frames, byte by byte.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::child::{Running, dial, patient, run};
use crate::{Live, page_of};

/// The most bytes that the page may have.
const MOST_BYTES: usize = 40_000;

fn names(frames: &[Value]) -> BTreeSet<String> {
    let turns = frames.iter().flat_map(|frame| frame["turns"].as_array().unwrap());
    let callbacks = turns.flat_map(|turn| turn["callbacks"].as_array().unwrap());
    callbacks.map(|callback| callback[2].as_str().unwrap().to_owned()).collect()
}

/// Asks for the 81 bytes.
fn ask(addr: SocketAddr) {
    let mut reply = Vec::new();
    dial(addr).read_to_end(&mut reply).unwrap();
    assert_eq!(reply.len(), 81);
}

#[test]
fn the_page_is_one_small_file_with_a_strict_policy() {
    let live = Live::start(&[]);
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", live.page);
    let (first, second) = (live.ask(&request), live.ask(&request));
    let (head, body) = first.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert!(body.len() <= MOST_BYTES, "{} bytes", body.len());
    let nonce = head.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(head.contains("default-src 'none'") && nonce.len() == 32, "{head}");
    assert_eq!(body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(!second.contains(nonce), "each page has its own");
    for foreign in ["http://", "https://", "//cdn", "innerHTML", "document.write", "eval("] {
        assert!(!body.contains(foreign), "{foreign}");
    }
}

#[test]
fn a_request_that_is_not_for_the_page_is_refused() {
    let live = Live::start(&[]);
    let host = format!("Host: {}\r\n", live.page);
    let port = live.page.port();
    let long = format!("GET / HTTP/1.1\r\n{host}X: {}", "x".repeat(17_000));
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"), "200"),
        (format!("HEAD / HTTP/1.1\r\n{host}\r\n"), "200"),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), "421"),
        (format!("GET /frames HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"), "421"),
        (format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", port ^ 1), "421"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}\r\n"), "405"),
        (format!("GET /step HTTP/1.1\r\n{host}\r\n"), "404"),
        (format!("GET /../etc/passwd HTTP/1.1\r\n{host}\r\n"), "404"),
        ("\0\r\n\r\n".to_owned(), "400"),
        (long, "431"),
    ] {
        let answer = live.ask(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
}

#[test]
fn points_that_were_sent_are_points_in_frames() {
    let live = Live::start(&[]);
    ask(live.addr()); // before anybody looks
    let mut frames = live.watch();
    let before = frames.next();
    assert_eq!((&before["pointed"], &before["about"]["mode"]), (&2.into(), &"random".into()));
    (0..30).for_each(|_| ask(live.addr()));
    let mut seen = vec![before];
    seen.extend(frames.until(|frame| frame["pointed"] == 62 && frame["counters"]["closed"] == 31));
    let points: usize = seen.iter().map(|frame| frame["points"].as_array().unwrap().len()).sum();
    assert_eq!(points, 62);
    let last = &seen[seen.len() - 1]["counters"];
    assert_eq!((&last["accepted"], &last["sent"]), (&31.into(), &(31 * 81).into()));
    assert!(names(&seen).is_superset(
        &["build_protocol", "connection_made", "connection_lost"].map(String::from).into()
    ));
}

#[test]
fn the_page_does_not_show_itself() {
    let live = Live::start(&["--echo"]);
    let mut client = dial(live.addr());
    let mut frames = live.watch();
    frames.until(|frame| frame["open"] == 1);
    let first = frames.next();
    let _other = live.watch();
    live.ask(&format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", live.page));
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(frames.next());
    }
    for frame in &idle {
        assert_eq!(frame["counters"], first["counters"]);
        assert_eq!((frame["turns"].as_array().unwrap().len(), &frame["open"]), (0, &1.into()));
        assert_eq!(frame["rows"].as_array().unwrap().len(), 1, "{frame}");
    }
    client.write_all(b"hello").unwrap();
    let seen = frames.until(|frame| frame["counters"]["sent"] == 5);
    let row = &seen[seen.len() - 1]["rows"][0];
    assert_eq!(
        (&row["received"], &row["sent"], &row["last"]),
        (&5.into(), &5.into(), &"data_received".into())
    );
    assert_eq!(row["peer"], client.local_addr().unwrap().to_string());
}

#[test]
fn frames_go_on_for_the_others_when_the_first_page_leaves() {
    let live = Live::start(&[]);
    let mut first = live.watch();
    first.next();
    let mut second = live.watch();
    let number = second.next()["frame"].as_u64().unwrap();
    drop(first);
    second.until(|frame| frame["frame"].as_u64().unwrap() > number + 5);
}

/// More than the kernel's buffers between the server and a page with a small window hold.
const MANY_BYTES: usize = 600_000;

/// Nobody needs so many frames for that.
const MOST_FRAMES: usize = 600;

/// The most memory for a page that does not read: far less than its frames.
const MEMORY: usize = 8 * 1024 * 1024;

#[test]
fn a_page_that_does_not_read_gets_the_newest_frame_and_no_queue() {
    let live = Live::start(&[]);
    let mut lazy = live.watch_by(narrow(live.page));
    lazy.next();
    let mut eager = live.watch();
    let memory = live.server.memory();
    let addr = live.addr();
    let stop = AtomicBool::new(false);
    let (mut sent, mut frames, mut last) = (0, 0, 0);
    // Many turns make large frames; the lazy page's buffers are full after some of them.
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                ask(addr);
            }
        });
        while sent < MANY_BYTES && frames < MOST_FRAMES {
            let frame = eager.next();
            (sent, frames) = (sent + frame.to_string().len(), frames + 1);
            last = frame["frame"].as_u64().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(sent >= MANY_BYTES, "{sent} bytes in {frames} frames");
    let seen = lazy.until(|frame| frame["frame"].as_u64().unwrap() > last);
    let numbers: Vec<u64> = seen.iter().map(|frame| frame["frame"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let missed = numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).sum::<u64>();
    assert!(missed > 0, "all {} frames were kept for it", numbers.len());
    assert!(live.server.memory() < memory + MEMORY, "its frames do not queue");
}

/// Connects with a small buffer for what it receives.
fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&addr.into()).unwrap();
    patient(socket.into())
}

#[test]
fn a_blocked_callback_and_what_a_peer_says_are_told_in_words() {
    let live = Live::start(&["--chat", "--slow", "120"]);
    let mut frames = live.watch();
    frames.next();
    dial(live.addr()).write_all(b"/quit <b>\"bold\"</b>\n").unwrap();
    let seen = frames.until(|frame| !frame["ended"].as_array().unwrap().is_empty());
    let remarks = seen.iter().flat_map(|frame| frame["remarks"].as_array().unwrap());
    let remarks: Vec<_> = remarks.map(|remark| remark["text"].as_str().unwrap()).collect();
    let blocked = |text: &&str| {
        text.starts_with("data_received of connection #")
            && text.ends_with(": nobody else was served")
    };
    assert!(remarks.iter().any(blocked), "{remarks:?}");
    let why = seen[seen.len() - 1]["ended"][0]["why"].as_str().unwrap();
    assert_eq!(why, "closed: <b>\"bold\"</b>");
}

#[test]
fn one_turn_is_done_for_each_enter() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_live"));
    let places = ["--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--echo", "--step"];
    let (program, mut keyboard) = Running::start_talking(command.args(places));
    let addr = program.line().strip_prefix("listening on ").unwrap().parse().unwrap();
    page_of(&program);
    assert_eq!(program.line(), "Enter does one turn; Ctrl-D ends");
    let mut client = dial(addr);
    client.write_all(b"hello").unwrap();
    let mut turns = 0;
    let mut line = String::new();
    while !line.contains("5 bytes out") {
        writeln!(keyboard).unwrap();
        turns += 1;
        loop {
            line = program.line();
            if line.contains("5 bytes out") || line.trim_start().starts_with("end of turn") {
                break;
            }
        }
        assert!(turns < 10, "{line}");
    }
    assert!(turns >= 2, "the first turn accepts, a later one reads");
    client.read_exact(&mut [0; 5]).unwrap();
    drop(keyboard);
    assert_eq!(program.finish().code, Some(0));
}

#[test]
fn each_complaint_names_the_option_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = &*taken.local_addr().unwrap().to_string();
    for (args, status, said) in [
        (["--page", at], 1, "or try --page 127.0.0.1:0"),
        (["--slow", "x"], 2, "--slow takes milliseconds"),
        (["--echo", "--chat"], 2, "--echo and --chat exclude each other"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_live"));
        let end = run(command.args(["--listen", "127.0.0.1:0"]).args(args));
        assert!(end.code == Some(status) && end.stderr.contains(said), "{end:?}");
    }
}
