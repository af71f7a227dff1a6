//! Step 06x, wrong: the reactor lends itself to a protocol that is a part of it. It does not compile.

use std::net::TcpStream;

/// The callbacks of one connection.
trait Protocol {
    /// Bytes came: as many as the network delivered together.
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]);
}

/// A connection, lent to its protocol: with the reactor, and so with everything.
struct Transport<'a> {
    reactor: &'a mut Reactor,
    slot: usize,
}

impl Transport<'_> {
    /// Notes bytes that are to be sent. They leave after the callback.
    fn write(&mut self, data: &[u8]) {
        self.reactor.connections[self.slot].output.extend(data);
    }
}

struct Reactor {
    connections: Vec<Connection>,
}

impl Reactor {
    fn call(&mut self, slot: usize, data: &[u8]) {
        let protocol = &mut self.connections[slot].protocol;
        protocol.data_received(&mut Transport { reactor: self, slot }, data);
    }
}

/// One client, its protocol, and the bytes that are owed to it.
struct Connection {
    stream: TcpStream,
    protocol: Box<dyn Protocol>,
    output: Vec<u8>,
}

fn main() {}
