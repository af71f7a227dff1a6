//! The bytes that are still to be sent to a peer: copied, shared with others, or in a file.
//!
//! Copied bytes stand in one vector, a [`WriteBuffer`]. A piece that is not copied says how many of them leave before
//! it. So a connection that is only ever given bytes to copy has no queue of pieces, and pays one look for it.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use super::file_part::FilePart;
use super::write_buffer::{self, WriteBuffer};

/// Fewer bytes are copied, which then costs less than to share them.
///
/// A piece takes a place in a queue, two counts that other processors may see, and a part of a vectored write.
/// Measured by a broadcast to a thousand: see `benches/sharing.rs`.
pub(crate) const SHARED_FROM: usize = 1024;

/// Queues with room for more pieces are freed when they are empty.
const SPARE_PIECES: usize = 16;

/// How many queues of pieces a reactor keeps, at some 250 bytes each: enough for as many connections that are sent a
/// shared message in one turn.
const SPARE_QUEUES: usize = 16 * 1024;

/// Used memory, kept for the next connections that write.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    pub(crate) vectors: write_buffer::Spares,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    queues: Vec<Box<Pieces>>,
}

impl Spares {
    fn give_back(&mut self, used: Box<Pieces>) {
        if used.queue.capacity() <= SPARE_PIECES && self.queues.len() < SPARE_QUEUES {
            self.queues.push(used);
        }
    }
}

/// The outgoing bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    copied: WriteBuffer,
    /// In a box, since few connections have any. Never without a piece.
    pieces: Option<Box<Pieces>>,
}

/// What is not copied.
#[derive(Debug, Default)]
struct Pieces {
    queue: VecDeque<Piece>,
    /// How many bytes of memory they are.
    shared: usize,
    /// How many bytes of files they are.
    in_files: u64,
    /// How many copied bytes leave before the last of them.
    before_last: usize,
}

#[derive(Debug)]
struct Piece {
    /// How many copied bytes leave between the piece before and this one.
    behind: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Shared(Bytes),
    File(FilePart),
}

/// The slices for a vectored write.
pub(crate) struct Slices<'a, const MOST: usize> {
    slices: [IoSlice<'a>; MOST],
    used: usize,
    /// How many bytes they are.
    pub(crate) bytes: usize,
    /// Whether bytes of a file follow at once.
    pub(crate) before_a_file: bool,
}

impl<'a, const MOST: usize> Slices<'a, MOST> {
    pub(crate) fn as_slice(&self) -> &[IoSlice<'a>] {
        &self.slices[..self.used]
    }

    /// Adds a slice, or as much of it as `most` bytes in all allow; returns whether more may be added.
    fn add(&mut self, slice: &'a [u8], most: usize) -> bool {
        let slice = &slice[..slice.len().min(most - self.bytes)];
        if !slice.is_empty() {
            self.slices[self.used] = IoSlice::new(slice);
            self.used += 1;
            self.bytes += slice.len();
        }
        self.used < MOST && self.bytes < most
    }
}

impl Pieces {
    /// Accounts for `count` bytes of the first piece that have left.
    fn advance_first(&mut self, count: usize) -> usize {
        let Some(first) = self.queue.front_mut() else { return 0 };
        let (gone, over) = match &mut first.content {
            Content::Shared(bytes) => {
                let gone = count.min(bytes.len());
                bytes::Buf::advance(bytes, gone);
                self.shared -= gone;
                (gone, bytes.is_empty())
            }
            Content::File(part) => {
                let gone = part.advance(count);
                self.in_files -= gone as u64;
                (gone, part.len() == 0)
            }
        };
        if over {
            self.queue.pop_front();
        }
        gone
    }
}

