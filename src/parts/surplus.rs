//! When a collection gives memory back after a peak.
//!
//! It grows by doubling, and shrinks to twice of what is in it when three quarters are empty. So a load that
//! goes up and down costs a bounded number of moves for each entry, and small collections never shrink.

/// A collection with room for no more entries than this stays as it is, and one that shrinks keeps room for half of it.
const SPARE: usize = 1024;

/// For how many entries there should be room, if there is far too much.
#[inline]
pub(crate) fn surplus(len: usize, capacity: usize) -> Option<usize> {
    (capacity > SPARE && len < capacity / 4).then(|| (2 * len).max(SPARE / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_grows_and_empties_moves_each_entry_a_few_times() {
        const MANY: usize = 100_000;
        let mut queue = std::collections::VecDeque::new();
        let mut moves = 0;
        for round in 0..4 {
            for entry in 0..MANY {
                moves += if queue.len() == queue.capacity() { queue.len() } else { 0 };
                queue.push_back(entry);
            }
            for _ in 0..MANY {
                queue.pop_front();
                if let Some(room) = surplus(queue.len(), queue.capacity()) {
                    moves += queue.len();
                    queue.shrink_to(room);
                }
            }
            assert!(queue.capacity() <= SPARE, "{} after round {round}", queue.capacity());
        }
        assert!(moves <= 4 * 3 * MANY, "{moves} moves");
    }
}
