//! The limit: an epoll loop by hand, for one service at a time, with the fewest system calls.
//!
//! It is what the others are measured by, not something to use. It has no timeouts and no protocols,
//! its loop serves nothing else, a connection that breaks is closed without a message, and `random` is
//! closed without a look whether the peer has sent something, as the article's server does.
//!
//! A connection is registered once, edge-triggered; an event is answered by one recv and one send. A
//! short read means that the socket is drained, and saves the read that would only say so.

mod beside;
mod calls;
mod tls;

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::{io, mem};

use calls::{EDGE, Event, FOR_EVER, Fd, IN, OUT};
use libc::c_int;
use socket2::SockRef;

pub use tls::serve as serve_over_tls;

use super::measuring::{Call, start_calling};
use crate::service::{
    FLOOD_BUFFER, RANDOM_LENGTH, READ_BUFFER, ReadBuffer, bulk_block, write_random,
};

/// How many events one poll can bring, as in crocus.
const EVENTS: usize = 1024;

/// How many bytes the kernel may hold unsent, as in crocus.
const UNSENT_LOW_WATER: u32 = 128 * 1024;

pub fn serve(service: &str, count: u64) -> io::Result<()> {
    match service {
        "random" => random(super::listen()?, calls::send),
        "echo" => Echo::default().serve(IN, READ_BUFFER),
        "flood" => Echo::default().serve(IN, FLOOD_BUFFER),
        "bulk" => Bulk::default().serve(OUT, READ_BUFFER),
        "broadcast" => Broadcast::default().serve(IN, READ_BUFFER),
        "beside-broadcast" => beside::BesideBroadcast::new(count).serve(IN, READ_BUFFER),
        "beside-timers" => beside::BesideTimers::new(count).serve(IN, READ_BUFFER),
        "calls" => from_thread(count),
        _ => super::no_such_service(), // timers have no lower bound of their cost
    }
}

/// The limit of `random` with one segment for the bytes and the end of the stream, where the others send
/// two: as many system calls, and less work for the kernel.
pub fn serve_in_one_segment(service: &str, _count: u64) -> io::Result<()> {
    match service {
        "random" => random(super::listen()?, calls::send_before_the_end),
        _ => super::no_such_service(), // no other service ends its connections
    }
}

/// The limit with the bound that crocus has by default for what the kernel holds unsent.
pub fn serve_bounded(service: &str, _count: u64) -> io::Result<()> {
    let service: fn(TcpListener) -> io::Result<()> = match service {
        "flood" => |listener| Echo::default().serve_at(listener, IN, FLOOD_BUFFER),
        "bulk" => |listener| Bulk::default().serve_at(listener, OUT, READ_BUFFER),
        "broadcast" => |listener| Broadcast::default().serve_at(listener, IN, READ_BUFFER),
        _ => return super::no_such_service(), // too few bytes to meet the bound
    };
    let listener = super::listen()?;
    SockRef::from(&listener).set_tcp_notsent_lowat(UNSENT_LOW_WATER)?; // inherited
    service(listener)
}

/// One loop, or more, each in a thread of its own with a listening socket of its own.
///
/// They start in turn, as those of [`crocus::Cores`]: by that the kernel decides on which core each of them runs.
pub fn serve_by_loops(service: &str, loops: usize) -> io::Result<()> {
    let serve: fn(TcpListener) -> io::Result<()> = match service {
        "random" => |listener| random(listener, calls::send),
        "echo" => |listener| Echo::default().serve_at(listener, IN, READ_BUFFER),
        _ => return super::no_such_service(),
    };
    let mut threads = Vec::new();
    for listener in super::listen_together(loops)? {
        let (tell, told) = mpsc::channel::<()>();
        threads.push(thread::spawn(move || {
            drop(tell);
            serve(listener)
        }));
        let _ = told.recv(); // an error: the thread has started, and dropped the sender
    }
    let join = |thread: JoinHandle<_>| thread.join().expect("a loop does not panic");
    threads.into_iter().try_for_each(join)
}

/// Only the listener is registered, so the events need no look.
fn random(listener: TcpListener, send: fn(Fd, &[u8]) -> Option<usize>) -> io::Result<()> {
    let listener = listener.into_raw_fd();
    let epoll = calls::epoll_create()?;
    calls::epoll_add(epoll, listener, IN | EDGE)?;
    let mut answer = [0; RANDOM_LENGTH];
    loop {
        calls::epoll_wait(epoll, &mut [Event { events: 0, u64: 0 }], FOR_EVER)?;
        while let Some(fd) = calls::accept(listener) {
            write_random(&mut answer);
            send(fd, &answer);
            calls::close(fd);
        }
    }
}

/// A service whose connections stay.
trait Service {
    /// A connection came.
    fn made(&mut self, _fd: Fd) {}

    /// A connection is ready. `false`: it is over.
    fn ready(&mut self, fd: Fd, events: u32, buffer: &mut [u8]) -> bool;

    /// A connection is about to be closed.
    fn lost(&mut self, _fd: Fd) {}

    /// The loop is about to wait: does what is due, and says for how many milliseconds it may.
    fn before_waiting(&mut self) -> c_int {
        FOR_EVER
    }

    fn serve(&mut self, interest: u32, room: usize) -> io::Result<()>
    where
        Self: Sized,
    {
        self.serve_at(super::listen()?, interest, room)
    }

