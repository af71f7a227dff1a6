//! With programs that are not ours.

use std::time::Instant;

use super::*;

pub(crate) fn curl(args: &[&str]) -> Option<Command> {
    let mut curl = tool("curl")?;
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]).args(args);
    Some(curl)
}

#[test]
fn curl_gets_the_welcome_with_all_that_belongs_to_it() {
    let server = server(&[]);
    let url = format!("http://{}/", server.addr);
    for version in ["--http1.1", "--http1.0"] {
        let Some(mut curl) = curl(&["--include", version, &url]) else { return };
        let end = run(&mut curl);
        assert_eq!((end.code, &*end.stderr), (Some(0), ""));
        let (head, body) = end.text().split_once("\r\n\r\n").unwrap();
        assert_eq!(body.as_bytes(), WELCOME);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Length: 60"), "{head}");
        assert!(head.contains("\r\nDate: "), "{head}");
        assert_eq!(head.contains("\r\nConnection: close"), version == "--http1.0");
    }
    let Some(mut curl) = curl(&["--head", &url]) else { return };
    let end = run(&mut curl);
    assert_eq!(end.code, Some(0));
    assert!(end.text().contains("\r\nContent-Length: 60\r\n"), "{end:?}");
    assert!(end.text().ends_with("\r\n\r\n"), "and no body: {end:?}");
    server.stop_with_clients();
}

#[test]
fn curl_asks_twice_over_one_connection() {
    let server = server(&[]);
    let url = format!("http://{}/", server.addr);
    for more in [&[][..], &["--http1.0", "--header", "Connection: keep-alive"]] {
        let Some(mut curl) = curl(&["--verbose", &url, &url]) else { return };
        let end = run(curl.args(more));
        assert_eq!((end.code, &*end.stdout), (Some(0), &*WELCOME.repeat(2)));
        assert!(end.stderr.contains("Re-using existing connection"), "{}", end.stderr);
    }
    server.stop_with_clients();
}

#[test]
fn curl_uploads_a_body_which_is_read_past() {
    let dir = Folder::new();
    let path = dir.join("body");
    fs::write(&path, noise(900_000)).unwrap();
    let server = server(&[]);
    if curl(&[]).is_none() {
        return;
    }
    for (options, status, sent) in [
        ("--request GET --header 'Transfer-Encoding: chunked'", 200, true),
        ("--request GET --header 'Expect:'", 200, true),
        ("--header 'Expect:'", 405, true),
        // With Expect, curl does not send a body that the server rejects.
        ("--header 'Expect: 100-continue'", 405, false),
    ] {
        let script = format!(
            "curl --silent --noproxy '*' --max-time 60 --output /dev/null {options} \
             --write-out '%{{http_code}} %{{size_upload}}' --upload-file - http://{}/ < '{}'",
            server.addr,
            path.display(),
        );
        let end = run(Command::new("sh").args(["-c", &script]));
        let (code, size) = end.text().split_once(' ').unwrap();
        let size: usize = size.parse().unwrap(); // some versions count what chunks add
        assert_eq!((code, size >= 900_000), (&*status.to_string(), sent), "{script}: {size}");
    }
    // Two over one connection: the second begins where the body of the first ends.
    let (url, body) = (format!("http://{}/", server.addr), format!("@{}", path.display()));
    let Some(mut curl) = curl(&["--verbose", "--request", "GET", "--data-binary", &body]) else {
        return;
    };
    let end = run(curl.args(["--header", "Transfer-Encoding: chunked", &url, &url]));
    assert_eq!((end.code, &*end.stdout), (Some(0), &*WELCOME.repeat(2)));
    assert!(end.stderr.contains("Re-using existing connection"), "{}", end.stderr);
    server.stop_with_clients();
}

#[test]
fn curl_gets_a_large_file_and_refusals() {
    let dir = Folder::new();
    let content = noise(20_000_000);
    fs::write(dir.join("large.bin"), &content).unwrap();
    let server = serving(&dir);
    let url = format!("http://{}/large.bin", server.addr);
    let copy = dir.join("copy");
    let output = ["--output", copy.to_str().unwrap(), "--write-out", "%{http_code}"];
    for (more, status, part) in
        [(&[][..], "200", &content[..]), (&["--range", "0-4"], "206", &content[..5])]
    {
        let Some(mut curl) = curl(&output) else { return };
        let end = run(curl.args(more).arg(&url));
        assert_eq!((end.code, end.text()), (Some(0), status));
        assert!(fs::read(&copy).unwrap() == part, "a copy that differs");
    }
    let Some(mut curl) = curl(&output) else { return };
    let end = run(curl.arg(format!("{url}x")));
    assert_eq!((end.code, end.text()), (Some(0), "404"));
    server.stop_with_clients();
}

