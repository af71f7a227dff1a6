//! Signals as events of the loop (feature `signals`).
//!
//! Nothing is installed unless asked for. A handler only writes a byte to a pipe that the poller
//! watches; the work is done in the serve phase, on the loop, where everything is allowed. Handlers
//! stay installed when the reactor is gone: a signal that was asked for never kills the process
//! behind its back.

use std::fmt;
use std::io;

use mio::{Interest, Registry, Token};

/// The signals a reactor listens to.
pub(crate) struct Signals {
    pub(crate) source: signal_hook_mio::v1_0::Signals,
}

impl Signals {
    pub(crate) fn new(signal: i32) -> io::Result<Self> {
        let source = signal_hook_mio::v1_0::Signals::new([signal])?;
        Ok(Self { source })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.source, token, Interest::READABLE)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}
