//! The network in memory that stands in for the kernel, and the tools for tests on it.

mod datagrams;
pub(crate) mod network;
pub mod testing;
