//! Signals as events of the loop (feature `signals`).
//!
//! Nothing is installed unless asked for. A handler only writes a byte to a pipe that the poller
//! watches; the work is done in the serve phase, on the loop, where everything is allowed. Handlers
//! stay installed when the reactor is gone: a signal that was asked for never kills the process
//! behind its back.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{FORBIDDEN, SIGINT, SIGTERM};

use crate::parts::arena::Key;
use crate::reactor::Reactor;

/// The numbers signal-hook keeps a place for; no system has more signals.
const SIGNALS: std::ops::Range<i32> = 1..128;

/// What a signal does.
pub(crate) type Action = Box<dyn FnMut(&mut Reactor)>;

/// The signals a reactor listens to.
pub(crate) struct Signals {
    pub(crate) source: signal_hook_mio::v1_0::Signals,
    /// `None` while it is called.
    pub(crate) actions: BTreeMap<i32, Option<Action>>,
}

impl Signals {
    pub(crate) fn new(signal: i32) -> io::Result<Self> {
        let source = signal_hook_mio::v1_0::Signals::new([signal])?;
        Ok(Self { source, actions: BTreeMap::new() })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.source, token, Interest::READABLE)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("signals", &self.actions.keys()).finish_non_exhaustive()
    }
}

impl Reactor {
    /// Calls `action` whenever the process gets `signal` (`SIGHUP` is 1, `SIGINT` 2, `SIGTERM` 15;
    /// crates like `signal-hook` name them all). A second action for a signal replaces the first.
    ///
    /// The handler belongs to the process and stays when the reactor is gone: the signal does nothing
    /// then, instead of ending the process.
    ///
    /// A listener to signals does not keep [`run`](Self::run) from returning. Several signals of one
    /// kind that come while the loop is busy may count as one.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a signal that cannot be caught like this (`SIGKILL`, `SIGSTOP`, `SIGILL`,
    /// `SIGFPE`, `SIGSEGV`) and for a number that is none; `Unsupported` in a simulation; and what the
    /// system says if it has no descriptor left.
    pub fn on_signal(
        &mut self,
        signal: i32,
        action: impl FnMut(&mut Self) + 'static,
    ) -> io::Result<()> {
        if FORBIDDEN.contains(&signal) || !SIGNALS.contains(&signal) {
            let message = format!("signal {signal} cannot be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let key = self.signals(signal)?;
        if let Some(signals) = self.signals_mut(key) {
            signals.source.add_signal(signal)?;
            signals.actions.insert(signal, Some(Box::new(action)));
        }
        Ok(())
    }

    /// On `SIGINT` or `SIGTERM` the reactor [shuts down](Self::shutdown) with this `grace`; on a
    /// second one it [stops](Self::stop) at once.
    ///
    /// # Errors
    ///
    /// As [`on_signal`](Self::on_signal).
    pub fn shutdown_on_signals(&mut self, grace: Duration) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            self.on_signal(signal, move |reactor| {
                if reactor.is_stopping() {
                    reactor.stop();
                } else {
                    reactor.shutdown(grace);
                }
            })?;
        }
        Ok(())
    }

    pub(crate) fn serve_signals(&mut self, key: Key) {
        let Some(signals) = self.signals_mut(key) else { return };
        let pending: Vec<i32> = signals.source.pending().collect();
        for signal in pending {
            self.call_signal_action(key, signal);
        }
    }
}
