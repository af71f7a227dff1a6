//! Values by their places, of which there may be many at once, and few afterwards.

use slab::Slab;

/// Room for so many is kept in any case.
const SPARE: usize = 1024;

/// A slab that gives memory back after a peak: all behind the last value that is still there.
pub(super) struct Places<T> {
    slab: Slab<T>,
    /// With no more values than this it shrinks: a quarter of those with which it has grown, then half as many each time. So
    /// it costs a bounded number of moves for each value, also if one at a high place stays.
    few: usize,
}

impl<T> Places<T> {
    /// The place of the next value.
    pub(super) fn next(&self) -> usize {
        self.slab.vacant_key()
    }

    /// Returns its place.
    pub(super) fn insert(&mut self, value: T) -> usize {
        let room = self.slab.capacity();
        let place = self.slab.insert(value);
        if self.slab.capacity() > room {
            self.few = self.slab.len() / 4;
        }
        place
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let value = self.slab.try_remove(place);
        if self.slab.len() <= self.few && self.slab.capacity() > SPARE {
            self.slab.shrink_to_fit();
            self.few = self.slab.len() / 2;
        }
        value
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.slab.get_mut(place)
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slab.iter().map(|(_, value)| value)
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = T> {
        self.slab.into_iter().map(|(_, value)| value)
    }
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { slab: Slab::new(), few: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 100_000;

    #[test]
    fn after_a_peak_the_memory_is_given_back() {
        let mut places = Places::default();
        let first = places.insert(0);
        for round in 0..3 {
            let mut others: Vec<_> = (0..MANY).map(|value| places.insert(value)).collect();
            if round == 1 {
                others.reverse();
            }
            others.into_iter().for_each(|place| _ = places.remove(place));
            assert!(places.slab.capacity() <= SPARE, "{}", places.slab.capacity());
        }
        assert_eq!((places.remove(first), places.len()), (Some(0), 0));
    }

    #[test]
    fn one_that_stays_at_a_high_place_costs_the_others_nothing() {
        let mut places = Places::default();
        let all: Vec<_> = (0..MANY).map(|value| places.insert(value)).collect();
        all[..MANY - 1].iter().for_each(|&place| _ = places.remove(place));
        assert_eq!(places.few, 0);
        for round in 0..100 {
            let place = places.insert(round);
            assert_eq!((places.remove(place), places.few), (Some(round), 0));
        }
        assert_eq!(places.get_mut(all[MANY - 1]), Some(&mut (MANY - 1)));
    }
}
