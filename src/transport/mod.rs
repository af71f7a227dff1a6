//! A connection, lent to a callback.

#[cfg(all(unix, feature = "sendfile"))]
#[cfg_attr(docsrs, doc(cfg(all(unix, feature = "sendfile"))))]
mod files;
#[cfg(feature = "proxy")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
mod proxy;
mod questions;
mod reading;
mod settings;
mod sharing;
mod socket;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
mod tls;

use std::fmt;

use crate::connection::{Connection, ReadBuffer};
use crate::ids::ConnectionId;
use crate::reactor::Reactor;
use crate::reason::Reason;

/// A connection, lent to a callback of its protocol, or by [`Reactor::transport`] to any caller.
///
/// Its commands return at once; the loop carries them out after the callback, at the latest in the
/// [flush phase](Reactor::turn) of the turn. No command calls back. On a connection that is ending
/// commands have no effect, and those that return a `bool` return `false`.
///
/// Twisted's `ITransport`; the marks and the idea of `pause_reading` are asyncio's.
///
/// # Examples
///
/// ```
/// use crocus::testing::{End, Simulation};
/// use crocus::{Protocol, Transport};
///
/// struct Greeter;
///
/// impl Protocol for Greeter {
///     fn connection_made(&mut self, transport: &mut Transport) {
///         transport.write(b"hello");
///         transport.lose_connection(); // behind what was written
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// let mut peer = simulation.connect(Greeter);
/// simulation.settle();
/// assert_eq!(peer.received(), b"hello");
/// assert_eq!(peer.end(), Some(End::Closed));
/// ```
#[derive(Debug)]
pub struct Transport<'a> {
    reactor: &'a mut Reactor,
    id: ConnectionId,
    /// The buffer with the bytes that the protocol is being told.
    buffer: Option<&'a ReadBuffer>,
}

/// # Writing and closing
impl<'a> Transport<'a> {
    pub(crate) fn new(reactor: &'a mut Reactor, id: ConnectionId) -> Self {
        Self { reactor, id, buffer: None }
    }

