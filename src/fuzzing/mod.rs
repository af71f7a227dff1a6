//! The checks of the fuzzers: each function drives one part with any bytes.
//!
//! It compares the part with a model too simple to be wrong. `fuzz/` feeds the functions, and
//! `cargo test` replays the corpus kept there.

#[cfg(feature = "tls")]
mod flights;
mod framing;
mod places;

#[cfg(feature = "tls")]
pub use flights::flights;
pub use framing::{lengths, lines};
pub use places::places;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::parts::arena::{Arena, Key};
use crate::parts::timers::{TimerId, Timers};
use crate::parts::write_buffer::{Spares, WriteBuffer};

/// Pairs of a command and its argument.
fn commands(data: &[u8]) -> impl Iterator<Item = (u8, u8)> {
    data.chunks_exact(2).map(|pair| (pair[0] % 8, pair[1]))
}

/// Compares an arena with a map of all keys ever given out.
pub fn arena(data: &[u8]) {
    let mut arena = Arena::new();
    let mut model: Vec<(Key, Option<u8>)> = Vec::new();
    for (command, argument) in commands(data) {
        let at = usize::from(argument) % model.len().max(1);
        match (command, model.get_mut(at)) {
            (0..=2, _) | (_, None) => model.push((arena.insert(argument), Some(argument))),
            (3 | 4, Some((key, value))) => assert_eq!(arena.remove(*key), value.take()),
            (5, Some((key, value))) => {
                arena.convert(*key, |old| old.wrapping_add(1));
                *value = value.map(|old| old.wrapping_add(1));
            }
            (_, Some((key, value))) => assert_eq!(arena.get_mut(*key).copied(), *value),
        }
        check_arena(&mut arena, &model);
    }
}

fn check_arena(arena: &mut Arena<u8>, model: &[(Key, Option<u8>)]) {
    let mut living = 0;
    for (key, value) in model {
        assert_eq!(arena.get(*key), value.as_ref(), "{key}");
        let resolved = arena.resolve(key.token()).map(|(key, _)| key);
        assert!(resolved == value.map(|_| *key) || cfg!(not(target_pointer_width = "64")));
        living += usize::from(value.is_some());
    }
    assert_eq!((arena.len(), arena.iter().count()), (living, living));
}

/// Compares timers with a sorted map.
pub fn timers(data: &[u8]) {
    let mut run = TimersBesideModel::new();
    for (command, argument) in commands(data) {
        run.step(command, argument);
    }
}

struct TimersBesideModel {
    timers: Timers<u64>,
    /// By deadline, then by order of making, as the real timers promise.
    model: BTreeMap<(Instant, u64), TimerId>,
    /// All timers ever made: the id, and the deadline in the model while pending.
    made: Vec<(TimerId, Option<Instant>)>,
    now: Instant,
}

impl TimersBesideModel {
    fn new() -> Self {
        let now = Instant::now();
        Self { timers: Timers::new(), model: BTreeMap::new(), made: Vec::new(), now }
    }

    fn step(&mut self, command: u8, argument: u8) {
        let deadline = self.now + Duration::from_millis(u64::from(argument % 16));
        let at = usize::from(argument) % self.made.len().max(1);
        match (command, self.made.get(at).copied()) {
            (0..=2, _) | (_, None) => {
                let order = self.made.len() as u64;
                let id = self.timers.insert(deadline, order);
                self.model.insert((deadline, order), id);
                self.made.push((id, Some(deadline)));
            }
            (3, Some((id, pending))) => {
                let action = pending.map(|_| Some(at as u64));
                assert_eq!(self.timers.cancel(id), action);
                self.move_in_model(at, None);
            }
            (4 | 5, Some((id, pending))) => {
                assert_eq!(self.timers.reset(id, deadline), pending.is_some());
                self.move_in_model(at, pending.map(|_| deadline));
            }
            (_, Some(_)) => self.fire(argument),
        }
        assert_eq!(self.timers.len(), self.model.len());
        let first = self.model.keys().next().map(|(deadline, _)| *deadline);
        assert!(self.timers.next_deadline() <= first || first.is_none());
        // `settle` removes a bounded number of entries at a time.
        while self.timers.settle() < first {}
        assert_eq!(self.timers.settle(), first);
    }

