//! A network in memory, with the manners of the kernel's and with weather of one's choice.
//!
//! The simulated reactor runs on this instead of sockets. It behaves as Linux TCP does where a
//! reactor can tell: readiness is reported on edges, a short read means drained, closing with
//! unread bytes resets, a write into a closed connection is answered by a reset, a full window
//! blocks the writer. On top of that the test chooses how streams are cut into segments, how long
//! a segment travels and how much fits into the window.
//!
//! Time is the hand-wound clock's; chance is a generator seeded by the test. Nothing here depends
//! on anything else, so one seed gives one history.

pub(crate) use super::datagrams::MemoryDatagrams;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Token;
use slab::Slab;

use super::datagrams::Post;
use crate::address::UnixAddress;
use crate::parts::clock::{Clock, later};
use crate::parts::random::Random;
use crate::system::poller::Readiness;

/// How many bytes may be under way or unread in one direction, unless set otherwise.
const WINDOW: usize = 64 * 1024;

/// Where the kernel's range of temporary ports begins, more or less.
const FIRST_EPHEMERAL_PORT: u16 = 49152;

/// How the bytes of a stream are cut on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cut {
    /// A write arrives as it was made.
    Whole,
    /// A write is taken, and arrives, in pieces of so many bytes (at least one).
    Every(usize),
    /// Pieces of a random size from one to so many bytes.
    Random(usize),
}

/// All that happens outside the reactor.
#[derive(Debug)]
pub(crate) struct Network {
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(crate) cut: Cut,
    pub(crate) latency: Duration,
    pub(crate) window: usize,
    /// What names stand for.
    pub(crate) hosts: BTreeMap<String, Vec<IpAddr>>,
    /// What the paths of Unix sockets stand for, also of those that are gone.
    paths: BTreeMap<UnixAddress, SocketAddr>,
    /// Those to whom packets go and never arrive.
    pub(crate) blackholes: Vec<SocketAddr>,
    harbours: BTreeMap<SocketAddr, Harbour>,
    links: Slab<Link>,
    pub(crate) post: Post,
    pub(super) ready: Vec<(Token, Readiness)>,
    next_port: u16,
}

/// A listening address.
#[derive(Debug)]
struct Harbour {
    token: Option<Token>,
    backlog: usize,
    /// Links whose far end (side 1) waits to be accepted.
    queue: VecDeque<usize>,
    /// Errors that the next accepts will give.
    errors: VecDeque<io::Error>,
}

/// Two ends and what is between them. Side 0 is the one that connected.
#[derive(Debug)]
struct Link {
    ends: [End; 2],
    /// `lanes[s]` carries what side `s` sent.
    lanes: [Lane; 2],
    /// When the connection request reaches the other side; `None` once it has.
    request: Option<Instant>,
}

#[derive(Debug)]
struct End {
    addr: SocketAddr,
    token: Option<Token>,
    /// Whether somebody still holds it.
    open: bool,
    connected: bool,
    error: Option<io::ErrorKind>,
}

#[derive(Debug, Default)]
struct Lane {
    flying: VecDeque<Segment>,
    flying_bytes: usize,
    arrived: VecDeque<u8>,
    /// The sender said that this is all.
    finished: bool,
    /// And the receiver knows.
    end_arrived: bool,
    /// The sender found the window full, or was cut short, and waits for a word.
    sender_waits: bool,
}

#[derive(Debug)]
struct Segment {
    arrives: Instant,
    cargo: Cargo,
}

#[derive(Debug)]
enum Cargo {
    Bytes(Vec<u8>),
    End,
    Reset(io::ErrorKind),
}

impl Lane {
    fn in_window(&self) -> usize {
        self.flying_bytes + self.arrived.len()
    }

    fn send(&mut self, arrives: Instant, cargo: Cargo) {
        if let Cargo::Bytes(bytes) = &cargo {
            self.flying_bytes += bytes.len();
        }
        self.flying.push_back(Segment { arrives, cargo });
    }

