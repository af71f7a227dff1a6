//! The stage before a connection is announced: what a handshake agrees on, and all the ways in which it fails.

use std::sync::Arc;
use std::time::Duration;

use crocus::testing::{Cut, Simulation};
use crocus::tls::rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use crocus::tls::rustls::pki_types::ServerName;
use crocus::tls::rustls::server::{ClientHello, ResolvesServerCert};
use crocus::tls::rustls::sign::CertifiedKey;
use crocus::tls::rustls::{CertificateError, Error, NamedGroup, ProtocolVersion, ServerConfig};
use crocus::tls::{Fault, HANDSHAKE_TIMEOUT, Phase, TlsInfo};
use crocus::{Address, Connect, Connector, Factory, Listen, Protocol, Reason, Transport, Who};

use crate::certificates::{Configs, VERSIONS, distrustful, long_chain};
use crate::far::TlsFar;
use crate::hasty;
use crate::util::{Log, MS, Recorder, RecordingClient, SECOND, World};

/// The text of a reason of TLS.
pub(crate) fn fault(reason: &Reason) -> String {
    match reason {
        Reason::Tls { error } => format!("{:?} {:?}", error.phase(), error.fault()),
        other => format!("{other:?}"),
    }
}

/// Makes recorders, and writes down what it is told of TLS.
struct Watching {
    log: Log,
    name: &'static str,
}

impl Factory for Watching {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        self.log.push("built in clear");
        None
    }

    fn build_tls_protocol(&mut self, _: Address, tls: &TlsInfo) -> Option<Box<dyn Protocol>> {
        let alpn = tls.alpn_protocol().map(String::from_utf8_lossy);
        let (alpn, name) = (alpn.unwrap_or_default(), tls.server_name().unwrap_or_default());
        self.log.push(format!("{} built for {alpn} at {name}", self.name));
        Some(Box::new(Recorder::new(&self.log, self.name).with_data().echoing()))
    }

    fn connection_failed(&mut self, _: &mut Connector, reason: &Reason) {
        self.log.push(format!("{} failed {}", self.name, fault(reason)));
    }

    fn connection_lost(&mut self, _: &mut Connector, reason: &Reason) {
        self.log.push(format!("{} owner lost {}", self.name, fault(reason)));
    }
}

fn served(world: &mut World, log: &Log, configs: &Configs) -> std::net::SocketAddr {
    let place = Listen::at("127.0.0.1:0").tls(Arc::clone(&configs.server));
    let factory = Watching { log: log.clone(), name: "s" };
    let listener = world.reactor().listen(place, factory).unwrap();
    world.reactor().local_addr(listener).unwrap().socket_addr().unwrap()
}

both! {
    fn the_factory_sees_alpn_and_the_name_before_the_protocol_is_made(world) {
        for version in VERSIONS {
            let mut configs = Configs::with_alpn(&["h2", "http/1.1"]);
            configs.server = {
                let mut server = (*configs.server).clone();
                server.alpn_protocols = vec![b"http/1.1".to_vec()];
                server.into()
            };
            let log = Log::new();
            let addr = served(world, &log, &configs);
            let name = ServerName::try_from("example.org").unwrap();
            let to = Connect::to(addr).tls(Arc::clone(&configs.client), Some(name));
            let client = Watching { log: log.clone(), name: "c" };
            let id = world.reactor().connect(to, client);
            world.until("both", |_| log.has("s made") && log.has("c made"));
            let lines = log.take();
            for side in ["c", "s"] {
                let of_side = lines.iter().filter(|line| line.starts_with(side));
                let of_side: Vec<_> = of_side.map(|line| &line[2..]).collect();
                assert_eq!(of_side, ["built for http/1.1 at example.org", "made"], "{version:?}");
            }
            assert!(world.reactor().connection_of(id).is_some());
            for id in world.reactor().connections() {
                let tls = world.reactor().transport(id).unwrap().tls().unwrap();
                assert!(tls.version().is_some() && tls.cipher_suite().is_some());
            }
            world.reactor().disconnect(id);
            world.until("the end", |_| log.has("c lost Closed") && log.has("s lost PeerClosed"));
        }
    }
}

