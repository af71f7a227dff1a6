//! The kernel: readiness, byte streams, Unix sockets.
//!
//! In a simulation the network in memory replaces it, behind the traits of `simulated`.

pub(crate) mod acceptor;
pub(crate) mod adopted;
pub(crate) mod binding;
pub(crate) mod byte_stream;
pub(crate) mod error;
#[cfg(all(unix, feature = "activation"))]
pub(crate) mod inherited;
pub(crate) mod keep_alive;
pub(crate) mod options;
pub(crate) mod poller;
pub(crate) mod resolver;
pub(crate) mod simulated;
pub(crate) mod stream;
#[cfg(unix)]
pub(crate) mod unix;
