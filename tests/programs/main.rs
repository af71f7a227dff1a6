//! All tests that start programs: the examples, the programs of others, and this very one with a low
//! limit of descriptors.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod certificate;
mod child;
#[macro_use]
#[path = "../util/mod.rs"]
mod util;

mod encrypted;
mod every_server;
mod forwarding;
mod mail;
mod no_descriptors;
mod proxying;
mod random_numbers;
mod scarce;
mod small_servers;
mod traces;
mod udp_echo;
mod unix_sockets;
mod waiting;
