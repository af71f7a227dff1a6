//! Sockets that are handed over by the parent: a Python program opens them as systemd does, and becomes this very
//! program as a child, which takes them and says what it got.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[path = "programs/child.rs"]
mod child;
#[path = "util/folder.rs"]
#[allow(dead_code, unreachable_pub, reason = "other test programs use all of it")]
mod folder;

use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;

use child::{Finished, Running, dial, python, run};
use crocus::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use crocus::tls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
};
use crocus::{
    DatagramProtocol, DatagramTransport, Datagrams, Inherited, Listen, Protocol, Reactor, Transport,
};
use folder::Folder;

/// The variable that says how the child is to act: in words with spaces between them.
const SCRIPT: &str = "CROCUS_ACTIVATION";

/// How many descriptors a child looks at.
const NUMBERS: std::ops::Range<u32> = 3..12;

/// Sends back; `stop` ends the reactor.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
        if data == b"stop" {
            transport.reactor().shutdown(child::TIME_LIMIT);
        }
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport,
        data: &[u8],
        from: SocketAddr,
    ) {
        transport.send_to(data, from).unwrap();
        transport.stop_listening();
    }
}

/// By name, or by place if it is a number.
fn inherited(word: &str) -> Inherited {
    word.parse::<usize>().map_or_else(|_| word.into(), Inherited::from)
}

/// A certificate for this run, and its key.
fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    (made.cert.der().clone(), key)
}

/// Not a test when it is run as one: the program that the tests below start.
#[test]
fn child() {
    let Ok(script) = env::var(SCRIPT) else { return };
    println!();
    println!("names {}", Inherited::names().join(","));
    let mut reactor = Reactor::new().unwrap();
    for step in script.split(' ') {
        act(step, &mut reactor);
    }
    reactor.run().unwrap();
    println!("over");
}

fn act(step: &str, reactor: &mut Reactor) {
    let (action, which) = step.split_once('=').unwrap_or((step, ""));
    let place = match action {
        "udp" => {
            let socket = Datagrams::inherited(inherited(which));
            let listening = socket.map(|socket| reactor.listen_udp(socket, Echo).unwrap());
            let local = listening.map(|id| reactor.datagram(id).unwrap().local_addr());
            return say(local);
        }
        "descriptors" => return println!("open {}", open().join(" ")),
        "environment" => {
            let left = ["LISTEN_FDS", "LISTEN_PID"].map(|name| env::var(name).is_ok());
            return println!("set {left:?}");
        }
        _ => Listen::inherited(inherited(which)),
    };
    let place = place.map(|place| match action {
        "listen" => place,
        "one" => place.max_connections_per_peer(1),
        "tls" => {
            let (certificate, key) = certificate();
            println!("certificate {}", hex(&certificate));
            let config = ServerConfig::builder().with_no_client_auth();
            place.tls(config.with_single_cert(vec![certificate], key).unwrap())
        }
        other => panic!("{other}"),
    });
    say(place.map(|place| {
        let listener = reactor.listen(place, |_peer| Echo).unwrap();
        reactor.local_addr(listener).unwrap()
    }));
}

