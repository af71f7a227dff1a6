//! From a source to its [`Kind`].

use super::Reactor;
use super::source::{Kind, Source};
use crate::parts::arena::Key;

impl Source {
    /// Its kind; `None` for a connection.
    pub(crate) fn kind(&self) -> Option<&'static dyn Kind> {
        match self {
            Self::Connection(_) => None,
            Self::Listener(listener) => Some(listener.kind),
            Self::Connector(connector) => Some(connector.kind),
            Self::Attempt(_, kind) => Some(*kind),
            Self::Datagram(state) => Some(state.kind),
            #[cfg(feature = "signals")]
            Self::Signals(signals) => Some(signals.kind),
            #[cfg(unix)]
            Self::Watch(watch) => Some(watch.kind),
        }
    }
}

impl Reactor {
    /// The kind of a source that is there and no connection.
    pub(crate) fn kind(&self, key: Key) -> Option<&'static dyn Kind> {
        self.sources.get(key)?.kind()
    }
}
