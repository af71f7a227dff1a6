//! The example `resp_server`: with the clients of Redis, beside Redis itself, and against peers that
//! misbehave.
#![cfg(target_os = "linux")] // memory is read from /proc

/// Brings the unit tests of the example along: cargo runs none in examples.
#[path = "../../examples/resp_server"]
pub(crate) mod example {
    #![allow(dead_code, reason = "only the tests are wanted")]
    pub(crate) mod args;
    pub(crate) mod glob;
    pub(crate) mod inline;
    pub(crate) mod number;
    pub(crate) mod reply;
    pub(crate) mod resp;
    pub(crate) mod store;
}

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Instant;
use std::{env, fs, process};

use crate::child::{Running, Server, TIME_LIMIT, dial, run, tool};
use crate::util::Folder;

const MIB: usize = 1024 * 1024;

fn start() -> Server {
    Server::example("resp_server")
}

/// A server that takes values of up to 1 MiB, and so replies of up to 2 MiB.
fn start_small() -> Server {
    let mut command = crate::child::example("resp_server");
    Server::start(command.args(["--listen", "127.0.0.1:0", "--max-bulk", "1048576"]))
}

/// Sends `request` on a connection of its own, and returns all that comes until the server closes.
fn talk(server: &Server, request: &[u8]) -> String {
    let mut stream = dial(server.addr);
    stream.write_all(request).unwrap();
    rest_of(stream)
}

fn rest_of(mut stream: impl Read) -> String {
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply.escape_ascii().to_string()
}

/// The replies to lines as people type them; the last one has the server close.
fn ask(server: &Server, lines: &str) -> String {
    let replies = talk(server, format!("{lines}\r\nQUIT\r\n").as_bytes());
    replies.strip_suffix(r"+OK\r\n").unwrap().to_owned()
}

/// Reads exactly what is expected.
fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).unwrap();
    assert!(got == expected, "{}", got[..got.len().min(200)].escape_ascii());
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let header = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().fold(header, |all, word| [all, bulk(word)].concat())
}

/// Asks until the reply is as expected.
fn wait_until(server: &Server, line: &str, expected: &str) {
    let end = Instant::now() + TIME_LIMIT;
    loop {
        let reply = ask(server, line);
        if reply == expected {
            return;
        }
        assert!(Instant::now() < end, "{line} is still {reply}");
    }
}

/// Checks that everybody is served as if nothing had happened.
fn is_sound(server: &Server) {
    assert_eq!(
        ask(server, "SET sound yes\r\nGET sound\r\nDEL sound"),
        r"+OK\r\n$3\r\nyes\r\n:1\r\n"
    );
}

// The clients of Redis.

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
        run(&mut fed(command, b"SET name \"two words\"\nGET name\nSTRLEN name\nINFO keyspace\n"));
    assert_eq!(end.code, Some(0));
    let expected =
        "OK\ntwo words\nERR unknown command 'STRLEN', with args beginning with: 'name' \n";
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

// Redis itself.

