//! Readiness, from the kernel or from the simulated network.
//!
//! Both report the same [`Readiness`], so all code above is the same in the real and in the
//! simulated reactor.

use std::fmt;
use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::time::Duration;

use mio::{Events, Poll, Registry, Token};

use super::simulated::SimulatedHost;

/// How many events one poll can return; more wait in the kernel for the next turn.
///
/// At this size the cost of the system call per event is small, and the batch still fits into the
/// first-level cache.
const EVENTS_PER_TURN: usize = 1024;

/// The readiness that an event reports.
///
/// Only a hint: spurious events exist, so an operation may still find nothing.
///
/// # Examples
///
/// ```
/// use crocus::Readiness;
///
/// let both = Readiness::READABLE | Readiness::WRITABLE;
/// assert!(both.contains(Readiness::READABLE));
/// assert!(!both.contains(Readiness::HANGUP));
/// assert_eq!(format!("{both:?}"), "READABLE | WRITABLE");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Readiness(u8);

impl Readiness {
    /// There may be something to read or to accept.
    pub const READABLE: Self = Self(1);
    /// There may be room to write.
    pub const WRITABLE: Self = Self(2);
    /// The peer sends nothing more: a read after a short one finds the end.
    pub const READ_CLOSED: Self = Self(4);
    /// The connection failed, or both directions are closed.
    pub const HANGUP: Self = Self(8);
    /// Urgent data came. A read stops at it, so a short read does not mean that nothing is left.
    pub(crate) const URGENT: Self = Self(16);
    /// A hang-up for the latch phase: the next operation reports the error.
    pub(crate) const FAILED: Self = Self(1 | 2 | 8);

    /// Whether this contains all of `other`.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether this contains any of `other`.
    pub(crate) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// The interest for the poller; `None` if there is none.
    #[cfg(unix)]
    pub(crate) fn interest(self) -> Option<mio::Interest> {
        let readable = self.contains(Self::READABLE).then_some(mio::Interest::READABLE);
        let writable = self.contains(Self::WRITABLE).then_some(mio::Interest::WRITABLE);
        readable.into_iter().chain(writable).reduce(|one, other| one | other)
    }

    /// The part of this that concerns `interest`; `None` if there is none.
    #[cfg(unix)]
    pub(crate) fn for_interest(self, interest: Self) -> Option<Self> {
        interest.interest()?;
        let told = interest.0 | Self::READ_CLOSED.0 | Self::HANGUP.0;
        Some(Self(self.0 & told)).filter(|&some| some != Self::default())
    }

    #[inline]
    fn of(event: &mio::event::Event) -> Self {
        // One question for all that is rare.
        if is_urgent(event) || has_failed(event) || event.is_read_closed() {
            return Self::of_rarer(event);
        }
        Self::of_frequent(event)
    }

    #[inline(always)]
    fn of_frequent(event: &mio::event::Event) -> Self {
        let (readable, writable) = (event.is_readable(), event.is_writable());
        Self((Self::READABLE.0 * u8::from(readable)) | (Self::WRITABLE.0 * u8::from(writable)))
    }

    #[cold]
    #[inline(never)]
    fn of_rarer(event: &mio::event::Event) -> Self {
        let mut readiness = Self::of_frequent(event);
        if is_urgent(event) {
            readiness |= Self::READABLE | Self::URGENT;
        }
        if event.is_read_closed() {
            readiness |= Self::READABLE | Self::READ_CLOSED;
        }
        if has_failed(event) {
            // A lone error event is neither readable nor writable; trying both finds the error.
            readiness |= Self::FAILED;
        }
        readiness
    }
}

fn is_urgent(event: &mio::event::Event) -> bool {
    cfg!(any(target_os = "linux", target_os = "android")) && event.is_priority()
}

fn has_failed(event: &mio::event::Event) -> bool {
    event.is_error() || event.is_write_closed()
}

impl BitOr for Readiness {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The names, as `READABLE | HANGUP`.
impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::READABLE, "READABLE"),
            (Self::WRITABLE, "WRITABLE"),
            (Self::READ_CLOSED, "READ_CLOSED"),
            (Self::HANGUP, "HANGUP"),
            (Self::URGENT, "URGENT"),
        ];
        let names = names.into_iter().filter(|(bit, _)| self.contains(*bit)).map(|(_, name)| name);
        let names = names.collect::<Vec<_>>().join(" | ");
        f.write_str(if names.is_empty() { "(nothing)" } else { &names })
    }
}

/// The event source that the reactor sleeps on.
#[derive(Debug)]
pub(crate) struct Poller {
    world: World,
    /// The events of the last wait.
    pub(crate) ready: Vec<(Token, Readiness)>,
}

#[derive(Debug)]
enum World {
    Kernel {
        poll: Poll,
        events: Events,
    },
    Simulated(Box<dyn SimulatedHost>),
    /// Of the reactor that stands in for one that is lent.
    Hollow,
}

impl Poller {
    pub(crate) fn kernel() -> io::Result<Self> {
        let events = Events::with_capacity(EVENTS_PER_TURN);
        Ok(Self { world: World::Kernel { poll: Poll::new()?, events }, ready: Vec::new() })
    }

    pub(crate) fn hollow() -> Self {
        Self { world: World::Hollow, ready: Vec::new() }
    }

    pub(crate) fn simulated(host: impl SimulatedHost + 'static) -> Self {
        Self { world: World::Simulated(Box::new(host)), ready: Vec::new() }
    }

    /// The registry for sockets; a simulation has none.
    pub(crate) fn registry(&self) -> Option<&Registry> {
        match &self.world {
            World::Kernel { poll, .. } => Some(poll.registry()),
            World::Simulated(_) | World::Hollow => None,
        }
    }

    pub(crate) fn host(&self) -> Option<&dyn SimulatedHost> {
        match &self.world {
            World::Kernel { .. } | World::Hollow => None,
            World::Simulated(host) => Some(host.as_ref()),
        }
    }

    /// Whether there may be more events than the last wait has told of.
    pub(crate) fn has_more(&self) -> bool {
        self.ready.len() == EVENTS_PER_TURN
    }

    /// Waits until a source is ready or the time is over; `None` waits for ever.
    ///
    /// A signal that interrupts the wait ends it without events. In a simulation the wait advances
    /// the clock.
    ///
    /// # Errors
    ///
    /// The kernel's error; in a simulation, a wait that nothing could ever end.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.clear();
        match &mut self.world {
            World::Kernel { poll, events } => match poll.poll(events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let ready = events.iter().map(|event| (event.token(), Readiness::of(event)));
                    self.ready.extend(ready);
                }
            },
            World::Simulated(host) => self.ready = host.wait(timeout)?,
            World::Hollow => return Err(io::Error::other("a reactor without a poller")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_shown_as_words() {
        let both = Readiness::READABLE | Readiness::HANGUP;
        assert_eq!(format!("{both:?} {:?}", Readiness::default()), "READABLE | HANGUP (nothing)");
    }
}
