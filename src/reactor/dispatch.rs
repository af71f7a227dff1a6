//! The only place where the user's code is called.
//!
//! To call a protocol, factory or function the reactor takes its box out of the slot, calls it with a
//! borrow of the whole reactor, and puts the box back. So a callback may use everything in the reactor,
//! and cannot be called from within itself: the slot is empty.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use super::Reactor;
use super::source::Source;
use crate::callback::Callback;
use crate::observe::watcher::Running;
use crate::observe::{Notice, Subject};
use crate::parts::arena::Key;
use crate::parts::clock::later;
use crate::parts::one_line::OneLine;

impl Reactor {
    /// Calls `code`, which is the user's: observed, timed, and with panics caught. `None`: it panicked.
    ///
    /// The end of one callback counts as the beginning of the next, which saves a reading of the clock;
    /// the error is the loop's own work between them, some system calls. Code that runs within another
    /// callback, such as the `Drop` of a timer that it cancels, is part of that callback's time. With an
    /// observer the time is exact, and costs two readings.
    #[inline]
    pub(crate) fn call<R>(
        &mut self,
        subject: impl FnOnce() -> Subject + Copy,
        callback: Callback,
        code: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        self.monitor.stats.callbacks += 1;
        let running = self.monitor.begin_callback(subject, callback);
        let last = self.memory.common.latest.callback.take();
        let result = catch_unwind(AssertUnwindSafe(|| code(self)));
        if let Some(running) = running {
            self.end_watched_call(subject(), callback, &running, last);
        } else if let Some(began) = last {
            let ended = self.time.clock.now();
            if ended > self.time.slow_after {
                self.judge_outermost(subject(), callback, began, ended);
            }
            self.memory.common.latest.callback = Some(ended);
        }
        match result {
            Ok(value) => Some(value),
            Err(payload) => {
                self.note_panic(subject(), callback, payload);
                None
            }
        }
    }

    /// Tells the observer that a call has ended, and judges the time that it took.
    #[cold]
    #[inline(never)]
    fn end_watched_call(
        &mut self,
        subject: Subject,
        callback: Callback,
        running: &Running,
        last: Option<Instant>,
    ) {
        let ended = self.time.clock.now();
        self.monitor.end_callback(subject, callback, running, ended);
        if ended > self.time.slow_after {
            match last {
                Some(_) => self.judge_outermost(subject, callback, running.began, ended),
                None => self.judge_time(subject, callback, running.began, ended),
            }
        }
        self.memory.common.latest.callback = last.and(Some(ended));
    }

    /// Calls `code` with the value at a `place` in a slot. `None`: it panicked, or the place is empty.
    pub(crate) fn seat<T, R>(
        &mut self,
        key: Key,
        callback: Callback,
        place: impl Fn(&mut Source) -> Option<&mut Option<T>>,
        code: impl FnOnce(&mut T, &mut Self) -> R,
    ) -> Option<R> {
        self.seat_or(key, callback, place, code, Self::let_go)
    }

    /// The same; `if_gone` gets the value if its place is gone or filled after the call.
    pub(crate) fn seat_or<T, R>(
        &mut self,
        key: Key,
        callback: Callback,
        place: impl Fn(&mut Source) -> Option<&mut Option<T>>,
        code: impl FnOnce(&mut T, &mut Self) -> R,
        if_gone: impl FnOnce(&mut Self, Subject, T),
    ) -> Option<R> {
        let source = self.sources.get_mut(key)?;
        let subject = source.subject(key);
        let mut value = place(source)?.take()?;
        let result = self.call(move || subject, callback, |reactor| code(&mut value, reactor));
        match self.sources.get_mut(key).and_then(place) {
            Some(place @ None) => *place = Some(value),
            _ => if_gone(self, subject, value),
        }
        result
    }

    /// In a simulation, resumes the first panic of this turn, now that the state is consistent.
    pub(crate) fn let_panic_through(&mut self) {
        let Some(payload) = self.monitor.panic.take() else { return };
        if std::thread::panicking() {
            return discard(payload); // one panic is enough to fail the test
        }
        resume_unwind(payload);
    }

    /// Drops a value of the user's, whose `Drop` may panic like any other user code.
    ///
    /// One value only: a second `Drop` that panics while the first unwinds would end the process. So it does
    /// within one value, such as a closure with two captures: these are dropped by the language.
    pub(crate) fn let_go<T>(&mut self, subject: Subject, value: T) {
        if std::mem::needs_drop::<T>() {
            let mut value = Some(value);
            self.call_to_drop(subject, &mut || value = None);
        }
    }

    /// Calls a function that drops a value of the user's. One copy serves values of all types: `call` in each would take
    /// six kilobytes more.
    #[inline(never)]
    pub(crate) fn call_to_drop(&mut self, subject: Subject, drop: &mut dyn FnMut()) {
        self.call(move || subject, Callback::Drop, |_| drop());
    }

