//! The broker: a listener whose connections share topics.

mod broker;
mod packet;
mod session;
mod topics;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crocus::framing::Framed;
use crocus::{Listen, ListenerId, Reactor};

use broker::Broker;
use packet::Mqtt;
use session::Session;

/// Limits on the cost of a client.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// How many clients may be connected at once; others wait.
    pub(crate) clients: usize,
    /// The longest packet from a client.
    pub(crate) packet: usize,
    /// How many bytes may wait for a slow subscriber before it misses messages.
    pub(crate) queue: usize,
    /// How many filters a client may have.
    pub(crate) filters: usize,
    /// How many messages the broker retains, and how many bytes of them.
    pub(crate) retained: usize,
    pub(crate) retained_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 10_000,
            packet: 256 << 10,
            queue: 1 << 20,
            filters: 100,
            retained: 10_000,
            retained_bytes: 16 << 20,
        }
    }
}

/// Listens for clients.
///
/// # Errors
///
/// As [`Reactor::listen`].
pub(crate) fn listen(reactor: &mut Reactor, at: &str, limits: Limits) -> io::Result<ListenerId> {
    let broker = Rc::new(RefCell::new(Broker::new(limits)));
    let listen = Listen::at(at).max_connections(limits.clients);
    reactor.listen(listen, move |_peer| {
        Framed::new(Mqtt { max_packet: limits.packet }, Session::new(&broker))
    })
}
