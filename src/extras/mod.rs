//! Tools built on the public interface of this crate; its users could build them too.

pub(crate) mod cores;
pub mod framing;
#[cfg(feature = "futures")]
pub mod futures;
pub(crate) mod reconnecting;
pub(crate) mod tunnel;
