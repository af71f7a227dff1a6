//! Values by their places, of which there may be many at once, and few afterwards.

use slab::Slab;

/// With room for no more than so many it does not shrink.
const SPARE: usize = 1024;

/// A slab that gives memory back after a peak: all behind the last value that is still there.
pub(super) struct Places<T> {
    slab: Slab<T>,
    /// With no more values than this it shrinks: a quarter of those with which it has grown, then half as many each time.
    few: usize,
    /// How many were removed since it shrank. After half as many as there is room for it may shrink again, for one at a high
    /// place, behind which it could not, may be gone. So it looks at a bounded number of places for each value.
    removed: usize,
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
        self.removed += usize::from(value.is_some());
        let (len, room) = (self.slab.len(), self.slab.capacity());
        let is_due = len <= self.few || (len < room / 4 && self.removed >= room / 2);
        if room > SPARE && is_due {
            self.slab.shrink_to_fit();
            (self.few, self.removed) = (len / 2, 0);
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
        Self { slab: Slab::new(), few: 0, removed: 0 }
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
    fn one_that_stays_at_a_high_place_costs_the_others_little() {
        let mut places = Places::default();
        let few: Vec<_> = (0..50).map(|value| places.insert(value)).collect();
        let all: Vec<_> = (0..MANY).map(|value| places.insert(value)).collect();
        let (high, others) = all.split_last().unwrap();
        others.iter().for_each(|&place| _ = places.remove(place));
        let churn = |places: &mut Places<usize>| {
            let mut shrunk = 0;
            for round in 0..MANY {
                let (place, before) = (places.insert(round), places.removed);
                assert_eq!(places.remove(place), Some(round));
                shrunk += usize::from(places.removed < before);
            }
            shrunk
        };
        assert!((1..=2).contains(&churn(&mut places)), "as it has room for as many");
        assert!(places.slab.capacity() >= MANY);

        assert_eq!(places.remove(*high), Some(MANY - 1));
        churn(&mut places);
        assert!(places.slab.capacity() <= SPARE, "{}", places.slab.capacity());
        assert!(few.iter().enumerate().all(|(value, &place)| places.remove(place) == Some(value)));
    }
}
