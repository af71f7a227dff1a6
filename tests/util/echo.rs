//! The simplest protocol.

use crocus::{Protocol, Transport};

/// Writes what it is sent.
pub struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}