    fn next_arrival(&mut self, now: Instant) -> Option<Cargo> {
        self.flying.front().filter(|segment| segment.arrives <= now)?;
        let segment = self.flying.pop_front()?;
        if let Cargo::Bytes(bytes) = &segment.cargo {
            self.flying_bytes -= bytes.len();
        }
        Some(segment.cargo)
    }

    fn drop_flying(&mut self) {
        self.flying.clear();
        self.flying_bytes = 0;
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
            hosts: BTreeMap::from([("localhost".to_owned(), localhost)]),
            paths: BTreeMap::new(),
            blackholes: Vec::new(),
            harbours: BTreeMap::new(),
            links: Slab::new(),
            post: Post::default(),
            ready: Vec::new(),
            next_port: FIRST_EPHEMERAL_PORT,
        }))
    }

    /// Lets everything arrive whose time has come, and returns who is ready.
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
        std::mem::take(&mut self.ready)
    }

    /// When the next thing will happen by itself.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(self.clock.now());
        }
        let links = self.links.iter().map(|(_, link)| link);
        let links = links.filter_map(|link| self.next_event_of(link));
        links.chain(self.post.next_event()).min()
    }

    fn next_event_of(&self, link: &Link) -> Option<Instant> {
        if link.request.is_some() {
            return link.request.filter(|_| self.can_be_answered(link));
        }
        let segments = link.lanes.iter().filter_map(|lane| Some(lane.flying.front()?.arrives));
        let word =
            link.lanes.iter().any(|lane| lane.sender_waits && lane.in_window() < self.window);
        segments.chain(word.then(|| self.clock.now())).min()
    }

    fn can_be_answered(&self, link: &Link) -> bool {
        let to = link.ends[1].addr;
        !self.blackholes.contains(&to)
            && self.harbours.get(&to).is_none_or(|harbour| harbour.has_room())
    }

    fn carry_request(&mut self, index: usize, now: Instant) {
        let link = &self.links[index];
        if link.request.is_none_or(|arrives| arrives > now) || !self.can_be_answered(link) {
            return;
        }
        let to = link.ends[1].addr;
        self.links[index].request = None;
        let Some(harbour) = self.harbours.get_mut(&to) else {
            self.links[index].ends[1].open = false;
            self.fail(index, 0, io::ErrorKind::ConnectionRefused);
            self.sweep(index);
            return;
        };
        harbour.queue.push_back(index);
        if let Some(token) = harbour.token {
            self.announce(token, Readiness::READABLE);
        }
        for end in &mut self.links[index].ends {
            end.connected = true;
        }
        self.announce_end(index, 0, Readiness::WRITABLE);
    }

    /// One segment at the most: each piece of a cut stream is seen by itself.
    fn carry_segment(&mut self, index: usize, from: usize, now: Instant) {
        let Some(link) = self.links.get_mut(index).filter(|link| link.request.is_none()) else {
            return;
        };
        let to = 1 - from;
        let lane = &mut link.lanes[from];
        let Some(cargo) = lane.next_arrival(now) else { return };
        if !link.ends[to].open {
            self.refuse_cargo(index, from, &cargo);
            return;
        }
        match cargo {
            Cargo::Bytes(bytes) => {
                lane.arrived.extend(bytes);
                self.announce_end(index, to, Readiness::READABLE);
            }
            Cargo::End => {
                lane.end_arrived = true;
                self.announce_end(index, to, Readiness::READABLE | Readiness::READ_CLOSED);
            }
            Cargo::Reset(kind) => self.fail(index, to, kind),
        }
    }

    /// Bytes for an end that is gone are answered by a reset, which comes after all that was sent
    /// from there.
    fn refuse_cargo(&mut self, index: usize, from: usize, cargo: &Cargo) {
        if matches!(cargo, Cargo::Bytes(_)) && self.links[index].ends[from].open {
            let arrives = later(self.clock.now(), self.latency);
            let reset = Cargo::Reset(io::ErrorKind::ConnectionReset);
            self.links[index].lanes[1 - from].send(arrives, reset);
        }
        self.sweep(index);
    }

    fn tell_waiting_sender(&mut self, index: usize, side: usize) {
        let window = self.window;
        let Some(link) = self.links.get_mut(index) else { return };
        let lane = &mut link.lanes[side];
        if lane.sender_waits && lane.in_window() < window {
            lane.sender_waits = false;
            self.announce_end(index, side, Readiness::WRITABLE);
        }
    }

    fn fail(&mut self, index: usize, side: usize, kind: io::ErrorKind) {
        let link = &mut self.links[index];
        link.ends[side].error = Some(kind);
        link.lanes[side].drop_flying();
        self.announce_end(index, side, Readiness::FAILED);
    }

    fn announce_end(&mut self, index: usize, side: usize, readiness: Readiness) {
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

    /// Forgets a link that nobody holds.
    fn sweep(&mut self, index: usize) {
        let unheld = |link: &Link| link.ends.iter().all(|end| !end.open);
        if self.links.get(index).is_some_and(unheld) {
            self.links.remove(index);
        }
    }

    /// A port that nobody listens at.
    pub(crate) fn fresh_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
            let listening = self.harbours.keys().any(|addr| addr.port() == port);
            if !listening && !self.post.has_port(port) {
                return port;
            }
        }
    }

    fn new_link(&mut self, from: SocketAddr, to: SocketAddr) -> usize {
        let end = |addr| End { addr, token: None, open: true, connected: false, error: None };
        let ends = [end(from), end(to)];
        self.links.insert(Link { ends, lanes: Default::default(), request: None })
    }

    fn piece(&mut self, len: usize) -> usize {
        match self.cut {
            Cut::Whole => len,
            Cut::Every(size) => len.min(size.max(1)),
            Cut::Random(size) => len.min(1 + self.random.below(size.max(1))),
        }
    }

    /// What a name stands for, as a lookup would answer.
    pub(crate) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.hosts.get(host) {
            Some(ips) => Ok(ips.iter().map(|ip| SocketAddr::from((*ip, port))).collect()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such host in the simulation")),
        }
    }

    /// Where the server of a Unix socket listens.
    pub(crate) fn unix_server(&self, path: &UnixAddress) -> io::Result<SocketAddr> {
        let found = self.paths.get(path).filter(|addr| self.harbours.contains_key(addr));
        found.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn inject_accept_error(&mut self, at: SocketAddr, error: io::Error) {
        let Some(harbour) = self.harbours.get_mut(&at) else { return };
        harbour.errors.push_back(error);
        if let Some(token) = harbour.token {
            self.announce(token, Readiness::READABLE);
        }
    }
}

