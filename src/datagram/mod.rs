//! Datagrams: the protocol that a user implements, and the socket lent to it.
//!
//! There are no connections here: one [`DatagramProtocol`] gets everything that comes to one socket,
//! from all peers. So a fault in it does not end it: otherwise any peer could close the socket for all
//! others with a datagram.

mod datagrams;
mod kind;
mod multicast;
mod serving;
mod socket;
mod state;

pub use datagrams::Datagrams;
pub(crate) use socket::DatagramSocket;
pub(crate) use state::{DatagramState, Incoming, is_unreachable};

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::address::Endpoint;
use crate::ids::DatagramId;
use crate::parts::timers::TimerId;
use crate::reactor::Reactor;
use crate::reason::Reason;

/// The protocol of one datagram socket, called back by the reactor.
///
/// [`start_protocol`](Self::start_protocol) comes first, once; then the others in any order;
/// [`stop_protocol`](Self::stop_protocol) exactly once and last. After `stop_listening` only this last
/// call follows. No callback runs inside another one or inside a command.
///
/// A panic in a callback is logged, and the socket goes on with the next datagram: it serves many peers,
/// and one of them may have caused the fault. Every method has a default.
///
/// Twisted's `DatagramProtocol`; `error_received` and `resume_writing` are asyncio's.
///
/// # Examples
///
/// An echo. A datagram that does not fit into the kernel's buffer is dropped, as any router on the way
/// may do:
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
///
/// A sender that waits for room, and finishes before a shutdown:
///
/// ```
/// # use std::io;
/// # use crocus::testing::Simulation;
/// # use crocus::{DatagramProtocol, DatagramTransport, Reason};
/// struct Series(u32);
///
/// impl DatagramProtocol for Series {
///     fn start_protocol(&mut self, transport: &mut DatagramTransport) {
///         self.resume_writing(transport);
///     }
///
///     fn resume_writing(&mut self, transport: &mut DatagramTransport) {
///         while self.0 > 0 && transport.send_to(b"data", "127.0.0.1:9".parse().unwrap()).is_ok() {
///             self.0 -= 1;
///         }
///     }
///
///     fn error_received(&mut self, _: &mut DatagramTransport, error: &io::Error) {
///         println!("one did not arrive: {error}");
///     }
///
///     fn shutting_down(&mut self, transport: &mut DatagramTransport) {
///         if self.0 == 0 {
///             transport.stop_listening();
///         }
///     }
///
///     fn stop_protocol(&mut self, _: &mut DatagramTransport, reason: &Reason) {
///         println!("over: {reason}");
///     }
/// }
///
/// # let mut simulation = Simulation::new();
/// simulation.reactor().listen_udp("127.0.0.1:0", Series(1000))?;
/// simulation.settle();
/// assert_eq!(simulation.reactor().stats().datagrams_sent, 1000);
/// # std::io::Result::Ok(())
/// ```
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a datagram protocol",
    label = "not a datagram protocol",
    note = "a UDP socket is one value with `impl DatagramProtocol`; there is no factory, for there are no connections"
)]
pub trait DatagramProtocol {
    /// The socket is bound: in the turn after `listen_udp`.
    fn start_protocol(&mut self, transport: &mut DatagramTransport<'_>) {}

    /// A whole datagram came; it may be empty.
    ///
    /// `data` is the reactor's own buffer, used again for the next one: copy what you need. The buffer
    /// holds the longest datagram, so nothing is cut off. `from` is the address in the packet, which a
    /// sender can forge: it may be another server that answers, or this very socket. So limit the answers
    /// to one source, as the example program `udp_echo` does, or two servers may answer each other for ever.
    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport<'_>,
        data: &[u8],
        from: SocketAddr,
    ) {
    }

