//! Clients that stop in their handshake, many at once, and clients that send and never read: what they cost, in a
//! server that is a process of its own, and that others are served beside them.
//!
//! The gate has some hundreds of each. Ten thousand come on request, best with optimisation:
//!
//! ```console
//! $ cargo test --release --test tls -- --ignored --nocapture
//! ```
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crocus::tls::HANDSHAKE_TIMEOUT;
use crocus::tls::rustls::pki_types::ServerName;
use crocus::tls::rustls::{ClientConnection, StreamOwned};

use crate::certificates::Configs;
use crate::child::{Server, TIME_LIMIT, dial};
use crate::clients::{files, secure};
use crate::far::TlsFar;
use crate::util::{Far, pattern};

/// Where a client stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// It connects and says nothing.
    Silent,
    /// Within its first record.
    Begun,
    /// After its ClientHello: the server has answered with its flight, which is not read.
    Greeted,
    /// One byte before the end of a ClientHello that is almost as long as rustls takes.
    Large,
}

/// Bytes that a half-open connection may cost, by where its client stops. Measured: see CLIENTS.md.
fn bound(stop: Stop) -> usize {
    match stop {
        Stop::Silent => 6 * 1024,
        Stop::Begun => 12 * 1024,
        Stop::Greeted => 16 * 1024,
        Stop::Large => 96 * 1024,
    }
}

/// The bytes that a client sends before it stops.
fn sent(configs: &Configs, stop: Stop) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(Arc::clone(&configs.client), name).unwrap();
    client.write_tls(&mut hello).unwrap();
    match stop {
        Stop::Silent => Vec::new(),
        Stop::Begun => hello[..3].to_vec(),
        Stop::Greeted => hello,
        Stop::Large => {
            let mut large = vec![1, 0, 0xfa, 0]; // a ClientHello of 64,000 bytes
            large.resize(4 + 64_000 - 1, 0);
            let record = |piece: &[u8]| {
                let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
                [&[22, 3, 1][..], &length, piece].concat()
            };
            large.chunks(16 * 1024).flat_map(record).collect()
        }
    }
}

/// A client that goes through its handshake, and gets back what it sends.
fn served(server: &Server, configs: &Configs) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::clone(&configs.client), name).unwrap();
    let mut stream = StreamOwned::new(client, dial(server.addr));
    exchange(&mut stream);
    stream
}

