//! Signals as events of the loop (feature `signals`).
//!
//! A handler is installed only on request. It only writes a byte to a pipe that the poller watches; the
//! action runs in the serve phase, on the loop, where everything is allowed. Handlers stay installed
//! when the reactor is gone: a signal that had an action does not kill the process later. In a simulation no
//! handler is installed, and the test gives the signals.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use mio::{Interest, Registry, Token};

/// The signals a reactor listens to.
pub(crate) enum Signals {
    System(signal_hook_mio::v1_0::Signals),
    /// Those that came and are not served yet. Several of one kind count as one, as in a process.
    Simulated(BTreeSet<i32>),
}

impl Signals {
    /// Signals of the process, reported by the poller; in a simulation there is no `registry`.
    pub(crate) fn new(registry: Option<&Registry>) -> io::Result<Self> {
        Ok(match registry {
            Some(_) => Self::System(signal_hook_mio::v1_0::Signals::new::<[i32; 0], _>([])?),
            None => Self::Simulated(BTreeSet::new()),
        })
    }

    pub(crate) fn register(&mut self, registry: Option<&Registry>, token: Token) -> io::Result<()> {
        match (self, registry) {
            (Self::System(source), Some(registry)) => {
                registry.register(source, token, Interest::READABLE)
            }
            _ => Ok(()),
        }
    }

    /// Listens to one more signal.
    pub(crate) fn add(&mut self, signal: i32) -> io::Result<()> {
        match self {
            Self::System(source) => source.add_signal(signal),
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Lets a simulated signal come.
    pub(crate) fn raise(&mut self, signal: i32) {
        if let Self::Simulated(pending) = self {
            pending.insert(signal);
        }
    }

    /// Takes the signals that have come.
    pub(crate) fn pending(&mut self) -> Vec<i32> {
        match self {
            Self::System(source) => source.pending().collect(),
            Self::Simulated(pending) => std::mem::take(pending).into_iter().collect(),
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}
