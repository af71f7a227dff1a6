//! A protocol made of a framing and a handler of frames.

use super::buffer::{Buffer, Pending};
use super::{FrameError, Framing};
use crate::{Protocol, Reason, TimerId, Transport};

/// Holds one connection's state, and is called for each frame.
///
/// Everything that [`Protocol`] promises holds, with frames in place of data. No frame comes after
/// `lose_connection` or `abort_connection`. While reading is paused, frames that have already
/// arrived wait until reading goes on, and so does the peer's end.
///
/// If the output is above the high-water mark after a callback, `pause_writing` is called and the
/// output is sent before the next frame is delivered. So many small requests with large answers in
/// one chunk are answered in bounded memory.
///
/// Every method but the first has a default. Methods named as in [`Protocol`] do the same as there.
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
pub trait FrameHandler<F: Framing> {
    /// A whole frame has arrived.
    ///
    /// `input` sends frames, and sets how the bytes after this frame are read.
    fn frame_received(
        &mut self,
        transport: &mut Transport<'_>,
        input: &mut Input<'_, F>,
        frame: &[u8],
    );

    /// Raw bytes have arrived, as [asked for](Input::read_raw).
    ///
    /// There is at least one byte, in whatever portions the network delivers.
    fn raw_received(
        &mut self,
        transport: &mut Transport<'_>,
        input: &mut Input<'_, F>,
        data: &[u8],
    ) {
    }

    /// The peer's bytes break the rules of the framing.
    ///
    /// Called once. Later bytes are dropped, since no frame boundary can be found in them.
    ///
    /// By default the connection is [closed](Transport::lose_connection_because) in order: the answers
    /// to earlier frames are not lost, and an error message may be written first. (Twisted does the
    /// same. An abort would drop those answers, and a hostile peer cannot stay longer than the
    /// close timeout.)
    fn frame_failed(&mut self, transport: &mut Transport<'_>, error: FrameError) {
        transport.lose_connection_because(Reason::protocol(error));
    }

    /// The peer sends nothing more; `rest` is the frame it did not finish, or empty.
    ///
    /// By default `rest` is ignored, and the connection is closed once all output is sent.
    fn eof_received(&mut self, transport: &mut Transport<'_>, rest: &[u8]) {
        transport.lose_connection();
    }

    /// See [`Protocol::connection_made`].
    fn connection_made(&mut self, transport: &mut Transport<'_>) {}

    /// See [`Protocol::pause_writing`].
    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        Defaults.pause_writing(transport);
    }

    /// See [`Protocol::resume_writing`].
    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        Defaults.resume_writing(transport);
    }

    /// See [`Protocol::timer_fired`].
    fn timer_fired(&mut self, transport: &mut Transport<'_>, timer: TimerId) {}

    /// See [`Protocol::timed_out`].
    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        transport.lose_connection();
    }

    /// See [`Protocol::shutting_down`].
    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        transport.lose_connection();
    }

    /// See [`Protocol::connection_lost`].
    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {}
}

/// The defaults of [`Protocol`].
struct Defaults;

impl Protocol for Defaults {}

/// The input after the frame, or the piece of raw bytes, that was just delivered.
#[derive(Debug)]
pub struct Input<'a, F> {
    framing: &'a mut F,
    /// How many bytes to deliver raw before the next frame.
    raw: &'a mut u64,
    /// The bytes that were delivered, and all that follow them.
    bytes: &'a [u8],
    /// How many of `bytes` the delivery used.
    used: usize,
    /// How many of those may be given back.
    piece: usize,
}

