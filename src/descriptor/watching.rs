//! Descriptors of the user's: their interface, and how they are served.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::callback::Callback;
use crate::descriptor::kind::Watches;
use crate::descriptor::{Ready, Watch};
use crate::ids::WatchId;
use crate::observe::{Command, Subject};
use crate::parts::arena::Key;
use crate::reactor::Reactor;
use crate::reactor::dispatch::discard;
use crate::reactor::source::{Seated, Source, Watched};
use crate::reactor::state::Ending;
use crate::system::poller::Readiness;

/// # Descriptors of your own
impl Reactor {
    /// Calls `function` whenever a descriptor is ready: standard input, a pipe, a terminal, inotify,
    /// another loop.
    ///
    /// `source` owns the descriptor, or shares it (`Rc<OwnedFd>`, `File`, [`Stdin`](io::Stdin), another
    /// `Reactor`, …), and is lent to `function`, which reads or writes it. It is dropped when the watch
    /// ends: by [`unwatch`](Self::unwatch), by a panic of `function`, when the reactor
    /// [stops](Self::stop) or is dropped. To get it back, watch an `Rc` and keep another. A watch keeps
    /// [`run`](Self::run) from returning.
    ///
    /// `interest` is [`READABLE`](Readiness::READABLE), [`WRITABLE`](Readiness::WRITABLE) or both.
    /// Readiness is a state here and not an event: `function` is called once per turn while it lasts. So
    /// one read of at least one byte (or, for a pipe, one write of at most `PIPE_BUF` bytes: 4,096 on
    /// Linux) per call is right, and does not block even if the descriptor is in blocking mode. Leave
    /// that mode as it is on the standard streams, which are shared with the shell and other programs.
    /// The cost is one system call per call (epoll_ctl). At the end of the stream, and after a hang-up,
    /// it stays ready: end the watch then.
    ///
    /// *Not* promised: that the descriptor is still ready. Another process that shares it may have read
    /// first, and then reading a blocking one blocks. The reactor does not see bytes in a buffer of
    /// `source`'s own, such as that of [`Stdin`](io::Stdin): read in large pieces, or use a
    /// [`File`](std::fs::File) made of a duplicate. And `function` must not put another value in the place of
    /// `source`, or close its descriptor, before it has called [`unwatch`](Self::unwatch). Otherwise the watch ends,
    /// and if the number of the descriptor has been given to a listener meanwhile, `unwatch` deafens that.
    ///
    /// Twisted's `addReader` and `addWriter`, asyncio's `add_reader` and `add_writer`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a regular file, a folder, or a device like `/dev/null`: these are always
    /// ready, and epoll(7) takes none (other systems may). Read them directly, or by
    /// [`call_in_thread`](Self::call_in_thread). `AlreadyExists` if this reactor watches the descriptor
    /// already. `ConnectionAborted` in the last notices of a [stop](Self::stop). `Unsupported` in a simulation.
    /// Else the system's error.
    ///
    /// # Examples
    ///
    /// Reading a pipe to its end:
    ///
    /// ```
    /// use std::io::{self, Read, Write};
    /// use crocus::{Reactor, Readiness};
    ///
    /// let (reader, mut writer) = io::pipe()?;
    /// let mut reactor = Reactor::new()?;
    /// reactor.watch(reader, Readiness::READABLE, |reactor, pipe, ready| {
    ///     let mut piece = [0; 4096];
    ///     match pipe.read(&mut piece) {
    ///         Ok(count @ 1..) => print!("{}", piece[..count].escape_ascii()),
    ///         Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
    ///         Ok(0) | Err(_) => drop(reactor.unwatch(ready.watch)),
    ///     }
    /// })?;
    /// writer.write_all(b"hello")?;
    /// drop(writer);
    /// reactor.run()?; // returns at the end of the pipe
    /// # io::Result::Ok(())
    /// ```
    pub fn watch<S: AsFd + 'static>(
        &mut self,
        source: S,
        interest: Readiness,
        function: impl FnMut(&mut Self, &mut S, Ready) + 'static,
    ) -> io::Result<WatchId> {
        if self.simulated().is_some() {
            let message = "a simulated reactor watches no descriptors";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        if self.ending == Ending::TearingDown {
            self.check_takes_new()?;
        }
        // The poller would refuse it only if both watches have an interest.
        if self.sources.is_watched(source.as_fd()) {
            return Err(explained(io::Error::from_raw_os_error(libc::EEXIST)));
        }
        let watch = Watch::new(source.as_fd(), interest);
        let watched: Box<dyn Watched> = Box::new(Pair { source, function });
        let watch = Seated::new(&Watches, watch, watched);
        let key = self.sources.insert_watch(Box::new(watch));
        if let Err(error) = self.arm_watch(key) {
            if let Some(slot) = self.sources.remove_watch(key) {
                self.let_go_of_source(Subject::Reactor, slot.source);
            }
            return Err(explained(error));
        }
        let id = WatchId(key);
        self.monitor.command(Subject::Watch(id), || Command::Watch);
        Ok(id)
    }

    /// Changes the interest of a watch, from the next turn on; an empty one (`Readiness::default()`)
    /// pauses it.
    ///
    /// Returns `false` if there is no such watch.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, Write};
    /// use crocus::{Reactor, Readiness};
    ///
    /// let (reader, mut writer) = io::pipe()?;
    /// writer.write_all(b"hello")?;
    /// let mut reactor = Reactor::new()?;
    /// let watch = reactor.watch(reader, Readiness::READABLE, |reactor, _pipe, ready| {
    ///     reactor.set_interest(ready.watch, Readiness::default()); // enough for now
    /// })?;
    /// reactor.turn(None)?;
    /// assert_eq!(reactor.stats().callbacks, 1);
    /// reactor.turn(Some(std::time::Duration::ZERO))?;
    /// assert_eq!(reactor.stats().callbacks, 1, "paused, although there is something to read");
    /// # io::Result::Ok(())
    /// ```
    pub fn set_interest(&mut self, id: WatchId, interest: Readiness) -> bool {
        let Some(watch) = self.watch_mut(id.0) else { return false };
        watch.interest = interest;
        if watch.callee.is_some() {
            self.queue(id.0);
        }
        true
    }

    /// Ends a watch: its function is not called any more.
    ///
    /// It is dropped with the source, at once or when it has returned. `false` if there is no such
    /// watch.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use crocus::{Reactor, Readiness};
    ///
    /// let (reader, _writer) = io::pipe()?;
    /// let mut reactor = Reactor::new()?;
    /// let watch = reactor.watch(reader, Readiness::READABLE, |_reactor, _pipe, _ready| {})?;
    /// assert!(reactor.unwatch(watch));
    /// reactor.run()?; // returns: nothing is watched
    /// # io::Result::Ok(())
    /// ```
    pub fn unwatch(&mut self, id: WatchId) -> bool {
        let Some(watch) = self.watch_mut(id.0) else { return false };
        let watched = watch.callee.take();
        let Self { sources, poller, .. } = self;
        if let Some(Source::Watch(watch)) = sources.get_mut(id.0) {
            watch.disarm(poller.registry());
        }
        sources.remove_watch(id.0);
        self.monitor.command(Subject::Watch(id), || Command::Unwatch);
        if let Some(watched) = watched {
            self.release_watched(watched);
        }
        true
    }

    /// Calls the function of a ready descriptor, and has the poller report again if it still is ready.
    pub(crate) fn serve_watch(&mut self, key: Key) {
        let Some(watch) = self.watch_mut(key) else { return };
        let id = WatchId(key);
        if let Some(readiness) = watch.take_readiness() {
            let ready = Ready { watch: id, readiness };
            let ended = |reactor: &mut Self, _, watched| reactor.release_watched(watched);
            let code = |watched: &mut Box<dyn Watched>, reactor: &mut Self| {
                watched.call(reactor, ready);
            };
            if self.seat_or(key, Callback::Watch, Source::watched, code, ended).is_none() {
                self.unwatch(id);
            }
        }
        if let Err(error) = self.arm_watch(key) {
            log::error!("watch {id} ends, since its descriptor cannot be waited for: {error}");
            self.unwatch(id);
        }
    }

    fn arm_watch(&mut self, key: Key) -> io::Result<()> {
        let Self { sources, poller, .. } = self;
        if let (Some(Source::Watch(watch)), Some(registry)) =
            (sources.get_mut(key), poller.registry())
            && let Some(watched) = watch.callee.take()
        {
            let arm = || watch.arm(watched.fd(), registry, key.token());
            let armed = catch_unwind(AssertUnwindSafe(arm)).unwrap_or_else(|payload| {
                discard(payload);
                Err(io::Error::other("its `as_fd` panicked"))
            });
            watch.callee = Some(watched);
            return armed;
        }
        Ok(())
    }

    /// Drops a descriptor and its function.
    fn release_watched(&mut self, watched: Box<dyn Watched>) {
        watched.let_go(self);
        self.descriptor_freed();
    }

    fn watch_mut(&mut self, key: Key) -> Option<&mut Seated<Watch, Box<dyn Watched>>> {
        match self.sources.get_mut(key)? {
            Source::Watch(watch) => Some(watch),
            _ => None,
        }
    }
}

/// Adds the cause and the remedy to an error of the poller.
fn explained(error: io::Error) -> io::Error {
    let (kind, message) = match error.raw_os_error() {
        Some(libc::EPERM) => (
            io::ErrorKind::InvalidInput,
            "cannot watch a regular file, folder or null device, since these are always ready; read \
             it directly, or in a thread (call_in_thread)",
        ),
        Some(libc::EEXIST) => (
            io::ErrorKind::AlreadyExists,
            "cannot watch this descriptor, since this reactor does already; one watch can wait for \
             reading and writing",
        ),
        _ => return error,
    };
    io::Error::new(kind, message)
}

/// A descriptor, and the function that is called when it is ready.
struct Pair<S, F> {
    source: S,
    function: F,
}

impl<S: AsFd, F: FnMut(&mut Reactor, &mut S, Ready)> Watched for Pair<S, F> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    fn call(&mut self, reactor: &mut Reactor, ready: Ready) {
        (self.function)(reactor, &mut self.source, ready);
    }

    fn let_go(self: Box<Self>, reactor: &mut Reactor) {
        let Self { source, function } = *self;
        reactor.let_go(Subject::Reactor, function);
        reactor.let_go(Subject::Reactor, source);
    }
}
