//! Datagrams in the simulated network, with loss, duplication and reordering.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use mio::Token;

use super::fault::Fault;
use super::network::Network;
use super::ports::{
    Bound, canonical, check_families, is_broadcast, is_group, source, target, unspecified,
};
use crate::parts::clock::later;
use crate::system::options::SocketOptions;
use crate::system::poller::Readiness;
use crate::system::simulated::SimulatedDatagrams;

/// The space that a datagram takes in a buffer besides its bytes: an IP and a UDP header.
const HEADERS: usize = 28;

/// The longest datagrams: 65,535 bytes less the headers; IPv6 does not count its own.
const LONGEST_V4: usize = 65_507;
const LONGEST_V6: usize = 65_527;

/// IPv4 refuses a longer one before it looks at the address.
const LONGEST: usize = 65_535;

/// All datagram sockets and datagrams, and the faults of the network in percent.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) loss: u8,
    pub(crate) duplication: u8,
    pub(crate) reordering: u8,
    /// In the order of their numbers.
    boxes: Vec<Mailbox>,
    flying: Vec<Letter>,
    newest: u64,
}

#[derive(Debug)]
struct Mailbox {
    number: u64,
    /// The address that it was bound to at first.
    named: IpAddr,
    bound: Bound,
    broadcast: bool,
    peer: Option<SocketAddr>,
    token: Option<Token>,
    arrived: VecDeque<(Vec<u8>, SocketAddr)>,
    unread: usize,
    /// How many bytes it sent that have not arrived.
    under_way: usize,
    /// Whether a send found no room.
    waits: bool,
    unreachable: bool,
}

impl Mailbox {
    fn new(number: u64, bound: Bound, broadcast: bool) -> Self {
        Self {
            number,
            named: bound.addr.ip(),
            bound,
            broadcast,
            peer: None,
            token: None,
            arrived: VecDeque::new(),
            unread: 0,
            under_way: 0,
            waits: false,
            unreachable: false,
        }
    }

    /// How well it fits a datagram, as the kernel scores it; `None` if it does not get it.
    fn score(&self, from: SocketAddr, to: SocketAddr) -> Option<u8> {
        if !self.bound.takes(to) || self.peer.is_some_and(|peer| canonical(peer) != canonical(from))
        {
            return None;
        }
        let same_family = self.bound.addr.is_ipv4() == canonical(to).is_ipv4();
        Some(
            u8::from(same_family)
                + 2 * u8::from(!self.bound.is_wildcard())
                + 4 * u8::from(self.peer.is_some()),
        )
    }

    /// The route of a datagram of so many bytes. The errors come in the order of Linux's `udp_sendmsg` and
    /// `udpv6_sendmsg`.
    fn route_of(
        &self,
        to: Option<SocketAddr>,
        len: usize,
    ) -> Result<(SocketAddr, SocketAddr), Fault> {
        if self.named.is_ipv4() && len > LONGEST {
            return Err(Fault::TooLong);
        }
        let to = self.destination(to.or(self.peer).ok_or(Fault::NoDestination)?)?;
        if to.is_ipv4() && len > LONGEST {
            return Err(Fault::TooLong);
        }
        if to.port() == 0 {
            return Err(Fault::Invalid);
        }
        let route = self.route(to)?;
        if len > if to.is_ipv4() { LONGEST_V4 } else { LONGEST_V6 } {
            return Err(Fault::TooLong);
        }
        Ok(route)
    }

    /// The address that is meant. A socket of IPv6 sends to addresses of IPv4 as well, unless it has an address of IPv6.
    fn destination(&self, to: SocketAddr) -> Result<SocketAddr, Fault> {
        let to = target(to, Some(self.bound.addr.ip()));
        if self.named.is_ipv4() && to.is_ipv6() {
            return Err(Fault::WrongFamily);
        }
        let to = canonical(to);
        let v6_only = self.bound.v6_only || !self.named.is_unspecified();
        if self.named.to_canonical().is_ipv6() && to.is_ipv4() && v6_only {
            return Err(Fault::NoNetwork);
        }
        Ok(to)
    }

    /// The address from which a datagram leaves, and the one to which it goes.
    fn route(&self, to: SocketAddr) -> Result<(SocketAddr, SocketAddr), Fault> {
        let own = self.bound.addr;
        // A wildcard that was connected within IPv4 is of IPv4 now; within IPv6 it is as before.
        check_families(if own.is_ipv4() { own.ip() } else { self.named }, to.ip())?;
        if is_broadcast(to.ip()) && !self.broadcast {
            return Err(Fault::Forbidden);
        }
        let from = match own.ip() {
            ip if is_group(to.ip()) => ip,
            ip if ip.is_unspecified() || ip.to_canonical().is_ipv4() != to.is_ipv4() => {
                source(unspecified(to.ip()), to.ip())?
            }
            ip => source(ip, to.ip())?,
        };
        Ok((SocketAddr::new(from, own.port()), to))
    }
}

