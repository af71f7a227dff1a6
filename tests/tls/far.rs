//! The far end of a TLS connection, by rustls alone, in the hands of a test.

use std::io::{Read, Write};
use std::sync::Arc;

use crocus::tls::rustls::pki_types::ServerName;
use crocus::tls::rustls::{ClientConfig, ClientConnection, Connection, Error};

use crate::util::{Far, World};

/// A peer that speaks TLS. It moves bytes only in [`step`](Self::step).
pub(crate) struct TlsFar {
    pub(crate) tls: Connection,
    far: Option<Far>,
    /// Bytes for the wire that the far end did not take yet.
    out: Vec<u8>,
    /// The plain bytes that came.
    pub(crate) got: Vec<u8>,
    /// Whether a close_notify came.
    pub(crate) notified: bool,
    /// The end of the stream.
    pub(crate) ended: Option<Result<(), std::io::ErrorKind>>,
    /// The error by which TLS failed, mostly an alert.
    pub(crate) error: Option<Error>,
    /// How many bytes are sent and read at once.
    pub(crate) portion: usize,
}

impl TlsFar {
    pub(crate) fn client(far: Far, config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Self::new(far, ClientConnection::new(Arc::clone(config), name).unwrap().into())
    }

    fn new(far: Far, mut tls: Connection) -> Self {
        tls.set_buffer_limit(None);
        Self {
            tls,
            far: Some(far),
            out: Vec::new(),
            got: Vec::new(),
            notified: false,
            ended: None,
            error: None,
            portion: 64 * 1024,
        }
    }

    pub(crate) fn write(&mut self, data: &[u8]) {
        self.tls.writer().write_all(data).unwrap();
    }

    /// Bytes as they are, behind what TLS has to send.
    pub(crate) fn write_raw(&mut self, data: &[u8]) {
        self.encrypt();
        self.out.extend_from_slice(data);
    }

    pub(crate) fn notify(&mut self) {
        self.tls.send_close_notify();
    }

    /// The next bytes for the wire, which are not sent then.
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        self.encrypt();
        std::mem::take(&mut self.out)
    }

    fn encrypt(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.out).unwrap();
        }
    }

    /// Sends what there is.
    pub(crate) fn send(&mut self) {
        self.encrypt();
        let Some(far) = &mut self.far else { return };
        let count = far.send(&self.out[..self.out.len().min(self.portion)]);
        self.out.drain(..count);
    }

    /// Sends what there is, and reads what has come.
    pub(crate) fn step(&mut self) {
        self.send();
        self.read();
        self.send();
    }

    pub(crate) fn read(&mut self) {
        let Some(far) = &mut self.far else { return };
        if self.ended.is_some() {
            return;
        }
        let mut wire = far.receive(self.portion).unwrap_or_default();
        if wire.is_empty() {
            match far.take_some(&mut wire) {
                Ok(false) => {}
                Ok(true) => self.ended = Some(Ok(())),
                Err(kind) => self.ended = Some(Err(kind)),
            }
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() && self.error.is_none() && !self.notified {
            self.tls.read_tls(&mut wire).unwrap();
            match self.tls.process_new_packets() {
                Ok(state) => self.notified |= state.peer_has_closed(),
                Err(error) => self.error = Some(error),
            }
            let mut plain = [0; 16 * 1024];
            while let Ok(count @ 1..) = self.tls.reader().read(&mut plain) {
                self.got.extend_from_slice(&plain[..count]);
            }
        }
    }

    /// The bare end, for what comes in clear.
    pub(crate) fn take_far(&mut self) -> Far {
        self.far.take().unwrap()
    }

    pub(crate) fn put_far(&mut self, far: Far) {
        self.far = Some(far);
    }

    /// FIN.
    pub(crate) fn close_write(&mut self) {
        self.send();
        assert!(self.out.is_empty(), "all is sent before FIN");
        self.far.as_mut().unwrap().close_write();
    }

    pub(crate) fn is_sent(&mut self) -> bool {
        self.encrypt();
        self.out.is_empty()
    }

    /// How many bytes for the wire the far end did not take yet.
    pub(crate) fn waiting(&mut self) -> usize {
        self.encrypt();
        self.out.len()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Until the handshake is over at this side.
    pub(crate) fn shake_hands(&mut self, world: &mut World) {
        world.until("the handshake", |_| {
            self.step();
            assert!(self.error.is_none() && self.ended.is_none(), "{:?}", self.error);
            !self.tls.is_handshaking() && self.is_sent()
        });
    }

    /// Until so many plain bytes have come.
    pub(crate) fn until_got(&mut self, world: &mut World, count: usize) {
        world.until("bytes", |_| {
            self.step();
            self.got.len() >= count
        });
    }

    /// Until the stream has ended.
    pub(crate) fn until_ended(&mut self, world: &mut World) {
        world.until("the end", |_| {
            self.step();
            self.has_ended()
        });
    }
}
