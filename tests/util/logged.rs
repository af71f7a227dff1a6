//! The lines that crocus logs.

use std::cell::{Cell, RefCell};
use std::sync::Once;

use log::Level;

thread_local! {
    static LEVEL: Cell<Level> = const { Cell::new(Level::Warn) };
    static LOGGED: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Takes the warnings and errors that crocus logged on this thread since the last call. The first
/// call begins it.
pub fn logged() -> Vec<String> {
    let lines = logged_up_to(Level::Warn);
    lines.into_iter().map(|(level, line)| format!("{level} {line}")).collect()
}

/// Takes what crocus logged on this thread since the last call. From now on it collects up to `level`.
/// Tests run beside each other in one process, so each thread has its own level and lines.
pub fn logged_up_to(level: Level) -> Vec<(Level, String)> {
    struct Logger;

    impl log::Log for Logger {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= LEVEL.get() && metadata.target().starts_with("crocus")
        }

        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                let line = (record.level(), record.args().to_string());
                LOGGED.with_borrow_mut(|lines| lines.push(line));
            }
        }

        fn flush(&self) {}
    }

    static BEGIN: Once = Once::new();
    BEGIN.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    LEVEL.set(level);
    LOGGED.take()
}
