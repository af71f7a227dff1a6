//! The load of wrk, a client that others wrote.
//!
//! wrk asks as fast as it is answered. With a delay before each request on each of its connections it comes near to a
//! rate.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::load::Plan;
use crate::process;
use crate::shared::cli::Exit;
use crate::tally::{Outcome, Tally};

const CONNECTIONS: u32 = 100;

/// Has wrk ask for as long as planned.
pub(crate) fn run(plan: &Plan) -> Result<Tally, Exit> {
    let (script, mut file) = process::temporary("wrk.lua")?;
    let pause = CONNECTIONS * 1000 / plan.rate;
    writeln!(file, "function delay() return {pause} end")?;
    let output = Command::new("wrk")
        .args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-d", &format!("{}s", plan.seconds)])
        .args(["--timeout", "20s", "--latency", "-s"])
        .arg(&script)
        .arg(format!("http://{}/", plan.server))
        .stdin(Stdio::null())
        .output();
    // If it is gone, it needs no removing.
    let _ = std::fs::remove_file(&script);
    let output = output.map_err(|error| {
        Exit::Failed(format!("cannot run wrk: {error}; Debian has it in a package"))
    })?;
    count(&String::from_utf8_lossy(&output.stdout))
}

/// Reads what wrk prints.
fn count(text: &str) -> Result<Tally, Exit> {
    let mut tally = Tally::new();
    let unknown = || Exit::Failed(format!("wrk says what is not known here: {text:?}"));
    let requests = text.lines().find_map(|line| line.split_once(" requests in "));
    let requests: u64 =
        requests.and_then(|(count, _)| count.trim().parse().ok()).ok_or_else(unknown)?;
    let number = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
    let refusals = text.lines().find(|line| line.trim_start().starts_with("Non-2xx"));
    let refusals = refusals.map_or(Some(0), number).ok_or_else(unknown)?;
    tally.count(Outcome::Answered, requests.saturating_sub(refusals));
    let mut add = |outcome, count| {
        if count > 0 {
            tally.count(outcome, count);
        }
    };
    add(Outcome::Failed, refusals);
    // "  Socket errors: connect 0, read 3, write 0, timeout 0"
    if let Some(line) =
        text.lines().find_map(|line| line.trim_start().strip_prefix("Socket errors: "))
    {
        for part in line.split(", ") {
            let (kind, count) = part.split_once(' ').ok_or_else(unknown)?;
            let count = count.parse().map_err(|_| unknown())?;
            add(
                match kind {
                    "connect" => Outcome::Refused,
                    "read" => Outcome::Closed,
                    "write" => Outcome::Reset,
                    _ => Outcome::TimedOut,
                },
                count,
            );
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    #[test]
    fn what_wrk_prints_is_understood() {
        let text = "Running 30s test @ http://127.0.0.1:5000/\n  1 threads and 100 connections\n\
                    \x20 29700 requests in 30.03s, 4.50MB read\n\
                    \x20 Socket errors: connect 1, read 2, write 0, timeout 3\n\
                    \x20 Non-2xx or 3xx responses: 4\nRequests/sec:    989.01\n";
        let row = count(text).unwrap().row("wrk");
        assert!(row.contains("| 29706 | 10 | "), "{row}");
        assert!(row.contains("1 refused, 2 closed, 3 timed out, 4 failed otherwise"), "{row}");
        assert!(count("wrk: command failed").is_err());
    }
}
