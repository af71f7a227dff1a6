//! The numbers that choose the steps: those of a generator, or the bytes of a fuzzer.

use crate::parts::random::Random;

/// Chooses what happens next. One model so checks random sequences and those of a fuzzer.
pub(super) struct Choices<'a> {
    /// A fuzzer's, as many as are left.
    bytes: Option<&'a [u8]>,
    /// After the last byte it finishes the step and chooses how the sequence winds up.
    random: Random,
}

impl<'a> Choices<'a> {
    #[cfg(test)]
    pub(super) fn from_seed(seed: u64) -> Self {
        Self { bytes: None, random: Random::new(seed) }
    }

    /// Whether a seed makes the choices, and no fuzzer.
    pub(super) fn are_of_a_seed(&self) -> bool {
        self.bytes.is_none()
    }

    pub(super) fn from_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes: Some(bytes), random: Random::new(0) }
    }

    /// Whether the bytes are used up, so that no further step is chosen.
    pub(super) fn are_over(&self) -> bool {
        self.bytes.is_some_and(<[u8]>::is_empty)
    }

    /// A number below `bound`. It takes one byte, or two where one cannot reach the bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let width = if bound <= 256 { 1 } else { 2 };
        let Some((number, rest)) = self.bytes.and_then(|bytes| bytes.split_at_checked(width))
        else {
            self.bytes = self.bytes.map(|_| [].as_slice());
            return self.random.below(bound);
        };
        self.bytes = Some(rest);
        number.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_choose_until_they_are_used_up() {
        let mut choices = Choices::from_bytes(&[7, 1, 2, 9]);
        assert_eq!((choices.below(5), choices.below(2000)), (2, 258));
        assert!(!choices.are_over());
        let rest = choices.below(2000); // one byte is too few
        assert!(choices.are_over() && rest == Random::new(0).below(2000));
        assert!(!Choices::from_seed(3).are_over());
    }
}
