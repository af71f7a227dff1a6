//! RESP, the protocol of Redis, without I/O: requests are decoded, replies are written.

pub(crate) mod args;
pub(crate) mod decoder;
mod error;
mod inline;
pub(crate) mod number;
pub(crate) mod reply;
mod request;

pub(crate) use request::{MOST_MAX_BULK, max_request};

/// A word of this length or more is not copied: it stays in the memory that it was received in, and
/// the store, requests and replies share it. Redis' `PROTO_MBULK_BIG_ARG`.
pub(crate) const BIG: usize = 32 * 1024;
