//! Output that is not copied: bytes shared with others, and parts of files.

use std::io;
use std::mem;

use bytes::Bytes;

use super::filter::Filter;
use super::securing::READ;
use super::{Common, Connection, Io, ReadBuffer};
use crate::parts::file_part::FilePart;
use crate::parts::outgoing::Outgoing;
use crate::parts::slices::Slices;
use crate::reason::{Activity, Reason};
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;

/// How many slices leave in one call. Each shared piece is of a kilobyte or more, and may have copied bytes before it.
const SLICES: usize = 64;

/// Commands.
impl<S: ByteStream> Connection<S> {
    /// As [`write`](Self::write), of bytes that others may share.
    pub(crate) fn write_owned(&mut self, data: Bytes, common: &mut Common) -> bool {
        let takes = self.takes_more();
        if takes && !data.is_empty() {
            self.outgoing.share(data, &mut common.spares);
        }
        takes
    }

    /// As [`write`](Self::write), of bytes that are in a file.
    #[cfg_attr(
        not(feature = "sendfile"),
        expect(dead_code, reason = "there are no parts of files")
    )]
    pub(crate) fn send_file(&mut self, part: FilePart, common: &mut Common) -> bool {
        let takes = self.takes_more();
        if takes {
            self.outgoing.add_file(part, &mut common.spares);
        }
        takes
    }
}

/// Steps of `next`.
impl<S: ByteStream> Connection<S> {
    /// Sends at most so many bytes, of which some are not copied.
    #[inline(never)]
    pub(super) fn send_pieces(
        &mut self,
        most: usize,
        io: &mut Io,
        common: &mut Common,
        buffer: &ReadBuffer,
    ) -> io::Result<()> {
        let (mut queue, mut sent) = (mem::take(self.waiting()), 0);
        let done = self.send_front(&mut queue, most, &mut sent, common, buffer);
        *self.waiting() = queue;
        // Also if the last of several calls has failed: the others have sent.
        self.note_sent(sent, &mut io.sent, common);
        done
    }

    /// The bytes that are ready for the wire.
    #[inline(always)]
    pub(super) fn waiting(&mut self) -> &mut Outgoing {
        let filter = self.extras.as_mut().and_then(|extras| extras.filter_mut());
        filter.map_or(&mut self.outgoing, Filter::wire_mut)
    }

    /// Sends from the front until so many bytes have left, or the kernel has no more room: the head of an answer and
    /// its content leave together.
    fn send_front(
        &mut self,
        queue: &mut Outgoing,
        most: usize,
        sent: &mut usize,
        common: &mut Common,
        buffer: &ReadBuffer,
    ) -> io::Result<()> {
        // A call that took a part of a file proves nothing: sendfile(2) also stops where the file ends now.
        while *sent < most && !queue.is_empty() && self.ready.contains(Readiness::WRITABLE) {
            let left = most - *sent;
            let count = match queue.file() {
                Some(part) => self.send_of_file(part, left, common)?,
                None => self.send_slices(queue, left, buffer)?,
            };
            queue.advance(count, &mut common.spares);
            *sent += count;
        }
        Ok(())
    }

    /// Sends what is in memory, up to the next file, in one call.
    fn send_slices(
        &mut self,
        queue: &Outgoing,
        most: usize,
        buffer: &ReadBuffer,
    ) -> io::Result<usize> {
        let mut slices = Slices::<SLICES>::new();
        queue.gather(&mut slices, most, buffer.bytes());
        let offered = slices.bytes;
        let rest = queue.len() - offered;
        let more = if rest == 0 { self.fin_follows() } else { offered < most };
        self.offer(offered, |stream| stream.write_slices(slices.as_slice(), more))
    }

    fn send_of_file(
        &mut self,
        part: &FilePart,
        most: usize,
        common: &mut Common,
    ) -> io::Result<usize> {
        let most = usize::try_from(part.len()).map_or(most, |len| most.min(len));
        loop {
            return match self.stream.send_file(part, most) {
                Ok(Some(0)) => Err(self.end_by_file(part.shorter())),
                Ok(Some(count)) => Ok(count),
                Ok(None) => self.read_and_write(part, most, common),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => {
                        self.ready.remove(Readiness::WRITABLE);
                        Ok(0)
                    }
                    _ => Err(error),
                },
            };
        }
    }

    /// Sends of a file where the kernel cannot do it by itself.
    fn read_and_write(
        &mut self,
        part: &FilePart,
        most: usize,
        common: &mut Common,
    ) -> io::Result<usize> {
        let buffer = &mut common.wire;
        buffer.resize(READ, 0);
        let count = match part.read(&mut buffer[..most.min(READ)]) {
            Ok(count) => count,
            Err(error) => return Err(self.end_by_file(error)),
        };
        self.offer(count, |stream| stream.write(&buffer[..count]))
    }

    /// Ends it because a file cannot be read, with a reset, so that the peer does not take a part for the whole. The
    /// error that it returns is told to nobody.
    pub(super) fn end_by_file(&mut self, error: io::Error) -> io::Error {
        self.end_by_failure(Reason::failed(Activity::SendingFile, error));
        io::ErrorKind::Other.into()
    }
}
