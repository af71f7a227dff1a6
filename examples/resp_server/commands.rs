//! The table of commands, and how a request is executed.

use std::time::Instant;

use crate::about::{self, Status};
use crate::args::Args;
use crate::reply::Replies;
use crate::store::Store;
use crate::{data, expiry};

pub(crate) const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
pub(crate) const SYNTAX: &str = "ERR syntax error";

/// How much of an unknown command, and of its arguments, an error shows; Redis' number.
const SHOWN: usize = 128;

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Store,
    /// Replies to the requests being served. The caller of [`execute`] sends them.
    pub(crate) replies: Replies,
    /// The time of this turn.
    pub(crate) now: Instant,
    /// Set by a command to have the connection closed.
    pub(crate) closing: bool,
    /// How long the reply to one request may be, in bytes. Only a reply to MGET or KEYS could be
    /// longer than all that clients have sent.
    pub(crate) max_reply: usize,
    pub(crate) status: Status,
}

/// Executes a request and adds its reply to the server's replies.
pub(crate) fn execute(server: &mut Server, args: Args<'_>) {
    server.status.commands += 1;
    let Some(command) = find(&args[0]) else { return unknown(server, args) };
    if !command.takes(args.len()) {
        return wrong_number(server, command.name);
    }
    (command.run)(server, args);
}

struct Command {
    id: u64,
    name: &'static str,
    /// How many words it has, its name included; negative for at least this many. Redis' arity.
    arity: i8,
    run: fn(&mut Server, Args<'_>),
}

impl Command {
    fn takes(&self, words: usize) -> bool {
        let least = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= least } else { words == least }
    }
}

const fn command(name: &'static str, arity: i8, run: fn(&mut Server, Args<'_>)) -> Command {
    Command { id: id(name.as_bytes()), name, arity, run }
}

/// All commands. The search goes from the front, so the usual ones are first.
static COMMANDS: [Command; COUNT] = [
    command("get", 2, data::get),
    command("set", -3, data::set),
    command("ping", -1, ping),
    command("incr", 2, data::incr),
    command("mget", -2, data::mget),
    command("mset", -3, data::mset),
    command("del", -2, data::del),
    command("exists", -2, data::exists),
    command("expire", -3, expiry::expire),
    command("ttl", 2, expiry::ttl),
    command("incrby", 3, data::incrby),
    command("decr", 2, data::decr),
    command("decrby", 3, data::decrby),
    command("pexpire", -3, expiry::pexpire),
    command("pttl", 2, expiry::pttl),
    command("persist", 2, expiry::persist),
    command("echo", 2, echo),
    command("keys", 2, data::keys),
    command("dbsize", 1, data::dbsize),
    command("flushdb", -1, data::flush),
    command("flushall", -1, data::flush),
    command("select", 2, about::select),
    command("client", -2, about::client),
    command("command", -1, about::command),
    command("config", -2, about::config),
    command("hello", -1, about::hello),
    command("info", -1, about::info),
    command("quit", -1, quit),
];

/// How many commands there are.
pub(crate) const COUNT: usize = 28;

fn find(name: &[u8]) -> Option<&'static Command> {
    let id = id(name);
    COMMANDS.iter().find(|command| command.id == id)
}

/// A name as one number, the same for upper and lower case, so that one step compares it. Names of
/// commands have up to eight letters and nothing else; one bit of a letter is its case.
const fn id(name: &[u8]) -> u64 {
    const LOWER_CASE: u8 = 0x20;
    const NONE: u64 = 0;
    if name.len() > size_of::<u64>() {
        return NONE;
    }
    let mut id = NONE;
    let mut at = 0;
    while at < name.len() {
        id = id << 8 | (name[at] | LOWER_CASE) as u64;
        at += 1;
    }
    id
}

fn unknown(server: &mut Server, args: Args<'_>) {
    let name = &args[0];
    if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
        // A web page may make a browser send us a form whose body holds commands.
        log::warn!("a web browser sent a request; closing the connection");
        server.closing = true;
        return;
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(shown(name, SHOWN));
    text.extend_from_slice(b"', with args beginning with: ");
    let start = text.len();
    for arg in args.from(1) {
        let room = SHOWN.saturating_sub(text.len() - start);
        if room == 0 {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(shown(arg, room));
        text.extend_from_slice(b"' ");
    }
    server.replies.error_bytes(&text);
}

/// The part of a word that Redis shows: up to a zero byte, and at most `room` bytes.
fn shown(word: &[u8], room: usize) -> &[u8] {
    let text = word.split(|&byte| byte == 0).next().unwrap_or_default();
    &text[..text.len().min(room)]
}

pub(crate) fn wrong_number(server: &mut Server, name: &str) {
    server.replies.error(format_args!("ERR wrong number of arguments for '{name}' command"));
}

fn ping(server: &mut Server, args: Args<'_>) {
    match args.len() {
        1 => server.replies.simple("PONG"),
        2 => server.replies.bulk(&args[1]),
        _ => wrong_number(server, "ping"),
    }
}

fn echo(server: &mut Server, args: Args<'_>) {
    server.replies.bulk(&args[1]);
}

fn quit(server: &mut Server, _args: Args<'_>) {
    server.replies.ok();
    server.closing = true;
}
