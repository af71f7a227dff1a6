//! The example `connect_proxy`, with curl and with clients that misbehave.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::child::{Server, dial, example, patient, run, serve_once, serve_page, tool};
use crate::util::{full_server, pattern};

fn proxy(args: &[&str]) -> Server {
    Server::start(example("connect_proxy").args(["--listen", "127.0.0.1:0"]).args(args))
}

/// Sends a head and what follows it; returns the first line of the answer.
fn ask(proxy: SocketAddr, head: &[u8]) -> String {
    let mut client = dial(proxy);
    client.write_all(head).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

fn connect_head(to: SocketAddr) -> String {
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: test\r\n\r\n")
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

#[test]
fn curl_fetches_pages_through_a_tunnel() {
    let Some(mut curl) = tool("curl") else { return };
    let page = pattern(8 << 20);
    let proxy = proxy(&[]);
    let url = format!("http://{}/page", serve_page(page.clone()));
    let via = format!("http://{}", proxy.addr);
    let common = ["--silent", "--show-error", "--max-time", "60", "--proxytunnel", "-x", &via];
    let end = run(curl.args(common).args([&url, &url]));
    assert!(end.code == Some(0) && end.stderr.is_empty(), "{}", end.stderr);
    assert!(end.stdout == [&page[..], &page].concat(), "{} bytes", end.stdout.len());
    proxy.stop_with_clients();
}

#[test]
fn curl_is_told_what_fails() {
    if tool("curl").is_none() {
        return;
    }
    let proxy = proxy(&[]);
    let via = format!("http://{}", proxy.addr);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/");
    let code = |args: &[&str], which: &str| {
        let mut curl = tool("curl").unwrap();
        let common = ["--silent", "--output", "/dev/null", "--max-time", "60", "-x", &via];
        run(curl.args(common).args(["--write-out", which]).args(args).arg(&url)).text().to_owned()
    };
    assert_eq!(code(&["--proxytunnel"], "%{http_connect}"), "502");
    assert_eq!(code(&[], "%{http_code}"), "405", "a plain GET");
    proxy.stop_with_clients();
}

#[test]
fn heads_that_are_none_are_refused() {
    let proxy = proxy(&[]);
    let long = format!("CONNECT a:1 HTTP/1.1\r\nA: {}", "a".repeat(9000));
    let fields = format!("CONNECT a:1 HTTP/1.1\r\n{}\r\n", "A: a\r\n".repeat(101));
    for (head, status) in [
        (&b"hello\r\n\r\n"[..], "400 Bad Request"),
        (b"CONNECT localhost HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"CONNECT :80 HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"CONNECT ::1:80 HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"CONNECT unix:/run/x HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"CONNECT a:65536 HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"CONNECT [::zz]:80 HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"CONNECT a:+80 HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"CONNECT a: HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"CONNECT a:80 HTTP/2.0\r\n\r\n", "400 Bad Request"),
        (b"CONNECT a:80 HTTP/1.10\r\n\r\n", "400 Bad Request"),
        (b"GET http://a/ HTTP/1.2\r\n\r\n", "405 Method Not Allowed"),
        (fields.as_bytes(), "400 Bad Request"),
        // RFC 9112, section 5.1.
        (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost : a\r\n\r\n", "400 Bad Request"),
        (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n: a\r\n\r\n", "400 Bad Request"),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (long.as_bytes(), "431 Request Header Fields Too Large"),
    ] {
        let answer = ask(proxy.addr, head);
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{}", head.escape_ascii());
    }
    // An answer to HEAD has no content (RFC 9110, section 9.3.2).
    let (mut stream, mut answer) = (dial(proxy.addr), String::new());
    stream.write_all(b"HEAD http://a/ HTTP/1.1\r\n\r\n").unwrap();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    drop(stream);
    proxy.stop_with_clients();
}

#[test]
fn only_the_allowed_port_is_connected_to() {
    let (addr, far) = serve_once(|mut stream| stream.write_all(b"hello").unwrap());
    let proxy = proxy(&["--port", &addr.port().to_string()]);
    let other = ask(proxy.addr, b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n");
    assert_eq!(other, "HTTP/1.1 403 Forbidden");
    assert_eq!(
        ask(proxy.addr, connect_head(addr).as_bytes()),
        "HTTP/1.1 200 Connection established"
    );
    far.join().unwrap();
    proxy.stop_with_clients();
}

#[test]
fn bytes_behind_the_head_keep_their_order() {
    let early = pattern(200_000);
    for at_once in [true, false] {
        let expected = early.clone();
        let (addr, far) = serve_once(move |stream| {
            let mut stream = patient(stream);
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got == expected, "{} bytes", got.len());
            stream.write_all(b"thanks").unwrap();
        });
        let proxy = proxy(&[]);
        let mut client = dial(proxy.addr);
        let head = connect_head(addr);
        if at_once {
            client.write_all(&[head.as_bytes(), &early].concat()).unwrap();
        } else {
            client.set_nodelay(true).unwrap();
            for byte in head.as_bytes() {
                client.write_all(&[*byte]).unwrap();
            }
            client.write_all(&early).unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, [ESTABLISHED, b"thanks"].concat());
        far.join().unwrap();
        drop(client);
        proxy.stop_with_clients();
    }
}

/// Both limits are 10 s, and are waited for at the same time.
#[test]
fn slow_clients_and_silent_servers_have_deadlines() {
    let (_full, addr) = full_server();
    let proxy = proxy(&[]);
    let at = proxy.addr;
    thread::scope(|scope| {
        let slow = scope.spawn(move || ask(at, b"CONNECT localhost:80 HTTP/1.1\r\n"));
        let silent = scope.spawn(move || ask(at, connect_head(addr).as_bytes()));
        assert_eq!(slow.join().unwrap(), "HTTP/1.1 408 Request Timeout");
        assert_eq!(silent.join().unwrap(), "HTTP/1.1 504 Gateway Timeout");
    });
    proxy.stop_with_clients();
}

#[test]
fn it_listens_for_this_machine_only_unless_told() {
    let end = run(example("connect_proxy").arg("--help"));
    assert!(end.text().contains("[127.0.0.1:5000]"), "{end:?}");
    let server = Server::start(example("connect_proxy").args(["--listen", ":0"]));
    assert!(server.addr.ip().is_loopback());
    drop(TcpStream::connect(server.addr).unwrap());
    server.stop_with_clients();
    for port in ["many", "0", "65536"] {
        let end = run(example("connect_proxy").args(["--port", port]));
        assert!(end.complaint(2).contains("--port takes a port from 1 to 65535"), "{end:?}");
    }
}
