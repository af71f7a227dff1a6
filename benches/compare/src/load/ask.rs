//! A new connection for each operation: the 81 bytes, and the end.

use std::io::{self, Read};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::{Client, Progress};
use crate::service::{RANDOM_HEAD, RANDOM_LENGTH, RANDOM_TAIL};

pub struct Ask {
    server: SocketAddr,
    stream: Option<TcpStream>,
    /// What has come of the answer; one byte more than it has, to see what is too much.
    answer: [u8; RANDOM_LENGTH + 1],
    length: usize,
}

impl Ask {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, stream: None, answer: [0; RANDOM_LENGTH + 1], length: 0 }
    }

    fn read(&mut self) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        loop {
            match stream.read(&mut self.answer[self.length..]) {
                Ok(0) => return Ok(true),
                Ok(count) => self.length += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Client for Ask {
    fn begin(&mut self, registry: &Registry, token: Token, _: &mut [u8]) -> Progress {
        self.length = 0;
        let mut stream = match TcpStream::connect(self.server) {
            Ok(stream) => stream,
            Err(error) => return error.into(),
        };
        if let Err(error) = registry.register(&mut stream, token, Interest::READABLE) {
            return error.into();
        }
        self.stream = Some(stream);
        Progress::Waiting
    }

    fn ready(&mut self, _: usize, _: &mut [u8]) -> Progress {
        match self.read() {
            Ok(false) => return Progress::Waiting,
            Ok(true) => self.stream = None,
            Err(error) => {
                self.stream = None;
                return error.into();
            }
        }
        let answer = &self.answer[..self.length];
        if answer.len() != RANDOM_LENGTH
            || !answer.starts_with(RANDOM_HEAD)
            || !answer.ends_with(RANDOM_TAIL)
        {
            return Progress::Failed(format!("wrong answer of {} bytes", answer.len()));
        }
        Progress::Done(1)
    }

    fn renew(&mut self) -> io::Result<()> {
        self.stream = None; // each operation connects
        Ok(())
    }
}
