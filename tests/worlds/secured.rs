//! Connections over TLS: which of them are, with which key material, and how those that begin in clear switch.
//!
//! Lengths are the same each time, so that a seed gives the same history: the key is one of Ed25519, whose
//! signatures all have one length, and the certificate has a fixed serial number. Each world remembers its own
//! sessions, to be resumed.

use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crocus::tls::rustls::client::Resumption;
use crocus::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use crocus::tls::rustls::server::ServerSessionMemoryCache;
use crocus::tls::rustls::version::{TLS12, TLS13};
use crocus::tls::rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use crocus::tls::{Fault, HANDSHAKE_TIMEOUT, Phase, Role, TlsError};
use crocus::{ConnectionId, Reason, Transport};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

use crate::actors::Scene;
use crate::ledger::{Call, Ledger};

/// The port whose connections begin in clear.
pub const BEGINS_IN_CLEAR: u16 = 5003;

/// How many bytes of TLS's own may wait beside those of a protocol: a flight of the handshake, tickets, an alert.
pub const OWN: usize = 2048;

/// The longest record, with its header and what encryption adds.
pub const RECORD: usize = 16 * 1024 + 256;

/// One world of so many speaks TLS 1.2.
const OLD: u64 = 3;

/// How many sessions a server of a world remembers.
const SESSIONS: usize = 64;

/// How a connection comes to be encrypted, as one of its ends knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Line {
    /// It stays in clear.
    #[default]
    Clear,
    /// It begins in clear.
    Begins(Side),
    /// `start_tls` was called, and the handshake is not known to be over.
    Handshaking,
    Secure,
}

/// The side that one takes in TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Client,
    Server,
}

/// How many bytes go in clear before TLS begins: the client's, and the server's answer to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Switch {
    pub command: usize,
    pub answer: usize,
}

impl Switch {
    /// Of the connection of this client. Without an answer the ClientHello comes in the segment of the command.
    pub fn of(client: usize) -> Self {
        let answer = if client.is_multiple_of(3) { 0 } else { 1 + client * 17 % 60 };
        Self { command: 4 + client * 29 % 80, answer }
    }

    /// How many bytes in clear a side sends, and how many it gets.
    pub fn of_side(self, side: Side) -> (usize, usize) {
        match side {
            Side::Client => (self.command, self.answer),
            Side::Server => (self.answer, self.command),
        }
    }
}

/// The configs of one world.
pub struct Secrets {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// Trusts nobody.
    distrustful: Arc<ClientConfig>,
}

