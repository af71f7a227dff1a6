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
    /// The answer as far as it has come; one byte more than it has, to see one that is too long.
    answer: [u8; RANDOM_LENGTH + 1],
    length: usize,
}

impl Ask {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, stream: None, answer: [0; RANDOM_LENGTH + 1], length: 0 }
    }

    /// Reads; returns whether that was the end.
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
        let mut stream = TcpStream::connect(self.server)?;
        registry.register(&mut stream, token, Interest::READABLE)?;
        self.stream = Some(stream);
        Ok(None)
    }

    fn ready(&mut self, _: usize, _: &mut [u8]) -> Progress {
        let end = self.read();
        if !matches!(end, Ok(false)) {
            self.stream = None;
        }
        if !end? {
            return Ok(None);
        }
        let answer = &self.answer[..self.length];
        let is_right = answer.len() == RANDOM_LENGTH
            && answer.starts_with(RANDOM_HEAD)
            && answer.ends_with(RANDOM_TAIL);
        if is_right {
            return Ok(Some(1));
        }
        Err(io::Error::other(format!("wrong answer of {} bytes", answer.len())))
    }

    fn renew(&mut self) -> io::Result<()> {
        self.stream = None; // each operation connects
        Ok(())
    }
}
