//! Observation of turns: observers, counters, and a log of everything.
//!
//! An [`Observer`] is told of each step of the loop and can change none of it. Without an observer
//! a step costs a branch. [`Stats`] are always counted; [`LogObserver`] logs each step through the
//! `log` crate.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::callback::Callback;
#[cfg(unix)]
use crate::ids::WatchId;
use crate::ids::{ConnectionId, ConnectorId, DatagramId, ListenerId};
#[cfg(unix)]
use crate::parts::timers::TimerId;
use crate::reason::Reason;
use crate::system::poller::Readiness;

/// The subject of an event or a callback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// The reactor itself: calls, timers that belong to no connection, wake-ups.
    Reactor,
    /// A call or a timer with a [name](crate::Reactor::with_name).
    Named(&'static str),
    /// A listening socket.
    Listener(ListenerId),
    /// A connection.
    Connection(ConnectionId),
    /// An attempt to connect.
    Connector(ConnectorId),
    /// A datagram socket.
    Datagram(DatagramId),
    /// A descriptor of the user's.
    #[cfg(unix)]
    Watch(WatchId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reactor => f.write_str("reactor"),
            Self::Named(name) => f.write_str(name),
            Self::Listener(id) => write!(f, "listener {id}"),
            Self::Connection(id) => write!(f, "connection {id}"),
            Self::Connector(id) => write!(f, "connector {id}"),
            Self::Datagram(id) => write!(f, "datagram socket {id}"),
            #[cfg(unix)]
            Self::Watch(id) => write!(f, "watch {id}"),
        }
    }
}

/// A change of a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TimerEvent {
    /// It was set, or set again, to fire at this moment.
    Set(Instant),
    /// It fires, so long after its deadline.
    Fired(Duration),
    /// It was cancelled.
    Cancelled,
}

/// Watches the steps of a turn.
///
/// Every method has an empty default. The loop calls an observer between its steps with plain
/// values and no access to the reactor, so it cannot change what it sees. It runs on the loop's
/// thread: while it works, no source is served. A panic in it is not caught, and ends the turn
/// half-way: the reactor cannot be turned any more.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::{Callback, Observer, Reactor, Subject};
///
/// struct Slowest(Duration);
///
/// impl Observer for Slowest {
///     fn callback_end(&mut self, _: Subject, _: Callback, took: Duration) {
///         self.0 = self.0.max(took);
///     }
/// }
///
/// let mut reactor = Reactor::new()?;
/// reactor.set_observer(Some(Box::new(Slowest(Duration::ZERO))));
/// # std::io::Result::Ok(())
/// ```
#[expect(unused_variables, reason = "the defaults do nothing, and the names document")]
pub trait Observer {
    /// A turn begins; turns are counted from 1.
    fn turn_begin(&mut self, turn: u64) {}

    /// The reactor goes to sleep for at most `timeout` (`None`: until something happens).
    fn sleep_begin(&mut self, timeout: Option<Duration>) {}

    /// The reactor woke up after `slept`, with this many events.
    fn sleep_end(&mut self, slept: Duration, events: usize) {}

    /// An event was latched; `subject` is `None` if the source is gone.
    fn event(&mut self, subject: Option<Subject>, readiness: Readiness) {}

    /// A callback is about to be called.
    fn callback_begin(&mut self, subject: Subject, callback: Callback) {}

    /// A callback returned (or panicked) after `took`.
    fn callback_end(&mut self, subject: Subject, callback: Callback, took: Duration) {}

    /// A connection is established; `connection_made` comes next.
    fn opened(&mut self, connection: ConnectionId, peer: &Address) {}

    /// A connection has ended.
    fn closed(&mut self, connection: ConnectionId, peer: &Address, reason: &Reason) {}

    /// Bytes were read from a connection.
    fn received(&mut self, connection: ConnectionId, bytes: usize) {}

    /// Bytes were handed to the kernel.
    fn sent(&mut self, connection: ConnectionId, bytes: usize) {}

    /// A datagram came; `datagram_received` is next.
    fn datagram_received(&mut self, socket: DatagramId, from: SocketAddr, bytes: usize) {}

    /// A datagram was handed to the kernel.
    fn datagram_sent(&mut self, socket: DatagramId, to: SocketAddr, bytes: usize) {}

    /// A timer of the user's was set, fired or was cancelled; the reactor's own are not reported.
    fn timer(&mut self, timer: TimerId, event: TimerEvent) {}

    /// Another thread woke the reactor, or the last [`Hold`](crate::Hold) was dropped.
    fn woken(&mut self) {}

