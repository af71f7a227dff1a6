//! Step 15x, which is wrong: a future that is not ready, and keeps no waker.

#[path = "15b/tasks.rs"]
mod tasks;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crocus::Reactor;
use tasks::{Tasks, spawn};

fn main() -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    spawn(&mut reactor, Box::pin(tick()));
    reactor.run()?;
    let tasks = reactor.take_state::<Tasks>().unwrap_or_default();
    println!("tasks that wait: {}", tasks.waiting.len());
    Ok(())
}

async fn tick() -> io::Result<()> {
    Sleep { deadline: Instant::now() + Duration::from_secs(1) }.await;
    println!("tick");
    Ok(())
}

/// A future that is ready when its time has come, and tells nobody.
struct Sleep {
    deadline: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if self.deadline <= Instant::now() { Poll::Ready(()) } else { Poll::Pending }
    }
}
