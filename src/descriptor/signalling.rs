//! Signals, as one more source.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use mio::Token;
use signal_hook::consts::{FORBIDDEN, SIGINT, SIGTERM};

use crate::callback::Callback;
use crate::connection::ReadBuffer;
use crate::descriptor::signals::Signals;
use crate::observe::Subject;
use crate::parts::arena::Key;
use crate::reactor::Reactor;
use crate::reactor::source::{Kind, Owner, Seated, SignalAction, Source};

/// The numbers signal-hook keeps a place for; no system has more signals.
const SIGNALS: std::ops::Range<i32> = 1..128;

/// The kind of source that signals are.
#[derive(Debug)]
struct SignalSource;

impl Kind for SignalSource {
    fn serve(&self, reactor: &mut Reactor, key: Key, _: &mut ReadBuffer) {
        reactor.serve_signals(key);
    }
}

/// The actions by signal; each is `None` while it is called.
type Actions = BTreeMap<i32, Option<SignalAction>>;

impl Reactor {
    /// The source of signals, made when it is first asked for.
    pub(crate) fn signals(&mut self) -> io::Result<Key> {
        if let Some(key) = self.known_signals() {
            return Ok(key);
        }
        let registry = self.poller.registry();
        let signals = Seated::new(&SignalSource, Signals::new(registry)?, BTreeMap::new());
        let key = self.sources.insert(Source::Signals(Box::new(signals)), Owner::None);
        if let Some(Source::Signals(signals)) = self.sources.get_mut(key)
            && let Err(error) = signals.register(registry, key.token())
        {
            self.sources.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    fn known_signals(&self) -> Option<Key> {
        let known = |source: &Source| matches!(source, Source::Signals(_));
        self.sources.iter().find(|(_, source)| known(source)).map(|(key, _)| key)
    }

    /// Lets a simulated signal come. Returns the token to report, if the signal has an action.
    pub(crate) fn raise(&mut self, signal: i32) -> Option<Token> {
        let key = self.known_signals()?;
        let signals = self.signals_mut(key)?;
        signals.callee.as_ref()?.get(&signal)?;
        signals.raise(signal);
        Some(key.token())
    }

    pub(crate) fn call_signal_action(&mut self, key: Key, signal: i32) {
        self.seat(
            key,
            Callback::Signal,
            |source| match source {
                Source::Signals(signals) => signals.callee.as_mut()?.get_mut(&signal),
                _ => None,
            },
            |action, reactor| action(reactor),
        );
    }

    pub(crate) fn signals_mut(&mut self, key: Key) -> Option<&mut Seated<Signals, Actions>> {
        match self.sources.get_mut(key)? {
            Source::Signals(signals) => Some(signals),
            _ => None,
        }
    }
}

/// # Signals (feature `signals`)
impl Reactor {
    /// Calls `action` whenever the process gets `signal` (`SIGHUP` is 1, `SIGINT` 2, `SIGTERM` 15;
    /// crates like `signal-hook` name them all).
    ///
    /// A second action for a signal replaces the first.
    ///
    /// The handler belongs to the process and stays when the reactor is gone: the signal does nothing
    /// then, instead of ending the process.
    ///
    /// An action for a signal does not keep [`run`](Self::run) from returning. Several signals of one
    /// kind that come while the loop is busy may count as one.
    ///
    /// In a simulation the test gives the signals, by
    /// [`Simulation::signal`](crate::testing::Simulation::signal).
    ///
    /// Needs the feature `signals`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a signal that cannot be caught like this (`SIGKILL`, `SIGSTOP`, `SIGILL`,
    /// `SIGFPE`, `SIGSEGV`) and for a number that is not a signal; and the system's error if it has no
    /// descriptor left.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    ///
    /// const SIGHUP: i32 = 1;
    ///
    /// let mut simulation = Simulation::new();
    /// simulation.reactor().on_signal(SIGHUP, |reactor| {
    ///     reactor.call_soon(|_reactor| println!("reading the configuration again"));
    /// })?;
    /// assert!(simulation.signal(SIGHUP));
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().stats().calls, 1);
    /// # std::io::Result::Ok(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "signals")))]
    pub fn on_signal(
        &mut self,
        signal: i32,
        action: impl FnMut(&mut Self) + 'static,
    ) -> io::Result<()> {
        if FORBIDDEN.contains(&signal) || !SIGNALS.contains(&signal) {
            let message = format!("signal {signal} cannot be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let key = self.signals()?;
        if let Some(signals) = self.signals_mut(key) {
            signals.add(signal)?;
            if let Some(actions) = &mut signals.callee {
                let former = actions.insert(signal, Some(Box::new(action)));
                self.let_go(Subject::Reactor, former);
            }
        }
        Ok(())
    }

    /// On `SIGINT` or `SIGTERM` the reactor [drains](Self::shutdown): it shuts down with this `grace`. On a
    /// second one it [stops](Self::stop) at once.
    ///
    /// Needs the feature `signals`.
    ///
    /// # Errors
    ///
    /// As [`on_signal`](Self::on_signal).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    /// use crocus::{Ended, Protocol};
    ///
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// let mut simulation = Simulation::new();
    /// simulation.reactor().drain_on_signals(Duration::from_secs(10))?;
    /// simulation.reactor().listen("127.0.0.1:80", |_peer| Idle)?;
    /// simulation.signal(15); // SIGTERM; in a program, the system sends it
    /// simulation.reactor().run()?;
    /// assert_eq!(simulation.reactor().ended(), Some(Ended::ShutDown));
    /// # std::io::Result::Ok(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "signals")))]
    pub fn drain_on_signals(&mut self, grace: Duration) -> io::Result<()> {
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

    fn serve_signals(&mut self, key: Key) {
        let Some(signals) = self.signals_mut(key) else { return };
        for signal in signals.pending() {
            self.call_signal_action(key, signal);
        }
    }
}
