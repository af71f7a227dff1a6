//! Bytes that were copied and are still to be sent to a peer.
//!
//! A vector with an offset: bytes are appended at the end and leave from the front. An empty buffer
//! owns no memory, and is one word. The reactor lends it a used vector, in its box, with the first byte
//! ([`push`](WriteBuffer::push) takes the [`Spares`]) and gets both back with the last. So
//! idle connections cost nothing, and a busy echo allocates nothing.

/// The largest vector that is kept: as large as what one turn reads, which an echo needs.
///
/// A larger one is freed: the next connection may keep it long for a few bytes that a slow reader
/// has not taken.
const SPARE_CAPACITY: usize = 256 * 1024;

/// How many bytes of used vectors, with their boxes, a reactor keeps in all.
///
/// Enough for thousands of connections that are sent a message in one turn, or for a dozen that are
/// sent as much as one turn reads.
const SPARE_BYTES: usize = 4 * 1024 * 1024;

/// Used vectors, kept for the next connections that write.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    vectors: Vec<Box<Filled>>,
    /// How many bytes they take together.
    bytes: usize,
}

impl Spares {
    #[inline]
    fn lend(&mut self) -> Box<Filled> {
        let Some(lent) = self.vectors.pop() else { return Box::default() };
        self.bytes -= lent.memory();
        lent
    }

    /// Keeps a vector, or frees it if it is too large or enough are kept.
    #[inline(never)]
    fn give_back(&mut self, mut used: Box<Filled>) {
        let memory = used.memory();
        if used.bytes.capacity() > SPARE_CAPACITY || self.bytes + memory > SPARE_BYTES {
            return;
        }
        self.bytes += memory;
        used.bytes.clear();
        used.sent = 0;
        self.vectors.push(used);
    }
}

/// The copied bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    /// `None`: there are none.
    filled: Option<Box<Filled>>,
}

/// The memory of a buffer that is not empty. At least one byte of it is unsent.
#[derive(Debug, Default)]
struct Filled {
    bytes: Vec<u8>,
    /// How many of `bytes`, from the front, are already sent.
    sent: usize,
}

