//! `random_client --tls`: the article's experiment, encrypted.

use std::io::Write;
use std::net::Shutdown;
use std::process::Command;

use crate::certificate::Certificate;
use crate::child::{Server, example, patient, run, serve_once, tool};
use crate::util::Folder;

fn client(server: impl ToString, ca: &str) -> Command {
    let mut command = example("random_client");
    command.args([&server.to_string(), "--tls", "--ca", ca]);
    command
}

#[test]
fn two_hundred_encrypted_questions_get_their_points() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let mut server = example("random_server");
    let server =
        Server::start(server.args(["--listen", "127.0.0.1:0"]).args(certificate.options()));
    let place = format!("localhost:{}", server.addr.port());
    let end = run(client(place, &certificate.cert()).args(["--count", "200", "--timeout", "60"]));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    assert_eq!(end.text().matches("First point:").count(), 200);
    server.stop_with_clients();
}

/// As the README shows it.
#[test]
fn a_certificate_that_openssl_has_saved_is_trusted() {
    let folder = Folder::new();
    let mut server = example("random_server");
    let server = Server::start(server.args(["--listen", "127.0.0.1:0", "--self-signed"]));
    let said = server.program.error_line();
    let Some(_) = tool("openssl") else { return };
    let saved = folder.join("cert.pem");
    let save = "openssl s_client -connect \"$0\" < /dev/null 2> /dev/null | openssl x509 > \"$1\"; \
                openssl x509 -in \"$1\" -noout -fingerprint -sha256";
    let mut shell = Command::new("sh");
    let end = run(shell.args(["-c", save, &server.addr.to_string()]).arg(&saved));
    let (_, fingerprint) = end.text().trim().split_once("Fingerprint=").unwrap();
    assert!(said.ends_with(&format!("; SHA-256 fingerprint {fingerprint}")), "{said}: {end:?}");
    let end = run(&mut client(server.addr, saved.to_str().unwrap()));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    server.stop_with_clients();
}

#[test]
fn a_server_that_is_not_trusted_is_asked_once() {
    let (folder, other) = (Folder::new(), Folder::new());
    let certificate = Certificate::new(&folder);
    let mut server = example("random_server");
    let server =
        Server::start(server.args(["--listen", "127.0.0.1:0"]).args(certificate.options()));
    let other = Certificate::new(&other).cert();
    let end = run(client(server.addr, &other).args(["--count", "9"]));
    let said = end.complaint(1);
    let begin = format!(
        "random_client: cannot reach {0}: TLS with {0} in the handshake: invalid peer certificate: ",
        server.addr
    );
    assert!(said.starts_with(&begin) && said.ends_with(" (8 more were not asked for)"), "{said}");
    server.stop_with_clients();
}

/// All 81 bytes have come, but nobody has confirmed that these are all.
#[test]
fn a_reply_without_the_end_of_tls_is_none() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let ca = certificate.cert();
    let (addr, server) = serve_once(move |stream| {
        let mut stream = certificate.serve(patient(stream));
        stream.write_all(&[b'x'; 81]).unwrap();
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let end = run(&mut client(addr, &ca));
    let said = end.complaint(1);
    let expected = format!(
        "random_client: {addr}: TLS with {addr} on the open connection: truncated: it ended without a \
         close_notify: 81 bytes came, 81 were expected"
    );
    assert_eq!(said, expected);
    server.join().unwrap();
}
