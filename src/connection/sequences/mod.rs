//! Random sequences of events and commands for one connection.
//!
//! A model checks which notices may come, which must come, and why the connection may end. A seed chooses
//! the steps, or the bytes of a fuzzer (`fuzzing::connection`).
//!
//! `CROCUS_SEQUENCE=seed cargo test --lib sequences` plays one sequence again and prints it; a path in the
//! place of the seed plays the bytes of that file.

mod choices;
mod commands;
mod ending;
mod outside;
mod promises;
mod visits;

use std::time::{Duration, Instant};

use super::script::Driver;
use crate::parts::token_bucket::Rate;
use choices::Choices;

const MS: Duration = Duration::from_millis(1);

/// Both sides send these bytes, from the first on. No two places look alike for long.
static BYTES: [u8; 8192] = bytes();

const fn bytes() -> [u8; 8192] {
    let (mut bytes, mut at, mut state) = ([0; 8192], 0, 1_u32);
    while at < bytes.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[at] = (state >> 24) as u8;
        at += 1;
    }
    bytes
}

/// Which notices the protocol may get.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Stage {
    #[default]
    New,
    Up,
    HandedOver,
    Closing,
    Ended,
}

/// A rate, the time it was set, and the bytes that had passed before.
#[derive(Clone, Copy)]
struct Limit {
    rate: Rate,
    burst: usize,
    since: Duration,
    passed: usize,
}

impl Limit {
    fn allows(&self, now: Duration, passed: usize) -> bool {
        let nanos = (now - self.since).as_nanos() as usize;
        let earned = nanos * self.rate.bytes_per_second() as usize / 1_000_000_000;
        passed - self.passed <= self.burst + earned + 1 // a full bucket is rounded up
    }
}

/// How often the sequences came by what they are to reach.
#[derive(Default, Debug)]
struct Reached {
    /// New, Open, HandingOver, Closing, Lingering, Gone.
    lives: [usize; 6],
    /// Made, Data, Eof, Pause, Resume, TimedOut, Handover, ShuttingDown.
    notices: [usize; 8],
    /// Closed, PeerClosed, Aborted, TimedOut, CloseTimedOut, Overflow, Failed open, Failed closing,
    /// none at all.
    ends: [usize; 9],
    /// By the protocol, pressure, the reading rate, bytes put back, the writing rate.
    holds: [usize; 5],
    /// Closed within the first visit, broken output, finishing.
    rare: [usize; 3],
}

struct Sequence<'a> {
    /// Whether to print what happens.
    prints: bool,
    choices: Choices<'a>,
    driver: Driver,
    begin: Instant,
    reached: &'a mut Reached,
    model: Model,
}

/// All that the test knows of a connection. Times count from the beginning.
#[derive(Default)]
struct Model {
    visits: usize,
    idle_visits: usize,
    stage: Stage,
    /// Of what the peer sent: how much was told, and not put back since.
    told: usize,
    /// How much was told in all, so also again.
    heard: usize,
    /// How much of that was the last `Data`, and is not put back.
    last: usize,
    /// How much was there when an event said so.
    seen: usize,
    seen_end: bool,
    seen_reset: bool,
    /// Bytes were put back after that: they may not be given again.
    put_back_late: bool,
    accepted: usize,
    checked: usize,
    wants_fin: bool,
    we_ended_first: Option<bool>,
    eof: bool,
    paused: bool,
    held: bool,
    pressed: bool,
    put_back: bool,
    /// Whether the protocol writes back what it is told.
    echoes: bool,
    /// Whether the protocol only listens.
    quiet: bool,
    over: bool,
    timeout: Option<Duration>,
    telling_timeout: bool,
    active: Duration,
    /// Input came that is not read. It is activity, too.
    stirred: bool,
    moved: (usize, usize),
    close_timeout: Duration,
    /// It closes when it was told to go on writing and has added nothing.
    finishing: bool,
    /// When it began to finish, or the first visit with writing saw that it closes; when the peer was heard since.
    closing_since: Option<Duration>,
    heard_at: Duration,
    over_timeout: bool,
    overflow: Option<usize>,
    limits: [Option<Limit>; 2],
    /// When the reactor began to shut down, and whether the present protocol was told.
    shutting_down: Option<Duration>,
    told_of_shutdown: bool,
}

