//! crocus as hyper sees it: an input and output, a clock and an executor.
//!
//! hyper has traits of its own for these three. Each is a few lines here, and each is what a program of yours would
//! copy. `README.md` says which crates run on tasks, and which do not.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crocus::futures::{Connection, spawn_local};
use crocus::{Reactor, TimerId};
use futures::{AsyncBufRead, AsyncWrite};
use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};

/// A [`Connection`] that hyper reads and writes.
#[derive(Debug)]
pub struct Io(pub Connection);

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut peer = Pin::new(&mut self.0);
        let bytes = ready!(peer.as_mut().poll_fill_buf(cx))?;
        let count = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..count]);
        peer.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// The executor that hyper's HTTP/2 spawns its streams on. It takes futures that are not `Send`.
#[derive(Clone, Copy, Debug)]
pub struct Tasks;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// The reactor's time, which in a simulation is wound by hand.
#[derive(Clone, Copy, Debug)]
pub struct Clock;

impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Nap { deadline, timer: None })
    }

    fn now(&self) -> Instant {
        in_task(|reactor| reactor.now())
    }
}

/// A sleep that is `Send` and `Sync`, for hyper asks for it. [`crocus::futures::Sleep`] is neither, so this sets its
/// timer itself.
#[derive(Debug)]
struct Nap {
    deadline: Instant,
    timer: Option<(TimerId, Waker)>,
}

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        in_task(|reactor| {
            let delay = self.deadline.saturating_duration_since(reactor.now());
            if delay.is_zero() {
                return Poll::Ready(());
            }
            if self.timer.as_ref().is_none_or(|(_, waker)| !waker.will_wake(cx.waker())) {
                self.cancel(reactor);
                let waker = cx.waker().clone();
                let id = reactor.call_later(delay, move |_| waker.wake());
                self.timer = Some((id, cx.waker().clone()));
            }
            Poll::Pending
        })
    }
}

impl Sleep for Nap {}

impl Nap {
    fn cancel(&mut self, reactor: &mut Reactor) {
        if let Some((id, _)) = self.timer.take() {
            reactor.cancel_timer(id);
        }
    }
}

impl Drop for Nap {
    fn drop(&mut self) {
        Reactor::with_lent(|reactor| self.cancel(reactor)); // elsewhere it would wake a task that is over
    }
}

fn in_task<R>(code: impl FnOnce(&mut Reactor) -> R) -> R {
    Reactor::with_lent(code).expect("hyper asks for the time in a task only")
}
