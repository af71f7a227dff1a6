//! A broadcast of a large message: copied for each connection, or shared by all. Beside the time it shows the memory that
//! was allocated at most, without the message itself.

use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crocus::{Address, Bytes, Listen, Protocol, Reactor, SocketOptions, Transport};
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use socket2::{Domain, Socket, Type};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const COUNT: usize = 10_000;

/// So many connections wait at each listener: Linux has a queue for 4,096 of them.
const EACH: usize = 2_500;

const MESSAGE: usize = 16 * 1024;

/// Sizes of the kernel's buffers at both ends. The peers have not read one message: the kernel has room for another, or
/// takes nothing.
const ROOMS: [usize; 2] = [64 * 1024, 2 * 1024];

/// In the environment of the process that has the other ends: where it connects to, and with which of these sizes. Many
/// systems let a process have no more than 20,000 descriptors.
const PLACES: &str = "CROCUS_BROADCAST_PLACES";
const ROOM: &str = "CROCUS_BROADCAST_ROOM";

struct Silent;

impl Protocol for Silent {}

fn main() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    match env::var(PLACES) {
        Ok(places) => be_peers(&places),
        Err(_) => divan::main(),
    }
}

/// Connects, says so, and never reads a message.
fn be_peers(places: &str) {
    let room = env::var(ROOM).ok().and_then(|room| room.parse().ok()).expect("it is a number");
    let dial = |place: SocketAddr| {
        let peer = Socket::new(Domain::IPV4, Type::STREAM, None).expect("enough descriptors");
        peer.set_recv_buffer_size(room).expect("any size is good");
        peer.connect(&place.into()).expect("it listens");
        peer
    };
    let places = places.split(' ').flat_map(str::parse);
    let peers: Vec<Socket> = places.flat_map(|place| (0..EACH).map(move |_| dial(place))).collect();
    println!("{} are connected", peers.len());
    let _ = io::stdin().read(&mut [0]); // until the other process closes it
}

/// Peers of a reactor, in another process, which ends when this is dropped.
struct Peers(Child);

impl Peers {
    fn of(places: &[SocketAddr], room: usize) -> Self {
        let places: Vec<String> = places.iter().map(SocketAddr::to_string).collect();
        let mut command = Command::new(env::current_exe().expect("it was started"));
        command.env(PLACES, places.join(" ")).env(ROOM, room.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process is left");
        let output = child.stdout.take().expect("it has a pipe");
        let said = BufReader::new(output).read_line(&mut String::new()).expect("it can be read");
        assert!(said > 0, "the other process has ended; see above");
        Self(child)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A reactor with its peers, of which none has read the first message.
fn connected(room: usize) -> (Reactor, Peers) {
    let mut reactor = Reactor::new().expect("two descriptors are left");
    let socket = SocketOptions::new().send_buffer(room);
    let place = || Listen::at("127.0.0.1:0").backlog(4096).socket(socket.clone());
    let places: Vec<SocketAddr> = (0..COUNT / EACH)
        .filter_map(|_| {
            let listener = reactor.listen(place(), |_: Address| Silent).expect("a port is left");
            reactor.local_addr(listener)?.socket_addr()
        })
        .collect();
    let peers = Peers::of(&places, room);
    while reactor.stats().accepted < COUNT as u64 {
        reactor.turn(Some(Duration::from_secs(1))).expect("the poller works");
    }
    tell_all(&mut reactor, |transport| transport.write(&[b'x'; MESSAGE]));
    (reactor, peers)
}

fn tell_all(reactor: &mut Reactor, tell: impl Fn(&mut Transport) -> bool) {
    for id in reactor.connections() {
        if let Some(mut transport) = reactor.transport(id) {
            assert!(tell(&mut transport));
        }
    }
    reactor.turn(Some(Duration::ZERO)).expect("the poller works");
}

#[divan::bench(args = ROOMS, sample_count = 10, sample_size = 1)]
fn write(bencher: Bencher, room: usize) {
    broadcast(bencher, room, |transport, message| transport.write(message));
}

#[divan::bench(args = ROOMS, sample_count = 10, sample_size = 1)]
fn write_owned(bencher: Bencher, room: usize) {
    broadcast(bencher, room, |transport, message| transport.write_owned(message.clone()));
}

fn broadcast(bencher: Bencher, room: usize, tell: fn(&mut Transport, &Bytes) -> bool) {
    let message = Bytes::from(vec![b'x'; MESSAGE]);
    bencher.counter(ItemsCount::new(COUNT)).with_inputs(|| connected(room)).bench_local_values(
        |(mut reactor, peers)| {
            tell_all(&mut reactor, |transport| tell(transport, &message));
            (reactor, peers)
        },
    );
}