/// Lines that are sent to this server and to Redis, each entry to empty ones, on one connection.
const SAME: &[&str] = &[
    "PING|PING hello|PING a b|ping|PiNg \"\"|ECHO x|ECHO|ECHO a b|ECHO \"\\x00\\r\\n\"",
    "foo|foo bar baz|foo \"a\\nb\" \"x\\x00y\" |\"\" x|get/|flushdbs|expiree x|\"g\\x05t\" a",
    "SET k v|GET k|SET k w|GET k|GET|GET a b|GET nokey|SET|SET k|set \"\" \"\"|get \"\"",
    "SET a 1 EX 0|SET a 1 EX -1|SET a 1 PX 0|SET a 1 EX 9223372036854775807|SET a 1 PX 9223372036854775807",
    "SET a 1 PX 99999999999999999|SET a 1 EX x|SET a 1 EX 1x|SET a 1 EX|SET a 1 EX 5 PX 5|SET a 1 EX 5 EX 5",
    "SET a 1 NX XX|SET a 1 XX NX|SET a b FOO|SET a 1 KEEPTTL EX 3|SET a 1 EX 3 KEEPTTL|SET a 1 NX EX|SET a 1 FOO EX x",
    "SET a 1 XX|GET a|SET a 1 NX|SET a 2 NX|GET a|SET a 3 XX|GET a|SET a 4 nx px 0|SET a 4 xx nx",
    "SET a 1 GET|SET a 2 GET|GET a|SET a 3 GET NX|SET b 3 GET NX|GET b|SET a 5 XX GET|SET n 5 GET XX|GET n",
    "SET a 1 EX 100|TTL a|SET a 2 KEEPTTL|TTL a|SET a 3|TTL a|SET a 4 ex 100|SET a 5 KEEPTTL GET|TTL a|TTL no|PTTL no",
    "SET a 1 PX 100000|TTL a|SET a 1 EX 100 NX|SET b 1 EX 100 NX|TTL b|TTL|TTL a b|PTTL|MSET a 1|TTL a|PTTL a",
    "SET a 1|EXPIRE a 100|TTL a|PERSIST a|PERSIST a|PERSIST no|TTL a|PEXPIRE a 50000|TTL a|INCR a|TTL a|GET a|DEL a|TTL a",
    "EXPIRE no 100|EXPIRE no x|SET a 1|EXPIRE a x|EXPIRE a|EXPIRE a 9223372036854775807|PEXPIRE a 9223372036854775807",
    "SET a 1|EXPIRE a 10 FOO|EXPIRE a -9223372036854775808|EXPIRE a 0|GET a|SET a 1|PEXPIRE a -5|EXISTS a|EXPIRE a 0",
    "SET a 1|SET b 1|DEL a b c|DEL a|DEL|EXISTS a|SET a 1|EXISTS a a b|EXISTS",
    "INCR n|INCR n|DECR n|INCRBY n 100|DECRBY n 50|GET n|INCRBY n -51|INCR n x|INCR|INCRBY n|DECRBY n",
    "SET n 9223372036854775807|INCR n|INCRBY n 1|DECR n|INCRBY n -9223372036854775808|DECRBY n -9223372036854775808",
    "SET n -9223372036854775808|DECR n|INCRBY n x|DECRBY n x|INCRBY n 9223372036854775808|GET n|DECRBY n 9223372036854775807",
    "SET n abc|INCR n|SET n 01|INCR n|SET n \" 1\"|INCR n|SET n \"\"|INCR n|SET n -0|INCR n|SET n 1.0|INCR n|SET n +1|INCR n",
    "MSET a 1 b 2|MGET a b c a|MGET|MSET a|MSET a 1 b|MSET|MSET a 1 a 2|GET a",
    "DBSIZE|SET a 1|DBSIZE|DBSIZE x|FLUSHDB|DBSIZE|FLUSHDB x|FLUSHDB ASYNC|FLUSHDB SYNC|FLUSHALL|FLUSHDB SYNC x",
    "KEYS|KEYS *|SET h[e]llo 1|KEYS *|KEYS h[[]*|KEYS h?e?llo|KEYS h\\\\[e]llo|KEYS [^h]*|KEYS [a-z]\\\\[*|KEYS h*x|KEYS",
    "SELECT 0|SELECT 99|SELECT x|SELECT -1|SELECT",
    "CLIENT SETNAME me|CLIENT FOO|CLIENT|CLIENT SETNAME|COMMAND FOO|COMMAND COUNT x|COMMAND DOCS nosuch",
    "CONFIG|CONFIG GET|CONFIG GET nope|CONFIG GET save|CONFIG GET appendonly|CONFIG GET maxmemory|CONFIG FOO|config get s[a]v?",
    "HELLO x|HELLO 4|HELLO 1|HELLO 2 SETNAME|HELLO 2 FOO x",
    "INFO keyspace|SET a 1|SET b 1|INFO keyspace|INFO nosuch",
    "||  |PING|\"PING\"|'PING' 'it\\'s'|PI\"NG\"|  PING  ",
    "PING 'a'b",
    "PING \"a",
    "PING 'a",
    "PING \"a\"\"b\"",
    "SET a 1|QUIT|GET a",
    "QUIT x|PING",
    "*-1|*0|PING",
    "*x",
    "*",
    "*+1",
    "*01",
    "*1000000000000",
    "*2147483648",
    "*1|$4|PING|*2|$3|GET|$1|a",
    "*3|$3|SET|foo",
    "*1||PING",
    "*1|:4",
    "*1|$-1",
    "*1|$x",
    "*1|$",
    "*1|$+4",
    "*1|$2147483647",
    "*1|$04",
    "*1|$99999999999999999999999",
    "*3|$3|sEt|$1|k|$0||*2|$3|gEt|$1|k",
];

