//! Listening sockets: the files of this folder, and the meaning of accept's errors.

// The order is that of the methods on the page of `Reactor`, as in `reactor/mod.rs`.
mod opening;

mod accepting;
mod stopping;

mod kind;
mod listen;
mod peers;
mod state;

pub use listen::Listen;

pub(crate) use state::Listener;

use std::io;

/// How many connections in a row may be skipped without a pause. A firewall forbids connections one by one
/// (EPERM) with an error that is also that of a process that may not accept at all. The queue of waiting
/// connections is rarely as long, and a failed accept costs a microsecond.
pub(crate) const MAX_SKIPPED: u32 = 64;

/// The meaning of an error of accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptError {
    /// No connection waits.
    Empty,
    /// The connection that waited is gone or forbidden; the next may be accepted. After [`MAX_SKIPPED`]
    /// of these in a row it is the listener that is forbidden to accept: try later.
    Skip,
    /// There is no descriptor or no memory for another connection. It stays in the queue, and with
    /// edge-triggered readiness no event will report it again: try later.
    Shortage,
    /// Anything else: try later, and log an error.
    Unknown,
}

impl AcceptError {
    /// Judges an error as accept(2) lists them.
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::WouldBlock => return Self::Empty,
            // PermissionDenied is EPERM or EACCES: a firewall or another rule forbids the connection.
            Kind::ConnectionAborted | Kind::PermissionDenied => {
                return Self::Skip;
            }
            Kind::OutOfMemory => return Self::Shortage,
            _ => {}
        }
        #[cfg(unix)]
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                return Self::Shortage;
            }
            // Linux hands the pending network errors of the new socket to accept.
            Some(
                libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT,
            ) => return Self::Skip,
            #[cfg(target_os = "linux")]
            Some(libc::ENONET) => return Self::Skip,
            _ => {}
        }
        Self::Unknown
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_accept() {
        let judge = |errno| AcceptError::of(&io::Error::from_raw_os_error(errno));
        assert_eq!(judge(libc::EAGAIN), AcceptError::Empty);
        for errno in [libc::ECONNABORTED, libc::EPERM, libc::EPROTO, libc::ENETDOWN] {
            assert_eq!(judge(errno), AcceptError::Skip, "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(judge(errno), AcceptError::Shortage, "{errno}");
        }
        for errno in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK, libc::EFAULT] {
            assert_eq!(judge(errno), AcceptError::Unknown, "{errno}");
        }
    }
}
