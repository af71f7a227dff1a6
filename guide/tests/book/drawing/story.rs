//! The values that a figure is made of.

/// A phase of a turn; its place on the ring is the same in every figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Sleep,
    Latch,
    Timers,
    Serve,
    Calls,
    Flush,
}

impl Phase {
    pub(crate) const ALL: [Self; 6] =
        [Self::Sleep, Self::Latch, Self::Timers, Self::Serve, Self::Calls, Self::Flush];

    /// Its name, which is its class in the picture too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Latch => "latch",
            Self::Timers => "timers",
            Self::Serve => "serve",
            Self::Calls => "calls",
            Self::Flush => "flush",
        }
    }
}

/// How an event looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// It happens.
    Plain,
    /// It is what goes wrong.
    Bad,
}

/// One line of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    /// The lane in which it happens.
    pub(crate) lane: String,
    /// The lane that it comes from, and the lane that it goes to.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// The client that it is about, by the name of its lane.
    pub(crate) client: Option<String>,
    /// The line, as the program printed it.
    pub(crate) text: String,
    pub(crate) look: Look,
    /// The turn in which it happens: the how manyth, and its number in the run.
    pub(crate) turn: Option<(usize, String)>,
    pub(crate) phase: Option<Phase>,
}

/// Clients, kernel, server or reactor, your code.
fn rank(lane: &str) -> usize {
    let order = ["client", "kernel", "the server", "thread", "reactor", "your code"];
    order
        .iter()
        .position(|kind| lane.starts_with(kind))
        .unwrap_or_else(|| panic!("no place for {lane}"))
}

impl Event {
    /// Where its bytes come from and go to: the kernel, or directly the client while there is no kernel in the
    /// picture.
    fn draw_arrow(&mut self, kernel: bool) {
        let has = |words: &[&str]| words.iter().any(|word| self.text.contains(word));
        let is_client = self.lane.starts_with("client");
        let outside = if kernel { Some("kernel".to_owned()) } else { self.client.clone() };
        if is_client && kernel {
            if has(&["receives"]) { self.from = outside } else { self.to = outside }
        } else if self.lane == "your code" || self.lane == "kernel" || is_client {
            // A call of your code comes from the reactor, and its recorder says so.
        } else if has(&["wrote ", " bytes out", "sent FIN", "call_from_thread"]) {
            self.to = outside;
        } else if has(&INWARD) || has(&["closed"]) && self.lane != "reactor" {
            self.from = outside;
        }
    }
}

/// Parts of lines for which something comes from outside.
const INWARD: [&str; 7] =
    ["accepted", " read ", "readable", "writable", " opened", " bytes in", "an event"];

/// The story of a figure: some lines of one run, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Story {
    pub(crate) title: String,
    /// From top to bottom: peers, kernel, reactor, your code.
    pub(crate) lanes: Vec<String>,
    pub(crate) events: Vec<Event>,
    /// From which event on which lane waits, until its next event.
    pub(crate) waits: Vec<(usize, String)>,
}

impl Story {
    /// Has a lane wait from each event with this text on, until the next event of the lane.
    ///
    /// # Panics
    ///
    /// If there is no such event, or no such lane.
    pub(crate) fn wait(&mut self, text: &str, lane: &str) {
        let found = self.events.iter().enumerate().filter(|(_, event)| event.text.contains(text));
        let found: Vec<_> = found.map(|(index, _)| (index, lane.to_owned())).collect();
        assert!(!found.is_empty() && self.lanes.iter().any(|name| name == lane), "{text}, {lane}");
        self.waits.extend(found);
    }

    /// A story with the lanes of its events, and with the arrows between them.
    pub(crate) fn of(title: &str, mut events: Vec<Event>) -> Self {
        let kernel = events.iter().any(|event| event.lane == "kernel" || event.lane == "reactor");
        events.iter_mut().for_each(|event| event.draw_arrow(kernel));
        let names = events.iter().flat_map(|event| [&event.from, &event.to].into_iter().flatten());
        let mut lanes: Vec<_> =
            names.chain(events.iter().map(|event| &event.lane)).cloned().collect();
        lanes.sort_by_key(|lane| (rank(lane), lane.len(), lane.clone()));
        lanes.dedup();
        Self { title: title.to_owned(), lanes, events, waits: Vec::new() }
    }

    /// The turns, each with the phases in which something happened and the events that it covers.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        for (index, event) in self.events.iter().enumerate() {
            let Some((count, number)) = event.turn.clone() else { continue };
            match turns.last_mut() {
                Some(turn) if turn.count == count => turn.last = index,
                _ => turns.push(Turn { count, number, first: index, last: index, phases: vec![] }),
            }
            let turn = turns.last_mut().expect("one was just there or pushed");
            turn.phases.extend(event.phase.filter(|phase| !turn.phases.contains(phase)));
        }
        turns
    }
}

/// One turn of a story.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Turn {
    pub(crate) count: usize,
    pub(crate) number: String,
    /// The events it covers, by index.
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) phases: Vec<Phase>,
}
