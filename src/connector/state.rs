//! One outgoing connection: the addresses to try, the timeout, and the next try after it is lost.
//!
//! A host may have several addresses, some of which do not answer. They are tried in order, each
//! with a head start over the next, and the first that answers wins (RFC 8305, "Happy Eyeballs").

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::connect::Connect;
use crate::address::Address;
use crate::parts::arena::Key;
use crate::parts::timers::TimerId;
use crate::reason::Reason;
use crate::system::poller::Readiness;
use crate::system::stream::Stream;

/// How long to wait before a Unix socket with a full backlog is tried again: a live server accepts
/// within that time.
pub(crate) const BUSY_DELAY: Duration = Duration::from_millis(5);

/// The most of that wait, doubled each time the backlog is full, so that many waiting attempts cost nothing.
pub(crate) const MAX_BUSY_DELAY: Duration = Duration::from_millis(160);

/// The state of an outgoing connection.
pub(crate) struct ConnectorState {
    pub(crate) connect: Connect,
    pub(crate) progress: Progress,
    /// The number of the attempt, by which a late result of a name lookup is recognised.
    pub(crate) round: u64,
    /// Addresses not tried yet.
    pub(crate) candidates: VecDeque<Address>,
    /// Addresses being tried.
    pub(crate) attempts: Vec<Key>,
    /// The failure of the last address that failed.
    pub(crate) failure: Option<Reason>,
    pub(crate) timeout: Option<TimerId>,
    pub(crate) head_start: Option<TimerId>,
    /// How long to wait before a busy server is tried again.
    pub(crate) busy_delay: Duration,
    /// When the connection was established.
    pub(crate) since: Option<Instant>,
    /// Set by `disconnect`: no further attempt is made.
    pub(crate) unwanted: bool,
}

/// The progress of an attempt.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A notice is being given; unless it asks for another attempt, this is the end.
    Resting,
    /// Waiting to try again.
    Waiting(TimerId),
    /// Wanted; the loop will begin it.
    Wanted,
    /// Looking up the name.
    Resolving,
    /// Trying addresses.
    Connecting,
    /// An address has answered, and the preparation of the connection is not over.
    Preparing(Key),
    /// Given up; `connection_failed` is still to be called.
    Failed(Reason),
    /// The connection is established, or its end is being told.
    Connected(Key),
}

impl ConnectorState {
    pub(crate) fn new(connect: Connect) -> Self {
        Self {
            connect,
            progress: Progress::Wanted,
            round: 0,
            candidates: VecDeque::new(),
            attempts: Vec::new(),
            failure: None,
            timeout: None,
            head_start: None,
            busy_delay: BUSY_DELAY,
            since: None,
            unwanted: false,
        }
    }

    /// Whether an outcome is still to come.
    pub(crate) fn is_trying(&self) -> bool {
        !matches!(self.progress, Progress::Resting | Progress::Connected(_))
    }
}

impl fmt::Debug for ConnectorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("endpoint", &self.connect.to)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// One address being tried.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) connector: Key,
    pub(crate) to: Address,
    pub(crate) stream: Stream,
    /// The readiness so far, for the connection this may become.
    pub(crate) latched: Readiness,
}

/// Orders addresses so that the families alternate, beginning with that of the first (RFC 8305, section
/// 4): an unreachable family costs one head start, not one per address.
pub(crate) fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut same, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|addr| addr.is_ipv6() == first_is_v6);
    let mut ordered = VecDeque::new();
    while !same.is_empty() || !other.is_empty() {
        ordered.extend(same.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| -> Vec<SocketAddr> {
            text.split(' ').map(|addr| addr.parse().unwrap()).collect()
        };
        let given = parse("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1");
        let wanted = parse("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1");
        assert_eq!(interleave(given), wanted);
        assert!(interleave(Vec::new()).is_empty());
    }
}