both! {
    fn bytes_go_both_ways_in_each_version(world) {
        for (version, text) in VERSIONS.iter().zip([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3]) {
            let configs = Configs::of(&[version]);
            let log = Log::new();
            let addr = served(world, &log, &configs);
            let mut far = TlsFar::client(world.dial(addr), &configs.client);
            far.write(b"hello");
            far.until_got(world, 5);
            assert_eq!(far.got, b"hello");
            assert_eq!(far.tls.protocol_version(), Some(text));
            far.notify();
            far.until_ended(world);
            assert!(far.notified && far.ended == Some(Ok(())));
            world.until("the loss", |_| log.has("s lost PeerClosed"));
        }
    }
}

both! {
    fn a_client_that_does_not_trust_the_server_hears_it(world) {
        let configs = Configs::new();
        let log = Log::new();
        let addr = served(world, &log, &configs);
        let to = Connect::to(addr).tls(distrustful(), None);
        let client = Watching { log: log.clone(), name: "c" };
        world.reactor().connect(to, client);
        world.until("the failure", |_| log.count("c failed") == 1);
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(log.take(), [format!("c failed Handshake {:?}", Fault::Tls(unknown))]);
        world.until("the end", |world| world.reactor().stats().closed == 2);
        assert_eq!(log.len(), 0, "no protocol was made");
        assert_eq!(world.reactor().stats().connected, 0);
    }
}

both! {
    fn a_client_whose_certificate_is_refused_hears_it_behind_its_handshake(world) {
        let (log, configs) = (Log::new(), Configs::mutual());
        let addr = served(world, &log, &configs);
        let without = Configs::client_of(&configs.authority_pem);
        world.reactor().connect(
            Connect::to(addr).tls(without, None),
            Watching { log: log.clone(), name: "c" },
        );
        world.until("the loss", |_| log.count("c owner lost") == 1);
        let lines = log.take();
        assert!(lines[0].starts_with("c built") && lines[1] == "c made", "{lines:?}");
        assert_eq!(lines[3], "c owner lost Open Tls(AlertReceived(CertificateRequired))");
        assert_eq!(lines.len(), 4, "the server has made no protocol: {lines:?}");
    }
}

/// Certificates for every name but one, which shows a bug.
#[derive(Debug)]
struct Buggy(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Buggy {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        assert!(hello.server_name() != Some("example.org"), "a bug");
        self.0.resolve(hello)
    }
}

fn with_a_bug() -> Configs {
    let mut configs = Configs::new();
    let mut server = (*configs.server).clone();
    server.cert_resolver = Arc::new(Buggy(server.cert_resolver));
    configs.server = server.into();
    configs
}

#[test]
fn a_bug_of_a_config_stays_in_its_connection() {
    let mut world = World::real();
    let (log, configs) = (Log::new(), with_a_bug());
    let addr = served(&mut world, &log, &configs);
    let to = |name| {
        let name = ServerName::try_from(name).unwrap();
        Connect::to(addr).tls(Arc::clone(&configs.client), Some(name))
    };
    world.reactor().connect(to("example.org"), Watching { log: log.clone(), name: "c" });
    world.until("the failure", |_| log.count("c failed") == 1);
    world.until("its end", |world| world.reactor().stats().closed == 2);
    assert_eq!((log.len(), world.reactor().stats().panics), (1, 1));
    world.reactor().connect(to("localhost"), Watching { log: log.clone(), name: "c" });
    world.until("another", |_| log.has("s made") && log.has("c made"));
}

/// Panics when it is dropped.
#[derive(Debug)]
struct Armed(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Armed {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.resolve(hello)
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        panic!("a bug");
    }
}

