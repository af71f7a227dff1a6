//! A network in memory that behaves like the kernel's, with conditions that the test sets.
//!
//! The simulated reactor runs on this instead of on sockets. Where a reactor can tell the
//! difference, it behaves as Linux TCP does: readiness is reported on edges, a short read means
//! drained, closing with unread bytes resets, a write into a closed connection is answered by a
//! reset, a full window blocks the writer. In addition the test sets how streams are cut into
//! segments, how long a segment travels and how much fits into the window.
//!
//! The time comes from the manual clock, random numbers from a generator with the test's seed.
//! Nothing here depends on anything else, so one seed gives one history.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Token;
use slab::Slab;

use super::datagrams::Mail;
use super::link::{Link, LinkEnd, Payload};
use super::listener::Listening;
use super::lookups::SlowNames;
use crate::address::UnixAddress;
use crate::parts::clock::{Clock, later};
use crate::parts::random::Random;
use crate::system::poller::Readiness;

/// How many bytes may be under way or unread in one direction, unless set otherwise.
const WINDOW: usize = 64 * 1024;

/// Roughly where the kernel's range of ephemeral ports begins.
const FIRST_EPHEMERAL_PORT: u16 = 49152;

/// How the bytes of a stream are cut on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cut {
    /// Each write arrives whole.
    Whole,
    /// Each write is taken, and arrives, in pieces of so many bytes (at least one).
    Every(usize),
    /// Pieces of a random size, from one to so many bytes.
    Random(usize),
}

