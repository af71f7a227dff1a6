//! The server over TLS: with clients of Redis that check its certificate, and with peers that misbehave.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Command;

use crate::certificate::{Certificate, close_write, exchange};
use crate::child::{Server, dial, run, tool};
use crate::clients::session_with;
use crate::folder::Folder;
use crate::{MIB, bulk, expect, is_sound, program, request, rest_of, start};

fn start_encrypted(certificate: &Certificate) -> Server {
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0"]).args(certificate.options());
    Server::start(command.env("RUST_LOG", "resp_server=info,crocus::reactor::preparing=info"))
}

/// A server, and the first line of its log.
fn logged(certificate: &Certificate) -> Server {
    let server = start_encrypted(certificate);
    assert!(server.program.error_line().contains("listening on"));
    server
}

fn over_tls(tool_name: &str, server: &Server, certificate: &str) -> Option<Command> {
    let mut command = tool(tool_name)?;
    command.args(["-h", "localhost", "-p", &server.addr.port().to_string()]);
    command.args(["--tls", "--sni", "localhost", "--cacert", certificate]);
    Some(command)
}

#[test]
fn redis_cli_checks_the_certificate_and_holds_a_session() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = logged(&certificate);
    for (words, expected) in
        [("PING", "PONG\n"), ("SET key value", "OK\n"), ("-3 GET key", "value\n")]
    {
        let Some(mut cli) = over_tls("redis-cli", &server, &certificate.cert()) else { return };
        let end = run(cli.args(words.split(' ')));
        assert_eq!((end.code, end.text()), (Some(0), expected), "{end:?}");
    }
    let other = Folder::new();
    let other = Certificate::new(&other);
    let end = run(over_tls("redis-cli", &server, &other.cert()).unwrap().arg("PING"));
    assert_eq!((end.code, end.text()), (Some(1), ""), "{end:?}");
    let line = server.program.error_line();
    assert!(line.contains("has come to no protocol: TLS with 127.0.0.1:"), "{line}");
}

#[test]
fn redis_benchmark_and_redis_py_run_over_tls() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = start_encrypted(&certificate);
    for pipeline in ["1", "16"] {
        let benchmark = over_tls("redis-benchmark", &server, &certificate.cert());
        let Some(mut benchmark) = benchmark else { return };
        let end = run(benchmark.args(["-t", "ping,set,get", "-n", "1000", "-q", "-P", pipeline]));
        assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{end:?}");
        assert_eq!(end.text().matches("requests per second").count(), 4, "{end:?}");
    }
    let check = ["-c", "import redis"];
    session_with(&server, "python3", &check, "redis_py.py", &[&certificate.cert()]);
}

#[test]
fn requests_over_tls_wait_for_a_peer_that_does_not_read() {
    const VALUE: usize = MIB;
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = start_encrypted(&certificate);
    let mut stream = certificate.dial(server.addr);
    stream.write_all(&request(&[b"SET", b"big", &[b'x'; VALUE]])).unwrap();
    expect(&mut stream, b"+OK\r\n");
    let before = server.peak_memory();
    stream.write_all(&b"GET big\r\n".repeat(1000)).unwrap();
    expect(&mut stream, b"$1048576\r\n"); // so it is at work
    for _ in 0..20 {
        let mut other = certificate.dial(server.addr);
        other.write_all(b"PING\r\n").unwrap();
        expect(&mut other, b"+PONG\r\n");
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 12 * VALUE, "{grown} bytes for a peer that does not read");
    let reply = bulk(&[b'x'; VALUE]);
    expect(&mut stream, &reply[10..]);
    for _ in 0..5 {
        expect(&mut stream, &reply);
    }
}

