//! A session: how it is made; between visits, its registration with the poller and its timers.

use std::time::Instant;

use super::monitor::Monitor;
use super::source::{Attached, Session};
use super::state::TimerAction;
use crate::address::Address;
use crate::connection::{Common, Connection, Step};
use crate::parts::arena::Key;
use crate::parts::timers::Timers;
use crate::protocol::Protocol;
use crate::system::poller::Poller;
use crate::system::stream::Registered;

impl Session {
    pub(crate) fn new(connection: Connection, peer: Address, protocol: Box<dyn Protocol>) -> Self {
        Self { protocol: Some(protocol), ..Self::unbuilt(connection, peer) }
    }

    /// One whose protocol is made when its preparation is over.
    pub(crate) fn preparing(
        mut connection: Connection,
        peer: Address,
        step: Step,
        now: Instant,
        common: &mut Common,
    ) -> Self {
        connection.prepare(step, now, common);
        Self::unbuilt(connection, peer)
    }

    fn unbuilt(connection: Connection, peer: Address) -> Self {
        Self { connection, peer, protocol: None, timer: None, attached: None }
    }

    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    pub(crate) fn attached(&mut self, spares: &mut Vec<Box<Attached>>) -> &mut Attached {
        self.attached.get_or_insert_with(|| spares.pop().unwrap_or_default())
    }

    pub(crate) fn take_successor(&mut self) -> Option<Box<dyn Protocol>> {
        self.attached.as_mut()?.successor.take()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Whether a PROXY header has said whose it is.
    pub(super) fn is_identified(&self) -> bool {
        #[cfg(feature = "proxy")]
        return self.attached.as_ref().is_some_and(|attached| attached.proxy.is_some());
        #[cfg(not(feature = "proxy"))]
        false
    }

    /// Cancels the timers of a protocol that gets no more notices, and that of the deadline: the next
    /// visit sets it anew.
    #[inline]
    pub(crate) fn cancel_timers(
        &mut self,
        timers: &mut Timers<TimerAction>,
        monitor: &mut Monitor,
    ) {
        if self.attached.is_some() || self.timer.is_some() {
            self.call_timers_off(timers, monitor);
        }
    }

    #[inline(never)]
    fn call_timers_off(&mut self, timers: &mut Timers<TimerAction>, monitor: &mut Monitor) {
        if let Some(attached) = &mut self.attached {
            for timer in attached.timers.drain() {
                timers.call_off(timer, monitor);
            }
        }
        if let Some(timer) = self.timer.take() {
            timers.call_off(timer, monitor);
        }
    }

    /// Registers with the poller, once, and has it tell of room if the stream
    /// [awaits](crate::system::stream::Stream::await_room) it. The poller reports at once what is ready
    /// already. If this fails the connection has failed.
    #[inline(always)]
    pub(super) fn register(&mut self, key: Key, poller: &Poller) -> bool {
        self.connection.stream.registered() == Registered::Fully || self.register_anew(key, poller)
    }

    #[inline(never)]
    fn register_anew(&mut self, key: Key, poller: &Poller) -> bool {
        let (registry, token) = (poller.registry(), key.token());
        let blocked = self.connection.is_blocked();
        let stream = &mut self.connection.stream;
        let result = match stream.registered() {
            Registered::No => stream.register(registry, token),
            _ => Ok(()),
        };
        let result = result.and_then(|()| stream.await_room(registry, token, blocked));
        let failed = |error| {
            // The peer shall not take what it may have got for all.
            self.connection.stream.reset_on_close();
            self.connection.fail(error);
        };
        result.map_err(failed).is_ok()
    }

    /// Sets a timer for the deadline of the connection, or leaves one that fires before it: that is moved
    /// when it fires, so that activity costs nothing.
    #[inline]
    pub(crate) fn arm(
        &mut self,
        key: Key,
        timers: &mut Timers<TimerAction>,
        monitor: &mut Monitor,
    ) {
        if self.connection.is_timed() || self.timer.is_some() {
            self.move_timer(key, timers, monitor);
        }
    }

    #[inline(never)]
    fn move_timer(&mut self, key: Key, timers: &mut Timers<TimerAction>, monitor: &mut Monitor) {
        match (self.connection.deadline(), self.timer) {
            (None, None) => {}
            (None, Some(timer)) => {
                timers.call_off(timer, monitor);
                self.timer = None;
            }
            (Some(deadline), None) => {
                self.timer = Some(timers.set(deadline, TimerAction::Deadline(key), monitor));
            }
            (Some(deadline), Some(timer)) => {
                if timers.deadline(timer).is_some_and(|set| deadline < set) {
                    timers.shift(timer, deadline, monitor);
                }
            }
        }
    }
}