/// Everything outside the reactor.
#[derive(Debug)]
pub(crate) struct Network {
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(crate) cut: Cut,
    pub(crate) latency: Duration,
    pub(crate) window: usize,
    /// The addresses of host names.
    pub(crate) hosts: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) slow_names: SlowNames,
    /// The addresses of Unix socket paths, including paths whose server is gone.
    pub(super) paths: BTreeMap<UnixAddress, SocketAddr>,
    /// Addresses to which packets go and never arrive.
    pub(crate) blackholes: Vec<SocketAddr>,
    pub(super) listening: BTreeMap<SocketAddr, Listening>,
    pub(super) links: Slab<Link>,
    pub(crate) post: Mail,
    pub(super) ready: Vec<(Token, Readiness)>,
    pub(super) next_port: u16,
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
            hosts: BTreeMap::from([("localhost".to_owned(), localhost)]),
            paths: BTreeMap::new(),
            slow_names: SlowNames::default(),
            blackholes: Vec::new(),
            listening: BTreeMap::new(),
            links: Slab::new(),
            post: Mail::default(),
            ready: Vec::new(),
            next_port: FIRST_EPHEMERAL_PORT,
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

    pub(super) fn next_event_of(&self, link: &Link) -> Option<Instant> {
        if link.request.is_some() {
            return link.request.filter(|_| self.can_be_answered(link));
        }
        let segments = link.pipes.iter().filter_map(|pipe| Some(pipe.flying.front()?.arrives));
        let word =
            link.pipes.iter().any(|pipe| pipe.sender_waits && pipe.in_window() < self.window);
        segments.chain(word.then(|| self.clock.now())).min()
    }

    pub(super) fn can_be_answered(&self, link: &Link) -> bool {
        let to = link.ends[1].addr;
        !self.blackholes.contains(&to)
            && self.listening.get(&to).is_none_or(|listening| listening.has_room())
    }

    pub(super) fn carry_request(&mut self, index: usize, now: Instant) {
        let link = &self.links[index];
        if link.request.is_none_or(|arrives| arrives > now) || !self.can_be_answered(link) {
            return;
        }
        let to = link.ends[1].addr;
        self.links[index].request = None;
        let Some(listening) = self.listening.get_mut(&to) else {
            self.links[index].ends[1].open = false;
            self.fail(index, 0, io::ErrorKind::ConnectionRefused);
            self.sweep(index);
            return;
        };
        listening.queue.push_back(index);
        if let Some(token) = listening.token {
            self.announce(token, Readiness::READABLE);
        }
        for end in &mut self.links[index].ends {
            end.connected = true;
        }
        self.announce_end(index, 0, Readiness::WRITABLE);
    }

    /// Delivers at most one segment, so that each piece of a cut stream is seen by itself.
    pub(super) fn carry_segment(&mut self, index: usize, from: usize, now: Instant) {
        let Some(link) = self.links.get_mut(index).filter(|link| link.request.is_none()) else {
            return;
        };
        let to = 1 - from;
        let pipe = &mut link.pipes[from];
        let Some(payload) = pipe.next_arrival(now) else { return };
        if !link.ends[to].open {
            self.refuse_payload(index, from, &payload);
            return;
        }
        match payload {
            Payload::Bytes(bytes) => {
                pipe.arrived.extend(bytes);
                self.announce_end(index, to, Readiness::READABLE);
            }
            Payload::End => {
                pipe.end_arrived = true;
                self.announce_end(index, to, Readiness::READABLE | Readiness::READ_CLOSED);
            }
            Payload::Reset(kind) => self.fail(index, to, kind),
        }
    }

    /// Answers bytes for a closed end with a reset, which comes after all that was sent from there.
    pub(super) fn refuse_payload(&mut self, index: usize, from: usize, payload: &Payload) {
        if matches!(payload, Payload::Bytes(_)) && self.links[index].ends[from].open {
            let arrives = later(self.clock.now(), self.latency);
            let reset = Payload::Reset(io::ErrorKind::ConnectionReset);
            self.links[index].pipes[1 - from].send(arrives, reset);
        }
        self.sweep(index);
    }

    pub(super) fn tell_waiting_sender(&mut self, index: usize, side: usize) {
        let window = self.window;
        let Some(link) = self.links.get_mut(index) else { return };
        let pipe = &mut link.pipes[side];
        if pipe.sender_waits && pipe.in_window() < window {
            pipe.sender_waits = false;
            self.announce_end(index, side, Readiness::WRITABLE);
        }
    }

    pub(super) fn fail(&mut self, index: usize, side: usize, kind: io::ErrorKind) {
        let link = &mut self.links[index];
        link.ends[side].error = Some(kind);
        link.pipes[side].drop_flying();
        self.announce_end(index, side, Readiness::FAILED);
    }

    pub(super) fn announce_end(&mut self, index: usize, side: usize, readiness: Readiness) {
        if let Some(token) = self.links[index].ends[side].token {
            self.announce(token, readiness);
        }
    }

    pub(super) fn announce(&mut self, token: Token, readiness: Readiness) {
        match self.ready.iter_mut().find(|(known, _)| *known == token) {
            Some((_, known)) => *known |= readiness,
            None => self.ready.push((token, readiness)),
        }
    }

    /// Removes a link if neither end is held.
    pub(super) fn sweep(&mut self, index: usize) {
        let unheld = |link: &Link| link.ends.iter().all(|end| !end.open);
        if self.links.get(index).is_some_and(unheld) {
            self.links.remove(index);
        }
    }

    /// A port that no listener or datagram socket uses.
    pub(crate) fn fresh_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
            let listening = self.listening.keys().any(|addr| addr.port() == port);
            if !listening && !self.post.has_port(port) {
                return port;
            }
        }
    }

    pub(super) fn new_link(&mut self, from: SocketAddr, to: SocketAddr) -> usize {
        let end = |addr| LinkEnd { addr, token: None, open: true, connected: false, error: None };
        let ends = [end(from), end(to)];
        self.links.insert(Link { ends, pipes: Default::default(), request: None })
    }

    pub(super) fn piece(&mut self, len: usize) -> usize {
        match self.cut {
            Cut::Whole => len,
            Cut::Every(size) => len.min(size.max(1)),
            Cut::Random(size) => len.min(1 + self.random.below(size.max(1))),
        }
    }

    /// The addresses of a name, as a lookup would answer.
    pub(crate) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.hosts.get(host) {
            Some(ips) => Ok(ips.iter().map(|ip| SocketAddr::from((*ip, port))).collect()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such host in the simulation")),
        }
    }

    /// The address at which the server of a Unix socket listens.
    pub(crate) fn unix_server(&self, path: &UnixAddress) -> io::Result<SocketAddr> {
        let found = self.paths.get(path).filter(|addr| self.listening.contains_key(addr));
        found.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn inject_accept_error(&mut self, at: SocketAddr, error: io::Error) {
        let Some(listening) = self.listening.get_mut(&at) else { return };
        listening.errors.push_back(error);
        if let Some(token) = listening.token {
            self.announce(token, Readiness::READABLE);
        }
    }
}
