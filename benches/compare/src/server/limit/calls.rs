//! The system calls of the limit, as thin as can be: no check that the kernel does not make.
#![allow(unsafe_code)] // the purpose of this file

use std::io::{self, IoSlice};

/// A file descriptor; closed by [`close`] only.
pub type Fd = libc::c_int;

pub const IN: u32 = libc::EPOLLIN as u32;
pub const OUT: u32 = libc::EPOLLOUT as u32;
pub const EDGE: u32 = libc::EPOLLET as u32;

/// A ready descriptor: what for, and which.
pub type Event = libc::epoll_event;

pub fn epoll_create() -> io::Result<Fd> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Has epoll report on a descriptor, under its own number.
pub fn epoll_add(epoll: Fd, fd: Fd, events: u32) -> io::Result<()> {
    let mut event = Event { events, u64: fd as u64 };
    // SAFETY: the pointer is to a local.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) }).map(drop)
}

/// As a time to wait: without end.
pub const FOR_EVER: libc::c_int = -1;

/// Waits for so many milliseconds; how many events there are.
pub fn epoll_wait(epoll: Fd, events: &mut [Event], wait: libc::c_int) -> io::Result<usize> {
    let room = events.len() as libc::c_int;
    loop {
        // SAFETY: the kernel writes no more than `room` events to where the slice is.
        match check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, wait) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|count| count as usize),
        }
    }
}

/// Accepts without asking for the peer's address.
pub fn accept(listener: Fd) -> Option<Fd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let none = std::ptr::null_mut();
    // SAFETY: null pointers are allowed: they mean that no address is wanted.
    check(unsafe { libc::accept4(listener, none, none.cast(), flags) }).ok()
}

/// How many bytes came; `None` if none are there now, or the connection broke.
pub fn recv(fd: Fd, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the kernel writes no more than the slice holds.
    let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(count).ok()
}

/// How many bytes were taken; `None` if there is no room now, or the connection broke.
pub fn send(fd: Fd, data: &[u8]) -> Option<usize> {
    send_with(fd, data, libc::MSG_NOSIGNAL)
}

/// The same, when more bytes or the end follow at once: a segment that is not full waits.
pub fn send_before_the_end(fd: Fd, data: &[u8]) -> Option<usize> {
    send_with(fd, data, libc::MSG_NOSIGNAL | libc::MSG_MORE)
}

fn send_with(fd: Fd, data: &[u8], flags: libc::c_int) -> Option<usize> {
    // SAFETY: the kernel reads no more than the slice holds.
    let count = unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), flags) };
    usize::try_from(count).ok()
}

/// How many bytes of the pieces were taken; `None` as for [`send`].
pub fn writev(fd: Fd, pieces: &[IoSlice<'_>]) -> Option<usize> {
    // SAFETY: an IoSlice is an iovec, and the kernel reads no more than the slices hold. SIGPIPE is ignored by std.
    let count = unsafe { libc::writev(fd, pieces.as_ptr().cast(), pieces.len() as libc::c_int) };
    usize::try_from(count).ok()
}

pub fn close(fd: Fd) {
    // SAFETY: the caller does not use the descriptor again.
    unsafe { libc::close(fd) };
}

pub fn eventfd() -> io::Result<Fd> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Wakes the thread that waits for this eventfd by an edge; its count need not be read.
pub fn wake(eventfd: Fd) {
    let one = 1_u64;
    // SAFETY: eight bytes of a local. It fails only after 2^64 - 2 wakes.
    unsafe { libc::write(eventfd, (&raw const one).cast(), size_of_val(&one)) };
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
