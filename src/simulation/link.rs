//! A connection in memory: two ends, and a pipe in each direction.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::Token;

/// Two ends and the pipes between them; side 0 is the one that connected.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [LinkEnd; 2],
    /// `pipes[s]` carries what side `s` sent.
    pub(super) pipes: [Pipe; 2],
    /// When the connection request reaches the other side; `None` once it has.
    pub(super) request: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct LinkEnd {
    pub(super) addr: SocketAddr,
    pub(super) token: Option<Token>,
    /// Whether a stream or a queue still holds it.
    pub(super) open: bool,
    pub(super) connected: bool,
    pub(super) error: Option<io::ErrorKind>,
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
    End,
    Reset(io::ErrorKind),
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
}
