//! Exercise 06, echo, solved.

#[path = "../../src/bin/06/reactor.rs"]
mod reactor;

use std::env;
use std::io;
use std::net::TcpListener;

use reactor::{Protocol, Reactor, Transport};

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let mut reactor = Reactor::new(listener, || Echo)?;
    reactor.run()
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        transport.write(data);
    }
}