/// Redis, at a socket in the file system: no port that somebody else might take.
struct Redis {
    _program: Running,
    folder: Folder,
}

impl Redis {
    fn start() -> Option<Self> {
        let version = run(tool("redis-server")?.arg("--version"));
        if !version.text().contains(" v=7.") && env::var_os("CI").is_none() {
            eprintln!("SKIPPED: the texts are those of Redis 7, this is {}", version.text());
            return None;
        }
        let folder = Folder::new();
        let mut command = tool("redis-server")?;
        command.current_dir(env::temp_dir()).args(["--port", "0", "--save", ""]);
        let program = Running::start(command.arg("--unixsocket").arg(folder.path()));
        while !program.line().contains("eady to accept connections") {}
        Some(Self { _program: program, folder })
    }

    fn talk(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.folder.path()).unwrap();
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        stream.write_all(request).unwrap();
        rest_of(stream)
    }
}

#[test]
fn replies_are_those_of_redis_to_the_byte() {
    let Some(redis) = Redis::start() else { return };
    let server = start();
    for lines in SAME {
        let request = lines.replace('|', "\r\n");
        let request = format!("FLUSHALL\r\n{request}\r\nQUIT\r\n").into_bytes();
        assert_eq!(talk(&server, &request), redis.talk(&request), "{lines}");
    }
    server.stop_with_clients();
}

// Bytes.

#[test]
fn a_request_byte_by_byte_is_the_same_request() {
    let server = start();
    let mut stream = dial(server.addr);
    let words: [&[u8]; 3] = [b"SET", b"key", b"a\r\nvalue"];
    for byte in [request(&words), b"GET key\r\n".to_vec(), request(&[b"GET", b"key"])].concat() {
        stream.write_all(&[byte]).unwrap();
    }
    expect(&mut stream, b"+OK\r\n$8\r\na\r\nvalue\r\n$8\r\na\r\nvalue\r\n");
    drop(stream);
    server.stop_with_clients();
}

#[test]
fn a_pipeline_is_answered_in_order_however_it_is_cut() {
    let server = start();
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for number in 0..1000 {
        let text = format!("{number}");
        if number % 3 == 0 {
            requests.extend(format!("ECHO {text}\r\n").into_bytes());
        } else {
            requests.extend(request(&[b"echo", text.as_bytes()]));
        }
        replies.extend(bulk(text.as_bytes()));
    }
    for size in [1, 7, 100, 4096, requests.len()] {
        let mut stream = dial(server.addr);
        for chunk in requests.chunks(size) {
            stream.write_all(chunk).unwrap();
        }
        expect(&mut stream, &replies);
    }
    is_sound(&server);
}

#[test]
fn nonsense_gets_an_error_and_an_orderly_end() {
    let server = start();
    let endless = [b'x'; 100_000];
    let garbage: Vec<u8> = (0..=255).cycle().skip(b'*'.into()).take(100_000).collect();
    for (bytes, error) in [
        (&b"*1\r\n$2147483647\r\n"[..], "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1000000000\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*1\r\n$4\r\nPINGPONG", "expected CRLF after the bulk string"),
        (b"PING 'a\r\n", "unbalanced quotes in request"),
        (&endless, "too big inline request"),
        (&garbage, "invalid multibulk length"),
        (b"*2000000\r\n$536870912\r\n", "invalid multibulk length"),
    ] {
        let expected = format!(r"+PONG\r\n-ERR Protocol error: {error}\r\n");
        let expected = expected.replace('\'', r"\'");
        // The server throws away the rest. No reset may destroy the error that it has sent.
        let all = [b"PING\r\n", bytes, &[b'y'; 300_000]].concat();
        assert_eq!(talk(&server, &all), expected);
        is_sound(&server);
    }
    server.stop_with_clients();
}

