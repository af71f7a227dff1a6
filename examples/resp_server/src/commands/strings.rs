//! Commands that read and set whole values.

use super::expiry::{self, MILLISECONDS, SECONDS, Unit};
use super::refused::{Refused, SYNTAX};
use super::{ALL_KEYS, Call, Command, ONE_KEY, PAIRS, command, is};
use crate::store::Expiry;

pub(super) const COMMANDS: &[Command] = &[
    command("get", 2, get).reads(ONE_KEY).help("key", "The value of a key."),
    command("set", -3, set).writes(ONE_KEY).help(
        "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT time|PXAT time|KEEPTTL]",
        "Sets the value of a key.",
    ),
    command("mget", -2, mget).reads(ALL_KEYS).help("key [key ...]", "The values of keys."),
    command("mset", -3, mset)
        .writes(PAIRS)
        .help("key value [key value ...]", "Sets the values of keys."),
    command("msetnx", -3, msetnx)
        .writes(PAIRS)
        .help("key value [key value ...]", "Sets the values of keys, if none of them exists."),
    command("setnx", 3, setnx)
        .writes(ONE_KEY)
        .help("key value", "Sets the value of a key, if it does not exist."),
    command("setex", 4, setex)
        .writes(ONE_KEY)
        .help("key seconds value", "Sets the value of a key, and how many seconds it lives."),
    command("psetex", 4, psetex).writes(ONE_KEY).help(
        "key milliseconds value",
        "Sets the value of a key, and how many milliseconds it lives.",
    ),
    command("getset", 3, getset)
        .writes(ONE_KEY)
        .help("key value", "Sets the value of a key; returns the one before."),
    command("getdel", 2, getdel).writes(ONE_KEY).help("key", "Removes a key; returns its value."),
    command("getex", -2, getex).writes(ONE_KEY).help(
        "key [EX seconds|PX milliseconds|EXAT time|PXAT time|PERSIST]",
        "The value of a key; sets when it expires.",
    ),
];

fn get(call: &mut Call<'_>) -> Result<(), Refused> {
    call.replies.value_or_null(call.store.get(call.key(), call.now));
    Ok(())
}

fn mget(call: &mut Call<'_>) -> Result<(), Refused> {
    let before = call.replies.mark();
    call.replies.array(call.args.len() - 1);
    for key in call.args.from(1) {
        call.replies.value_or_null(call.store.get(key, call.now));
        call.check_reply(before)?;
    }
    Ok(())
}

fn set(call: &mut Call<'_>) -> Result<(), Refused> {
    let (key, now) = (call.key(), call.now);
    let options = Options::parse(call)?;
    if options.only_if.is_some() || options.get {
        let old = call.store.get(key, now);
        let wanted = options.only_if.is_none_or(|there| there == old.is_some());
        if options.get {
            call.replies.value_or_null(old);
        } else if !wanted {
            call.replies.null();
        }
        if !wanted {
            return Ok(());
        }
    }
    call.store.set(key, call.args.value(2), options.expiry, now);
    if !options.get {
        call.replies.ok();
    }
    Ok(())
}

/// The options of SET.
struct Options {
    expiry: Expiry,
    /// XX: only if the key is there already; NX: only if it is not.
    only_if: Option<bool>,
    /// Reply with the old value.
    get: bool,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Self, Refused> {
        let mut options = Self { expiry: Expiry::Never, only_if: None, get: false };
        let mut time = None;
        let mut rest = call.args.from(3);
        while let Some(option) = rest.next() {
            if is(option, "nx") && options.only_if != Some(true) {
                options.only_if = Some(false);
            } else if is(option, "xx") && options.only_if != Some(false) {
                options.only_if = Some(true);
            } else if is(option, "get") {
                options.get = true;
            } else if is(option, "keepttl") && time.is_none() {
                options.expiry = Expiry::Keep;
            } else if let Some((unit, number)) = expiry::time_option(option, &mut rest)?
                && options.expiry == Expiry::Never
                && time.is_none_or(|(before, _)| before == unit)
            {
                time = Some((unit, number));
            } else {
                return Err(SYNTAX);
            }
        }
        // The number is read only if the request is well formed.
        if let Some((unit, number)) = time {
            options.expiry = unit.deadline(number, "set", call.now)?;
        }
        Ok(options)
    }
}

fn mset(call: &mut Call<'_>) -> Result<(), Refused> {
    if call.args.len().is_multiple_of(2) {
        return Err(Refused::wrong_number("mset"));
    }
    set_pairs(call);
    call.replies.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_>) -> Result<(), Refused> {
    if call.args.len().is_multiple_of(2) {
        return Err(Refused::wrong_number("msetnx"));
    }
    let mut keys = call.args.from(1).step_by(2);
    let is_free = keys.all(|key| call.store.get(key, call.now).is_none());
    if is_free {
        set_pairs(call);
    }
    call.replies.integer(is_free.into());
    Ok(())
}

fn set_pairs(call: &mut Call<'_>) {
    for (pair, key) in call.args.from(1).step_by(2).enumerate() {
        call.store.set(key, call.args.value(2 * pair + 2), Expiry::Never, call.now);
    }
}

fn setnx(call: &mut Call<'_>) -> Result<(), Refused> {
    let (key, now) = (call.key(), call.now);
    let is_free = call.store.get(key, now).is_none();
    if is_free {
        call.store.set(key, call.args.value(2), Expiry::Never, now);
    }
    call.replies.integer(is_free.into());
    Ok(())
}

fn setex(call: &mut Call<'_>) -> Result<(), Refused> {
    set_for(call, SECONDS, "setex")
}

fn psetex(call: &mut Call<'_>) -> Result<(), Refused> {
    set_for(call, MILLISECONDS, "psetex")
}

fn set_for(call: &mut Call<'_>, unit: Unit, name: &str) -> Result<(), Refused> {
    let expiry = unit.deadline(&call.args[2], name, call.now)?;
    call.store.set(call.key(), call.args.value(3), expiry, call.now);
    call.replies.ok();
    Ok(())
}

fn getset(call: &mut Call<'_>) -> Result<(), Refused> {
    get(call)?;
    call.store.set(call.key(), call.args.value(2), Expiry::Never, call.now);
    Ok(())
}

fn getdel(call: &mut Call<'_>) -> Result<(), Refused> {
    get(call)?;
    call.store.remove(call.key(), call.now);
    Ok(())
}

fn getex(call: &mut Call<'_>) -> Result<(), Refused> {
    let mut rest = call.args.from(2);
    let option = rest.next();
    let time = match option {
        None => None,
        Some(option) if is(option, "persist") => None,
        Some(option) => Some(expiry::time_option(option, &mut rest)?.ok_or(SYNTAX)?),
    };
    if rest.next().is_some() {
        return Err(SYNTAX);
    }
    if call.store.get(call.key(), call.now).is_some()
        && let Some((unit, number)) = time
    {
        let expiry = unit.deadline(number, "getex", call.now)?;
        get(call)?;
        if let Expiry::At(time) = expiry {
            expiry::expire_at(call, time);
        }
        return Ok(());
    }
    get(call)?;
    if option.is_some() && time.is_none() {
        expiry::end_never(call);
    }
    Ok(())
}
