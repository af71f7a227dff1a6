//! A descriptor of the user's, and the function called when it is ready.

#[cfg(feature = "signals")]
mod signalling;
#[cfg(feature = "signals")]
pub(crate) mod signals;
mod watching;

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use mio::unix::SourceFd;
use mio::{Registry, Token};

use crate::ids::WatchId;
use crate::system::poller::Readiness;

/// The readiness of a descriptor, for a function given to [`Reactor::watch`](crate::Reactor::watch).
///
/// # Examples
///
/// ```
/// use std::io::{self, Write};
/// use crocus::{Ended, Reactor, Readiness};
///
/// let (reader, mut writer) = io::pipe()?;
/// writer.write_all(b"hello")?;
/// let mut reactor = Reactor::new()?;
/// reactor.watch(reader, Readiness::READABLE, |reactor, _pipe, ready| {
///     assert!(ready.readiness.contains(Readiness::READABLE));
///     reactor.unwatch(ready.watch);
/// })?;
/// reactor.run()?;
/// assert_eq!(reactor.ended(), Some(Ended::NothingLeft));
/// # io::Result::Ok(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Ready {
    /// The watch, by which the function can end it.
    pub watch: WatchId,
    /// The readiness itself; [`READ_CLOSED`](Readiness::READ_CLOSED) and [`HANGUP`](Readiness::HANGUP)
    /// are reported for any interest.
    pub readiness: Readiness,
}

/// One watched descriptor.
pub(crate) struct Watch {
    pub(crate) interest: Readiness,
    pub(crate) latched: Readiness,
    /// Whether it is registered with the poller.
    registered: bool,
}

impl Watch {
    pub(crate) fn new(interest: Readiness) -> Self {
        let latched = Readiness::default();
        Self { interest, latched, registered: false }
    }

    /// Has the poller report the interest once: at once if the descriptor is ready already.
    ///
    /// The poller reports changes only; registering again, without a change, makes it report the present
    /// state.
    pub(crate) fn arm(
        &mut self,
        fd: BorrowedFd<'_>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let mut fd = SourceFd(&fd);
        let interest = self.interest.interest();
        match interest {
            Some(interest) if self.registered => registry.reregister(&mut fd, token, interest)?,
            Some(interest) => registry.register(&mut fd, token, interest)?,
            None if self.registered => registry.deregister(&mut fd)?,
            None => {}
        }
        self.registered = interest.is_some();
        Ok(())
    }

    /// Takes the latched readiness that its function is to be told.
    pub(crate) fn take_readiness(&mut self) -> Option<Readiness> {
        let latched = std::mem::take(&mut self.latched);
        latched.for_interest(self.interest)
    }
}

/// Takes a descriptor out of the poller. Closing does that too, unless there is a duplicate.
pub(crate) fn disarm(fd: BorrowedFd<'_>, registry: Option<&Registry>) {
    if let Some(registry) = registry {
        // If it was not registered there is nothing to undo.
        drop(registry.deregister(&mut SourceFd(&fd.as_raw_fd())));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("interest", &self.interest).finish_non_exhaustive()
    }
}
