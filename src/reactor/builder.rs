//! The numbers that shape a reactor's behaviour, and why these.

use std::io;
use std::time::Duration;

use super::Reactor;
use crate::connection::{Marks, Patience};
use crate::parts::clock::Clock;
use crate::system::poller::Poller;

/// Bytes read at once. The kernel hands out up to its receive buffer; 64 KiB is what one full TCP
/// window without scaling holds, and one such buffer per reactor is nothing.
const READ_BUFFER: usize = 64 * 1024;

/// Bytes read from one connection per turn: four full reads, so that a firehose gets most of its
/// speed and makes the others wait for some tens of microseconds only.
const READ_BUDGET: usize = 4 * READ_BUFFER;

/// Bytes written to one connection per turn, in one system call.
const WRITE_BUDGET: usize = 256 * 1024;

/// Connections accepted by one listener per turn. At about 10 µs each the others wait for less
/// than a millisecond, and one wasted accept and one poll are shared by 64.
const ACCEPT_BUDGET: usize = 64;

/// Datagrams received by one socket per turn, however small. Each costs a system call and a callback,
/// about as much as an accept, which has the same number.
const DATAGRAM_BUDGET: usize = 64;

/// The high-water mark: asyncio's and Twisted's number, one read buffer.
const HIGH_WATER: usize = 64 * 1024;

/// The low-water mark: a quarter, as in asyncio, so that there is something to send while the
/// protocol is woken to make more.
const LOW_WATER: usize = HIGH_WATER / 4;

/// The hard cap of one outgoing buffer: what Redis grants a subscriber that does not read.
const WRITE_BUFFER_CAP: usize = 32 * 1024 * 1024;

/// How long flushing may take after `lose_connection`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for the peer's FIN, once all is flushed, without hearing from it; nginx's
/// `lingering_timeout`.
const LINGER: Duration = Duration::from_secs(5);

/// A callback that takes longer is worth a line in the log: asyncio's `slow_callback_duration`.
const SLOW_CALLBACK: Duration = Duration::from_millis(100);

/// Threads for work that blocks. It mostly waits, for a disk or another server, so the number of
/// processors says nothing about how many; eight keep a disk busy.
const THREADS: usize = 8;

/// The numbers of one reactor.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) read_buffer: usize,
    pub(crate) read_budget: usize,
    pub(crate) write_budget: usize,
    pub(crate) accept_budget: usize,
    pub(crate) datagram_budget: usize,
    pub(crate) marks: Marks,
    pub(crate) write_buffer_cap: usize,
    pub(crate) patience: Patience,
    pub(crate) slow_callback: Option<Duration>,
    pub(crate) threads: usize,
    /// Whether a panic of user code leaves the reactor, as it does in simulations.
    pub(crate) propagate_panics: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read_buffer: READ_BUFFER,
            read_budget: READ_BUDGET,
            write_budget: WRITE_BUDGET,
            accept_budget: ACCEPT_BUDGET,
            datagram_budget: DATAGRAM_BUDGET,
            marks: Marks::new(HIGH_WATER, LOW_WATER),
            write_buffer_cap: WRITE_BUFFER_CAP,
            patience: Patience { close_timeout: CLOSE_TIMEOUT, linger: LINGER },
            slow_callback: Some(SLOW_CALLBACK),
            threads: THREADS,
            propagate_panics: false,
        }
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
///     .write_buffer_cap(1024 * 1024)
///     .close_timeout(Duration::from_secs(5))
///     .build()?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReactorBuilder {
    limits: Limits,
}

impl ReactorBuilder {
    /// Bytes read at once; one such buffer is kept per reactor. 64 KiB by default, at least 1.
    #[must_use]
    pub fn read_buffer(mut self, bytes: usize) -> Self {
        self.limits.read_buffer = bytes.max(1);
        self
    }

    /// Bytes read from one connection per turn, before the others have theirs. 256 KiB by default,
    /// at least 1.
    #[must_use]
    pub fn read_budget(mut self, bytes: usize) -> Self {
        self.limits.read_budget = bytes.max(1);
        self
    }

    /// Bytes written to one connection per turn. 256 KiB by default, at least 1.
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

    /// The water marks of new connections, in bytes: 64 KiB and 16 KiB by default. See
    /// [`Transport::set_write_buffer_limits`](crate::Transport::set_write_buffer_limits).
    #[must_use]
    pub fn write_buffer_limits(mut self, high: usize, low: usize) -> Self {
        self.limits.marks = Marks::new(high, low);
        self
    }

    /// The hard cap of a connection's outgoing buffer, in bytes: 32 MiB by default. A write that
    /// finds more than this waiting ends the connection with
    /// [`Reason::Overflow`](crate::Reason::Overflow); so a buffer holds at most the cap and one
    /// write more.
    #[must_use]
    pub fn write_buffer_cap(mut self, bytes: usize) -> Self {
        self.limits.write_buffer_cap = bytes;
        self
    }

    /// How long an orderly close may take: 30 s by default. See
    /// [`Transport::set_close_timeout`](crate::Transport::set_close_timeout).
    #[must_use]
    pub fn close_timeout(mut self, limit: Duration) -> Self {
        self.limits.patience.close_timeout = limit;
        self
    }

    /// How long a close waits for the peer's, once everything was sent, without hearing anything from
    /// it: 5 s by default, and never beyond the close timeout.
    #[must_use]
    pub fn linger(mut self, limit: Duration) -> Self {
        self.limits.patience.linger = limit;
        self
    }

    /// Callbacks that take longer are logged as warnings, with the peer: 100 ms by default. `None`
    /// logs none, and saves a reading of the clock per callback.
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

    /// Makes the reactor.
    ///
    /// # Errors
    ///
    /// As [`Reactor::new`].
    pub fn build(self) -> io::Result<Reactor> {
        self.build_on(Poller::kernel()?, Clock::Monotonic)
    }

    /// Makes a reactor over any poller; the simulated one lets panics through.
    pub(crate) fn build_simulated(mut self, poller: Poller, clock: Clock) -> io::Result<Reactor> {
        self.limits.propagate_panics = true;
        self.build_on(poller, clock)
    }

    fn build_on(self, poller: Poller, clock: Clock) -> io::Result<Reactor> {
        Reactor::with_poller(poller, clock, self.limits)
    }
}
