//! Why a connection ended, or an attempt to make one failed.

mod activity;

pub use activity::Activity;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::callback::Callback;
use crate::parts::one_line::OneLine;
#[cfg(feature = "proxy")]
use crate::proxy::{self, ProxyError};
#[cfg(feature = "tls")]
use crate::tls::{Fault, TlsError};

/// Why a connection ended, or why an attempt to connect failed.
///
/// It says who ended it and in which activity, and keeps the [`io::Error`] where there was one (errno
/// included). Twisted throws the errno away; asyncio reports three different ends as `None`.
///
/// A `Clone` shares the error. [`Display`](fmt::Display) is one line: control characters in the text of an
/// error are escaped, since one of the program's own may quote the peer.
///
/// # Examples
///
/// ```
/// # use crocus::testing::Simulation;
/// use crocus::{Protocol, Reason, Transport};
///
/// struct Session;
///
/// impl Protocol for Session {
///     fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
///         match reason {
///             Reason::Closed | Reason::PeerClosed => println!("in order"),
///             Reason::Failed { activity, error } => println!("{activity}: {error}"),
///             other => println!("{other}"), // each has a text
///         }
///     }
/// }
///
/// # let mut simulation = Simulation::new();
/// let peer = simulation.connect(Session);
/// simulation.settle();
/// peer.reset(); // prints: connection failed: Connection reset by peer (os error 104)
/// simulation.settle();
/// # assert_eq!(simulation.reactor().stats().closed, 1);
/// assert_eq!(Reason::TimedOut.to_string(), "idle for too long");
/// ```
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
    /// The protocol closed for a reason of its own, mostly since the peer sent what it must not; see
    /// [`Transport::lose_connection_because`](crate::Transport::lose_connection_because).
    Protocol {
        /// The error that the protocol gave; boxed, so that a reason stays small.
        error: Arc<Box<dyn Error + Send + Sync>>,
    },
    /// A callback of this connection panicked, or code of its config of TLS.
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
    /// TLS failed: in the handshake, by a peer that broke a rule, or by an end that the peer did not
    /// announce.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    Tls {
        /// The fault, the phase and the peer.
        error: Arc<TlsError>,
    },
    /// There was no PROXY header of a trusted proxy, so that it is not known whose the connection was.
    #[cfg(feature = "proxy")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
    Proxy {
        /// The fault, and the peer of the connection itself.
        error: Arc<ProxyError>,
    },
    /// The peer had as many connections already as the listener
    /// [allows](crate::Listen::max_connections_per_peer).
    PeerLimit,
    /// The attempt was cancelled.
    Cancelled,
    /// The attempt did not finish within its timeout. (A timeout of the kernel's is
    /// [`Failed`](Self::Failed) with `ErrorKind::TimedOut`.)
    ConnectTimedOut,
    /// The connection was established, but the factory built no protocol for it.
    Refused,
}

