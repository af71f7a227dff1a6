//! A new connection for each operation: the 81 bytes, and the end. By TLS also a handshake.

use std::io::{self, Read};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::tls::{Connector, Secured, Tls};
use super::{Client, Progress};
use crate::service::{RANDOM_HEAD, RANDOM_LENGTH, RANDOM_TAIL};

pub struct Ask {
    server: SocketAddr,
    tls: Option<Tls>,
    /// The maker of the TLS of each operation.
    connector: Option<Connector>,
    under_way: Option<UnderWay>,
    /// The answer as far as it has come; one byte more than it has, to see one that is too long.
    answer: [u8; RANDOM_LENGTH + 1],
    length: usize,
}

struct UnderWay {
    stream: TcpStream,
    tls: Option<Box<Secured>>,
}

impl Ask {
    /// # Errors
    ///
    /// If it is to resume sessions, and has none because the server does not answer.
    pub fn new(server: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let connector = tls.map(|tls| connector(server, tls)).transpose()?;
        let answer = [0; RANDOM_LENGTH + 1];
        Ok(Self { server, tls: tls.cloned(), connector, under_way: None, answer, length: 0 })
    }

    /// Reads; returns whether that was the end.
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        let Some(UnderWay { stream, tls }) = &mut self.under_way else { return Ok(false) };
        let Some(tls) = tls else { return read_plain(stream, &mut self.answer, &mut self.length) };
        while let Some(count) = tls.read(stream, scratch)? {
            let room = &mut self.answer[self.length..];
            let taken = count.min(room.len());
            room[..taken].copy_from_slice(&scratch[..taken]);
            self.length += taken;
            if count == 0 {
                return Ok(true);
            }
        }
        tls.flush(stream)?;
        Ok(false)
    }
}

/// With a first session, if the others are to resume it.
fn connector(server: SocketAddr, tls: &Tls) -> io::Result<Connector> {
    let connector = Connector::new(tls)?;
    if !tls.resumes {
        return Ok(connector);
    }
    let mut stream = std::net::TcpStream::connect_timeout(&server, super::TIME_LIMIT)?;
    stream.set_read_timeout(Some(super::TIME_LIMIT))?;
    let mut first = connector.begin()?;
    first.shake_hands(&mut stream)?;
    // Until the end, for the tickets come before it.
    let mut scratch = vec![0; super::SCRATCH];
    loop {
        match first.read(&mut stream, &mut scratch)? {
            Some(0) => return Ok(connector.resuming()),
            Some(_) => {}
            None => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn read_plain(
    stream: &mut TcpStream,
    answer: &mut [u8; RANDOM_LENGTH + 1],
    length: &mut usize,
) -> io::Result<bool> {
    loop {
        match stream.read(&mut answer[*length..]) {
            Ok(0) => return Ok(true),
            Ok(count) => *length += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

impl Client for Ask {
    fn begin(&mut self, registry: &Registry, token: Token, _: &mut [u8]) -> Progress {
        self.length = 0;
        let mut stream = TcpStream::connect(self.server)?;
        let Some(connector) = &self.connector else {
            registry.register(&mut stream, token, Interest::READABLE)?;
            self.under_way = Some(UnderWay { stream, tls: None });
            return Ok(None);
        };
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, token, both)?;
        let mut tls = Box::new(connector.begin()?);
        tls.flush(&mut stream)?; // the rest, or all of it, when it is connected
        self.under_way = Some(UnderWay { stream, tls: Some(tls) });
        Ok(None)
    }

    fn ready(&mut self, _: usize, scratch: &mut [u8]) -> Progress {
        if let Some(UnderWay { stream, tls: Some(tls) }) = &mut self.under_way {
            tls.flush(stream)?;
        }
        let end = self.read(scratch);
        if !matches!(end, Ok(false)) {
            self.under_way = None;
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
        *self = Self::new(self.server, self.tls.as_ref())?; // each operation connects
        Ok(())
    }
}
