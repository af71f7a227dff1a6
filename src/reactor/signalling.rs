//! Signals, as one more source.

use std::io;

use super::{Reactor, Source};
use crate::arena::Key;
use crate::observe::{Callback, Subject};
use crate::signals::Signals;

impl Reactor {
    /// The source of signals, made when it is first asked for.
    pub(crate) fn signals(&mut self, signal: i32) -> io::Result<Key> {
        let known = |source: &Source| matches!(source, Source::Signals(_));
        if let Some((key, _)) = self.sources.iter().find(|(_, source)| known(source)) {
            return Ok(key);
        }
        let Some(registry) = self.poller.registry() else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a simulated reactor gets no signals",
            ));
        };
        let key = self.sources.insert(Source::Signals(Box::new(Signals::new(signal)?)));
        if let Some(Source::Signals(signals)) = self.sources.get_mut(key)
            && let Err(error) = signals.register(registry, key.token())
        {
            self.sources.remove(key);
            return Err(error);
        }
        self.background += 1;
        Ok(key)
    }

    pub(crate) fn call_signal_action(&mut self, key: Key, signal: i32) {
        let Some(signals) = self.signals_mut(key) else { return };
        let Some(mut action) = signals.actions.get_mut(&signal).and_then(Option::take) else {
            return;
        };
        self.call(Subject::Reactor, Callback::Signal, |reactor| action(reactor));
        let slot = self.signals_mut(key).and_then(|signals| signals.actions.get_mut(&signal));
        match slot {
            Some(slot @ None) => *slot = Some(action),
            // It put another action in its place.
            _ => self.let_go(Subject::Reactor, action),
        }
    }

    pub(crate) fn signals_mut(&mut self, key: Key) -> Option<&mut Signals> {
        match self.sources.get_mut(key)? {
            Source::Signals(signals) => Some(signals),
            _ => None,
        }
    }
}
