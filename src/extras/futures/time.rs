//! Time: a sleep, a timeout, an interval.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::executor::Executor;
use super::in_task;
use super::shared::Undo;
use crate::{Reactor, TimerId};

/// The future of [`sleep`] and [`sleep_until`].
///
/// # Examples
///
/// One deadline for several waits:
///
/// ```
/// use std::time::Duration;
/// use crocus::futures::{interval, run_until, sleep};
/// use crocus::testing::Simulation;
/// use futures_lite::future;
///
/// let mut simulation = Simulation::new();
/// let ticks = run_until(simulation.reactor(), async {
///     let (mut ticks, mut count) = (interval(Duration::from_secs(3)), 0);
///     let mut end = sleep(Duration::from_secs(10));
///     while future::or(async { ticks.tick().await; true }, async { (&mut end).await; false }).await {
///         count += 1;
///     }
///     count
/// })?;
/// assert_eq!(ticks, 3);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    end: End,
    timer: Option<(Undo<TimerId>, Waker)>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    After(Duration),
    At(Instant),
}

/// Waits for so long, from the first poll on; without a delay, until the next turn.
///
/// Never too short, and a task that waits costs nothing. See [`Reactor::call_later`](crate::Reactor::call_later).
///
/// # Panics
///
/// If it is awaited outside of a task.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::futures::{run_until, sleep, sleep_until};
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// let noon = simulation.reactor().now() + Duration::from_secs(12 * 3600);
/// run_until(simulation.reactor(), async move {
///     sleep(Duration::from_secs(3600)).await;
///     sleep_until(noon).await;
/// })?;
/// assert_eq!(simulation.elapsed(), Duration::from_secs(12 * 3600));
/// # std::io::Result::Ok(())
/// ```
pub fn sleep(delay: Duration) -> Sleep {
    Sleep { end: End::After(delay), timer: None }
}

/// Waits until a moment of the [reactor's time](crate::Reactor::now). See the example of [`sleep`].
///
/// # Panics
///
/// If it is awaited outside of a task.
pub fn sleep_until(moment: Instant) -> Sleep {
    Sleep { end: End::At(moment), timer: None }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        in_task(|reactor| {
            if let Some((timer, waker)) = &self.timer {
                if let End::At(moment) = self.end
                    && moment <= reactor.now()
                {
                    return Poll::Ready(());
                }
                if reactor.timer_deadline(timer.id).is_some() && waker.will_wake(cx.waker()) {
                    return Poll::Pending;
                }
                reactor.cancel_timer(timer.id); // another task waits from here on
            }
            let waker = cx.waker().clone();
            let wake = |_: &mut Reactor| waker.wake();
            let id = match self.end {
                End::After(delay) => reactor.call_later(delay, wake),
                End::At(moment) => reactor.call_at(moment, wake),
            };
            self.end = reactor.timer_deadline(id).map_or(self.end, End::At);
            let waker = cx.waker().clone();
            if let Some(former) = &mut self.timer {
                (former.0.id, former.1) = (id, waker); // its drop here would be a call
            } else {
                let executor = Executor::of(reactor);
                let undo = Undo { executor, id, undo: |reactor, id| _ = reactor.cancel_timer(id) };
                self.timer = Some((undo, waker));
            }
            Poll::Pending
        })
    }
}

/// Waits for a future, but not for longer than `limit`; then the future is dropped.
///
/// # Errors
///
/// `TimedOut`.
///
/// # Examples
///
/// ```
/// use std::future::pending;
/// use std::io::ErrorKind;
/// use std::time::Duration;
/// use crocus::futures::{run_until, timeout};
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// let never = timeout(Duration::from_secs(60), pending::<()>());
/// let result = run_until(simulation.reactor(), never)?;
/// assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
/// assert_eq!(simulation.elapsed(), Duration::from_secs(60));
/// # std::io::Result::Ok(())
/// ```
pub async fn timeout<F: Future>(limit: Duration, future: F) -> io::Result<F::Output> {
    let (mut future, mut limit) = (pin!(future), pin!(sleep(limit)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => limit
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "not ready in time"))),
    })
    .await
}

/// Ticks on a grid; made by [`interval`]. A stream without an end, of what [`tick`](Self::tick) gives.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::futures::{interval, run_until};
/// use crocus::testing::Simulation;
/// use futures_lite::StreamExt;
///
/// let mut simulation = Simulation::new();
/// run_until(simulation.reactor(), interval(Duration::from_secs(1)).take(3).for_each(|_| {}))?;
/// assert_eq!(simulation.elapsed(), Duration::from_secs(3));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Sleep,
}

/// Ticks every `period`, first after one period from the first poll.
///
/// The ticks stay on that grid: a task that is late does not delay the others. See
/// [`Reactor::call_every`](crate::Reactor::call_every).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::futures::{interval, run_until, sleep};
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// run_until(simulation.reactor(), async {
///     let mut ticks = interval(Duration::from_secs(10));
///     assert_eq!(ticks.tick().await, 0); // at 10 s
///     sleep(Duration::from_secs(25)).await;
///     assert_eq!(ticks.tick().await, 1); // at 35 s: the tick of 20 s is late, that of 30 s is left out
///     ticks.tick().await;
/// })?;
/// assert_eq!(simulation.elapsed(), Duration::from_secs(40));
/// # std::io::Result::Ok(())
/// ```
pub fn interval(period: Duration) -> Interval {
    Interval { period, next: sleep(period) }
}

impl Interval {
    /// Waits for the next tick, and returns how many were left out since the last one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::futures::{interval, run_until};
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let mut ticks = interval(Duration::from_secs(10));
    /// assert_eq!(run_until(simulation.reactor(), async move { ticks.tick().await })?, 0);
    /// assert_eq!(simulation.elapsed(), Duration::from_secs(10));
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn tick(&mut self) -> u64 {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        ready!(Pin::new(&mut self.next).poll(cx));
        let End::At(due) = self.next.end else { return Poll::Pending };
        let now = in_task(|reactor| reactor.now());
        let late = now.saturating_duration_since(due).as_nanos();
        let missed = late.checked_div(self.period.as_nanos()).unwrap_or(0);
        let missed = u32::try_from(missed).unwrap_or(u32::MAX - 1);
        let next = self.period.checked_mul(missed + 1).and_then(|step| due.checked_add(step));
        self.next = sleep_until(next.unwrap_or(now));
        Poll::Ready(missed.into())
    }
}

impl Stream for Interval {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        self.poll_tick(cx).map(Some)
    }
}
