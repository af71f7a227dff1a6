//! The services. Each server that is compared knows some of these services.
//!
//! A server takes the name of the service as its argument, listens on 127.0.0.1 at a port that the
//! system picks, with a backlog of [`BACKLOG`] and TCP_NODELAY on each connection, prints
//! `listening on 127.0.0.1:PORT` as its first line on stdout, and serves until it is killed:
//!
//! | service | for each connection |
//! |---|---|
//! | `random` | answered with the 81 bytes of [`write_random`], 16 of them random, and closed. Nothing is read |
//! | `echo` | each chunk that comes is sent back, until the peer closes. A peer that does not read is not read: no buffer grows without bound |
//! | `flood` | as `echo`, with a buffer of [`FLOOD_BUFFER`] to read into; crocus, with tasks or without, has a buffer of that size anyway |
//! | `bulk` | endless copies of [`BULK`] are sent until the peer closes or resets. Nothing is read |
//! | `broadcast` | each chunk that comes is sent to all connections, its sender among them |
//! | `beside-broadcast COUNT` | the first COUNT connections are as in `broadcast`, those after them as in `echo` and hear nothing of it |
//! | `beside-timers COUNT` | as `echo`, beside COUNT timers that begin with the server. Each is first due after [`first_tick`], and each time that it fires it is armed for [`TICK_INTERVAL`] later |
//! | `cores-random`, `cores-echo` | the first two on all cores, by one loop or by two with one port |
//! | `tls-random`, `tls-echo`, `tls-bulk` | the first three over TLS, see [`crate::certificates`]. The answer of `tls-random` comes after the handshake, and close_notify behind it |
//!
//! Two services use no network. The server measures itself and prints one line of JSON, see
//! [`TimerFigures`] and [`CallFigures`], and exits:
//!
//! | service | the measurement |
//! |---|---|
//! | `timers COUNT` | a population of COUNT timers is armed, 60 to 120 s ahead, scattered by [`scatter`]; each is moved to 60 s later; beside them, COUNT times, one more is armed and cancelled at once; each of the population is cancelled; COUNT are armed 0 to 50 ms ahead, scattered, before the loop turns, and the loop turns until all have fired |
//! | `calls COUNT` | another thread makes COUNT calls on the loop as fast as it may, and the loop counts them; then, COUNT times but no more than 5,000, it sleeps for 100 µs, so that the loop sleeps too, makes one call, and waits for its answer |
//!
//! No more than [`OUTSTANDING`] calls may wait, so that no queue grows without bound: the caller takes
//! one of two permits before each [`BATCH`] of calls, asleep if none is left, and the last call of the
//! batch gives it back; this adds no cost per call, and no thread spins. Where two threads wait for
//! each other, they do so at a semaphore.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A service with this before its name is the same over TLS.
pub const OVER_TLS: &str = "tls-";

/// A service with this before its name is the same on all cores.
pub const ON_CORES: &str = "cores-";

/// The backlog of all servers.
pub const BACKLOG: u32 = 4096;

/// How large the block of the service `bulk` is: some tens of kB, as a program would write at once,
/// and a whole number of periods of its pattern.
pub const BULK_BLOCK: usize = 251 * 256;

/// The period of the pattern: a prime, so that no power of two lost or doubled goes unnoticed.
pub const BULK_PERIOD: usize = 251;

/// How large the buffer is that servers read into.
pub const READ_BUFFER: usize = 64 * 1024;

/// The same for the service `flood`: as much as crocus reads at once.
pub const FLOOD_BUFFER: usize = 256 * 1024;

/// A large buffer begins with a page: on some processors the kernel's copies into it take five times as long
/// otherwise, see `crocus::connection::lent`. Allocators begin 16 bytes behind it.
const PAGE: usize = 4096;

/// The buffer that a server reads into.
pub struct ReadBuffer {
    memory: Vec<u8>,
    begin: usize,
}

impl ReadBuffer {
    pub fn new(size: usize) -> Self {
        let memory = vec![0; size + PAGE];
        let begin = memory.as_ptr().align_offset(PAGE).min(PAGE);
        Self { memory, begin }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        let end = self.memory.len() - PAGE + self.begin;
        &mut self.memory[self.begin..end]
    }
}

/// How many calls of the service `calls` may be outstanding.
pub const OUTSTANDING: u64 = 1024;

/// How many of them one permit covers.
pub const BATCH: u64 = OUTSTANDING / 2;

/// The most round trips that the service `calls` measures.
pub const ROUND_TRIPS: u64 = 5_000;

/// How long the caller sleeps before each of them: longer than any loop takes to fall asleep.
pub const BEFORE_A_TRIP: Duration = Duration::from_micros(100);

/// The exit status of a server that does not have the service it is asked for.
pub const NO_SUCH_SERVICE: i32 = 3;

/// How long the answer of the service `random` is.
pub const RANDOM_LENGTH: usize = 81;

pub const RANDOM_HEAD: &[u8; 34] = b"You requested some random bytes:\n\n";
pub const RANDOM_TAIL: &[u8; 31] = b"  \n\nYou want fries with that?\n\n";

/// The answer of the service `random`, in one buffer.
pub fn write_random(answer: &mut [u8; RANDOM_LENGTH]) {
    answer[..34].copy_from_slice(RANDOM_HEAD);
    rand::fill(&mut answer[34..50]);
    answer[50..].copy_from_slice(RANDOM_TAIL);
}

/// The block that the service `bulk` sends again and again: the byte at offset n of the stream is n modulo 251.
pub fn bulk_block() -> Vec<u8> {
    (0..BULK_BLOCK).map(|offset| (offset % BULK_PERIOD) as u8).collect()
}

/// A number from 0 to `below` - 1 for the timer of that index: in no order, and the same everywhere.
pub fn scatter(index: u64, below: u64) -> u64 {
    (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % below
}

/// The deadline of the timer of that index in the population.
pub fn far_deadline(index: u64) -> Duration {
    Duration::from_millis(60_000 + scatter(index, 60_000))
}

/// The deadline of the timer of that index, among those that fire.
pub fn near_deadline(index: u64) -> Duration {
    Duration::from_micros(scatter(index, 50_000))
}

/// The interval of each timer of `beside-timers`: of 100,000, as it has, 25,000 fire in a second.
pub const TICK_INTERVAL: Duration = Duration::from_secs(4);

/// When the timer of that index is first due: all of them are spread over one interval.
pub fn first_tick(index: u64) -> Duration {
    Duration::from_micros(scatter(index, TICK_INTERVAL.as_micros() as u64))
}

/// The cost of the service `timers`: nanoseconds of the process' CPU time per timer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TimerFigures {
    pub arm: f64,
    pub reset: f64,
    /// Arming one more and cancelling it, with the population live.
    pub arm_and_cancel: f64,
    pub cancel: f64,
    /// Arming, and the turns in which they fire; sleeping costs no CPU time.
    pub arm_and_fire: f64,
}

/// The cost of the service `calls`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CallFigures {
    /// Nanoseconds of the process' CPU time, of both threads together, per call of the flood.
    pub cpu: f64,
    pub calls_per_second: f64,
    /// From one idle thread to the loop and back, in nanoseconds of real time.
    pub round_trip_p50: u64,
    pub round_trip_p99: u64,
    pub round_trip_worst: u64,
}

/// Prints the figures as the line that the comparison reads.
pub fn print_figures(figures: &impl Serialize) -> io::Result<()> {
    println!("{}", serde_json::to_string(figures)?);
    Ok(())
}
