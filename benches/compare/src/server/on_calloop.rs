//! calloop, a loop of callbacks with the state lent to each, and a source for each connection.
//!
//! Events come as long as the socket is ready (`Mode::Level`), which spares the read that finds
//! nothing. Members of a broadcast are the exception: a member that all the others write to would have
//! to change its interest while it is called, so they register once for both edges.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use calloop::channel::{self, Event};
use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{
    Dispatcher, EventLoop, EventSource, Interest, LoopHandle, Mode, Poll, PostAction, Readiness,
    RegistrationToken, Token, TokenFactory,
};
use slab::Slab;

use super::measuring::{self, Call, Delays, Timers, start_calling};
use super::writing::{self, Pending, ROUNDS};
use super::{ACCEPT_PAUSE, listen, no_such_service};
use crate::service::{
    FLOOD_BUFFER, READ_BUFFER, ReadBuffer, TICK_INTERVAL, bulk_block, first_tick,
};

pub fn serve(service: &str, count: u64) -> io::Result<()> {
    match service {
        "random" => run(|_, stream| writing::answer(stream)),
        "echo" => run(Server::add_echo),
        "flood" => run_prepared(Server::add_echo, FLOOD_BUFFER, |_| Ok(())),
        "bulk" => run(Server::add_bulk),
        "broadcast" => run(Server::add_member),
        "beside-broadcast" => run_prepared(Server::add_member_or_echo, READ_BUFFER, |server| {
            server.places = count as usize;
            Ok(())
        }),
        "beside-timers" => run_prepared(Server::add_echo, READ_BUFFER, |server| server.tick(count)),
        "timers" => timers(count),
        "calls" => calls(count),
        _ => no_such_service(),
    }
}

/// How a new connection is taken in.
type Welcome = fn(&mut Server, TcpStream) -> io::Result<()>;

/// The state that is lent to all callbacks.
struct Server {
    handle: LoopHandle<'static, Self>,
    listener: Option<RegistrationToken>,
    buffer: ReadBuffer,
    block: Rc<[u8]>,
    members: Slab<Member>,
    /// How many may be members; the others get back what they send.
    places: usize,
}

/// One of a broadcast.
struct Member {
    stream: Rc<TcpStream>,
    pending: Pending,
}

fn run(welcome: Welcome) -> io::Result<()> {
    run_prepared(welcome, READ_BUFFER, |_| Ok(()))
}

fn run_prepared(
    welcome: Welcome,
    room: usize,
    prepare: impl FnOnce(&mut Server) -> io::Result<()>,
) -> io::Result<()> {
    let mut event_loop = EventLoop::try_new()?;
    let mut server = Server {
        handle: event_loop.handle(),
        listener: None,
        buffer: ReadBuffer::new(room),
        block: bulk_block().into(),
        members: Slab::new(),
        places: 0,
    };
    prepare(&mut server)?;
    let listener = Generic::new(listen()?, Interest::READ, Mode::Level);
    server.listener = Some(add(&server.handle, listener, move |_, listener, server| {
        Ok(server.accept(listener, welcome))
    })?);
    Ok(event_loop.run(None, &mut server, |_| {})?)
}

