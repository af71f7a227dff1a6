//! TLS with a far end whose flights are damaged on their way.
//!
//! The far end is rustls alone. The bytes choose what it writes, and what happens to that: bits are flipped, pieces
//! are lost, doubled and put in, the stream is cut, it ends with close_notify or without. Whatever happens, the
//! protocol gets only what the far end has written, in order, and an end only if it was announced.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS12;
use rustls::{
    ClientConfig, ClientConnection, Connection, DEFAULT_VERSIONS, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};

use crate::testing::{Cut, Peer, Simulation};
use crate::{Connect, Listen, Protocol, Reason, Transport};

/// Made for this, and trusted by nobody else. It is valid until 4096.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBHTCB0KADAgECAhQC8AFZTqFkq4X78h6rukPqInVbqjAFBgMrZXAwITEfMB0G
A1UEAwwWcmNnZW4gc2VsZiBzaWduZWQgY2VydDAgFw03NTAxMDEwMDAwMDBaGA80
MDk2MDEwMTAwMDAwMFowITEfMB0GA1UEAwwWcmNnZW4gc2VsZiBzaWduZWQgY2Vy
dDAqMAUGAytlcAMhAJDBQQpFS2MMVuwZiDD/gG8GXdAQBvPMMVijHp1iGIzYoxgw
FjAUBgNVHREEDTALgglsb2NhbGhvc3QwBQYDK2VwA0EA7BwgiaMAB6eQ3gsV54M3
O4pfSeKjrwf342Or9hvBrrXGFzxDyDBJmCBkEUdIylkMF2TP1Ocwe0LXcQyOIV17
BQ==
-----END CERTIFICATE-----
";
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MFECAQEwBQYDK2VwBCIEIPbWIouuZOayioxqmaUzh6mpvTvmnOTTCpBOF8yBsCsm
gSEAkMFBCkVLYwxW7BmIMP+AbwZd0BAG88wxWKMenWIYjNg=
-----END PRIVATE KEY-----
";

/// At least this much time after the last byte the connection must be gone: the handshake's, the linger time, and
/// a close timeout.
const LONG: Duration = Duration::from_secs(60);

/// The far end takes at least so many bytes of an answer when it reads, if so many wait: half of a window.
const SMALLEST_TAKE: usize = 32 * 1024;

/// Begins TLS, in the scene that begins in clear.
const SWITCH: u8 = b'S';

type Configs = (Arc<ServerConfig>, Arc<ClientConfig>);

fn configs(versions: &[&'static SupportedProtocolVersion]) -> Configs {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).expect("a constant");
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a constant");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a constant");
    let server = ServerConfig::builder_with_protocol_versions(versions)
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a constant");
    let mut client = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled(); // each input for itself
    (server.into(), client.into())
}

/// The calls that the protocol got.
#[derive(Default)]
struct Seen {
    made: bool,
    data: Vec<u8>,
    ended: bool,
    lost: bool,
}

/// Sends back what it gets, and checks the order of the calls.
struct Checked {
    seen: Rc<RefCell<Seen>>,
    /// For the scene that begins in clear.
    config: Option<Arc<ServerConfig>>,
    /// Closes its half behind the first answer.
    closes_its_half: bool,
}

impl Protocol for Checked {
    fn connection_made(&mut self, _: &mut Transport<'_>) {
        let mut seen = self.seen.borrow_mut();
        assert!(!std::mem::replace(&mut seen.made, true));
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        let mut seen = self.seen.borrow_mut();
        assert!(seen.made && !seen.ended && !seen.lost && !data.is_empty());
        if transport.tls().is_some() {
            seen.data.extend_from_slice(data);
            transport.write(data);
            if self.closes_its_half {
                transport.lose_write_connection();
            }
            return;
        }
        match (&self.config, data) {
            (Some(config), [SWITCH, rest @ ..]) => {
                transport.unread(rest);
                assert!(transport.start_tls(Arc::clone(config)));
            }
            _ => transport.lose_connection(), // it was damaged
        }
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        let mut seen = self.seen.borrow_mut();
        assert!(!seen.lost && !std::mem::replace(&mut seen.ended, transport.tls().is_some()));
        transport.lose_connection();
    }

