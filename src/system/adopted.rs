//! Sockets that were made elsewhere.

use std::io;
#[cfg(unix)]
use std::os::fd::AsFd;

use socket2::SockRef;

/// A socket made elsewhere, as the loop needs it: non-blocking, and not inherited by child processes, as it
/// is when it comes from a parent (sd_listen_fds(3)).
#[cfg(unix)]
pub(crate) fn adopted<'a, S: AsFd>(socket: &'a S) -> io::Result<SockRef<'a>> {
    let socket = SockRef::from(socket);
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    Ok(socket)
}

/// A socket made elsewhere, as the loop needs it: non-blocking.
#[cfg(windows)]
pub(crate) fn adopted<'a, S: std::os::windows::io::AsSocket>(
    socket: &'a S,
) -> io::Result<SockRef<'a>> {
    let socket = SockRef::from(socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}
