//! Why a connection ended, or an attempt to make one failed.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::callback::Callback;
use crate::frame_error::FrameError;

/// Why a connection ended, or why an attempt to connect failed.
///
/// It says who ended it and in which activity, and keeps the [`io::Error`] where there was one (errno
/// included). Twisted throws the errno away; asyncio reports three different ends as `None`.
///
/// A `Clone` shares the error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// This side closed: the kernel took everything that was written, then FIN.
    Closed,
    /// The peer closed first; the outgoing buffer was flushed before this side closed too.
    PeerClosed,
    /// This side called `abort_connection`.
    Aborted,
    /// Nothing was read or written for the time given to `set_timeout`, and the protocol let the
    /// connection close.
    TimedOut,
    /// This side closed, but the peer did not take the rest within the close timeout.
    CloseTimedOut {
        /// How many bytes were left in the outgoing buffer.
        unsent: usize,
    },
    /// At a write, more than the cap was waiting in the outgoing buffer.
    Overflow {
        /// How many bytes were waiting.
        unsent: usize,
    },
    /// The peer sent data that the protocol does not accept, and this side closed; see
    /// [`Transport::lose_connection_over`](crate::Transport::lose_connection_over).
    BadFrame {
        /// The error in the data.
        error: Arc<FrameError>,
    },
    /// A callback of this connection panicked.
    Panicked {
        /// The callback.
        callback: Callback,
    },
    /// The reactor stopped.
    Stopped,
    /// The operating system reported an error.
    Failed {
        /// The activity in which it happened.
        activity: Activity,
        /// The error, as the system gave it.
        error: Arc<io::Error>,
    },
    /// The attempt was cancelled.
    Cancelled,
    /// The attempt did not finish within its timeout. (A timeout of the kernel's is
    /// [`Failed`](Self::Failed) with `ErrorKind::TimedOut`.)
    ConnectTimedOut,
    /// The connection was established, but the factory built no protocol for it.
    Refused,
}

/// The activity in which the system reported an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Activity {
    /// Looking up a host name.
    Resolving,
    /// Binding the local address of an outgoing connection.
    Binding,
    /// Connecting.
    Connecting,
    /// Reading from or writing to an open connection.
    Open,
    /// Flushing the buffer, or waiting for the peer to close too.
    Closing,
    /// Receiving datagrams.
    Receiving,
}

/// The party that ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Who {
    /// This program, on purpose.
    Us,
    /// The peer.
    Peer,
    /// The reactor, to keep a limit or because of a fault on this side.
    Reactor,
    /// The operating system or the network.
    System,
}

impl Reason {
    pub(crate) fn failed(activity: Activity, error: io::Error) -> Self {
        Self::Failed { activity, error: Arc::new(error) }
    }

    /// Whether the kernel took everything that was written, and the close was orderly.
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Closed | Self::PeerClosed)
    }

    /// The party that ended the connection.
    pub fn who(&self) -> Who {
        use io::ErrorKind as Kind;
        match self {
            Self::Closed
            | Self::Aborted
            | Self::BadFrame { .. }
            | Self::Cancelled
            | Self::Refused
            | Self::Stopped => Who::Us,
            Self::PeerClosed => Who::Peer,
            Self::TimedOut
            | Self::CloseTimedOut { .. }
            | Self::ConnectTimedOut
            | Self::Overflow { .. }
            | Self::Panicked { .. } => Who::Reactor,
            Self::Failed { error, .. } => match error.kind() {
                Kind::ConnectionReset | Kind::ConnectionRefused | Kind::BrokenPipe => Who::Peer,
                _ => Who::System,
            },
        }
    }

    /// The system's error, where there was one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Failed { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::PeerClosed => f.write_str("closed by the peer"),
            Self::Aborted => f.write_str("aborted"),
            Self::TimedOut => f.write_str("idle for too long"),
            Self::CloseTimedOut { unsent } => {
                write!(f, "the peer did not take the last {unsent} bytes in time")
            }
            Self::Overflow { unsent } => {
                write!(f, "the peer does not read: {unsent} bytes were waiting for it")
            }
            Self::BadFrame { error } => write!(f, "the peer sent what it must not: {error}"),
            Self::Panicked { callback } => write!(f, "{callback} panicked"),
            Self::Stopped => f.write_str("the reactor stopped"),
            Self::Failed { activity, error } => write!(f, "{activity}: {error}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::ConnectTimedOut => f.write_str("connecting: no answer in time"),
            Self::Refused => f.write_str("the factory refused it"),
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "looking up the name",
            Self::Binding => "binding the local address",
            Self::Connecting => "connecting",
            Self::Open => "connection failed",
            Self::Closing => "failed while closing",
            Self::Receiving => "receiving datagrams",
        })
    }
}

/// For code that knows only `io::Error`.
///
/// A system error keeps its errno, and loses the activity. Every other reason, and an error without an
/// errno, becomes an error of a fitting kind with the reason inside. The kind is never `Interrupted` or
/// `WouldBlock`, on which callers try again.
impl From<&Reason> for io::Error {
    fn from(reason: &Reason) -> Self {
        use io::ErrorKind as Kind;
        if let Some(errno) = reason.io_error().and_then(Self::raw_os_error) {
            return Self::from_raw_os_error(errno);
        }
        let kind = match reason {
            Reason::PeerClosed => Kind::UnexpectedEof,
            Reason::TimedOut | Reason::CloseTimedOut { .. } | Reason::ConnectTimedOut => {
                Kind::TimedOut
            }
            Reason::BadFrame { .. } => Kind::InvalidData,
            Reason::Closed => Kind::NotConnected,
            Reason::Failed { error, .. } => error.kind(),
            Reason::Panicked { .. } => Kind::Other,
            Reason::Aborted
            | Reason::Overflow { .. }
            | Reason::Stopped
            | Reason::Cancelled
            | Reason::Refused => Kind::ConnectionAborted,
        };
        Self::new(kind, reason.clone())
    }
}

impl std::error::Error for Reason {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { error, .. } => Some(error.as_ref()),
            Self::BadFrame { error } => Some(error.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_becomes_an_error_with_its_errno() {
        let reset = io::Error::from_raw_os_error(libc::ECONNRESET);
        let error = io::Error::from(&Reason::failed(Activity::Open, reset));
        assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));

        let unknown = io::Error::new(io::ErrorKind::NotFound, "no such name");
        let error = io::Error::from(&Reason::failed(Activity::Resolving, unknown));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), "looking up the name: no such name");

        let error = io::Error::from(&Reason::CloseTimedOut { unsent: 7 });
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        assert!(matches!(inner, Some(Reason::CloseTimedOut { unsent: 7 })));
    }
}
