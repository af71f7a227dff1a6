//! The bytes that are still to be sent to a peer: copied, shared with others, or in a file.
//!
//! Copied bytes stand in one vector, a [`WriteBuffer`]. A piece that is not copied says how many of them leave before
//! it. So a connection that is only ever given bytes to copy has no queue of pieces, and pays one look for it.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::file_part::FilePart;
use super::panics::Panics;
use super::slices::Slices;
use super::write_buffer::{self, WriteBuffer};

/// Fewer bytes are copied, which then costs less than to share them.
///
/// A piece takes a place in a queue, two counts that other processors may see, and a part of a vectored write.
/// Measured by a broadcast to 2,000 connections: at a kilobyte both ways take as long, and sharing takes less memory; at
/// 16 KiB sharing takes half of the time.
///
/// In tests of one connection, whose messages are short, it is small.
pub(crate) const SHARED_FROM: usize = if cfg!(any(test, fuzzing)) { 16 } else { 1024 };

/// Queues with room for more pieces are freed when they are empty.
const SPARE_PIECES: usize = 16;

/// How many pieces the queues that a reactor keeps have room for in all: 4 MiB with their boxes. Each has room for four
/// at least, so this is enough for 16,384 connections that are sent a shared message in one turn.
const SPARE_PLACES: usize = 64 * 1024;

/// Used memory, kept for the next connections that write.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    pub(crate) vectors: write_buffer::Spares,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    queues: Vec<Box<Pieces>>,
    /// The capacity of all queues together.
    places: usize,
    /// Those of the owners of bytes that were dropped.
    pub(crate) panics: Panics,
}

impl Spares {
    fn lend(&mut self) -> Box<Pieces> {
        let queue = self.queues.pop().unwrap_or_default();
        self.places -= queue.queue.capacity();
        queue
    }

