//! redis-server, which keeps its data in memory only.

use std::ffi::OsString;
use std::io;
use std::process::Command;

use super::tools::ask;
use super::{Found, Place, Program, Task};
use crate::service::BACKLOG;

const NAME: &str = "redis-server";

/// As many as fit in a limit of 20,000 descriptors.
const CLIENTS: u32 = 19_000;

struct Redis;

pub(super) fn find() -> Result<Found, String> {
    let said = ask(Command::new(NAME).arg("--version"))?;
    let version = said.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("");
    Ok(Found { version: format!("{NAME} {version}, C"), program: Box::new(Redis) })
}

impl Program for Redis {
    fn serves(&self, service: &str) -> bool {
        service == "resp"
    }

    fn picks_its_port(&self) -> bool {
        false
    }

    fn arguments(&self, _: &Task, place: &Place) -> io::Result<Vec<OsString>> {
        let (host, port) = (place.addr.ip().to_string(), place.addr.port().to_string());
        let (backlog, clients) = (BACKLOG.to_string(), CLIENTS.to_string());
        let options = [
            ("--bind", host.as_str()),
            ("--port", &port),
            ("--save", ""),
            ("--appendonly", "no"),
            ("--daemonize", "no"),
            ("--loglevel", "warning"),
            ("--tcp-backlog", &backlog),
            ("--maxclients", &clients),
        ];
        let mut arguments = vec![NAME.into()];
        arguments.extend(options.iter().flat_map(|(name, value)| [name.into(), value.into()]));
        arguments.extend(["--dir".into(), place.dir.into()]);
        Ok(arguments)
    }
}
