//! The network in memory that replaces the kernel, and the tools for tests on it.

pub(crate) mod datagrams;
mod link;
pub(crate) mod listener;
mod lookups;
pub(crate) mod network;
mod peers;
pub(crate) mod stream;
pub mod testing;
