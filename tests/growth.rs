//! A hundred thousand connections, one after another, leave nothing behind.
//!
//! A program of its own, with one test: it looks at the memory and descriptors of the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod util;

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use crocus::{Protocol, Reactor, Transport};
use util::open_descriptors;

/// Connections that are made before memory is first looked at.
const WARM: usize = 5_000;
const MANY: usize = 100_000;

/// Bytes that the allocator may keep for itself: far less than one for each connection.
const SLACK: u64 = 64 * 1024;

struct Greeter;

impl Protocol for Greeter {
    fn connection_made(&mut self, transport: &mut Transport) {
        // Everything that a connection can have, so that everything has to be given back.
        transport.set_timeout(Some(Duration::from_secs(60)));
        transport.call_later(Duration::from_secs(60));
        transport.write(b"hello");
    }

    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        transport.lose_connection();
    }
}

#[test]
fn a_hundred_thousand_connections_leave_nothing_behind() {
    let mut reactor = Reactor::new().unwrap();
    let listener = reactor.listen("127.0.0.1:0", |_| Greeter).unwrap();
    let addr = reactor.local_addr(listener).unwrap().socket_addr().unwrap();
    let mut before = (0, 0);
    for round in 0..WARM + MANY {
        if round == WARM {
            before = (open_descriptors(), resident());
        }
        let mut client = TcpStream::connect(addr).unwrap();
        while reactor.stats().bytes_written < 5 * (round as u64 + 1) {
            reactor.turn(None).unwrap();
        }
        client.read_exact(&mut [0; 5]).unwrap();
        // A reset, so that no port is held by a connection in TIME_WAIT.
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        while reactor.stats().closed <= round as u64 {
            reactor.turn(None).unwrap();
        }
    }
    assert_eq!(open_descriptors(), before.0);
    let grown = resident().saturating_sub(before.1);
    assert!(grown <= SLACK, "{grown} bytes more after {MANY} connections");
    assert_eq!(reactor.connections(), []);
    reactor.turn(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(reactor.next_deadline(), None, "no timer is left");
}

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}