/// One end of a link.
#[derive(Debug)]
pub(crate) struct MemoryStream {
    network: Rc<RefCell<Network>>,
    link: u32,
    /// Which end it is, 0 or 1: a type with room for the tag of `Stream`, which is in every connection.
    side: bool,
}

impl MemoryStream {
    /// Both ends of a new connection.
    pub(crate) fn pair(
        network: &Rc<RefCell<Network>>,
        from: SocketAddr,
        to: SocketAddr,
    ) -> (Self, Self) {
        let mut net = network.borrow_mut();
        let link = net.new_link(from, to);
        for end in &mut net.links[link].ends {
            end.connected = true;
        }
        (Self::end(network, link, 0), Self::end(network, link, 1))
    }

    /// Begins to connect; readiness tells when it is through, as with a socket.
    pub(crate) fn connect(
        network: &Rc<RefCell<Network>>,
        from: Option<SocketAddr>,
        to: SocketAddr,
    ) -> Self {
        let mut net = network.borrow_mut();
        let from = from.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let port = if from.port() == 0 { net.fresh_port() } else { from.port() };
        let link = net.new_link(SocketAddr::new(from.ip(), port), to);
        let arrives = later(net.clock.now(), net.latency);
        net.links[link].request = Some(arrives);
        Self::end(network, link, 0)
    }