    /// `pause_writing` (`high`) or `resume_writing` (not `high`) is due, with this many bytes
    /// buffered.
    fn pressure(&mut self, connection: ConnectionId, high: bool, buffered: usize) {}

    /// A listener could not accept, or (no error) its limits or its factory refused a connection.
    fn refused(&mut self, listener: ListenerId, error: Option<&io::Error>) {}

    /// A turn has ended.
    fn turn_end(&mut self, report: &TurnReport) {}
}

/// The results of one [turn](crate::Reactor::turn).
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

/// Counters since the reactor was made.
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
    /// Connections turned away by a listener's limits or its factory, and accepts that failed.
    pub refused: u64,
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

/// Logs what an observer is told through the `log` crate, with target `crocus::turn`.
///
/// Connections that open and close, pressure and refusals at debug level; every turn, event,
/// callback and timer at trace level.
#[derive(Debug, Default)]
pub struct LogObserver {
    _private: (),
}

impl LogObserver {
    /// An observer that logs.
    pub fn new() -> Self {
        Self::default()
    }
}

const TARGET: &str = "crocus::turn";

impl Observer for LogObserver {
    fn turn_begin(&mut self, turn: u64) {
        log::trace!(target: TARGET, "turn {turn}");
    }

    fn sleep_begin(&mut self, timeout: Option<Duration>) {
        match timeout {
            Some(timeout) => log::trace!(target: TARGET, "  sleep for at most {timeout:?}"),
            None => log::trace!(target: TARGET, "  sleep until something happens"),
        }
    }

    fn sleep_end(&mut self, slept: Duration, events: usize) {
        log::trace!(target: TARGET, "  woke after {slept:?} with {events} events");
    }

    fn event(&mut self, subject: Option<Subject>, readiness: Readiness) {
        match subject {
            Some(subject) => log::trace!(target: TARGET, "  latch {subject}: {readiness:?}"),
            None => log::trace!(target: TARGET, "  latch a source that is gone: {readiness:?}"),
        }
    }

    fn callback_end(&mut self, subject: Subject, callback: Callback, took: Duration) {
        log::trace!(target: TARGET, "  {subject}: {callback} took {took:?}");
    }

    fn opened(&mut self, connection: ConnectionId, peer: &Address) {
        log::debug!(target: TARGET, "connection {connection} with {peer} opened");
    }

    fn closed(&mut self, connection: ConnectionId, peer: &Address, reason: &Reason) {
        log::debug!(target: TARGET, "connection {connection} with {peer} ended: {reason}");
    }

    fn received(&mut self, connection: ConnectionId, bytes: usize) {
        log::trace!(target: TARGET, "  connection {connection}: {bytes} bytes in");
    }

    fn sent(&mut self, connection: ConnectionId, bytes: usize) {
        log::trace!(target: TARGET, "  connection {connection}: {bytes} bytes out");
    }

    fn datagram_received(&mut self, socket: DatagramId, from: SocketAddr, bytes: usize) {
        log::trace!(target: TARGET, "  datagram socket {socket}: {bytes} bytes from {from}");
    }

    fn datagram_sent(&mut self, socket: DatagramId, to: SocketAddr, bytes: usize) {
        log::trace!(target: TARGET, "  datagram socket {socket}: {bytes} bytes to {to}");
    }

    fn timer(&mut self, timer: TimerId, event: TimerEvent) {
        match event {
            TimerEvent::Set(_) => log::trace!(target: TARGET, "  timer {timer} set"),
            TimerEvent::Fired(late) => {
                log::trace!(target: TARGET, "  timer {timer}: {late:?} late");
            }
            TimerEvent::Cancelled => log::trace!(target: TARGET, "  timer {timer} cancelled"),
        }
    }

    fn woken(&mut self) {
        log::trace!(target: TARGET, "  woken by another thread");
    }

    fn pressure(&mut self, connection: ConnectionId, high: bool, buffered: usize) {
        let word = if high { "pause" } else { "resume" };
        log::debug!(target: TARGET, "connection {connection}: {word} writing at {buffered} bytes");
    }

    fn refused(&mut self, listener: ListenerId, error: Option<&io::Error>) {
        match error {
            Some(error) => {
                log::debug!(target: TARGET, "listener {listener} cannot accept: {error}");
            }
            None => log::debug!(target: TARGET, "listener {listener}: refused a connection"),
        }
    }

    fn turn_end(&mut self, report: &TurnReport) {
        log::trace!(target: TARGET, "  end of turn: {report:?}");
    }
}
