//! Reading: pausing it, putting bytes back, handing over.

use super::Transport;
use crate::connection::{Connection, Holds};
use crate::protocol::Protocol;

/// # Reading, and handing over
impl Transport<'_> {
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// struct Pausing;
    ///
    /// impl Protocol for Pausing {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.pause_reading();
    ///         transport.unread(data);
    ///         assert_eq!(transport.unread_len(), 5);
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Pausing);
    /// peer.send(b"hello");
    /// simulation.settle();
    /// # assert_eq!(simulation.reactor().stats().bytes_read, 5);
    /// ```
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
    /// The settings of the connection stay: timeouts, water marks, rates, whether an end of TLS may be truncated, and
    /// whether reading is paused;
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
    ///         } else if self.0.len() > 80 {
    ///             transport.lose_connection(); // so long a greeting is none
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

    /// Whether another protocol is to take over, and has not yet.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.connection().is_some_and(|connection| connection.is_open() && !connection.hears())
    }

    /// Stops delivering what the peer sends; once the kernel's buffers are full, TCP stops the peer.
    ///
    /// A reset by the peer is noticed nevertheless; an orderly close is noticed after `resume_reading`,
    /// behind the last bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// # struct Echo;
    /// # impl Protocol for Echo {
    /// #     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    /// #         transport.write(data);
    /// #     }
    /// # }
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Echo);
    /// simulation.settle();
    /// let id = simulation.reactor().connections()[0];
    ///
    /// simulation.reactor().transport(id).unwrap().pause_reading();
    /// peer.send(b"hello");
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"");
    ///
    /// simulation.reactor().transport(id).unwrap().resume_reading();
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"hello");
    /// ```
    pub fn pause_reading(&mut self) {
        self.reactor.hold_reading(self.id, Holds::PROTOCOL);
    }

    /// Goes on delivering; one call is enough, however often reading was [paused](Self::pause_reading).
    ///
    /// The default `resume_writing`, and not this, ends the pause of the default `pause_writing`: the
    /// two do not interfere.
    pub fn resume_reading(&mut self) {
        self.reactor.release_reading(self.id, Holds::PROTOCOL);
    }

    /// Does what the default [`pause_writing`](Protocol::pause_writing) does, for an override of it: this
    /// connection is not read until [`default_resume_writing`](Self::default_resume_writing).
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Protocol, Transport};
    ///
    /// struct Echo {
    ///     pauses: u32,
    /// }
    ///
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.write(data);
    ///     }
    ///
    ///     fn pause_writing(&mut self, transport: &mut Transport) {
    ///         self.pauses += 1;
    ///         transport.default_pause_writing();
    ///     }
    ///
    ///     fn resume_writing(&mut self, transport: &mut Transport) {
    ///         println!("the peer has caught up");
    ///         transport.default_resume_writing();
    ///     }
    /// }
    /// ```
    pub fn default_pause_writing(&mut self) {
        self.reactor.hold_reading(self.id, Holds::PRESSURE);
    }

    /// Does what the default [`resume_writing`](Protocol::resume_writing) does, for an override of it: reading
    /// goes on, unless it was [paused](Self::pause_reading) by the protocol itself. See the example of
    /// [`default_pause_writing`](Self::default_pause_writing).
    pub fn default_resume_writing(&mut self) {
        self.reactor.release_reading(self.id, Holds::PRESSURE);
    }

    /// Whether what the peer sends is being delivered to this protocol: not while reading is paused, by this
    /// protocol or by the default `pause_writing`, nor once the connection is closing or
    /// [handed over](Self::set_protocol).
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// struct Paused;
    ///
    /// impl Protocol for Paused {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         assert!(transport.is_reading());
    ///         transport.pause_reading();
    ///         assert!(!transport.is_reading());
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// # let peer = simulation.connect(Paused);
    /// # simulation.settle();
    /// # assert_eq!(simulation.reactor().connections().len(), 1);
    /// ```
    pub fn is_reading(&self) -> bool {
        self.connection().is_some_and(Connection::is_reading)
    }
}
