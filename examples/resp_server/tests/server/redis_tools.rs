//! Redis' own tools: `redis-cli` and `redis-benchmark`.

use std::process::Command;
use std::{env, fs, process};

use crate::child::{Running, Server, run, tool};
use crate::{ask, is_sound, request, start};

fn redis_cli(server: &Server) -> Option<Command> {
    let mut command = tool("redis-cli")?;
    command.args(["-h", "127.0.0.1", "-p", &server.addr.port().to_string()]);
    Some(command)
}

#[test]
fn redis_cli_shows_what_it_shows_of_redis() {
    let server = start();
    for (words, expected) in [
        ("PING", "PONG"),
        ("SET greeting hello", "OK"),
        ("GET greeting", "hello"),
        ("GET nothing", ""),
        ("INCRBY count 41", "41"),
        ("INCR count", "42"),
        ("MSET a 1 b 2", "OK"),
        ("MGET a nothing b", "1\n\n2"),
        ("EXPIRE a 100", "1"),
        ("TTL a", "100"),
        ("KEYS [ab]", "a\nb"),
        ("DBSIZE", "4"),
        ("INCR greeting", "ERR value is not an integer or out of range\n"),
        ("NONSENSE x", "ERR unknown command 'NONSENSE', with args beginning with: 'x' \n"),
        ("-3 PING", "PONG"),
        ("FLUSHDB", "OK"),
    ] {
        let Some(mut command) = redis_cli(&server) else { return };
        let end = run(command.args(words.split(' ')));
        let mut lines: Vec<&str> = end.text().trim_end_matches('\n').split('\n').collect();
        if words.starts_with("KEYS") {
            lines.sort_unstable();
        }
        assert_eq!(
            (end.code, lines.join("\n").trim_end()),
            (Some(0), expected.trim_end()),
            "{words}"
        );
    }
    server.stop_with_clients();
}

#[test]
fn redis_cli_takes_a_session_from_its_standard_input() {
    let server = start();
    let Some(command) = redis_cli(&server) else { return };
    let end =
        run(&mut fed(command, b"SET name \"two words\"\nGET name\nLPUSH name x\nINFO keyspace\n"));
    assert_eq!(end.code, Some(0));
    let expected =
        "OK\ntwo words\nERR unknown command 'LPUSH', with args beginning with: 'name' 'x' \n";
    assert!(end.text().starts_with(expected), "{end:?}");
    assert!(end.text().contains("db0:keys=1,expires=0"), "{end:?}");
    server.stop_with_clients();
}

#[test]
fn redis_cli_pipes_a_hundred_thousand_requests_in() {
    let server = start();
    let Some(mut command) = redis_cli(&server) else { return };
    let mut requests = Vec::new();
    for number in 0..100_000 {
        requests.extend(request(&[b"SET", format!("key {number}").as_bytes(), b"value\r\n"]));
    }
    command.arg("--pipe");
    let end = run(&mut fed(command, &requests));
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.text().ends_with("errors: 0, replies: 100000\n"), "{end:?}");
    assert_eq!(ask(&server, "DBSIZE"), r":100000\r\n");
    server.stop_with_clients();
}

/// The command with these bytes on its standard input, by way of a file.
fn fed(command: Command, input: &[u8]) -> Command {
    let name = format!("crocus-resp-{}-{}", process::id(), input.len());
    let path = env::temp_dir().join(name);
    fs::write(&path, input).unwrap();
    let mut shell = Command::new("sh");
    // The file is gone as soon as it is open.
    shell.args(["-c", r#"exec < "$0"; rm "$0"; exec "$@""#]);
    shell.arg(path).arg(command.get_program()).args(command.get_args());
    shell
}

#[test]
fn redis_benchmark_runs_without_a_warning() {
    let server = start();
    for pipeline in ["1", "16"] {
        let Some(mut command) = tool("redis-benchmark") else { return };
        let port = server.addr.port().to_string();
        let tests = "ping_inline,ping_mbulk,set,get,incr,mset";
        let end = run(command.args(["-p", &port, "-t", tests, "-n", "1000", "-q", "-P", pipeline]));
        assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{end:?}");
        assert_eq!(end.text().matches("requests per second").count(), 6, "{end:?}");
        assert!(!end.text().contains("WARNING") && !end.text().contains("rror"), "{end:?}");
    }
    is_sound(&server);
    server.stop_with_clients();
}

#[test]
fn redis_cli_shows_help_and_the_table_that_it_comes_from() {
    let server = start();
    let Some(command) = redis_cli(&server) else { return };
    let end = run(&mut fed(command, b"help set\nhelp @transactions\nhelp lpush\n"));
    let text = end.text();
    for expected in ["key value [NX|XX] [GET] [EX", "Sets the value of a key.", "MULTI", "WATCH"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    assert!(!text.contains("LPUSH") && !text.contains("since:"), "the help of Redis: {text}");
    for words in ["COMMAND COUNT", "COMMAND LIST", "COMMAND INFO get nonsense", "-3 COMMAND DOCS"] {
        let Some(mut command) = redis_cli(&server) else { return };
        let end = run(command.args(words.split(' ')));
        let is_number = end.text().trim().parse::<usize>().is_ok_and(|count| count > 50);
        assert!(is_number || end.text().contains("get"), "{words}: {end:?}");
    }
    server.stop_with_clients();
}

#[test]
fn redis_cli_shows_statistics_again_and_again() {
    let server = start();
    assert_eq!(ask(&server, "SET key 0123456789"), r"+OK\r\n");
    let Some(mut command) = redis_cli(&server) else { return };
    let statistics = Running::start(command.args(["-i", "0.001", "--stat"]));
    for expected in ["data", "keys", "1          13B      1       0 "] {
        let line = statistics.line();
        assert!(line.contains(expected), "{line} has no {expected}");
    }
    drop(statistics);
    server.stop_with_clients();
}
