//! Why TLS failed.

use std::error::Error;
use std::fmt;

use rustls::{Error as RustlsError, InvalidMessage};

use crate::address::Address;

/// Why TLS ended a connection: what failed, in which phase, and with whom.
///
/// # Examples
///
/// ```
/// use crocus::Reason;
/// use crocus::tls::{Fault, Phase};
///
/// /// Whether the peer presents a certificate that we do not trust.
/// fn is_untrusted(reason: &Reason) -> bool {
///     use crocus::tls::rustls::Error::InvalidCertificate;
///     match reason {
///         Reason::Tls { error } => {
///             error.phase() == Phase::Handshake
///                 && matches!(error.fault(), Fault::Tls(InvalidCertificate(_)))
///         }
///         _ => false,
///     }
/// }
///
/// /// For the log: who has cut the connection?
/// fn cut_off(reason: &Reason) -> Option<String> {
///     match reason {
///         Reason::Tls { error } if *error.fault() == Fault::Truncated => {
///             Some(error.peer().to_string())
///         }
///         _ => None,
///     }
/// }
///
/// assert!(!is_untrusted(&Reason::Closed) && cut_off(&Reason::Closed).is_none());
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct TlsError {
    phase: Phase,
    fault: Fault,
    peer: Address,
}

/// When it failed.
///
/// # Examples
///
/// ```
/// use crocus::tls::Phase;
///
/// assert_eq!(Phase::Handshake.to_string(), "in the handshake");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// Before both sides had agreed: no byte of the peer's was trusted, and none of this side's was sent.
    Handshake,
    /// After it.
    Open,
}

/// The fault.
///
/// # Examples
///
/// ```
/// use crocus::tls::Fault;
///
/// assert_eq!(Fault::TimedOut.to_string(), "no answer in time");
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The peer broke a rule, sent an alert, or showed no certificate that is trusted.
    ///
    /// The peer was sent an alert that says so, unless it has sent one itself, or rustls has none for it, as
    /// for a handshake message that is too long or mixed with other records: then it gets FIN alone.
    Tls(rustls::Error),
    /// The connection ended without a close_notify: the peer has not said that these were all its bytes.
    Truncated,
    /// The handshake did not come to its end in [time](super::HANDSHAKE_TIMEOUT).
    TimedOut,
}

impl TlsError {
    pub(crate) fn new(phase: Phase, fault: Fault, peer: Address) -> Self {
        Self { phase, fault, peer }
    }

    /// When it failed.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The fault.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The peer.
    pub fn peer(&self) -> &Address {
        &self.peer
    }

    /// Whether the first bytes of the peer were not TLS at all.
    fn is_no_tls(&self) -> bool {
        let no_record = Fault::Tls(RustlsError::InvalidMessage(InvalidMessage::InvalidContentType));
        self.phase == Phase::Handshake && self.fault == no_record
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS with {} {}: {}", self.peer, self.phase, self.fault)?;
        if self.is_no_tls() {
            f.write_str(" (it does not seem to speak TLS)")?;
        }
        Ok(())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "in the handshake",
            Self::Open => "on the open connection",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Truncated => f.write_str("truncated: it ended without a close_notify"),
            Self::TimedOut => f.write_str("no answer in time"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Tls(error) => Some(error),
            Fault::Truncated | Fault::TimedOut => None,
        }
    }
}
