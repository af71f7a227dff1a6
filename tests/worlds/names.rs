//! Names to look up: many whose resolver never answers, and a good one that they must not delay.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::Reactor;
use crocus::testing::Simulation;

use crate::actors::Scene;
use crate::ledger::{Ledger, Progress};

/// The name that is looked up in some time.
pub const GOOD: &str = "good.example";

/// How many names hang. With the good one and another they are fewer than the lookups that may be under way.
const HANGING: usize = 60;

/// So many names may be waited for, and others are looked up at once all the same.
const AT_ONCE: usize = 31;

/// Enters the names into the network.
pub fn set_up(sim: &mut Simulation, scene: &Scene) {
    let takes = scene.chance.millis(1, 30);
    scene.ledger.borrow_mut().good_name_takes = takes;
    let here = [IpAddr::from([127, 0, 0, 1])];
    sim.set_host(GOOD, &here);
    sim.set_lookup_time(GOOD, takes);
    for number in 0..HANGING {
        sim.set_host(&hanging(number), &here);
        sim.set_lookup_time(&hanging(number), Duration::MAX);
    }
}

fn hanging(number: usize) -> String {
    format!("hangs-{number}.example")
}

impl Scene {
    /// Connects to the good name, or to several of which no answer comes.
    pub fn ask(self: &Rc<Self>, reactor: &mut Reactor) {
        if self.chance.one_in(3) {
            return self.connect_to(reactor, format!("{GOOD}:6000"));
        }
        for _ in 0..self.chance.size(30) {
            let number = self.chance.below(HANGING);
            self.connect_to(reactor, format!("{}:6000", hanging(number)));
        }
    }
}

impl Ledger {
    /// Notes for each attempt at the good name whether too many others are waited for.
    pub fn look_at_names(&mut self) {
        let waits = |progress| matches!(progress, Progress::Trying { .. } | Progress::Perhaps);
        let trying = self.clients.iter().filter(|client| waits(client.progress));
        let names: BTreeSet<&str> = trying.map(|client| client.place.as_str()).collect();
        let crowded = names.len() > AT_ONCE;
        for client in &mut self.clients {
            client.crowded |= crowded;
        }
    }

    /// Whether an attempt at the good name must have ended in another way than by its timeout.
    pub fn must_be_looked_up(&self, client: usize, latency: Duration, now: Instant) -> bool {
        let record = &self.clients[client];
        let Progress::Trying { since } = record.progress else { return false };
        let good = record.place.starts_with(GOOD) && !record.crowded;
        good && since + self.good_name_takes + latency < now
    }
}
