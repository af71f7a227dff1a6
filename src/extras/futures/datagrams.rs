//! A datagram socket in the hands of a task.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use super::executor::Executor;
use super::outside;
use super::shared::{Shared, Undo};
use crate::{DatagramId, DatagramProtocol, DatagramTransport, Datagrams, Reactor, Reason};

/// So many bytes wait for the task at most. A datagram for which there is no room is dropped: as the kernel does, with a
/// similar number.
const MOST_WAITING: usize = 256 * 1024;

/// The number of bytes that a datagram counts for beside its own.
const OVERHEAD: usize = 64;

/// A socket whose datagrams are all taken keeps room for so many bytes, and for as many datagrams as count for them: more
/// than a turn mostly brings.
const SPARE: usize = 32 * 1024;

/// The datagrams that have come to a socket, and that the task has not taken.
#[derive(Default)]
struct Mail {
    bytes: VecDeque<u8>,
    /// The length and the sender of each datagram in `bytes`.
    datagrams: VecDeque<(usize, SocketAddr)>,
    error: Option<io::Error>,
    end: Option<Reason>,
}

impl Mail {
    fn take(&mut self, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        if let Some((length, from)) = self.datagrams.pop_front() {
            let bytes = self.bytes.drain(..length);
            buf.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
            if self.datagrams.is_empty() {
                self.give_memory_back();
            }
            return Poll::Ready(Ok((length.min(buf.len()), from)));
        }
        let end = || self.end.as_ref().map(io::Error::from);
        self.error.take().or_else(end).map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    }

    fn give_memory_back(&mut self) {
        if self.bytes.capacity() > SPARE {
            self.bytes = VecDeque::new();
        }
        if self.datagrams.capacity() > SPARE / OVERHEAD {
            self.datagrams = VecDeque::new();
        }
    }
}

/// Binds a datagram socket, at once.
///
/// # Errors
///
/// As of [`Reactor::listen_udp`], and `NotConnected` outside of a task.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
/// use crocus::futures::{listen_udp, run_until};
///
/// let mut reactor = Reactor::new()?;
/// let local = run_until(&mut reactor, async { listen_udp("127.0.0.1:0")?.local_addr() })??;
/// assert_ne!(local.port(), 0);
/// # std::io::Result::Ok(())
/// ```
pub fn listen_udp(at: impl Into<Datagrams>) -> io::Result<DatagramSocket> {
    let opened = Reactor::with_lent(|reactor| {
        let (executor, mail) = (Executor::of(reactor), Rc::new(Shared::new(Mail::default())));
        let room = Rc::new(Shared::new(()));
        let guest = Guest { mail: Rc::clone(&mail), room: Rc::clone(&room) };
        let id = reactor.listen_udp(at, guest)?;
        let undo = |reactor: &mut Reactor, id| {
            reactor.datagram(id).map(|mut socket| socket.stop_listening());
        };
        Ok(DatagramSocket { mail, room, undo: Undo { executor, id, undo } })
    });
    opened.unwrap_or_else(|| Err(outside()))
}

/// A datagram socket that a task uses; made by [`listen_udp`]. To drop it closes it.
///
/// One task at a time waits to receive, and one to send: a second one that waits takes the place of the first, which is not
/// woken.
///
/// At most 256 KiB wait for the task, where each datagram counts for 64 bytes more than it has. One that does not fit is
/// dropped, as any router on the way may do. In a [shutdown](Reactor::shutdown) the socket is closed.
///
/// # Examples
///
/// ```
/// use crocus::futures::{listen_udp, run_until, spawn_local};
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// let answer = run_until(simulation.reactor(), async {
///     let (echo, client) = (listen_udp("127.0.0.1:0")?, listen_udp("127.0.0.1:0")?);
///     let to = echo.local_addr()?;
///     spawn_local(async move {
///         let mut buf = [0; 1500];
///         while let Ok((length, from)) = echo.recv_from(&mut buf).await {
///             let _ = echo.send_to(&buf[..length], from).await;
///         }
///     });
///     client.transport(|transport| transport.connect(to)).unwrap()?;
///     client.send(b"hello").await?;
///     let mut answer = [0; 1500];
///     let (length, _) = client.recv_from(&mut answer).await?;
///     std::io::Result::Ok(answer[..length].to_vec())
/// })??;
/// assert_eq!(answer, b"hello");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct DatagramSocket {
    mail: Rc<Shared<Mail>>,
    /// Changes when there is room to send.
    room: Rc<Shared<()>>,
    undo: Undo<DatagramId>,
}

