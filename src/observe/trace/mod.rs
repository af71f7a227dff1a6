//! The observer that writes a trace for a viewer.

mod events;
mod lives;

use std::fmt;
use std::io::{self, Write};
use std::time::Instant;

use self::events::{Arg, Events, Kind, Row};
use self::lives::Lives;
use super::{Notice, Observer, Phase, Subject};
use crate::callback::Callback;

/// The most bytes of a trace unless it is told otherwise: some two million events, which Perfetto opens in
/// seconds.
const LIMIT: u64 = 256 * 1024 * 1024;

/// How long the slice of a wake-up is, in nanoseconds: a viewer ties no arrow to a slice without length.
const WAKE_UP: u64 = 1000;

/// Writes what a reactor does as a trace, which a viewer shows as a time line.
///
/// The format is the JSON of Chrome's trace events. To look at it, open [Perfetto](https://ui.perfetto.dev) in
/// a browser and choose *Open trace file*: the file stays on your machine. A program that works without
/// a network is [speedscope](https://www.npmjs.com/package/speedscope) (`npx speedscope trace.json`), which
/// shows the slices alone.
///
/// The viewer shows:
///
/// * one row of slices: each turn, in it its phases, in them the callbacks;
/// * a row for each connection: its life, with its stages, and marks where bytes came and went;
/// * counters: connections that are open, events of a turn, bytes that wait to be sent, timers that are set;
/// * arrows: from the wake-up by another thread to the turn, from the place where a timer was set to the
///   one where it fired, from a command to connect to the connection;
/// * marks: an attempt that was refused, a connection that was reset or turned away, no descriptor left,
///   pressure, and panics.
///
/// It writes at the end of each turn, so that a trace is readable after a crash: a missing bracket at its
/// end is allowed. When it is dropped, it ends everything that has begun and writes the bracket.
///
/// A trace above [`limit`](Self::limit) ends: its last mark says how many notices were dropped.
///
/// # Examples
///
/// ```
/// use std::fs::{self, File};
/// use crocus::{ChromeTrace, Reactor};
///
/// let path = std::env::temp_dir().join(format!("trace-{}.json", std::process::id()));
/// let mut reactor = Reactor::new()?;
/// reactor.set_observer(Some(Box::new(ChromeTrace::new(File::create(&path)?))));
/// reactor.call_soon(|_reactor| println!("called"));
/// reactor.run()?;
/// drop(reactor);
///
/// let trace = fs::read_to_string(&path)?;
/// assert!(trace.contains(r#""name":"a call""#) && trace.ends_with("]\n"));
/// # fs::remove_file(path)?;
/// # std::io::Result::Ok(())
/// ```
pub struct ChromeTrace<W: Write> {
    events: Events<W>,
    limit: u64,
    lives: Lives,
    /// The time that counts as zero, and the time of the last notice.
    clock: Option<(Instant, u64)>,
    /// The slices that are open: a turn, a phase, and callbacks.
    open: Vec<Slice>,
    /// How many events this turn's sleep has brought.
    ready: usize,
    progress: Progress,
}

/// A slice; printed as its name.
#[derive(Clone, Copy)]
enum Slice {
    Turn(u64),
    Phase(Phase),
    /// The latch phase, with the number of events.
    Latch(usize),
    Callback(Subject, Callback),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Writing,
    /// The limit was reached, and so many notices were dropped.
    Full {
        dropped: u64,
    },
    Closed,
}

impl<W: Write> ChromeTrace<W> {
    /// A trace that is written to `out`, one write for each turn: a file needs no buffer.
    pub fn new(out: W) -> Self {
        Self {
            events: Events::new(out),
            limit: LIMIT,
            lives: Lives::default(),
            clock: None,
            open: Vec::new(),
            ready: 0,
            progress: Progress::Writing,
        }
    }

