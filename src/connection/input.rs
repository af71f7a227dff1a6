//! Input: reading, delivering, putting back, discarding.

use std::io;

use super::extras::Direction;
use super::{Common, Connection, End, Holds, Io, Life, Next, Output, ReadBuffer, Side, Tell};
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// How many bytes of a peer are read and discarded after `close`. A peer that sends and does not stop
/// would else cost the loop as much as one that is served.
///
/// There must be room for all that was on its way when the peer learns of the close, or a reset may take the
/// last bytes from it: Linux's largest buffers together, 4 MiB at the sender and 6 MiB here
/// (`net.ipv4.tcp_wmem`, `tcp_rmem`), and half as much again.
pub(super) const MOST_DISCARDED: usize = 16 * 1024 * 1024;

/// How many of them in one turn: less than of a connection that is served.
const DISCARDED_AT_ONCE: usize = 64 * 1024;

/// How many bytes that were put back are delivered again at once. A protocol that takes one message after another from
/// many, and puts back the others each time, has no more than so many copied for each.
const GIVEN_AGAIN: usize = 16 * 1024;

/// The state of the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Input {
    Open,
    /// FIN was read, and the protocol was not told.
    Ended,
    /// FIN was read, and the protocol was told.
    Told,
}

impl Input {
    /// Has the end told again, to a new protocol.
    pub(super) fn begin_again(&mut self) {
        if *self == Self::Told {
            *self = Self::Ended;
        }
    }
}

/// The result of a read.
pub(super) enum Received {
    Bytes(usize),
    End,
    Nothing,
    Failed(io::Error),
}

impl<S: ByteStream> Connection<S> {
    /// Puts bytes back: they are delivered again before anything newer. Returns whether they will be,
    /// unless the connection ends first. After `Eof` only a protocol that takes over gets them.
    ///
    /// They go behind the first `ahead` bytes of those that were put back before.
    pub(crate) fn unread(&mut self, ahead: usize, bytes: &[u8], common: &mut Common) -> bool {
        if !self.is_up() || !self.is_open() {
            return false;
        }
        if !bytes.is_empty() {
            self.extras_mut(common); // allocates them
            if let Some(extras) = &mut self.extras {
                extras.kept.insert(ahead, bytes, &mut common.spares.vectors);
            }
            if self.hears() {
                self.held.insert(Holds::UNREAD);
            }
        }
        true
    }

    /// Records, for the next visit, that input came which is not read.
    #[inline]
    pub(super) fn note_event(&mut self, readiness: Readiness) {
        let Some(extras) = &mut self.extras else { return };
        if readiness.contains(Readiness::READABLE) && self.held.are_against_reading() {
            extras.stirred = true;
        }
    }

    /// Whether there is input for the protocol, and no hold against delivering it.
    #[inline(always)]
    pub(super) fn may_deliver(&self) -> bool {
        match self.input {
            Input::Open if self.is_handshaking() => self.may_prepare(),
            Input::Open if self.kept() == 0 => {
                self.ready.contains(Readiness::READABLE) && !self.held.are_against_reading()
            }
            Input::Open | Input::Ended => !self.held.are_against_delivering(),
            Input::Told => false,
        }
    }

    /// Whether bytes were put back in this visit that are to be delivered again in the next.
    #[inline(always)]
    pub(super) fn gives_again(&self) -> bool {
        self.held.intersects(Holds::UNREAD)
            && !self.held.intersects(Holds::PROTOCOL | Holds::PRESSURE)
            && self.input != Input::Told
    }

