//! Commands about the server and the connection. Many clients send them on their own at the start.

use std::time::Instant;

use crate::args::Args;
use crate::commands::{COUNT, NOT_INTEGER, Server, wrong_number};
use crate::glob;
use crate::number::integer;

/// The version of Redis that this imitates. Clients choose their commands by it.
const VERSION: &str = "7.0.15";

/// The reply to CONFIG GET, in the order of Redis' replies: nothing is kept on disk, and no key is
/// evicted when memory runs short.
const CONFIG: [(&str, &str); 5] = [
    ("appendonly", "no"),
    ("databases", "1"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("save", ""),
];

/// The counts that INFO reports.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) started: Instant,
    pub(crate) port: u16,
    /// Connections that are open, and all since the start.
    pub(crate) clients: u64,
    pub(crate) connections: u64,
    /// Commands executed, unknown ones included.
    pub(crate) commands: u64,
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// There is one database.
pub(crate) fn select(server: &mut Server, args: Args<'_>) {
    match integer(&args[1]) {
        Some(0) => server.replies.ok(),
        Some(_) => server.replies.error("ERR DB index is out of range"),
        None => server.replies.error(NOT_INTEGER),
    }
}

/// Names of clients and of their libraries are accepted, and not kept.
pub(crate) fn client(server: &mut Server, args: Args<'_>) {
    match &args[1] {
        sub if is(sub, "setname") && args.len() == 3 => server.replies.ok(),
        sub if is(sub, "setname") => wrong_number(server, "client|setname"),
        sub if is(sub, "setinfo") && args.len() == 4 => server.replies.ok(),
        sub if is(sub, "setinfo") => wrong_number(server, "client|setinfo"),
        sub => unknown_subcommand(server, sub, "CLIENT"),
    }
}

/// `redis-cli` asks for the documentation of commands. An empty reply is enough for it.
pub(crate) fn command(server: &mut Server, args: Args<'_>) {
    match args.get(1) {
        None => server.replies.array(0),
        Some(sub) if is(sub, "docs") => server.replies.array(0),
        Some(sub) if is(sub, "count") && args.len() == 2 => server.replies.integer(COUNT as i64),
        Some(sub) if is(sub, "count") => wrong_number(server, "command|count"),
        Some(sub) => unknown_subcommand(server, sub, "COMMAND"),
    }
}

pub(crate) fn config(server: &mut Server, args: Args<'_>) {
    match &args[1] {
        sub if is(sub, "get") && args.len() > 2 => config_get(server, args),
        sub if is(sub, "get") => wrong_number(server, "config|get"),
        sub => unknown_subcommand(server, sub, "CONFIG"),
    }
}

fn config_get(server: &mut Server, args: Args<'_>) {
    let wanted = |name: &str| {
        let mut patterns = args.from(2);
        patterns.any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found: Vec<_> = CONFIG.into_iter().filter(|(name, _)| wanted(name)).collect();
    server.replies.array(2 * found.len());
    for (name, value) in found {
        server.replies.bulk(name.as_bytes());
        server.replies.bulk(value.as_bytes());
    }
}

/// Version 2 is the only version of the protocol here.
pub(crate) fn hello(server: &mut Server, args: Args<'_>) {
    let Server { replies, .. } = server;
    if let Some(version) = args.get(1) {
        match integer(version) {
            None => {
                return replies.error("ERR Protocol version is not an integer or out of range");
            }
            Some(2) => {}
            Some(_) => return replies.error("NOPROTO unsupported protocol version"),
        }
    }
    let mut options = args.from(2);
    while let Some(option) = options.next() {
        if !is(option, "setname") || options.next().is_none() {
            let text = [b"ERR Syntax error in HELLO option '", option, b"'"].concat();
            return replies.error_bytes(&text);
        }
    }
    replies.array(2 * 6);
    for (name, value) in [("server", "redis"), ("version", VERSION)] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"proto");
    replies.integer(2);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"modules");
    replies.array(0);
}

/// Replies with the sections asked for, or with all.
pub(crate) fn info(server: &mut Server, args: Args<'_>) {
    let all =
        args.from(1).all(|name| is(name, "all") || is(name, "default") || is(name, "everything"));
    let wanted = |section: &str| all || args.from(1).any(|name| is(name, section));
    let sections = sections(server).into_iter().filter(|(name, _)| wanted(name));
    let text: Vec<String> = sections.map(|(name, lines)| format!("# {name}\r\n{lines}")).collect();
    server.replies.bulk(text.join("\r\n").as_bytes());
}

fn sections(server: &Server) -> [(&'static str, String); 4] {
    let Server { store, now, status, .. } = server;
    let Status { started, port, clients, connections, commands } = status;
    let process = std::process::id();
    let uptime = now.saturating_duration_since(*started).as_secs();
    let keyspace = match (store.len(), store.ending()) {
        (0, _) => String::new(),
        (keys, expires) => format!("db0:keys={keys},expires={expires},avg_ttl=0\r\n"),
    };
    [
        (
            "Server",
            format!(
                "redis_version:{VERSION}\r\nredis_mode:standalone\r\nserver_name:resp_server\r\n\
                 process_id:{process}\r\ntcp_port:{port}\r\nuptime_in_seconds:{uptime}\r\n"
            ),
        ),
        ("Clients", format!("connected_clients:{clients}\r\n")),
        (
            "Stats",
            format!(
                "total_connections_received:{connections}\r\n\
                 total_commands_processed:{commands}\r\n"
            ),
        ),
        ("Keyspace", keyspace),
    ]
}

fn unknown_subcommand(server: &mut Server, sub: &[u8], name: &str) {
    let sub = &sub[..sub.len().min(128)];
    let help = format!("'. Try {name} HELP.");
    server.replies.error_bytes(&[b"ERR unknown subcommand '", sub, help.as_bytes()].concat());
}
