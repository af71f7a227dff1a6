//! Tasks among the actors: servers, clients and others that read, write, wait, and are dropped at any `.await`.
//!
//! A task's connection is a party of the ledger like that of a protocol. [`Counted`] enters what a task reads and writes at
//! the moment in which it does, so that a future may be cut anywhere; the observer enters the end.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::panic_any;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crocus::futures::{
    Connection, JoinError, JoinHandle, closing, connect, interval, listen, sleep, spawn,
    spawn_local, task_count, timeout,
};
use crocus::{ConnectionId, Listen, ListenerId, Reactor, Reason, Transport};
use futures_lite::future::{FutureExt, zip};
use futures_lite::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
};

use crate::actors::{Actor, OnPurpose, Scene};
use crate::ledger::{Ledger, Party, expected_bytes};

/// A world stays small: so many tasks live at once.
const MAX_TASKS: usize = 24;

/// Where tasks listen, so that places are used again.
const FIRST_PORT: u16 = 5100;

/// The state of the tasks of a world.
#[derive(Default)]
pub struct Tasks {
    handles: RefCell<Vec<JoinHandle<()>>>,
    alive: Cell<usize>,
    pub hosts: RefCell<Vec<Host>>,
    /// A future has panicked, and what it owned is dropped now.
    fell: Cell<bool>,
    /// From here on tasks come to their ends.
    pub leaving: Cell<bool>,
}

/// A task that listens.
pub struct Host {
    id: ListenerId,
    pub addr: SocketAddr,
    pub listens: bool,
    /// It is in `accept`, and so every connection that came has been taken.
    pub accepts: bool,
}

/// A whole task. A poll is a callback for the ledger.
struct Body {
    scene: Rc<Scene>,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Future for Body {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        struct Falls<'a>(&'a Scene);

        impl Drop for Falls<'_> {
            fn drop(&mut self) {
                self.0.tasks.fell.set(std::thread::panicking());
            }
        }

        let scene = Rc::clone(&self.scene);
        let _inside = scene.enter("a task");
        let _falls = Falls(&scene);
        match &mut self.future {
            Some(future) => future.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let tasks = &self.scene.tasks;
        let inside = self.scene.ledger.borrow().is_inside();
        let _inside = (!inside).then(|| self.scene.enter("the drop of a task"));
        drop(self.future.take());
        tasks.fell.set(false);
        tasks.alive.set(tasks.alive.get() - 1);
        self.scene.ledger.borrow_mut().functions -= 1;
    }
}

impl Scene {
    pub fn is_awaited(&self) -> bool {
        self.profile.name == "awaited"
    }

    /// A task, whose handle is kept, or dropped at once.
    fn run(self: &Rc<Self>, reactor: &mut Reactor, future: impl Future<Output = ()> + 'static) {
        self.ledger.borrow_mut().functions += 1;
        self.tasks.alive.set(self.tasks.alive.get() + 1);
        let future: Pin<Box<dyn Future<Output = ()>>> = match self.chance.below(6) {
            0 => {
                let limit = self.chance.millis(0, 60);
                Box::pin(async move { drop(timeout(limit, future).await) })
            }
            // Neither has a frame from which a panic of the other could drop it.
            1 => Box::pin(future).or(self.companion()).boxed_local(),
            _ => Box::pin(future),
        };
        let handle = spawn(reactor, Body { scene: Rc::clone(self), future: Some(future) });
        if !self.chance.one_in(4) {
            self.tasks.handles.borrow_mut().push(handle);
        }
    }

    /// Ends, or panics, after a while.
    fn companion(self: &Rc<Self>) -> Pin<Box<dyn Future<Output = ()>>> {
        let (scene, delay) = (Rc::clone(self), self.chance.millis(0, 60));
        let panics = self.chance.one_in(4);
        Box::pin(async move {
            sleep(delay).await;
            if panics && scene.may_act() {
                panic_any(OnPurpose);
            }
        })
    }

