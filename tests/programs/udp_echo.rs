//! `udp_echo` from outside: with netcat and socat, and with peers that misbehave.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};

use crate::child::{Running, Server, TIME_LIMIT, example, run, tool};

fn client(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(TIME_LIMIT)).unwrap();
    socket
}

/// Sends a datagram and checks that it comes back.
fn is_echoed(socket: &UdpSocket, data: &[u8]) {
    socket.send(data).unwrap();
    let mut buf = vec![0; 1 << 16];
    let count = socket.recv(&mut buf).unwrap();
    assert!(buf[..count] == *data, "{} bytes went, {count} came", data.len());
}

/// Has a program that is not ours send lines, and checks that each comes back.
fn converse(name: &str, args: impl Fn(SocketAddr) -> Vec<String>) {
    let server = Server::example("udp_echo");
    let Some(mut program) = tool(name) else { return };
    let (program, mut stdin) = Running::start_talking(program.args(args(server.addr)));
    for line in ["hello", "a second one", "Größe", &"x".repeat(1000)] {
        writeln!(stdin, "{line}").unwrap();
        assert_eq!(program.line(), line);
    }
    drop(program);
    server.stop();
}

#[test]
fn netcat_gets_its_lines_back() {
    converse("nc", |addr| vec!["-u".to_owned(), addr.ip().to_string(), addr.port().to_string()]);
}

#[test]
fn socat_gets_its_lines_back() {
    converse("socat", |addr| vec!["STDIO".to_owned(), format!("UDP4:{addr}")]);
}

#[test]
fn socat_gets_one_large_datagram_back() {
    let server = Server::example("udp_echo");
    let Some(mut socat) = tool("socat") else { return };
    let addr = format!("UDP4:{}", server.addr);
    let (socat, mut stdin) = Running::start_talking(socat.args(["-b", "60000", "STDIO", &addr]));
    let text = format!("{}\n", "0123456789".repeat(5000));
    stdin.write_all(text.as_bytes()).unwrap();
    // The pipe cuts the stream, not we: the pieces together are what was sent.
    assert_eq!(socat.line(), text.trim_end());
    drop(socat);
    server.stop();
}

#[test]
fn ipv6_is_served_too() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: there is no IPv6");
        return;
    }
    let server = Server::start(example("udp_echo").args(["--listen", "[::1]:0"]));
    is_echoed(&client(server.addr), b"six");
    server.stop();
}

#[test]
fn whatever_comes_goes_back() {
    let server = Server::example("udp_echo");
    let socket = client(server.addr);
    let garbage: Vec<u8> = (0..=255).rev().collect();
    for data in [&b""[..], b"\0", b"\r\n\r\n", &garbage, &vec![0xff; 65_507], b"", b"after"] {
        is_echoed(&socket, data);
    }
    server.stop();
}

#[test]
fn two_clients_do_not_get_each_other_s() {
    let server = Server::example("udp_echo");
    let clients = [client(server.addr), client(server.addr)];
    for round in 0..50_u8 {
        clients[0].send(&[round, 0]).unwrap();
        clients[1].send(&[round, 1]).unwrap();
        for (number, client) in clients.iter().enumerate() {
            let mut buf = [0; 9];
            assert_eq!(client.recv(&mut buf).unwrap(), 2);
            assert_eq!(buf[..2], [round, number as u8]);
        }
    }
    server.stop();
}

#[test]
fn a_peer_that_never_reads_costs_nothing() {
    let server = Server::example("udp_echo");
    let reader = client(server.addr);
    is_echoed(&reader, &[1; 60_000]);
    let before = server.program.peak_memory();
    let flood = client(server.addr);
    for _ in 0..5000 {
        flood.send(&[0; 60_000]).unwrap();
    }
    // When it is through it serves others as before; what came meanwhile may have been lost.
    reader.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    let mut buf = [0; 9];
    let through = (0..600).any(|_| {
        reader.send(b"still?").unwrap();
        reader.recv(&mut buf).is_ok_and(|count| buf[..count] == *b"still?")
    });
    assert!(through, "it does not answer any more");
    if let (Some(before), Some(after)) = (before, server.program.peak_memory()) {
        // 300 MB went through it.
        assert!(after < before + 4096, "{before} KiB before the flood, {after} after");
    }
    server.stop();
}

/// A peer that closed its socket before the answer came.
#[test]
fn an_answer_that_is_refused_does_no_harm() {
    let server = Server::example("udp_echo");
    let stays = client(server.addr); // its port is none of those that the others leave, to which late answers go
    for _ in 0..50 {
        client(server.addr).send(b"hello and good-bye").unwrap();
    }
    is_echoed(&stays, b"still?");
    server.stop();
}

#[test]
fn errors_are_one_line_with_a_hint() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let end = run(example("udp_echo").args(["--listen", &listen]));
    let complaint = end.complaint(1);
    let cause = format!("udp_echo: cannot listen at {listen}: Address already in use");
    assert!(complaint.starts_with(&cause) && complaint.contains("ss -lntup"), "{complaint}");
    let elsewhere = run(example("udp_echo").args(["--listen", "192.0.2.1:0"]));
    assert!(elsewhere.complaint(1).contains("an address of this machine"));
    for args in [&["--backlog", "5"][..], &["--listen"], &["--listen", "5000"], &["--nonsense"]] {
        let end = run(example("udp_echo").args(args));
        assert!(end.complaint(2).ends_with("udp_echo --help tells more"), "{end:?}");
    }
    let help = run(example("udp_echo").arg("--help"));
    assert_eq!((help.code, &*help.stderr), (Some(0), ""));
    assert!(help.text().contains("Usage: udp_echo"));
}

#[test]
fn each_datagram_is_told_of_on_request() {
    let mut command = example("udp_echo");
    command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "udp_echo=debug");
    let server = Server::start(&mut command);
    let socket = client(server.addr);
    is_echoed(&socket, b"hello");
    assert!(server.program.error_line().contains("listening on"));
    let line = server.program.error_line();
    let told = format!("5 bytes sent back to {}", socket.local_addr().unwrap());
    assert!(line.ends_with(&told), "{line}");
}
