//! An endless stream: each operation is one MiB of it.

use std::io;

use mio::{Registry, Token};

use super::{Client, Connection, Place, Progress};
use crate::service::{BULK_PERIOD, bulk_block};

const OPERATION: usize = 1024 * 1024;

pub struct Download {
    place: Place,
    connection: Connection,
    /// The pattern, long enough to be compared with a whole read from any place in its period.
    pattern: Vec<u8>,
    /// Where in the period the next byte is.
    phase: usize,
    /// How much of this operation has been read.
    received: usize,
}

impl Download {
    /// # Errors
    ///
    /// If it cannot connect.
    pub fn new(place: &Place) -> io::Result<Self> {
        let (connection, pattern) = (Connection::to(place)?, bulk_block().repeat(6));
        let place = place.clone();
        Ok(Self { place, connection, pattern, phase: 0, received: 0 })
    }
}

impl Client for Download {
    fn begin(&mut self, registry: &Registry, token: Token, scratch: &mut [u8]) -> Progress {
        self.connection.register(registry, token, false)?;
        // Bytes that came between two runs bring no further event.
        self.ready(0, scratch)
    }

    fn ready(&mut self, _: usize, scratch: &mut [u8]) -> Progress {
        while let Some(count) = self.connection.read(scratch)? {
            if scratch[..count] != self.pattern[self.phase..self.phase + count] {
                return Err(io::Error::other("the stream is not what it should be"));
            }
            self.phase = (self.phase + count) % BULK_PERIOD;
            self.received += count;
            if self.received >= OPERATION {
                let operations = self.received / OPERATION;
                self.received %= OPERATION;
                return Ok(Some(operations as u64));
            }
            if self.connection.is_drained(count, scratch.len()) {
                break; // a short read: nothing more is there
            }
        }
        Ok(None)
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(&self.place)?;
        Ok(())
    }
}