    /// Makes a task that listens, one that connects, or one that does other things.
    pub fn spawn_some(self: &Rc<Self>, reactor: &mut Reactor) {
        if self.tasks.alive.get() >= MAX_TASKS {
            return;
        }
        let scene = Rc::clone(self);
        match self.chance.weighted(&[(2, 0), (6, 1), (2, 2)]) {
            0 => self.run(reactor, host(scene)),
            1 => self.run(reactor, call(scene)),
            _ => self.run(reactor, async move { scene.pass_time().await }),
        }
    }

    pub fn host(self: &Rc<Self>, reactor: &mut Reactor) {
        self.run(reactor, host(Rc::clone(self)));
    }

    /// Aborts some task, detaches it, or looks for its outcome.
    pub fn meddle(&self) {
        let mut handles = self.tasks.handles.borrow_mut();
        if handles.is_empty() {
            return;
        }
        let at = self.chance.below(handles.len());
        match self.chance.below(3) {
            0 => handles[at].abort(),
            1 => drop(handles.swap_remove(at)),
            _ if handles[at].is_finished() => match handles.swap_remove(at).take() {
                Some(Ok(()) | Err(JoinError::Aborted)) => {}
                Some(Err(JoinError::Panicked(payload))) if payload.is::<OnPurpose>() => {}
                other => self.object(format!("a task that is over gave {other:?}")),
            },
            _ => {}
        }
    }

    /// A protocol leaves its connection to a task, which gets some of what came last once more.
    pub fn take_over(self: &Rc<Self>, transport: &mut Transport, who: usize) {
        if self.tasks.alive.get() >= MAX_TASKS {
            return;
        }
        let (number, unused) = self.begin_exchange(who);
        let possible = !transport.is_closing() && self.ledger.borrow().has_one_protocol(who);
        let taken = Connection::take_over(transport);
        let done = taken.is_some();
        self.ledger.borrow_mut().demand(done == possible, || format!("{who} taken over: {done}"));
        let Some(peer) = taken else { return };
        transport.unread(&unused);
        let mut ledger = self.ledger.borrow_mut();
        ledger.handed_over(who, number, unused.len());
        ledger.begins_task(who);
        drop(ledger);
        let line = Line { scene: Rc::clone(self), who, id: peer.id(), peer: Some(peer) };
        self.run(transport.reactor(), dialogue(line));
    }

    pub fn close_hosts(&self, reactor: &mut Reactor) {
        self.tasks.leaving.set(true);
        let hosts = self.tasks.hosts.borrow();
        hosts.iter().for_each(|host| _ = reactor.stop_listening(host.id));
    }

    fn object(&self, what: String) {
        self.ledger.borrow_mut().object(what);
    }

    /// Whether a task goes on acting, and counts the action.
    fn may_go_on(&self) -> bool {
        let may = self.may_act() && !self.tasks.leaving.get();
        if may {
            self.actions_left.set(self.actions_left.get() - 1);
        }
        may
    }

    /// Sleeps, ticks, waits for other tasks.
    async fn pass_time(self: &Rc<Self>) {
        let begun = self.clock.now();
        let slept = |least: Duration| {
            let passed = self.clock.now() - begun;
            self.ledger
                .borrow_mut()
                .demand(passed >= least, || format!("it slept {passed:?}, not {least:?}"));
        };
        match self.chance.below(5) {
            0 => {
                let delay = self.chance.millis(0, 40);
                sleep(delay).await;
                slept(delay);
            }
            1 => {
                let period = self.chance.millis(1, 10);
                let mut ticks = interval(period);
                let mut sum = 0;
                for _ in 0..self.chance.between(1, 4) {
                    sum += 1 + ticks.tick().await as u32;
                    slept(period * sum);
                }
            }
            2 => self.child().await,
            3 => {
                let limit = self.chance.millis(0, 40);
                let hold = timeout(limit, closing()).await;
                match hold {
                    Ok(_hold) => {
                        let told = self.ledger.borrow().stop_asked;
                        self.ledger
                            .borrow_mut()
                            .demand(told, || "closing without a shutdown".to_owned());
                        sleep(self.chance.millis(0, 10)).await;
                    }
                    Err(_) => slept(limit),
                }
            }
            _ => sleep(Duration::ZERO).await,
        }
    }

