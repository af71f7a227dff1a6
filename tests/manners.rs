//! Scenarios that run on real sockets and in the simulation, and must end alike, word for word.
//!
//! A scenario is one line, a list of steps (see `manners/list.rs`; `manners/script.rs` explains the words).
//! The simulation runs it first. Real sockets must then show what each side saw after each step.
//! Nothing here depends on time: a step on real sockets waits until it shows what is expected, and fails
//! only if that never comes.
//!
//! If a scenario ends differently, the simulation is wrong: it has to have the manners of Linux.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(unreachable_pub, reason = "what is public here is for the test program")]

#[path = "manners/far.rs"]
mod far;
#[path = "manners/list.rs"]
mod list;
#[path = "manners/near.rs"]
mod near;
#[path = "manners/script.rs"]
mod script;
#[path = "util/mod.rs"]
mod util;

use std::time::Duration;

use script::{Expected, Step, perform};
use util::World;

/// How long a step on real sockets waits for what it is to show, before it counts as different: one number
/// for each time that the scenario may run until it ends as expected. Packets of the loopback may be late on a
/// busy machine, and a command that comes before them finds another state; a fault of the simulation shows
/// every time.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];

/// After how many differences the rest is left: each takes the whole patience.
const ENOUGH: usize = 5;

/// The first difference between the simulation and real sockets, if there is one.
fn difference(scenario: &str) -> Option<String> {
    let simulated = perform(scenario, World::simulated(), None);
    let mut real = Vec::new();
    for patience in PATIENCE {
        let expected = Expected { steps: &simulated, patience };
        real = perform(scenario, World::real(), Some(expected));
        if real == simulated {
            return None;
        }
    }
    let show = |steps: &[Step]| {
        let lines = steps.iter().map(|step| format!("    {}: {:?}\n", step.what, step.seen));
        lines.collect::<String>()
    };
    Some(format!("{scenario}\n  simulated:\n{}  real:\n{}", show(&simulated), show(&real)))
}

fn all_end_alike(scenarios: &[String]) {
    let different = scenarios.iter().filter_map(|one| difference(one));
    let different: Vec<String> = different.take(ENOUGH).collect();
    let list = different.join("\n");
    assert!(different.is_empty(), "{} or more of {}:\n{list}", different.len(), scenarios.len());
}

#[test]
fn scenarios_of_the_list_end_alike() {
    let list = list::by_hand();
    assert!(list.len() >= 80, "only {}", list.len());
    all_end_alike(&list);
}

#[test]
fn every_order_of_ends_on_tcp_is_alike() {
    all_end_alike(&list::orders("serve tcp"));
}

#[test]
fn every_order_of_ends_on_unix_sockets_is_alike() {
    all_end_alike(&list::orders("serve unix"));
}

#[test]
fn every_order_of_ends_on_outgoing_connections_is_alike() {
    all_end_alike(&list::orders("reach"));
}

/// A difference is found, and shown with what each side saw.
#[test]
fn a_step_that_is_expected_to_show_something_else_is_noticed() {
    let scenario = "serve tcp; settle; c send 5; settle";
    let mut expected = perform(scenario, World::simulated(), None);
    let on_sockets = |steps: &[Step], patience: Duration| {
        perform(scenario, World::real(), Some(Expected { steps, patience }))
    };
    let real = on_sockets(&expected, PATIENCE[2]);
    assert_eq!(real, expected);
    assert_eq!(real[3].seen, ["s data 5"]);
    expected[3].seen.clear();
    assert_ne!(on_sockets(&expected, PATIENCE[0]), expected);
}
