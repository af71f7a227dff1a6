//! Redis itself, beside it: the same requests get the same replies.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use crate::child::{Running, TIME_LIMIT, dial, run, tool};
use crate::{is_sound, rest_of, start, talk};

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
    "CLIENT SETNAME me|CLIENT GETNAME|CLIENT FOO|CLIENT|CLIENT SETNAME|CLIENT SETNAME \"a b\"|CLIENT GETNAME x|CLIENT ID x|CLIENT SETNAME \"\"|CLIENT GETNAME",
    "COMMAND FOO|COMMAND COUNT x|COMMAND DOCS nosuch|COMMAND INFO nosuch",
    "CONFIG|CONFIG GET|CONFIG GET nope|CONFIG GET save|CONFIG GET appendonly|CONFIG GET maxmemory|CONFIG FOO|config get s[a]v?",
    "HELLO x|HELLO 4|HELLO 1|HELLO 2 SETNAME|HELLO 2 FOO x",
    "INFO keyspace|SET a 1|SET b 1|INFO keyspace|INFO nosuch",
    "SETNX a 1|SETNX a 2|GET a|SETEX a 100 v|TTL a|GET a|SETEX a 0 v|SETEX a x v|SETEX a -1 v|PSETEX a 5000 w|TTL a|PSETEX a 0 v|SETEX a 1",
    "SET a 1 EXAT 4102444800|EXPIRETIME a|PEXPIRETIME a|SET a 1 PXAT 4102444800123|PEXPIRETIME a|EXPIRETIME a|SET a 1 PXAT 1|GET a|EXISTS a",
    "SET a 1 EXAT 0|SET a 1 EXAT -1|SET a 1 PXAT x|SET a 1 EXAT 9223372036854775807|SET a 1 EX 5 EXAT 5|SET a 1 EXAT 5 KEEPTTL|SET a 1 EXAT",
    "SET a 1|EXPIREAT a 4102444800|EXPIRETIME a|PEXPIREAT a 4102444800123|PEXPIRETIME a|EXPIREAT a 1|GET a|EXPIREAT no 1|PEXPIREAT a x",
    "SET a 1|EXPIRE a 10 XX|EXPIRE a 10 GT|TTL a|EXPIRE a 10 LT|TTL a|EXPIRE a 5 GT|EXPIRE a 20 GT|TTL a|EXPIRE a 30 LT|EXPIRE a 10 LT|TTL a",
    "SET a 1|EXPIRE a 10 NX|EXPIRE a 20 NX|TTL a|EXPIRE a 20 XX|TTL a|EXPIRE a 5 NX XX|EXPIRE a 5 NX GT|EXPIRE a 5 GT LT|EXPIRE a 5 XX LT|EXPIRE a x NX XX",
    "EXPIRETIME no|PEXPIRETIME no|SET a 1|EXPIRETIME a|PEXPIRETIME a|EXPIRE a -1 NX|EXISTS a|SET a 1|EXPIRE a -1 XX|GET a|EXPIRE a -1 GT|GET a",
    "GETSET a 1|GETSET a 2|GET a|SET a 1 EX 100|GETSET a 3|TTL a|GETDEL a|GETDEL a|GETDEL|GETSET a|GETDEL a b",
    "GETEX a|GETEX a EX x|SET a 1|GETEX a|GETEX a EX 100|TTL a|GETEX a PERSIST|TTL a|GETEX a EX 0|GETEX a EX x|GETEX a PXAT 1|GET a",
    "SET a 1|GETEX a FOO|GETEX a EX|GETEX a EX 5 PX 5|GETEX a PERSIST EX 5|GETEX a KEEPTTL|GETEX|GETEX a EXAT 4102444800|EXPIRETIME a",
    "SET a 1|TYPE a|TYPE no|TYPE|TOUCH a no|UNLINK a no|UNLINK a|EXISTS a|RANDOMKEY|SET one 1|RANDOMKEY|RANDOMKEY x",
    "SCAN 0|SET one 1|SCAN 0|SCAN 0 MATCH o*|SCAN 0 MATCH x*|SCAN 0 TYPE string|SCAN 0 TYPE list|SCAN 0 COUNT 100 MATCH *e",
    "SCAN x|SCAN -x|SCAN 0 COUNT 0|SCAN 0 COUNT x|SCAN 0 COUNT|SCAN 0 FOO|SCAN 0 FOO x|SCAN|SCAN 0 MATCH",
    "SET a 1 EX 100|RENAME a b|TTL b|GET b|EXISTS a|RENAME a b|RENAME no no|RENAME b b|SET c 2|RENAME c b|TTL b|RENAME a",
    "SET a 1|RENAMENX a b|SET a 2|RENAMENX a b|RENAMENX a a|RENAMENX no x|MGET a b|COPY a b|COPY a b REPLACE|GET b|COPY a a|COPY no x",
    "SET a 1 EX 100|COPY a b|TTL b|COPY a b DB x|COPY a b FOO|COPY a b DB|COPY a c DB 0|GET c|COPY a",
    "STRLEN a|APPEND a hello|APPEND a \" you\"|GET a|STRLEN a|STRLEN|APPEND a|SET a 1 EX 100|APPEND a 2|TTL a|INCR a",
    "SET a \"Hello World\"|GETRANGE a 0 3|GETRANGE a 0 -1|GETRANGE a -4 -1|GETRANGE a 5 3|GETRANGE a -3 -5|GETRANGE a -50 -60|GETRANGE a -60 -50",
    "GETRANGE no 0 -1|SET a x|GETRANGE a x 1|GETRANGE a 1 x|GETRANGE a 1 5|GETRANGE a 0 9223372036854775807|GETRANGE a -9223372036854775808 0|GETRANGE a 0",
    "SETRANGE a 0 foo|SETRANGE a 5 bar|GET a|SETRANGE a 0 \"\"|SETRANGE no 4 \"\"|EXISTS no|SETRANGE a -1 x|SETRANGE a x x|SETRANGE a 536870911 xy",
    "SETBIT a 7 1|SETBIT a 7 0|SETBIT a 100 1|STRLEN a|GET a|GETBIT a 100|GETBIT a 101|GETBIT a 5000|SETBIT a -1 1|SETBIT a 1 2|SETBIT a x 1|GETBIT a 4294967296",
    "INCRBYFLOAT n 10.5|INCRBYFLOAT n -10.5|INCRBYFLOAT n 3.0e3|INCRBYFLOAT n abc|INCRBYFLOAT n inf|GET n|SET n x|INCRBYFLOAT n 1|SET n \" 1\"|INCRBYFLOAT n 1",
    "MSETNX a 1 b 2|MSETNX b 3 c 4|MGET a b c|MSETNX a|MSETNX a 1 b",
    "MSET a ohmytext b mynewtext|LCS a b|LCS a b LEN|LCS a b IDX|LCS a b IDX MINMATCHLEN 4|LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN|LCS a no|LCS no no IDX",
    "LCS a|LCS a b LEN IDX|LCS a b FOO|LCS a b MINMATCHLEN|LCS a b MINMATCHLEN x|MSET a aaabbb b abab|LCS a b IDX WITHMATCHLEN|LCS a b",
    "MULTI|SET a 1|INCR a|GET no|EXEC|GET a|EXEC|DISCARD|MULTI|SET a 9|DISCARD|GET a|MULTI x|MULTI|EXEC",
    "MULTI|SET a 1|FOO|SET a 2|EXEC|GET a|MULTI|GET|EXEC|MULTI|MULTI|WATCH a|INCR a|EXEC|MULTI|SET s x|INCR s|GET s|EXEC",
    "WATCH a|SET a 1|MULTI|GET a|EXEC|GET a|WATCH a|MULTI|GET a|EXEC|WATCH a|SET a 2|UNWATCH|MULTI|GET a|EXEC|WATCH|UNWATCH x",
    "SET a 1|WATCH a|GET a|MULTI|GET a|EXEC|WATCH no|DEL no|MULTI|PING|EXEC|WATCH a|FLUSHALL|MULTI|PING|EXEC|WATCH no|FLUSHALL|MULTI|PING|EXEC",
    "WATCH no|SET no 1|DEL no|MULTI|PING|EXEC|SET a 1|WATCH a|EXPIRE a 100|MULTI|PING|EXEC|WATCH a|SET a 1|MULTI|DISCARD|MULTI|PING|EXEC",
    "MULTI|PING|QUIT",
    "HELLO 3|GET no|MGET no no|CONFIG GET save|CONFIG GET nope|SET a 1|INCR a|SET a 1 NX|KEYS *|INFO keyspace|TYPE a|WATCH a|SET a 2|MULTI|EXEC",
    "HELLO 3 SETNAME me|CLIENT GETNAME|HELLO 2|GET no|HELLO 3|LCS a b IDX|COMMAND INFO nosuch|COMMAND DOCS nosuch|SCAN 0|HELLO 4|GETDEL no|ECHO x",
    "FUNCTION FLUSH|FUNCTION FOO",
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