    /// Another task, which is joined, aborted or left alone.
    async fn child(self: &Rc<Self>) {
        if self.tasks.alive.get() >= MAX_TASKS {
            return;
        }
        let (scene, way) = (Rc::clone(self), self.chance.below(4));
        let delay = self.chance.millis(0, 30);
        let handle = spawn_local(async move {
            sleep(delay).await;
            if way == 0 && scene.may_act() {
                panic_any(OnPurpose);
            }
            delay
        });
        if self.chance.one_in(3) {
            sleep(self.chance.millis(0, 30)).await;
        }
        if way == 1 {
            handle.abort();
        }
        let right = match handle.await {
            Ok(result) => result == delay,
            Err(JoinError::Aborted) => way == 1,
            Err(JoinError::Panicked(payload)) => way == 0 && payload.is::<OnPurpose>(),
            Err(_) => false,
        };
        self.ledger.borrow_mut().demand(right, || "a task gave another outcome".to_owned());
    }
}

/// Listens, and has a dialogue with each who comes.
async fn host(scene: Rc<Scene>) {
    struct Hosts(Rc<Scene>, usize);

    impl Drop for Hosts {
        fn drop(&mut self) {
            let mut hosts = self.0.tasks.hosts.borrow_mut();
            (hosts[self.1].listens, hosts[self.1].accepts) = (false, false);
        }
    }

    let addr = SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + scene.chance.below(4) as u16));
    let backlog = scene.chance.between(1, 8) as u32;
    let taken = scene.tasks.hosts.borrow().iter().any(|host| host.listens && host.addr == addr);
    let Ok(mut incoming) = listen(Listen::at(addr).backlog(backlog)) else { return };
    let right = !taken && scene.ledger.borrow().shutdown_in.is_none();
    scene.ledger.borrow_mut().demand(right, || format!("two tasks listen at {addr}"));
    let number = scene.tasks.hosts.borrow().len();
    let host = Host { id: incoming.id(), addr, listens: true, accepts: false };
    scene.tasks.hosts.borrow_mut().push(host);
    scene.places.borrow_mut().push(addr.to_string());
    let _hosts = Hosts(Rc::clone(&scene), number);
    loop {
        scene.tasks.hosts.borrow_mut()[number].accepts = true;
        let next = if scene.may_act() && scene.chance.one_in(4) {
            match timeout(scene.chance.millis(0, 40), incoming.accept()).await {
                Ok(next) => next,
                Err(_) if scene.chance.one_in(20) => return,
                Err(_) => continue,
            }
        } else {
            incoming.accept().await
        };
        scene.tasks.hosts.borrow_mut()[number].accepts = false;
        let Some(peer) = next else { return };
        if scene.may_act() && scene.chance.one_in(10) {
            scene.pass_time().await;
        }
        let addr = peer.peer_addr().socket_addr();
        let Some(line) = Line::new(&scene, peer, addr) else { continue };
        scene.lent(|reactor| scene.run(reactor, dialogue(line)));
        if scene.may_panic() {
            panic_any(OnPurpose);
        }
    }
}

/// Connects to some place.
async fn call(scene: Rc<Scene>) {
    let Some(place) = scene.chance.pick(&scene.places.borrow()).cloned() else { return };
    let limit = scene.chance.millis(0, 400);
    let Ok(connected) = timeout(limit, connect(place.clone())).await else { return };
    match connected {
        Ok(peer) => {
            let local = peer.transport(|transport| transport.local_addr());
            let local = local.and_then(|local| local.ok()?.socket_addr());
            if let Some(line) = Line::new(&scene, peer, local) {
                dialogue(line).await;
            }
        }
        Err(error) => {
            scene.note(|| format!("a task cannot connect to {place}: {error}"));
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            scene.ledger.borrow_mut().demand(!refused || error.raw_os_error().is_some(), || {
                format!("connecting to {place} lost its errno: {error:?}")
            });
        }
    }
}

