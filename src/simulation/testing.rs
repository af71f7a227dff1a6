#![doc = include_str!("../../docs/testing.md")]

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub use super::clock::SimulatedClock;
pub use super::peers::{DatagramPeer, End, Peer, PeerListener};
pub use crate::simulation::network::Cut;

use super::culprit::culprits;
use super::host::Host;
use crate::address::Endpoint;
#[cfg(unix)]
use crate::address::Place;
use crate::ids::ConnectionId;
use crate::observe::TurnReport;
use crate::parts::clock::{Clock, later};
use crate::parts::random::Random;
use crate::protocol::Protocol;
use crate::reactor::Reactor;
use crate::reactor::builder::ReactorBuilder;
use crate::simulation::datagrams::MemoryDatagrams;
use crate::simulation::listener::MemoryListener;
use crate::simulation::network::Network;
use crate::simulation::stream::MemoryStream;
use crate::system::poller::Poller;
#[cfg(feature = "signals")]
use crate::system::poller::Readiness;
use crate::system::simulated::SimulatedStream as _;
use crate::system::stream::Stream;

/// After more turns than this without time passing, the loop counts as endless.
const LIVELOCK: usize = 1_000_000;

/// The address of the peers of [`Simulation::connect`], reserved for documentation (RFC 5737).
const FAR_AWAY: [u8; 4] = [192, 0, 2, 1];

/// A reactor, a network in memory and a manual clock.
///
/// Time passes in [`advance`](Self::advance), and in `Reactor::run` and `Reactor::turn`, where a
/// sleep takes no time but moves the clock to its end.
///
/// *Not* simulated: multicast, other threads (a [`Handle`](crate::Handle) works, but wakes
/// no reactor; work given to [`call_in_thread`](Reactor::call_in_thread) runs as a call),
/// descriptors of the user's, and the descriptor of [`AsFd`](std::os::fd::AsFd). Socket options are
/// remembered, and have no effect but on who may have an address.
///
/// The network has the manners of Linux, the unkind ones too: errors come with their errno, and once; a
/// sender that found no room is told of it when a third of the window is free (three quarters, on a Unix
/// socket); sockets whose addresses overlap exclude each other; a queue of waiting connections holds one more
/// than its backlog. This host has the addresses of the loopback, `198.51.100.1` and `2001:db8::1`. Peers
/// outside may have any.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # use crocus::testing::{Cut, Simulation};
/// # use crocus::{Protocol, Transport};
/// # struct Echo;
/// # impl Protocol for Echo {
/// #     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
/// #         transport.write(data);
/// #     }
/// # }
/// let mut simulation = Simulation::with_seed(17); // print `seed()` when a test fails
/// simulation.set_latency(Duration::from_millis(50));
/// simulation.set_cut(Cut::Random(3));
/// simulation.set_window(4096);
/// simulation.set_host("example.org", &["192.0.2.8".parse().unwrap(), "192.0.2.9".parse().unwrap()]);
/// simulation.set_blackhole("192.0.2.8:80".parse().unwrap());
///
/// let mut server = simulation.listen("192.0.2.9:80")?;
/// simulation.reactor().connect("example.org:80", |_peer| Echo);
/// simulation.advance(Duration::from_secs(1)); // the second address has answered
/// let mut peer = server.accept().unwrap();
/// peer.send(b"hello");
/// simulation.advance(Duration::from_secs(1));
/// assert_eq!(peer.received(), b"hello");
/// assert_eq!(simulation.elapsed(), Duration::from_secs(2));
/// # std::io::Result::Ok(())
/// ```
pub struct Simulation {
    reactor: Reactor,
    network: Rc<RefCell<Network>>,
    clock: Clock,
    start: Instant,
    seed: u64,
}

impl Simulation {
    /// A simulation with the default limits and seed 0. See the example of [`Peer`].
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// A simulation whose random cuts, and the numbers of [`Reactor::random`], are drawn from `seed`.
    pub fn with_seed(seed: u64) -> Self {
        Self::with_limits(Reactor::builder(), seed)
    }

    /// A simulation of a reactor with these limits. See the example of [`PeerListener`].
    pub fn with_limits(limits: ReactorBuilder, seed: u64) -> Self {
        let clock = Clock::manual();
        let network = Network::new(clock.clone(), seed);
        let poller = Poller::simulated(Host { network: Rc::clone(&network), clock: clock.clone() });
        // Not the network's numbers: what a protocol draws shall not change how its bytes are cut.
        let reactor = limits.build_simulated(poller, clock.clone(), Random::new(!seed));
        let reactor = reactor.expect("only the waker could fail, and a simulated reactor has none");
        let start = clock.now();
        Self { reactor, network, clock, start, seed }
    }

