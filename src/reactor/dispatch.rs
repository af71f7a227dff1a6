//! The one place where code of the user's is called.
//!
//! To call a protocol the reactor takes its box out of the slot, calls it with a [`Transport`] that
//! borrows the whole reactor, and puts the box back. So a callback may do anything to anybody, and
//! calling the same protocol from within is impossible: the slot is empty.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::{Reactor, Source};
use crate::arena::Key;
use crate::connection::{Connection, ConnectionId};
use crate::observe::{Callback, Subject};
use crate::protocol::Protocol;
use crate::transport::Transport;

impl Reactor {
    /// Calls `code`, which is the user's: watched, timed, and with panics caught. `None`: it
    /// panicked.
    ///
    /// The end of one callback is taken for the beginning of the next, which saves a reading of the
    /// clock: what is between them is the loop's own work, some system calls. What runs within
    /// another callback, as the `Drop` of a timer that it cancels, is part of that one's time.
    /// Observers want to know it exactly, and have it for two readings.
    pub(super) fn call<R>(
        &mut self,
        subject: Subject,
        callback: Callback,
        code: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        self.stats.callbacks += 1;
        self.observe(|observer, _| observer.callback_begin(subject, callback));
        let lap = self.lap.take();
        let began = if self.observer.is_some() { Some(self.clock.now()) } else { lap };
        let result = catch_unwind(AssertUnwindSafe(|| code(self)));
        if let Some(began) = began {
            let ended = self.clock.now();
            if self.observer.is_some() || ended > self.slow_from {
                self.tell_time(subject, callback, ended.saturating_duration_since(began));
            }
            self.lap = lap.and(Some(ended));
        }
        match result {
            Ok(value) => Some(value),
            Err(payload) => {
                self.stats.panics += 1;
                let who = self.describe(subject);
                log::error!("{callback} of {who} panicked: {}", message(payload.as_ref()));
                if self.limits.propagate_panics {
                    self.panic.get_or_insert(payload);
                }
                None
            }
        }
    }

    /// Calls a protocol. If it panics its connection is ended; `connection_lost` is still owed.
    pub(super) fn call_protocol(
        &mut self,
        key: Key,
        callback: Callback,
        code: impl FnOnce(&mut dyn Protocol, &mut Transport<'_>),
    ) {
        let Some(connection) = self.connection_mut(key) else { return };
        let Some(mut protocol) = connection.protocol.take() else { return };
        let peer = connection.peer.clone();
        let id = ConnectionId(key);
        let done = self.call(Subject::Connection(id), callback, |reactor| {
            code(protocol.as_mut(), &mut Transport::new(reactor, id, peer));
        });
        match self.connection_mut(key) {
            Some(connection) => connection.protocol = Some(protocol),
            // A callback can put another reactor in the place of this one; then nobody is here.
            None => self.let_go(Subject::Connection(id), protocol),
        }
        // Who panics over the news of its loss was lost for another reason.
        if done.is_none() && callback != Callback::ConnectionLost {
            self.over(key, |connection| connection.panicked(callback));
        }
    }

    /// In a simulation, lets the first panic of this turn through, now that all is in order.
    pub(super) fn let_panic_through(&mut self) {
        if let Some(payload) = self.panic.take()
            && !std::thread::panicking()
        {
            resume_unwind(payload);
        }
    }

    /// Drops what belongs to the user, whose `Drop` may panic like any other code of theirs.
    pub(super) fn let_go<T>(&mut self, subject: Subject, value: T) {
        if std::mem::needs_drop::<T>() {
            self.call(subject, Callback::Drop, |_| drop(value));
        }
    }

    fn tell_time(&mut self, subject: Subject, callback: Callback, took: Duration) {
        self.observe(|observer, _| observer.callback_end(subject, callback, took));
        if self.limits.slow_callback.is_some_and(|limit| took > limit) {
            self.stats.slow_callbacks += 1;
            let who = self.describe(subject);
            log::warn!("{callback} of {who} took {took:?}; nobody else was served meanwhile");
        }
    }

    /// A subject with its peer or address, for the log.
    fn describe(&self, subject: Subject) -> String {
        let address = match subject {
            Subject::Connection(ConnectionId(key)) => match self.sources.get(key) {
                Some(Source::Connection(connection)) => Some(connection.peer.to_string()),
                _ => None,
            },
            Subject::Listener(id) => self.local_addr(id).map(|addr| addr.to_string()),
            Subject::Connector(id) => self.endpoint(id).map(|endpoint| endpoint.to_string()),
            Subject::Datagram(id) => self.port(id).map(|port| port.local.to_string()),
            #[cfg(unix)]
            Subject::Watch(_) => None,
            Subject::Reactor => None,
        };
        match address {
            Some(address) => format!("{subject} ({address})"),
            None => subject.to_string(),
        }
    }

    pub(crate) fn connection_mut(&mut self, key: Key) -> Option<&mut Connection> {
        match self.sources.get_mut(key)? {
            Source::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        match self.sources.get(id.0)? {
            Source::Connection(connection) => Some(connection),
            _ => None,
        }
    }
}

/// What a panic said; almost all carry a text.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
