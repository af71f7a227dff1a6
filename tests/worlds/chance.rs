//! Chance from a seed, and the profiles that say what it may choose from.

use std::cell::Cell;
use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood): one seed, one sequence.
pub struct Chance(Cell<u64>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut mixed = self.0.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is at least one.
    pub fn below(&self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn between(&self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Mostly small, sometimes up to `max`.
    pub fn size(&self, max: usize) -> usize {
        let limit = if self.one_in(4) { max } else { max.div_ceil(20) };
        self.between(1, limit.max(1))
    }

    /// Whole milliseconds, so that equal deadlines are common.
    pub fn millis(&self, low: usize, high: usize) -> Duration {
        Duration::from_millis(self.between(low, high) as u64)
    }

    pub fn one_in(&self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }

    pub fn weighted<T: Copy>(&self, from: &[(usize, T)]) -> T {
        let mut draw = self.below(from.iter().map(|(weight, _)| weight).sum());
        for &(weight, choice) in from {
            if draw < weight {
                return choice;
            }
            draw -= weight;
        }
        unreachable!("the draw is below the sum of the weights")
    }
}

/// What somebody inside the reactor may do: a callback of a protocol, a factory, a timer, a call.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    Write,
    PauseReading,
    ResumeReading,
    Lose,
    LoseWrite,
    Abort,
    SetTimeout,
    SetTimer,
    SetReactorTimer,
    Every,
    CancelTimer,
    ResetTimer,
    SetMarks,
    SetCloseTimeout,
    Elsewhere,
    Soon,
    Connect,
    GiveUp,
    Listen,
    StopListening,
    PauseAccepting,
    ResumeAccepting,
    Swap,
    SetRate,
    Nest,
    Stop,
    Shutdown,
}

/// What the test does from outside.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Turn,
    Settle,
    Advance,
    Inside,
    Dial,
    Storm,
    Join,
    Pair,
    Send,
    Read,
    CloseWrite,
    Reset,
    Drop,
    Accept,
    Weather,
    FailAccept,
    Rest,
    Run,
}

/// A kind of worlds.
pub struct Profile {
    pub name: &'static str,
    pub deeds: &'static [(usize, Deed)],
    pub steps: &'static [(usize, Step)],
    /// How many steps a world has at the most.
    pub length: usize,
    /// Every how many-th callback panics; 0: none.
    pub panics: usize,
    /// How many bytes are said at once at the most.
    pub mouthful: usize,
}

/// Much is said, nobody misbehaves on purpose: what is sent must arrive.
pub const CALM: Profile = Profile {
    name: "calm",
    deeds: &[
        (30, Deed::Write),
        (4, Deed::PauseReading),
        (6, Deed::ResumeReading),
        (2, Deed::Lose),
        (2, Deed::LoseWrite),
        (2, Deed::SetMarks),
        (4, Deed::SetTimer),
        (3, Deed::Swap),
        (2, Deed::SetRate),
        (3, Deed::Elsewhere),
        (2, Deed::Connect),
    ],
    steps: &[
        (20, Step::Turn),
        (4, Step::Settle),
        (4, Step::Advance),
        (12, Step::Inside),
        (4, Step::Dial),
        (2, Step::Join),
        (2, Step::Pair),
        (20, Step::Send),
        (16, Step::Read),
        (3, Step::CloseWrite),
        (1, Step::Drop),
        (3, Step::Accept),
        (1, Step::Weather),
        (1, Step::Rest),
    ],
    length: 60,
    panics: 0,
    mouthful: 2000,
};

