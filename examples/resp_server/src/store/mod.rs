//! The data: keys, values, and the time when each of them expires. It reads no clock: the caller
//! gives the time.

mod watch;

use std::collections::BTreeMap;

use bytes::Bytes;
use indexmap::IndexMap;

use crate::resp::number::{DIGITS, decimal, integer};
pub(crate) use watch::Watch;
use watch::Watches;

/// Milliseconds since 1970, as Redis counts them.
pub(crate) type Millis = i64;

/// When a value that is being set expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    Never,
    At(Millis),
    /// At the deadline of the value before.
    Keep,
}

/// Why a number was not changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoIncrement {
    NoNumber,
    Overflow,
}

/// Keys and values.
///
/// An expired key cannot be found any more. It leaves memory at the next
/// [`expire`](Self::expire); until then it counts in [`len`](Self::len).
///
/// The map hashes with the standard library's SipHash and random keys. With foldhash, the fastest
/// tried, a pipelined GET or SET takes 1 to 2 % less time. But its authors warn of attackers who
/// can observe the hasher's effects, and KEYS shows every peer the order of the keys in the map.
/// From this order a peer can find keys that collide.
///
/// The entries have positions without gaps: where one is removed, the last one takes its place.
#[derive(Debug, Default)]
pub(crate) struct Store {
    entries: IndexMap<Box<[u8]>, Entry>,
    /// The keys that expire, in the order of their deadlines.
    ending: BTreeMap<Deadline, Box<[u8]>>,
    /// How many deadlines were made.
    made: u64,
    /// How long all keys and values are.
    size: usize,
    watches: Watches,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Bytes,
    deadline: Option<Deadline>,
}

/// When a key expires; the number tells deadlines of one millisecond apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Deadline {
    at: Millis,
    number: u64,
}

impl Entry {
    fn is_there(&self, now: Millis) -> bool {
        self.deadline.is_none_or(|deadline| deadline.at > now)
    }
}

/// Commands.
impl Store {
    pub(crate) fn set(&mut self, key: &[u8], value: Bytes, expiry: Expiry, now: Millis) {
        self.watches.touch(key);
        self.size += value.len();
        let Some(entry) = self.entries.get_mut(key) else {
            self.size += key.len();
            self.entries.insert(key.into(), Entry { value, deadline: None });
            return self.put_deadline(key, expiry);
        };
        self.size -= entry.value.len();
        entry.value = value;
        match expiry {
            Expiry::Never if entry.deadline.is_none() => {}
            Expiry::Keep if entry.is_there(now) => {}
            Expiry::Keep => self.put_deadline(key, Expiry::Never),
            expiry => self.put_deadline(key, expiry),
        }
    }

    /// Whether there was something to remove.
    pub(crate) fn remove(&mut self, key: &[u8], now: Millis) -> bool {
        let Some(entry) = self.entries.swap_remove(key) else { return false };
        self.watches.touch(key);
        self.size -= key.len() + entry.value.len();
        if let Some(deadline) = entry.deadline {
            self.ending.remove(&deadline);
        }
        entry.is_there(now)
    }

    /// Adds to the number in the value, or to 0 if there is no value, and returns the sum. The
    /// deadline does not change.
    pub(crate) fn add(&mut self, key: &[u8], by: i64, now: Millis) -> Result<i64, NoIncrement> {
        let before = match self.get(key, now) {
            Some(value) => integer(value).ok_or(NoIncrement::NoNumber)?,
            None => 0,
        };
        let sum = before.checked_add(by).ok_or(NoIncrement::Overflow)?;
        let digits = Bytes::copy_from_slice(decimal(sum, &mut [0; DIGITS]));
        self.set(key, digits, Expiry::Keep, now);
        Ok(sum)
    }