    /// Drops values of the user's one by one.
    pub(crate) fn let_go_of_each<T>(
        &mut self,
        subject: Subject,
        values: impl IntoIterator<Item = T>,
    ) {
        for value in values {
            self.let_go(subject, value);
        }
    }

    /// Drops a source that has ended: what it calls first, and then the rest, which may have user code too.
    pub(crate) fn let_go_of_source(&mut self, subject: Subject, mut source: Source) {
        match &mut source {
            Source::Connection(session) => {
                self.let_go_of_each(subject, session.protocol.take());
                self.let_go_of_each(subject, session.take_successor());
                session.connection.clear(&mut self.memory.common);
                self.note_drops(subject);
            }
            Source::Listener(listener) => {
                let factory = listener.callee.take();
                self.let_go_of_each(subject, factory);
            }
            Source::Connector(connector) => {
                let factory = connector.callee.take();
                self.let_go_of_each(subject, factory);
            }
            Source::Datagram(state) => {
                let protocol = state.callee.take();
                self.let_go_of_each(subject, protocol);
            }
            Source::Attempt(..) => {}
            #[cfg(feature = "signals")]
            Source::Signals(signals) => {
                let actions = signals.callee.take().unwrap_or_default();
                self.let_go_of_each(subject, actions.into_values());
            }
            #[cfg(unix)]
            Source::Watch(watch) => {
                if let Some(watched) = watch.callee.take() {
                    watched.let_go(self);
                }
            }
        }
        self.let_go_of_rest(subject, source);
    }

    /// Drops a value that is hardly ever the user's, so that it is no callback for an observer. But a
    /// reason may hold an error of the user's, and the options of a socket a hook.
    pub(crate) fn let_go_of_rest<T>(&mut self, subject: Subject, value: T) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
            self.note_panic(subject, Callback::Drop, payload);
        }
    }

    #[cold]
    pub(super) fn note_panic(
        &mut self,
        subject: Subject,
        callback: Callback,
        payload: Box<dyn Any + Send>,
    ) {
        self.monitor.stats.panics += 1;
        let described = self.describe(subject);
        let message = OneLine(message(payload.as_ref())).to_string();
        log::error!("{callback} of {described} panicked: {message}");
        self.monitor.note(|| Notice::Panicked { subject, callback, message: message.into() });
        if self.limits.propagate_panics && self.monitor.panic.is_none() {
            self.monitor.panic = Some(payload);
        } else {
            discard(payload);
        }
    }

    /// Counts and logs a callback that took too long.
    #[cold]
    fn judge_time(&mut self, subject: Subject, callback: Callback, began: Instant, ended: Instant) {
        let Some(limit) = self.limits.slow_callback else { return };
        let took = ended.saturating_duration_since(began);
        if took > limit {
            self.monitor.stats.slow_callbacks += 1;
            log::warn!(
                "{callback} of {} took {took:?}; nothing else was served meanwhile",
                self.describe(subject)
            );
        }
    }

    /// The same for a callback that is within no other. The next one begins when this has ended, at the earliest, so until
    /// the limit has passed again none can be slow. The end of one within another does not say that: the outer one
    /// began earlier.
    #[cold]
    fn judge_outermost(
        &mut self,
        subject: Subject,
        callback: Callback,
        began: Instant,
        ended: Instant,
    ) {
        self.judge_time(subject, callback, began, ended);
        if let Some(limit) = self.limits.slow_callback {
            self.time.slow_after = later(ended, limit);
        }
    }

    /// A subject with its peer or address, for the log.
    pub(crate) fn describe(&self, subject: Subject) -> String {
        let key = match subject {
            Subject::Connection(id) => Some(id.0),
            Subject::Listener(id) => Some(id.0),
            Subject::Connector(id) => Some(id.0),
            Subject::Datagram(id) => Some(id.0),
            #[cfg(unix)]
            Subject::Watch(_) => None,
            Subject::Reactor | Subject::Named(_) => None,
        };
        let address = key.and_then(|key| self.sources.get(key)).and_then(address_of);
        match address {
            Some(address) => format!("{subject} ({address})"),
            None => subject.to_string(),
        }
    }
}

/// The address that says to a person which one it is.
fn address_of(source: &Source) -> Option<&dyn Display> {
    match source {
        Source::Connection(session) => Some(&session.peer),
        Source::Listener(listener) => Some(&listener.local),
        Source::Connector(connector) => Some(&connector.connect.to),
        Source::Datagram(state) => Some(&state.local),
        _ => None,
    }
}

/// Drops the payload of a panic. It may be any value of the user's, so its `Drop` may panic too, with
/// another payload: that one is never dropped.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        log::error!("drop of a panic's payload panicked: {}", OneLine(message(second.as_ref())));
        std::mem::forget(second);
    }
}

/// The message of a panic; almost all have one.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
