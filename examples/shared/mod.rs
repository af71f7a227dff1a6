//! What the example programs share. Not a program: cargo looks for those in `examples/*.rs` and
//! `examples/*/main.rs` only.
#![allow(dead_code, reason = "each program uses a part of it")]

pub(crate) mod cli;
pub(crate) mod frame;
