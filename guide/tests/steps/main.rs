//! Every step of the guide does what its chapter says, every wrong step fails as its chapter says, and
//! what crocus does under the same script is the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod crocus;
mod right;
#[path = "../../src/bin/15b/main.rs"]
#[expect(dead_code, reason = "the tests use its tasks, and not its `main`")]
mod step_15b;
#[path = "../../src/bin/15c/main.rs"]
#[expect(dead_code, reason = "the tests run its tasks, and not its `main`")]
mod step_15c;
mod tasks;
mod wrong;

use std::path::{Path, PathBuf};

use guide::play::{Finding, Program};

/// The result of a test: `?` ends it with what was expected and what came.
type Play = Result<(), Finding>;

/// The bytes of one message.
const MESSAGE: usize = 81;

/// The path of a step's program.
fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_01")).with_file_name(name)
}

fn start(name: &str) -> Result<Program, Finding> {
    Program::start(&program(name))
}

/// Checks that these are messages.
fn check_messages(bytes: &[u8]) {
    for message in bytes.chunks(MESSAGE) {
        let text = String::from_utf8_lossy(message);
        assert!(text.starts_with("You requested some random bytes:\n\n"), "{text}");
        assert!(text.ends_with("  \n\nYou want fries with that?\n\n"), "{text}");
    }
}
