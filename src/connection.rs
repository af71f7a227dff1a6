//! The life of one connection: open, closing, lingering, gone.
//!
//! This is the state and the reading and writing; the reactor decides when, and calls the protocol.
//!
//! ```text
//!             lose_connection           all flushed, FIN sent          peer's FIN, or time is up
//!   Open ─────────────────────▶ Closing ─────────────────────▶ Lingering ──────────────▶ Gone
//!     │                            │ close timeout                 │                       ▲
//!     └────────────────────────────┴───────────────────────────────┴───────────────────────┘
//!        abort_connection · an error · a panic · overflow · stop · both halves shut
//! ```
//!
//! Closing a TCP socket while the peer still sends answers its next segment with a reset, and a
//! reset may overtake what we wrote and the peer has not read. That is why the last bytes are
//! followed by FIN and by a while of listening before the socket is closed (nginx calls it a
//! lingering close). Bytes that arrive after `lose_connection` are read and thrown away, so that a
//! peer which reads only after it has sent everything cannot deadlock with us.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::Registry;

use crate::address::Address;
use crate::arena::{Key, id_type};
use crate::observe::Callback;
use crate::poller::Readiness;
use crate::protocol::Protocol;
use crate::reactor::Direction;
use crate::reason::{Phase, Reason};
use crate::stream::Stream;
use crate::timers::TimerId;
use crate::token_bucket::Bucket;
use crate::write_buffer::{Spares, WriteBuffer};

id_type! {
    /// Names a connection.
    ConnectionId
}

/// A connection that needs no more bytes than this for its whole answer may be closed without
/// lingering if the peer has sent nothing: they are on their way before any later segment of the
/// peer's can be answered by a reset. 10 segments may leave without waiting for an acknowledgement
/// (RFC 6928), of 1,460 bytes on an Ethernet (1,220 is the least an IPv6 path may force).
pub(crate) const FIRST_FLIGHT: usize = 10 * 1220;

/// Where in its life a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Open,
    /// `lose_connection` was called; the rest is being flushed.
    Closing,
    /// Flushed, FIN sent: waiting for the peer's.
    Lingering,
    /// Over; only `connection_lost` is owed.
    Gone,
}

/// Whom to tell when a connection is gone, beside its protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Nobody,
    Listener(Key),
    Connector(Key),
}

/// High and low water marks of the outgoing buffer, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Marks {
    pub(crate) high: usize,
    pub(crate) low: usize,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    /// `None` while a callback of it runs.
    pub(crate) protocol: Option<Box<dyn Protocol>>,
    pub(crate) owner: Owner,
    pub(crate) peer: Address,
    pub(crate) outgoing: WriteBuffer,
    pub(crate) marks: Marks,
    pub(crate) close_timeout: Duration,
    /// What few connections have; the others pay a pointer.
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) stage: Stage,
    /// Why it ends; set when it leaves `Open`, and again if something worse happens after. While it is
    /// `Open`: writing failed for this, and what the peer sent before is still being delivered.
    pub(crate) ending: Option<Reason>,
    /// Whether `connection_made` was called, so that `connection_lost` is owed.
    pub(crate) made: bool,
    /// Whether the poller knows the stream. One that is answered and closed in `connection_made`
    /// never gets there.
    pub(crate) registered: bool,
    /// In the run queue, waiting to be served.
    pub(crate) queued: bool,
    /// To be flushed: in the flush queue, or at hand.
    pub(crate) touched: bool,
    /// Latched: reading may find something. Cleared only by a read that drains.
    pub(crate) readable: bool,
    /// Latched: the peer's FIN is on its way to us, so a short read is not the last.
    pub(crate) read_closed: bool,
    /// Latched: the system says that the connection broke.
    pub(crate) hangup: bool,
    /// There may be room in the kernel. Cleared only by a write that fills it.
    pub(crate) writable: bool,
    /// By `pause_reading`.
    pub(crate) reading_paused: bool,
    /// By the default `pause_writing`: nobody is read who does not read.
    pub(crate) reading_withheld: bool,
    /// The protocol holds bytes it was given; nothing is read until it was asked for them.
    pub(crate) held_back: bool,
    /// `pause_writing` was called, and `resume_writing` not yet.
    pub(crate) writing_paused: bool,
    /// The peer's FIN was read.
    pub(crate) eof: bool,
    /// And we had not begun to close by then.
    pub(crate) peer_first: bool,
    /// `lose_write_connection` was called.
    pub(crate) write_closing: bool,
    /// Our FIN was sent.
    pub(crate) write_closed: bool,
    /// `timed_out` is running: a close now is because of it.
    pub(crate) timing_out: bool,
    /// What reading, and writing, has to wait for: other than for the kernel.
    pub(crate) reading_waits: Wait,
    pub(crate) writing_waits: Wait,
}

