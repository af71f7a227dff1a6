//! Timers, beside a thousand and beside a million others that are pending.
//!
//! First through a simulated reactor, then through a real one, then the data structure alone. The
//! data structure is private, so this program compiles its file a second time.
//!
//! The simulated reactor makes no system calls, not even for the time. The real one reads the clock for
//! each timer that it sets, and after each callback. The closures capture nothing unless a name says
//! otherwise, so their boxes are not allocated.
//!
//! The figures are means over many operations in one sample. Where timers are cancelled, a sample
//! has one more than can be live, so that each sample includes a sweep of the dead: one cancel in a
//! million takes long.

#[path = "../src/parts/arena.rs"]
#[allow(unused, reason = "only a part of it is measured, and its tests are not run here")]
mod arena;
#[path = "../src/parts/moment.rs"]
#[allow(unused, reason = "its tests are not run here")]
mod moment;
#[path = "../src/parts/surplus.rs"]
#[allow(unused, reason = "its test is not run here")]
mod surplus;
#[path = "../src/parts/timer.rs"]
#[allow(unused, reason = "its tests are not run here")]
mod timer;
#[path = "../src/parts/timers.rs"]
#[allow(unused, unreachable_pub, reason = "as above; and one of its names is public in crocus")]
mod timers;

/// The path by which these find each other.
mod parts {
    pub(crate) use crate::{arena, moment, surplus, timer};
}

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// How many timers are live.
const LIVE: [usize; 2] = [1_000, 1_000_000];

/// How many timers one sample sets and at once cancels.
const CANCELLED: u32 = 1_000_001;

/// How many are due at once in one turn.
const TOGETHER: usize = 1_000;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(1);

fn main() {
    divan::main();
}

#[divan::bench_group(sample_count = 10)]
mod simulated {
    use std::cell::RefCell;

    use crocus::TimerId;
    use crocus::testing::Simulation;
    use divan::counter::ItemsCount;
    use divan::{Bencher, black_box};

    use super::{CANCELLED, HOUR, LIVE, SOON, TOGETHER, delays, round, shuffled};

    #[divan::bench(args = LIVE, sample_size = CANCELLED)]
    fn call_later_and_cancel(bencher: Bencher, live: usize) {
        let (mut simulation, _) = busy(live);
        let reactor = simulation.reactor();
        let delays = delays(live);
        let mut delay = round(&delays);
        bencher.bench_local(|| {
            let timer = reactor.call_later(delay(), |_| {});
            reactor.cancel_timer(timer)
        });
    }

    /// With a closure that captures a value.
    #[divan::bench(args = LIVE, sample_size = CANCELLED)]
    fn call_later_and_cancel_boxed(bencher: Bencher, live: usize) {
        let (mut simulation, _) = busy(live);
        let reactor = simulation.reactor();
        let delays = delays(live);
        let mut delay = round(&delays);
        bencher.bench_local(|| {
            let captured = delay();
            let timer = reactor.call_later(captured, move |_| {
                black_box(captured);
            });
            reactor.cancel_timer(timer)
        });
    }

    /// Each timer fires in a turn of its own.
    #[divan::bench(args = LIVE, sample_size = 100_000)]
    fn call_later_and_fire(bencher: Bencher, live: usize) {
        let (mut simulation, _) = busy(live);
        let reactor = simulation.reactor();
        bencher.bench_local(|| {
            reactor.call_later(SOON, |_| {});
            reactor.turn(None).map(|report| report.timers)
        });
    }

    /// A thousand timers are due in one turn; the figure is per timer.
    #[divan::bench(args = LIVE, sample_size = 100_000)]
    fn call_later_and_fire_together(bencher: Bencher, live: usize) {
        let (mut simulation, _) = busy(live);
        let reactor = simulation.reactor();
        let mut set = 0;
        bencher.bench_local(|| {
            reactor.call_later(SOON, |_| {});
            set += 1;
            if set % TOGETHER == 0 {
                assert_eq!(reactor.turn(None).map(|report| report.timers).ok(), Some(TOGETHER));
            }
        });
    }

    /// Each tick has a turn of its own.
    #[divan::bench(args = LIVE, sample_size = 100_000)]
    fn call_every(bencher: Bencher, live: usize) {
        let (mut simulation, _) = busy(live);
        let reactor = simulation.reactor();
        reactor.call_every(SOON, |_, _| {});
        bencher.bench_local(|| reactor.turn(None).map(|report| report.timers));
    }

