//! The ledger: it records what everybody did and was told, and objects where that breaks the contract.
//!
//! Nothing in here acts. The actors enter what they do. The calls that they get are checked
//! against the entries. At the end, and whenever the world is at rest, the ledger must balance.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crocus::{ConnectionId, ConnectorId, ListenerId, Reason, TimerId};

use crate::allowance::Allowance;
use crate::awaited::Waits;
use crate::post::Post;
use crate::secured::{Line, RECORD, failure};

/// The first bytes of each stream name who sends it.
const NAME: usize = 4;

/// The bytes `from..to` of all that party `who` sends: its name, then a pattern that shows a piece
/// that is missing, doubled, misplaced or from another party.
pub fn expected_bytes(who: usize, from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|at| expected_byte(who, at)).collect()
}

fn expected_byte(who: usize, at: usize) -> u8 {
    let name = (who as u32).to_le_bytes();
    name.get(at).copied().unwrap_or((at * 37 + at / 251 + who * 101) as u8)
}

/// One end of a connection: a protocol in the reactor, or a peer in the hands of the test.
#[derive(Default)]
pub struct Party {
    /// Whether some of its output was in a file.
    pub filed: bool,
    /// The party at the other end, once it is known.
    pub other_side: Option<usize>,
    /// How many bytes `write` or `send` took.
    pub sent: usize,
    pub got: usize,
    name: [u8; NAME],
    /// The end of the other's stream was seen, in order.
    pub eof: bool,
    /// The same, seen by the protocol it has now or by a former one.
    pub ever_eof: bool,
    pub write_closed: bool,
    /// A peer that was dropped or reset by the test, and hears nothing more.
    pub gone: bool,
    pub was_reset: bool,
    pub is_protocol: bool,
    pub id: Option<ConnectionId>,
    pub made: bool,
    /// Paused by `pause_reading`; `withheld`: by the default `pause_writing`.
    pub paused: bool,
    pub withheld: bool,
    /// A write was refused because sending failed.
    pub broken: bool,
    pub writing_paused: bool,
    /// Which of its protocols it has, in the order they were made; and which takes over.
    pub current: usize,
    /// How many bytes of a begun frame it is told of with the end.
    pub part: usize,
    /// The size of the frames of those that get frames.
    pub frames: BTreeMap<usize, usize>,
    pub successor: Option<usize>,
    /// The former protocol is gone, and the successor not told yet.
    pub awaits_successor: bool,
    /// The task that is to take over has given the connection away already, to this protocol.
    pub heir: Option<usize>,
    protocols: usize,
    /// How many bytes that were read before are to be given again.
    returned: usize,
    /// It had a rate at some time, and may have to wait.
    pub throttled: bool,
    pub marks: (usize, usize),
    pub close_timeout: Duration,
    /// Since when nothing may be delivered but the loss.
    pub closing: Option<Instant>,
    /// The turn in which that began; and the end of the next one, in which its close timeout runs for certain.
    closing_in: u64,
    pub timed_by: Option<Instant>,
    /// Since when it only waits for its protocol to go on writing, and for its peer to take that.
    pub finishing: Option<Instant>,
    /// How many bytes of the wire were read from its socket, and how many in the turn of that number.
    pub read: usize,
    read_in_turn: (u64, usize),
    /// How many bytes the kernel took of it, when it took some last, and since when it has room for more.
    pub written: usize,
    pub took: Option<Instant>,
    pub room: Option<Instant>,
    /// When the kernel last told that there is something to read.
    pub stirred: Option<Instant>,
    /// When all that this peer has sent has arrived.
    pub arrived: Option<Instant>,
    /// The allowances of its rates for reading and for writing.
    pub may_read: Option<Allowance>,
    pub may_write: Option<Allowance>,
    /// The bytes it wrote in this turn and the last.
    pub fresh: Fresh,
    /// How much it still has to write of an answer that its peer shall not take for whole before.
    pub owes: usize,
    pub asked_to_close: bool,
    /// It closed for a reason of its own.
    pub closed_because: bool,
    /// How it comes to be encrypted, and when its handshake began in the middle.
    pub line: Line,
    pub began: Option<Instant>,
    /// The end of the stream counts as the peer's.
    pub allows_truncation: bool,
    /// Of a far end: it said that it ends; it sent what is no TLS; how many bytes are whole on the wire.
    pub notified: bool,
    pub spoiled: bool,
    pub whole: usize,
    /// It was told of the shutdown that goes on; since which turn it is owed that, if it came up in it.
    pub told_of_shutdown: bool,
    pub up_since: u64,
    pub aborted: bool,
    pub panicked: bool,
    pub overflowed: bool,
    pub timed_out: bool,
    /// The idle timeout that is set, and the moment from which it counts at the earliest.
    pub timeout: Option<(Duration, Instant)>,
    /// A task has it, or had it: then its end may have come, and the task has not read so far.
    pub is_task: bool,
    pub was_task: bool,
    /// For what its task waits; whether it has panicked in the middle.
    pub waits: Waits,
    pub cut_off: bool,
    pub lost: Option<Loss>,
    pub dropped: bool,
    pub listener: Option<usize>,
    pub client: Option<usize>,
    /// Bytes delivered in the turn of that number.
    portion: (u64, usize),
    /// How many turns in a row it could have been given bytes and was not.
    pub turns_unserved: usize,
}

