//! What the hot path allocates: nothing, once it is warm.
//!
//! A program of its own, with one test: the counting allocator sees every thread.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;

use crocus::{Protocol, Reactor, Transport};
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

fn main() {
    let mut reactor = Reactor::new().unwrap();
    let listener = reactor.listen_tcp("127.0.0.1:0", |_| Echo).unwrap();
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
    println!("test steady_state_of_an_echo_allocates_nothing ... ok");
}

/// Every client sends a message and gets it back, again and again.
fn exchange(reactor: &mut Reactor, clients: &mut [TcpStream], rounds: usize) {
    let mut back = [0; 64];
    for round in 0..rounds {
        let message = [round as u8; 64];
        for client in &mut *clients {
            client.write_all(&message).unwrap();
        }
        let wanted = reactor.stats().bytes_written + (clients.len() * message.len()) as u64;
        while reactor.stats().bytes_written < wanted {
            reactor.turn(None).unwrap();
        }
        for client in &mut *clients {
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, message);
        }
    }
}
