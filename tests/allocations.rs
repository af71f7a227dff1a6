//! What the hot path allocates: nothing, once it is warm.
//!
//! A program of its own, with one test: the counting allocator sees every thread.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use crocus::framing::{Decoder, FrameHandler, Framed, Input, LengthPrefixed, Lines};
use crocus::{DatagramProtocol, DatagramTransport, Factory, Protocol, Reactor, Transport};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 8;
const MESSAGES: usize = 500;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// An echo of the lines in the messages below.
struct EchoLines;

impl FrameHandler<Lines> for EchoLines {
    fn frame_received(&mut self, transport: &mut Transport, _: &mut Input<Lines>, line: &[u8]) {
        transport.write(line);
        transport.write(b"\n");
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport,
        data: &[u8],
        from: SocketAddr,
    ) {
        transport.send_to(data, from).unwrap();
    }
}

fn main() {
    steady_state_allocates_nothing("an_echo", |_| Echo);
    steady_state_allocates_nothing("an_echo_of_lines", |_| Framed::new(Lines::new(), EchoLines));
    a_datagram_echo_allocates_nothing();
    a_length_that_lies_allocates_nothing_ahead();
}

fn steady_state_allocates_nothing(name: &str, factory: impl Factory + 'static) {
    let mut reactor = Reactor::new().unwrap();
    let listener = reactor.listen_tcp("127.0.0.1:0", factory).unwrap();
    let addr = reactor.local_addr(listener).unwrap().socket_addr().unwrap();
    let mut clients: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(addr).unwrap()).collect();

    exchange(&mut reactor, &mut clients, 20);
    let before = reactor.stats();
    let region = Region::new(ALLOCATOR);
    exchange(&mut reactor, &mut clients, MESSAGES);
    let change = region.change();
    let callbacks = reactor.stats().callbacks - before.callbacks;

    assert!(callbacks >= (CONNECTIONS * MESSAGES) as u64, "{callbacks} callbacks");
    assert_eq!(change.allocations, 0, "in {callbacks} callbacks: {change:?}");
    assert_eq!(change.reallocations, 0, "in {callbacks} callbacks: {change:?}");
    println!("test steady_state_of_{name}_allocates_nothing ... ok");
}

fn a_datagram_echo_allocates_nothing() {
    let mut reactor = Reactor::new().unwrap();
    let id = reactor.listen_udp("127.0.0.1:0", Echo).unwrap();
    let addr = reactor.datagram(id).unwrap().local_addr();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(addr).unwrap();
    exchange_datagrams(&mut reactor, &client, 20);
    let region = Region::new(ALLOCATOR);
    exchange_datagrams(&mut reactor, &client, MESSAGES);
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
    println!("test steady_state_of_a_datagram_echo_allocates_nothing ... ok");
}

fn exchange_datagrams(reactor: &mut Reactor, client: &UdpSocket, rounds: usize) {
    for round in 0..rounds {
        client.send(&[round as u8; 64]).unwrap();
        let wanted = reactor.stats().datagrams_sent + 1;
        while reactor.stats().datagrams_sent < wanted {
            reactor.turn(None).unwrap();
        }
        let mut back = [0; 65];
        assert_eq!(client.recv(&mut back).unwrap(), 64);
        assert_eq!(back[..64], [round as u8; 64]);
    }
}

/// Two gigabytes are announced, and some bytes of them come.
fn a_length_that_lies_allocates_nothing_ahead() {
    let mut decoder = Decoder::new(LengthPrefixed::u32().max_length(usize::MAX));
    let region = Region::new(ALLOCATOR);
    decoder.feed(b"\x80\0\0\0some");
    assert_eq!(decoder.next_frame(), None);
    let change = region.change();
    assert!(change.bytes_allocated < 100, "{change:?}");
    println!("test a_length_that_lies_allocates_nothing_ahead ... ok");
}

/// Every client sends a message and gets it back, again and again. It is two lines, and comes in two
/// halves, so that the second line is cut.
fn exchange(reactor: &mut Reactor, clients: &mut [TcpStream], rounds: usize) {
    let mut back = [0; 64];
    for round in 0..rounds {
        let mut message = [round as u8 | 128; 64];
        (message[9], message[63]) = (b'\n', b'\n');
        let written = reactor.stats().bytes_written + (clients.len() * message.len()) as u64;
        for half in message.chunks(32) {
            let read = reactor.stats().bytes_read + (clients.len() * half.len()) as u64;
            for client in &mut *clients {
                client.write_all(half).unwrap();
            }
            while reactor.stats().bytes_read < read {
                reactor.turn(None).unwrap();
            }
        }
        while reactor.stats().bytes_written < written {
            reactor.turn(None).unwrap();
        }
        for client in &mut *clients {
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, message);
        }
    }
}
