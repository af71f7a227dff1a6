//! A datagram socket in the hands of a task.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::executor::Executor;
use super::slot::{keep, wake};
use crate::{DatagramId, DatagramProtocol, DatagramTransport, Datagrams, Reactor, Reason};

/// Datagrams that come when as many bytes wait for the task are dropped, as the kernel does it.
const MOST_WAITING: usize = 256 * 1024;

/// What each datagram counts for beside its bytes.
const OVERHEAD: usize = 64;

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// The length and the sender of each datagram in `bytes`.
    waiting: VecDeque<(usize, SocketAddr)>,
    error: Option<io::Error>,
    end: Option<Reason>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Shared = Rc<RefCell<State>>;

/// Binds a datagram socket.
///
/// # Errors
///
/// As of [`Reactor::listen_udp`], and `NotConnected` outside of a task.
pub fn listen_udp(at: impl Into<Datagrams>) -> io::Result<DatagramSocket> {
    let opened = Reactor::with_lent(|reactor| {
        let (executor, shared) = (Executor::of(reactor), Shared::default());
        let id = reactor.listen_udp(at, Guest { shared: Rc::clone(&shared) })?;
        Ok(DatagramSocket { id, shared, executor })
    });
    opened.unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::NotConnected, super::OUTSIDE)))
}

/// A datagram socket that a task uses; made by [`listen_udp`].
pub struct DatagramSocket {
    id: DatagramId,
    shared: Shared,
    executor: Rc<Executor>,
}

impl DatagramSocket {
    /// Sends one datagram, and waits while the kernel's buffer is full.
    ///
    /// # Errors
    ///
    /// As of [`DatagramTransport::send_to`], without `WouldBlock`.
    pub async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.send_with(|transport| transport.send_to(data, to)).await
    }

    /// Sends one datagram to the peer that this socket is [connected](DatagramTransport::connect) to.
    ///
    /// # Errors
    ///
    /// As of [`DatagramTransport::send`], without `WouldBlock`.
    pub async fn send(&self, data: &[u8]) -> io::Result<()> {
        self.send_with(|transport| transport.send(data)).await
    }

    async fn send_with(
        &self,
        mut send: impl FnMut(&mut DatagramTransport<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        poll_fn(|cx| match self.transport(&mut send) {
            None => Poll::Ready(Err(self.error())),
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                keep(&mut self.shared.borrow_mut().writer, cx);
                Poll::Pending
            }
            Some(result) => Poll::Ready(result),
        })
        .await
    }

    /// Waits for a datagram, and returns its length and its sender.
    ///
    /// # Errors
    ///
    /// An error that the system reports, once; and `ConnectionAborted` if the socket was closed.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_recv_from(cx, buf)).await
    }

    fn poll_recv_from(
        &self,
        cx: &Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut state = self.shared.borrow_mut();
        if let Some((length, from)) = state.waiting.pop_front() {
            let count = length.min(buf.len());
            for (place, byte) in buf.iter_mut().zip(state.bytes.drain(..length)) {
                *place = byte;
            }
            return Poll::Ready(Ok((count, from)));
        }
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        if let Some(reason) = &state.end {
            return Poll::Ready(Err(reason.into()));
        }
        keep(&mut state.reader, cx);
        Poll::Pending
    }

    /// Lends the socket as a [`DatagramTransport`], for all that this type has no method of its own for.
    pub fn transport<R>(&self, code: impl FnOnce(&mut DatagramTransport<'_>) -> R) -> Option<R> {
        self.executor.with(|reactor| Some(code(&mut reactor.datagram(self.id)?)))?
    }

    /// The name of the socket.
    pub fn id(&self) -> DatagramId {
        self.id
    }

    fn error(&self) -> io::Error {
        match &self.shared.borrow().end {
            Some(reason) => reason.into(),
            None => io::ErrorKind::NotConnected.into(),
        }
    }
}

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        let id = self.id;
        self.executor.command(move |reactor| {
            reactor.datagram(id).map(|mut socket| socket.stop_listening());
        });
    }
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSocket").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The protocol of the socket.
struct Guest {
    shared: Shared,
}

impl Guest {
    fn wake_reader(&self, note: impl FnOnce(&mut State)) {
        let mut state = self.shared.borrow_mut();
        note(&mut state);
        let waker = state.reader.take();
        drop(state); // the waker may be anybody's
        wake(waker);
    }

    fn wake_writer(&self) {
        let waker = self.shared.borrow_mut().writer.take();
        wake(waker);
    }
}

impl DatagramProtocol for Guest {
    fn datagram_received(&mut self, _: &mut DatagramTransport<'_>, data: &[u8], from: SocketAddr) {
        self.wake_reader(|state| {
            if state.bytes.len() + state.waiting.len() * OVERHEAD < MOST_WAITING {
                state.bytes.extend(data);
                state.waiting.push_back((data.len(), from));
            }
        });
    }

    fn connection_refused(&mut self, _: &mut DatagramTransport<'_>) {
        #[cfg(unix)]
        let error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        #[cfg(not(unix))]
        let error = io::ErrorKind::ConnectionRefused.into();
        self.wake_reader(|state| state.error = Some(error));
    }

    fn error_received(&mut self, _: &mut DatagramTransport<'_>, error: &io::Error) {
        let error =
            error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        self.wake_reader(|state| state.error = Some(error));
    }

    fn resume_writing(&mut self, _: &mut DatagramTransport<'_>) {
        self.wake_writer();
    }

    fn shutting_down(&mut self, transport: &mut DatagramTransport<'_>) {
        self.shared.borrow_mut().end = Some(Reason::Stopped); // `stop_protocol` tells the task
        transport.stop_listening();
    }

    fn stop_protocol(&mut self, _: &mut DatagramTransport<'_>, reason: &Reason) {
        self.wake_reader(|state| _ = state.end.get_or_insert_with(|| reason.clone()));
        self.wake_writer();
    }
}
