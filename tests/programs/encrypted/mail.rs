//! `smtp_sink` with STARTTLS (RFC 3207), and with clients that try to get a command past it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use crocus::tls::rustls::pki_types::ServerName;
use crocus::tls::rustls::{ClientConnection, StreamOwned};

use crate::certificate::{Certificate, TlsStream, exchange, shake_hands};
use crate::child::{Running, Server, dial, example, python, run, tool};
use crate::util::Folder;

/// A sink that saves in a folder, which has its certificate too. It logs what goes wrong with TLS.
fn sink(folder: &Folder, certificate: &Certificate) -> Server {
    let mut command = example("smtp_sink");
    command.args(["--listen", "127.0.0.1:0", "--folder", folder.to_str().unwrap()]);
    let log = "smtp_sink=info,crocus::reactor::preparing=info";
    let server = Server::start(command.args(certificate.options()).env("RUST_LOG", log));
    assert!(server.program.error_line().contains("listening on"));
    server
}

/// The messages in the folder of a sink.
fn messages(folder: &Folder) -> Vec<String> {
    folder.names().into_iter().filter(|name| name.ends_with(".eml")).collect()
}

/// Sends a command in clear, and returns its answer without reading on.
fn ask(stream: &mut TcpStream, command: &[u8]) -> String {
    stream.write_all(command).unwrap();
    line(stream)
}

/// Reads a line, and no byte behind it.
fn line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// A connection on which TLS can begin.
fn started(addr: SocketAddr) -> TcpStream {
    let mut stream = dial(addr);
    assert!(line(&mut stream).starts_with("220 "));
    assert_eq!(ask(&mut stream, b"STARTTLS\r\n"), "220 go ahead");
    stream
}

#[test]
fn smtplib_starts_tls_and_what_it_said_before_is_forgotten() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = sink(&folder, &certificate);
    let Some(mut client) = python("mail_tls.py") else { return };
    let end = run(client.args([&server.addr.port().to_string(), &certificate.cert()]));
    assert_eq!((end.code, end.text()), (Some(0), "done\n"), "{end:?}");
    let expected = "Return-Path: <a@b>\r\nDelivered-To: c@d\r\n\
                    X-Encrypted: TLSv1_3, TLS13_AES_256_GCM_SHA384\r\nSubject: secret\r\n";
    let saved = fs::read_to_string(folder.join("1.eml")).unwrap();
    assert!(saved.starts_with(expected), "{saved}");
}

#[test]
fn swaks_checks_the_certificate_and_sends_a_message() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = sink(&folder, &certificate);
    let at = ["--server", "127.0.0.1", "--port", &server.addr.port().to_string()];
    let mail = ["--from", "a@example.org", "--to", "b@example.org"];
    for protocol in ["tlsv1_2", "tlsv1_3"] {
        let Some(mut swaks) = tool("swaks") else { return };
        let tls = ["--tls", "--tls-protocol", protocol, "--tls-verify", "--tls-ca-path"];
        let end = run(swaks.args(at).args(mail).args(tls).arg(certificate.cert()));
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.text().contains("=== TLS started with cipher TLSv1."), "{end:?}");
    }
    assert_eq!(messages(&folder).len(), 2);
    // It trusts another one, and does not send its message in clear instead.
    let other = Folder::new();
    let other = Certificate::new(&other);
    let mut swaks = tool("swaks").unwrap();
    swaks.args(at).args(mail).args(["--tls", "--tls-verify", "--tls-ca-path", &other.cert()]);
    let end = run(&mut swaks);
    assert_eq!(end.code, Some(29), "{end:?}");
    assert_eq!(messages(&folder).len(), 2);
}

#[test]
fn openssl_types_a_message() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = sink(&folder, &certificate);
    let Some(mut client) = tool("openssl") else { return };
    client.args(["s_client", "-starttls", "smtp", "-connect", &server.addr.to_string(), "-crlf"]);
    client.args(["-CAfile", &certificate.cert(), "-verify_return_error", "-quiet"]);
    let (client, mut keyboard) = Running::start_talking(&mut client);
    for (typed, answer) in [
        ("EHLO me", "250-localhost"),
        ("MAIL FROM:<a@b>", "250 OK"),
        ("RCPT TO:<c@d>", "250 OK"),
        ("DATA", "354 end with a dot in a line of its own"),
        ("hello\n.", "250 OK"),
        ("QUIT", "221 good-bye"),
    ] {
        writeln!(keyboard, "{typed}").unwrap();
        assert_eq!(client.line(), answer, "{typed}");
        if typed.starts_with("EHLO") {
            assert_eq!([client.line(), client.line()], ["250-8BITMIME", "250-PIPELINING"]);
            assert_eq!(client.line(), "250 SIZE 10485760", "and no STARTTLS");
        }
    }
    assert_eq!(messages(&folder), ["1.eml"]);
}