/// A listener is the last to have it, also if its last connection ends after it.
#[test]
fn a_config_that_panics_when_dropped_is_contained() {
    let mut world = World::real();
    for served_meanwhile in [false, true] {
        let (log, configs) = (Log::new(), Configs::new());
        let mut server = (*configs.server).clone();
        server.cert_resolver = Arc::new(Armed(server.cert_resolver));
        let place = Listen::at("127.0.0.1:0").tls(server);
        let factory = Watching { log: log.clone(), name: "s" };
        let listener = world.reactor().listen(place, factory).unwrap();
        let addr = world.reactor().local_addr(listener).unwrap().socket_addr().unwrap();
        let far = served_meanwhile.then(|| TlsFar::client(world.dial(addr), &configs.client));
        if let Some(mut far) = far {
            far.write(b"x");
            far.until_got(&mut world, 1);
            world.reactor().stop_listening(listener);
            far.notify();
            far.until_ended(&mut world);
        }
        world.reactor().stop_listening(listener);
        let panics = 1 + u64::from(served_meanwhile);
        world.until("the drop", |world| world.reactor().stats().panics == panics);
    }
}

/// An error that panics when it is dropped.
#[derive(Debug)]
struct ArmedError;

impl std::fmt::Display for ArmedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a bug")
    }
}

impl std::error::Error for ArmedError {}

impl Drop for ArmedError {
    fn drop(&mut self) {
        panic!("a bug");
    }
}

/// A connection is the last to have both, and another reason takes the place of the error.
#[test]
fn a_config_and_a_reason_may_both_panic_when_dropped() {
    struct Encrypts(Option<Arc<ServerConfig>>);

    impl Protocol for Encrypts {
        fn connection_made(&mut self, transport: &mut Transport) {
            let config = self.0.take().unwrap();
            assert!(transport.start_tls(config));
            transport.lose_connection_because(Reason::protocol(ArmedError));
            transport.abort_connection();
        }
    }

    let mut server = (*Configs::new().server).clone();
    server.cert_resolver = Arc::new(Armed(server.cert_resolver));
    let (mut world, mut config) = (World::real(), Some(Arc::new(server)));
    let (_, addr) = world.listen(move |_: Address| Encrypts(config.take()));
    let _far = world.dial(addr);
    world.until("the drops", |world| world.reactor().stats().panics == 2);
}

/// Keeps no session, and shows a bug when it is asked for one: at the beginning of a handshake.
#[derive(Debug)]
struct Forgetful;

impl ClientSessionStore for Forgetful {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        panic!("a bug")
    }
}

/// Before its first byte, too.
#[test]
fn a_bug_of_a_client_config_is_one_failure() {
    let mut world = World::real();
    let (log, configs) = (Log::new(), Configs::new());
    let addr = served(&mut world, &log, &configs);
    let mut buggy = (*configs.client).clone();
    buggy.resumption = Resumption::store(Arc::new(Forgetful));
    let client = || Watching { log: log.clone(), name: "c" };
    world.reactor().connect(Connect::to(addr).tls(buggy, None), client());
    world.until("the failure", |_| log.has("c failed Panicked { callback: TlsConfig }"));
    world.until("its end", |world| world.reactor().stats().closed == 1);
    assert_eq!((log.len(), world.reactor().stats().panics), (1, 1));
    world.reactor().connect(Connect::to(addr).tls(Arc::clone(&configs.client), None), client());
    world.until("another", |_| log.has("s made") && log.has("c made"));
}

