//! `port_forward` where one side is encrypted, or both are.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rcgen::CertificateParams;

use super::reversing_server;
use crate::certificate::{Certificate, close_write, exchange, shake_hands};
use crate::child::{Server, dial, example, patient, run, serve_once, serve_page, tool};
use crate::util::{Folder, pattern};

fn forward(to: &str, options: &[String]) -> Server {
    let mut command = example("port_forward");
    Server::start(command.args(["--listen", "127.0.0.1:0", "--to", to]).args(options))
}

/// The options of a forwarder that takes a certificate for that of an authority.
fn trusting(certificate: &Certificate) -> [String; 2] {
    ["--ca".to_owned(), certificate.cert()]
}

/// A forwarder to this place behind one that encrypts for it.
fn through_two(to: SocketAddr, certificate: &Certificate) -> (Server, Server) {
    let takes_off = forward(&to.to_string(), &certificate.options());
    let adds = forward(&format!("tls:{}", takes_off.addr), &trusting(certificate));
    (adds, takes_off)
}

#[test]
fn curl_gets_a_page_by_https_of_a_server_that_has_none() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let page = pattern(8 << 20);
    let server = forward(&serve_page(page.clone()).to_string(), &certificate.options());
    let Some(mut curl) = tool("curl") else { return };
    let url = format!("https://{}/", server.addr);
    let end = run(curl.args(["--silent", "--show-error", "--cacert", &certificate.cert(), &url]));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    assert!(end.stdout == page, "{} bytes came", end.stdout.len());
    server.stop_with_clients();
}

#[test]
fn a_client_in_clear_talks_to_a_server_of_openssl() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    for version in ["-tls1_2", "-tls1_3"] {
        let Some((_upstream, addr)) = reversing_server(&certificate, version) else { return };
        let server = forward(&format!("tls:{addr}"), &trusting(&certificate));
        let mut client = dial(server.addr);
        client.write_all(b"hello\n").unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"olleh\n");
        drop(client);
        server.stop_with_clients();
    }
}

/// The server answers after the end of what it is told, with an end of its own.
#[test]
fn both_ends_pass_through_tls_behind_the_last_byte() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let (to, upstream) = serve_once(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.reverse();
        stream.write_all(&all).unwrap();
    });
    let (adds, takes_off) = through_two(to, &certificate);
    let said = pattern(3 << 20);
    let mut client = dial(adds.addr);
    client.write_all(&said).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    answer.reverse();
    assert!(answer == said, "{} bytes came back", answer.len());
    upstream.join().unwrap();
    drop(client);
    adds.stop_with_clients();
    takes_off.stop_with_clients();
}

