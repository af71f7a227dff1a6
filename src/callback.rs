//! The names of the callbacks into user code.

use std::fmt;

/// A callback into user code, by name.
///
/// # Examples
///
/// ```
/// # use std::time::Instant;
/// use crocus::{Callback, Notice, Observer};
///
/// #[derive(Default)]
/// struct Received {
///     calls: u64,
/// }
///
/// impl Observer for Received {
///     fn notice(&mut self, _at: Instant, notice: &Notice) {
///         if let Notice::CallbackEnd { callback: Callback::DataReceived, .. } = notice {
///             self.calls += 1;
///         }
///     }
/// }
///
/// assert_eq!(Callback::DataReceived.to_string(), "data_received");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the callback of that name")]
pub enum Callback {
    ConnectionMade,
    DataReceived,
    EofReceived,
    PauseWriting,
    ResumeWriting,
    TimerFired,
    TimedOut,
    ShuttingDown,
    ConnectionLost,
    BuildProtocol,
    Started,
    Stopped,
    ConnectionFailed,
    StartProtocol,
    DatagramReceived,
    ConnectionRefused,
    ErrorReceived,
    StopProtocol,
    /// `Factory::connection_lost`.
    ClientConnectionLost,
    /// A function given to `call_later` or `call_every` of the reactor.
    Timer,
    /// A function given to `call_soon` or `call_from_thread`, or the second one of `call_in_thread`.
    Call,
    /// A function given to `on_signal` (feature `signals`).
    Signal,
    /// A function given to `watch`.
    Watch,
    /// Code of a config of TLS, as to choose a certificate or to verify one (feature `tls`). It is no call of the
    /// reactor's: an observer hears of it only if it panics.
    TlsConfig,
    /// The `Drop` of a user's value that the reactor dropped.
    Drop,
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionMade => "connection_made",
            Self::DataReceived => "data_received",
            Self::EofReceived => "eof_received",
            Self::PauseWriting => "pause_writing",
            Self::ResumeWriting => "resume_writing",
            Self::TimerFired => "timer_fired",
            Self::TimedOut => "timed_out",
            Self::ShuttingDown => "shutting_down",
            Self::ConnectionLost => "connection_lost",
            Self::BuildProtocol => "build_protocol",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::ConnectionFailed => "connection_failed",
            Self::StartProtocol => "start_protocol",
            Self::DatagramReceived => "datagram_received",
            Self::ConnectionRefused => "connection_refused",
            Self::ErrorReceived => "error_received",
            Self::StopProtocol => "stop_protocol",
            Self::ClientConnectionLost => "Factory::connection_lost",
            Self::Timer => "a timer",
            Self::Call => "a call",
            Self::Signal => "a signal",
            Self::Watch => "the function",
            Self::TlsConfig => "the config of TLS",
            Self::Drop => "a drop",
        })
    }
}
