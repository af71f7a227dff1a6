//! Timers: their interface, and phase 3.

use std::time::{Duration, Instant};

use super::Reactor;
use super::monitor::Monitor;
use super::source::Source;
use super::state::{Tick, Ticker, Ticking, TimerAction};
use crate::callback::Callback;
use crate::ids::ConnectionId;
use crate::observe::{Phase, Subject, TimerEvent};
use crate::parts::arena::Key;
use crate::parts::clock::later;
use crate::parts::moment::Moment;
use crate::parts::timers::{TimerId, Timers};

/// # Timers
impl Reactor {
    /// Calls `function` once, `delay` from this moment; with no delay, in the next turn.
    ///
    /// The delay counts from this call, not from [`now`](Self::now), which is the time of the turn: a
    /// callback that works for a second and then asks for a delay gets all of it. It is never early. It is late by up to
    /// a millisecond on Linux, which rounds the sleep up, and by the time of the callbacks before it.
    ///
    /// Twisted's `callLater`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let moment = simulation.reactor().now() + Duration::from_secs(1);
    /// simulation.reactor().call_at(moment, |_reactor| println!("first"));
    /// simulation.reactor().call_later(Duration::from_secs(2), |reactor| reactor.stop());
    /// simulation.reactor().run()?;
    /// assert_eq!(simulation.elapsed(), Duration::from_secs(2));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn call_later(
        &mut self,
        delay: Duration,
        function: impl FnOnce(&mut Self) + 'static,
    ) -> TimerId {
        let action = self.once(function);
        self.set(delay, action)
    }

    /// Calls `function` once at a moment of the [reactor's time](Self::now); if that is over, in the next turn.
    ///
    /// For a deadline that is older than this call. asyncio's `call_at`. See the example of [`call_later`](Self::call_later).
    pub fn call_at(
        &mut self,
        when: Instant,
        function: impl FnOnce(&mut Self) + 'static,
    ) -> TimerId {
        let action = self.once(function);
        self.timers.set(when, action, &mut self.monitor)
    }

    /// Calls `function` every `interval`, first after one interval.
    ///
    /// The ticks stay on the grid that begins now: a late one does not delay the others. Ticks that come
    /// too late are left out, never made up for in a burst, and counted in [`Tick::missed`]. With no
    /// interval `function` is called every turn. A panic in it ends the timer.
    ///
    /// Twisted's `LoopingCall.withCount`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// let mut ticks = 0;
    /// reactor.call_every(Duration::from_millis(1), move |reactor, tick| {
    ///     ticks += 1 + tick.missed;
    ///     if ticks >= 3 {
    ///         reactor.cancel_timer(tick.timer);
    ///     }
    /// });
    /// reactor.run()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn call_every(
        &mut self,
        interval: Duration,
        function: impl FnMut(&mut Self, Tick) + 'static,
    ) -> TimerId {
        let (name, function) = (self.extension.name, Box::new(function));
        self.set(
            interval,
            TimerAction::Every(Box::new(Ticker { name, interval, function, tick: Self::tick })),
        )
    }

    /// Cancels a timer; `false` if it fired or was cancelled already.
    ///
    /// From within its own call this returns `false` too, except for `call_every`, which ends then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let reactor = simulation.reactor();
    /// let timer = reactor.call_later(Duration::from_secs(1), |_| unreachable!());
    /// assert!(reactor.cancel_timer(timer));
    /// assert!(!reactor.cancel_timer(timer), "it is gone");
    /// simulation.advance(Duration::from_secs(2));
    /// ```
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        let Some(action) = self.timers.call_off(timer, &mut self.monitor) else { return false };
        if let Some(TimerAction::Connection(key) | TimerAction::Datagram(key)) = action {
            self.forget_timer(key);
        }
        self.let_go(Subject::Reactor, action);
        true
    }

    /// Moves a pending timer: it fires `delay` from this moment, as with [`call_later`](Self::call_later).
    ///
    /// Returns `false` if it is not pending. In a tick of `call_every` its own timer counts as pending: this
    /// moves the next tick, and the grid goes on from there. Timers with one deadline still fire in the order
    /// they were made.
    ///
    /// Moving to later, the usual case, takes no search and no new place in the queue.
    ///
    /// Twisted's `IDelayedCall.reset`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let timer = simulation.reactor().call_later(Duration::from_secs(10), |_reactor| {});
    /// simulation.advance(Duration::from_secs(9));
    /// assert!(simulation.reactor().reset_timer(timer, Duration::from_secs(10)));
    /// simulation.advance(Duration::from_secs(9));
    /// assert_eq!(simulation.reactor().stats().timers, 0);
    /// simulation.advance(Duration::from_secs(1));
    /// assert_eq!(simulation.reactor().stats().timers, 1);
    /// ```
    pub fn reset_timer(&mut self, timer: TimerId, delay: Duration) -> bool {
        let deadline = self.time.after(delay);
        match self.ticking(timer) {
            Some(ticking) => {
                ticking.next = Some(deadline);
                true
            }
            None => self.timers.shift(timer, deadline, &mut self.monitor),
        }
    }

    /// Sets the interval of a timer made by [`call_every`](Self::call_every): its next tick comes one interval
    /// from [now](Self::now), and the others on the grid that begins there.
    ///
    /// It may be called in a tick of the timer itself. Returns `false` if there is no such timer.
    ///
    /// # Examples
    ///
    /// An interval that doubles with each tick:
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let mut interval = Duration::from_secs(1);
    /// simulation.reactor().call_every(interval, move |reactor, tick| {
    ///     interval *= 2;
    ///     reactor.set_timer_interval(tick.timer, interval);
    /// });
    /// simulation.advance(Duration::from_secs(60));
    /// assert_eq!(simulation.reactor().stats().timers, 5); // at 1, 3, 7, 15 and 31 s
    /// ```
    pub fn set_timer_interval(&mut self, timer: TimerId, interval: Duration) -> bool {
        if let Some(ticking) = self.ticking(timer) {
            ticking.interval = interval;
        } else if let Some(TimerAction::Every(ticker)) = self.timers.action_mut(timer) {
            ticker.interval = interval;
        } else {
            return false;
        }
        self.reset_timer(timer, interval)
    }

    /// When a timer is to fire; `None` if it is not pending, for example while it fires.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let mut simulation = crocus::testing::Simulation::new();
    /// let reactor = simulation.reactor();
    /// let timer = reactor.call_later(Duration::from_secs(10), |_reactor| {});
    /// assert_eq!(reactor.timer_deadline(timer), Some(reactor.now() + Duration::from_secs(10)));
    /// ```
    pub fn timer_deadline(&self, timer: TimerId) -> Option<Instant> {
        self.timers.deadline(timer)
    }

    /// The tick that is being called, if it is one of `timer`, and it has not cancelled it.
    fn ticking(&mut self, timer: TimerId) -> Option<&mut Ticking> {
        let firing = self.timers.is_firing(timer);
        self.time.ticking.as_mut().filter(|ticking| firing && ticking.timer == timer)
    }

    pub(crate) fn set(&mut self, delay: Duration, action: TimerAction) -> TimerId {
        let deadline = self.time.after(delay);
        self.timers.set(deadline, action, &mut self.monitor)
    }

    fn once(&self, function: impl FnOnce(&mut Self) + 'static) -> TimerAction {
        if self.extension.name.is_some() {
            return TimerAction::Named(Box::new(self.name_call(function)));
        }
        TimerAction::Once(Box::new(function))
    }

    pub(crate) fn connection_timer(&mut self, id: ConnectionId, delay: Duration) -> TimerId {
        let timer = self.set(delay, TimerAction::Connection(id.0));
        match self.sources.session(id.0).filter(|session| session.connection.hears()) {
            Some(session) => {
                session.attached(&mut self.memory.attached).timers.add(timer);
            }
            // A connection that ends, or a protocol that has handed over, gets no timer. The stale name
            // is harmless.
            None => drop(self.timers.call_off(timer, &mut self.monitor)),
        }
        timer
    }

    pub(crate) fn forget_timer(&mut self, key: Key) {
        let Self { sources, timers, .. } = self;
        let owned = match sources.get_mut(key) {
            Some(Source::Connection(session)) => {
                session.attached.as_mut().map(|attached| &mut attached.timers)
            }
            Some(Source::Datagram(state)) => Some(&mut state.timers),
            _ => None,
        };
        if let Some(owned) = owned {
            owned.one_is_over(|timer| timers.deadline(timer).is_some());
        }
    }

    /// Phase 3.
    pub(crate) fn fire_timers(&mut self) {
        self.begin_phase(Phase::Timers);
        self.timers.gather(self.time.now);
        let stays = |action: &TimerAction| matches!(action, TimerAction::Every(_));
        while let Some((timer, deadline, action)) = self.timers.next_due(stays) {
            self.monitor.report.timers += 1;
            self.monitor.stats.timers += 1;
            self.fire(timer, deadline, action);
        }
    }

    fn fire(&mut self, timer: TimerId, deadline: Moment, action: TimerAction) {
        if self.monitor.is_watched() {
            let late = self.time.now.saturating_duration_since(self.timers.instant(deadline));
            self.monitor.timer(timer, action.owner(), TimerEvent::Fired(late));
        }
        match action {
            TimerAction::Once(function) => _ = self.under_name(None, Callback::Timer, function),
            TimerAction::Named(call) => self.call_by_name(Callback::Timer, *call),
            TimerAction::Connection(key) => {
                self.forget_timer(key);
                // TLS may have failed since.
                if self.session(ConnectionId(key)).is_some_and(|it| it.connection.hears()) {
                    self.call_protocol(key, Callback::TimerFired, |protocol, transport| {
                        protocol.timer_fired(transport, timer);
                    });
                }
            }
            TimerAction::Deadline(key) => self.visit_at_deadline(key),
            TimerAction::Accept(key)
            | TimerAction::ConnectTimeout(key)
            | TimerAction::HeadStart(key)
            | TimerAction::Reconnect(key)
            | TimerAction::Datagram(key) => {
                if let Some(kind) = self.kind(key) {
                    kind.fire(self, key, timer, &action);
                }
            }
            TimerAction::Every(ticker) => {
                (ticker.tick)(self, timer, self.timers.instant(deadline), ticker);
            }
            TimerAction::Shutdown => self.shutdown_is_over(),
        }
    }

    fn tick(&mut self, timer: TimerId, deadline: Instant, mut ticker: Box<Ticker>) {
        let late = self.time.now.saturating_duration_since(deadline);
        let missed = late.as_nanos().checked_div(ticker.interval.as_nanos()).unwrap_or(0);
        let missed = u64::try_from(missed).unwrap_or(u64::MAX);
        self.time.ticking = Some(Ticking { timer, interval: ticker.interval, next: None });
        let done = self.under_name(ticker.name, Callback::Timer, |reactor| {
            (ticker.function)(reactor, Tick { timer, missed });
        });
        if done.is_none() {
            self.timers.cancel(timer);
        }
        let changed = self.time.ticking.take();
        ticker.interval = changed.map_or(ticker.interval, |changed| changed.interval);
        let next = match (changed.and_then(|changed| changed.next), ticker.interval) {
            (Some(next), _) => next,
            (None, Duration::ZERO) => self.time.now, // there is no grid
            (None, interval) => later(deadline, times(interval, missed.saturating_add(1))),
        };
        let action = TimerAction::Every(ticker);
        let owner = action.owner();
        match self.timers.put_back(timer, next, action) {
            Ok(()) => self.monitor.timer(timer, owner, TimerEvent::Set(next)),
            Err(action) => self.let_go(Subject::Reactor, action),
        }
    }
}

