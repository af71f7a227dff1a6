//! The far end of a connection, in the hands of the test: in clear, or over TLS by rustls alone.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::SocketAddr;

use crocus::testing::{End, Peer};
use crocus::tls::rustls::Connection;

use crate::secured::{Side, Switch};

/// A far end takes no more to encrypt while so many bytes wait for room.
const MOST_WAITING: usize = 8 * 1024;

/// A record that no key opens.
const GARBAGE: [u8; 25] =
    [23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

/// A far end. It counts the bytes of the wire.
pub struct FarEnd {
    peer: Peer,
    line: Line,
    /// Bytes for the wire that had no room yet.
    out: Vec<u8>,
    pub sent: usize,
    pub got: usize,
    fin: Fin,
    /// Its close_notify was encrypted, and stands before FIN.
    announced: bool,
    /// It has sent what is no TLS, and sends nothing more.
    spoiled: bool,
    /// It never answers in a handshake.
    pub silent: bool,
}

enum Line {
    Clear,
    /// In clear until both sides have said so much.
    Begins {
        sends: usize,
        gets: usize,
        side: Side,
        tls: Box<Tls>,
    },
    Tls(Box<Tls>),
}

struct Tls {
    rustls: Connection,
    /// How many plain bytes were encrypted; and for each piece where it ends on the wire.
    plain: usize,
    ends: VecDeque<(usize, usize)>,
    /// How many plain bytes are whole on the wire.
    whole: usize,
    /// The peer's close_notify came.
    notified: bool,
    failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fin {
    No,
    /// It follows what waits.
    Wanted,
    Sent,
}

impl Tls {
    fn new(mut rustls: Connection) -> Box<Self> {
        rustls.set_buffer_limit(None);
        Box::new(Self {
            rustls,
            plain: 0,
            ends: VecDeque::new(),
            whole: 0,
            notified: false,
            failed: false,
        })
    }

    fn open(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        while !wire.is_empty() && !self.failed && !self.notified {
            let read = self.rustls.read_tls(&mut wire);
            let state = read.map(|_| self.rustls.process_new_packets());
            match state {
                Ok(Ok(state)) => self.notified = state.peer_has_closed(),
                _ => self.failed = true,
            }
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = self.rustls.reader().read(&mut piece) {
                all.extend_from_slice(&piece[..count]);
            }
        }
        all
    }
}

impl FarEnd {
    fn with(peer: Peer, line: Line) -> Self {
        let (out, fin) = (Vec::new(), Fin::No);
        Self {
            peer,
            line,
            out,
            sent: 0,
            got: 0,
            fin,
            announced: false,
            spoiled: false,
            silent: false,
        }
    }

    pub fn clear(peer: Peer) -> Self {
        Self::with(peer, Line::Clear)
    }

    pub fn secure(peer: Peer, rustls: Connection) -> Self {
        Self::with(peer, Line::Tls(Tls::new(rustls)))
    }

    pub fn begins(peer: Peer, side: Side, switch: Switch, rustls: Connection) -> Self {
        let ((sends, gets), tls) = (switch.of_side(side), Tls::new(rustls));
        Self::with(peer, Line::Begins { sends, gets, side, tls })
    }

    pub fn addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// Sends bytes; returns how many were taken.
    pub fn send(&mut self, data: &[u8]) -> usize {
        if self.fin != Fin::No || self.spoiled {
            return 0;
        }
        match &mut self.line {
            Line::Clear => {
                let taken = self.peer.send(data);
                self.sent += taken;
                taken
            }
            Line::Begins { sends, .. } => {
                let taken = self.peer.send(&data[..data.len().min(*sends)]);
                *sends -= taken;
                self.sent += taken;
                self.switch_if_due();
                taken
            }
            Line::Tls(tls) => {
                let waits = self.out.len() > MOST_WAITING;
                if tls.rustls.is_handshaking() || tls.failed || waits {
                    return 0;
                }
                tls.rustls.writer().write_all(data).unwrap();
                tls.plain += data.len();
                self.encrypt();
                let end = self.sent + self.out.len();
                if let Line::Tls(tls) = &mut self.line {
                    tls.ends.push_back((end, tls.plain));
                }
                self.flush();
                data.len()
            }
        }
    }

    /// How many bytes it has to send in clear, before anything else can happen.
    pub fn owes(&self) -> usize {
        match self.line {
            _ if self.silent || self.spoiled || self.fin != Fin::No => 0,
            Line::Begins { sends, side: Side::Client, .. } => sends,
            Line::Begins { sends, gets: 0, side: Side::Server, .. } => sends,
            _ => 0,
        }
    }

    /// Goes on with a handshake, and with what waits for room. Returns what came.
    pub fn pump(&mut self) -> Vec<u8> {
        self.switch_if_due();
        let came = match &self.line {
            _ if self.silent => Vec::new(),
            Line::Begins { .. } => self.receive(usize::MAX),
            Line::Tls(tls) if tls.rustls.is_handshaking() => self.receive(usize::MAX),
            _ => Vec::new(),
        };
        if !self.silent {
            self.encrypt();
        }
        self.flush();
        came
    }

    /// Reads so many bytes of the wire, and returns what they say.
    pub fn receive(&mut self, most: usize) -> Vec<u8> {
        if self.is_silent() {
            return Vec::new();
        }
        let mut wire =
            if most == usize::MAX { self.peer.received() } else { self.peer.receive(most) };
        self.got += wire.len();
        let mut said = Vec::new();
        if let Line::Begins { gets, .. } = &mut self.line {
            let clear = wire.len().min(*gets);
            *gets -= clear;
            said.extend(wire.drain(..clear));
            self.switch_if_due();
        }
        match &mut self.line {
            Line::Clear => said.append(&mut wire),
            Line::Begins { .. } => {} // the rest is of TLS, which does not begin here any more
            Line::Tls(tls) => said.extend(tls.open(&wire)),
        }
        self.encrypt();
        self.flush();
        said
    }

    /// FIN: behind close_notify if it is polite and can be, else at once.
    pub fn close_write(&mut self, polite: bool) {
        if let Line::Tls(tls) = &mut self.line
            && polite
            && self.fin == Fin::No
            && !tls.rustls.is_handshaking()
        {
            tls.rustls.send_close_notify();
            self.encrypt();
            (self.fin, self.announced) = (Fin::Wanted, !self.spoiled);
            return self.flush();
        }
        if self.fin == Fin::No {
            self.out.clear();
            self.fin = Fin::Sent;
            self.peer.close_write();
        }
    }

    /// Sends what is no TLS. Returns whether it did.
    pub fn spoil(&mut self) -> bool {
        let can = match &self.line {
            Line::Tls(tls) => !tls.failed,
            Line::Begins { sends, gets, side, .. } => {
                *side == Side::Client && *sends == 0 && *gets > 0
            }
            Line::Clear => false,
        };
        let does = can && self.fin == Fin::No && !self.spoiled && !self.silent;
        if does {
            self.encrypt();
            self.out.extend_from_slice(&GARBAGE);
            self.spoiled = true;
            self.flush();
        }
        does
    }

    /// Takes new keys, and asks for such.
    pub fn rekey(&mut self) {
        if let Line::Tls(tls) = &mut self.line
            && self.fin == Fin::No
            && !self.spoiled
            && !tls.failed
            && tls.rustls.refresh_traffic_keys().is_ok()
        {
            self.encrypt();
            self.flush();
        }
    }

    pub fn reset(self) {
        self.peer.reset();
    }

    pub fn end(&mut self) -> Option<End> {
        self.peer.end()
    }

    /// Whether its end is announced on the wire: one that is let go before has only cut its line.
    pub fn says_its_end(&self) -> bool {
        (self.announced && self.fin == Fin::Sent) || matches!(self.line, Line::Clear)
    }

    /// Whether it takes what comes.
    pub fn hears(&self) -> bool {
        match &self.line {
            Line::Clear => true,
            Line::Begins { .. } => false,
            Line::Tls(tls) => !tls.failed && !tls.rustls.is_handshaking(),
        }
    }

    /// Whether the end that came was not announced.
    pub fn is_truncated(&self) -> bool {
        matches!(&self.line, Line::Tls(tls) if !tls.notified)
    }

    /// How many bytes wait for room, FIN not counted.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// How many bytes that were sent can be told when all that is on the wire has come.
    pub fn whole(&self) -> usize {
        match &self.line {
            Line::Clear | Line::Begins { .. } => self.sent,
            Line::Tls(tls) => tls.whole,
        }
    }

    fn is_silent(&self) -> bool {
        let begins = match &self.line {
            Line::Clear => false,
            Line::Begins { .. } => true,
            Line::Tls(tls) => tls.rustls.is_handshaking(),
        };
        self.silent && begins
    }

    /// Begins TLS, when both have said in clear what they had to.
    fn switch_if_due(&mut self) {
        let due = matches!(self.line, Line::Begins { sends: 0, gets: 0, .. });
        if !due || self.fin != Fin::No || self.spoiled {
            return;
        }
        if let Line::Begins { mut tls, .. } = std::mem::replace(&mut self.line, Line::Clear) {
            (tls.plain, tls.whole) = (self.sent, self.sent);
            self.line = Line::Tls(tls);
        }
    }

    fn encrypt(&mut self) {
        if let Line::Tls(tls) = &mut self.line
            && self.fin == Fin::No
            && !self.spoiled
        {
            while tls.rustls.wants_write() {
                tls.rustls.write_tls(&mut self.out).unwrap();
            }
        }
    }

    fn flush(&mut self) {
        let taken = self.peer.send(&self.out);
        self.out.drain(..taken);
        self.sent += taken;
        if let Line::Tls(tls) = &mut self.line {
            while let Some(&(_, plain)) = tls.ends.front().filter(|(end, _)| *end <= self.sent) {
                tls.whole = plain;
                tls.ends.pop_front();
            }
        }
        if self.fin == Fin::Wanted && self.out.is_empty() {
            self.fin = Fin::Sent;
            self.peer.close_write();
        }
    }
}
