//! The proxy with real clients: curl, Python's urllib, and sockets.

#![allow(clippy::unwrap_used)] // the helpers of tests, too

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const SIZE: usize = 20_000_000;

/// The proxy, killed at the end.
struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    fn start(port: u16) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_forward_proxy"))
            .args(["--listen", "127.0.0.1:0", "--allow-port", &port.to_string()])
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address }
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for the end, and returns the log.
    fn log(&mut self) -> String {
        let log = io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }

    fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Opens a tunnel, which gets `early` with the head.
    fn tunnel(&self, to: SocketAddr, early: &str) -> TcpStream {
        let mut stream = self.dial();
        write!(stream, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n{early}").unwrap();
        let mut answer = [0; 39];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 Connection established\r\n\r\n");
        stream
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn big() -> Vec<u8> {
    (0..SIZE).map(|number| (number / 251 + number % 251) as u8).collect()
}

/// A server that sends the big body, or says how many good bytes it got. It tells the head to the test.
fn origin() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let heads = heads.clone();
            thread::spawn(move || serve(stream.unwrap(), &heads));
        }
    });
    (address, received)
}

fn serve(mut stream: TcpStream, heads: &mpsc::Sender<String>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let lower = head.to_lowercase();
    let length = lower
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap().parse().unwrap());
    if lower.contains("expect: 100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    let is_big = head.starts_with("GET /big") || head.starts_with("HEAD /big");
    let answer = if is_big { big() } else { (body == big()).to_string().into_bytes() };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    )?;
    if !head.starts_with("HEAD") {
        stream.write_all(&answer)?;
    }
    let _ = heads.send(head);
    Ok(())
}

/// Runs curl through the proxy; `None` if it is not installed.
fn curl(proxy: &Proxy, arguments: &[&str], input: &[u8]) -> Option<Output> {
    run(
        Command::new("curl")
            .args(["-sS", "--max-time", "120", "-x", &proxy.address])
            .args(arguments),
        input,
    )
}

fn run(command: &mut Command, input: &[u8]) -> Option<Output> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match piped {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("{command:?} is not installed");
            return None;
        }
        piped => piped.unwrap(),
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    Some(output)
}

fn succeeded(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn curl_downloads_and_uploads() {
    let (to, heads) = origin();
    let mut proxy = Proxy::start(to.port());
    for tunnel in [&[][..], &["--proxytunnel"]] {
        let url = |path: &str| [tunnel, &[&format!("http://{to}/{path}")[..]]].concat().join("\n");
        let with = |more: &[&str], path: &str, input: &[u8]| {
            let url = url(path);
            let all: Vec<&str> = more.iter().copied().chain(url.split('\n')).collect();
            curl(&proxy, &all, input).map(succeeded).map(|body| (body, heads.recv().unwrap()))
        };
        let Some((download, head)) = with(&[], "big", b"") else { return };
        assert!(download == big());
        assert!(head.starts_with("GET /big HTTP/1.1\r\n"), "{head}");
        assert!(!head.contains("Proxy-Connection"), "{head}");
        assert_eq!(head.contains("Via: 1.1 forward_proxy\r\nConnection: close"), tunnel.is_empty());
        let length =
            ["-H", &format!("Content-Length: {SIZE}"), "-H", "Transfer-Encoding:", "-T", "-"];
        assert_eq!(with(&length, "put", &big()).unwrap().0, b"true");
        let answer = String::from_utf8(with(&["-I"], "big", b"").unwrap().0).unwrap();
        assert!(answer.contains("Content-Length: 20000000\r\n"), "{answer}");
    }
    proxy.terminate();
    let log = proxy.log();
    assert!(
        log.contains(&format!("GET {to}: ")) && log.contains(&format!("CONNECT {to}: ")),
        "{log}"
    );
    assert!(log.contains(" bytes there, 200000"), "{log}");
}

#[test]
fn curl_is_told_what_is_wrong() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(closed.port());
    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    let ask = |url: &str| curl(&proxy, &[&code[..], &[url]].concat(), b"");
    let Some(output) = ask(&format!("http://{closed}/")) else { return };
    assert_eq!(output.stdout, b"502");
    assert_eq!(ask("http://127.0.0.1:1/").unwrap().stdout, b"403");
    let output = ask("https://127.0.0.1:1/").unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("403"), "{error}");
}

#[test]
fn python_downloads_and_posts() {
    let (to, heads) = origin();
    let proxy = Proxy::start(to.port());
    let script = format!(
        "import urllib.request as r\n\
         o = r.build_opener(r.ProxyHandler({{'http': 'http://{}'}}))\n\
         print(len(o.open('http://{to}/big', timeout=120).read()))\n\
         print(o.open('http://{to}/post', data=b'x' * 1000000, timeout=120).read())\n\
         import http.client as h\n\
         c = h.HTTPConnection('{}', timeout=120)\n\
         c.set_tunnel('{}', {})\n\
         c.request('GET', '/big')\n\
         print(len(c.getresponse().read()))",
        proxy.address,
        proxy.address,
        to.ip(),
        to.port()
    );
    let Some(output) = run(Command::new("python3").args(["-c", &script]), b"") else { return };
    let text = String::from_utf8(succeeded(output)).unwrap();
    assert_eq!(text, "20000000\nb'false'\n20000000\n");
    assert!(heads.iter().take(3).all(|head| head.contains("HTTP/1.1\r\n")));
}

#[test]
fn a_half_close_is_passed_on_both_ways() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let proxy = Proxy::start(to.port());
    let mut near = proxy.tunnel(to, "early ");
    let (mut far, _) = server.accept().unwrap();
    near.write_all(b"late").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(io::read_to_string(&far).unwrap(), "early late");
    far.write_all(b"answer").unwrap();
    drop(far);
    assert_eq!(io::read_to_string(near).unwrap(), "answer");
}

#[test]
fn a_drain_finishes_a_transfer() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let mut proxy = Proxy::start(to.port());
    let mut waiting = proxy.dial();
    let near = proxy.tunnel(to, "");
    let (mut far, _) = server.accept().unwrap();
    let body = big();
    let (first, last) = body.split_at(SIZE / 2);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        BufReader::new(near).read_to_end(&mut all).map(|_| all)
    });
    far.write_all(first).unwrap();
    proxy.terminate();
    assert_eq!(waiting.read(&mut [0; 1]).unwrap(), 0, "an idle client is closed");
    assert!(TcpStream::connect(&proxy.address).is_err(), "nobody listens any more");
    far.write_all(last).unwrap();
    drop(far);
    assert!(reader.join().unwrap().unwrap() == body);
    let log = proxy.log();
    assert!(log.contains("0 bytes there, 20000000 back"), "{log}");
}
