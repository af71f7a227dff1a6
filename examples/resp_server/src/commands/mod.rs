//! The table of commands, and how a request is executed. Each file has the commands of one group,
//! with its part of the table.

mod connection;
mod docs;
mod expiry;
mod glob;
mod keys;
mod lcs;
mod numbers;
mod ranges;
mod refused;
mod server;
mod strings;
mod transactions;

use crate::client::Client;
use crate::resp::args::Args;
use crate::resp::reply::{Mark, Replies};
use crate::server::{Server, Status};
use crate::store::{Millis, Store};

pub(crate) use refused::Refused;

/// How much of an unknown command, and of its arguments, an error shows; Redis' number.
const SHOWN: usize = 128;

/// All commands, by group. The search goes from the front, so the usual ones are first.
static GROUPS: [(&str, &[Command]); 9] = [
    ("string", strings::COMMANDS),
    ("string", numbers::COMMANDS),
    ("connection", connection::COMMANDS),
    ("generic", keys::COMMANDS),
    ("generic", expiry::COMMANDS),
    ("transactions", transactions::COMMANDS),
    ("string", ranges::COMMANDS),
    ("string", lcs::COMMANDS),
    ("server", server::COMMANDS),
];

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// How many words it has, its name included; negative for at least this many. Redis' arity.
    arity: i8,
    effect: Effect,
    /// Where its keys are: the first, the last (-1: the last word), and the step. Redis' form.
    keys: [i8; 3],
    run: Run,
    syntax: &'static str,
    summary: &'static str,
}

/// The effect of a command on the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    None,
    Reads,
    Writes,
}

/// Executes a command and adds one reply. The reply to a command that is refused is the error alone.
type Run = fn(&mut Call<'_>) -> Result<(), Refused>;

const NO_KEY: [i8; 3] = [0, 0, 0];
const ONE_KEY: [i8; 3] = [1, 1, 1];
const TWO_KEYS: [i8; 3] = [1, 2, 1];
const ALL_KEYS: [i8; 3] = [1, -1, 1];
const PAIRS: [i8; 3] = [1, -1, 2];

const fn command(name: &'static str, arity: i8, run: Run) -> Command {
    let (effect, keys) = (Effect::None, NO_KEY);
    Command { name, arity, effect, keys, run, syntax: "", summary: "" }
}

impl Command {
    const fn reads(self, keys: [i8; 3]) -> Self {
        Self { effect: Effect::Reads, keys, ..self }
    }

    const fn writes(self, keys: [i8; 3]) -> Self {
        Self { effect: Effect::Writes, keys, ..self }
    }

    /// Adds the texts that `redis-cli` shows.
    const fn help(self, syntax: &'static str, summary: &'static str) -> Self {
        Self { syntax, summary, ..self }
    }

    fn takes(&self, words: usize) -> bool {
        let least = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= least } else { words == least }
    }
}

/// A request, and all that its command may use.
pub(crate) struct Call<'a> {
    pub(crate) args: Args<'a>,
    pub(crate) client: &'a mut Client,
    pub(crate) store: &'a mut Store,
    pub(crate) replies: &'a mut Replies,
    pub(crate) now: Millis,
    limits: Limits,
    status: &'a Status,
}

/// How long things may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A value.
    pub(crate) value: usize,
    /// The reply to one request, and the requests of a transaction. Only a reply to MGET, KEYS or EXEC
    /// could be longer than all that clients have sent.
    pub(crate) reply: usize,
}

impl<'a> Call<'a> {
    /// The key of a command that has one.
    fn key(&self) -> &'a [u8] {
        self.args.get(1).unwrap_or_default()
    }

    /// To be asked while a reply grows that a short request could make long: it began at `before`.
    fn check_reply(&self, before: Mark) -> Result<(), Refused> {
        let is_too_long = self.replies.len_since(before) > self.limits.reply;
        if is_too_long { Err(Refused::reply_too_long(self.limits.reply)) } else { Ok(()) }
    }
}

/// Executes a request and adds its reply to the server's replies.
pub(crate) fn execute(server: &mut Server, client: &mut Client, args: Args<'_>) {
    server.status.commands += 1;
    let replies = &mut server.replies;
    match find(args) {
        Err(_) if is_web_browser(&args[0]) => {
            log::warn!("a web browser sent a request; closing the connection");
            client.is_leaving = true;
        }
        Err(refused) => {
            client.spoil_transaction();
            refused.reply(replies);
        }
        Ok(command) if client.is_queueing() && !transactions::is_at_once(command) => {
            match client.enqueue(command, args, server.limits.reply) {
                Ok(()) => replies.simple("QUEUED"),
                Err(refused) => refused.reply(replies),
            }
        }
        Ok(command) => {
            let Server { store, replies, status, now, limits, .. } = server;
            let call = Call { args, client, store, replies, now: *now, limits: *limits, status };
            run(command, call);
        }
    }
}

fn run(command: &Command, mut call: Call<'_>) {
    let before = call.replies.mark();
    if let Err(refused) = (command.run)(&mut call).and_then(|()| call.check_reply(before)) {
        call.replies.take_back(before);
        refused.reply(call.replies);
    }
}

/// The command of a request that has as many words as it takes.
fn find(args: Args<'_>) -> Result<&'static Command, Refused> {
    let name = &args[0];
    match named(name) {
        Some(command) if command.takes(args.len()) => Ok(command),
        Some(command) => Err(Refused::wrong_number(command.name)),
        None => Err(unknown(args)),
    }
}

fn named(name: &[u8]) -> Option<&'static Command> {
    let mut all = GROUPS.iter().flat_map(|(_, commands)| commands.iter());
    all.find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

/// A web page may make a browser send us a form whose body holds commands.
fn is_web_browser(name: &[u8]) -> bool {
    is(name, "post") || is(name, "host:")
}

fn unknown(args: Args<'_>) -> Refused {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(shown(&args[0], SHOWN));
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
    Refused::Bytes(text)
}

/// The part of a word that Redis shows: up to a zero byte, and at most `room` bytes.
fn shown(word: &[u8], room: usize) -> &[u8] {
    let text = word.split(|&byte| byte == 0).next().unwrap_or_default();
    &text[..text.len().min(room)]
}

/// Whether a word is this one, in upper or lower case.
fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}