impl DatagramSocket {
    /// Sends one datagram, and waits while the kernel's buffer is full.
    ///
    /// # Errors
    ///
    /// As of [`DatagramTransport::send_to`], without `WouldBlock`.
    pub async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.send_by(|transport| transport.send_to(data, to)).await
    }

    /// Sends one datagram to the peer that this socket is [connected](DatagramTransport::connect) to, and waits while the
    /// kernel's buffer is full.
    ///
    /// # Errors
    ///
    /// As of [`DatagramTransport::send`], without `WouldBlock`.
    pub async fn send(&self, data: &[u8]) -> io::Result<()> {
        self.send_by(|transport| transport.send(data)).await
    }

    async fn send_by(
        &self,
        send: impl Fn(&mut DatagramTransport<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        poll_fn(|cx| match self.transport(&send).unwrap_or_else(|| Err(self.error())) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.room.poll(cx, |()| Poll::Pending)
            }
            result => Poll::Ready(result),
        })
        .await
    }

    /// Waits for a datagram, and returns its length and its sender. Bytes that do not fit into `buf` are lost.
    ///
    /// # Errors
    ///
    /// An error that the system reports, once, with its errno: mostly that an earlier datagram was refused. And when the
    /// socket was closed: in a shutdown with the kind `ConnectionAborted`.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.mail.poll(cx, |mail| mail.take(buf))).await
    }

    /// Lends the socket as a [`DatagramTransport`], for what this type has no method for.
    ///
    /// `None`: it is closed, or this is no task of its reactor.
    pub fn transport<R>(&self, code: impl FnOnce(&mut DatagramTransport<'_>) -> R) -> Option<R> {
        let id = self.undo.id;
        self.undo.executor.with(|reactor| Some(code(&mut reactor.datagram(id)?)))?
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// If the socket is closed, or this is no task of its reactor.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.transport(|transport| transport.local_addr()).ok_or_else(|| self.error())
    }

    fn error(&self) -> io::Error {
        let end = self.mail.look(|mail| mail.end.as_ref().map(io::Error::from));
        end.unwrap_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// The protocol of a socket that a task has.
struct Guest {
    mail: Rc<Shared<Mail>>,
    room: Rc<Shared<()>>,
}

impl Guest {
    fn end(&self, reason: &Reason) {
        self.mail.note(|mail| _ = mail.end.get_or_insert_with(|| reason.clone()));
        self.room.note(|()| ());
    }
}

impl DatagramProtocol for Guest {
    fn datagram_received(&mut self, _: &mut DatagramTransport<'_>, data: &[u8], from: SocketAddr) {
        self.mail.note(|mail| {
            let waiting = mail.bytes.len() + mail.datagrams.len() * OVERHEAD;
            if waiting + data.len() + OVERHEAD <= MOST_WAITING {
                mail.bytes.extend(data);
                mail.datagrams.push_back((data.len(), from));
            }
        });
    }

    fn connection_refused(&mut self, _: &mut DatagramTransport<'_>) {
        #[cfg(unix)]
        let error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        #[cfg(not(unix))]
        let error = io::ErrorKind::ConnectionRefused.into();
        self.mail.note(|mail| mail.error = Some(error));
    }

    fn error_received(&mut self, _: &mut DatagramTransport<'_>, error: &io::Error) {
        let kind = || error.kind().into();
        let error = error.raw_os_error().map_or_else(kind, io::Error::from_raw_os_error);
        self.mail.note(|mail| mail.error = Some(error));
    }

    fn resume_writing(&mut self, _: &mut DatagramTransport<'_>) {
        self.room.note(|()| ());
    }

    fn shutting_down(&mut self, transport: &mut DatagramTransport<'_>) {
        self.mail.note(|mail| mail.end = Some(Reason::Stopped));
        transport.stop_listening();
    }

    fn stop_protocol(&mut self, _: &mut DatagramTransport<'_>, reason: &Reason) {
        self.end(reason);
    }
}

impl Drop for Guest {
    /// A socket that is closed before the loop has served it is not told.
    fn drop(&mut self) {
        self.end(&Reason::Closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room for bytes and for datagrams when so many of one length have come and are taken.
    fn room_after(count: usize, length: usize) -> (usize, usize) {
        let mut mail = Mail::default();
        let from = SocketAddr::from(([127, 0, 0, 1], 9));
        for _ in 0..count {
            mail.bytes.extend(std::iter::repeat_n(b'x', length));
            mail.datagrams.push_back((length, from));
        }
        let mut buf = [0; 2000];
        let mut taken = 0;
        while let Poll::Ready(Ok(one)) = mail.take(&mut buf) {
            assert_eq!((one, &buf[..length]), ((length, from), &*vec![b'x'; length]));
            taken += 1;
        }
        assert_eq!(taken, count);
        (mail.bytes.capacity(), mail.datagrams.capacity())
    }

    #[test]
    fn a_socket_gives_memory_back_when_all_datagrams_are_taken() {
        assert_eq!(room_after(1000, 100), (0, 0));
        assert_eq!(room_after(4000, 0), (0, 0));
        let (bytes, datagrams) = room_after(8, 1400);
        assert!(bytes >= 8 * 1400 && datagrams >= 8, "those of a usual turn need none anew");
    }
}
