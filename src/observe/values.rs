//! The values in notices.

use std::time::{Duration, Instant};

use crate::address::{Address, Endpoint};
#[cfg(unix)]
use crate::ids::WatchId;
use crate::ids::{ConnectionId, ConnectorId, DatagramId, ListenerId};
use crate::reason::Reason;

/// The subject of an event or a callback.
///
/// # Examples
///
/// ```
/// use crocus::Subject;
///
/// assert_eq!(Subject::Reactor.to_string(), "reactor");
/// assert_eq!(Subject::Named("cache").to_string(), "cache");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// The reactor itself: calls, timers that belong to no connection, signals.
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

/// A phase of a [turn](crate::Reactor::turn).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::Phase;
///
/// let looking = Phase::Sleep { timeout: Some(Duration::ZERO) };
/// assert_eq!(looking.to_string(), "look without sleeping");
/// assert_eq!(Phase::Serve.to_string(), "serve");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting until something is ready.
    Sleep {
        /// For how long at most; `None`: until something happens.
        timeout: Option<Duration>,
    },
    /// Recording the events in their sources.
    Latch,
    /// Firing the timers that are due.
    Timers,
    /// Serving the sources that are in the run queue.
    Serve,
    /// Running the queued calls.
    Calls,
    /// Flushing the connections that are in the flush queue.
    Flush,
    /// Giving the last notices, because the reactor stops.
    Stop,
}

/// A queue in which a source waits, and from which it is visited.
///
/// # Examples
///
/// ```
/// use crocus::{Notice, Queue};
///
/// /// Whether a source has to wait for its next turn, because its budget is spent.
/// fn waits_its_turn(notice: &Notice) -> bool {
///     matches!(notice, Notice::Queued { queue: Queue::Run, spent: true, .. })
/// }
///
/// assert!(!waits_its_turn(&Notice::Woken));
/// assert_eq!(Queue::Run.to_string(), "run");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Queue {
    /// To be served: to read, and to write what its own callbacks have written. If other callbacks have
    /// written too, everything waits for the flush phase, to leave together.
    Run,
    /// To be flushed: other callbacks have written to it, or given it a command. It is not read.
    Flush,
}

/// A command, by the name of its method.
///
/// # Examples
///
/// ```
/// use crocus::{Command, Notice};
///
/// /// How many bytes a notice says were written by callbacks.
/// fn written(notice: &Notice) -> usize {
///     match notice {
///         Notice::Command { command: Command::Write { bytes }, .. } => *bytes,
///         _ => 0,
///     }
/// }
///
/// assert_eq!(written(&Notice::Woken), 0);
/// assert_eq!(Command::Write { bytes: 5 }.to_string(), "write 5 bytes");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// `Transport::write`, or `write_owned`
    Write {
        /// How many bytes.
        bytes: usize,
    },
    /// `Transport::send_file`
    #[cfg(feature = "sendfile")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sendfile")))]
    SendFile {
        /// How many bytes of it.
        bytes: u64,
    },
    /// `Transport::unread`
    Unread {
        /// How many bytes.
        bytes: usize,
    },
    /// `Transport::lose_connection`
    LoseConnection,
    /// `Transport::lose_write_connection`
    LoseWriteConnection,
    /// `Transport::abort_connection`
    AbortConnection,
    /// `Transport::pause_reading`
    PauseReading,
    /// `Transport::resume_reading`
    ResumeReading,
    /// `Transport::set_protocol`
    SetProtocol,
    /// `Transport::start_tls`
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    StartTls,
    /// `Transport::set_timeout`
    SetTimeout(Option<Duration>),
    /// `Transport::set_close_timeout`
    SetCloseTimeout(Duration),
    /// `Transport::set_read_rate`
    SetReadRate,
    /// `Transport::set_write_rate`
    SetWriteRate,
    /// `Transport::set_write_buffer_limits`
    SetWriteBufferLimits {
        /// The high mark, in bytes.
        high: usize,
        /// The low mark, in bytes.
        low: usize,
    },
    /// `Reactor::listen`, or `Reactor::listen_udp`
    Listen(Address),
    /// `Reactor::stop_listening`, or the same of a datagram socket
    StopListening,
    /// `Reactor::pause_accepting`
    PauseAccepting,
    /// `Reactor::resume_accepting`
    ResumeAccepting,
    /// `Reactor::connect`, or `Connector::connect_after`
    Connect(Endpoint),
    /// `Reactor::cancel_connect`
    CancelConnect,
    /// `Reactor::disconnect`
    Disconnect,
    /// `Reactor::watch`
    Watch,
    /// `Reactor::unwatch`
    Unwatch,
    /// `Reactor::stop`
    Stop,
    /// `Reactor::shutdown`
    Shutdown {
        /// How long it waits.
        grace: Duration,
    },
}

