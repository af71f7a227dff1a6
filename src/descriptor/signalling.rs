//! Signals, as one more source.

use std::io;

use crate::descriptor::signals::Signals;
use crate::observe::Callback;
use crate::parts::arena::Key;
use crate::reactor::Reactor;
use crate::reactor::source::Owner;
use crate::reactor::source::Source;

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
        let key =
            self.sources.insert(Source::Signals(Box::new(Signals::new(signal)?)), Owner::None);
        if let Some(Source::Signals(signals)) = self.sources.get_mut(key)
            && let Err(error) = signals.register(registry, key.token())
        {
            self.sources.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    pub(crate) fn call_signal_action(&mut self, key: Key, signal: i32) {
        self.seat(
            key,
            Callback::Signal,
            |source| match source {
                Source::Signals(signals) => signals.actions.get_mut(&signal),
                _ => None,
            },
            |action, reactor| action(reactor),
        );
    }

    pub(crate) fn signals_mut(&mut self, key: Key) -> Option<&mut Signals> {
        match self.sources.get_mut(key)? {
            Source::Signals(signals) => Some(signals),
            _ => None,
        }
    }
}
