//! Signals as events of the loop (feature `signals`).
//!
//! A handler is installed only on request. It only writes a byte to a pipe that the poller watches; the
//! action runs in the serve phase, on the loop, where everything is allowed. Handlers stay installed
//! when the reactor is gone: a signal that had an action does not kill the process later.

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
