//! Blocking work, as a future.

use std::rc::Rc;

use super::in_task;
use super::slot::Slot;
use crate::ThreadError;

/// Runs `work`, which may block, in a thread, from the first poll on, and waits for its result.
///
/// # Errors
///
/// If the work panicked, or no thread could be started.
pub async fn call_in_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ThreadError> {
    let slot = Slot::new();
    let result = Rc::clone(&slot);
    in_task(|reactor| reactor.call_in_thread(work, move |_, outcome| result.give(outcome)));
    std::future::poll_fn(|cx| slot.poll(cx)).await
}
