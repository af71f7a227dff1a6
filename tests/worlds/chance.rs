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

/// An action inside the reactor: in a callback of a protocol or factory, in a timer or in a call.
#[derive(Clone, Copy, Debug)]
pub enum Action {
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
    /// Takes its time, as a callback does that computes or blocks.
    Work,
    /// Something with datagrams.
    Post,
    /// Connects to names.
    Ask,
    /// Takes the end of the stream for the peer's, as a protocol does whose own framing tells.
    AllowTruncation,
    /// Makes a task; meddles with one; leaves a connection to one.
    Spawn,
    Meddle,
    TakeOver,
    Nest,
    Stop,
    Shutdown,
}

/// A step of the test, outside the reactor.
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
    ChangeNetwork,
    FailAccept,
    Rest,
    Run,
    /// The process is stopped for a while, and the others go on.
    Freeze,
    /// A socket outside sends datagrams.
    Post,
    /// A far end sends what is no TLS, or asks for new keys.
    Spoil,
    Rekey,
}

/// A kind of worlds.
pub struct Profile {
    pub name: &'static str,
    pub actions: &'static [(usize, Action)],
    pub steps: &'static [(usize, Step)],
    /// How many steps a world has at the most.
    pub length: usize,
    /// One of so many callbacks panics; 0: none does.
    pub panics: usize,
    /// How many outgoing connections there are at the most.
    pub clients: usize,
    /// One of so many protocols gets frames; 0: none does.
    pub framed: usize,
    /// One of so many protocols writes an answer as its peer takes it, and closes; 0: none does.
    pub answers: usize,
    /// How many bytes are written at once at the most.
    pub max_write: usize,
    /// Whether its connections are encrypted, from their first byte or from a command on.
    pub secured: bool,
}

/// Much is sent and nobody misbehaves on purpose, so all of it must arrive.
pub const CALM: Profile = Profile {
    name: "calm",
    actions: &[
        (30, Action::Write),
        (4, Action::PauseReading),
        (6, Action::ResumeReading),
        (2, Action::Lose),
        (2, Action::LoseWrite),
        (2, Action::SetMarks),
        (4, Action::SetTimer),
        (3, Action::Swap),
        (2, Action::SetRate),
        (3, Action::Elsewhere),
        (2, Action::Connect),
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
        (1, Step::ChangeNetwork),
        (1, Step::Rest),
    ],
    length: 60,
    panics: 0,
    clients: 16,
    framed: 6,
    answers: 0,
    max_write: 2000,
    secured: false,
};

/// Everything at once.
pub const STORMY: Profile = Profile {
    name: "stormy",
    actions: &[
        (20, Action::Write),
        (4, Action::PauseReading),
        (5, Action::ResumeReading),
        (3, Action::Lose),
        (3, Action::LoseWrite),
        (2, Action::Abort),
        (4, Action::SetTimeout),
        (4, Action::SetTimer),
        (3, Action::SetReactorTimer),
        (1, Action::Every),
        (4, Action::CancelTimer),
        (3, Action::ResetTimer),
        (3, Action::SetMarks),
        (2, Action::SetCloseTimeout),
        (10, Action::Elsewhere),
        (3, Action::Soon),
        (4, Action::Connect),
        (2, Action::GiveUp),
        (1, Action::Listen),
        (1, Action::StopListening),
        (2, Action::PauseAccepting),
        (3, Action::ResumeAccepting),
        (4, Action::Swap),
        (3, Action::SetRate),
        (1, Action::Nest),
        (1, Action::Stop),
        (1, Action::Shutdown),
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
        (2, Step::ChangeNetwork),
        (1, Step::FailAccept),
        (1, Step::Rest),
        (1, Step::Run),
    ],
    length: 80,
    panics: 60,
    clients: 16,
    framed: 6,
    answers: 0,
    max_write: 800,
    secured: false,
};

