//! Two connections joined: what one receives the other sends.
//!
//! A [`Tunnel`] has a *near* side, mostly a connection that was accepted, and a *far* side, mostly one that
//! was made for it. Each side gets a protocol of its own (`half.rs`); the two share what they know
//! (`pair.rs`).
//!
//! # When may a side be told that all is over?
//!
//! FIN says: "this is all". So the tunnel passes on a FIN that it has received, and makes up none. Every other
//! end is passed on as a reset. Only a tunnel through which nothing has come is closed in order when the reactor
//! shuts down: nothing is all there was.
//!
//! | one side | the other |
//! |---|---|
//! | has sent FIN | gets FIN behind the last byte, and goes on sending |
//! | is lost, after its FIN was passed on | has all of it: closed in order |
//! | is lost before | gets what the lost one had sent, then a reset |
//! | has both halves shut | sends what is left, and ends by itself |

mod end;
mod half;
mod pair;

pub use end::{TunnelEnd, TunnelSide};

use std::fmt;
use std::io;
use std::time::Duration;

use crate::{Connect, Connected, ConnectionId, Reactor, Reason, Transport};
use half::{Half, Target};
use pair::Pair;

/// How long nothing must move before a shutdown closes a tunnel, unless set otherwise: longer than a round
/// trip, shorter than the grace that programs give.
const QUIET: Duration = Duration::from_secs(1);

/// Joins two connections: what one receives the other sends, until both have finished.
///
/// - *Pressure*: if one side does not read, the other is not read either. A tunnel buffers at most the high
///   mark and one turn's reading in each direction, 64 + 256 KiB.
/// - *Half-close*: the end of one side's bytes is passed on behind the last byte, and the other goes on.
/// - *Loss*: if one side is lost before it has finished, the other gets what came from there, such as a server's
///   early answer, and is reset then. A part never looks like the whole.
/// - *Silence*: with an [idle timeout](Self::idle_timeout) both are reset when neither has moved a byte.
/// - *Shutdown*: a transfer is finished; see [`quiet`](Self::quiet). Connections left after the grace are reset.
///
/// There are three ways to join: [`connect`](Self::connect) from a connection to another place,
/// [`join`](Self::join) two connections of the reactor, [`adopt`](Self::adopt) two sockets. A
/// [`TunnelHandler`] hears what happens; `()` is one that need not know. To end a tunnel,
/// [abort](Transport::abort_connection) either connection: the other is reset. If another protocol
/// [takes over](Transport::set_protocol) either, the other is reset too, or closed in order if the one taken over had
/// finished. If other protocols take over both in one turn, both connections go on.
///
/// # Examples
///
/// A port forwarder:
///
/// ```
/// use crocus::testing::Simulation;
/// use crocus::{Protocol, Transport, Tunnel};
///
/// struct Forward;
///
/// impl Protocol for Forward {
///     fn connection_made(&mut self, transport: &mut Transport) {
///         Tunnel::new(()).connect(transport, "127.0.0.1:6379");
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// let mut server = simulation.listen("127.0.0.1:6379")?;
/// let mut client = simulation.connect(Forward);
/// client.send(b"PING\r\n");
/// simulation.settle();
/// let mut session = server.accept().unwrap();
/// assert_eq!(session.received(), b"PING\r\n");
/// session.send(b"+PONG\r\n");
/// simulation.settle();
/// assert_eq!(client.received(), b"+PONG\r\n");
/// # std::io::Result::Ok(())
/// ```
#[must_use = "a tunnel begins by `connect`, `join` or `adopt`"]
pub struct Tunnel {
    handler: Box<dyn TunnelHandler>,
    idle: Option<Duration>,
    quiet: Duration,
}

