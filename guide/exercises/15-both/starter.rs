//! Exercise 15, both: two futures are waited for, one after the other.
//!
//! Together they take five seconds. Let them take three: each `poll` of `Both` shall ask both futures.

#[path = "../../src/bin/15b/sleep.rs"]
mod sleep;
#[path = "../../src/bin/15b/tasks.rs"]
mod tasks;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crocus::testing::Simulation;
use sleep::sleep;
use tasks::{Task, spawn};

const SECOND: Duration = Duration::from_secs(1);

/// Two futures; it is ready when both are. One that is ready is gone, for it must not be polled again.
struct Both {
    first: Option<Task>,
    second: Option<Task>,
}

impl Future for Both {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let both = self.get_mut();
        for place in [&mut both.first, &mut both.second] {
            let Some(task) = place else { continue };
            match task.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => *place = None,
            }
        }
        Poll::Ready(Ok(()))
    }
}

async fn wait(name: &str, seconds: u32) -> io::Result<()> {
    sleep(SECOND * seconds).await;
    println!("{name} is ready");
    Ok(())
}

async fn wait_for_both() -> io::Result<()> {
    let (first, second) = (Box::pin(wait("first", 3)), Box::pin(wait("second", 2)));
    Both { first: Some(first), second: Some(second) }.await?;
    println!("both are ready");
    Ok(())
}

fn main() {
    let mut simulation = Simulation::new();
    spawn(simulation.reactor(), Box::pin(wait_for_both()));
    for second in 1..=6 {
        println!("second {second}");
        simulation.advance(SECOND);
    }
}
