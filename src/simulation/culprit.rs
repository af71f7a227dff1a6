//! The sources that keep a simulation busy.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::iter;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::observe::{Notice, Observer, Subject, TimerEvent};
use crate::reactor::Reactor;

/// For how many turns they are watched.
const WATCHED: u32 = 100;

/// How many are named at most.
const NAMED: usize = 3;

/// How often each source did what, in words.
#[derive(Default)]
struct Tally(HashMap<(Subject, String), u32>);

impl Observer for Tally {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        let what = match notice {
            Notice::CallbackBegin { callback, .. } => format!("had {callback} called"),
            Notice::Timer { timer, event: TimerEvent::Fired(_), .. } => {
                format!("had timer {timer} fire")
            }
            Notice::Queued { spent: true, .. } => "was put back into its queue".to_owned(),
            Notice::Event { .. } => "had an event".to_owned(),
            Notice::AttemptBegin { to, .. } => format!("tried {to}"),
            _ => return,
        };
        if let Some(subject) = notice.subject() {
            *self.0.entry((subject, what)).or_default() += 1;
        }
    }
}

/// Watches some more turns, and names the sources that did most in them.
pub(super) fn culprits(reactor: &mut Reactor) -> String {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let former = reactor.set_observer(Some(Box::new(Rc::clone(&tally))));
    for _ in 0..WATCHED {
        reactor.turn(Some(Duration::ZERO)).expect("a simulated poll does not fail");
    }
    reactor.set_observer(former);
    let counts = tally.take().0.into_iter().map(|(did, count)| (count, Reverse(did)));
    let mut most: BinaryHeap<_> = counts.collect();
    let named =
        iter::from_fn(|| most.pop()).take(NAMED).map(|(count, Reverse((subject, what)))| {
            format!("{} {what} {count} times", reactor.describe(subject))
        });
    format!("in {WATCHED} turns {}", named.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use crate::simulation::testing::Simulation;
    use crate::{Protocol, Transport};

    /// Puts all its bytes back, for ever.
    struct PutsBack;

    impl Protocol for PutsBack {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            transport.unread(data);
        }
    }

    /// The message with which it does not come to rest.
    fn unrest(mut simulation: Simulation) -> String {
        let settle = AssertUnwindSafe(|| simulation.settle_within(1000));
        let panic = catch_unwind(settle).expect_err("it has no rest");
        panic.downcast_ref::<String>().expect("a formatted message").clone()
    }

    #[test]
    fn a_timer_without_an_interval_is_named() {
        let mut simulation = Simulation::with_seed(17);
        let _idle = simulation.connect(PutsBack);
        let timer = simulation.reactor().call_every(Duration::ZERO, |_, _| {});
        let text = unrest(simulation);
        assert!(text.contains("seed 17 does not come to rest"), "{text}");
        assert!(text.contains(&format!("reactor had timer {timer} fire 100 times")), "{text}");
        assert!(!text.contains("connection"), "{text}");
    }

    #[test]
    fn a_connection_that_stays_busy_is_named_with_its_peer() {
        let mut simulation = Simulation::new();
        let mut peer = simulation.connect(PutsBack);
        peer.send(b"again and again");
        let text = unrest(simulation);
        assert!(text.contains("had data_received called 100 times"), "{text}");
        assert!(text.contains("connection #0.1 (192.0.2.1:"), "{text}");
    }
}
