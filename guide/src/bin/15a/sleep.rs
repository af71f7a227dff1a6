//! A future written by hand.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crocus::Reactor;

/// A future that is ready when its time has come.
pub(crate) struct Sleep {
    deadline: Instant,
}

pub(crate) fn sleep(delay: Duration) -> Sleep {
    Sleep { deadline: lent(|reactor| reactor.now()) + delay }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (deadline, waker) = (self.deadline, context.waker().clone());
        lent(|reactor| {
            if deadline <= reactor.now() {
                return Poll::Ready(());
            }
            reactor.call_later(deadline - reactor.now(), |_| waker.wake());
            Poll::Pending
        })
    }
}

/// The reactor, for code that is polled.
fn lent<R>(code: impl FnOnce(&mut Reactor) -> R) -> R {
    Reactor::with_lent(code).expect("whoever polls has lent it")
}
