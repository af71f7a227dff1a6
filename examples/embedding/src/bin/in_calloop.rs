//! A reactor as one source of a [calloop] event loop.
//!
//! ```text
//! cargo run -p embedding --bin in_calloop
//! ```

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use calloop::generic::Generic;
use calloop::{EventLoop, Interest, Mode, PostAction};
use crocus::Reactor;
use embedding::{reactor, time_to_sleep};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = reactor()?;
    let mut host: EventLoop<'_, Reactor> = EventLoop::try_new()?;
    // The duplicate only reports that events are there. The turn below takes them.
    let descriptor = reactor.as_fd().try_clone_to_owned()?;
    let source = Generic::new(descriptor, Interest::READ, Mode::Level);
    let inserted = host.handle().insert_source(source, |_, _, _| Ok(PostAction::Continue));
    inserted.map_err(|refused| io::Error::other(refused.error.to_string()))?;
    loop {
        host.dispatch(time_to_sleep(&reactor), &mut reactor)?;
        if reactor.turn(Some(Duration::ZERO))?.stopped {
            return Ok(());
        }
    }
}
