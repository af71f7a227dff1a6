//! Attempts to connect.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::address::{Address, Endpoint, Place};
use crate::callback::Callback;
use crate::connection::ReadBuffer;
use crate::connector::Connector;
use crate::connector::kind::Attempts;
use crate::connector::state::{Attempt, BUSY_DELAY, ConnectorState, Progress};
use crate::ids::{ConnectionId, ConnectorId};
use crate::observe::{Command, Notice, Outcome, Subject};
use crate::parts::arena::Key;
use crate::protocol::Factory;
use crate::reactor::Reactor;
use crate::reactor::queues::Queue;
use crate::reactor::source::{Owner, Session, Source};
use crate::reactor::state::TimerAction;
use crate::reason::{Activity, Reason};
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;
use crate::system::stream::Registered;

impl Reactor {
    pub(crate) fn connect_again(&mut self, id: ConnectorId, delay: Duration) -> bool {
        if !self.may_connect_again(id) {
            return false;
        }
        if let Some(to) = self.endpoint(id).cloned() {
            self.monitor.command(Subject::Connector(id), || Command::Connect(to));
        }
        let timer = self.set(delay, TimerAction::Reconnect(id.0));
        if let Some(connector) = self.connector_mut(id.0) {
            connector.progress = Progress::Waiting(timer);
        }
        true
    }

    /// Whether a further attempt would be made.
    pub(crate) fn may_connect_again(&self, id: ConnectorId) -> bool {
        match self.sources.get(id.0) {
            Some(Source::Connector(connector)) => {
                let rests = matches!(connector.progress, Progress::Resting);
                rests && !connector.unwanted && !self.is_stopping()
            }
            _ => false,
        }
    }

    pub(crate) fn reconnect_now(&mut self, key: Key) {
        if let Some(connector) = self.connector_mut(key) {
            connector.progress = Progress::Wanted;
            self.queue(key);
        }
    }

    /// Begins an attempt, goes on with it, or tells its failure.
    pub(crate) fn serve_connector(&mut self, key: Key) {
        let Some(connector) = self.connector_mut(key) else { return };
        if matches!(connector.progress, Progress::Wanted) {
            self.begin_attempt(key);
        }
        let Some(connector) = self.connector_mut(key) else { return };
        if matches!(connector.progress, Progress::Connecting) && connector.attempts.is_empty() {
            self.try_next(key);
        }
        let Some(connector) = self.connector_mut(key) else { return };
        if let Progress::Failed(reason) = &connector.progress {
            let reason = reason.clone();
            self.begin_lookups(); // it may have waited for one
            self.monitor.stats.failed += 1;
            self.monitor.note(|| {
                let reason = reason.clone();
                Notice::ConnectFailed { connector: ConnectorId(key), reason }
            });
            self.notify(key, Callback::ConnectionFailed, |factory, connector| {
                factory.connection_failed(connector, &reason);
            });
            self.let_go_of_rest(Subject::Connector(ConnectorId(key)), reason);
        }
    }

    fn begin_attempt(&mut self, key: Key) {
        let Some(connector) = self.connector_mut(key) else { return };
        connector.round += 1;
        let former = connector.failure.take();
        connector.busy_delay = BUSY_DELAY;
        connector.progress = Progress::Resolving;
        let (endpoint, round) = (connector.connect.to.clone(), connector.round);
        let timeout = connector.connect.timeout;
        self.let_go_of_rest(Subject::Connector(ConnectorId(key)), former);
        let timer = self.set(timeout, TimerAction::ConnectTimeout(key));
        if let Some(connector) = self.connector_mut(key) {
            connector.timeout = Some(timer);
        }
        match endpoint.place() {
            Place::Unix(addr) => self.candidates(key, [Address::Unix(addr.clone())].into()),
            Place::Port(port) => {
                let local = [IpAddr::from(Ipv6Addr::LOCALHOST), Ipv4Addr::LOCALHOST.into()];
                self.candidates(key, local.map(|ip| Address::Tcp((ip, *port).into())).into());
            }
            Place::Name(host, port) => self.resolve(key, round, host, *port),
            _ => {
                let found = endpoint.socket_addr().map(|addr| vec![addr]);
                let failed = |error| Reason::failed(Activity::Resolving, error);
                self.resolved(key, round, found.map_err(failed));
            }
        }
    }

