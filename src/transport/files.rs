//! Files as output.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Transport;
use crate::parts::file_part::FilePart;

/// # Sending files
impl Transport<'_> {
    /// Sends a part of a file, after all that was written before and before all that is written later.
    ///
    /// On Linux and Android the kernel moves the bytes from the file to the socket, by sendfile(2). Elsewhere, with TLS,
    /// and on a file system that cannot do it, they are read in portions into one buffer of the reactor, and sent.
    ///
    /// The bytes count in [`buffered`](Self::buffered), and so for the marks: a protocol is told to pause at once
    /// if the part is large, and to go on when it is almost sent. They do not count for the
    /// [cap](crate::ReactorBuilder::write_buffer_cap), which bounds memory. The file stays open until its last
    /// byte is sent or the connection ends. Bytes that are written into it meanwhile are sent, or not.
    ///
    /// Returns whether the part was taken, as [`write`](Self::write) does.
    ///
    /// Needs the feature `sendfile`; on Unix only.
    ///
    /// # Files that are not in memory
    ///
    /// Nothing but the loop's own thread reads a file. From the page cache this takes microseconds; from a disk
    /// it takes as long as the disk takes, and all connections wait. Each turn sends no more of files to a
    /// connection than the [write budget](crate::ReactorBuilder::write_budget), or half of what waits for it in memory, if
    /// that is more, and the kernel reads ahead. If your files are cold, read them into the cache in a thread before
    /// ([`call_in_thread`](crate::Reactor::call_in_thread), with readahead(2) or a plain read); or read in a thread
    /// and [`write_owned`](Self::write_owned) what comes.
    ///
    /// # If the file changes
    ///
    /// If the file becomes shorter than its part, or cannot be read, the connection is reset, so that the peer does
    /// not take a part for the whole. [`Reason::Failed`](crate::Reason::Failed) then has
    /// [`Activity::SendingFile`](crate::Activity::SendingFile), with the system's error, or `UnexpectedEof` for
    /// a file that is too short.
    ///
    /// # Signals
    ///
    /// If the peer has reset the connection, sendfile(2) raises SIGPIPE. It has no flag against this, which every other
    /// write of this library sets. A Rust program ignores the signal. A program in another language that embeds this
    /// library must ignore it too before it sends files, or the reset ends it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the file ends before the range does, or is not a regular one: a pipe or a device has no
    /// length. Else the error of asking for its length. Nothing is sent then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use crocus::testing::{End, Simulation};
    /// use crocus::{Protocol, Reason, Transport};
    ///
    /// /// Serves one file.
    /// struct Download;
    ///
    /// impl Protocol for Download {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         let sent = File::open("Cargo.toml").and_then(|file| {
    ///             let len = file.metadata()?.len();
    ///             write!(transport, "{len} bytes\n");
    ///             transport.send_file(file, 0..len)
    ///         });
    ///         match sent {
    ///             Ok(_) => transport.lose_connection(), // behind the last byte
    ///             Err(error) => transport.abort_connection_because(Reason::protocol(error)),
    ///         }
    ///     }
    /// }
    ///
    /// let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Download);
    /// simulation.settle();
    /// assert!(peer.received().ends_with(&std::fs::read("Cargo.toml")?));
    /// assert_eq!(peer.end(), Some(End::Closed));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn send_file(&mut self, file: impl Into<Arc<File>>, range: Range<u64>) -> io::Result<bool> {
        let part = FilePart::new(file.into(), range)?;
        Ok(self.reactor.send_file(self.id, part))
    }
}
