//! A connection in the hands of a task.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::executor::Executor;
use super::guest::{Guest, Link};
use super::halves::{Reader, Writer};
use super::shared::Undo;
use crate::{Address, ConnectionId, Protocol, Reactor, Transport};

/// A connection that a task reads and writes.
///
/// Made by [`connect`](super::connect), [`listen`](super::listen) or [`take_over`](Self::take_over).
///
/// - To *read* without a copy, use [`AsyncBufRead`]. Bytes that came before an error or the end are delivered before it.
///   Errors keep their errno, and carry the [`Reason`](crate::Reason) if they have none. Behind the end of the peer's bytes
///   each read gives the end again, also when the connection fails later.
/// - To *write* gives bytes to the reactor, which sends them after the poll, mostly in the same turn: there is nothing to
///   flush. Bytes that are written back from where [`AsyncBufRead`] has shown them, 4 KiB or more, are mostly not copied. A
///   task that waits for something else before it has consumed them keeps a read buffer in memory, if few do. Above
///   the high [mark](Transport::set_write_buffer_limits) a write waits until the peer has caught up. Other code must not raise
///   the marks meanwhile: the task might not be told.
/// - To *close* (`poll_close`) sends FIN behind the last byte, and reading goes on.
/// - To *drop* it closes it in order, as by [`lose_connection`](Transport::lose_connection), also when the task is aborted
///   or timed out. If the task panics, the connection is reset, for its peer shall not take a part for the whole. A
///   connection that another protocol has taken over goes on.
/// - If it is [silent](Transport::set_timeout) for too long, it is reset, with the error `TimedOut`.
///
/// # Examples
///
/// An echo, which writes from the buffer that it reads:
///
/// ```
/// use std::io;
/// use crocus::futures::Connection;
/// use futures_lite::{AsyncBufReadExt, AsyncWriteExt};
///
/// async fn echo(mut peer: Connection) -> io::Result<()> {
///     println!("{} is {}", peer.id(), peer.peer_addr());
///     let (reader, writer) = peer.halves();
///     loop {
///         let bytes = reader.fill_buf().await?;
///         let count = bytes.len();
///         if count == 0 {
///             return Ok(()); // the peer has said all
///         }
///         writer.write_all(bytes).await?;
///         reader.consume(count);
///     }
/// }
/// # use crocus::futures::{listen, spawn, spawn_local};
/// # let mut simulation = crocus::testing::Simulation::new();
/// # spawn(simulation.reactor(), async {
/// #     let mut incoming = listen("127.0.0.1:7").unwrap();
/// #     while let Some(peer) = incoming.accept().await {
/// #         spawn_local(echo(peer));
/// #     }
/// # });
/// # simulation.settle();
/// # let mut peer = simulation.dial("127.0.0.1:7");
/// # peer.send(b"hello");
/// # peer.close_write();
/// # simulation.settle();
/// # assert_eq!(peer.received(), b"hello");
/// # assert_eq!(peer.end(), Some(crocus::testing::End::Closed));
/// ```
#[derive(Debug)]
pub struct Connection {
    reader: Reader,
    writer: Writer,
    peer: Address,
    undo: Undo<ConnectionId>,
    /// Whether the task has given it to a protocol.
    is_given: bool,
}

impl Connection {
    pub(super) fn new(link: &Rc<Link>, transport: &Transport<'_>) -> Self {
        let (id, peer) = (transport.id(), transport.peer_addr().clone());
        link.set_id(id);
        let undo = Undo { executor: Rc::clone(&link.executor), id, undo: end::<false, false> };
        let (reader, writer) = (Reader::new(link), Writer { link: Rc::clone(link) });
        Self { reader, writer, peer, undo, is_given: false }
    }

