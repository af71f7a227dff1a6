//! An error of the system, with what was tried.

use std::io;

/// The system's error with what was tried, on what; errno and kind kept as far as std lets.
pub(crate) fn at_address(what: &str, addr: impl std::fmt::Display, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Context { what: format!("{what} {addr}"), error })
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