/// The task of one connection.
async fn dialogue(mut line: Line) {
    loop {
        let scene = Rc::clone(&line.scene);
        if scene.may_panic() {
            panic_any(OnPurpose);
        }
        if scene.tasks.leaving.get() {
            return;
        }
        let step = if scene.may_go_on() { scene.chance.below(20) } else { 0 };
        scene.note(|| format!("  task of {} does {step}", line.who));
        let going_on = match step {
            0..3 => line.read().await,
            3..5 => line.read_in_time().await,
            5..7 => line.peek().await,
            7..10 => line.write().await,
            10..12 => line.write_in_time().await,
            12 => line.both().await,
            13 => line.close().await,
            14 => {
                scene.lent(|reactor| scene.act(reactor, None));
                true
            }
            15 => {
                scene.lent(|reactor| scene.spawn_some(reactor));
                true
            }
            16 if scene.chance.one_in(2) => return line.hand_over(),
            17 if scene.chance.one_in(3) => return,
            18 => line.set_marks(),
            _ => {
                line.rests();
                scene.pass_time().await;
                true
            }
        };
        if !going_on {
            return;
        }
    }
}

impl Scene {
    fn lent(&self, code: impl FnOnce(&mut Reactor)) {
        let lent = Reactor::with_lent(code);
        self.ledger.borrow_mut().demand(lent.is_some(), || "a task without a reactor".to_owned());
    }
}

/// A connection in the hands of a task. Whoever drops it closes it.
struct Line {
    scene: Rc<Scene>,
    who: usize,
    id: ConnectionId,
    /// `None`: handed over.
    peer: Option<Connection>,
}

impl Line {
    /// `None`: there is no room for another party, and the connection is closed.
    fn new(scene: &Rc<Scene>, peer: Connection, addr: Option<SocketAddr>) -> Option<Self> {
        if !scene.has_room() {
            // Not closed in order: it would linger, and the ledger does not know it.
            peer.transport(|transport| transport.abort_connection());
            return None;
        }
        let gone = peer.transport(|_| ()).is_none();
        if gone {
            return None; // its end was told before it was known
        }
        let mut ledger = scene.ledger.borrow_mut();
        let who = ledger.new_protocol();
        ledger.begins_task(who);
        ledger.parties[who].made = true;
        ledger.made(who, peer.id());
        if let Some(addr) = addr {
            ledger.meet(addr, who);
        }
        drop(ledger);
        Some(Self { scene: Rc::clone(scene), who, id: peer.id(), peer: Some(peer) })
    }