/// The party that ended a connection. There are no others, so a `match` need not expect more.
///
/// # Examples
///
/// ```
/// use crocus::{Reason, Who};
///
/// fn blame(reason: &Reason) -> &'static str {
///     match reason.who() {
///         Who::Us => "this program",
///         Who::Peer => "the peer",
///         Who::Reactor => "a limit, or a bug here",
///         Who::System => "the system",
///     }
/// }
///
/// assert_eq!(blame(&Reason::PeerClosed), "the peer");
/// assert_eq!(blame(&Reason::TimedOut), "a limit, or a bug here");
/// ```
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

    /// As [`failed`](Self::failed), but an error of TLS is one, in whichever way it came.
    pub(crate) fn of_failure(activity: Activity, error: Arc<io::Error>) -> Self {
        #[cfg(feature = "tls")]
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
            return Self::Tls { error: Arc::new(error.clone()) };
        }
        Self::Failed { activity, error }
    }

    /// Code of a config of TLS panicked.
    pub(crate) fn config_panicked() -> Self {
        Self::Panicked { callback: Callback::TlsConfig }
    }

    /// A reason of the protocol's own, from a text or any error.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reason;
    ///
    /// let reason = Reason::protocol("the quota is used up");
    /// assert_eq!(reason.to_string(), "closed: the quota is used up");
    ///
    /// let parsed: Result<u16, _> = "many".parse();
    /// let reason = Reason::protocol(parsed.unwrap_err());
    /// assert!(reason.protocol_error::<std::num::ParseIntError>().is_some());
    /// ```
    pub fn protocol(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Protocol { error: Arc::new(error.into()) }
    }

    /// The error of the protocol's own, if it is an `E`: a [`FrameError`](crate::framing::FrameError) if the
    /// bytes were not a frame.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reason;
    /// use crocus::framing::FrameError;
    ///
    /// let reason = Reason::protocol(FrameError::TooLong { limit: 80 });
    /// assert_eq!(reason.protocol_error(), Some(&FrameError::TooLong { limit: 80 }));
    /// assert_eq!(Reason::Closed.protocol_error::<FrameError>(), None);
    /// ```
    pub fn protocol_error<E: Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Protocol { error } => error.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the kernel took everything that was written, and the close was orderly.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reason;
    ///
    /// assert!(Reason::Closed.is_clean());
    /// assert!(!Reason::CloseTimedOut { unsent: 5 }.is_clean());
    /// ```
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Closed | Self::PeerClosed)
    }

    /// The party that ended the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Reason, Who};
    ///
    /// assert_eq!(Reason::Aborted.who(), Who::Us);
    /// assert_eq!(Reason::PeerClosed.who(), Who::Peer);
    /// ```
    pub fn who(&self) -> Who {
        use io::ErrorKind as Kind;
        match self {
            Self::Closed
            | Self::Aborted
            | Self::Protocol { .. }
            | Self::Cancelled
            | Self::Refused
            | Self::Stopped => Who::Us,
            Self::PeerClosed => Who::Peer,
            Self::TimedOut
            | Self::CloseTimedOut { .. }
            | Self::ConnectTimedOut
            | Self::Overflow { .. }
            | Self::PeerLimit
            | Self::Panicked { .. } => Who::Reactor,
            #[cfg(feature = "proxy")]
            Self::Proxy { error } => match error.fault() {
                proxy::Fault::Untrusted | proxy::Fault::TimedOut => Who::Reactor,
                _ => Who::Peer,
            },
            #[cfg(feature = "tls")]
            Self::Tls { error } => match error.fault() {
                // A config that cannot work, or keys that are used up: rustls has no other name for a fault on this side.
                Fault::Tls(rustls::Error::General(_)) | Fault::TimedOut => Who::Reactor,
                Fault::Tls(_) | Fault::Truncated => Who::Peer,
            },
            Self::Failed { error, .. } => match error.kind() {
                Kind::ConnectionReset | Kind::ConnectionRefused | Kind::BrokenPipe => Who::Peer,
                _ => Who::System,
            },
        }
    }

    /// The system's error, where there was one; also if the protocol closed because of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use crocus::Reason;
    ///
    /// let reason = Reason::protocol(io::Error::other("the disk is full"));
    /// assert_eq!(reason.io_error().unwrap().to_string(), "the disk is full");
    /// assert!(Reason::PeerClosed.io_error().is_none());
    /// ```
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::Protocol { error } => error.downcast_ref(),
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
                write!(f, "the peer does not keep up: {unsent} bytes were waiting for it")
            }
            Self::Protocol { error } => write!(f, "closed: {}", OneLine(error)),
            Self::Panicked { callback } => write!(f, "{callback} panicked"),
            Self::Stopped => f.write_str("the reactor stopped"),
            Self::Failed { activity, error } => write!(f, "{activity}: {}", OneLine(error)),
            #[cfg(feature = "tls")]
            Self::Tls { error } => write!(f, "{}", OneLine(error)),
            #[cfg(feature = "proxy")]
            Self::Proxy { error } => error.fmt(f),
            Self::PeerLimit => f.write_str("its peer has as many connections as it may"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::ConnectTimedOut => f.write_str("connecting: no answer in time"),
            Self::Refused => f.write_str("the factory refused it"),
        }
    }
}

