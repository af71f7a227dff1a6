//! Messages on a connection that stands: each must come back as it was sent.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::{Client, Progress, hold};

/// What messages are cut from: random bytes, so that none is like another.
pub struct Text(Vec<u8>);

impl Text {
    pub fn new(longest: usize) -> Rc<Self> {
        Rc::new(Self((0..64 * 1024 + longest).map(|_| rand::random()).collect()))
    }
}

pub struct Exchange {
    server: SocketAddr,
    stream: TcpStream,
    registered: bool,
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
    pub fn new(
        server: SocketAddr,
        text: &Rc<Text>,
        size: usize,
        pipeline: usize,
    ) -> io::Result<Self> {
        let stream = hold::connect(server)?;
        let (text, at) = (Rc::clone(text), rand::random_range(0..64 * 1024));
        let (sent, received) = (0, 0);
        Ok(Self { server, stream, registered: false, text, size, pipeline, at, sent, received })
    }

    fn total(&self) -> usize {
        self.size * self.pipeline
    }

    /// Sends what the kernel takes.
    fn send(&mut self) -> io::Result<()> {
        let text = &self.text.0[self.at..self.at + self.size * self.pipeline];
        while self.sent < text.len() {
            match self.stream.write(&text[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there, and compares it.
    fn receive(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let from = self.at + self.received;
            let owed = &self.text.0[from..from + self.sent - self.received];
            if count > owed.len() || scratch[..count] != owed[..count] {
                return Err(io::Error::other("what came back is not what was sent"));
            }
            self.received += count;
            if count < scratch.len() {
                return Ok(()); // a short read: nothing more is there
            }
        }
    }
}

impl Client for Exchange {
    fn begin(&mut self, registry: &Registry, token: Token, _: &mut [u8]) -> Progress {
        if !self.registered {
            let both = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = registry.register(&mut self.stream, token, both) {
                return error.into();
            }
            self.registered = true;
        }
        self.at = (self.at + self.total()) % (64 * 1024);
        (self.sent, self.received) = (0, 0);
        match self.send() {
            Ok(()) => Progress::Waiting,
            Err(error) => error.into(),
        }
    }

    fn ready(&mut self, _: usize, scratch: &mut [u8]) -> Progress {
        if self.received == self.total() {
            return Progress::Waiting; // the event tells of room, and nothing is asked
        }
        if let Err(error) = self.receive(scratch).and_then(|()| self.send()) {
            return error.into();
        }
        match self.received == self.total() {
            true => Progress::Done(self.pipeline as u64),
            false => Progress::Waiting,
        }
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(self.server, &self.text, self.size, self.pipeline)?;
        Ok(())
    }
}