pub struct Loss {
    pub reason: String,
    /// All was to be sent before.
    pub orderly: bool,
    /// The end of a shutdown found it open, and its output too.
    pub left_over: bool,
    pub errno: Option<i32>,
    pub at: Instant,
}

impl Party {
    pub fn is_live(&self) -> bool {
        self.made && self.lost.is_none()
    }

    pub fn reads(&self) -> bool {
        !self.paused && !self.withheld
    }

    /// How many bytes it was read and not given: a begun frame.
    pub fn in_hand(&self) -> usize {
        if self.is_framed() && !self.uses_tls() { self.read - self.got } else { 0 }
    }

    /// Whether it was given so little of `sent` bytes that more than a begun frame is missing. Over TLS nobody but
    /// the framing knows how many bytes that is.
    pub fn lacks(&self, sent: usize) -> bool {
        let begun = match self.frames.get(&self.current) {
            Some(frame) if self.uses_tls() => frame - 1,
            _ => self.in_hand(),
        };
        self.got + begun < sent
    }

    pub fn is_framed(&self) -> bool {
        self.frames.contains_key(&self.current)
    }

    pub fn is_open(&self) -> bool {
        self.is_live() && self.closing.is_none()
    }

    /// Its timeout counts from here.
    fn is_active(&mut self, at: Instant) {
        if let Some((_, since)) = &mut self.timeout {
            *since = at.max(*since);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Made,
    Data,
    Eof,
    Pause,
    Resume,
    Timer,
    TimedOut,
    ShuttingDown,
    Lost,
}

/// Where an outgoing connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Trying {
        since: Instant,
    },
    /// The factory made a protocol, and it is to hear of it next.
    Built(usize),
    /// The factory made none, and a failure is owed.
    Refused,
    Connected(usize),
    /// `Reconnecting` decides whether there will be another attempt.
    Perhaps,
    Over,
}

/// Bytes written in a turn and in the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fresh {
    turn: u64,
    now: usize,
    before: usize,
}

impl Fresh {
    pub fn of(self, turn: u64) -> usize {
        match turn - self.turn {
            0 => self.now + self.before,
            1 => self.now,
            _ => 0,
        }
    }

    pub fn add(&mut self, turn: u64, bytes: usize) {
        let before = if turn == self.turn { self.before } else { self.of(turn) };
        let now = if turn == self.turn { self.now } else { 0 };
        *self = Self { turn, now: now + bytes, before };
    }
}

pub struct Client {
    pub id: Option<ConnectorId>,
    pub place: String,
    /// Since it asked for its name there were others for all lookups that are made at once.
    pub crowded: bool,
    pub timeout: Duration,
    pub reconnecting: bool,
    pub progress: Progress,
    /// Whether the reactor was stopping when it was asked to connect.
    pub asked_while_stopping: bool,
    /// The turn in which that was; and the end of the first in which the attempt has begun for certain.
    pub asked_in: u64,
    pub timed_by: Option<Instant>,
    /// When the first of the addresses that it tries answers.
    pub stands: Option<Instant>,
    pub cancelled: bool,
    pub unwanted: bool,
    pub dropped: bool,
}

pub struct Server {
    pub id: Option<ListenerId>,
    /// Its protocols are made after a handshake.
    pub secure: bool,
    pub addr: SocketAddr,
    pub max: usize,
    pub started: bool,
    pub closed: bool,
    pub told_stopped: bool,
    pub paused: bool,
    /// A shutdown has taken what waited in its queue.
    pub drained: bool,
    pub dropped: bool,
    portion: (u64, usize),
}

impl Server {
    pub fn new(addr: SocketAddr, max: usize, secure: bool) -> Self {
        Self {
            id: None,
            secure,
            addr,
            max,
            started: false,
            closed: false,
            told_stopped: false,
            paused: false,
            drained: false,
            dropped: false,
            portion: (0, 0),
        }
    }
}

pub struct Timer {
    pub id: TimerId,
    /// The protocol it belongs to; `None`: the reactor's.
    pub owner: Option<usize>,
    pub deadline: Instant,
    /// The turn in which it was set or moved.
    pub set_in: u64,
    pub interval: Option<Duration>,
    pub alive: bool,
}

/// The limits that this world's reactor has.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub read_budget: usize,
    pub accept_budget: usize,
    pub datagram_budget: usize,
    pub marks: (usize, usize),
    pub cap: usize,
    pub close_timeout: Duration,
    pub linger: Duration,
}

