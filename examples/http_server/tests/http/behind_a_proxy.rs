//! Behind a proxy: the server knows the clients by the header of each connection.

use super::*;

fn behind() -> Server {
    let options = ["--listen", "127.0.0.1:0", "--proxy-protocol", "127.0.0.0/8,unix"];
    Server::start(program().args(options).env("RUST_LOG", "http_server=info"))
}

#[test]
fn the_log_names_the_client_and_not_the_proxy() {
    let server = behind();
    let mut proxy = dial(server.addr);
    let header = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n";
    let request = "GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    proxy.write_all([header, request].concat().as_bytes()).unwrap();
    let mut answer = String::new();
    proxy.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let mut lines = std::iter::repeat_with(|| server.program.error_line());
    let line = lines.find(|line| line.contains("/page")).unwrap();
    assert!(line.contains("203.0.113.7:4711: GET /page: 404"), "{line}");
}

#[test]
fn curl_sends_a_header_or_is_refused() {
    let server = behind();
    let url = format!("http://{}/", server.addr);
    let Some(mut curl) = tool("curl") else { return };
    let end = run(curl.args(["--silent", "--max-time", "60", "--haproxy-protocol", &url]));
    assert_eq!((end.code, &*end.stdout), (Some(0), WELCOME), "{end:?}");
    let end = run(tool("curl").unwrap().args(["--silent", "--max-time", "60", &url]));
    assert!(end.code != Some(0) && end.stdout.is_empty(), "{end:?}");
}