    /// The peer's host reports that no socket is bound to the peer's address. See the example of
    /// [`DatagramTransport`].
    ///
    /// This comes only on a [connected](DatagramTransport::connect) socket, since others are not told.
    /// Several refusals may make one notice, and a firewall may drop them.
    fn connection_refused(&mut self, transport: &mut DatagramTransport<'_>) {}

    /// The system reports another error, mostly that an earlier datagram could not be delivered.
    ///
    /// The socket stays open.
    ///
    /// By default the error is logged.
    fn error_received(&mut self, transport: &mut DatagramTransport<'_>, error: &io::Error) {
        log::warn!("datagram socket at {}: {error}", transport.local_addr());
    }

    /// There is room again after a send that failed with `WouldBlock`.
    ///
    /// This comes once, however many failed, and again after the next `WouldBlock`.
    fn resume_writing(&mut self, transport: &mut DatagramTransport<'_>) {}

    /// A timer set by [`DatagramTransport::call_later`] fires.
    fn timer_fired(&mut self, transport: &mut DatagramTransport<'_>, timer: TimerId) {}

    /// The reactor [shuts down](Reactor::shutdown): finish, and close the socket.
    ///
    /// It comes once, after the datagrams that wait in the socket: when none is left, or after sixteen turns
    /// if more keep coming. By default the socket is closed. An override that does not close it keeps the
    /// shutdown waiting until its grace is over.
    fn shutting_down(&mut self, transport: &mut DatagramTransport<'_>) {
        transport.stop_listening();
    }

    /// The socket is closed, and its port is free.
    ///
    /// The loop calls this once, if it has called `start_protocol`.
    ///
    /// `reason` is `Closed` by [`stop_listening`](DatagramTransport::stop_listening), `Stopped` by the
    /// end of the reactor, or `Failed` when the system reported only errors for it.
    fn stop_protocol(&mut self, transport: &mut DatagramTransport<'_>, reason: &Reason) {}
}

impl<P: DatagramProtocol + ?Sized> DatagramProtocol for Box<P> {
    fn start_protocol(&mut self, transport: &mut DatagramTransport<'_>) {
        (**self).start_protocol(transport);
    }

    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport<'_>,
        data: &[u8],
        from: SocketAddr,
    ) {
        (**self).datagram_received(transport, data, from);
    }

    fn connection_refused(&mut self, transport: &mut DatagramTransport<'_>) {
        (**self).connection_refused(transport);
    }

    fn error_received(&mut self, transport: &mut DatagramTransport<'_>, error: &io::Error) {
        (**self).error_received(transport, error);
    }

    fn resume_writing(&mut self, transport: &mut DatagramTransport<'_>) {
        (**self).resume_writing(transport);
    }

    fn timer_fired(&mut self, transport: &mut DatagramTransport<'_>, timer: TimerId) {
        (**self).timer_fired(transport, timer);
    }

    fn shutting_down(&mut self, transport: &mut DatagramTransport<'_>) {
        (**self).shutting_down(transport);
    }

    fn stop_protocol(&mut self, transport: &mut DatagramTransport<'_>, reason: &Reason) {
        (**self).stop_protocol(transport, reason);
    }
}

/// A datagram socket, lent to a callback of its protocol, or by [`Reactor::datagram`] to any caller.
///
/// A datagram is handed to the kernel at once: it is small, and there is no peer to wait for. Commands
/// never call back. On a closed socket they fail with `NotConnected`.
///
/// # Examples
///
/// ```
/// # use std::net::SocketAddr;
/// # use crocus::testing::Simulation;
/// # use crocus::{DatagramProtocol, DatagramTransport};
/// /// Asks a server, and closes after its answer.
/// struct Question;
///
/// impl DatagramProtocol for Question {
///     fn start_protocol(&mut self, transport: &mut DatagramTransport) {
///         let _ = transport.connect("127.0.0.1:53").and_then(|()| transport.send(b"question"));
///     }
///
///     fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], from: SocketAddr) {
///         assert_eq!(transport.peer_addr(), Some(from)); // no other is heard
///         assert_eq!(data, b"answer");
///         println!("socket {} has its answer", transport.id());
///         transport.stop_listening();
///     }
///
///     fn connection_refused(&mut self, transport: &mut DatagramTransport) {
///         transport.stop_listening(); // no server there
///     }
/// }
///
/// # let mut simulation = Simulation::new();
/// let mut server = simulation.bind_udp("127.0.0.1:53")?;
/// let id = simulation.reactor().listen_udp("127.0.0.1:0", Question)?;
/// simulation.settle();
/// let (question, from) = server.receive().unwrap();
/// assert_eq!(question, b"question");
/// server.send_to(b"answer", from)?;
/// simulation.settle();
/// assert!(simulation.reactor().datagram(id).is_none(), "it is closed");
/// # std::io::Result::Ok(())
/// ```
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

    /// Sends one datagram, which may be empty.
    ///
    /// *Not* promised: that it arrives, arrives once, or in order. A datagram that the kernel does not
    /// take is not kept: the network drops datagrams as well.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while the kernel's buffer is full; then
    /// [`resume_writing`](DatagramProtocol::resume_writing) comes when there is room. Else the error of
    /// sendto(2), as the system gave it: too long (EMSGSIZE; IPv4 has room for 65,507 bytes), an address
    /// of the other family, no route.
    pub fn send_to(&mut self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.reactor.send_datagram(self.id, data, Some(to))
    }

    /// Sends one datagram to the peer this socket is connected to.
    ///
    /// A refusal of an earlier one is not reported here, but by
    /// [`connection_refused`](DatagramProtocol::connection_refused).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), and if the socket is not connected (EDESTADDRREQ).
    pub fn send(&mut self, data: &[u8]) -> io::Result<()> {
        self.reactor.send_datagram(self.id, data, None)
    }

    /// Connects the socket to one peer, once.
    ///
    /// From here on only the peer's datagrams are delivered, [`send`](Self::send) goes to it, and its
    /// refusals are told. This sends nothing, and the peer need not exist.
    ///
    /// Datagrams that other peers sent before are dropped. Some systems refuse `send_to` from here on.
    ///
    /// # Errors
    ///
    /// The error of connect(2), with the address in the message; `InvalidInput` if `to` is not an
    /// address or has the port 0, or the socket is connected already. After an error the socket is what it
    /// was before.
    pub fn connect(&mut self, to: impl Into<Endpoint>) -> io::Result<()> {
        self.local = self.reactor.connect_datagram(self.id, to.into().socket_addr()?)?;
        Ok(())
    }

    /// Closes the socket at once: its port is free when this returns.
    ///
    /// Only `stop_protocol` is still delivered, from the loop. Returns `false` if the socket was closed
    /// already.
    ///
    /// Twisted's `stopListening`.
    pub fn stop_listening(&mut self) -> bool {
        self.reactor.stop_datagram(self.id.0, Reason::Closed)
    }

    /// Calls the protocol's `timer_fired` after `delay`, unless the socket is closed before.
    ///
    /// The timer is [cancelled](Reactor::cancel_timer) and [reset](Reactor::reset_timer) like any other.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{DatagramProtocol, DatagramTransport, TimerId};
    /// /// Says every second that it is there.
    /// struct Beacon;
    ///
    /// impl DatagramProtocol for Beacon {
    ///     fn start_protocol(&mut self, transport: &mut DatagramTransport) {
    ///         transport.call_later(Duration::from_secs(1));
    ///     }
    ///
    ///     fn timer_fired(&mut self, transport: &mut DatagramTransport, _: TimerId) {
    ///         let _ = transport.send_to(b"here", "127.0.0.1:9".parse().unwrap());
    ///         transport.call_later(Duration::from_secs(1));
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// # let mut listener = simulation.bind_udp("127.0.0.1:9")?;
    /// # simulation.reactor().listen_udp("127.0.0.1:0", Beacon)?;
    /// simulation.advance(Duration::from_secs(3));
    /// assert_eq!(simulation.reactor().stats().datagrams_sent, 3);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn call_later(&mut self, delay: Duration) -> TimerId {
        self.reactor.datagram_timer(self.id.0, delay)
    }

    /// The local address, also after the socket was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::DatagramProtocol;
    /// # struct Idle;
    /// # impl DatagramProtocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let id = simulation.reactor().listen_udp("127.0.0.1:0", Idle)?;
    /// let socket = simulation.reactor().datagram(id).unwrap();
    /// assert_ne!(socket.local_addr().port(), 0, "the system has chosen one");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peer this socket is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.reactor.datagram_state(self.id)?.peer
    }

    /// This socket's name, by which other code can reach it.
    pub fn id(&self) -> DatagramId {
        self.id
    }

    /// The reactor, through which a callback can use everything.
    ///
    /// A callback must not replace the reactor by another, which would lose this protocol.
    pub fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }

    fn socket(&self) -> io::Result<&DatagramSocket> {
        let state = self.reactor.datagram_state(self.id);
        state
            .and_then(|state| state.socket.as_ref())
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
