//! The broker as a process, with mosquitto_pub and mosquitto_sub.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::packets::{connect, publish, subscribe};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Ends a process, whatever becomes of the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Waits for the end of a client that ends by itself, and returns what it printed.
    fn output(mut self) -> Output {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let Some(mut pipe) = self.0.stdout.take() {
            pipe.read_to_end(&mut stdout).expect("a pipe can be read");
        }
        if let Some(mut pipe) = self.0.stderr.take() {
            pipe.read_to_end(&mut stderr).expect("a pipe can be read");
        }
        let status = self.0.wait().expect("the process can be waited for");
        Output { status, stdout, stderr }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {name}");
    }
}

struct Broker {
    process: Process,
    port: String,
    log: Receiver<String>,
}

impl Broker {
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mqtt_broker"))
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .env("RUST_LOG", "debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let process = Process(child);
        let mut line = String::new();
        BufReader::new(stdout.expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on ").expect("the place");
        let (_, port) = address.rsplit_once(':').expect("a port");
        let (sender, log) = channel();
        let lines = BufReader::new(stderr.expect("piped")).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, port: port.to_owned(), log }
    }

    /// Waits for a line of the log that has this text.
    fn wait_for(&self, text: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left);
            if line.expect(text).contains(text) {
                return;
            }
        }
    }

    fn client(&self, program: &str, args: &[&str]) -> Process {
        let child = Command::new(program)
            .args(["-h", "127.0.0.1", "-p", &self.port])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Process(child.expect("mosquitto's clients are installed"))
    }

    fn publish(&self, args: &[&str]) -> Output {
        self.client("mosquitto_pub", args).output()
    }

    /// A subscriber that ends after one message, and has subscribed when this returns.
    fn subscribe(&self, args: &[&str]) -> Process {
        let client = self.client("mosquitto_sub", &[&["-C", "1", "-W", "30"], args].concat());
        self.wait_for("subscribes");
        client
    }

    /// A connection that the test speaks on itself.
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
        stream.set_write_timeout(Some(LIMIT)).expect("a time limit");
        stream
    }
}

/// Whether mosquitto's clients are there; if not, a test says so and passes.
fn have_mosquitto() -> bool {
    let have = ["mosquitto_pub", "mosquitto_sub"]
        .iter()
        .all(|program| Command::new(program).arg("--help").output().is_ok());
    if !have {
        eprintln!("skipped: mosquitto_pub and mosquitto_sub are not installed");
    }
    have
}

#[test]
fn subscribers_get_what_is_published() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start(&[]);
    let first = broker.subscribe(&["-v", "-t", "home/+/light"]);
    let second = broker.subscribe(&["-v", "-t", "#", "-q", "2"]);
    let other = broker.subscribe(&["-v", "-t", "home/cellar/#"]);
    let output = broker.publish(&["-t", "home/hall/light", "-m", "on", "-q", "1"]);
    assert!(output.status.success(), "{output:?}");
    for subscriber in [first, second] {
        assert_eq!(subscriber.output().stdout, b"home/hall/light on\n");
    }
    broker.publish(&["-t", "home/cellar", "-m", "off"]);
    assert_eq!(other.output().stdout, b"home/cellar off\n");
}

#[test]
fn a_message_is_retained() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start(&[]);
    broker.publish(&["-t", "kept", "-m", "for you", "-r"]);
    let subscriber = broker.subscribe(&["-F", "%r %t %p", "-t", "+"]);
    assert_eq!(subscriber.output().stdout, b"1 kept for you\n");
    let version = broker.subscribe(&["-t", "$SYS/#"]).output().stdout;
    assert!(version.starts_with(b"crocus "), "{version:?}");
}

#[test]
fn a_client_that_dies_leaves_its_will() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start(&[]);
    let heir = broker.subscribe(&["-t", "wills"]);
    let will = ["--will-topic", "wills", "--will-payload", "adieu", "-t", "x"];
    drop(broker.subscribe(&will)); // which kills it
    assert_eq!(heir.output().stdout, b"adieu\n");
}

#[test]
fn a_second_client_takes_over_the_name() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start(&[]);
    let _first = broker.subscribe(&["-i", "same", "-t", "x"]);
    let mut second = broker.connect();
    second.write_all(&connect("same", 0)).expect("it reads");
    broker.wait_for("takes over its name");
}

#[test]
fn what_is_not_supported_is_refused() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start(&["--max-packet", "10000"]);
    let refused = broker.publish(&["-t", "t", "-m", "x", "-q", "2"]);
    assert!(!refused.status.success(), "{refused:?}");
    broker.wait_for("QoS 2 is not supported");
    let refused = broker.publish(&["-t", "t", "-m", "x", "-V", "mqttv31"]);
    assert!(!refused.status.success(), "{refused:?}");
    broker.wait_for("protocol level 3");
    let refused = broker.publish(&["-t", "t", "-m", &"x".repeat(10_000), "-q", "1"]);
    assert!(!refused.status.success(), "{refused:?}");
    broker.wait_for("a frame of more than 10000 bytes");
    let accepted = broker.publish(&["-t", "t", "-m", &"x".repeat(9_990), "-q", "1"]);
    assert!(accepted.status.success(), "{accepted:?}");
}

#[test]
fn a_malformed_packet_is_logged() {
    let broker = Broker::start(&[]);
    let mut stream = broker.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it reads");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an orderly end");
    assert_eq!(rest, b"");
    broker.wait_for("wrong flags for a packet of this type");
}

#[test]
fn a_slow_subscriber_costs_bounded_memory() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start(&[]);
    let mut slow = broker.connect();
    slow.write_all(&[connect("slow", 0), subscribe("#")].concat()).expect("it reads");
    broker.wait_for("subscribes");
    let last = broker.subscribe(&["-t", "last"]);
    let mut publisher = broker.connect();
    publisher.write_all(&connect("publisher", 0)).expect("it reads");
    let message = publish("t", vec![b'x'; 100_000]);
    for _ in 0..1000 {
        publisher.write_all(&message).expect("it reads");
    }
    publisher.write_all(&publish("last", "done")).expect("it reads");
    assert_eq!(last.output().stdout, b"done\n");
    broker.wait_for("is slow and misses messages");
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", broker.process.0.id())) {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kilobytes: u32 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kilobytes < 30_000, "{kilobytes} kB of memory");
    }
}

#[test]
fn sigterm_ends_the_broker_and_its_clients() {
    if !have_mosquitto() {
        return;
    }
    for signal in ["-TERM", "-INT"] {
        let broker = Broker::start(&[]);
        let _subscriber = broker.subscribe(&["-t", "x"]);
        broker.process.signal(signal);
        broker.wait_for("stopped");
        let output = broker.process.output();
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_place_that_is_taken_is_an_error() {
    let broker = Broker::start(&[]);
    let output = Command::new(env!("CARGO_BIN_EXE_mqtt_broker"))
        .args(["--listen", &format!("127.0.0.1:{}", broker.port)])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("listening at 127.0.0.1"), "{text}");
}
