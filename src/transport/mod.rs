//! A connection, lent to a callback.

mod socket;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, UnixAddress};
use crate::connection::{Connection, Direction, Holds, Marks};
use crate::frame_error::FrameError;
use crate::ids::ConnectionId;
use crate::parts::timers::TimerId;
use crate::parts::token_bucket::Rate;
use crate::protocol::Protocol;
use crate::reactor::Reactor;
use crate::reason::Reason;

/// A connection, lent to a callback of its protocol, or by [`Reactor::transport`] to any caller.
///
/// Its commands return at once; the loop carries them out after the callback, at the latest in the
/// [flush phase](Reactor::turn) of the turn. No command calls back. On a connection that is ending
/// commands have no effect, and those that return a `bool` return `false`.
///
/// Twisted's `ITransport`; the marks and the idea of `pause_reading` are asyncio's.
#[derive(Debug)]
pub struct Transport<'a> {
    reactor: &'a mut Reactor,
    id: ConnectionId,
}

/// The peer of a connection that was lost because a callback has replaced its reactor by another.
static NOBODY: Address = Address::Unix(UnixAddress::unnamed());

impl<'a> Transport<'a> {
    pub(crate) fn new(reactor: &'a mut Reactor, id: ConnectionId) -> Self {
        Self { reactor, id }
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
        let mut pieces = Pieces { transport: self, taken: true };
        let written = fmt::Write::write_fmt(&mut pieces, text);
        assert!(written.is_ok() || !pieces.taken, "an argument's Display reported an error");
        pieces.taken
    }

    /// Closes in order: sends the outgoing buffer, then FIN, and waits some seconds for the peer to
    /// close too, so that nothing is lost.
    ///
    /// From here on nothing is delivered but `connection_lost`, and writes are dropped. If the peer
    /// takes nothing of the rest for the [close timeout](Self::set_close_timeout), the connection is cut,
    /// with [`Reason::CloseTimedOut`](crate::Reason::CloseTimedOut).
    ///
    /// In Twisted and asyncio this has no timeout: a peer that does not read keeps the connection for
    /// ever.
    pub fn lose_connection(&mut self) {
        self.reactor.lose_connection(self.id, None);
    }

    /// [Closes in order](Self::lose_connection) because the peer sent invalid data: the reason is
    /// [`Reason::BadFrame`](crate::Reason::BadFrame).
    ///
    /// `frame_failed` of a [`FrameHandler`](crate::framing::FrameHandler) does this by default. It suits
    /// frames with wrong contents as well.
    pub fn lose_connection_over(&mut self, error: FrameError) {
        let reason = Reason::BadFrame { error: Arc::new(error) };
        self.reactor.lose_connection(self.id, Some(reason));
    }

    /// Sends the outgoing buffer, then FIN, and goes on reading.
    ///
    /// Writes are dropped from here on.
    ///
    /// Once the peer has closed its half too the connection ends by itself.
    pub fn lose_write_connection(&mut self) {
        self.reactor.lose_write_connection(self.id);
    }

    /// Ends it now: drops unsent bytes and resets the connection.
    ///
    /// From here on only `connection_lost` is delivered: right after the calling callback, if it is the
    /// connection's own and in the serve phase, else in the next flush phase, mostly that of this turn.
    pub fn abort_connection(&mut self) {
        self.reactor.end(self.id, Reason::Aborted);
    }

