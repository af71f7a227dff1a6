//! Exercise 15, timeout: a limit that is forgotten.
//!
//! `poll` asks the future and nothing else. Let it also ask the limit, which is a future too. If both are ready at
//! the same moment, the future counts.

#[path = "../../src/bin/15b/sleep.rs"]
mod sleep;
#[path = "../../src/bin/15b/tasks.rs"]
mod tasks;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crocus::testing::Simulation;
use sleep::{Sleep, sleep};
use tasks::spawn;

const SECOND: Duration = Duration::from_secs(1);

/// A future with a limit: it is ready with `None` if the limit is over first.
struct Timeout<F> {
    future: F,
    #[allow(dead_code, reason = "it is forgotten; this line goes when `poll` asks it")]
    limit: Sleep,
}

impl<F: Future + Unpin> Future for Timeout<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.future).poll(context).map(Some)
    }
}

async fn wait(name: &str, seconds: u32) -> io::Result<()> {
    let (future, limit) = (sleep(SECOND * seconds), sleep(SECOND * 5));
    match (Timeout { future, limit }).await {
        Some(()) => println!("{name}: in time"),
        None => println!("{name}: too late"),
    }
    Ok(())
}

fn main() {
    let mut simulation = Simulation::new();
    for (name, seconds) in [("quick", 1), ("just", 5), ("slow", 9)] {
        spawn(simulation.reactor(), Box::pin(wait(name, seconds)));
    }
    for second in 1..=10 {
        println!("second {second}");
        simulation.advance(SECOND);
    }
}
