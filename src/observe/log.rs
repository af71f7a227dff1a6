//! The observer that logs.

use std::time::Instant;

use super::{Notice, Observer};

/// Logs what an observer is told through the `log` crate, with target `crocus::turn`.
///
/// Each notice is one line. Those about the life of connections, about attempts to connect, pressure and
/// failures come at debug level, all others at trace level.
///
/// # Examples
///
/// ```
/// use crocus::{LogObserver, Reactor};
///
/// let mut reactor = Reactor::new()?;
/// reactor.set_observer(Some(Box::new(LogObserver::new())));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Default)]
pub struct LogObserver {
    _private: (),
}

impl LogObserver {
    /// An observer that logs.
    pub fn new() -> Self {
        Self::default()
    }
}

const TARGET: &str = "crocus::turn";

impl Observer for LogObserver {
    fn notice(&mut self, _at: Instant, notice: &Notice) {
        log::log!(target: TARGET, level_of(notice), "{notice}");
    }
}

fn level_of(notice: &Notice) -> log::Level {
    match notice {
        #[cfg(feature = "proxy")]
        Notice::Identified { .. } => log::Level::Debug,
        Notice::Opened { .. }
        | Notice::Gone { .. }
        | Notice::Pressure { .. }
        | Notice::Panicked { .. }
        | Notice::AttemptBegin { .. }
        | Notice::AttemptEnd { .. }
        | Notice::ConnectFailed { .. }
        | Notice::TurnedAway { .. }
        | Notice::CannotAccept { .. } => log::Level::Debug,
        _ => log::Level::Trace,
    }
}
