//! Time: a sleep, a timeout, an interval.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::executor::Executor;
use super::in_task;
use crate::{Reactor, TimerId};

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    end: End,
    armed: Option<Armed>,
}

enum End {
    After(Duration),
    At(Instant),
}

struct Armed {
    timer: TimerId,
    waker: Waker,
    executor: Rc<Executor>,
}

/// Waits, from the first poll on.
pub fn sleep(delay: Duration) -> Sleep {
    Sleep { end: End::After(delay), armed: None }
}

/// Waits until a moment of the [reactor's time](Reactor::now).
pub fn sleep_until(moment: Instant) -> Sleep {
    Sleep { end: End::At(moment), armed: None }
}

impl Sleep {
    fn arm(&mut self, reactor: &mut Reactor, cx: &Context<'_>) {
        let delay = match self.end {
            End::After(delay) => delay,
            End::At(moment) => moment.saturating_duration_since(reactor.now()),
        };
        let (waker, waking) = (cx.waker().clone(), cx.waker().clone());
        let timer = reactor.call_later(delay, move |_| waking.wake());
        if let Some(moment) = reactor.timer_deadline(timer) {
            self.end = End::At(moment);
        }
        self.armed = Some(Armed { timer, waker, executor: Executor::of(reactor) });
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        in_task(|reactor| {
            if let Some(armed) = &self.armed {
                if reactor.timer_deadline(armed.timer).is_none() {
                    return Poll::Ready(()); // it has fired
                }
                if armed.waker.will_wake(cx.waker()) {
                    return Poll::Pending;
                }
                reactor.cancel_timer(armed.timer); // another task waits from here on
            }
            self.arm(reactor, cx);
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(Armed { timer, executor, .. }) = self.armed.take() {
            executor.command(move |reactor| _ = reactor.cancel_timer(timer));
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

/// Waits for a future, but not for longer than `limit`; then the future is dropped.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let (mut future, mut limit) = (pin!(future), pin!(sleep(limit)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => limit.as_mut().poll(cx).map(|()| Err(Elapsed { _private: () })),
    })
    .await
}

/// The error of [`timeout`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed {
    _private: (),
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not ready in time")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Ticks on a grid; made by [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    sleep: Sleep,
}

/// A stream that ticks every `period`, first after one period from the first poll.
pub fn interval(period: Duration) -> Interval {
    Interval { period, sleep: sleep(period) }
}

impl Interval {
    /// Waits for the next tick, and returns how many were left out since the last one.
    pub async fn tick(&mut self) -> u64 {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let End::At(due) = self.sleep.end else { return Poll::Pending };
        let now = in_task(|reactor| reactor.now());
        let late = now.saturating_duration_since(due).as_nanos();
        let missed = late.checked_div(self.period.as_nanos()).unwrap_or(0);
        let missed = u32::try_from(missed).unwrap_or(u32::MAX - 1);
        let next = self.period.checked_mul(missed + 1).and_then(|step| due.checked_add(step));
        self.sleep = sleep_until(next.unwrap_or(now));
        Poll::Ready(missed.into())
    }
}

impl Stream for Interval {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        self.poll_tick(cx).map(Some)
    }
}