    /// The seed; print it when a random test fails.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The reactor under test.
    pub fn reactor(&mut self) -> &mut Reactor {
        &mut self.reactor
    }

    /// How much time has passed.
    pub fn elapsed(&self) -> Duration {
        self.clock.now() - self.start
    }

    /// The clock, for a protocol that takes time in a callback; see [`SimulatedClock`].
    pub fn clock(&self) -> SimulatedClock {
        SimulatedClock::new(&self.clock)
    }

    /// Has the reactor get a signal (`SIGINT` is 2, `SIGTERM` 15), which calls its
    /// [action](Reactor::on_signal) in the next turn.
    ///
    /// Returns whether it has one; without, the signal would do to a process what it does by default, and
    /// does nothing here. Several of one kind before a turn count as one.
    ///
    /// Needs the feature `signals`.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// simulation.reactor().on_signal(15, |reactor| reactor.stop())?;
    /// assert!(!simulation.signal(2), "it has no action");
    /// assert!(simulation.signal(15));
    /// assert!(simulation.turn().stopped);
    /// # std::io::Result::Ok(())
    /// ```
    #[cfg(feature = "signals")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signals")))]
    pub fn signal(&mut self, signal: i32) -> bool {
        let Some(token) = self.reactor.raise(signal) else { return false };
        self.network.borrow_mut().announce(token, Readiness::READABLE);
        true
    }

    /// Sets how streams are cut from now on; [`Cut::Whole`] at first.
    pub fn set_cut(&mut self, cut: Cut) {
        self.network.borrow_mut().cut = cut;
    }

    /// Sets how long segments and datagrams sent from now on travel; no time at first.
    pub fn set_latency(&mut self, latency: Duration) {
        self.network.borrow_mut().latency = latency;
    }

    /// Sets how many bytes of one direction may be under way or unread before the writer waits.
    ///
    /// 64 KiB at first.
    pub fn set_window(&mut self, bytes: usize) {
        self.network.borrow_mut().window = bytes;
    }

    /// Sets the addresses of a host name.
    ///
    /// At first `localhost` is 127.0.0.1, and other names are unknown.
    pub fn set_host(&mut self, name: &str, addresses: &[IpAddr]) {
        self.network.borrow_mut().hosts.insert(name.to_owned(), addresses.to_vec());
    }

    /// Sets how long the lookup of a name takes from now on, also of one that is not known; no time at
    /// first. `Duration::MAX` stands for a resolver that never answers.
    ///
    /// # Examples
    ///
    /// A connect timeout includes the lookup:
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    /// use crocus::{Connect, Protocol};
    ///
    /// struct Silent;
    /// impl Protocol for Silent {}
    ///
    /// let mut simulation = Simulation::new();
    /// simulation.set_lookup_time("example.org", Duration::MAX);
    /// let to = Connect::to("example.org:80").timeout(Duration::from_secs(3));
    /// let id = simulation.reactor().connect(to, |_peer| Silent);
    /// simulation.advance(Duration::from_secs(2));
    /// assert!(simulation.reactor().endpoint(id).is_some());
    /// simulation.advance(Duration::from_secs(1));
    /// assert!(simulation.reactor().endpoint(id).is_none(), "it has failed");
    /// ```
    pub fn set_lookup_time(&mut self, name: &str, takes: Duration) {
        self.network.borrow_mut().slow_names.set(name, takes);
    }

    /// Makes an address never answer; the kernel gives up after 131 s (`TimedOut`).
    pub fn set_blackhole(&mut self, addr: SocketAddr) {
        self.network.borrow_mut().blackholes.push(addr);
    }

    /// Makes the next accept at a listening address fail with `error`. See the example of [`End`].
    pub fn fail_accept(&mut self, at: SocketAddr, error: io::Error) {
        self.network.borrow_mut().inject_accept_error(at, error);
    }

    /// Sets how many of a hundred datagrams sent from now on are lost; none at first. See [`DatagramPeer`].
    pub fn set_datagram_loss(&mut self, percent: u8) {
        self.network.borrow_mut().post.loss = percent;
    }

    /// Sets how many of a hundred datagrams sent from now on arrive twice; none at first. See [`DatagramPeer`].
    pub fn set_datagram_duplication(&mut self, percent: u8) {
        self.network.borrow_mut().post.duplication = percent;
    }

    /// Sets how many of a hundred datagrams sent from now on overtake others; none at first. See [`DatagramPeer`].
    pub fn set_datagram_reordering(&mut self, percent: u8) {
        self.network.borrow_mut().post.reordering = percent;
    }

