//! Commands that work on keys and values.

use crate::args::Args;
use crate::commands::{NOT_INTEGER, SYNTAX, Server, wrong_number};
use crate::expiry::SetOptions;
use crate::glob;
use crate::number::integer;
use crate::store::{Expiry, NoIncrement};

/// The longest pattern KEYS takes. With the size of all keys, it bounds the cost of a search.
const MAX_PATTERN: usize = 1024;

pub(crate) fn get(server: &mut Server, args: Args<'_>) {
    server.replies.bulk_or_null(server.store.get(&args[1], server.now));
}

pub(crate) fn mget(server: &mut Server, args: Args<'_>) {
    let before = server.replies.len();
    server.replies.array(args.len() - 1);
    for key in args.from(1) {
        server.replies.bulk_or_null(server.store.get(key, server.now));
        if is_too_long(server, before) {
            return;
        }
    }
}

/// If the reply that began at `before` is longer than allowed, an error takes its place: a short
/// request could ask for one value a million times.
fn is_too_long(server: &mut Server, before: usize) -> bool {
    let Server { replies, max_reply, .. } = server;
    let too_long = replies.len() - before > *max_reply;
    if too_long {
        replies.truncate(before);
        replies.error(format_args!("ERR the reply is longer than {max_reply} bytes"));
    }
    too_long
}

pub(crate) fn set(server: &mut Server, args: Args<'_>) {
    let Server { store, replies, now, .. } = server;
    let (key, value) = (&args[1], &args[2]);
    let options = match SetOptions::parse(args, *now) {
        Ok(options) => options,
        Err(error) => return replies.error(error),
    };
    if options.only_if.is_some() || options.get {
        let old = store.get(key, *now);
        let wanted = options.only_if.is_none_or(|there| there == old.is_some());
        if options.get {
            replies.bulk_or_null(old);
        } else if !wanted {
            replies.null();
        }
        if !wanted {
            return;
        }
    }
    store.set(key, value, options.expiry, *now);
    if !options.get {
        replies.ok();
    }
}

pub(crate) fn mset(server: &mut Server, args: Args<'_>) {
    if args.len().is_multiple_of(2) {
        return wrong_number(server, "mset");
    }
    let mut rest = args.from(1);
    while let (Some(key), Some(value)) = (rest.next(), rest.next()) {
        server.store.set(key, value, Expiry::Never, server.now);
    }
    server.replies.ok();
}

pub(crate) fn del(server: &mut Server, args: Args<'_>) {
    let Server { store, replies, now, .. } = server;
    let removed = args.from(1).filter(|key| store.remove(key, *now)).count();
    replies.integer(removed as i64); // at most the number of arguments
}

pub(crate) fn exists(server: &mut Server, args: Args<'_>) {
    let Server { store, replies, now, .. } = server;
    let found = args.from(1).filter(|key| store.get(key, *now).is_some()).count();
    replies.integer(found as i64); // at most the number of arguments
}

pub(crate) fn incr(server: &mut Server, args: Args<'_>) {
    add(server, &args[1], 1);
}

pub(crate) fn decr(server: &mut Server, args: Args<'_>) {
    add(server, &args[1], -1);
}

pub(crate) fn incrby(server: &mut Server, args: Args<'_>) {
    match integer(&args[2]) {
        Some(by) => add(server, &args[1], by),
        None => server.replies.error(NOT_INTEGER),
    }
}

pub(crate) fn decrby(server: &mut Server, args: Args<'_>) {
    match integer(&args[2]).map(i64::checked_neg) {
        Some(Some(by)) => add(server, &args[1], by),
        Some(None) => server.replies.error("ERR decrement would overflow"),
        None => server.replies.error(NOT_INTEGER),
    }
}

fn add(server: &mut Server, key: &[u8], by: i64) {
    let Server { store, replies, now, .. } = server;
    match store.add(key, by, *now) {
        Ok(sum) => replies.integer(sum),
        Err(NoIncrement::NoNumber) => replies.error(NOT_INTEGER),
        Err(NoIncrement::Overflow) => replies.error("ERR increment or decrement would overflow"),
    }
}

/// Looks at every key. No other client is served meanwhile; Redis does the same.
pub(crate) fn keys(server: &mut Server, args: Args<'_>) {
    if args[1].len() > MAX_PATTERN {
        let replies = &mut server.replies;
        return replies.error(format_args!("ERR the pattern is longer than {MAX_PATTERN} bytes"));
    }
    let before = server.replies.len();
    let Server { store, replies, now, .. } = server;
    let found: Vec<&[u8]> = store.keys(*now).filter(|key| glob::matches(&args[1], key)).collect();
    replies.array(found.len());
    for key in found {
        replies.bulk(key);
    }
    is_too_long(server, before);
}

pub(crate) fn dbsize(server: &mut Server, _args: Args<'_>) {
    server.replies.integer(server.store.len() as i64); // memory limits the number of keys
}

pub(crate) fn flush(server: &mut Server, args: Args<'_>) {
    let is_known =
        |word: &[u8]| [&b"async"[..], b"sync"].iter().any(|how| word.eq_ignore_ascii_case(how));
    if args.len() > 2 || !args.from(1).all(is_known) {
        return server.replies.error(SYNTAX);
    }
    server.store.clear();
    server.replies.ok();
}