#[test]
fn wrk_finds_every_answer_right() {
    let dir = Folder::new();
    fs::write(dir.join("index.html"), "<h1>hello</h1>").unwrap();
    for server in [server(&[]), serving(&dir)] {
        let Some(mut wrk) = tool("wrk") else { return };
        let url = format!("http://{}/", server.addr);
        let end =
            run(wrk.args(["--threads", "1", "--connections", "20", "--duration", "1s", &url]));
        assert_eq!((end.code, &*end.stderr), (Some(0), ""));
        assert!(end.text().contains(" requests in "), "{end:?}");
        for fault in ["Non-2xx", "Socket errors", " 0 requests in"] {
            assert!(!end.text().contains(fault), "{end:?}");
        }
        assert_sound(&server);
    }
}

/// Sends these bytes with netcat, and returns what comes until the server closes. Netcat says with its FIN
/// that nothing more comes, if it is to.
fn netcat(server: &Server, bytes: &str, fin: &str) -> Option<String> {
    tool("nc")?;
    let (host, port) = (server.addr.ip(), server.addr.port());
    let script = format!("printf '%s' \"$0\" | nc {fin} {host} {port}");
    let end = run(Command::new("sh").args(["-c", &script, bytes]));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    Some(end.text().to_owned())
}

#[test]
fn an_empty_line_after_a_body_gets_netcat_no_answer() {
    let server = server(&["--timeout", SHORT, "--header-timeout", SHORT]);
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\r\n";
    for fin in ["-N", ""] {
        let Some(answer) = netcat(&server, request, fin) else { return };
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        let answers = netcat(&server, &[request, request].concat(), fin).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 405 ").count(), 2, "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
    }
    server.stop_with_clients();
}

#[test]
fn netcat_gets_no_content_for_a_refused_head() {
    let server = server(&[]);
    let Some(answer) = netcat(&server, "HEAD / HTTP/1.1\r\nHost: a:b\r\n\r\n", "") else { return };
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    server.stop_with_clients();
}

#[test]
fn curl_with_a_host_that_is_none_gets_400() {
    let server = server(&[]);
    let url = format!("http://{}/", server.addr);
    for host in ["a:b", "[::1", "a%zz", ":80"] {
        let field = format!("Host: {host}");
        let Some(mut curl) = curl(&["--output", "/dev/null", "--write-out", "%{http_code}"]) else {
            return;
        };
        assert_eq!(run(curl.args(["--header", &field, &url])).text(), "400", "{host}");
    }
    server.stop_with_clients();
}

/// A server that may have so many descriptors.
pub(crate) fn server_with_few(descriptors: usize, root: &Path, args: &[&str]) -> Server {
    let server = program();
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]);
    limited.arg(server.get_program()).args(["--listen", "127.0.0.1:0", "--root"]).arg(root);
    Server::start(limited.args(args))
}

/// Each of the clients could keep its place for a day. The curl behind them waits for one of them to lose it.
#[test]
fn idle_clients_lose_their_places_to_curl() {
    let root = Folder::new();
    let server = server_with_few(32, &root, &["--timeout", "86400", "--header-timeout", SHORT]);
    let idle: Vec<Client> = (0..20).map(|_| Client::new(&server)).collect();
    let url = format!("http://{}/", server.addr);
    let Some(mut curl) = curl(&["--output", "/dev/null", "--write-out", "%{http_code}"]) else {
        return;
    };
    assert_eq!(run(curl.arg(&url)).text(), "200");
    drop(idle);
    server.stop_with_clients();
}

#[test]
fn each_client_gets_its_file_though_descriptors_are_few() {
    let root = Folder::new();
    sparse(&root.join("large"), 1 << 28);
    let server = server_with_few(64, &root, &[]);
    let mut clients: Vec<Client> = (0..80).map(|_| Client::new(&server)).collect();
    for client in &mut clients {
        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    // None reads its file to the end, so each keeps its place until it goes.
    for mut client in clients {
        assert_eq!(client.head().unwrap().status, 200);
    }
    let end = Instant::now() + TIME_LIMIT;
    while get(&server, "/none").closes() {
        assert!(Instant::now() < end, "there are places again, so connections are kept open");
    }
    server.stop_with_clients();
}

#[test]
fn curl_with_eighty_connections_gets_eighty_files() {
    let root = Folder::new();
    fs::write(root.join("page"), noise(100_000)).unwrap();
    let server = server_with_few(64, &root, &[]);
    let url = format!("http://{}/page?[1-80]", server.addr);
    let Some(mut curl) = curl(&["--parallel", "--parallel-immediate", "--parallel-max", "80"])
    else {
        return;
    };
    let format = "%{http_code} %{size_download}\\n";
    let end = run(curl.args(["--output", "/dev/null", "--write-out", format, &url]));
    assert_eq!((end.code, end.text()), (Some(0), &*"200 100000\n".repeat(80)), "{end:?}");
    server.stop_with_clients();
}
