//! Tasks: the bridge between futures and the reactor, on real sockets and in the simulation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[macro_use]
mod util;

#[path = "futures/backpressure.rs"]
mod backpressure;
#[path = "futures/callbacks.rs"]
mod callbacks;
#[path = "tls/certificates.rs"]
#[allow(dead_code, reason = "the tests of TLS use all of it")]
mod certificates;
#[path = "futures/connections.rs"]
mod connections;
#[path = "futures/cuts.rs"]
mod cuts;
#[path = "futures/datagrams.rs"]
mod datagrams;
#[path = "futures/ending.rs"]
mod ending;
#[path = "tls/far.rs"]
#[allow(dead_code, reason = "the tests of TLS use all of it")]
mod far;
#[path = "futures/handing_over.rs"]
mod handing_over;
#[path = "futures/lent.rs"]
mod lent;
#[path = "futures/places.rs"]
mod places;
#[path = "futures/tasks.rs"]
mod tasks;
#[path = "futures/time.rs"]
mod time;
