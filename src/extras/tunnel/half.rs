//! The protocol of one side of a tunnel, and the factory of the far one.

use std::rc::Rc;

use super::TunnelSide;
use super::pair::Shared;
use crate::{Address, Connector, Factory, Protocol, Reason, Transport};

/// The protocol of one side.
pub(super) struct Half {
    side: TunnelSide,
    pair: Shared,
}

impl TunnelSide {
    /// The other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

impl Half {
    pub(super) fn new(side: TunnelSide, pair: &Shared) -> Self {
        Self { side, pair: Rc::clone(pair) }
    }
}

impl Protocol for Half {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        self.pair.borrow_mut().made(self.side, transport);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.pair.borrow_mut().pass(self.side, transport, data);
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.pair.borrow_mut().finish(self.side, transport);
    }

    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        self.pair.borrow_mut().press(self.side, transport, true);
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.pair.borrow_mut().press(self.side, transport, false);
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        self.pair.borrow_mut().silent(self.side, transport);
    }

    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        self.pair.borrow_mut().shut_down(self.side, transport);
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        self.pair.borrow_mut().lost(self.side, transport, reason);
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // It is borrowed only if a handler has dropped the whole reactor, and then nobody waits.
        if let Ok(mut pair) = self.pair.try_borrow_mut() {
            pair.dropped(self.side);
        }
    }
}

/// Makes the far half for the connection that is made to a place.
pub(super) struct Target {
    half: Option<Half>,
    pair: Shared,
}

impl Target {
    pub(super) fn new(pair: &Shared) -> Self {
        let half = Some(Half::new(TunnelSide::Far, pair));
        Self { half, pair: Rc::clone(pair) }
    }
}

impl Factory for Target {
    fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
        self.half.take().map(|half| Box::new(half) as Box<dyn Protocol>)
    }

    fn connection_failed(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        self.pair.borrow_mut().failed(connector.reactor(), reason);
    }
}
