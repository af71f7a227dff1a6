//! A reactor inside a loop of poll(2), which waits for the keyboard too.
//!
//! ```text
//! cargo run -p embedding --bin in_poll
//! ```

use std::io::{self, Read};
use std::time::Duration;

use embedding::{reactor, time_to_sleep};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn main() -> io::Result<()> {
    let mut reactor = reactor()?;
    let mut keyboard = io::stdin();
    let mut keyboard_is_open = true;
    loop {
        let mut waited_for = vec![PollFd::new(&reactor, PollFlags::IN)];
        if keyboard_is_open {
            waited_for.push(PollFd::new(&keyboard, PollFlags::IN));
        }
        let time = time_to_sleep(&reactor).and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut waited_for, time.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let typed = waited_for.get(1).is_some_and(|keyboard| !keyboard.revents().is_empty());
        if reactor.turn(Some(Duration::ZERO))?.stopped {
            return Ok(());
        }
        if typed {
            let count = keyboard.read(&mut [0; 4096])?;
            keyboard_is_open = count > 0;
            eprintln!("the host read {count} bytes from the keyboard");
        }
    }
}
