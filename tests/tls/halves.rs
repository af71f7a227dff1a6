//! Half-closed connections and cut ones with Python's ssl, on either side.

use std::sync::Arc;

use crocus::tls::rustls::pki_types::ServerName;
use crocus::{Connect, Protocol, Transport};

use crate::certificates::Configs;
use crate::child::{Running, python, run};
use crate::clients::{files, path};
use crate::front::{Front, LAST_WORDS};
use crate::handshakes::fault;
use crate::util::{Log, Recorder, RecordingClient, World, pattern};

/// The versions as Python has them.
const VERSIONS: [&str; 2] = ["TLSv1_2", "TLSv1_3"];

#[test]
fn python_closes_its_half_and_gets_the_rest() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::with_last_words(configs.server));
    for version in VERSIONS {
        let Some(mut client) = python("tls_half_client.py") else { return };
        let end = run(client.args([&front.port(), &path(&folder, "ca.pem"), version]));
        let twice = std::str::from_utf8(LAST_WORDS).unwrap().repeat(2);
        assert_eq!((end.code, end.text()), (Some(0), &*twice), "{end:?}");
        assert_eq!([front.end(), front.end()], ["PeerClosed", "PeerClosed"]);
    }
}

/// A client of ours that does something when it is made, and something at the server's end.
fn client(
    world: &mut World,
    addr: &str,
    configs: &Configs,
    made: impl FnMut(&mut Transport) + 'static,
    eof: impl FnMut(&mut Transport) + 'static,
) -> (Log, String) {
    let log = Log::new();
    let name = ServerName::try_from("localhost").unwrap();
    let to = Connect::to(addr).tls(Arc::clone(&configs.client), Some(name));
    let recorder = Recorder::new(&log, "c").with_data().on_pause(|_| {}).on_made(made).on_eof(eof);
    let mut only = Some(recorder);
    let build = move |_| only.take().map(|only| Box::new(only) as Box<dyn Protocol>);
    let ends = log.clone();
    let factory = RecordingClient::new(&log, "c", build);
    world.reactor().connect(to, factory.on_lost(move |_, reason| ends.push(fault(reason))));
    world.until("the end", |_| log.count("c owner lost") == 1);
    let end = log.lines().pop().unwrap();
    (log, end)
}

#[test]
fn a_client_of_ours_closes_halves_with_python_and_notices_a_cut() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    for version in VERSIONS {
        let Some(mut server) = python("tls_server.py") else { return };
        let (cert, key) = (path(&folder, "cert.pem"), path(&folder, "key.pem"));
        let server = Running::start(server.args([&cert, &key, version]));
        let addr = server.line().strip_prefix("listening on ").unwrap().to_owned();
        let mut world = World::real();

        // It says its end, and gets everything back behind it.
        let data = pattern(300_000);
        let sent = data.clone();
        let (log, end) = client(
            &mut world,
            &addr,
            &configs,
            move |transport| {
                transport.write(&sent);
                transport.lose_write_connection();
            },
            |transport| transport.lose_connection(),
        );
        let came = format!("c data {}", data.escape_ascii());
        assert!(log.has(&came) && log.has("c eof") && end == "Closed", "{version}: {end}");
        assert_eq!(server.line(), "answer 300000");

        // The server says its end first, and is written to after it.
        let sent = data.clone();
        let (log, end) = client(
            &mut world,
            &addr,
            &configs,
            |_| {},
            move |transport| {
                transport.write(&sent);
                transport.lose_connection();
            },
        );
        assert!(log.has("c data question") && end == "PeerClosed", "{version}: {end}");
        assert_eq!(server.line(), "notify 300000");

        let (log, end) = client(&mut world, &addr, &configs, |_| {}, |_| {});
        assert!(log.has("c data half a mess") && !log.has("c eof"), "{version}");
        assert_eq!((end.as_str(), server.line().as_str()), ("Open Truncated", "cut"));
        let end = server.finish();
        assert_eq!(end.code, Some(0), "{version}: {end:?}");
    }
}
