//! redis-benchmark as the clients of a server of Redis' protocol.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::session::client_cores;
use crate::sys;

pub const PROGRAM: &str = "redis-benchmark";

/// Of one request at a time, so many are answered in a second on the machine it was written on, to
/// within a factor of two: enough to choose how many to send.
const REQUESTS_PER_SECOND: f64 = 100_000.0;

/// How many connections it has.
const CLIENTS: &str = "64";

/// How long it may take, under valgrind too. It waits for an answer that does not come for ever.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The interval for checking whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// The cost of a run.
#[derive(Debug)]
pub struct Ran {
    pub seconds: f64,
    /// Seconds of its own CPU time.
    pub cpu: f64,
}

pub fn is_there() -> bool {
    Command::new(PROGRAM).arg("--version").output().is_ok()
}

/// How many requests last about so long.
pub fn requests(pipeline: u64, seconds: f64) -> u64 {
    (REQUESTS_PER_SECOND * seconds * if pipeline > 1 { 10.0 } else { 1.0 }) as u64
}

/// Runs it. redis-benchmark checks that answers come, but not their contents.
///
/// # Errors
///
/// If it is not there, or says that something went wrong, or does not end.
pub fn run(server: SocketAddr, test: &str, pipeline: u64, requests: u64) -> io::Result<Ran> {
    let mut command = Command::new(PROGRAM);
    command.args(["-h", &server.ip().to_string(), "-p", &server.port().to_string()]);
    command.args(["-t", test, "-c", CLIENTS, "-P", &pipeline.to_string()]);
    command.args(["-n", &requests.to_string(), "-r", "100000", "--csv"]);
    sys::prepare(&mut command, client_cores());
    let own = sys::children_cpu_time();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    let said = ask(child.map_err(|error| io::Error::other(format!("{command:?}: {error}")))?)?;
    let cpu = sys::children_cpu_time() - own;
    let rate = rate(&said).ok_or_else(|| io::Error::other(format!("{PROGRAM} says {said:?}")))?;
    Ok(Ran { seconds: requests as f64 / rate, cpu: cpu.as_secs_f64() })
}

/// Waits for its end; returns its output: a few lines, for which a pipe has room.
fn ask(mut child: Child) -> io::Result<String> {
    let deadline = Instant::now() + TIME_LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("{PROGRAM} has not ended after {TIME_LIMIT:?}")));
        }
        thread::sleep(LOOK);
    }
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    Ok(said)
}

/// How many requests per second there were: the second column, below its heading.
fn rate(said: &str) -> Option<f64> {
    let mut lines = said.lines().skip_while(|line| !line.contains("\"rps\""));
    let figures = lines.nth(1)?;
    let rate = figures.split(',').nth(1)?.trim_matches('"').parse().ok();
    rate.filter(|&rate| rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_below_its_heading() {
        let said = "WARNING: Could not fetch server CONFIG\n\
                    \"test\",\"rps\",\"avg_latency_ms\"\n\"GET\",\"125000.00\",\"0.255\"\n";
        assert_eq!(rate(said), Some(125_000.0));
        assert_eq!(rate("\"test\",\"rps\"\n"), None);
        assert_eq!(rate("Error: Connection reset by peer"), None);
    }
}