#[test]
fn a_client_that_is_cut_off_is_no_end_for_its_server() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = forward(&listener.local_addr().unwrap().to_string(), &certificate.options());
    for notifies in [true, false] {
        let mut client = certificate.dial(server.addr);
        client.write_all(b"half a message").unwrap();
        let mut far = patient(listener.accept().unwrap().0);
        let mut came = [0; 14];
        far.read_exact(&mut came).unwrap();
        if notifies {
            close_write(&mut client);
            assert_eq!(far.read(&mut came).unwrap(), 0, "the end, which TLS confirms");
        } else {
            client.sock.shutdown(Shutdown::Write).unwrap();
            assert_eq!(far.read(&mut came).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }
    server.stop_with_clients();
}

#[test]
fn a_server_that_is_cut_off_is_no_end_for_its_client() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("tls:{}", listener.local_addr().unwrap());
    let server = forward(&to, &trusting(&certificate));
    for notifies in [true, false] {
        let mut client = dial(server.addr);
        let mut far = certificate.serve(patient(listener.accept().unwrap().0));
        far.write_all(b"half an answer").unwrap();
        far.flush().unwrap();
        let mut came = [0; 14];
        client.read_exact(&mut came).unwrap();
        if notifies {
            close_write(&mut far);
            assert_eq!(client.read(&mut came).unwrap(), 0, "the end, which TLS confirms");
        } else {
            far.sock.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.read(&mut came).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }
    server.stop_with_clients();
}

#[test]
fn a_peer_that_does_not_read_stops_the_other_through_tls() {
    const MUCH: usize = 64 << 20;
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let (to, upstream) = serve_once(move |mut stream| {
        wait.recv().unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
    });
    let (adds, takes_off) = through_two(to, &certificate);
    let before = [adds.peak_memory(), takes_off.peak_memory()];
    let mut client = dial(adds.addr);
    let (fed, feed) = std::sync::mpsc::channel();
    let typist = thread::spawn(move || {
        let piece = pattern(1 << 16);
        for sent in 1..=MUCH / piece.len() {
            client.write_all(&piece).unwrap();
            fed.send(sent * piece.len()).unwrap();
        }
    });
    let mut taken = 0;
    while let Ok(sent) = feed.recv_timeout(std::time::Duration::from_secs(1)) {
        taken = sent; // a slow machine makes this check weaker, and never fail
    }
    assert!(taken < MUCH / 2, "{taken} bytes were taken for a server that does not read");
    for (server, before) in [&adds, &takes_off].into_iter().zip(before) {
        let grown = server.peak_memory() - before;
        assert!(grown < 4 << 20, "{grown} bytes");
    }
    go_on.send(()).unwrap();
    typist.join().unwrap();
    assert_eq!(upstream.join().unwrap(), MUCH as u64);
}

/// The log of a forwarder that does not trust its server, when a client comes.
fn refusal(to: &str, ca: &str) -> String {
    let server = forward(to, &["--ca".to_owned(), ca.to_owned()]);
    let mut client = dial(server.addr);
    client.write_all(b"secret").unwrap();
    let peer = client.local_addr().unwrap();
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0, "closed in order");
    let line = server.program.error_line();
    let (_, said) = line.split_once("] ").unwrap();
    let target = to.strip_prefix("tls:").unwrap();
    let said =
        said.strip_prefix(&format!("cannot connect {peer} to {target}: TLS with 127.0.0.1:"));
    drop(client);
    said.expect(&line).split_once(" in the handshake: ").expect(&line).1.to_owned()
}

/// A server that accepts, and lets a client of TLS try.
fn tried(certificate: Certificate) -> SocketAddr {
    let (addr, _) = serve_once(move |stream| {
        let mut stream = certificate.serve(stream);
        let mut secret = Vec::new();
        let _ = stream.read_to_end(&mut secret);
        assert!(secret.is_empty(), "the client has said something before it knew to whom");
    });
    addr
}

#[test]
fn a_server_that_cannot_be_trusted_is_told_and_hears_nothing() {
    let folders = [Folder::new(), Folder::new()];
    let other = Certificate::new(&folders[0]).cert();
    let port = tried(Certificate::new(&folders[1])).port();
    let said = refusal(&format!("tls:localhost:{port}"), &other);
    assert!(said.starts_with("invalid peer certificate: "), "{said}");

    let names = CertificateParams::new(["localhost".to_owned(), "::1".to_owned()]).unwrap();
    let trusted = Certificate::made(&folders[1], names);
    let ca = trusted.cert();
    let port = tried(trusted).port();
    let said = refusal(&format!("tls:127.0.0.1:{port}"), &ca);
    let hint = "is this the right server? The name has to be one that its certificate has";
    assert!(said.contains("only valid for") && said.ends_with(hint), "{said}");

    let (addr, _) = serve_once(|mut stream| stream.write_all(b"220 in clear\r\n").unwrap());
    let said = refusal(&format!("tls:{addr}"), &ca);
    assert!(said.ends_with("(it does not seem to speak TLS); is this the right port?"), "{said}");
}

#[test]
fn a_certificate_is_exchanged_while_a_session_goes_on() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = forward(&listener.local_addr().unwrap().to_string(), &certificate.options());
    let mut client = certificate.dial(server.addr);
    let mut far = patient(listener.accept().unwrap().0);
    exchange(&server, &certificate, dial, || {
        client.write_all(b"question").unwrap();
        far.read_exact(&mut [0; 8]).unwrap();
        far.write_all(b"answer").unwrap();
        client.read_exact(&mut [0; 6]).unwrap();
    });
    drop((client, far));
    server.stop_with_clients();
}

