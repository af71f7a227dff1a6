//! Messages on an established connection: each must come back as it was sent.

use std::io;
use std::rc::Rc;

use mio::{Registry, Token};

use super::{Client, Connection, Place, Progress};

/// Random bytes that messages are cut from, so that none is like another.
pub struct Text(Vec<u8>);

impl Text {
    pub fn new(longest: usize) -> Rc<Self> {
        Rc::new(Self((0..64 * 1024 + longest).map(|_| rand::random()).collect()))
    }
}

pub struct Exchange {
    place: Place,
    connection: Connection,
    text: Rc<Text>,
    /// Of one message, and how many are sent together.
    size: usize,
    pipeline: usize,
    /// Where in the text those under way begin.
    at: usize,
    sent: usize,
    received: usize,
}

impl Exchange {
    /// # Errors
    ///
    /// If it cannot connect.
    pub fn new(place: &Place, text: &Rc<Text>, size: usize, pipeline: usize) -> io::Result<Self> {
        let (place, connection) = (place.clone(), Connection::to(place)?);
        let (text, at) = (Rc::clone(text), rand::random_range(0..64 * 1024));
        Ok(Self { place, connection, text, size, pipeline, at, sent: 0, received: 0 })
    }

    fn total(&self) -> usize {
        self.size * self.pipeline
    }

    /// Sends as much as the kernel takes.
    fn send(&mut self) -> io::Result<()> {
        let text = &self.text.0[self.at..self.at + self.size * self.pipeline];
        while self.sent < text.len() {
            let Some(count) = self.connection.write(&text[self.sent..])? else { break };
            self.sent += count;
        }
        self.connection.flush()
    }

    /// Reads all that is there, and compares it.
    fn receive(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        while let Some(count) = self.connection.read(scratch)? {
            let from = self.at + self.received;
            let owed = &self.text.0[from..from + self.sent - self.received];
            if count > owed.len() || scratch[..count] != owed[..count] {
                return Err(io::Error::other("what came back is not what was sent"));
            }
            self.received += count;
            if self.connection.is_drained(count, scratch.len()) {
                break; // a short read: nothing more is there
            }
        }
        Ok(())
    }
}

impl Client for Exchange {
    fn begin(&mut self, registry: &Registry, token: Token, _: &mut [u8]) -> Progress {
        self.connection.register(registry, token, true)?;
        self.at = (self.at + self.total()) % (64 * 1024);
        (self.sent, self.received) = (0, 0);
        self.send()?;
        Ok(None)
    }

    fn ready(&mut self, _: usize, scratch: &mut [u8]) -> Progress {
        if self.received == self.total() {
            return Ok(None); // the event reports room, but no operation is under way
        }
        self.receive(scratch)?;
        self.send()?;
        Ok((self.received == self.total()).then_some(self.pipeline as u64))
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(&self.place, &self.text, self.size, self.pipeline)?;
        Ok(())
    }
}
