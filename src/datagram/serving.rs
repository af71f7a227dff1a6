//! Datagram sockets: their interface, and how they are served.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use crate::address::Address;
use crate::callback::Callback;
use crate::datagram::datagrams::At;
use crate::datagram::kind::DatagramSockets;
use crate::datagram::{
    DatagramProtocol, DatagramSocket, DatagramState, DatagramTransport, Datagrams, Incoming,
    is_unreachable,
};
use crate::ids::DatagramId;
use crate::observe::{Command, Notice, Subject};
use crate::parts::arena::Key;
use crate::parts::timers::TimerId;
use crate::reactor::Reactor;
use crate::reactor::source::{Owner, Seated, Source};
use crate::reactor::state::TimerAction;
use crate::reason::{Activity, Reason};
use crate::system::binding::bind_at;
use crate::system::error::at_address;
use crate::system::options::{Kind, Origin};
use crate::system::stream::no_sockets;

/// # Datagrams
impl Reactor {
    /// Binds a UDP socket, or takes one over; see [`Datagrams`].
    ///
    /// `start_protocol` comes in the next turn. Port 0 lets the system choose one, as is usual for a client;
    /// [`DatagramTransport::local_addr`] returns it.
    ///
    /// *Not* promised at a wildcard address (`0.0.0.0`, `[::]`): that an answer leaves from the address that
    /// was asked. If the machine has several addresses the kernel chooses one by its routes, and a client
    /// that checks the sender drops the answer. A server that must answer from the address asked listens
    /// with one socket at each of its addresses.
    ///
    /// Twisted's `listenUDP`.
    ///
    /// # Errors
    ///
    /// At once, the errors of bind(2) and the calls around it (`AddrInUse`, `PermissionDenied`, …), with
    /// the address in the message and the system's error as the source of
    /// [`get_ref`](io::Error::get_ref); `InvalidInput` for a text that is no address, and for an option that
    /// the socket does not have; `ConnectionAborted` during a [shutdown](Self::shutdown) and in the last
    /// notices of a [stop](Self::stop). `Unsupported` for a real socket in a simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::net::SocketAddr;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{DatagramProtocol, DatagramTransport};
    /// struct Echo;
    ///
    /// impl DatagramProtocol for Echo {
    ///     fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], from: SocketAddr) {
    ///         let _ = transport.send_to(data, from); // if there is no room, it is lost
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// simulation.reactor().listen_udp("127.0.0.1:7", Echo)?;
    /// let mut peer = simulation.bind_udp("127.0.0.1:5000")?;
    /// peer.send_to(b"hello", "127.0.0.1:7".parse().unwrap())?;
    /// simulation.settle();
    /// assert_eq!(peer.receive().unwrap().0, b"hello");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn listen_udp(
        &mut self,
        at: impl Into<Datagrams>,
        protocol: impl DatagramProtocol + 'static,
    ) -> io::Result<DatagramId> {
        let Datagrams { at, socket: options } = at.into();
        let socket = match (at, self.simulated()) {
            (At::Endpoint(at), None) => bind_at(&at, "binding", &options, DatagramSocket::bind),
            (At::Endpoint(at), Some(host)) => bind_at(&at, "binding", &options, |addr, options| {
                options.check(Kind::Udp, Origin::Simulated)?;
                host.bind_datagrams(addr, options).map(DatagramSocket::Simulated)
            }),
            (At::Socket(socket), None) => DatagramSocket::adopt(socket, &options),
            (At::Socket(_), Some(_)) => Err(no_sockets()),
        };
        self.add_datagram(socket?, Box::new(protocol))
    }

    /// Lends any datagram socket; `None` if it is gone. See the example of [`DatagramTransport::local_addr`].
    pub fn datagram(&mut self, id: DatagramId) -> Option<DatagramTransport<'_>> {
        let local = self.datagram_state(id)?.local;
        Some(DatagramTransport::new(self, id, local))
    }

    fn add_datagram(
        &mut self,
        socket: DatagramSocket,
        protocol: Box<dyn DatagramProtocol>,
    ) -> io::Result<DatagramId> {
        self.check_takes_new()?;
        let state = Seated::new(&DatagramSockets, DatagramState::new(socket)?, protocol);
        let local = state.local;
        let key = self.sources.insert(Source::Datagram(Box::new(state)), Owner::None);
        let Self { sources, poller, .. } = self;
        if let Some(Source::Datagram(state)) = sources.get_mut(key)
            && let Some(socket) = &mut state.socket
            && let Err(error) = socket.register(poller.registry(), key.token())
        {
            sources.remove(key);
            return Err(error);
        }
        let local = Address::Tcp(local);
        let id = DatagramId(key);
        self.monitor.command(Subject::Datagram(id), || Command::Listen(local));
        self.queue(key);
        Ok(id)
    }

    pub(crate) fn datagram_state(&self, id: DatagramId) -> Option<&DatagramState> {
        match self.sources.get(id.0)? {
            Source::Datagram(state) => Some(state),
            _ => None,
        }
    }

    pub(crate) fn datagram_mut(&mut self, key: Key) -> Option<&mut DatagramState> {
        match self.sources.get_mut(key)? {
            Source::Datagram(state) => Some(state),
            _ => None,
        }
    }

    /// Hands one datagram to the kernel. A refusal reported here belongs to an earlier one, and the
    /// report clears it: so this one is sent again.
    pub(crate) fn send_datagram(
        &mut self,
        id: DatagramId,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<()> {
        let Some(state) = self.datagram_mut(id.0) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let Some(socket) = &state.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let to_whom = to.or(state.peer);
        if state.blocked {
            return Err(io::ErrorKind::WouldBlock.into()); // an event will say when to ask again
        }
        let mut result = send_once(socket, data, to);
        if state.peer.is_some() && result.as_ref().is_err_and(is_unreachable) {
            result = send_once(socket, data, to);
            state.unreachable = true;
            self.queue(id.0);
        }
        match result {
            Ok(count) => {
                self.monitor.stats.bytes_written += count as u64;
                self.monitor.stats.datagrams_sent += 1;
                if let Some(to) = to_whom {
                    self.monitor.note(|| Notice::DatagramSent { socket: id, to, bytes: count });
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.await_room(id.0, true)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn connect_datagram(
        &mut self,
        id: DatagramId,
        to: SocketAddr,
    ) -> io::Result<SocketAddr> {
        let Some(state) = self.datagram_mut(id.0) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        state.connect(to).map_err(|error| at_address("connecting to", to, error))
    }

    pub(crate) fn datagram_timer(&mut self, key: Key, delay: Duration) -> TimerId {
        let timer = self.set(delay, TimerAction::Datagram(key));
        match self.datagram_mut(key).filter(|state| state.socket.is_some()) {
            Some(state) => state.timers.add(timer),
            // A closed socket gets no timer. The stale name is harmless.
            None => drop(self.timers.call_off(timer, &mut self.monitor)),
        }
        timer
    }

    /// Closes a socket, at once; `stop_protocol` comes from the loop. `false` if it was closed already.
    pub(crate) fn stop_datagram(&mut self, key: Key, reason: Reason) -> bool {
        let Some(state) = self.datagram_mut(key) else { return false };
        let Some(mut socket) = state.socket.take() else { return false };
        state.ending = Some(reason);
        let mut timers = mem::take(&mut state.timers);
        let subject = Subject::Datagram(DatagramId(key));
        self.monitor.command(subject, || Command::StopListening);
        socket.deregister(self.poller.registry());
        drop(socket);
        for timer in timers.drain() {
            self.timers.call_off(timer, &mut self.monitor);
        }
        self.descriptor_freed();
        self.queue(key);
        true
    }

    /// Begins the part of a socket in a shutdown. A receive finds what has come and was not reported yet, so
    /// that it is delivered before.
    pub(crate) fn shut_down_datagrams(&mut self, key: Key) {
        if let Some(state) = self.datagram_mut(key) {
            state.readable = true;
            self.queue(key);
        }
    }

    fn await_room(&mut self, key: Key, wait: bool) -> io::Result<()> {
        let Self { sources, poller, .. } = self;
        if let Some(Source::Datagram(state)) = sources.get_mut(key)
            && let Some(socket) = &mut state.socket
        {
            socket.await_room(poller.registry(), key.token(), wait)?;
            state.blocked = wait;
            state.room = false;
        }
        Ok(())
    }
}

/// The serve phase, for datagram sockets.
impl Reactor {
    /// Gives the notices that are due, and receives up to the budget.
    pub(crate) fn serve_datagrams(&mut self, key: Key) {
        let Some(state) = self.datagram_mut(key) else { return };
        if state.socket.is_none() {
            return self.datagrams_stopped(key);
        }
        self.start_datagrams(key);
        self.tell_of_sends(key);
        if self.open_datagram(key).is_some_and(|state| state.readable) {
            let mut buf = self.memory.lend_datagram();
            self.receive_datagrams(key, &mut buf);
            self.memory.give_back_datagram(buf);
        }
        if self.memory.common.shutting_down {
            self.tell_of_shutdown(key);
        }
    }

    fn tell_of_shutdown(&mut self, key: Key) {
        let Some(state) = self.open_datagram(key) else { return };
        if let Some(turns @ 1..) = state.turns_before_told
            && state.readable
        {
            state.turns_before_told = Some(turns - 1);
        } else if state.turns_before_told.take().is_some() {
            self.call_datagram(key, Callback::ShuttingDown, |protocol, transport| {
                protocol.shutting_down(transport);
            });
        }
    }

    /// Gives the first notice of a socket, which comes before any other, once.
    fn start_datagrams(&mut self, key: Key) {
        let Some(state) = self.open_datagram(key) else { return };
        if !mem::replace(&mut state.started, true) {
            self.call_datagram(key, Callback::StartProtocol, |protocol, transport| {
                protocol.start_protocol(transport);
            });
        }
    }

    /// A timer fires, perhaps before the socket was ever served.
    pub(crate) fn datagram_timer_fired(&mut self, key: Key, timer: TimerId) {
        self.start_datagrams(key);
        if self.open_datagram(key).is_some() {
            self.call_datagram(key, Callback::TimerFired, |protocol, transport| {
                protocol.timer_fired(transport, timer);
            });
        }
    }

    /// Tells the outcome of earlier sends.
    fn tell_of_sends(&mut self, key: Key) {
        let Some(state) = self.open_datagram(key) else { return };
        if mem::take(&mut state.unreachable) {
            self.call_datagram(key, Callback::ConnectionRefused, |protocol, transport| {
                protocol.connection_refused(transport);
            });
        }
        if self.open_datagram(key).is_some_and(|state| state.room) {
            if let Err(error) = self.await_room(key, false) {
                self.stop_datagram(key, Reason::failed(Activity::Receiving, error));
                return;
            }
            self.call_datagram(key, Callback::ResumeWriting, |protocol, transport| {
                protocol.resume_writing(transport);
            });
        }
    }

    fn receive_datagrams(&mut self, key: Key, buf: &mut [u8]) {
        let mut bytes = 0;
        for _ in 0..self.limits.datagram_budget {
            let Some(state) = self.open_datagram(key) else { return };
            match state.receive(buf) {
                Incoming::Datagram(count, from) => {
                    bytes += count;
                    self.deliver_datagram(key, &buf[..count], from);
                }
                Incoming::Stray => {}
                Incoming::Nothing => return,
                // Outside Linux a socket without a peer may be told too, but not the address.
                Incoming::Unreachable if state.peer.is_none() => {}
                Incoming::Unreachable => {
                    self.call_datagram(key, Callback::ConnectionRefused, |protocol, transport| {
                        protocol.connection_refused(transport);
                    });
                }
                Incoming::Failed(error) => {
                    self.call_datagram(key, Callback::ErrorReceived, |protocol, transport| {
                        protocol.error_received(transport, &error);
                    });
                }
                Incoming::Broken(error) => {
                    log::error!("datagram socket at {} is closed: {error}", state.local);
                    self.stop_datagram(key, Reason::failed(Activity::Receiving, error));
                }
            }
            if bytes >= self.hot.read_budget {
                break;
            }
        }
        // No event will report again the datagrams that are there already.
        self.queue_again(key);
    }

    fn deliver_datagram(&mut self, key: Key, data: &[u8], from: SocketAddr) {
        self.monitor.stats.bytes_read += data.len() as u64;
        self.monitor.stats.datagrams_received += 1;
        let (socket, bytes) = (DatagramId(key), data.len());
        self.monitor.note(|| Notice::DatagramReceived { socket, from, bytes });
        self.call_datagram(key, Callback::DatagramReceived, |protocol, transport| {
            protocol.datagram_received(transport, data, from);
        });
    }

    /// Gives the last notice of a socket that is closed, and drops its protocol.
    pub(crate) fn datagrams_stopped(&mut self, key: Key) {
        let Some(state) = self.datagram_mut(key) else { return };
        let reason = state.ending.clone().unwrap_or(Reason::Closed);
        if state.started {
            self.call_datagram(key, Callback::StopProtocol, |protocol, transport| {
                protocol.stop_protocol(transport, &reason);
            });
        }
        if let Some(slot) = self.sources.remove(key) {
            self.let_go_of_source(Subject::Datagram(DatagramId(key)), slot.source);
        }
    }

    /// Calls a protocol. A panic has no further effect: the socket serves many peers.
    pub(crate) fn call_datagram(
        &mut self,
        key: Key,
        callback: Callback,
        code: impl FnOnce(&mut dyn DatagramProtocol, &mut DatagramTransport<'_>),
    ) {
        let Some(state) = self.datagram_mut(key) else { return };
        let (id, local) = (DatagramId(key), state.local);
        self.seat(key, callback, Source::datagram_protocol, |protocol, reactor| {
            code(protocol.as_mut(), &mut DatagramTransport::new(reactor, id, local));
        });
    }

    fn open_datagram(&mut self, key: Key) -> Option<&mut DatagramState> {
        self.datagram_mut(key).filter(|state| state.socket.is_some())
    }
}

fn send_once(socket: &DatagramSocket, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
    loop {
        match socket.send(data, to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
