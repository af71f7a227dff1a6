//! Commands on keys, whatever their values are.

use super::refused::{NO_KEY, NOT_INTEGER, Refused, SYNTAX};
use super::{ALL_KEYS, Call, Command, ONE_KEY, TWO_KEYS, command, glob, is};
use crate::resp::number::integer;

pub(super) const COMMANDS: &[Command] = &[
    command("del", -2, remove).writes(ALL_KEYS).help("key [key ...]", "Removes keys."),
    command("unlink", -2, remove).writes(ALL_KEYS).help("key [key ...]", "Removes keys."),
    command("exists", -2, exists)
        .reads(ALL_KEYS)
        .help("key [key ...]", "How many of the keys exist."),
    command("touch", -2, exists)
        .reads(ALL_KEYS)
        .help("key [key ...]", "How many of the keys exist."),
    command("type", 2, kind).reads(ONE_KEY).help("key", "The type of a value: string."),
    command("keys", 2, keys).help("pattern", "The keys that match a pattern."),
    command("scan", -2, scan)
        .help("cursor [MATCH pattern] [COUNT count] [TYPE type]", "The keys, a few at a time."),
    command("randomkey", 1, randomkey).help("", "Any of the keys."),
    command("rename", 3, rename).writes(TWO_KEYS).help("key newkey", "Renames a key."),
    command("renamenx", 3, renamenx)
        .writes(TWO_KEYS)
        .help("key newkey", "Renames a key, if there is none of the new name."),
    command("copy", -3, copy)
        .writes(TWO_KEYS)
        .help("source destination [DB 0] [REPLACE]", "Copies a value to another key."),
];

/// The longest pattern of keys. With the size of all keys, it bounds the cost of a search.
const MAX_PATTERN: usize = 1024;

/// How many keys SCAN looks at unless told otherwise; Redis' number.
const SCAN_COUNT: usize = 10;

/// How often RANDOMKEY tries again for a key that is not expired; Redis' number.
const RANDOM_TRIES: usize = 100;

/// The memory of a value is given back at once, for UNLINK too.
fn remove(call: &mut Call<'_>) -> Result<(), Refused> {
    let removed = call.args.from(1).filter(|key| call.store.remove(key, call.now)).count();
    call.replies.count(removed);
    Ok(())
}

fn exists(call: &mut Call<'_>) -> Result<(), Refused> {
    let found = call.args.from(1).filter(|key| call.store.get(key, call.now).is_some()).count();
    call.replies.count(found);
    Ok(())
}

fn kind(call: &mut Call<'_>) -> Result<(), Refused> {
    let is_there = call.store.get(call.key(), call.now).is_some();
    call.replies.simple(if is_there { "string" } else { "none" });
    Ok(())
}

/// Looks at every key. No other client is served meanwhile; Redis does the same.
fn keys(call: &mut Call<'_>) -> Result<(), Refused> {
    let pattern = pattern(&call.args[1])?;
    let keys = call.store.keys(call.now);
    let found: Vec<&[u8]> = keys.filter(|key| glob::matches(pattern, key)).collect();
    call.replies.array(found.len());
    for key in found {
        call.replies.bulk(key);
    }
    Ok(())
}

fn pattern(pattern: &[u8]) -> Result<&[u8], Refused> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("ERR the pattern is longer than {MAX_PATTERN} bytes").into());
    }
    Ok(pattern)
}

/// The cursor is the number of entries that were not looked at yet. They have the lowest positions:
/// an entry that moves takes the place of one that is removed, and so it never moves up. Thus each key
/// that is there from the beginning to the end of a scan is told, some perhaps twice.
fn scan(call: &mut Call<'_>) -> Result<(), Refused> {
    let cursor = std::str::from_utf8(&call.args[1]).ok().and_then(|cursor| cursor.parse().ok());
    let cursor: usize = cursor.ok_or(Refused::Text("ERR invalid cursor"))?;
    let options = ScanOptions::parse(call)?;
    let left = if cursor == 0 { usize::MAX } else { cursor }.min(call.store.len());
    let next = left.saturating_sub(options.count);
    let keys = (next..left).rev().filter_map(|position| call.store.key_at(position, call.now));
    let found: Vec<&[u8]> = keys.filter(|key| options.allow(key)).collect();
    call.replies.array(2);
    call.replies.bulk_fmt(format_args!("{next}"));
    call.replies.array(found.len());
    for key in found {
        call.replies.bulk(key);
    }
    Ok(())
}

struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    kind: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    fn parse(call: &Call<'a>) -> Result<Self, Refused> {
        let mut options = Self { pattern: None, count: SCAN_COUNT, kind: None };
        let mut rest = call.args.from(2);
        while let Some(option) = rest.next() {
            let value = rest.next().ok_or(SYNTAX)?;
            if is(option, "match") {
                options.pattern = Some(pattern(value)?);
            } else if is(option, "type") {
                options.kind = Some(value);
            } else if is(option, "count") {
                let count = integer(value).ok_or(NOT_INTEGER)?;
                options.count =
                    usize::try_from(count).ok().filter(|&count| count > 0).ok_or(SYNTAX)?;
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(options)
    }

    fn allow(&self, key: &[u8]) -> bool {
        self.kind.is_none_or(|kind| is(kind, "string"))
            && self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
    }
}

fn randomkey(call: &mut Call<'_>) -> Result<(), Refused> {
    let (store, now) = (&*call.store, call.now);
    let mut tries = 0..if store.len() > 0 { RANDOM_TRIES } else { 0 };
    match tries.find_map(|_| store.key_at(rand::random_range(0..store.len()), now)) {
        Some(key) => call.replies.bulk(key),
        None => call.replies.null(),
    }
    Ok(())
}

fn rename(call: &mut Call<'_>) -> Result<(), Refused> {
    let (key, new) = (call.key(), call.args.get(2).unwrap_or_default());
    call.store.get(key, call.now).ok_or(NO_KEY)?;
    move_value(call, key, new);
    call.replies.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_>) -> Result<(), Refused> {
    let (key, new) = (call.key(), call.args.get(2).unwrap_or_default());
    call.store.get(key, call.now).ok_or(NO_KEY)?;
    let is_free = call.store.get(new, call.now).is_none();
    if is_free {
        move_value(call, key, new);
    }
    call.replies.integer(is_free.into());
    Ok(())
}

fn move_value(call: &mut Call<'_>, from: &[u8], to: &[u8]) {
    if from != to {
        call.store.copy(from, to, call.now);
        call.store.remove(from, call.now);
    }
}

fn copy(call: &mut Call<'_>) -> Result<(), Refused> {
    let (from, to) = (call.key(), call.args.get(2).unwrap_or_default());
    let mut replace = false;
    let mut rest = call.args.from(3);
    while let Some(option) = rest.next() {
        if is(option, "replace") {
            replace = true;
        } else if is(option, "db") {
            super::connection::check_database(rest.next().ok_or(SYNTAX)?)?;
        } else {
            return Err(SYNTAX);
        }
    }
    if from == to {
        return Err(Refused::Text("ERR source and destination objects are the same"));
    }
    let may_copy = call.store.get(from, call.now).is_some()
        && (replace || call.store.get(to, call.now).is_none());
    if may_copy {
        call.store.copy(from, to, call.now);
    }
    call.replies.integer(may_copy.into());
    Ok(())
}
