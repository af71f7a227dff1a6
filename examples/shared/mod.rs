//! Code that the example programs share. It is not a program: cargo looks for programs in
//! `examples/*.rs` and `examples/*/main.rs` only.
#![allow(dead_code, reason = "each program uses a part of it")]

pub(crate) mod cli;
pub(crate) mod frame;
pub(crate) mod pairs;
