//! When keys expire, and the options of other commands that say so.

use super::refused::{NOT_INTEGER, Refused, SYNTAX};
use super::{Call, Command, ONE_KEY, command, is};
use crate::resp::number::integer;
use crate::store::{Expiry, Millis};

pub(super) const COMMANDS: &[Command] = &[
    command("expire", -3, expire)
        .writes(ONE_KEY)
        .help("key seconds [NX|XX|GT|LT]", "Sets how many seconds a key has to live."),
    command("ttl", 2, ttl).reads(ONE_KEY).help("key", "How many seconds a key has to live."),
    command("pexpire", -3, pexpire)
        .writes(ONE_KEY)
        .help("key milliseconds [NX|XX|GT|LT]", "Sets how many milliseconds a key has to live."),
    command("pttl", 2, pttl).reads(ONE_KEY).help("key", "How many milliseconds a key has to live."),
    command("expireat", -3, expireat)
        .writes(ONE_KEY)
        .help("key unix-time-seconds [NX|XX|GT|LT]", "Sets the second at which a key expires."),
    command("pexpireat", -3, pexpireat)
        .writes(ONE_KEY)
        .help("key unix-time-milliseconds [NX|XX|GT|LT]", "Sets when a key expires, exactly."),
    command("expiretime", 2, expiretime)
        .reads(ONE_KEY)
        .help("key", "The second at which a key expires."),
    command("pexpiretime", 2, pexpiretime)
        .reads(ONE_KEY)
        .help("key", "The millisecond at which a key expires."),
    command("persist", 2, persist).writes(ONE_KEY).help("key", "Has a key live for ever."),
];

/// How a command gives a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unit {
    /// In milliseconds.
    len: i64,
    /// Whether it counts from now, and not from 1970.
    from_now: bool,
}

pub(super) const SECONDS: Unit = Unit { len: 1000, from_now: true };
pub(super) const MILLISECONDS: Unit = Unit { len: 1, from_now: true };
const SECONDS_SINCE_1970: Unit = Unit { from_now: false, ..SECONDS };
const MILLISECONDS_SINCE_1970: Unit = Unit { from_now: false, ..MILLISECONDS };

impl Unit {
    /// The unit that an option of SET or GETEX names.
    pub(super) fn named(option: &[u8]) -> Option<Self> {
        [
            ("ex", SECONDS),
            ("px", MILLISECONDS),
            ("exat", SECONDS_SINCE_1970),
            ("pxat", MILLISECONDS_SINCE_1970),
        ]
        .into_iter()
        .find_map(|(name, unit)| is(option, name).then_some(unit))
    }

    /// The time; `None` if 64 bits cannot hold it.
    fn time(self, number: i64, now: Millis) -> Option<Millis> {
        number.checked_mul(self.len)?.checked_add(if self.from_now { now } else { 0 })
    }

    /// The time that the options of a command give. It may have passed, but not be before 1970.
    pub(super) fn deadline(
        self,
        number: &[u8],
        command: &str,
        now: Millis,
    ) -> Result<Expiry, Refused> {
        let number = integer(number).ok_or(NOT_INTEGER)?;
        let time = self.time(number, now).filter(|_| number > 0);
        time.map(Expiry::At).ok_or_else(|| Refused::expire_time(command))
    }
}

/// When EXPIRE sets a deadline.
#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse<'a>(options: impl Iterator<Item = &'a [u8]>) -> Result<Self, Refused> {
        let mut all = Self::default();
        for option in options {
            match option {
                option if is(option, "nx") => all.nx = true,
                option if is(option, "xx") => all.xx = true,
                option if is(option, "gt") => all.gt = true,
                option if is(option, "lt") => all.lt = true,
                option => {
                    return Err(Refused::Bytes([b"ERR Unsupported option ", option].concat()));
                }
            }
        }
        if all.nx && (all.xx || all.gt || all.lt) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(Refused::Text(text));
        }
        if all.gt && all.lt {
            let text = "ERR GT and LT options at the same time are not compatible";
            return Err(Refused::Text(text));
        }
        Ok(all)
    }

    /// A key that never expires counts as one that expires later than any.
    fn allow(&self, before: Option<Millis>, time: Millis) -> bool {
        (!self.nx || before.is_none())
            && (!self.xx || before.is_some())
            && (!self.gt || before.is_some_and(|before| time > before))
            && (!self.lt || before.is_none_or(|before| time < before))
    }
}