/// Hears what happens to a [`Tunnel`], for its owner. Every method has a default.
///
/// The calls come in this order: [`joined`](Self::joined), once; [`passing`](Self::passing), any number of
/// times; [`ended`](Self::ended), once and last. If the far side could not be connected,
/// [`connection_failed`](Self::connection_failed) is the only call.
///
/// They come from the loop, inside a callback of either connection. A panic in one ends that connection, and
/// so the tunnel.
///
/// # Examples
///
/// A SOCKS or CONNECT proxy answers before anything else, in its own protocol:
///
/// ```
/// use crocus::testing::Simulation;
/// use crocus::{ConnectionId, Protocol, Reason, Transport, Tunnel, TunnelHandler};
///
/// struct Answer;
///
/// impl TunnelHandler for Answer {
///     fn joined(&mut self, near: &mut Transport, _far: ConnectionId) {
///         near.write(b"go ahead\n");
///     }
///
///     fn connection_failed(&mut self, near: &mut Transport, reason: &Reason) {
///         write!(near, "sorry: {reason}\n");
///         near.lose_connection();
///     }
/// }
///
/// /// Its first line says where to.
/// struct Proxy(Vec<u8>);
///
/// impl Protocol for Proxy {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         self.0.extend_from_slice(data);
///         if let Some(end) = self.0.iter().position(|&byte| byte == b'\n') {
///             let to = String::from_utf8_lossy(&self.0[..end]);
///             let (host, port) = to.rsplit_once(':').unwrap_or((&to, ""));
///             transport.unread(&self.0[end + 1..]);
///             // A pair: text from a peer could name a Unix socket of this machine.
///             Tunnel::new(Answer).connect(transport, (host, port.parse().unwrap_or(0)));
///         } else if self.0.len() > 300 {
///             transport.lose_connection(); // no place has so long a name
///         }
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// let mut server = simulation.listen("127.0.0.1:7")?;
/// let mut client = simulation.connect(Proxy(Vec::new()));
/// client.send(b"127.0.0.1:7\nhello");
/// simulation.settle();
/// assert_eq!(client.received(), b"go ahead\n");
/// assert_eq!(server.accept().unwrap().received(), b"hello");
///
/// let mut client = simulation.connect(Proxy(Vec::new()));
/// client.send(b"127.0.0.1:8\nhello");
/// simulation.settle();
/// assert!(client.received().starts_with(b"sorry: connecting: "));
/// # std::io::Result::Ok(())
/// ```
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
pub trait TunnelHandler: 'static {
    /// Both sides are there, and nothing was passed yet.
    ///
    /// Bytes written to `near` here come before all that the far side sends. The far connection can be
    /// reached by [`Reactor::transport`], for its address or to send it a header.
    fn joined(&mut self, near: &mut Transport<'_>, far: ConnectionId) {}

    /// The far side could not be connected; the near one is open, to be answered.
    ///
    /// It can be given another protocol by [`set_protocol`](Transport::set_protocol), which gets the bytes
    /// that wait. If it is neither closed here nor handed over, it is closed in order afterwards.
    ///
    /// By default the failure is logged.
    fn connection_failed(&mut self, near: &mut Transport<'_>, reason: &Reason) {
        log::warn!("a tunnel of {} could not be made: {reason}", near.peer_addr());
    }

    /// These bytes came from a side, and are written to the other next.
    ///
    /// For a relay that shows what passes, as in the example of [`TunnelEnd`]. They cannot be changed here.
    fn passing(&mut self, from: TunnelSide, data: &[u8]) {}

    /// Both sides have ended, as the [`TunnelEnd`] says. It also comes, without `joined`, if the near side was lost
    /// while the far one was being connected.
    ///
    /// It does not come if other protocols have taken over both sides.
    fn ended(&mut self, reactor: &mut Reactor, end: &TunnelEnd) {}
}

/// For an owner that needs to hear nothing.
impl TunnelHandler for () {}

impl Tunnel {
    /// A tunnel that tells this handler what happens to it.
    pub fn new(handler: impl TunnelHandler) -> Self {
        Self { handler: Box::new(handler), idle: None, quiet: QUIET }
    }