/// For code that knows only `io::Error`.
///
/// A system error keeps its errno, and loses the activity. Every other reason, and an error without an
/// errno, becomes an error of a fitting kind with the reason inside: `TimedOut` for a connection, a close or an
/// attempt that took too long, `UnexpectedEof` if the peer closed, `NotConnected` if this side did, `InvalidData`
/// for a protocol's own, `ConnectionAborted` for most others. The kind is never `Interrupted` or
/// `WouldBlock`, on which callers try again.
impl From<&Reason> for io::Error {
    fn from(reason: &Reason) -> Self {
        use io::ErrorKind as Kind;
        let again = |error: &&Self| matches!(error.kind(), Kind::Interrupted | Kind::WouldBlock);
        let system = reason.io_error().filter(|error| !again(error));
        if let Some(errno) = system.and_then(Self::raw_os_error) {
            return Self::from_raw_os_error(errno);
        }
        let kind = match reason {
            _ if system.is_some() => system.map_or(Kind::Other, Self::kind),
            Reason::PeerClosed => Kind::UnexpectedEof,
            Reason::TimedOut | Reason::CloseTimedOut { .. } | Reason::ConnectTimedOut => {
                Kind::TimedOut
            }
            Reason::Protocol { .. } => Kind::InvalidData,
            #[cfg(feature = "tls")]
            Reason::Tls { error } => match error.fault() {
                Fault::Tls(_) => Kind::InvalidData,
                Fault::Truncated => Kind::UnexpectedEof,
                Fault::TimedOut => Kind::TimedOut,
            },
            #[cfg(feature = "proxy")]
            Reason::Proxy { error } => match error.fault() {
                proxy::Fault::Untrusted => Kind::PermissionDenied,
                proxy::Fault::Truncated => Kind::UnexpectedEof,
                proxy::Fault::TimedOut => Kind::TimedOut,
                _ => Kind::InvalidData,
            },
            Reason::Closed => Kind::NotConnected,
            Reason::Failed { .. } | Reason::Panicked { .. } => Kind::Other,
            Reason::Aborted
            | Reason::Overflow { .. }
            | Reason::Stopped
            | Reason::PeerLimit
            | Reason::Cancelled
            | Reason::Refused => Kind::ConnectionAborted,
        };
        Self::new(kind, reason.clone())
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed { error, .. } => Some(error.as_ref()),
            Self::Protocol { error } => Some(&***error),
            #[cfg(feature = "tls")]
            Self::Tls { error } => Some(error.as_ref()),
            #[cfg(feature = "proxy")]
            Self::Proxy { error } => Some(error.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// rustls has no other name for them: a config that cannot work, keys that are used up.
    #[cfg(feature = "tls")]
    #[test]
    fn a_config_that_cannot_work_is_not_the_peers_fault() {
        use crate::tls::Phase;
        let who = |error| {
            let peer = crate::Address::Tcp(([127, 0, 0, 1], 443).into());
            let error = TlsError::new(Phase::Handshake, Fault::Tls(error), peer);
            Reason::Tls { error: error.into() }.who()
        };
        let ours = rustls::Error::General("no server certificate chain resolved".to_owned());
        assert_eq!(who(ours), Who::Reactor);
        assert_eq!(who(rustls::Error::DecryptError), Who::Peer);
        let too_long = rustls::Error::from(rustls::InvalidMessage::MessageTooLarge);
        assert_eq!(who(too_long), Who::Peer);
    }

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

    #[test]
    fn a_reason_of_its_own_keeps_its_error_and_stays_on_one_line() {
        let frame = crate::framing::FrameError::TooLong { limit: 5 };
        let reason = Reason::protocol(frame.clone());
        assert_eq!(reason.protocol_error(), Some(&frame));
        assert!(reason.protocol_error::<io::Error>().is_none() && reason.io_error().is_none());
        assert_eq!(reason.who(), Who::Us);
        assert!(!reason.is_clean());
        let source = reason.source().map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("a frame of more than 5 bytes"));
        assert_eq!(io::Error::from(&reason).kind(), io::ErrorKind::InvalidData);

        let text = Reason::protocol("unknown user \"a\nWARN b\"").to_string();
        assert_eq!(text, r#"closed: unknown user "a\nWARN b""#);
    }

    #[test]
    fn a_system_error_of_the_protocols_own_keeps_its_errno() {
        let full = Reason::protocol(io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(io::Error::from(&full).raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(full.io_error().and_then(io::Error::raw_os_error), Some(libc::ENOSPC));

        let again = Reason::protocol(io::Error::from_raw_os_error(libc::EAGAIN));
        assert_eq!(
            io::Error::from(&again).kind(),
            io::ErrorKind::InvalidData,
            "nobody tries again"
        );
    }
}
