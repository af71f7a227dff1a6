//! Plain values that use no reactor, no socket and no file of another folder.

pub(crate) mod arena;
pub(crate) mod call_queue;
pub(crate) mod clock;
#[cfg(all(unix, feature = "sendfile"))]
pub(crate) mod file_part;
#[cfg(not(all(unix, feature = "sendfile")))]
#[path = "no_file_part.rs"]
pub(crate) mod file_part;
pub(crate) mod moment;
pub(crate) mod one_line;
pub(crate) mod outgoing;
pub(crate) mod owned_timers;
pub(crate) mod panics;
pub(crate) mod pool;
pub(crate) mod random;
pub(crate) mod slices;
pub(crate) mod surplus;
pub(crate) mod timer;
pub(crate) mod timers;
pub(crate) mod token_bucket;
pub(crate) mod type_map;
pub(crate) mod write_buffer;
