//! The common part of servers that measure themselves: the services `timers` and `calls`.
//!
//! A server says how its loop arms a timer, or takes a call; the phases, the clocks and the thread
//! that calls are here, so that they are the same for all.

use std::iter::Map;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, process};

use crate::service::{
    BATCH, BEFORE_A_TRIP, CallFigures, OUTSTANDING, ROUND_TRIPS, TimerFigures, far_deadline,
    near_deadline, print_figures,
};
use crate::sys;

/// How far each timer of the population is moved.
const MOVE: Duration = Duration::from_secs(60);

/// The timers of a loop, called as its users would call them. Delays count from now.
pub trait Timers {
    type Timer;

    /// Arms a timer of the population. None of them lives until it fires.
    fn arm(&mut self, delay: Duration) -> io::Result<Self::Timer>;

    fn reset(&mut self, timer: &mut Self::Timer, delay: Duration) -> io::Result<()>;

    fn cancel(&mut self, timer: Self::Timer) -> io::Result<()>;
}

/// The deadlines of the timers that fire.
pub type Delays = Map<Range<u64>, fn(u64) -> Duration>;

/// The phases of `timers` that handle the population; they may run within a callback.
pub fn population(count: u64, timers: &mut impl Timers) -> io::Result<TimerFigures> {
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
    Ok(TimerFigures { arm, reset, arm_and_cancel, cancel, arm_and_fire: f64::NAN })
}

/// The last phase: `fire` arms a timer for each delay, and has the loop turn until all have fired.
pub fn firing(
    count: u64,
    figures: TimerFigures,
    fire: impl FnOnce(Delays) -> io::Result<()>,
) -> io::Result<()> {
    let delays = (0..count).map(near_deadline as fn(u64) -> Duration);
    let (arm_and_fire, ()) = cost(count, || fire(delays))?;
    print_figures(&TimerFigures { arm_and_fire, ..figures })
}

/// The CPU time of the whole process that `phase` takes, in nanoseconds for each of `count`.
fn cost<T>(count: u64, phase: impl FnOnce() -> io::Result<T>) -> io::Result<(f64, T)> {
    let start = sys::own_cpu_time();
    let outcome = phase()?;
    let spent = sys::own_cpu_time() - start;
    Ok((spent.as_nanos() as f64 / count as f64, outcome))
}

/// How many calls the loop has served; only the loop adds to it. One process measures one loop, once.
static SERVED: AtomicU64 = AtomicU64::new(0);

/// For the next batches.
static PERMITS: Semaphore = Semaphore::new(OUTSTANDING / BATCH);

/// For a call that is waited for.
static ANSWERS: Semaphore = Semaphore::new(0);

/// A request of the other thread to the loop.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    Count,
    /// The last of a batch.
    CountAndPermit,
    Answer,
}

impl Call {
    /// Serves a call; done by the loop.
    pub fn serve(self) {
        if matches!(self, Self::Answer) {
            return ANSWERS.post();
        }
        SERVED.store(SERVED.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if matches!(self, Self::CountAndPermit) {
            PERMITS.post();
        }
    }
}

/// The service `calls`: starts the thread that calls, and goes on; the loop is to turn after it.
///
/// `call` brings a call to the loop's thread, where it is to be [served](Call::serve). When all is
/// measured the thread prints the figures and ends the process.
pub fn start_calling(count: u64, call: impl Fn(Call) + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("caller".into()).spawn(move || {
        // `call` lives until the exit: some loops end when no caller is left.
        let measured = measure_calls(count, &call);
        if let Err(error) = measured.and_then(|figures| print_figures(&figures)) {
            eprintln!("calls: {error}");
            process::exit(1);
        }
        process::exit(0);
    })?;
    Ok(())
}

fn measure_calls(count: u64, call: &impl Fn(Call)) -> io::Result<CallFigures> {
    let (cpu_start, start) = (sys::own_cpu_time(), Instant::now());
    flood(count, call);
    let (took, cpu) = (start.elapsed(), sys::own_cpu_time() - cpu_start);
    if SERVED.load(Ordering::Relaxed) != count {
        return Err(io::Error::other("some calls were lost"));
    }
    let mut trips: Vec<u64> = (0..count.min(ROUND_TRIPS)).map(|_| trip(call)).collect();
    trips.sort_unstable();
    Ok(CallFigures {
        cpu: cpu.as_nanos() as f64 / count as f64,
        calls_per_second: count as f64 / took.as_secs_f64(),
        round_trip_p50: trips[trips.len() / 2],
        round_trip_p99: trips[trips.len() * 99 / 100],
        round_trip_worst: trips[trips.len() - 1],
    })
}

/// Makes `count` calls as fast as the permits allow, and waits until all are served.
fn flood(count: u64, call: &impl Fn(Call)) {
    for first in (0..count).step_by(BATCH as usize) {
        PERMITS.wait();
        for _ in 1..BATCH.min(count - first) {
            call(Call::Count);
        }
        call(Call::CountAndPermit);
    }
    for _ in 0..OUTSTANDING / BATCH {
        PERMITS.wait();
    }
}

/// One call of a loop that sleeps, there and back, in nanoseconds.
fn trip(call: &impl Fn(Call)) -> u64 {
    thread::sleep(BEFORE_A_TRIP);
    let start = Instant::now();
    call(Call::Answer);
    ANSWERS.wait();
    start.elapsed().as_nanos() as u64
}

/// As sem_wait(3) and sem_post(3): a system call is made only if a thread sleeps.
struct Semaphore {
    state: Mutex<State>,
    posted: Condvar,
}

struct State {
    count: u64,
    is_awaited: bool,
}

impl Semaphore {
    const fn new(count: u64) -> Self {
        Self { state: Mutex::new(State { count, is_awaited: false }), posted: Condvar::new() }
    }

    fn post(&self) {
        let mut state = self.lock();
        state.count += 1;
        let is_awaited = state.is_awaited;
        drop(state);
        if is_awaited {
            self.posted.notify_one();
        }
    }

    /// For one thread, the caller.
    fn wait(&self) {
        let mut state = self.lock();
        while state.count == 0 {
            state.is_awaited = true;
            state = self.posted.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.is_awaited = false;
        }
        state.count -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
