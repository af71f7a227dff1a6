//! The ledger of datagrams: what was sent, and what may come of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crocus::{DatagramId, Reason};

use crate::ledger::Ledger;

/// The first bytes of a datagram are its number.
const NUMBER: usize = 4;

/// The room that a datagram takes in a buffer besides its bytes.
const HEADERS: usize = 28;

/// In how many turns of a shutdown a socket is given what waits before it is told.
const TURNS_BEFORE_TOLD: u64 = 16;

/// All sockets and datagrams of a world, and how the network treats them now.
#[derive(Default)]
pub struct Post {
    pub sockets: Vec<Socket>,
    letters: Vec<Letter>,
    latency: Duration,
    /// In percent: lost, doubled, shuffled.
    faults: [u8; 3],
}

/// A socket in the reactor, or outside.
pub struct Socket {
    /// `None`: it is outside, or could not be opened.
    pub id: Option<DatagramId>,
    pub addr: SocketAddr,
    pub peer: Option<SocketAddr>,
    pub open: bool,
    pub outside: bool,
    started: bool,
    asked_to_stop: bool,
    told_stopped: bool,
    told_of_shutdown: bool,
    pub dropped: bool,
    /// A send found no room, and it was not told that there is some.
    blocked: bool,
    /// How many datagrams and bytes it was given in the turn of that number.
    portion: (u64, usize, usize),
}

struct Letter {
    from: SocketAddr,
    to: SocketAddr,
    length: usize,
    /// The turn in which it was sent, or the last before that.
    sent_in: u64,
    arrives: Instant,
    /// The socket that must get it, if it stays as it is.
    sure_of: Option<usize>,
    copies: usize,
    shuffled: bool,
    delivered: usize,
}

impl Letter {
    fn weight(&self) -> usize {
        self.copies * (self.length + HEADERS)
    }
}

impl Post {
    /// The socket that has an address.
    pub fn owner(&self, addr: SocketAddr) -> Option<usize> {
        self.sockets.iter().position(|socket| socket.open && socket.addr == addr)
    }

    pub fn add(&mut self, id: Option<DatagramId>, addr: SocketAddr, outside: bool) -> usize {
        self.sockets.push(Socket {
            id,
            addr,
            peer: None,
            open: true,
            outside,
            started: outside,
            asked_to_stop: false,
            told_stopped: false,
            told_of_shutdown: false,
            dropped: outside,
            blocked: false,
            portion: (0, 0, 0),
        });
        self.sockets.len() - 1
    }

    pub fn set_network(&mut self, latency: Duration, faults: [u8; 3]) {
        (self.latency, self.faults) = (latency, faults);
    }

    /// The next datagram, with so many bytes; its number is in it.
    pub fn write(&self, length: usize) -> Vec<u8> {
        content(self.letters.len(), length)
    }

    /// A datagram was sent, with the bytes of [`write`](Self::write).
    pub fn sent(
        &mut self,
        (from, to): (usize, SocketAddr),
        length: usize,
        window: usize,
        (turn, now): (u64, Instant),
    ) {
        let (from, [loss, duplication, reordering]) = (self.sockets[from].addr, self.faults);
        let takes = |socket: &Socket| socket.peer.is_none_or(|peer| peer == from);
        let owner = self.owner(to).filter(|&owner| takes(&self.sockets[owner]));
        let letter = Letter {
            from,
            to,
            length,
            sent_in: turn,
            arrives: now + self.latency,
            sure_of: owner.filter(|_| loss == 0),
            copies: if duplication > 0 { 2 } else { 1 },
            shuffled: reordering > 0,
            delivered: 0,
        };
        self.letters.push(letter);
        // A full buffer drops what comes, and those that were lost count here, too.
        let to_it = |letter: &&mut Letter| letter.to == to && letter.delivered == 0;
        let waiting: usize = self.letters.iter_mut().filter(to_it).map(|it| it.weight()).sum();
        if waiting > window {
            self.letters.iter_mut().filter(to_it).for_each(|letter| letter.sure_of = None);
        }
    }

    /// The network may drop what is under way.
    pub fn be_unsure(&mut self) {
        self.letters.iter_mut().for_each(|letter| letter.sure_of = None);
    }

    /// The datagrams that have arrived and that a socket must be given, but was not.
    fn undelivered(&self, socket: usize, turn: u64, now: Instant) -> usize {
        let Socket { addr, peer, .. } = self.sockets[socket];
        let owed = |letter: &&Letter| {
            let heard = peer.is_none_or(|peer| peer == letter.from);
            let due = letter.arrives <= now && letter.sent_in < turn && letter.delivered == 0;
            letter.sure_of == Some(socket) && letter.to == addr && heard && due && !letter.shuffled
        };
        self.letters.iter().filter(owed).count()
    }
}

fn content(number: usize, length: usize) -> Vec<u8> {
    let name = (number as u32).to_le_bytes();
    (0..length.max(NUMBER))
        .map(|at| name.get(at).copied().unwrap_or((at * 31 + number * 7) as u8))
        .collect()
}

