//! The notices that an observer gets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::stats::TurnReport;
use super::values::{
    Command, Origin, Outcome, Phase, Queue, Stage, Subject, TimerEvent, TimerOwner,
};
use crate::address::Address;
use crate::callback::Callback;
use crate::ids::{ConnectionId, ConnectorId, DatagramId, ListenerId};
use crate::parts::timers::TimerId;
use crate::reason::Reason;
use crate::system::poller::Readiness;

/// One thing that happened in a turn.
///
/// Owned and cheap to clone (a clone shares what is large), so that an observer can keep it. Printed as
/// one line, which [`LogObserver`](crate::LogObserver) logs.
///
/// These come in pairs, one end for each beginning:
///
/// * `TurnBegin` and `TurnEnd`; within a turn a phase ends where the next one or the turn's end begins;
/// * `CallbackBegin` and `CallbackEnd`, nested properly;
/// * `Opened` and `Gone`;
/// * `AttemptBegin` and `AttemptEnd`;
/// * [`TimerEvent::Set`] and, once for each, `Fired` or `Cancelled`.
///
/// # Examples
///
/// ```
/// use crocus::{Callback, Notice, Subject};
///
/// let notice =
///     Notice::CallbackBegin { subject: Subject::Reactor, callback: Callback::Timer };
/// assert_eq!(notice.to_string(), "reactor: a timer begins");
/// assert_eq!(notice.subject(), Some(Subject::Reactor));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A turn begins; turns are counted from 1.
    TurnBegin {
        /// The number of the turn.
        turn: u64,
    },
    /// A phase of the turn begins, and the one before it has ended.
    PhaseBegin(Phase),
    /// The sleep is over.
    Woke {
        /// How long it lasted.
        slept: Duration,
        /// How many events the poller has reported.
        events: usize,
    },
    /// Another thread woke the reactor, or the last [`Hold`](crate::Hold) was dropped.
    Woken,
    /// An event was latched.
    Event {
        /// The source that it is about; `None` if that is gone.
        subject: Option<Subject>,
        /// The readiness that the poller reports.
        readiness: Readiness,
    },
    /// A source was put into a queue, in which it was not yet.
    Queued {
        /// The source.
        subject: Subject,
        /// The queue.
        queue: Queue,
        /// Whether it has just been served and its budget is spent, so that it goes on in another turn.
        spent: bool,
    },
    /// A callback is about to be called.
    CallbackBegin {
        /// The owner of the callback.
        subject: Subject,
        /// Its name.
        callback: Callback,
    },
    /// A callback has returned or panicked. Notices of what it did came before this.
    CallbackEnd {
        /// The owner of the callback.
        subject: Subject,
        /// Its name.
        callback: Callback,
        /// How long it took.
        took: Duration,
    },
    /// A callback has panicked.
    Panicked {
        /// The owner of the callback.
        subject: Subject,
        /// Its name.
        callback: Callback,
        /// The message of the panic, on one line.
        message: Arc<str>,
    },
    /// A command was given. It notes what is wanted, and the loop carries it out.
    Command {
        /// The owner of the callback that gave it. `None`: the reactor itself, or code outside of callbacks.
        by: Option<Subject>,
        /// The source that it is given to.
        to: Subject,
        /// The command.
        command: Command,
    },
    /// A connection is there; nothing about it was told before. `connection_made` comes next, or after a PROXY
    /// header and the handshake of TLS.
    Opened {
        /// The connection.
        connection: ConnectionId,
        /// Its peer. At a listener with [PROXY protocol](crate::Listen) that is the proxy.
        peer: Address,
        /// Where it comes from.
        origin: Origin,
    },
    /// A PROXY header has said whose a connection is.
    #[cfg(feature = "proxy")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
    Identified {
        /// The connection.
        connection: ConnectionId,
        /// From here on its peer.
        peer: Address,
        /// The peer of the connection itself.
        proxy: Address,
        /// Whether the proxy has connected for itself.
        local: bool,
    },
    /// A connection has come to another stage of its life.
    Stage {
        /// The connection.
        connection: ConnectionId,
        /// The stage.
        stage: Stage,
    },
    /// A connection has ended, and its socket is closed.
    Gone {
        /// The connection.
        connection: ConnectionId,
        /// Its peer.
        peer: Address,
        /// Why it ended.
        reason: Reason,
    },
    /// Bytes were read from a connection.
    Received {
        /// The connection.
        connection: ConnectionId,
        /// How many.
        bytes: usize,
    },
    /// Bytes were handed to the kernel.
    Sent {
        /// The connection.
        connection: ConnectionId,
        /// How many.
        bytes: usize,
        /// How many are still waiting in the outgoing buffer.
        waiting: usize,
    },
    /// `pause_writing` or `resume_writing` is due, or a protocol that was paused has handed over.
    Pressure {
        /// The connection.
        connection: ConnectionId,
        /// Whether more than the high mark is waiting.
        high: bool,
        /// How many bytes are waiting in the outgoing buffer.
        waiting: usize,
    },
    /// A datagram came; `datagram_received` is next.
    DatagramReceived {
        /// The socket.
        socket: DatagramId,
        /// The sender.
        from: SocketAddr,
        /// How many bytes it has.
        bytes: usize,
    },
    /// A datagram was handed to the kernel.
    DatagramSent {
        /// The socket.
        socket: DatagramId,
        /// The recipient.
        to: SocketAddr,
        /// How many bytes it has.
        bytes: usize,
    },
    /// A timer was set, moved or cancelled, or it fires.
    Timer {
        /// The timer.
        timer: TimerId,
        /// Its use.
        owner: TimerOwner,
        /// The change.
        event: TimerEvent,
    },
    /// An address is being tried for an outgoing connection.
    AttemptBegin {
        /// The connector.
        connector: ConnectorId,
        /// The address.
        to: Address,
    },
    /// An address is not being tried any more.
    AttemptEnd {
        /// The connector.
        connector: ConnectorId,
        /// The address.
        to: Address,
        /// The result.
        outcome: Outcome,
    },
    /// No connection came of a connector's addresses; `connection_failed` is next.
    ConnectFailed {
        /// The connector.
        connector: ConnectorId,
        /// Why.
        reason: Reason,
    },
    /// A listener's limits or its factory refused a connection, or it comes from no trusted proxy.
    TurnedAway {
        /// The listener.
        listener: ListenerId,
        /// The peer.
        peer: Address,
        /// Why.
        reason: Reason,
    },
    /// A listener could not accept.
    CannotAccept {
        /// The listener.
        listener: ListenerId,
        /// The error of accept.
        error: Arc<io::Error>,
    },
    /// A turn has ended.
    TurnEnd(TurnReport),
}