    /// Binds a datagram socket outside of the reactor; see [`DatagramPeer`].
    ///
    /// # Errors
    ///
    /// `AddrInUse`, and `InvalidInput` if `addr` is not an address.
    pub fn bind_udp(&mut self, addr: impl Into<Endpoint>) -> io::Result<DatagramPeer> {
        let addr = addr.into().socket_addr()?;
        Ok(DatagramPeer { socket: MemoryDatagrams::bind_outside(&self.network, addr)? })
    }

    /// Connects a protocol to a [`Peer`], whose bytes the test holds.
    ///
    /// `connection_made` is called in the next turn.
    pub fn connect(&mut self, protocol: impl Protocol + 'static) -> Peer {
        let (stream, ours) = self.link();
        self.add(ours, protocol);
        Peer::new(stream)
    }

    /// Connects two protocols, as client and as server; see the example of [`Cut`].
    pub fn pair(
        &mut self,
        client: impl Protocol + 'static,
        server: impl Protocol + 'static,
    ) -> (ConnectionId, ConnectionId) {
        let (client_stream, server_stream) = self.link();
        (self.add(client_stream, client), self.add(server_stream, server))
    }

    /// Connects from outside to an address the reactor listens at; see [`End`].
    ///
    /// It is connected at once, as over a real loopback, unless there is [latency](Self::set_latency) or no room
    /// in the listener's queue. A peer that sends or closes before that does so when it is connected. It may also be refused, or
    /// get no answer: see [`Peer::end`].
    pub fn dial(&mut self, addr: impl Into<Endpoint>) -> Peer {
        let endpoint = addr.into();
        let stream = match endpoint.place() {
            #[cfg(unix)]
            Place::Unix(path) => MemoryStream::connect_unix(&self.network, path),
            _ => endpoint.socket_addr().and_then(|addr| MemoryStream::dial(&self.network, addr)),
        };
        let place = "a test gives an address, and of a Unix socket one that answers";
        Peer::new(stream.expect(place))
    }

    /// Listens outside of the reactor, for connections that the reactor makes.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, and `InvalidInput` if `addr` is not an address.
    pub fn listen(&mut self, addr: impl Into<Endpoint>) -> io::Result<PeerListener> {
        let addr = addr.into().socket_addr()?;
        Ok(PeerListener { listener: MemoryListener::bind_outside(&self.network, addr)? })
    }

    /// Runs one turn of the reactor, without waiting; see [`TurnReport`].
    ///
    /// # Panics
    ///
    /// If it is called inside a callback.
    pub fn turn(&mut self) -> TurnReport {
        self.reactor.turn(Some(Duration::ZERO)).expect("a simulated poll does not fail")
    }

    /// Runs turns until nothing more happens unless time passes. See the example of [`Peer`].
    ///
    /// # Panics
    ///
    /// If something still happens after a million turns, as with a `call_every` without an
    /// interval. The message names the sources that kept it busy.
    pub fn settle(&mut self) {
        self.settle_within(LIVELOCK);
    }

    pub(super) fn settle_within(&mut self, turns: usize) {
        for _ in 0..turns {
            self.turn();
            if self.next_event().is_none_or(|at| at > self.clock.now()) {
                return;
            }
        }
        let culprits = culprits(&mut self.reactor);
        panic!("the simulation with seed {} does not come to rest: {culprits}", self.seed);
    }

    /// Lets time pass, with each event at its own moment.
    pub fn advance(&mut self, by: Duration) {
        let end = later(self.clock.now(), by);
        self.settle();
        while let Some(at) = self.next_event().filter(|&at| at <= end) {
            self.clock.wind(at.saturating_duration_since(self.clock.now()));
            self.settle();
        }
        self.clock.wind(end.saturating_duration_since(self.clock.now()));
    }

    fn next_event(&self) -> Option<Instant> {
        let network = self.network.borrow().next_event();
        network.into_iter().chain(self.reactor.next_deadline()).min()
    }

    pub(super) fn time_to_next_event(&self) -> Option<Duration> {
        self.next_event().map(|at| at.saturating_duration_since(self.clock.now()))
    }

    fn link(&self) -> (MemoryStream, MemoryStream) {
        let port = self.network.borrow_mut().fresh_port();
        let port = port.expect("a test has fewer connections than there are ports");
        let (from, to) =
            (SocketAddr::from((FAR_AWAY, port)), SocketAddr::from(([127, 0, 0, 1], 1)));
        MemoryStream::pair(&self.network, from, to)
    }

    fn add(&mut self, stream: MemoryStream, protocol: impl Protocol + 'static) -> ConnectionId {
        let peer = stream.peer_addr().expect("a fresh pair is connected");
        self.reactor.add_connection(Stream::simulated(stream), peer, Box::new(protocol))
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("elapsed", &self.elapsed())
            .field("reactor", &self.reactor)
            .finish_non_exhaustive()
    }
}
