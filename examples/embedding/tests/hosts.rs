//! Each host serves the reactor: its events, its timers, calls of other threads, and its end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a test waits before it says that something never happened.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, unless the test fails.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serves(path: &str) {
    let program = Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut program = Program(program.unwrap());
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().strip_prefix("listening on ").unwrap();

    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(TIME_LIMIT)).unwrap();
    let mut answers = BufReader::new(client.try_clone().unwrap());
    for (asked, answer) in
        [("hello\n", "hello\n"), ("timer\n", "a timer fired\n"), ("thread\n", "a thread called\n")]
    {
        client.write_all(asked.as_bytes()).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert_eq!(line, answer);
    }
    client.write_all(b"quit\n").unwrap();
    assert_eq!(answers.read_to_end(&mut Vec::new()).unwrap(), 0, "an orderly end");
    drop((client, answers));
    assert!(program.0.wait().unwrap().success());
}

#[test]
fn poll_hosts_a_reactor() {
    serves(env!("CARGO_BIN_EXE_in_poll"));
}

#[test]
fn calloop_hosts_a_reactor() {
    serves(env!("CARGO_BIN_EXE_in_calloop"));
}

#[test]
fn tokio_hosts_a_reactor() {
    serves(env!("CARGO_BIN_EXE_in_tokio"));
}

/// The page cannot run them, for the library does not depend on the hosts.
#[test]
fn the_page_shows_these_programs() {
    let page = include_str!("../../../docs/how/embed.md");
    let programs = [
        include_str!("../src/lib.rs"),
        include_str!("../src/bin/in_poll.rs"),
        include_str!("../src/bin/in_calloop.rs"),
        include_str!("../src/bin/in_tokio.rs"),
    ];
    let shown: Vec<&str> =
        page.split("```ignore\n").skip(1).map(|block| block.split_once("```").unwrap().0).collect();
    assert_eq!(shown.len(), programs.len());
    for (shown, program) in shown.iter().zip(programs) {
        assert!(program.contains(shown), "not in the program:\n{shown}");
    }
}
