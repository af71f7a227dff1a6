//! Outgoing connections.

mod asking;
mod attempts;
mod connect;
mod ending;
pub(crate) mod names;
mod opening;
mod resolving;
pub(crate) mod state;
mod timing;

pub use connect::Connect;

use std::time::Duration;

use crate::address::Endpoint;
use crate::ids::ConnectorId;
use crate::reactor::Reactor;

/// An attempt to connect, lent to a [`Factory`](crate::Factory) that is told its outcome.
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
    pub fn lasted(&self) -> Duration {
        self.lasted
    }

    /// Tries again, in the next turn.
    ///
    /// Returns `false` if an attempt is under way already, it was [given up](Reactor::disconnect), or the
    /// reactor is stopping.
    pub fn connect(&mut self) -> bool {
        self.connect_after(Duration::ZERO)
    }

    /// Tries again after `delay`; `false` as for [`connect`](Self::connect).
    ///
    /// Until then the attempt can be cancelled like any other.
    pub fn connect_after(&mut self, delay: Duration) -> bool {
        self.reactor.connect_again(self.id, delay)
    }

    /// The reactor.
    pub fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }
}