pub struct Ledger {
    pub limits: Limits,
    pub objections: Vec<String>,
    pub parties: Vec<Party>,
    pub clients: Vec<Client>,
    pub servers: Vec<Server>,
    pub timers: Vec<Timer>,
    pub post: Post,
    pub good_name_takes: Duration,
    pub ids: BTreeMap<ConnectionId, usize>,
    /// The bytes that connections have read and written before they had a protocol.
    unmade: BTreeMap<ConnectionId, (usize, usize)>,
    /// Connections of secure listeners, with the server and the peer; and all peers that there ever were.
    pub taken: BTreeMap<ConnectionId, (usize, Option<SocketAddr>)>,
    pub ever_taken: BTreeSet<SocketAddr>,
    names: BTreeMap<SocketAddr, usize>,
    /// The turn and the key of the timer that fired last.
    last_fired: Option<(u64, Instant, usize)>,
    calls_made: usize,
    last_call: Option<usize>,
    /// Calls that neither ran nor were dropped.
    pub calls_waiting: Vec<usize>,
    /// How many timers and calls were dropped in this turn that should have fired or run.
    vanished: usize,
    /// Functions of timers and calls that were neither called nor dropped yet.
    pub functions: usize,
    /// Whether anybody asked for a stop or a shutdown since the last stop.
    pub stop_asked: bool,
    /// Whether this turn must end with a stop.
    pub stop_due: bool,
    /// The turn in which a shutdown began that goes on.
    pub shutdown_in: Option<u64>,
    pub turn: u64,
    /// The end of the turn is a stop.
    pub tearing_down: bool,
    /// How many bytes may be under way or unread.
    pub window: usize,
    /// The time of that turn.
    pub turn_began: Option<Instant>,
    inside: Option<&'static str>,
    /// The connections that were closed in the callback that runs.
    closed_inside: Vec<usize>,
}

