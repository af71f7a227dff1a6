//! The example `smtp_sink`, with Python's smtplib, curl and swaks, and with clients that misbehave.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::child::{Server, dial, example, python, run, tool};
use crate::util::Folder;

fn sink(args: &[&str]) -> Server {
    Server::start(example("smtp_sink").args(["--listen", "127.0.0.1:0"]).args(args))
}

fn sink_at(folder: &Folder) -> Server {
    sink(&["--folder", folder.to_str().unwrap()])
}

/// Sends all of this at once, and returns all that is answered.
fn pipelined(server: SocketAddr, commands: &[u8]) -> String {
    let mut client = dial(server);
    client.write_all(commands).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// The codes of the replies, one for each line.
fn codes(answer: &str) -> Vec<&str> {
    answer.lines().map(|line| &line[..3]).collect()
}

#[test]
fn smtplib_holds_a_session_and_all_messages_arrive() {
    let folder = Folder::new();
    let server = sink_at(&folder);
    let Some(mut client) = python("mail.py") else { return };
    let end = run(client.arg(server.addr.port().to_string()));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    let first = fs::read_to_string(folder.join("1.eml")).unwrap();
    let head = "Return-Path: <anna@example.org>\r\nDelivered-To: bert@example.org\r\nFrom: anna@";
    assert!(first.starts_with(head), "{first}");
    let body = format!("\r\n\r\n.\r\n..two\r\nGröße\r\n{}\r\n", "x".repeat(5000));
    assert!(first.ends_with(&body), "{first}");
    let second = "Return-Path: <>\r\nDelivered-To: a@b\r\nDelivered-To: c@d\r\n\
                  Subject: two\r\n\r\nbody\r\n";
    assert_eq!(fs::read_to_string(folder.join("2.eml")).unwrap(), second);
    server.stop_with_clients();
}

#[test]
fn swaks_sends_a_message_that_is_printed() {
    let Some(mut swaks) = tool("swaks") else { return };
    let server = sink(&[]);
    let body =
        ["--from", "a@example.org", "--to", "b@example.org", "--body", "one\\n.two\x07\u{202e}\\n"];
    let at = ["--server", "127.0.0.1", "--port", &server.addr.port().to_string()];
    let end = run(swaks.args(at).args(body));
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(server.program.line(), "message 1");
    assert_eq!(server.program.line(), "Return-Path: <a@example.org>");
    assert_eq!(server.program.line(), "Delivered-To: b@example.org");
    while server.program.line() != "one" {}
    assert_eq!(server.program.line(), ".two\\u{7}\\u{202e}");
}

#[test]
fn curl_uploads_a_long_message_unharmed() {
    let Some(mut curl) = tool("curl") else { return };
    let folder = Folder::new();
    let server = sink_at(&folder);
    let letter = ".a line with dots..\r\n".repeat(100_000);
    let file = folder.join("letter.txt");
    fs::write(&file, &letter).unwrap();
    let url = format!("smtp://{}", server.addr);
    let mail = ["--mail-from", "a@b", "--mail-rcpt", "c@d", "-T", file.to_str().unwrap()];
    let end = run(curl.args(["--silent", "--show-error", "--max-time", "60", &url]).args(mail));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    let saved = fs::read_to_string(folder.join("1.eml")).unwrap();
    assert!(saved.ends_with(&letter), "{} bytes", saved.len());
    server.stop_with_clients();
}

#[test]
fn pipelined_commands_and_messages_are_answered_in_order() {
    let folder = Folder::new();
    let server = sink_at(&folder);
    let message = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
    let all = format!("EHLO me\r\n{message}one\r\n.\r\n{message}.\r\nNOOP\r\nQUIT\r\nNOOP\r\n");
    let answer = pipelined(server.addr, all.as_bytes());
    let expected = "220 250 250 250 250 250 250 354 250 250 250 354 250 250 221";
    assert_eq!(codes(&answer).join(" "), expected, "{answer}");
    assert!(fs::read_to_string(folder.join("1.eml")).unwrap().ends_with("c@d\r\none\r\n"));
    assert!(fs::read_to_string(folder.join("2.eml")).unwrap().ends_with("c@d\r\n"));
    server.stop_with_clients();
}

/// A server that took the bare line feeds for an end would see a second message.
#[test]
fn no_message_is_smuggled_behind_bare_line_feeds() {
    let folder = Folder::new();
    let server = sink_at(&folder);
    let smuggled = "MAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
    let all = format!(
        "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\none\n.\n{smuggled}two\r\n.\n{smuggled}\
         three\r\n.\r\nQUIT\r\n"
    );
    let answer = pipelined(server.addr, all.as_bytes());
    assert_eq!(codes(&answer), ["220", "250", "250", "354", "250", "221"], "{answer}");
    assert_eq!(folder.names(), ["1.eml"]);
    server.stop_with_clients();
}

#[test]
fn paths_and_parameters_that_are_none_are_refused() {
    let server = sink(&[]);
    for (command, code) in [
        ("MAIL FROM:<a\u{202e}b>", "501"),
        ("MAIL FROM:<a\x1bb>", "501"),
        ("MAIL FROM:<a>b>", "501"),
        ("MAIL FROM:<<a>", "501"),
        ("MAIL FROM:<a> X=<b>", "501"),
        ("MAIL FROM:<a> X=b", "555"),
        ("MAIL FROM:<a> SIZE=+5", "501"),
        ("MAIL FROM:<a> SIZE=", "501"),
        ("MAIL FROM:<a> SIZE=99999999999999999999", "552"),
        ("MAIL FROM:<\"a>b\"@c> SIZE=5", "250"),
    ] {
        let answer = pipelined(server.addr, format!("{command}\r\nQUIT\r\n").as_bytes());
        assert_eq!(codes(&answer), ["220", code, "221"], "{command:?}");
    }
    server.stop_with_clients();
}

#[test]
fn what_is_too_long_is_refused_and_closed() {
    let folder = Folder::new();
    let at = folder.to_str().unwrap();
    let server = sink(&["--folder", at, "--max-size", "100"]);
    let endless = sink(&["--max-size", &usize::MAX.to_string()]);
    let taken =
        pipelined(endless.addr, b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\na\r\n.\r\nQUIT\r\n");
    assert_eq!(codes(&taken), ["220", "250", "250", "354", "250", "221"], "{taken}");
    let begin = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
    let message = format!("{begin}{}\r\n.\r\nNOOP\r\n", "x".repeat(99));
    let answer = pipelined(server.addr, message.as_bytes());
    assert_eq!(codes(&answer), ["220", "250", "250", "354", "552"], "{answer}");
    let line = format!("NOOP {}\r\nNOOP\r\n", "x".repeat(3000));
    assert_eq!(codes(&pipelined(server.addr, line.as_bytes())), ["220", "500"]);
    assert_eq!(folder.names(), [""; 0]);
    server.stop_with_clients();
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let folder = Folder::new();
    fs::write(folder.join("1.eml"), "old").unwrap();
    let server = sink_at(&folder);
    pipelined(server.addr, b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\n.\r\nQUIT\r\n");
    assert_eq!(fs::read_to_string(folder.join("1.eml")).unwrap(), "old");
    assert!(folder.join("2.eml").exists());
    server.stop_with_clients();
}

#[test]
fn a_message_that_cannot_be_saved_is_refused() {
    let folder = Folder::new();
    let sub = folder.join("gone");
    fs::create_dir(&sub).unwrap();
    let server = sink(&["--folder", sub.to_str().unwrap()]);
    fs::remove_dir(&sub).unwrap();
    let answer =
        pipelined(server.addr, b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n");
    assert_eq!(codes(&answer), ["220", "250", "250", "354", "451", "250", "221"], "{answer}");
    assert!(server.program.error_line().contains("cannot save a message"));
}

#[test]
fn a_shutdown_is_told_in_each_phase() {
    let server = sink(&[]);
    let begin = |commands: &[u8], replies: usize| {
        let mut client = BufReader::new(dial(server.addr));
        client.get_mut().write_all(commands).unwrap();
        for _ in 0..replies {
            client.read_line(&mut String::new()).unwrap();
        }
        client
    };
    let idle = begin(b"", 1);
    let writing = begin(b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\nhalf a li", 4);
    server.program.signal("TERM");
    for mut client in [idle, writing] {
        let mut last = String::new();
        client.read_to_string(&mut last).unwrap();
        assert_eq!(last, "421 shutting down\r\n");
        drop::<BufReader<TcpStream>>(client);
    }
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn a_folder_that_is_none_is_told() {
    let end = run(example("smtp_sink").args(["--folder", "/dev/null"]));
    assert!(end.complaint(1).contains("/dev/null is no folder"), "{end:?}");
}
