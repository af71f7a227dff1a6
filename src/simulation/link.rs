//! A connection in memory: two ends, and a pipe in each direction.

use std::collections::VecDeque;
use std::time::Instant;

use mio::Token;

use super::fault::Fault;
use super::ports::{Remembered, Sharing};
use crate::address::Address;
use crate::system::poller::Readiness;

/// Two ends and the pipes between them; side 0 is the one that connected.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) kind: Kind,
    pub(super) ends: [LinkEnd; 2],
    /// `pipes[s]` carries what side `s` sent.
    pub(super) pipes: [Pipe; 2],
    /// The request to connect, until it is answered.
    pub(super) request: Option<Request>,
    /// The side that sent FIN first, unless there was a reset. Its port stays taken for a while (TIME_WAIT).
    pub(super) first_to_finish: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Tcp,
    Unix,
}

/// A request to connect, until it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) arrives: Instant,
    /// When the kernel no longer waits for an answer.
    pub(super) gives_up: Instant,
    /// Whether the program that asked waits for the answer, whatever it does meanwhile; else closing
    /// takes the request back.
    pub(super) blocking: bool,
}

#[derive(Debug)]
pub(super) struct LinkEnd {
    pub(super) local: Address,
    pub(super) peer: Address,
    pub(super) token: Option<Token>,
    /// Whether it is told of room to write, if the kind of socket lets it choose.
    pub(super) awaits_room: bool,
    /// Whether a stream or a queue still holds it.
    pub(super) open: bool,
    pub(super) stage: Stage,
    /// The error that the next operation takes, as SO_ERROR.
    pub(super) error: Option<Fault>,
    /// Whether closing resets (SO_LINGER 0).
    pub(super) resets: bool,
    pub(super) options: Remembered,
    pub(super) sharing: Sharing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Connecting,
    Up,
    /// Refused, reset, or shut in both directions: the kernel's CLOSE.
    Down,
}

#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) flying: VecDeque<Segment>,
    pub(super) flying_bytes: usize,
    pub(super) arrived: VecDeque<u8>,
    /// The sender will send nothing more.
    pub(super) finished: bool,
    /// The end has reached the receiver.
    pub(super) end_arrived: bool,
    /// The sender found the window full, or sent only a part, and waits for writability.
    pub(super) sender_waits: bool,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) arrives: Instant,
    pub(super) payload: Payload,
}

#[derive(Debug)]
pub(super) enum Payload {
    Bytes(Vec<u8>),
    /// FIN, or the peer's shutdown(2) of a Unix socket.
    End,
    /// RST.
    Reset,
    /// The peer of a Unix socket has closed, perhaps without reading everything.
    Gone {
        unread: bool,
    },
}

impl LinkEnd {
    pub(super) fn new(local: Address, peer: Address) -> Self {
        Self {
            local,
            peer,
            token: None,
            awaits_room: true,
            open: true,
            stage: Stage::Connecting,
            error: None,
            resets: false,
            options: Remembered::default(),
            sharing: Sharing::default(),
        }
    }
}

impl Link {
    /// Whether the sender of a pipe is told that it may write: on TCP if a third of its window is free,
    /// on a Unix socket if three quarters are. (A write takes what fits, however little.)
    pub(super) fn is_writable(&self, side: usize, window: usize) -> bool {
        let used = self.pipes[side].in_window();
        match self.kind {
            Kind::Tcp => used < window && window - used >= used / 2,
            Kind::Unix => used.saturating_mul(4) <= window,
        }
    }

    /// Whether an end is shut in both directions.
    pub(super) fn is_shut(&self, side: usize) -> bool {
        self.ends[side].stage == Stage::Down
            || (self.pipes[side].finished && self.pipes[1 - side].end_arrived)
    }

    /// The options that only TCP has.
    pub(super) fn tcp_options(&mut self, side: usize) -> Result<&mut Remembered, Fault> {
        match self.kind {
            Kind::Tcp => Ok(&mut self.ends[side].options),
            Kind::Unix => Err(Fault::NoSuchOption),
        }
    }

    /// Both directions are at their end: nothing is left of the connection but what can be read.
    /// Unix sockets stay: one that is closed with unread bytes still gives its peer an error.
    pub(super) fn settle_ends(&mut self) {
        if self.kind == Kind::Tcp && self.pipes.iter().all(|pipe| pipe.end_arrived) {
            for end in &mut self.ends {
                end.stage = Stage::Down;
            }
        }
    }

    /// The state that poll(2) would report.
    pub(super) fn readiness(&self, side: usize, window: usize) -> Readiness {
        let mut readiness = Readiness::default();
        let incoming = &self.pipes[1 - side];
        if !incoming.arrived.is_empty() {
            readiness |= Readiness::READABLE;
        }
        if incoming.end_arrived {
            readiness |= Readiness::READABLE | Readiness::READ_CLOSED;
        }
        if self.is_shut(side) {
            readiness |= Readiness::FAILED | Readiness::READ_CLOSED;
        }
        if self.ends[side].error.is_some() {
            readiness |= Readiness::FAILED;
        }
        let up = self.ends[side].stage == Stage::Up;
        if up && (self.pipes[side].finished || self.is_writable(side, window)) {
            readiness |= Readiness::WRITABLE;
        }
        readiness
    }
}

impl Pipe {
    pub(super) fn in_window(&self) -> usize {
        self.flying_bytes + self.arrived.len()
    }

    pub(super) fn send(&mut self, arrives: Instant, payload: Payload) {
        if let Payload::Bytes(bytes) = &payload {
            self.flying_bytes += bytes.len();
        }
        self.flying.push_back(Segment { arrives, payload });
    }

    pub(super) fn next_arrival(&mut self, now: Instant) -> Option<Payload> {
        self.flying.front().filter(|segment| segment.arrives <= now)?;
        let segment = self.flying.pop_front()?;
        if let Payload::Bytes(bytes) = &segment.payload {
            self.flying_bytes -= bytes.len();
        }
        Some(segment.payload)
    }

    pub(super) fn drop_flying(&mut self) {
        self.flying.clear();
        self.flying_bytes = 0;
    }

    /// Drops what has not left the sender: all that the receiver's half of the window has no room for.
    pub(super) fn drop_unsent(&mut self, window: usize) {
        let mut room = (window / 2).saturating_sub(self.arrived.len());
        let mut kept = 0;
        for segment in &self.flying {
            let Payload::Bytes(bytes) = &segment.payload else { break };
            let Some(rest) = room.checked_sub(bytes.len()) else { break };
            (room, kept) = (rest, kept + 1);
        }
        self.flying.truncate(kept);
        let bytes = self.flying.iter().map(|segment| match &segment.payload {
            Payload::Bytes(bytes) => bytes.len(),
            _ => 0,
        });
        self.flying_bytes = bytes.sum();
    }
}