    /// The loop.
    fn serve_at(&mut self, listener: TcpListener, interest: u32, room: usize) -> io::Result<()>
    where
        Self: Sized,
    {
        let listener = listener.into_raw_fd();
        let epoll = calls::epoll_create()?;
        calls::epoll_add(epoll, listener, IN | EDGE)?;
        let mut buffer = ReadBuffer::new(room);
        let mut events = vec![Event { events: 0, u64: 0 }; EVENTS];
        loop {
            let count = calls::epoll_wait(epoll, &mut events, self.before_waiting())?;
            for &Event { events, u64 } in &events[..count] {
                let fd = u64 as Fd;
                if fd == listener {
                    while let Some(fd) = calls::accept(listener) {
                        self.made(fd);
                        calls::epoll_add(epoll, fd, interest | OUT | EDGE)?;
                    }
                } else if !self.ready(fd, events, buffer.bytes()) {
                    self.lost(fd);
                    calls::close(fd);
                }
            }
        }
    }
}

/// Bytes that the kernel did not take yet, by connection; almost always none.
#[derive(Default)]
struct Owed(HashMap<Fd, Vec<u8>>);

impl Owed {
    /// Sends, and keeps the bytes that the kernel does not take; returns whether it took all.
    fn send(&mut self, fd: Fd, data: &[u8]) -> bool {
        let sent = calls::send(fd, data).unwrap_or(0);
        if sent < data.len() {
            self.0.entry(fd).or_default().extend_from_slice(&data[sent..]);
        }
        sent == data.len()
    }

    /// Handles room for writing; returns whether all is sent.
    fn flush(&mut self, fd: Fd) -> bool {
        let Some(mut owed) = self.0.remove(&fd) else { return true };
        let sent = calls::send(fd, &owed).unwrap_or(0);
        owed.drain(..sent);
        let done = owed.is_empty();
        if !done {
            self.0.insert(fd, owed);
        }
        done
    }
}

/// Sends back what comes; a peer that does not read is not read.
#[derive(Default)]
struct Echo {
    owed: Owed,
}

impl Service for Echo {
    fn ready(&mut self, fd: Fd, _: u32, buffer: &mut [u8]) -> bool {
        if !self.owed.0.is_empty() && !self.owed.flush(fd) {
            return true; // no reading before all is sent; an event comes with the room
        }
        loop {
            match calls::recv(fd, buffer) {
                Some(0) => return false,
                Some(count) if !self.owed.send(fd, &buffer[..count]) => return true,
                Some(count) if count == buffer.len() => {}
                _ => return true,
            }
        }
    }

    fn lost(&mut self, fd: Fd) {
        self.owed.0.remove(&fd);
    }
}

/// Endless copies of one block.
struct Bulk {
    block: Vec<u8>,
    /// How much of the block has been taken.
    sent: HashMap<Fd, usize>,
}

impl Default for Bulk {
    fn default() -> Self {
        Self { block: bulk_block(), sent: HashMap::new() }
    }
}

impl Service for Bulk {
    fn made(&mut self, fd: Fd) {
        self.sent.insert(fd, 0);
    }

    fn ready(&mut self, fd: Fd, events: u32, _: &mut [u8]) -> bool {
        if events & (libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0 {
            return false;
        }
        let Some(sent) = self.sent.get_mut(&fd) else { return false };
        loop {
            let rest = &self.block[*sent..];
            let Some(count) = calls::send(fd, rest) else { return true };
            *sent = (*sent + count) % self.block.len();
            if count < rest.len() {
                return true; // no room: an event follows
            }
        }
    }

    fn lost(&mut self, fd: Fd) {
        self.sent.remove(&fd);
    }
}

/// Sends each chunk to all.
#[derive(Default)]
struct Broadcast {
    all: Vec<Fd>,
    owed: Owed,
}

impl Service for Broadcast {
    fn made(&mut self, fd: Fd) {
        self.all.push(fd);
    }

    fn ready(&mut self, fd: Fd, _: u32, buffer: &mut [u8]) -> bool {
        if !self.owed.0.is_empty() {
            self.owed.flush(fd);
        }
        loop {
            let Some(count) = calls::recv(fd, buffer) else { return true };
            if count == 0 {
                return false;
            }
            for &fd in &self.all {
                match self.owed.0.get_mut(&fd) {
                    Some(owed) => owed.extend_from_slice(&buffer[..count]), // in order
                    None => drop(self.owed.send(fd, &buffer[..count])),
                }
            }
            if count < buffer.len() {
                return true;
            }
        }
    }

    fn lost(&mut self, fd: Fd) {
        self.all.retain(|&other| other != fd);
        self.owed.0.remove(&fd);
    }
}

/// Calls wait in an array under a lock, which the loop swaps for an empty one. A caller that finds it
/// empty wakes the loop.
fn from_thread(count: u64) -> io::Result<()> {
    let epoll = calls::epoll_create()?;
    let waker = calls::eventfd()?;
    calls::epoll_add(epoll, waker, IN | EDGE)?;
    let waiting = Arc::new(Mutex::new(Vec::<Call>::new()));
    let from_thread = Arc::clone(&waiting);
    start_calling(count, move |call| {
        let mut waiting = from_thread.lock().unwrap_or_else(PoisonError::into_inner);
        let first = waiting.is_empty();
        waiting.push(call);
        drop(waiting);
        if first {
            calls::wake(waker);
        }
    })?;
    let mut taken = Vec::new();
    loop {
        calls::epoll_wait(epoll, &mut [Event { events: 0, u64: 0 }], FOR_EVER)?;
        mem::swap(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner), &mut taken);
        taken.drain(..).for_each(Call::serve);
    }
}
