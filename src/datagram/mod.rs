//! Datagrams: what a user writes and gets. A socket, its protocol, and the socket lent to it.
//!
//! There are no connections here: one [`DatagramProtocol`] hears of everything that comes to one
//! socket, from whomever. So a fault in it does not end it: whoever can send a datagram could shut
//! the socket for all others.

mod options;
mod serving;
mod socket;
mod state;

pub use options::DatagramOptions;
pub(crate) use socket::DatagramSocket;
pub(crate) use state::{DatagramState, Incoming, is_refusal};

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::address::Endpoint;
use crate::ids::DatagramId;
use crate::parts::timers::TimerId;
use crate::reactor::Reactor;
use crate::reason::Reason;

/// What happens at one datagram socket, called back by the reactor.
///
/// [`start_protocol`](Self::start_protocol) comes first, once; then the others in any order;
/// [`stop_protocol`](Self::stop_protocol) exactly once and last. After `stop_listening` only that
/// follows. No callback ever runs inside another one or inside a command.
///
/// A panic in a callback is logged, and the socket goes on with the next datagram: it serves many
/// peers, and the fault may be the doing of one. Every method has a default.
///
/// Twisted's `DatagramProtocol`; `error_received` and `resume_writing` are asyncio's.
///
/// # Examples
///
/// An echo. What does not fit into the kernel's buffer is dropped, as any router on the way might
/// have done:
///
/// ```
/// use std::net::SocketAddr;
/// use crocus::{DatagramProtocol, DatagramTransport, Reactor};
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(
///         &mut self,
///         transport: &mut DatagramTransport,
///         data: &[u8],
///         from: SocketAddr,
///     ) {
///         let _ = transport.send_to(data, from);
///     }
/// }
///
/// let mut reactor = Reactor::new()?;
/// reactor.listen_udp("127.0.0.1:0", Echo)?;
/// # std::io::Result::Ok(())
/// ```
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
pub trait DatagramProtocol {
    /// The socket is bound: in the turn after `listen_udp`.
    fn start_protocol(&mut self, transport: &mut DatagramTransport<'_>) {}

    /// A datagram came, whole. It may be empty.
    ///
    /// `data` is the reactor's own buffer, used again for the next one: keep what you need. The buffer
    /// holds the longest there is, so nothing is ever cut off. `from` is what the packet claims; who
    /// sends it can lie about that.
    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport<'_>,
        data: &[u8],
        from: SocketAddr,
    ) {
    }

    /// Nobody listens at the peer's address, says its host. Only on a
    /// [connected](DatagramTransport::connect) socket, since others do not hear of it; several
    /// refusals may make one notice, and a firewall may swallow them.
    fn connection_refused(&mut self, transport: &mut DatagramTransport<'_>) {}

    /// The system reports something else: mostly that an earlier datagram could not be delivered.
    /// The socket lives on.
    ///
    /// By default it is logged.
    fn error_received(&mut self, transport: &mut DatagramTransport<'_>, error: &io::Error) {
        log::warn!("datagram socket at {}: {error}", transport.local_addr());
    }

    /// There is room again after a send that failed with `WouldBlock`. Once, however many failed; and
    /// the next `WouldBlock` will be followed by another.
    fn resume_writing(&mut self, transport: &mut DatagramTransport<'_>) {}

    /// A timer set by [`DatagramTransport::call_later`] fires.
    fn timer_fired(&mut self, transport: &mut DatagramTransport<'_>, timer: TimerId) {}

    /// The socket is closed, and its port free. `reason` is `Closed` by
    /// [`stop_listening`](DatagramTransport::stop_listening), `Stopped` by the end of the reactor, or
    /// `Failed` when the system had nothing but errors for it.
    fn stop_protocol(&mut self, transport: &mut DatagramTransport<'_>, reason: &Reason) {}
}

/// A datagram socket, lent to a callback of its protocol, or by [`Reactor::datagram`] to anybody.
///
/// What is sent is handed to the kernel at once: a datagram is small, and there is nobody to wait for.
/// Commands never call back. On a socket that is closed they fail with `NotConnected`.
#[derive(Debug)]
pub struct DatagramTransport<'a> {
    reactor: &'a mut Reactor,
    id: DatagramId,
    local: SocketAddr,
}

impl<'a> DatagramTransport<'a> {
    pub(crate) fn new(reactor: &'a mut Reactor, id: DatagramId, local: SocketAddr) -> Self {
        Self { reactor, id, local }
    }

    /// Sends one datagram; one that is empty too.
    ///
    /// *Not* promised: that it arrives, arrives once, or in order. What was not taken is not kept: to
    /// drop it is what the network does as well.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while the kernel's buffer is full, and then
    /// [`resume_writing`](DatagramProtocol::resume_writing) tells when it no longer is; what sendto(2)
    /// says, as the system gave it: too long (EMSGSIZE; IPv4 has room for 65,507 bytes), an address of
    /// the other family, no route.
    pub fn send_to(&mut self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.reactor.send_datagram(self.id, data, Some(to))
    }

    /// Sends one datagram to the peer this socket is connected to.
    ///
    /// A refusal of an earlier one does not show here, but in
    /// [`connection_refused`](DatagramProtocol::connection_refused).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), and if the socket is not connected (EDESTADDRREQ).
    pub fn send(&mut self, data: &[u8]) -> io::Result<()> {
        self.reactor.send_datagram(self.id, data, None)
    }

    /// Binds the socket to one peer, once: from here on nothing is delivered but what comes from it,
    /// [`send`](Self::send) goes there, and its refusals are told. Nothing is sent by this, and nobody
    /// needs to be there.
    ///
    /// What others had sent before is dropped. Some systems refuse `send_to` from here on.
    ///
    /// # Errors
    ///
    /// What connect(2) says, with the address in the message; `InvalidInput` if it is no address, or the
    /// socket is connected already.
    pub fn connect(&mut self, to: impl Into<Endpoint>) -> io::Result<()> {
        self.local = self.reactor.connect_datagram(self.id, to.into().socket_addr()?)?;
        Ok(())
    }

    /// Closes the socket, at once: its port is free when this returns. Nothing more is delivered but
    /// `stop_protocol`, which comes from the loop. `false` if it was closed already.
    ///
    /// Twisted's `stopListening`.
    pub fn stop_listening(&mut self) -> bool {
        self.reactor.stop_datagram(self.id.0, Reason::Closed)
    }

    /// Calls the protocol's `timer_fired` after `delay`, unless the socket is closed before.
    ///
    /// The timer is [cancelled](Reactor::cancel) and [reset](Reactor::reset) like any other.
    pub fn call_later(&mut self, delay: Duration) -> TimerId {
        self.reactor.datagram_timer(self.id.0, delay)
    }

    /// Receives what is sent to a group, at the interface that has this address (0.0.0.0: the system
    /// chooses). Twisted's `joinGroup`.
    ///
    /// # Errors
    ///
    /// What the system says, and `Unsupported` in a simulation.
    pub fn join_multicast_v4(&mut self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket()?.real()?.join_multicast_v4(&group, &interface)
    }

    /// Leaves a group joined by [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// As for joining.
    pub fn leave_multicast_v4(&mut self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket()?.real()?.leave_multicast_v4(&group, &interface)
    }

    /// Receives what is sent to a group, at the interface of this index (0: the system chooses).
    ///
    /// # Errors
    ///
    /// What the system says, and `Unsupported` in a simulation.
    pub fn join_multicast_v6(&mut self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket()?.real()?.join_multicast_v6(&group, interface)
    }

    /// Leaves a group joined by [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// As for joining.
    pub fn leave_multicast_v6(&mut self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket()?.real()?.leave_multicast_v6(&group, interface)
    }

    /// Our address; also after the socket was closed.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peer this socket is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.reactor.datagram_state(self.id)?.peer
    }

    /// This socket's name, by which it can be reached from elsewhere.
    pub fn id(&self) -> DatagramId {
        self.id
    }

    /// The reactor: through it a callback can do anything. (Except to put another reactor in its
    /// place, which would lose this protocol.)
    pub fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }

    fn socket(&self) -> io::Result<&DatagramSocket> {
        let port = self.reactor.datagram_state(self.id);
        port.and_then(|port| port.socket.as_ref()).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
