//! One reactor per core, all listening at the same port.
//!
//! A reactor uses one thread. To use more cores, run more reactors that share nothing: each has its own listening
//! socket at the same address (SO_REUSEPORT), its own connections and its own protocols, so no callback needs a lock.
//! [`Cores`] starts and stops them together. A program can do the same with [`SocketOptions::reuse_port`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{
    Endpoint, Factory, Handle, Listen, ListenerId, Protocol, Reactor, ReactorBuilder, SocketOptions,
};

/// Several reactors, each in a thread of its own.
///
/// One function sets them up; it is called once in each thread. The kernel spreads connections to a shared address over
/// the reactors. It looks at the addresses of both ends and not at the load: the balance is good over many connections
/// and may be bad over few. A connection stays with the reactor that accepted it. The reactors share no state unless the
/// program shares it (`Arc`, atomics); a [`CoresHandle`] reaches all of them.
///
/// Not promised: that a thread stays on one processor; nor that no connection is lost when one reactor stops listening
/// while others go on, since the kernel resets the connections in its queue.
///
/// Dropping this stops all reactors and waits for their threads, as [`stop`](CoresHandle::stop) and
/// [`join`](Self::join) do; on one of these threads, for the others.
///
/// # Examples
///
/// ```
/// use crocus::{Cores, Protocol, Transport};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
///
/// let cores = Cores::start(2, |core| {
///     core.listen("127.0.0.1:0", |_peer| Echo)?;
///     Ok(())
/// })?;
/// println!("listening on {}", cores.addresses()[0]);
/// cores.handle().stop(); // a server would rather do that on a signal
/// cores.join()?;
/// # std::io::Result::Ok(())
/// ```
#[must_use = "when it is dropped all are stopped"]
pub struct Cores {
    handle: CoresHandle,
    places: Vec<Place>,
    addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Cores {
    /// Starts `count` reactors with the default limits; 0 means one for each available processor.
    ///
    /// `setup` is called in each thread in turn, from the first to the last, before that reactor turns. The values that it
    /// makes there need not be `Send`.
    ///
    /// # Errors
    ///
    /// The first error of a `setup`, or of starting a thread or a reactor; a panic in `setup` is an error too. Reactors
    /// that have started are stopped before this returns.
    pub fn start(
        count: usize,
        setup: impl Fn(&mut Core<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(&Reactor::builder(), count, setup)
    }

    /// Starts `count` reactors with these limits; see [`start`](Self::start) and [`CoresHandle`].
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(
        limits: &ReactorBuilder,
        count: usize,
        setup: impl Fn(&mut Core<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let count = match count {
            0 => thread::available_parallelism()?.get(),
            count => count,
        };
        let handle = CoresHandle { members: Arc::default() };
        let mut cores = Self { handle, places: vec![], addresses: vec![], threads: vec![] };
        let setup = Arc::new(setup);
        for index in 0..count {
            cores.start_one(index, limits.clone(), Arc::clone(&setup))?;
        }
        Ok(cores)
    }

    /// The addresses at which they listen, in the order in which `setup` asked for them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A handle to all reactors.
    pub fn handle(&self) -> CoresHandle {
        self.handle.clone()
    }

    /// Waits until each reactor was stopped, or had nothing left to wait for.
    ///
    /// A reactor that fails stops the others. Its own [`Reactor::stop`] stops only itself.
    ///
    /// # Errors
    ///
    /// The first failure: the error of [`Reactor::run`], or the panic that ended a thread. (A panic in a callback ends no
    /// thread; one in an [`Observer`](crate::Observer) does.) `Deadlock` on one of these threads, and then this is dropped.
    pub fn join(mut self) -> io::Result<()> {
        let own = self.threads.iter().any(is_this);
        if own { Err(io::ErrorKind::Deadlock.into()) } else { self.wait() }
    }

    fn start_one(
        &mut self,
        index: usize,
        limits: ReactorBuilder,
        setup: Arc<impl Fn(&mut Core<'_>) -> io::Result<()> + Send + Sync + 'static>,
    ) -> io::Result<()> {
        let (tell, told) = mpsc::channel();
        let (places, handle) = (self.places.clone(), self.handle.clone());
        let thread = thread::Builder::new().name(format!("crocus-core-{index}"));
        let thread = thread.spawn(move || {
            let mut reactor = limits.build()?;
            let listened = Vec::new();
            let mut core = Core { reactor: &mut reactor, index, places, listened, handle };
            setup(&mut core)?;
            let Core { places, handle, .. } = core;
            handle.admit(reactor.handle());
            drop(tell.send(places)); // `start_one` waits for it
            let mut guard = StopGuard { handle, ended_well: false };
            reactor.run()?;
            guard.ended_well = true;
            Ok(())
        })?;
        match told.recv() {
            Ok(places) => {
                self.addresses = places.iter().map(|place| place.local).collect();
                self.places = places;
                self.threads.push(thread);
                Ok(())
            }
            Err(mpsc::RecvError) => end_of(thread), // it ended before it sent its places
        }
    }

    /// Waits for all threads but this one, and returns the first failure.
    fn wait(&mut self) -> io::Result<()> {
        let ends: Vec<_> = self.threads.drain(..).filter(|it| !is_this(it)).map(end_of).collect();
        ends.into_iter().collect()
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.handle.stop();
        if let Err(error) = self.wait() {
            log::error!("{error}");
        }
    }
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cores")
            .field("addresses", &self.addresses)
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

fn is_this(it: &JoinHandle<io::Result<()>>) -> bool {
    it.thread().id() == thread::current().id()
}

/// Waits for a thread, and returns how it ended.
fn end_of(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    thread.join().unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let error = format!("{name} panicked: {}", text.unwrap_or("(no message)"));
        std::mem::forget(payload); // its `Drop` might panic
        Err(io::Error::other(error.replace(char::is_control, " "))) // it may quote a peer
    })
}

/// Stops all reactors if this one does not end well.
struct StopGuard {
    handle: CoresHandle,
    ended_well: bool,
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        if !self.ended_well {
            self.handle.stop();
        }
    }
}

/// One of several reactors, lent to the function that sets it up.
///
/// # Examples
///
/// ```
/// use crocus::{Cores, Protocol};
/// # struct Idle;
/// # impl Protocol for Idle {}
/// let cores = Cores::start(2, |core| {
///     core.listen("127.0.0.1:0", |_peer| Idle)?;
///     let (index, all) = (core.index(), core.handle());
///     core.reactor().call_soon(move |_reactor| if index == 1 { all.stop() }); // both are set up
///     Ok(())
/// })?;
/// assert_eq!(cores.addresses().len(), 1, "one address, shared by both");
/// cores.join()?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Core<'a> {
    reactor: &'a mut Reactor,
    index: usize,
    /// Where the reactors before this one listen.
    places: Vec<Place>,
    /// The places that this one has asked for, and got.
    listened: Vec<Endpoint>,
    handle: CoresHandle,
}

/// A place at which reactors listen together.
#[derive(Clone, Debug)]
struct Place {
    /// As it was asked for, perhaps with port 0.
    asked: Endpoint,
    local: SocketAddr,
}

impl Core<'_> {
    /// The number of this reactor, from 0.
    ///
    /// The first is the best place for work to be done once (signals, a report each minute).
    pub fn index(&self) -> usize {
        self.index
    }

