//! Watches a world through an observer: its notices must nest and balance, and their sums must be those of
//! the counters.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use crocus::{
    Address, Callback, ConnectionId, ConnectorId, Notice, Observer, Outcome, Phase, Readiness,
    Stage, Stats, Subject, TimerEvent, TimerId, TimerOwner,
};

use crate::actors::Scene;
use crate::trace::sums_of_trace;

/// Listens to all notices of a reactor.
pub struct Watcher {
    scene: Rc<Scene>,
    last: Option<Instant>,
    in_turn: bool,
    phase: Option<Phase>,
    callbacks: Vec<(Subject, Callback)>,
    open: BTreeMap<ConnectionId, Vec<Stage>>,
    timers: BTreeMap<TimerId, TimerOwner>,
    attempts: BTreeSet<(ConnectorId, String)>,
    sums: Stats,
    /// Connections that were made, until their protocol is told.
    unannounced: BTreeSet<ConnectionId>,
}

impl Watcher {
    pub fn new(scene: &Rc<Scene>) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            scene: Rc::clone(scene),
            last: None,
            in_turn: false,
            phase: None,
            callbacks: Vec::new(),
            open: BTreeMap::new(),
            timers: BTreeMap::new(),
            attempts: BTreeSet::new(),
            sums: Stats::default(),
            unannounced: BTreeSet::new(),
        }))
    }

    /// Compares the sums of what was told with the counters.
    pub fn compare(&self, stats: Stats) {
        let (sums, mut counted) = (self.sums, stats);
        counted.slow_callbacks = 0; // how long is too long is not told
        self.demand(sums == counted, || format!("{sums:?}, but {counted:?} was counted"));
    }

    /// Compares the sums with those of a trace of the same turns.
    pub fn compare_trace(&self, trace: &[u8]) {
        match sums_of_trace(trace) {
            Ok(mut sums) => {
                if self.scene.profile.secured {
                    // A trace does not tell whether a connection has come through its handshake.
                    let Stats { accepted, connected, .. } = self.sums;
                    (sums.accepted, sums.connected) = (accepted, connected);
                }
                self.demand(sums == self.sums, || {
                    format!("{:?}, but the trace {sums:?}", self.sums)
                });
            }
            Err(fault) => self.demand(false, || format!("a trace with a fault: {fault}")),
        }
    }

    /// When the reactor is gone, each beginning has had its end.
    pub fn balance(&self) {
        let Self { in_turn, callbacks, open, timers, attempts, .. } = self;
        self.demand(!in_turn && callbacks.is_empty(), || format!("no end of {callbacks:?}"));
        self.demand(open.is_empty(), || format!("no end of {open:?}"));
        self.demand(timers.is_empty(), || format!("no end of {timers:?}"));
        self.demand(attempts.is_empty(), || format!("no end of {attempts:?}"));
    }

    fn demand(&self, holds: bool, what: impl FnOnce() -> String) {
        let what = || format!("the observer saw {}", what());
        self.scene.ledger.borrow_mut().demand(holds, what);
    }

    fn begin_turn(&mut self, turn: u64) {
        self.demand(!self.in_turn, || "a turn inside of a turn".to_owned());
        self.in_turn = true;
        self.phase = None;
        self.sums.turns += 1;
        self.demand(turn == self.sums.turns, || format!("turn {turn} out of order"));
        self.scene.ledger.borrow_mut().turn = turn;
        self.scene.note(|| format!("turn {turn}"));
    }

    fn begin_phase(&mut self, phase: Phase) {
        let follows = match phase {
            Phase::Sleep { .. } => self.phase.is_none(),
            Phase::Latch => matches!(self.phase, Some(Phase::Sleep { .. })),
            Phase::Timers => self.phase == Some(Phase::Latch),
            Phase::Serve => self.phase == Some(Phase::Timers),
            Phase::Calls => self.phase == Some(Phase::Serve),
            Phase::Flush => self.phase == Some(Phase::Calls),
            // At the end of a turn, or when the reactor is dropped.
            Phase::Stop => !self.in_turn || self.phase == Some(Phase::Flush),
            _ => false,
        };
        self.demand(follows, || format!("{phase:?} after {:?}", self.phase));
        self.demand(self.callbacks.is_empty(), || format!("{phase:?} in {:?}", self.callbacks));
        self.phase = Some(phase);
        self.scene.ledger.borrow_mut().tearing_down = phase == Phase::Stop;
    }

    fn begin_callback(&mut self, subject: Subject, callback: Callback) {
        let alone = self.callbacks.is_empty() || callback == Callback::Drop;
        self.demand(alone, || format!("{callback} inside of {:?}", self.callbacks));
        self.callbacks.push((subject, callback));
        if let (Subject::Connection(id), Callback::DataReceived) = (subject, callback) {
            self.scene.ledger.borrow_mut().framing_served(id);
        }
        if let (Subject::Connection(id), Callback::ConnectionMade) = (subject, callback) {
            self.sums.connected += u64::from(self.unannounced.remove(&id));
        }
        self.sums.callbacks += 1;
    }

    fn end_callback(&mut self, subject: Subject, callback: Callback) {
        let begun = self.callbacks.pop();
        self.demand(begun == Some((subject, callback)), || {
            format!("the end of {callback} of {subject} in {begun:?}")
        });
    }

    fn timer(&mut self, timer: TimerId, owner: TimerOwner, event: TimerEvent) {
        let known = match event {
            TimerEvent::Set(_) => {
                let former = self.timers.insert(timer, owner);
                return self.demand(former.is_none(), || format!("{timer} set twice"));
            }
            TimerEvent::Moved(_) => self.timers.get(&timer).copied(),
            TimerEvent::Fired(_) => {
                self.sums.timers += 1;
                self.timers.remove(&timer)
            }
            _ => self.timers.remove(&timer),
        };
        self.demand(known == Some(owner), || {
            format!("{event:?} of timer {timer} for {owner:?}, set for {known:?}")
        });
    }

    fn attempt_ends(&mut self, connector: ConnectorId, to: &Address, outcome: &Outcome) {
        let begun = self.attempts.remove(&(connector, to.to_string()));
        self.demand(begun, || format!("an end of no attempt: {connector} {to} {outcome}"));
    }

    fn reaches(&mut self, connection: ConnectionId, stage: Stage) {
        let Some(stages) = self.open.get_mut(&connection) else {
            return self.demand(false, || format!("{stage} of {connection}, which is not open"));
        };
        let again = stages.contains(&stage) && stage != Stage::HandedOver;
        let in_order = stage != Stage::Lingering
            || (stages.contains(&Stage::Closing) && stages.contains(&Stage::FinSent));
        stages.push(stage);
        let all = stages.clone();
        self.demand(!again && in_order, || format!("the stages {all:?} of {connection}"));
    }

    /// All that is told of a connection is told between its beginning and its end.
    fn check_it_is_open(&self, notice: &Notice) {
        let known = |notice: &Notice| match notice {
            // The value of a user's may be dropped after its connection.
            Notice::CallbackBegin { callback: Callback::Drop, .. }
            | Notice::CallbackEnd { callback: Callback::Drop, .. }
            | Notice::Panicked { callback: Callback::Drop, .. }
            | Notice::Opened { .. } => true,
            notice => match notice.subject() {
                Some(Subject::Connection(id)) => self.open.contains_key(&id),
                _ => true,
            },
        };
        self.demand(known(notice), || format!("`{notice}` of a connection that is not open"));
    }
}