#[test]
fn a_request_longer_than_allowed_is_refused_by_its_headers() {
    let server = start_small();
    let three =
        [&b"*4\r\n$4\r\nMSET\r\n"[..], &bulk(&vec![b'x'; MIB]), &bulk(b"y"), b"$1048576\r\n"];
    assert_eq!(talk(&server, &three.concat()), r"-ERR Protocol error: too big request\r\n");
    is_sound(&server);
    server.stop_with_clients();
}

#[test]
fn only_whole_requests_are_answered() {
    let server = start();
    let whole = request(&[b"SET", b"key", b"value"]);
    for len in 0..whole.len() {
        let mut stream = dial(server.addr);
        stream.write_all(&[b"PING\r\n", &whole[..len]].concat()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest_of(stream), r"+PONG\r\n", "{len}");
    }
    assert_eq!(ask(&server, "GET key"), r"$-1\r\n");
    server.stop_with_clients();
}

#[test]
fn a_web_page_cannot_give_commands() {
    let server = start();
    let page = b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET key value\r\n";
    assert_eq!(talk(&server, page), "");
    assert_eq!(ask(&server, "GET key"), r"$-1\r\n");
}

// Memory.

#[test]
fn lengths_that_are_only_promised_take_no_memory() {
    let server = start();
    is_sound(&server);
    let before = server.peak_memory();
    let mut liars = Vec::new();
    for _ in 0..20 {
        let mut stream = dial(server.addr);
        stream.write_all(b"PING\r\n*1000000\r\n$536870912\r\nabc").unwrap();
        expect(&mut stream, b"+PONG\r\n");
        liars.push(stream);
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 4 * MIB, "{grown} bytes for promises");
    is_sound(&server);
}

