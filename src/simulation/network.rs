//! A network in memory that behaves like the kernel's, with conditions that the test sets.
//!
//! The simulated reactor runs on this instead of on sockets. Where a reactor can tell the
//! difference, it behaves as the sockets of Linux do: readiness is reported on edges, a short read means
//! drained, closing with unread bytes resets, a write into a closed connection is answered by a
//! reset, a full window blocks the writer, errors have their errno and are given once. Whatever takes no time
//! happens at once, as on a loopback. In addition the test sets how streams are cut into segments, how long
//! a segment travels and how much fits into the window. `tests/manners.rs` compares it with real sockets.
//!
//! The time comes from the manual clock, random numbers from a generator with the test's seed.
//! Nothing here depends on anything else, so one seed gives one history.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Token;
use slab::Slab;

use super::claims::{FIRST_EPHEMERAL_PORT, Resting};
use super::datagrams::Mail;
use super::fault::Fault;
use super::link::{Kind, Link, LinkEnd, Payload, Stage};
use super::listener::{Listening, Place};
use super::lookups::SlowNames;
use super::ports::{Bound, canonical};
use crate::address::Address;
use crate::parts::clock::{Clock, later};
use crate::parts::random::Random;
use crate::system::poller::Readiness;

/// How many bytes may be under way or unread in one direction, unless set otherwise.
const WINDOW: usize = 64 * 1024;

/// How the bytes of a stream are cut on their way.
///
/// # Examples
///
/// ```
/// use crocus::testing::{Cut, Simulation};
/// use crocus::{Protocol, Transport};
///
/// struct Client;
///
/// impl Protocol for Client {
///     fn connection_made(&mut self, transport: &mut Transport) {
///         transport.write(b"hello");
///     }
/// }
///
/// struct Server(Vec<usize>);
/// impl Protocol for Server {
///     fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
///         self.0.push(data.len());
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// simulation.set_cut(Cut::Every(2));
/// let (_client, server) = simulation.pair(Client, Server(Vec::new()));
/// simulation.settle();
/// let pieces = simulation.reactor().with_protocol(server, |it: &mut Server, _| it.0.clone());
/// assert_eq!(pieces.unwrap(), [2, 2, 1]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cut {
    /// Each write is taken whole as far as there is room, and arrives at once unless there is latency. So writes
    /// that nobody has read run together, as they do in TCP.
    Whole,
    /// Each write is taken, and arrives, in pieces of so many bytes (at least one).
    Every(usize),
    /// Pieces of a random size, from one to so many bytes.
    Random(usize),
}

/// The answer to a request to connect.
enum Answer {
    /// A place in the queue of this listener.
    Connection(Place),
    Refusal,
    None,
}

/// Everything outside the reactor.
pub(crate) struct Network {
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(crate) cut: Cut,
    pub(crate) latency: Duration,
    pub(crate) window: usize,
    /// The addresses of host names.
    pub(crate) hosts: HashMap<String, Vec<IpAddr>>,
    pub(crate) slow_names: SlowNames,
    /// Addresses to which packets go and never arrive.
    pub(crate) blackholes: Vec<SocketAddr>,
    pub(super) listening: BTreeMap<Place, Listening>,
    pub(super) links: Slab<Link>,
    pub(crate) post: Mail,
    pub(super) ready: Vec<(Token, Readiness)>,
    pub(super) next_port: u16,
    /// Ports whose connections are over, but not for long.
    pub(super) resting: Vec<Resting>,
}