/// The connection ends in the turn in which it was accepted.
#[test]
fn a_bug_of_a_server_config_stays_in_its_connection() {
    let mut world = World::real();
    let (log, configs) = (Log::new(), hasty::configs());
    let addr = served(&mut world, &log, &configs);
    let client = || Watching { log: log.clone(), name: "c" };
    let to = || Connect::to(addr).tls(Arc::clone(&configs.client), None);
    world.reactor().connect(to(), client());
    world.until("the failure", |_| log.count("c failed") == 1);
    let stats = world.reactor().stats();
    assert_eq!((log.len(), stats.panics, stats.turned_away), (1, 1, 1));
    world.reactor().connect(to(), client());
    world.until("another", |_| log.has("s made") && log.has("c made"));
}

#[test]
#[should_panic(expected = "a bug")]
fn a_bug_of_a_config_fails_a_simulated_test() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), with_a_bug());
    let addr = served(&mut world, &log, &configs);
    let name = ServerName::try_from("example.org").unwrap();
    let to = Connect::to(addr).tls(Arc::clone(&configs.client), Some(name));
    world.reactor().connect(to, Watching { log: log.clone(), name: "c" });
    world.pass(SECOND);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let mut world = World::simulated();
    let configs = Configs::new();
    let log = Log::new();
    let addr = served(&mut world, &log, &configs);
    let name = ServerName::try_from("example.com").unwrap();
    let to = Connect::to(addr).tls(Arc::clone(&configs.client), Some(name));
    world.reactor().connect(to, Watching { log: log.clone(), name: "c" });
    world.pass(SECOND);
    let lines = log.take();
    assert!(lines[0].starts_with("c failed Handshake Tls(InvalidCertificate(NotValidForName"));
    assert_eq!(lines.len(), 1);
}

#[test]
fn a_unix_endpoint_needs_a_name_and_says_so() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), Configs::new());
    let listen = Listen::at("unix:/run/tls.sock").tls(Arc::clone(&configs.server));
    world.reactor().listen(listen, Watching { log: log.clone(), name: "s" }).unwrap();
    let connect = |name| Connect::to("unix:/run/tls.sock").tls(Arc::clone(&configs.client), name);
    world.reactor().connect(connect(None), Watching { log: log.clone(), name: "c" });
    world.pass(SECOND);
    assert!(log.take()[0].contains("has no name that a certificate could have"));
    let name = ServerName::try_from("localhost").unwrap();
    world.reactor().connect(connect(Some(name)), Watching { log: log.clone(), name: "c" });
    world.pass(SECOND);
    assert!(log.has("c made") && log.has("s made"));
}

#[test]
fn a_handshake_has_ten_seconds_on_both_sides() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), Configs::new());
    let addr = served(&mut world, &log, &configs);
    let mut silent = world.dial(addr);
    let mut silent_server = world.listen_outside();
    let to = Connect::to(silent_server.addr()).tls(Arc::clone(&configs.client), None);
    world.reactor().connect(to, Watching { log: log.clone(), name: "c" });
    world.pass(HANDSHAKE_TIMEOUT - MS);
    let held = silent_server.accept();
    assert_eq!((log.len(), world.reactor().stats().closed), (0, 0));
    world.pass(MS);
    assert_eq!(log.take(), ["c failed Handshake TimedOut"]);
    assert_eq!(world.reactor().stats().closed, 2);
    assert!(world.read_to_end(&mut silent).0.is_empty());
    drop(held);
}

#[test]
fn a_client_that_stops_in_any_flight_is_let_go_in_time() {
    for version in VERSIONS {
        let configs = Configs::of(&[version]);
        for stop in 0..600 {
            let mut world = World::simulated();
            let log = Log::new();
            let addr = served(&mut world, &log, &configs);
            let mut far = TlsFar::client(world.dial(addr), &configs.client);
            far.portion = 1;
            for _ in 0..stop {
                far.send(); // one byte, and no more when all is sent
                world.turn();
                far.portion = 64 * 1024;
                far.read();
                far.portion = 1;
            }
            let over = !far.tls.is_handshaking() && far.is_sent();
            world.pass(HANDSHAKE_TIMEOUT + 6 * SECOND);
            match over {
                true => assert!(log.has("s made"), "{version:?} {stop}"),
                false => assert_eq!(log.len(), 0, "{version:?} {stop}"),
            }
            let left = world.reactor().connections().len();
            assert_eq!(left, usize::from(over), "{version:?} {stop}");
            if over {
                break;
            }
            assert_eq!(world.reactor().stats().closed, 1, "{version:?} {stop}");
        }
    }
}