    fn counted(&mut self) -> Option<Counted<'_, Connection>> {
        let Self { scene, who, id, peer } = self;
        Some(Counted { inner: peer.as_mut()?, scene, who: *who, id: *id, seen: Vec::new() })
    }

    /// It waits for something else than its connection.
    fn rests(&self) {
        self.scene.ledger.borrow_mut().waits(self.who, Waits::Elsewhere);
    }

    async fn read(&mut self) -> bool {
        let mut buf = vec![0; self.scene.chance.size(600)];
        let Some(mut peer) = self.counted() else { return false };
        matches!(peer.read(&mut buf).await, Ok(1..))
    }

    async fn read_in_time(&mut self) -> bool {
        let mut buf = vec![0; self.scene.chance.size(600)];
        let limit = self.scene.chance.millis(0, 40);
        let Some(mut peer) = self.counted() else { return false };
        let read = timeout(limit, peer.read_exact(&mut buf)).await;
        !matches!(read, Ok(Err(_)))
    }

    async fn peek(&mut self) -> bool {
        let scene = Rc::clone(&self.scene);
        let Some(mut peer) = self.counted() else { return false };
        let there = match peer.fill_buf().await {
            Ok(bytes) => bytes.len(),
            Err(_) => 0,
        };
        let part = scene.chance.below(there + 1);
        peer.consume(part);
        there > 0
    }

    fn some_bytes(&self) -> Vec<u8> {
        let sent = self.scene.ledger.borrow().parties[self.who].sent;
        let size = self.scene.chance.size(self.scene.profile.max_write);
        expected_bytes(self.who, sent, sent + size)
    }

    async fn write(&mut self) -> bool {
        let bytes = self.some_bytes();
        let Some(mut peer) = self.counted() else { return false };
        // An error of writing is no end of reading.
        drop(peer.write_all(&bytes).await);
        drop(peer.flush().await);
        true
    }

    async fn write_in_time(&mut self) -> bool {
        let bytes = self.some_bytes();
        let limit = self.scene.chance.millis(0, 40);
        let Some(mut peer) = self.counted() else { return false };
        drop(timeout(limit, peer.write_all(&bytes)).await);
        true
    }

    /// Reads and writes at the same time.
    async fn both(&mut self) -> bool {
        let (bytes, mut buf) = (self.some_bytes(), [0; 100]);
        let limit = self.scene.chance.millis(0, 60);
        let Self { scene, who, id, peer } = self;
        let Some(peer) = peer else { return false };
        let (reader, writer) = peer.halves();
        let mut reader = Counted { inner: reader, scene, who: *who, id: *id, seen: Vec::new() };
        let mut writer = Counted { inner: writer, scene, who: *who, id: *id, seen: Vec::new() };
        let both = zip(reader.read(&mut buf), writer.write_all(&bytes));
        !matches!(timeout(limit, both).await, Ok((Ok(0) | Err(_), _)))
    }

    async fn close(&mut self) -> bool {
        let Some(mut peer) = self.counted() else { return false };
        drop(peer.close().await);
        true
    }

    fn set_marks(&self) -> bool {
        let (high, low) = (self.scene.chance.size(1000), self.scene.chance.size(1000));
        let Some(peer) = &self.peer else { return false };
        if peer.transport(|transport| transport.set_write_buffer_limits(high, low)).is_some() {
            self.scene.ledger.borrow_mut().parties[self.who].marks = (high, low.min(high));
        }
        true
    }

    /// A protocol takes over.
    fn hand_over(mut self) {
        let Some(peer) = self.peer.take() else { return };
        let open = peer.transport(|transport| !transport.is_closing()).unwrap_or(false);
        let mut ledger = self.scene.ledger.borrow_mut();
        let number = ledger.new_successor(self.who);
        drop(ledger);
        let actor = Actor { scene: Rc::clone(&self.scene), who: self.who, number };
        let given = peer.set_protocol(self.scene.dress(actor)).is_ok();
        let mut ledger = self.scene.ledger.borrow_mut();
        ledger.demand(given == open, || {
            format!("the task of {} gave its connection away: {given}", self.who)
        });
        if given {
            ledger.task_hands_over(self.who, number);
        } else {
            let now = self.scene.clock.now();
            ledger.ends_task(self.who, false, now);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.peer.is_some() {
            let cut_off = std::thread::panicking() || self.scene.tasks.fell.get();
            let now = self.scene.clock.now();
            self.scene.ledger.borrow_mut().ends_task(self.who, cut_off, now);
        }
    }
}

/// A connection, or a half of one, whose traffic is entered.
struct Counted<'a, T> {
    inner: &'a mut T,
    scene: &'a Rc<Scene>,
    who: usize,
    id: ConnectionId,
    /// The bytes in its buffer.
    seen: Vec<u8>,
}