fn exchange(stream: &mut StreamOwned<ClientConnection, TcpStream>) {
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < TIME_LIMIT, "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Clients that have stopped in their handshake, and one beside them that is served.
struct Crowd {
    server: Server,
    configs: Configs,
    stop: Stop,
    clients: Vec<TcpStream>,
    begin: Instant,
    served: StreamOwned<ClientConnection, TcpStream>,
    /// The memory and the descriptors of the server before they came.
    before: (usize, usize),
    /// How many of them the server was seen to have at once.
    most: usize,
}

/// After how many new clients the server is asked how many it has.
const ASKED: usize = 25;

impl Crowd {
    /// Connects `count` clients that stop there.
    fn of(count: usize, stop: Stop) -> Self {
        // Two processes: each has one end of each.
        rlimit::increase_nofile_limit(4 * count as u64 + 400).unwrap();
        let configs = Configs::for_programs();
        let server = secure("echo_server", &files(&configs));
        let served = served(&server, &configs);
        let before = (server.memory(), server.descriptors());
        let bytes = sent(&configs, stop);
        let begin = Instant::now();
        let (mut clients, mut most) = (Vec::new(), 0);
        for number in 1..=count {
            let mut client = dial(server.addr);
            client.write_all(&bytes).unwrap();
            clients.push(client);
            if number % ASKED == 0 {
                most = most.max(server.descriptors() - before.1);
            }
        }
        // On a slow machine the first have had their time before the last are there.
        until("all to be accepted", || {
            most = most.max(server.descriptors() - before.1);
            most == count || begin.elapsed() > HANDSHAKE_TIMEOUT
        });
        Self { server, configs, stop, clients, begin, served, before, most }
    }

    /// Waits until their time is over.
    fn wait(mut self) {
        let (server, stop, count) = (self.server, self.stop, self.clients.len());
        exchange(&mut self.served);
        drop(served(&server, &self.configs)); // another that comes meanwhile
        for mut client in self.clients {
            // Its end may be a reset: there is something that it has not read.
            let end = loop {
                match client.read(&mut [0; 4096]) {
                    Ok(1..) => {}
                    end => break end.map_err(|error| error.kind()),
                }
            };
            assert_ne!(end, Err(ErrorKind::WouldBlock), "{stop:?}: it is never let go");
        }
        let took = self.begin.elapsed();
        assert!(took >= HANDSHAKE_TIMEOUT, "{stop:?}: nobody is let go before: {took:?}");
        exchange(&mut self.served);
        until("all to be let go", || server.descriptors() == self.before.1);
        let most = self.most;
        // Between two looks there may have been some more.
        let shared = if most == count { count } else { most + ASKED };
        let each = server.peak_memory().saturating_sub(self.before.0) / shared;
        println!("{most} of {count} × {stop:?} at once: {each} bytes each, gone after {took:?}");
        assert!(each <= bound(stop), "{stop:?}: {each} bytes for each connection");
        drop(self.served);
        server.stop_with_clients();
    }
}

/// All kinds at once, each with a server of its own: so they wait for their deadline together.
#[test]
fn clients_that_stop_in_their_handshake_cost_little_and_go_in_time() {
    let crowds =
        [(1000, Stop::Silent), (1000, Stop::Begun), (300, Stop::Greeted), (300, Stop::Large)];
    for crowd in crowds.map(|(count, stop)| Crowd::of(count, stop)) {
        crowd.wait();
    }
}

#[test]
#[ignore = "ten thousand of each: cargo test --release --test tls -- --ignored --nocapture"]
fn ten_thousand_half_open_handshakes_are_bounded() {
    for stop in [Stop::Silent, Stop::Begun, Stop::Greeted, Stop::Large] {
        Crowd::of(10_000, stop).wait();
    }
}

/// Bytes that a client may cost who sends for ever and reads nothing: the mark, what one turn reads, a record, and
/// a vector that has grown by doubling.
const SENDS_AND_NEVER_READS: usize = 700 * 1024;

/// Clients that send for ever, in records of so many bytes, and read nothing.
fn never_reading(count: usize, record: usize) {
    rlimit::increase_nofile_limit(count as u64 + 200).unwrap();
    let configs = Configs::for_programs();
    let server = secure("echo_server", &files(&configs));
    let mut other = served(&server, &configs);
    let memory = server.memory();
    let mut clients: Vec<TlsFar> = (0..count)
        .map(|_| {
            let stream = dial(server.addr);
            stream.set_nonblocking(true).unwrap();
            let mut far = TlsFar::client(Far::Real(stream), &configs.client);
            until("the handshake", || {
                far.step();
                !far.tls.is_handshaking() && far.is_sent()
            });
            far
        })
        .collect();
    let data = pattern((record * 1000).min(64 * 1024));
    for far in &mut clients {
        // As much as the kernel and the server take: nothing is read any more.
        let mut stuck = 0;
        while stuck < 20 {
            if far.is_sent() {
                for piece in data.chunks(record) {
                    far.write(piece);
                }
            }
            let before = far.waiting();
            far.send();
            stuck = if far.waiting() == before { stuck + 1 } else { 0 };
            if stuck > 0 {
                thread::sleep(Duration::from_millis(1)); // the server has its turn
            }
        }
    }
    exchange(&mut other);
    let each = server.peak_memory().saturating_sub(memory) / count;
    println!("{count} that never read, records of {record}: {each} bytes each");
    assert!(each <= SENDS_AND_NEVER_READS, "{each} bytes for each connection");
    drop((clients, other));
    server.stop_with_clients();
}

#[test]
fn clients_that_never_read_have_a_bound() {
    never_reading(20, 16 * 1024);
    never_reading(2, 1);
}
