//! TLS: the contract over it, in simulations and on real sockets, and programs that are not ours.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[macro_use]
#[path = "../util/mod.rs"]
mod util;

mod certificates;
#[path = "../programs/child.rs"]
mod child;
mod far;

#[cfg(unix)]
mod clients;
mod closing;
mod cuts;
mod handshakes;
mod moving;
mod switching;
