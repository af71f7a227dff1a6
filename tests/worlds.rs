//! Random worlds: servers, clients and peers that act at random in the simulation, each world from one
//! seed. A ledger records everything, so that any breach of the contract shows.
//!
//! A program of its own: `tests/defects.rs` builds and runs it alone.
//!
//! Part `chance` says what may happen, and in which kind of world: `calm`, `stormy`, `crowded`, `timed`,
//! `wild`, `posted`, `named`, `awaited` or `secured`. `actors` act inside the reactor, `framed` behind a framing,
//! `awaited` as tasks, `datagrams` without connections; `names` has them connect to names, `secured` has them
//! speak TLS, also with a `far` end that has rustls alone. `driver` is the world around them. `ledger` records and
//! objects, with `allowance` for rates and `post` for datagrams. `watcher` checks what an observer is told.
//!
//! Time passes in callbacks too, in worlds that are wild or posted. So the ledger takes the time from the clock
//! wherever a delay is asked for or something happens, and from the turn where the loop judges by it.
//!
//! ```console
//! CROCUS_WORLDS=100000 cargo test --release --test worlds       # as many worlds as one likes
//! CROCUS_SEED=17 cargo test --test worlds stormy -- --nocapture # one again, step by step
//! ```
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(unreachable_pub, reason = "what is public here is for the test program")]

#[path = "worlds/actors.rs"]
mod actors;
#[path = "worlds/allowance.rs"]
mod allowance;
#[path = "worlds/awaited.rs"]
mod awaited;
#[path = "worlds/chance.rs"]
mod chance;
#[path = "worlds/datagrams.rs"]
mod datagrams;
#[path = "worlds/driver.rs"]
mod driver;
#[path = "worlds/far.rs"]
mod far;
#[path = "worlds/framed.rs"]
mod framed;
#[path = "worlds/ledger.rs"]
mod ledger;
#[path = "worlds/names.rs"]
mod names;
#[path = "worlds/post.rs"]
mod post;
#[path = "worlds/secured.rs"]
mod secured;
#[path = "util/trace.rs"]
mod trace;
#[path = "worlds/watcher.rs"]
mod watcher;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Once;
use std::{env, panic};

use actors::OnPurpose;
use chance::{AWAITED, CALM, CROWDED, NAMED, POSTED, Profile, SECURED, STORMY, TIMED, WILD};

/// How many worlds of each kind `cargo test` lives through.
const WORLDS: u64 = 800;

/// Of so many there is one that speaks TLS, which takes many times as long.
const SECURED_SHARE: u64 = 10;

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
    let count: u64 = setting("CROCUS_WORLDS").unwrap_or(WORLDS);
    let share = if profile.secured { SECURED_SHARE } else { 1 };
    (0..count / share).for_each(|seed| world(profile, seed, false));
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

#[test]
fn named() {
    worlds(&NAMED);
}

#[test]
fn posted() {
    worlds(&POSTED);
}

#[test]
fn awaited() {
    worlds(&AWAITED);
}

#[test]
fn secured() {
    worlds(&SECURED);
}

/// The keys of TLS are others each time.
#[test]
fn a_seed_gives_the_same_history_over_tls_too() {
    silence_expected_panics();
    for seed in 0..8 {
        let history = || driver::history(seed, &SECURED).expect("it is a world without a fault");
        assert_eq!(history(), history(), "world {seed}");
    }
}

#[test]
fn a_seed_gives_the_same_history_with_tasks_too() {
    silence_expected_panics();
    for seed in 0..30 {
        let history = || driver::history(seed, &AWAITED).expect("it is a world without a fault");
        assert_eq!(history(), history(), "world {seed}");
    }
}

#[test]
fn wild() {
    worlds(&WILD);
}
