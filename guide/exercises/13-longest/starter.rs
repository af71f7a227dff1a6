//! Exercise 13, longest: an observer of your own.
//!
//! Write `notice`, so that `Longest` has the name of the callback that took the longest, and its time. Leave the
//! rest as it is: a protocol for which time passes in the simulation.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::testing::{SimulatedClock, Simulation};
use crocus::{Notice, Observer, Protocol, Transport};

/// The callback that took the longest, and how long it took.
#[derive(Default)]
struct Longest {
    name: String,
    took: Duration,
}

impl Observer for Longest {
    fn notice(&mut self, _at: Instant, _notice: &Notice) {}
}

/// Works a while for each byte.
struct Working(SimulatedClock);

impl Protocol for Working {
    fn connection_made(&mut self, _transport: &mut Transport<'_>) {
        self.0.advance(Duration::from_millis(3));
    }

    fn data_received(&mut self, _transport: &mut Transport<'_>, data: &[u8]) {
        self.0.advance(Duration::from_millis(100) * data.len() as u32);
    }
}

fn main() {
    let longest = Rc::new(RefCell::new(Longest::default()));
    let mut simulation = Simulation::new();
    simulation.reactor().set_observer(Some(Box::new(Rc::clone(&longest))));
    let clock = simulation.clock();
    let mut peer = simulation.connect(Working(clock));
    for line in ["a\n", "abcdefghijk\n", "abc\n"] {
        simulation.settle();
        peer.send(line.as_bytes());
    }
    simulation.settle();
    println!("{} took {:?}", longest.borrow().name, longest.borrow().took);
}
