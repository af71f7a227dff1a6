//! The part that the three programs share: a small server with something for each way to wake a loop.
//!
//! The programs show the same reactor inside three other loops: poll(2), calloop, and tokio. Each needs
//! two things of the reactor. Its descriptor (`AsFd`) is readable when a turn has something to do, and
//! `next_deadline` says when it wants a turn without any event. `turn(Some(Duration::ZERO))` does the work
//! and never waits.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crocus::{Protocol, Reactor, TimerId, Transport};

/// How long a stop waits for the last connections.
const GRACE: Duration = Duration::from_secs(5);

/// How long the answer to `timer` takes: longer than any turn.
const DELAY: Duration = Duration::from_millis(50);

/// Answers a word: at once, after a while, by another thread, or by the end of the server.
struct Answers;

impl Protocol for Answers {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        match data.trim_ascii() {
            b"timer" => drop(transport.call_later(DELAY)),
            b"thread" => {
                let (handle, id) = (transport.reactor().handle(), transport.id());
                std::thread::spawn(move || {
                    handle.call_from_thread(move |reactor| {
                        if let Some(mut transport) = reactor.transport(id) {
                            transport.write(b"a thread called\n");
                        }
                    })
                });
            }
            b"quit" => transport.reactor().shutdown(GRACE),
            _ => drop(transport.write(data)),
        }
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _: TimerId) {
        transport.write(b"a timer fired\n");
    }
}

/// Makes a reactor with the server at a free port, and prints the address.
///
/// # Errors
///
/// If there is no descriptor or no port left, or standard output is closed.
pub fn reactor() -> io::Result<Reactor> {
    let mut reactor = Reactor::new()?;
    let listener = reactor.listen("127.0.0.1:0", |_peer| Answers)?;
    if let Some(addr) = reactor.local_addr(listener) {
        writeln!(io::stdout(), "listening on {addr}")?;
    }
    Ok(reactor)
}

/// How long the host may sleep: until the reactor wants its next turn, or for ever (`None`).
pub fn time_to_sleep(reactor: &Reactor) -> Option<Duration> {
    let deadline = reactor.next_deadline()?;
    Some(deadline.saturating_duration_since(Instant::now()))
}
