//! The reactor: everything that is the same for all servers.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// The listener's token. A connection's token is its slot.
const LISTENER: Token = Token(usize::MAX);

/// The callbacks of one connection.
pub(crate) trait Protocol {
    /// Bytes came: as many as the network delivered together.
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]);

    /// The connection is over. Nothing follows.
    fn connection_lost(&mut self, transport: &mut Transport<'_>);
}

/// A connection, lent to its protocol: with the reactor, and so with everything.
pub(crate) struct Transport<'a> {
    reactor: &'a mut Reactor,
    slot: usize,
}

impl Transport<'_> {
    /// The place of this connection, by which others may write to it.
    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// The whole reactor: a callback may do anything to any connection.
    pub(crate) fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }

    /// Notes bytes that are to be sent. They leave after the callback.
    pub(crate) fn write(&mut self, data: &[u8]) {
        self.reactor.write(self.slot, data);
    }
}

/// Makes a protocol for each new connection.
type Factory = Box<dyn FnMut() -> Box<dyn Protocol>>;

/// The poller, the listener, and the connections by slot.
pub(crate) struct Reactor {
    poll: Poll,
    listener: TcpListener,
    factory: Factory,
    connections: Slab<Connection>,
    to_flush: Vec<usize>,
    accepted: usize,
    turns: usize,
}

impl Reactor {
    /// A reactor that serves each client of this listener with a protocol of its own.
    pub(crate) fn new<P: Protocol + 'static>(
        listener: std::net::TcpListener,
        mut factory: impl FnMut() -> P + 'static,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (poll, mut listener) = (Poll::new()?, TcpListener::from_std(listener));
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let factory: Factory = Box::new(move || Box::new(factory()));
        let (connections, to_flush) = (Slab::new(), Vec::new());
        Ok(Self { poll, listener, factory, connections, to_flush, accepted: 0, turns: 0 })
    }

    /// Runs turns for ever.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(128);
        loop {
            self.turn(&mut events)?;
        }
    }

    /// Notes bytes that are to be sent to a connection. They leave at the end of the turn.
    ///
    /// If some wait already, the connection is in the queue, or the kernel will say when it takes
    /// more.
    pub(crate) fn write(&mut self, slot: usize, data: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let was_empty = connection.output.is_empty();
        connection.output.extend(data);
        if was_empty && !data.is_empty() {
            self.to_flush.push(slot);
        }
    }

    /// Sleeps until there are events, serves each, and sends what was written meanwhile.
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        self.turns += 1;
        self.sleep(events)?;
        for event in &*events {
            match event.token() {
                LISTENER => self.accept(),
                Token(slot) => self.serve(slot, event),
            }
        }
        self.flush();
        Ok(())
    }

    /// Waits for the kernel, but not while somebody is to be flushed. A signal may end the wait
    /// without an event.
    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = if self.to_flush.is_empty() { None } else { Some(Duration::ZERO) };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            result => result?,
        }
        eprintln!("kernel | turn {} | events: {}", self.turns, events.iter().count());
        Ok(())
    }

    /// Accepts until nobody waits.
    fn accept(&mut self) {
        loop {
            let accepted = self.listener.accept();
            match accepted.and_then(|(stream, _peer)| self.add(stream)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return eprintln!("server | listener | failed: {error}"),
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream) -> io::Result<()> {
        self.accepted += 1;
        eprintln!("server | #{} | accepted", self.accepted);
        let entry = self.connections.vacant_entry();
        let token = Token(entry.key());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, both)?;
        let protocol = (self.factory)();
        entry.insert(Connection::new(self.accepted, stream, protocol));
        Ok(())
    }

    /// Serves one connection.
    fn serve(&mut self, slot: usize, event: &Event) {
        let Some(connection) = self.connections.get(slot) else { return };
        eprintln!("kernel | #{} | {}", connection.number, describe(event));
        if event.is_writable() && !connection.output.is_empty() {
            self.to_flush.push(slot);
        }
        let outcome = self.read(slot);
        self.settle(slot, outcome);
    }

    /// Sends what the connections in the queue are owed.
    fn flush(&mut self) {
        for slot in mem::take(&mut self.to_flush) {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            let outcome = connection.flush();
            self.settle(slot, outcome);
        }
    }

    /// Drops a connection if it has failed, or is over.
    fn settle(&mut self, slot: usize, outcome: io::Result<()>) {
        let connection = &self.connections[slot];
        match outcome {
            Ok(()) if !connection.is_over() => return,
            Ok(()) => eprintln!("server | #{} | closed", connection.number),
            Err(error) => eprintln!("server | #{} | failed: {error}", connection.number),
        }
        self.call(slot, "connection_lost", |protocol, transport| {
            protocol.connection_lost(transport);
        });
        self.connections.remove(slot);
    }

    /// Reads until nothing is left, and passes on what came.
    fn read(&mut self, slot: usize) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while let Some(count) = self.connections[slot].read(&mut buffer)? {
            self.call(slot, "data_received", |protocol, transport| {
                protocol.data_received(transport, &buffer[..count]);
            });
        }
        Ok(())
    }

    /// Calls the protocol, and lends it the reactor. Meanwhile the protocol is out of its seat: the
    /// reactor cannot be lent to one of its own parts.
    fn call(
        &mut self,
        slot: usize,
        name: &str,
        callback: impl FnOnce(&mut dyn Protocol, &mut Transport<'_>),
    ) {
        let connection = &mut self.connections[slot];
        let Some(mut protocol) = connection.protocol.take() else { return };
        eprintln!("code | #{} | {name}", connection.number);
        callback(&mut *protocol, &mut Transport { reactor: self, slot });
        self.connections[slot].protocol = Some(protocol);
    }
}

/// One client, its protocol, and the bytes that are owed to it.
struct Connection {
    number: usize,
    stream: TcpStream,
    protocol: Option<Box<dyn Protocol>>,
    has_ended: bool,
    output: Vec<u8>,
}

impl Connection {
    fn new(number: usize, stream: TcpStream, protocol: Box<dyn Protocol>) -> Self {
        Self { number, stream, protocol: Some(protocol), has_ended: false, output: Vec::new() }
    }

    /// Whether the client has ended, and has everything.
    fn is_over(&self) -> bool {
        self.has_ended && self.output.is_empty()
    }

    /// Reads once, and says how many bytes came; `None` if nothing is left.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        while !self.has_ended {
            match self.stream.read(buffer) {
                Ok(0) => self.has_ended = true,
                Ok(count) => {
                    eprintln!("server | #{} | read {count} bytes", self.number);
                    return Ok(Some(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Writes until nothing is owed, or the kernel takes no more.
    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => {
                    self.output.drain(..count);
                    let owed = self.output.len();
                    eprintln!("flush | #{} | wrote {count} bytes, {owed} wait", self.number);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// An event in words, for the log.
fn describe(event: &Event) -> &'static str {
    match (event.is_readable(), event.is_writable()) {
        (true, true) => "readable and writable",
        (true, false) => "readable",
        (false, true) => "writable",
        (false, false) => "neither readable nor writable",
    }
}
