//! `telnet --tls`: whom it trusts, and what it says of the others.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, date_time_ymd};

use super::reversing_server;
use crate::certificate::{Certificate, ServerStream, close_write};
use crate::child::{Finished, Running, example, patient, run, serve_once};
use crate::util::{Folder, pattern};

fn telnet(server: impl ToString, options: &[&str]) -> Command {
    let mut command = example("telnet");
    command.arg("--tls").args(options).arg(server.to_string());
    command
}

/// A server of one client that speaks TLS.
fn serve<T: Send + 'static>(
    certificate: Certificate,
    answer: impl FnOnce(ServerStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    serve_once(move |stream| answer(certificate.serve(patient(stream))))
}

/// Says nothing, and ends behind the client, which may not even want the handshake.
fn silent(mut stream: ServerStream) {
    let _ = stream.read_to_end(&mut Vec::new());
    close_write(&mut stream);
}

#[test]
fn talks_to_a_server_of_openssl_in_each_version() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    for version in ["-tls1_2", "-tls1_3"] {
        let Some((_server, addr)) = reversing_server(&certificate, version) else { return };
        let mut program = telnet(addr, &["--ca", &certificate.cert()]);
        let (program, mut keyboard) = Running::start_talking(&mut program);
        keyboard.write_all(b"crocus\n").unwrap();
        assert_eq!(program.line(), "sucorc");
        drop(keyboard); // Ctrl-D
        let end = program.finish();
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), "", ""), "{version}");
    }
}

#[test]
fn the_whole_answer_comes_after_the_input_ended() {
    let folder = Folder::new();
    let input = pattern(3 << 20);
    let file = folder.join("input");
    fs::write(&file, &input).unwrap();
    let certificate = Certificate::new(&folder);
    let ca = certificate.cert();
    let (addr, server) = serve(certificate, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("and close_notify");
        all.reverse();
        stream.write_all(&all).unwrap();
        close_write(&mut stream);
    });
    let mut program = telnet(addr, &["--ca", &ca]);
    let output = program.stdin(Stdio::from(File::open(&file).unwrap())).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let mut answer = output.stdout;
    answer.reverse();
    assert!(answer == input, "{} bytes came", answer.len());
    server.join().unwrap();
}

#[test]
fn an_answer_that_is_cut_off_is_printed_and_counts_as_failed() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let ca = certificate.cert();
    let (addr, server) = serve(certificate, |mut stream| {
        stream.write_all(b"pay 100").unwrap();
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        silent(stream);
    });
    let end = run(&mut telnet(addr, &["--ca", &ca]));
    assert_eq!((end.code, end.text()), (Some(1), "pay 100"));
    let expected = format!(
        "telnet: the connection with {addr} failed: TLS with {addr} on the open connection: \
         truncated: it ended without a close_notify\n"
    );
    assert_eq!(end.stderr, expected);
    server.join().unwrap();
}

/// The system's authorities are those of a file that OpenSSL's variable names, as other programs have it.
#[test]
fn the_system_is_trusted_unless_there_is_a_file() {
    let (folder, other) = (Folder::new(), Folder::new());
    let ours = || Certificate::new(&folder);
    let certificate = ours();
    let ca = certificate.cert();
    let other = Certificate::new(&other).cert();
    let (addr, server) = serve(certificate, silent);
    let end = run(telnet(addr, &[]).env("SSL_CERT_FILE", &ca).env_remove("SSL_CERT_DIR"));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    server.join().unwrap();

    let (addr, server) = serve(ours(), silent);
    let end = run(telnet(addr, &["--ca", &other]).env("SSL_CERT_FILE", &ca));
    assert!(end.complaint(1).contains("invalid peer certificate: "), "{end:?}");
    server.join().unwrap();

    let mut without = telnet("localhost:1", &[]);
    without.env("SSL_CERT_FILE", folder.join("none")).env_remove("SSL_CERT_DIR");
    let end = run(&mut without);
    let said = end.complaint(1);
    let begin = "telnet: cannot read the authorities that this system trusts: ";
    assert!(said.starts_with(begin) && said.contains("; --ca FILE names others"), "{said}");
}

