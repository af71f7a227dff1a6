//! The protocols that the reactor calls in the scripts, and the things they write down.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use crocus::{
    Address, ConnectionId, Connector, DatagramProtocol, DatagramTransport, Factory, Protocol,
    Reason, Transport,
};

/// The things seen since it was asked last.
#[derive(Clone, Default)]
pub struct Seen(Rc<RefCell<Vec<String>>>);

impl Seen {
    pub fn push(&self, line: String) {
        self.0.borrow_mut().push(line);
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// Adds to the last line if it says the same, so that the cuts of a stream do not show.
    fn count(&self, what: &str, bytes: usize) {
        let mut lines = self.0.borrow_mut();
        let last = lines
            .last_mut()
            .and_then(|last| Some((last.strip_prefix(what)?.parse::<usize>().ok()?, last)));
        match last {
            Some((before, last)) => *last = format!("{what}{}", before + bytes),
            None => lines.push(format!("{what}{bytes}")),
        }
    }
}

/// The reactor's end of a connection.
pub struct Near {
    pub name: String,
    pub seen: Seen,
    /// Whether it goes on after the peer's end.
    pub half: bool,
    pub id: Rc<Cell<Option<ConnectionId>>>,
}

impl Near {
    fn says(&self, what: &str) {
        self.seen.push(format!("{} {what}", self.name));
    }
}

impl Protocol for Near {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.id.set(Some(transport.id()));
        let (local, peer) = (transport.local_addr().unwrap(), transport.peer_addr());
        self.says(&format!("made {local} with {peer}"));
    }

    fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
        self.seen.count(&format!("{} data ", self.name), data.len());
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        self.says("eof");
        if !self.half {
            transport.lose_connection();
        }
    }

    fn pause_writing(&mut self, _: &mut Transport) {
        self.says("pause");
    }

    fn resume_writing(&mut self, _: &mut Transport) {
        self.says("resume");
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        self.says(&format!("lost, {reason}, by {:?}", reason.who()));
    }
}

/// Makes the ends of a listener or a connector.
pub struct Maker {
    pub name: String,
    pub seen: Seen,
    pub half: bool,
    pub id: Rc<Cell<Option<ConnectionId>>>,
}

impl Factory for Maker {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        let (name, seen, id) = (self.name.clone(), self.seen.clone(), Rc::clone(&self.id));
        Some(Box::new(Near { name, seen, half: self.half, id }))
    }

    fn connection_failed(&mut self, _: &mut Connector, reason: &Reason) {
        let errno = reason.io_error().and_then(io::Error::raw_os_error);
        self.seen.push(format!("{} failed, {reason}, by {:?}, {errno:?}", self.name, reason.who()));
    }
}

/// A datagram socket of the reactor.
pub struct Mailbox {
    pub name: String,
    pub seen: Seen,
}

impl DatagramProtocol for Mailbox {
    fn datagram_received(&mut self, _: &mut DatagramTransport, data: &[u8], from: SocketAddr) {
        self.seen.push(format!("{} got {} from {from}", self.name, data.len()));
    }

    fn connection_refused(&mut self, _: &mut DatagramTransport) {
        self.seen.push(format!("{} refused", self.name));
    }

    fn error_received(&mut self, _: &mut DatagramTransport, error: &io::Error) {
        self.seen.push(format!("{} error {error}", self.name));
    }
}