    fn connection_lost(&mut self, _: &mut Transport<'_>, reason: &Reason) {
        let mut seen = self.seen.borrow_mut();
        assert!(!matches!(reason, Reason::Failed { .. }), "nobody resets: {reason}");
        assert!(seen.made && !std::mem::replace(&mut seen.lost, true));
    }
}

/// The far end.
struct Far {
    tls: Connection,
    peer: Peer,
    /// The bytes on their way, which may be damaged.
    out: Vec<u8>,
    written: Vec<u8>,
    got: Vec<u8>,
    notified: bool,
    finished: bool,
}

impl Far {
    fn new(mut tls: Connection, peer: Peer) -> Self {
        tls.set_buffer_limit(None);
        let (out, written, got) = (Vec::new(), Vec::new(), Vec::new());
        Self { tls, peer, out, written, got, notified: false, finished: false }
    }

    fn write(&mut self, count: usize) {
        if self.tls.is_handshaking() || self.notified {
            return;
        }
        let from = self.written.len();
        let piece: Vec<u8> = (from..from + count).map(|at| (at * 7 % 251) as u8).collect();
        if self.tls.writer().write_all(&piece).is_ok() {
            self.written.extend_from_slice(&piece);
        }
    }

    fn encrypt(&mut self) {
        while self.tls.wants_write() && self.tls.write_tls(&mut self.out).is_ok() {}
    }

    fn send(&mut self, most: usize) {
        self.encrypt();
        if !self.finished {
            let count = self.peer.send(&self.out[..self.out.len().min(most)]);
            self.out.drain(..count);
        }
    }

    fn read(&mut self) {
        let bytes = self.peer.received();
        let mut wire = bytes.as_slice();
        while !wire.is_empty() {
            let read = self.tls.read_tls(&mut wire);
            if !matches!(read, Ok(1..)) || self.tls.process_new_packets().is_err() {
                break; // its alert goes out with the rest
            }
            let mut plain = [0; 4096];
            while let Ok(count @ 1..) = self.tls.reader().read(&mut plain) {
                self.got.extend_from_slice(&plain[..count]);
            }
        }
    }

    /// Damages what is on its way; `false` if nothing is.
    fn damage(&mut self, how: u8, argument: u8) {
        self.encrypt();
        if self.out.is_empty() {
            return;
        }
        let at = usize::from(argument) * 7 % self.out.len();
        let end = (at + 1 + usize::from(argument % 40)).min(self.out.len());
        match how {
            0 => self.out[at] ^= 1 << (argument % 8),
            1 => drop(self.out.drain(at..end)),
            2 => {
                let twice = self.out[at..end].to_vec();
                drop(self.out.splice(at..at, twice));
            }
            _ => drop(self.out.splice(at..at, [22, 3, 3, 0, argument, argument])),
        }
    }
}

/// Plays TLS with damaged flights, as a server, as a client, or as a server that begins in clear.
pub fn flights(data: &[u8]) {
    let [scene, network, steps @ ..] = data else { return };
    let mut simulation = Simulation::new();
    simulation.set_cut(match network % 4 {
        0 => Cut::Whole,
        1 => Cut::Every(1 + usize::from(network / 4)),
        _ => Cut::Random(1 + usize::from(network / 4)),
    });
    let seen = Rc::new(RefCell::new(Seen::default()));
    let mut far = begin(&mut simulation, *scene, &seen);
    if scene & 8 != 0 {
        for _ in 0..4 {
            far.send(usize::MAX);
            simulation.settle();
            far.read();
        }
    }
    for pair in steps.chunks_exact(2) {
        step(&mut simulation, &mut far, pair[0] % 8, pair[1]);
        check(&far, &seen.borrow());
    }
    far.send(usize::MAX);
    if !far.finished {
        far.peer.close_write();
    }
    // A protocol that is paused, since its peer does not read, sees the end behind what it has not read yet: so
    // the far end reads, a window full at a time.
    for _ in 0..=far.written.len() / SMALLEST_TAKE {
        far.read();
        simulation.advance(LONG);
    }
    far.read();
    simulation.advance(LONG);
    check(&far, &seen.borrow());
    assert!(simulation.reactor().connections().is_empty(), "it does not end");
    assert_eq!(seen.borrow().made, seen.borrow().lost);
}

