//! The interface of a reactor outside its turns: the time, a handle, the counters, and the methods for a
//! host loop.

use std::fmt;
use std::time::Instant;

use super::Reactor;
use crate::handle::Handle;
use crate::observe::watcher::Watcher;
use crate::observe::{Observer, Stats};
use crate::system::simulated::SimulatedHost;

/// # Time, counters, observers, and a host loop
impl Reactor {
    /// A random number, for a wait with jitter or a choice among servers. Not for secrets.
    ///
    /// In a [`Simulation`](crate::testing::Simulation) it is drawn from the seed of that. A program that
    /// takes its random numbers from here does the same in each run of a test.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    ///
    /// let draw = |seed| Simulation::with_seed(seed).reactor().random();
    /// assert_eq!(draw(7), draw(7));
    /// assert_ne!(draw(7), draw(8));
    /// ```
    pub fn random(&mut self) -> u64 {
        self.random.next()
    }

    /// The time: this turn's inside of a turn, else the clock's.
    ///
    /// The clock is read once per turn, after the sleep, so all callbacks of a turn agree on what is due. A
    /// callback that has worked since is later than this; delays count from then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let began = simulation.reactor().now();
    /// simulation.reactor().call_later(Duration::from_secs(3), move |reactor| {
    ///     assert_eq!(reactor.now() - began, Duration::from_secs(3));
    /// });
    /// simulation.advance(Duration::from_secs(5));
    /// assert_eq!(simulation.reactor().now() - began, Duration::from_secs(5));
    /// ```
    pub fn now(&self) -> Instant {
        if self.time.in_turn { self.time.now } else { self.time.clock.now() }
    }

    /// When the reactor wants its next turn without any event: at once while something is queued, else
    /// at the next timer.
    ///
    /// `None`: only an event or another thread can give it work.
    ///
    /// For a host loop that watches the reactor's descriptor ([`AsFd`](std::os::fd::AsFd)) and calls
    /// `turn(Some(Duration::ZERO))`. Never late. May be early after a timer was moved, or very many were
    /// cancelled; and once for each timeout of a connection that bytes have put off: its timer moves only when
    /// it comes due, so that bytes cost no timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let reactor = simulation.reactor();
    /// assert_eq!(reactor.next_deadline(), None);
    /// reactor.call_later(Duration::from_secs(3), |_reactor| {});
    /// assert_eq!(reactor.next_deadline(), Some(reactor.now() + Duration::from_secs(3)));
    /// ```
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.has_queued() { Some(self.now()) } else { self.timers.next_deadline() }
    }

    /// A handle for other threads. It does not keep [`run`](Self::run) from returning; see
    /// [`hold`](Self::hold).
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Ended, Reactor};
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.call_every(std::time::Duration::from_secs(60), |_reactor, _tick| {});
    /// let handle = reactor.handle();
    /// std::thread::spawn(move || handle.stop());
    /// reactor.run()?;
    /// assert_eq!(reactor.ended(), Some(Ended::Stopped));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn handle(&self) -> Handle {
        Handle::new(&self.calls.shared)
    }

    /// Counters since the reactor was made.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Idle);
    /// peer.send(b"hello");
    /// simulation.settle();
    /// let before = simulation.reactor().stats();
    /// assert_eq!(before.bytes_read, 5);
    ///
    /// peer.send(b"!");
    /// simulation.settle();
    /// let now = simulation.reactor().stats();
    /// assert_eq!(now.bytes_read - before.bytes_read, 1);
    /// ```
    pub fn stats(&self) -> Stats {
        let (stats, moved) = (self.monitor.stats, self.memory.common.moved);
        Stats {
            bytes_read: stats.bytes_read + moved.read,
            bytes_written: stats.bytes_written + moved.written,
            ..stats
        }
    }

    /// Sets or removes the observer of the turns; returns the former one.
    ///
    /// It is told of what happens from here on, beginning with the next turn: of what is done before that,
    /// or in the rest of the present turn, it hears then. The former one is told nothing more.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    /// use std::time::Instant;
    ///
    /// use crocus::testing::Simulation;
    /// use crocus::{Notice, Observer};
    ///
    /// #[derive(Default)]
    /// struct Lines(Vec<String>);
    ///
    /// impl Observer for Lines {
    ///     fn notice(&mut self, _at: Instant, notice: &Notice) {
    ///         self.0.push(notice.to_string());
    ///     }
    /// }
    ///
    /// let lines = Rc::new(RefCell::new(Lines::default()));
    /// let mut simulation = Simulation::new();
    /// simulation.reactor().set_observer(Some(Box::new(Rc::clone(&lines))));
    /// simulation.turn();
    /// assert_eq!(lines.borrow().0[0], "turn 1");
    /// ```
    pub fn set_observer(
        &mut self,
        observer: Option<Box<dyn Observer>>,
    ) -> Option<Box<dyn Observer>> {
        let clock = &self.time.clock;
        let next = observer.map(|observer| Box::new(Watcher::new(observer, clock.clone())));
        let former = std::mem::replace(&mut self.monitor.watcher, next);
        former.map(|watcher| watcher.observer)
    }

    /// The host that stands in for the kernel; `None` in a real reactor.
    pub(crate) fn simulated(&self) -> Option<&dyn SimulatedHost> {
        self.poller.host()
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Reactor {
    /// The poller's descriptor: readable when a turn has events to latch.
    ///
    /// # Panics
    ///
    /// In a simulated reactor, which has none.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.poller.registry().expect("a simulated reactor has no descriptor").as_fd()
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.let_go_of_observer(); // it hears nothing of what follows
            self.let_go_of_all();
        } else {
            self.monitor.begin_turn();
            self.tear_down();
            self.let_go_of_all();
            self.monitor.end_turn();
            self.let_go_of_observer();
        }
        self.let_panic_through();
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("sources", &self.sources.len())
            .field("timers", &self.timers.len())
            .field("queued", &self.has_queued())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
