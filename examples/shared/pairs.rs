//! For servers whose clients cost two connections each: their own, and one that is made for them.

use std::time::Duration;

use crocus::SocketOptions;

/// How long a side may be silent before the kernel sends a keep-alive probe. Sessions may be silent
/// for days; one whose peer has vanished must not be kept for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Descriptors that are not for connections: the program's own, and those of name lookups.
const RESERVE: u64 = 16;

/// The options of the sockets on both sides.
pub(crate) fn keep_alive() -> SocketOptions {
    SocketOptions::new().keep_alive(KEEP_ALIVE)
}

/// How many clients there are two descriptors for. As `max_connections` this leaves the others waiting in the
/// kernel's queue.
pub(crate) fn of_descriptors() -> usize {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => {
            usize::try_from(limit.saturating_sub(RESERVE) / 2).unwrap_or(usize::MAX).max(1)
        }
        Err(error) => {
            log::warn!("cannot ask how many descriptors there may be: {error}");
            usize::MAX
        }
    }
}
