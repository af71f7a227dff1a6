//! Redis' own test suite, from Redis' source: `REDIS_SOURCE` says where that is.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::child::{Running, tool};
use crate::start;

/// The units, and how many of their tests pass: all but those in `tests/not_reached.txt`.
const UNITS: [(&str, usize); 6] = [
    ("quit", 3),
    ("protocol", 15),
    ("type/incr", 21),
    ("type/string", 70),
    ("keyspace", 33),
    ("expire", 57),
];

#[test]
fn the_test_suite_of_redis_passes_but_for_what_is_not_reached() {
    let Some(source) = env::var_os("REDIS_SOURCE") else {
        eprintln!("SKIPPED: REDIS_SOURCE does not say where the source of Redis 7.0 is");
        return;
    };
    let Some(_) = tool("tclsh") else { return };
    let server = start();
    let not_reached = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/not_reached.txt");
    for (unit, passing) in UNITS {
        let mut command = Command::new("./runtest");
        command.current_dir(&source).args(["--single", &format!("unit/{unit}")]);
        command.args(["--host", "127.0.0.1", "--port", &server.addr.port().to_string()]);
        command.args(["--singledb", "--ignore-encoding", "--ignore-digest", "--durable"]);
        let suite = Running::start(command.arg("--skipfile").arg(&not_reached));
        let mut passed = 0;
        loop {
            let line = suite.line();
            println!("{line}");
            assert!(!line.contains("The following tests failed"), "{unit}");
            passed += usize::from(line.starts_with("[\x1b[0;32;49mok\x1b[0m]: "));
            if line.contains("All tests passed") {
                break;
            }
        }
        assert_eq!((suite.finish().code, passed), (Some(0), passing), "{unit}");
    }
    server.stop_with_clients();
}