/// The attack of CVE-2011-0411: somebody on the way adds commands to the one that is sent in clear.
#[test]
fn commands_behind_starttls_in_clear_are_never_executed() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = sink(&folder, &certificate);
    let whole = "MAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n";
    for injected in [whole, "RSET\r\n", "MAIL FR", "\r\n", "R"] {
        let mut stream = dial(server.addr);
        let peer = stream.local_addr().unwrap();
        assert!(line(&mut stream).starts_with("220 "));
        let all = format!("EHLO me\r\nSTARTTLS\r\n{injected}");
        assert_eq!(ask(&mut stream, all.as_bytes()), "250-localhost");
        while line(&mut stream) != "220 go ahead" {}
        let refused = shake_hands(stream, &certificate.client).err().unwrap();
        assert!(refused.to_string().contains("fatal alert"), "{injected:?}: {refused}");
        let expected = format!("TLS with {peer} in the handshake: received corrupt message");
        let logged = server.program.error_line();
        assert!(logged.contains(&expected), "{injected:?}: {logged}");
    }
    assert_eq!(messages(&folder), [""; 0]);
}

/// Begins TLS with a hello that leaves in one segment with the command.
fn along_with_the_command(addr: SocketAddr, certificate: &Certificate) -> TlsStream {
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(Arc::clone(&certificate.client), name).unwrap();
    let mut bytes = b"STARTTLS\r\n".to_vec();
    tls.write_tls(&mut bytes).unwrap();
    let mut stream = dial(addr);
    assert!(line(&mut stream).starts_with("220 "));
    assert_eq!(ask(&mut stream, &bytes), "220 go ahead");
    StreamOwned::new(tls, stream)
}

#[test]
fn a_hello_in_the_segment_of_starttls_is_taken() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = sink(&folder, &certificate);
    let mut stream = along_with_the_command(server.addr, &certificate);
    // Pipelined, and the end of it cut off from the rest.
    stream.write_all(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhello\r\n.\r\nQU").unwrap();
    let answers: Vec<_> = (0..4).map(|_| line(&mut stream)).collect();
    let prompt = "354 end with a dot in a line of its own";
    assert_eq!(answers, ["250 OK", "250 OK", prompt, "250 OK"]);
    stream.write_all(b"IT\r\n").unwrap();
    let mut rest = String::new();
    BufReader::new(stream).read_to_string(&mut rest).expect("and close_notify");
    assert_eq!(rest, "221 good-bye\r\n");
    assert_eq!(messages(&folder), ["1.eml"]);
}

#[test]
fn starttls_is_refused_where_it_makes_no_sense() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = sink(&folder, &certificate);
    let mut stream = dial(server.addr);
    line(&mut stream);
    assert_eq!(ask(&mut stream, b"STARTTLS now\r\n"), "501 it takes no argument");
    assert_eq!(ask(&mut stream, b"starttls \r\n"), "220 go ahead");
    let mut stream = shake_hands(stream, &certificate.client).unwrap();
    stream.write_all(b"STARTTLS\r\nNOOP\r\n").unwrap();
    assert_eq!(line(&mut stream), "503 it is encrypted already");
    assert_eq!(line(&mut stream), "250 OK");

    let in_clear = Server::example("smtp_sink");
    let mut stream = BufReader::new(dial(in_clear.addr));
    stream.get_mut().write_all(b"EHLO me\r\nSTARTTLS\r\nQUIT\r\n").unwrap();
    let answers: Vec<_> = stream.lines().map(|line| line.unwrap()).collect();
    let expected = [
        "220 localhost takes every message",
        "250-localhost",
        "250-8BITMIME",
        "250-PIPELINING",
        "250 SIZE 10485760",
        "454 there is no certificate here",
        "221 good-bye",
    ];
    assert_eq!(answers, expected);
    in_clear.stop_with_clients();
}

/// A message of which TLS does not confirm the end is none, and its client is logged.
#[test]
fn a_message_that_is_cut_off_is_not_saved() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = sink(&folder, &certificate);
    let mut stream = shake_hands(started(server.addr), &certificate.client).unwrap();
    let peer = stream.sock.local_addr().unwrap();
    stream.write_all(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\npay 10").unwrap();
    while !line(&mut stream).starts_with("354") {}
    stream.sock.shutdown(Shutdown::Write).unwrap();
    let logged = server.program.error_line();
    let expected = format!("TLS with {peer} on the open connection: truncated");
    assert!(logged.contains(&expected), "{logged}");
    assert_eq!(messages(&folder), [""; 0]);
}

#[test]
fn a_certificate_is_exchanged_while_a_mail_is_written() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let mut command = example("smtp_sink");
    let server =
        Server::start(command.args(["--listen", "127.0.0.1:0"]).args(certificate.options()));
    let mut stream = shake_hands(started(server.addr), &certificate.client).unwrap();
    stream.write_all(b"MAIL FROM:<a@b>\r\n").unwrap();
    assert_eq!(line(&mut stream), "250 OK");
    exchange(&server, &certificate, started, || {
        stream.write_all(b"RCPT TO:<c@d>\r\n").unwrap();
        assert_eq!(line(&mut stream), "250 OK");
    });
    drop(stream);
    server.stop_with_clients();
}

#[test]
fn a_shutdown_is_told_over_tls() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = sink(&folder, &certificate);
    let mut stream = shake_hands(started(server.addr), &certificate.client).unwrap();
    stream.write_all(b"NOOP\r\n").unwrap();
    assert_eq!(line(&mut stream), "250 OK");
    server.program.signal("TERM");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("and close_notify");
    assert_eq!(rest, "421 shutting down\r\n");
    drop(stream);
    assert_eq!(server.program.finish().code, Some(0));
}