impl Ledger {
    /// A socket outside, or its protocol, was given a datagram.
    pub fn delivered(&mut self, to: usize, data: &[u8], from: SocketAddr, now: Instant) {
        let Some(number) = data.first_chunk().map(|name| u32::from_le_bytes(*name) as usize) else {
            return self.object(format!("socket {to} was given {} bytes", data.len()));
        };
        let socket = &self.post.sockets[to];
        let Some(letter) = self.post.letters.get(number) else {
            return self.object(format!("nobody sent datagram {number}"));
        };
        let same = data == content(number, letter.length);
        let meant = (letter.from, letter.to) == (from, socket.addr);
        let heard = socket.peer.is_none_or(|peer| peer == from);
        let once = letter.delivered < letter.copies && (letter.arrives <= now || letter.shuffled);
        // One that was sent later may not come before, unless it arrived before.
        let overtaken = self.post.letters[number + 1..].iter().any(|later| {
            let same_way = (later.from, later.to) == (letter.from, letter.to);
            let shuffled = later.shuffled || letter.shuffled;
            same_way && later.delivered > 0 && !shuffled && letter.arrives <= later.arrives
        });
        self.demand(same && meant && heard && once && !overtaken, || {
            format!("socket {to} was given datagram {number}: {same}, {meant}, {heard}, {once}, {overtaken}")
        });
        self.post.letters[number].delivered += 1;
    }

    /// A protocol is called for a datagram: within its budget?
    pub fn datagram_served(&mut self, to: usize, bytes: usize) {
        let (turn, limits) = (self.turn, self.limits);
        let socket = &mut self.post.sockets[to];
        let (_, count, before) =
            if socket.portion.0 == turn { socket.portion } else { (turn, 0, 0) };
        socket.portion = (turn, count + 1, before + bytes);
        self.demand(count < limits.datagram_budget && before < limits.read_budget, || {
            format!(
                "socket {to} was given a datagram after {count} with {before} bytes in one turn"
            )
        });
    }

    /// A call of a protocol of datagrams: whether it may come now.
    pub fn datagram_told(&mut self, socket: usize, call: &'static str, now: Instant) {
        let waits = self.post.undelivered(socket, self.turn, now);
        let begun = self.shutdown_in;
        let party = &mut self.post.sockets[socket];
        let up = party.started && party.open && !party.told_stopped;
        let legal = match call {
            "start" => !std::mem::replace(&mut party.started, true) && party.open,
            "datagram" => up,
            "refused" => up && party.peer.is_some(),
            "resume" => up && std::mem::take(&mut party.blocked),
            "shutdown" => {
                let soon = begun.is_some_and(|begun| self.turn < begun + TURNS_BEFORE_TOLD);
                let twice = std::mem::replace(&mut party.told_of_shutdown, true);
                up && begun.is_some() && !twice && (waits == 0 || !soon)
            }
            "stop" => party.started && !std::mem::replace(&mut party.told_stopped, true),
            _ => false,
        };
        self.demand(legal && !self.post.sockets[socket].dropped, || {
            format!("socket {socket} was told {call} out of order, {waits} datagrams wait")
        });
    }

    pub fn datagrams_stop(&mut self, socket: usize, reason: &Reason) {
        let stop_asked = self.stop_asked;
        let party = &mut self.post.sockets[socket];
        party.open = false;
        let deserved = match reason {
            Reason::Closed => party.asked_to_stop,
            Reason::Stopped => stop_asked && !party.asked_to_stop,
            _ => false,
        };
        self.demand(deserved, || format!("socket {socket} stopped for no such reason: {reason:?}"));
    }

    /// A socket was closed by a command.
    pub fn datagrams_closed(&mut self, socket: usize, done: bool) {
        let party = &mut self.post.sockets[socket];
        let right = done == party.open;
        (party.open, party.asked_to_stop) = (false, party.asked_to_stop || party.open);
        self.demand(right, || format!("socket {socket} was closed: {done}"));
    }

    /// A send failed.
    pub fn no_room(&mut self, socket: usize, would_block: bool) {
        let party = &mut self.post.sockets[socket];
        let open = party.open;
        party.blocked |= would_block && open;
        self.demand(would_block == open, || {
            format!("socket {socket} failed to send: {would_block}")
        });
    }

    pub fn datagrams_dropped(&mut self, socket: usize) {
        let party = &mut self.post.sockets[socket];
        party.open &= party.started; // one that was never told of its start hears of no end
        let legal =
            !std::mem::replace(&mut party.dropped, true) && party.started == party.told_stopped;
        self.demand(legal, || format!("socket {socket} was dropped at the wrong moment"));
    }

    /// When nothing is under way, everything has come, and whoever waited for room was told.
    pub fn check_post(&mut self, now: Instant) {
        for socket in 0..self.post.sockets.len() {
            let party = &self.post.sockets[socket];
            if !party.open || party.outside {
                continue;
            }
            let (started, blocked) = (party.started, party.blocked);
            let waits = self.post.undelivered(socket, self.turn, now);
            self.demand(started && !blocked && waits == 0, || {
                format!(
                    "socket {socket}: {started}, {blocked}, and {waits} datagrams were not given"
                )
            });
        }
    }

    /// A stop has been told to every socket; in a shutdown it is told in time.
    pub fn check_post_after_turn(&mut self, stopped: bool) {
        let late = self.shutdown_in.is_some_and(|begun| self.turn > begun + TURNS_BEFORE_TOLD + 1);
        for socket in 0..self.post.sockets.len() {
            let party = &mut self.post.sockets[socket];
            if party.outside {
                continue;
            }
            let silent = party.open && (stopped || (late && !party.told_of_shutdown));
            party.told_of_shutdown &= !stopped;
            self.demand(!silent, || format!("socket {socket} was not told of the end"));
        }
    }

    pub fn balance_post(&mut self) {
        for socket in 0..self.post.sockets.len() {
            let dropped = self.post.sockets[socket].dropped;
            self.demand(dropped, || format!("the protocol of socket {socket} was not dropped"));
        }
    }
}
