//! Connections, timers, and the remarks about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use crocus::{Callback, ConnectionId, Notice, Reactor, Subject, TimerEvent, TimerId, TimerOwner};
use serde::Serialize;

use crate::feed::millis;
use crate::turns::{SLOW, Seen};

/// How many connections, ends, timers and remarks a frame shows.
const MOST_ROWS: usize = 32;
const MOST_ENDED: usize = 12;
const MOST_TIMERS: usize = 8;
const MOST_REMARKS: usize = 12;

/// A connection that is above its high mark for so many turns gets a remark.
const LONG_PRESSURE: u64 = 40;

/// Linux's names for it: there is no descriptor left in the system, or in this process.
const EXHAUSTED: [i32; 2] = [23, 24]; // ENFILE, EMFILE

#[derive(Default)]
pub(crate) struct Rows {
    known: HashMap<ConnectionId, Known>,
    ended: Vec<Ended>,
    timers: BTreeMap<TimerId, (TimerOwner, Instant)>,
    /// The connections above their high mark, with the turn since which they are.
    high: BTreeMap<ConnectionId, u64>,
    remarks: Vec<Remark>,
    turn: u64,
}

/// A connection as far as notices tell of it. The reactor knows the rest.
struct Known {
    peer: String,
    opened: Option<Instant>,
    stage: String,
    last: Option<(Instant, Callback)>,
    waiting: usize,
}

/// A connection, for a frame.
#[derive(Serialize)]
pub(crate) struct Row {
    id: String,
    peer: String,
    /// Milliseconds since the server began, if that was seen.
    opened: Option<f64>,
    received: u64,
    sent: u64,
    waiting: usize,
    high: bool,
    stage: String,
    last: String,
}

/// A connection that has ended.
#[derive(Serialize)]
pub(crate) struct Ended {
    id: String,
    peer: String,
    at: f64,
    why: String,
}

/// A timer to come.
#[derive(Serialize)]
pub(crate) struct Next {
    timer: String,
    of: String,
    at: f64,
}

/// A remark in words.
#[derive(Serialize)]
pub(crate) struct Remark {
    turn: u64,
    text: String,
}

impl Rows {
    pub(crate) fn digest(&mut self, record: &Seen<'_>, zero: Instant) {
        match record.notice {
            Notice::TurnBegin { turn } => self.begin_turn(*turn),
            Notice::Opened { connection, peer, .. } => {
                let known = Known { opened: Some(record.at), ..Known::new(peer.to_string()) };
                self.known.insert(*connection, known);
            }
            Notice::Gone { connection, peer, reason } => {
                self.known.remove(connection);
                self.high.remove(connection);
                if self.ended.len() == MOST_ENDED {
                    self.ended.remove(0);
                }
                self.ended.push(Ended {
                    id: connection.to_string(),
                    peer: peer.to_string(),
                    at: millis(record.at.saturating_duration_since(zero)),
                    why: reason.to_string(),
                });
            }
            Notice::Timer { timer, owner, event } => match event {
                TimerEvent::Set(at) | TimerEvent::Moved(at) => {
                    self.timers.insert(*timer, (*owner, *at));
                }
                _ => drop(self.timers.remove(timer)),
            },
            Notice::Pressure { connection, high: true, .. } => {
                self.high.insert(*connection, self.turn);
            }
            Notice::Pressure { connection, .. } => drop(self.high.remove(connection)),
            Notice::CallbackEnd { subject, callback, took } if *took > SLOW => {
                self.remark(format!(
                    "{callback} of {subject} took {took:.1?}: nobody else was served"
                ));
            }
            Notice::CannotAccept { error, .. } => {
                let out = error.raw_os_error().is_some_and(|errno| EXHAUSTED.contains(&errno));
                let what = if out { "out of descriptors: " } else { "" };
                self.remark(format!("{what}{}", record.notice));
            }
            Notice::Panicked { .. } | Notice::TurnedAway { .. } => {
                self.remark(record.notice.to_string());
            }
            _ => {}
        }
        if let Some(Subject::Connection(id)) = record.notice.subject()
            && let Some(known) = self.known.get_mut(&id)
        {
            known.digest(record);
        }
    }