#[test]
fn a_peer_that_leaves_in_the_handshake_is_named() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), Configs::new());
    let mut server = world.listen_outside();
    let to = Connect::to(server.addr()).tls(Arc::clone(&configs.client), None);
    let reasons = Log::new();
    let heard = reasons.clone();
    let factory = RecordingClient::new(&log, "c", |_| None).on_failed(move |_, reason| {
        let Reason::Tls { error } = reason else { panic!("{reason:?}") };
        assert_eq!((error.phase(), error.fault()), (Phase::Handshake, &Fault::Truncated));
        assert_eq!((reason.who(), reason.is_clean()), (Who::Peer, false));
        heard.push(reason.to_string());
    });
    world.reactor().connect(to, factory);
    world.pass(MS);
    let mut far = server.accept().unwrap();
    far.receive(100_000).unwrap();
    far.close_write();
    world.pass(MS);
    let expected = format!(
        "TLS with {} in the handshake: truncated: it ended without a close_notify",
        server.addr()
    );
    assert_eq!(reasons.take(), [expected]);
}

both! {
    fn a_reset_behind_what_is_no_tls_does_not_hide_it(world) {
        for waits in [false, true] {
            let (log, configs) = (Log::new(), Configs::new());
            let mut server = world.listen_outside();
            let to = Connect::to(server.addr()).tls(Arc::clone(&configs.client), None);
            let reasons = Log::new();
            let heard = reasons.clone();
            let factory = RecordingClient::new(&log, "c", |_| None)
                .on_failed(move |_, reason| heard.push(reason.to_string()));
            world.reactor().connect(to, factory);
            let mut far = world.accept(&mut server);
            assert_eq!(world.read(&mut far, 1), [22], "the hello");
            world.send(&mut far, b"220 in clear\r\n");
            if waits {
                world.read_to_end(&mut far).1.unwrap(); // hello, alert and FIN: it lingers
            }
            far.reset();
            world.until("the failure", |_| reasons.len() == 1);
            let told = reasons.take().pop().unwrap();
            assert!(told.ends_with("InvalidContentType (it does not seem to speak TLS)"), "{told}");
        }
    }
}

/// Anybody may have sent it, for it is not encrypted. So it is FIN that counts.
#[test]
fn a_close_notify_in_the_handshake_and_fin_end_it_at_once() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), Configs::new());
    let addr = served(&mut world, &log, &configs);
    let hello = TlsFar::client(world.dial(addr), &configs.client).take_out();
    world.pass(MS); // that one has left
    for before in [&b""[..], &hello] {
        let closed = world.reactor().stats().closed;
        let mut far = world.dial(addr);
        world.send(&mut far, &[before, b"\x15\x03\x03\0\x02\x01\0"].concat());
        world.pass(MS);
        assert_eq!(world.reactor().stats().closed, closed, "not by that alone");
        far.close_write();
        let (_, end) = world.read_to_end(&mut far);
        assert_eq!((end, log.len()), (Ok(()), 0));
        world.pass(MS);
        assert_eq!(world.reactor().stats().closed, closed + 1);
    }
}

#[test]
fn plain_http_and_garbage_are_answered_with_an_alert() {
    let every_byte: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for data in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &every_byte, &[0; 100]] {
        let mut world = World::simulated();
        let (log, configs) = (Log::new(), Configs::new());
        let addr = served(&mut world, &log, &configs);
        let mut far = world.dial(addr);
        world.send(&mut far, data);
        let (answer, end) = world.read_to_end(&mut far);
        assert_eq!((answer.len(), answer[0], end), (7, 21, Ok(())), "an alert, and the end");
        far.close_write();
        world.pass(MS);
        assert_eq!((log.len(), world.reactor().stats().closed), (0, 1));
    }
}

