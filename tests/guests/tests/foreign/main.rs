//! Crates that never heard of crocus, on its tasks: with clients that did not either, and in simulations.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[path = "../../../tls/certificates.rs"]
#[allow(dead_code, reason = "the tests of TLS need the rest")]
mod certificates;
#[path = "../../../programs/child.rs"]
mod child;
#[path = "../../../util/folder.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests need the rest")]
mod folder;
mod host;

mod channels;
mod combinators;
mod http;
mod secure;
mod websockets;
