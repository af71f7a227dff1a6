//! A descriptor of the user's, and the function called when it is ready.

mod kind;
#[cfg(feature = "signals")]
mod signalling;
#[cfg(feature = "signals")]
pub(crate) mod signals;
mod watching;

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

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
    /// The number of the descriptor, which is open as long as the watch.
    pub(crate) number: RawFd,
    pub(crate) interest: Readiness,
    pub(crate) latched: Readiness,
    /// Whether it is registered with the poller.
    registered: bool,
}

impl Watch {
    pub(crate) fn new(fd: BorrowedFd<'_>, interest: Readiness) -> Self {
        let latched = Readiness::default();
        Self { number: fd.as_raw_fd(), interest, latched, registered: false }
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
        let armed = match interest {
            Some(interest) if self.registered => registry.reregister(&mut fd, token, interest),
            Some(interest) => registry.register(&mut fd, token, interest),
            None if self.registered => registry.deregister(&mut fd),
            None => Ok(()),
        };
        self.registered = armed.is_ok() && interest.is_some();
        armed
    }

    /// Takes it out of the poller. Closing does that too, unless there is a duplicate.
    ///
    /// A registration that this watch has not made belongs to somebody else.
    pub(crate) fn disarm(&mut self, registry: Option<&Registry>) {
        if std::mem::take(&mut self.registered)
            && let Some(registry) = registry
        {
            // An error means that the descriptor was closed meanwhile, and there is nothing to undo.
            drop(registry.deregister(&mut SourceFd(&self.number)));
        }
    }

    /// Takes the latched readiness that its function is to be told.
    pub(crate) fn take_readiness(&mut self) -> Option<Readiness> {
        let latched = std::mem::take(&mut self.latched);
        latched.for_interest(self.interest)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("interest", &self.interest).finish_non_exhaustive()
    }
}
