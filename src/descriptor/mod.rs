//! A descriptor of the user's, and what is called when it is ready.

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

/// What a function given to [`Reactor::watch`](crate::Reactor::watch) is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Ready {
    /// The watch, so that it can be ended from within.
    pub watch: WatchId,
    /// What the descriptor is ready for; [`READ_CLOSED`](Readiness::READ_CLOSED) and
    /// [`HANGUP`](Readiness::HANGUP) are told whatever the interest.
    pub readiness: Readiness,
}

/// One watched descriptor.
pub(crate) struct Watch {
    pub(crate) interest: Readiness,
    pub(crate) latched: Readiness,
    /// Whether the poller knows it.
    registered: bool,
}

impl Watch {
    pub(crate) fn new(interest: Readiness) -> Self {
        let latched = Readiness::default();
        Self { interest, latched, registered: false }
    }

    /// Has the poller report once on what it is interested in: at once if it is ready already.
    ///
    /// The poller tells of changes only; asking again, though nothing changed, makes it tell how
    /// things are.
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

    /// What it is to be told, and forgets it.
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
