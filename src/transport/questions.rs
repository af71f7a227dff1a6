//! Questions to a connection: its buffer, its traffic, its peer.

use std::time::Instant;

use super::Transport;
use crate::address::{Address, UnixAddress};
use crate::connection::Connection;

/// The peer of a connection that was lost because a callback has replaced its reactor by another.
static NOBODY: Address = Address::Unix(UnixAddress::unnamed());

/// # Questions
impl Transport<'_> {
    /// How many written bytes are still waiting to be handed to the kernel, copied, shared or in a file.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// struct Careful;
    ///
    /// impl Protocol for Careful {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.write(b"hello");
    ///         assert_eq!(transport.buffered(), 5); // it leaves after this callback
    ///     }
    ///
    ///     fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
    ///         assert_eq!(transport.buffered(), 0);
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Careful);
    /// simulation.settle();
    /// peer.send(b"and you?");
    /// simulation.settle();
    /// # assert_eq!(simulation.reactor().stats().bytes_read, 8);
    /// ```
    pub fn buffered(&self) -> usize {
        self.connection().map_or(0, Connection::buffered)
    }

    /// How many bytes were read from this connection, those that are discarded while it closes among them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// /// Takes no more than a kilobyte from anybody.
    /// struct Limited;
    ///
    /// impl Protocol for Limited {
    ///     fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
    ///         if transport.bytes_read() > 1000 {
    ///             transport.lose_connection();
    ///         }
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Limited);
    /// peer.send(&[0; 1000]);
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().connections().len(), 1);
    /// peer.send(b"!");
    /// simulation.settle();
    /// assert!(peer.end().is_some());
    /// ```
    pub fn bytes_read(&self) -> u64 {
        self.connection().map_or(0, |connection| connection.traffic().read)
    }

    /// How many bytes of this connection the kernel has taken.
    ///
    /// *Not* promised: that the peer has got them.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Protocol, Reason, Transport};
    ///
    /// struct Accounted;
    ///
    /// impl Protocol for Accounted {
    ///     fn connection_lost(&mut self, transport: &mut Transport, _: &Reason) {
    ///         let (read, written) = (transport.bytes_read(), transport.bytes_written());
    ///         println!("{}: {read} bytes in, {written} bytes out", transport.peer_addr());
    ///     }
    /// }
    /// ```
    pub fn bytes_written(&self) -> u64 {
        self.connection().map_or(0, |connection| connection.traffic().written)
    }

    /// Since when no byte was read or taken by the kernel; at first, the time of `connection_made`.
    ///
    /// It is known with and without a [timeout](Self::set_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// # let peer = simulation.connect(Idle);
    /// # simulation.settle();
    /// let id = simulation.reactor().connections()[0];
    /// simulation.advance(Duration::from_secs(3));
    ///
    /// let now = simulation.reactor().now();
    /// let transport = simulation.reactor().transport(id).unwrap();
    /// assert_eq!(now - transport.idle_since(), Duration::from_secs(3));
    /// ```
    pub fn idle_since(&self) -> Instant {
        let common = &self.reactor.memory.common;
        let since = |connection: &Connection| connection.idle_since(common);
        self.connection().map_or_else(|| self.reactor.now(), since)
    }

    /// Whether the connection is closing or gone, so that nothing more will be delivered or taken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// struct Polite;
    ///
    /// impl Protocol for Polite {
    ///     fn eof_received(&mut self, transport: &mut Transport) {
    ///         assert!(!transport.is_closing()); // this side may still write
    ///         transport.write(b"bye");
    ///         transport.lose_connection();
    ///         assert!(transport.is_closing());
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Polite);
    /// peer.close_write();
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"bye");
    /// ```
    pub fn is_closing(&self) -> bool {
        !self.connection().is_some_and(Connection::is_open)
    }

    /// The peer's address; behind a proxy that [says it](crate::Listen), that of the client.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// struct Mirror;
    ///
    /// impl Protocol for Mirror {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         if let Some(ip) = transport.peer_addr().ip() {
    ///             write!(transport, "you are {ip}");
    ///         }
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Mirror);
    /// simulation.settle();
    /// assert_eq!(peer.received(), format!("you are {}", peer.addr().ip()).as_bytes());
    /// ```
    pub fn peer_addr(&self) -> &Address {
        self.reactor.session(self.id).map_or(&NOBODY, |session| &session.peer)
    }
}
