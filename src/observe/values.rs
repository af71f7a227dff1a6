//! The values in notices.

use std::time::{Duration, Instant};

use crate::address::{Address, Endpoint};
#[cfg(unix)]
use crate::ids::WatchId;
use crate::ids::{ConnectionId, ConnectorId, DatagramId, ListenerId};
use crate::reason::Reason;

/// The subject of an event or a callback.
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Queue {
    /// To be served: to read, and to write what its own callbacks have written. If other callbacks have
    /// written too, everything waits for the flush phase, to leave together.
    Run,
    /// To be flushed: other callbacks have written to it, or given it a command. It is not read.
    Flush,
}

/// A command, by the name of its method.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// `Transport::write`
    Write {
        /// How many bytes.
        bytes: usize,
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
    /// `Reactor::listen` and its relatives
    Listen(Address),
    /// `Reactor::stop_listening`, or the same of a datagram socket
    StopListening,
    /// `Reactor::pause_accepting`
    PauseAccepting,
    /// `Reactor::resume_accepting`
    ResumeAccepting,
    /// `Reactor::connect` and its relatives, or `Connector::connect_after`
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// The peer's FIN was read.
    FinReceived,
    /// FIN was sent behind the last byte.
    FinSent,
    /// Another protocol takes over; its `connection_made` is next.
    HandedOver,
    /// It closes in order: nothing more is delivered, and what waits is being sent.
    Closing,
    /// All is sent; it waits for the peer to close too.
    Lingering,
}

/// A change of a timer.
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

/// What a timer is for.
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
