//! The HTTP server of the examples, from outside: with curl and wrk, with bytes as they come, and with
//! peers that lie about lengths, stall, never read, or want other people's files.

/// These three bring their unit tests along: cargo runs none in examples.
#[path = "../../examples/http_server/body.rs"]
#[allow(dead_code, reason = "its user is the example")]
pub(crate) mod body;
#[path = "../../examples/http_server/head.rs"]
#[allow(dead_code, reason = "its user is the example")]
pub(crate) mod head;
#[path = "../../examples/http_server/status.rs"]
#[allow(dead_code, reason = "its user is the example")]
pub(crate) mod status;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::child::{Server, TIME_LIMIT, dial, example, run, tool};
use crate::util::Folder;
use body::MAX_BODY;
use head::{MAX_FIELDS, MAX_HEAD, MAX_LINE};

const WELCOME: &[u8] = b"Welcome to crocus. Start it with --root DIR to serve files.\n";

/// A timeout that a test waits for.
const SHORT: &str = "0.3";

/// A server of these files.
fn serving(root: &Path) -> Server {
    server(&["--root", root.to_str().unwrap()])
}

fn server(args: &[&str]) -> Server {
    Server::start(example("http_server").args(["--listen", "127.0.0.1:0"]).args(args))
}

/// A file that takes no room on the disk.
fn sparse(path: &Path, len: u64) {
    File::create(path).unwrap().set_len(len).unwrap();
}

/// Bytes that do not repeat, so that none can be lost, doubled or exchanged unnoticed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

struct Client(BufReader<TcpStream>);

#[derive(PartialEq, Eq, Debug)]
struct Response {
    status: u16,
    /// The fields, one a line, without the date.
    fields: String,
    body: Vec<u8>,
}

impl Client {
    fn new(server: &Server) -> Self {
        Self::connect(server.addr)
    }