impl Observer for Watcher {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        self.scene.note(|| format!("  | {notice}"));
        let last = self.last.replace(at);
        self.demand(last.is_none_or(|last| last <= at), || format!("`{notice}` too late"));
        self.check_it_is_open(notice);
        match *notice {
            Notice::TurnBegin { turn } => self.begin_turn(turn),
            Notice::PhaseBegin(phase) => self.begin_phase(phase),
            Notice::Woke { events, .. } => {
                self.sums.events += events as u64;
                self.scene.ledger.borrow_mut().turn_began = Some(at);
            }
            Notice::Woken => self.sums.wakes += 1,
            Notice::CallbackBegin { subject, callback } => {
                self.begin_callback(subject, callback);
                // The functions to call at a stop are none that were queued.
                let queued = self.phase != Some(Phase::Stop);
                self.sums.calls += u64::from(callback == Callback::Call && queued);
            }
            Notice::CallbackEnd { subject, callback, .. } => self.end_callback(subject, callback),
            Notice::Panicked { .. } => self.sums.panics += 1,
            Notice::Opened { connection, origin, ref peer } => {
                let former = self.open.insert(connection, Vec::new());
                self.demand(former.is_none(), || format!("{connection} opened twice"));
                match origin {
                    crocus::Origin::Accepted(listener) => {
                        self.sums.accepted += 1;
                        let mut ledger = self.scene.ledger.borrow_mut();
                        ledger.opened(connection, listener, peer.socket_addr());
                    }
                    crocus::Origin::Connected(_) => drop(self.unannounced.insert(connection)),
                    _ => {}
                }
            }
            Notice::Stage { connection, stage } => {
                self.reaches(connection, stage);
                if stage == Stage::Closing && self.in_turn {
                    self.scene.ledger.borrow_mut().tls_may_have_failed(connection, at);
                }
            }
            Notice::Gone { connection, ref reason, .. } => {
                self.scene.ledger.borrow_mut().task_lost(connection, reason, at);
                self.open.remove(&connection);
                self.unannounced.remove(&connection);
                self.scene.ledger.borrow_mut().taken.remove(&connection);
                self.sums.closed += 1;
            }
            Notice::Received { connection, bytes } => {
                self.sums.bytes_read += bytes as u64;
                self.scene.ledger.borrow_mut().read(connection, bytes, at);
            }
            Notice::Sent { connection, bytes, .. } => {
                self.sums.bytes_written += bytes as u64;
                self.scene.ledger.borrow_mut().took(connection, bytes, at);
            }
            Notice::Event { subject: Some(Subject::Connection(connection)), readiness } => {
                let ends = readiness.contains(Readiness::READ_CLOSED);
                if readiness.contains(Readiness::READABLE) {
                    self.scene.ledger.borrow_mut().stir(connection, !ends, at);
                }
            }
            Notice::DatagramReceived { bytes, .. } => {
                self.sums.datagrams_received += 1;
                self.sums.bytes_read += bytes as u64;
            }
            Notice::DatagramSent { bytes, .. } => {
                self.sums.datagrams_sent += 1;
                self.sums.bytes_written += bytes as u64;
            }
            Notice::Timer { timer, owner, event } => self.timer(timer, owner, event),
            Notice::AttemptBegin { connector, ref to } => {
                if let Some(latency) = self.scene.answers_after(to) {
                    self.scene.ledger.borrow_mut().attempt_begins(connector, at + latency);
                }
                let new = self.attempts.insert((connector, to.to_string()));
                self.demand(new, || format!("{to} tried twice at once by {connector}"));
            }
            Notice::AttemptEnd { connector, ref to, ref outcome } => {
                self.attempt_ends(connector, to, outcome);
            }
            Notice::ConnectFailed { .. } => self.sums.failed += 1,
            Notice::TurnedAway { ref peer, .. } => {
                let peer = peer.socket_addr();
                // A secure one has counted already, if its factory refuses it after the handshake.
                let known = |(_, other): &(usize, _)| peer.is_some() && *other == peer;
                let before = self.scene.ledger.borrow().taken.values().any(known);
                self.sums.accepted += u64::from(!before);
                self.sums.turned_away += 1;
            }
            Notice::CannotAccept { .. } => self.sums.accept_errors += 1,
            Notice::TurnEnd(report) => {
                self.in_turn = false;
                self.demand(report.turn == self.sums.turns, || format!("the end of {report:?}"));
                self.scene.ledger.borrow_mut().turn_ends(report.stopped, at);
            }
            _ => {}
        }
    }
}
