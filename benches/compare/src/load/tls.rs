//! TLS as the clients speak it.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, Stream};
use serde::{Deserialize, Serialize};

use crate::certificates::{self, GROUP, NAME, SUITE};

/// A load over TLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tls {
    /// The folder of the certificate.
    pub folder: PathBuf,
    /// Whether each handshake resumes a session.
    pub resumes: bool,
}

/// How long the message is that an idle connection has sent.
const MESSAGE: usize = 64;

/// How much of the wire is read at once. Together with a record that was not complete it fits into what is left
/// of the clients' scratch buffer.
const WIRE: usize = 96 * 1024;

/// Makes connections of one client; those that resume share its tickets.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    expected: HandshakeKind,
}

impl Connector {
    /// # Errors
    ///
    /// If the certificate cannot be read.
    pub fn new(tls: &Tls) -> io::Result<Self> {
        let config = certificates::client_config(&tls.folder, tls.resumes)?.into();
        Ok(Self { config, expected: HandshakeKind::Full })
    }

    /// The same for connections that must resume a session.
    pub fn resuming(self) -> Self {
        Self { expected: HandshakeKind::Resumed, ..self }
    }

    pub fn begin(&self) -> io::Result<Secured> {
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let tls =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        Ok(Secured { tls, expected: self.expected, is_checked: false, is_closed: false })
    }
}

/// The TLS of one connection.
pub struct Secured {
    tls: ClientConnection,
    expected: HandshakeKind,
    is_checked: bool,
    /// Whether the peer's close_notify came.
    is_closed: bool,
}

impl Secured {
    /// Waits until the handshake is over, with a stream that blocks.
    pub fn shake_hands(&mut self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        while self.tls.is_handshaking() {
            self.tls.complete_io(stream)?;
        }
        self.flush(stream)?;
        self.check()
    }

    /// Sends a message and waits until it is back, with a stream that blocks.
    pub fn exchange(&mut self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        let mut stream = Stream::new(&mut self.tls, stream);
        stream.write_all(&[b'x'; MESSAGE])?;
        let mut back = [0; MESSAGE];
        stream.read_exact(&mut back)?;
        if back == [b'x'; MESSAGE] { Ok(()) } else { Err(io::Error::other("a wrong echo")) }
    }

    /// Reads once: how many plain bytes came, or none if nothing is there now. 0 is the peer's close_notify.
    pub fn read(
        &mut self,
        stream: &mut impl Read,
        scratch: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let (wire, plain) = scratch.split_at_mut(WIRE);
        while !self.is_closed {
            let count = match stream.read(wire) {
                Ok(0) => return Err(io::Error::other("the end came without close_notify")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            let filled = self.open(&wire[..count], plain)?;
            if filled > 0 {
                scratch.copy_within(WIRE..WIRE + filled, 0); // where the caller looks for them
                return Ok(Some(filled));
            }
        }
        Ok(Some(0))
    }

    /// Returns how many plain bytes there are.
    fn open(&mut self, mut wire: &[u8], plain: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !wire.is_empty() && !self.is_closed {
            self.tls.read_tls(&mut wire)?;
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            self.is_closed = state.peer_has_closed();
            let mut reader = self.tls.reader();
            while filled < plain.len() {
                match reader.read(&mut plain[filled..]) {
                    Ok(0) | Err(_) => break, // the error says that nothing more is there
                    Ok(count) => filled += count,
                }
            }
        }
        if !self.tls.is_handshaking() && !self.is_checked {
            self.check()?;
        }
        Ok(filled)
    }

    /// Takes plain bytes; none if those before have not left.
    pub fn write(&mut self, stream: &mut impl Write, data: &[u8]) -> io::Result<Option<usize>> {
        if !self.flush(stream)? {
            return Ok(None);
        }
        let count = self.tls.writer().write(data)?;
        self.flush(stream)?;
        Ok(Some(count))
    }

    /// Sends what is encrypted; returns whether all of it has left.
    pub fn flush(&mut self, stream: &mut impl Write) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether the handshake was what the workload says.
    fn check(&mut self) -> io::Result<()> {
        self.is_checked = true;
        let suite = self.tls.negotiated_cipher_suite().map(|suite| suite.suite());
        let group = self.tls.negotiated_key_exchange_group().map(|group| group.name());
        let (version, kind) = (self.tls.protocol_version(), self.tls.handshake_kind());
        let is_right = version == Some(ProtocolVersion::TLSv1_3)
            && suite == Some(SUITE)
            && group == Some(GROUP)
            && kind == Some(self.expected);
        if is_right {
            return Ok(());
        }
        let expected = self.expected;
        Err(io::Error::other(format!(
            "a handshake of another kind: {version:?}, {suite:?}, {group:?}, {kind:?} instead of {expected:?}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use rustls::ServerConnection;

    use super::*;
    use crate::peers::Scratch;

    /// Both sides in memory, until nothing more is to be sent.
    fn meet(connector: &Connector, server: &mut ServerConnection) -> io::Result<Secured> {
        let mut client = connector.begin()?;
        let mut plain = vec![0; 1024];
        loop {
            let mut wire = Vec::new();
            client.flush(&mut wire)?;
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                server.read_tls(&mut rest)?;
                server.process_new_packets().map_err(io::Error::other)?;
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire)?;
            }
            if wire.is_empty() {
                return Ok(client);
            }
            client.open(&wire, &mut plain)?;
        }
    }

    #[test]
    fn a_handshake_of_the_wrong_kind_is_an_error() {
        let scratch = Scratch::new().unwrap();
        certificates::make(scratch.path()).unwrap();
        let config = certificates::server_config(scratch.path()).unwrap();
        let server = || ServerConnection::new(Arc::clone(&config)).unwrap();
        let folder = scratch.path().to_owned();
        let with = |resumes| Tls { folder: folder.clone(), resumes };

        let full = Connector::new(&with(true)).unwrap();
        let resuming = full.clone().resuming();
        let error = meet(&resuming, &mut server()).err().unwrap().to_string();
        assert!(error.contains("Full) instead of Resumed"), "{error}");
        let fresh = Connector::new(&with(true)).unwrap();
        assert!(meet(&fresh, &mut server()).is_ok(), "the first has no ticket");
        assert!(meet(&fresh.clone().resuming(), &mut server()).is_ok());
        let error = meet(&fresh, &mut server()).err().unwrap().to_string();
        assert!(error.contains("Resumed) instead of Full"), "{error}");
        let forgetful = Connector::new(&with(false)).unwrap();
        assert!((0..3).all(|_| meet(&forgetful, &mut server()).is_ok()));
    }
}
