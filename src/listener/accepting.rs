//! Listeners: their interface after they have begun, and how they are served.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::callback::Callback;
use crate::connection::{Connection, Direction, ReadBuffer, Step};
use crate::ids::{ConnectionId, ListenerId};
use crate::listener::{AcceptError, Listener};
use crate::observe::{Command, Notice, Origin, Subject};
use crate::parts::arena::Key;
use crate::protocol::{Factory, Protocol};
use crate::reactor::Reactor;
use crate::reactor::preparing::try_to_begin;
use crate::reactor::queues::Queue;
use crate::reactor::source::{Owner, Session, Source};
use crate::reactor::state::TimerAction;
use crate::reason::Reason;
use crate::system::stream::Stream;

/// How long a listener pauses when there is no descriptor, unless the reactor closes one before: long
/// enough to cost nothing, short enough not to matter beside the shortage itself.
const RETRY: Duration = Duration::from_millis(100);

/// How an accepted connection begins: with a protocol, or with a preparation before that.
enum Begun {
    Built(Box<dyn Protocol>),
    Step(Step),
}

/// # Listeners and their connections
impl Reactor {
    /// The address a listener is bound to; also after it was stopped, while it has connections.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::{Protocol, Reactor};
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// let mut reactor = Reactor::new()?;
    /// let listener = reactor.listen("127.0.0.1:0", |_peer| Idle)?;
    /// let local = reactor.local_addr(listener).unwrap();
    /// assert!(local.to_string().starts_with("127.0.0.1:"));
    /// assert_ne!(local.port(), Some(0), "the system has chosen one");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn local_addr(&self, id: ListenerId) -> Option<Address> {
        match self.sources.get(id.0)? {
            Source::Listener(listener) => Some(listener.local.clone()),
            _ => None,
        }
    }

    /// How many of a listener's connections are there, closing ones included.
    ///
    /// Also after it was [stopped](Self::stop_listening), until the last is gone. `None`: there is no such
    /// listener, or none of its connections is left.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// use crocus::{Address, Factory, ListenerId, Protocol, Reactor};
    ///
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// struct Service;
    ///
    /// impl Factory for Service {
    ///     fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
    ///         Some(Box::new(Idle))
    ///     }
    ///
    ///     fn started(&mut self, reactor: &mut Reactor, listener: ListenerId) {
    ///         println!("listening on {}", reactor.local_addr(listener).unwrap());
    ///     }
    ///
    ///     fn stopped(&mut self, reactor: &mut Reactor, listener: ListenerId) {
    ///         let left = reactor.connection_count(listener).unwrap_or(0);
    ///         println!("{left} connections are still served");
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let listener = simulation.reactor().listen("127.0.0.1:80", Service)?;
    /// let client = simulation.dial("127.0.0.1:80");
    /// simulation.settle();
    /// simulation.reactor().stop_listening(listener);
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().connection_count(listener), Some(1));
    ///
    /// drop(client);
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().connection_count(listener), None);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn connection_count(&self, id: ListenerId) -> Option<usize> {
        match self.sources.get(id.0)? {
            Source::Listener(listener) => Some(listener.connections),
            _ => None,
        }
    }

    /// The listener that accepted a connection; `None` if none did, or either is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let public = simulation.reactor().listen("127.0.0.1:80", |_peer| Idle)?;
    /// let admin = simulation.reactor().listen("127.0.0.1:8080", |_peer| Idle)?;
    /// let peer = simulation.dial("127.0.0.1:8080");
    /// simulation.settle();
    ///
    /// let id = simulation.reactor().connections()[0];
    /// assert_eq!(simulation.reactor().listener_of(id), Some(admin));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn listener_of(&self, id: ConnectionId) -> Option<ListenerId> {
        match self.sources.owner(id.0)? {
            Owner::Listener(key) => self.sources.get(key).map(|_| ListenerId(key)),
            Owner::None | Owner::Connector(_) => None,
        }
    }

    /// Accepts no connection until [`resume_accepting`](Self::resume_accepting); they wait in the
    /// kernel's queue.
    ///
    /// Returns `false` if there is no such listener.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let listener = simulation.reactor().listen("127.0.0.1:80", |_peer| Idle)?;
    /// simulation.reactor().pause_accepting(listener);
    /// let waiting = simulation.dial("127.0.0.1:80");
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().stats().accepted, 0);
    ///
    /// simulation.reactor().resume_accepting(listener);
    /// simulation.settle();
    /// assert_eq!(simulation.reactor().stats().accepted, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn pause_accepting(&mut self, id: ListenerId) -> bool {
        let Some(listener) = self.listener_mut(id.0).filter(|found| found.acceptor.is_some())
        else {
            return false;
        };
        listener.paused = true;
        self.monitor.command(Subject::Listener(id), || Command::PauseAccepting);
        true
    }

    /// Accepts again after [`pause_accepting`](Self::pause_accepting).
    ///
    /// Returns `false` if there is no such listener.
    pub fn resume_accepting(&mut self, id: ListenerId) -> bool {
        let Some(listener) = self.listener_mut(id.0).filter(|found| found.acceptor.is_some())
        else {
            return false;
        };
        listener.paused = false;
        self.monitor.command(Subject::Listener(id), || Command::ResumeAccepting);
        self.queue(id.0);
        true
    }

    /// Accepts up to the budget; gives the notices of starting and stopping.
    pub(crate) fn serve_listener(&mut self, key: Key, buffer: &mut ReadBuffer) {
        let Some(listener) = self.listener_mut(key).filter(|listener| !listener.over) else {
            return;
        };
        if !listener.is_finished() && !std::mem::replace(&mut listener.started, true) {
            self.tell_factory(key, Callback::Started, Factory::started);
        }
        for _ in 0..self.limits.accept_budget {
            let Self { sources, memory, .. } = self;
            let Some(Source::Listener(listener)) = sources.get_mut(key) else { return };
            if listener.is_finished() {
                return self.listener_stopped(key);
            }
            if !listener.can_accept() {
                return;
            }
            match listener.accept() {
                Ok((stream, peer)) => {
                    listener.skipped = 0;
                    let first = || listener.first_step(&peer, || memory.common.latest.get());
                    let begun = try_to_begin(first);
                    let first = self.begun(Subject::Listener(ListenerId(key)), begun);
                    self.admit(key, stream, peer, first, buffer);
                }
                Err(error) => match AcceptError::of(&error) {
                    AcceptError::Empty => {
                        listener.ready = false;
                        listener.shortage_logged = false;
                        listener.skipped = 0;
                        return;
                    }
                    AcceptError::Skip if !listener.skip() => {
                        self.accept_failed(key, &Arc::new(error));
                    }
                    judged => return self.rest(key, &Arc::new(error), judged),
                },
            }
        }
        if self
            .listener_mut(key)
            .is_some_and(|listener| listener.is_finished() || listener.can_accept())
        {
            self.queue_again(key);
        }
    }

    /// Makes a session of an accepted connection, which has its protocol at once if there is no `first` step before that; or
    /// closes it.
    fn admit(
        &mut self,
        listener: Key,
        stream: Stream,
        peer: Address,
        first: Result<Option<Step>, Reason>,
        buffer: &mut ReadBuffer,
    ) {
        self.monitor.stats.accepted += 1;
        let begun = first.and_then(|step| match step {
            Some(step) => Ok(Begun::Step(step)),
            None => self.build_protocol(listener, &peer).map(Begun::Built),
        });
        let begun = match begun {
            Ok(begun) => begun,
            Err(reason) => return self.turn_away(listener, stream, peer, reason),
        };
        let rates = self.listener_mut(listener).and_then(|listener| listener.came(&peer));
        let connection = Connection::new(stream, self.limits.marks);
        let session = match begun {
            Begun::Built(protocol) => Session::new(connection, peer, protocol),
            Begun::Step(step) => {
                let now = self.memory.common.latest.get();
                Session::preparing(connection, peer, step, now, &mut self.memory.common)
            }
        };
        let key = self.sources.insert(Source::Connection(session), Owner::Listener(listener));
        self.tell_opened(ConnectionId(key), Origin::Accepted(ListenerId(listener)));
        if let Some([read, write]) = rates {
            self.set_rate(ConnectionId(key), Direction::Reading, read);
            self.set_rate(ConnectionId(key), Direction::Writing, write);
        }
        self.visit(key, Queue::Run, buffer);
    }

    /// Has a protocol made.
    ///
    /// # Errors
    ///
    /// The reason why the connection is to be turned away.
    fn build_protocol(&mut self, key: Key, peer: &Address) -> Result<Box<dyn Protocol>, Reason> {
        let built = self.call_factory(key, Callback::BuildProtocol, |factory, _| {
            factory.build_protocol(peer.clone())
        });
        match built {
            Some(Some(protocol)) => Ok(protocol),
            Some(None) => Err(Reason::Refused),
            None => Err(Reason::Panicked { callback: Callback::BuildProtocol }),
        }
    }

    /// A PROXY header has named the peer of a connection. Returns the next step of its preparation, if there is one.
    ///
    /// # Errors
    ///
    /// The reason why it is to be turned away.
    #[cfg(feature = "proxy")]
    pub(crate) fn admit_identified(
        &mut self,
        key: Key,
        peer: &Address,
    ) -> Result<Option<Step>, Reason> {
        let Some(listener) = self.listener_mut(key) else { return Err(Reason::Stopped) };
        let was_full = listener.is_full();
        let stays = listener.identified(peer);
        let has_room = was_full && listener.can_accept();
        let begun = try_to_begin(|| listener.preparations.after_header(peer));
        if let Ok(Err(reason)) = &begun {
            log::error!("listener at {} cannot serve a connection: {reason}", listener.local);
        }
        let step = self.begun(Subject::Listener(ListenerId(key)), begun);
        if has_room {
            self.queue(key);
        }
        if stays { step } else { Err(Reason::PeerLimit) }
    }

    fn turn_away(&mut self, listener: Key, stream: Stream, peer: Address, reason: Reason) {
        drop(stream);
        self.monitor.stats.turned_away += 1;
        let listener = ListenerId(listener);
        self.monitor.note(|| Notice::TurnedAway { listener, peer, reason });
        self.descriptor_freed();
    }

    pub(super) fn accept_failed(&mut self, listener: Key, error: &Arc<io::Error>) {
        self.monitor.stats.accept_errors += 1;
        let listener = ListenerId(listener);
        self.monitor.note(|| Notice::CannotAccept { listener, error: Arc::clone(error) });
    }

    /// Pauses after a failed accept: tries again when the reactor closes a descriptor, or after
    /// [`RETRY`]. No event will come for the connections that wait already.
    fn rest(&mut self, key: Key, error: &Arc<io::Error>, judged: AcceptError) {
        self.accept_failed(key, error);
        let timer = self.set(RETRY, TimerAction::Accept(key));
        self.queues.without_descriptor.push(key);
        let Some(listener) = self.listener_mut(key) else { return };
        listener.retry = Some(timer);
        listener.skipped = 0;
        if std::mem::replace(&mut listener.shortage_logged, true) {
            return;
        }
        let local = &listener.local;
        if judged == AcceptError::Shortage {
            log::warn!(
                "listener at {local} cannot accept: {error}; new connections wait until a \
                 connection is closed (is the limit on open files too low? see ulimit -n)"
            );
        } else {
            log::error!("listener at {local} cannot accept: {error}; trying again");
        }
    }

    /// A descriptor was closed: listeners that wait for one accept again.
    pub(crate) fn descriptor_freed(&mut self) {
        if !self.queues.without_descriptor.is_empty() {
            for key in std::mem::take(&mut self.queues.without_descriptor) {
                self.accept_again(key);
            }
        }
    }

    pub(crate) fn accept_again(&mut self, key: Key) {
        if let Some(timer) = self.listener_mut(key).and_then(|listener| listener.retry.take()) {
            self.timers.call_off(timer, &mut self.monitor);
            self.queue(key);
        }
        self.queues.without_descriptor.retain(|waiting| *waiting != key);
    }

    /// Calls the factory of a listener or connector.
    pub(crate) fn call_factory<R>(
        &mut self,
        key: Key,
        callback: Callback,
        code: impl FnOnce(&mut dyn Factory, &mut Self) -> R,
    ) -> Option<R> {
        self.seat(key, callback, Source::factory, |factory, reactor| {
            code(factory.as_mut(), reactor)
        })
    }

    pub(super) fn listener_mut(&mut self, key: Key) -> Option<&mut Listener> {
        match self.sources.get_mut(key)? {
            Source::Listener(listener) => Some(listener),
            _ => None,
        }
    }
}
