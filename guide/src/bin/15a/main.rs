//! Step 15a: a future written by hand, and a loop that polls it.

mod sleep;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use crocus::Reactor;
use sleep::sleep;

/// A waker that is a flag.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn main() -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    let mut future = pin!(reactor.lend(|| sleep(Duration::from_secs(1))));
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    while reactor.lend(|| future.as_mut().poll(&mut context)).is_pending() {
        println!("not yet");
        while !flag.0.swap(false, Ordering::Relaxed) {
            reactor.turn(None)?;
        }
    }
    println!("now");
    Ok(())
}
