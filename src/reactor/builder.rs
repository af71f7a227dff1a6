//! Making a reactor.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Reactor;
use super::limits::Limits;
use crate::connection::Marks;
use crate::parts::clock::Clock;
use crate::parts::random::Random;
use crate::system::poller::Poller;
use crate::system::resolver::Resolver;

/// # Making a reactor
impl Reactor {
    /// A reactor with the default limits.
    ///
    /// # Errors
    ///
    /// If the system has no descriptor for the poller or the waker (two are needed on Linux).
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Ended, Reactor};
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.run()?; // returns at once: there is nothing to wait for
    /// assert_eq!(reactor.ended(), Some(Ended::NothingLeft));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Sets limits before making the reactor.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// let reactor = Reactor::builder().read_budget(16 * 1024).build()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn builder() -> ReactorBuilder {
        ReactorBuilder::default()
    }
}

/// Makes a [`Reactor`] with limits other than the defaults.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::Reactor;
///
/// let reactor = Reactor::builder()
///     .read_buffer(16 * 1024) // one for all connections
///     .read_budget(64 * 1024) // of each connection, in one turn
///     .write_budget(64 * 1024)
///     .accept_budget(16)
///     .datagram_budget(16)
///     .call_budget(100) // of each turn
///     .write_buffer_limits(32 * 1024, 8 * 1024) // of each connection
///     .write_buffer_cap(1024 * 1024)
///     .close_timeout(Duration::from_secs(5))
///     .linger(Duration::from_secs(1))
///     .slow_callback(Some(Duration::from_millis(20)))
///     .threads(2)
///     .build()?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReactorBuilder {
    limits: Limits,
}

impl ReactorBuilder {
    /// Bytes read at once. 256 KiB by default, at least 1.
    ///
    /// One such buffer is kept per reactor; up to nine, if bytes are kept by [`share`](crate::Transport::share) or by tasks,
    /// and until 500 turns have needed no other.
    #[must_use]
    pub fn read_buffer(mut self, bytes: usize) -> Self {
        self.limits.read_buffer = bytes.max(1);
        self
    }

    /// Bytes read from one connection per turn, before other sources are served. 256 KiB by default, at
    /// least 1.
    #[must_use]
    pub fn read_budget(mut self, bytes: usize) -> Self {
        self.limits.read_budget = bytes.max(1);
        self
    }

    /// Bytes written to one connection per turn, or half of what waits for it, if that is more: a connection
    /// that many others write to keeps up with them. 256 KiB by default, at least 1.
    #[must_use]
    pub fn write_budget(mut self, bytes: usize) -> Self {
        self.limits.write_budget = bytes.max(1);
        self
    }

    /// Connections accepted by one listener per turn. 64 by default, at least 1.
    #[must_use]
    pub fn accept_budget(mut self, connections: usize) -> Self {
        self.limits.accept_budget = connections.max(1);
        self
    }

    /// Datagrams received by one socket per turn, within the read budget. 64 by default, at least 1.
    #[must_use]
    pub fn datagram_budget(mut self, datagrams: usize) -> Self {
        self.limits.datagram_budget = datagrams.max(1);
        self
    }

    /// Calls run per turn: those of [`call_soon`](Reactor::call_soon), of
    /// [`call_from_thread`](crate::Handle::call_from_thread), and what follows work in threads. More wait for
    /// the next turn, in order, while other sources are served. 1,024 by default, at least 1.
    #[must_use]
    pub fn call_budget(mut self, calls: usize) -> Self {
        self.limits.call_budget = calls.max(1);
        self
    }

    /// The water marks of new connections, in bytes: 64 KiB and 16 KiB by default.
    ///
    /// See [`Transport::set_write_buffer_limits`](crate::Transport::set_write_buffer_limits).
    #[must_use]
    pub fn write_buffer_limits(mut self, high: usize, low: usize) -> Self {
        self.limits.marks = Marks::new(high, low);
        self
    }

    /// The hard cap of a connection's outgoing buffer, in bytes: 32 MiB by default.
    ///
    /// If the last attempt to send has left more than this, the next write ends the connection with
    /// [`Reason::Overflow`](crate::Reason::Overflow). Bytes written since that attempt do not
    /// count, in one piece or in many: the peer had no time to take them. So a buffer holds at most the cap
    /// and the writes of one turn.
    #[must_use]
    pub fn write_buffer_cap(mut self, bytes: usize) -> Self {
        self.limits.write_buffer_cap = bytes;
        self
    }

    /// How long an orderly close waits for a peer that takes nothing: 30 s by default.
    ///
    /// See [`Transport::set_close_timeout`](crate::Transport::set_close_timeout).
    #[must_use]
    pub fn close_timeout(mut self, limit: Duration) -> Self {
        self.limits.closing_times.close_timeout = limit;
        self
    }

    /// How long a close waits for the peer's close, once all was sent and while nothing comes: 5 s by
    /// default, and never beyond the close timeout.
    #[must_use]
    pub fn linger(mut self, limit: Duration) -> Self {
        self.limits.closing_times.linger = limit;
        self
    }

    /// Callbacks that take longer are logged as warnings, with the peer: 100 ms by default.
    ///
    /// It is the time on the clock, so on a busy machine other programs may have taken it. `None` logs none, and
    /// saves a reading of the clock per callback.
    #[must_use]
    pub fn slow_callback(mut self, limit: Option<Duration>) -> Self {
        self.limits.slow_callback = limit;
        self
    }

    /// How many threads there may be at once for [`Reactor::call_in_thread`]: 8 by default, at
    /// least 1.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.limits.threads = threads.max(1);
        self
    }

    /// Has names looked up by `look_up` instead of the system's resolver.
    ///
    /// It is called by threads of the reactor's, and may block. It gets the name as it was given to
    /// `connect`, and returns the addresses in the order in which they are to be tried. An error or a panic
    /// of it is the failure of the attempts that wait for the name; no address at all is one too.
    ///
    /// A [`Simulation`](crate::testing::Simulation) does not call it: it knows the names given to
    /// [`set_host`](crate::testing::Simulation::set_host).
    ///
    /// Twisted's `installResolver`.
    ///
    /// # Examples
    ///
    /// Names of one's own, and the system's resolver for all others:
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
    /// use crocus::Reactor;
    ///
    /// let reactor = Reactor::builder()
    ///     .resolver(|name| match name {
    ///         "database" => Ok(vec![IpAddr::from(Ipv4Addr::LOCALHOST)]),
    ///         other => Ok((other, 0).to_socket_addrs()?.map(|addr| addr.ip()).collect()),
    ///     })
    ///     .build()?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn resolver(
        mut self,
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.limits.resolver = Resolver::Custom(Arc::new(look_up));
        self
    }

    /// Makes the reactor.
    ///
    /// # Errors
    ///
    /// As [`Reactor::new`].
    pub fn build(self) -> io::Result<Reactor> {
        let random = Random::by_chance();
        Reactor::with_poller(Poller::kernel()?, Clock::Monotonic, random, self.limits)
    }

    /// Makes a reactor over a simulated poller. It lets panics through, and its random numbers come from a
    /// seed.
    pub(crate) fn build_simulated(
        mut self,
        poller: Poller,
        clock: Clock,
        random: Random,
    ) -> io::Result<Reactor> {
        self.limits.propagate_panics = true;
        self.limits.lent_from = 1; // so that a test meets it with any message
        Reactor::with_poller(poller, clock, random, self.limits)
    }
}
