//! COMMAND: what the table says of the commands. `redis-cli` makes its help and its hints of it.

use super::{Call, Command, Effect, GROUPS, Refused, is, named};
use crate::resp::reply::Replies;

pub(super) fn command(call: &mut Call<'_>) -> Result<(), Refused> {
    let args = call.args;
    let Some(sub) = args.get(1) else {
        call.replies.array(all().count());
        all().for_each(|(_, command)| tell(command, call.replies));
        return Ok(());
    };
    let mut names = args.from(2);
    if is(sub, "count") {
        expect_none(names.next(), "command|count")?;
        call.replies.count(all().count());
    } else if is(sub, "list") {
        expect_none(names.next(), "command|list")?;
        call.replies.array(all().count());
        all().for_each(|(_, command)| call.replies.bulk(command.name.as_bytes()));
    } else if is(sub, "info") && args.len() > 2 {
        let before = call.replies.mark();
        call.replies.array(args.len() - 2);
        for name in names {
            match named(name) {
                Some(command) => tell(command, call.replies),
                None => call.replies.null(),
            }
            call.check_reply(before)?;
        }
    } else if is(sub, "info") {
        call.replies.array(all().count());
        all().for_each(|(_, command)| tell(command, call.replies));
    } else if is(sub, "docs") {
        let is_wanted =
            |command: &Command| args.len() == 2 || args.from(2).any(|name| is(name, command.name));
        let found: Vec<_> = all().filter(|(_, command)| is_wanted(command)).collect();
        call.replies.map(found.len());
        found.into_iter().for_each(|(group, command)| document(group, command, call.replies));
    } else {
        return Err(Refused::subcommand("COMMAND", sub));
    }
    Ok(())
}

fn all() -> impl Iterator<Item = (&'static str, &'static Command)> {
    GROUPS.iter().flat_map(|(group, commands)| commands.iter().map(|command| (*group, command)))
}

fn expect_none(word: Option<&[u8]>, name: &str) -> Result<(), Refused> {
    if word.is_none() { Ok(()) } else { Err(Refused::wrong_number(name)) }
}

/// As in Redis, without what a cluster or rules of access need.
fn tell(command: &Command, replies: &mut Replies) {
    replies.array(10);
    replies.bulk(command.name.as_bytes());
    replies.integer(command.arity.into());
    match command.effect {
        Effect::None => replies.set(0),
        Effect::Reads => {
            replies.set(1);
            replies.simple("readonly");
        }
        Effect::Writes => {
            replies.set(1);
            replies.simple("write");
        }
    }
    command.keys.iter().for_each(|&key| replies.integer(key.into()));
    for _ in ["categories", "tips", "key specifications", "subcommands"] {
        replies.array(0);
    }
}

/// Redis tells the syntax as a tree. Here it is a list of words, which looks the same when shown.
fn document(group: &str, command: &Command, replies: &mut Replies) {
    replies.bulk(command.name.as_bytes());
    replies.map(3);
    for (name, text) in [("summary", command.summary), ("group", group)] {
        replies.bulk(name.as_bytes());
        replies.bulk(text.as_bytes());
    }
    replies.bulk(b"arguments");
    let words: Vec<&str> = command.syntax.split_terminator(' ').collect();
    replies.array(words.len());
    for word in words {
        replies.map(2);
        for (name, text) in [("name", word), ("type", "string")] {
            replies.bulk(name.as_bytes());
            replies.bulk(text.as_bytes());
        }
    }
}