impl Notice {
    /// Whether it is a mark of the turn itself.
    pub(super) fn is_of_the_turn(&self) -> bool {
        matches!(self, Self::PhaseBegin(_) | Self::Woke { .. } | Self::TurnEnd(_))
    }

    /// The source it is about; `None` for those about the turn, and about events of a source that is gone.
    ///
    /// For a timer that is the source it belongs to.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::TurnBegin { .. }
            | Self::PhaseBegin(_)
            | Self::Woke { .. }
            | Self::Woken
            | Self::TurnEnd(_) => None,
            Self::Event { subject, .. } => *subject,
            Self::Queued { subject, .. }
            | Self::CallbackBegin { subject, .. }
            | Self::CallbackEnd { subject, .. }
            | Self::Panicked { subject, .. } => Some(*subject),
            Self::Command { to, .. } => Some(*to),
            Self::Opened { connection, .. }
            | Self::Stage { connection, .. }
            | Self::Gone { connection, .. }
            | Self::Received { connection, .. }
            | Self::Sent { connection, .. }
            | Self::Pressure { connection, .. } => Some(Subject::Connection(*connection)),
            #[cfg(feature = "proxy")]
            Self::Identified { connection, .. } => Some(Subject::Connection(*connection)),
            Self::DatagramReceived { socket, .. } | Self::DatagramSent { socket, .. } => {
                Some(Subject::Datagram(*socket))
            }
            Self::Timer { owner, .. } => Some(owner.subject()),
            Self::AttemptBegin { connector, .. }
            | Self::AttemptEnd { connector, .. }
            | Self::ConnectFailed { connector, .. } => Some(Subject::Connector(*connector)),
            Self::TurnedAway { listener, .. } | Self::CannotAccept { listener, .. } => {
                Some(Subject::Listener(*listener))
            }
        }
    }
}
