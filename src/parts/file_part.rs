//! A part of a file that is to be sent.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The rest of what is to be sent of a file. It closes the file when it is dropped, unless others have it.
#[derive(Debug)]
pub(crate) struct FilePart {
    file: Arc<File>,
    rest: Range<u64>,
}

impl FilePart {
    /// # Errors
    ///
    /// `InvalidInput` if it is not a regular file, or is too short for the range; those of asking for its length.
    pub(crate) fn new(file: Arc<File>, range: Range<u64>) -> io::Result<Self> {
        let invalid = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return invalid(
                "send a file: it is not a regular file, which alone has a length".to_owned(),
            );
        }
        let (Range { start, end }, len) = (range.clone(), metadata.len());
        if start > end || end > len {
            return invalid(format!("send bytes {start} to {end} of a file: it has {len}"));
        }
        Ok(Self { file, rest: range })
    }

    pub(crate) fn len(&self) -> u64 {
        self.rest.end - self.rest.start
    }

    /// The place of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.rest.start
    }

    /// Reads the next bytes, as many as there are or fit.
    ///
    /// # Errors
    ///
    /// Those of reading; `UnexpectedEof` if the file has become shorter.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.len()).map_or(buffer.len(), |left| left.min(buffer.len()));
        loop {
            match self.file.read_at(&mut buffer[..most], self.rest.start) {
                Ok(0) if most > 0 => return Err(self.shorter()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// The error of a file that has become shorter.
    pub(crate) fn shorter(&self) -> io::Error {
        io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")
    }

    /// Leaves out the next bytes, which were sent: so many, or all. Returns how many.
    pub(super) fn advance(&mut self, count: usize) -> usize {
        let gone = usize::try_from(self.len()).map_or(count, |left| left.min(count));
        self.rest.start += gone as u64;
        gone
    }
}

#[cfg(test)]
impl FilePart {
    /// A part that its file need not have.
    pub(super) fn claimed(file: File, rest: Range<u64>) -> Self {
        Self { file: Arc::new(file), rest }
    }
}

impl AsFd for FilePart {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
