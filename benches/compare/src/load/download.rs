//! An endless stream: each operation is one MiB of it.

use std::io::{self, Read};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::{Client, Progress, hold};
use crate::service::{BULK_PERIOD, bulk_block};

const OPERATION: usize = 1024 * 1024;

pub struct Download {
    server: SocketAddr,
    stream: TcpStream,
    registered: bool,
    /// The pattern, long enough to be compared with a whole read from any place in its period.
    pattern: Vec<u8>,
    /// Where in the period the next byte is.
    phase: usize,
    /// What has been read of this operation.
    received: usize,
}

impl Download {
    /// # Errors
    ///
    /// If it cannot connect.
    pub fn new(server: SocketAddr) -> io::Result<Self> {
        let stream = hold::connect(server)?;
        let pattern = bulk_block().repeat(6);
        Ok(Self { server, stream, registered: false, pattern, phase: 0, received: 0 })
    }

    fn receive(&mut self, scratch: &mut [u8]) -> Progress {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Progress::Failed("the stream has an end".into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Progress::Waiting;
                }
                Err(error) => return error.into(),
            };
            if scratch[..count] != self.pattern[self.phase..self.phase + count] {
                return Progress::Failed("the stream is not what it should be".into());
            }
            self.phase = (self.phase + count) % BULK_PERIOD;
            self.received += count;
            let drained = count < scratch.len();
            if self.received >= OPERATION {
                let operations = self.received / OPERATION;
                self.received %= OPERATION;
                return Progress::Done(operations as u64);
            }
            if drained {
                return Progress::Waiting;
            }
        }
    }
}

impl Client for Download {
    fn begin(&mut self, registry: &Registry, token: Token, scratch: &mut [u8]) -> Progress {
        if !self.registered {
            if let Err(error) = registry.register(&mut self.stream, token, Interest::READABLE) {
                return error.into();
            }
            self.registered = true;
        }
        // What came between two runs had its event then.
        self.receive(scratch)
    }

    fn ready(&mut self, _: usize, scratch: &mut [u8]) -> Progress {
        self.receive(scratch)
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(self.server)?;
        Ok(())
    }
}