/// The only place where timers are set, moved and cancelled, so that each [`TimerEvent::Set`] gets its end.
impl Timers<TimerAction> {
    pub(crate) fn set(
        &mut self,
        deadline: Instant,
        action: TimerAction,
        monitor: &mut Monitor,
    ) -> TimerId {
        let owner = monitor.is_watched().then(|| action.owner());
        let timer = self.insert(deadline, action);
        if let Some(owner) = owner {
            monitor.timer(timer, owner, TimerEvent::Set(deadline));
        }
        timer
    }

    /// Cancels a timer. One that fires has had its end already.
    pub(crate) fn call_off(
        &mut self,
        timer: TimerId,
        monitor: &mut Monitor,
    ) -> Option<Option<TimerAction>> {
        let action = self.cancel(timer)?;
        if let Some(action) = &action {
            monitor.timer(timer, action.owner(), TimerEvent::Cancelled);
        }
        Some(action)
    }

    /// Moves a pending timer.
    pub(crate) fn shift(
        &mut self,
        timer: TimerId,
        deadline: Instant,
        monitor: &mut Monitor,
    ) -> bool {
        let moved = self.reset(timer, deadline);
        if let Some(action) = self.action(timer).filter(|_| moved) {
            monitor.timer(timer, action.owner(), TimerEvent::Moved(deadline));
        }
        moved
    }

    /// Cancels all timers, and returns their actions.
    pub(crate) fn call_all_off(&mut self, monitor: &mut Monitor) -> Vec<TimerAction> {
        let mut actions = Vec::new();
        for key in self.keys() {
            actions.extend(self.call_off(TimerId(key), monitor).flatten());
        }
        actions
    }
}

fn times(interval: Duration, count: u64) -> Duration {
    u32::try_from(count).ok().and_then(|count| interval.checked_mul(count)).unwrap_or_else(|| {
        Duration::from_secs_f64((interval.as_secs_f64() * count as f64).min(1e15))
    })
}