fn begin(simulation: &mut Simulation, scene: u8, seen: &Rc<RefCell<Seen>>) -> Far {
    static OLD: OnceLock<Configs> = OnceLock::new();
    static NEW: OnceLock<Configs> = OnceLock::new();
    let (server, client) = match scene & 4 {
        0 => NEW.get_or_init(|| configs(DEFAULT_VERSIONS)),
        _ => OLD.get_or_init(|| configs(&[&TLS12])),
    };
    let name = ServerName::try_from("localhost").expect("a constant");
    let of_client =
        || ClientConnection::new(Arc::clone(client), name.clone()).expect("a constant").into();
    // rustls panics with debug assertions if it has an alert to send behind close_notify (rustls#959), and a fuzzer
    // takes each panic for a fault, even one that is caught: so only without them, by `cargo fuzz run -O`.
    let closes_its_half = scene & 16 != 0 && !cfg!(all(fuzzing, debug_assertions));
    let checked = |config| Checked { seen: Rc::clone(seen), config, closes_its_half };
    match scene % 4 {
        0 | 1 => {
            let mut protocol = Some(checked(None));
            let place = Listen::at("127.0.0.1:443").tls(Arc::clone(server));
            let listening = simulation.reactor().listen(place, move |_| protocol.take());
            listening.expect("nobody else listens");
            Far::new(of_client(), simulation.dial("127.0.0.1:443"))
        }
        2 => {
            let mut listener = simulation.listen("192.0.2.1:443").expect("nobody else listens");
            let mut protocol = Some(checked(None));
            let place = Connect::to("192.0.2.1:443").tls(Arc::clone(client), Some(name));
            simulation.reactor().connect(place, move |_| protocol.take());
            simulation.settle();
            let peer = listener.accept().expect("it connects at once");
            let tls = ServerConnection::new(Arc::clone(server)).expect("a constant");
            Far::new(tls.into(), peer)
        }
        _ => {
            let peer = simulation.connect(checked(Some(Arc::clone(server))));
            let mut far = Far::new(of_client(), peer);
            far.out.push(SWITCH);
            far
        }
    }
}

fn step(simulation: &mut Simulation, far: &mut Far, command: u8, argument: u8) {
    match command {
        0 => far.write(1 + usize::from(argument) * 100),
        1 => far.send(1 + usize::from(argument) * 3),
        2..=4 => {
            far.send(usize::MAX);
            simulation.settle();
            far.read();
        }
        5 => far.damage(argument % 4, argument / 4),
        6 => simulation.advance(Duration::from_millis(u64::from(argument) * 20)),
        _ => match argument % 8 {
            0 | 1 => {
                far.tls.send_close_notify();
                far.notified = true;
            }
            2 if !far.finished => {
                far.peer.close_write();
                far.finished = true;
            }
            3 | 4 => drop(far.tls.refresh_traffic_keys()), // fails before the end of the handshake
            _ => drop(simulation.turn()),
        },
    }
}

fn check(far: &Far, seen: &Seen) {
    assert!(far.written.starts_with(&seen.data), "something else than was written");
    assert!(seen.data.starts_with(&far.got), "the answer is another");
    if seen.ended {
        assert!(far.notified, "an end that nobody announced");
        assert!(seen.data == far.written, "{} of {}", seen.data.len(), far.written.len());
    }
}
