//! The source of the page: the recorder, and a frame of all that has happened since the last one.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crocus::{Callback, ConnectionId, Notice, Observer, Origin, Reactor, Recorder, Subject};
use serde::Serialize;

use crate::rows::{Ended, Next, Remark, Row, Rows};
use crate::turns::{self, Seen, Turn};

/// The time between two frames: what an eye can follow, however many clients there are.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// How many notices are kept: those of a busy server's 100 ms, in some 2 MB.
const RECORDED: usize = 20_000;

/// How many points are kept for a page that is opened later.
const POINTS: usize = 2000;

/// How many points go into a frame. Above that the newest ones are shown, and all are counted.
const POINTS_OF_A_FRAME: usize = 200;

/// A point of the square is told in so many steps for each unit.
const SCALE: f64 = 10_000.0;

/// The observer of the reactor, and what the pages of all viewers are drawn from.
pub(crate) struct Feed {
    recorder: Recorder,
    tally: Tally,
    about: About,
    began: Instant,
    points: VecDeque<[i32; 2]>,
    /// How many points there were.
    pointed: u64,
    /// The connections that frames are sent to. The first one's timer is the clock of the frames.
    viewers: Vec<ConnectionId>,
    /// All connections of the page.
    pages: BTreeSet<ConnectionId>,
    rows: Rows,
    /// The number of the next notice, and of the next point, that a frame will tell.
    next: (u64, u64),
    frames: u64,
}

/// Facts that do not change.
#[derive(Serialize)]
struct About {
    mode: &'static str,
    at: String,
    /// Whether each turn waits for an Enter.
    steps: bool,
}

/// Counters like [`crocus::Stats`], without what the page does.
#[derive(Clone, Copy, Default, Serialize)]
struct Tally {
    turns: u64,
    callbacks: u64,
    accepted: u64,
    closed: u64,
    received: u64,
    sent: u64,
    timers: u64,
    calls: u64,
    wakes: u64,
    refused: u64,
    panics: u64,
}

#[derive(Serialize)]
struct Frame<'a> {
    frame: u64,
    /// Milliseconds since the server began.
    now: f64,
    counters: Tally,
    open: usize,
    buffered: u64,
    set: usize,
    /// Turns that happened and are not in this frame; notices that were overwritten before it.
    skipped: usize,
    lost: u64,
    turns: Vec<Turn>,
    rows: Vec<Row>,
    ended: Vec<Ended>,
    next: Vec<Next>,
    remarks: Vec<Remark>,
    /// The number of the first point.
    from: u64,
    points: Vec<[i32; 2]>,
    pointed: u64,
    about: &'a About,
}

impl Feed {
    pub(crate) fn new(mode: &'static str, steps: bool) -> Self {
        Self {
            recorder: Recorder::new(RECORDED),
            tally: Tally::default(),
            about: About { mode, at: String::new(), steps },
            began: Instant::now(),
            points: VecDeque::new(),
            pointed: 0,
            viewers: Vec::new(),
            pages: BTreeSet::new(),
            rows: Rows::default(),
            next: (0, 0),
            frames: 0,
        }
    }

    pub(crate) fn leave_out(&mut self, subject: Subject) {
        self.recorder.leave_out(subject);
    }

    pub(crate) fn serves_at(&mut self, at: String) {
        self.about.at = at;
    }