    /// How long neither side may move a byte before both are reset; by default there is no limit.
    ///
    /// The traffic of either side counts for both: a long download needs no byte from its reader. Bytes that
    /// a slow reader takes count too. The reason of both is [`Reason::TimedOut`]. [`TunnelEnd`] has an example.
    ///
    /// A connection whose peer has vanished without a word is also found by
    /// [keep-alive](crate::SocketOptions::keep_alive), which costs peers that are only silent nothing.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
    }

    /// How long nothing must move before a [shutdown](Reactor::shutdown) ends the tunnel: 1 s by default, counted
    /// from the shutdown or the last byte.
    ///
    /// While something moves, or waits for a slow reader, it goes on, at the most to the end of the grace. A tunnel
    /// does not know its bytes, so it cannot know whether what has come was all. It ends by a reset of both sides,
    /// and nobody takes a part for the whole. One through which no byte has come is closed in order, at once.
    ///
    /// *Not* promised: the answer of a server that thinks for longer than this. [`TunnelEnd`] has an example.
    pub fn quiet(mut self, time: Duration) -> Self {
        self.quiet = time;
        self
    }

    /// Connects to a place, and joins the connection of `near` with the new one.
    ///
    /// The present protocol of `near` hands over, as by [`set_protocol`](Transport::set_protocol): bytes that
    /// it has put back by [`unread`](Transport::unread), before or after this call, are the first to be passed
    /// on. Until the far side is connected nothing is read from `near`, and its timeout is off; how long that
    /// may take is a matter of [`Connect::timeout`]. If `near` is lost meanwhile, the attempt is cancelled.
    ///
    /// Returns whether it begins: `false` if `near` is closing or being handed over; then nothing is done. If
    /// `near` is lost before the exchange has taken place, its present protocol is told, and the handler is
    /// not.
    pub fn connect(self, near: &mut Transport<'_>, to: impl Into<Connect>) -> bool {
        let pair = Pair::new(self.handler, self.idle, self.quiet);
        if !near.set_protocol(Half::new(TunnelSide::Near, &pair)) {
            return false;
        }
        near.pause_reading();
        near.set_timeout(None);
        let connector = near.reactor().connect(to, Target::new(&pair));
        pair.borrow_mut().connecting(connector);
        true
    }

    /// Joins two connections, each of which hands over as in [`connect`](Self::connect).
    ///
    /// Returns whether it begins: `false` if either is gone, closing or being handed over, or both are the
    /// same. If only the far one is being handed over, the near one is reset; else nothing is done.
    ///
    /// # Examples
    ///
    /// A meeting point: each client is joined with the one before it.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use crocus::testing::Simulation;
    /// use crocus::{ConnectionId, Protocol, Transport, Tunnel};
    ///
    /// struct Meet(Rc<Cell<Option<ConnectionId>>>);
    ///
    /// impl Protocol for Meet {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         let id = transport.id();
    ///         match self.0.take() {
    ///             Some(waiting) => drop(Tunnel::new(()).join(transport.reactor(), waiting, id)),
    ///             None => {
    ///                 transport.pause_reading(); // its bytes wait for the other
    ///                 self.0.set(Some(id));
    ///             }
    ///         }
    ///     }
    /// }
    ///
    /// let mut simulation = Simulation::new();
    /// let place = Rc::new(Cell::new(None));
    /// let [mut one, mut two] = [0, 1].map(|_| simulation.connect(Meet(Rc::clone(&place))));
    /// one.send(b"hello");
    /// simulation.settle();
    /// assert_eq!(two.received(), b"hello");
    /// ```
    pub fn join(self, reactor: &mut Reactor, near: ConnectionId, far: ConnectionId) -> bool {
        let mut is_open = |id| reactor.transport(id).is_some_and(|side| !side.is_closing());
        if near == far || !is_open(near) || !is_open(far) {
            return false;
        }
        let pair = Pair::new(self.handler, self.idle, self.quiet);
        let mut hand_over = |side, id| {
            let transport = reactor.transport(id);
            transport.is_some_and(|mut it| it.set_protocol(Half::new(side, &pair)))
        };
        if !hand_over(TunnelSide::Near, near) {
            return false;
        }
        if !hand_over(TunnelSide::Far, far) {
            if let Some(mut near) = reactor.transport(near) {
                near.abort_connection();
            }
            return false;
        }
        true
    }

    /// Takes over two connected sockets of std, and joins them.
    ///
    /// # Errors
    ///
    /// As of [`Reactor::adopt`], for either socket; then the other is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(unix)]
    /// # {
    /// use std::io::{Read, Write};
    /// use std::net::Shutdown;
    /// use std::os::unix::net::UnixStream;
    /// use crocus::{Reactor, Tunnel};
    ///
    /// let (mut one, near) = UnixStream::pair()?;
    /// let (mut two, far) = UnixStream::pair()?;
    /// one.write_all(b"hello")?;
    /// one.shutdown(Shutdown::Write)?;
    /// two.shutdown(Shutdown::Write)?;
    ///
    /// let mut reactor = Reactor::new()?;
    /// Tunnel::new(()).adopt(&mut reactor, near, far)?;
    /// reactor.run()?; // returns when both have finished
    /// assert_eq!(std::io::read_to_string(two)?, "hello");
    /// # }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn adopt(
        self,
        reactor: &mut Reactor,
        near: impl Into<Connected>,
        far: impl Into<Connected>,
    ) -> io::Result<()> {
        let pair = Pair::new(self.handler, self.idle, self.quiet);
        reactor.adopt(near, Half::new(TunnelSide::Near, &pair))?;
        // If this fails, the far half is dropped, and the near one finds that out when it is told.
        reactor.adopt(far, Half::new(TunnelSide::Far, &pair)).map(drop)
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idle, quiet, .. } = self;
        f.debug_struct("Tunnel").field("idle", idle).field("quiet", quiet).finish_non_exhaustive()
    }
}
