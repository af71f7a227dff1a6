//! The experiment, in short: the ways that lose nothing lose nothing here.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![cfg(unix)]

#[path = "../../../tests/programs/child.rs"]
mod child;

use std::process::Command;

use child::{Finished, run, tool};

/// How much of the experiment to run. The default takes some seconds; `CROCUS_RESTARTS=10 CROCUS_SECONDS=30
/// CROCUS_RATE=1000` is all of it.
fn size(name: &str, short: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| short.to_owned())
}

fn experiment(ways: &[&str], restarts: &str, options: &[&str]) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restart"));
    command.env("RUST_LOG", "warn,crocus::reactor::dispatch=error");
    command.args(["--rate", &size("CROCUS_RATE", "200")]);
    command.args(["--seconds", &size("CROCUS_SECONDS", "2")]);
    command.args(["--restarts", restarts]);
    for way in ways {
        command.args(["--only", way]);
    }
    let end = run(command.args(options));
    assert_eq!(end.code, Some(0), "{end:?}");
    end
}

/// The rows of the table, each as its columns.
fn rows(end: &Finished) -> Vec<Vec<String>> {
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    end.text().lines().skip(2).map(cells).collect()
}

fn number(row: &[String], column: usize) -> u64 {
    row[column].parse().unwrap()
}

const RESTARTS: usize = 1;
const PROCESSES: usize = 2;
const REQUESTS: usize = 3;
const FAILED: usize = 4;

/// All requests were answered, by the servers before and after each restart.
fn assert_nothing_is_lost(row: &[String], restarts: &str, at_once: u64) {
    let restarts: u64 = restarts.parse().unwrap();
    assert_eq!((number(row, RESTARTS), number(row, FAILED)), (restarts, 0), "{row:?}");
    assert_eq!(number(row, PROCESSES), (restarts + 1) * at_once, "{row:?}");
    assert!(number(row, REQUESTS) >= 400, "{row:?}");
}

#[test]
fn a_socket_that_stays_open_loses_no_request() {
    let restarts = size("CROCUS_RESTARTS", "2");
    for row in rows(&experiment(&["kept", "handed"], &restarts, &[])) {
        assert_nothing_is_lost(&row, &restarts, 1);
    }
}

#[test]
fn two_servers_behind_haproxy_lose_no_request() {
    if tool("haproxy").is_none() {
        return;
    }
    let restarts = size("CROCUS_RESTARTS", "1");
    assert_nothing_is_lost(&rows(&experiment(&["proxy"], &restarts, &[]))[0], &restarts, 2);
}

#[test]
fn clients_that_keep_their_connections_lose_none_if_they_are_told_first() {
    let restarts = size("CROCUS_RESTARTS", "1");
    let end = experiment(&["handed"], &restarts, &["--keep-alive", "--stop-delay", "3"]);
    assert_nothing_is_lost(&rows(&end)[0], &restarts, 1);
}

#[test]
fn wrk_loses_no_request_behind_haproxy() {
    if tool("haproxy").is_none() || tool("wrk").is_none() {
        return;
    }
    let end = experiment(&["proxy"], &size("CROCUS_RESTARTS", "1"), &["--wrk"]);
    let rows = rows(&end);
    assert!(number(&rows[0], REQUESTS) > 100, "{rows:?}");
    assert_eq!(number(&rows[0], FAILED), 0, "{rows:?}");
}

/// The servers take an hour at most.
#[test]
fn a_server_that_does_not_start_has_its_error_told() {
    for way in ["alone", "kept"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restart"));
        let end = run(command.args(["--only", way, "--stop-delay", "4000"]));
        assert_eq!(end.code, Some(1), "{end:?}");
        assert!(end.stderr.starts_with("restart: a server did not start: "), "{end:?}");
        assert!(end.stderr.contains("--stop-delay takes seconds, as in 5 or 0.5"), "{end:?}");
    }
}

#[test]
fn bad_usage_is_told_in_a_line() {
    for (args, complaint) in [
        (["--only", "magic"], "--only takes one of alone, kept, handed"),
        (["--rate", "0"], "--rate takes a number from 1 to 100000"),
        (["--away", "x"], "--away takes a number from 0 to 100000"),
        (["--stop-delay", "x"], "--stop-delay takes seconds, as in 2 or 0.5"),
    ] {
        let end = run(Command::new(env!("CARGO_BIN_EXE_restart")).args(args));
        assert!(end.complaint(2).contains(complaint), "{end:?}");
    }
}
