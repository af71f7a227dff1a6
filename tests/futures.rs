//! Tasks: the bridge between futures and the reactor, on real sockets and in the simulation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[macro_use]
mod util;

#[path = "futures/connections.rs"]
mod connections;
#[path = "futures/tasks.rs"]
mod tasks;