    fn give_back(&mut self, used: Box<Pieces>) {
        let more = used.queue.capacity();
        if more <= SPARE_PIECES && self.places + more <= SPARE_PLACES {
            self.queues.push(used);
            self.places += more;
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

/// The pieces that are not copied.
#[derive(Debug, Default)]
struct Pieces {
    queue: VecDeque<Piece>,
    /// How many bytes of memory they are.
    shared: usize,
    /// How many of these are lent.
    lent: usize,
    /// How many bytes of files they are. A sparse file may have 2^63, and may be sent several times.
    in_files: u128,
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
    /// Bytes of the buffer that connections are read into, at this place.
    Lent(Range<usize>),
    File(FilePart),
}

impl Pieces {
    /// Accounts for `count` bytes of the first piece that have left.
    fn advance_first(&mut self, count: usize, panics: &mut Panics) -> usize {
        let Some(first) = self.queue.front_mut() else { return 0 };
        let (gone, over) = match &mut first.content {
            Content::Shared(bytes) => {
                let gone = count.min(bytes.len());
                bytes::Buf::advance(bytes, gone);
                self.shared -= gone;
                (gone, bytes.is_empty())
            }
            Content::Lent(place) => {
                let gone = count.min(place.len());
                place.start += gone;
                self.shared -= gone;
                self.lent -= gone;
                (gone, place.start == place.end)
            }
            Content::File(part) => {
                let gone = part.advance(count);
                self.in_files -= gone as u128;
                (gone, part.len() == 0)
            }
        };
        if over {
            panics.let_go(self.queue.pop_front());
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
                // No more than leaves room for what is in memory, here and behind a filter.
                let most = usize::MAX / 2;
                let in_files = usize::try_from(pieces.in_files).unwrap_or(most).min(most);
                self.copied.len() + pieces.shared + in_files
            }
        }
    }

    /// How many of them are in memory.
    #[inline]
    pub(crate) fn in_memory(&self) -> usize {
        self.copied.len() + self.pieces.as_ref().map_or(0, |pieces| pieces.shared)
    }

    /// Whether some are lent.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.lent > 0)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.pieces.is_none()
    }

    /// All bytes, if they are copied ones: the usual case.
    #[inline]
    pub(crate) fn only_copied(&self) -> Option<&[u8]> {
        match &self.pieces {
            None => Some(self.copied.unsent()),
            Some(_) => None,
        }
    }

    /// All bytes, if they are one piece in memory. If it is lent it lies in `buffer`.
    pub(crate) fn only_piece<'a>(&'a self, buffer: &'a [u8]) -> Option<&'a [u8]> {
        let queue = &self.pieces.as_ref()?.queue;
        let first = queue.front().filter(|_| queue.len() == 1 && self.copied.is_empty())?;
        match &first.content {
            Content::Shared(bytes) => Some(bytes),
            Content::Lent(place) => Some(&buffer[place.clone()]),
            Content::File(_) => None,
        }
    }

    /// The first of the copied bytes.
    #[inline]
    pub(crate) fn first_copied(&self) -> Option<u8> {
        self.copied.unsent().first().copied()
    }

    /// The part of a file that is to be sent next, if no bytes in memory come before it.
    pub(crate) fn file(&self) -> Option<&FilePart> {
        match self.pieces.as_ref()?.queue.front()? {
            Piece { behind: 0, content: Content::File(part) } => Some(part),
            _ => None,
        }
    }

    /// Adds the bytes in memory that are to be sent next, up to the next file: so many at most, in as many slices as
    /// there is room for. Those that are lent lie in `buffer`.
    pub(crate) fn gather<'a, const MOST: usize>(
        &'a self,
        all: &mut Slices<'a, MOST>,
        most: usize,
        buffer: &'a [u8],
    ) {
        let mut copied = self.copied.unsent();
        for piece in self.pieces.iter().flat_map(|pieces| &pieces.queue) {
            let (before, rest) = copied.split_at(piece.behind);
            copied = rest;
            if !all.add(before, most) {
                return;
            }
            match &piece.content {
                Content::Shared(bytes) if all.add(bytes, most) => {}
                Content::Lent(place) if all.add(&buffer[place.clone()], most) => {}
                Content::Shared(_) | Content::Lent(_) | Content::File(_) => return,
            }
        }
        all.add(copied, most);
    }

    /// The next bytes in a row, at most so many. Those of a file are read into `buffer`, at most as many as it has room
    /// for.
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
            // Not where this is asked for: what is encrypted is never lent.
            Some(Piece { content: Content::Lent(_), .. }) => {
                return Err(std::io::ErrorKind::Other.into());
            }
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

    /// Adds bytes of the buffer that connections are read into.
    pub(crate) fn lend(&mut self, place: Range<usize>, spares: &mut Spares) {
        let pieces = self.pieces_mut(spares);
        pieces.shared += place.len();
        pieces.lent += place.len();
        self.add(Content::Lent(place));
    }

    /// Copies the bytes that are lent, before the buffer is filled anew.
    #[inline(never)]
    pub(crate) fn copy_lent(&mut self, buffer: &[u8], spares: &mut Spares) {
        let Self { copied, pieces } = self;
        let Some(these) = pieces else { return };
        let Pieces { queue, shared, lent, before_last, .. } = &mut **these;
        // The copied bytes behind the first lent ones step aside, so that each byte is moved once; those before it, which
        // may be many, stay where they are.
        let is_lent = |piece: &Piece| matches!(piece.content, Content::Lent(_));
        let first = queue.iter().position(is_lent).unwrap_or(queue.len());
        let ahead: usize = queue.iter().take(first + 1).map(|piece| piece.behind).sum();
        let mut aside = copied.split_off(ahead, &mut spares.vectors);
        let (mut rest, mut in_place, mut behind) = (aside.unsent(), ahead, 0);
        *before_last = 0;
        queue.retain_mut(|piece| {
            let moved = piece.behind.saturating_sub(in_place);
            in_place -= piece.behind - moved;
            let (next, others) = rest.split_at(moved);
            copied.push(next, &mut spares.vectors);
            rest = others;
            behind += piece.behind;
            if let Content::Lent(place) = &piece.content {
                copied.push(&buffer[place.clone()], &mut spares.vectors);
                behind += place.len();
                return false;
            }
            piece.behind = std::mem::take(&mut behind);
            *before_last += piece.behind;
            true
        });
        copied.push(rest, &mut spares.vectors);
        aside.clear(&mut spares.vectors);
        *shared -= std::mem::take(lent);
        if queue.is_empty()
            && let Some(used) = pieces.take()
        {
            spares.give_back(used);
        }
    }

