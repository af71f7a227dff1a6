//! Commands about the server.

use super::refused::{Refused, SYNTAX};
use super::{Call, Command, command, docs, glob, is};
use crate::server::time_since_1970;

pub(super) const COMMANDS: &[Command] = &[
    command("dbsize", 1, dbsize).help("", "How many keys there are."),
    command("flushdb", -1, flush).help("[ASYNC|SYNC]", "Removes all keys."),
    command("flushall", -1, flush).help("[ASYNC|SYNC]", "Removes all keys."),
    command("time", 1, time).help("", "The seconds since 1970, and the microseconds of this one."),
    command("info", -1, info).help("[section [section ...]]", "Tells about the server."),
    command("config", -2, config).help("GET pattern [pattern ...]", "The values of settings."),
    command("command", -1, docs::command)
        .help("[COUNT|LIST|INFO [name ...]|DOCS [name ...]]", "Tells about commands."),
    command("function", -2, function).help("FLUSH", "Does nothing: there are no functions."),
];

/// The version of Redis that this imitates. Clients choose their commands by it.
pub(super) const VERSION: &str = "7.0.15";

/// The reply to CONFIG GET, in the order of Redis' replies: nothing is kept on disk, and no key is
/// evicted when memory runs short.
const CONFIG: [(&str, &str); 5] = [
    ("appendonly", "no"),
    ("databases", "1"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("save", ""),
];

fn dbsize(call: &mut Call<'_>) -> Result<(), Refused> {
    call.replies.count(call.store.len());
    Ok(())
}

fn flush(call: &mut Call<'_>) -> Result<(), Refused> {
    let is_known = |word: &[u8]| is(word, "async") || is(word, "sync");
    if call.args.len() > 2 || !call.args.from(1).all(is_known) {
        return Err(SYNTAX);
    }
    call.store.clear();
    call.replies.ok();
    Ok(())
}

fn time(call: &mut Call<'_>) -> Result<(), Refused> {
    let time = time_since_1970();
    call.replies.array(2);
    call.replies.bulk_fmt(format_args!("{}", time.as_secs()));
    call.replies.bulk_fmt(format_args!("{}", time.subsec_micros()));
    Ok(())
}

fn config(call: &mut Call<'_>) -> Result<(), Refused> {
    let args = call.args;
    if !is(&args[1], "get") {
        return Err(Refused::subcommand("CONFIG", &args[1]));
    }
    if args.len() == 2 {
        return Err(Refused::wrong_number("config|get"));
    }
    let is_wanted = |name: &str| {
        let mut patterns = args.from(2);
        patterns.any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found: Vec<_> = CONFIG.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    call.replies.map(found.len());
    for (name, value) in found {
        call.replies.bulk(name.as_bytes());
        call.replies.bulk(value.as_bytes());
    }
    Ok(())
}

/// Redis' own test suite asks for this before each unit.
fn function(call: &mut Call<'_>) -> Result<(), Refused> {
    if !is(&call.args[1], "flush") {
        return Err(Refused::subcommand("FUNCTION", &call.args[1]));
    }
    call.replies.ok();
    Ok(())
}

/// Replies with the sections asked for, or with all.
fn info(call: &mut Call<'_>) -> Result<(), Refused> {
    let args = call.args;
    let all =
        args.from(1).all(|name| is(name, "all") || is(name, "default") || is(name, "everything"));
    let is_wanted = |section: &str| all || args.from(1).any(|name| is(name, section));
    let sections = sections(call).into_iter().filter(|(name, _)| is_wanted(name));
    let text: Vec<String> = sections.map(|(name, lines)| format!("# {name}\r\n{lines}")).collect();
    call.replies.text(&text.join("\r\n"));
    Ok(())
}

/// `redis-cli --stat` shows some of the fields. `used_memory` counts keys and values alone.
fn sections(call: &Call<'_>) -> [(&'static str, String); 6] {
    const SECOND: i64 = 1000;
    let (store, status) = (&call.store, call.status);
    let process = std::process::id();
    let uptime = (call.now - status.started) / SECOND;
    let keyspace = match (store.len(), store.ending()) {
        (0, _) => String::new(),
        (keys, expires) => format!("db0:keys={keys},expires={expires},avg_ttl=0\r\n"),
    };
    [
        (
            "Server",
            format!(
                "redis_version:{VERSION}\r\nredis_mode:standalone\r\nserver_name:resp_server\r\n\
                 process_id:{process}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\n",
                status.port
            ),
        ),
        ("Clients", format!("connected_clients:{}\r\nblocked_clients:0\r\n", status.clients)),
        ("Memory", format!("used_memory:{}\r\n", store.size())),
        ("Persistence", "loading:0\r\n".to_owned()),
        (
            "Stats",
            format!(
                "total_connections_received:{}\r\ntotal_commands_processed:{}\r\n",
                status.connections, status.commands
            ),
        ),
        ("Keyspace", keyspace),
    ]
}
