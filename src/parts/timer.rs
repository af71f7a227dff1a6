//! A timer, and an entry of the heap that names it. For the rules see [`timers`](crate::parts::timers).

use std::cmp::Ordering;

use crate::parts::moment::{Moment, NO_RANK, is_near};

/// A timer.
#[derive(Debug)]
pub(crate) struct Timer<T> {
    /// When it is to fire.
    pub(crate) deadline: Moment,
    /// Of two timers the one made later has the larger one: breaks ties. No two have the same.
    pub(crate) order: u32,
    pub(crate) place: Place,
    /// `None` while the timer is firing.
    pub(crate) action: Option<T>,
}

/// Where a timer is: in the heap, where only the entry of this rank counts, which is never after the timer's
/// deadline; or in one of the places below. An enum would take twice as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64);

impl Place {
    /// In `due`.
    pub(crate) const DUE: Self = Self(NO_RANK);
    /// Handed out; in neither collection until it is put back.
    pub(crate) const FIRING: Self = Self(NO_RANK - 1);

    pub(crate) fn entry(rank: u64) -> Self {
        Self(rank)
    }

    /// Whether it is an entry of the heap that comes at this deadline or before.
    pub(crate) fn is_entry_until(self, deadline: Moment) -> bool {
        self != Self::DUE && self != Self::FIRING && self.0 <= deadline.rank()
    }
}

impl<T> Timer<T> {
    /// Notes that it has an entry with its deadline now, and returns that.
    pub(crate) fn enter(&mut self, slot: u32) -> Entry {
        self.place = Place::entry(self.deadline.rank());
        Entry::new(self.deadline.rank(), self.order, slot)
    }

    /// Whether an entry of the heap is the one that counts for this timer.
    pub(crate) fn counts(&self, entry: Entry) -> bool {
        self.order == entry.order() && self.place == Place::entry(entry.rank())
    }
}

/// Names a timer that is to be looked at when its time comes: rank, order and slot in one number. The greatest is
/// the earliest, for a heap has its greatest at the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u128);

impl Entry {
    /// Takes the place of one that names no timer any more.
    pub(crate) const DEAD: Self = Self((NO_RANK as u128) << 64);

    pub(crate) fn new(rank: u64, order: u32, slot: u32) -> Self {
        Self(u128::from(rank) << 64 | u128::from(order) << 32 | u128::from(slot))
    }

    pub(crate) fn rank(self) -> u64 {
        (self.0 >> 64) as u64
    }

    pub(crate) fn order(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn slot(self) -> u32 {
        self.0 as u32
    }

    fn with_rank(self, rank: u64) -> Self {
        Self::new(rank, self.order(), self.slot())
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.cmp(&self.0)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Puts the earliest first. Timers are sorted only here: each place that sorts links five kilobytes or more.
#[inline(never)]
pub(crate) fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by_key(|entry| entry.0);
}

/// The same. Far moments of one rank are sorted too, by the `rest` of their deadlines.
pub(crate) fn sort_by_deadline(entries: &mut [Entry], rest: impl Fn(Entry) -> u32) {
    sort(entries);
    // Near ranks are side by side, so the ends tell whether there are others.
    if [entries.first(), entries.last()].into_iter().flatten().all(|entry| is_near(entry.rank())) {
        return;
    }
    for equal in entries.chunk_by_mut(|a, b| a.rank() == b.rank()) {
        let rank = equal[0].rank();
        if !is_near(rank) {
            equal.iter_mut().for_each(|entry| *entry = entry.with_rank(rest(*entry).into()));
            sort(equal);
            equal.iter_mut().for_each(|entry| *entry = entry.with_rank(rank));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_and_its_entry_are_small() {
        assert_eq!(size_of::<Entry>(), 16);
        assert_eq!(size_of::<Timer<[u64; 2]>>(), 48, "with an action of 16 bytes and a mark");
    }

    #[test]
    fn the_greatest_entry_is_the_earliest_and_then_the_first_made() {
        let [first, second, later] =
            [(1, 1, 9), (1, 2, 8), (2, 1, 7)].map(|(rank, order, slot)| {
                let entry = Entry::new(rank, order, slot);
                assert_eq!((entry.rank(), entry.order(), entry.slot()), (rank, order, slot));
                entry
            });
        assert!(first > second && second > later);
    }
}
