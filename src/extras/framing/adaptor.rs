//! A protocol made of a framing and a handler of frames.

use super::buffer::{Buffer, Pending};
use super::{FrameError, Framing};
use crate::{Protocol, Reason, TimerId, Transport};

/// A [`Protocol`] that is called for each frame, in place of each piece of data.
///
/// [`Framed`] makes the calls; without it a handler gets its data uncut, as any protocol. Every other
/// notice is the [`Protocol`]'s own, and everything that it promises holds. No frame comes
/// after `lose_connection`, `abort_connection` or `set_protocol`. While reading is paused, frames that
/// have already arrived wait until reading goes on, and so does the peer's end.
///
/// If the output is above the high-water mark after a callback, `pause_writing` is called and the
/// output is sent before the next frame is delivered. So many small requests with large answers in
/// one chunk are answered in bounded memory.
///
/// A handler that changes to other rules [hands over](Transport::set_protocol) to another `Framed`, or
/// to any protocol: the bytes after the present frame go there.
///
/// # Examples
///
/// A request is a line that tells the length of its body. `data_received` gets the body in pieces, so
/// that it takes no memory, however long it is:
///
/// ```
/// use crocus::framing::{FrameHandler, Framed, Lines};
/// use crocus::testing::{Cut, Simulation};
/// use crocus::{Protocol, Transport};
///
/// #[derive(Default)]
/// struct Checksum {
///     body_left: u64,
///     sum: u8,
/// }
///
/// impl FrameHandler<Lines> for Checksum {
///     fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
///         let Some(length) = str::from_utf8(line).ok().and_then(|line| line.parse().ok()) else {
///             return transport.lose_connection();
///         };
///         (self.body_left, self.sum) = (length, 0);
///         self.data_received(transport, b""); // a body without bytes is complete already
///     }
///
///     fn raw_left(&self) -> u64 {
///         self.body_left
///     }
/// }
///
/// impl Protocol for Checksum {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         self.sum = data.iter().fold(self.sum, |sum, byte| sum.wrapping_add(*byte));
///         self.body_left -= data.len() as u64; // never more than is left
///         if self.body_left == 0 {
///             writeln!(transport, "{}", self.sum);
///         }
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// simulation.set_cut(Cut::Every(2));
/// let mut peer = simulation.connect(Framed::new(Lines::new(), Checksum::default()));
/// peer.send(b"4\r\n\x01\x02\n\n0\r\n1\r\n\x07");
/// simulation.settle();
/// assert_eq!(peer.received(), b"23\n0\n7\n");
/// ```
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
pub trait FrameHandler<F: Framing>: Protocol {
    /// A whole frame has arrived.
    ///
    /// It lies in a buffer that is used again: copy what you need.
    fn frame_received(&mut self, transport: &mut Transport<'_>, frame: F::Frame<'_>);

    /// How many raw bytes are still to come before the next frame; none by default.
    ///
    /// `data_received` gets them, at least one and at most so many at a time, in whatever portions the
    /// network delivers, and counts them off. The adaptor asks before each delivery.
    ///
    /// For raw bytes without a known end, [hand over](Transport::set_protocol) to another protocol.
    ///
    /// Twisted's `setRawMode` and `setLineMode`.
    fn raw_left(&self) -> u64 {
        0
    }

