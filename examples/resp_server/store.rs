//! The data: keys, values, and the time when each of them expires. It reads no clock: the caller
//! gives the time.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::number::{DIGITS, decimal, integer};

/// When a value that is being set expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    Never,
    At(Instant),
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
#[derive(Debug, Default)]
pub(crate) struct Store {
    entries: HashMap<Box<[u8]>, Entry>,
    /// The keys that expire, in the order of their deadlines.
    ending: BTreeMap<Deadline, Box<[u8]>>,
    /// How many deadlines were made.
    made: u64,
}

#[derive(Debug)]
struct Entry {
    value: Box<[u8]>,
    deadline: Option<Deadline>,
}

/// When a key expires; the number tells deadlines of one instant apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Deadline {
    at: Instant,
    number: u64,
}

impl Entry {
    fn is_there(&self, now: Instant) -> bool {
        self.deadline.is_none_or(|deadline| deadline.at > now)
    }
}

impl Store {
    pub(crate) fn get(&self, key: &[u8], now: Instant) -> Option<&[u8]> {
        Some(&self.entry(key, now)?.value)
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], expiry: Expiry, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else {
            self.entries.insert(key.into(), Entry { value: value.into(), deadline: None });
            return self.set_expiry(key, expiry);
        };
        // A value of the same length, like a counter's, needs no new memory.
        if entry.value.len() == value.len() {
            entry.value.copy_from_slice(value);
        } else {
            entry.value = value.into();
        }
        match expiry {
            Expiry::Never if entry.deadline.is_none() => {}
            Expiry::Keep if entry.is_there(now) => {}
            Expiry::Keep => self.set_expiry(key, Expiry::Never),
            expiry => self.set_expiry(key, expiry),
        }
    }

    /// Whether there was something to remove.
    pub(crate) fn remove(&mut self, key: &[u8], now: Instant) -> bool {
        let Some(entry) = self.entries.remove(key) else { return false };
        if let Some(deadline) = entry.deadline {
            self.ending.remove(&deadline);
        }
        entry.is_there(now)
    }

    /// Adds to the number in the value, or to 0 if there is no value, and returns the sum. The
    /// deadline does not change.
    pub(crate) fn add(&mut self, key: &[u8], by: i64, now: Instant) -> Result<i64, NoIncrement> {
        let before = match self.get(key, now) {
            Some(value) => integer(value).ok_or(NoIncrement::NoNumber)?,
            None => 0,
        };
        let sum = before.checked_add(by).ok_or(NoIncrement::Overflow)?;
        self.set(key, decimal(sum, &mut [0; DIGITS]), Expiry::Keep, now);
        Ok(sum)
    }

    /// When a key expires: `None` if there is no such key, `Some(None)` if never.
    pub(crate) fn deadline(&self, key: &[u8], now: Instant) -> Option<Option<Instant>> {
        Some(self.entry(key, now)?.deadline.map(|deadline| deadline.at))
    }

    /// Sets when a key expires: at [`Expiry::At`] an instant, or never. `Keep` does nothing.
    pub(crate) fn set_expiry(&mut self, key: &[u8], expiry: Expiry) {
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

    /// The keys that are there, in no particular order.
    pub(crate) fn keys(&self, now: Instant) -> impl Iterator<Item = &[u8]> {
        let there = self.entries.iter().filter(move |(_, entry)| entry.is_there(now));
        there.map(|(key, _)| &**key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many keys have a deadline.
    pub(crate) fn ending(&self) -> usize {
        self.ending.len()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// When the next key expires.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        Some(self.ending.first_key_value()?.0.at)
    }

    /// Removes at most this many expired keys; returns how many it removed.
    pub(crate) fn expire(&mut self, now: Instant, at_most: usize) -> usize {
        for count in 0..at_most {
            let Some(first) = self.ending.first_entry().filter(|first| first.key().at <= now)
            else {
                return count;
            };
            let key = first.remove();
            self.entries.remove(&key);
        }
        at_most
    }

    fn entry(&self, key: &[u8], now: Instant) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.is_there(now))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Whether the deadlines in the two maps agree.
    fn is_sound(store: &Store) -> bool {
        let deadlines =
            store.entries.iter().filter_map(|(key, entry)| Some((entry.deadline?, key)));
        deadlines.clone().count() == store.ending.len()
            && deadlines.clone().all(|(deadline, key)| store.ending.get(&deadline) == Some(key))
    }

    #[test]
    fn a_key_is_there_up_to_its_deadline_and_not_from_then_on() {
        let (mut store, now) = (Store::default(), Instant::now());
        let end = now + 10 * MS;
        store.set(b"k", b"v", Expiry::At(end), now);
        assert_eq!(store.get(b"k", end - Duration::from_nanos(1)), Some(&b"v"[..]));
        assert_eq!(store.deadline(b"k", now), Some(Some(end)));
        assert_eq!((store.get(b"k", end), store.deadline(b"k", end)), (None, None));
        assert_eq!((store.keys(end).count(), store.len()), (0, 1));
        assert!(!store.remove(b"k", end));
        assert_eq!((store.len(), store.ending()), (0, 0));
    }

    #[test]
    fn setting_anew_ends_the_old_deadline_unless_it_is_to_be_kept() {
        let (mut store, now) = (Store::default(), Instant::now());
        let end = now + 10 * MS;
        for (expiry, expected) in [
            (Expiry::Keep, Some(end)),
            (Expiry::Never, None),
            (Expiry::At(end + MS), Some(end + MS)),
        ] {
            store.set(b"k", b"1", Expiry::At(end), now);
            store.set(b"k", b"22", expiry, now);
            assert_eq!(store.deadline(b"k", now), Some(expected));
            assert!(is_sound(&store), "{store:?}");
        }
        // An expired key has no deadline to keep.
        store.set(b"k", b"3", Expiry::At(end), now);
        store.set(b"k", b"4", Expiry::Keep, end);
        assert_eq!(store.deadline(b"k", end), Some(None));
        assert!(is_sound(&store));
    }

    #[test]
    fn keys_are_removed_in_the_order_they_end_and_no_more_than_asked_for() {
        let (mut store, now) = (Store::default(), Instant::now());
        for number in 0..100_u32 {
            store.set(&number.to_le_bytes(), b"", Expiry::At(now + (number % 10) * MS), now);
        }
        store.set(b"stays", b"", Expiry::Never, now);
        assert_eq!(store.next_deadline(), Some(now));
        assert_eq!(store.expire(now + 4 * MS, 30), 30);
        assert_eq!(store.next_deadline(), Some(now + 3 * MS));
        assert_eq!(store.expire(now + 4 * MS, 30), 20);
        assert_eq!(store.next_deadline(), Some(now + 5 * MS));
        assert_eq!((store.len(), store.ending()), (51, 50));
        assert!(is_sound(&store));
        assert_eq!(store.expire(now + 9 * MS, usize::MAX), 50);
        assert_eq!((store.len(), store.next_deadline()), (1, None));
    }

    #[test]
    fn a_million_deadlines_of_one_key_leave_one() {
        let (mut store, now) = (Store::default(), Instant::now());
        for number in 0..1_000_000 {
            store.set(b"session", b"", Expiry::At(now + number * MS), now);
        }
        assert_eq!((store.len(), store.ending()), (1, 1));
    }

    #[test]
    fn numbers_are_added_to_within_64_bits() {
        let (mut store, now) = (Store::default(), Instant::now());
        assert_eq!(store.add(b"n", 9, now), Ok(9));
        assert_eq!(store.add(b"n", 1, now), Ok(10));
        assert_eq!(store.get(b"n", now), Some(&b"10"[..]));
        assert_eq!(store.add(b"n", i64::MAX, now), Err(NoIncrement::Overflow));
        assert_eq!(store.add(b"n", i64::MIN, now), Ok(i64::MIN + 10));
        assert_eq!(store.add(b"n", -11, now), Err(NoIncrement::Overflow));
        for text in ["", "x", "1x", "+1", " 1", "01", "-0", "-", "9223372036854775808"] {
            store.set(b"n", text.as_bytes(), Expiry::Never, now);
            assert_eq!(store.add(b"n", 1, now), Err(NoIncrement::NoNumber), "{text:?}");
        }
        store.set(b"n", b"-9223372036854775808", Expiry::At(now + MS), now);
        assert_eq!(store.add(b"n", 1, now), Ok(i64::MIN + 1));
        assert_eq!(store.deadline(b"n", now), Some(Some(now + MS)));
        assert_eq!(store.add(b"n", 1, now + MS), Ok(1));
        assert_eq!(store.deadline(b"n", now + MS), Some(None));
    }
}
