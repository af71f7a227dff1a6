//! The methods of a reactor for outgoing connections.

use crate::address::Endpoint;
use crate::connector::Connect;
use crate::connector::kind::Connectors;
use crate::connector::state::{ConnectorState, Progress};
use crate::ids::{ConnectionId, ConnectorId};
use crate::observe::{Command, Subject};
use crate::protocol::Factory;
use crate::reactor::Reactor;
use crate::reactor::source::{Owner, Seated, Source};
use crate::reason::Reason;

/// # Connecting
impl Reactor {
    /// Connects to an address, a host or a Unix socket; see [`Connect`].
    ///
    /// This call never fails: each attempt has exactly one outcome, and it comes from the loop. It is
    /// the protocol's `connection_made`, or the factory's `connection_failed`, also for a text that is
    /// not an address. A thread looks a host name up; all its addresses are tried, each with a head start
    /// over the next (RFC 8305).
    ///
    /// Up to 32 names are looked up at once, each once for all attempts that wait for it, and up to 1,024
    /// more wait in a queue: an attempt at yet another fails with `ResourceBusy`. An attempt that is
    /// cancelled or times out leaves the queue.
    ///
    /// The path of a Unix socket that does not exist is `NotFound`, one whose server is gone is
    /// `ConnectionRefused`. If the server's backlog is full, the reactor tries again until the timeout: the
    /// kernel has no queue for further connections (on Linux; the BSDs refuse them).
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Protocol, Reactor, Transport};
    ///
    /// struct Hello;
    ///
    /// impl Protocol for Hello {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.write(b"hello\n");
    ///         transport.lose_connection();
    ///     }
    /// }
    ///
    /// let mut reactor = Reactor::new()?;
    /// # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let addr = server.local_addr()?;
    /// reactor.connect(addr, |_peer| Hello);
    /// # let greeting = std::thread::spawn(move || {
    /// #     std::io::read_to_string(server.accept().unwrap().0).unwrap()
    /// # });
    /// reactor.run()?;
    /// # assert_eq!(greeting.join().unwrap(), "hello\n");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn connect(
        &mut self,
        to: impl Into<Connect>,
        factory: impl Factory + 'static,
    ) -> ConnectorId {
        let place = to.into();
        let to = place.to.clone();
        let mut connector = ConnectorState::new(place);
        if self.is_stopping() {
            connector.progress = Progress::Failed(Reason::Stopped);
        }
        let factory: Box<dyn Factory> = Box::new(factory);
        let connector = Seated::new(&Connectors, connector, factory);
        let key = self.sources.insert(Source::Connector(Box::new(connector)), Owner::None);
        self.monitor.command(Subject::Connector(ConnectorId(key)), || Command::Connect(to));
        self.queue(key);
        ConnectorId(key)
    }

    /// Cancels an attempt in any state: looking up, connecting, or waiting to connect again.
    ///
    /// Its outcome, [`Reason::Cancelled`], comes from the loop. Returns `false` if no attempt is under
    /// way: its outcome was told, or will be.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    /// use crocus::{Address, Connector, Factory, Protocol, Reason};
    ///
    /// struct Client;
    ///
    /// impl Factory for Client {
    ///     fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
    ///         unreachable!("no connection is made")
    ///     }
    ///
    ///     fn connection_failed(&mut self, _: &mut Connector, reason: &Reason) {
    ///         assert!(matches!(reason, Reason::Cancelled));
    ///     }
    /// }
    ///
    /// let mut simulation = Simulation::new();
    /// let attempt = simulation.reactor().connect("127.0.0.1:80", Client);
    /// assert!(simulation.reactor().cancel_connect(attempt));
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().stats().failed, 1);
    /// ```
    pub fn cancel_connect(&mut self, id: ConnectorId) -> bool {
        let Some(connector) = self.connector_mut(id.0) else { return false };
        let trying = match connector.progress {
            Progress::Failed(_) => false,
            // One that was given up is no longer open, and fails when it is gone.
            Progress::Preparing(key) => {
                self.session(ConnectionId(key)).is_some_and(|session| session.connection.is_open())
            }
            _ => connector.is_trying(),
        };
        if trying {
            self.monitor.command(Subject::Connector(id), || Command::CancelConnect);
            self.give_up(id.0, Reason::Cancelled);
        }
        trying
    }

    /// Ends an outgoing connection in any state: cancels an attempt, or closes the connection as by
    /// `lose_connection`.
    ///
    /// No further attempt is made, even if the factory asks for one. Returns `false` if it is over
    /// already.
    ///
    /// Twisted's `IConnector.disconnect` and `stopTrying` in one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::{End, Simulation};
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let mut server = simulation.listen("192.0.2.1:80")?;
    /// let connector = simulation.reactor().connect("192.0.2.1:80", |_peer| Idle);
    /// simulation.settle();
    /// let mut peer = server.accept().unwrap();
    ///
    /// assert!(simulation.reactor().disconnect(connector));
    /// simulation.settle();
    /// assert_eq!(peer.end(), Some(End::Closed));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn disconnect(&mut self, id: ConnectorId) -> bool {
        let Some(connector) = self.connector_mut(id.0) else { return false };
        connector.unwanted = true;
        let connected = match connector.progress {
            Progress::Connected(key) => Some(key),
            _ => None,
        };
        self.monitor.command(Subject::Connector(id), || Command::Disconnect);
        if let Some(key) = connected {
            self.lose_connection(ConnectionId(key), None);
        } else {
            self.cancel_connect(id);
        }
        true
    }

    /// The connection that an attempt led to, while it exists.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let mut server = simulation.listen("192.0.2.1:80")?;
    /// let connector = simulation.reactor().connect("192.0.2.1:80", |_peer| Idle);
    /// assert_eq!(simulation.reactor().connection_of(connector), None, "not yet");
    ///
    /// simulation.settle();
    /// let id = simulation.reactor().connection_of(connector).unwrap();
    /// simulation.reactor().transport(id).unwrap().write(b"hello");
    /// simulation.settle();
    /// assert_eq!(server.accept().unwrap().received(), b"hello");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn connection_of(&self, id: ConnectorId) -> Option<ConnectionId> {
        match self.sources.get(id.0)? {
            Source::Connector(connector) => match connector.progress {
                Progress::Connected(key) => {
                    self.session(ConnectionId(key)).map(|_| ConnectionId(key))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The endpoint of an attempt; `None` if it is over.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let connector = simulation.reactor().connect("example.org:80", |_peer| Idle);
    /// let endpoint = simulation.reactor().endpoint(connector).unwrap();
    /// assert_eq!(endpoint.to_string(), "example.org:80");
    /// ```
    pub fn endpoint(&self, id: ConnectorId) -> Option<&Endpoint> {
        match self.sources.get(id.0)? {
            Source::Connector(connector) => Some(&connector.connect.to),
            _ => None,
        }
    }
}
