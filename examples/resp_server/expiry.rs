//! Commands about the expiry of keys, and the options of SET, which can set it.

use std::time::{Duration, Instant};

use crate::args::Args;
use crate::commands::{NOT_INTEGER, SYNTAX, Server};
use crate::number::integer;
use crate::store::Expiry;

/// Units of time, in milliseconds.
const SECOND: i64 = 1000;
const MILLISECOND: i64 = 1;

/// The options of SET that set how long a value lives.
const UNITS: [(&str, i64); 2] = [("ex", SECOND), ("px", MILLISECOND)];

/// The options after `SET key value`.
pub(crate) struct SetOptions {
    pub(crate) expiry: Expiry,
    /// XX: only if the key is there already; NX: only if it is not.
    pub(crate) only_if: Option<bool>,
    /// Reply with the old value.
    pub(crate) get: bool,
}

impl SetOptions {
    pub(crate) fn parse(args: Args<'_>, now: Instant) -> Result<Self, &'static str> {
        let mut options = Self { expiry: Expiry::Never, only_if: None, get: false };
        let mut span = None;
        let mut rest = args.from(3);
        while let Some(option) = rest.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            let unit = UNITS.into_iter().find(|(name, _)| is(name)).map(|(_, unit)| unit);
            if is("nx") && options.only_if != Some(true) {
                options.only_if = Some(false);
            } else if is("xx") && options.only_if != Some(false) {
                options.only_if = Some(true);
            } else if is("get") {
                options.get = true;
            } else if is("keepttl") && span.is_none() {
                options.expiry = Expiry::Keep;
            } else if let Some(unit) = unit
                && options.expiry == Expiry::Never
                && span.is_none_or(|(_, before)| before == unit)
            {
                span = Some((rest.next().ok_or(SYNTAX)?, unit));
            } else {
                return Err(SYNTAX);
            }
        }
        // The number is read only if the request is well formed.
        if let Some((number, unit)) = span {
            let number = integer(number).ok_or(NOT_INTEGER)?;
            let millis = millis(number, unit).filter(|&millis| millis > 0);
            let millis = millis.ok_or("ERR invalid expire time in 'set' command")?;
            options.expiry = Expiry::At(after(now, millis));
        }
        Ok(options)
    }
}

pub(crate) fn expire(server: &mut Server, args: Args<'_>) {
    expire_in(server, args, SECOND, "expire");
}

pub(crate) fn pexpire(server: &mut Server, args: Args<'_>) {
    expire_in(server, args, MILLISECOND, "pexpire");
}

fn expire_in(server: &mut Server, args: Args<'_>, unit: i64, name: &str) {
    let Server { store, replies, now, .. } = server;
    if let Some(option) = args.get(3) {
        return replies.error_bytes(&[b"ERR Unsupported option ", option].concat());
    }
    let Some(number) = integer(&args[2]) else { return replies.error(NOT_INTEGER) };
    let Some(millis) = millis(number, unit) else {
        return replies.error(format_args!("ERR invalid expire time in '{name}' command"));
    };
    let found = store.get(&args[1], *now).is_some();
    if found && millis > 0 {
        store.set_expiry(&args[1], Expiry::At(after(*now, millis)));
    } else {
        store.remove(&args[1], *now);
    }
    replies.integer(found.into());
}

pub(crate) fn persist(server: &mut Server, args: Args<'_>) {
    let Server { store, replies, now, .. } = server;
    let ends = matches!(store.deadline(&args[1], *now), Some(Some(_)));
    if ends {
        store.set_expiry(&args[1], Expiry::Never);
    }
    replies.integer(ends.into());
}

pub(crate) fn ttl(server: &mut Server, args: Args<'_>) {
    let rest = rest_of(server, &args[1]);
    let seconds = if rest < 0 { rest } else { (rest + SECOND / 2) / SECOND };
    server.replies.integer(seconds);
}

pub(crate) fn pttl(server: &mut Server, args: Args<'_>) {
    let rest = rest_of(server, &args[1]);
    server.replies.integer(rest);
}

/// The milliseconds until a key expires: -1 if it never does, -2 if there is no such key.
fn rest_of(server: &Server, key: &[u8]) -> i64 {
    match server.store.deadline(key, server.now) {
        None => -2,
        Some(None) => -1,
        // At most the number of milliseconds that was set.
        Some(Some(end)) => end.saturating_duration_since(server.now).as_millis() as i64,
    }
}

/// Redis counts milliseconds since 1970 in 64 bits and refuses times that do not fit. The limit
/// here is half of that, 146 million years.
fn millis(number: i64, unit: i64) -> Option<i64> {
    number.checked_mul(unit).filter(|&millis| millis <= i64::MAX / 2)
}

/// The instant this many milliseconds from now; now, if they are negative.
fn after(now: Instant, millis: i64) -> Instant {
    let delay = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    // A clock that counts seconds in 64 bits does not overflow here.
    now.checked_add(delay).unwrap_or(now)
}