/// A certificate for `localhost`, and its key.
fn material() -> &'static (CertificateDer<'static>, Vec<u8>) {
    static MATERIAL: OnceLock<(CertificateDer<'static>, Vec<u8>)> = OnceLock::new();
    MATERIAL.get_or_init(|| {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.serial_number = Some(1u64.into());
        let made = params.self_signed(&key).unwrap();
        (made.der().clone(), key.serialize_der())
    })
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

fn client(
    version: &'static SupportedProtocolVersion,
    trusted: Option<&CertificateDer<'static>>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if let Some(certificate) = trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config
}

impl Secrets {
    pub fn new(seed: u64) -> Self {
        let version = if seed.is_multiple_of(OLD) { &TLS12 } else { &TLS13 };
        let (certificate, key) = material();
        let key = PrivateKeyDer::try_from(key.clone()).unwrap();
        let mut server = ServerConfig::builder_with_protocol_versions(&[version])
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        server.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        Self {
            server: server.into(),
            client: client(version, Some(certificate)).into(),
            distrustful: client(version, None).into(),
        }
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For a connector, which may trust nobody.
    pub fn client(&self, trusts: bool) -> (Arc<ClientConfig>, ServerName<'static>) {
        (Arc::clone(if trusts { &self.client } else { &self.distrustful }), name())
    }

    fn role(&self, side: Side) -> Role {
        match side {
            Side::Server => self.server().into(),
            Side::Client => self.client(true).into(),
        }
    }

    /// For a far end, which has rustls alone.
    pub fn connection(&self, side: Side) -> Connection {
        match side {
            Side::Server => ServerConnection::new(self.server()).unwrap().into(),
            Side::Client => ClientConnection::new(Arc::clone(&self.client), name()).unwrap().into(),
        }
    }
}

impl Scene {
    /// The configs, if connections to that place are encrypted from their first byte.
    pub fn secrets_for(&self, port: Option<u16>) -> Option<&Secrets> {
        self.secrets.as_ref().filter(|_| port != Some(BEGINS_IN_CLEAR))
    }

    /// How a new connection with that place begins, for the end that takes this side.
    pub fn line(&self, port: Option<u16>, side: Side) -> Line {
        match (&self.secrets, port) {
            (None, _) => Line::Clear,
            (Some(_), Some(BEGINS_IN_CLEAR)) => Line::Begins(side),
            (Some(_), _) => Line::Secure,
        }
    }

    pub fn is_in_clear(&self, who: usize) -> bool {
        matches!(self.ledger.borrow().parties[who].line, Line::Begins(_))
    }

    /// How much of `size` may be written now: in clear only what belongs there.
    pub fn writable(&self, who: usize, size: usize) -> usize {
        let ledger = self.ledger.borrow();
        match ledger.switch_of(who) {
            Some((side, switch)) => {
                size.min(switch.of_side(side).0.saturating_sub(ledger.parties[who].sent))
            }
            None if matches!(ledger.parties[who].line, Line::Begins(_)) => 0, // it knows nobody yet
            None => size,
        }
    }

    /// How many of `count` bytes that have come are those in clear. The rest is the first of TLS.
    pub fn in_clear(&self, who: usize, count: usize) -> usize {
        let ledger = self.ledger.borrow();
        match ledger.switch_of(who) {
            Some((side, switch)) => {
                count.min(switch.of_side(side).1.saturating_sub(ledger.parties[who].got))
            }
            None => count,
        }
    }

    /// Sends what is due in clear, and begins TLS behind it.
    pub fn switch_if_due(self: &Rc<Self>, transport: &mut Transport, who: usize) {
        let Some((side, switch)) = self.ledger.borrow().switch_of(who) else { return };
        let (sends, gets) = switch.of_side(side);
        let (sent, got) =
            (self.ledger.borrow().parties[who].sent, self.ledger.borrow().parties[who].got);
        let asked = side == Side::Client || got == gets;
        let left = sends.saturating_sub(sent);
        if asked && left > 0 && !self.write(transport, who, left) {
            return;
        }
        if got < gets || !asked {
            return;
        }
        let Some(secrets) = &self.secrets else { return };
        let begun = transport.start_tls(secrets.role(side));
        let mut ledger = self.ledger.borrow_mut();
        let party = &mut ledger.parties[who];
        let possible =
            !transport.is_closing() && !party.eof && !party.ever_eof && !party.write_closed;
        if begun {
            (party.line, party.began) = (Line::Handshaking, Some(self.clock.now()));
        }
        // The peer's end may have come, and not be told yet.
        ledger.demand(!begun || possible, || format!("{who} began TLS though it had ended"));
        drop(ledger);
        if !begun {
            self.lose(transport, who);
        }
    }

    /// Lets the end of the stream count as the peer's.
    pub fn allow_truncation(&self, transport: &mut Transport, who: usize) {
        let closing = transport.is_closing();
        let allowed = transport.allow_truncation(true);
        let mut ledger = self.ledger.borrow_mut();
        let begun = matches!(ledger.parties[who].line, Line::Handshaking | Line::Secure);
        ledger.parties[who].allows_truncation |= allowed;
        ledger
            .demand(allowed == begun || closing, || format!("{who} allows truncation: {allowed}"));
    }
}

impl Ledger {
    /// The side of one that begins in clear, and how much goes in clear, once it knows the other side.
    fn switch_of(&self, who: usize) -> Option<(Side, Switch)> {
        let party = &self.parties[who];
        let Line::Begins(side) = party.line else { return None };
        let client = if side == Side::Client { who } else { party.other_side? };
        Some((side, Switch::of(client)))
    }

    /// A protocol is told something, and sees whether that is encrypted.
    pub fn sees_line(&mut self, who: usize, call: Call, encrypted: bool) {
        let party = &mut self.parties[who];
        if encrypted && party.line == Line::Handshaking {
            party.line = Line::Secure;
        }
        let line = party.line;
        let right = match line {
            Line::Clear | Line::Begins(_) => !encrypted,
            Line::Handshaking => !matches!(call, Call::Data | Call::Eof | Call::Made),
            Line::Secure => encrypted,
        };
        self.demand(right, || format!("{who} was told {call:?}, encrypted: {encrypted}, {line:?}"));
    }

    /// Whether `who` may be lost by a failure of TLS.
    pub fn deserves_failure(&self, who: usize, error: &TlsError, shutting_down: bool) -> bool {
        let party = &self.parties[who];
        let other = party.other_side.map(|other_side| &self.parties[other_side]);
        let open = error.phase() == Phase::Open;
        let phase = if open { Line::Secure } else { Line::Handshaking };
        let fits = party.line == phase;
        fits && match error.fault() {
            // All that had come whole was told before.
            Fault::Truncated => {
                let allowed = open && party.allows_truncation;
                let all = |whole| !open || party.closing.is_some() || !party.lacks(whole);
                !allowed
                    && other.is_none_or(|other| {
                        other.may_be_cut() && (other.is_protocol || all(other.whole))
                    })
            }
            Fault::TimedOut => {
                !open
                    && (shutting_down
                        || party.began.is_some_and(|began| {
                            self.turn_began.is_none_or(|now| now >= began + HANDSHAKE_TIMEOUT)
                        }))
            }
            Fault::Tls(_) => other.is_none_or(|other| other.spoiled),
            _ => false,
        }
    }

    /// Whether the other side of `who` may have said its end along with its last bytes, so that `who` could close
    /// before it was told.
    pub fn may_have_ended(&self, who: usize) -> bool {
        let party = &self.parties[who];
        let Some(other_side) = party.other_side.filter(|_| party.line == Line::Secure) else {
            return false;
        };
        let other = &self.parties[other_side];
        party.asked_to_close
            && match other.is_protocol {
                true => other.write_closed || other.closing.is_some(),
                false => other.notified,
            }
    }

    /// A connection closes. If nobody has asked for that, TLS has failed, and its protocol hears of it at the end.
    pub fn tls_may_have_failed(&mut self, id: ConnectionId, at: Instant) {
        let Some(&who) = self.ids.get(&id) else { return };
        let party = &self.parties[who];
        if self.is_inside() || party.closing.is_some() || !party.uses_tls() {
            return;
        }
        let other = party.other_side.map(|other_side| &self.parties[other_side]);
        // All that came before was told before.
        let all = |sent| party.line != Line::Secure || !party.lacks(sent);
        let deserved = other.is_none_or(|other| other.spoiled && all(other.sent));
        self.demand(deserved, || format!("{who} closes, and nobody knows why"));
        self.close(who, at);
    }

    /// The peer of `who` has closed without close_notify.
    pub fn received_truncation(&mut self, who: usize) {
        let Some(other_side) = self.parties[who].other_side else { return };
        let cut = self.parties[other_side].may_be_cut();
        self.demand(cut, || format!("{who} was sent no close_notify by {other_side}"));
    }
}

impl crate::ledger::Party {
    /// Whether its end may come without close_notify.
    fn may_be_cut(&self) -> bool {
        match &self.lost {
            _ if !self.is_protocol => !self.notified,
            Some(loss) => !loss.orderly || self.line != Line::Secure,
            None => self.line != Line::Secure,
        }
    }

    pub fn uses_tls(&self) -> bool {
        self.line != Line::Clear
    }
}

/// The error of TLS, if that is the reason.
pub fn failure(reason: &Reason) -> Option<&TlsError> {
    match reason {
        Reason::Tls { error } => Some(error),
        _ => None,
    }
}