    /// The reactor, which turns after the setup.
    pub fn reactor(&mut self) -> &mut Reactor {
        self.reactor
    }

    /// A handle to all reactors; it does not keep their `run` from returning.
    pub fn handle(&self) -> CoresHandle {
        self.handle.clone()
    }

    /// Listens at a TCP address together with the other reactors, or at a place of this reactor alone: a Unix socket, or
    /// a socket that is bound already.
    ///
    /// Reactors that ask for the same address share it. With port 0 the system chooses a port for the first reactor that
    /// asks, and the others take the same; the second time that one reactor asks for the same address with port 0 is for
    /// another port, which is shared likewise.
    ///
    /// The first also checks that no other program listens there. Otherwise a second instance of a server would silently
    /// take half of the connections. (The check misses a program of the same user that starts to listen, with
    /// `reuse_port`, between the check and the listening.)
    ///
    /// # Errors
    ///
    /// As [`Reactor::listen`].
    pub fn listen(
        &mut self,
        at: impl Into<Listen>,
        factory: impl Factory + 'static,
    ) -> io::Result<ListenerId> {
        let mut at = at.into();
        let Some(asked) = at.endpoint().cloned() else { return self.reactor.listen(at, factory) };
        let before = self.listened.iter().filter(|&place| *place == asked).count();
        let shared = self.places.iter().filter(|place| place.asked == asked).nth(before);
        let shared = shared.map(|place| place.local);
        let options = at.socket_options().clone();
        // Without it, the error of listening says why the address is not available.
        let reuse = shared.is_some() || self.is_free(asked.clone(), options.clone());
        if let Some(local) = shared {
            at = at.with_port(local.port());
        }
        let listener = self.reactor.listen(at.socket(options.reuse_port(reuse)), factory)?;
        if shared.is_none() {
            let local = self.reactor.local_addr(listener).and_then(|local| local.socket_addr());
            self.places.extend(local.map(|local| Place { asked: asked.clone(), local }));
        }
        self.listened.push(asked);
        Ok(listener)
    }

