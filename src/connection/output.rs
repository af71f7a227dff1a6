//! Output: the buffer, its marks, FIN.

use std::io;
use std::sync::Arc;

use super::extras::Direction;
use super::filter::Filter;
use super::{Common, Connection, End, Holds, Input, Io, Life, Marks, Next, ReadBuffer, Side};
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// A connection whose whole answer has at most this many bytes may be closed without lingering if the
/// peer has sent nothing: the bytes leave at once, before a reset can answer a later segment of the
/// peer's.
///
/// One segment of the size that every host must take (RFC 9293, section 3.7.1). More would be on its way
/// only if the peer's window has room, and no portable call tells how large that is: Linux lets a program
/// make it as small as 1,152 bytes.
const SMALLEST_FLIGHT: usize = 536;

/// The state of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Output {
    Open,
    /// FIN is to follow the last byte.
    FinWanted,
    FinSent,
    /// Sending failed, with the error that the extras hold. Bytes that the peer sent before are still being
    /// delivered.
    Broken,
    /// The connection has ended, and the peer must not take what it got for all: it gets a reset.
    Reset,
}

/// The last notice to the protocol about the outgoing buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pressure {
    Low,
    /// `Pause` was told, and `Resume` not yet.
    High,
}

/// Commands and questions.
impl<S: ByteStream> Connection<S> {
    /// Takes bytes to be sent; returns whether they were taken.
    #[inline]
    pub(crate) fn write(&mut self, data: &[u8], common: &mut Common) -> bool {
        let takes = self.takes_more();
        if takes && !data.is_empty() {
            self.outgoing.push(data, &mut common.spares);
        }
        takes
    }

    /// Whether bytes that are written are taken. If the last attempt to send has left more than the cap, the connection
    /// ends. Bytes written since then do not count, in one piece or in many: no peer can have taken them.
    #[inline]
    pub(super) fn takes_more(&mut self) -> bool {
        if !self.is_open() || self.output != Output::Open {
            return false;
        }
        if self.above_cap {
            self.abort(Reason::Overflow { unsent: self.in_memory() });
            return false;
        }
        true
    }

    /// Asks for FIN behind the last byte; reading goes on.
    pub(crate) fn shut_write(&mut self) -> bool {
        self.is_open() && self.want_fin()
    }

    pub(super) fn want_fin(&mut self) -> bool {
        self.ended_first.get_or_insert(Side::Us);
        let open = self.output == Output::Open;
        if open {
            self.output = Output::FinWanted;
        }
        open
    }

    pub(crate) fn set_marks(&mut self, marks: Marks) -> bool {
        self.marks = marks;
        // Below higher marks it is not told to pause, and so never to go on.
        self.close_if_written() || (self.hears() && (self.is_to_pause() || self.is_to_resume()))
    }

    /// Whether it waits for the kernel to have room.
    pub(crate) fn is_blocked(&self) -> bool {
        self.has_to_send() && !self.ready.contains(Readiness::WRITABLE)
    }

    /// Whether `Pause` was told, and `Resume` not yet.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressure == Pressure::High
    }

    /// The marks, high and low.
    pub(crate) fn marks(&self) -> (usize, usize) {
        (self.marks.high(), self.marks.low())
    }
}

/// Steps of `next`.
impl<S: ByteStream> Connection<S> {
    /// Whether its protocol is to be told to go on writing, now or after a notice that is due.
    pub(super) fn may_write_more(&self) -> bool {
        self.pressure == Pressure::High || self.is_to_pause()
    }

    /// Whether the buffer is above the high mark, and the protocol was not told. Checked before sending:
    /// the protocol is told also when the kernel would take everything at once.
    #[inline(always)]
    pub(super) fn is_to_pause(&self) -> bool {
        // Not for the bytes of a handshake alone, which nobody can have asked to be fewer. Behind it all that waits
        // counts, as whoever asks how much that is will see.
        self.pressure == Pressure::Low
            && self.buffered() > self.marks.high()
            && (self.has_plain() || !self.is_handshaking())
    }

    #[inline(always)]
    pub(super) fn is_to_resume(&self) -> bool {
        self.pressure == Pressure::High && self.buffered() <= self.marks.low()
    }

    /// Sends once, and FIN behind the last byte if it is wanted. Returns whether more could leave in
    /// another visit.
    #[inline(always)]
    pub(super) fn flush(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &ReadBuffer,
    ) -> io::Result<bool> {
        let more = self.send(io, common, buffer)?;
        self.above_cap = self.in_memory() > common.cap; // a file takes none
        if self.output == Output::FinWanted && !self.is_unfinished() {
            self.send_fin()?;
        }
        Ok(more)
    }

    /// Sends once. Returns whether more could leave in another visit.
    #[inline(always)]
    pub(super) fn send(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &ReadBuffer,
    ) -> io::Result<bool> {
        if !self.can_send() {
            return Ok(false);
        }
        let Some(budget @ 1..) = io.write else { return Ok(true) };
        let allowed = self.rate_allows(Direction::Writing, budget, common);
        if allowed > 0 {
            io.write = Some(0);
            self.send_up_to(allowed, io, common, buffer)?;
        }
        Ok(self.can_send())
    }

    #[inline(always)]
    fn can_send(&self) -> bool {
        self.has_to_send()
            && self.ready.contains(Readiness::WRITABLE)
            && !self.held.intersects(Holds::WRITE_RATE)
    }

    /// Whether there are bytes that could leave now.
    #[inline(always)]
    fn has_to_send(&self) -> bool {
        match self.filter() {
            None => self.has_plain(),
            Some(filter) => filter.can_send(self.has_plain(), self.output == Output::FinWanted),
        }
    }