    fn move_in_model(&mut self, at: usize, deadline: Option<Instant>) {
        let (id, pending) = self.made[at];
        if let Some(before) = pending {
            self.model.remove(&(before, at as u64));
        }
        if let Some(deadline) = deadline {
            self.model.insert((deadline, at as u64), id);
        }
        self.made[at].1 = deadline;
    }

    fn fire(&mut self, argument: u8) {
        let repeats = |order: &u64| order % 2 == 1;
        self.now += Duration::from_millis(u64::from(argument % 8));
        let due: Vec<_> =
            self.model.range(..=(self.now, u64::MAX)).map(|(k, v)| (*k, *v)).collect();
        self.timers.gather(self.now);
        for ((deadline, order), id) in due {
            let next = self.timers.next_due(repeats);
            let next = next.map(|(id, due, order)| (id, self.timers.instant(due), order));
            assert_eq!(next, Some((id, deadline, order)));
            assert!(!self.timers.reset(id, self.now), "it fires");
            if !repeats(&order) {
                assert_eq!(self.timers.cancel(id), None);
                self.move_in_model(order as usize, None);
            } else {
                let next = self.now + Duration::from_millis(3);
                assert_eq!(self.timers.put_back(id, next, order), Ok(()));
                self.move_in_model(order as usize, Some(next));
            }
        }
        assert_eq!(self.timers.next_due(repeats), None);
    }
}

/// Compares a write buffer with a queue of bytes.
pub fn write_buffer(data: &[u8]) {
    let mut spares = Spares::default();
    let mut buffers = [WriteBuffer::default(), WriteBuffer::default()];
    let mut models = [VecDeque::new(), VecDeque::new()];
    for (step, (command, argument)) in commands(data).enumerate() {
        let which = usize::from(command & 1);
        let (buffer, model): (_, &mut VecDeque<u8>) = (&mut buffers[which], &mut models[which]);
        let count = usize::from(argument) * if command & 4 == 0 { 1 } else { 300 };
        match command & 6 {
            0 | 4 => {
                let piece: Vec<u8> = (0..count).map(|at| (at + step) as u8).collect();
                buffer.push(&piece, &mut spares);
                model.extend(piece);
            }
            2 => {
                buffer.advance(count, &mut spares);
                model.drain(..count.min(model.len()));
            }
            _ => {
                buffer.clear(&mut spares);
                model.clear();
            }
        }
        assert_eq!((buffer.len(), buffer.is_empty()), (model.len(), model.is_empty()));
        // Slices compare fast, so that a fuzzer gets through many inputs.
        let (front, back) = model.as_slices();
        assert!(buffer.unsent().split_at(front.len()) == (front, back));
    }
}

/// Drives one connection through the steps that the bytes choose, beside a model of its promises.
pub fn connection(data: &[u8]) {
    crate::connection::sequences::play_bytes(data);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::parts::random::Random;

    type Check = fn(&[u8]);

    const TARGETS: &[(&str, Check)] = &[
        ("connection", connection),
        ("arena", arena),
        ("timers", timers),
        ("write_buffer", write_buffer),
        ("places", places),
        ("lines", lines),
        ("lengths", lengths),
        #[cfg(feature = "tls")]
        ("flights", flights),
    ];

    /// The corpus is in the repository and not in the package, so it may be missing.
    #[test]
    fn the_corpus_of_the_fuzzers_replays() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        if !corpus.exists() {
            return;
        }
        for &(name, check) in TARGETS {
            for entry in std::fs::read_dir(corpus.join(name)).expect(name) {
                check(&std::fs::read(entry.unwrap().path()).unwrap());
            }
        }
    }

    /// `CROCUS_FLIGHTS=N cargo test --release --lib flights` plays N random inputs.
    #[cfg(feature = "tls")]
    #[test]
    fn random_flights_find_no_fault() {
        let rounds = std::env::var("CROCUS_FLIGHTS").ok().and_then(|text| text.parse().ok());
        for seed in 0..rounds.unwrap_or(60) {
            let mut random = Random::new(seed);
            let len = random.below(120);
            let data: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
            let played = std::panic::catch_unwind(|| flights(&data));
            assert!(played.is_ok(), "seed {seed}: {data:?}");
        }
    }

    #[test]
    fn random_bytes_find_no_fault() {
        let rounds = if cfg!(miri) { 2 } else { 20 };
        for (number, (_, check)) in TARGETS.iter().enumerate() {
            let mut random = Random::new(number as u64);
            for _ in 0..rounds {
                let len = random.below(400);
                let data: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
                check(&data);
            }
        }
    }
}
