//! GnuTLS: its client against a server of ours, and its server against a client of ours.

use std::io::Write;
use std::net::TcpListener;
use std::process::ChildStdin;
use std::sync::Arc;

use crocus::tls::rustls::pki_types::ServerName;
use crocus::{Connect, Protocol};

use crate::certificates::Configs;
use crate::child::{Running, tool};
use crate::clients::{files, path, until};
use crate::front::Front;
use crate::handshakes::fault;
use crate::util::{Folder, Log, Recorder, RecordingClient, World};

/// The versions as GnuTLS has them.
const VERSIONS: [&str; 2] = ["NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.3"];

fn gnutls_cli(front: &Front, folder: &Folder, more: &[&str]) -> Option<(Running, ChildStdin)> {
    let mut client = tool("gnutls-cli")?;
    client.args(["--x509cafile", &path(folder, "ca.pem"), "--port", &front.port()]);
    client.args(["--sni-hostname", "localhost", "--verify-hostname", "localhost"]).args(more);
    Some(Running::start_talking(client.arg("127.0.0.1")))
}

#[test]
fn its_client_is_served_changes_keys_and_ends_in_order() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    for version in VERSIONS {
        let more = ["--priority", version, "--inline-commands"];
        let Some((client, mut keyboard)) = gnutls_cli(&front, &folder, &more) else { return };
        writeln!(keyboard, "hello").unwrap();
        until(&client, "hello");
        if version.ends_with("1.3") {
            writeln!(keyboard, "^rekey^").unwrap();
            until(&client, "- Rekey was completed");
            writeln!(keyboard, "after it").unwrap();
            until(&client, "after it");
        }
        drop(keyboard);
        let end = client.finish();
        assert_eq!((end.code, front.end().as_str()), (Some(0), "PeerClosed"), "{end:?}");
    }
}

#[test]
fn its_client_resumes_its_session() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    for version in VERSIONS {
        let more = ["--priority", version, "--resume", "--waitresumption"];
        let Some((client, mut keyboard)) = gnutls_cli(&front, &folder, &more) else { return };
        until(&client, "*** This is a resumed session");
        writeln!(keyboard, "hello").unwrap();
        until(&client, "hello");
        drop(keyboard);
        assert_eq!(client.finish().code, Some(0));
        assert_eq!([front.met(), front.met()].map(|tls| tls.is_resumed()), [false, true]);
        assert_eq!([front.end(), front.end()], ["PeerClosed", "PeerClosed"]);
    }
}

#[test]
fn its_client_that_trusts_nobody_is_let_go_and_one_that_is_killed_is_cut() {
    let configs = Configs::for_programs();
    let (folder, front) = (files(&configs), Front::echo(configs.server));
    for version in VERSIONS {
        let Some(mut client) = tool("gnutls-cli") else { return };
        client.args(["--port", &front.port(), "--priority", version, "127.0.0.1"]);
        let (client, keyboard) = Running::start_talking(&mut client);
        let said = client.finish();
        drop(keyboard);
        assert_eq!(said.code, Some(1), "{said:?}");
        let end = front.end();
        assert!(end.contains("AlertReceived("), "{end}");

        let (client, mut keyboard) = gnutls_cli(&front, &folder, &["--priority", version]).unwrap();
        writeln!(keyboard, "hello").unwrap();
        until(&client, "hello");
        drop(client);
        assert_eq!(front.end(), "Open Truncated");
    }
}

/// GnuTLS's echo server, and where it listens.
fn gnutls_serv(folder: &Folder, more: &[&str]) -> Option<(Running, String)> {
    for _ in 0..10 {
        let mut server = tool("gnutls-serv")?;
        // It does not tell a port that it has chosen itself. So it gets one that was free just now.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        server.args(["--port", &free.port().to_string(), "--echo"]);
        server.args(["--x509certfile", &path(folder, "cert.pem")]);
        server.args(["--x509keyfile", &path(folder, "key.pem")]).args(more);
        let server = Running::start(&mut server);
        loop {
            let line = server.error_line();
            if line.contains("listening on IPv4") && line.contains("done") {
                return Some((server, free.to_string()));
            }
            if line.contains("bind() failed") {
                break;
            }
        }
    }
    panic!("no port stays free");
}

#[test]
fn its_server_serves_a_client_of_ours_and_resumes() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    for version in VERSIONS {
        let Some((_server, addr)) = gnutls_serv(&folder, &["--priority", version]) else { return };
        let config = configs.client_with(|_| {});
        let mut world = World::real();
        for resumed in [false, true] {
            let log = Log::new();
            let name = ServerName::try_from("localhost").unwrap();
            let to = Connect::to(addr.as_str()).tls(Arc::clone(&config), Some(name));
            let mut only = Some(
                Recorder::new(&log, "c")
                    .with_data()
                    .on_made(|transport| {
                        transport.write(b"hello\n");
                    })
                    .on_data(move |transport, _| {
                        assert_eq!(transport.tls().unwrap().is_resumed(), resumed);
                        transport.lose_connection();
                    }),
            );
            let build = move |_| only.take().map(|only| Box::new(only) as Box<dyn Protocol>);
            let ends = log.clone();
            let factory = RecordingClient::new(&log, "c", build);
            let factory = factory.on_lost(move |_, reason| ends.push(fault(reason)));
            world.reactor().connect(to, factory);
            world.until("the end", |_| log.count("c owner lost") == 1);
            assert_eq!(log.lines().pop().unwrap(), "Closed");
            assert!(log.has("c data hello\\n"), "{:?}", log.lines());
        }
    }
}
