//! In which activity the system reported an error.

use std::fmt;

/// The activity in which the system reported an error.
///
/// # Examples
///
/// ```
/// use crocus::Activity;
///
/// assert_eq!(Activity::Resolving.to_string(), "looking up the name");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Activity {
    /// Looking up a host name.
    Resolving,
    /// Binding the local address of an outgoing connection.
    Binding,
    /// Connecting.
    Connecting,
    /// Reading the PROXY header, before a connection is announced.
    #[cfg(feature = "proxy")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
    Identifying,
    /// Shaking hands, before an encrypted connection is announced or goes on.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    Handshaking,
    /// Reading from or writing to an open connection.
    Open,
    /// Flushing the buffer, or waiting for the peer to close too.
    Closing,
    /// Reading a file that is being sent; with the feature `sendfile`.
    SendingFile,
    /// Receiving datagrams.
    Receiving,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "looking up the name",
            Self::Binding => "binding the local address",
            Self::Connecting => "connecting",
            #[cfg(feature = "proxy")]
            Self::Identifying => "reading the PROXY header",
            #[cfg(feature = "tls")]
            Self::Handshaking => "shaking hands",
            Self::Open => "connection failed",
            Self::Closing => "failed while closing",
            Self::SendingFile => "reading a file to send it",
            Self::Receiving => "receiving datagrams",
        })
    }
}
