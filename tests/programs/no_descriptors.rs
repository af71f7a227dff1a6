//! Running out of descriptors for real, in a process whose limit is low.
#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use crocus::{Address, Protocol, Reactor, Reason, Transport};

const MODE: &str = "CROCUS_NO_DESCRIPTORS";

/// How many descriptors the server has for connections.
const FREE: usize = 4;

const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Says each warning on stdout, where the parent counts them.
struct Say;

impl log::Log for Say {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }
    fn log(&self, record: &log::Record) {
        println!("\nlogged {}: {}", record.level(), record.args());
    }
    fn flush(&self) {}
}

/// Open files that take all free descriptors.
type Held = Rc<RefCell<Vec<File>>>;

fn hold_all_but(free: usize, held: &Held) {
    let mut held = held.borrow_mut();
    held.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
    assert!(held.len() > free, "the limit is too low for this test");
    held.drain(..free);
}

/// Greets; `f` frees the descriptors held, `s` stops.
struct Greeter(Held);

impl Protocol for Greeter {
    fn connection_made(&mut self, transport: &mut Transport) {
        assert!(transport.write(b"hi"));
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        if data.contains(&b'f') {
            self.0.take();
        }
        if data.contains(&b's') {
            transport.reactor().stop();
        }
    }
}

struct NeverConnected;

impl crocus::Factory for NeverConnected {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        panic!("there is no descriptor for a connection");
    }

    fn connection_failed(&mut self, _: &mut crocus::Connector, reason: &Reason) {
        let errno = reason.io_error().and_then(io::Error::raw_os_error);
        println!("\nfailed {errno:?}");
    }
}

/// Not a test when it is run as one: the server that the tests below start.
#[test]
fn child() {
    let Some(mode) = std::env::var_os(MODE) else { return };
    log::set_logger(&Say).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let mut reactor = Reactor::new().unwrap();
    let held = Held::default();
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    if mode == "connect" {
        reactor.connect(outside.local_addr().unwrap(), NeverConnected);
        hold_all_but(0, &held);
    } else {
        let given = Rc::clone(&held);
        let make = move |_| Greeter(Rc::clone(&given));
        let id = reactor.listen("127.0.0.1:0", make).unwrap();
        hold_all_but(FREE, &held);
        println!("\nlistening on {}", reactor.local_addr(id).unwrap());
    }
    reactor.run().unwrap();
    println!("\ndone");
}

struct Server {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(mode: &str) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", r#"ulimit -n 40 && exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "no_descriptors::child", "--nocapture", "--test-threads=1"])
            .env(MODE, mode)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    fn addr(&mut self) -> SocketAddr {
        let mut lines = self.output.by_ref().lines();
        let addr = lines.find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok());
        addr.unwrap()
    }

    /// All lines up to the end that begin so.
    fn lines(mut self, prefix: &str) -> Vec<String> {
        let lines = self.output.by_ref().lines().map(Result::unwrap);
        let lines: Vec<_> = lines.collect();
        assert!(self.process.wait().unwrap().success(), "{lines:#?}");
        assert!(lines.contains(&"done".to_owned()), "{lines:#?}");
        lines.into_iter().filter(|line| line.starts_with(prefix)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails if the process has ended, as it should have.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn clients(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

fn is_greeted(client: &mut TcpStream) {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).expect("a client that waits for a descriptor is served");
    assert_eq!(&greeting, b"hi");
}

/// Twisted's `test_closePeerOnEMFILE`, `test_tooManyFilesFromAccept`, on a real kernel.
#[test]
fn clients_get_descriptors_one_by_one_as_others_close() {
    let mut server = Server::start("serve");
    let addr = server.addr();
    let mut all = clients(addr, 5 * FREE);
    let mut last = all.pop().unwrap();
    for mut client in all {
        is_greeted(&mut client);
    }
    is_greeted(&mut last);
    last.write_all(b"s").unwrap();
    let logged = server.lines("logged");
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert!(logged[0].contains("WARN") && logged[0].contains("ulimit"), "{logged:#?}");
}

/// Twisted's `test_tooManyFilesFromAccept`: no new client, and no closing one, is needed.
#[test]
fn clients_get_descriptors_when_the_program_closes_files() {
    let mut server = Server::start("serve");
    let addr = server.addr();
    let mut all = clients(addr, 3 * FREE);
    for client in &mut all[..FREE] {
        is_greeted(client);
    }
    all[0].write_all(b"f").unwrap();
    for client in &mut all[FREE..] {
        is_greeted(client);
    }
    all[0].write_all(b"s").unwrap();
    let logged = server.lines("logged");
    assert_eq!(logged.len(), 1, "{logged:#?}");
}

/// crocus's own.
#[test]
fn connecting_without_descriptors_is_one_failure_with_its_errno() {
    let failed = Server::start("connect").lines("failed");
    assert_eq!(failed, [format!("failed Some({})", libc::EMFILE)]);
}

/// crocus's own: closing with a client in the queue does not need a descriptor.
#[test]
fn a_server_without_descriptors_can_be_stopped() {
    let mut server = Server::start("serve");
    let addr = server.addr();
    let mut all = clients(addr, 2 * FREE);
    is_greeted(&mut all[0]);
    all[0].write_all(b"s").unwrap();
    assert!(server.lines("logged").len() <= 1);
    let waiting = all.last_mut().unwrap();
    waiting.shutdown(Shutdown::Write).ok();
    let end = waiting.read(&mut [0; 8]);
    assert!(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}
