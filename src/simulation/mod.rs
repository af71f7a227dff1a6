//! The network in memory that replaces the kernel, and the tools for tests on it.

mod clock;
mod culprit;
pub(crate) mod datagrams;
mod link;
pub(crate) mod listener;
pub(crate) mod network;
mod peers;
mod sending;
pub(crate) mod stream;
pub mod testing;
