//! Connections, timers, attempts to connect and counters, which last longer than a turn.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Write};

use super::events::{Arg, Events, Kind, Row};
use crate::address::Address;
use crate::ids::{ConnectionId, ConnectorId};
use crate::observe::{Command, Notice, Origin, Outcome, Stage, Subject, TimerEvent};
use crate::parts::timers::TimerId;
use crate::reason::Reason;

/// All that is open, and the values of the counters that were written last.
#[derive(Default)]
pub(super) struct Lives {
    connections: HashMap<ConnectionId, Life>,
    /// When each was set that has not fired yet.
    timers: HashMap<TimerId, u64>,
    /// When each was told to connect.
    connectors: HashMap<ConnectorId, u64>,
    arrows: u64,
    buffered: u64,
    counted: [Option<u64>; COUNTERS.len()],
}

const OPEN: &str = "open";

const COUNTERS: [&str; 4] = ["open", "ready", "buffered", "timers"];

#[derive(Clone, Copy)]
struct Life {
    /// The name of the slice that is open inside of its life.
    stage: &'static str,
    /// The bytes that wait in its outgoing buffer.
    waiting: u64,
}

const REACTOR: Kind<'static> = Kind::Mark(Row::Reactor);

impl Lives {
    /// An arrow that no other has been.
    pub(super) fn new_arrow(&mut self) -> u64 {
        self.arrows += 1;
        self.arrows
    }

    /// Ends the rows of all connections: the trace ends.
    pub(super) fn end_all<W: Write>(&mut self, events: &mut Events<W>, at: u64) {
        let mut open: Vec<_> = self.connections.drain().collect();
        open.sort_unstable_by_key(|&(id, _)| id); // the same order in each run
        for (id, life) in open {
            life.end(events, id, at, &"the trace ends");
        }
    }

    /// Writes the counters that have changed.
    pub(super) fn count<W: Write>(&mut self, events: &mut Events<W>, ready: u64, at: u64) {
        let (open, timers) = (self.connections.len() as u64, self.timers.len() as u64);
        let values = [open, ready, self.buffered, timers];
        for ((name, value), last) in COUNTERS.iter().zip(values).zip(&mut self.counted) {
            if last.replace(value) != Some(value) {
                events.add(Kind::Counter, "count", name, at, &[("value", Arg::Number(value))]);
            }
        }
    }

    pub(super) fn note<W: Write>(&mut self, events: &mut Events<W>, notice: &Notice, at: u64) {
        match notice {
            Notice::Opened { connection, peer, origin } => {
                self.begin_life(events, *connection, peer, *origin, at);
            }
            #[cfg(feature = "proxy")]
            Notice::Identified { connection, peer, .. } => {
                let peer = ("peer", Arg::Text(peer as _));
                self.on_row(events, *connection, "identified", at, &[peer]);
            }
            Notice::Stage { connection, stage } => {
                self.on_row(events, *connection, &stage.to_string(), at, &[]);
                self.next_stage(events, *connection, *stage, at);
            }
            Notice::Gone { connection, reason, .. } => {
                self.end_of_life(events, *connection, reason, at);
            }
            Notice::Received { connection, bytes } => {
                let bytes = ("bytes", Arg::Number(*bytes as u64));
                self.on_row(events, *connection, "received", at, &[bytes]);
            }
            Notice::Sent { connection, bytes, waiting } => {
                let bytes = ("bytes", Arg::Number(*bytes as u64));
                let left = ("waiting", Arg::Number(*waiting as u64));
                self.on_row(events, *connection, "sent", at, &[bytes, left]);
                self.waits(*connection, *waiting as u64);
            }
            Notice::Command { to, command, .. } => self.command(*to, command, at),
            Notice::Timer { timer, event, .. } => self.timer(events, *timer, *event, at),
            Notice::ConnectFailed { connector, reason } => {
                self.connectors.remove(connector);
                mark(events, "not connected", &[("why", Arg::Text(reason as _))], at);
            }
            about => note_mark(events, about, at),
        }
    }

