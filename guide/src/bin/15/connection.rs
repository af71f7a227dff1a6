//! A connection that a task reads and writes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crocus::{ConnectionId, Protocol, Reactor, Reason, Transport};
use futures_lite::io::{AsyncRead, AsyncWrite};

use super::tasks::{Task, spawn};

/// The bytes that came and were not read, and the waker of the task that waits.
pub(crate) struct Bytes {
    serve: fn(Connection) -> Task,
    input: VecDeque<u8>,
    has_ended: bool,
    waker: Option<Waker>,
}

impl Bytes {
    pub(crate) fn new(serve: fn(Connection) -> Task) -> Self {
        Self { serve, input: VecDeque::new(), has_ended: false, waker: None }
    }

    fn wake(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }
}

impl Protocol for Bytes {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.set_timeout(Some(Duration::from_secs(5)));
        let task = (self.serve)(Connection(transport.id()));
        spawn(transport.reactor(), task);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.input.extend(data);
        transport.pause_reading(); // until the task has read this
        self.wake();
    }

    fn eof_received(&mut self, _transport: &mut Transport<'_>) {
        self.has_ended = true;
        self.wake();
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        transport.default_resume_writing();
        self.wake();
    }

    fn connection_lost(&mut self, _transport: &mut Transport<'_>, _reason: &Reason) {
        self.wake();
    }
}

/// A connection as its task has it. It closes when it is dropped.
pub(crate) struct Connection(ConnectionId);

type Polled<T> = Poll<io::Result<T>>;

impl Connection {
    fn with<T>(&self, code: impl FnOnce(&mut Bytes, &mut Transport<'_>) -> T) -> io::Result<T> {
        let found = Reactor::with_lent(|reactor| reactor.with_protocol(self.0, code)).flatten();
        found.ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context, buffer: &mut [u8]) -> Polled<usize> {
        self.with(|bytes, transport| {
            if bytes.input.is_empty() && !bytes.has_ended {
                bytes.waker = Some(context.waker().clone());
                transport.resume_reading();
                return Poll::Pending;
            }
            Poll::Ready(bytes.input.read(buffer))
        })?
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context, data: &[u8]) -> Polled<usize> {
        self.with(|bytes, transport| {
            if transport.buffered() > transport.write_buffer_limits().0 {
                bytes.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            transport.write(data);
            Poll::Ready(Ok(data.len()))
        })?
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context) -> Polled<()> {
        Poll::Ready(Ok(())) // the reactor does it
    }

    fn poll_close(self: Pin<&mut Self>, _context: &mut Context) -> Polled<()> {
        Poll::Ready(self.with(|_, transport| transport.lose_write_connection()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.with(|_, transport| transport.lose_connection());
    }
}