    /// The peer's bytes break the rules of the framing.
    ///
    /// Called once. Later bytes are dropped, since no frame boundary can be found in them.
    ///
    /// By default the connection is [closed](Transport::lose_connection_because) in order: the answers
    /// to earlier frames are not lost, and an error message may be written first. (Twisted does the
    /// same. An abort would drop those answers, and a hostile peer cannot stay longer than the
    /// close timeout.)
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::framing::{FrameError, FrameHandler, Framed, Lines};
    /// # use crocus::testing::{End, Simulation};
    /// # use crocus::{Protocol, Reason, Transport};
    /// struct Chat;
    ///
    /// impl Protocol for Chat {}
    ///
    /// impl FrameHandler<Lines> for Chat {
    ///     fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
    ///         writeln!(transport, "{} bytes", line.len());
    ///     }
    ///
    ///     fn frame_failed(&mut self, transport: &mut Transport, error: FrameError) {
    ///         write!(transport, "{error}"); // tell the peer what is wrong
    ///         transport.lose_connection_because(Reason::protocol(error));
    ///     }
    ///
    ///     fn eof_in_frame(&mut self, transport: &mut Transport, part: &[u8]) {
    ///         write!(transport, "{} bytes without an end", part.len());
    ///         self.eof_received(transport); // which closes
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Framed::new(Lines::new().max_length(5), Chat));
    /// peer.send(b"one\nmillions\n");
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"3 bytes\na frame of more than 5 bytes");
    ///
    /// let mut peer = simulation.connect(Framed::new(Lines::new(), Chat));
    /// peer.send(b"half a li");
    /// peer.close_write();
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"9 bytes without an end");
    /// ```
    fn frame_failed(&mut self, transport: &mut Transport<'_>, error: FrameError) {
        transport.lose_connection_because(Reason::protocol(error));
    }

    /// The peer sends nothing more, and has sent a part of a frame last. See the example of
    /// [`frame_failed`](Self::frame_failed).
    ///
    /// Called in place of [`eof_received`](Protocol::eof_received), which the default calls. `part` has
    /// at least one byte. Twisted drops it; here a protocol that takes over gets it, also later.
    fn eof_in_frame(&mut self, transport: &mut Transport<'_>, part: &[u8]) {
        self.eof_received(transport);
    }
}

/// A protocol that cuts its input into frames, and calls a [`FrameHandler`] for each.
///
/// # Examples
///
/// ```
/// use crocus::framing::{FrameHandler, Framed, Netstrings};
/// use crocus::testing::Simulation;
/// use crocus::{Protocol, Transport};
///
/// struct Count(usize);
///
/// impl Protocol for Count {}
///
/// impl FrameHandler<Netstrings> for Count {
///     fn frame_received(&mut self, _: &mut Transport, _frame: &[u8]) {
///         self.0 += 1;
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// let mut peer = simulation.connect(Framed::new(Netstrings::new(), Count(0)));
/// peer.send(b"5:hello,2:yo,3:no");
/// simulation.settle();
///
/// let id = simulation.reactor().connections()[0];
/// let count = |framed: &mut Framed<Netstrings, Count>, transport: &mut Transport| {
///     framed.with_handler(transport, |handler, _| handler.0)
/// };
/// assert_eq!(simulation.reactor().with_protocol(id, count), Some(2));
/// ```
#[derive(Debug)]
pub struct Framed<F, H> {
    framing: F,
    handler: H,
    buffer: Buffer,
    /// Whether `pause_writing` was called, and `resume_writing` not yet.
    told_to_pause: bool,
    /// Whether the kept part of a frame came encrypted.
    encrypted: bool,
}

impl<F: Framing, H: FrameHandler<F>> Framed<F, H> {
    /// A protocol for a new connection, or for one whose bytes are frames from here on.
    pub fn new(framing: F, handler: H) -> Self {
        let buffer = Buffer::default();
        Self { framing, handler, buffer, told_to_pause: false, encrypted: false }
    }