fn say(outcome: std::io::Result<impl std::fmt::Display>) {
    match outcome {
        Ok(local) => println!("at {local}"),
        Err(error) => println!("{:?}: {error}", error.kind()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The descriptors that are open, each with whether it is closed by exec: proc_pid_fdinfo(5).
fn open() -> Vec<String> {
    const CLOSED_BY_EXEC: u32 = 0o2_000_000;
    let flags = |number: u32| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
        let closed = u32::from_str_radix(&flags, 8).unwrap() & CLOSED_BY_EXEC != 0;
        Some(format!("{number}{}", if closed { "c" } else { "" }))
    };
    NUMBERS.filter_map(flags).collect()
}

/// A child that was handed these sockets, and acts so.
fn handed(sockets: &[&str], script: &str) -> Option<Command> {
    let mut command = python("hand_over.py")?;
    command.args(sockets).arg("--").arg(env::current_exe().unwrap());
    // One thread for tests is this program's first one, as `main` would be.
    command.args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(SCRIPT, script);
    Some(command)
}

/// The lines that the child says, from the names on.
fn said(end: &Finished) -> Vec<&str> {
    assert_eq!(end.code, Some(0), "{end:?}");
    end.text()
        .lines()
        .skip_while(|line| !line.starts_with("names "))
        .take_while(|line| *line != "over")
        .collect()
}

/// The next line that begins so.
fn line(child: &Running, begin: &str) -> String {
    loop {
        if let Some(rest) = child.line().strip_prefix(begin) {
            return rest.to_owned();
        }
    }
}

fn echo(mut stream: impl Read + Write, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text.as_bytes());
}

#[test]
fn listeners_are_taken_by_name_or_by_place_and_serve() {
    let folder = Folder::new();
    let unix = format!("admin=unix:{}", folder.path().display());
    let sockets = ["web=tcp", &unix, "web=tcp6", "dns=udp"];
    let Some(mut command) = handed(&sockets, "listen=web listen=admin listen=2 udp=dns") else {
        return;
    };
    let child = Running::start(&mut command);
    assert_eq!(line(&child, "names "), "web,admin,web,dns");
    let web: SocketAddr = line(&child, "at ").parse().unwrap();
    assert_eq!(line(&child, "at unix:"), folder.path().display().to_string());
    let six: SocketAddr = line(&child, "at ").parse().unwrap();
    let dns: SocketAddr = line(&child, "at ").parse().unwrap();
    assert!(web.is_ipv4() && six.is_ipv6(), "{web} {six}");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"asked", dns).unwrap();
    let mut answer = [0; 9];
    assert_eq!(udp.recv_from(&mut answer).unwrap(), (5, dns));
    echo(dial(six), "six");
    echo(UnixStream::connect(folder.path()).unwrap(), "unix");
    echo(dial(web), "stop");
    assert_eq!(child.finish().code, Some(0));
    assert!(folder.path().exists(), "the file belongs to the one who made it");
}

#[test]
fn of_sockets_with_one_name_each_call_gets_the_next_that_fits() {
    let sockets = ["dns=udp", "dns=tcp", "dns=tcp6"];
    let script = "udp=dns listen=dns listen=dns listen=dns udp=dns";
    let Some(mut command) = handed(&sockets, script) else { return };
    let child = Running::start(&mut command);
    assert_eq!(line(&child, "names "), "dns,dns,dns");
    let first: SocketAddr = line(&child, "at ").parse().unwrap();
    assert!(line(&child, "at ").starts_with("127.0.0.1:"));
    let second: SocketAddr = line(&child, "at ").parse().unwrap();
    assert!(first.is_ipv4() && second.is_ipv6());
    let gone = "the inherited socket \"dns\" is taken already, taken already, taken already";
    assert_eq!(line(&child, "InvalidInput: "), format!("cannot take a listener: {gone}"));
    assert_eq!(line(&child, "InvalidInput: "), format!("cannot take a UDP socket: {gone}"));
    echo(dial(second), "stop");
    assert_eq!(child.finish().code, Some(0));
}

#[test]
fn an_error_says_what_the_socket_is() {
    let folder = Folder::new();
    let at = |kind: &str, file: &str| format!("{kind}={kind}:{}", folder.join(file).display());
    let (datagrams, packets) = (at("unixgram", "a"), at("seqpacket", "b"));
    let sockets = ["udp=udp", "tcp=connected", &datagrams, &packets, "file=pipe", "web=tcp"];
    let script = "listen=udp listen=tcp listen=unixgram listen=seqpacket listen=file listen=webb \
                  listen=9 udp=web udp=tcp descriptors";
    let Some(mut command) = handed(&sockets, script) else { return };
    let end = run(&mut command);
    let cannot = |wanted: &str, which: &str, is: &str| {
        format!("InvalidInput: cannot take {wanted}: the inherited socket \"{which}\" is {is}")
    };
    let stream = "a stream that does not listen (Accept=yes hands over a connection)";
    let all = r#"there are "udp", "tcp", "unixgram", "seqpacket", "file", "web""#;
    let expected = [
        "names udp,tcp,unixgram,seqpacket,file,web".to_owned(),
        cannot("a listener", "udp", "a UDP socket"),
        cannot("a listener", "tcp", stream),
        cannot("a listener", "unixgram", "a Unix datagram socket"),
        cannot("a listener", "seqpacket", "no TCP, UDP or Unix socket"),
        cannot("a listener", "file", "no TCP, UDP or Unix socket"),
        format!("InvalidInput: no inherited socket is \"webb\"; {all}"),
        format!("InvalidInput: no inherited socket is number 9; {all}"),
        cannot("a UDP socket", "web", "a TCP listener"),
        cannot("a UDP socket", "tcp", stream),
    ];
    let said = said(&end);
    assert_eq!(said[..expected.len()], expected);
    // All are open still. The ones that are no TCP, UDP or Unix sockets were not touched.
    let open: Vec<_> = said.last().unwrap().split(' ').skip(1).take(6).collect();
    assert_eq!(open, ["3c", "4c", "5c", "6", "7", "8c"]);
}

