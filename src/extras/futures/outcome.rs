//! The future of a task and the place of its outcome, both without their types.

use std::any::Any;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::shared::Shared;
use super::task::JoinError;

/// The payload of a panic.
type Payload = Box<dyn Any + Send>;

/// The place in which a handle finds the outcome.
pub(super) type Place<T> = Shared<Option<Result<T, JoinError>>>;

/// A future without its type.
pub(super) type BoxedBody = Pin<Box<dyn Body>>;

/// The future of a task as it is. An `async` block around it would take three times its memory: the compiler gives what a
/// block captures and what it awaits a place each.
pub(super) trait Body {
    /// Polls it; returns it if it goes on. Else it is dropped, and then its output comes into the place that is meant for it.
    fn poll_into(self: Pin<Box<Self>>, cx: &mut Context<'_>, place: &dyn Any) -> Option<BoxedBody>;
}

impl<F: Future<Output: 'static> + 'static> Body for F {
    fn poll_into(
        mut self: Pin<Box<Self>>,
        cx: &mut Context<'_>,
        place: &dyn Any,
    ) -> Option<BoxedBody> {
        let Poll::Ready(output) = self.as_mut().poll(cx) else { return Some(self) };
        drop(self); // before anybody sees its output; if this panics, the output goes with it
        if let Some(place) = place.downcast_ref::<Place<F::Output>>() {
            place.look(|place| *place = Some(Ok(output)));
        }
        None
    }
}

/// A place, whatever the output.
trait Untyped: Any {
    /// Wakes the one who waits for the outcome: this error, or else the output that is there.
    fn end(&self, error: Option<JoinError>);
}

impl<T: 'static> Untyped for Place<T> {
    fn end(&self, error: Option<JoinError>) {
        self.note(|place| {
            if let Some(error) = error {
                *place = Some(Err(error));
            }
        });
    }
}

/// The outcome of a task that is not over. Dropped before it is given, the task was aborted.
pub(super) struct Outcome(Option<Rc<dyn Untyped>>);

impl Outcome {
    pub(super) fn new<T: 'static>(place: &Rc<Place<T>>) -> Self {
        Self(Some(Rc::<Place<T>>::clone(place)))
    }

    /// Polls the future; returns it if it goes on.
    pub(super) fn poll(&self, body: BoxedBody, cx: &mut Context<'_>) -> Option<BoxedBody> {
        body.poll_into(cx, &**self.0.as_ref()?)
    }

    /// The future is dropped. Returns its panic, unless somebody has a handle and gets that.
    pub(super) fn end(mut self, aborted: bool, panic: Option<Payload>) -> Option<Payload> {
        let place = self.0.take_if(|_| !aborted);
        match (place, panic) {
            (Some(place), Some(panic)) if Rc::strong_count(&place) > 1 => {
                place.end(Some(JoinError::Panicked(panic)));
                None
            }
            (Some(place), None) => {
                place.end(None);
                None
            }
            (_, panic) => panic,
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            place.end(Some(JoinError::Aborted));
        }
    }
}
