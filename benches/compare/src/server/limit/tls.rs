//! The limit of TLS: rustls in the same loop, one recv and one writev for each event.
//!
//! The kernel gets encrypted bytes from where rustls has them. A connection that breaks is closed without an
//! alert.

use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::Service;
use super::calls::{self, Fd, IN, OUT};
use crate::server::no_such_service;
use crate::service::{RANDOM_LENGTH, READ_BUFFER, bulk_block, write_random};

pub fn serve(service: &str, config: Arc<ServerConfig>) -> io::Result<()> {
    let task = match service {
        "random" => Task::Random,
        "echo" => Task::Echo,
        "bulk" => Task::Bulk(bulk_block()),
        _ => return no_such_service(),
    };
    let plain = Vec::with_capacity(READ_BUFFER);
    Secured { config, task, connections: Vec::new(), plain }.serve(IN | OUT, READ_BUFFER)
}

enum Task {
    Random,
    Echo,
    Bulk(Vec<u8>),
}

struct Secured {
    config: Arc<ServerConfig>,
    task: Task,
    /// By descriptor.
    connections: Vec<Option<Box<ServerConnection>>>,
    /// The plain bytes of the event that is served.
    plain: Vec<u8>,
}

impl Service for Secured {
    fn made(&mut self, fd: Fd) {
        let fd = fd as usize;
        if fd >= self.connections.len() {
            self.connections.resize_with(fd + 1, || None);
        }
        self.connections[fd] =
            ServerConnection::new(Arc::clone(&self.config)).ok().map(|mut tls| {
                tls.set_buffer_limit(None);
                Box::new(tls)
            });
    }

    fn ready(&mut self, fd: Fd, events: u32, buffer: &mut [u8]) -> bool {
        let Some(Some(tls)) = self.connections.get_mut(fd as usize) else { return false };
        if events & (libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0 {
            return false;
        }
        let is_owed = tls.wants_write();
        if is_owed && !send(fd, tls) {
            return true; // no reading before all is sent; an event comes with the room
        }
        let mut more = is_owed || events & IN != 0;
        while more {
            let Some(count) = calls::recv(fd, buffer) else { break };
            if count == 0 || !open(tls, &buffer[..count], &mut self.plain) {
                return false;
            }
            more = count == buffer.len();
            if matches!(self.task, Task::Echo) && !self.plain.is_empty() {
                drop(tls.writer().write(&self.plain)); // it has no limit, and takes all
                self.plain.clear();
            }
            if !matches!(self.task, Task::Random) && tls.wants_write() && !send(fd, tls) {
                return true;
            }
        }
        go_on(&self.task, fd, tls)
    }

    fn lost(&mut self, fd: Fd) {
        self.connections[fd as usize] = None;
    }
}

/// The part of a task that needs no bytes of the client. `false`: the connection is over.
fn go_on(task: &Task, fd: Fd, tls: &mut ServerConnection) -> bool {
    match task {
        Task::Echo => true,
        Task::Random if tls.is_handshaking() => {
            send(fd, tls);
            true
        }
        Task::Random => {
            let mut answer = [0; RANDOM_LENGTH];
            write_random(&mut answer);
            drop(tls.writer().write(&answer));
            tls.send_close_notify();
            send(fd, tls); // a new connection has room for it
            false
        }
        Task::Bulk(_) if tls.is_handshaking() => true,
        Task::Bulk(block) => loop {
            drop(tls.writer().write(block));
            if !send(fd, tls) {
                return true; // no room: an event follows
            }
        },
    }
}

/// Takes bytes of the wire, and adds the plain ones. `false`: TLS has failed.
fn open(tls: &mut ServerConnection, mut wire: &[u8], plain: &mut Vec<u8>) -> bool {
    while !wire.is_empty() {
        if tls.read_tls(&mut wire).is_err() {
            return false;
        }
        let Ok(state) = tls.process_new_packets() else { return false };
        let mut reader = tls.reader();
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            let count = chunk.len();
            plain.extend_from_slice(chunk);
            reader.consume(count);
        }
        if state.peer_has_closed() {
            return false;
        }
    }
    true
}

/// Hands what is encrypted to the kernel; returns whether it took all.
fn send(fd: Fd, tls: &mut ServerConnection) -> bool {
    while tls.wants_write() {
        if tls.write_tls(&mut Kernel(fd)).is_err() {
            return false;
        }
    }
    true
}

struct Kernel(Fd);

impl Write for Kernel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        calls::send(self.0, bytes).ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        calls::writev(self.0, pieces).ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
