//! HAProxy in front of two servers.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{self, PATIENCE, Process};
use crate::shared::cli::Exit;

/// The page whose configuration is used.
const PAGE: &str = include_str!("../../../docs/production.md");

/// The addresses in it, which are replaced: the public one, those of the servers, and the administrator's socket.
const PUBLIC: &str = "bind :80";
const SERVERS: [&str; 2] = ["127.0.0.1:5001", "127.0.0.1:5002"];
const SOCKET: &str = "/run/haproxy/admin.sock";

/// For how long it has to see a server well before the next one is restarted: longer than two checks, for it may not have
/// noticed yet that the server was away.
const STEADY: Duration = Duration::from_millis(1500);

/// How often to look.
const LOOK: Duration = Duration::from_millis(20);

/// How much of the configuration is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    Whole,
    /// Without retries.
    HealthOnly,
    /// Without retries and without a request for the health: HAProxy connects to see whether a server is there.
    Plain,
}

/// The lines that [`Extent::HealthOnly`] and [`Extent::Plain`] leave out, by their beginnings.
const RETRIES: [&str; 3] = ["option redispatch", "retry-on", "http-request disable-l7-retry"];
const HEALTH: [&str; 2] = ["option httpchk", "http-check"];

#[derive(Debug)]
pub(crate) struct Proxy {
    _process: Process,
    config: PathBuf,
    socket: PathBuf,
    pub(crate) addr: SocketAddr,
}

impl Proxy {
    /// Starts HAProxy, and waits until it sees both servers well.
    pub(crate) fn start(extent: Extent, servers: [SocketAddr; 2]) -> Result<Self, Exit> {
        let addr = process::free_port()?;
        let (config, mut file) = process::temporary(&format!("{}.cfg", addr.port()))?;
        let socket = config.with_extension("sock");
        let text = configuration(extent)?
            .replace(PUBLIC, &format!("bind {addr}"))
            .replace(SERVERS[0], &servers[0].to_string())
            .replace(SERVERS[1], &servers[1].to_string())
            .replace(SOCKET, &socket.display().to_string());
        file.write_all(text.as_bytes())?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&config);
        let log = fs::File::create(config.with_extension("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Process::start(&mut command)?;
        let proxy = Self { _process: process, config, socket, addr };
        for place in 0..servers.len() {
            proxy.wait_for(place)?;
        }
        Ok(proxy)
    }

    /// Waits until HAProxy sees a server well, and has seen it so for some checks.
    pub(crate) fn wait_until_steady(&self, place: usize) -> Result<(), Exit> {
        let mut since = Instant::now();
        let end = since + PATIENCE;
        while since.elapsed() < STEADY {
            thread::sleep(LOOK);
            if !self.is_well(place) {
                since = Instant::now();
            }
            if Instant::now() > end {
                return Err(Exit::Failed("HAProxy does not see that a server is back".to_owned()));
            }
        }
        Ok(())
    }

    /// Waits until HAProxy sees a server well.
    fn wait_for(&self, place: usize) -> Result<(), Exit> {
        let end = Instant::now() + PATIENCE;
        while !self.is_well(place) {
            if Instant::now() > end {
                let log = fs::read_to_string(self.config.with_extension("log")).unwrap_or_default();
                let alerts = log.lines().filter(|line| line.starts_with("[ALERT]"));
                let alerts = alerts.collect::<Vec<_>>().join("; ");
                return Err(Exit::Failed(format!("HAProxy sees no server well: {alerts}")));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Whether HAProxy sees a server well, by a check that it has made. (Before the first one it takes it for well.)
    fn is_well(&self, place: usize) -> bool {
        let Ok(table) = self.ask("show stat") else { return false };
        let mut lines = table.trim_start_matches("# ").lines();
        let names: Vec<_> = lines.next().unwrap_or_default().split(',').collect();
        let mut servers = lines.filter_map(|line| {
            let of = |wanted: &str| {
                let column = names.iter().position(|name| *name == wanted)?;
                line.split(',').nth(column)
            };
            let is_server = !["FRONTEND", "BACKEND"].contains(&of("svname")?);
            let is_checked = of("check_status").is_some_and(|status| status.ends_with("OK"));
            is_server.then(|| of("status") == Some("UP") && is_checked)
        });
        servers.nth(place) == Some(true)
    }

    /// Asks by the administrator's socket.
    fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        writeln!(socket, "{command}")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // If they are gone, they need no removing.
        let _ = fs::remove_file(&self.config);
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(self.config.with_extension("log"));
    }
}

/// The configuration of the page, or a part of it.
fn configuration(extent: Extent) -> Result<String, Exit> {
    let begun = PAGE.split_once("```haproxy\n").map(|(_, rest)| rest);
    let block = begun.and_then(|rest| rest.split_once("\n```")).map(|(block, _)| block);
    let block = block.ok_or_else(|| Exit::Failed("the page has no configuration".to_owned()))?;
    let is_left_out = |line: &str| {
        let line = line.trim_start();
        let begins = |beginnings: &[&str]| beginnings.iter().any(|begin| line.starts_with(begin));
        match extent {
            Extent::Whole => false,
            Extent::HealthOnly => begins(&RETRIES),
            Extent::Plain => begins(&RETRIES) || begins(&HEALTH),
        }
    };
    let mut text = String::new();
    for line in block.lines().filter(|line| !is_left_out(line)) {
        // To a text: cannot fail.
        let _ = match extent {
            Extent::HealthOnly => writeln!(text, "{}", line.replace("retries 3", "retries 0")),
            _ => writeln!(text, "{line}"),
        };
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    #[test]
    fn the_page_has_every_line_that_is_replaced_or_left_out() {
        let text = configuration(Extent::Whole).unwrap();
        for part in [PUBLIC, SERVERS[0], SERVERS[1], SOCKET, "retries 3"]
            .iter()
            .chain(&RETRIES)
            .chain(&HEALTH)
        {
            assert!(text.contains(part), "{part}");
        }
        let told = configuration(Extent::HealthOnly).unwrap();
        assert!(
            told.contains("retries 0") && !told.contains("retry-on") && told.contains("httpchk")
        );
        assert!(!configuration(Extent::Plain).unwrap().contains("httpchk"));
    }
}
