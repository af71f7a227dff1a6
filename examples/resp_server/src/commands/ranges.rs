//! Commands on parts of values: ranges of bytes, and bits.

use super::refused::{NOT_INTEGER, Refused, TOO_LONG};
use super::{Call, Command, ONE_KEY, command};
use crate::resp::number::integer;

pub(super) const COMMANDS: &[Command] = &[
    command("strlen", 2, strlen).reads(ONE_KEY).help("key", "How long the value of a key is."),
    command("append", 3, append)
        .writes(ONE_KEY)
        .help("key value", "Appends to the value of a key."),
    command("getrange", 4, getrange)
        .reads(ONE_KEY)
        .help("key start end", "A part of the value of a key, with both ends."),
    command("setrange", 4, setrange)
        .writes(ONE_KEY)
        .help("key offset value", "Overwrites a part of the value of a key."),
    command("getbit", 3, getbit).reads(ONE_KEY).help("key offset", "A bit of the value of a key."),
    command("setbit", 4, setbit)
        .writes(ONE_KEY)
        .help("key offset value", "Sets a bit of the value of a key; returns the one before."),
];

const BIT_OFFSET: Refused = Refused::Text("ERR bit offset is not an integer or out of range");
const BIT: Refused = Refused::Text("ERR bit is not an integer or out of range");

fn strlen(call: &mut Call<'_>) -> Result<(), Refused> {
    let value = call.store.get(call.key(), call.now);
    call.replies.count(value.map_or(0, |value| value.len()));
    Ok(())
}

fn append(call: &mut Call<'_>) -> Result<(), Refused> {
    let (key, now, more) = (call.key(), call.now, &call.args[2]);
    let before = call.store.get(key, now).map_or(0, |value| value.len());
    if before + more.len() > call.limits.value {
        return Err(TOO_LONG);
    }
    let len = call.store.edit(key, now, |value| {
        value.extend_from_slice(more);
        value.len()
    });
    call.replies.count(len);
    Ok(())
}

/// Positions count from the first byte, or from the last if they are negative.
fn getrange(call: &mut Call<'_>) -> Result<(), Refused> {
    let start = integer(&call.args[2]).ok_or(NOT_INTEGER)?;
    let end = integer(&call.args[3]).ok_or(NOT_INTEGER)?;
    let value = call.store.get(call.key(), call.now).cloned().unwrap_or_default();
    let len = value.len() as i64; // no slice is longer than i64::MAX
    let is_backward = end < 0 && start < 0 && start > end; // else both might mean the first byte
    let from_start = |at: i64| if at < 0 { (len + at).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end || is_backward {
        call.replies.bulk(b"");
    } else {
        call.replies.value(&value.slice(start as usize..=end as usize)); // 0 <= start <= end < len
    }
    Ok(())
}

fn setrange(call: &mut Call<'_>) -> Result<(), Refused> {
    let (key, now, part) = (call.key(), call.now, &call.args[3]);
    let offset = integer(&call.args[2]).ok_or(NOT_INTEGER)?;
    let offset =
        usize::try_from(offset).map_err(|_| Refused::Text("ERR offset is out of range"))?;
    let before = call.store.get(key, now).map_or(0, |value| value.len());
    if part.is_empty() {
        call.replies.count(before);
        return Ok(());
    }
    let end = offset.checked_add(part.len()).filter(|&end| end <= call.limits.value);
    let end = end.ok_or(TOO_LONG)?;
    let len = call.store.edit(key, now, |value| {
        value.resize(value.len().max(end), 0);
        value[offset..end].copy_from_slice(part);
        value.len()
    });
    call.replies.count(len);
    Ok(())
}

fn getbit(call: &mut Call<'_>) -> Result<(), Refused> {
    let (byte, mask) = bit_of(call)?;
    let value = call.store.get(call.key(), call.now);
    let byte = value.and_then(|value| value.get(byte)).copied().unwrap_or(0);
    call.replies.integer((byte & mask != 0).into());
    Ok(())
}

fn setbit(call: &mut Call<'_>) -> Result<(), Refused> {
    let (byte, mask) = bit_of(call)?;
    let is_to_be_set = match &call.args[3] {
        b"0" => false,
        b"1" => true,
        _ => return Err(BIT),
    };
    let was_set = call.store.edit(call.key(), call.now, |value| {
        value.resize(value.len().max(byte + 1), 0);
        let was_set = value[byte] & mask != 0;
        value[byte] = if is_to_be_set { value[byte] | mask } else { value[byte] & !mask };
        was_set
    });
    call.replies.integer(was_set.into());
    Ok(())
}

/// The byte and the bit of it at the offset of a request: bits count from the highest one.
fn bit_of(call: &Call<'_>) -> Result<(usize, u8), Refused> {
    let offset = integer(&call.args[2]).and_then(|offset| usize::try_from(offset).ok());
    let offset = offset.filter(|offset| offset / 8 < call.limits.value).ok_or(BIT_OFFSET)?;
    Ok((offset / 8, 0x80 >> (offset % 8)))
}