impl Server {
    /// Accepts all waiting clients. Without descriptors it lets some time pass.
    fn accept(&mut self, listener: &TcpListener, welcome: Welcome) -> PostAction {
        loop {
            match listener.accept() {
                Ok((stream, _)) => drop(welcome(self, stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return PostAction::Continue,
                Err(_) => return self.accept_later(),
            }
        }
    }

    fn accept_later(&mut self) -> PostAction {
        let pause = Timer::from_duration(ACCEPT_PAUSE);
        let set = self.handle.insert_source(pause, |_, (), server| {
            if let Some(listener) = &server.listener {
                let _ = server.handle.enable(listener);
            }
            TimeoutAction::Drop
        });
        if set.is_ok() { PostAction::Disable } else { PostAction::Continue }
    }

    fn add_echo(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let socket = Generic::new(stream, Interest::READ, Mode::Level);
        let echo = Echo { socket, pending: Pending::default() };
        add(&self.handle, echo, |_, echo, server| {
            echo.serve(server.buffer.bytes()).unwrap_or(PostAction::Remove)
        })?;
        Ok(())
    }

    fn add_bulk(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let (block, mut sent) = (Rc::clone(&self.block), 0);
        let socket = Generic::new(stream, Interest::WRITE, Mode::Level);
        add(&self.handle, socket, move |_, stream, _| {
            let lives = writing::bulk(&**stream, &block, &mut sent).is_ok();
            Ok(if lives { PostAction::Continue } else { PostAction::Remove })
        })?;
        Ok(())
    }

    fn add_member(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let stream = Rc::new(stream);
        let entry = self.members.vacant_entry();
        let index = entry.key();
        let socket = Generic::new(Rc::clone(&stream), Interest::BOTH, Mode::Edge);
        add(&self.handle, socket, move |_, _, server| {
            let next = server.broadcast(index).unwrap_or(PostAction::Remove);
            if next == PostAction::Remove {
                server.members.remove(index);
            }
            Ok(next)
        })?;
        entry.insert(Member { stream, pending: Pending::default() });
        Ok(())
    }

    fn add_member_or_echo(&mut self, stream: TcpStream) -> io::Result<()> {
        let has_place = self.members.len() < self.places;
        if has_place { self.add_member(stream) } else { self.add_echo(stream) }
    }

    /// Sets the timers of `beside-timers`.
    fn tick(&mut self, count: u64) -> io::Result<()> {
        for index in 0..count {
            let timer = Timer::from_duration(first_tick(index));
            add(&self.handle, timer, |_, (), _| TimeoutAction::ToDuration(TICK_INTERVAL))?;
        }
        Ok(())
    }

    /// Sends to all what comes from one. To register again brings another event.
    fn broadcast(&mut self, index: usize) -> io::Result<PostAction> {
        let stream = Rc::clone(&self.members[index].stream);
        self.members[index].pending.flush(&*stream)?;
        for _ in 0..ROUNDS {
            match (&*stream).read(self.buffer.bytes()) {
                Ok(0) => return Ok(PostAction::Remove),
                Ok(length) => self.send_to_all(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(PostAction::Continue);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(PostAction::Reregister)
    }

    /// A member that cannot be written to is shut down, which brings the event that removes it.
    fn send_to_all(&mut self, length: usize) {
        for (_, member) in &mut self.members {
            if member.pending.send(&*member.stream, &self.buffer.bytes()[..length]).is_err() {
                let _ = member.stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Inserts a source whose error hands the source back, which is not needed.
fn add<S, Data>(
    handle: &LoopHandle<'static, Data>,
    source: S,
    callback: impl FnMut(S::Event, &mut S::Metadata, &mut Data) -> S::Ret + 'static,
) -> io::Result<RegistrationToken>
where
    S: EventSource + 'static,
{
    handle.insert_source(source, callback).map_err(|refused| refused.error.into())
}

/// A source of its own, since only a source can change its interest while it is called.
struct Echo {
    socket: Generic<TcpStream>,
    pending: Pending,
}

impl Echo {
    /// Sends back what comes. While something is pending nothing is read.
    fn serve(&mut self, buffer: &mut [u8]) -> io::Result<PostAction> {
        let mut stream = self.socket.get_ref();
        self.pending.flush(stream)?;
        if self.pending.is_empty() {
            match stream.read(buffer) {
                Ok(0) => return Ok(PostAction::Remove),
                Ok(length) => self.pending.send(stream, &buffer[..length])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let full = !self.pending.is_empty();
        if self.socket.interest.writable == full {
            return Ok(PostAction::Continue);
        }
        self.socket.interest = if full { Interest::WRITE } else { Interest::READ };
        Ok(PostAction::Reregister)
    }
}

impl EventSource for Echo {
    type Event = Readiness;
    type Metadata = Self;
    type Ret = PostAction;
    type Error = io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        _token: Token,
        mut callback: F,
    ) -> io::Result<PostAction>
    where
        F: FnMut(Readiness, &mut Self) -> PostAction,
    {
        Ok(callback(readiness, self))
    }

    fn register(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.socket.register(poll, tokens)
    }

    fn reregister(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.socket.reregister(poll, tokens)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.socket.unregister(poll)
    }
}

/// A loop of timers; it is lent the number of those that fired.
struct Alarms {
    event_loop: EventLoop<'static, u64>,
    handle: LoopHandle<'static, u64>,
}

fn timers(count: u64) -> io::Result<()> {
    let event_loop = EventLoop::try_new()?;
    let handle = event_loop.handle();
    let mut alarms = Alarms { event_loop, handle };
    let figures = measuring::population(count, &mut alarms)?;
    measuring::firing(count, figures, |delays| alarms.fire(delays))
}

impl Timers for Alarms {
    type Timer = (RegistrationToken, Dispatcher<'static, Timer, u64>);

    fn arm(&mut self, delay: Duration) -> io::Result<Self::Timer> {
        let timer = Timer::from_duration(delay);
        let dispatcher = Dispatcher::new(timer, |_, (), _: &mut u64| TimeoutAction::Drop);
        let token = self.handle.register_dispatcher(dispatcher.clone())?;
        Ok((token, dispatcher))
    }

    fn reset(&mut self, (token, timer): &mut Self::Timer, delay: Duration) -> io::Result<()> {
        timer.as_source_mut().set_duration(delay);
        Ok(self.handle.update(token)?)
    }

    fn cancel(&mut self, (token, _): Self::Timer) -> io::Result<()> {
        self.handle.remove(token);
        Ok(())
    }
}

impl Alarms {
    fn fire(&mut self, delays: Delays) -> io::Result<()> {
        let mut armed = 0;
        for delay in delays {
            add(&self.handle, Timer::from_duration(delay), |_, (), fired| {
                *fired += 1;
                TimeoutAction::Drop
            })?;
            armed += 1;
        }
        let mut fired = 0;
        while fired < armed {
            self.event_loop.dispatch(None, &mut fired)?;
        }
        Ok(())
    }
}

/// Through calloop's own channel, which pings the loop for each message.
fn calls(count: u64) -> io::Result<()> {
    let mut event_loop = EventLoop::try_new()?;
    let (sender, receiver) = channel::channel::<Call>();
    add(&event_loop.handle(), receiver, |event, (), (): &mut ()| {
        if let Event::Msg(call) = event {
            call.serve();
        }
    })?;
    start_calling(count, move |call| sender.send(call).expect("the loop lives"))?;
    Ok(event_loop.run(None, &mut (), |_| {})?)
}
