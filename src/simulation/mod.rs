//! The network in memory that replaces the kernel, and the tools for tests on it.

mod claims;
mod clock;
mod closing;
mod culprit;
pub(crate) mod datagrams;
mod fault;
mod host;
mod link;
pub(crate) mod listener;
mod lookups;
pub(crate) mod network;
mod peers;
pub(crate) mod ports;
mod sending;
pub(crate) mod stream;
pub mod testing;
