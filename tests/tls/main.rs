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
mod crowd;
mod cuts;
#[cfg(unix)]
mod front;
#[cfg(unix)]
mod gnutls;
#[cfg(unix)]
mod halves;
mod handshakes;
mod hasty;
#[cfg(unix)]
mod hostile;
mod moving;
#[cfg(unix)]
mod openssl;
#[cfg(unix)]
mod scanners;
mod switching;
#[cfg(unix)]
mod web;