/// Both ends are: with the close_notify of TLS, and without. A request tells its end itself.
#[test]
fn requests_before_an_end_of_either_kind_are_answered() {
    const VALUE: usize = 300_000;
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = start_encrypted(&certificate);
    let reply = bulk(&[b'x'; VALUE]);
    for notifies in [true, false] {
        let mut stream = certificate.dial(server.addr);
        stream.write_all(&request(&[b"SET", b"big", &[b'x'; VALUE]])).unwrap();
        stream.write_all(&b"GET big\r\n".repeat(20)).unwrap();
        if notifies {
            close_write(&mut stream);
        } else {
            stream.sock.shutdown(Shutdown::Write).unwrap();
        }
        expect(&mut stream, b"+OK\r\n");
        for _ in 0..20 {
            expect(&mut stream, &reply);
        }
        assert_eq!(rest_of(stream), "", "and close_notify, or reading would fail");
    }
}

#[test]
fn a_request_that_is_none_gets_its_error_over_tls() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = logged(&certificate);
    let mut stream = certificate.dial(server.addr);
    stream.write_all(b"PING\r\n*x\r\nPING\r\n").unwrap();
    let expected = "+PONG\\r\\n-ERR Protocol error: invalid multibulk length\\r\\n";
    assert_eq!(rest_of(stream), expected);
    assert!(server.program.error_line().ends_with(": invalid multibulk length"));
}

#[test]
fn a_certificate_is_exchanged_within_a_transaction() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server =
        Server::start(program().args(["--listen", "127.0.0.1:0"]).args(certificate.options()));
    let mut stream = certificate.dial(server.addr);
    stream.write_all(b"MULTI\r\n").unwrap();
    expect(&mut stream, b"+OK\r\n");
    let mut queued = 0;
    exchange(&server, &certificate, dial, || {
        stream.write_all(b"INCR n\r\n").unwrap();
        expect(&mut stream, b"+QUEUED\r\n");
        queued += 1;
    });
    stream.write_all(b"EXEC\r\nGET n\r\n").unwrap();
    expect(&mut stream, format!("*{queued}\r\n:1\r\n").as_bytes());
    drop(stream);
    server.stop_with_clients();
}

#[test]
fn a_client_in_clear_gets_an_alert() {
    let folder = Folder::new();
    let server = logged(&Certificate::new(&folder));
    let mut client = dial(server.addr);
    client.write_all(b"PING\r\n").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("an end, and no reset");
    assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "a fatal alert: {answer:?}");
    let line = server.program.error_line();
    assert!(line.ends_with("(it does not seem to speak TLS)"), "{line}");
}

#[test]
fn tls_to_a_port_in_clear_is_refused_at_once() {
    let server = start();
    let mut client = dial(server.addr);
    client.write_all(&[0x16]).unwrap();
    client.write_all(&[3, 1, 2, 0, 1, 0]).unwrap();
    let expected = "-ERR Protocol error: this port does not speak TLS\\r\\n";
    assert_eq!(rest_of(client), expected);
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let Some(mut cli) = over_tls("redis-cli", &server, &certificate.cert()) else { return };
    let end = run(cli.arg("PING"));
    assert_eq!((end.code, end.text()), (Some(1), ""), "{end:?}");
    is_sound(&server);
    server.stop_with_clients();
}

#[test]
fn a_certificate_is_made_and_its_fingerprint_is_told() {
    let server = Server::start(program().args(["--listen", "127.0.0.1:0", "--self-signed"]));
    let said = server.program.error_line();
    let (_, fingerprint) = said.rsplit_once(' ').unwrap();
    let Some(mut cli) = tool("redis-cli") else { return };
    cli.args(["-p", &server.addr.port().to_string(), "--tls", "--insecure", "PING"]);
    assert_eq!(run(&mut cli).text(), "PONG\n");
    assert_eq!((fingerprint.len(), fingerprint.split(':').count()), (95, 32), "{said}");
    server.program.signal("HUP");
    let said = server.program.error_line();
    assert!(said.starts_with("another certificate was made, for localhost"), "{said}");
    assert_ne!(said.rsplit_once(' ').unwrap().1, fingerprint);
}