    /// Adds a part of a file.
    pub(crate) fn add_file(&mut self, part: FilePart, spares: &mut Spares) {
        if part.len() > 0 {
            self.pieces_mut(spares).in_files += u128::from(part.len());
            self.add(Content::File(part));
        }
    }

    fn pieces_mut(&mut self, spares: &mut Spares) -> &mut Pieces {
        self.pieces.get_or_insert_with(|| spares.lend())
    }

    fn add(&mut self, content: Content) {
        if let Some(pieces) = &mut self.pieces {
            let behind = self.copied.len() - pieces.before_last;
            pieces.before_last += behind;
            pieces.queue.push_back(Piece { behind, content });
        }
    }

    /// Removes all bytes when they have left and all were copied.
    #[inline]
    pub(crate) fn clear_copied(&mut self, spares: &mut Spares) {
        debug_assert!(self.pieces.is_none(), "they would count copied bytes that are not there");
        self.copied.clear(&mut spares.vectors);
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
            count -= pieces.advance_first(count, &mut spares.panics);
        }
        self.copied.advance(count, &mut spares.vectors);
        if let Some(used) = self.pieces.take() {
            spares.give_back(used);
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self, spares: &mut Spares) {
        if !self.is_empty() {
            self.clear_all(spares);
        }
    }

    #[inline(never)]
    fn clear_all(&mut self, spares: &mut Spares) {
        self.copied.clear(&mut spares.vectors);
        if let Some(mut pieces) = self.pieces.take() {
            while let Some(piece) = pieces.queue.pop_front() {
                spares.panics.let_go(piece);
            }
            (pieces.shared, pieces.lent, pieces.in_files, pieces.before_last) = (0, 0, 0, 0);
            spares.give_back(pieces);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::random::Random;

    fn gathered<'a, const MOST: usize>(
        outgoing: &'a Outgoing,
        most: usize,
        buffer: &'a [u8],
    ) -> Slices<'a, MOST> {
        let mut slices = Slices::new();
        outgoing.gather(&mut slices, most, buffer);
        slices
    }

    /// The bytes that a vectored write would get.
    fn slices_of<const MOST: usize>(
        outgoing: &Outgoing,
        most: usize,
        buffer: &[u8],
    ) -> (Vec<u8>, usize) {
        let slices = gathered::<MOST>(outgoing, most, buffer);
        let bytes: Vec<u8> = slices.as_slice().iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(bytes.len(), slices.bytes);
        assert!(slices.as_slice().iter().all(|slice| !slice.is_empty()));
        (bytes, slices.as_slice().len())
    }

    #[test]
    #[cfg(all(unix, feature = "sendfile"))]
    fn files_of_more_bytes_than_can_be_counted_are_counted_down() {
        let (mut outgoing, mut spares) = (Outgoing::default(), Spares::default());
        let part = || {
            let file = std::fs::File::open(env!("CARGO_MANIFEST_PATH")).unwrap();
            FilePart::claimed(file, 0..i64::MAX as u64)
        };
        for _ in 0..3 {
            outgoing.add_file(part(), &mut spares);
            assert_eq!(outgoing.len(), usize::MAX / 2);
        }
        outgoing.push(b"behind them", &mut spares);
        assert_eq!(outgoing.len(), usize::MAX / 2 + 11);
        for _ in 0..3 {
            outgoing.advance(i64::MAX as usize, &mut spares);
        }
        assert_eq!((outgoing.len(), outgoing.in_memory()), (11, 11));
    }

