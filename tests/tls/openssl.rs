//! OpenSSL's client and server: every suite, resumption, new keys, ends of each kind, and what is refused.

use std::process::{ChildStdin, Command};
use std::sync::Arc;

use crocus::tls::rustls::crypto::ring::Ticketer;
use crocus::tls::rustls::pki_types::pem::PemObject;
use crocus::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use crocus::tls::rustls::{CipherSuite, ClientConfig, ServerConfig};
use crocus::{Connect, Protocol};
use rcgen::KeyPair;

use crate::certificates::{Configs, VERSIONS};
use crate::child::{Finished, Running, run, tool};
use crate::clients::{enter, files, path, until};
use crate::front::Front;
use crate::handshakes::fault;
use crate::util::{Folder, Log, Recorder, RecordingClient, World};

/// The versions as OpenSSL's options have them.
const OPTIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// OpenSSL, which says each line at once.
fn openssl() -> Option<Command> {
    tool("openssl")?;
    let mut command = tool("stdbuf")?;
    command.args(["--output=L", "openssl"]);
    Some(command)
}

/// OpenSSL's client, which checks the certificate, and its keyboard.
fn s_client(front: &Front, folder: &Folder, more: &[&str]) -> Option<(Running, ChildStdin)> {
    let mut client = openssl()?;
    client.args(["s_client", "-connect", &front.addr.to_string(), "-servername", "localhost"]);
    client.args(["-CAfile", &path(folder, "ca.pem"), "-verify_return_error"]).args(more);
    Some(Running::start_talking(&mut client))
}

/// A client that sends a line, gets it back, and ends in order. Returns all that it has said.
fn exchange(front: &Front, folder: &Folder, more: &[&str]) -> Option<Finished> {
    let (client, mut keyboard) = s_client(front, folder, more)?;
    enter(&mut keyboard, "hello");
    let mut said = Vec::new();
    loop {
        let line = client.line();
        said.extend_from_slice(line.as_bytes());
        said.push(b'\n');
        if line == "hello" {
            break;
        }
    }
    enter(&mut keyboard, "Q");
    let mut end = client.finish();
    assert_eq!((end.code, front.end().as_str()), (Some(0), "PeerClosed"), "{more:?}: {end:?}");
    said.append(&mut end.stdout);
    end.stdout = said;
    Some(end)
}

/// A client that the server does not let in; returns what it says of that, and the reason at the server.
fn refused(front: &Front, folder: &Folder, more: &[&str]) -> Option<(String, String)> {
    let (client, keyboard) = s_client(front, folder, more)?;
    let end = front.end();
    drop(keyboard);
    let said = client.finish();
    assert_ne!(said.code, Some(0), "{more:?}: {said:?}");
    Some((said.stderr, end))
}

fn says(said: &Finished, wanted: &str) -> bool {
    said.text().lines().any(|line| line.trim_start().starts_with(wanted))
}

/// Configs of a key of RSA, which OpenSSL has made.
fn with_rsa(folder: &Folder) -> Option<Arc<ServerConfig>> {
    let (cert, key) = (path(folder, "ca.pem"), path(folder, "key.pem"));
    let mut openssl = tool("openssl")?;
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-out", &cert, "-keyout", &key]);
    let made = run(&mut openssl);
    assert_eq!(made.code, Some(0), "{made:?}");
    let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    Some(config.unwrap().into())
}

