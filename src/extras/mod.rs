//! What is built on the public interface of this crate, and could be built by its users.

pub(crate) mod cores;
pub mod framing;
pub(crate) mod reconnecting;
