//! An endless stream that is sent back: each operation is one MiB of it.

use std::io;

use mio::{Registry, Token};

use super::{Client, Connection, Place, Progress};
use crate::service::{BULK_PERIOD, bulk_block};

const OPERATION: u64 = 1024 * 1024;

/// How many bytes are sent at once: as many as a turn of crocus reads.
const BURST: usize = 256 * 1024;

pub struct Flood {
    place: Place,
    connection: Connection,
    /// The pattern, long enough to be sent and compared from any place in its period.
    pattern: Vec<u8>,
    sent: u64,
    received: u64,
    /// How many bytes may be sent in all.
    allowed: u64,
    /// How many of the received bytes operations were counted for.
    counted: u64,
}

impl Flood {
    /// # Errors
    ///
    /// If it cannot connect.
    pub fn new(place: &Place) -> io::Result<Self> {
        Ok(Self { allowed: u64::MAX, ..Self::in_bursts(place)? })
    }

    /// One that sends a burst each time it is begun.
    ///
    /// # Errors
    ///
    /// If it cannot connect.
    pub fn in_bursts(place: &Place) -> io::Result<Self> {
        let pattern = bulk_block().repeat(2 + BURST / bulk_block().len());
        let (connection, place) = (Connection::to(place)?, place.clone());
        Ok(Self { place, connection, pattern, sent: 0, received: 0, allowed: 0, counted: 0 })
    }

    /// Sends as much as is allowed, and the kernel takes.
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.allowed {
            let length = (self.allowed - self.sent).min(BURST as u64) as usize;
            let part = part(&self.pattern, self.sent, length);
            let Some(count) = self.connection.write(part)? else { break };
            self.sent += count as u64;
        }
        self.connection.flush()
    }

    /// Reads all that is there, and compares it.
    fn receive(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        while let Some(count) = self.connection.read(scratch)? {
            if scratch[..count] != *part(&self.pattern, self.received, count) {
                return Err(io::Error::other("what came back is not what was sent"));
            }
            self.received += count as u64;
            if self.connection.is_drained(count, scratch.len()) {
                break; // a short read: nothing more is there
            }
        }
        Ok(())
    }
}

/// So many bytes of the stream, from that one on.
fn part(pattern: &[u8], from: u64, length: usize) -> &[u8] {
    let from = (from % BULK_PERIOD as u64) as usize;
    &pattern[from..from + length]
}

impl Client for Flood {
    fn begin(&mut self, registry: &Registry, token: Token, scratch: &mut [u8]) -> Progress {
        self.connection.register(registry, token, true)?;
        self.allowed = self.allowed.saturating_add(BURST as u64);
        // Bytes that came between two runs bring no further event.
        self.ready(0, scratch)
    }

    fn ready(&mut self, _: usize, scratch: &mut [u8]) -> Progress {
        self.receive(scratch)?;
        self.send()?;
        let operations = (self.received - self.counted) / OPERATION;
        self.counted += operations * OPERATION;
        Ok((operations > 0).then_some(operations))
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(&self.place)?;
        Ok(())
    }
}