#[test]
fn every_suite_and_kind_of_key_works() {
    use CipherSuite as S;
    let suites_of_tls13 = [
        (S::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
        (S::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
        (S::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
    ];
    let with_ecdsa = [
        (S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ];
    let with_rsa_keys = [
        (S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"),
        (S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"),
        (S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"),
    ];
    for algorithm in ["RSA", "P-256", "P-384", "Ed25519"] {
        let (folder, server) = match algorithm {
            "RSA" => {
                let folder = Folder::new();
                let Some(server) = with_rsa(&folder) else { return };
                (folder, server)
            }
            other => {
                let key = KeyPair::generate_for(match other {
                    "P-256" => &rcgen::PKCS_ECDSA_P256_SHA256,
                    "P-384" => &rcgen::PKCS_ECDSA_P384_SHA384,
                    _ => &rcgen::PKCS_ED25519,
                });
                let configs = Configs::with_key(&key.unwrap(), &VERSIONS, vec![]);
                (files(&configs), configs.server)
            }
        };
        let front = Front::echo(server);
        for (suite, name) in suites_of_tls13 {
            let more = ["-tls1_3", "-ciphersuites", name];
            if exchange(&front, &folder, &more).is_none() {
                return;
            }
            assert_eq!(front.met().cipher_suite().unwrap().suite(), suite, "{algorithm}");
        }
        for (suite, name) in if algorithm == "RSA" { with_rsa_keys } else { with_ecdsa } {
            exchange(&front, &folder, &["-tls1_2", "-cipher", name]);
            assert_eq!(front.met().cipher_suite().unwrap().suite(), suite, "{algorithm}");
        }
    }
}

#[test]
fn every_group_works_and_another_round_trip_finds_one() {
    let configs = Configs::new(); // a key that belongs to none of these groups
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    // The client guesses the first, which of the last two the server does not take.
    for groups in ["X25519", "P-256", "P-384", "P-521:X25519", "X448:P-521:P-384"] {
        for version in OPTIONS {
            let Some(said) = exchange(&front, &folder, &[version, "-groups", groups]) else {
                return;
            };
            assert!(says(&said, "Server Temp Key: "), "{groups}: {said:?}");
        }
    }
}

#[test]
fn what_is_old_or_weak_is_refused_with_an_alert() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    let weakest = "ALL:@SECLEVEL=0";
    for (more, alert) in [
        // These have no signature algorithms, which rustls misses before it looks at the version.
        (&["-tls1", "-cipher", weakest][..], "alert handshake failure"),
        (&["-tls1_1", "-cipher", weakest], "alert handshake failure"),
        (&["-tls1_2", "-cipher", "AES128-SHA"], "alert handshake failure"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], "alert handshake failure"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "alert handshake failure"),
        (&["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], "alert handshake failure"),
        (&["-tls1_3", "-groups", "P-521"], "alert handshake failure"),
    ] {
        let Some((said, end)) = refused(&front, &folder, more) else { return };
        assert!(said.contains(alert), "{more:?}: {said}");
        assert!(end.starts_with("Handshake Tls(PeerIncompatible("), "{more:?}: {end}");
    }
    exchange(&front, &folder, &[]);
}

#[test]
fn a_session_is_resumed_by_its_number_and_by_a_ticket() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    let stateless = configs.server_with(|server| server.ticketer = Ticketer::new().unwrap());
    for server in [configs.server, stateless] {
        let front = Front::echo(server);
        for version in [&["-tls1_2", "-no_ticket"][..], &["-tls1_2"], &["-tls1_3"]] {
            let session = path(&folder, "session.pem");
            let first = [version, &["-sess_out", &session]].concat();
            let Some(said) = exchange(&front, &folder, &first) else { return };
            assert!(says(&said, "New, ") && !front.met().is_resumed(), "{said:?}");
            let second = [version, &["-sess_in", &session]].concat();
            let said = exchange(&front, &folder, &second).unwrap();
            assert!(says(&said, "Reused, ") && front.met().is_resumed(), "{said:?}");
        }
    }
}

/// OpenSSL's server for early data has made the session; ours has never seen it, and the data is not delivered.
#[test]
fn early_data_is_skipped_and_never_delivered() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    let (session, early) = (path(&folder, "session.pem"), path(&folder, "early"));
    std::fs::write(&early, "early\n".repeat(1000)).unwrap();
    let more = ["-tls1_3", "-early_data"];
    let Some((other, _keyboard, addr)) = s_server(&folder, &more) else { return };
    let mut client = openssl().unwrap();
    client.args(["s_client", "-connect", &addr, "-sess_out", &session, "-tls1_3"]);
    client.args(["-CAfile", &path(&folder, "ca.pem"), "-servername", "localhost"]);
    let (client, mut keyboard) = Running::start_talking(&mut client);
    until(&client, "Post-Handshake New Session Ticket arrived:");
    until(&client, "Post-Handshake New Session Ticket arrived:");
    enter(&mut keyboard, "Q");
    assert_eq!(client.finish().code, Some(0));
    drop(other);

    for size in [0, 20_000] {
        let server = configs.server_with(|server| server.max_early_data_size = size);
        let front = Front::echo(server);
        let more = ["-tls1_3", "-sess_in", &session, "-early_data", &early];
        let said = exchange(&front, &folder, &more).unwrap();
        assert!(says(&said, "Early data was rejected"), "{said:?}");
        assert!(!says(&said, "early"), "it comes back: {said:?}");
        // Its own sessions offer none.
        exchange(&front, &folder, &["-tls1_3", "-sess_out", &path(&folder, "own.pem")]);
        let more = ["-tls1_3", "-sess_in", &path(&folder, "own.pem"), "-early_data", &early];
        let said = exchange(&front, &folder, &more).unwrap();
        assert!(says(&said, "Early data was not sent"), "{said:?}");
        assert!(says(&said, "Reused, ") && !says(&said, "early"), "{said:?}");
    }
}

#[test]
fn a_certificate_of_the_client_is_seen_and_its_lack_refused() {
    let configs = Configs::mutual();
    let (folder, front) = (files(&configs), Front::echo(Arc::clone(&configs.server)));
    let (cert, key) = (path(&folder, "cert.pem"), path(&folder, "key.pem"));
    for version in OPTIONS {
        let more = [version, "-cert", &cert, "-key", &key];
        if exchange(&front, &folder, &more).is_none() {
            return;
        }
        let own = CertificateDer::from_pem_slice(configs.certificate_pem.as_bytes()).unwrap();
        assert_eq!(front.met().peer_certificates(), [own]);
        let (said, end) = refused(&front, &folder, &[version]).unwrap();
        assert_eq!(end, "Handshake Tls(NoCertificatesPresented)", "{said}");
        assert!(said.contains("alert certificate required") || version == "-tls1_2", "{said}");
    }
}

#[test]
fn alpn_finds_what_both_speak_or_ends_it() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    let server = configs.server_with(|server| server.alpn_protocols = vec![b"http/1.1".to_vec()]);
    let front = Front::echo(server);
    for version in OPTIONS {
        let Some(said) = exchange(&front, &folder, &[version, "-alpn", "h2,http/1.1"]) else {
            return;
        };
        assert!(says(&said, "ALPN protocol: http/1.1"), "{said:?}");
        assert_eq!(front.met().alpn_protocol(), Some(&b"http/1.1"[..]));
        let (said, end) = refused(&front, &folder, &[version, "-alpn", "h2,h3"]).unwrap();
        assert_eq!(end, "Handshake Tls(NoApplicationProtocol)");
        assert!(said.contains("alert no application protocol"), "{said}");
    }
}

#[test]
fn a_client_that_is_killed_has_not_said_its_end() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    for version in OPTIONS {
        let Some((client, mut keyboard)) = s_client(&front, &folder, &[version]) else { return };
        enter(&mut keyboard, "hello");
        until(&client, "hello"); // the last that it is sent: so it ends by FIN and not by a reset
        drop(client);
        assert_eq!(front.end(), "Open Truncated");
    }
}

#[test]
fn another_handshake_on_an_open_connection_is_refused() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    let Some((client, mut keyboard)) = s_client(&front, &folder, &["-tls1_2"]) else { return };
    enter(&mut keyboard, "hello");
    until(&client, "hello");
    enter(&mut keyboard, "R");
    let end = client.finish();
    assert!(end.stderr.contains("no renegotiation"), "{end:?}");
    let end = front.end();
    assert!(end.starts_with("Open Tls(AlertReceived("), "{end}");
    exchange(&front, &folder, &["-tls1_2"]);
}

/// As many new keys as rustls takes without a byte of data: BoringSSL's number too.
const KEYS: usize = 32;

#[test]
fn a_flood_of_new_keys_is_cut_off() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    let Some((client, mut keyboard)) = s_client(&front, &folder, &["-tls1_3"]) else { return };
    for _ in 0..3 {
        for _ in 0..KEYS {
            enter(&mut keyboard, "K");
            while client.error_line() != "KEYUPDATE" {}
        }
        enter(&mut keyboard, "data");
        until(&client, "data");
    }
    for _ in 0..=KEYS {
        enter(&mut keyboard, "K");
        while client.error_line() != "KEYUPDATE" {}
    }
    assert_eq!(front.end(), "Open Tls(PeerMisbehaved(TooManyKeyUpdateRequests))");
    drop((client, keyboard));
    exchange(&front, &folder, &["-tls1_3"]);
}

#[test]
fn records_of_512_bytes_come_whole() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    for version in OPTIONS {
        let more = [version, "-quiet", "-no_ign_eof", "-nocommands", "-max_send_frag", "512"];
        let Some((client, mut keyboard)) = s_client(&front, &folder, &more) else { return };
        let line = "0123456789".repeat(1000);
        for _ in 0..20 {
            enter(&mut keyboard, &line);
            assert_eq!(client.line(), line);
        }
        drop(keyboard);
        assert_eq!((client.finish().code, front.end().as_str()), (Some(0), "PeerClosed"));
    }
}