#[test]
fn a_factory_that_refuses_closes_in_order() {
    let mut world = World::simulated();
    let configs = Configs::new();
    let place = Listen::at("127.0.0.1:0").tls(Arc::clone(&configs.server));
    let id = world.reactor().listen(place, |_: Address| None::<Recorder>).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let mut far = TlsFar::client(world.dial(addr), &configs.client);
    far.until_ended(&mut world);
    assert!(far.notified && far.got.is_empty());
    assert_eq!(world.reactor().stats().turned_away, 1);
    far.close_write();
    world.pass(MS);
    assert_eq!(world.reactor().connection_count(id), Some(0));
}

#[test]
fn a_refused_connection_does_not_count_for_another_that_is_prepared() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), Configs::new());
    let place = Listen::at("127.0.0.1:0").tls(Arc::clone(&configs.server));
    let (its, mut first) = (log.clone(), true);
    let factory = move |_: Address| {
        (!std::mem::take(&mut first)).then(|| Recorder::new(&its, "s").with_data())
    };
    let id = world.reactor().listen(place, factory).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let mut refused = TlsFar::client(world.dial(addr), &configs.client);
    let mut other = TlsFar::client(world.dial(addr), &configs.client);
    other.send(); // its handshake has begun
    refused.until_ended(&mut world);
    assert!(refused.notified);
    world.reactor().stop_listening(id);
    refused.close_write();
    world.pass(SECOND);
    other.write(b"hello");
    other.shake_hands(&mut world);
    world.until("it to be made", |_| log.has("s data hello"));
}

#[test]
fn a_stopped_listener_still_makes_protocols_for_its_handshakes() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), Configs::new());
    let addr = served(&mut world, &log, &configs);
    let mut far = TlsFar::client(world.dial(addr), &configs.client);
    far.send();
    world.turn();
    world.turn();
    world.reactor().shutdown(20 * SECOND);
    far.write(b"late");
    far.until_ended(&mut world);
    assert!(far.notified);
    assert_eq!(far.got, b"late");
    world.pass(SECOND);
    assert_eq!(log.take(), ["s built for  at localhost", "s made", "s data late", "s lost Closed"]);
}

#[test]
fn connections_in_their_handshake_count_for_the_limits() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), Configs::new());
    let place = Listen::at("127.0.0.1:0").tls(Arc::clone(&configs.server)).max_connections(2);
    let factory = Watching { log: log.clone(), name: "s" };
    let id = world.reactor().listen(place, factory).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let _silent = [world.dial(addr), world.dial(addr)];
    let mut third = TlsFar::client(world.dial(addr), &configs.client);
    world.pass(SECOND);
    assert_eq!(world.reactor().stats().accepted, 2);
    world.pass(HANDSHAKE_TIMEOUT);
    third.shake_hands(&mut world);
    world.until("it to be made, for the others have had their time", |_| log.has("s made"));
}