    /// Begins to connect to the server of a Unix socket.
    #[cfg(unix)]
    pub(crate) fn connect_unix(
        network: &Rc<RefCell<Network>>,
        path: &UnixAddress,
    ) -> io::Result<Self> {
        let to = network.borrow().unix_server(path)?;
        Ok(Self::connect(network, None, to))
    }

    fn end(network: &Rc<RefCell<Network>>, link: usize, side: u8) -> Self {
        Self { network: Rc::clone(network), link: link as u32, side: side == 1 }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Network, usize, usize) -> R) -> R {
        f(&mut self.network.borrow_mut(), self.link as usize, self.side.into())
    }

    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.with(|net, link, side| {
            let link = &mut net.links[link];
            let lane = &mut link.lanes[1 - side];
            if !lane.arrived.is_empty() {
                let count = buf.len().min(lane.arrived.len());
                for (to, from) in buf.iter_mut().zip(lane.arrived.drain(..count)) {
                    *to = from;
                }
                return Ok(count);
            }
            match link.ends[side].error {
                Some(kind) => Err(kind.into()),
                None if lane.end_arrived => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }

    /// Whether everything was read, the peer's FIN included.
    pub(crate) fn at_end(&self) -> bool {
        self.with(|net, link, side| {
            let lane = &net.links[link].lanes[1 - side];
            lane.arrived.is_empty() && lane.end_arrived
        })
    }

    pub(crate) fn write(&self, data: &[u8]) -> io::Result<usize> {
        self.with(|net, index, side| {
            let link = &net.links[index];
            if let Some(kind) = link.ends[side].error {
                return Err(kind.into());
            }
            // What is written while the connection is being made travels once it stands.
            let pending = link.request.is_some();
            if !(link.ends[side].connected || pending) || link.lanes[side].finished {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let space = net.window.saturating_sub(link.lanes[side].in_window());
            let count = net.piece(data.len().min(space));
            let arrives = later(net.clock.now(), net.latency);
            let lane = &mut net.links[index].lanes[side];
            lane.sender_waits = count < data.len();
            if count == 0 && !data.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            lane.send(arrives, Cargo::Bytes(data[..count].to_vec()));
            Ok(count)
        })
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.with(|net, index, side| {
            if !net.links[index].ends[side].connected || net.links[index].ends[side].error.is_some()
            {
                return Err(io::ErrorKind::NotConnected.into());
            }
            if how != Shutdown::Read {
                net.finish(index, side);
            }
            Ok(())
        })
    }

    /// Cuts the connection, as closing with SO_LINGER 0 does.
    pub(crate) fn reset(&self) {
        self.with(|net, link, side| net.send_reset(link, side));
    }

    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.with(|net, link, side| net.links[link].ends[side].error.take().map(Into::into))
    }

    /// Whether the connection stands; `NotConnected` before, or once it failed.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with(|net, link, side| {
            let ends = &net.links[link].ends;
            let connected = ends[side].connected && ends[side].error.is_none();
            if connected {
                Ok(ends[1 - side].addr)
            } else {
                Err(io::ErrorKind::NotConnected.into())
            }
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.with(|net, link, side| net.links[link].ends[side].addr)
    }

    /// Reports on this end under `token`, beginning with how things stand.
    pub(crate) fn register(&self, token: Token) {
        self.with(|net, index, side| {
            let link = &mut net.links[index];
            link.ends[side].token = Some(token);
            let mut readiness = Readiness::default();
            let incoming = &link.lanes[1 - side];
            if !incoming.arrived.is_empty() {
                readiness |= Readiness::READABLE;
            }
            if incoming.end_arrived {
                readiness |= Readiness::READABLE | Readiness::READ_CLOSED;
            }
            if link.ends[side].error.is_some() {
                readiness |= Readiness::FAILED;
            }
            let outgoing = &mut link.lanes[side];
            if link.ends[side].connected && outgoing.in_window() < net.window {
                outgoing.sender_waits = false;
                readiness |= Readiness::WRITABLE;
            }
            if readiness != Readiness::default() {
                net.announce(token, readiness);
            }
        });
    }
}

