//! HTTPS: the same as HTTP, with clients that check the certificate.

use super::*;
use crate::certificate::{Certificate, exchange};
use crate::clients::curl;
use crate::wire::over_tls;

/// Tests of connections in clear, run again over TLS.
macro_rules! over_tls {
    ($($module:ident: $($test:ident),+;)+) => {
        $($(
            #[test]
            fn $test() {
                over_tls(crate::$module::$test);
            }
        )+)+
    };
}

over_tls! {
    deadlines: a_connection_without_a_request_is_closed_without_a_word,
        a_head_has_less_time_than_the_rest,
        a_head_behind_an_unread_answer_gets_408_soon,
        a_request_that_stalls_gets_408,
        a_request_that_drips_gets_408;
    requests: pipelined_ones_are_answered_in_order,
        of_every_kind_are_answered_whatever_the_portions,
        head_that_is_refused_gets_no_content;
    refusals: heads_and_bodies_are_refused_just_above_the_limit;
    files: a_file_that_shrinks_is_not_taken_for_whole;
    the_end: closes_the_idle_and_lets_answers_and_requests_be_finished;
}

/// A server with a certificate, and its log of requests and ends.
fn logged(certificate: &Certificate) -> Server {
    let log = "http_server=info,crocus=info";
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0"]).args(certificate.options()).env("RUST_LOG", log);
    let server = Server::start(&mut command);
    assert!(server.program.error_line().contains("listening on"));
    server
}

/// The next line of the log, without its time and place.
fn logged_line(server: &Server) -> String {
    let line = server.program.error_line();
    line.split_once("] ").expect(&line).1.to_owned()
}

#[test]
fn curl_checks_the_certificate_and_keeps_the_connection() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    fs::write(folder.join("large"), noise(20_000_000)).unwrap();
    let root = folder.to_str().unwrap();
    let mut command = program();
    let args = ["--listen", "127.0.0.1:0", "--root", root];
    let server = Server::start(command.args(args).args(certificate.options()));
    let (url, copy) = (format!("https://{}/large", server.addr), folder.join("copy"));
    let output = ["--verbose", "--output", copy.to_str().unwrap(), "--output", "/dev/null"];
    for (version, named) in [
        (&["--tlsv1.2", "--tls-max", "1.2", "--http1.1"][..], "TLSv1.2"),
        (&["--tlsv1.3", "--http2"], "TLSv1.3"),
    ] {
        let Some(mut curl) = curl(&["--cacert", &certificate.cert()]) else { return };
        let end = run(curl.args(version).args(output).args([&url, &url]));
        assert_eq!(end.code, Some(0), "{end:?}");
        for said in [
            &*format!("SSL connection using {named}"),
            "SSL certificate verify ok",
            "ALPN: server accepted http/1.1",
            "Re-using existing connection",
        ] {
            assert!(end.stderr.contains(said), "{said}: {}", end.stderr);
        }
        assert!(fs::read(&copy).unwrap() == noise(20_000_000), "a copy that differs");
    }
    let Some(mut curl) = curl(&[&url]) else { return };
    assert_eq!(run(&mut curl).code, Some(60), "nobody has told it to trust the certificate");
    server.stop_with_clients();
}

#[test]
fn openssl_agrees_on_a_protocol_that_is_served() {
    let folder = Folder::new();
    let server = logged(&Certificate::new(&folder));
    for (asked, answer) in [
        (&["-alpn", "h2,http/1.1"][..], "ALPN protocol: http/1.1"),
        (&["-alpn", "http/1.0"], "ALPN protocol: http/1.0"),
        (&[], "No ALPN negotiated"),
        (&["-alpn", "h2"], "no application protocol"),
    ] {
        let Some(mut openssl) = tool("openssl") else { return };
        let end = run(openssl.args(["s_client", "-connect", &server.addr.to_string()]).args(asked));
        let all = end.text().to_owned() + &end.stderr;
        assert!(all.contains(answer), "{asked:?}: {all}");
    }
    let line = logged_line(&server);
    assert!(line.contains("has come to no protocol: TLS with 127.0.0.1:"), "{line}");
    assert!(line.contains("in the handshake: "), "{line}");
}