fn expire(call: &mut Call<'_>) -> Result<(), Refused> {
    set_deadline(call, SECONDS, "expire")
}

fn pexpire(call: &mut Call<'_>) -> Result<(), Refused> {
    set_deadline(call, MILLISECONDS, "pexpire")
}

fn expireat(call: &mut Call<'_>) -> Result<(), Refused> {
    set_deadline(call, SECONDS_SINCE_1970, "expireat")
}

fn pexpireat(call: &mut Call<'_>) -> Result<(), Refused> {
    set_deadline(call, MILLISECONDS_SINCE_1970, "pexpireat")
}

fn set_deadline(call: &mut Call<'_>, unit: Unit, name: &str) -> Result<(), Refused> {
    let (key, now) = (call.key(), call.now);
    let conditions = Conditions::parse(call.args.from(3))?;
    let number = integer(&call.args[2]).ok_or(NOT_INTEGER)?;
    let time = unit.time(number, now).ok_or_else(|| Refused::expire_time(name))?;
    let before = call.store.deadline(key, now);
    let is_to_be_set = before.is_some_and(|before| conditions.allow(before, time));
    if is_to_be_set {
        expire_at(call, time);
    }
    call.replies.integer(is_to_be_set.into());
    Ok(())
}

/// Sets the deadline of a key, or removes it if the time has come.
pub(super) fn expire_at(call: &mut Call<'_>, time: Millis) {
    if time > call.now {
        call.store.set_expiry(call.key(), Expiry::At(time));
    } else {
        call.store.remove(call.key(), call.now);
    }
}

fn persist(call: &mut Call<'_>) -> Result<(), Refused> {
    let ends = end_never(call);
    call.replies.integer(ends.into());
    Ok(())
}

/// Takes the deadline from a key; returns whether it had one.
pub(super) fn end_never(call: &mut Call<'_>) -> bool {
    let ends = matches!(call.store.deadline(call.key(), call.now), Some(Some(_)));
    if ends {
        call.store.set_expiry(call.key(), Expiry::Never);
    }
    ends
}

fn ttl(call: &mut Call<'_>) -> Result<(), Refused> {
    tell_deadline(call, |time, now| in_seconds(time - now))
}

fn pttl(call: &mut Call<'_>) -> Result<(), Refused> {
    tell_deadline(call, |time, now| time - now)
}

fn expiretime(call: &mut Call<'_>) -> Result<(), Refused> {
    tell_deadline(call, |time, _| in_seconds(time))
}

fn pexpiretime(call: &mut Call<'_>) -> Result<(), Refused> {
    tell_deadline(call, |time, _| time)
}

fn in_seconds(millis: Millis) -> i64 {
    millis.saturating_add(SECONDS.len / 2) / SECONDS.len
}

/// Tells what `number` makes of the deadline, which lies ahead; -1: there is none, -2: no key.
fn tell_deadline(
    call: &mut Call<'_>,
    number: impl FnOnce(Millis, Millis) -> i64,
) -> Result<(), Refused> {
    call.replies.integer(match call.store.deadline(call.key(), call.now) {
        None => -2,
        Some(None) => -1,
        Some(Some(time)) => number(time, call.now),
    });
    Ok(())
}

/// Reads the number of an option that gives a time, if `option` is one.
pub(super) fn time_option<'a>(
    option: &[u8],
    rest: &mut impl Iterator<Item = &'a [u8]>,
) -> Result<Option<(Unit, &'a [u8])>, Refused> {
    let Some(unit) = Unit::named(option) else { return Ok(None) };
    Ok(Some((unit, rest.next().ok_or(SYNTAX)?)))
}