    /// A thousand timers tick in one turn; the figure is per tick.
    #[divan::bench(args = LIVE, sample_size = 100_000)]
    fn call_every_together(bencher: Bencher, live: usize) {
        let (mut simulation, _) = busy(live);
        let reactor = simulation.reactor();
        for _ in 0..TOGETHER {
            reactor.call_every(SOON, |_, _| {});
        }
        let mut wanted = 0;
        bencher.bench_local(|| {
            if wanted % TOGETHER == 0 {
                assert_eq!(reactor.turn(None).map(|report| report.timers).ok(), Some(TOGETHER));
            }
            wanted += 1;
        });
    }

    /// The same timer again and again, as a busy connection does.
    #[divan::bench(args = LIVE, sample_size = 1_000_000)]
    fn reset_one(bencher: Bencher, live: usize) {
        let (mut simulation, timers) = busy(live);
        let reactor = simulation.reactor();
        bencher.bench_local(|| reactor.reset_timer(timers[live / 2], 3 * HOUR));
    }

    /// All timers, one after another, in random order.
    #[divan::bench(args = LIVE, sample_size = 1_000_000)]
    fn reset_all(bencher: Bencher, live: usize) {
        let (mut simulation, timers) = busy(live);
        let reactor = simulation.reactor();
        let timers = shuffled(timers);
        let mut timer = round(&timers);
        bencher.bench_local(|| reactor.reset_timer(timer(), 3 * HOUR));
    }

    /// The turn after all timers were reset, with the heap work that the resets put off.
    #[divan::bench(args = LIVE, sample_count = 2, sample_size = 1)]
    fn turn_after_reset_of_all(bencher: Bencher, live: usize) {
        let (simulation, timers) = busy(live);
        let simulation = RefCell::new(simulation);
        let timers = shuffled(timers);
        let mut delay = 2 * HOUR;
        let reset_all = || {
            delay += HOUR;
            for &timer in &timers {
                simulation.borrow_mut().reactor().reset_timer(timer, delay);
            }
        };
        bencher
            .counter(ItemsCount::new(live))
            .with_inputs(reset_all)
            .bench_local_values(|()| simulation.borrow_mut().turn());
    }

    /// A reactor with so many timers, due in one to two hours.
    fn busy(live: usize) -> (Simulation, Vec<TimerId>) {
        let mut simulation = Simulation::new();
        let reactor = simulation.reactor();
        let timers = delays(live).into_iter().map(|delay| reactor.call_later(delay, |_| {}));
        let timers = timers.collect();
        (simulation, timers)
    }
}

/// A thousand operations in one callback; the figure is per operation, with a thousandth of a turn.
#[divan::bench_group(sample_count = 10)]
mod real {
    use std::time::Duration;

    use crocus::{Reactor, ReactorBuilder, TimerId};
    use divan::Bencher;

    use super::{CANCELLED, HOUR, LIVE, TOGETHER, delays};

    #[divan::bench(args = LIVE, sample_size = CANCELLED)]
    fn call_later_and_cancel(bencher: Bencher, live: usize) {
        let (reactor, _) = busy(live, Reactor::builder());
        in_callbacks(bencher, reactor, |reactor| {
            let timer = reactor.call_later(HOUR, |_| {});
            reactor.cancel_timer(timer);
        });
    }

    /// Without the clock readings around each callback.
    #[divan::bench(args = LIVE, sample_size = CANCELLED)]
    fn call_later_and_cancel_untimed(bencher: Bencher, live: usize) {
        let (reactor, _) = busy(live, Reactor::builder().slow_callback(None));
        in_callbacks(bencher, reactor, |reactor| {
            let timer = reactor.call_later(HOUR, |_| {});
            reactor.cancel_timer(timer);
        });
    }

    #[divan::bench(args = LIVE, sample_size = 100_000)]
    fn call_later_and_fire_together(bencher: Bencher, live: usize) {
        let (reactor, _) = busy(live, Reactor::builder());
        in_callbacks(bencher, reactor, |reactor| {
            reactor.call_later(Duration::ZERO, |_| {});
        });
    }

    #[divan::bench(args = LIVE, sample_size = 100_000)]
    fn call_later_and_fire_together_untimed(bencher: Bencher, live: usize) {
        let (reactor, _) = busy(live, Reactor::builder().slow_callback(None));
        in_callbacks(bencher, reactor, |reactor| {
            reactor.call_later(Duration::ZERO, |_| {});
        });
    }

