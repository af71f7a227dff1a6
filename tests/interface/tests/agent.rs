//! The agent, in a simulation, and with netcat, socat and Python as its peers.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panics")]

#[path = "../src/bin/agent/monitor/mod.rs"]
#[allow(dead_code, reason = "the threads and the command line are those of the program")]
mod monitor;

mod agent {
    mod real;
    mod simulated;
}