    pub(super) fn candidates(&mut self, key: Key, addresses: VecDeque<Address>) {
        let Some(connector) = self.connector_mut(key) else { return };
        connector.candidates = addresses;
        connector.progress = Progress::Connecting;
        self.queue(key);
    }

    /// Tries the next address that can be tried; gives up if there is none and none is being tried.
    pub(crate) fn try_next(&mut self, key: Key) {
        loop {
            self.drop_head_start(key);
            let Some(connector) = self.connector_mut(key) else { return };
            let Some(addr) = connector.candidates.pop_front() else {
                if connector.attempts.is_empty() {
                    let none = || {
                        let error =
                            io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                        Reason::failed(Activity::Resolving, error)
                    };
                    let reason = connector.failure.take().unwrap_or_else(none);
                    self.give_up(key, reason);
                }
                return;
            };
            let started = self.start(key, &addr);
            if let Err(reason) = &started {
                self.tell_attempt_end(key, &addr, || Outcome::Failed(reason.clone()));
            }
            match started {
                Ok(()) => return self.give_head_start(key),
                Err(reason) if is_too_busy(&addr, &reason) => return self.ask_later(key, addr),
                Err(reason) => self.note_failure(key, reason),
            }
        }
    }

    fn start(&mut self, key: Key, addr: &Address) -> Result<(), Reason> {
        self.monitor.note(|| {
            let (connector, to) = (ConnectorId(key), addr.clone());
            Notice::AttemptBegin { connector, to }
        });
        let Some(Source::Connector(connector)) = self.sources.get(key) else { return Ok(()) };
        let stream = self.open(addr, &connector.connect)?;
        let (latched, to) = (Readiness::default(), addr.clone());
        let attempt = Attempt { connector: key, to, stream, latched };
        let owner = Owner::Connector(key);
        let attempt = self.sources.insert(Source::Attempt(Box::new(attempt), &Attempts), owner);
        let Self { sources, poller, queues, .. } = self;
        if let Some(slot) = sources.slot(attempt)
            && let Source::Attempt(started, _) = &mut slot.source
        {
            if let Err(error) = started.stream.register(poller.registry(), attempt.token()) {
                sources.remove(attempt);
                return Err(Reason::failed(Activity::Connecting, error));
            }
            // A Unix socket is connected at once, and no event tells it.
            if started.stream.registered() == Registered::ToRead {
                queues.add(Queue::Run, attempt, &mut slot.waits);
            }
        }
        if let Some(connector) = self.connector_mut(key) {
            connector.attempts.push(attempt);
        }
        Ok(())
    }

