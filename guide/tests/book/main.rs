//! The guide checks itself: its listings, sessions, figures, links, terms and exercises.
//!
//! `BLESS=1 cargo test -p guide --test book` writes the figures, and the definitions of links that rustdoc
//! needs, anew.

mod drawing;
mod exercises;
mod figures;
mod links;
mod listings;
#[cfg(target_os = "linux")] // it stops a program, and looks whether it sleeps
mod recordings;
mod rustdoc;
#[cfg(target_os = "linux")] // its tools are those of Linux
mod sessions;
mod simulated;
#[path = "../../src/bin/15c/main.rs"]
#[expect(dead_code, reason = "the tests run its tasks, and not its `main`")]
mod step_15c;
mod terms;
mod text;
mod transcripts;
mod written;