/// Where a connection comes from.
///
/// # Examples
///
/// ```
/// use crocus::{Notice, Origin};
///
/// fn is_a_client(notice: &Notice) -> bool {
///     matches!(notice, Notice::Opened { origin: Origin::Accepted(_), .. })
/// }
///
/// assert!(!is_a_client(&Notice::Woken));
/// assert_eq!(Origin::Adopted.to_string(), "adopted");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Origin {
    /// A listener has accepted it.
    Accepted(ListenerId),
    /// A connector has made it.
    Connected(ConnectorId),
    /// It was connected already when the reactor got it.
    Adopted,
}

/// A stage in the life of a connection.
///
/// Not each has all of them: one that is closed by its socket's close sends FIN with that, and one whose peer
/// has closed too does not linger.
///
/// # Examples
///
/// ```
/// # use std::cell::RefCell;
/// # use std::rc::Rc;
/// # use std::time::Instant;
/// # use crocus::testing::Simulation;
/// # use crocus::{Notice, Observer, Protocol, Stage};
/// # struct Idle;
/// # impl Protocol for Idle {}
/// #[derive(Default)]
/// struct Stages(Vec<Stage>);
///
/// impl Observer for Stages {
///     fn notice(&mut self, _at: Instant, notice: &Notice) {
///         if let Notice::Stage { stage, .. } = notice {
///             self.0.push(*stage);
///         }
///     }
/// }
///
/// let stages = Rc::new(RefCell::new(Stages::default()));
/// let mut simulation = Simulation::new();
/// simulation.reactor().set_observer(Some(Box::new(Rc::clone(&stages))));
/// let mut peer = simulation.connect(Idle);
/// peer.close_write();
/// simulation.settle();
/// assert_eq!(stages.borrow().0[0], Stage::FinReceived);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// The peer's FIN was read.
    FinReceived,
    /// FIN was sent behind the last byte.
    FinSent,
    /// Another protocol takes over; its `connection_made` is next.
    HandedOver,
    /// The handshake of TLS is over: from here on bytes are encrypted.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    Encrypted,
    /// It closes in order: nothing more is delivered, and what waits is being sent.
    Closing,
    /// All is sent; it waits for the peer to close too.
    Lingering,
}

/// A change of a timer.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::TimerEvent;
///
/// let late = TimerEvent::Fired(Duration::from_millis(3));
/// assert_eq!(late.to_string(), "fires, 3ms late");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TimerEvent {
    /// It was set to fire at this moment. A timer of `call_every` is set anew after each tick.
    Set(Instant),
    /// It was moved while it was set, and fires at this moment instead.
    Moved(Instant),
    /// It fires, so long after its deadline, and is not set any more.
    Fired(Duration),
    /// It was cancelled while it was set: by a command, or because its owner has ended.
    Cancelled,
}

/// The use of a timer.
///
/// # Examples
///
/// ```
/// use crocus::{Subject, TimerOwner};
///
/// assert_eq!(TimerOwner::Shutdown.to_string(), "for the end of the shutdown");
/// assert_eq!(TimerOwner::Named("cache").subject(), Subject::Named("cache"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimerOwner {
    /// `call_later` or `call_every` of the reactor.
    Reactor,
    /// The same, with a [name](crate::Reactor::with_name).
    Named(&'static str),
    /// `Transport::call_later`.
    Connection(ConnectionId),
    /// `DatagramTransport::call_later`.
    Datagram(DatagramId),
    /// A deadline of a connection: its timeout, the end of closing or lingering, a rate. It is moved when it
    /// fires, so it may fire early and be set again.
    Deadline(ConnectionId),
    /// A listener that could not accept tries again.
    Accept(ListenerId),
    /// The timeout of a connector.
    ConnectTimeout(ConnectorId),
    /// The head start of an address over the next one, or the wait for a busy one.
    HeadStart(ConnectorId),
    /// A connector tries again.
    Reconnect(ConnectorId),
    /// The grace of a shutdown.
    Shutdown,
}

impl TimerOwner {
    /// The source that the timer belongs to.
    pub fn subject(self) -> Subject {
        match self {
            Self::Reactor | Self::Shutdown => Subject::Reactor,
            Self::Named(name) => Subject::Named(name),
            Self::Connection(id) | Self::Deadline(id) => Subject::Connection(id),
            Self::Datagram(id) => Subject::Datagram(id),
            Self::Accept(id) => Subject::Listener(id),
            Self::ConnectTimeout(id) | Self::HeadStart(id) | Self::Reconnect(id) => {
                Subject::Connector(id)
            }
        }
    }
}

/// The result of trying an address.
///
/// # Examples
///
/// ```
/// use crocus::{Outcome, Reason};
///
/// let outcome = Outcome::Failed(Reason::ConnectTimedOut);
/// assert_eq!(outcome.to_string(), "failed: connecting: no answer in time");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The connection is established; it gets this name, unless the factory refuses it.
    Connected(ConnectionId),
    /// It failed.
    Failed(Reason),
    /// It was given up: another address was faster, the time was over, or it was cancelled.
    GivenUp,
}