/// The client's handshake is with the forwarder, which has connected to nobody yet.
#[test]
fn a_client_in_clear_costs_the_server_no_connection() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = forward(&listener.local_addr().unwrap().to_string(), &certificate.options());
    let mut client = dial(server.addr);
    client.write_all(b"PING\r\n").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 7, "an alert");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(shake_hands(dial(server.addr), &certificate.client).is_ok());
    drop::<TcpStream>(client);
    server.stop_with_clients();
}

#[test]
fn options_that_do_not_fit_are_told() {
    let folder = Folder::new();
    std::fs::write(folder.join("empty"), "").unwrap();
    let empty = folder.join("empty").to_str().unwrap().to_owned();
    for (options, code, said) in [
        (&["--to", "127.0.0.1:1", "--ca", &empty][..], 2, "--ca goes with --to tls:HOST:PORT"),
        (&["--to", "tls:unix:/tmp/x"], 2, "is not an address"),
        (&["--to", "tls:a b:1"], 2, "no name that a certificate can have"),
        (&["--to", "tls:a:1", "--ca", &empty], 1, "there are none; --ca takes a file in PEM"),
        (&["--to", "tls:a:1", "--ca", "/none"], 1, "cannot read the authorities in /none: "),
        (&["--to", "127.0.0.1:1", "--cert", &empty], 2, "--cert and --key go together"),
        (
            &["--to", "127.0.0.1:1", "--cert", &empty, "--key", &empty],
            1,
            "there is none in it; it takes",
        ),
        (&["--to", "127.0.0.1:1", "--nonsense"], 2, "--nonsense"),
    ] {
        let end = run(example("port_forward").args(["--listen", "127.0.0.1:0"]).args(options));
        assert!(end.complaint(code).contains(said), "{options:?}: {end:?}");
    }
}

/// The files are those of OpenSSL.
#[test]
fn a_certificate_or_key_that_cannot_be_used_is_told_with_a_hint() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let [_, cert, _, key] = certificate.options();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let openssl =
        |args: &[&str]| tool("openssl").is_some_and(|mut it| run(it.args(args)).code == Some(0));
    let pkey = ["pkey", "-in", &key, "-aes256", "-passout", "pass:secret", "-out"];
    if !openssl(&[&pkey[..], &[&file("new")]].concat())
        || !openssl(&[&pkey[..], &[&file("old"), "-traditional"]].concat())
        || !openssl(&["genpkey", "-algorithm", "ed448", "-out", &file("rare")])
        || !openssl(&["genpkey", "-algorithm", "ed25519", "-out", &file("other")])
    {
        assert!(tool("openssl").is_none(), "it makes no keys");
        return;
    }
    let pem = std::fs::read_to_string(&cert).unwrap();
    std::fs::write(folder.join("part"), &pem[..pem.len() / 2]).unwrap();
    let unusable = |name: &str| {
        format!("the certificate and its key cannot be used, {cert} and {}: ", file(name))
    };
    let encrypted = |name: &str| {
        format!("{0}: a passphrase has encrypted it; openssl pkey -in {0} decrypts it", file(name))
    };
    for (cert, key, start, end) in [
        (&cert, file("new"), "cannot read the key ".to_owned(), encrypted("new")),
        (&cert, file("old"), "cannot read the key ".to_owned(), encrypted("old")),
        (&cert, file("rare"), unusable("rare"), "P-384, or Ed25519".to_owned()),
        (
            &cert,
            file("other"),
            unusable("other"),
            "KeyMismatch; is the key that of the first certificate in the file?".to_owned(),
        ),
        (
            &cert,
            cert.clone(),
            "cannot read the key ".to_owned(),
            ": there is none in it; it takes a file in PEM".to_owned(),
        ),
        (
            &file("part"),
            key.clone(),
            "cannot read the certificate ".to_owned(),
            ": an END line is missing; it takes a file in PEM".to_owned(),
        ),
        (
            &cert,
            file("none"),
            "cannot read the key ".to_owned(),
            ": No such file or directory (os error 2); it takes a file in PEM".to_owned(),
        ),
    ] {
        let options =
            ["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--cert", cert, "--key", &key];
        let ended = run(example("port_forward").args(options));
        let complaint = ended.complaint(1);
        let complaint = complaint.strip_prefix("port_forward: ").unwrap_or(complaint);
        assert!(complaint.starts_with(&start) && complaint.ends_with(&end), "{complaint}");
    }
}