    /// Puts bytes back: they are delivered again, as `data_received`, before anything newer.
    ///
    /// They come in the next turn; if reading is paused, after [`resume_reading`](Self::resume_reading).
    /// If the connection is [handed over](Self::set_protocol), they go to the protocol that takes over,
    /// right after its `connection_made`. Bytes put back last are delivered first. The size of the
    /// portions is not promised.
    ///
    /// A protocol that puts back all its bytes, and does not pause, gets the same bytes again in every
    /// turn and keeps a core busy. To wait for the rest of a message, store its beginning.
    ///
    /// This is for a protocol that pauses reading in the middle of its bytes, and for one that hands
    /// over with unused bytes. The bytes count for the read budget, and not for a rate.
    ///
    /// Returns whether they are kept: not after `lose_connection`, `abort_connection` or the end. Bytes put
    /// back after `eof_received` are kept only for a protocol that takes over.
    ///
    /// C's ungetc(3). Neither Twisted nor asyncio has this: there each protocol stores such bytes, and
    /// handles them itself when it resumes.
    ///
    /// # Examples
    ///
    /// One message at a time, and the next when the answer is ready:
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::{Protocol, TimerId, Transport};
    ///
    /// struct Slow;
    ///
    /// impl Protocol for Slow {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.write(&data[..1]);
    ///         transport.unread(&data[1..]);
    ///         transport.pause_reading();
    ///         transport.call_later(Duration::from_millis(5));
    ///     }
    ///
    ///     fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
    ///         transport.resume_reading();
    ///     }
    /// }
    ///
    /// let mut simulation = crocus::testing::Simulation::new();
    /// let mut peer = simulation.connect(Slow);
    /// peer.send(b"abc");
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"a");
    /// simulation.advance(Duration::from_millis(10));
    /// assert_eq!(peer.received(), b"bc");
    /// ```
    pub fn unread(&mut self, data: &[u8]) -> bool {
        self.reactor.unread(self.id, 0, data)
    }

    /// Puts bytes back behind the first `ahead` bytes of those that were put back already.
    ///
    /// This is for a protocol that passes its bytes on, as [`Framed`](crate::framing::Framed) does: the
    /// bytes that its handler has put back come before those that it has not passed on.
    pub fn unread_behind(&mut self, ahead: usize, data: &[u8]) -> bool {
        self.reactor.unread(self.id, ahead, data)
    }

    /// How many bytes were [put back](Self::unread) and are not delivered yet.
    pub fn unread_len(&self) -> usize {
        self.connection().map_or(0, Connection::kept)
    }

    /// Hands the connection over to `protocol`.
    ///
    /// From here on the present protocol gets no more calls. It is dropped, without `connection_lost`
    /// (the connection is not lost), in the serve phase: right after the calling callback, if it is
    /// `data_received` or `eof_received`, else in the next turn. Then `protocol` gets `connection_made`;
    /// then the bytes that were [put back](Self::unread) before or after this call, as `data_received`
    /// before anything newer; then `eof_received`, if the peer has closed its half already. To
    /// `protocol` this looks like a new connection.
    ///
    /// The settings of the connection stay: timeouts, water marks, rates, and whether reading is paused;
    /// if it is, the calls after `connection_made` wait for [`resume_reading`](Self::resume_reading).
    /// The timers of [`call_later`](Self::call_later) are the former protocol's and are cancelled by
    /// this; those set between this call and the exchange never fire. If the former protocol was told
    /// `pause_writing`, `protocol` is told so too if more than the high mark is still waiting; the
    /// default pause of reading ends.
    ///
    /// Returns whether the exchange will take place: `false` after `lose_connection`, `abort_connection`
    /// or the end, and while another protocol is waiting to take over; then `protocol` is dropped, and
    /// nothing changes. If the connection ends before the exchange, the present protocol gets
    /// `connection_lost`, and `protocol` is dropped without a call.
    ///
    /// A protocol that gets bytes which were put back may hand over in turn; the bytes it has not got
    /// yet follow those it puts back. Each exchange is charged to the read budget like a full read, so
    /// that protocols that hand over in a circle do not delay other connections.
    ///
    /// The name is asyncio's; in Twisted a program assigns `transport.protocol`.
    ///
    /// # Examples
    ///
    /// One protocol for the first line, another for the rest:
    ///
    /// ```
    /// use crocus::{Protocol, Transport};
    ///
    /// struct Greeting(Vec<u8>);
    ///
    /// impl Protocol for Greeting {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         self.0.extend_from_slice(data);
    ///         if let Some(end) = self.0.iter().position(|&byte| byte == b'\n') {
    ///             transport.set_protocol(Echo);
    ///             transport.unread(&self.0[end + 1..]);
    ///         }
    ///     }
    /// }
    ///
    /// struct Echo;
    ///
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.write(data);
    ///     }
    /// }
    ///
    /// let mut simulation = crocus::testing::Simulation::new();
    /// let mut peer = simulation.connect(Greeting(Vec::new()));
    /// peer.send(b"hello\nworld");
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"world");
    /// ```
    pub fn set_protocol(&mut self, protocol: impl Protocol + 'static) -> bool {
        self.reactor.set_protocol(self.id, Box::new(protocol))
    }

    /// Stops delivering what the peer sends; once the kernel's buffers are full, TCP stops the peer.
    ///
    /// A reset by the peer is noticed nevertheless; an orderly close is noticed after `resume_reading`,
    /// behind the last bytes.
    pub fn pause_reading(&mut self) {
        self.reactor.hold_reading(self.id, Holds::PROTOCOL);
    }

    /// Goes on delivering; one call is enough, however often reading was paused.
    ///
    /// The default `resume_writing`, and not this, ends the pause of the default `pause_writing`: the
    /// two do not interfere.
    pub fn resume_reading(&mut self) {
        self.reactor.release_reading(self.id, Holds::PROTOCOL);
    }

    /// The default `pause_writing`.
    pub(crate) fn withhold_reading(&mut self) {
        self.reactor.hold_reading(self.id, Holds::PRESSURE);
    }

    /// The default `resume_writing`.
    pub(crate) fn grant_reading(&mut self) {
        self.reactor.release_reading(self.id, Holds::PRESSURE);
    }

    /// Whether what the peer sends is being delivered to this protocol: not while reading is paused, nor
    /// once the connection is closing or [handed over](Self::set_protocol).
    pub fn is_reading(&self) -> bool {
        self.connection().is_some_and(Connection::is_reading)
    }

    /// Calls the protocol's `timed_out` once the peer has sent and taken nothing for `limit`; `None` turns it
    /// off. Returns the former setting.
    ///
    /// Before that the socket is asked once more. What came while other callbacks worked counts, and so does
    /// what came while reading is paused. *Not* promised: that every byte a slow peer takes is seen. The last
    /// 128 KiB leave the kernel unseen on Linux, and what the peer's window holds. Measured on the loopback
    /// interface: at 150 kB/s at most 1.6 s without a sign of life, at 20 kB/s 10 s.
    pub fn set_timeout(&mut self, limit: Option<Duration>) -> Option<Duration> {
        self.reactor.set_timeout(self.id, limit)
    }

    /// Calls the protocol's `timer_fired` after `delay`, unless the connection is closed or
    /// [handed over](Self::set_protocol) before.
    ///
    /// The timer is [cancelled](Reactor::cancel) and [reset](Reactor::reset) like any other.
    pub fn call_later(&mut self, delay: Duration) -> TimerId {
        self.reactor.connection_timer(self.id, delay)
    }

    /// Sets the water marks, in bytes waiting to be sent: above `high` comes `pause_writing`, and at or
    /// below `low` `resume_writing`.
    ///
    /// A `low` above `high` is taken for `high`.
    ///
    /// The flush phase checks the high mark before it sends, the low mark after. So a protocol that
    /// writes until [`buffered`](Self::buffered) is above `high`, and goes on in `resume_writing`, is
    /// always called again, also when the kernel takes everything at once.
    pub fn set_write_buffer_limits(&mut self, high: usize, low: usize) {
        self.reactor.set_marks(self.id, Marks::new(high, low));
    }

    /// The water marks, high and low, in bytes: asyncio's `get_write_buffer_limits`, in the opposite
    /// order.
    pub fn write_buffer_limits(&self) -> (usize, usize) {
        self.connection().map_or((0, 0), |connection| connection.marks())
    }

    /// Sets how many bytes per second are read at most; `None` sets no limit.
    ///
    /// Returns the former setting. The bucket is full at first.
    ///
    /// When the bucket is empty the connection is not read until it has filled again, and costs nothing
    /// while it waits; TCP stops the peer once the kernel's buffers are full. Bytes discarded after
    /// `lose_connection` are not counted, and the end of a connection is not delayed: an error is
    /// noticed at once, an orderly end behind the last bytes.
    ///
    /// *Not* promised: that the rate is reached, nor that the peer sends more slowly. A timeout set by
    /// [`set_timeout`](Self::set_timeout) includes the time of waiting. Bytes that the kernel adds, and
    /// those in its buffers, are not counted.
    pub fn set_read_rate(&mut self, rate: Option<Rate>) -> Option<Rate> {
        self.reactor.set_rate(self.id, Direction::Reading, rate)
    }

    /// Sets how many bytes per second are written at most; `None` sets no limit.
    ///
    /// Returns the former setting. The bucket is full at first.
    ///
    /// Unwritten bytes wait in memory as for a slow peer: `pause_writing` comes above the high mark, and
    /// the connection ends at the cap. Closing is throttled too. Its
    /// [deadline](Self::set_close_timeout) must be longer than the bucket takes for a portion.
    pub fn set_write_rate(&mut self, rate: Option<Rate>) -> Option<Rate> {
        self.reactor.set_rate(self.id, Direction::Writing, rate)
    }

    /// Sets how long an orderly close waits while the peer takes nothing; 30 s by default.
    pub fn set_close_timeout(&mut self, limit: Duration) {
        self.reactor.set_close_timeout(self.id, limit);
    }

    /// How many written bytes are still waiting to be handed to the kernel.
    pub fn buffered(&self) -> usize {
        self.connection().map_or(0, Connection::buffered)
    }

    /// Whether the connection is closing or gone, so that nothing more will be delivered or taken.
    pub fn is_closing(&self) -> bool {
        !self.connection().is_some_and(Connection::is_open)
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> &Address {
        self.reactor.session(self.id).map_or(&NOBODY, |session| &session.peer)
    }

    /// This connection's name, by which other code can reach it.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The reactor, through which a callback can use everything, other connections included.
    ///
    /// A callback must not replace the reactor by another, which would lose this protocol.
    pub fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }

    fn connection(&self) -> Option<&Connection> {
        self.reactor.session(self.id).map(|session| &session.connection)
    }
}

/// The pieces of a formatted text, on their way into the outgoing buffer.
struct Pieces<'a, 'b> {
    transport: &'a mut Transport<'b>,
    taken: bool,
}

impl fmt::Write for Pieces<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.taken = self.transport.write(piece.as_bytes());
        if self.taken { Ok(()) } else { Err(fmt::Error) }
    }
}