/// Connections come and go, to many listeners, from many clients: slots are freed and taken again.
pub const CROWDED: Profile = Profile {
    name: "crowded",
    actions: &[
        (12, Action::Write),
        (6, Action::Lose),
        (4, Action::Abort),
        (4, Action::SetTimer),
        (3, Action::SetReactorTimer),
        (4, Action::CancelTimer),
        (3, Action::ResetTimer),
        (16, Action::Elsewhere),
        (8, Action::Connect),
        (4, Action::GiveUp),
        (2, Action::Listen),
        (2, Action::StopListening),
        (3, Action::PauseAccepting),
        (5, Action::ResumeAccepting),
        (3, Action::Swap),
        (1, Action::Shutdown),
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
        (1, Step::ChangeNetwork),
    ],
    length: 60,
    panics: 100,
    clients: 16,
    framed: 0,
    answers: 0,
    max_write: 100,
    secured: false,
};

/// Timers, calls and stops, with few connections.
pub const TIMED: Profile = Profile {
    name: "timed",
    actions: &[
        (6, Action::Write),
        (6, Action::SetTimeout),
        (12, Action::SetTimer),
        (12, Action::SetReactorTimer),
        (2, Action::Every),
        (10, Action::CancelTimer),
        (10, Action::ResetTimer),
        (8, Action::Soon),
        (3, Action::Swap),
        (3, Action::Elsewhere),
        (2, Action::Lose),
        (3, Action::Connect),
        (1, Action::GiveUp),
        (1, Action::Listen),
        (1, Action::Stop),
        (1, Action::Shutdown),
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
    clients: 16,
    framed: 0,
    answers: 0,
    max_write: 50,
    secured: false,
};

/// Callbacks that work for long, stops of the process, peers that read slowly and steadily, rates.
pub const WILD: Profile = Profile {
    name: "wild",
    actions: &[
        (20, Action::Write),
        (8, Action::Work),
        (3, Action::PauseReading),
        (5, Action::ResumeReading),
        (3, Action::Lose),
        (1, Action::LoseWrite),
        (1, Action::Abort),
        (6, Action::SetTimeout),
        (4, Action::SetTimer),
        (3, Action::SetReactorTimer),
        (1, Action::Every),
        (3, Action::CancelTimer),
        (3, Action::ResetTimer),
        (2, Action::SetMarks),
        (3, Action::SetCloseTimeout),
        (8, Action::Elsewhere),
        (3, Action::Soon),
        (4, Action::Connect),
        (1, Action::GiveUp),
        (2, Action::PauseAccepting),
        (3, Action::ResumeAccepting),
        (5, Action::Swap),
        (4, Action::SetRate),
        (1, Action::Shutdown),
    ],
    steps: &[
        (20, Step::Turn),
        (3, Step::Settle),
        (8, Step::Advance),
        (8, Step::Freeze),
        (14, Step::Inside),
        (6, Step::Dial),
        (3, Step::Join),
        (2, Step::Pair),
        (14, Step::Send),
        (10, Step::Read),
        (2, Step::CloseWrite),
        (1, Step::Reset),
        (1, Step::Drop),
        (3, Step::Accept),
        (2, Step::ChangeNetwork),
        (1, Step::Rest),
        (1, Step::Run),
    ],
    length: 80,
    panics: 200,
    clients: 16,
    framed: 2,
    answers: 4,
    max_write: 1500,
    secured: false,
};

/// Datagrams, which the network loses, doubles and shuffles at times, with callbacks that work for long.
pub const POSTED: Profile = Profile {
    name: "posted",
    actions: &[
        (30, Action::Post),
        (3, Action::Work),
        (3, Action::SetReactorTimer),
        (2, Action::Soon),
        (2, Action::Elsewhere),
        (1, Action::Stop),
        (1, Action::Shutdown),
    ],
    steps: &[
        (20, Step::Turn),
        (3, Step::Settle),
        (8, Step::Advance),
        (3, Step::Freeze),
        (20, Step::Inside),
        (16, Step::Post),
        (2, Step::Join),
        (2, Step::Send),
        (2, Step::ChangeNetwork),
        (2, Step::Rest),
    ],
    length: 60,
    panics: 100,
    clients: 16,
    framed: 0,
    answers: 0,
    max_write: 200,
    secured: false,
};

/// Names whose lookup never ends, many at once, and attempts that give up while they wait for them.
pub const NAMED: Profile = Profile {
    name: "named",
    actions: &[
        (20, Action::Ask),
        (4, Action::GiveUp),
        (3, Action::Connect),
        (4, Action::SetReactorTimer),
        (1, Action::Soon),
        (1, Action::Stop),
        (1, Action::Shutdown),
    ],
    steps: &[
        (10, Step::Turn),
        (3, Step::Settle),
        (12, Step::Advance),
        (16, Step::Inside),
        (3, Step::Accept),
        (1, Step::Rest),
    ],
    length: 60,
    panics: 200,
    clients: 150,
    framed: 0,
    answers: 0,
    max_write: 50,
    secured: false,
};

/// Connections over TLS, encrypted at once or in the middle, with peers that cut them, damage them, or never answer.
pub const SECURED: Profile = Profile {
    name: "secured",
    actions: &[
        (24, Action::Write),
        (4, Action::PauseReading),
        (6, Action::ResumeReading),
        (3, Action::Lose),
        (3, Action::LoseWrite),
        (1, Action::Abort),
        (3, Action::SetTimeout),
        (2, Action::SetTimer),
        (2, Action::SetMarks),
        (2, Action::SetCloseTimeout),
        (2, Action::AllowTruncation),
        (8, Action::Elsewhere),
        (1, Action::Soon),
        (4, Action::Connect),
        (1, Action::GiveUp),
        (1, Action::StopListening),
        (1, Action::PauseAccepting),
        (2, Action::ResumeAccepting),
        (4, Action::Swap),
        (3, Action::SetRate),
        (1, Action::Stop),
        (1, Action::Shutdown),
    ],
    steps: &[
        (20, Step::Turn),
        (6, Step::Settle),
        (6, Step::Advance),
        (12, Step::Inside),
        (6, Step::Dial),
        (4, Step::Join),
        (3, Step::Pair),
        (18, Step::Send),
        (12, Step::Read),
        (4, Step::CloseWrite),
        (1, Step::Reset),
        (2, Step::Drop),
        (6, Step::Accept),
        (2, Step::ChangeNetwork),
        (1, Step::FailAccept),
        (2, Step::Spoil),
        (2, Step::Rekey),
        (2, Step::Rest),
    ],
    length: 80,
    panics: 150,
    clients: 16,
    framed: 4,
    answers: 6,
    max_write: 1500,
    secured: true,
};

/// Tasks among the actors: they read, write, wait, and are cut at any `.await`.
pub const AWAITED: Profile = Profile {
    name: "awaited",
    actions: &[
        (12, Action::Spawn),
        (6, Action::Meddle),
        (4, Action::TakeOver),
        (12, Action::Write),
        (2, Action::Lose),
        (2, Action::LoseWrite),
        (1, Action::Abort),
        (2, Action::SetReactorTimer),
        (8, Action::Elsewhere),
        (2, Action::Soon),
        (2, Action::Connect),
        (1, Action::StopListening),
        (2, Action::Swap),
        (1, Action::Nest),
        (1, Action::Stop),
        (1, Action::Shutdown),
    ],
    steps: &[
        (24, Step::Turn),
        (3, Step::Settle),
        (6, Step::Advance),
        (14, Step::Inside),
        (8, Step::Dial),
        (1, Step::Storm),
        (2, Step::Join),
        (14, Step::Send),
        (10, Step::Read),
        (3, Step::CloseWrite),
        (2, Step::Reset),
        (2, Step::Drop),
        (4, Step::Accept),
        (2, Step::ChangeNetwork),
        (1, Step::Rest),
        (1, Step::Run),
    ],
    length: 80,
    panics: 100,
    clients: 8,
    framed: 6,
    answers: 0,
    max_write: 1500,
    secured: false,
};
