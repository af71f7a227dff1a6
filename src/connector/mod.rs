//! Outgoing connections.

mod asking;
mod attempts;
mod connect;
mod ending;
mod kind;
pub(crate) mod names;
mod opening;
mod preparing;
mod resolving;
pub(crate) mod state;
mod timing;

pub use connect::Connect;

use std::time::Duration;

use crate::address::Endpoint;
use crate::ids::ConnectorId;
use crate::reactor::Reactor;

/// An attempt to connect, lent to a [`Factory`](crate::Factory) that is told its outcome.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::testing::Simulation;
/// use crocus::{Address, Connector, Factory, Protocol, Reason};
///
/// # struct Idle;
/// # impl Protocol for Idle {}
/// /// Tries again after a second, as long as it takes.
/// struct Stubborn;
///
/// impl Factory for Stubborn {
///     fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
///         Some(Box::new(Idle))
///     }
///
///     fn connection_failed(&mut self, connector: &mut Connector, reason: &Reason) {
///         println!("{} to {}: {reason}", connector.id(), connector.endpoint());
///         connector.connect_after(Duration::from_secs(1));
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// let id = simulation.reactor().connect("192.0.2.1:80", Stubborn);
/// simulation.advance(Duration::from_millis(2500));
/// assert_eq!(simulation.reactor().stats().failed, 3); // at 0, 1 and 2 s
///
/// let server = simulation.listen("192.0.2.1:80")?;
/// simulation.advance(Duration::from_secs(1));
/// assert!(simulation.reactor().connection_of(id).is_some());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Connector<'a> {
    pub(crate) reactor: &'a mut Reactor,
    pub(crate) id: ConnectorId,
    pub(crate) endpoint: Endpoint,
    pub(crate) lasted: Duration,
}

impl Connector<'_> {
    /// Its name, the same through all attempts.
    pub fn id(&self) -> ConnectorId {
        self.id
    }

    /// The endpoint it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How long the lost connection lasted; zero after a failed attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Address, Connector, Factory, Protocol, Reason};
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # struct Client;
    /// impl Factory for Client {
    /// #   fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
    /// #       Some(Box::new(Idle))
    /// #   }
    ///     // …
    ///     fn connection_lost(&mut self, connector: &mut Connector, _: &Reason) {
    ///         if connector.lasted() > Duration::from_secs(10) {
    ///             connector.connect(); // it was a healthy connection: at once
    ///         } else {
    ///             connector.connect_after(Duration::from_secs(5));
    ///         }
    ///     }
    /// }
    /// # let mut simulation = Simulation::new();
    /// # let mut server = simulation.listen("192.0.2.1:80")?;
    /// # simulation.reactor().connect("192.0.2.1:80", Client);
    /// # simulation.settle();
    /// # drop(server.accept());
    /// # simulation.settle();
    /// # assert_eq!(simulation.reactor().stats().connected, 1);
    /// # simulation.advance(Duration::from_secs(5));
    /// # assert_eq!(simulation.reactor().stats().connected, 2);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn lasted(&self) -> Duration {
        self.lasted
    }

    /// Tries again, in the next turn; `false` if it [may not](Self::may_connect).
    pub fn connect(&mut self) -> bool {
        self.connect_after(Duration::ZERO)
    }

    /// Tries again after `delay`; `false` as for [`connect`](Self::connect).
    ///
    /// Until then the attempt can be cancelled like any other.
    pub fn connect_after(&mut self, delay: Duration) -> bool {
        self.reactor.connect_again(self.id, delay)
    }

    /// Whether [`connect`](Self::connect) would try again: not if that is under way already, it was
    /// [given up](Reactor::disconnect), or the reactor is stopping.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Address, Connector, Factory, Protocol, Reason};
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # struct Client;
    /// impl Factory for Client {
    /// #   fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
    /// #       Some(Box::new(Idle))
    /// #   }
    ///     // …
    ///     fn connection_lost(&mut self, connector: &mut Connector, reason: &Reason) {
    ///         if connector.may_connect() {
    ///             println!("lost: {reason}"); // and nobody wanted that
    ///             connector.connect();
    ///         }
    ///     }
    /// }
    /// # let mut simulation = Simulation::new();
    /// # let mut server = simulation.listen("192.0.2.1:80")?;
    /// # let id = simulation.reactor().connect("192.0.2.1:80", Client);
    /// # simulation.settle();
    /// # drop(server.accept());
    /// # simulation.settle();
    /// # simulation.reactor().disconnect(id);
    /// # drop(server.accept());
    /// # simulation.settle();
    /// # assert_eq!(simulation.reactor().stats().connected, 2);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn may_connect(&self) -> bool {
        self.reactor.may_connect_again(self.id)
    }

    /// The reactor.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Address, Connector, Factory, Protocol, Reason};
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # struct Client;
    /// impl Factory for Client {
    /// #   fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
    /// #       Some(Box::new(Idle))
    /// #   }
    ///     // …
    ///     fn connection_failed(&mut self, connector: &mut Connector, _: &Reason) {
    ///         connector.reactor().stop(); // this program cannot do without
    ///     }
    /// }
    /// # let mut simulation = Simulation::new();
    /// # simulation.reactor().connect("192.0.2.1:80", Client);
    /// # simulation.reactor().call_every(std::time::Duration::from_secs(1), |_, _| {});
    /// # simulation.reactor().run()?;
    /// # assert_eq!(simulation.reactor().ended(), Some(crocus::Ended::Stopped));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }
}