    /// Whether it is an address that can be shared, and a socket that does not share it can listen there.
    fn is_free(&mut self, place: Endpoint, options: SocketOptions) -> bool {
        let alone = Listen::at(place).socket(options.reuse_port(false));
        let trial = self.reactor.listen(alone, |_peer| None::<Box<dyn Protocol>>);
        let Ok(trial) = trial else { return false };
        let is_tcp = self.reactor.local_addr(trial).is_some_and(|local| local.port().is_some());
        self.reactor.stop_listening(trial) && is_tcp
    }
}

/// Reaches all reactors of [`Cores`], from any thread and from their own callbacks.
///
/// Like a [`Handle`] it does not keep [`run`](Reactor::run) from returning. All clones are equal.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::{Cores, Protocol, Reactor};
/// # struct Idle;
/// # impl Protocol for Idle {}
/// let limits = Reactor::builder().read_budget(16 * 1024);
/// let cores = Cores::start_with(&limits, 2, |core| core.listen("127.0.0.1:0", |_peer| Idle).map(drop))?;
/// let all = cores.handle();
/// let reached = all.call_on_each(|reactor| println!("{:?}", reactor.stats()));
/// assert_eq!(reached, 2);
/// all.shutdown(Duration::from_secs(10)); // or `stop()`
/// cores.join()?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct CoresHandle {
    members: Arc<Mutex<Members>>,
}

#[derive(Default)]
struct Members {
    reactors: Vec<Handle>,
    /// Whether all are to end: a reactor that is still being set up then ends at once.
    ending: bool,
}

impl CoresHandle {
    /// Runs `call` on each reactor in its own thread, and returns how many were reached.
    ///
    /// Works as [`Handle::call_from_thread`] does, and leaves out reactors that are being set up.
    pub fn call_on_each(&self, call: impl Fn(&mut Reactor) + Send + Sync + 'static) -> usize {
        let call = Arc::new(call);
        let reactors = self.lock().reactors.clone();
        let give = |reactor: &Handle| {
            let call = Arc::clone(&call);
            reactor.call_from_thread(move |reactor| call(reactor))
        };
        reactors.iter().map(give).filter(|&taken| taken).count()
    }

    /// [Stops](Reactor::stop) all reactors at once.
    pub fn stop(&self) {
        self.end(Reactor::stop);
    }

    /// [Shuts down](Reactor::shutdown) all reactors, each within `grace`.
    pub fn shutdown(&self, grace: Duration) {
        self.end(move |reactor| reactor.shutdown(grace));
    }

    fn end(&self, how: impl FnOnce(&mut Reactor) + Copy + Send + 'static) {
        let mut members = self.lock();
        members.ending = true;
        for reactor in &members.reactors {
            reactor.call_from_thread(how);
        }
    }

    fn admit(&self, reactor: Handle) {
        let mut members = self.lock();
        if members.ending {
            reactor.call_from_thread(Reactor::stop);
        }
        members.reactors.push(reactor);
    }

    /// No user code runs under the lock, so the state behind a poisoned lock is valid.
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CoresHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoresHandle")
            .field("reactors", &self.lock().reactors.len())
            .finish_non_exhaustive()
    }
}
