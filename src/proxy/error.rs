//! Why a connection of a proxy was not announced.

use std::error::Error;
use std::fmt;

use crate::address::Address;

/// Why a connection ended before a PROXY header had said whose it is.
///
/// # Examples
///
/// ```
/// use crocus::Reason;
/// use crocus::proxy::Fault;
///
/// /// For the log: has somebody come around the proxy?
/// fn intruder(reason: &Reason) -> Option<String> {
///     match reason {
///         Reason::Proxy { error } if error.fault() == Fault::Untrusted => {
///             Some(error.proxy().to_string())
///         }
///         _ => None,
///     }
/// }
///
/// assert_eq!(intruder(&Reason::Closed), None);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyError {
    fault: Fault,
    proxy: Address,
}

/// The fault.
///
/// # Examples
///
/// ```
/// use crocus::proxy::Fault;
///
/// assert_eq!(Fault::TimedOut.to_string(), "it did not come in time");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The address is not among those of trusted proxies.
    Untrusted,
    /// The first bytes are not those of a header: mostly a client that has come around the proxy, or a proxy that
    /// is not set up to send one.
    Missing,
    /// It begins as a header, and breaks the rules.
    Malformed,
    /// It has more than [4,096 bytes](super::LONGEST_HEADER), or in version 1 more than 107.
    TooLong,
    /// Its checksum is wrong.
    Checksum,
    /// The connection ended before the header did.
    Truncated,
    /// It was not there in [time](super::HEADER_TIMEOUT).
    TimedOut,
}

impl ProxyError {
    pub(crate) fn new(fault: Fault, proxy: Address) -> Self {
        Self { fault, proxy }
    }

    /// The fault.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The peer of the connection itself.
    pub fn proxy(&self) -> &Address {
        &self.proxy
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PROXY header of {}: {}", self.proxy, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrusted => "not from a trusted proxy",
            Self::Missing => "there is none",
            Self::Malformed => "it breaks the rules",
            Self::TooLong => "it is too long",
            Self::Checksum => "its checksum is wrong",
            Self::Truncated => "the connection ended before it was there",
            Self::TimedOut => "it did not come in time",
        })
    }
}

impl Error for ProxyError {}