    /// Takes a connection over from its protocol, which [hands over](Transport::set_protocol): it hears nothing more, and
    /// bytes that it has [put back](Transport::unread) are the first to be read.
    ///
    /// Returns `None` if the connection is closing or being handed over already.
    ///
    /// # Examples
    ///
    /// A protocol that leaves the dialogue to a task:
    ///
    /// ```
    /// use crocus::futures::{Connection, spawn};
    /// use crocus::testing::Simulation;
    /// use crocus::{Protocol, Transport};
    /// use futures_lite::{AsyncReadExt, AsyncWriteExt};
    ///
    /// struct Greeter;
    ///
    /// impl Protocol for Greeter {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.unread(data);
    ///         let Some(mut peer) = Connection::take_over(transport) else { return };
    ///         spawn(transport.reactor(), async move {
    ///             let mut name = [0; 3];
    ///             peer.read_exact(&mut name).await?;
    ///             peer.write_all(b"hello, ").await?;
    ///             peer.write_all(&name).await
    ///         });
    ///     }
    /// }
    ///
    /// let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Greeter);
    /// peer.send(b"Ada");
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"hello, Ada");
    /// ```
    pub fn take_over(transport: &mut Transport<'_>) -> Option<Self> {
        let link = Link::new(&Executor::of(transport.reactor()));
        link.expect();
        let taken = transport.set_protocol(Guest::new(Rc::clone(&link), None));
        taken.then(|| Self::new(&link, transport))
    }

    /// Gives the connection to a protocol, which gets `connection_made`, the bytes that the task has not read, and the end if
    /// the peer has closed its half.
    ///
    /// # Errors
    ///
    /// If the connection is over or closing. If it ends after this and before the exchange, in the next turn, the protocol is
    /// dropped without a call.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Protocol;
    /// use crocus::futures::Connection;
    /// use futures_lite::AsyncReadExt;
    ///
    /// # struct Http;
    /// # impl Protocol for Http {}
    /// # struct Ftp;
    /// # impl Protocol for Ftp {}
    /// async fn dispatch(mut peer: Connection) -> std::io::Result<()> {
    ///     let mut first = [0];
    ///     peer.read_exact(&mut first).await?;
    ///     if first == [b'G'] { peer.set_protocol(Http) } else { peer.set_protocol(Ftp) }
    /// }
    /// ```
    pub fn set_protocol(mut self, protocol: impl Protocol + 'static) -> io::Result<()> {
        let given = self.transport(|transport| {
            self.put_back(transport);
            self.reader.link.hand_over(transport, protocol)
        });
        if given != Some(true) {
            return Err(self.reader.link.error());
        }
        self.is_given = true;
        Ok(())
    }

    /// Encrypts the connection from here on, as [`Transport::start_tls`]: what was written before leaves in clear, and the
    /// next read gets what comes encrypted, or the error of the handshake.
    ///
    /// Bytes that have come already and were not read are the beginning of TLS or an attack, and never data: they go to TLS.
    /// So they do if it begins in [`transport`](Self::transport), but not if other code begins it by the connection's name:
    /// then the task reads them as if they had come encrypted.
    ///
    /// # Errors
    ///
    /// If the connection is over or closing, encrypted already, or either side has closed its half. If rustls does not take
    /// the config, which also closes the connection: a read tells why, behind what has come.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use std::sync::Arc;
    /// use crocus::futures::Connection;
    /// use crocus::tls::rustls::ServerConfig;
    /// use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    ///
    /// async fn greet(mut peer: Connection, tls: Arc<ServerConfig>) -> io::Result<()> {
    ///     let mut line = String::new();
    ///     (&mut peer).take(512).read_line(&mut line).await?;
    ///     if line == "STARTTLS\r\n" {
    ///         peer.write_all(b"220 go ahead\r\n").await?; // in clear
    ///         peer.start_tls(tls)?;
    ///     }
    ///     peer.write_all(b"250 hello\r\n").await
    /// }
    /// ```
    #[cfg(feature = "tls")]
    pub fn start_tls(&mut self, role: impl Into<crate::tls::Role>) -> io::Result<()> {
        let begun = self.transport(|transport| transport.start_tls(role));
        if begun == Some(true) { Ok(()) } else { Err(self.reader.link.error()) }
    }

    /// Puts back what has come and was not read, what came last first.
    fn put_back(&self, transport: &mut Transport<'_>) {
        let (newer, paused) = self.reader.link.take_input();
        transport.unread(&newer);
        transport.unread(self.reader.unread());
        if paused {
            transport.resume_reading();
        }
    }

    /// Lends the connection as a [`Transport`], for what this type has no method for: its addresses, limits, what TLS has
    /// agreed on. If `code` begins TLS, then as `start_tls` does (with the feature `tls`).
    ///
    /// If `code` hands it over, as a [`Tunnel`](crate::Tunnel) does, bytes that have come and were not read do not go along. To
    /// keep them, [give](Self::set_protocol) it to a protocol that does so in its `connection_made`.
    ///
    /// `None`: it has ended, or this is no task of its reactor.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::futures::Connection;
    ///
    /// fn limit(peer: &Connection) {
    ///     peer.transport(|transport| transport.set_timeout(Some(Duration::from_secs(60))));
    /// }
    /// ```
    pub fn transport<R>(&self, code: impl FnOnce(&mut Transport<'_>) -> R) -> Option<R> {
        self.writer.link.with(|transport| {
            let before = is_handshaking(transport);
            let answer = code(transport);
            if is_handshaking(transport) && !before {
                self.put_back(transport);
                self.reader.forget();
            }
            answer
        })
    }

    /// Lends both halves at once: for a future that reads and one that writes, or to write what is being read.
    pub fn halves(&mut self) -> (&mut Reader, &mut Writer) {
        (&mut self.reader, &mut self.writer)
    }

    /// Goes on reading in a [shutdown](crate::Reactor::shutdown), which holds up the shutdown: for a task that learns of it
    /// by [`closing`](super::closing).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use crocus::futures::{Connection, closing};
    /// use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
    ///
    /// async fn say_goodbye(mut peer: Connection) -> io::Result<()> {
    ///     peer.read_in_shutdown();
    ///     let mut request = [0; 64];
    ///     let told = async {
    ///         let _ = closing().await;
    ///         None
    ///     };
    ///     match future::or(async { Some(peer.read(&mut request).await) }, told).await {
    ///         Some(count) => println!("{} bytes", count?),
    ///         None => peer.write_all(b"goodbye").await?,
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn read_in_shutdown(&self) {
        self.reader.link.read_in_shutdown();
    }

    /// The name of the connection.
    pub fn id(&self) -> ConnectionId {
        self.undo.id
    }

    /// The address of the peer.
    pub fn peer_addr(&self) -> &Address {
        &self.peer
    }
}