impl<T> Counted<'_, T> {
    fn ledger(&self) -> std::cell::RefMut<'_, Ledger> {
        self.scene.ledger.borrow_mut()
    }

    fn has_read(&self, outcome: &Poll<io::Result<&[u8]>>) {
        let (mut ledger, who) = (self.ledger(), self.who);
        match outcome {
            Poll::Pending => ledger.waits(who, Waits::ForBytes),
            Poll::Ready(Ok([])) if !ledger.parties[who].eof => {
                ledger.waits(who, Waits::Elsewhere);
                ledger.received_end(who);
            }
            Poll::Ready(Ok(bytes)) => {
                ledger.waits(who, Waits::Elsewhere);
                ledger.received(who, bytes);
            }
            Poll::Ready(Err(error)) => {
                ledger.waits(who, Waits::Elsewhere);
                ledger.task_fails_to_read(who, error);
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<'_, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut *this.inner).poll_read(cx, buf);
        this.has_read(&match &outcome {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(count)) => Poll::Ready(Ok(&buf[..*count])),
            Poll::Ready(Err(error)) => Poll::Ready(Err(copy(error))),
        });
        outcome
    }
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

impl<T: AsyncBufRead + Unpin> AsyncBufRead for Counted<'_, T> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut *this.inner).poll_fill_buf(cx);
        match outcome.map_ok(<[u8]>::to_vec) {
            Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {
                this.ledger().waits(this.who, Waits::Elsewhere);
                this.seen = bytes;
                Poll::Ready(Ok(&this.seen))
            }
            Poll::Ready(Ok(_)) => {
                this.has_read(&Poll::Ready(Ok(&[])));
                Poll::Ready(Ok(&[]))
            }
            Poll::Ready(Err(error)) => {
                this.has_read(&Poll::Ready(Err(copy(&error))));
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                this.has_read(&Poll::Pending);
                Poll::Pending
            }
        }
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.ledger().received(this.who, &this.seen[..amount]);
        Pin::new(&mut *this.inner).consume(amount);
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<'_, T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let buffered = |reactor: &mut Reactor| Some(reactor.transport(this.id)?.buffered());
        let before = Reactor::with_lent(buffered).flatten().unwrap_or(0);
        let outcome = Pin::new(&mut *this.inner).poll_write(cx, buf);
        if matches!(outcome, Poll::Ready(Err(_))) && before > this.ledger().limits.cap {
            this.ledger().parties[this.who].overflowed = true; // a cap below the high mark
        }
        let state = Reactor::with_lent(|reactor| {
            let turn = reactor.stats().turns;
            let transport = reactor.transport(this.id)?;
            Some((turn, transport.buffered(), transport.is_closing()))
        });
        let written = match &outcome {
            Poll::Pending => None,
            Poll::Ready(Ok(count)) => Some(*count),
            Poll::Ready(Err(_)) => Some(0),
        };
        this.ledger().task_writes(this.who, written, state.flatten());
        outcome
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.ledger().parties[this.who].write_closed = true;
        Pin::new(&mut *this.inner).poll_close(cx)
    }
}

/// Whether no task is left, nor a future of one.
pub fn check_none_left(scene: &Scene, reactor: &mut Reactor) {
    let (tasks, bodies) = (task_count(reactor), scene.tasks.alive.get());
    scene
        .ledger
        .borrow_mut()
        .demand(tasks == 0 && bodies == 0, || format!("{tasks} tasks are left, {bodies} futures"));
}

/// The thing that a task waits for, as far as its connection knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Waits {
    #[default]
    Elsewhere,
    ForBytes,
    ForRoom,
}

impl Ledger {
    /// A party is a task from here on.
    pub fn begins_task(&mut self, who: usize) {
        let party = &mut self.parties[who];
        (party.is_task, party.was_task, party.throttled) = (true, true, true);
        self.waits(who, Waits::Elsewhere);
    }

    pub fn waits(&mut self, who: usize, waits: Waits) {
        let party = &mut self.parties[who];
        (party.waits, party.paused) = (waits, waits != Waits::ForBytes);
    }

    pub fn has_one_protocol(&self, who: usize) -> bool {
        self.parties[who].successor.is_none()
    }

    /// A task drops its connection; `cut_off`: because it panicked. When tasks are dropped since the reactor stops, the end of
    /// the connection is the reactor's.
    pub fn ends_task(&mut self, who: usize, cut_off: bool, now: Instant) {
        self.waits(who, Waits::Elsewhere);
        let party = &mut self.parties[who];
        if party.lost.is_some() {
            return;
        }
        party.aborted |= cut_off;
        party.asked_to_close |= !cut_off;
        if !self.tearing_down {
            party.cut_off |= cut_off && party.closing.is_none() && !party.write_closed;
            self.close(who, now);
        }
    }