    #[inline(always)]
    pub(super) fn has_plain(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether there are bytes that FIN has to wait for.
    #[inline(always)]
    pub(super) fn is_unfinished(&self) -> bool {
        match self.filter() {
            None => self.has_plain(),
            Some(filter) => filter.is_unfinished(self.has_plain(), self.is_open()),
        }
    }

    #[inline(always)]
    fn send_up_to(
        &mut self,
        most: usize,
        io: &mut Io,
        common: &mut Common,
        buffer: &ReadBuffer,
    ) -> io::Result<()> {
        if self.filter().is_some() {
            self.seal(most, common)?;
        }
        let filter = self.extras.as_ref().and_then(|extras| extras.filter());
        let wire = filter.map(Filter::wire);
        let Some(unsent) = wire.unwrap_or(&self.outgoing).only_copied() else {
            return self.send_pieces(most, io, common, buffer);
        };
        if unsent.is_empty() {
            return Ok(()); // TLS has said its last already
        }
        let all = unsent.len();
        let offered = &unsent[..all.min(most)];
        let last = offered.len() == all && self.fin_follows();
        let count = offer(&mut self.stream, &mut self.ready, offered.len(), |stream| match last {
            true => stream.write_last(offered),
            false => stream.write(offered),
        })?;
        match self.filter_mut() {
            None if count == all => self.outgoing.clear_copied(&mut common.spares),
            None => self.outgoing.advance(count, &mut common.spares),
            Some(filter) => filter.wire_mut().advance(count, &mut common.spares),
        }
        self.note_sent(count, &mut io.sent, common);
        Ok(())
    }

    /// As [`offer`], to the stream of this connection.
    pub(super) fn offer(
        &mut self,
        offered: usize,
        write: impl FnMut(&mut S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        offer(&mut self.stream, &mut self.ready, offered, write)
    }

    /// Counts bytes that the kernel has taken.
    #[inline(always)]
    pub(super) fn note_sent(
        &mut self,
        count: usize,
        sent_in_visit: &mut usize,
        common: &mut Common,
    ) {
        // An attempt without success is no life of the peer's: it is made before each timeout.
        if count > 0 {
            *sent_in_visit += count;
            self.traffic.note_written(count, common);
            if let Some(extras) = &mut self.extras {
                extras.note_sent(count, common);
            }
        }
    }

    /// Whether this step sends FIN behind the last byte, so that both may leave in one segment.
    ///
    /// Not if the peer has closed and this side closes too: then the close of the socket sends FIN,
    /// after `connection_lost`. The kernel would hold the last bytes back until then.
    #[inline(always)]
    pub(super) fn fin_follows(&self) -> bool {
        let closes =
            || matches!(self.life, Life::Ending(End::Closing, _)) && self.input != Input::Open;
        self.output == Output::FinWanted && !closes() && self.filter().is_none_or(Filter::is_closed)
    }

    /// Sends FIN, unless it was sent. It fails if the peer has reset the connection.
    #[inline(never)]
    pub(super) fn send_fin(&mut self) -> io::Result<()> {
        if self.output == Output::FinSent {
            return Ok(());
        }
        self.output = Output::FinSent;
        self.stream.shut_write().map_err(|error| {
            // This error only says that there is no connection; the socket has the cause.
            let cause = self.stream.take_error().unwrap_or_else(Some);
            cause.unwrap_or(error)
        })
    }

    /// Handles a failed send: the connection ends when the peer's earlier bytes have been read, or at
    /// once if it is not read.
    #[inline(never)]
    pub(super) fn break_off(&mut self, error: io::Error, common: &mut Common) -> Next {
        if self.is_gone() {
            return Next::Gone; // not the stream has failed, but a file
        }
        let error = self.take_hangup_error().unwrap_or(error);
        if self.held.intersects(Holds::PROTOCOL) || self.is_told_the_end() {
            return self.fail(error);
        }
        self.output = Output::Broken;
        self.extras_mut(common).sending_failed = Some(Arc::new(error));
        self.clear_output(common);
        self.held.remove(Holds::PRESSURE);
        // No event will report the bytes that are there already, nor the end behind them.
        self.ready |= Readiness::READABLE | Readiness::READ_CLOSED;
        Next::Again
    }

    pub(super) fn clear_output(&mut self, common: &mut Common) {
        self.outgoing.clear(&mut common.spares);
        if let Some(filter) = self.filter_mut() {
            filter.wire_mut().clear(&mut common.spares);
        }
    }

    fn is_told_the_end(&self) -> bool {
        self.input == Input::Told && self.hears()
    }

    pub(super) fn both_halves_are_shut(&self) -> bool {
        self.input == Input::Told && self.output == Output::FinSent
    }

    /// Whether all that was sent is surely on its way to the peer.
    pub(super) fn is_on_its_way(&self, io: &Io) -> bool {
        io.sent <= SMALLEST_FLIGHT && self.stream.forgives_late_bytes()
    }
}

/// Writes to a stream; returns how many bytes of those that were offered it has taken. Fewer mean that it has no more
/// room.
#[inline(always)]
pub(super) fn offer<S>(
    stream: &mut S,
    ready: &mut Readiness,
    offered: usize,
    mut write: impl FnMut(&mut S) -> io::Result<usize>,
) -> io::Result<usize> {
    let count = loop {
        match write(stream) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => break count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
            Err(error) => return Err(error),
        }
    };
    if count < offered {
        ready.remove(Readiness::WRITABLE);
    }
    Ok(count)
}
