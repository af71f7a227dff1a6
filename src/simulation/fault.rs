//! The errors of the simulated kernel, with the errno that Linux gives.

use std::io;

/// An error of a system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    WouldBlock,
    Refused,
    Reset,
    BrokenPipe,
    NotConnected,
    TimedOut,
    InUse,
    NotAvailable,
    NoNetwork,
    Forbidden,
    Invalid,
    WrongFamily,
    NoDestination,
    TooLong,
    #[cfg_attr(not(unix), expect(dead_code, reason = "for paths of Unix sockets"))]
    NoSuchPath,
    NoSuchOption,
}

impl From<Fault> for io::Error {
    #[cfg(unix)]
    fn from(fault: Fault) -> Self {
        Self::from_raw_os_error(match fault {
            Fault::WouldBlock => libc::EAGAIN,
            Fault::Refused => libc::ECONNREFUSED,
            Fault::Reset => libc::ECONNRESET,
            Fault::BrokenPipe => libc::EPIPE,
            Fault::NotConnected => libc::ENOTCONN,
            Fault::TimedOut => libc::ETIMEDOUT,
            Fault::InUse => libc::EADDRINUSE,
            Fault::NotAvailable => libc::EADDRNOTAVAIL,
            Fault::NoNetwork => libc::ENETUNREACH,
            Fault::Forbidden => libc::EACCES,
            Fault::Invalid => libc::EINVAL,
            Fault::WrongFamily => libc::EAFNOSUPPORT,
            Fault::NoDestination => libc::EDESTADDRREQ,
            Fault::TooLong => libc::EMSGSIZE,
            Fault::NoSuchPath => libc::ENOENT,
            Fault::NoSuchOption => libc::EOPNOTSUPP,
        })
    }

    #[cfg(not(unix))]
    fn from(fault: Fault) -> Self {
        use io::ErrorKind as Kind;
        Self::from(match fault {
            Fault::WouldBlock => Kind::WouldBlock,
            Fault::Refused => Kind::ConnectionRefused,
            Fault::Reset => Kind::ConnectionReset,
            Fault::BrokenPipe => Kind::BrokenPipe,
            Fault::NotConnected => Kind::NotConnected,
            Fault::TimedOut => Kind::TimedOut,
            Fault::InUse => Kind::AddrInUse,
            Fault::NotAvailable => Kind::AddrNotAvailable,
            Fault::NoNetwork => Kind::NetworkUnreachable,
            Fault::Forbidden => Kind::PermissionDenied,
            Fault::NoSuchPath => Kind::NotFound,
            Fault::NoSuchOption => Kind::Unsupported,
            Fault::Invalid | Fault::WrongFamily | Fault::NoDestination | Fault::TooLong => {
                Kind::InvalidInput
            }
        })
    }
}
