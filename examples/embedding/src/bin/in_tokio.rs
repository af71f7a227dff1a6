//! A reactor inside a [tokio] runtime, in one task.
//!
//! A `Reactor` stays on its thread, so the task is the one of `block_on` (or of a `LocalSet`). Protocols
//! start tasks as every function of a runtime does, and a task reaches the reactor by a `Handle`.
//!
//! ```text
//! cargo run -p embedding --bin in_tokio
//! ```

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use embedding::{reactor, time_to_sleep};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve())
}

async fn serve() -> io::Result<()> {
    let mut reactor = reactor()?;
    let descriptor = reactor.as_fd().try_clone_to_owned()?;
    #[allow(deprecated, reason = "the successor is unsafe; an `OwnedFd` keeps what it asks for")]
    let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
    loop {
        let time = time_to_sleep(&reactor).unwrap_or(Duration::MAX);
        // Before the turn: tokio reports an event once, and one that comes during the turn must be seen.
        if let Ok(readable) = timeout(time, descriptor.readable()).await {
            readable?.clear_ready();
        }
        // Events beyond the capacity of one poll make no new edge, so turns go on until one has none.
        loop {
            let report = reactor.turn(Some(Duration::ZERO))?;
            if report.stopped {
                return Ok(());
            }
            if report.events == 0 {
                break;
            }
        }
    }
}
