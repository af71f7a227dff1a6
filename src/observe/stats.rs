//! Counters, of one turn and of all.

use std::fmt;
use std::time::Duration;

/// The results of one [turn](crate::Reactor::turn).
///
/// # Examples
///
/// ```
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// simulation.reactor().call_soon(|_reactor| {});
/// let report = simulation.turn();
/// assert_eq!((report.turn, report.calls), (1, 1));
/// assert_eq!(report.to_string(), "1 calls");
/// assert!(simulation.turn().is_idle());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnReport {
    /// Which turn this was, counted from 1.
    pub turn: u64,
    /// How long it slept.
    pub slept: Duration,
    /// How many events the sleep brought.
    pub events: usize,
    /// How many timers fired.
    pub timers: usize,
    /// How many queued calls ran.
    pub calls: usize,
    /// How many sources were served. A connection's output leaves with it, unless other callbacks wrote
    /// to it too.
    pub served: usize,
    /// How many connections were flushed because other code wrote to them or gave them a command.
    pub flushed: usize,
    /// Whether the reactor has stopped: every source was notified and dropped.
    pub stopped: bool,
}

impl TurnReport {
    /// Whether nothing happened.
    pub fn is_idle(&self) -> bool {
        self.events + self.timers + self.calls + self.served + self.flushed == 0 && !self.stopped
    }
}

/// The counts that are not zero, in the order of the phases.
impl fmt::Display for TurnReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_idle() {
            return f.write_str("nothing happened");
        }
        let counts = [
            (self.events, "events"),
            (self.timers, "timers"),
            (self.served, "served"),
            (self.calls, "calls"),
            (self.flushed, "flushed"),
        ];
        let mut separator = "";
        for (count, what) in counts.into_iter().filter(|&(count, _)| count > 0) {
            write!(f, "{separator}{count} {what}")?;
            separator = ", ";
        }
        if self.stopped { write!(f, "{separator}stopped") } else { Ok(()) }
    }
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
/// simulation.reactor().listen("127.0.0.1:80", |_peer| Idle)?;
/// let mut peer = simulation.dial("127.0.0.1:80");
/// simulation.settle();
/// peer.send(b"hello");
/// simulation.settle();
///
/// let stats = simulation.reactor().stats();
/// assert_eq!((stats.accepted, stats.bytes_read, stats.closed), (1, 5, 0));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Events the poller reported.
    pub events: u64,
    /// Calls of user code.
    pub callbacks: u64,
    /// Callbacks that took longer than the limit for slow ones.
    pub slow_callbacks: u64,
    /// Callbacks that panicked.
    pub panics: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Outgoing connections that were established.
    pub connected: u64,
    /// Attempts to connect that failed.
    pub failed: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Connections that were accepted and turned away, by a listener's limits or its factory.
    pub turned_away: u64,
    /// Errors of accept: there was no descriptor, or the connection was gone.
    pub accept_errors: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes handed to the kernel.
    pub bytes_written: u64,
    /// Datagrams received; their bytes are counted with the others.
    pub datagrams_received: u64,
    /// Datagrams handed to the kernel.
    pub datagrams_sent: u64,
    /// Timers that fired.
    pub timers: u64,
    /// Queued calls that ran.
    pub calls: u64,
    /// Wake-ups by other threads.
    pub wakes: u64,
}