    /// So many bytes of a task were taken; `None`: it waits for room.
    pub fn task_writes(
        &mut self,
        who: usize,
        written: Option<usize>,
        state: Option<(u64, usize, bool)>,
    ) {
        let high = self.parties[who].marks.0;
        let (turn, buffered, open) =
            state.map_or((0, 0, false), |(turn, buffered, closing)| (turn, buffered, !closing));
        let right = match written {
            None => buffered > high,
            Some(0) => true,
            Some(_) => open && buffered <= high + 1,
        };
        self.demand(right, || format!("the task of {who} wrote: {written:?}, with {state:?}"));
        self.waits(who, if written.is_none() { Waits::ForRoom } else { Waits::Elsewhere });
        let party = &mut self.parties[who];
        match written {
            Some(0) => {
                let known = party.closing.is_some() || party.write_closed || party.lost.is_some();
                party.broken |= !known && open;
            }
            Some(count) => {
                party.sent += count;
                party.fresh.add(turn, count);
            }
            None => {}
        }
    }

    /// Reading gave an error: behind all bytes, for a reason, and with its errno.
    pub fn task_fails_to_read(&mut self, who: usize, error: &io::Error) {
        let party = &self.parties[who];
        // A shutdown is told within what has come, if the budget of a turn is spent.
        let given = party.got == party.read || party.asked_to_close || party.aborted;
        let given = given || party.lost.is_none();
        if party.successor.is_some() {
            return; // its protocol was told the end, before the exchange
        }
        let deserved = match &party.lost {
            Some(loss) if loss.reason.starts_with("Failed") => error.raw_os_error() == loss.errno,
            Some(_) => true,
            None => self.shutdown_in.is_some() && error.kind() == io::ErrorKind::ConnectionAborted,
        };
        let (got, read) = (party.got, party.read);
        self.demand(given && deserved, || {
            format!("the task of {who} got {error:?} after {got} of {read} bytes: {deserved}")
        });
    }

    /// A task gives its connection to a protocol, perhaps before it has taken over itself.
    pub fn task_hands_over(&mut self, who: usize, number: usize) {
        if !self.has_one_protocol(who) {
            self.parties[who].heir = Some(number);
            return self.waits(who, Waits::Elsewhere);
        }
        self.waits(who, Waits::ForBytes); // as a protocol does
        self.handed_over(who, number, 0);
        self.parties[who].awaits_successor = true; // nobody hears that the former one is dropped
    }

    /// A connection has ended, which no protocol is told if it is a task's.
    pub fn task_lost(&mut self, id: ConnectionId, reason: &Reason, now: Instant) {
        let Some(&who) = self.ids.get(&id) else { return };
        if !self.parties[who].is_task || self.parties[who].lost.is_some() {
            return;
        }
        let (unsent, errno) = match reason {
            Reason::CloseTimedOut { unsent } => (*unsent, None),
            Reason::Failed { error, .. } => (0, error.raw_os_error()),
            _ => (0, None),
        };
        let party = &mut self.parties[who];
        let silent = party.timeout.is_some_and(|(limit, since)| since + limit <= now);
        party.timed_out |= silent; // a protocol that had it before has set the timeout
        self.lost(who, reason, unsent, now);
        let party = &mut self.parties[who];
        party.dropped = true;
        if party.awaits_successor {
            party.waits = Waits::Elsewhere; // its task has given it away
        }
        if let Some(loss) = &mut party.lost {
            loss.errno = errno;
        }
    }

    /// At rest nobody waits for what has come.
    pub fn check_waits(&mut self) {
        for who in 0..self.parties.len() {
            let Party { is_task, waits, lost, .. } = &self.parties[who];
            let forgotten = *is_task && lost.is_some() && *waits != Waits::Elsewhere;
            let waits = *waits;
            self.demand(!forgotten, || format!("the task of {who} waits {waits:?} for ever"));
        }
    }
}
