//! In the place of `file_part.rs` without the feature `sendfile`: no part of a file is to be sent, and the compiler
//! knows it.

use std::io;

#[derive(Debug)]
pub(crate) enum FilePart {}

#[expect(clippy::needless_pass_by_ref_mut, reason = "the same interface")]
impl FilePart {
    pub(crate) fn len(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn shorter(&self) -> io::Error {
        match *self {}
    }

    pub(super) fn advance(&mut self, _: usize) -> usize {
        match *self {}
    }
}