/// Redis, at a socket in a folder of its own: no port that somebody else might take.
struct Redis {
    _program: Running,
    folder: PathBuf,
}

impl Redis {
    fn start() -> Option<Self> {
        let version = run(tool("redis-server")?.arg("--version"));
        if !version.text().contains(" v=7.") && env::var_os("CI").is_none() {
            eprintln!("SKIPPED: the texts are those of Redis 7, this is {}", version.text());
            return None;
        }
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = (process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(format!("crocus-redis-{}-{}", name.0, name.1));
        fs::create_dir(&folder).unwrap();
        let mut command = tool("redis-server")?;
        command.current_dir(env::temp_dir()).args(["--port", "0", "--save", ""]);
        let program = Running::start(command.arg("--unixsocket").arg(folder.join("socket")));
        while !program.line().contains("eady to accept connections") {}
        Some(Self { _program: program, folder })
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.join("socket")).unwrap();
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        stream.set_write_timeout(Some(TIME_LIMIT)).unwrap();
        stream
    }

    fn talk(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        rest_of(stream)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder); // if it fails, it is the system's to clean up
    }
}

#[test]
fn replies_are_those_of_redis_to_the_byte() {
    let Some(redis) = Redis::start() else { return };
    let server = start();
    let mut differences = String::new();
    for lines in SAME {
        let request = lines.replace('|', "\r\n");
        let request = format!("FLUSHALL\r\n{request}\r\nQUIT\r\n").into_bytes();
        let (ours, theirs) = (talk(&server, &request), redis.talk(&request));
        let (ours, theirs) = (without_id(&ours), without_id(&theirs));
        if ours != theirs {
            writeln!(differences, "{lines}\n  here:  {ours}\n  Redis: {theirs}").unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
    server.stop_with_clients();
}

/// A peer that sends and sends after its error: Redis closes at once, this server after 16 MiB.
#[test]
fn a_peer_that_floods_after_an_error_is_closed_as_redis_does() {
    const MOST: usize = 64 * 1024 * 1024; // 16 MiB, and the kernel's buffers
    let Some(redis) = Redis::start() else { return };
    let server = start();
    let theirs = flood(redis.connect(), MOST);
    let ours = flood(dial(server.addr), MOST);
    assert_eq!(ours, theirs, "and the error is there to be read");
    assert_eq!(ours, r"-ERR Protocol error: invalid multibulk length\r\n");
    is_sound(&server);
    server.stop_with_clients();
}

/// Sends no valid request and more, until it cannot; returns the first reply.
fn flood(mut stream: impl Read + Write, most: usize) -> String {
    stream.write_all(b"*x\r\n").unwrap();
    let (piece, mut sent) = ([b'x'; 65536], 0);
    while stream.write_all(&piece).is_ok() {
        sent += piece.len();
        assert!(sent < most, "it reads on: {sent} bytes");
    }
    let mut reply = [0; 200];
    let len = stream.read(&mut reply).unwrap();
    reply[..len].escape_ascii().to_string()
}

/// The replies without the number of the client, which HELLO tells.
fn without_id(replies: &str) -> String {
    let mut parts = replies.split(r"$2\r\nid\r\n:");
    let first = parts.next().unwrap().to_owned();
    parts
        .fold(first, |all, part| all + "id" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}