    #[divan::bench(args = LIVE, sample_size = 1_000_000)]
    fn reset_one(bencher: Bencher, live: usize) {
        let (reactor, timer) = busy(live, Reactor::builder());
        in_callbacks(bencher, reactor, move |reactor| {
            reactor.reset_timer(timer, 3 * HOUR);
        });
    }

    fn in_callbacks(
        bencher: Bencher,
        mut reactor: Reactor,
        code: impl Fn(&mut Reactor) + Copy + 'static,
    ) {
        let mut wanted = 0;
        bencher.bench_local(|| {
            if wanted % TOGETHER == 0 {
                reactor.call_soon(move |reactor| (0..TOGETHER).for_each(|_| code(reactor)));
                reactor.turn(Some(Duration::ZERO)).expect("the poller works");
            }
            wanted += 1;
        });
    }

    /// A reactor with so many timers, due in one to two hours, and one of them.
    fn busy(live: usize, builder: ReactorBuilder) -> (Reactor, TimerId) {
        let mut reactor = builder.build().expect("two descriptors are left");
        let mut set = |delay| reactor.call_later(delay, |_| {});
        let timers: Vec<TimerId> = delays(live).into_iter().map(&mut set).collect();
        (reactor, timers[live / 2])
    }
}

/// The data structure alone.
#[divan::bench_group(sample_count = 10)]
mod alone {
    use std::time::{Duration, Instant};

    use divan::Bencher;

    use super::timers::{TimerId, Timers};
    use super::{CANCELLED, HOUR, LIVE, SOON, TOGETHER, delays, round, shuffled};

    #[divan::bench(args = LIVE, sample_size = CANCELLED)]
    fn insert_and_cancel(bencher: Bencher, live: usize) {
        let (mut timers, _, start) = busy(live);
        let delays = delays(live);
        let mut delay = round(&delays);
        bencher.bench_local(|| {
            let timer = timers.insert(start + delay(), ());
            timers.cancel(timer)
        });
    }

    /// A thousand timers, due at different times and gathered once; the figure is per timer.
    #[divan::bench(args = LIVE, sample_size = 100_000)]
    fn insert_and_fire_together(bencher: Bencher, live: usize) {
        let (mut timers, _, start) = busy(live);
        let delays = delays(TOGETHER);
        let mut set = 0;
        bencher.bench_local(|| {
            // Microseconds instead of hours: all are due soon.
            let delay = (delays[set] - HOUR) / 3_600_000;
            timers.insert(start + delay, ());
            set += 1;
            if set == TOGETHER {
                set = 0;
                timers.gather(start + SOON);
                while timers.next_due(|()| false).is_some() {}
            }
        });
    }

    #[divan::bench(args = LIVE, sample_size = 1_000_000)]
    fn reset_one(bencher: Bencher, live: usize) {
        let (mut timers, ids, start) = busy(live);
        let mut delay = 3 * HOUR;
        bencher.bench_local(|| {
            delay += Duration::from_nanos(1);
            timers.reset(ids[live / 2], start + delay)
        });
    }

    #[divan::bench(args = LIVE, sample_size = 1_000_000)]
    fn reset_all(bencher: Bencher, live: usize) {
        let (mut timers, ids, start) = busy(live);
        let ids = shuffled(ids);
        let mut id = round(&ids);
        bencher.bench_local(|| timers.reset(id(), start + 3 * HOUR));
    }

    fn busy(live: usize) -> (Timers<()>, Vec<TimerId>, Instant) {
        let start = Instant::now();
        let mut timers = Timers::new();
        let ids = delays(live).into_iter().map(|delay| timers.insert(start + delay, ()));
        let ids = ids.collect();
        (timers, ids, start)
    }
}

/// So many delays between one and two hours, in random order.
fn delays(count: usize) -> Vec<Duration> {
    let step = HOUR / u32::try_from(count).expect("the constants above are small");
    shuffled((0..count as u32).map(|number| HOUR + step * number).collect())
}

fn shuffled<T>(mut all: Vec<T>) -> Vec<T> {
    all.shuffle(&mut StdRng::seed_from_u64(1));
    all
}

/// Cycles through all values.
fn round<T: Copy>(all: &[T]) -> impl FnMut() -> T {
    let mut all = all.iter().cycle();
    move || *all.next().expect("there is one")
}