#[test]
fn a_taken_socket_leaves_the_others_open() {
    let sockets = ["a=tcp", "b=tcp", "c=udp"];
    let Some(mut command) = handed(&sockets, "listen=b environment descriptors") else { return };
    let child = Running::start(&mut command);
    let taken: SocketAddr = line(&child, "at ").parse().unwrap();
    assert_eq!(line(&child, "set "), "[false, false]", "no child of it takes them for its own");
    let open = line(&child, "open ");
    assert!(open.starts_with("3c 4c 5c"), "{open}");
    echo(dial(taken), "stop");
    assert_eq!(child.finish().code, Some(0));
}

#[test]
fn nothing_is_taken_that_was_for_another_process_or_not_there() {
    let script = "listen=web listen=0 udp=web environment";
    for sockets in [&["--for-another", "web=tcp"][..], &["--for-nobody", "web=tcp"], &[]] {
        let Some(mut command) = handed(sockets, script) else { return };
        let end = run(&mut command);
        let none = |which: &str| {
            format!(
                "NotFound: no socket was handed over to this process, so none is {which}: LISTEN_FDS and \
                 LISTEN_PID do not say so"
            )
        };
        let web = none("\"web\"");
        assert_eq!(said(&end)[..4], ["names ", &web, &none("number 0"), &web], "{sockets:?}");
    }
}

#[test]
fn sockets_without_a_name_are_called_unknown() {
    let sockets = ["--unnamed", "web=tcp", "web=udp"];
    let Some(mut command) = handed(&sockets, "listen=web listen=unknown udp=1") else { return };
    let child = Running::start(&mut command);
    assert_eq!(line(&child, "names "), "unknown,unknown");
    assert!(line(&child, "InvalidInput: ").starts_with("no inherited socket is \"web\""));
    let web: SocketAddr = line(&child, "at ").parse().unwrap();
    let udp: SocketAddr = line(&child, "at ").parse().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"x", udp).unwrap();
    client.recv_from(&mut [0; 9]).unwrap();
    echo(dial(web), "stop");
    assert_eq!(child.finish().code, Some(0));
}

#[test]
fn an_empty_name_stands_for_its_own_socket() {
    let Some(mut command) = handed(&["x=tcp", "=tcp", "z=tcp"], "descriptors") else { return };
    assert_eq!(said(&run(&mut command))[0], "names x,unknown,z");
}

#[test]
fn options_of_a_listener_apply_to_an_inherited_socket() {
    let Some(mut command) = handed(&["web=tcp", "tls=tcp"], "one=web tls=tls") else { return };
    let child = Running::start(&mut command);
    let web: SocketAddr = line(&child, "at ").parse().unwrap();
    let certificate = CertificateDer::from(unhex(&line(&child, "certificate ")));
    let secure: SocketAddr = line(&child, "at ").parse().unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    echo(StreamOwned::new(client, dial(secure)), "in secret");

    let mut first = dial(web);
    echo(&mut first, "first");
    assert_eq!(dial(web).read(&mut [0; 1]).unwrap_or(0), 0, "one for each peer");
    echo(&mut first, "stop");
    drop(first);
    assert_eq!(child.finish().code, Some(0));
}