    fn begin_life<W: Write>(
        &mut self,
        events: &mut Events<W>,
        id: ConnectionId,
        peer: &Address,
        origin: Origin,
        at: u64,
    ) {
        self.connections.insert(id, Life { stage: OPEN, waiting: 0 });
        let args = [("peer", Arg::Text(peer as _)), ("origin", Arg::Text(&origin as _))];
        let name = format!("connection {id}");
        events.add(Kind::AsyncBegin(&id), "connection", &name, at, &args);
        events.add(Kind::AsyncBegin(&id), "connection", &OPEN, at, &[]);
        if let Origin::Connected(connector) = origin
            && let Some(asked) = self.connectors.remove(&connector)
        {
            self.arrow(events, "connect", asked, at);
        }
    }

    fn end_of_life<W: Write>(
        &mut self,
        events: &mut Events<W>,
        id: ConnectionId,
        reason: &Reason,
        at: u64,
    ) {
        self.waits(id, 0);
        if let Some(life) = self.connections.remove(&id) {
            life.end(events, id, at, reason);
        }
        let kind = reason.io_error().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionReset) {
            let args = [("connection", Arg::Text(&id as _)), ("why", Arg::Text(reason))];
            events.add(REACTOR, "mark", &"reset", at, &args);
        }
    }

    /// A mark in the row of a connection, if the trace has its beginning.
    fn on_row<W: Write>(
        &self,
        events: &mut Events<W>,
        id: ConnectionId,
        name: &str,
        at: u64,
        args: &[(&str, Arg<'_>)],
    ) {
        if self.connections.contains_key(&id) {
            events.add(Kind::AsyncMark(&id), "connection", &name, at, args);
        }
    }

    /// The life of a connection is a slice, and in it the stage that it is in.
    fn next_stage<W: Write>(
        &mut self,
        events: &mut Events<W>,
        id: ConnectionId,
        stage: Stage,
        at: u64,
    ) {
        let next = match stage {
            Stage::Closing => "closing",
            Stage::Lingering => "lingering",
            Stage::FinReceived | Stage::FinSent | Stage::HandedOver => return,
            #[cfg(feature = "tls")]
            Stage::Encrypted => return,
        };
        if let Some(life) = self.connections.get_mut(&id) {
            events.add(Kind::AsyncEnd(&id), "connection", &life.stage, at, &[]);
            events.add(Kind::AsyncBegin(&id), "connection", &next, at, &[]);
            life.stage = next;
        }
    }

    fn waits(&mut self, id: ConnectionId, waiting: u64) {
        if let Some(life) = self.connections.get_mut(&id) {
            self.buffered = self.buffered - life.waiting + waiting;
            life.waiting = waiting;
        }
    }

    /// A connection that closes refuses what is written.
    fn waits_for_more(&mut self, id: ConnectionId, bytes: u64) {
        let open = self.connections.get(&id).filter(|life| life.stage == OPEN);
        if let Some(waiting) = open.map(|life| life.waiting) {
            self.waits(id, waiting + bytes);
        }
    }

    fn command(&mut self, to: Subject, command: &Command, at: u64) {
        match (to, command) {
            (Subject::Connection(id), Command::Write { bytes }) => {
                self.waits_for_more(id, *bytes as u64);
            }
            #[cfg(feature = "sendfile")]
            (Subject::Connection(id), Command::SendFile { bytes }) => {
                self.waits_for_more(id, *bytes);
            }
            (Subject::Connector(id), Command::Connect(_)) => {
                self.connectors.insert(id, at);
            }
            _ => {}
        }
    }

    fn timer<W: Write>(
        &mut self,
        events: &mut Events<W>,
        timer: TimerId,
        event: TimerEvent,
        at: u64,
    ) {
        match event {
            TimerEvent::Set(_) => drop(self.timers.insert(timer, at)),
            TimerEvent::Moved(_) => {}
            TimerEvent::Cancelled => drop(self.timers.remove(&timer)),
            TimerEvent::Fired(late) => {
                let set = self.timers.remove(&timer).unwrap_or(at);
                self.arrow(events, "timer", set, at);
                let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
                let args = [("timer", Arg::Text(&timer as _)), ("late_ns", Arg::Number(late))];
                events.add(REACTOR, "timer", &"a timer fires", at, &args);
            }
        }
    }

    /// An arrow is written at its end, so that none is without one.
    fn arrow<W: Write>(&mut self, events: &mut Events<W>, name: &str, from: u64, to: u64) {
        let id = self.new_arrow();
        events.add(Kind::ArrowBegin(Row::Reactor, id), name, &name, from, &[]);
        events.add(Kind::ArrowEnd(Row::Reactor, id), name, &name, to, &[]);
    }
}

impl Life {
    fn end<W: Write>(self, events: &mut Events<W>, id: ConnectionId, at: u64, why: &dyn Display) {
        events.add(Kind::AsyncEnd(&id), "connection", &self.stage, at, &[]);
        let name = format!("connection {id}");
        events.add(Kind::AsyncEnd(&id), "connection", &name, at, &[("why", Arg::Text(why))]);
    }
}

fn mark<W: Write>(events: &mut Events<W>, name: &str, args: &[(&str, Arg<'_>)], at: u64) {
    events.add(REACTOR, "mark", &name, at, args);
}

fn note_mark<W: Write>(events: &mut Events<W>, notice: &Notice, at: u64) {
    let mut mark = |name: &str, args: &[(&str, Arg<'_>)]| mark(events, name, args, at);
    match notice {
        Notice::Pressure { connection, high, waiting } => {
            let name = if *high { "pressure" } else { "no more pressure" };
            let of = ("connection", Arg::Text(connection as _));
            mark(name, &[of, ("waiting", Arg::Number(*waiting as u64))]);
        }
        Notice::Panicked { subject, message, .. } => {
            mark("panic", &[("of", Arg::Text(subject as _)), ("message", Arg::Text(message as _))]);
        }
        Notice::AttemptEnd { to, outcome: Outcome::Failed(reason), .. } => {
            let refused = reason.io_error().map(io::Error::kind);
            let refused = refused == Some(io::ErrorKind::ConnectionRefused);
            let name = if refused { "refused" } else { "attempt failed" };
            mark(name, &[("to", Arg::Text(to as _)), ("why", Arg::Text(reason as _))]);
        }
        Notice::TurnedAway { peer, reason, .. } => {
            mark("turned away", &[("peer", Arg::Text(peer as _)), ("why", Arg::Text(reason as _))]);
        }
        Notice::CannotAccept { error, .. } => {
            let name =
                if is_out_of_descriptors(error) { "out of descriptors" } else { "not accepted" };
            mark(name, &[("why", Arg::Text(error as _))]);
        }
        Notice::DatagramReceived { bytes, .. } => {
            mark("datagram received", &[("bytes", Arg::Number(*bytes as u64))]);
        }
        Notice::DatagramSent { bytes, .. } => {
            mark("datagram sent", &[("bytes", Arg::Number(*bytes as u64))]);
        }
        _ => {} // the slices show it, or it would add nothing
    }
}

#[cfg(unix)]
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(not(unix))]
fn is_out_of_descriptors(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Endpoint;
    use crate::parts::arena::Arena;

    #[test]
    fn an_attempt_that_has_failed_is_forgotten() {
        let (mut lives, mut events) = (Lives::default(), Events::new(io::sink()));
        let (id, to) = (ConnectorId(Arena::new().insert(())), Endpoint::from("127.0.0.1:9"));
        let (to, command) = (Subject::Connector(id), Command::Connect(to));
        lives.note(&mut events, &Notice::Command { by: None, to, command }, 1);
        assert_eq!(lives.connectors.len(), 1);
        let (connector, reason) = (id, Reason::Refused);
        lives.note(&mut events, &Notice::ConnectFailed { connector, reason }, 2);
        assert_eq!(lives.connectors.len(), 0);
    }
}