#[test]
fn wrk_finds_every_encrypted_answer_right() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server =
        Server::start(program().args(["--listen", "127.0.0.1:0"]).args(certificate.options()));
    let Some(mut wrk) = tool("wrk") else { return };
    let url = format!("https://{}/", server.addr);
    let end = run(wrk.args(["--threads", "1", "--connections", "20", "--duration", "1s", &url]));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    assert!(end.text().contains(" requests in "), "{end:?}");
    for fault in ["Non-2xx", "Socket errors", " 0 requests in"] {
        assert!(!end.text().contains(fault), "{end:?}");
    }
    server.stop_with_clients();
}

/// Chromium is told which key to trust: it takes no file of certificates.
#[test]
fn chromium_shows_an_encrypted_page() {
    let (folder, profile) = (Folder::new(), Folder::new());
    let certificate = Certificate::new(&folder);
    fs::write(
        folder.join("index.html"),
        "<script>document.title = location.protocol + ' ' + window.isSecureContext</script>",
    )
    .unwrap();
    let args = ["--listen", "127.0.0.1:0", "--root", folder.to_str().unwrap()];
    let server = Server::start(program().args(args).args(certificate.options()));
    if tool("openssl").is_none() {
        return;
    }
    let hash = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | \
                openssl dgst -sha256 -binary | openssl base64";
    let hash = run(Command::new("sh").args(["-c", hash, &certificate.cert()]));
    let Some(mut chromium) = tool("chromium") else { return };
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
    chromium.args(["--disable-background-networking", "--disable-component-update"]);
    chromium.args(["--disable-sync", "--no-proxy-server", "--dump-dom"]);
    chromium.arg(format!("--ignore-certificate-errors-spki-list={}", hash.text().trim()));
    chromium.arg(format!("--user-data-dir={}", profile.display()));
    let end = run(chromium.arg(format!("https://{}/", server.addr)));
    assert!(end.text().contains("<title>https: true</title>"), "{end:?}");
    server.stop_with_clients();
}

#[test]
fn a_certificate_is_exchanged_between_the_requests_of_a_connection() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server =
        Server::start(program().args(["--listen", "127.0.0.1:0"]).args(certificate.options()));
    let mut client = Client(BufReader::new(Wire::Tls(Box::new(certificate.dial(server.addr)))));
    exchange(&server, &certificate, dial, || {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().unwrap().body, WELCOME);
    });
    drop(client);
    server.stop_with_clients();
}

#[test]
fn a_target_in_absolute_form_may_have_the_scheme_https() {
    over_tls(|| {
        let server = server(&[]);
        for target in ["https://h/", "HTTPS://h:443", "https://h?q", "http://h/", "/"] {
            assert_eq!(get(&server, target).status, 200, "{target}");
        }
        for target in ["https://", "https://a:b/"] {
            assert_eq!(get(&server, target).status, 400, "{target}");
        }
        server.stop_with_clients();
    });
}

#[test]
fn http_in_clear_ends_with_an_alert_and_a_line_of_the_log() {
    let folder = Folder::new();
    let server = logged(&Certificate::new(&folder));
    for request in ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", "G", "\r\n"] {
        let mut client = dial(server.addr);
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("an end, and no reset");
        assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "a fatal alert: {answer:?}");
        let peer = client.local_addr().unwrap();
        drop(client);
        let expected = format!(
            "a connection has come to no protocol: TLS with {peer} in the handshake: \
             received corrupt message of type InvalidContentType (it does not seem to speak TLS)"
        );
        assert_eq!(logged_line(&server), expected);
    }
    let Some(mut curl) = curl(&[&format!("http://{}/", server.addr)]) else { return };
    assert_ne!(run(&mut curl).code, Some(0));
}

