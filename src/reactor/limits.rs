//! The limits of a reactor, and the reasons for their values.

use std::time::Duration;

use crate::connection::{ClosingTimes, Marks};
use crate::system::resolver::Resolver;

/// Bytes read from one connection per turn: a fast sender gets most of its speed, and delays other connections by some
/// tens of microseconds only.
const READ_BUDGET: usize = 256 * 1024;

/// Bytes read at once: all that a turn reads, so that what is echoed is sent from the buffer. Of several reads only the
/// last would be. A reactor has one such buffer (nine, if bytes of them are kept), and of its memory only the pages that
/// were ever filled.
const READ_BUFFER: usize = READ_BUDGET;

/// Bytes written to one connection per turn, in one or two system calls.
const WRITE_BUDGET: usize = 256 * 1024;

/// Connections accepted by one listener per turn. At about 10 µs each, other sources wait for less than
/// a millisecond, and 64 accepts share one failed accept and one poll.
const ACCEPT_BUDGET: usize = 64;

/// Datagrams received by one socket per turn, however small. Each costs a system call and a callback,
/// about as much as an accept, so the number is the same.
const DATAGRAM_BUDGET: usize = 64;

/// Calls run per turn. Most are short: at 2 µs each a thousand delay other sources by 2 ms, and a thousand
/// share one poll.
const CALL_BUDGET: usize = 1024;

/// The high-water mark: asyncio's and Twisted's number.
const HIGH_WATER: usize = 64 * 1024;

/// The low-water mark: a quarter, as in asyncio, so that there are bytes to send while the protocol is
/// called to write more.
const LOW_WATER: usize = HIGH_WATER / 4;

/// Fewer bytes that a protocol writes back are copied. To send bytes that it was lent takes as many instructions more as to
/// copy some 2.5 KiB, and still more if copied ones are in front of them, for then both leave by a vectored write.
const LENT_FROM: usize = 4 * 1024;

/// The hard cap of one outgoing buffer: Redis's limit for a subscriber that does not read.
const WRITE_BUFFER_CAP: usize = 32 * 1024 * 1024;

/// How long flushing may take after `lose_connection` while the peer takes nothing.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for the peer's FIN, once all is flushed and while nothing comes; nginx's
/// `lingering_timeout`.
const LINGER: Duration = Duration::from_secs(5);

/// The same during a shutdown, which a silent peer must not hold up. Bytes that a peer sent before it saw the
/// FIN arrive within a round trip, and that is less on almost every path.
const SHUTDOWN_LINGER: Duration = Duration::from_millis(500);

/// A callback that takes longer is logged: asyncio's `slow_callback_duration`.
const SLOW_CALLBACK: Duration = Duration::from_millis(100);

/// Threads for work that blocks. It mostly waits for a disk or another server, so the number of
/// processors does not matter; eight threads keep a disk busy.
const THREADS: usize = 8;

/// The numbers of one reactor.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) read_buffer: usize,
    pub(crate) read_budget: usize,
    pub(crate) write_budget: usize,
    pub(crate) accept_budget: usize,
    pub(crate) datagram_budget: usize,
    pub(crate) call_budget: usize,
    pub(crate) marks: Marks,
    /// From how many bytes on those that a protocol writes back are sent from the read buffer.
    pub(crate) lent_from: usize,
    pub(crate) write_buffer_cap: usize,
    pub(crate) closing_times: ClosingTimes,
    pub(crate) slow_callback: Option<Duration>,
    pub(crate) threads: usize,
    pub(crate) resolver: Resolver,
    /// Whether a panic of user code leaves the reactor, as it does in simulations.
    pub(crate) propagate_panics: bool,
}

/// Those of them that each message asks for. They lie in the reactor itself, and the others apart: a
/// [loan](super::Reactor::lend) moves all that does. Once a reactor is made, these three are read from here only.
#[derive(Clone, Copy)]
pub(crate) struct HotLimits {
    pub(crate) read_budget: usize,
    pub(crate) write_budget: usize,
    pub(crate) lent_from: usize,
}

impl From<&Limits> for HotLimits {
    fn from(limits: &Limits) -> Self {
        let Limits { read_budget, write_budget, lent_from, .. } = *limits;
        Self { read_budget, write_budget, lent_from }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read_buffer: READ_BUFFER,
            read_budget: READ_BUDGET,
            write_budget: WRITE_BUDGET,
            accept_budget: ACCEPT_BUDGET,
            datagram_budget: DATAGRAM_BUDGET,
            call_budget: CALL_BUDGET,
            marks: Marks::new(HIGH_WATER, LOW_WATER),
            lent_from: LENT_FROM,
            write_buffer_cap: WRITE_BUFFER_CAP,
            closing_times: ClosingTimes {
                close_timeout: CLOSE_TIMEOUT,
                linger: LINGER,
                shutdown_linger: SHUTDOWN_LINGER,
            },
            slow_callback: Some(SLOW_CALLBACK),
            threads: THREADS,
            resolver: Resolver::default(),
            propagate_panics: false,
        }
    }
}
