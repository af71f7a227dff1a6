//! Clients that others wrote: redis-py, node-redis and ioredis run a session each. Their scripts are in
//! `tests/clients`.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::child::{Server, run, tool};
use crate::start;

/// Runs a script, if `check` says that what it imports is installed.
fn session(interpreter: &str, check: &[&str], script: &str) {
    let server = start();
    session_with(&server, interpreter, check, script, &[]);
    server.stop_with_clients();
}

/// The same with a server that is there, and arguments behind its port.
pub(crate) fn session_with(
    server: &Server,
    interpreter: &str,
    check: &[&str],
    script: &str,
    arguments: &[&str],
) {
    let Some(mut command) = tool(interpreter) else { return };
    if run(Command::new(interpreter).args(check)).code != Some(0) {
        assert!(env::var_os("CI").is_none(), "{check:?} fails, and this is CI");
        eprintln!("SKIPPED: {interpreter} {check:?} fails");
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let end = run(command.arg(path).arg(server.addr.port().to_string()).args(arguments));
    assert_eq!((end.code, end.text()), (Some(0), "as expected\n"), "{}", end.stderr);
}

#[test]
fn redis_py_runs_a_session_in_both_versions_of_the_protocol() {
    session("python3", &["-c", "import redis"], "redis_py.py");
}

#[test]
fn node_redis_runs_a_session_in_both_versions_of_the_protocol() {
    session("node", &["-e", "require('redis')"], "node_redis.js");
}

#[test]
fn ioredis_runs_a_session() {
    session("node", &["-e", "require('ioredis')"], "ioredis.js");
}