#[cfg(feature = "tls")]
fn is_handshaking(transport: &Transport<'_>) -> bool {
    transport.is_handshaking()
}

#[cfg(not(feature = "tls"))]
fn is_handshaking(_: &Transport<'_>) -> bool {
    false
}

/// Carries out the drop of a connection. If it `is_expected`, the task has not taken it over yet.
fn end<const RESETS: bool, const IS_EXPECTED: bool>(reactor: &mut Reactor, id: ConnectionId) {
    let Some(mut transport) = reactor.transport(id) else { return };
    if !IS_EXPECTED && transport.is_handing_over() {
        return; // other code gives it to a protocol
    }
    match RESETS {
        true => transport.abort_connection(),
        false => transport.lose_connection(),
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let link = &self.reader.link;
        // Asked now: if the reactor is in use, the command is carried out when nothing panics any more.
        self.undo.undo = match (std::thread::panicking(), link.is_expected()) {
            _ if self.is_given || link.is_over() => |_, _| {}, // it has ended, or a protocol has it
            (false, false) => end::<false, false>,
            (false, true) => end::<false, true>,
            (true, false) => end::<true, false>,
            (true, true) => end::<true, true>,
        };
    }
}

impl AsyncBufRead for Connection {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().reader).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.reader).consume(amount);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    /// Does nothing: what was written leaves after the poll. An error if the connection has failed.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    /// Sends FIN behind the last byte. Reading goes on.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}
