//! A good and plain program on mio, as a user would write it instead of using crocus.
//!
//! Events come on edges: a ready connection is served until the socket would block. Interest is
//! registered once, for both directions. A connection that is not done after some rounds is
//! registered again, which brings another event, so that the others get their turn.

use std::io::{self, ErrorKind, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::measuring::{Call, start_calling};
use super::ticking::Ticking;
use super::writing::{self, Pending, ROUNDS};
use super::{ACCEPT_PAUSE, listen, no_such_service};
use crate::service::{FLOOD_BUFFER, READ_BUFFER, ReadBuffer, bulk_block};

const LISTENER: Token = Token(usize::MAX);

/// How many events are fetched at once.
const EVENTS: usize = 1024;

pub fn serve(service: &str, count: u64) -> io::Result<()> {
    match service {
        "random" => Server::new(Service::Random)?.run(),
        "echo" => Server::new(Service::Talk { members: 0 })?.run(),
        "flood" => Server::reading(Service::Talk { members: 0 }, FLOOD_BUFFER)?.run(),
        "bulk" => Server::new(Service::Bulk(bulk_block()))?.run(),
        "broadcast" => Server::new(Service::Talk { members: usize::MAX })?.run(),
        "beside-broadcast" => Server::new(Service::Talk { members: count as usize })?.run(),
        "beside-timers" => {
            let server = Server::new(Service::Talk { members: 0 })?;
            Server { timers: Ticking::new(count), ..server }.run()
        }
        "calls" => calls(count),
        _ => no_such_service(), // mio has no timers
    }
}

enum Service {
    Random,
    Bulk(Vec<u8>),
    /// The first so many connections are a chat; the others get back what they send.
    Talk {
        members: usize,
    },
}

struct Server {
    service: Service,
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    buffer: ReadBuffer,
    timers: Ticking,
}

struct Connection {
    stream: TcpStream,
    is_member: bool,
    pending: Pending,
    /// How much of the block is sent, for `bulk`.
    sent: usize,
}

/// The next step for a connection that was served.
enum Next {
    /// It would block: there will be an event.
    Wait,
    /// Its rounds are used up.
    Again,
    Close,
}

impl Server {
    fn new(service: Service) -> io::Result<Self> {
        Self::reading(service, READ_BUFFER)
    }

    fn reading(service: Service, room: usize) -> io::Result<Self> {
        let mut listener = TcpListener::from_std(listen()?);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (connections, buffer) = (Slab::new(), ReadBuffer::new(room));
        let timers = Ticking::default();
        Ok(Self { service, poll, listener, connections, buffer, timers })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut accepted_all = true;
        loop {
            let pause = (!accepted_all).then_some(ACCEPT_PAUSE);
            let timeout = [pause, self.timers.fire()].into_iter().flatten().min();
            poll(&mut self.poll, &mut events, timeout)?;
            for event in &events {
                match event.token() {
                    LISTENER => accepted_all = false,
                    Token(index) => self.serve(index)?,
                }
            }
            if !accepted_all {
                accepted_all = self.accept();
            }
        }
    }

    /// Accepts all waiting clients. `false` if the system refuses that, as it does without descriptors:
    /// there will be no event for the rest.
    fn accept(&mut self) -> bool {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => drop(self.welcome(stream)),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    fn welcome(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let interest = match self.service {
            Service::Random => return writing::answer(stream),
            Service::Bulk(_) => Interest::WRITABLE,
            Service::Talk { .. } => Interest::READABLE | Interest::WRITABLE,
        };
        let is_member =
            matches!(self.service, Service::Talk { members } if members > self.connections.len());
        let entry = self.connections.vacant_entry();
        self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
        entry.insert(Connection { stream, is_member, pending: Pending::default(), sent: 0 });
        Ok(())
    }

    /// Serves a connection that has an event.
    fn serve(&mut self, index: usize) -> io::Result<()> {
        // It may have been closed by one that was served before it.
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        let next = match &self.service {
            Service::Random => Ok(Next::Close), // no connection is registered
            Service::Bulk(block) => connection.bulk(block),
            Service::Talk { .. } if connection.is_member => self.broadcast(index),
            Service::Talk { .. } => connection.echo(self.buffer.bytes()),
        };
        match next.unwrap_or(Next::Close) {
            Next::Wait => Ok(()),
            Next::Again => self.again(index),
            Next::Close => {
                self.connections.try_remove(index);
                Ok(())
            }
        }
    }

    /// Brings another event for a connection, after those of the others.
    fn again(&mut self, index: usize) -> io::Result<()> {
        let stream = &mut self.connections[index].stream;
        let interest = match self.service {
            Service::Bulk(_) => Interest::WRITABLE,
            _ => Interest::READABLE | Interest::WRITABLE,
        };
        self.poll.registry().reregister(stream, Token(index), interest)
    }

    fn broadcast(&mut self, index: usize) -> io::Result<Next> {
        for _ in 0..ROUNDS {
            // It may have removed itself.
            let Some(connection) = self.connections.get_mut(index) else { return Ok(Next::Close) };
            connection.pending.flush(&mut connection.stream)?;
            let chunk = match connection.stream.read(self.buffer.bytes()) {
                Ok(0) => return Ok(Next::Close),
                Ok(length) => &self.buffer.bytes()[..length],
                Err(error) => return blocked(error),
            };
            self.connections
                .retain(|_, to| !to.is_member || to.pending.send(&mut to.stream, chunk).is_ok());
        }
        Ok(Next::Again)
    }
}

impl Connection {
    /// Sends back what comes. While something is pending nothing is read; the event that lets it
    /// be sent lets the reading go on, too.
    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<Next> {
        for _ in 0..ROUNDS {
            self.pending.flush(&mut self.stream)?;
            if !self.pending.is_empty() {
                return Ok(Next::Wait);
            }
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Next::Close),
                Ok(length) => self.pending.send(&mut self.stream, &buffer[..length])?,
                Err(error) => return blocked(error),
            }
        }
        Ok(Next::Again)
    }

    fn bulk(&mut self, block: &[u8]) -> io::Result<Next> {
        let full = writing::bulk(&mut self.stream, block, &mut self.sent)?;
        Ok(if full { Next::Wait } else { Next::Again })
    }
}

/// An error that says that the socket would block is none.
fn blocked(error: io::Error) -> io::Result<Next> {
    if error.kind() == ErrorKind::WouldBlock { Ok(Next::Wait) } else { Err(error) }
}

fn poll(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// A channel, and a waker that is used only when the loop was not woken already.
fn calls(count: u64) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), Token(0))?;
    let (sender, receiver) = mpsc::channel::<Call>();
    let woken = Arc::new(AtomicBool::new(false));
    let already = Arc::clone(&woken);
    start_calling(count, move |call| {
        let sent = sender.send(call).is_ok();
        if sent && !already.swap(true, Ordering::AcqRel) {
            waker.wake().expect("a waker wakes");
        }
    })?;
    let mut events = Events::with_capacity(EVENTS);
    loop {
        self::poll(&mut poll, &mut events, None)?;
        woken.swap(false, Ordering::AcqRel); // before the look at the channel, or one is missed
        receiver.try_iter().for_each(Call::serve);
    }
}
