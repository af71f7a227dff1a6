//! The outcome of a handshake.

use rustls::pki_types::CertificateDer;
use rustls::{Connection, HandshakeKind, ProtocolVersion, SupportedCipherSuite};

/// The outcome of a TLS handshake, from [`Transport::tls`](crate::Transport::tls), and for
/// [`Factory::build_tls_protocol`](crate::Factory::build_tls_protocol).
///
/// # Examples
///
/// ```
/// use crocus::{Protocol, Transport};
///
/// struct Session;
///
/// impl Protocol for Session {
///     fn connection_made(&mut self, transport: &mut Transport) {
///         let Some(tls) = transport.tls() else { return }; // not encrypted
///         println!("{:?}, {:?}", tls.version(), tls.cipher_suite());
///         println!("speaks {:?}", tls.alpn_protocol().map(String::from_utf8_lossy));
///         println!("called {:?}", tls.server_name());
///         println!("{} certificates", tls.peer_certificates().len());
///         println!("resumed: {}", tls.is_resumed());
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TlsInfo {
    version: Option<ProtocolVersion>,
    cipher_suite: Option<SupportedCipherSuite>,
    alpn: Option<Vec<u8>>,
    server_name: Option<String>,
    certificates: Vec<CertificateDer<'static>>,
    resumed: bool,
}

impl TlsInfo {
    pub(super) fn of(connection: &Connection, asked_for: Option<&str>) -> Self {
        let name = match connection {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => asked_for,
        };
        Self {
            version: connection.protocol_version(),
            cipher_suite: connection.negotiated_cipher_suite(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            server_name: name.map(str::to_owned),
            certificates: connection.peer_certificates().unwrap_or_default().to_vec(),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// The version of TLS.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// The cipher suite.
    pub fn cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.cipher_suite
    }

    /// The protocol that both sides have chosen by ALPN, as `b"h2"`; `None` if one of them offered none.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The name of the server that the client has asked for (SNI, at the server's side).
    ///
    /// `None` if it has asked for none, as a client does that connects to an IP address.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The certificates of the peer, its own first; empty if it has shown none.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Whether an earlier session was resumed.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }
}
