//! The PROXY protocol: in simulations, on real sockets, and with proxies that are not ours.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[macro_use]
#[path = "../util/mod.rs"]
mod util;

mod announcing;
#[path = "../tls/certificates.rs"]
#[allow(dead_code, reason = "the tests of TLS use all of it")]
mod certificates;
#[path = "../programs/child.rs"]
mod child;
#[path = "../tls/far.rs"]
#[allow(dead_code, reason = "the tests of TLS use all of it")]
mod far;
#[path = "../tls/hasty.rs"]
mod hasty;
mod header;
mod limits;
#[cfg(unix)]
mod proxies;
mod refusing;
mod under_tls;