    /// Delivers the bytes that were put back, else reads once. Called only if it
    /// [may](Self::may_deliver).
    #[inline(always)]
    pub(super) fn deliver(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        let straight = self.is_straight();
        if !straight && let Some(next) = self.deliver_by_extras(io, common, buffer) {
            return next;
        }
        if self.input == Input::Ended {
            return self.deliver_end();
        }
        let mut room = buffer.len().min(io.read);
        if !straight {
            room = self.bucket_allows(Direction::Reading, room, common);
        }
        if room == 0 {
            return Next::Again; // held by its rate
        }
        let into = self.room(buffer, common);
        match self.receive(&mut into[..room]) {
            Received::Bytes(count) => {
                self.note_read(count, io, common);
                buffer.tell(count);
                Next::Tell(Tell::Data)
            }
            Received::End => Next::Again,
            // Writing failed, and all that came before was delivered.
            Received::Nothing if self.output == Output::Broken => self.finish(),
            Received::Nothing => Next::Again,
            Received::Failed(error) => self.fail(error),
        }
    }

    /// The other ways in: bytes that were put back, and those that a filter has to open.
    #[inline(never)]
    fn deliver_by_extras(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Option<Next> {
        if self.kept() > 0 && !self.is_handshaking() {
            return Some(self.deliver_kept(io, common, buffer));
        }
        let opens = self.filter().is_some() && self.input == Input::Open;
        opens.then(|| self.pull(io, common, buffer))
    }

    fn deliver_kept(&mut self, io: &mut Io, common: &mut Common, buffer: &mut ReadBuffer) -> Next {
        let room = self.room(buffer, common);
        let Some(extras) = &mut self.extras else { return Next::Again };
        let kept = extras.kept.unsent();
        let count = kept.len().min(room.len()).min(io.read).min(GIVEN_AGAIN);
        room[..count].copy_from_slice(&kept[..count]);
        extras.kept.advance(count, &mut common.spares.vectors);
        io.read -= count;
        buffer.tell(count);
        Next::Tell(Tell::Data)
    }

    #[inline(never)]
    fn deliver_end(&mut self) -> Next {
        if self.output == Output::Broken {
            return self.finish();
        }
        self.input = Input::Told;
        Next::Tell(Tell::Eof)
    }

    /// Counts bytes that were read and are to be delivered.
    #[inline(always)]
    pub(super) fn note_read(&mut self, count: usize, io: &mut Io, common: &mut Common) {
        io.read -= count;
        self.traffic.note_read(count, common);
        if let Some(extras) = &mut self.extras {
            extras.note_read(count, common);
        }
    }

    /// Whether the peer may have sent bytes that are to be discarded. Above the bound they stay in the
    /// kernel, which then slows the peer down.
    pub(super) fn may_discard(&self) -> bool {
        if self.has_to_shake_hands() {
            return self.input == Input::Open && self.may_prepare();
        }
        self.input == Input::Open
            && self.ready.contains(Readiness::READABLE)
            && self.discarded() < MOST_DISCARDED
    }

    /// Reads once and discards the bytes. Once per visit: connections that are served come first.
    #[inline(never)]
    pub(super) fn discard(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        if self.has_to_shake_hands() {
            return self.pull(io, common, buffer);
        }
        let room = buffer.len().min(io.read).min(DISCARDED_AT_ONCE);
        let into = self.room(buffer, common);
        match self.receive(&mut into[..room]) {
            Received::Bytes(count) => {
                io.read = 0;
                self.traffic.note_read(count, common);
                self.note_discarded(count, common);
                if matches!(self.life, Life::Ending(End::Lingering, _)) {
                    io.asked = true; // the close timeout holds, whatever else it sends
                    self.linger_on(common);
                }
                Next::Again
            }
            Received::End | Received::Nothing => Next::Again,
            Received::Failed(error) => self.fail(error),
        }
    }

    /// Checks once whether the peer has sent unread bytes, so that closing would reset.
    #[inline(never)]
    pub(super) fn peer_has_sent(&mut self, common: &mut Common) -> io::Result<bool> {
        match self.receive(&mut [0]) {
            Received::Bytes(count) => {
                self.traffic.note_read(count, common);
                self.note_discarded(count, common);
                Ok(true)
            }
            Received::Nothing | Received::End => Ok(false),
            Received::Failed(error) => Err(error),
        }
    }

    /// Counts bytes that were read only to be discarded.
    pub(super) fn note_discarded(&mut self, count: usize, common: &mut Common) {
        let discarded = &mut self.extras_mut(common).discarded;
        *discarded = discarded.saturating_add(count);
    }

    /// How many bytes the peer has sent after `close`.
    pub(super) fn discarded(&self) -> usize {
        self.extras.as_ref().map_or(0, |extras| extras.discarded)
    }

    /// The error behind a hang-up, if it counts now. The stream is asked at once, so that a later hang-up is told
    /// from this one. While bytes that were put back are delivered `again`, its error waits.
    #[inline(never)]
    pub(super) fn judge_hangup(&mut self, again: bool) -> Option<io::Error> {
        let error = match self.take_hangup_error() {
            Some(error) => error,
            None => self.look_for_error()?,
        };
        if !(again && self.takes_in_what_was_kept()) {
            return Some(error);
        }
        if let Some(extras) = &mut self.extras {
            extras.hangup_error = Some(error);
            self.ready |= Readiness::HANGUP;
        }
        None
    }

    /// The error of a hang-up that waits: the stream gives it only once.
    pub(super) fn take_hangup_error(&mut self) -> Option<io::Error> {
        self.extras.as_mut()?.hangup_error.take()
    }

    /// Whether bytes that were put back are delivered once more before a newer hang-up counts. Only
    /// while they get fewer: a protocol that always puts all of them back would never be told of it.
    fn takes_in_what_was_kept(&mut self) -> bool {
        let Some(extras) = &mut self.extras else { return false };
        let before = extras.kept_at_hangup.replace(extras.kept.len());
        before.is_none_or(|before| extras.kept.len() < before)
    }

    /// The error of a connection that broke while it is not read. Checked once: without an error both
    /// directions are shut in order, and reading, which from here on goes on after a short read, will
    /// find the end.
    fn look_for_error(&mut self) -> Option<io::Error> {
        self.ready.remove(Readiness::HANGUP);
        self.ready |= Readiness::READ_CLOSED;
        match self.stream.take_error() {
            Ok(error) => error,
            Err(error) => Some(error),
        }
    }

    /// Reads once. A short read means that the socket is drained, which saves a read that would return
    /// `WouldBlock`. Not if the peer's FIN is known to follow, or if the peer has sent urgent data, which
    /// cuts a read short: no event would repeat what is behind. And not for every kind of stream.
    #[inline(always)]
    pub(super) fn receive(&mut self, buf: &mut [u8]) -> Received {
        loop {
            match self.stream.read(buf) {
                Ok(0) => {
                    if let Some(error) = self.take_hangup_error() {
                        return Received::Failed(error); // no end: the stream has given the error already
                    }
                    self.input = Input::Ended;
                    self.ended_first.get_or_insert(Side::Peer);
                    self.ready.remove(Readiness::READABLE);
                    return Received::End;
                }
                Ok(count) => {
                    let more = Readiness::READ_CLOSED | Readiness::HANGUP | Readiness::URGENT;
                    // Outside Unix only WouldBlock arms the next event.
                    if cfg!(unix)
                        && count < buf.len()
                        && !self.ready.intersects(more)
                        && self.stream.reads_to_the_end()
                    {
                        self.ready.remove(Readiness::READABLE);
                    }
                    return Received::Bytes(count);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        // Nor has it hung up. Else a later error would be found before the bytes that it follows.
                        self.ready.remove(Readiness::READABLE | Readiness::HANGUP);
                        return Received::Nothing;
                    }
                    _ => return Received::Failed(error),
                },
            }
        }
    }
}

impl<S> Connection<S> {
    /// How many bytes were put back and not delivered again yet.
    #[inline]
    pub(crate) fn kept(&self) -> usize {
        self.extras.as_ref().map_or(0, |extras| extras.kept.len())
    }
}