/// OpenSSL's server, its keyboard, and where it listens.
fn s_server(folder: &Folder, more: &[&str]) -> Option<(Running, ChildStdin, String)> {
    let mut server = openssl()?;
    let (cert, key) = (path(folder, "cert.pem"), path(folder, "key.pem"));
    server.args(["s_server", "-accept", "127.0.0.1:0", "-cert", &cert, "-key", &key]).args(more);
    let (server, keyboard) = Running::start_talking(&mut server);
    let addr = loop {
        let line = server.line();
        if let Some(addr) = line.strip_prefix("ACCEPT ") {
            break addr.to_owned();
        }
    };
    Some((server, keyboard, addr))
}

/// A client of ours, which writes down what it is told, and sends a line when it is made.
fn client(
    world: &mut World,
    addr: &str,
    config: &Arc<ClientConfig>,
    set_up: impl FnOnce(Recorder) -> Recorder,
) -> Log {
    let log = Log::new();
    let name = ServerName::try_from("localhost").unwrap();
    let to = Connect::to(addr).tls(Arc::clone(config), Some(name));
    let recorder = Recorder::new(&log, "c").with_data().on_made(|transport| {
        transport.write(b"hello\n");
    });
    let mut only = Some(set_up(recorder));
    let build = move |_| only.take().map(|only| Box::new(only) as Box<dyn Protocol>);
    let (failures, ends) = (log.clone(), log.clone());
    let factory = RecordingClient::new(&log, "c", build)
        .on_failed(move |_, reason| failures.push(fault(reason)))
        .on_lost(move |_, reason| ends.push(fault(reason)));
    world.reactor().connect(to, factory);
    log
}