    /// Changes a value, or an empty one if there is none, where it is: only one that a reply or
    /// another key shares is copied. The deadline does not change.
    pub(crate) fn edit<T>(
        &mut self,
        key: &[u8],
        now: Millis,
        change: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> T {
        if self.get(key, now).is_none() {
            self.set(key, Bytes::new(), Expiry::Never, now);
        }
        self.watches.touch(key);
        let empty = || Entry { value: Bytes::new(), deadline: None };
        let entry = self.entries.entry(key.into()).or_insert_with(empty);
        let mut bytes = Vec::from(std::mem::take(&mut entry.value));
        self.size -= bytes.len();
        let result = change(&mut bytes);
        self.size += bytes.len();
        entry.value = bytes.into();
        result
    }

    /// Sets when a key expires: at [`Expiry::At`] a time, or never. `Keep` does nothing.
    pub(crate) fn set_expiry(&mut self, key: &[u8], expiry: Expiry) {
        self.watches.touch(key);
        self.put_deadline(key, expiry);
    }

    /// Gives the value of a key, with its deadline, to another key.
    pub(crate) fn copy(&mut self, from: &[u8], to: &[u8], now: Millis) {
        let Some(Entry { value, deadline }) = self.entry(from, now).cloned() else { return };
        let expiry = deadline.map_or(Expiry::Never, |deadline| Expiry::At(deadline.at));
        self.set(to, value, expiry, now);
    }

    pub(crate) fn clear(&mut self) {
        self.watches.touch_all(|key| self.entries.contains_key(key));
        self.entries = IndexMap::default();
        self.ending.clear();
        self.size = 0;
    }

    /// Removes at most this many expired keys; returns how many it removed.
    pub(crate) fn expire(&mut self, now: Millis, at_most: usize) -> usize {
        for count in 0..at_most {
            let first = self.ending.first_key_value().filter(|(deadline, _)| deadline.at <= now);
            let Some((_, key)) = first else { return count };
            let key = key.clone();
            self.remove(&key, now);
        }
        at_most
    }

    /// Sets `watch` when the key is changed.
    pub(crate) fn watch(&mut self, key: &[u8], watch: &Watch) {
        self.watches.add(key, watch);
    }

    pub(crate) fn unwatch(&mut self, key: &[u8], watch: &Watch) {
        self.watches.remove(key, watch);
    }

    fn put_deadline(&mut self, key: &[u8], expiry: Expiry) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if expiry == Expiry::Keep {
            return;
        }
        if let Some(before) = entry.deadline.take() {
            self.ending.remove(&before);
        }
        if let Expiry::At(at) = expiry {
            let deadline = Deadline { at, number: self.made };
            self.made += 1;
            entry.deadline = Some(deadline);
            self.ending.insert(deadline, key.into());
        }
    }
}

/// Questions.
impl Store {
    pub(crate) fn get(&self, key: &[u8], now: Millis) -> Option<&Bytes> {
        Some(&self.entry(key, now)?.value)
    }

    /// When a key expires: `None` if there is no such key, `Some(None)` if never.
    pub(crate) fn deadline(&self, key: &[u8], now: Millis) -> Option<Option<Millis>> {
        Some(self.entry(key, now)?.deadline.map(|deadline| deadline.at))
    }

    /// The keys that are there, in no particular order.
    pub(crate) fn keys(&self, now: Millis) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter(move |(_, entry)| entry.is_there(now)).map(|(key, _)| &**key)
    }

    /// The key at a position less than [`len`](Self::len), unless it is expired.
    pub(crate) fn key_at(&self, position: usize, now: Millis) -> Option<&[u8]> {
        let (key, entry) = self.entries.get_index(position)?;
        entry.is_there(now).then_some(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many keys have a deadline.
    pub(crate) fn ending(&self) -> usize {
        self.ending.len()
    }

    /// How long all keys and values are.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// When the next key expires.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        Some(self.ending.first_key_value()?.0.at)
    }

    fn entry(&self, key: &[u8], now: Millis) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.is_there(now))
    }
}

#[cfg(test)]
mod tests;
