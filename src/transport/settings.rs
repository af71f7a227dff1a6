//! The settings of one connection: timeouts, water marks, rates; and its timers.

use std::time::Duration;

use super::Transport;
use crate::connection::{Direction, Marks};
use crate::parts::timers::TimerId;
use crate::parts::token_bucket::Rate;

/// # Time limits, timers, water marks
impl Transport<'_> {
    /// Calls the protocol's `timed_out` once the peer has sent nothing and taken nothing for `limit`; `None`
    /// turns it off.
    ///
    /// Returns the former setting. The time counts from this call, and from the end of each callback that
    /// had input or wrote output. Before `timed_out` the socket is asked once more: what came while other
    /// callbacks worked counts, and so does what came while reading is paused.
    ///
    /// *Not* promised: that every byte a slow peer takes is seen. As long as bytes wait in the outgoing
    /// buffer, an attempt to send shows whether the kernel got rid of some. Nobody sees the last bytes leave
    /// the kernel: up to 128 KiB on Linux, and what the peer's window holds. Measured on the loopback
    /// interface: at 150 kB/s at most 1.6 s without a sign of life, at 20 kB/s 10 s, at 5 kB/s 26 s.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::{End, Simulation};
    /// # use crocus::{Protocol, Transport};
    /// struct Impatient;
    ///
    /// impl Protocol for Impatient {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.set_timeout(Some(Duration::from_secs(10)));
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Impatient);
    /// simulation.advance(Duration::from_secs(9));
    /// peer.send(b"I am here"); // ten seconds more
    /// simulation.advance(Duration::from_secs(9));
    /// assert_eq!(peer.end(), None);
    /// simulation.advance(Duration::from_secs(1));
    /// assert_eq!(peer.end(), Some(End::Closed));
    /// ```
    pub fn set_timeout(&mut self, limit: Option<Duration>) -> Option<Duration> {
        self.reactor.set_timeout(self.id, limit)
    }

    /// Calls the protocol's `timer_fired` after `delay`, unless the connection is closed or
    /// [handed over](Self::set_protocol) before.
    ///
    /// The timer is [cancelled](crate::Reactor::cancel_timer) and
    /// [reset](crate::Reactor::reset_timer) like any other.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, TimerId, Transport};
    /// struct Delayed;
    ///
    /// impl Protocol for Delayed {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.call_later(Duration::from_secs(2));
    ///     }
    ///
    ///     fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
    ///         transport.write(b"two seconds later");
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Delayed);
    /// simulation.advance(Duration::from_secs(1));
    /// assert_eq!(peer.received(), b"");
    /// simulation.advance(Duration::from_secs(1));
    /// assert_eq!(peer.received(), b"two seconds later");
    /// ```
    pub fn call_later(&mut self, delay: Duration) -> TimerId {
        self.reactor.connection_timer(self.id, delay)
    }

    /// Sets the water marks, in bytes waiting to be sent: above `high` comes `pause_writing`, and at or
    /// below `low` `resume_writing`.
    ///
    /// A `low` above `high` is taken for `high`.
    ///
    /// The flush phase checks the high mark before it sends, the low mark after. So a protocol that
    /// writes until [`buffered`](Self::buffered) is above `high`, and goes on in `resume_writing`, is
    /// always called again, also when the kernel takes everything at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// /// Sends a million bytes, and keeps few of them in memory.
    /// struct Source {
    ///     left: usize,
    /// }
    ///
    /// impl Protocol for Source {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.set_write_buffer_limits(4096, 1024);
    ///         self.resume_writing(transport);
    ///     }
    ///
    ///     fn resume_writing(&mut self, transport: &mut Transport) {
    ///         let (high, _low) = transport.write_buffer_limits();
    ///         while self.left > 0 && transport.buffered() <= high {
    ///             transport.write(&[b'x'; 1000]);
    ///             self.left -= 1000;
    ///         }
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Source { left: 1_000_000 });
    /// let mut received = 0;
    /// while received < 1_000_000 {
    ///     simulation.settle();
    ///     received += peer.received().len();
    /// }
    /// ```
    pub fn set_write_buffer_limits(&mut self, high: usize, low: usize) {
        self.reactor.set_marks(self.id, Marks::new(high, low));
    }

    /// The water marks that were [set](Self::set_write_buffer_limits), high and low, in bytes: asyncio's
    /// `get_write_buffer_limits`, in the opposite order.
    pub fn write_buffer_limits(&self) -> (usize, usize) {
        self.connection().map_or((0, 0), |connection| connection.marks())
    }

    /// Sets how many bytes per second are read at most; `None` sets no limit.
    ///
    /// Returns the former setting. The bucket is full at first; when a rate follows another, what is in the
    /// bucket stays, as far as there is room.
    ///
    /// When the bucket is empty the connection is not read until it has filled again, and costs nothing
    /// while it waits; TCP stops the peer once the kernel's buffers are full. Bytes discarded after
    /// `lose_connection` are not counted, and the end of a connection is not delayed: an error is
    /// noticed at once, an orderly end behind the last bytes.
    ///
    /// *Not* promised: that the rate is reached, nor that the peer sends more slowly. A timeout set by
    /// [`set_timeout`](Self::set_timeout) includes the time of waiting. Bytes that the kernel adds, and
    /// those in its buffers, are not counted.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Rate, Transport};
    /// struct Slow;
    ///
    /// impl Protocol for Slow {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.set_read_rate(Some(Rate::per_second(1000).burst(1000)));
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Slow);
    /// peer.send(&[0; 3000]);
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().stats().bytes_read, 1000); // the burst
    /// simulation.advance(Duration::from_secs(2));
    /// assert_eq!(simulation.reactor().stats().bytes_read, 3000);
    /// ```
    pub fn set_read_rate(&mut self, rate: Option<Rate>) -> Option<Rate> {
        self.reactor.set_rate(self.id, Direction::Reading, rate)
    }

    /// Sets how many bytes per second are written at most; `None` sets no limit.
    ///
    /// Returns the former setting. The bucket is full at first, as for
    /// [reading](Self::set_read_rate).
    ///
    /// Unwritten bytes wait in memory as for a slow peer: `pause_writing` comes above the high mark, and
    /// the connection ends at the cap. Closing is throttled too. Its
    /// [deadline](Self::set_close_timeout) must be longer than the bucket takes for a portion.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Rate, Transport};
    /// struct Slow;
    ///
    /// impl Protocol for Slow {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.set_write_rate(Some(Rate::per_second(1000).burst(1000)));
    ///         transport.write(&[0; 3000]);
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Slow);
    /// simulation.settle();
    /// assert_eq!(peer.received().len(), 1000); // the burst
    /// simulation.advance(Duration::from_secs(2));
    /// assert_eq!(peer.received().len(), 2000);
    /// ```
    pub fn set_write_rate(&mut self, rate: Option<Rate>) -> Option<Rate> {
        self.reactor.set_rate(self.id, Direction::Writing, rate)
    }

    /// Sets how long an orderly close waits while the peer takes nothing, and then for the peer's own close,
    /// before the connection is cut; 30 s by default. A peer that takes bytes steadily gets all of them.
    ///
    /// If the connection is closing already, the time counts from this call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Reason, Transport};
    /// struct Hasty;
    ///
    /// impl Protocol for Hasty {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.set_close_timeout(Duration::from_secs(2));
    ///         transport.write(&[0; 1_000_000]); // more than the peer's window has room for
    ///         transport.lose_connection();
    ///     }
    ///
    ///     fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
    ///         assert!(matches!(reason, Reason::CloseTimedOut { .. }));
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let peer_that_does_not_read = simulation.connect(Hasty);
    /// simulation.advance(Duration::from_secs(2));
    /// assert!(simulation.reactor().connections().is_empty());
    /// ```
    pub fn set_close_timeout(&mut self, limit: Duration) {
        self.reactor.set_close_timeout(self.id, limit);
    }
}