/// Turns until the client has ended; returns why.
fn end_of(world: &mut World, log: &Log) -> String {
    world.until("the end", |_| log.count("c owner lost") + log.count("c failed") > 0);
    log.lines().pop().unwrap()
}

#[test]
fn a_client_of_ours_resumes_its_session_with_openssl() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    for more in
        [&["-tls1_2", "-no_ticket"][..], &["-tls1_2"], &["-tls1_3"], &["-tls1_3", "-no_ticket"]]
    {
        let Some((_server, _keyboard, addr)) = s_server(&folder, &[more, &["-rev"]].concat())
        else {
            return;
        };
        let config = configs.client_with(|_| {}); // with sessions of its own
        let mut world = World::real();
        for resumed in [false, true] {
            let log = client(&mut world, &addr, &config, |c| {
                c.on_data(move |transport, _| {
                    assert_eq!(transport.tls().unwrap().is_resumed(), resumed);
                    transport.lose_connection();
                })
            });
            assert_eq!(end_of(&mut world, &log), "Closed");
            assert!(log.has("c data olleh\\n"), "{more:?}: {:?}", log.lines());
        }
    }
}

#[test]
fn a_client_of_ours_never_sends_early_data() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    let more = ["-tls1_3", "-early_data", "-ign_eof"];
    let Some((server, _keyboard, addr)) = s_server(&folder, &more) else { return };
    let config = configs.client_with(|client| client.enable_early_data = true);
    let mut world = World::real();
    for resumed in [false, true] {
        let log = client(&mut world, &addr, &config, |c| c);
        world.until("it to be sent", |world| log.has("c made") && world.only().buffered() == 0);
        assert_eq!(world.only().tls().unwrap().is_resumed(), resumed);
        until(&server, "No early data received");
        until(&server, "hello");
        world.until("the tickets", |world| world.only().bytes_read() > 0);
        world.quiet();
        world.only().lose_connection();
        assert_eq!(end_of(&mut world, &log), "Closed");
    }
}