#[derive(Debug)]
struct Letter {
    arrives: Instant,
    sender: u64,
    from: SocketAddr,
    to: SocketAddr,
    data: Vec<u8>,
}

impl Letter {
    fn weight(&self) -> usize {
        self.data.len() + HEADERS
    }
}

impl Mail {
    /// When the next datagram arrives.
    pub(super) fn next_event(&self) -> Option<Instant> {
        self.flying.iter().map(|letter| letter.arrives).min()
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        self.boxes.iter().any(|mailbox| mailbox.bound.addr.port() == port)
    }

    /// The mailbox that gets a datagram: the one that fits best, and of these the newest. Of those that
    /// share a port the sender's address chooses one.
    fn find(&mut self, from: SocketAddr, to: SocketAddr) -> Option<&mut Mailbox> {
        let score = |mailbox: &Mailbox| mailbox.score(from, to);
        let best = self.boxes.iter().filter_map(score).max()?;
        let is_best = |mailbox: &&mut Mailbox| score(mailbox) == Some(best);
        let mut best: Vec<&mut Mailbox> = self.boxes.iter_mut().filter(is_best).collect();
        let (shared, newest) = (usize::from(from.port()) % best.len(), best.len() - 1);
        Some(best.swap_remove(if best[newest].bound.share { shared } else { newest }))
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.boxes.binary_search_by_key(&number, |mailbox| mailbox.number).ok()
    }

    fn mailbox(&mut self, number: u64) -> Option<&mut Mailbox> {
        let place = self.place(number)?;
        self.boxes.get_mut(place)
    }
}

impl Network {
    /// Delivers the datagrams whose time has come.
    pub(super) fn carry_datagrams(&mut self) {
        let now = self.clock.now();
        let flying = std::mem::take(&mut self.post.flying);
        let (due, flying) = flying.into_iter().partition(|letter| letter.arrives <= now);
        self.post.flying = flying;
        for letter in due {
            self.lighten(letter.sender, letter.weight());
            self.deliver(letter);
        }
    }

    /// Delivers a datagram; a full mailbox drops it, as the kernel's does.
    fn deliver(&mut self, letter: Letter) {
        if self.blackholes.contains(&letter.to) {
            return;
        }
        let window = self.window;
        let Some(mailbox) = self.post.find(letter.from, letter.to) else {
            return self.refuse(&letter);
        };
        if mailbox.arrived.is_empty() || mailbox.unread + letter.weight() <= window {
            mailbox.unread += letter.weight();
            mailbox.arrived.push_back((letter.data, letter.from));
            let token = mailbox.token;
            self.announce_all(token, Readiness::READABLE);
        }
    }

    /// There is no mailbox. The sender learns that only if it is connected to the address, which is not that of many
    /// hosts: the kernel looks for it as for the receiver of an answer.
    fn refuse(&mut self, letter: &Letter) {
        let Some(mailbox) = self.post.find(letter.to, letter.from) else { return };
        if mailbox.peer.is_some() && !is_group(letter.to.ip()) {
            mailbox.unreachable = true;
            let token = mailbox.token;
            self.announce_all(token, Readiness::FAILED);
        }
    }

    /// Frees space in the buffer of a sender.
    fn lighten(&mut self, sender: u64, weight: usize) {
        let window = self.window;
        let Some(mailbox) = self.post.mailbox(sender) else { return };
        mailbox.under_way -= weight;
        if mailbox.waits && mailbox.under_way < window {
            mailbox.waits = false;
            let token = mailbox.token;
            self.announce_all(token, Readiness::WRITABLE);
        }
    }

    fn announce_all(&mut self, token: Option<Token>, readiness: Readiness) {
        if let Some(token) = token {
            self.announce(token, readiness);
        }
    }

    /// Hands a datagram to the network, which may lose, duplicate or reorder it.
    fn post(&mut self, letter: Letter) {
        if self.befalls(self.post.loss) {
            return;
        }
        let copies = if self.befalls(self.post.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let Letter { arrives, sender, from, to, ref data } = letter;
            let mut copy = Letter { arrives, sender, from, to, data: data.clone() };
            let mut place = self.post.flying.len();
            if self.befalls(self.post.reordering) {
                place = self.random.below(place + 1);
                // It takes the place and the arrival time of another.
                copy.arrives = self.post.flying.get(place).map_or(arrives, |other| other.arrives);
            }
            if let Some(mailbox) = self.post.mailbox(sender) {
                mailbox.under_way += copy.weight();
            }
            self.post.flying.insert(place, copy);
        }
    }

    fn befalls(&mut self, percent: u8) -> bool {
        percent > 0 && self.random.below(100) < usize::from(percent)
    }
}

/// A datagram socket of the network.
#[derive(Debug)]
pub(crate) struct MemoryDatagrams {
    network: Rc<RefCell<Network>>,
    number: u64,
}

