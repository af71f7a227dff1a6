//! The seven constraints: the work of the servers, and how the clients behave.

use std::time::Duration;

use charts::number::grouped;

use crate::figures::Milliseconds;
use crate::options::Options;
use crate::server::Task;

/// One kind of load on a server.
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    pub(crate) kind: Kind,
    /// The end of its title.
    pub(crate) about: String,
    /// The work of the server for each client.
    pub(crate) task: Task,
    /// How many files the server may have open; if `None`, as many as the system allows.
    pub(crate) descriptors: Option<u64>,
    /// How many clients ask.
    pub(crate) clients: usize,
    /// How many ask at a time: one, or all.
    pub(crate) at_once: usize,
    pub(crate) manner: Manner,
    /// A client that comes before them, and hinders the server.
    pub(crate) nuisance: Option<Nuisance>,
    /// One more client comes a moment later, asks at once, and is looked at by itself.
    pub(crate) quick: bool,
    /// How long a client waits for its answer.
    pub(crate) patience: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Calm,
    Stampede,
    SlowSource,
    SilentClient,
    StalledReader,
    FewDescriptors,
    Dribble,
}

/// How a client behaves once it is connected, before it waits for the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Nothing: the server speaks first.
    Listen,
    /// Sends its line after this time.
    Ask(Duration),
    /// Sends its line a byte at a time, with this time between two bytes.
    Dribble(Duration),
}

/// A client that hinders the server. It is not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nuisance {
    /// Connects and says nothing.
    Silent,
    /// Does not read its answer.
    Stalled,
}

/// How many clients come one after another: enough for a 99th percentile.
const CALM: usize = 1000;

/// How many clients send a byte at a time.
const MANY: usize = 200;

/// How many wait for a slow source, or come beside a nuisance.
const SOME: usize = 100;

/// How many come to a server that has few descriptors.
const TOO_MANY: usize = 500;

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Calm,
        Self::Stampede,
        Self::SlowSource,
        Self::SilentClient,
        Self::StalledReader,
        Self::FewDescriptors,
        Self::Dribble,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Stampede => "stampede",
            Self::SlowSource => "slow-source",
            Self::SilentClient => "silent-client",
            Self::StalledReader => "stalled-reader",
            Self::FewDescriptors => "few-descriptors",
            Self::Dribble => "dribble",
        }
    }

    /// A description in half a line, after the number of clients.
    fn about(self, options: &Options) -> String {
        let Options { delay, size, stay, descriptors, gap, .. } = options;
        match self {
            Self::Calm => "one after another".to_owned(),
            Self::Stampede => "all at once".to_owned(),
            Self::SlowSource => {
                format!("wait for bytes that take {} to come", Milliseconds(*delay))
            }
            Self::SilentClient => "ask; one before them says nothing".to_owned(),
            Self::StalledReader => {
                let mebibytes = *size as f64 / f64::from(1 << 20);
                format!("get {mebibytes} MiB each; one before them does not read")
            }
            Self::FewDescriptors => {
                let stay = Milliseconds(*stay);
                format!("stay {stay} each; the server may open {descriptors} files")
            }
            Self::Dribble => format!("send a byte each {}; one is quick", Milliseconds(*gap)),
        }
    }

    /// How long a client waits, unless the user says otherwise. A server that never answers uses up
    /// the whole time, so it is short, but several times as long as the other servers take.
    fn patience(self) -> Duration {
        Duration::from_secs(match self {
            // A client whose SYN was dropped sends it again after 1 s, and after 2 or 3 s.
            Self::Calm | Self::Stampede => 4,
            // One after another the clients of a slow source take two seconds.
            Self::SlowSource | Self::Dribble => 3,
            Self::StalledReader | Self::FewDescriptors => 2,
            Self::SilentClient => 1,
        })
    }

    /// How long this takes with four servers on an ordinary machine, mostly spent in waiting.
    pub(crate) fn usual(self) -> Duration {
        Duration::from_secs(match self {
            Self::Calm => 1,
            Self::Stampede => 7,
            Self::SlowSource | Self::StalledReader => 5,
            Self::FewDescriptors => 3,
            Self::Dribble => 4,
            Self::SilentClient => 2,
        })
    }
}

impl Constraint {
    /// The constraint of this kind, with the user's options.
    pub(crate) fn new(kind: Kind, options: &Options) -> Self {
        let base = Self::undemanding(kind, options);
        let crowd = |usual: usize| usual.min(options.clients);
        match kind {
            Kind::Calm => Self { clients: crowd(CALM), at_once: 1, ..base },
            Kind::Stampede => Self { clients: options.clients, ..base },
            Kind::SlowSource => {
                Self { clients: crowd(SOME), task: Task::Delay(options.delay), ..base }
            }
            Kind::SilentClient => Self {
                clients: crowd(SOME),
                task: Task::Line,
                manner: Manner::Ask(Duration::ZERO),
                nuisance: Some(Nuisance::Silent),
                ..base
            },
            Kind::StalledReader => Self {
                clients: crowd(SOME),
                task: Task::Long(options.size),
                nuisance: Some(Nuisance::Stalled),
                ..base
            },
            Kind::FewDescriptors => Self {
                clients: crowd(TOO_MANY),
                task: Task::Line,
                manner: Manner::Ask(options.stay),
                descriptors: Some(options.descriptors),
                ..base
            },
            Kind::Dribble => Self {
                clients: crowd(MANY),
                task: Task::Line,
                manner: Manner::Dribble(options.gap),
                quick: true,
                ..base
            },
        }
    }

    /// Clients that connect at once, and get the answer without asking.
    fn undemanding(kind: Kind, options: &Options) -> Self {
        Self {
            kind,
            about: kind.about(options),
            task: Task::Answer,
            descriptors: None,
            clients: 0,
            at_once: usize::MAX,
            manner: Manner::Listen,
            nuisance: None,
            quick: false,
            patience: options.patience.unwrap_or_else(|| kind.patience()),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// How many clients are counted.
    pub(crate) fn asked(&self) -> usize {
        self.clients + usize::from(self.quick)
    }

    /// The whole constraint in a line.
    pub(crate) fn title(&self) -> String {
        format!("{} clients {}", grouped(self.clients), self.about)
    }
}
