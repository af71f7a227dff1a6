//! The identifiers of sources: small, and never reused.

use crate::parts::arena::id_type;

id_type! {
    /// Names a connection.
    ConnectionId
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let peer = simulation.connect(Idle);
    /// simulation.settle();
    /// let id = simulation.reactor().connections()[0];
    /// assert!(simulation.reactor().transport(id).is_some());
    ///
    /// peer.reset();
    /// simulation.settle();
    /// assert!(simulation.reactor().transport(id).is_none(), "the name is stale now");
    /// ```
}

id_type! {
    /// Names a listener.
    ListenerId
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let listener = simulation.reactor().listen("127.0.0.1:80", |_peer| Idle)?;
    /// assert!(simulation.reactor().stop_listening(listener));
    /// assert!(!simulation.reactor().stop_listening(listener), "the name is stale now");
    /// # std::io::Result::Ok(())
    /// ```
}

id_type! {
    /// Names an attempt to connect, the connection it led to, and all further attempts.
    ConnectorId
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let connector = simulation.reactor().connect("192.0.2.1:80", |_peer| Idle);
    /// assert!(simulation.reactor().endpoint(connector).is_some());
    /// simulation.settle(); // nobody listens there
    /// assert!(simulation.reactor().endpoint(connector).is_none(), "the name is stale now");
    /// ```
}

id_type! {
    /// Names a datagram socket.
    DatagramId
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::DatagramProtocol;
    /// # struct Idle;
    /// # impl DatagramProtocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let socket = simulation.reactor().listen_udp("127.0.0.1:0", Idle)?;
    /// assert!(simulation.reactor().datagram(socket).unwrap().stop_listening());
    /// simulation.settle();
    /// assert!(simulation.reactor().datagram(socket).is_none(), "the name is stale now");
    /// # std::io::Result::Ok(())
    /// ```
}

#[cfg(unix)]
id_type! {
    /// Names a watched descriptor.
    WatchId
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Reactor, Readiness};
    ///
    /// let (reader, _writer) = std::io::pipe()?;
    /// let mut reactor = Reactor::new()?;
    /// let watch = reactor.watch(reader, Readiness::READABLE, |_reactor, _pipe, _ready| {})?;
    /// assert!(reactor.unwatch(watch));
    /// assert!(!reactor.unwatch(watch), "the name is stale now");
    /// # std::io::Result::Ok(())
    /// ```
}
