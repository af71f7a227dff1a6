//! Plain values that use no reactor, no socket and no file of another folder.

pub(crate) mod arena;
pub(crate) mod call_queue;
pub(crate) mod clock;
pub(crate) mod one_line;
pub(crate) mod owned_timers;
pub(crate) mod pool;
pub(crate) mod random;
pub(crate) mod surplus;
pub(crate) mod timers;
pub(crate) mod token_bucket;
pub(crate) mod type_map;
pub(crate) mod write_buffer;