/// The complaint about a server with this certificate, if it is asked for by the name `localhost`.
fn complaint(shown: CertificateParams, trusted: Option<&Certificate>) -> String {
    let folder = Folder::new();
    let certificate = Certificate::made(&folder, shown);
    let ca = trusted.map_or_else(|| certificate.cert(), Certificate::cert);
    let (addr, server) = serve(certificate, silent);
    let end = run(&mut telnet(format!("localhost:{}", addr.port()), &["--ca", &ca]));
    server.join().unwrap();
    let said = end.complaint(1);
    let begin = format!("telnet: cannot reach localhost:{}: TLS with {addr} in the ", addr.port());
    let said = said.strip_prefix(&*begin).expect(said);
    said.strip_prefix("handshake: invalid peer certificate: ").expect(said).to_owned()
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

#[test]
fn a_certificate_that_does_not_fit_is_told_with_what_to_do() {
    let said = complaint(params("example.org"), None);
    assert!(said.contains("only valid for") && said.contains("example.org"), "{said}");
    assert!(
        said.ends_with(
            "; is this the right server? The name has to be one that its certificate has"
        )
    );

    let folder = Folder::new();
    let other = Certificate::new(&folder);
    let hint = "nobody who is trusted has signed it; --ca FILE names whom to trust instead";
    assert_eq!(complaint(params("localhost"), Some(&other)), format!("BadSignature; {hint}"));
    let mut unknown = params("localhost");
    unknown.distinguished_name.push(DnType::CommonName, "somebody else");
    assert_eq!(complaint(unknown, Some(&other)), format!("UnknownIssuer; {hint}"));

    let mut expired = params("localhost");
    expired.not_after = date_time_ymd(2001, 2, 3);
    let said = complaint(expired, None);
    assert!(said.starts_with("certificate expired: "), "{said}");
    assert!(said.ends_with("; its owner has to renew it, unless our clock is wrong"), "{said}");

    let mut early = params("localhost");
    early.not_before = date_time_ymd(4001, 2, 3);
    let said = complaint(early, None);
    assert!(said.ends_with("; is our clock right?"), "{said}");

    let mut authority = params("localhost");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let said = complaint(authority, None);
    assert!(said.contains("; it is the certificate of an authority; a server needs"), "{said}");
}

#[test]
fn a_server_in_clear_or_without_an_answer_is_told() {
    let folder = Folder::new();
    let ca = Certificate::new(&folder).cert();
    let complaint = |answer: fn(TcpStream)| -> Finished {
        let (addr, server) = serve_once(answer);
        let end = run(&mut telnet(addr, &["--ca", &ca]));
        server.join().unwrap();
        end
    };
    let end = complaint(|mut stream| {
        stream.write_all(b"220 in clear\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let said = end.complaint(1);
    assert!(said.ends_with("(it does not seem to speak TLS); is this the right port?"), "{said}");
    let end = complaint(|mut stream| {
        let mut hello = [0; 64];
        stream.read_exact(&mut hello).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let said = end.complaint(1);
    assert!(said.contains(" in the handshake: truncated: "), "{said}");
    assert!(said.ends_with("; does the server speak TLS at this port?"), "{said}");
}

#[test]
fn options_that_do_not_fit_are_told() {
    for (args, code, said) in [
        (&["--ca", "x", "localhost:5000"][..], 2, "--ca goes with --tls"),
        (
            &["--tls", "--ca", "/none", "localhost:5000"],
            1,
            "cannot read the authorities in /none: ",
        ),
        (&["--tls", "a b:1"], 2, "no name that a certificate can have"),
        (&["--tls"], 2, "it takes the server's address"),
        (&["--insecure", "localhost:5000"], 2, "--insecure"),
    ] {
        let end = run(example("telnet").args(args));
        assert!(end.complaint(code).contains(said), "{args:?}: {end:?}");
    }
}