    /// Ends the trace with the first turn after which it has more than `bytes` bytes. Default: 256 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::ChromeTrace;
    /// let trace = ChromeTrace::new(std::io::sink()).limit(10 * 1024 * 1024);
    /// ```
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Ends the trace, as dropping it does, and says whether all of it was written.
    ///
    /// # Errors
    ///
    /// The first error of the writer. Nothing was written after it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::ChromeTrace;
    /// let mut trace = Vec::new();
    /// ChromeTrace::new(&mut trace).finish()?;
    /// assert_eq!(trace, b"[]\n");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn finish(mut self) -> io::Result<()> {
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        if self.progress == Progress::Closed {
            return Ok(());
        }
        let at = self.clock.map_or(0, |(_, last)| last);
        if let Progress::Full { dropped } = self.progress {
            let dropped = ("notices", Arg::Number(dropped));
            self.events.add(Kind::Mark(Row::Reactor), "limit", &"dropped", at, &[dropped]);
        }
        self.end_everything(at);
        self.progress = Progress::Closed;
        self.events.close()
    }

    fn end_everything(&mut self, at: u64) {
        while let Some(slice) = self.open.pop() {
            slice.write(&mut self.events, Kind::End(Row::Reactor), at);
        }
        self.lives.end_all(&mut self.events, at);
    }

    /// The nanoseconds since the first notice.
    fn time(&mut self, at: Instant) -> u64 {
        let begins = self.clock.is_none();
        let (zero, last) = self.clock.get_or_insert((at, 0));
        let nanos = u64::try_from(at.saturating_duration_since(*zero).as_nanos());
        *last = nanos.unwrap_or(u64::MAX);
        let now = *last;
        if begins {
            for (name, row, text) in [
                ("process_name", Row::Reactor, "crocus"),
                ("thread_name", Row::Reactor, "reactor"),
                ("thread_name", Row::Others, "other threads"),
            ] {
                let name_of = ("name", Arg::Text(&text));
                self.events.add(Kind::Meta(row), "name", &name, now, &[name_of]);
            }
        }
        now
    }

    fn begin(&mut self, slice: Slice, at: u64) {
        slice.write(&mut self.events, Kind::Begin(Row::Reactor), at);
        self.open.push(slice);
    }

    /// Ends the innermost slice if it is of this category.
    fn end(&mut self, category: &str, at: u64) {
        if let Some(slice) = self.open.pop_if(|slice| slice.category() == category) {
            slice.write(&mut self.events, Kind::End(Row::Reactor), at);
        }
    }

    fn begin_phase(&mut self, phase: Phase, at: u64) {
        self.end(PHASE, at);
        match phase {
            Phase::Latch => self.begin(Slice::Latch(self.ready), at),
            _ => self.begin(Slice::Phase(phase), at),
        }
    }

    fn end_turn(&mut self, at: u64) {
        self.end(PHASE, at);
        self.end(TURN, at);
        self.lives.count(&mut self.events, self.ready as u64, at);
        self.events.flush();
        if self.events.written > self.limit {
            let limit = ("limit", Arg::Number(self.limit));
            self.events.add(Kind::Mark(Row::Reactor), "limit", &"the trace is full", at, &[limit]);
            self.end_everything(at);
            self.events.flush();
            self.lives = Lives::default();
            self.progress = Progress::Full { dropped: 0 };
        }
    }

    /// The reactor notices a wake-up in the latch phase; by then it is over.
    fn woken(&mut self, at: u64) {
        let id = self.lives.new_arrow();
        let began = at.saturating_sub(WAKE_UP);
        let wake_up = Kind::Whole(Row::Others, WAKE_UP);
        self.events.add(wake_up, "wake", &"wakes the reactor", began, &[]);
        self.events.add(Kind::ArrowBegin(Row::Others, id), "wake", &"wake", began, &[]);
        self.events.add(Kind::ArrowEnd(Row::Reactor, id), "wake", &"wake", at, &[]);
    }
}

impl<W: Write> Observer for ChromeTrace<W> {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        let at = self.time(at);
        match &mut self.progress {
            Progress::Writing => {}
            Progress::Full { dropped } => return *dropped += 1,
            Progress::Closed => return,
        }
        match notice {
            Notice::TurnBegin { turn } => self.begin(Slice::Turn(*turn), at),
            Notice::PhaseBegin(phase) => self.begin_phase(*phase, at),
            Notice::Woke { events, .. } => self.ready = *events,
            Notice::Woken => self.woken(at),
            Notice::CallbackBegin { subject, callback } => {
                self.begin(Slice::Callback(*subject, *callback), at);
            }
            Notice::CallbackEnd { .. } => self.end(CALLBACK, at),
            Notice::TurnEnd(_) => self.end_turn(at),
            about => self.lives.note(&mut self.events, about, at),
        }
    }
}

/// Ends what has begun. An error is logged, and [`ChromeTrace::finish`] returns it.
impl<W: Write> Drop for ChromeTrace<W> {
    fn drop(&mut self) {
        let _ = self.close(); // it was logged when it happened
    }
}

impl<W: Write> fmt::Debug for ChromeTrace<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChromeTrace")
            .field("limit", &self.limit)
            .field("written", &self.events.written)
            .finish_non_exhaustive()
    }
}

const TURN: &str = "turn";
const PHASE: &str = "phase";
const CALLBACK: &str = "callback";

impl Slice {
    fn category(self) -> &'static str {
        match self {
            Self::Turn(_) => TURN,
            Self::Phase(_) | Self::Latch(_) => PHASE,
            Self::Callback(..) => CALLBACK,
        }
    }

    /// Writes its beginning or its end, both with the same arguments: viewers match them.
    fn write<W: Write>(self, events: &mut Events<W>, kind: Kind<'_>, at: u64) {
        let mut add = |args: &[_]| events.add(kind, self.category(), &self, at, args);
        match &self {
            Self::Turn(_) => add(&[]),
            Self::Phase(phase @ Phase::Sleep { .. }) => add(&[("how", Arg::Text(phase))]),
            Self::Phase(_) => add(&[]),
            Self::Latch(ready) => add(&[("events", Arg::Number(*ready as u64))]),
            Self::Callback(subject, _) => add(&[("of", Arg::Text(subject))]),
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn(number) => write!(f, "turn {number}"),
            Self::Phase(Phase::Sleep { .. }) => f.write_str("sleep"),
            Self::Phase(phase) => phase.fmt(f),
            Self::Latch(_) => Phase::Latch.fmt(f),
            Self::Callback(_, callback) => callback.fmt(f),
        }
    }
}