/// Questions.
impl Outgoing {
    /// How many bytes are still to be sent.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.pieces {
            None => self.copied.len(),
            Some(pieces) => {
                let in_files = usize::try_from(pieces.in_files).unwrap_or(usize::MAX);
                (self.copied.len() + pieces.shared).saturating_add(in_files)
            }
        }
    }

    /// How many of them are in memory.
    #[inline]
    pub(crate) fn in_memory(&self) -> usize {
        self.copied.len() + self.pieces.as_ref().map_or(0, |pieces| pieces.shared)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.pieces.is_none()
    }

    /// All bytes, if they are copied ones: the usual case.
    #[inline]
    pub(crate) fn unsent(&self) -> Option<&[u8]> {
        match &self.pieces {
            None => Some(self.copied.unsent()),
            Some(_) => None,
        }
    }

    /// The part of a file that is to be sent next, if no bytes in memory come before it.
    pub(crate) fn file(&self) -> Option<&FilePart> {
        match self.pieces.as_ref()?.queue.front()? {
            Piece { behind: 0, content: Content::File(part) } => Some(part),
            _ => None,
        }
    }

    /// The bytes in memory that are to be sent next, up to the next file: so many at most, in so many slices.
    pub(crate) fn slices<const MOST: usize>(&self, most: usize) -> Slices<'_, MOST> {
        let slices = [IoSlice::new(&[]); MOST];
        let mut all = Slices { slices, used: 0, bytes: 0, before_a_file: false };
        let mut copied = self.copied.unsent();
        for piece in self.pieces.iter().flat_map(|pieces| &pieces.queue) {
            let (before, rest) = copied.split_at(piece.behind);
            copied = rest;
            if !all.add(before, most) {
                return all;
            }
            match &piece.content {
                Content::Shared(bytes) if all.add(bytes, most) => {}
                Content::Shared(_) => return all,
                Content::File(_) => {
                    all.before_a_file = true;
                    return all;
                }
            }
        }
        all.add(copied, most);
        all
    }

    /// The next bytes in a row, at most so many. Those of a file are read into `buffer`, at most as many as it has room for.
    ///
    /// # Errors
    ///
    /// Those of reading the file; `UnexpectedEof` if it has become shorter.
    #[cfg(any(test, feature = "tls"))]
    pub(crate) fn read<'a>(
        &'a self,
        most: usize,
        buffer: &'a mut [u8],
    ) -> std::io::Result<&'a [u8]> {
        let copied = self.copied.unsent();
        let bytes = match self.pieces.as_ref().and_then(|pieces| pieces.queue.front()) {
            None => copied,
            Some(Piece { behind: behind @ 1.., .. }) => &copied[..*behind],
            Some(Piece { content: Content::Shared(bytes), .. }) => bytes,
            Some(Piece { content: Content::File(part), .. }) => {
                let room = buffer.len().min(most);
                let count = part.read(&mut buffer[..room])?;
                return Ok(&buffer[..count]);
            }
        };
        Ok(&bytes[..bytes.len().min(most)])
    }
}

/// Commands.
impl Outgoing {
    #[inline]
    pub(crate) fn push(&mut self, data: &[u8], spares: &mut Spares) {
        self.copied.push(data, &mut spares.vectors);
    }

    /// Adds bytes that others may share; a few are copied.
    pub(crate) fn share(&mut self, bytes: Bytes, spares: &mut Spares) {
        if bytes.len() < SHARED_FROM {
            return self.push(&bytes, spares);
        }
        let pieces = self.pieces_mut(spares);
        pieces.shared += bytes.len();
        self.add(Content::Shared(bytes));
    }

    /// Adds a part of a file.
    pub(crate) fn add_file(&mut self, part: FilePart, spares: &mut Spares) {
        if part.len() > 0 {
            self.pieces_mut(spares).in_files += part.len();
            self.add(Content::File(part));
        }
    }

    fn pieces_mut(&mut self, spares: &mut Spares) -> &mut Pieces {
        self.pieces.get_or_insert_with(|| spares.queues.pop().unwrap_or_default())
    }

    fn add(&mut self, content: Content) {
        if let Some(pieces) = &mut self.pieces {
            let behind = self.copied.len() - pieces.before_last;
            pieces.before_last += behind;
            pieces.queue.push_back(Piece { behind, content });
        }
    }

    /// Records that the first `count` bytes have left.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize, spares: &mut Spares) {
        match self.pieces {
            None => self.copied.advance(count, &mut spares.vectors),
            Some(_) => self.advance_pieces(count, spares),
        }
    }

    #[inline(never)]
    fn advance_pieces(&mut self, mut count: usize, spares: &mut Spares) {
        let Some(pieces) = &mut self.pieces else { return };
        while let Some(first) = pieces.queue.front_mut() {
            let copied = first.behind.min(count);
            first.behind -= copied;
            pieces.before_last -= copied;
            self.copied.advance(copied, &mut spares.vectors);
            count -= copied;
            if count == 0 {
                return;
            }
            count -= pieces.advance_first(count);
        }
        self.copied.advance(count, &mut spares.vectors);
        if let Some(used) = self.pieces.take() {
            spares.give_back(used);
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self, spares: &mut Spares) {
        self.copied.clear(&mut spares.vectors);
        if let Some(mut pieces) = self.pieces.take() {
            pieces.queue.clear();
            (pieces.shared, pieces.in_files, pieces.before_last) = (0, 0, 0);
            spares.give_back(pieces);
        }
    }
}