impl MemoryDatagrams {
    /// Binds to an address of this host.
    pub(crate) fn bind(
        network: &Rc<RefCell<Network>>,
        addr: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let bound = options.bound(addr);
        bound.check()?;
        Self::open(network, bound, options.broadcast)
    }

    /// Binds outside of the reactor, to an address of any host.
    pub(crate) fn bind_outside(
        network: &Rc<RefCell<Network>>,
        addr: SocketAddr,
    ) -> io::Result<Self> {
        Self::open(network, Bound::plain(addr), false)
    }

    fn open(network: &Rc<RefCell<Network>>, mut bound: Bound, broadcast: bool) -> io::Result<Self> {
        let mut net = network.borrow_mut();
        if bound.addr.port() == 0 {
            bound.addr.set_port(net.fresh_port()?);
        }
        if net.post.boxes.iter().any(|mailbox| mailbox.bound.excludes(&bound)) {
            return Err(Fault::InUse.into());
        }
        net.post.newest += 1;
        let number = net.post.newest;
        net.post.boxes.push(Mailbox::new(number, bound, broadcast));
        Ok(Self { network: Rc::clone(network), number })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Mailbox) -> R) -> R {
        let mut net = self.network.borrow_mut();
        f(net.post.mailbox(self.number).expect("it lives until this is dropped"))
    }
}

impl SimulatedDatagrams for MemoryDatagrams {
    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.with(|mailbox| {
            if std::mem::take(&mut mailbox.unreachable) {
                return Err(Fault::Refused.into());
            }
            let (data, from) = mailbox.arrived.pop_front().ok_or(Fault::WouldBlock)?;
            mailbox.unread -= data.len() + HEADERS;
            let count = data.len().min(buf.len());
            buf[..count].copy_from_slice(&data[..count]);
            Ok((count, from))
        })
    }

    fn send(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let window = self.network.borrow().window;
        let (from, to) = self.with(|mailbox| {
            let route = mailbox.route_of(to, data.len())?;
            if std::mem::take(&mut mailbox.unreachable) {
                return Err(Fault::Refused);
            }
            if mailbox.under_way > 0 && mailbox.under_way + data.len() + HEADERS > window {
                mailbox.waits = true;
                return Err(Fault::WouldBlock);
            }
            Ok(route)
        })?;
        let mut net = self.network.borrow_mut();
        let arrives = later(net.clock.now(), net.latency);
        let from = canonical(from);
        net.post(Letter { arrives, sender: self.number, from, to, data: data.to_vec() });
        Ok(data.len())
    }

    fn connect(&self, to: SocketAddr) -> io::Result<()> {
        self.with(|mailbox| {
            let (from, to) = mailbox.route(mailbox.destination(to)?)?;
            mailbox.bound.addr = from;
            mailbox.peer = Some(to);
            Ok(())
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.with(|mailbox| canonical(mailbox.bound.addr))
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with(|mailbox| mailbox.peer).ok_or_else(|| Fault::NotConnected.into())
    }

    /// Registers `token`, and reports the present readiness under it.
    fn register(&self, token: Token) {
        self.with(|mailbox| mailbox.token = Some(token));
        if self.with(|mailbox| !mailbox.arrived.is_empty()) {
            self.network.borrow_mut().announce(token, Readiness::READABLE);
        }
    }
}

impl Drop for MemoryDatagrams {
    fn drop(&mut self) {
        let mut net = self.network.borrow_mut();
        let Some(place) = net.post.place(self.number) else { return };
        if let Some(token) = net.post.boxes.remove(place).token {
            net.ready.retain(|(ready, _)| *ready != token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::clock::Clock;

    /// A datagram that cannot be sent at all leaves the refusal there.
    #[test]
    fn a_refusal_waits_behind_the_faults_of_a_send_itself() {
        let network = Network::new(Clock::manual(), 0);
        let own = ([127, 0, 0, 1], 0).into();
        let socket = MemoryDatagrams::bind_outside(&network, own).unwrap();
        socket.connect(([127, 0, 0, 1], 9).into()).unwrap();
        assert!(socket.send(b"x", None).is_ok());
        network.borrow_mut().step();
        let send = |len, to: Option<([u8; 4], u16)>| {
            let sent = socket.send(&vec![0; len], to.map(SocketAddr::from));
            sent.map_err(|error| error.raw_os_error())
        };
        let fault = |fault| Err(io::Error::from(fault).raw_os_error());
        assert_eq!(send(LONGEST_V4 + 1, None), fault(Fault::TooLong));
        assert_eq!(send(1, Some(([127, 0, 0, 1], 0))), fault(Fault::Invalid));
        assert_eq!(send(1, Some(([255; 4], 9))), fault(Fault::Forbidden));
        assert_eq!(send(1, None), fault(Fault::Refused));
        assert_eq!(send(1, None), Ok(1));
    }
}
