//! The two halves of a connection in the hands of a task.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::guest::Link;
use crate::Transport;

/// The half of a [`Connection`](super::Connection) that reads; lent by [`halves`](super::Connection::halves).
///
/// # Examples
///
/// ```
/// use std::io;
/// use crocus::futures::{Reader, Writer};
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// async fn pass(from: &mut Reader, to: &mut Writer) -> io::Result<()> {
///     let mut buf = [0; 1024];
///     let count = from.read(&mut buf).await?;
///     to.write_all(&buf[..count]).await
/// }
/// ```
pub struct Reader {
    pub(super) link: Rc<Link>,
    /// Bytes that the task is reading.
    buffer: Vec<u8>,
    /// Those that it reads instead, where they lie: a part of the read buffer, all of which they keep.
    lent: Option<Bytes>,
    /// How many of them it has read.
    read: Cell<usize>,
}

/// The half of a [`Connection`](super::Connection) that writes; lent by [`halves`](super::Connection::halves).
///
/// # Examples
///
/// ```
/// use std::io;
/// use crocus::futures::{Reader, Writer};
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// async fn pass(from: &mut Reader, to: &mut Writer) -> io::Result<()> {
///     let mut buf = [0; 1024];
///     let count = from.read(&mut buf).await?;
///     to.write_all(&buf[..count]).await
/// }
/// ```
#[derive(Debug)]
pub struct Writer {
    pub(super) link: Rc<Link>,
}

impl AsyncBufRead for Reader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.unread().is_empty() {
            (this.read, this.lent) = (Cell::new(0), None);
            ready!(this.link.poll_input(cx, &mut this.buffer, &mut this.lent))?;
        }
        Poll::Ready(Ok(this.unread()))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        let left = self.unread().len();
        self.read.update(|read| read + amount.min(left));
        if amount >= left && self.lent.take().is_some() {
            self.read.set(self.buffer.len()); // the reactor may have its buffer again
        }
    }
}

impl Reader {
    pub(super) fn new(link: &Rc<Link>) -> Self {
        Self { link: Rc::clone(link), buffer: Vec::new(), lent: None, read: Cell::new(0) }
    }

    /// Forgets the bytes that the task has, and has not read.
    pub(super) fn forget(&self) {
        self.read.set(self.bytes().len());
    }

    /// The bytes that the task has, and has not read.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes()[self.read.get()..]
    }

    fn bytes(&self) -> &[u8] {
        self.lent.as_deref().unwrap_or(&self.buffer)
    }
}

impl AsyncRead for Reader {
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

impl Writer {
    /// Writes bytes that are handed over, or shared, without a copy: see [`Transport::write_owned`]. Waits while more than
    /// the high mark is unsent, and then writes all of them.
    ///
    /// # Errors
    ///
    /// As those of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use crocus::Bytes;
    /// use crocus::futures::Connection;
    ///
    /// async fn repeat(mut peer: Connection, block: Bytes) -> io::Result<()> {
    ///     let (_, writer) = peer.halves();
    ///     loop {
    ///         writer.write_owned(block.clone()).await?;
    ///     }
    /// }
    /// ```
    pub async fn write_owned(&mut self, data: impl Into<Bytes>) -> io::Result<()> {
        let mut data = data.into();
        poll_fn(|cx| {
            self.poll_with_room(cx, |transport, _| {
                transport.write_owned(mem::take(&mut data)).then_some(())
            })
        })
        .await
    }

    /// Calls `write` when there is room, with the number of bytes that may be written. `None`: it takes nothing more.
    fn poll_with_room<R>(
        &self,
        cx: &Context<'_>,
        write: impl FnOnce(&mut Transport<'_>, usize) -> Option<R>,
    ) -> Poll<io::Result<R>> {
        let written = self.link.with(|transport| {
            let (high, _) = transport.write_buffer_limits();
            match high.saturating_add(1).saturating_sub(transport.buffered()) {
                0 => Some(self.link.await_room(cx)),
                room => write(transport, room).map(|written| Poll::Ready(Ok(written))),
            }
        });
        written.flatten().unwrap_or_else(|| Poll::Ready(Err(self.link.error())))
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with_room(cx, |transport, room| {
            let count = if self.link.is_lent(buf) { buf.len() } else { buf.len().min(room) };
            let written = transport.write(&buf[..count]);
            if written && count > room {
                self.link.stop_reading_under_pressure(); // more would all have to be copied
            }
            written.then_some(count)
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.link.failure().map_or(Ok(()), Err))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.with(|transport| transport.lose_write_connection());
        self.poll_flush(cx)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.link.executor.give_back(&mut self.buffer);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("link", &self.link).finish_non_exhaustive()
    }
}