    pub(crate) fn add_point(&mut self, x: f64, y: f64) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back([x, y].map(|value| (value * SCALE) as i32));
        self.pointed += 1;
    }

    /// How many notices were recorded.
    pub(crate) fn recorded(&self) -> u64 {
        self.recorder.count()
    }

    /// The notices from this number on, each on a line.
    pub(crate) fn lines_since(&self, number: u64) -> String {
        let records = self.recorder.since(number);
        records.iter().map(|record| format!("  {}\n", record.notice)).collect()
    }

    /// A connection of the page has begun.
    pub(crate) fn enter(&mut self, page: ConnectionId) {
        self.pages.insert(page);
    }

    /// A page asks for frames. Returns whether its timer is the clock of the frames.
    pub(crate) fn join(&mut self, viewer: ConnectionId) -> bool {
        if self.viewers.is_empty() {
            self.rows = Rows::default();
            self.next.0 = 0; // what is recorded still is its history
        }
        self.next.1 = 0; // it has no point yet; the others know theirs by the numbers
        self.viewers.push(viewer);
        self.viewers.len() == 1
    }

    /// A connection of the page is gone.
    pub(crate) fn leave(&mut self, page: ConnectionId) {
        self.pages.remove(&page);
    }

    /// A page gets no more frames. Returns the one whose timer is the clock from now on, if that changes.
    pub(crate) fn unjoin(&mut self, page: ConnectionId) -> Option<ConnectionId> {
        let place = self.viewers.iter().position(|&other| other == page)?;
        self.viewers.remove(place);
        self.viewers.first().copied().filter(|_| place == 0)
    }

    /// Sends a frame to each page that has taken the last one. To one that has not it would be late, and the
    /// next one is newer: nothing queues.
    pub(crate) fn tick(feed: &RefCell<Self>, reactor: &mut Reactor) {
        let viewers = feed.borrow().viewers.clone();
        if viewers.is_empty() {
            return;
        }
        let frame = feed.borrow_mut().frame(reactor);
        for viewer in viewers {
            if let Some(mut page) = reactor.transport(viewer)
                && page.buffered() == 0
            {
                page.write(frame.as_bytes());
            }
        }
    }

    /// The next frame, as an event of a stream.
    fn frame(&mut self, reactor: &mut Reactor) -> String {
        let seen = |(number, at, notice)| Seen { number, at, notice };
        let records: Vec<_> = self.recorder.iter_since(self.next.0).map(seen).collect();
        let lost = records.first().map_or(0, |record| record.number - self.next.0);
        if lost > 0 && self.next.0 > 0 {
            self.rows = Rows::default(); // some that have ended would stay
        }
        let whole = turns::whole(&records);
        for record in &records[..whole.used] {
            self.rows.digest(record, self.began);
        }
        self.next.0 = records[..whole.used].last().map_or(self.next.0, |last| last.number + 1);
        let (shown, skipped) = whole.shown(self.began);
        let open = self.rows.look_at(reactor, &self.pages);
        let from = self.pointed - self.points.len() as u64;
        let most = if self.next.1 == 0 { POINTS } else { POINTS_OF_A_FRAME };
        let first = self.next.1.max(from).max(self.pointed.saturating_sub(most as u64));
        let points = self.points.iter().skip((first - from) as usize).copied().collect();
        self.next.1 = self.pointed;
        self.frames += 1;
        let frame = Frame {
            frame: self.frames,
            now: millis(self.began.elapsed()),
            counters: self.tally,
            open,
            buffered: self.rows.buffered(),
            set: self.rows.timers(),
            skipped,
            lost,
            turns: shown,
            rows: self.rows.busiest(reactor, self.began),
            ended: self.rows.take_ended(),
            next: self.rows.next_timers(self.began),
            remarks: self.rows.take_remarks(),
            from: first,
            points,
            pointed: self.pointed,
            about: &self.about,
        };
        // Numbers and strings always become JSON, which has no line breaks.
        let json = serde_json::to_string(&frame).unwrap_or_default();
        format!("data: {json}\n\n")
    }
}

impl Observer for Feed {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        let (before, mut tally) = (self.recorder.count(), self.tally);
        tally.count(notice);
        self.recorder.notice(at, notice);
        if self.recorder.count() > before {
            self.tally = tally; // it was not left out
        }
    }
}

impl Tally {
    fn count(&mut self, notice: &Notice) {
        match notice {
            Notice::TurnEnd(_) => self.turns += 1,
            Notice::Woken => self.wakes += 1,
            Notice::CallbackBegin { callback, .. } => {
                self.callbacks += 1;
                self.calls += u64::from(*callback == Callback::Call);
            }
            Notice::Panicked { .. } => self.panics += 1,
            Notice::Opened { origin: Origin::Accepted(_), .. } => self.accepted += 1,
            Notice::Gone { .. } => self.closed += 1,
            Notice::Received { bytes, .. } => self.received += *bytes as u64,
            Notice::Sent { bytes, .. } => self.sent += *bytes as u64,
            Notice::Timer { event: crocus::TimerEvent::Fired(_), .. } => self.timers += 1,
            Notice::TurnedAway { .. } | Notice::CannotAccept { .. } => self.refused += 1,
            _ => {}
        }
    }
}

/// Milliseconds with three decimals.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
