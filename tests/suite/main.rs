//! All tests that need no process of their own: they share nothing but the program, and start no
//! other one, so that no descriptor of theirs is copied into a child for a moment.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[macro_use]
#[path = "../util/mod.rs"]
mod util;

mod connecting;
mod cores;
mod examples;
mod extending;
mod faults;
mod flow_control;
mod framing;
mod half_close;
mod house;
mod limits;
mod listening;
mod loop_and_stop;
mod names;
mod observing;
mod panics;
mod places;
mod pool;
mod reconnecting;
mod recording;
mod scenarios;
#[cfg(feature = "sendfile")]
mod sending_files;
mod sharing;
mod shutdown;
mod silence;
mod simulating;
mod swapping;
mod threads;
mod timers;
mod tracing;
mod transports;
mod tunnel;
mod udp;
mod unix_sockets;
mod visits;
mod watch;