impl Ledger {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            objections: Vec::new(),
            parties: Vec::new(),
            clients: Vec::new(),
            servers: Vec::new(),
            timers: Vec::new(),
            post: Post::default(),
            good_name_takes: Duration::ZERO,
            ids: BTreeMap::new(),
            unmade: BTreeMap::new(),
            taken: BTreeMap::new(),
            ever_taken: BTreeSet::new(),
            names: BTreeMap::new(),
            last_fired: None,
            calls_made: 0,
            last_call: None,
            calls_waiting: Vec::new(),
            vanished: 0,
            functions: 0,
            stop_asked: false,
            stop_due: false,
            shutdown_in: None,
            turn: 0,
            tearing_down: false,
            window: usize::MAX,
            turn_began: None,
            inside: None,
            closed_inside: Vec::new(),
        }
    }

    pub fn object(&mut self, what: impl Into<String>) {
        self.objections.push(what.into());
    }

    pub fn demand(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.objections.push(what());
        }
    }

    // Callbacks.

    pub fn enter(&mut self, callback: &'static str) {
        if let Some(outer) = self.inside.replace(callback) {
            self.object(format!("{callback} was called inside of {outer}"));
        }
    }

    pub fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// A callback is over. Connections that it has closed are closed from now on: it may have worked after that.
    pub fn leave(&mut self, now: Instant) {
        self.inside = None;
        for who in std::mem::take(&mut self.closed_inside) {
            self.parties[who].closing = Some(now);
        }
    }

    // Parties.

    pub fn new_peer(&mut self) -> usize {
        self.parties.push(Party::default());
        self.parties.len() - 1
    }

    pub fn new_protocol(&mut self) -> usize {
        let Limits { marks, close_timeout, .. } = self.limits;
        let party = Party { is_protocol: true, marks, close_timeout, ..Party::default() };
        self.parties.push(party);
        self.parties.len() - 1
    }

    /// Another protocol of party `who`.
    pub fn new_successor(&mut self, who: usize) -> usize {
        self.parties[who].protocols += 1;
        self.parties[who].protocols
    }

    /// Protocol `successor` is to take over, with the last `unused` bytes that came.
    pub fn handed_over(&mut self, who: usize, successor: usize, unused: usize) {
        let party = &mut self.parties[who];
        party.successor = Some(successor);
        party.got -= unused;
        // Over TLS what was put back may come along with what was read with it.
        party.returned = if party.uses_tls() { 0 } else { party.read - party.got };
        party.turns_unserved = 0;
        self.forget_timers(who);
    }

    /// The successor is told `connection_made`. It begins as any protocol does, and the stream goes on.
    fn takes_over(&mut self, who: usize) {
        let party = &mut self.parties[who];
        let awaits_successor = std::mem::take(&mut party.awaits_successor);
        let party = &mut self.parties[who];
        party.current = party.successor.take().unwrap_or(party.current);
        (party.eof, party.writing_paused, party.withheld) = (false, false, false);
        (party.told_of_shutdown, party.up_since) = (false, self.turn);
        (party.turns_unserved, party.finishing) = (0, None);
        party.is_task = false;
        self.forget_timers(who);
        self.demand(awaits_successor, || format!("{who} has two protocols"));
    }

    /// Both ends of a connection know the address of the one that connected.
    pub fn meet(&mut self, addr: SocketAddr, who: usize) {
        match self.names.remove(&addr) {
            Some(other) => self.pair_up(who, other),
            None => drop(self.names.insert(addr, who)),
        }
    }

    pub fn pair_up(&mut self, one: usize, other: usize) {
        for (who, other_side) in [(one, other), (other, one)] {
            let known = *self.parties[who].other_side.get_or_insert(other_side);
            self.demand(known == other_side, || {
                format!("{who} hears {other_side}, but talks with {known}")
            });
        }
    }

    /// Checks bytes that arrived at `who`.
    pub fn received(&mut self, who: usize, data: &[u8]) {
        for &byte in data {
            let at = self.parties[who].got;
            self.parties[who].got += 1;
            if at < NAME {
                self.parties[who].name[at] = byte;
                if at == NAME - 1 {
                    self.learn_name(who);
                }
            } else if let Some(other_side) = self.parties[who].other_side
                && byte != expected_byte(other_side, at)
            {
                self.object(format!("byte {at} from {other_side} to {who} is another"));
                return;
            }
        }
        if let Some(other_side) = self.parties[who].other_side {
            let (got, sent) = (self.parties[who].got, self.parties[other_side].sent);
            self.demand(got <= sent, || {
                format!("{who} got {got} of {sent} bytes from {other_side}")
            });
        }
    }

    fn learn_name(&mut self, who: usize) {
        let name = u32::from_le_bytes(self.parties[who].name) as usize;
        if name < self.parties.len() {
            self.pair_up(who, name);
        } else {
            self.object(format!("{who} hears somebody who does not exist: {name}"));
        }
    }

    /// A frame for `who`, or bytes as they come, within what it has asked for.
    pub fn received_frame(&mut self, who: usize, frame: &[u8], raw: Option<u64>, buffered: usize) {
        let party = &mut self.parties[who];
        let size = party.frames.get(&party.current).copied();
        let right = match raw {
            None => size == Some(frame.len()),
            Some(raw) => !frame.is_empty() && frame.len() as u64 <= raw,
        };
        // Above the mark it is told to pause before it gets more.
        let pressed = buffered > party.marks.0 && !party.writing_paused;
        self.demand(right && !pressed, || {
            format!(
                "{who} was given a frame of {} bytes: {size:?}, {raw:?}, {pressed}",
                frame.len()
            )
        });
        self.received(who, frame);
    }

    /// A part of a frame that is told with the end. It stays for another protocol that takes over.
    pub fn begins_frame(&mut self, who: usize, part: &[u8]) {
        let got = self.parties[who].got;
        self.received(who, part);
        (self.parties[who].got, self.parties[who].part) = (got, part.len());
    }

    pub fn ends_in_frame(&mut self, who: usize) {
        self.parties[who].part = 0;
    }

    pub fn received_end(&mut self, who: usize) {
        self.parties[who].eof = true;
        self.parties[who].ever_eof = true;
        if let Some(other_side) = self.parties[who].other_side {
            let got = self.parties[who].got + self.parties[who].part;
            let other = &self.parties[other_side];
            let cut = self.parties[who].allows_truncation && !other.is_protocol && !other.notified;
            let sent = if cut { other.whole } else { other.sent };
            let announced = self.parties[who].line != Line::Secure
                || self.parties[who].allows_truncation
                || other.is_protocol
                || other.notified;
            self.demand(announced, || format!("{who} was told an end that was not announced"));
            self.demand(got == sent, || {
                format!("{who} was told the end after {got} of {sent} bytes from {other_side}")
            });
            let owed = self.parties[other_side].owes;
            self.demand(owed == 0, || {
                format!("{who} was told the end, but {other_side} had {owed} bytes to write")
            });
        }
    }

    /// A call of protocol `who`: whether it may come now.
    pub fn told(&mut self, who: usize, protocol: usize, call: Call, buffered: usize, now: Instant) {
        let party = &self.parties[who];
        let takes_over = call == Call::Made && party.successor == Some(protocol);
        let party = if takes_over && party.made && party.closing.is_none() {
            self.takes_over(who);
            return;
        } else {
            party
        };
        let known = party.current == protocol && (party.successor.is_none() || call == Call::Lost);
        self.demand(known, || format!("protocol {protocol} of {who} was told {call:?}"));
        let party = &self.parties[who];
        let up = party.made && party.closing.is_none();
        let shutting_down = self.shutdown_in.is_some();
        let legal = match call {
            Call::Made => !party.made,
            Call::Data | Call::Eof => up && !party.eof && party.reads(),
            Call::Pause => up && !party.writing_paused,
            Call::Resume => up && party.writing_paused,
            Call::Timer => up,
            Call::TimedOut => {
                up && party.timeout.is_some_and(|(limit, since)| since + limit <= now)
                    && !self.stirs(who, buffered, now)
            }
            Call::ShuttingDown => up && shutting_down && !party.told_of_shutdown,
            Call::Lost => party.made,
        };
        let late = party.lost.is_some() || party.dropped;
        self.demand(legal && !late, || format!("{who} was told {call:?} out of order"));
        let party = &mut self.parties[who];
        match call {
            Call::Made => (party.made, party.up_since) = (true, self.turn),
            Call::ShuttingDown => party.told_of_shutdown = true,
            Call::Pause => party.writing_paused = true,
            Call::Resume => party.writing_paused = false,
            Call::TimedOut => party.timeout = None,
            _ => {}
        }
    }

    /// Whether the other side of `who` has sent or taken something that the kernel would show to one who
    /// asks: then it is not silent, whatever was told of it.
    fn stirs(&self, who: usize, buffered: usize, now: Instant) -> bool {
        let party = &self.parties[who];
        let Some(other_side) = party.other_side.map(|other_side| &self.parties[other_side]) else {
            return false;
        };
        let has_come = other_side.arrived.is_some_and(|at| at <= now) && !other_side.gone;
        let waits = has_come && other_side.written > party.read;
        (waits && party.reads() && !party.throttled && !party.broken)
            || (buffered > 0 && self.takes(who, now))
    }

    /// Whether the other side of `who` has taken something since the last write, which left something.
    fn takes(&self, who: usize, now: Instant) -> bool {
        let party = &self.parties[who];
        let alive = |other_side: usize| !self.parties[other_side].gone;
        // In a handshake what waits cannot leave.
        let may_leave = !matches!(party.line, Line::Begins(_) | Line::Handshaking);
        may_leave
            && !party.throttled
            && !party.broken
            && party.other_side.is_some_and(alive)
            && party.room.is_some_and(|at| at <= now)
    }

    // The kernel.

    /// Bytes were read from the socket of a connection.
    pub fn read(&mut self, id: ConnectionId, bytes: usize, at: Instant) {
        let Some(&who) = self.ids.get(&id) else {
            self.unmade.entry(id).or_default().0 += bytes;
            return;
        };
        let party = &mut self.parties[who];
        party.read += bytes;
        party.is_active(at);
        if party.uses_tls() {
            party.turns_unserved = 0; // a record may take many turns
        }
        let (turn, open) = (self.turn, party.closing.is_none());
        let other_side = party.other_side;
        let before = if party.read_in_turn.0 == turn { party.read_in_turn.1 } else { 0 };
        party.read_in_turn = (turn, before + bytes);
        let (sum, budget) = (before + bytes, self.limits.read_budget);
        let allowed = party.may_read.as_mut().filter(|_| open).is_none_or(|it| it.take(bytes, at));
        self.demand(allowed, || format!("{who} read {bytes} bytes faster than its rate"));
        // One that closes may look for a byte more.
        self.demand(!open || sum <= budget, || format!("{who} was read {sum} bytes in one turn"));
        if let Some(other_side) = other_side {
            self.look_for_room(other_side, at);
        }
    }

    /// A framing is given bytes, which may not make a frame yet.
    pub fn framing_served(&mut self, id: ConnectionId) {
        let who = self.ids.get(&id).filter(|who| self.parties[**who].is_framed());
        if let Some(&who) = who {
            self.parties[who].turns_unserved = 0;
        }
    }

    /// Bytes were handed to the kernel, which has room for them.
    pub fn took(&mut self, id: ConnectionId, bytes: usize, at: Instant) {
        let Some(&who) = self.ids.get(&id) else {
            self.unmade.entry(id).or_default().1 += bytes;
            return;
        };
        let party = &mut self.parties[who];
        party.is_active(at);
        party.written += bytes;
        party.took = Some(at);
        party.room = None;
        let allowed = party.may_write.as_mut().is_none_or(|it| it.take(bytes, at));
        self.demand(allowed, || format!("{who} wrote {bytes} bytes faster than its rate"));
    }

    /// Notes whether the kernel has room for more of what `who` writes, since the last write.
    pub fn look_for_room(&mut self, who: usize, at: Instant) {
        if !self.parties[who].is_protocol || !self.parties[who].made {
            return;
        }
        let Some(other_side) = self.parties[who].other_side else { return };
        let under_way = self.parties[who].written - self.parties[other_side].read;
        let room = &mut self.parties[who].room;
        *room = if under_way < self.window { room.or(Some(at)) } else { None };
    }

    /// The kernel tells that there is something to read. If nobody reads, that is a sign of life.
    pub fn stir(&mut self, id: ConnectionId, bytes_only: bool, at: Instant) {
        let Some(&who) = self.ids.get(&id) else { return };
        let party = &mut self.parties[who];
        party.stirred = Some(at);
        if bytes_only && !party.reads() && party.successor.is_none() {
            party.is_active(at);
        }
    }

    pub fn made(&mut self, who: usize, id: ConnectionId) {
        self.parties[who].id = Some(id);
        let (read, written) = self.unmade.remove(&id).unwrap_or_default();
        self.parties[who].read += read;
        self.parties[who].written += written;
        if let Some(other) = self.ids.insert(id, who) {
            self.object(format!("{id} was {other} and is {who} now"));
        }
        if let Some(client) = self.parties[who].client {
            let progress = self.clients[client].progress;
            self.demand(progress == Progress::Built(who), || {
                format!("client {client} connects while {progress:?}")
            });
            self.clients[client].progress = Progress::Connected(who);
        }
    }

    /// Bytes for protocol `who`: never more in one turn than its share.
    pub fn served(&mut self, who: usize, turn: u64, bytes: usize) {
        let party = &mut self.parties[who];
        party.turns_unserved = 0;
        if party.returned > 0 {
            let given = bytes <= party.returned;
            party.returned = party.returned.saturating_sub(bytes);
            self.demand(given, || format!("{who} was given {bytes} bytes, old and new"));
        }
        let party = &mut self.parties[who];
        // A record that was almost complete may come along.
        let more = if party.uses_tls() { RECORD } else { 0 };
        let portion = &mut party.portion;
        *portion = (turn, if portion.0 == turn { portion.1 + bytes } else { bytes });
        let (served, budget) = (portion.1, self.limits.read_budget + more);
        self.demand(served <= budget, || {
            format!("{who} was given {served} bytes in one turn, with a budget of {budget}")
        });
    }

    pub fn lost(&mut self, who: usize, reason: &Reason, buffered: usize, now: Instant) {
        let text = format!("{reason:?}");
        let party = &self.parties[who];
        let since = party.finishing.or(party.closing).max(party.took);
        let over = |limit: Duration| since.is_some_and(|since| now >= since + limit);
        let takes = self.takes(who, now);
        let deserved = match reason {
            Reason::Closed => (party.asked_to_close || party.write_closed) && buffered == 0,
            Reason::PeerClosed => {
                (party.ever_eof || party.was_task || self.may_have_ended(who)) && buffered == 0
            }
            Reason::Aborted => party.aborted,
            Reason::TimedOut => party.timed_out,
            Reason::Protocol { .. } => party.closed_because && buffered == 0,
            Reason::CloseTimedOut { unsent } => {
                over(party.close_timeout) && *unsent == buffered && !takes
            }
            Reason::Overflow { .. } => party.overflowed,
            Reason::Panicked { .. } => party.panicked,
            Reason::Stopped => self.stop_asked,
            Reason::Failed { error, .. } => {
                let other = party.other_side.map(|other_side| &self.parties[other_side]);
                let gone = |other: &Party| other.gone || other.lost.is_some();
                error.kind() != io::ErrorKind::NotConnected && other.is_none_or(gone)
            }
            other => failure(other)
                .is_some_and(|error| self.deserves_failure(who, error, self.shutdown_in.is_some())),
        };
        let own = matches!(reason, Reason::Protocol { .. });
        let orderly = reason.is_clean() || own;
        let deserved = deserved && !(party.broken && orderly);
        let another = reason.is_clean() || matches!(reason, Reason::TimedOut);
        let deserved = deserved && !(party.closed_because && another);
        let deserved = deserved && (!party.panicked || matches!(reason, Reason::Panicked { .. }));
        self.demand(deserved, || format!("{who} was lost for no such reason: {text}"));
        let owed = self.parties[who].owes;
        self.demand(owed == 0 || !orderly, || {
            format!("{who} ended in order, and owes {owed} bytes")
        });
        let ended = self.shutdown_in.is_some() && matches!(reason, Reason::Stopped);
        let party = &mut self.parties[who];
        if matches!(reason, Reason::Stopped) && !ended {
            party.owes = 0; // a stop cuts off
        }
        let left_over = ended && party.closing.is_none() && !party.write_closed || party.cut_off;
        party.lost = Some(Loss { reason: text, orderly, left_over, errno: None, at: now });
        party.closing.get_or_insert(now);
        self.forget_timers(who);
    }

    pub fn close(&mut self, who: usize, now: Instant) {
        if self.parties[who].closing.is_none() {
            self.parties[who].closing = Some(now);
            self.parties[who].closing_in = self.turn;
            if self.inside.is_some() {
                self.closed_inside.push(who);
            }
            self.parties[who].timeout = None;
            self.forget_timers(who);
        }
    }

    /// Its protocol was told to go on writing. If it adds nothing, and the reactor shuts down, it is closed.
    pub fn may_have_finished(&mut self, who: usize, buffered: usize, now: Instant) {
        let party = &self.parties[who];
        let adds = buffered > party.marks.0;
        if party.finishing.is_some() && party.successor.is_none() && !adds {
            self.close(who, now);
        }
    }

    fn forget_timers(&mut self, who: usize) {
        for timer in self.timers.iter_mut().filter(|timer| timer.owner == Some(who)) {
            timer.alive = false;
        }
    }

    pub fn dropped(&mut self, who: usize, protocol: usize) {
        let party = &mut self.parties[who];
        if protocol != party.current {
            // This one never took over: it was not wanted, or the end came first.
            let waits = party.successor == Some(protocol) && party.lost.is_none();
            let waits = waits && !party.is_task; // the end of a task is told after this
            self.demand(!waits, || format!("protocol {protocol} of {who} was forgotten"));
            return;
        }
        if party.is_task && party.lost.is_none() {
            party.current = party.successor.take().unwrap_or(party.current);
            if let Some(heir) = party.heir.take() {
                self.task_hands_over(who, heir);
            }
            return; // its task hears nothing of the exchange
        }
        if party.successor.is_some() && party.lost.is_none() {
            let twice = std::mem::replace(&mut party.awaits_successor, true);
            self.demand(!twice, || format!("{who} was dropped twice"));
            return;
        }
        let legal =
            !std::mem::replace(&mut party.dropped, true) && party.made == party.lost.is_some();
        self.demand(legal, || format!("{who} was dropped at the wrong moment"));
    }

    // Listeners.

    pub fn accepted(&mut self, server: usize) {
        let there = |party: &&Party| party.listener == Some(server) && !party.dropped;
        let open = self.parties.iter().filter(there).count();
        if self.servers[server].secure {
            // It was accepted before; a listener that was stopped since keeps its handshakes.
            let record = &self.servers[server];
            let legal = record.started && !record.told_stopped && open < record.max;
            return self
                .demand(legal, || format!("listener {server} had a protocol made too late"));
        }
        self.take(server, open);
    }

    /// A secure listener has accepted a connection, which has no protocol yet.
    pub fn opened(&mut self, id: ConnectionId, listener: ListenerId, peer: Option<SocketAddr>) {
        let server = self.servers.iter().position(|server| server.id == Some(listener));
        let Some(server) = server.filter(|server| self.servers[*server].secure) else { return };
        let open = self.taken.values().filter(|(other, _)| *other == server).count();
        self.taken.insert(id, (server, peer));
        self.ever_taken.extend(peer);
        self.take(server, open);
    }

    /// A listener that has so many connections accepts another.
    fn take(&mut self, server: usize, open: usize) {
        let turn = self.turn;
        let budget = self.limits.accept_budget;
        let record = &mut self.servers[server];
        let portion = &mut record.portion;
        *portion = (turn, if portion.0 == turn { portion.1 + 1 } else { 1 });
        let listens = !record.closed && !record.paused;
        let legal = record.started && !record.told_stopped && (listens || record.drained);
        let within = portion.1 <= budget && open < record.max;
        self.demand(legal, || format!("listener {server} accepted while it should not"));
        self.demand(within, || format!("listener {server} accepted too many"));
    }

    // Clients.

    pub fn building(&mut self, client: usize) {
        let progress = self.clients[client].progress;
        let trying = matches!(progress, Progress::Trying { .. } | Progress::Perhaps);
        let wanted = !self.clients[client].cancelled;
        self.demand(trying && wanted, || {
            format!("client {client} builds a protocol while {progress:?}")
        });
        self.clients[client].progress = Progress::Refused;
        self.clients[client].stands = None;
    }

    pub fn attempt_failed(
        &mut self,
        client: usize,
        reason: &Reason,
        latency: Duration,
        now: Instant,
    ) {
        let record = &self.clients[client];
        let progress = record.progress;
        if matches!(reason, Reason::ConnectTimedOut) {
            let early =
                matches!(progress, Progress::Trying { since } if now < since + record.timeout);
            let stands = record.stands.is_some_and(|at| at <= now);
            let starved = self.must_be_looked_up(client, latency, now);
            self.demand(!starved, || format!("client {client} waited in vain for a good name"));
            self.demand(!early, || format!("client {client} timed out early"));
            self.demand(!stands, || format!("client {client} timed out though it is connected"));
        }
        let record = &self.clients[client];
        let legal = match progress {
            Progress::Trying { .. } | Progress::Perhaps => {
                !matches!(reason, Reason::Refused | Reason::Panicked { .. })
                    && (record.cancelled || !matches!(reason, Reason::Cancelled))
                    && (record.asked_while_stopping
                        || self.stop_asked
                        || !matches!(reason, Reason::Stopped))
            }
            Progress::Refused => {
                matches!(reason, Reason::Refused | Reason::Panicked { .. } | Reason::Stopped)
            }
            _ => false,
        };
        self.demand(legal, || format!("client {client} failed while {progress:?}: {reason:?}"));
        self.clients[client].progress = Progress::Over;
        self.clients[client].cancelled = false;
        self.clients[client].asked_while_stopping = false;
        self.clients[client].stands = None;
    }

    /// A connector tries an address outside, which answers at that moment.
    pub fn attempt_begins(&mut self, id: ConnectorId, answers: Instant) {
        let mut clients = self.clients.iter_mut();
        if let Some(client) = clients.find(|client| client.id == Some(id)) {
            client.stands = Some(client.stands.map_or(answers, |at| at.min(answers)));
        }
    }

    pub fn owner_told(&mut self, client: usize, reason: &Reason) {
        let progress = self.clients[client].progress;
        let same = |who: usize| {
            let loss = self.parties[who].lost.as_ref();
            loss.is_some_and(|loss| loss.reason == format!("{reason:?}"))
        };
        let legal = matches!(progress, Progress::Connected(who) if same(who));
        self.demand(legal, || {
            format!("client {client} was told the loss {reason:?} while {progress:?}")
        });
        self.clients[client].progress = Progress::Over;
    }

    // Timers and calls.

    pub fn timer_of(&self, id: TimerId) -> Option<usize> {
        self.timers.iter().rposition(|timer| timer.id == id)
    }

    /// A timer fires: at the right moment, and in the right order?
    pub fn fires(&mut self, timer: usize, turn: u64, now: Instant) {
        let Timer { deadline, set_in, alive, .. } = self.timers[timer];
        self.demand(alive, || format!("timer {timer} fired though it was cancelled"));
        self.demand(deadline <= now, || format!("timer {timer} fired early"));
        self.demand(set_in < turn, || format!("timer {timer} fired in the turn it was set in"));
        if let Some((last_turn, last, order)) = self.last_fired
            && last_turn == turn
        {
            self.demand((last, order) < (deadline, timer), || {
                format!("timer {timer} fired after timer {order}")
            });
        }
        self.last_fired = Some((turn, deadline, timer));
        if self.timers[timer].interval.is_none() {
            self.timers[timer].alive = false;
        }
    }

    pub fn timer_let_go(&mut self, timer: usize) {
        if let Some(timer) = self.timers.get_mut(timer)
            && std::mem::replace(&mut timer.alive, false)
        {
            self.vanished += 1;
        }
    }

    pub fn new_call(&mut self) -> usize {
        self.calls_made += 1;
        self.calls_waiting.push(self.calls_made);
        self.calls_made
    }

    pub fn call_let_go(&mut self, call: usize) {
        let before = self.calls_waiting.len();
        self.calls_waiting.retain(|waiting| *waiting != call);
        self.vanished += before - self.calls_waiting.len();
    }

    pub fn call_runs(&mut self, call: usize) {
        self.calls_waiting.retain(|waiting| *waiting != call);
        let before = self.last_call.replace(call);
        self.demand(before < Some(call), || format!("call {call} ran after call {before:?}"));
    }

    // Turns.

    pub fn turn_ends(&mut self, stopped: bool, at: Instant) {
        for client in &mut self.clients {
            if let Progress::Trying { since } = client.progress
                && client.asked_in < self.turn
                && self.turn_began.is_some_and(|began| since <= began)
            {
                client.timed_by.get_or_insert(at);
            }
        }
        for party in &mut self.parties {
            if party.closing.is_some() && party.closing_in < self.turn {
                party.timed_by.get_or_insert(at);
            }
        }
        self.demand(!stopped || self.stop_asked, || "it stopped unasked".to_owned());
        self.demand(stopped || !self.stop_due, || "it did not stop".to_owned());
        let vanished = std::mem::take(&mut self.vanished);
        self.demand(stopped || vanished == 0, || format!("{vanished} timers or calls vanished"));
        self.stop_due = false;
        self.check_post_after_turn(stopped);
        if !stopped {
            self.check_told_of_shutdown();
        }
        if stopped {
            (self.stop_asked, self.shutdown_in) = (false, None);
            for server in &mut self.servers {
                server.drained = false;
            }
            for party in &mut self.parties {
                party.told_of_shutdown = false;
            }
            for who in 0..self.parties.len() {
                let forgotten = self.parties[who].is_live();
                self.demand(!forgotten, || format!("{who} was not told of the stop"));
            }
        }
        for client in 0..self.clients.len() {
            if let Progress::Connected(who) = self.clients[client].progress {
                let silent = self.parties[who].lost.is_some();
                self.demand(!silent, || format!("the owner of {who} was not told the loss"));
            }
        }
    }

    /// A shutdown that goes on begins.
    pub fn begin_shutdown(&mut self) {
        if self.shutdown_in.is_none() {
            self.shutdown_in = Some(self.turn);
            for server in &mut self.servers {
                server.drained = !server.closed && !server.paused;
            }
        }
    }

    /// Each open connection is told by the end of the next turn, however it came up.
    fn check_told_of_shutdown(&mut self) {
        let Some(begun) = self.shutdown_in else { return };
        for who in 0..self.parties.len() {
            let party = &self.parties[who];
            let heard = !party.is_open() || party.told_of_shutdown || party.successor.is_some();
            let heard = heard || party.is_task; // reading tells it
            let late = self.turn > begun.max(party.up_since);
            self.demand(heard || !late, || format!("{who} was not told of the shutdown"));
        }
    }

    // The end.

    /// When all is over; `drained`: whether the peers could read to the end.
    pub fn balance(&mut self, drained: bool) {
        for who in 0..self.parties.len() {
            let party = &self.parties[who];
            let done = !party.is_protocol || (party.dropped && party.made == party.lost.is_some());
            self.demand(done, || format!("{who} was left over"));
            self.balance_stream(who, drained);
        }
        for client in 0..self.clients.len() {
            let Client { progress, dropped, reconnecting, .. } = self.clients[client];
            let over =
                progress == Progress::Over || (reconnecting && progress == Progress::Perhaps);
            self.demand(over, || format!("client {client} had no outcome: {progress:?}"));
            self.demand(dropped, || format!("the factory of client {client} was not dropped"));
        }
        for server in 0..self.servers.len() {
            let Server { started, told_stopped, dropped, .. } = self.servers[server];
            self.demand(started == told_stopped && dropped, || {
                format!("listener {server}: {started}, {told_stopped}, {dropped}")
            });
        }
        self.balance_post();
        let functions = self.functions;
        self.demand(functions == 0, || format!("{functions} functions were not let go"));
    }

    /// An orderly close loses nothing, unless the peer did not close in time.
    fn balance_stream(&mut self, who: usize, drained: bool) {
        let party = &self.parties[who];
        let Some(other_side) = party.other_side else { return };
        let (Some(loss), Some(begun)) = (&party.lost, party.closing) else { return };
        let reader = &self.parties[other_side];
        let deceived = loss.left_over && reader.ever_eof;
        let linger = self.limits.linger.min(party.close_timeout);
        let in_time = party.ever_eof || loss.at < begun + linger;
        // A protocol that closed, was ended for its own reasons, or did not read when the reset came,
        // by its own wish or for its rate, does not take the rest.
        let takes_all = match &reader.lost {
            Some(loss) => {
                let reads = reader.reads() && !reader.throttled;
                loss.reason.starts_with("Failed") && !reader.asked_to_close && reads
            }
            None => !reader.is_protocol && !reader.gone && drained,
        };
        if loss.orderly && in_time && takes_all {
            let (got, sent) = (reader.got + reader.in_hand(), party.sent);
            let all = got == sent || (reader.uses_tls() && !reader.lacks(sent));
            self.demand(all, || {
                format!("{who} closed in order, but {other_side} got {got} of {sent} bytes")
            });
        }
        self.demand(!deceived, || {
            format!("{who} had not finished, and {other_side} took a part for the whole")
        });
    }
}
