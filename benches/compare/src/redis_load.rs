//! redis-benchmark as the clients of a server of Redis' protocol.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::session::CLIENT_CORE;
use crate::sys;

/// Of one request at a time, so many are answered in a second on the machine it was written on, to
/// within a factor of two: enough to choose how many to send.
const REQUESTS_PER_SECOND: f64 = 100_000.0;

/// How many connections it has.
const CLIENTS: &str = "64";

/// What a run took.
pub struct Ran {
    pub seconds: f64,
    /// Seconds of its own CPU time.
    pub cpu: f64,
}

/// How many requests last about so long.
pub fn requests(pipeline: u64, seconds: f64) -> u64 {
    (REQUESTS_PER_SECOND * seconds * if pipeline > 1 { 10.0 } else { 1.0 }) as u64
}

/// Runs it. It checks that each answer is one, and not what it says.
///
/// # Errors
///
/// If it is not there, or says that something went wrong.
pub fn run(server: SocketAddr, test: &str, pipeline: u64, requests: u64) -> io::Result<Ran> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", &server.ip().to_string(), "-p", &server.port().to_string()]);
    command.args(["-t", test, "-c", CLIENTS, "-P", &pipeline.to_string()]);
    command.args(["-n", &requests.to_string(), "-r", "100000", "--csv"]);
    sys::prepare(&mut command, vec![CLIENT_CORE]);
    let (began, own) = (Instant::now(), sys::children_cpu_time());
    let output = command.stdin(Stdio::null()).output()?;
    let (seconds, cpu) = (began.elapsed(), sys::children_cpu_time() - own);
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !said.contains("\"rps\"") {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("redis-benchmark: {} {errors}", output.status)));
    }
    Ok(Ran { seconds: seconds.as_secs_f64(), cpu: cpu.as_secs_f64() })
}
