//! The operations that a connection needs of its stream: a trait, so that tests can play the kernel.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
#[cfg(all(feature = "sendfile", any(target_os = "linux", target_os = "android")))]
use std::os::fd::AsFd;

#[cfg(all(unix, not(target_vendor = "apple")))]
use socket2::SockRef;

use super::stream::Stream;
use crate::parts::file_part::FilePart;

/// The operations that a connection needs of its stream.
pub(crate) trait ByteStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    fn write(&mut self, data: &[u8]) -> io::Result<usize>;

    /// Writes the last bytes before FIN.
    ///
    /// The kernel keeps a partial segment, and FIN travels with it: one segment instead of two,
    /// which saves a fifth of the cost of a short connection.
    fn write_last(&mut self, data: &[u8]) -> io::Result<usize>;

    /// Writes these slices, in one call. `more`: others follow at once, or FIN, as for [`write_last`](Self::write_last).
    fn write_slices(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Has the kernel send of a file, so many bytes at most. `None`: it cannot, and the caller must read them and write.
    ///
    /// A part of them may have left though there is room for more, and none if the file has become shorter.
    fn send_file(&mut self, part: &FilePart, most: usize) -> io::Result<Option<usize>>;

    /// Sends FIN.
    fn shut_write(&self) -> io::Result<()>;

    /// Takes and clears the pending error of the socket.
    fn take_error(&self) -> io::Result<Option<io::Error>>;

    /// Whether a read that gets less than it asked for has got all there is, unless urgent data came.
    ///
    /// On a Unix socket a read stops behind bytes that came with a descriptor, whatever is behind them.
    fn reads_to_the_end(&self) -> bool;

    /// Whether the peer's first write after our close succeeds.
    ///
    /// On a Unix socket it fails at once, and kills a program that does not expect this before it
    /// reads our answer.
    fn forgives_late_bytes(&self) -> bool;
}

impl ByteStream for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, _) => stream.read(buf),
            #[cfg(unix)]
            Self::Unix(stream, ..) => stream.read(buf),
            Self::Simulated(stream, _) => stream.read(buf),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, _) => stream.write(data),
            #[cfg(unix)]
            Self::Unix(stream, ..) => write_unix(stream, data),
            Self::Simulated(stream, _) => stream.write(data),
        }
    }

    fn write_last(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Tcp(stream, _) => {
                SockRef::from(&*stream).send_with_flags(data, libc::MSG_MORE | libc::MSG_NOSIGNAL)
            }
            Self::Simulated(stream, _) => stream.write_last(data),
            _ => self.write(data),
        }
    }

    fn write_slices(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        if let ([one], false) = (slices, more) {
            return self.write(one); // an echo: send(2) has less to look at
        }
        match self {
            #[cfg(all(unix, not(target_vendor = "apple")))]
            Self::Tcp(stream, _) => write_slices(SockRef::from(&*stream), slices, more),
            #[cfg(all(unix, not(target_vendor = "apple")))]
            Self::Unix(stream, ..) => write_slices(SockRef::from(&*stream), slices, false),
            #[cfg(not(all(unix, not(target_vendor = "apple"))))]
            Self::Tcp(stream, _) => stream.write_vectored(slices),
            #[cfg(target_vendor = "apple")]
            Self::Unix(stream, ..) => stream.write_vectored(slices),
            Self::Simulated(stream, _) => stream.write_slices(slices, more),
        }
    }

    #[cfg(all(feature = "sendfile", any(target_os = "linux", target_os = "android")))]
    fn send_file(&mut self, part: &FilePart, most: usize) -> io::Result<Option<usize>> {
        match self {
            Self::Tcp(stream, _) => send_file(stream, part, most),
            Self::Unix(stream, ..) => send_file(stream, part, most),
            Self::Simulated(_, _) => Ok(None),
        }
    }

    #[cfg(not(all(feature = "sendfile", any(target_os = "linux", target_os = "android"))))]
    fn send_file(&mut self, _: &FilePart, _: usize) -> io::Result<Option<usize>> {
        Ok(None)
    }

    fn shut_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(stream, ..) => stream.shutdown(Shutdown::Write),
            Self::Simulated(stream, _) => stream.shutdown(Shutdown::Write),
        }
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream, _) => stream.take_error(),
            #[cfg(unix)]
            Self::Unix(stream, ..) => stream.take_error(),
            Self::Simulated(stream, _) => Ok(stream.take_error()),
        }
    }

    fn forgives_late_bytes(&self) -> bool {
        match self {
            Self::Tcp(_, _) => true,
            #[cfg(unix)]
            Self::Unix(..) => false,
            Self::Simulated(stream, _) => !stream.is_unix(),
        }
    }

    #[inline(always)]
    fn reads_to_the_end(&self) -> bool {
        #[cfg(unix)]
        return !matches!(self, Self::Unix(..));
        #[cfg(not(unix))]
        return true;
    }
}

/// Writes to a Unix socket; a peer that has gone is an error, and no SIGPIPE.
///
/// A Rust program ignores that signal. A program in another language that embeds us may not, and
/// `write(2)`, which the standard library used up to Rust 1.88, would end it.
#[cfg(unix)]
fn write_unix(stream: &mio::net::UnixStream, data: &[u8]) -> io::Result<usize> {
    // Apple's systems have no such flag, and socket2 and mio set an option on the socket instead.
    #[cfg(not(target_vendor = "apple"))]
    return SockRef::from(stream).send_with_flags(data, libc::MSG_NOSIGNAL);
    #[cfg(target_vendor = "apple")]
    (&*stream).write(data)
}

/// Writes to a socket in one call. The flags are those of the plain writes: no SIGPIPE, and MSG_MORE if more follows.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn write_slices(socket: SockRef<'_>, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    let more = if more { libc::MSG_MORE } else { 0 };
    #[cfg(not(target_os = "linux"))]
    let more = 0 * libc::c_int::from(more); // there is no such flag
    socket.send_vectored_with_flags(slices, libc::MSG_NOSIGNAL | more)
}

/// Calls sendfile(2). Where it fails not because of the socket, reading says why, or succeeds: a file system need not
/// have it.
///
/// It has no flag against SIGPIPE, which a Rust program ignores. `Transport::send_file` tells those who embed us.
#[cfg(all(feature = "sendfile", any(target_os = "linux", target_os = "android")))]
fn send_file(socket: impl AsFd, part: &FilePart, most: usize) -> io::Result<Option<usize>> {
    use io::ErrorKind as Kind;
    let mut at = part.at();
    match rustix::fs::sendfile(socket, part, Some(&mut at), most).map_err(io::Error::from) {
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.kind() {
            Kind::WouldBlock
            | Kind::Interrupted
            | Kind::BrokenPipe
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown => Err(error),
            _ => Ok(None),
        },
    }
}