#[test]
fn a_client_of_ours_follows_the_new_keys_of_openssl() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    let Some((server, mut keyboard, addr)) = s_server(&folder, &["-tls1_3"]) else { return };
    let mut world = World::real();
    let log = client(&mut world, &addr, &configs.client, |c| c);
    world.until("it to be made", |_| log.has("c made"));
    for letter in ["k", "K", "K"] {
        enter(&mut keyboard, letter); // new keys; K asks for ours too
        until(&server, "SSL_do_handshake -> 1");
        log.take();
        enter(&mut keyboard, "from the server");
        world.until("the line", |_| log.has("c data from the server\\n"));
        let line = format!("after {letter}");
        world.only().write(format!("{line}\n").as_bytes());
        world.quiet();
        until(&server, &line);
    }
}

#[test]
fn openssl_ends_in_order_is_ended_in_order_and_cuts() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    for version in OPTIONS {
        let Some((_web, _keyboard, addr)) = s_server(&folder, &[version, "-www"]) else { return };
        let mut world = World::real();
        let log = client(&mut world, &addr, &configs.client, |c| {
            c.on_made(|transport| {
                transport.write(b"GET / HTTP/1.0\r\n\r\n");
            })
        });
        assert_eq!(end_of(&mut world, &log), "PeerClosed");
        let lines = log.lines();
        assert!(lines[1].ends_with("</pre></BODY></HTML>\\r\\n\\r\\n"), "{lines:?}");
        assert_eq!(lines[2], "c eof");

        // The client ends first, and only its half.
        let (server, mut keyboard, addr) = s_server(&folder, &[version]).unwrap();
        let log = client(&mut world, &addr, &configs.client, |c| {
            c.on_made(|transport| {
                transport.write(b"hello\n");
                transport.lose_write_connection();
            })
        });
        assert_eq!(end_of(&mut world, &log), "Closed");
        assert!(log.has("c eof"), "the server has said its end too: {:?}", log.lines());
        until(&server, "hello");
        until(&server, "CONNECTION CLOSED");

        // Its command to end a connection sends FIN and no close_notify.
        let log = client(&mut world, &addr, &configs.client, |c| c);
        world.until("it to be sent", |world| log.has("c made") && world.only().buffered() == 0);
        until(&server, "hello");
        enter(&mut keyboard, "q");
        assert_eq!(end_of(&mut world, &log), "Open Truncated");
        assert!(!log.has("c eof"), "{:?}", log.lines());
    }
}

#[test]
fn openssl_wants_a_certificate_of_ours() {
    let configs = Configs::mutual();
    let folder = files(&configs);
    let without = Configs::client_of(&configs.authority_pem);
    for version in OPTIONS {
        let ca = path(&folder, "ca.pem");
        let more = [version, "-rev", "-Verify", "1", "-CAfile", &ca, "-verify_return_error"];
        let Some((_server, _keyboard, addr)) = s_server(&folder, &more) else { return };
        let mut world = World::real();
        let log = client(&mut world, &addr, &configs.client, |c| {
            c.on_data(|transport, _| transport.lose_connection())
        });
        assert_eq!(end_of(&mut world, &log), "Closed");
        assert!(log.has("c data olleh\\n"));
        let log = client(&mut world, &addr, &without, |c| c);
        let expected = match version {
            "-tls1_2" => "Handshake Tls(AlertReceived(HandshakeFailure))",
            _ => "Open Tls(AlertReceived(CertificateRequired))", // it is the server's last word
        };
        assert_eq!(end_of(&mut world, &log), expected);
    }
}

#[test]
fn a_client_of_ours_does_not_begin_anew_for_openssl() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    let Some((server, mut keyboard, addr)) = s_server(&folder, &["-tls1_2"]) else { return };
    let mut world = World::real();
    let log = client(&mut world, &addr, &configs.client, |c| c);
    world.until("it to be sent", |world| log.has("c made") && world.only().buffered() == 0);
    until(&server, "hello");
    enter(&mut keyboard, "r");
    let end = end_of(&mut world, &log);
    assert!(end.starts_with("Open Tls("), "{end}");
}

#[test]
fn openssl_hears_why_it_is_not_trusted() {
    let (configs, other) = (Configs::for_programs(), Configs::for_programs());
    let folder = files(&configs);
    for version in OPTIONS {
        let Some((server, _keyboard, addr)) = s_server(&folder, &[version]) else { return };
        let mut world = World::real();
        let log = client(&mut world, &addr, &other.client, |c| c);
        let end = end_of(&mut world, &log);
        assert!(end.starts_with("Handshake Tls(InvalidCertificate("), "{end}");
        world.until("the end", |world| world.reactor().stats().closed == 1);
        while !server.error_line().contains("alert") {}
    }
}