    #[test]
    fn copied_and_shared_bytes_leave_in_order_whatever_the_portions() {
        let mut random = Random::new(1);
        let (mut outgoing, mut spares) = (Outgoing::default(), Spares::default());
        let (mut model, mut count) = (VecDeque::<u8>::new(), 0_u8);
        for _ in 0..20_000 {
            let size = random.below(3 * SHARED_FROM);
            count = count.wrapping_add(1);
            let piece = vec![count; size];
            match random.below(8) {
                0 => outgoing.push(&piece[..size / 3], &mut spares),
                1 => outgoing.share(piece.clone().into(), &mut spares),
                2 if random.below(50) == 0 => {
                    outgoing.clear(&mut spares);
                    model.clear();
                }
                _ => {
                    let most = size / 2;
                    let (bytes, _) = slices_of::<7>(&outgoing, most, &[]);
                    assert!(model.iter().copied().take(bytes.len()).eq(bytes.iter().copied()));
                    assert!(bytes.is_empty() == (most == 0 || model.is_empty()));
                    let first = outgoing.read(most, &mut []).unwrap();
                    assert_eq!(first, &bytes[..first.len()]);
                    outgoing.advance(bytes.len(), &mut spares);
                    model.drain(..bytes.len());
                    continue;
                }
            }
            let size = outgoing.len() - model.len();
            model.extend(&piece[..size]);
            assert_eq!((outgoing.len(), outgoing.in_memory()), (model.len(), model.len()));
            assert_eq!(outgoing.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn lent_bytes_keep_their_place_when_they_are_copied() {
        let mut random = Random::new(2);
        let (mut outgoing, mut spares) = (Outgoing::default(), Spares::default());
        let mut model = VecDeque::<u8>::new();
        let mut buffer = [0; 40];
        for _ in 0..20_000 {
            match random.below(6) {
                0 => {
                    let piece = vec![random.below(256) as u8; random.below(9)];
                    outgoing.push(&piece, &mut spares);
                    model.extend(piece);
                }
                1 => {
                    let piece = vec![random.below(256) as u8; SHARED_FROM];
                    outgoing.share(piece.clone().into(), &mut spares);
                    model.extend(piece);
                }
                2 | 3 => {
                    let from = random.below(buffer.len());
                    let to = from + 1 + random.below(buffer.len() - from);
                    outgoing.lend(from..to, &mut spares);
                    model.extend(&buffer[from..to]);
                }
                4 => {
                    let (bytes, _) = slices_of::<5>(&outgoing, random.below(2000), &buffer);
                    assert!(model.iter().copied().take(bytes.len()).eq(bytes.iter().copied()));
                    outgoing.advance(bytes.len(), &mut spares);
                    model.drain(..bytes.len());
                }
                _ => {
                    outgoing.copy_lent(&buffer, &mut spares);
                    assert!(!outgoing.is_lent());
                    buffer.fill_with(|| random.below(256) as u8);
                }
            }
            assert_eq!((outgoing.len(), outgoing.in_memory()), (model.len(), model.len()));
            assert_eq!(outgoing.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn shared_bytes_are_not_copied_and_let_go_when_sent() {
        let mut spares = Spares::default();
        let mut outgoing = Outgoing::default();
        let bytes = Bytes::from(vec![7; SHARED_FROM]);
        outgoing.share(bytes.clone(), &mut spares);
        let place = gathered::<1>(&outgoing, usize::MAX, &[]).as_slice()[0].as_ptr();
        assert_eq!(place, bytes.as_ptr());
        assert!(!bytes.is_unique());
        outgoing.advance(SHARED_FROM - 1, &mut spares);
        assert_eq!(outgoing.len(), 1);
        outgoing.advance(1, &mut spares);
        assert!(bytes.is_unique() && outgoing.is_empty() && outgoing.only_copied() == Some(&[]));
        outgoing.share(bytes.clone(), &mut spares);
        outgoing.clear(&mut spares);
        assert!(bytes.is_unique() && outgoing.is_empty());
    }

    #[test]
    fn few_bytes_are_copied() {
        let mut spares = Spares::default();
        let mut outgoing = Outgoing::default();
        let bytes = Bytes::from(vec![7; SHARED_FROM - 1]);
        outgoing.share(bytes.clone(), &mut spares);
        assert!(bytes.is_unique());
        assert_eq!(outgoing.only_copied(), Some(&bytes[..]));
    }

    #[test]
    fn the_queue_of_an_empty_buffer_serves_the_next() {
        let mut spares = Spares::default();
        let bytes = Bytes::from(vec![7; SHARED_FROM]);
        for _ in 0..3 {
            let mut outgoing = Outgoing::default();
            outgoing.share(bytes.clone(), &mut spares);
            assert!(spares.queues.is_empty());
            outgoing.advance(SHARED_FROM, &mut spares);
            assert_eq!(spares.queues.len(), 1);
        }
        let mut outgoing = Outgoing::default();
        for _ in 0..=SPARE_PIECES {
            outgoing.share(bytes.clone(), &mut spares);
        }
        outgoing.clear(&mut spares);
        assert!(spares.queues.is_empty(), "a long one is not kept");
    }

    #[test]
    fn the_queues_that_are_kept_take_bounded_memory() {
        let mut spares = Spares::default();
        let bytes = Bytes::from(vec![7; SHARED_FROM]);
        for pieces in [1, SPARE_PIECES] {
            let mut all: Vec<Outgoing> = Vec::new();
            for _ in 0..=SPARE_PLACES / 4 {
                all.push(Outgoing::default());
                for _ in 0..pieces {
                    all.last_mut().unwrap().share(bytes.clone(), &mut spares);
                }
            }
            assert_eq!((spares.queues.len(), spares.places), (0, 0));
            all.iter_mut().for_each(|outgoing| outgoing.clear(&mut spares));
            let places: usize = spares.queues.iter().map(|queue| queue.queue.capacity()).sum();
            assert_eq!((places, spares.places), (SPARE_PLACES, SPARE_PLACES));
        }
    }

    #[test]
    fn a_piece_is_small() {
        assert_eq!(size_of::<Piece>(), 48);
        assert_eq!(size_of::<Outgoing>(), size_of::<WriteBuffer>() + 8);
    }

    #[cfg(all(unix, feature = "sendfile"))]
    #[test]
    fn a_file_counts_and_takes_no_memory() {
        let mut spares = Spares::default();
        let mut outgoing = Outgoing::default();
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let content = std::fs::read("Cargo.toml").unwrap();
        let len = content.len();
        outgoing.push(b"head", &mut spares);
        outgoing.add_file(FilePart::new(file.into(), 1..len as u64).unwrap(), &mut spares);
        outgoing.push(b"tail", &mut spares);
        assert_eq!((outgoing.len(), outgoing.in_memory()), (8 + len - 1, 8));
        let slices = gathered::<4>(&outgoing, usize::MAX, &[]);
        assert!(slices.bytes == 4 && outgoing.file().is_none());
        outgoing.advance(4, &mut spares);
        assert_eq!(outgoing.read(3, &mut [0; 9]).unwrap(), &content[1..4]);
        assert!(outgoing.file().is_some() && gathered::<4>(&outgoing, 9, &[]).bytes == 0);
        outgoing.advance(len, &mut spares);
        assert_eq!((outgoing.only_copied(), outgoing.len()), (Some(&b"ail"[..]), 3));
    }
}