/// Everything at once.
pub const STORMY: Profile = Profile {
    name: "stormy",
    deeds: &[
        (20, Deed::Write),
        (4, Deed::PauseReading),
        (5, Deed::ResumeReading),
        (3, Deed::Lose),
        (3, Deed::LoseWrite),
        (2, Deed::Abort),
        (4, Deed::SetTimeout),
        (4, Deed::SetTimer),
        (3, Deed::SetReactorTimer),
        (1, Deed::Every),
        (4, Deed::CancelTimer),
        (3, Deed::ResetTimer),
        (3, Deed::SetMarks),
        (2, Deed::SetCloseTimeout),
        (10, Deed::Elsewhere),
        (3, Deed::Soon),
        (4, Deed::Connect),
        (2, Deed::GiveUp),
        (1, Deed::Listen),
        (1, Deed::StopListening),
        (2, Deed::PauseAccepting),
        (3, Deed::ResumeAccepting),
        (4, Deed::Swap),
        (3, Deed::SetRate),
        (1, Deed::Nest),
        (1, Deed::Stop),
        (1, Deed::Shutdown),
    ],
    steps: &[
        (24, Step::Turn),
        (3, Step::Settle),
        (5, Step::Advance),
        (14, Step::Inside),
        (6, Step::Dial),
        (1, Step::Storm),
        (2, Step::Join),
        (2, Step::Pair),
        (14, Step::Send),
        (10, Step::Read),
        (3, Step::CloseWrite),
        (2, Step::Reset),
        (2, Step::Drop),
        (4, Step::Accept),
        (2, Step::Weather),
        (1, Step::FailAccept),
        (1, Step::Rest),
        (1, Step::Run),
    ],
    length: 80,
    panics: 60,
    mouthful: 800,
};

/// Connections come and go, to many listeners, from many clients: slots are freed and taken again.
pub const CROWDED: Profile = Profile {
    name: "crowded",
    deeds: &[
        (12, Deed::Write),
        (6, Deed::Lose),
        (4, Deed::Abort),
        (4, Deed::SetTimer),
        (3, Deed::SetReactorTimer),
        (4, Deed::CancelTimer),
        (3, Deed::ResetTimer),
        (16, Deed::Elsewhere),
        (8, Deed::Connect),
        (4, Deed::GiveUp),
        (2, Deed::Listen),
        (2, Deed::StopListening),
        (3, Deed::PauseAccepting),
        (5, Deed::ResumeAccepting),
        (3, Deed::Swap),
        (1, Deed::Shutdown),
    ],
    steps: &[
        (24, Step::Turn),
        (3, Step::Settle),
        (6, Step::Advance),
        (10, Step::Inside),
        (12, Step::Dial),
        (5, Step::Storm),
        (6, Step::Join),
        (4, Step::Send),
        (4, Step::Read),
        (3, Step::Reset),
        (3, Step::Drop),
        (5, Step::Accept),
        (2, Step::FailAccept),
        (2, Step::Rest),
        (1, Step::Weather),
    ],
    length: 60,
    panics: 100,
    mouthful: 100,
};

/// Timers, calls and stops, with few connections.
pub const TIMED: Profile = Profile {
    name: "timed",
    deeds: &[
        (6, Deed::Write),
        (6, Deed::SetTimeout),
        (12, Deed::SetTimer),
        (12, Deed::SetReactorTimer),
        (2, Deed::Every),
        (10, Deed::CancelTimer),
        (10, Deed::ResetTimer),
        (8, Deed::Soon),
        (3, Deed::Swap),
        (3, Deed::Elsewhere),
        (2, Deed::Lose),
        (3, Deed::Connect),
        (1, Deed::GiveUp),
        (1, Deed::Listen),
        (1, Deed::Stop),
        (1, Deed::Shutdown),
    ],
    steps: &[
        (20, Step::Turn),
        (20, Step::Advance),
        (30, Step::Inside),
        (3, Step::Dial),
        (2, Step::Join),
        (3, Step::Send),
        (3, Step::Read),
        (1, Step::CloseWrite),
        (1, Step::Accept),
        (2, Step::Rest),
        (2, Step::Run),
    ],
    length: 60,
    panics: 80,
    mouthful: 50,
};