    /// Calls code with the handler, for code that has reached this protocol by
    /// [`with_protocol`](crate::Reactor::with_protocol).
    ///
    /// There the connection may be handed over as in a callback, with the part of a frame that has come. (Code that
    /// hands it over by its id alone does not reach that part, which is lost.)
    pub fn with_handler<R>(
        &mut self,
        transport: &mut Transport<'_>,
        code: impl FnOnce(&mut H, &mut Transport<'_>) -> R,
    ) -> R {
        let unread_before = transport.unread_len();
        let result = code(&mut self.handler, transport);
        if !transport.is_reading() {
            self.put_back(transport, unread_before);
        }
        result
    }

    /// Delivers the kept bytes and `chunk`, as long as delivery is allowed.
    fn deliver(&mut self, transport: &mut Transport<'_>, chunk: &[u8]) {
        let Self { framing, handler, buffer, told_to_pause, .. } = self;
        let mut pending = Pending::new(buffer, chunk);
        while !pending.bytes().is_empty() {
            match Delivery::of(transport, *told_to_pause) {
                Delivery::Now => {}
                Delivery::Later => {
                    // The bytes go to this protocol when it goes on, or to one that has taken over.
                    transport.unread(pending.bytes());
                    return pending.clear();
                }
                Delivery::Never => return pending.clear(),
            }
            let unread_before = transport.unread_len();
            match handler.raw_left() {
                0 => match pending.next(framing) {
                    Some(Ok(frame)) => handler.frame_received(transport, frame),
                    Some(Err(error)) => return handler.frame_failed(transport, error),
                    None => return,
                },
                raw => handler.data_received(transport, pending.take(raw)),
            }
            let put_back = transport.unread_len().saturating_sub(unread_before);
            if put_back > 0 {
                // Bytes that the handler has put back come before those it was not given yet.
                transport.unread_behind(put_back, pending.bytes());
                return pending.clear();
            }
        }
    }

    /// Whether a part of a frame is kept that came in clear, and what follows is encrypted: whoever sent the
    /// one may not be the peer who sends the other.
    fn mixes(&mut self, transport: &Transport<'_>) -> bool {
        let encrypted = is_encrypted(transport);
        let begun = std::mem::replace(&mut self.encrypted, encrypted) != encrypted;
        begun && !self.buffer.unused().is_empty()
    }

    /// Puts the part of a frame back when the handler has handed over, has paused reading, or is told the end.
    ///
    /// It may do so in any callback, and the successor must not miss a byte. Bytes that the handler has put back
    /// itself, which had so many before, came earlier.
    fn put_back(&mut self, transport: &mut Transport<'_>, unread_before: usize) {
        if !self.buffer.unused().is_empty() {
            let put_back = transport.unread_len().saturating_sub(unread_before);
            transport.unread_behind(put_back, self.buffer.unused());
        }
        self.buffer.clear();
    }
}

#[cfg(feature = "tls")]
fn is_encrypted(transport: &Transport<'_>) -> bool {
    transport.is_encrypted()
}

#[cfg(not(feature = "tls"))]
fn is_encrypted(_: &Transport<'_>) -> bool {
    false
}

/// When the next frame may be delivered.
enum Delivery {
    Now,
    Later,
    Never,
}

impl Delivery {
    /// `told` says whether the handler knows that it is above the high-water mark.
    fn of(transport: &Transport<'_>, told: bool) -> Self {
        let (high, _) = transport.write_buffer_limits();
        if transport.is_closing() {
            Self::Never
        } else if transport.is_reading() && (told || transport.buffered() <= high) {
            Self::Now
        } else {
            Self::Later
        }
    }
}

/// Every notice but `data_received` goes on to the handler as it is.
impl<F: Framing + 'static, H: FrameHandler<F>> Protocol for Framed<F, H> {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        self.handler.connection_made(transport);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        if self.mixes(transport) {
            let error = FrameError::malformed("a part of a frame came before TLS");
            return transport.lose_connection_because(Reason::protocol(error));
        }
        self.deliver(transport, data);
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        let unread_before = transport.unread_len();
        match self.buffer.unused() {
            [] => self.handler.eof_received(transport),
            part => self.handler.eof_in_frame(transport, part),
        }
        self.put_back(transport, unread_before); // for a protocol that takes over, now or later
    }

    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        self.told_to_pause = true;
        self.with_handler(transport, H::pause_writing);
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.told_to_pause = false;
        self.with_handler(transport, H::resume_writing);
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, timer: TimerId) {
        self.with_handler(transport, |handler, transport| handler.timer_fired(transport, timer));
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        self.with_handler(transport, H::timed_out);
    }

    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        self.with_handler(transport, H::shutting_down);
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        self.handler.connection_lost(transport, reason);
    }
}
