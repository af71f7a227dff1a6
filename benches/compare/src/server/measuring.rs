//! What servers share that measure themselves: the services `timers` and `calls`.
//!
//! A server says how its loop arms a timer, or takes a call; the phases, the clocks and the thread
//! that calls are here, so that they are the same for all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use std::{io, process};

use crate::service::{
    CallFigures, OUTSTANDING, ROUND_TRIPS, TimerFigures, far_deadline, near_deadline, print_figures,
};
use crate::sys;

/// How far each timer of the population is moved.
const MOVE: Duration = Duration::from_secs(60);

/// How long the calling thread sleeps when too many calls are outstanding, and before each round
/// trip, so that the loop has fallen asleep. (The kernel makes it some 50 µs longer.)
const PAUSE: Duration = Duration::from_micros(20);

/// The timers of a loop, as a user of it would call them. Delays count from now.
pub trait Timers {
    type Timer;

    /// Arms a timer of the population. None of them lives until it fires.
    fn arm(&mut self, delay: Duration) -> io::Result<Self::Timer>;

    fn reset(&mut self, timer: &mut Self::Timer, delay: Duration) -> io::Result<()>;

    fn cancel(&mut self, timer: Self::Timer) -> io::Result<()>;

    /// Arms a timer for each delay, and has the loop turn until all of them have fired.
    fn fire(&mut self, delays: impl Iterator<Item = Duration>) -> io::Result<()>;
}

/// The service `timers`.
pub fn timers(count: u64, timers: &mut impl Timers) -> io::Result<()> {
    let (arm, mut population) = cost(count, || {
        (0..count).map(|index| timers.arm(far_deadline(index))).collect::<io::Result<Vec<_>>>()
    })?;
    let (reset, ()) = cost(count, || {
        let mut moved = (0..).zip(&mut population);
        moved.try_for_each(|(index, timer)| timers.reset(timer, far_deadline(index) + MOVE))
    })?;
    let (arm_and_cancel, ()) = cost(count, || {
        (0..count).try_for_each(|index| {
            let timer = timers.arm(far_deadline(index))?;
            timers.cancel(timer)
        })
    })?;
    let (cancel, ()) =
        cost(count, || population.into_iter().try_for_each(|timer| timers.cancel(timer)))?;
    let (arm_and_fire, ()) = cost(count, || timers.fire((0..count).map(near_deadline)))?;
    print_figures(&TimerFigures { arm, reset, arm_and_cancel, cancel, arm_and_fire })
}

/// The CPU time of the whole process that `phase` takes, in nanoseconds for each of `count`.
fn cost<T>(count: u64, phase: impl FnOnce() -> io::Result<T>) -> io::Result<(f64, T)> {
    let start = sys::own_cpu_time();
    let outcome = phase()?;
    let spent = sys::own_cpu_time() - start;
    Ok((spent.as_nanos() as f64 / count as f64, outcome))
}

/// How many calls the loop has served. One process measures one loop, once.
static SERVED: AtomicU64 = AtomicU64::new(0);

/// What the other thread wants of the loop: to be counted, and perhaps to be answered.
#[derive(Debug)]
pub struct Call {
    /// Who sleeps until the call is served.
    caller: Option<Thread>,
}

impl Call {
    /// What the loop does for a call.
    pub fn serve(self) {
        SERVED.fetch_add(1, Ordering::Release);
        if let Some(caller) = self.caller {
            caller.unpark();
        }
    }
}

/// The service `calls`: starts the thread that calls, and goes on; the loop is to turn after it.
///
/// `call` brings a call to the loop's thread, where it is to be [served](Call::serve). When all is
/// measured the thread prints the figures and ends the process.
pub fn start_calling(count: u64, call: impl Fn(Call) + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("caller".into()).spawn(move || {
        // `call` lives until the exit: some loops end when nobody can call any more.
        let printed = print_figures(&measure_calls(count, &call));
        process::exit(i32::from(printed.is_err()));
    })?;
    Ok(())
}

fn measure_calls(count: u64, call: &impl Fn(Call)) -> CallFigures {
    let (cpu_start, start) = (sys::own_cpu_time(), Instant::now());
    flood(count, call);
    let (took, cpu) = (start.elapsed(), sys::own_cpu_time() - cpu_start);

    let mut trips: Vec<u64> = (0..ROUND_TRIPS).map(|index| trip(count + index, call)).collect();
    trips.sort_unstable();
    CallFigures {
        cpu: cpu.as_nanos() as f64 / count as f64,
        calls_per_second: count as f64 / took.as_secs_f64(),
        round_trip_p50: trips[trips.len() / 2],
        round_trip_p99: trips[trips.len() * 99 / 100],
        round_trip_worst: trips[trips.len() - 1],
    }
}

/// Makes `count` calls as fast as the bound allows, and waits until all are served.
fn flood(count: u64, call: &impl Fn(Call)) {
    let mut served = 0; // as last seen: to look costs a cache miss, here and in the loop
    for made in 0..count {
        if made - served >= OUTSTANDING {
            served = wait_for(made - OUTSTANDING + 1);
        }
        call(Call { caller: None });
    }
    wait_for(count);
}

/// Sleeps until that many calls are served; returns how many are.
///
/// Spinning would be CPU time that no loop is to blame for.
fn wait_for(wanted: u64) -> u64 {
    loop {
        let served = SERVED.load(Ordering::Acquire);
        if served >= wanted {
            return served;
        }
        thread::sleep(PAUSE);
    }
}

/// One call of an idle loop, there and back, in nanoseconds; `served` calls were made before.
fn trip(served: u64, call: &impl Fn(Call)) -> u64 {
    thread::sleep(PAUSE);
    let start = Instant::now();
    call(Call { caller: Some(thread::current()) });
    while SERVED.load(Ordering::Acquire) <= served {
        thread::park();
    }
    start.elapsed().as_nanos() as u64
}
