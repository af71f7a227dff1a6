//! A system error with the operation that failed.

use std::io;

/// Adds the operation and its address to an error; keeps errno and kind as far as std allows.
pub(crate) fn at_address(what: &str, addr: impl std::fmt::Display, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Context { what: format!("{what} {addr}"), error })
}

/// The error of the path of a Unix socket that another server has.
#[cfg(unix)]
pub(crate) fn server_is_alive() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "a server is listening there")
}

#[derive(Debug)]
struct Context {
    what: String,
    error: io::Error,
}

impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for Context {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// An error of what the user has given.
pub(crate) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}
