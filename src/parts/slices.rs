//! Slices for a vectored write, gathered in an array that lies where it is used.

use std::io::IoSlice;

/// The slices for a vectored write.
pub(crate) struct Slices<'a, const MOST: usize> {
    slices: [IoSlice<'a>; MOST],
    used: usize,
    /// How many bytes they are.
    pub(crate) bytes: usize,
}

impl<'a, const MOST: usize> Slices<'a, MOST> {
    pub(crate) fn new() -> Self {
        Self { slices: [IoSlice::new(&[]); MOST], used: 0, bytes: 0 }
    }

    pub(crate) fn as_slice(&self) -> &[IoSlice<'a>] {
        &self.slices[..self.used]
    }

    /// Adds a slice, or as much of it as `most` bytes in all allow; returns whether more may be added.
    pub(super) fn add(&mut self, slice: &'a [u8], most: usize) -> bool {
        let slice = &slice[..slice.len().min(most - self.bytes)];
        if !slice.is_empty() {
            self.slices[self.used] = IoSlice::new(slice);
            self.used += 1;
            self.bytes += slice.len();
        }
        self.used < MOST && self.bytes < most
    }
}
