//! The words of a request: where they are in its bytes.

use std::fmt;
use std::ops::Index;

use bytes::Bytes;

/// The words of a request, the command first; never empty.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a> {
    bytes: &'a [u8],
    words: &'a [Word],
    big: &'a [Bytes],
}

/// Where a word is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// In the bytes of the request, from their first one on.
    At { start: u32, len: u32 },
    /// Outside of them: the big word with this number.
    Big(u32),
}

impl Word {
    /// `start` and `len` are less than 4 GiB, since no request is longer.
    pub(crate) fn at(start: usize, len: usize) -> Self {
        Self::At { start: start as u32, len: len as u32 }
    }
}

impl<'a> Args<'a> {
    /// There is at least one word.
    pub(crate) fn new(bytes: &'a [u8], words: &'a [Word], big: &'a [Bytes]) -> Self {
        Self { bytes, words, big }
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.words.get(index).map(|word| self.find(*word))
    }

    /// The words from this index on.
    pub(crate) fn from(&self, index: usize) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let args = *self;
        args.words.iter().skip(index).map(move |word| args.find(*word))
    }

    /// The word with this index, to be kept: a big one is shared, any other copied.
    pub(crate) fn value(&self, index: usize) -> Bytes {
        match self.words[index] {
            Word::Big(number) => self.big[number as usize].clone(),
            word @ Word::At { .. } => Bytes::copy_from_slice(self.find(word)),
        }
    }

    fn find(&self, word: Word) -> &'a [u8] {
        match word {
            Word::At { start, len } => &self.bytes[start as usize..][..len as usize],
            Word::Big(number) => &self.big[number as usize],
        }
    }
}

/// The word with this index; it must be there.
impl Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        self.find(self.words[index])
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.from(0).map(|word| word.escape_ascii().to_string()).collect();
        write!(f, "[{}]", words.join(", "))
    }
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct OwnedArgs {
    bytes: Vec<u8>,
    words: Vec<Word>,
    big: Vec<Bytes>,
}

impl OwnedArgs {
    pub(crate) fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.words, &self.big)
    }

    /// The memory that it takes, big words included.
    pub(crate) fn size(&self) -> usize {
        let big: usize = self.big.iter().map(Bytes::len).sum();
        size_of::<Self>() + self.bytes.len() + self.words.len() * size_of::<Word>() + big
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        let mut owned = Self { bytes: Vec::new(), words: Vec::new(), big: args.big.to_vec() };
        for word in args.words {
            if let Word::At { len, .. } = *word {
                let start = owned.bytes.len();
                owned.bytes.extend_from_slice(args.find(*word));
                owned.words.push(Word::at(start, len as usize));
            } else {
                owned.words.push(*word);
            }
        }
        owned
    }
}