#[test]
fn tls_to_a_port_in_clear_ends_at_once_and_is_logged() {
    let mut command = program();
    let server = Server::start(
        command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "http_server::connection=info"),
    );
    let mut client = dial(server.addr);
    client.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let expected = format!(
        "{}: 400 Bad Request; it speaks TLS, and this port does not",
        client.local_addr().unwrap()
    );
    assert_eq!(logged_line(&server), expected);
    let Some(mut curl) = curl(&[&format!("https://{}/", server.addr)]) else { return };
    assert_eq!(run(&mut curl).code, Some(35), "no handshake");
}

/// Many clients send FIN without a close_notify. A request tells its end itself, so this is the end of the
/// requests, and a part of one is a part.
#[test]
fn an_end_without_a_close_notify_is_an_end_of_requests() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = logged(&certificate);
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for (sent, expected) in [(request, &[200][..]), (&request[..20], &[400]), ("", &[])] {
        let mut client = Client(BufReader::new(Wire::Tls(Box::new(certificate.dial(server.addr)))));
        client.send(sent);
        client.0.get_ref().socket().shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(statuses(&client.responses()), expected, "{sent:?}");
        for status in expected {
            assert!(logged_line(&server).contains(&format!(": {status} ")) || *status == 200);
        }
    }
    server.program.signal("TERM");
    let log = server.program.finish().stderr;
    assert!(!log.contains("TLS"), "nothing of it is an error: {log}");
}

/// A breach of the rules of TLS on an open connection is told to the log, and to the peer by an alert.
#[test]
fn a_record_that_is_forged_ends_the_connection() {
    let folder = Folder::new();
    let certificate = Certificate::new(&folder);
    let server = logged(&certificate);
    let mut stream = certificate.dial(server.addr);
    let peer = stream.sock.local_addr().unwrap();
    let mut forged = vec![23, 3, 3, 0, 40];
    forged.extend(noise(40));
    stream.sock.write_all(&forged).unwrap();
    let refused = stream.read(&mut [0; 9]).unwrap_err().to_string();
    assert!(refused.contains("BadRecordMac"), "{refused}");
    let expected = format!("TLS with {peer} on the open connection: cannot decrypt peer's message");
    assert_eq!(logged_line(&server), expected);
}

/// The places of the clients whose handshake is not over are taken, so each answer closes its connection.
#[test]
fn clients_in_the_handshake_take_places_too() {
    let (folder, root) = (Folder::new(), Folder::new());
    let certificate = Certificate::new(&folder);
    let places = 8; // two descriptors for each, and some in reserve
    let args: Vec<String> = certificate.options().into();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let server = clients::server_with_few(32, &root, &args);
    let silent: Vec<TcpStream> = (1..places).map(|_| dial(server.addr)).collect();
    let mut client = Client(BufReader::new(Wire::Tls(Box::new(certificate.dial(server.addr)))));
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(client.response().unwrap().closes());
    drop((client, silent));
    server.stop_with_clients();
}

#[test]
fn a_certificate_made_to_try_things_with_has_the_fingerprint_that_is_told() {
    let server = server(&["--self-signed"]);
    let said = server.program.error_line();
    let Some(_) = tool("openssl") else { return };
    let shown = "openssl s_client -connect \"$0\" < /dev/null 2> /dev/null | \
                 openssl x509 -noout -fingerprint -sha256 -ext subjectAltName";
    let end = run(Command::new("sh").args(["-c", shown, &server.addr.to_string()]));
    let (fingerprint, names) = end.text().split_once('\n').unwrap();
    let (_, fingerprint) = fingerprint.split_once('=').unwrap();
    assert!(said.starts_with("a certificate was made for this run, for localhost, 127.0.0.1"));
    assert!(said.ends_with(&format!("; SHA-256 fingerprint {fingerprint}")), "{said}: {end:?}");
    for name in ["DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"] {
        assert!(names.contains(name), "{names}");
    }
    let Some(mut curl) = curl(&["--insecure", &format!("https://{}/", server.addr)]) else {
        return;
    };
    assert_eq!(run(&mut curl).stdout, WELCOME);
    server.stop_with_clients();
}
