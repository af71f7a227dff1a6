//! The reactor: everything that is the same for all servers.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// The listener's token. A connection's token is its slot.
const LISTENER: Token = Token(usize::MAX);

/// A connection is full when more bytes wait than this, until only this many are left.
const HIGH: usize = 64 * 1024;
const LOW: usize = 16 * 1024;

/// How long a connection may take to close: until its client has everything, and has closed too.
const CLOSING: Duration = Duration::from_secs(5);

/// The callbacks of one connection.
pub(crate) trait Protocol {
    /// The connection is there.
    fn connection_made(&mut self, transport: &mut Transport<'_>);

    /// Bytes came: as many as the network delivered together.
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]);

    /// The client sends nothing more. It may still read.
    fn eof_received(&mut self, transport: &mut Transport<'_>);

    /// The connection was full, and is so no longer.
    fn resume_writing(&mut self, transport: &mut Transport<'_>);

    /// The connection is over. Nothing follows.
    fn connection_lost(&mut self, transport: &mut Transport<'_>);
}

/// The name of a connection. A slot has many tenants, one after the other; a number has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    slot: usize,
    number: usize,
}

/// A connection, lent to its protocol: with the reactor, and so with everything.
pub(crate) struct Transport<'a> {
    reactor: &'a mut Reactor,
    id: ConnectionId,
}

impl Transport<'_> {
    /// The name of this connection, by which others may write to it.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// The whole reactor: a callback may do anything to any connection.
    pub(crate) fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }

    /// Notes bytes that are to be sent. They leave after the callback.
    pub(crate) fn write(&mut self, data: &[u8]) {
        self.reactor.write(self.id, data);
    }

    /// Whether so many bytes wait that the protocol should write no more. `resume_writing` follows.
    pub(crate) fn is_full(&mut self) -> bool {
        self.reactor.is_full(self.id)
    }

    /// Reads no more from the client, until `resume_reading`.
    pub(crate) fn pause_reading(&mut self) {
        let is_open = self.reactor.is_open(self.id);
        if let Some(connection) = self.reactor.get(self.id) {
            connection.is_paused = is_open; // one that closes is read to its end
        }
    }

    pub(crate) fn resume_reading(&mut self) {
        if let Some(connection) = self.reactor.get(self.id) {
            connection.is_paused = false;
            self.reactor.queue(self.id);
        }
    }

    /// Closes the connection when all is sent. Of the callbacks only `connection_lost` follows.
    pub(crate) fn lose_connection(&mut self) {
        self.reactor.lose_connection(self.id);
    }
}

/// Makes a protocol for each new connection.
type Factory = Box<dyn FnMut() -> Box<dyn Protocol>>;

/// Something to be done later, with the reactor.
type Call = Box<dyn FnOnce(&mut Reactor)>;

/// The same, from another thread.
type RemoteCall = Box<dyn FnOnce(&mut Reactor) + Send>;

/// The reactor as other threads have it: they may ask for calls.
#[derive(Clone)]
pub(crate) struct Handle {
    calls: Arc<Mutex<Vec<RemoteCall>>>,
}

impl Handle {
    /// Has something done in the reactor's thread.
    pub(crate) fn call_from_thread(&self, call: impl FnOnce(&mut Reactor) + Send + 'static) {
        eprintln!("thread | - | call_from_thread");
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(call));
    }

    fn take_calls(&self) -> Vec<RemoteCall> {
        mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A timer: the time when it is due, and its number, for two may be due at the same time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    deadline: Instant,
    number: usize,
}

/// The poller, the listener, and the connections by slot.
pub(crate) struct Reactor {
    poll: Poll,
    handle: Handle,
    listener: TcpListener,
    factory: Factory,
    connections: Slab<Connection>,
    accepts: bool,
    timers: BTreeMap<TimerId, Call>,
    timers_set: usize,
    to_serve: Vec<ConnectionId>,
    calls: Vec<Call>,
    to_flush: Vec<ConnectionId>,
    accepted: usize,
    turns: usize,
}

