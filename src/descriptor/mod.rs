//! A descriptor of the user's, and what is called when it is ready.

#[cfg(feature = "signals")]
mod signalling;
#[cfg(feature = "signals")]
pub(crate) mod signals;
mod watching;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::unix::SourceFd;
use mio::{Registry, Token};

use crate::parts::arena::id_type;
use crate::reactor::Reactor;
use crate::system::poller::Readiness;

id_type! {
    /// Names a descriptor that is watched.
    WatchId
}

/// What a function given to [`Reactor::watch`] is told.
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
    /// `None` while it is called.
    pub(crate) watched: Option<Box<dyn Watched>>,
    pub(crate) interest: Readiness,
    pub(crate) latched: Readiness,
    /// Whether the poller knows it.
    registered: bool,
}

/// A descriptor with its function. One object, so that the descriptor lives as long as anybody may
/// register it, and its number cannot mean another file meanwhile.
pub(crate) trait Watched {
    fn fd(&self) -> BorrowedFd<'_>;
    fn call(&mut self, reactor: &mut Reactor, ready: Ready);
}

pub(crate) struct Pair<S, F> {
    pub(crate) source: S,
    pub(crate) function: F,
}

impl<S: AsFd, F: FnMut(&mut Reactor, &mut S, Ready)> Watched for Pair<S, F> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    fn call(&mut self, reactor: &mut Reactor, ready: Ready) {
        (self.function)(reactor, &mut self.source, ready);
    }
}

impl Watch {
    pub(crate) fn new(watched: Box<dyn Watched>, interest: Readiness) -> Self {
        let latched = Readiness::default();
        Self { watched: Some(watched), interest, latched, registered: false }
    }

    /// Has the poller report once on what it is interested in: at once if it is ready already.
    ///
    /// The poller tells of changes only; asking again, though nothing changed, makes it tell how
    /// things are.
    pub(crate) fn arm(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let Some(watched) = &self.watched else { return Ok(()) };
        let fd = watched.fd().as_raw_fd();
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
pub(crate) fn disarm(watched: &dyn Watched, registry: Option<&Registry>) {
    if let Some(registry) = registry {
        // If it was not registered there is nothing to undo.
        drop(registry.deregister(&mut SourceFd(&watched.fd().as_raw_fd())));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("interest", &self.interest).finish_non_exhaustive()
    }
}