    /// Sends `data`, after all that was written before.
    ///
    /// Never blocks and never fails: bytes that the kernel does not take wait in memory. To send much
    /// data, check [`buffered`](Self::buffered) or use `pause_writing`. All writes of a callback leave
    /// together after it has returned, and so do the writes of other callbacks to a connection in a
    /// turn.
    ///
    /// Returns whether the data was taken: `false` after `lose_connection`, `lose_write_connection`,
    /// `abort_connection` or the end, and then the data is dropped. If more than the cap (32 MiB unless
    /// [set](crate::ReactorBuilder::write_buffer_cap)) is waiting already, the connection ends with
    /// [`Reason::Overflow`](crate::Reason::Overflow).
    ///
    /// *Not* promised: that the peer gets it. Only an answer from the peer shows this.
    ///
    /// The data is copied; [`write_owned`](Self::write_owned) shares it, which pays for many bytes. Not copied are 4 KiB or
    /// more of what `data_received` is just told, without TLS: they leave from where they lie, and only what the kernel
    /// does not take at once is copied.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    /// use crocus::{Protocol, Transport};
    ///
    /// struct Echo;
    ///
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.write(data);
    ///     }
    /// }
    ///
    /// let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Echo);
    /// peer.send(b"hello");
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"hello");
    /// ```
    pub fn write(&mut self, data: &[u8]) -> bool {
        self.reactor.write(self.id, data)
    }

    /// Writes formatted text, as [`write`](Self::write) does: this is what `write!` and `writeln!` call.
    ///
    /// No string is made: each piece goes into the outgoing buffer. Returns whether all of it was taken.
    ///
    /// # Panics
    ///
    /// If the `Display` of an argument reports an error, as `format!` does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::{Protocol, Transport};
    /// struct Counter(u64);
    ///
    /// impl Protocol for Counter {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         self.0 += data.len() as u64;
    ///         writeln!(transport, "{} bytes so far", self.0);
    ///     }
    /// }
    /// ```
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> bool {
        let mut output = Text { transport: self, taken: true };
        let written = fmt::Write::write_fmt(&mut output, text);
        assert!(written.is_ok() || !output.taken, "an argument's Display reported an error");
        output.taken
    }

    /// Closes in order: sends the outgoing buffer, then FIN, and waits some seconds for the peer to
    /// close too, so that nothing is lost.
    ///
    /// From here on nothing is delivered but `connection_lost`, and writes are dropped. If the peer
    /// takes nothing of the rest for the [close timeout](Self::set_close_timeout), the connection is cut,
    /// with [`Reason::CloseTimedOut`](crate::Reason::CloseTimedOut).
    ///
    /// `connection_lost` comes when all this is over: up to the linger time after the last byte was taken, if the
    /// peer keeps its side open. Take back here, and not only there, what others can see of this connection.
    ///
    /// In Twisted and asyncio this has no timeout: a peer that does not read keeps the connection for
    /// ever.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::{End, Simulation};
    /// # use crocus::{Protocol, Transport};
    /// struct Once;
    ///
    /// impl Protocol for Once {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.write(data);
    ///         transport.lose_connection();
    ///         assert!(!transport.write(b"more"), "too late");
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Once);
    /// peer.send(b"hello");
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"hello");
    /// assert_eq!(peer.end(), Some(End::Closed));
    /// ```
    pub fn lose_connection(&mut self) {
        self.reactor.lose_connection(self.id, None);
    }

    /// [Closes in order](Self::lose_connection), and `connection_lost` is told this reason: mostly one of
    /// the protocol's own, made by [`Reason::protocol`] from a text or any error.
    ///
    /// If the connection fails before it is closed, the failure is told instead. No effect on a connection
    /// that is closing already.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::{Protocol, Reason, Transport};
    /// struct Numbers;
    ///
    /// impl Protocol for Numbers {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         if !data.iter().all(u8::is_ascii_digit) {
    ///             transport.lose_connection_because(Reason::protocol("not a number"));
    ///         }
    ///     }
    /// }
    /// ```
    pub fn lose_connection_because(&mut self, reason: Reason) {
        self.reactor.lose_connection(self.id, Some(reason));
    }

    /// Does what the default [`shutting_down`](crate::Protocol::shutting_down) does, for an override of it:
    /// [closes in order](Self::lose_connection), but a protocol that was told to pause writing not before it was
    /// told to resume, and has added nothing.
    ///
    /// Until then all goes on as before. If the peer takes nothing for the
    /// [close timeout](Self::set_close_timeout), the connection is cut. No other timeout applies.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::{Protocol, Transport};
    /// struct Game;
    ///
    /// impl Protocol for Game {
    ///     fn shutting_down(&mut self, transport: &mut Transport) {
    ///         transport.write(b"the server stops\n");
    ///         transport.default_shutting_down();
    ///     }
    /// }
    /// ```
    pub fn default_shutting_down(&mut self) {
        self.reactor.close_when_written(self.id);
    }

    /// Sends the outgoing buffer, then FIN, and goes on reading.
    ///
    /// Writes are dropped from here on.
    ///
    /// Once the peer has closed its half too the connection ends by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// /// Sends its question and its end, and waits for the answer.
    /// struct Client;
    ///
    /// impl Protocol for Client {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.write(b"question");
    ///         transport.lose_write_connection();
    ///     }
    ///
    ///     fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
    ///         assert_eq!(data, b"answer");
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Client);
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"question");
    /// peer.send(b"answer");
    /// peer.close_write();
    /// simulation.settle();
    /// assert!(simulation.reactor().connections().is_empty());
    /// ```
    pub fn lose_write_connection(&mut self) {
        self.reactor.lose_write_connection(self.id);
    }

    /// Ends it now: drops unsent bytes and resets the connection.
    ///
    /// From here on only `connection_lost` is delivered: right after the calling callback, if it is the
    /// connection's own and in the serve phase, else in the next flush phase, mostly that of this turn.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::io::ErrorKind;
    /// # use crocus::testing::{End, Simulation};
    /// # use crocus::{Protocol, Transport};
    /// struct Strict;
    ///
    /// impl Protocol for Strict {
    ///     fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
    ///         transport.abort_connection();
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Strict);
    /// peer.send(b"hello");
    /// simulation.settle();
    /// assert_eq!(peer.end(), Some(End::Failed(ErrorKind::ConnectionReset)));
    /// ```
    pub fn abort_connection(&mut self) {
        self.reactor.abort(self.id, Reason::Aborted);
    }

    /// [Ends it now](Self::abort_connection), and `connection_lost` is told this reason.
    ///
    /// For a peer that is not worth an orderly close, such as one that was silent for too long.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::{End, Simulation};
    /// # use crocus::{Protocol, Reason, Transport};
    /// # use std::time::Duration;
    /// struct Impatient;
    ///
    /// impl Protocol for Impatient {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         transport.set_timeout(Some(Duration::from_secs(3)));
    ///     }
    ///
    ///     fn timed_out(&mut self, transport: &mut Transport) {
    ///         transport.abort_connection_because(Reason::TimedOut);
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Impatient);
    /// simulation.advance(Duration::from_secs(3));
    /// assert_eq!(peer.end(), Some(End::Failed(std::io::ErrorKind::ConnectionReset)));
    /// ```
    pub fn abort_connection_because(&mut self, reason: Reason) {
        self.reactor.abort(self.id, reason);
    }

    /// This connection's name, by which other code can reach it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// struct Later;
    ///
    /// impl Protocol for Later {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         let id = transport.id(); // the transport cannot be kept; its name can
    ///         transport.reactor().call_later(Duration::from_secs(1), move |reactor| {
    ///             if let Some(mut transport) = reactor.transport(id) {
    ///                 transport.write(b"still there?");
    ///             }
    ///         });
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Later);
    /// simulation.advance(Duration::from_secs(1));
    /// assert_eq!(peer.received(), b"still there?");
    /// ```
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The reactor, through which a callback can use everything, other connections included.
    ///
    /// A callback must not replace the reactor by another, which would lose this protocol.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// struct Census;
    ///
    /// impl Protocol for Census {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         let here = transport.reactor().connections().len();
    ///         write!(transport, "{here} here");
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let first = simulation.connect(Census);
    /// simulation.settle();
    /// let mut second = simulation.connect(Census);
    /// simulation.settle();
    /// assert_eq!(second.received(), b"2 here");
    /// ```
    pub fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }

    fn connection(&self) -> Option<&Connection> {
        self.reactor.session(self.id).map(|session| &session.connection)
    }
}

/// A formatted text, on its way into the outgoing buffer.
struct Text<'a, 'b> {
    transport: &'a mut Transport<'b>,
    taken: bool,
}

impl fmt::Write for Text<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.taken = self.transport.write(piece.as_bytes());
        if self.taken { Ok(()) } else { Err(fmt::Error) }
    }
}
