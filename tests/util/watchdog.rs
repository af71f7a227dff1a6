//! Ends a test that hangs.

use super::TIME_LIMIT;

/// Ends the test program with a message if it is not dropped in time. Otherwise a `run` that never
/// returns would say nothing at all.
pub struct Watchdog {
    _alive: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    pub fn new(what: &'static str) -> Self {
        let (alive, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            if ended.recv_timeout(TIME_LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("never happened: {what}");
                std::process::exit(101);
            }
        });
        Self { _alive: alive }
    }
}