impl Reactor {
    /// A reactor that serves each client of this listener with a protocol of its own.
    pub(crate) fn new<P: Protocol + 'static>(
        listener: std::net::TcpListener,
        mut factory: impl FnMut() -> P + 'static,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (poll, mut listener) = (Poll::new()?, TcpListener::from_std(listener));
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let factory: Factory = Box::new(move || Box::new(factory()));
        Ok(Self {
            poll,
            handle: Handle { calls: Arc::default() },
            listener,
            factory,
            connections: Slab::new(),
            accepts: false,
            timers: BTreeMap::new(),
            timers_set: 0,
            to_serve: Vec::new(),
            calls: Vec::new(),
            to_flush: Vec::new(),
            accepted: 0,
            turns: 0,
        })
    }

    /// For other threads.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs turns for ever.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(128);
        loop {
            self.turn(&mut events)?;
        }
    }

    /// Notes bytes that are to be sent to a connection. They leave at the end of the turn.
    ///
    /// If some wait already, the connection is in the queue, or the kernel will say when it takes
    /// more.
    pub(crate) fn write(&mut self, id: ConnectionId, data: &[u8]) {
        if !self.is_open(id) {
            return;
        }
        let Some(connection) = self.get(id) else { return };
        let was_empty = connection.output.is_empty();
        connection.output.extend(data);
        connection.is_full |= connection.output.len() > HIGH;
        if was_empty && !data.is_empty() {
            self.to_flush.push(id);
        }
    }

    /// Whether so many bytes wait for a client that it should be written no more, or it closes.
    pub(crate) fn is_full(&mut self, id: ConnectionId) -> bool {
        !self.is_open(id) || self.get(id).is_none_or(|connection| connection.is_full)
    }

    /// Has something done when all connections of this turn are served.
    pub(crate) fn call_soon(&mut self, call: impl FnOnce(&mut Self) + 'static) {
        self.calls.push(Box::new(call));
    }

    /// Has something done after a delay.
    pub(crate) fn call_later(
        &mut self,
        delay: Duration,
        call: impl FnOnce(&mut Self) + 'static,
    ) -> TimerId {
        self.timers_set += 1;
        let timer = TimerId { deadline: Instant::now() + delay, number: self.timers_set };
        self.timers.insert(timer, Box::new(call));
        timer
    }

    /// Does nothing if the timer has fired already.
    pub(crate) fn cancel(&mut self, timer: TimerId) {
        self.timers.remove(&timer);
    }

    /// Closes a connection when all is sent: the flush phase does it.
    pub(crate) fn lose_connection(&mut self, id: ConnectionId) {
        if !self.is_open(id) {
            return;
        }
        let late = move |reactor: &mut Self| reactor.lose(id, "closed: its time is up");
        let timer = self.call_later(CLOSING, late);
        let Some(connection) = self.get(id) else { return };
        connection.life = Life::Closing(timer);
        connection.is_paused = false;
        self.to_flush.push(id);
        self.queue(id);
    }

    fn is_open(&mut self, id: ConnectionId) -> bool {
        self.get(id).is_some_and(|connection| matches!(connection.life, Life::Open))
    }

    /// A connection, unless it is over.
    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(id.slot)?;
        (connection.number == id.number).then_some(connection)
    }

    /// Puts a connection into the queue, if it may be read and is not in it.
    fn queue(&mut self, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        if connection.is_readable && !connection.is_paused && !connection.is_queued {
            connection.is_queued = true;
            self.to_serve.push(id);
        }
    }

    /// One pass of the loop through its phases.
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        self.turns += 1;
        self.sleep(events)?;
        self.latch(events);
        self.timers();
        self.serve();
        self.calls();
        self.flush();
        Ok(())
    }

    /// Waits for the kernel, or until the next timer is due. A signal may end the wait without an
    /// event.
    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, self.timeout()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            result => result?,
        }
        eprintln!("sleep | turn {} | events: {}", self.turns, events.iter().count());
        Ok(())
    }

    /// How long the reactor may sleep; `None` if there is no timer either.
    fn timeout(&self) -> Option<Duration> {
        let has_queued =
            !self.to_serve.is_empty() || !self.calls.is_empty() || !self.to_flush.is_empty();
        if has_queued {
            return Some(Duration::ZERO);
        }
        let (next, _call) = self.timers.first_key_value()?;
        Some(next.deadline.saturating_duration_since(Instant::now()))
    }

    /// Notes what the events say, and does nothing else.
    fn latch(&mut self, events: &Events) {
        for event in events {
            if event.token() == LISTENER {
                eprintln!("latch | listener | {}", describe(event));
                self.accepts = true;
                continue;
            }
            let Token(slot) = event.token();
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            let id = ConnectionId { slot, number: connection.number };
            eprintln!("latch | #{} | {}", connection.number, describe(event));
            connection.is_readable |= event.is_readable();
            if event.is_writable() && !connection.output.is_empty() {
                self.to_flush.push(id);
            }
            self.queue(id);
        }
    }

    /// Fires the timers that are due. Those that are set meanwhile wait for the next turn.
    fn timers(&mut self) {
        let (now, last) = (Instant::now(), self.timers_set);
        while let Some(timer) = self.timers.first_entry()
            && timer.key().deadline <= now
            && timer.key().number <= last
        {
            let (id, call) = timer.remove_entry();
            eprintln!("timers | timer {} | fires", id.number);
            call(self);
        }
    }

    /// Accepts, and reads once from each connection in the queue.
    fn serve(&mut self) {
        if mem::take(&mut self.accepts) {
            self.accept();
        }
        for id in mem::take(&mut self.to_serve) {
            let outcome = self.read(id);
            self.settle(id, outcome);
        }
    }

    /// Runs the calls that were asked for before this phase, those of other threads too.
    fn calls(&mut self) {
        let mut calls = mem::take(&mut self.calls);
        calls.extend(self.handle.take_calls().into_iter().map(|call| call as Call));
        for call in calls {
            eprintln!("code | - | a call");
            call(self);
        }
    }

    /// Sends what the connections in the queue are owed.
    fn flush(&mut self) {
        for id in mem::take(&mut self.to_flush) {
            let Some(connection) = self.get(id) else { continue };
            let outcome = connection.flush();
            if connection.is_full && connection.output.len() <= LOW {
                connection.is_full = false;
                self.call_if_open(id, "resume_writing", |protocol, transport| {
                    protocol.resume_writing(transport);
                });
            }
            self.settle(id, outcome);
        }
    }

    /// Accepts until nobody waits.
    fn accept(&mut self) {
        loop {
            let accepted = self.listener.accept();
            match accepted.and_then(|(stream, _peer)| self.add(stream)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return eprintln!("serve | listener | failed: {error}"),
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream) -> io::Result<()> {
        self.accepted += 1;
        eprintln!("serve | #{} | accepted", self.accepted);
        let entry = self.connections.vacant_entry();
        let (slot, token) = (entry.key(), Token(entry.key()));
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, both)?;
        let protocol = (self.factory)();
        let id = ConnectionId { slot, number: self.accepted };
        entry.insert(Connection::new(self.accepted, stream, protocol));
        self.call(id, "connection_made", |protocol, transport| {
            protocol.connection_made(transport);
        });
        Ok(())
    }

    /// Reads once, and passes on what came. The connection goes to the back of the queue, for there
    /// may be more.
    fn read(&mut self, id: ConnectionId) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let Some(connection) = self.get(id) else { return Ok(()) };
        connection.is_queued = false;
        if connection.is_paused {
            return Ok(());
        }
        match connection.read(&mut buffer)? {
            Input::Nothing => {}
            Input::Data(count) => self.call_if_open(id, "data_received", |protocol, transport| {
                protocol.data_received(transport, &buffer[..count]);
            }),
            Input::End => self.call_if_open(id, "eof_received", |protocol, transport| {
                protocol.eof_received(transport);
            }),
        }
        self.queue(id);
        Ok(())
    }

    /// Drops a connection if it has failed, or is over.
    fn settle(&mut self, id: ConnectionId, outcome: io::Result<()>) {
        match (outcome, self.get(id)) {
            (Ok(()), Some(connection)) if connection.is_over() => self.lose(id, "closed"),
            (Ok(()), _) => {}
            (Err(error), _) => self.lose(id, &format!("failed: {error}")),
        }
    }

    /// Tells the protocol that the connection is over, and drops both.
    fn lose(&mut self, id: ConnectionId, why: &str) {
        let Some(connection) = self.get(id) else { return };
        eprintln!("reactor | #{} | {why}", connection.number);
        if let Life::Closing(timer) | Life::Lingering(timer) = connection.life {
            self.cancel(timer);
        }
        self.call(id, "connection_lost", |protocol, transport| {
            protocol.connection_lost(transport);
        });
        self.connections.remove(id.slot);
    }

    /// Calls the protocol, unless the connection is closing.
    fn call_if_open(
        &mut self,
        id: ConnectionId,
        name: &str,
        callback: impl FnOnce(&mut dyn Protocol, &mut Transport<'_>),
    ) {
        if self.is_open(id) {
            self.call(id, name, callback);
        }
    }

    /// Calls the protocol, and lends it the reactor. Meanwhile the protocol is out of its seat: the
    /// reactor cannot be lent to one of its own parts.
    fn call(
        &mut self,
        id: ConnectionId,
        name: &str,
        callback: impl FnOnce(&mut dyn Protocol, &mut Transport<'_>),
    ) {
        let Some(connection) = self.get(id) else { return };
        let Some(mut protocol) = connection.protocol.take() else { return };
        eprintln!("code | #{} | {name}", connection.number);
        callback(&mut *protocol, &mut Transport { reactor: self, id });
        if let Some(connection) = self.get(id) {
            connection.protocol = Some(protocol);
        }
    }
}

/// How far a connection has come. The timer bounds the time that closing takes.
#[derive(Clone, Copy)]
enum Life {
    Open,
    /// It is closed when all is sent. Bytes that come are read and dropped.
    Closing(TimerId),
    /// All is sent, and FIN too. It waits for the client's.
    Lingering(TimerId),
}

/// The outcome of one read.
enum Input {
    Nothing,
    Data(usize),
    End,
}

/// One client, its protocol, and the bytes that are owed to it.
struct Connection {
    number: usize,
    stream: TcpStream,
    life: Life,
    protocol: Option<Box<dyn Protocol>>,
    is_readable: bool,
    is_paused: bool,
    is_queued: bool,
    has_ended: bool,
    output: Vec<u8>,
    is_full: bool,
}

impl Connection {
    fn new(number: usize, stream: TcpStream, protocol: Box<dyn Protocol>) -> Self {
        Self {
            number,
            stream,
            life: Life::Open,
            protocol: Some(protocol),
            is_readable: false,
            is_paused: false,
            is_queued: false,
            has_ended: false,
            output: Vec::new(),
            is_full: false,
        }
    }

    /// Whether both sides have ended.
    fn is_over(&self) -> bool {
        self.has_ended && matches!(self.life, Life::Lingering(_))
    }

    /// Reads once.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        while !self.has_ended {
            match self.stream.read(buffer) {
                Ok(0) => {
                    self.has_ended = true;
                    return Ok(Input::End);
                }
                Ok(count) => {
                    eprintln!("serve | #{} | read {count} bytes", self.number);
                    return Ok(Input::Data(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.is_readable = false;
        Ok(Input::Nothing)
    }

    /// Writes until nothing is owed, or the kernel takes no more. If the connection closes, FIN
    /// follows the last byte.
    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => {
                    self.output.drain(..count);
                    let owed = self.output.len();
                    eprintln!("flush | #{} | wrote {count} bytes, {owed} wait", self.number);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if let Life::Closing(timer) = self.life
            && self.output.is_empty()
        {
            self.stream.shutdown(Shutdown::Write)?;
            eprintln!("flush | #{} | sent FIN", self.number);
            self.life = Life::Lingering(timer);
        }
        Ok(())
    }
}

/// An event in words, for the log.
fn describe(event: &Event) -> &'static str {
    match (event.is_readable(), event.is_writable()) {
        (true, true) => "readable and writable",
        (true, false) => "readable",
        (false, true) => "writable",
        (false, false) => "neither readable nor writable",
    }
}