    /// Handles an event of an attempt: it is connected, has failed, or the event was spurious.
    pub(crate) fn serve_attempt(&mut self, key: Key, buffer: &mut ReadBuffer) {
        let Some(Source::Attempt(attempt, _)) = self.sources.get_mut(key) else { return };
        let connector = attempt.connector;
        let stream = &attempt.stream;
        let error = match stream.take_error() {
            Ok(Some(error)) | Err(error) => error,
            Ok(None) => match stream.peer_addr() {
                Ok(_) if stream.is_its_own_peer() => {
                    stream.reset_on_close(); // or the port would be taken for a minute (TIME_WAIT)
                    refused()
                }
                Ok(peer) => {
                    // The kernel reports the path that a Unix server bound before it moved its socket.
                    let asked = self.endpoint(ConnectorId(connector)).map(Endpoint::place);
                    let peer = match asked {
                        Some(Place::Unix(path)) => Address::Unix(path.clone()),
                        _ => peer,
                    };
                    return self.connected(connector, key, &peer, buffer);
                }
                // A spurious event: the answer is still to come.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    attempt.latched = Readiness::default();
                    return;
                }
                Err(error) => error,
            },
        };
        let to = attempt.to.clone();
        self.sources.remove(key);
        let reason = Reason::failed(Activity::Connecting, error);
        self.tell_attempt_end(connector, &to, || Outcome::Failed(reason.clone()));
        self.descriptor_freed();
        if let Some(connector) = self.connector_mut(connector) {
            connector.attempts.retain(|&tried| tried != key);
        }
        self.note_failure(connector, reason);
        self.try_next(connector);
    }

    /// Keeps the failure of an address, to be told if no other address answers.
    fn note_failure(&mut self, key: Key, reason: Reason) {
        let Some(connector) = self.connector_mut(key) else { return };
        let former = connector.failure.replace(reason);
        self.let_go_of_rest(Subject::Connector(ConnectorId(key)), former);
    }

    /// The first address that answers wins. The attempt becomes the connection, in the same slot
    /// and under the same token, so that nothing is registered twice.
    fn connected(&mut self, connector: Key, winner: Key, peer: &Address, buffer: &mut ReadBuffer) {
        if let Some(Source::Attempt(attempt, _)) = self.sources.get(winner) {
            let to = attempt.to.clone();
            let won = || Outcome::Connected(ConnectionId(winner));
            self.tell_attempt_end(connector, &to, won);
        }
        self.drop_attempts(connector, Some(winner));
        let Some(first) = self.first_step(connector, peer) else { return };
        match first {
            Ok(None) => self.build_at_once(connector, winner, peer, buffer),
            Ok(Some(step)) => self.prepare_connection(connector, winner, peer, step, buffer),
            Err(reason) => {
                self.sources.remove(winner);
                self.descriptor_freed();
                self.give_up(connector, reason);
            }
        }
    }

    fn build_at_once(
        &mut self,
        connector: Key,
        winner: Key,
        peer: &Address,
        buffer: &mut ReadBuffer,
    ) {
        let built = self.call_factory(connector, Callback::BuildProtocol, |factory, _| {
            factory.build_protocol(peer.clone())
        });
        let protocol = match built {
            Some(Some(protocol)) => protocol,
            not_built => {
                self.sources.remove(winner);
                self.descriptor_freed();
                let callback = Callback::BuildProtocol;
                return self.give_up(
                    connector,
                    match not_built {
                        Some(_) => Reason::Refused,
                        None => Reason::Panicked { callback },
                    },
                );
            }
        };
        self.is_connected(connector, winner);
        self.become_connection(connector, winner, |connection, _, _| {
            Session::new(connection, peer.clone(), protocol)
        });
        self.serve_connected(connector, winner, buffer);
    }

    /// Tells the factory the loss, after the protocol was told.
    pub(crate) fn connection_of_connector_lost(&mut self, key: Key, reason: &Reason) {
        self.notify(key, Callback::ClientConnectionLost, |factory, connector| {
            factory.connection_lost(connector, reason);
        });
    }

    /// Gives a notice in which the factory may ask for another attempt; else the connector is removed.
    pub(crate) fn notify(
        &mut self,
        key: Key,
        callback: Callback,
        code: impl FnOnce(&mut dyn Factory, &mut Connector<'_>),
    ) {
        let Some(connector) = self.connector_mut(key) else { return };
        connector.progress = Progress::Resting;
        let endpoint = connector.connect.to.clone();
        let since = connector.since.take();
        let lasted =
            since.map_or(Duration::ZERO, |since| self.time.now.saturating_duration_since(since));
        self.call_factory(key, callback, |factory, reactor| {
            code(factory, &mut Connector { reactor, id: ConnectorId(key), endpoint, lasted });
        });
        let resting =
            |connector: &mut ConnectorState| matches!(connector.progress, Progress::Resting);
        if self.connector_mut(key).is_some_and(resting)
            && let Some(slot) = self.sources.remove(key)
        {
            self.let_go_of_source(Subject::Connector(ConnectorId(key)), slot.source);
        }
    }

    pub(crate) fn connector_mut(&mut self, key: Key) -> Option<&mut ConnectorState> {
        match self.sources.get_mut(key)? {
            Source::Connector(connector) => Some(connector),
            _ => None,
        }
    }
}

/// The error of a port at which nobody listens.
fn refused() -> io::Error {
    #[cfg(unix)]
    return io::Error::from_raw_os_error(libc::ECONNREFUSED);
    #[cfg(not(unix))]
    return io::ErrorKind::ConnectionRefused.into();
}

/// Whether the backlog of a Unix socket is full, whose end no event would report.
fn is_too_busy(to: &Address, reason: &Reason) -> bool {
    let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    matches!(to, Address::Unix(_)) && reason.io_error().is_some_and(would_block)
}