    fn begin_turn(&mut self, turn: u64) {
        self.turn = turn;
        let long = self.high.iter().filter(|&(_, since)| turn == since + LONG_PRESSURE);
        let long: Vec<_> = long.map(|(id, _)| *id).collect();
        for id in long {
            self.remark(format!(
                "connection {id} is above its high mark for {LONG_PRESSURE} turns"
            ));
        }
    }

    fn remark(&mut self, text: String) {
        if self.remarks.len() == MOST_REMARKS {
            self.remarks.remove(0);
        }
        self.remarks.push(Remark { turn: self.turn, text });
    }

    /// Learns some connections whose beginning was not recorded, if there are few others to show. Returns how
    /// many are open.
    pub(crate) fn look_at(
        &mut self,
        reactor: &mut Reactor,
        pages: &BTreeSet<ConnectionId>,
    ) -> usize {
        let open = reactor.connections();
        let missing = MOST_ROWS.saturating_sub(self.known.len());
        let unknown = open.iter().filter(|id| !pages.contains(id) && !self.known.contains_key(id));
        let learned: Vec<_> = unknown.take(missing).copied().collect();
        for id in learned {
            if let Some(transport) = reactor.transport(id) {
                self.known.insert(id, Known::new(transport.peer_addr().to_string()));
            }
        }
        open.len().saturating_sub(pages.len())
    }

    pub(crate) fn buffered(&self) -> u64 {
        self.known.values().map(|known| known.waiting as u64).sum()
    }

    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// The connections to show: those that bytes wait for, and then those called last.
    pub(crate) fn busiest(&self, reactor: &mut Reactor, zero: Instant) -> Vec<Row> {
        let mut order: Vec<_> = self.known.iter().collect();
        let rank = |known: &Known| (known.waiting > 0, known.last.map(|(at, _)| at), known.opened);
        if order.len() > MOST_ROWS {
            order.select_nth_unstable_by(MOST_ROWS, |a, b| rank(b.1).cmp(&rank(a.1)));
            order.truncate(MOST_ROWS);
        }
        order.sort_unstable_by_key(|(id, _)| **id);
        let row = |(id, known): (&ConnectionId, &Known)| {
            let transport = reactor.transport(*id)?;
            Some(Row {
                id: id.to_string(),
                peer: known.peer.clone(),
                opened: known.opened.map(|at| millis(at.saturating_duration_since(zero))),
                received: transport.bytes_read(),
                sent: transport.bytes_written(),
                waiting: transport.buffered(),
                high: self.high.contains_key(id),
                stage: known.stage.clone(),
                last: known.last.map_or_else(String::new, |(_, callback)| callback.to_string()),
            })
        };
        order.into_iter().filter_map(row).collect()
    }

    pub(crate) fn next_timers(&self, zero: Instant) -> Vec<Next> {
        let mut order: Vec<_> = self.timers.iter().collect();
        order.sort_unstable_by_key(|(_, (_, at))| *at);
        let next = |(timer, (owner, at)): (&TimerId, &(TimerOwner, Instant))| Next {
            timer: timer.to_string(),
            of: owner.to_string(),
            at: millis(at.saturating_duration_since(zero)),
        };
        order.into_iter().take(MOST_TIMERS).map(next).collect()
    }

    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    pub(crate) fn take_remarks(&mut self) -> Vec<Remark> {
        std::mem::take(&mut self.remarks)
    }
}

impl Known {
    fn new(peer: String) -> Self {
        let stage = "open".to_owned();
        Self { peer, opened: None, stage, last: None, waiting: 0 }
    }

    fn digest(&mut self, record: &Seen<'_>) {
        match record.notice {
            Notice::Stage { stage, .. } => self.stage = stage.to_string(),
            Notice::CallbackEnd { callback, .. } => self.last = Some((record.at, *callback)),
            Notice::Sent { waiting, .. } => self.waiting = *waiting,
            Notice::Pressure { waiting, .. } => self.waiting = *waiting,
            _ => {}
        }
    }
}
