//! Recorded notices as turns.

use std::time::{Duration, Instant};

use crocus::{Notice, Phase};
use serde::Serialize;

use crate::feed::millis;

/// How many turns a frame shows: the newest ones, and those with a slow callback.
const MOST_TURNS: usize = 24;

/// How many lines of a phase, and how many callbacks of a turn, are shown.
const MOST_LINES: usize = 8;
const MOST_CALLBACKS: usize = 40;

/// A callback that takes longer keeps a hundred clients waiting that one could have served meanwhile.
pub(crate) const SLOW: Duration = Duration::from_millis(50);

/// A turn; times are milliseconds since the server began, lengths milliseconds.
#[derive(Serialize)]
pub(crate) struct Turn {
    turn: u64,
    at: f64,
    took: f64,
    phases: Vec<Shown>,
    /// When each began, how long it took, its name and its owner.
    callbacks: Vec<(f64, f64, String, String)>,
    /// How many callbacks there were.
    called: usize,
}

#[derive(Serialize)]
struct Shown {
    phase: &'static str,
    at: f64,
    took: f64,
    lines: Vec<String>,
    /// How many lines are not shown.
    more: usize,
}

/// A notice in the recorder.
pub(crate) struct Seen<'a> {
    pub(crate) number: u64,
    pub(crate) at: Instant,
    pub(crate) notice: &'a Notice,
}

/// The turns in a list of notices that have ended.
pub(crate) struct Whole<'a> {
    turns: Vec<&'a [Seen<'a>]>,
    /// How many of the notices they and those before them are.
    pub(crate) used: usize,
}

pub(crate) fn whole<'a>(records: &'a [Seen<'a>]) -> Whole<'a> {
    let (mut turns, mut used, mut begin) = (Vec::new(), 0, None);
    for (index, record) in records.iter().enumerate() {
        match record.notice {
            Notice::TurnBegin { .. } => begin = Some(index),
            Notice::TurnEnd(_) => {
                used = index + 1;
                turns.extend(begin.take().map(|begin| &records[begin..used]));
            }
            _ => {}
        }
    }
    Whole { turns, used }
}

impl Whole<'_> {
    /// The turns that are shown, and how many are not.
    pub(crate) fn shown(&self, zero: Instant) -> (Vec<Turn>, usize) {
        let newest = self.turns.len().saturating_sub(MOST_TURNS);
        let (old, new) = self.turns.split_at(newest);
        let slow = old.iter().filter(|turn| is_slow(turn)).take(MOST_TURNS);
        let shown: Vec<_> = slow.chain(new).map(|turn| show(turn, zero)).collect();
        let skipped = self.turns.len() - shown.len();
        (shown, skipped)
    }
}

fn is_slow(turn: &[Seen<'_>]) -> bool {
    turn.iter()
        .any(|record| matches!(record.notice, Notice::CallbackEnd { took, .. } if *took > SLOW))
}

fn show(turn: &[Seen<'_>], zero: Instant) -> Turn {
    let time = |at: Instant| millis(at.saturating_duration_since(zero));
    let (first, last) = (&turn[0], &turn[turn.len() - 1]);
    let mut shown = Turn {
        turn: 0,
        at: time(first.at),
        took: millis(last.at - first.at),
        phases: Vec::new(),
        callbacks: Vec::new(),
        called: 0,
    };
    for record in turn {
        let at = time(record.at);
        if let Notice::TurnBegin { turn } = record.notice {
            shown.turn = *turn;
            continue;
        }
        if matches!(record.notice, Notice::PhaseBegin(_) | Notice::TurnEnd(_))
            && let Some(before) = shown.phases.last_mut()
        {
            before.took = at - before.at;
        }
        match record.notice {
            Notice::PhaseBegin(phase) => shown.phases.push(begin(*phase, at)),
            Notice::CallbackEnd { subject, callback, took } => {
                shown.called += 1;
                if shown.callbacks.len() < MOST_CALLBACKS || *took > SLOW {
                    let (took, owner) = (millis(*took), subject.to_string());
                    shown.callbacks.push((at - took, took, callback.to_string(), owner));
                }
            }
            _ => {}
        }
        if let Some(phase) = shown.phases.last_mut() {
            add_line(phase, record.notice);
        }
    }
    shown
}

fn begin(phase: Phase, at: f64) -> Shown {
    let name = match phase {
        Phase::Sleep { .. } => "sleep",
        Phase::Latch => "latch",
        Phase::Timers => "timers",
        Phase::Serve => "serve",
        Phase::Calls => "calls",
        Phase::Flush => "flush",
        _ => "stop",
    };
    let mut shown = Shown { phase: name, at, took: 0.0, lines: Vec::new(), more: 0 };
    if matches!(phase, Phase::Sleep { .. }) {
        shown.lines.push(phase.to_string());
    }
    shown
}

/// The beginning of a callback is told by its end.
fn add_line(phase: &mut Shown, notice: &Notice) {
    match notice {
        Notice::PhaseBegin(_) | Notice::TurnEnd(_) | Notice::CallbackBegin { .. } => {}
        _ if phase.lines.len() == MOST_LINES => phase.more += 1,
        notice => phase.lines.push(notice.to_string()),
    }
}