/// Whether a connection waits for its bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Wait {
    #[default]
    Nobody,
    Own,
}

/// What few connections have.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) alarms: Alarms,
    pub(crate) handover: Handover,
    reading: Throttle,
    writing: Throttle,
}

/// How many used boxes a reactor keeps: as many connections may come and go in one turn.
const SPARE_BOXES: usize = 64;

/// Boxes of connections that are gone. With them who comes, lingers and goes costs no allocation.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is kept")]
pub(crate) struct SpareBoxes(Vec<Box<Rare>>);

impl SpareBoxes {
    pub(crate) fn give_back(&mut self, mut used: Box<Rare>) {
        if self.0.len() < SPARE_BOXES {
            *used = Rare::default();
            self.0.push(used);
        }
    }
}

/// A rate of one connection.
#[derive(Default)]
pub(crate) struct Throttle {
    pub(crate) bucket: Option<Bucket>,
    /// Set while the bucket is empty.
    pub(crate) timer: Option<TimerId>,
}

impl Rare {
    pub(crate) fn throttle(&mut self, direction: Direction) -> &mut Throttle {
        match direction {
            Direction::Reading => &mut self.reading,
            Direction::Writing => &mut self.writing,
        }
    }
}

/// What goes from one protocol of a connection to the next.
#[derive(Default)]
pub(crate) struct Handover {
    /// Takes over when the connection is served.
    pub(crate) successor: Option<Box<dyn Protocol>>,
    /// Bytes that were read, and that no protocol has used yet.
    pub(crate) unused: VecDeque<u8>,
    /// Whether the end of input was told to the former protocol, and has to be told again.
    pub(crate) eof: bool,
}

/// What is timed for one connection. All of it ends with the connection.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// By `Transport::call_later`.
    pub(crate) timers: Vec<TimerId>,
    pub(crate) idle: Option<Idle>,
    pub(crate) closing: Option<Closing>,
}

/// When a connection that is closing is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    pub(crate) timer: TimerId,
    /// The end of the close timeout; lingering may end before it.
    pub(crate) at_the_latest: Instant,
}

/// An idle timeout. Activity only notes the time; the timer is moved when it fires too early.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) limit: Duration,
    pub(crate) last_activity: Instant,
    pub(crate) timer: TimerId,
}

