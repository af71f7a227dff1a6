//! Answers, and bytes still owed to a peer, for the servers that write to their sockets themselves.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use crate::service::{RANDOM_LENGTH, write_random};

/// How often a connection is read, or written to, before the others get their turn.
pub const ROUNDS: usize = 16;

/// The most unsent bytes of a broadcast member before it is closed: crocus's default cap.
const MOST: usize = 32 * 1024 * 1024;

/// Bytes that a peer has not taken yet. Owns no memory when there is nothing.
#[derive(Default)]
pub struct Pending(VecDeque<u8>);

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends a chunk after all that is pending, and keeps what the peer does not take.
    ///
    /// # Errors
    ///
    /// If the peer is gone, or too far behind.
    pub fn send(&mut self, stream: impl Write, chunk: &[u8]) -> io::Result<()> {
        // Behind something pending the socket is full: there will be an event when it is not.
        let sent = if self.is_empty() { write(stream, chunk)? } else { 0 };
        if self.0.len() + chunk.len() - sent > MOST {
            return Err(io::Error::other("too far behind"));
        }
        self.0.extend(&chunk[sent..]);
        Ok(())
    }

    /// Sends what is pending, as much of it as the peer takes.
    pub fn flush(&mut self, mut stream: impl Write) -> io::Result<()> {
        while !self.is_empty() {
            let (front, _) = self.0.as_slices();
            let (length, sent) = (front.len(), write(&mut stream, front)?);
            self.0.drain(..sent);
            if sent < length {
                return Ok(());
            }
        }
        self.0 = VecDeque::new();
        Ok(())
    }
}

/// Writes until all is written or the socket is full; returns how much was written.
pub fn write(mut stream: impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// The service `random`: one write, for which a new connection always has room.
pub fn answer(mut stream: impl Write) -> io::Result<()> {
    let mut answer = [0; RANDOM_LENGTH];
    write_random(&mut answer);
    stream.write_all(&answer)
}

/// The service `bulk`: sends the block again and again, until the socket is full or the rounds are
/// over. `sent` is how much of the block went out so far. Returns whether the socket is full.
pub fn bulk(mut stream: impl Write, block: &[u8], sent: &mut usize) -> io::Result<bool> {
    for _ in 0..ROUNDS {
        *sent += write(&mut stream, &block[*sent..])?;
        if *sent < block.len() {
            return Ok(true);
        }
        *sent = 0;
    }
    Ok(false)
}
