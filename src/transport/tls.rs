//! TLS: what was agreed on, and how it begins in the middle of a connection.

use super::Transport;
use crate::connection::Connection;
use crate::tls::{Role, TlsInfo};

/// # TLS
impl Transport<'_> {
    /// The outcome of the handshake of TLS; `None` if the connection is not encrypted, or not yet.
    ///
    /// It is there from `connection_made` on, if the listener or the connector has a config, and else after the
    /// handshake of [`start_tls`](Self::start_tls). See the example of [`TlsInfo`].
    ///
    /// Needs the feature `tls`.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.connection().and_then(Connection::tls)
    }

    /// Whether what is delivered now came encrypted: the handshake of TLS is over.
    ///
    /// As [`tls`](Self::tls), but costs nothing. Needs the feature `tls`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::{Protocol, Transport};
    /// struct Login;
    ///
    /// impl Protocol for Login {
    ///     fn data_received(&mut self, transport: &mut Transport, password: &[u8]) {
    ///         if !transport.is_encrypted() {
    ///             transport.write(b"not in clear, please\n");
    ///             transport.lose_connection();
    ///         }
    ///     }
    /// }
    /// ```
    pub fn is_encrypted(&self) -> bool {
        self.connection().is_some_and(Connection::is_encrypted)
    }

    /// Whether a handshake of TLS goes on. Until it is over nothing is delivered, and what is written waits.
    ///
    /// `false` in `connection_made` and after it, unless the protocol itself begins TLS.
    ///
    /// Needs the feature `tls`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use crocus::{Protocol, Transport};
    /// # use crocus::tls::rustls::ServerConfig;
    /// struct Mail(Arc<ServerConfig>);
    ///
    /// impl Protocol for Mail {
    ///     fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
    ///         if transport.start_tls(Arc::clone(&self.0)) {
    ///             assert!(transport.is_handshaking() && !transport.is_encrypted());
    ///         }
    ///     }
    /// }
    /// ```
    pub fn is_handshaking(&self) -> bool {
        self.connection().is_some_and(Connection::is_handshaking)
    }

    /// Encrypts the connection from here on, as a server or a client: STARTTLS.
    ///
    /// Bytes that were written before leave in clear. Those written from here on wait for the handshake, and
    /// leave encrypted. Until the handshake is over nothing is delivered, and [`is_reading`](Self::is_reading)
    /// is `false`; then `data_received` gets what came encrypted. If another protocol is to take over by
    /// [`set_protocol`](Self::set_protocol), it gets its `connection_made` after the handshake.
    ///
    /// Bytes that came along behind the command are the first of TLS or an attack, and never data. So a
    /// protocol [puts them back](Self::unread), before or after this call: all that is put back until the
    /// handshake is over goes to TLS, which takes a ClientHello and refuses anything else. A
    /// [`Framed`](crate::framing::Framed) does this by itself, and in a task `futures::Connection::start_tls`.
    ///
    /// The handshake has [10 seconds](crate::tls::HANDSHAKE_TIMEOUT). If it fails, the connection ends with
    /// [`Reason::Tls`](crate::Reason::Tls).
    ///
    /// Returns `false`, without effect, if the connection is encrypted already or ending, or if either side has
    /// closed its half; and if rustls does not take the config, which also closes the connection.
    ///
    /// Needs the feature `tls`. Twisted's `startTLS`, asyncio's `loop.start_tls`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use crocus::framing::{FrameHandler, Lines};
    /// use crocus::tls::rustls::ServerConfig;
    /// use crocus::{Protocol, Transport};
    ///
    /// struct Mail {
    ///     tls: Arc<ServerConfig>,
    /// }
    ///
    /// impl Protocol for Mail {}
    ///
    /// impl FrameHandler<Lines> for Mail {
    ///     fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
    ///         match line {
    ///             b"STARTTLS" if transport.tls().is_none() => {
    ///                 transport.write(b"220 go ahead\r\n"); // in clear
    ///                 transport.start_tls(Arc::clone(&self.tls));
    ///             }
    ///             _ => drop(transport.write(b"250 ok\r\n")),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn start_tls(&mut self, role: impl Into<Role>) -> bool {
        self.reactor.start_tls(self.id, &role.into())
    }

    /// Whether an end of the stream without close_notify counts as the peer's end, so that `eof_received` is
    /// told; `false` at first.
    ///
    /// This is for a protocol whose own framing tells whether all has come, as that of HTTP with a length: many
    /// peers close without a close_notify. Without it the connection is lost, as
    /// [truncated](crate::tls::Fault::Truncated).
    ///
    /// It stays when another protocol [takes over](Self::set_protocol), as the other settings of a connection: one
    /// whose framing does not tell takes it back.
    ///
    /// Returns `false`, without effect, if TLS has not begun.
    ///
    /// Needs the feature `tls`.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Protocol, Transport};
    ///
    /// struct Counted {
    ///     left: usize,
    /// }
    ///
    /// impl Protocol for Counted {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.allow_truncation(true);
    ///     }
    ///
    ///     fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
    ///         self.left -= data.len();
    ///     }
    ///
    ///     fn eof_received(&mut self, transport: &mut Transport) {
    ///         println!("{}", if self.left == 0 { "complete" } else { "cut off" });
    ///         transport.lose_connection();
    ///     }
    /// }
    /// ```
    pub fn allow_truncation(&mut self, allowed: bool) -> bool {
        self.reactor.allow_truncation(self.id, allowed)
    }
}