/// What a read found.
#[derive(Debug)]
pub(crate) enum Received {
    Bytes(usize),
    End,
    Nothing,
    Failed(io::Error),
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        peer: Address,
        protocol: Box<dyn Protocol>,
        owner: Owner,
        marks: Marks,
        close_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            protocol: Some(protocol),
            owner,
            peer,
            outgoing: WriteBuffer::default(),
            marks,
            close_timeout,
            rare: None,
            stage: Stage::Open,
            ending: None,
            made: false,
            registered: false,
            queued: false,
            touched: false,
            readable: false,
            read_closed: false,
            hangup: false,
            writable: true,
            reading_paused: false,
            reading_withheld: false,
            held_back: false,
            writing_paused: false,
            eof: false,
            peer_first: false,
            write_closing: false,
            write_closed: false,
            timing_out: false,
            reading_waits: Wait::Nobody,
            writing_waits: Wait::Nobody,
        }
    }

    /// Notes what an event says; returns whether to serve and whether to flush the connection.
    pub(crate) fn latch(&mut self, readiness: Readiness) -> (bool, bool) {
        self.readable |= readiness.contains(Readiness::READABLE);
        self.read_closed |= readiness.contains(Readiness::READ_CLOSED);
        self.hangup |= readiness.contains(Readiness::HANGUP);
        self.writable |= readiness.contains(Readiness::WRITABLE);
        let waits = self.touched || self.writing_waits != Wait::Nobody;
        let flush = self.writable && !self.outgoing.is_empty() && !waits;
        (self.can_read() || self.hangup, flush)
    }

    /// Whether it is time to serve it: to read what may be delivered or thrown away, or to hand over
    /// to a new protocol.
    pub(crate) fn can_read(&self) -> bool {
        match self.stage {
            Stage::Open => self.is_swapping() || self.wants_input() || self.wants_leftover(),
            Stage::Closing | Stage::Lingering => self.has_input(),
            Stage::Gone => false,
        }
    }

    /// Whether it is time to ask the protocol for what it holds back.
    pub(crate) fn can_resume(&self) -> bool {
        self.held_back && self.is_reading() && !self.is_swapping()
    }

    /// Whether it is time to read what is to be delivered.
    pub(crate) fn wants_input(&self) -> bool {
        self.has_input() && self.takes_more() && self.reading_waits == Wait::Nobody
    }

    fn has_input(&self) -> bool {
        self.readable && !self.eof
    }

    fn wants_leftover(&self) -> bool {
        self.has_leftover() && self.takes_more()
    }

    /// Whether the protocol may be given more: not while it holds back what it was given before.
    fn takes_more(&self) -> bool {
        self.is_reading() && !self.held_back
    }

    /// Whether it was announced and has not ended: whether others may reach it.
    pub(crate) fn is_up(&self) -> bool {
        self.made && self.stage != Stage::Gone
    }

    /// Whether its protocol is told what happens: it was announced and is not ending.
    pub(crate) fn is_notified(&self) -> bool {
        self.made && self.takes_reads()
    }

    /// Whether `set_protocol` was called: the protocol hears nothing more, and is replaced when the
    /// connection is served.
    pub(crate) fn is_swapping(&self) -> bool {
        self.handover().is_some_and(|handover| handover.successor.is_some())
    }

    /// Whether a new protocol was not given all that is there for it, which goes before anything newer.
    fn has_leftover(&self) -> bool {
        self.handover().is_some_and(|handover| handover.eof || !handover.unused.is_empty())
    }

    fn handover(&self) -> Option<&Handover> {
        self.rare.as_ref().map(|rare| &rare.handover)
    }

    /// Whether a new protocol is to be put in, or to be given what the former one left.
    pub(crate) fn is_between(&self) -> bool {
        self.stage == Stage::Open && (self.is_swapping() || self.has_leftover())
    }

    /// Whether the protocol that it has now is told: not if it has handed over.
    pub(crate) fn hears(&self) -> bool {
        self.is_notified() && !self.is_swapping()
    }

    /// Whether its protocol, and not only a former one, was told that the peer has said everything.
    pub(crate) fn end_was_told(&self) -> bool {
        self.eof && !self.is_swapping() && !self.has_leftover()
    }

    /// Whether anything is still delivered to the protocol.
    pub(crate) fn takes_reads(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether what comes is delivered.
    pub(crate) fn is_reading(&self) -> bool {
        self.is_notified() && !self.reading_paused && !self.reading_withheld
    }

    /// Whether more waits than should, and the protocol was not told yet.
    pub(crate) fn is_under_pressure(&self) -> bool {
        self.outgoing.len() > self.marks.high && !self.writing_paused
    }

    /// Whether writes are still taken.
    pub(crate) fn takes_writes(&self) -> bool {
        self.stage == Stage::Open && !self.write_closing && !self.is_broken()
    }

    /// Whether writing failed, and only what came before is still to be read.
    pub(crate) fn is_broken(&self) -> bool {
        self.stage == Stage::Open && self.ending.is_some()
    }

    /// Reads once. A short read of a stream means that it is drained, which saves the read that
    /// would only say so; not if the peer's FIN is known to follow, since no event will repeat it.
    ///
    /// A peer that sends urgent data makes a read short early, and so delays its own next bytes
    /// until the segment after them.
    pub(crate) fn receive(&mut self, buf: &mut [u8]) -> Received {
        loop {
            match self.stream.read(buf) {
                Ok(0) => {
                    self.eof = true;
                    self.peer_first = self.takes_writes();
                    self.readable = false;
                    return Received::End;
                }
                Ok(count) => {
                    // Elsewhere than on Unix only WouldBlock arms the next event.
                    if cfg!(unix) && count < buf.len() && !self.read_closed && !self.hangup {
                        self.readable = false;
                    }
                    return Received::Bytes(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Received::Nothing;
                }
                Err(error) => return Received::Failed(error),
            }
        }
    }

    /// Whether something is owed and the kernel may take it.
    pub(crate) fn can_write(&self) -> bool {
        self.stage != Stage::Gone && self.writable && !self.outgoing.is_empty()
    }

    /// Writes once, at most `budget` bytes of what is owed. `Ok(0)`: there was nothing to do.
    pub(crate) fn send(&mut self, budget: usize, spares: &mut Spares) -> io::Result<usize> {
        if !self.can_write() {
            return Ok(0);
        }
        let unsent = self.outgoing.unsent();
        let offered = &unsent[..unsent.len().min(budget)];
        let ends = self.stage == Stage::Closing || self.write_closing;
        let last = ends && offered.len() == unsent.len();
        let write = if last { Stream::write_last } else { Stream::write };
        let count = offer(&mut self.stream, offered, &mut self.writable, write)?;
        self.outgoing.advance(count, spares);
        Ok(count)
    }

    /// Begins an orderly close; `false` if the connection is ending already.
    pub(crate) fn begin_close(&mut self) -> bool {
        if self.stage != Stage::Open {
            return false;
        }
        if let Some(broken) = self.ending.take() {
            return self.end(broken);
        }
        self.stage = Stage::Closing;
        self.ending = Some(match () {
            () if self.timing_out => Reason::TimedOut,
            () if self.peer_first => Reason::PeerClosed,
            () => Reason::Closed,
        });
        true
    }

    /// Ends it, whatever is still owed; `false` if it had ended already.
    pub(crate) fn end(&mut self, reason: Reason) -> bool {
        if self.stage == Stage::Gone {
            return false;
        }
        self.stage = Stage::Gone;
        self.ending = Some(reason);
        true
    }

    /// Writing failed. What the peer sent before may still be read, and then it ends; at once, if
    /// nobody reads. `false` if it goes on.
    pub(crate) fn break_off(&mut self, error: io::Error, spares: &mut Spares) -> bool {
        if !self.is_notified() || self.reading_paused || self.end_was_told() {
            return self.fail(error);
        }
        self.ending = Some(Reason::failed(Phase::Open, error));
        self.outgoing.clear(spares);
        self.reading_withheld = false;
        // No event will tell of what is there already, nor of the end behind it.
        self.readable = true;
        self.read_closed = true;
        false
    }

    /// Ends it because the system reported an error.
    pub(crate) fn fail(&mut self, error: io::Error) -> bool {
        let phase = if self.stage == Stage::Open { Phase::Open } else { Phase::Closing };
        self.end(Reason::failed(phase, error))
    }

    /// Ends it in order, all having been said on both sides.
    pub(crate) fn finish(&mut self) -> bool {
        let both_shut = if self.peer_first { Reason::PeerClosed } else { Reason::Closed };
        let reason = self.ending.clone().unwrap_or(both_shut);
        self.end(reason)
    }

    /// Ends it because a callback of it panicked, which outdoes any other reason.
    pub(crate) fn panicked(&mut self, callback: Callback) -> bool {
        self.stage = Stage::Gone;
        self.ending = Some(Reason::Panicked { callback });
        true
    }

    /// Makes the coming close a reset where the peer must not take what it has for the whole, and for
    /// an adopted socket one that a duplicate elsewhere cannot hold up.
    pub(crate) fn prepare_to_close(&mut self, registry: Option<&Registry>) {
        if self.ends_abruptly() {
            self.stream.reset_on_close();
        }
        if self.owner == Owner::Nobody {
            if !self.ends_abruptly() && !self.write_closed {
                // It fails if the connection is gone already, and then there is nothing to tell.
                drop(self.stream.shut_write());
            }
            self.stream.deregister(registry);
        }
    }

    fn ends_abruptly(&self) -> bool {
        !self.outgoing.is_empty()
            || matches!(
                self.ending,
                Some(Reason::Aborted | Reason::Panicked { .. } | Reason::Overflow { .. })
            )
    }

    pub(crate) fn wait(&mut self, direction: Direction) -> &mut Wait {
        match direction {
            Direction::Reading => &mut self.reading_waits,
            Direction::Writing => &mut self.writing_waits,
        }
    }

    /// Whether it waits for anything else than the kernel.
    pub(crate) fn waits(&self) -> bool {
        self.reading_waits != Wait::Nobody || self.writing_waits != Wait::Nobody
    }

    /// Whether it has a rate of its own, for reading or writing.
    pub(crate) fn is_throttled(&self) -> bool {
        let rare = self.rare.as_ref();
        rare.is_some_and(|rare| rare.reading.bucket.is_some() || rare.writing.bucket.is_some())
    }

    /// The bucket of its own rate.
    pub(crate) fn bucket(&mut self, direction: Direction) -> Option<&mut Bucket> {
        self.rare.as_mut()?.throttle(direction).bucket.as_mut()
    }

    /// What is timed for it, if anything was.
    pub(crate) fn alarms(&mut self) -> Option<&mut Alarms> {
        self.rare.as_mut().map(|rare| &mut rare.alarms)
    }

    pub(crate) fn rare(&mut self, spares: &mut SpareBoxes) -> &mut Rare {
        self.rare.get_or_insert_with(|| spares.0.pop().unwrap_or_default())
    }

    /// Notes that bytes moved, for the idle timeout.
    pub(crate) fn active(&mut self, now: Instant) {
        if let Some(idle) = self.alarms().and_then(|alarms| alarms.idle.as_mut()) {
            idle.last_activity = now;
        }
    }
}

/// Writes once; `writable` is whether all was taken.
#[inline]
fn offer(
    stream: &mut Stream,
    data: &[u8],
    writable: &mut bool,
    write: fn(&mut Stream, &[u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match write(stream, data) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                *writable = count == data.len();
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *writable = false;
                return Ok(0);
            }
            Err(error) => return Err(error),
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("stage", &self.stage)
            .field("unsent", &self.outgoing.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of::<Connection>();
        assert!(size <= 208, "{size} bytes: what is rare belongs into a box");
    }
}
