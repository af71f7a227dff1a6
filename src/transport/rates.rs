//! How fast a connection may read and write.

use super::Transport;
use crate::connection::Direction;
use crate::parts::token_bucket::Rate;

/// # Bytes per second
impl Transport<'_> {
    /// Sets how many bytes per second are read at most; `None` sets no limit.
    ///
    /// Returns the former setting. The bucket is full at first.
    ///
    /// When the bucket is empty the connection is not read until it has filled again, and costs nothing
    /// while it waits; TCP stops the peer once the kernel's buffers are full. Bytes discarded after
    /// `lose_connection` are not counted, and the end of a connection is not delayed: an error is
    /// noticed at once, an orderly end behind the last bytes.
    ///
    /// *Not* promised: that the rate is reached, nor that the peer sends more slowly. A timeout set by
    /// [`set_timeout`](Self::set_timeout) includes the time of waiting. Bytes that the kernel adds, and
    /// those in its buffers, are not counted.
    pub fn set_read_rate(&mut self, rate: Option<Rate>) -> Option<Rate> {
        self.reactor.set_rate(self.id, Direction::Reading, rate)
    }

    /// Sets how many bytes per second are written at most; `None` sets no limit.
    ///
    /// Returns the former setting. The bucket is full at first.
    ///
    /// Unwritten bytes wait in memory as for a slow peer: `pause_writing` comes above the high mark, and
    /// the connection ends at the cap. Closing is throttled too, and cut at its
    /// [deadline](Self::set_close_timeout), which must be long enough for this rate.
    pub fn set_write_rate(&mut self, rate: Option<Rate>) -> Option<Rate> {
        self.reactor.set_rate(self.id, Direction::Writing, rate)
    }
}