#[test]
fn requests_of_a_peer_that_never_reads_wait() {
    const VALUE: usize = MIB;
    let server = start();
    let mut stream = dial(server.addr);
    stream.write_all(&request(&[b"SET", b"big", &[b'x'; VALUE]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    let before = server.peak_memory();
    stream.write_all(&b"GET big\r\n".repeat(10_000)).unwrap();
    expect(&mut stream, b"$1048576\r\n"); // so it is at work
    for _ in 0..100 {
        is_sound(&server);
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 12 * VALUE, "{grown} bytes for a peer that does not read");
    // It goes on where it left off.
    let reply = bulk(&[b'x'; VALUE]);
    expect(&mut stream, &reply[10..]);
    for _ in 0..20 {
        expect(&mut stream, &reply);
    }
    drop(stream);
    is_sound(&server);
}

#[test]
fn requests_that_waited_are_all_answered_before_the_end() {
    const VALUE: usize = 300_000;
    let server = start();
    let mut stream = dial(server.addr);
    let set = request(&[b"SET", b"big", &[b'x'; VALUE]]);
    stream.write_all(&[set, b"GET big\r\n".repeat(100)].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    expect(&mut stream, b"+OK\r\n");
    for _ in 0..100 {
        expect(&mut stream, &bulk(&[b'x'; VALUE]));
    }
    assert_eq!(rest_of(stream), "");
    is_sound(&server);
}

#[test]
fn a_short_request_cannot_have_a_reply_of_any_length() {
    let server = start_small();
    let mut stream = dial(server.addr);
    stream.write_all(&request(&[b"SET", b"big", &[b'x'; MIB]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    let before = server.peak_memory();
    stream.write_all(format!("MGET{}\r\nPING\r\n", " big".repeat(10_000)).as_bytes()).unwrap();
    expect(&mut stream, b"-ERR the reply is longer than 2097152 bytes\r\n+PONG\r\n");
    let grown = server.peak_memory() - before;
    assert!(grown < 12 * MIB, "{grown} bytes");
}

// Time.

#[test]
fn keys_end_when_they_should_whether_or_not_anybody_asks() {
    let server = start();
    assert_eq!(
        ask(&server, "SET a 1 PX 30\r\nSET b 1\r\nPEXPIRE b 60\r\nSET c 1"),
        r"+OK\r\n+OK\r\n:1\r\n+OK\r\n"
    );
    wait_until(&server, "GET a", r"$-1\r\n");
    // DBSIZE counts what is in memory: only the timer makes it less.
    wait_until(&server, "DBSIZE", r":1\r\n");
    assert_eq!(ask(&server, "EXISTS a b c"), r":1\r\n");
    server.stop_with_clients();
}

#[test]
fn keys_end_one_after_the_other_while_nobody_is_connected() {
    let mut command = crate::child::example("resp_server");
    // The allocator shall give back what was freed, instead of learning to keep it.
    command.env("MALLOC_MMAP_THRESHOLD_", "131072");
    let server = Server::start(command.args(["--listen", "127.0.0.1:0"]));
    let mut stream = dial(server.addr);
    for number in 0..40 {
        let (key, time) = (format!("key {number}"), format!("{}", 100 + 2 * number));
        let words: [&[u8]; 5] = [b"SET", key.as_bytes(), &[b'x'; MIB], b"PX", time.as_bytes()];
        stream.write_all(&request(&words)).unwrap();
    }
    expect(&mut stream, &b"+OK\r\n".repeat(40));
    drop(stream);
    let end = Instant::now() + TIME_LIMIT;
    while server.memory() > 20 * MIB {
        assert!(Instant::now() < end, "only requests end keys");
    }
    wait_until(&server, "DBSIZE", r":0\r\n");
}

#[test]
fn thousands_of_keys_end_together() {
    let server = start();
    let mut requests = String::new();
    for number in 0..5000 {
        write!(requests, "SET key{number} value PX {}\r\n", 50 + number % 7).unwrap();
    }
    assert_eq!(ask(&server, requests.trim_end()).matches("OK").count(), 5000);
    wait_until(&server, "DBSIZE", r":0\r\n");
    server.stop_with_clients();
}

#[test]
fn a_key_can_end_sooner_and_a_flush_forgets_it() {
    let server = start();
    ask(&server, "SET late v EX 1000\r\nSET k v EX 1000\r\nPEXPIRE k 20");
    wait_until(&server, "DBSIZE", r":1\r\n");
    ask(&server, "SET k v PX 20\r\nFLUSHDB\r\nSET k v");
    ask(&server, "SET other v PX 40");
    wait_until(&server, "DBSIZE", r":1\r\n");
    assert_eq!(ask(&server, "GET k\r\nTTL k"), r"$1\r\nv\r\n:-1\r\n");
}

// The program.

#[test]
fn replies_are_sent_before_a_stop() {
    const VALUE: usize = 10_000;
    let server = start();
    let mut stream = dial(server.addr);
    stream.write_all(&request(&[b"SET", b"k", &[b'x'; VALUE]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    stream.write_all(&b"GET k\r\n".repeat(2000)).unwrap();
    let reply = bulk(&[b'x'; VALUE]);
    expect(&mut stream, &reply);
    server.program.signal("TERM");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.chunks(reply.len()).all(|one| one == reply), "a reply was cut off");
    drop(stream);
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn a_stop_ends_idle_clients_in_order() {
    let server = start();
    let mut stream = dial(server.addr);
    stream.write_all(b"PING\r\n").unwrap();
    expect(&mut stream, b"+PONG\r\n");
    server.program.signal("TERM");
    assert_eq!(rest_of(stream), "");
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn wrong_limits_are_told() {
    for value in ["0", "x", "-1", "1073741825", ""] {
        let end = run(crate::child::example("resp_server").args(["--max-bulk", value]));
        assert!(end.complaint(2).contains("--max-bulk takes a number of bytes"), "{end:?}");
    }
    let end = run(crate::child::example("resp_server").arg("--nonsense"));
    assert!(end.complaint(2).contains("--nonsense"), "{end:?}");
    let end = run(crate::child::example("resp_server").arg("--help"));
    assert!(end.code == Some(0) && end.text().contains("--max-bulk"), "{end:?}");
}
