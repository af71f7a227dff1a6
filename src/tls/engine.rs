//! rustls without I/O: bytes of the wire in, plain bytes out, and the other way. The only file that moves bytes
//! through rustls.

use std::any::Any;
use std::io::{self, BufRead, IoSlice, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use rustls::{Connection, Error, InvalidMessage, IoState};

use super::error::{Fault, Phase, TlsError};
use super::info::TlsInfo;
use super::role::Role;
use crate::address::Address;

/// One connection of rustls, with its peer.
pub(crate) struct Engine {
    connection: Connection,
    /// The name that a client has asked for.
    asked_for: Option<Box<str>>,
    peer: Address,
    /// Whether this side has said that it has sent its last byte.
    closed: bool,
}

/// The outcome of opening some bytes of the wire.
#[derive(Debug)]
pub(crate) enum Opened {
    More,
    /// The peer's close_notify came. Whatever is behind it is ignored (RFC 8446, section 6.1).
    Ended,
    /// Code that the config has brought, as to choose a certificate or to verify one, has panicked.
    Panicked(Box<dyn Any + Send>),
}

impl Engine {
    /// # Errors
    ///
    /// If rustls cannot work with the config, or a client has no name to ask for.
    pub(crate) fn new(role: &Role, peer: Address) -> Result<Self, TlsError> {
        match role.begin() {
            Ok((mut connection, asked_for)) => {
                // Encrypted bytes are taken at once, and the caller bounds how many it encrypts.
                connection.set_buffer_limit(None);
                Ok(Self { connection, asked_for, peer, closed: false })
            }
            Err(error) => Err(TlsError::new(Phase::Handshake, Fault::Tls(error), peer)),
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Takes bytes of the wire; `plain` gets what they were.
    ///
    /// # Errors
    ///
    /// Those of rustls, after `plain` has got what came before. [`sealed`](Self::sealed) then has the alert.
    pub(crate) fn open(
        &mut self,
        mut wire: &[u8],
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<Opened, Error> {
        while !wire.is_empty() {
            // rustls takes some kilobytes at a time, so that its own buffer stays small.
            match self.connection.read_tls(&mut wire) {
                // Its buffer is full: a record, or a handshake message, is longer than any may be.
                Ok(0) | Err(_) => return Err(InvalidMessage::MessageTooLarge.into()),
                Ok(_) => {}
            }
            let state = match self.process() {
                Ok(state) => state,
                Err(payload) => return Ok(Opened::Panicked(payload)),
            };
            self.drain(plain);
            if state?.peer_has_closed() {
                return Ok(Opened::Ended);
            }
        }
        Ok(Opened::More)
    }

    /// Has rustls work on what it was given. The outer error is a panic of the config's code.
    ///
    /// With debug assertions rustls 0.23 panics when it has an alert to send behind close_notify (rustls#959), which
    /// any peer can bring about on a connection that is half closed. Nobody else's bytes are to end a reactor.
    fn process(&mut self) -> thread::Result<Result<IoState, Error>> {
        let processed = catch_unwind(AssertUnwindSafe(|| self.connection.process_new_packets()));
        if cfg!(debug_assertions) && self.closed {
            // The fault itself is lost.
            return Ok(processed.unwrap_or(Err(InvalidMessage::InvalidContentType.into())));
        }
        processed
    }

    fn drain(&mut self, plain: &mut dyn FnMut(&[u8])) {
        let mut reader = self.connection.reader();
        // An error says only that nothing is there, now or for ever.
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            let count = chunk.len();
            plain(chunk);
            reader.consume(count);
        }
    }

    /// Encrypts `plain` into records; [`sealed`](Self::sealed) has them.
    pub(crate) fn seal(&mut self, plain: &[u8]) {
        // It takes all, for it has no limit; or nothing, after an error, when nobody calls this, or when its keys are
        // used up, and then there is an alert in place of the records.
        drop(self.connection.writer().write(plain));
    }

    /// Says that this side has sent its last byte.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.connection.send_close_notify();
    }

    /// Hands over all that is to go onto the wire, record by record; returns how many bytes that is.
    pub(crate) fn sealed(&mut self, take: &mut dyn FnMut(&[u8])) -> usize {
        let mut wire = Wire { take, count: 0 };
        while self.connection.wants_write() && self.connection.write_tls(&mut wire).is_ok() {}
        wire.count
    }

    pub(crate) fn info(&self) -> TlsInfo {
        TlsInfo::of(&self.connection, self.asked_for.as_deref())
    }

    pub(crate) fn error(&self, fault: Fault) -> TlsError {
        let phase = if self.is_handshaking() { Phase::Handshake } else { Phase::Open };
        TlsError::new(phase, fault, self.peer.clone())
    }
}

/// Where rustls writes: it takes everything.
struct Wire<'a> {
    take: &'a mut dyn FnMut(&[u8]),
    count: usize,
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.take)(bytes);
        self.count += bytes.len();
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        pieces.iter().try_fold(0, |count, piece| Ok(count + self.write(piece)?))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