impl<F: Framing> Input<'_, F> {
    /// Sends a frame; returns whether the connection took it, like [`Transport::write`].
    ///
    /// # Errors
    ///
    /// If the framing cannot express the frame: it is too long, or contains a delimiter. Then
    /// nothing is written.
    pub fn send(&self, transport: &mut Transport<'_>, frame: &[u8]) -> Result<bool, FrameError> {
        Ok(self.framing.encode(frame)?.write_to(transport))
    }

    /// The rules in force, which may be changed for the next frames.
    pub fn framing_mut(&mut self) -> &mut F {
        self.framing
    }

    /// Delivers the next `count` bytes raw, by [`raw_received`](FrameHandler::raw_received).
    ///
    /// Frames follow them. [`u64::MAX`] means: until [`read_frames`](Self::read_frames).
    ///
    /// Twisted's `setRawMode`.
    pub fn read_raw(&mut self, count: u64) {
        *self.raw = count;
    }

    /// Delivers frames from here on.
    ///
    /// The last `unused` bytes of the piece just delivered do not count as raw: frames begin with
    /// them.
    ///
    /// Twisted's `setLineMode`.
    ///
    /// # Panics
    ///
    /// If the piece has fewer bytes. A frame has none to give back.
    pub fn read_frames(&mut self, unused: usize) {
        assert!(unused <= self.piece, "{unused} of {} bytes are given back", self.piece);
        *self.raw = 0;
        self.piece -= unused;
        self.used -= unused;
    }

    /// The bytes that have arrived and are not delivered yet.
    ///
    /// A protocol that [takes over](Transport::set_protocol) is given them.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.used..]
    }
}

/// A protocol that cuts its input into frames, and calls a [`FrameHandler`] for each.
#[derive(Debug)]
pub struct Framed<F, H> {
    framing: F,
    handler: H,
    buffer: Buffer,
    raw: u64,
    /// Whether `pause_writing` was called, and `resume_writing` not yet.
    told_to_pause: bool,
}

impl<F: Framing, H: FrameHandler<F>> Framed<F, H> {
    /// A protocol for a new connection, or for one whose bytes are frames from here on.
    pub fn new(framing: F, handler: H) -> Self {
        Self { framing, handler, buffer: Buffer::default(), raw: 0, told_to_pause: false }
    }

    /// Delivers the kept bytes and `chunk`, as long as delivery is allowed.
    fn deliver(&mut self, transport: &mut Transport<'_>, chunk: &[u8]) {
        let Self { framing, handler, buffer, raw, told_to_pause } = self;
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
            let used = match *raw {
                0 => deliver_frame(framing, handler, &mut pending, raw, transport),
                _ => deliver_raw(framing, handler, &pending, raw, transport),
            };
            let Some(used) = used else { return };
            pending.take(used);
            let put_back = transport.unread_len().saturating_sub(unread_before);
            if put_back > 0 {
                // Bytes that the handler has put back come before those it was not given yet.
                transport.unread_behind(put_back, pending.bytes());
                return pending.clear();
            }
        }
    }
}

/// Returns how many bytes it used; `None` if there is no frame.
fn deliver_frame<F: Framing, H: FrameHandler<F>>(
    framing: &mut F,
    handler: &mut H,
    pending: &mut Pending<'_>,
    raw: &mut u64,
    transport: &mut Transport<'_>,
) -> Option<usize> {
    let found = match pending.find(framing)? {
        Ok(found) => found,
        Err(error) => {
            handler.frame_failed(transport, error);
            return None;
        }
    };
    let bytes = pending.bytes();
    let mut input = Input { framing, raw, bytes, used: found.used, piece: 0 };
    handler.frame_received(transport, &mut input, &bytes[found.frame]);
    Some(input.used)
}

fn deliver_raw<F: Framing, H: FrameHandler<F>>(
    framing: &mut F,
    handler: &mut H,
    pending: &Pending<'_>,
    raw: &mut u64,
    transport: &mut Transport<'_>,
) -> Option<usize> {
    let bytes = pending.bytes();
    let count = usize::try_from(*raw).unwrap_or(usize::MAX).min(bytes.len());
    if *raw != u64::MAX {
        *raw -= count as u64;
    }
    let mut input = Input { framing, raw, bytes, used: count, piece: count };
    handler.raw_received(transport, &mut input, &bytes[..count]);
    Some(input.used)
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

impl<F: Framing, H: FrameHandler<F>> Protocol for Framed<F, H> {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        self.handler.connection_made(transport);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.deliver(transport, data);
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.handler.eof_received(transport, self.buffer.unused());
        self.buffer.clear();
    }

    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        self.told_to_pause = true;
        self.handler.pause_writing(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.told_to_pause = false;
        self.handler.resume_writing(transport);
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, timer: TimerId) {
        self.handler.timer_fired(transport, timer);
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        self.handler.timed_out(transport);
    }

    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        self.handler.shutting_down(transport);
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        self.handler.connection_lost(transport, reason);
    }
}
