//! TLS with programs that are not ours: OpenSSL, curl, Python's ssl.

use std::io::Write;
use std::process::{ChildStdin, Command};
use std::sync::Arc;

use crocus::tls::rustls::pki_types::ServerName;
use crocus::{Connect, Reason};

use crate::certificates::Configs;
use crate::child::{Running, Server, example, python, run, tool};
use crate::handshakes::fault;
use crate::util::{Folder, Log, Recorder, World};

/// A folder with a certificate and its key in files.
pub(crate) fn files(configs: &Configs) -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.join("ca.pem"), &configs.authority_pem).unwrap();
    std::fs::write(folder.join("cert.pem"), &configs.certificate_pem).unwrap();
    std::fs::write(folder.join("key.pem"), &configs.key_pem).unwrap();
    folder
}

pub(crate) fn path(folder: &Folder, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

pub(crate) fn secure(program: &str, folder: &Folder) -> Server {
    let (cert, key) = (path(folder, "cert.pem"), path(folder, "key.pem"));
    let options = ["--listen", "127.0.0.1:0", "--cert", &cert, "--key", &key];
    Server::start(example(program).args(options))
}

/// OpenSSL's client, which has checked the certificate, and its keyboard.
fn s_client(server: &Server, folder: &Folder, more: &[&str]) -> Option<(Running, ChildStdin)> {
    let mut client = tool("openssl")?;
    let (addr, cert) = (server.addr.to_string(), path(folder, "cert.pem"));
    client.args(["s_client", "-connect", &addr, "-CAfile", &cert, "-verify_return_error"]);
    client.args(["-servername", "localhost"]).args(more);
    Some(Running::start_talking(&mut client))
}

/// Types a line in one piece: OpenSSL takes each that begins with the letter of a command for one.
pub(crate) fn enter(keyboard: &mut ChildStdin, line: &str) {
    keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Reads until a line is there, among the many that OpenSSL prints.
pub(crate) fn until(client: &Running, wanted: &str) {
    while client.line() != wanted {}
}

#[test]
fn openssl_speaks_each_version_and_changes_keys() {
    let folder = files(&Configs::for_programs());
    let server = secure("echo_server", &folder);
    for version in ["-tls1_2", "-tls1_3"] {
        let Some((client, mut keyboard)) = s_client(&server, &folder, &[version]) else { return };
        writeln!(keyboard, "hello").unwrap();
        until(&client, "hello");
        if version == "-tls1_3" {
            for letter in ["K", "k"] {
                enter(&mut keyboard, letter); // new keys; K asks for ours too
                while client.error_line() != "KEYUPDATE" {}
                enter(&mut keyboard, &format!("after {letter}"));
                until(&client, &format!("after {letter}"));
            }
        }
        writeln!(keyboard, "Q").unwrap();
        let end = client.finish();
        assert_eq!(end.code, Some(0), "{end:?}");
    }
    server.stop_with_clients();
}

#[test]
fn openssl_resumes_its_session() {
    let folder = files(&Configs::for_programs());
    let server = secure("echo_server", &folder);
    for version in ["-tls1_2", "-tls1_3"] {
        let session = path(&folder, "session.pem");
        let first = [version, "-sess_out", &session];
        let Some((client, mut keyboard)) = s_client(&server, &folder, &first) else { return };
        writeln!(keyboard, "hello").unwrap(); // the tickets come before the echo
        until(&client, "hello");
        writeln!(keyboard, "Q").unwrap();
        assert_eq!(client.finish().code, Some(0));
        let (client, mut keyboard) =
            s_client(&server, &folder, &[version, "-sess_in", &session]).unwrap();
        writeln!(keyboard, "Q").unwrap();
        let end = client.finish();
        let resumed = end.text().lines().any(|line| line.starts_with("Reused, "));
        assert!(resumed, "{version}: {end:?}");
    }
    server.stop_with_clients();
}

#[test]
fn what_openssl_sends_before_its_end_comes_back_whole() {
    let folder = files(&Configs::for_programs());
    let server = secure("echo_server", &folder);
    for version in ["-tls1_2", "-tls1_3"] {
        let more = [version, "-quiet", "-no_ign_eof", "-nocommands"];
        let Some((client, mut keyboard)) = s_client(&server, &folder, &more) else { return };
        let lines: Vec<String> = (0..2000).map(|number| format!("line {number}")).collect();
        for line in &lines {
            writeln!(keyboard, "{line}").unwrap();
        }
        for line in &lines {
            assert_eq!(client.line(), *line);
        }
        drop(keyboard);
        assert_eq!(client.finish().code, Some(0));
    }
    server.stop_with_clients();
}

#[test]
fn a_client_of_openssl_that_trusts_nobody_is_let_go() {
    let folder = files(&Configs::for_programs());
    let server = secure("echo_server", &folder);
    let Some(mut client) = tool("openssl") else { return };
    let addr = server.addr.to_string();
    let end = run(client.args(["s_client", "-connect", &addr, "-verify_return_error"]));
    assert_eq!(end.code, Some(1), "{end:?}");
    server.stop_with_clients();
}

#[test]
fn curl_gets_the_random_bytes_from_one_and_from_several_cores() {
    let folder = files(&Configs::for_programs());
    let cert = path(&folder, "cert.pem");
    for threads in ["1", "2"] {
        let options = ["--listen", "127.0.0.1:0", "--threads", threads];
        let (cert_option, key) = (path(&folder, "cert.pem"), path(&folder, "key.pem"));
        let server = Server::start(example("random_server").args(options).args([
            "--cert",
            &cert_option,
            "--key",
            &key,
        ]));
        for version in ["--tlsv1.2", "--tlsv1.3"] {
            let Some(mut curl) = tool("curl") else { return };
            let url = format!("https://localhost:{}/", server.addr.port());
            curl.args(["--silent", "--show-error", "--http0.9", "--cacert", &cert, version, &url]);
            let end =
                run(curl
                    .args(["--resolve", &format!("localhost:{}:127.0.0.1", server.addr.port())]));
            assert_eq!((end.code, end.stdout.len()), (Some(0), 81), "{end:?}");
        }
        drop(server);
    }
}

#[test]
fn python_exchanges_much_closes_in_order_and_is_cut() {
    let folder = files(&Configs::for_programs());
    let server = secure("echo_server", &folder);
    for (version, printed) in [("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")] {
        let Some(mut client) = python("tls_client.py") else { return };
        let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
        let end = run(client.args([&host, &port, &path(&folder, "cert.pem"), version]));
        assert_eq!((end.code, end.text()), (Some(0), &*format!("{printed}\ndone\n")), "{end:?}");
    }
    server.stop_with_clients();
}

/// OpenSSL's server, which sends each line back reversed, and where it listens.
fn s_server(folder: &Folder, version: &str) -> Option<(Running, String)> {
    let mut server = tool("openssl")?;
    let (cert, key) = (path(folder, "cert.pem"), path(folder, "key.pem"));
    server.args(["s_server", "-accept", "127.0.0.1:0", "-cert", &cert, "-key", &key]);
    let server = Running::start(server.args(["-rev", version]));
    let addr = loop {
        let line = server.line();
        if let Some(addr) = line.strip_prefix("ACCEPT ") {
            break addr.to_owned();
        }
    };
    Some((server, addr))
}

#[test]
fn a_client_of_ours_speaks_with_openssl_and_notices_when_it_is_cut() {
    let configs = Configs::for_programs();
    let folder = files(&configs);
    for version in ["-tls1_2", "-tls1_3"] {
        let Some((server, addr)) = s_server(&folder, version) else { return };
        let mut world = World::real();
        let log = Log::new();
        let name = ServerName::try_from("localhost").unwrap();
        let to = Connect::to(addr.as_str()).tls(Arc::clone(&configs.client), Some(name));
        let its = log.clone();
        world.reactor().connect(to, move |_| {
            Recorder::new(&its, "c")
                .with_data()
                .on_made(|transport| {
                    transport.write(b"hello\n");
                })
                .on_lost(|_, reason| {
                    let cut = matches!(reason, Reason::Failed { .. });
                    assert!(cut || fault(reason) == "Open Truncated", "{reason:?}");
                })
        });
        world.until("the answer", |_| log.has("c data olleh\\n"));
        drop(server); // killed: no close_notify, and FIN or a reset
        world.until("the end", |_| log.count("c lost") == 1);
        assert_eq!(log.count("c eof"), 0, "{:?}", log.lines());
    }
}

/// The number that a certificate has, as OpenSSL sees it.
fn serial(server: &Server) -> Option<String> {
    let mut client = tool("openssl")?;
    let addr = server.addr.to_string();
    let shown = run(client.args(["s_client", "-connect", &addr]));
    let text = shown.text().to_owned();
    let begin = text.find("-----BEGIN").unwrap();
    let end = text.find("-----END").unwrap();
    Some(text[begin..end].to_owned())
}

#[test]
fn a_certificate_is_read_again_and_nobody_is_lost() {
    let (old, new) = (Configs::for_programs(), Configs::for_programs());
    let folder = files(&old);
    let server = secure("echo_server", &folder);
    let Some((client, mut keyboard)) = s_client(&server, &folder, &["-quiet"]) else { return };
    writeln!(keyboard, "before").unwrap();
    until(&client, "before");
    let first = serial(&server).unwrap();

    std::fs::write(folder.join("cert.pem"), "nonsense").unwrap();
    server.program.signal("HUP");
    assert!(server.program.error_line().ends_with("; the former one stays"));
    assert_eq!(serial(&server).unwrap(), first);

    std::fs::write(folder.join("cert.pem"), &new.certificate_pem).unwrap();
    std::fs::write(folder.join("key.pem"), &new.key_pem).unwrap();
    server.program.signal("HUP");
    assert_eq!(server.program.error_line(), "the certificate was read again");
    assert_ne!(serial(&server).unwrap(), first);
    writeln!(keyboard, "after").unwrap();
    until(&client, "after");
    drop((keyboard, client));
    server.stop_with_clients();
}

/// A client that resumes one is shown no certificate.
#[test]
fn a_session_with_a_former_certificate_is_not_resumed() {
    for (version, reads_again) in
        [("-tls1_2", false), ("-tls1_2", true), ("-tls1_3", false), ("-tls1_3", true)]
    {
        let folder = files(&Configs::for_programs());
        let server = secure("echo_server", &folder);
        let session = path(&folder, "session.pem");
        let saving = [version, "-sess_out", &session];
        let Some((client, mut keyboard)) = s_client(&server, &folder, &saving) else { return };
        writeln!(keyboard, "hello").unwrap(); // the tickets come before the echo
        until(&client, "hello");
        writeln!(keyboard, "Q").unwrap();
        assert_eq!(client.finish().code, Some(0));
        if reads_again {
            server.program.signal("HUP");
            assert_eq!(server.program.error_line(), "the certificate was read again");
        }
        let resuming = [version, "-sess_in", &session];
        let (client, mut keyboard) = s_client(&server, &folder, &resuming).unwrap();
        writeln!(keyboard, "Q").unwrap();
        let end = client.finish();
        let resumed = end.text().lines().any(|line| line.starts_with("Reused, "));
        assert_eq!(resumed, !reads_again, "{version}: {end:?}");
        server.stop_with_clients();
    }
}

#[test]
fn a_certificate_is_made_to_try_things_with_and_the_server_says_so() {
    let options = ["--listen", "127.0.0.1:0", "--self-signed"];
    let server = Server::start(example("echo_server").args(options));
    assert!(server.program.error_line().starts_with("a certificate was made for this run"));
    let Some(mut client) = tool("openssl") else { return };
    let addr = server.addr.to_string();
    let (client, mut keyboard) =
        Running::start_talking(client.args(["s_client", "-connect", &addr, "-quiet"]));
    writeln!(keyboard, "hello").unwrap();
    until(&client, "hello");
}

#[test]
fn options_that_make_no_sense_are_told() {
    let folder = files(&Configs::for_programs());
    let (cert, nowhere) = (path(&folder, "cert.pem"), path(&folder, "nowhere.pem"));
    let server = |options: &[&str]| -> Command {
        let mut command = example("echo_server");
        command.args(["--listen", "127.0.0.1:0"]).args(options);
        command
    };
    let end = run(&mut server(&["--cert", &cert]));
    assert!(end.complaint(2).contains("--cert and --key go together"));
    let end = run(&mut server(&["--cert", &cert, "--self-signed"]));
    assert!(end.complaint(2).contains("--self-signed makes both"));
    let end = run(&mut server(&["--cert", &nowhere, "--key", &nowhere]));
    assert!(end.complaint(1).contains("cannot read the certificate"));
    let end = run(&mut server(&["--cert", &cert, "--key", &cert]));
    assert!(end.complaint(1).contains("cannot read the key"));
}
