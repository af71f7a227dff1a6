//! Random worlds: servers, clients and peers that act at random in the simulation, each world from one
//! seed. A ledger records everything, so that any breach of the contract shows.
//!
//! A program of its own: `tests/defects.rs` builds and runs it alone.
//!
//! Part `chance` says what may happen. `actors` act inside the reactor, and `driver` is the world
//! around them. `ledger` records and objects. `watcher`
//! checks what an observer is told.
//!
//! ```console
//! CROCUS_WORLDS=100000 cargo test --release --test worlds       # as many worlds as one likes
//! CROCUS_SEED=17 cargo test --test worlds stormy -- --nocapture # one again, step by step
//! ```
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(unreachable_pub, reason = "what is public here is for the test program")]

#[path = "worlds/actors.rs"]
mod actors;
#[path = "worlds/chance.rs"]
mod chance;
#[path = "worlds/driver.rs"]
mod driver;
#[path = "worlds/ledger.rs"]
mod ledger;
#[path = "util/trace.rs"]
mod trace;
#[path = "worlds/watcher.rs"]
mod watcher;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Once;
use std::{env, panic};

use actors::OnPurpose;
use chance::{CALM, CROWDED, Profile, STORMY, TIMED};

/// How many worlds of each kind `cargo test` lives through.
const WORLDS: u64 = 800;

/// Keeps panics that happen on purpose out of the output.
fn silence_expected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<OnPurpose>() {
                loud(info);
            }
        }));
    });
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn worlds(profile: &'static Profile) {
    silence_expected_panics();
    if let Some(seed) = setting("CROCUS_SEED") {
        return world(profile, seed, true);
    }
    let count = setting("CROCUS_WORLDS").unwrap_or(WORLDS);
    (0..count).for_each(|seed| world(profile, seed, false));
}

fn world(profile: &'static Profile, seed: u64, trace: bool) {
    let lived = catch_unwind(AssertUnwindSafe(|| driver::live(seed, profile, trace)));
    let broken = match lived {
        Ok(Ok(())) => return,
        Ok(Err(objections)) => objections,
        Err(_) => "it panicked, see above".to_owned(),
    };
    let name = profile.name;
    panic!(
        "{name} world {seed}: {broken}\n\
         again: CROCUS_SEED={seed} cargo test --test worlds {name} -- --nocapture"
    );
}

#[test]
fn calm() {
    worlds(&CALM);
}

#[test]
fn stormy() {
    worlds(&STORMY);
}

#[test]
fn crowded() {
    worlds(&CROWDED);
}

#[test]
fn timed() {
    worlds(&TIMED);
}
