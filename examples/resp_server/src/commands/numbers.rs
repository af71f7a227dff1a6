//! Commands on values that are numbers.

use bytes::Bytes;

use super::refused::{NOT_INTEGER, OVERFLOW, Refused};
use super::{Call, Command, ONE_KEY, command};
use crate::resp::number::integer;
use crate::store::{Expiry, NoIncrement};

pub(super) const COMMANDS: &[Command] = &[
    command("incr", 2, incr).writes(ONE_KEY).help("key", "Adds one to the number of a key."),
    command("decr", 2, decr).writes(ONE_KEY).help("key", "Subtracts one from the number of a key."),
    command("incrby", 3, incrby)
        .writes(ONE_KEY)
        .help("key increment", "Adds to the number of a key."),
    command("decrby", 3, decrby)
        .writes(ONE_KEY)
        .help("key decrement", "Subtracts from the number of a key."),
    command("incrbyfloat", 3, incrbyfloat)
        .writes(ONE_KEY)
        .help("key increment", "Adds to the number of a key, which may have a fraction."),
];

const NOT_FLOAT: Refused = Refused::Text("ERR value is not a valid float");

fn incr(call: &mut Call<'_>) -> Result<(), Refused> {
    add(call, 1)
}

fn decr(call: &mut Call<'_>) -> Result<(), Refused> {
    add(call, -1)
}

fn incrby(call: &mut Call<'_>) -> Result<(), Refused> {
    add(call, integer(&call.args[2]).ok_or(NOT_INTEGER)?)
}

fn decrby(call: &mut Call<'_>) -> Result<(), Refused> {
    let by = integer(&call.args[2]).ok_or(NOT_INTEGER)?;
    add(call, by.checked_neg().ok_or(Refused::Text("ERR decrement would overflow"))?)
}

fn add(call: &mut Call<'_>, by: i64) -> Result<(), Refused> {
    match call.store.add(call.key(), by, call.now) {
        Ok(sum) => call.replies.integer(sum),
        Err(NoIncrement::NoNumber) => return Err(NOT_INTEGER),
        Err(NoIncrement::Overflow) => return Err(OVERFLOW),
    }
    Ok(())
}

/// Numbers have 64 bits here, and 80 in Redis on most machines: 0.1 and 0.2 make 0.30000000000000004.
fn incrbyfloat(call: &mut Call<'_>) -> Result<(), Refused> {
    let before = match call.store.get(call.key(), call.now) {
        Some(value) => float(value).ok_or(NOT_FLOAT)?,
        None => 0.0,
    };
    let sum = before + float(&call.args[2]).ok_or(NOT_FLOAT)?;
    if !sum.is_finite() {
        return Err(Refused::Text("ERR increment would produce NaN or Infinity"));
    }
    let sum = if sum == 0.0 { 0.0 } else { sum }; // no minus sign
    let digits = Bytes::from(sum.to_string());
    call.replies.bulk(&digits);
    call.store.set(call.key(), digits, Expiry::Keep, call.now);
    Ok(())
}

fn float(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}