impl<'a> Sequence<'a> {
    fn new(mut choices: Choices<'a>, prints: bool, reached: &'a mut Reached) -> Self {
        let mut driver = Driver::new();
        driver.common.closing_times.linger = 40 * MS;
        driver.common.closing_times.shutdown_linger = 10 * MS;
        driver.common.closing_times.close_timeout = 100 * MS;
        driver.common.cap = if choices.below(5) == 0 { 30 } else { 1000 };
        let mut wire = driver.script.wire_mut();
        wire.window = choices.below(80);
        wire.forgives = choices.below(4) > 0;
        drop(wire);
        let close_timeout = driver.common.closing_times.close_timeout;
        let echoes = choices.below(3) == 0;
        let model = Model { close_timeout, echoes, ..Model::default() };
        Self { prints, choices, begin: driver.now, driver, reached, model }
    }

    fn log(&self, act: std::fmt::Arguments<'_>) {
        if self.prints {
            eprintln!("{act}");
        }
    }

    fn now(&self) -> Duration {
        self.driver.now - self.begin
    }

    fn play(&mut self) {
        for _ in 0..20 + self.choices.below(41) {
            let gone = self.driver.connection.is_gone() && self.choices.below(3) == 0;
            if gone || self.choices.are_over() {
                break;
            }
            match self.choices.below(10) {
                0..=2 => self.outside(),
                3..=5 => self.command(),
                _ => self.turn(),
            }
        }
        self.wind_up();
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.choices.below(one_in) == 0
    }

    fn some(&mut self, most: usize) -> usize {
        1 + self.choices.below(most)
    }

    fn is_open(&self) -> bool {
        matches!(self.model.stage, Stage::New | Stage::Up | Stage::HandedOver)
    }
}

/// Checks the sequence that the bytes choose.
pub(crate) fn play_bytes(bytes: &[u8]) {
    Sequence::new(Choices::from_bytes(bytes), false, &mut Reached::default()).play();
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    impl Reached {
        fn check(&self) {
            let all = [&self.lives[..], &self.notices, &self.ends, &self.holds, &self.rare];
            let few = all.iter().any(|counts| counts.iter().any(|count| *count < 100));
            assert!(!few, "the sequences hardly come by: {self:?}");
        }
    }

    fn play(seeds: Range<u64>) {
        let mut reached = Reached::default();
        if let Ok(one) = std::env::var("CROCUS_SEQUENCE") {
            return play_again(&one, &mut reached);
        }
        for seed in seeds {
            let choices = || Choices::from_seed(seed);
            let sequence = || Sequence::new(choices(), false, &mut reached).play();
            if catch_unwind(AssertUnwindSafe(sequence)).is_err() {
                eprintln!("\nCROCUS_SEQUENCE={seed} once more:");
                Sequence::new(choices(), true, &mut reached).play();
            }
        }
        reached.check();
    }

    /// Plays the sequence of a seed, or of the bytes of a file.
    fn play_again(one: &str, reached: &mut Reached) {
        if let Ok(seed) = one.parse() {
            return Sequence::new(Choices::from_seed(seed), true, reached).play();
        }
        let bytes = std::fs::read(one).unwrap_or_else(|error| panic!("{one}: {error}"));
        Sequence::new(Choices::from_bytes(&bytes), true, reached).play();
    }

    #[test]
    fn fifty_thousand_random_sequences_keep_every_promise() {
        play(0..50_000);
    }

    #[test]
    fn fifty_thousand_more_keep_every_promise() {
        play(50_000..100_000);
    }
}