    fn connect(addr: SocketAddr) -> Self {
        let stream = dial(addr);
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn send_end(&self) {
        // It fails if the server has closed already, which is no fault here.
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }

    /// The next response to anything but HEAD; `None` at the end.
    fn response(&mut self) -> Option<Response> {
        let mut response = self.head()?;
        if response.status != 100 {
            let len = response.field("Content-Length").unwrap().parse().unwrap();
            response.body.resize(len, 0);
            self.0.read_exact(&mut response.body).unwrap();
        }
        Some(response)
    }

    /// The next response without what follows its head.
    fn head(&mut self) -> Option<Response> {
        let first = self.line()?;
        let (version, status) = first.split_at(9);
        assert_eq!(version, "HTTP/1.1 ");
        let mut response = Response {
            status: status.split(' ').next().unwrap().parse().unwrap(),
            fields: String::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line().expect("a head ends with an empty line");
            match &*line {
                "" => return Some(response),
                date if date.starts_with("Date: ") => {
                    httpdate::parse_http_date(&date[6..]).unwrap();
                }
                field => response.fields = response.fields + field + "\n",
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        Some(line.strip_suffix("\r\n").expect(&line).to_owned())
    }

    /// Everything until the server closes; a reset would be a fault.
    fn responses(&mut self) -> Vec<Response> {
        std::iter::from_fn(|| self.response()).collect()
    }
}

impl Response {
    fn field(&self, name: &str) -> Option<&str> {
        let is = |line: &&str| line.split(':').next().unwrap().eq_ignore_ascii_case(name);
        self.fields.lines().find(is).map(|line| line[name.len() + 1..].trim())
    }

    fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }
}

/// Sends these bytes and returns what comes until the server closes by itself.
fn until_closed(server: &Server, bytes: impl AsRef<[u8]>) -> Vec<Response> {
    let mut client = Client::new(server);
    client.send(bytes);
    client.responses()
}

/// Sends these bytes and nothing more, and returns what comes.
fn ask(server: &Server, bytes: impl AsRef<[u8]>) -> Vec<Response> {
    let mut client = Client::new(server);
    client.send(bytes);
    client.send_end();
    client.responses()
}

fn statuses(responses: &[Response]) -> Vec<u16> {
    responses.iter().map(|response| response.status).collect()
}

/// The answer to a GET.
fn get(server: &Server, target: &str) -> Response {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut responses = ask(server, request);
    assert_eq!(responses.len(), 1, "{target}");
    responses.remove(0)
}

/// Whether the server is as good as new.
fn assert_sound(server: &Server) {
    let response = get(server, "/");
    assert_eq!(response.status, 200);
    assert!(!response.body.is_empty());
}

/// Refused with this status, and closed; nothing that came after was taken for a request.
fn assert_refused(server: &Server, bytes: impl AsRef<[u8]>, status: u16) {
    let bytes = bytes.as_ref();
    let responses = until_closed(server, bytes);
    let start = bytes[..bytes.len().min(200)].escape_ascii();
    assert_eq!(statuses(&responses), [status], "{start}");
    assert!(responses[0].closes(), "{start}");
}

mod programs_that_are_not_ours {
    use super::*;

    fn curl(args: &[&str]) -> Option<Command> {
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
        let Some(mut curl) = curl(&["--verbose", "--request", "GET", "--data-binary", &body])
        else {
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
        for more in [&[][..], &["--range", "0-4"]] {
            let Some(mut curl) = curl(&output) else { return };
            let end = run(curl.args(more).arg(&url));
            assert_eq!((end.code, end.text()), (Some(0), "200"), "there are no ranges");
            assert!(fs::read(&copy).unwrap() == content, "a copy that differs");
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
}

mod requests {
    use super::*;

    #[test]
    fn pipelined_ones_are_answered_in_order() {
        let dir = Folder::new();
        let mut requests = Vec::new();
        let mut expected = Vec::new();
        for round in 0..100 {
            let name = format!("{}.txt", round % 10);
            let content = noise(round % 10 * 40_000 + 1);
            fs::write(dir.join(&name), &content).unwrap();
            write!(requests, "GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            expected.push(content);
        }
        requests.extend(b"GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        requests.extend(b"GET /0.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        let server = serving(&dir);
        let mut responses = until_closed(&server, &requests);
        let last = responses.pop().unwrap();
        assert_eq!((last.status, last.closes()), (404, true), "nothing comes after a close");
        assert_eq!(responses.len(), expected.len());
        for (response, content) in responses.iter().zip(&expected) {
            assert_eq!((response.status, response.closes()), (200, false));
            assert!(response.body == *content);
        }
        server.stop_with_clients();
    }

    #[test]
    fn that_come_after_a_large_answer_are_answered() {
        let dir = Folder::new();
        let content = noise(10_000_000);
        fs::write(dir.join("large"), &content).unwrap();
        let server = serving(&dir);
        let mut client = Client::new(&server);
        for _ in 0..3 {
            client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
            assert!(client.response().unwrap().body == content);
        }
        drop(client);
        server.stop_with_clients();
    }

    /// All there is, in one conversation.
    const CONVERSATION: &str = "\
        GET / HTTP/1.1\r\nHost: localhost:5000\r\n\r\n\
        \r\nGET /?query HTTP/1.1\r\nHOST:[::1]:80\r\nContent-Length: 5\r\n\r\nhello\
        GET http://localhost/ HTTP/1.1\r\nHost: \t\r\nTransfer-Encoding: Chunked\r\n\r\n\
        5;name=value\r\nhello\r\n00A\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n\
        GET /none HTTP/1.1\r\nhost: h\r\nX: \t, \x7e \r\n\r\n\
        POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 00003\r\n\r\nabc\
        OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n\
        get / HTTP/1.1\r\nHost: h\r\n\r\n\
        GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nab\
        GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n\
        GET / HTTP/1.0\r\nConnection: Keep-Alive, TE\r\n\r\n\
        GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n\
        GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    const STATUSES: [u16; 12] = [200, 200, 200, 404, 405, 405, 501, 100, 200, 200, 200, 200];

    #[test]
    fn of_every_kind_are_answered_whatever_the_portions() {
        let server = server(&[]);
        let at_once = until_closed(&server, CONVERSATION);
        assert_eq!(statuses(&at_once), STATUSES);
        assert_eq!(at_once[4].field("Allow"), Some("GET, HEAD"));
        assert_eq!(at_once[10].field("Connection"), Some("keep-alive"));
        assert!(at_once[..11].iter().all(|response| !response.closes()));
        assert!(at_once[11].closes(), "HTTP/1.0 does not keep alive unless asked");
        for portion in [1, 2, 3, 5, 7, 50] {
            let mut client = Client::new(&server);
            for part in CONVERSATION.as_bytes().chunks(portion) {
                // The end is not taken: the server may have closed by then.
                let _ = client.0.get_mut().write_all(part);
            }
            assert_eq!(client.responses(), at_once, "{portion} bytes at a time");
        }
        server.stop_with_clients();
    }

    #[test]
    fn that_end_in_the_middle_are_refused() {
        let server = server(&[]);
        let requests = [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ];
        for request in requests {
            for len in 1..request.len() {
                let responses = ask(&server, &request[..len]);
                assert_eq!(statuses(&responses), [400], "{:?}", &request[..len]);
            }
            assert_eq!(statuses(&ask(&server, request)), [200]);
        }
        assert_eq!(statuses(&ask(&server, "")), [0_u16; 0], "who asks nothing gets nothing");
        server.stop_with_clients();
    }

    #[test]
    fn head_gets_the_fields_of_get_and_no_content() {
        let dir = Folder::new();
        fs::write(dir.join("a.txt"), "content").unwrap();
        let server = serving(&dir);
        let mut client = Client::new(&server);
        client
            .send("HEAD /a.txt HTTP/1.1\r\nHost: h\r\n\r\nHEAD /none HTTP/1.1\r\nHost: h\r\n\r\n");
        client.send("GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = client.head().unwrap();
        assert_eq!(client.head().unwrap().status, 404);
        let get = client.response().unwrap();
        assert_eq!((head.status, &head.fields), (200, &get.fields));
        assert_eq!(get.body, b"content");
        drop(client);
        assert_sound_after(&server);
    }

    fn assert_sound_after(server: &Server) {
        assert_eq!(get(server, "/a.txt").status, 200);
    }

    #[test]
    fn that_expect_leave_get_it_before_the_body() {
        let server = server(&[]);
        let mut client = Client::new(&server);
        client
            .send("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.response().unwrap().status, 100);
        client.send("hello");
        assert_eq!(client.response().unwrap().status, 200);
        // No leave for a body that changes nothing; and no request can follow where it may stand.
        let refused =
            "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        client.send(refused);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let responses = client.responses();
        assert_eq!(statuses(&responses), [405]);
        assert!(responses[0].closes());
        assert_refused(&server, refused.replace(": 5", ": 5000000"), 413);
        server.stop_with_clients();
    }
}

mod refusals {
    use super::*;

    /// A request of which nothing but the fields is given.
    fn with(fields: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
    }

    #[test]
    fn bytes_that_are_not_http_get_400_501_or_505() {
        let server = server(&[]);
        let table: &[(&[u8], u16)] = &[
            (b"\r\n\r\n", 400),
            (b"\0", 400),
            (b"hello\r\n\r\n", 400),
            (b"GET\r\n\r\n", 400),
            (b"GET /\r\n\r\n", 400),
            (b"GET / \r\n\r\n", 400),
            (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
            (b"GET / / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET / / HTTP/2.0\r\nHost: h\r\n\r\n", 400),
            (b"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET / http/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
            (b"GET / HTTP/1\r\nHost: h\r\n\r\n", 400),
            (b"GET / FTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
            (b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
            (b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            // The beginning of TLS.
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
            // Targets.
            (b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET /\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            (b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            // Line ends.
            (b"GET / HTTP/1.1\nHost: h\n\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\r\n", 400),
            (b"GET / HTTP/1.1\rHost: h\r\r", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n", 400),
            (b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            // Fields.
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost h\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n: h\r\nHost: h\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tfolded\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\nA: \x08\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\nA(: b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\n\xc3: b\r\n\r\n", 400),
        ];
        for (bytes, status) in table {
            assert_refused(&server, bytes, *status);
        }
        server_is_as_new(server);
    }

    fn server_is_as_new(server: Server) {
        assert_sound(&server);
        server.stop_with_clients();
    }

    #[test]
    fn of_a_target_that_is_none_leave_the_connection() {
        let server = server(&[]);
        for target in ["*", "nothing", "https://h/", "http://", "http:///", "http:/h/", "ftp://h/"]
        {
            assert_eq!(get(&server, target).status, 400, "{target}");
        }
        for target in ["http://h", "HTTP://h:80/", "http://h?q", "/", "/?", "/?//..", "http://a@h/"]
        {
            assert_eq!(get(&server, target).status, 200, "{target}");
        }
        let connect = "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n";
        assert_refused(&server, [connect, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"].concat(), 405);
        server_is_as_new(server);
    }

    /// Bytes that one reader takes for a part of the request, and another one for the next request.
    const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";

    #[test]
    fn a_length_that_could_be_read_in_two_ways() {
        let server = server(&[]);
        let mut table = vec![
            // Both lengths, in any order and spelling.
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
            ("transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n", 400),
            ("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", 400),
            ("Content-Length: 5\r\nTransfer-Encoding:\r\n", 400),
            // Two of one.
            ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
            ("Content-Length: 0\r\nContent-Length: 5\r\n", 400),
            ("Content-Length: 5, 5\r\n", 400),
            ("Content-Length: 5, 6\r\n", 400),
            ("Content-Length: 5,\r\n", 400),
            // Not a number, or too large a number.
            ("Content-Length:\r\n", 400),
            ("Content-Length: +5\r\n", 400),
            ("Content-Length: -5\r\n", 400),
            ("Content-Length: -0\r\n", 400),
            ("Content-Length: 5 5\r\n", 400),
            ("Content-Length: 5a\r\n", 400),
            ("Content-Length: 0x5\r\n", 400),
            ("Content-Length: 5.0\r\n", 400),
            ("Content-Length: 5e0\r\n", 400),
            ("Content-Length: 1_0\r\n", 400),
            ("Content-Length: \"5\"\r\n", 400),
            ("Content-Length: five\r\n", 400),
            ("Content-Length: ٥\r\n", 400),
            ("Content-Length: 5;\r\n", 400),
            ("Content-Length: 18446744073709551616\r\n", 400),
            ("Content-Length: 18446744073709551621\r\n", 400),
            ("Content-Length: 99999999999999999999999999\r\n", 400),
            // Names that some readers take for these.
            ("Content-Length : 5\r\n", 400),
            ("Content-Length\t: 5\r\n", 400),
            (" Content-Length: 5\r\n", 400),
            ("Transfer-Encoding : chunked\r\n", 400),
            ("Transfer-Encoding\x0b: chunked\r\n", 400),
            ("Transfer-Encoding\r\n : chunked\r\n", 400),
            ("Transfer-Encoding:\r\n chunked\r\n", 400),
            ("X: y\rTransfer-Encoding: chunked\r\n", 400),
            ("X: y\nTransfer-Encoding: chunked\r\n", 400),
            ("X: y\r\n\tTransfer-Encoding: chunked\r\n", 400),
            ("X: \0Transfer-Encoding: chunked\r\n", 400),
            // Codings: chunked has to be the last, and there can be no other.
            ("Transfer-Encoding: identity\r\n", 400),
            ("Transfer-Encoding: gzip\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n", 400),
            ("Transfer-Encoding: chunkedx\r\n", 400),
            ("Transfer-Encoding: x chunked\r\n", 400),
            ("Transfer-Encoding: chunked x\r\n", 400),
            ("Transfer-Encoding: chunked;q=1\r\n", 400),
            ("Transfer-Encoding: \"chunked\"\r\n", 400),
            ("Transfer-Encoding: \x0bchunked\r\n", 400),
            ("Transfer-Encoding: chunked\x0c\r\n", 400),
            ("Transfer-Encoding: chunked,\r\n", 400),
            ("Transfer-Encoding: chunked, identity\r\n", 400),
            ("Transfer-Encoding: chunked, gzip\r\n", 400),
            ("Transfer-Encoding: chunked, chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
            ("Transfer-Encoding: , chunked\r\n", 501),
            ("Content-Length: 1048577\r\n", 413),
            ("Content-Length: 18446744073709551615\r\n", 413),
        ];
        // The same again where the method allows no body by custom: bodies are bodies.
        for (fields, status) in table.drain(..) {
            let request = with(fields) + "0\r\n\r\n" + HIDDEN;
            assert_refused(&server, &request, status);
            assert_refused(&server, request.replacen("POST", "GET", 1), status);
        }
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_refused(&server, [old, HIDDEN].concat(), 400);
        server_is_as_new(server);
    }

    #[test]
    fn chunks_that_could_be_read_in_two_ways() {
        let server = server(&[]);
        for body in [
            "5\nhello\r\n0\r\n\r\n",
            "5;\nx\r\nhello\r\n0\r\n\r\n",
            "5\rX\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            "0\r\n\n",
            "0\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n X: y\r\n\r\n",
        ] {
            let request = with("Transfer-Encoding: chunked\r\n") + body + HIDDEN;
            assert_refused(&server, request, 400);
        }
        server_is_as_new(server);
    }

    #[test]
    fn bytes_of_a_body_are_no_request() {
        let server = server(&[]);
        let len = HIDDEN.len();
        for (fields, body) in [
            (format!("Content-Length: {len}\r\n"), HIDDEN.to_owned()),
            ("Transfer-Encoding: chunked\r\n".into(), format!("{len:x}\r\n{HIDDEN}\r\n0\r\n\r\n")),
            ("Transfer-Encoding: chunked\r\n".into(), format!("0\r\n{}", &HIDDEN[16..])),
            // Fields that mean nothing here mean no length either.
            (format!("Content_Length: 5\r\nContent-Length: {len}\r\n"), HIDDEN.to_owned()),
            (format!("X-Content-Length: 0\r\nContent-Length: {len}\r\n"), HIDDEN.to_owned()),
        ] {
            let request = with(&fields) + &body + "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
            assert_eq!(statuses(&ask(&server, &request)), [405, 200], "{request:?}");
        }
        server_is_as_new(server);
    }

    #[test]
    fn heads_and_bodies_are_refused_just_above_the_limit() {
        let server = server(&[]);
        let of_line = |len: usize| {
            let rest = "GET /? HTTP/1.1\r\n".len();
            format!("GET /?{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(len - rest))
        };
        let of_head = |len: usize| {
            let rest = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(len - rest))
        };
        let of_fields = |count: usize| {
            format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
        };
        for (request, status) in [
            (of_line(MAX_LINE), 200),
            (of_line(MAX_LINE + 1), 414),
            (of_head(MAX_HEAD), 200),
            (of_head(MAX_HEAD + 1), 431),
            (of_fields(MAX_FIELDS), 200),
            (of_fields(MAX_FIELDS + 1), 431),
        ] {
            assert_eq!(statuses(&ask(&server, &request)), [status], "{}", request.len());
            // In two portions, which makes no difference.
            let mut client = Client::new(&server);
            client.send(&request[..request.len() / 2]);
            client.send(&request[request.len() / 2..]);
            client.send_end();
            assert_eq!(statuses(&client.responses()), [status]);
        }
        let most = usize::try_from(MAX_BODY).unwrap();
        for (len, status) in [(most, 405), (most + 1, 413)] {
            let plain = with(&format!("Content-Length: {len}\r\n")) + &"x".repeat(len);
            assert_eq!(statuses(&ask(&server, plain)), [status]);
            let chunk = format!("{len:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(len));
            let chunked = with("Transfer-Encoding: chunked\r\n") + &chunk;
            assert_eq!(statuses(&ask(&server, chunked)), [status]);
        }
        server_is_as_new(server);
    }

    #[test]
    fn an_endless_request_gets_its_answer() {
        let server = server(&[]);
        let before = server.peak_memory();
        let chunked = with("Transfer-Encoding: chunked\r\n");
        for (start, forever, status) in [
            (String::new(), "x", 414),
            ("GET /".into(), "x", 414),
            ("GET / HTTP/1.1\r\nX: ".into(), "x", 431),
            ("GET / HTTP/1.1\r\n".into(), "X: y\r\n", 431),
            (chunked.clone(), "1\r\nx\r\n", 413),
            (chunked.clone() + "1;", "x", 431),
            (chunked.clone(), "1;x=yyyyyyyyyyyyyyyy\r\nx\r\n", 431),
            (chunked.clone() + "0\r\n", "X: y\r\n", 431),
            (chunked + "0\r\nX", "x", 431),
            (String::new(), "\r\n", 400),
            (with("Content-Length: 9999999\r\n"), "x", 413),
        ] {
            let mut client = Client::new(&server);
            client.send(&start);
            let mut sender = client.0.get_ref().try_clone().unwrap();
            let portion = forever.repeat(8192);
            let sending =
                thread::spawn(move || while sender.write_all(portion.as_bytes()).is_ok() {});
            assert_eq!(statuses(&client.responses()), [status], "{start:?} {forever:?}");
            client.0.get_ref().shutdown(Shutdown::Both).unwrap();
            sending.join().unwrap();
        }
        let grown = server.peak_memory() - before;
        assert!(grown < 2_000_000, "{grown} bytes");
        assert_sound(&server);
    }

    #[test]
    fn garbage_of_any_kind_harms_nobody() {
        let server = server(&[]);
        let words: [&[u8]; 22] = [
            b"GET ",
            b"HEAD / ",
            b"POST / ",
            b"/",
            b" ",
            b"HTTP/1.1\r\n",
            b"HTTP/1.0\r\n",
            b"\r\n",
            b"\r",
            b"\n",
            b"\0",
            b"Host: h\r\n",
            b"Content-Length: 5\r\n",
            b"hello",
            b"0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"5\r\n",
            b"Connection: close\r\n",
            b"\xff\xfe",
            b"%",
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\n",
        ];
        let mut chance = noise(64 * 1024).into_iter().map(usize::from);
        let mut next = |below: usize| chance.next().unwrap() % below;
        for _ in 0..1000 {
            let count = next(30);
            let bytes: Vec<u8> =
                (0..count).flat_map(|_| words[next(words.len())].to_vec()).collect();
            let mut client = Client::new(&server);
            client.send(&bytes);
            client.send_end();
            let mut answer = Vec::new();
            client.0.read_to_end(&mut answer).expect("every answer arrives");
            let answer = String::from_utf8(answer).unwrap();
            let known = ["200", "400", "404", "405", "501", "505", ""];
            let status = answer.get(9..12).unwrap_or_default();
            assert!(known.contains(&status), "{}: {answer}", bytes.escape_ascii());
        }
        server_is_as_new(server);
    }
}

mod files {
    use super::*;

    /// A root, beside which is a secret.
    fn tree() -> (Folder, PathBuf) {
        let dir = Folder::new();
        let root = dir.join("root");
        for sub in ["sub", "empty", "sly", "..."] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        fs::create_dir(dir.join("root-beside")).unwrap();
        for (path, content) in [
            ("secret.txt", "SECRET"),
            ("root-beside/secret.txt", "SECRET"),
            ("root/.hidden", "SECRET"),
            ("root/.../a.txt", "SECRET"),
            ("root/back\\slash", "SECRET"),
            ("root/index.html", "index"),
            ("root/a.txt", "a"),
            ("root/nothing.bin", ""),
            ("root/with space+ü%.html", "name"),
            ("root/sub/index.html", "sub"),
            ("root/sub/STYLE.CSS", "css"),
        ] {
            fs::write(dir.join(path), content).unwrap();
        }
        symlink("a.txt", root.join("within")).unwrap();
        symlink(root.join("sub"), root.join("within-dir")).unwrap();
        symlink("../secret.txt", root.join("out")).unwrap();
        symlink(dir.join("secret.txt"), root.join("out-absolute")).unwrap();
        symlink("..", root.join("out-dir")).unwrap();
        symlink("../root-beside", root.join("out-beside")).unwrap();
        symlink("../../secret.txt", root.join("sly/index.html")).unwrap();
        symlink("out", root.join("out-twice")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/dev/zero", root.join("device")).unwrap();
        (dir, root)
    }

    #[test]
    fn are_found_by_their_names_with_their_types() {
        let (_folder, root) = tree();
        let server = serving(&root);
        for (target, content, content_type) in [
            ("/", "index", "text/html; charset=utf-8"),
            ("/?a=/../b", "index", "text/html; charset=utf-8"),
            ("/index.html", "index", "text/html; charset=utf-8"),
            ("/a.txt", "a", "text/plain; charset=utf-8"),
            ("/%61%2etxt", "a", "text/plain; charset=utf-8"),
            ("http://elsewhere/a.txt?q", "a", "text/plain; charset=utf-8"),
            ("/nothing.bin", "", "application/octet-stream"),
            ("/with%20space+%C3%bc%25.html", "name", "text/html; charset=utf-8"),
            ("/sub/", "sub", "text/html; charset=utf-8"),
            ("/sub/STYLE.CSS", "css", "text/css; charset=utf-8"),
            ("/within", "a", "application/octet-stream"),
            ("/within-dir/", "sub", "text/html; charset=utf-8"),
        ] {
            let response = get(&server, target);
            assert_eq!((response.status, &*response.body), (200, content.as_bytes()), "{target}");
            assert_eq!(response.field("Content-Type"), Some(content_type), "{target}");
        }
        for (target, location) in [("/sub", "/sub/"), ("/within-dir?q=1", "/within-dir/?q=1")] {
            let response = get(&server, target);
            assert_eq!((response.status, response.field("Location")), (301, Some(location)));
        }
        server.stop_with_clients();
    }

    #[test]
    fn outside_of_the_root_are_not_served() {
        let (_folder, root) = tree();
        assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
        let server = serving(&root);
        let absolute = root.parent().unwrap().join("secret.txt");
        let absolute = absolute.to_str().unwrap();
        let mut refused = vec![
            (absolute.to_owned(), 404),
            (format!("/{absolute}"), 404),
            (format!("/{}", absolute.replace('/', "%2f")), 404),
            (format!("/{}", "../".repeat(30)), 404),
            (format!("/{}etc/passwd", "../".repeat(30)), 404),
            (format!("/{}", "x".repeat(300)), 404),
            (format!("/{}", "x/".repeat(3000)), 404),
        ];
        let more = [
            "/../secret.txt",
            "/sub/../../secret.txt",
            "/sub/../a.txt",
            "/./a.txt",
            "/..",
            "/../",
            "/.",
            "/%2e%2e/secret.txt",
            "/%2E./secret.txt",
            "/.%2e/secret.txt",
            "/..%2fsecret.txt",
            "/..%2Fsecret.txt",
            "/%2e%2e%2fsecret.txt",
            "/sub%2f..%2f..%2fsecret.txt",
            "/%252e%252e/secret.txt",
            "/..;/secret.txt",
            "/..\\secret.txt",
            "/..%5csecret.txt",
            "/%c0%ae%c0%ae/secret.txt",
            "/%c0%af../secret.txt",
            "/%uff0e%uff0e/secret.txt",
            "/%e2%80%a5/secret.txt",
            "//secret.txt",
            "///etc/passwd",
            "//etc/passwd",
            "/~root/",
            "/sub%2fSTYLE.CSS",
            "/back\\slash",
            "/back%5Cslash",
            "/%2fetc/passwd",
            "/%2Fetc%2Fpasswd",
            "//../secret.txt",
            "/root-beside/secret.txt",
            "/../root-beside/secret.txt",
            "/../root/a.txt",
            "/.hidden",
            "/%2ehidden",
            "/.../a.txt",
            "/out",
            "/out-absolute",
            "/out-twice",
            "/out-dir",
            "/out-dir/",
            "/out-dir/secret.txt",
            "/out-dir/root/a.txt/../../secret.txt",
            "/out-beside/secret.txt",
            "/sly/",
            "/loop",
            "/loop/",
            "/device",
            "/pipe",
            "/empty/",
            "/a.txt/",
            "/a.txt/x",
            "/nothing.bin/",
            "/A.TXT",
            "/a.txt.",
            "/a.txt%20",
            "/a.txt::$DATA",
            "/C:/secret.txt",
            "/sub//index.html",
            "/sub//",
            "//",
            "//elsewhere.example/%2e%2e",
            "/%5celsewhere.example",
            "/sub/%2f",
            "/none",
            "/none/",
        ];
        refused.extend(more.map(|target| (target.to_owned(), 404)));
        let wrong =
            ["/%", "/%2", "/%zz", "/%+1", "/a.txt%00", "/%00", "/a.txt%00.html", "/%2e%2e%00/"];
        refused.extend(wrong.map(|target| (target.to_owned(), 400)));
        for (target, status) in refused {
            let response = get(&server, &target);
            let right =
                status == response.status || target.contains("%u") && response.status == 400;
            assert!(right, "{target}: {}", response.status);
            assert!(!response.body.windows(6).any(|part| part == b"SECRET"), "{target}");
            assert_eq!(response.field("Location"), None, "{target}");
        }
        assert_eq!(get(&server, "/a.txt").body, b"a");
        server.stop_with_clients();
    }

    #[test]
    fn that_nobody_reads_take_no_memory() {
        const READERS: usize = 20;
        let root = Folder::new();
        fs::write(root.join("index.html"), "index").unwrap();
        sparse(&root.join("huge"), 1 << 32);
        let server = Server::start(
            example("http_server")
                .args(["--listen", "127.0.0.1:0", "--timeout", SHORT, "--root"])
                .arg(&*root)
                .env("RUST_LOG", "http_server=info"),
        );
        assert_sound(&server);
        let before = server.peak_memory();
        let requests = "GET /huge HTTP/1.1\r\nHost: h\r\n\r\n".repeat(10_000);
        let mut clients: Vec<Client> = (0..READERS).map(|_| Client::new(&server)).collect();
        for client in &mut clients {
            // As much as the kernel takes: the server does not read on either.
            client.0.get_ref().set_nonblocking(true).unwrap();
            let _ = client.0.get_mut().write(requests.as_bytes());
        }
        let mut given_up = 0;
        while given_up < READERS {
            given_up += usize::from(server.program.error_line().ends_with("does not read"));
        }
        let grown = server.peak_memory() - before;
        assert!(grown / READERS < 1_000_000, "{grown} bytes for {READERS}");
        assert_sound(&server);
    }

    #[test]
    fn a_file_that_shrinks_is_not_taken_for_whole() {
        const LEN: u64 = 1 << 30;
        let root = Folder::new();
        fs::write(root.join("index.html"), "index").unwrap();
        sparse(&root.join("file"), LEN);
        let server = serving(&root);
        let mut client = Client::new(&server);
        client.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = client.head().unwrap();
        assert_eq!(head.field("Content-Length"), Some("1073741824"));
        sparse(&root.join("file"), 1);
        let end = io::copy(&mut client.0, &mut io::sink());
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_sound(&server);
        assert_eq!(get(&server, "/file").body, [0]);
    }
}

mod deadlines {
    use super::*;

    #[test]
    fn a_connection_without_a_request_is_closed_without_a_word() {
        let server = server(&["--timeout", SHORT]);
        assert_eq!(Client::new(&server).responses(), [], "before the first");
        let responses = until_closed(&server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(statuses(&responses), [200], "after the last");
        assert!(!responses[0].closes());
        server.stop_with_clients();
    }

    #[test]
    fn a_request_that_stalls_gets_408() {
        let server = server(&["--timeout", SHORT]);
        for request in [
            "G",
            "\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            assert_refused(&server, request, 408);
        }
        let first = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let responses = until_closed(&server, [first, "GET"].concat());
        assert_eq!(statuses(&responses), [200, 408]);
        assert_sound(&server);
    }

    /// A byte now and then is no progress: what would be the whole request after an hour is refused
    /// as soon as one that stalls.
    #[test]
    fn a_request_that_drips_gets_408() {
        let server = server(&["--timeout", SHORT]);
        for start in [
            "GET /?",
            "GET / HTTP/1.1\r\nX: ",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nf0000\r\n",
        ] {
            let mut client = Client::new(&server);
            client.send(start);
            client.0.get_ref().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let mut drops = 0;
            while let Err(error) = client.0.fill_buf() {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                client.send("x");
                drops += 1;
                assert!(drops < 1000, "it never ends");
            }
            client.0.get_ref().set_read_timeout(Some(TIME_LIMIT)).unwrap();
            assert_eq!(statuses(&client.responses()), [408]);
        }
        assert_sound(&server);
    }

    #[test]
    fn a_slow_reader_that_does_read_gets_everything() {
        const LEN: usize = 128 << 20;
        let root = Folder::new();
        sparse(&root.join("file"), LEN as u64);
        let server = server(&["--timeout", "3", "--root", root.to_str().unwrap()]);
        let mut client = Client::new(&server);
        client.send("GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(client.head().unwrap().status, 200);
        let mut came = 0;
        let mut portion = vec![0; 1 << 20];
        loop {
            // The pause is the slowness itself: 128 of them are longer than the timeout.
            thread::sleep(Duration::from_millis(30));
            match client.0.read(&mut portion).unwrap() {
                0 => break,
                count => came += count,
            }
        }
        assert_eq!(came, LEN);
    }
}

mod the_end {
    use super::*;

    #[test]
    fn closes_the_idle_and_lets_answers_and_requests_be_finished() {
        const LEN: u64 = 64 << 20;
        let root = Folder::new();
        fs::write(root.join("index.html"), "index").unwrap();
        sparse(&root.join("file"), LEN);
        let server = serving(&root);
        let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut fresh = Client::new(&server);
        let mut idle = Client::new(&server);
        idle.send(request);
        assert_eq!(idle.response().unwrap().status, 200);
        let mut reading = [Client::new(&server), Client::new(&server)];
        for client in &mut reading {
            client.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.head().unwrap().status, 200);
        }
        let mut asking = Client::new(&server);
        asking.send([request, &request[..20]].concat());
        assert_eq!(asking.response().unwrap().status, 200);

        server.program.signal("TERM");
        let line = server.program.error_line();
        assert_eq!(line, "stopping, 5 open; Ctrl-C again to drop them");
        assert_eq!(
            TcpStream::connect(server.addr).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        assert_eq!(fresh.responses(), []);
        assert_eq!(idle.responses(), []);
        asking.send(&request[20..]);
        let last = asking.responses();
        assert_eq!((statuses(&last), last[0].closes()), (vec![200], true));
        for client in &mut reading {
            // Were the first closed by the end of the grace only, so would be the second.
            assert_eq!(io::copy(&mut client.0, &mut io::sink()).unwrap(), LEN);
        }
        drop((fresh, idle, reading, asking));
        assert_eq!(server.program.finish().code, Some(0));
    }

    #[test]
    fn does_not_wait_for_ever_nor_after_a_second_signal() {
        let root = Folder::new();
        sparse(&root.join("file"), 1 << 30);
        for (signals, code) in [(1, Some(0)), (2, Some(130))] {
            let server = serving(&root);
            let mut stuck = Client::new(&server);
            stuck.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(stuck.head().unwrap().status, 200);
            server.program.signal("TERM");
            assert_eq!(server.program.error_line(), "stopping, 1 open; Ctrl-C again to drop them");
            if signals == 2 {
                server.program.signal("TERM");
            }
            assert_eq!(server.program.finish().code, code);
        }
    }

    #[test]
    fn comes_at_once_when_nothing_can_be_served() {
        let dir = Folder::new();
        fs::write(dir.join("file"), "").unwrap();
        for name in ["none", "file"] {
            let path = dir.join(name);
            let end = run(example("http_server").arg("--root").arg(&path));
            let start = format!("http_server: cannot serve {}: ", path.display());
            let complaint = end.complaint(1);
            assert!(complaint.starts_with(&start), "{complaint}");
            assert!(complaint.ends_with("; --root takes a directory"), "{complaint}");
        }
        for args in [
            &["--timeout", "0"][..],
            &["--timeout", "-1"],
            &["--timeout", "soon"],
            &["--timeout", "nan"],
            &["--timeout", "inf"],
            &["--timeout"],
            &["--root"],
            &["--roots", "x"],
            &["x"],
        ] {
            let end = run(example("http_server").args(args));
            assert!(end.complaint(2).ends_with("; http_server --help tells more"), "{end:?}");
        }
        let end = run(example("http_server").arg("--help"));
        assert_eq!((end.code, &*end.stderr), (Some(0), ""));
        assert!(end.text().contains("--timeout SECONDS"));
    }
}