impl Filled {
    fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Moves the rest to the front once half has left, which costs each byte at most one move.
    #[inline(never)]
    fn move_up(&mut self) {
        if self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

impl WriteBuffer {
    /// How many bytes are still to be sent.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.filled.as_ref().map_or(0, |filled| filled.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.filled.is_none()
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, data: &[u8], spares: &mut Spares) {
        if data.is_empty() {
            return;
        }
        let filled = self.filled.get_or_insert_with(|| spares.lend());
        if filled.sent > 0 {
            filled.move_up();
        }
        filled.bytes.extend_from_slice(data);
    }

    /// Puts `data` behind the first `ahead` unsent bytes.
    ///
    /// Cheap at the very front if `data` has just left from there: then its place is free.
    pub(crate) fn insert(&mut self, ahead: usize, data: &[u8], spares: &mut Spares) {
        if ahead >= self.len() {
            return self.push(data, spares);
        }
        let Some(Filled { bytes, sent }) = self.filled.as_deref_mut() else { return };
        if ahead == 0 && data.len() <= *sent {
            let from = *sent - data.len();
            bytes[from..*sent].copy_from_slice(data);
            *sent = from;
            return;
        }
        let at = *sent + ahead;
        bytes.splice(at..at, data.iter().copied());
    }

    /// Takes out all bytes behind the first `ahead` unsent ones.
    pub(crate) fn split_off(&mut self, ahead: usize, spares: &mut Spares) -> Self {
        if ahead == 0 {
            return std::mem::take(self);
        }
        let mut behind = Self::default();
        behind.push(&self.unsent()[ahead..], spares);
        if let Some(filled) = &mut self.filled {
            filled.bytes.truncate(filled.sent + ahead);
        }
        behind
    }

    /// The bytes to send next.
    #[inline]
    pub(crate) fn unsent(&self) -> &[u8] {
        match &self.filled {
            Some(filled) => &filled.bytes[filled.sent..],
            None => &[],
        }
    }

    /// Records that the first `count` unsent bytes have left.
    #[inline(never)] // a visit, which calls it, is large already
    pub(crate) fn advance(&mut self, count: usize, spares: &mut Spares) {
        match &mut self.filled {
            Some(filled) if count < filled.len() => filled.sent += count,
            _ => self.clear(spares),
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self, spares: &mut Spares) {
        if let Some(used) = self.filled.take() {
            spares.give_back(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_whatever_the_portions() {
        for portion in 1..40 {
            let mut spares = Spares::default();
            let mut buffer = WriteBuffer::default();
            let (mut wrote, mut left) = (0u32, Vec::new());
            while left.len() < 4000 {
                for _ in 0..3 {
                    buffer.push(&wrote.to_le_bytes(), &mut spares);
                    wrote += 1;
                }
                let out = buffer.unsent()[..portion.min(buffer.len())].to_vec();
                buffer.advance(out.len(), &mut spares);
                left.extend(out);
                assert_eq!(buffer.len() + left.len(), wrote as usize * 4);
            }
            let expected: Vec<u8> = (0..wrote).flat_map(u32::to_le_bytes).collect();
            assert_eq!(left, expected[..left.len()]);
        }
    }

    #[test]
    fn an_empty_buffer_returns_its_vector_for_the_next() {
        let mut spares = Spares::default();
        let mut buffer = WriteBuffer::default();
        buffer.push(b"hello", &mut spares);
        let memory = buffer.unsent().as_ptr();
        buffer.advance(5, &mut spares);
        assert!(buffer.is_empty());
        let mut other = WriteBuffer::default();
        other.push(b"again", &mut spares);
        assert_eq!(other.unsent().as_ptr(), memory);
    }

    #[test]
    fn a_huge_vector_is_not_kept() {
        let mut spares = Spares::default();
        let mut buffer = WriteBuffer::default();
        buffer.push(&vec![0; SPARE_CAPACITY + 1], &mut spares);
        buffer.clear(&mut spares);
        assert_eq!((spares.vectors.len(), spares.bytes), (0, 0));
    }

    #[test]
    fn no_more_is_kept_in_all_than_the_bound() {
        let mut spares = Spares::default();
        let mut buffers: Vec<WriteBuffer> = (0..100).map(|_| WriteBuffer::default()).collect();
        for buffer in &mut buffers {
            buffer.push(&vec![0; SPARE_CAPACITY], &mut spares);
        }
        for buffer in &mut buffers {
            buffer.clear(&mut spares);
        }
        let each = SPARE_CAPACITY + size_of::<Filled>();
        assert_eq!(spares.vectors.len(), SPARE_BYTES / each);
        assert_eq!(spares.bytes, SPARE_BYTES / each * each);
    }

    #[test]
    fn bytes_are_inserted_wherever_they_belong() {
        for (sent, ahead) in (0..6).flat_map(|sent| (0..8).map(move |ahead| (sent, ahead))) {
            let mut spares = Spares::default();
            let mut buffer = WriteBuffer::default();
            buffer.push(b"012345", &mut spares);
            buffer.advance(sent, &mut spares);
            let mut expected = buffer.unsent().to_vec();
            let at = ahead.min(expected.len());
            expected.splice(at..at, *b"ab");
            buffer.insert(ahead, b"ab", &mut spares);
            assert_eq!(buffer.unsent(), expected, "{sent} sent, {ahead} ahead");
        }
    }

    #[test]
    fn bytes_are_split_off_wherever_they_are() {
        for (sent, ahead) in (0..6).flat_map(|sent| (0..=6 - sent).map(move |ahead| (sent, ahead)))
        {
            let mut spares = Spares::default();
            let mut buffer = WriteBuffer::default();
            buffer.push(b"012345", &mut spares);
            buffer.advance(sent, &mut spares);
            let unsent = buffer.unsent().to_vec();
            let mut behind = buffer.split_off(ahead, &mut spares);
            let both = [buffer.unsent(), behind.unsent()].concat();
            assert_eq!((both, buffer.len()), (unsent, ahead), "{sent} sent, {ahead} ahead");
            let lends = !behind.is_empty();
            behind.clear(&mut spares);
            assert_eq!(spares.vectors.len(), usize::from(lends));
        }
    }

    #[test]
    fn no_bytes_take_no_vector() {
        let mut spares = Spares::default();
        let mut buffer = WriteBuffer::default();
        buffer.push(b"owed", &mut spares);
        buffer.clear(&mut spares);
        buffer.push(b"", &mut spares);
        assert_eq!((buffer.is_empty(), spares.vectors.len()), (true, 1));
    }

    #[test]
    fn consuming_more_than_is_owed_does_no_harm() {
        let mut spares = Spares::default();
        let mut buffer = WriteBuffer::default();
        buffer.push(b"abc", &mut spares);
        buffer.advance(99, &mut spares);
        assert!(buffer.is_empty());
    }
}
