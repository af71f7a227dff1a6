//! A connection in the hands of a task.

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::executor::Executor;
use super::link::{Awaited, Guest, Link};
use super::slot::keep;
use crate::{Address, ConnectionId, Protocol, Reason, Transport};

/// A connection that a task reads and writes.
pub struct Connection {
    link: Rc<Link>,
    id: ConnectionId,
    peer: Address,
    /// Bytes that the task is reading, from `read` on.
    buffer: Vec<u8>,
    read: usize,
    /// Whether a protocol has taken over.
    given: bool,
}

impl Connection {
    pub(super) fn new(link: &Rc<Link>, transport: &Transport<'_>) -> Self {
        let (link, peer) = (Rc::clone(link), transport.peer_addr().clone());
        Self { link, id: transport.id(), peer, buffer: Vec::new(), read: 0, given: false }
    }

    /// Takes a connection over from its protocol.
    pub fn take_over(transport: &mut Transport<'_>) -> Option<Self> {
        let link = Link::new(&Executor::of(transport.reactor()));
        let taken = transport.set_protocol(Guest::new(Rc::clone(&link), Awaited::Nobody));
        taken.then(|| Self::new(&link, transport))
    }

    /// Gives the connection to a protocol.
    ///
    /// # Errors
    ///
    /// If the connection has ended, or closes.
    pub fn set_protocol(mut self, protocol: impl Protocol + 'static) -> io::Result<()> {
        let given = self.with_transport(|this, transport| {
            let mut state = this.link.state();
            let (newer, paused) = (mem::take(&mut state.input), state.paused);
            drop(state);
            transport.unread(&newer);
            transport.unread(&this.buffer[this.read..]);
            let given = transport.set_protocol(protocol);
            if given && paused {
                transport.resume_reading();
            }
            given
        });
        self.given = given == Some(true);
        if self.given { Ok(()) } else { Err(self.error()) }
    }

    /// Lends the connection as a [`Transport`], for all that this type has no method of its own for.
    pub fn transport<R>(&mut self, code: impl FnOnce(&mut Transport<'_>) -> R) -> Option<R> {
        self.with_transport(|_, transport| code(transport))
    }

    /// Goes on reading in a [shutdown](crate::Reactor::shutdown).
    pub fn read_in_shutdown(&mut self) {
        self.link.state().reads_on = true;
    }

    /// The name of the connection.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The address of the peer.
    pub fn peer_addr(&self) -> &Address {
        &self.peer
    }

    fn with_transport<R>(
        &mut self,
        code: impl FnOnce(&mut Self, &mut Transport<'_>) -> R,
    ) -> Option<R> {
        let executor = Rc::clone(&self.link.executor);
        executor.with(|reactor| Some(code(self, &mut reactor.transport(self.id)?)))?
    }

    /// The error of a connection that takes nothing more.
    fn error(&self) -> io::Error {
        match &self.link.state().end {
            Some(reason) => reason.into(),
            None => io::Error::new(io::ErrorKind::BrokenPipe, "nothing can be written any more"),
        }
    }

    /// Exchanges the buffer, all of which was read, for one with new bytes.
    fn refill(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.buffer.clear();
        self.read = 0;
        let mut state = self.link.state();
        if !state.input.is_empty() {
            mem::swap(&mut self.buffer, &mut state.input);
            let paused = mem::take(&mut state.paused);
            drop(state);
            if paused {
                self.with_transport(|_, transport| transport.resume_reading());
            }
            return Poll::Ready(Ok(()));
        }
        if state.eof {
            return Poll::Ready(Ok(()));
        }
        let closing = (state.closing && !state.reads_on).then_some(&Reason::Stopped);
        if let Some(reason) = state.end.as_ref().or(closing) {
            return Poll::Ready(Err(reason.into()));
        }
        keep(&mut state.reader, cx);
        let idle = [mem::take(&mut self.buffer), mem::take(&mut state.input)];
        idle.into_iter().for_each(|buffer| self.link.executor.give_back(buffer));
        Poll::Pending
    }
}

impl AsyncBufRead for Connection {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.read == this.buffer.len() {
            ready!(this.refill(cx))?;
        }
        Poll::Ready(Ok(&this.buffer[this.read..]))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.read = (self.read + amount).min(self.buffer.len());
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.with_transport(|this, transport| {
            let (high, _) = transport.write_buffer_limits();
            let Some(room) =
                high.saturating_add(1).checked_sub(transport.buffered()).filter(|&room| room > 0)
            else {
                keep(&mut this.link.state().writer, cx);
                return Some(Poll::Pending);
            };
            let count = buf.len().min(room);
            transport.write(&buf[..count]).then_some(Poll::Ready(Ok(count)))
        });
        written.flatten().unwrap_or_else(|| Poll::Ready(Err(this.error())))
    }

    /// Does nothing: what was written leaves at the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.link.state();
        match &state.end {
            Some(reason) if !reason.is_clean() => Poll::Ready(Err(reason.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Sends FIN behind the last byte. Reading goes on.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.with_transport(|_, transport| transport.lose_write_connection());
        Pin::new(this).poll_flush(cx)
    }
}

impl Drop for Connection {
    /// Closes in order; while the task panics, with a reset, for the peer must not take a part for the whole.
    fn drop(&mut self) {
        let executor = &self.link.executor;
        executor.give_back(mem::take(&mut self.buffer));
        if self.given {
            return;
        }
        let (id, panics) = (self.id, std::thread::panicking());
        executor.command(move |reactor| match reactor.transport(id) {
            Some(mut transport) if panics => transport.abort_connection(),
            Some(mut transport) => transport.lose_connection(),
            None => {}
        });
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, peer, .. } = self;
        f.debug_struct("Connection").field("id", id).field("peer", peer).finish_non_exhaustive()
    }
}
