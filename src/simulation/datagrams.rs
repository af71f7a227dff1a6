//! Datagrams in the simulated network, with loss, duplication and reordering.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use mio::Token;

use super::network::Network;
use crate::parts::clock::later;
use crate::system::poller::Readiness;

/// The space that a datagram takes in a buffer besides its bytes: an IP and a UDP header.
const HEADERS: usize = 28;

/// The longest datagrams: 65,535 bytes less the headers; IPv6 does not count its own.
const LONGEST_V4: usize = 65_507;
const LONGEST_V6: usize = 65_527;

/// All datagram sockets and datagrams, and the faults of the network in percent.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) loss: u8,
    pub(crate) duplication: u8,
    pub(crate) reordering: u8,
    boxes: BTreeMap<u64, Mailbox>,
    flying: Vec<Letter>,
    newest: u64,
}

#[derive(Debug)]
struct Mailbox {
    addr: SocketAddr,
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
        self.boxes.values().any(|mailbox| mailbox.addr.port() == port)
    }

    /// The mailbox for an address: bound to it, or to all addresses of its family.
    fn find(&mut self, to: SocketAddr) -> Option<&mut Mailbox> {
        let boxes = &mut self.boxes;
        let exact = boxes.iter().find(|(_, mailbox)| mailbox.addr == to);
        let found = exact.or_else(|| {
            boxes.iter().find(|(_, mailbox)| {
                let addr = mailbox.addr;
                addr.ip().is_unspecified()
                    && addr.port() == to.port()
                    && addr.is_ipv4() == to.is_ipv4()
            })
        });
        let number = *found?.0;
        boxes.get_mut(&number)
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
    ///
    /// Only a connected sender learns that there is no mailbox.
    fn deliver(&mut self, letter: Letter) {
        if self.blackholes.contains(&letter.to) {
            return;
        }
        let window = self.window;
        let found = self.post.find(letter.to);
        let Some(mailbox) =
            found.filter(|mailbox| mailbox.peer.is_none_or(|peer| peer == letter.from))
        else {
            return self.refuse(letter.sender);
        };
        if mailbox.arrived.is_empty() || mailbox.unread + letter.weight() <= window {
            mailbox.unread += letter.weight();
            mailbox.arrived.push_back((letter.data, letter.from));
            let token = mailbox.token;
            self.announce_all(token, Readiness::READABLE);
        }
    }

    fn refuse(&mut self, sender: u64) {
        let Some(mailbox) = self.post.boxes.get_mut(&sender) else { return };
        if mailbox.peer.is_some() {
            mailbox.unreachable = true;
            let token = mailbox.token;
            self.announce_all(token, Readiness::FAILED);
        }
    }

    /// Frees space in the buffer of a sender.
    fn lighten(&mut self, sender: u64, weight: usize) {
        let window = self.window;
        let Some(mailbox) = self.post.boxes.get_mut(&sender) else { return };
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
            if let Some(mailbox) = self.post.boxes.get_mut(&sender) {
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
    pub(crate) fn bind(network: &Rc<RefCell<Network>>, mut addr: SocketAddr) -> io::Result<Self> {
        let mut net = network.borrow_mut();
        if addr.port() == 0 {
            addr.set_port(net.fresh_port());
        }
        if net.post.boxes.values().any(|mailbox| mailbox.addr == addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        net.post.newest += 1;
        let number = net.post.newest;
        let mailbox = Mailbox {
            addr,
            peer: None,
            token: None,
            arrived: VecDeque::new(),
            unread: 0,
            under_way: 0,
            waits: false,
            unreachable: false,
        };
        net.post.boxes.insert(number, mailbox);
        Ok(Self { network: Rc::clone(network), number })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Mailbox) -> R) -> R {
        let mut net = self.network.borrow_mut();
        f(net.post.boxes.get_mut(&self.number).expect("it lives until this is dropped"))
    }

    pub(crate) fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.with(|mailbox| {
            if std::mem::take(&mut mailbox.unreachable) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (data, from) = mailbox.arrived.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
            mailbox.unread -= data.len() + HEADERS;
            let count = data.len().min(buf.len());
            buf[..count].copy_from_slice(&data[..count]);
            Ok((count, from))
        })
    }

    pub(crate) fn send(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let window = self.network.borrow().window;
        let (from, to) = self.with(|mailbox| {
            if std::mem::take(&mut mailbox.unreachable) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let to = to.or(mailbox.peer).ok_or_else(|| refusal("no destination is given"))?;
            if to.is_ipv4() != mailbox.addr.is_ipv4() {
                return Err(refusal("the address is of the other family"));
            }
            if data.len() > if to.is_ipv4() { LONGEST_V4 } else { LONGEST_V6 } {
                return Err(too_long());
            }
            if mailbox.under_way > 0 && mailbox.under_way + data.len() + HEADERS > window {
                mailbox.waits = true;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok((source(mailbox.addr), to))
        })?;
        let mut net = self.network.borrow_mut();
        let arrives = later(net.clock.now(), net.latency);
        net.post(Letter { arrives, sender: self.number, from, to, data: data.to_vec() });
        Ok(data.len())
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<()> {
        self.with(|mailbox| {
            if to.is_ipv4() != mailbox.addr.is_ipv4() {
                return Err(refusal("the address is of the other family"));
            }
            mailbox.addr = source(mailbox.addr);
            mailbox.peer = Some(to);
            Ok(())
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.with(|mailbox| mailbox.addr)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with(|mailbox| mailbox.peer).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Registers `token`, and reports the present readiness under it.
    pub(crate) fn register(&self, token: Token) {
        self.with(|mailbox| mailbox.token = Some(token));
        if self.with(|mailbox| !mailbox.arrived.is_empty()) {
            self.network.borrow_mut().announce(token, Readiness::READABLE);
        }
    }
}

impl Drop for MemoryDatagrams {
    fn drop(&mut self) {
        let mut net = self.network.borrow_mut();
        let mailbox = net.post.boxes.remove(&self.number);
        if let Some(token) = mailbox.and_then(|mailbox| mailbox.token) {
            net.ready.retain(|(ready, _)| *ready != token);
        }
    }
}

/// The source address of a datagram whose sender is bound to all addresses.
fn source(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    addr
}

fn refusal(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn too_long() -> io::Error {
    #[cfg(unix)]
    return io::Error::from_raw_os_error(libc::EMSGSIZE);
    #[cfg(not(unix))]
    return refusal("the datagram is too long");
}