#[test]
fn attempts_can_be_cancelled_in_the_handshake() {
    for way in 0..4 {
        let mut world = World::simulated();
        let (log, configs) = (Log::new(), Configs::new());
        let mut server = world.listen_outside();
        let to = Connect::to(server.addr())
            .timeout(Duration::from_secs(3))
            .tls(Arc::clone(&configs.client), None);
        let id = world.reactor().connect(to, Watching { log: log.clone(), name: "c" });
        world.pass(SECOND);
        let mut far = server.accept().unwrap();
        assert!(world.reactor().connection_of(id).is_none(), "not before the handshake");
        let expected = match way {
            0 => {
                assert!(world.reactor().cancel_connect(id));
                assert!(!world.reactor().cancel_connect(id), "its outcome is still to be told");
                "Cancelled"
            }
            1 => {
                assert!(world.reactor().disconnect(id));
                "Cancelled"
            }
            2 => {
                world.reactor().shutdown(SECOND);
                "Stopped"
            }
            _ => {
                world.pass(2 * SECOND);
                "ConnectTimedOut"
            }
        };
        world.pass(MS);
        assert_eq!(log.take(), [format!("c failed {expected}")]);
        let (_, end) = world.read_to_end(&mut far);
        assert!(end.is_err(), "it was cut");
        assert!(world.reactor().endpoint(id).is_none());
    }
}

#[test]
fn a_reactor_that_is_dropped_in_a_handshake_tells_what_it_has_begun() {
    let mut world = World::simulated();
    let (log, configs) = (Log::new(), Configs::new());
    let addr = served(&mut world, &log, &configs);
    let _silent = world.dial(addr);
    let server = world.listen_outside();
    let to = Connect::to(server.addr()).tls(Arc::clone(&configs.client), None);
    world.reactor().connect(to, Watching { log: log.clone(), name: "c" });
    world.pass(MS);
    assert_eq!((world.reactor().stats().accepted, log.len()), (1, 0));
    drop(world);
    assert_eq!(log.take(), ["c failed Stopped"]);
}

#[test]
fn a_silent_handshake_does_not_hold_a_shutdown_up() {
    let mut simulation = Simulation::new();
    let place = Listen::at("127.0.0.1:443").tls(Configs::new().server);
    let factory = Watching { log: Log::new(), name: "s" };
    simulation.reactor().listen(place, factory).unwrap();
    let silent = simulation.dial("127.0.0.1:443");
    simulation.settle();
    let begun = simulation.elapsed();
    simulation.reactor().shutdown(10 * HANDSHAKE_TIMEOUT);
    simulation.reactor().run().unwrap();
    let took = simulation.elapsed() - begun;
    assert!(took < 2 * SECOND, "{took:?}: three round trips of half a second");
    drop(silent);
}

#[test]
fn an_address_that_has_answered_is_the_only_one_while_it_shakes_hands() {
    let configs = Configs::new();
    let mut simulation = Simulation::new();
    simulation
        .set_host("example.org", &["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]);
    let mut first = simulation.listen("192.0.2.1:443").unwrap();
    let mut second = simulation.listen("192.0.2.2:443").unwrap();
    let place = Connect::to("example.org:443").tls(Arc::clone(&configs.client), None);
    let log = Log::new();
    let factory = Watching { log: log.clone(), name: "c" };
    simulation.reactor().connect(place.head_start(MS).timeout(2 * SECOND), factory);
    simulation.advance(SECOND);
    let peer = first.accept();
    assert!(peer.is_some() && second.accept().is_none());
    simulation.advance(2 * SECOND);
    assert_eq!(log.take(), ["c failed ConnectTimedOut"]);
    assert!(second.accept().is_none());
}

#[test]
fn a_chain_of_certificates_as_long_as_rustls_takes_is_no_problem() {
    let (server, client) = long_chain();
    for cut in [Cut::Whole, Cut::Every(1000)] {
        let mut simulation = Simulation::new();
        simulation.set_cut(cut);
        let log = Log::new();
        let place = Listen::at("127.0.0.1:443").tls(Arc::clone(&server));
        let factory = Watching { log: log.clone(), name: "s" };
        simulation.reactor().listen(place, factory).unwrap();
        let to = Connect::to("127.0.0.1:443")
            .tls(Arc::clone(&client), Some(ServerName::try_from("localhost").unwrap()));
        simulation.reactor().connect(to, Watching { log: log.clone(), name: "c" });
        simulation.settle();
        assert!(log.has("s made") && log.has("c made"), "{:?}", log.take());
    }
}
