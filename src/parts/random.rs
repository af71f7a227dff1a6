//! A small random number generator, for waits with jitter and for cutting simulated streams.
//!
//! xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled").
//! One seed gives one sequence. Not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // The state must not be zero, and neighbouring seeds should give unlike states.
        Self((seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xD134_2543_DE82_EF95) | 1)
    }

    /// One that differs each time. The seeds of hash maps are the standard library's way to the system's chance.
    pub(crate) fn by_chance() -> Self {
        Self::new(RandomState::new().build_hasher().finish())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which must be at least one.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 32) % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_its_neighbour_another() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [(); 8].map(|()| random.below(1000))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn without_a_seed_each_differs() {
        assert_ne!(Random::by_chance().next(), Random::by_chance().next());
    }
}
