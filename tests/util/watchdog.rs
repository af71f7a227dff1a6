//! What ends a test that hangs.

use super::PATIENCE;

/// Ends the test program, with a word, if it is not dropped in time: a `run` that never returns
/// would otherwise say nothing at all.
pub struct Watchdog {
    _bone: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    pub fn new(what: &'static str) -> Self {
        let (bone, taken) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            if taken.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("never happened: {what}");
                std::process::exit(101);
            }
        });
        Self { _bone: bone }
    }
}