impl Network {
    fn finish(&mut self, index: usize, side: usize) {
        let arrives = later(self.clock.now(), self.latency);
        let lane = &mut self.links[index].lanes[side];
        if !lane.finished {
            lane.finished = true;
            lane.send(arrives, Cargo::End);
        }
    }

    fn send_reset(&mut self, index: usize, side: usize) {
        let arrives = later(self.clock.now(), self.latency);
        let lane = &mut self.links[index].lanes[side];
        lane.finished = true;
        lane.drop_flying();
        lane.send(arrives, Cargo::Reset(io::ErrorKind::ConnectionReset));
    }

    fn close(&mut self, index: usize, side: usize) {
        let end = &mut self.links[index].ends[side];
        end.open = false;
        if let Some(token) = end.token.take() {
            self.ready.retain(|(ready, _)| *ready != token);
        }
        let link = &mut self.links[index];
        let unread = !link.lanes[1 - side].arrived.is_empty();
        if link.request.take().is_some() {
            link.ends[1].open = false; // nobody was asked yet
        } else if link.ends[side].connected && link.ends[side].error.is_none() {
            if unread {
                self.send_reset(index, side);
            } else {
                self.finish(index, side);
            }
        }
        self.sweep(index);
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.with(Network::close);
    }
}

/// A listening address of the network.
#[derive(Debug)]
pub(crate) struct MemoryListener {
    network: Rc<RefCell<Network>>,
    addr: SocketAddr,
}

impl MemoryListener {
    pub(crate) fn bind(
        network: &Rc<RefCell<Network>>,
        mut addr: SocketAddr,
        backlog: usize,
    ) -> io::Result<Self> {
        let mut net = network.borrow_mut();
        if addr.port() == 0 {
            addr.set_port(net.fresh_port());
        }
        if net.harbours.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let backlog = backlog.max(1);
        let (queue, errors) = (VecDeque::new(), VecDeque::new());
        net.harbours.insert(addr, Harbour { token: None, backlog, queue, errors });
        Ok(Self { network: Rc::clone(network), addr })
    }

    /// Listens at the path of a Unix socket.
    #[cfg(unix)]
    pub(crate) fn bind_unix(
        network: &Rc<RefCell<Network>>,
        path: UnixAddress,
        backlog: usize,
    ) -> io::Result<Self> {
        if network.borrow().unix_server(&path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listener = Self::bind(network, (Ipv4Addr::LOCALHOST, 0).into(), backlog)?;
        network.borrow_mut().paths.insert(path, listener.addr);
        Ok(listener)
    }

    pub(crate) fn accept(&self) -> io::Result<(MemoryStream, SocketAddr)> {
        let mut net = self.network.borrow_mut();
        let harbour = net.harbours.get_mut(&self.addr).ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(error) = harbour.errors.pop_front() {
            return Err(error);
        }
        let link = harbour.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let peer = net.links[link].ends[0].addr;
        Ok((MemoryStream::end(&self.network, link, 1), peer))
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn register(&self, token: Token) {
        let mut net = self.network.borrow_mut();
        let Some(harbour) = net.harbours.get_mut(&self.addr) else { return };
        harbour.token = Some(token);
        if !harbour.queue.is_empty() {
            net.announce(token, Readiness::READABLE);
        }
    }
}

impl Harbour {
    fn has_room(&self) -> bool {
        self.queue.len() < self.backlog
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut net = self.network.borrow_mut();
        let Some(harbour) = net.harbours.remove(&self.addr) else { return };
        if let Some(token) = harbour.token {
            net.ready.retain(|(ready, _)| *ready != token);
        }
        for link in harbour.queue {
            net.send_reset(link, 1);
            net.close(link, 1);
        }
    }
}