/// Short: each end of the network shows it, and a test that fails prints such an end.
impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Network {
    pub(crate) fn new(clock: Clock, seed: u64) -> Rc<RefCell<Self>> {
        let localhost = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        Rc::new(RefCell::new(Self {
            clock,
            random: Random::new(seed),
            cut: Cut::Whole,
            latency: Duration::ZERO,
            window: WINDOW,
            hosts: HashMap::from([("localhost".to_owned(), localhost)]),
            slow_names: SlowNames::default(),
            blackholes: Vec::new(),
            listening: BTreeMap::new(),
            links: Slab::new(),
            post: Mail::default(),
            ready: Vec::new(),
            next_port: FIRST_EPHEMERAL_PORT,
            resting: Vec::new(),
        }))
    }

    /// Delivers everything whose time has come, and returns the tokens that are ready.
    pub(crate) fn step(&mut self) -> Vec<(Token, Readiness)> {
        let now = self.clock.now();
        let indices: Vec<usize> = self.links.iter().map(|(index, _)| index).collect();
        for index in indices {
            self.carry_request(index, now);
            for side in 0..2 {
                self.carry_segment(index, side, now);
                self.tell_waiting_sender(index, side);
            }
        }
        self.carry_datagrams();
        self.slow_names.step(now);
        std::mem::take(&mut self.ready)
    }

    /// When the next event happens by itself.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(self.clock.now());
        }
        let links = self.links.iter().map(|(_, link)| link);
        let links = links.filter_map(|link| self.next_event_of(link));
        links.chain(self.post.next_event()).chain(self.slow_names.next_event()).min()
    }

    fn next_event_of(&self, link: &Link) -> Option<Instant> {
        if let Some(request) = link.request {
            let silent = matches!(self.answer_to(link), Answer::None);
            return Some(if silent { request.gives_up } else { request.arrives });
        }
        let segments = link.pipes.iter().filter_map(|pipe| Some(pipe.flying.front()?.arrives));
        let told =
            |side: usize| link.pipes[side].sender_waits && link.is_writable(side, self.window);
        segments.chain((told(0) || told(1)).then(|| self.clock.now())).min()
    }

    /// Answers a request to connect, if its time has come.
    pub(super) fn carry_request(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links.get(index) else { return };
        let Some(request) = link.request.filter(|request| request.arrives <= now) else { return };
        match self.answer_to(link) {
            Answer::Connection(place) => self.establish(index, &place),
            Answer::Refusal => self.turn_down(index, Fault::Refused),
            Answer::None if request.gives_up <= now => self.turn_down(index, Fault::TimedOut),
            Answer::None => {}
        }
    }

    /// The answer to a request. None comes from a server whose queue is full: it drops the request, and
    /// the kernel that asks repeats it. Here the repetition comes when there is room again.
    fn answer_to(&self, link: &Link) -> Answer {
        let addresses = (link.ends[0].local.socket_addr(), link.ends[0].peer.socket_addr());
        let (Some(from), Some(to)) = addresses else { return Answer::None };
        if self.blackholes.contains(&to) {
            return Answer::None;
        }
        let meets_itself = canonical(from) == canonical(to); // also where somebody listens
        let listener = self.listener_for(from, to).filter(|_| !meets_itself);
        let Some(place) = listener else { return Answer::Refusal };
        let has_room = self.listening.get(&place).is_some_and(Listening::has_room);
        if has_room { Answer::Connection(place) } else { Answer::None }
    }

    /// The listener that gets a connection: one at this very address before one at a wildcard. Of those
    /// that share a port the client's address chooses one.
    fn listener_for(&self, from: SocketAddr, to: SocketAddr) -> Option<Place> {
        let rank = |bound: &Bound| (bound.is_wildcard(), bound.addr.is_ipv6());
        let inet = |(place, _): &(&Place, &Listening)| matches!(place, Place::Inet(..));
        let takers = self.listening.iter().filter(inet);
        let takers = takers.filter(|(_, listening)| listening.bound.takes(to));
        let best = takers.clone().map(|(_, listening)| rank(&listening.bound)).min()?;
        let best = takers.filter(|(_, listening)| rank(&listening.bound) == best);
        let best: Vec<&Place> = best.map(|(place, _)| place).collect();
        Some(best[usize::from(from.port()) % best.len()].clone())
    }

    fn turn_down(&mut self, index: usize, fault: Fault) {
        self.links[index].request = None;
        let far = &mut self.links[index].ends[1];
        (far.open, far.stage) = (false, Stage::Down); // it never was
        self.fail(index, 0, fault);
        self.sweep(index);
    }

    /// Puts a connection into a listener's queue. Both ends are up from now on.
    pub(super) fn establish(&mut self, index: usize, place: &Place) {
        let Some(listening) = self.listening.get_mut(place) else { return };
        listening.queue.push_back(index);
        let (token, options) = (listening.token, listening.options);
        let sharing = listening.bound.into();
        let link = &mut self.links[index];
        link.request = None;
        (link.ends[1].options, link.ends[1].sharing) = (options, sharing);
        if let (Place::Inet(..), Address::Tcp(to), Address::Tcp(from)) =
            (place, &link.ends[0].peer, &link.ends[0].local)
        {
            let seen = |addr: &SocketAddr| Address::Tcp(canonical(*addr));
            let (to, from) = (seen(to), seen(from));
            (link.ends[1].local, link.ends[1].peer) = (to.clone(), from.clone());
            self.wake_port(&to, &from);
        }
        let link = &mut self.links[index];
        for end in &mut link.ends {
            end.stage = Stage::Up;
        }
        if let Some(token) = token {
            self.announce(token, Readiness::READABLE);
        }
        self.announce_end(index, 0, Readiness::WRITABLE);
        self.hasten(index, 0);
    }

    /// Sends something to the other end.
    pub(super) fn send(&mut self, index: usize, side: usize, payload: Payload) {
        self.put(index, side, payload);
        self.hasten(index, side);
    }

    /// Puts something on its way to the other end.
    pub(super) fn put(&mut self, index: usize, side: usize, payload: Payload) {
        let link = &mut self.links[index];
        let latency = if link.kind == Kind::Unix { Duration::ZERO } else { self.latency };
        let arrives = later(self.clock.now(), latency);
        link.pipes[side].send(arrives, payload);
    }

    /// Delivers at once what takes no time on its way, as a loopback does. If streams are cut, the
    /// pieces come one at a time, so that each is seen by itself.
    pub(super) fn hasten(&mut self, index: usize, side: usize) {
        let now = self.clock.now();
        while self.cut == Cut::Whole && self.carry_segment(index, side, now) {}
    }

    /// Delivers at most one segment. Returns whether it did.
    fn carry_segment(&mut self, index: usize, from: usize, now: Instant) -> bool {
        let Some(link) = self.links.get_mut(index).filter(|link| link.request.is_none()) else {
            return false;
        };
        let Some(payload) = link.pipes[from].next_arrival(now) else { return false };
        if link.ends[1 - from].open {
            self.deliver_payload(index, 1 - from, payload);
        } else {
            self.deliver_to_nobody(index, from, &payload);
        }
        true
    }

    pub(super) fn deliver_payload(&mut self, index: usize, to: usize, payload: Payload) {
        let link = &mut self.links[index];
        let pipe = &mut link.pipes[1 - to];
        match payload {
            Payload::Bytes(bytes) => {
                pipe.arrived.extend(bytes);
                self.announce_end(index, to, Readiness::READABLE);
            }
            Payload::End => {
                pipe.end_arrived = true;
                link.settle_ends();
                self.announce_state(index, to);
            }
            Payload::Reset if link.ends[to].stage == Stage::Down => {}
            Payload::Reset => {
                // EPIPE if the peer's end came before, and ours was not sent.
                let half = pipe.end_arrived && !link.pipes[to].finished;
                let fault = if half { Fault::BrokenPipe } else { Fault::Reset };
                self.fail(index, to, fault);
            }
            Payload::Gone { unread } => {
                pipe.end_arrived = true;
                link.ends[to].stage = Stage::Down;
                link.ends[to].error = unread.then_some(Fault::Reset);
                link.pipes[to].drop_flying();
                self.announce_state(index, to);
            }
        }
    }

    /// Answers bytes for a closed end with a reset, which comes after all that was sent from there.
    fn deliver_to_nobody(&mut self, index: usize, from: usize, payload: &Payload) {
        let link = &mut self.links[index];
        match payload {
            Payload::Bytes(_) if link.kind == Kind::Tcp && link.ends[from].open => {
                self.send(index, 1 - from, Payload::Reset);
            }
            // To an end that has sent a reset it says nothing: the reset is on its way still, and counts.
            Payload::End if link.ends[1 - from].stage != Stage::Down => {
                link.pipes[from].end_arrived = true;
                link.settle_ends();
            }
            _ => {}
        }
        self.sweep(index);
    }

    fn tell_waiting_sender(&mut self, index: usize, side: usize) {
        let window = self.window;
        let Some(link) = self.links.get_mut(index) else { return };
        if link.pipes[side].sender_waits && link.is_writable(side, window) {
            link.pipes[side].sender_waits = false;
            self.announce_end(index, side, Readiness::WRITABLE);
        }
    }

    fn fail(&mut self, index: usize, side: usize, fault: Fault) {
        let link = &mut self.links[index];
        link.ends[side].error = Some(fault);
        link.ends[side].stage = Stage::Down;
        link.pipes[side].drop_flying();
        self.announce_state(index, side);
    }

    /// Reports the state of an end, except that it may write: only a sender that waits is told that.
    pub(super) fn announce_state(&mut self, index: usize, side: usize) {
        let link = &self.links[index];
        let mut state = link.readiness(side, self.window);
        if !state.contains(Readiness::HANGUP) {
            state.remove(Readiness::WRITABLE);
        }
        self.announce_end(index, side, state);
    }

    /// Reports something to an end; of room to write only one is told that awaits it.
    pub(super) fn announce_end(&mut self, index: usize, side: usize, mut readiness: Readiness) {
        let end = &self.links[index].ends[side];
        let Some(token) = end.token else { return };
        if !end.awaits_room && !readiness.contains(Readiness::HANGUP) {
            readiness.remove(Readiness::WRITABLE);
        }
        if readiness != Readiness::default() {
            self.announce(token, readiness);
        }
    }

    pub(super) fn announce(&mut self, token: Token, readiness: Readiness) {
        match self.ready.iter_mut().find(|(known, _)| *known == token) {
            Some((_, known)) => *known |= readiness,
            None => self.ready.push((token, readiness)),
        }
    }

    /// Removes a link if neither end is held, and nothing is to be told any more.
    pub(super) fn sweep(&mut self, index: usize) {
        let is_over = |link: &Link| link.request.is_none() && link.ends.iter().all(|end| !end.open);
        if self.links.get(index).is_some_and(is_over) {
            let link = self.links.remove(index);
            self.rest_port(&link);
        }
    }

    pub(super) fn new_link(&mut self, kind: Kind, from: Address, to: Address) -> usize {
        let ends = [LinkEnd::new(from.clone(), to.clone()), LinkEnd::new(to, from)];
        let pipes = Default::default();
        self.links.insert(Link { kind, ends, pipes, request: None, first_to_finish: None })
    }

    pub(super) fn piece(&mut self, len: usize) -> usize {
        match self.cut {
            Cut::Whole => len,
            Cut::Every(size) => len.min(size.max(1)),
            Cut::Random(size) => len.min(1 + self.random.below(size.max(1))),
        }
    }
}
