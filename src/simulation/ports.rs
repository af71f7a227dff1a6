//! Addresses and ports of the simulated host: which are its own, free, taken, or leave it.
//!
//! As in Linux: sockets whose addresses overlap cannot have one port, unless both may reuse it
//! (SO_REUSEADDR) and neither listens. A wildcard overlaps with every address of its family, and `[::]`
//! with those of IPv4 too, unless it is for IPv6 only. The side of a connection that closed first keeps
//! its port for a minute (TIME_WAIT).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::link::{Kind, Link};
use super::listener::Place;
use super::network::Network;
use crate::address::Address;
use crate::parts::clock::later;

/// Roughly where the kernel's range of ephemeral ports begins.
pub(super) const FIRST_EPHEMERAL_PORT: u16 = 49152;

/// The addresses of the host besides those of its loopback, reserved for documentation (RFC 5737, 3849).
const HOME_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const HOME_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// How long the side that closed first keeps its port (TCP_TIMEWAIT_LEN).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// The address to which a socket is bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) addr: SocketAddr,
    /// Whether `[::]` leaves IPv4 alone.
    pub(crate) v6_only: bool,
    /// SO_REUSEADDR.
    pub(crate) reuse: bool,
    /// SO_REUSEPORT.
    pub(crate) share: bool,
}

impl Bound {
    /// What a socket has that connects: it sets no options.
    pub(crate) fn plain(addr: SocketAddr) -> Self {
        Self { addr, v6_only: false, reuse: false, share: false }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (canonical(self.addr), canonical(other.addr));
        one.port() == two.port() && (one.ip() == two.ip() || self.covers(two) || other.covers(one))
    }

    /// Whether a socket bound so keeps another from being bound; neither listens.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        self.overlaps(other) && !(self.reuse && other.reuse) && !(self.share && other.share)
    }

    /// Whether a socket bound so gets what is sent to an address.
    pub(super) fn takes(&self, to: SocketAddr) -> bool {
        let (own, to) = (canonical(self.addr), canonical(to));
        own == to || (own.port() == to.port() && is_here(to.ip()) && self.covers(to))
    }

    fn covers(&self, other: SocketAddr) -> bool {
        match canonical(self.addr).ip() {
            IpAddr::V4(ip) => ip.is_unspecified() && other.is_ipv4(),
            IpAddr::V6(ip) => ip.is_unspecified() && (other.is_ipv6() || !self.v6_only),
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.addr.ip().is_unspecified()
    }
}

/// A port in TIME_WAIT.
#[derive(Debug)]
pub(super) struct Resting {
    bound: Bound,
    until: Instant,
}

impl Network {
    /// The address that a TCP socket gets by bind(2); port 0 becomes a free one.
    pub(super) fn claim(&mut self, wanted: Bound, foreign: bool) -> Result<SocketAddr, Fault> {
        let mut addr = wanted.addr;
        if !foreign && !may_be_bound(addr.ip()) {
            return Err(Fault::NotAvailable);
        }
        if addr.port() == 0 {
            addr.set_port(self.fresh_port()?);
        }
        let wanted = Bound { addr, ..wanted };
        if self.is_taken(&wanted) { Err(Fault::InUse) } else { Ok(addr) }
    }

    fn is_taken(&mut self, wanted: &Bound) -> bool {
        let now = self.clock.now();
        self.resting.retain(|resting| resting.until > now);
        let listens = self.listening.iter().any(|(place, listening)| match place {
            Place::Inet(..) => {
                let bound = listening.bound;
                bound.overlaps(wanted) && !(bound.share && wanted.share)
            }
            Place::Unix(_) => false,
        });
        let connected = self.links.iter().flat_map(|(_, link)| held_by(link));
        let resting = self.resting.iter().map(|resting| resting.bound);
        listens || connected.chain(resting).any(|other| other.excludes(wanted))
    }

    /// Keeps the port of the side that finished first.
    pub(super) fn rest_port(&mut self, link: &Link) {
        let both = link.pipes.iter().all(|pipe| pipe.finished);
        let Some(side) = link.first_to_finish.filter(|_| both) else { return };
        let until = later(self.clock.now(), TIME_WAIT);
        if let Some(bound) = bound_of(link, side) {
            self.resting.push(Resting { bound, until });
        }
    }

    /// A port that nothing on this host uses.
    pub(crate) fn fresh_port(&mut self) -> Result<u16, Fault> {
        for _ in FIRST_EPHEMERAL_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
            let everywhere = |ip| Bound::plain(SocketAddr::new(ip, port));
            let taken = self.is_taken(&everywhere(Ipv6Addr::UNSPECIFIED.into()));
            if !taken && !self.post.has_port(port) {
                return Ok(port);
            }
        }
        Err(Fault::InUse)
    }

    /// The local address of a connection.
    ///
    /// # Errors
    ///
    /// The outer error is that of connect(2), the inner that of bind(2).
    pub(super) fn route(
        &mut self,
        from: Option<SocketAddr>,
        to: SocketAddr,
    ) -> Result<Result<SocketAddr, Fault>, Fault> {
        let any = SocketAddr::new(unspecified(to.ip()), 0);
        let mut local = from.unwrap_or(any);
        if local.is_ipv4() != to.is_ipv4() {
            return Ok(Err(if to.is_ipv4() { Fault::WrongFamily } else { Fault::Invalid }));
        }
        if from.is_some() || !is_group(to.ip()) {
            match self.claim(Bound::plain(local), false) {
                Ok(addr) => local = addr,
                Err(fault) => return Ok(Err(fault)),
            }
        }
        if is_group(to.ip()) {
            return Err(Fault::NoNetwork);
        }
        local.set_ip(source(local.ip(), to.ip())?);
        Ok(Ok(local))
    }
}

/// The ports that a connection keeps taken on this host.
fn held_by(link: &Link) -> impl Iterator<Item = Bound> {
    (0..2)
        .filter(|&side| link.ends[side].open || link.request.is_none())
        .filter_map(|side| bound_of(link, side))
}

/// An accepted connection may share its port, since its listener may; one that connected may not.
fn bound_of(link: &Link, side: usize) -> Option<Bound> {
    match link.ends[side].local {
        Address::Tcp(addr) if link.kind == Kind::Tcp && is_here(canonical(addr).ip()) => {
            Some(Bound { reuse: side == 1, ..Bound::plain(addr) })
        }
        _ => None,
    }
}

/// The address from which a socket bound to `from` sends to another.
pub(super) fn source(from: IpAddr, to: IpAddr) -> Result<IpAddr, Fault> {
    let (plain, far) = (from.to_canonical(), !is_here(to.to_canonical()));
    if !from.is_unspecified() {
        return if plain.is_loopback() && far { Err(Fault::Invalid) } else { Ok(from) };
    }
    Ok(match (to, far) {
        (IpAddr::V4(_), false) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V4(_), true) => HOME_V4.into(),
        (IpAddr::V6(ip), far) => match ip.to_ipv4_mapped() {
            Some(_) => if far { HOME_V4 } else { Ipv4Addr::LOCALHOST }.to_ipv6_mapped().into(),
            None => if far { HOME_V6 } else { Ipv6Addr::LOCALHOST }.into(),
        },
    })
}

/// The address that a packet for `to` reaches: a wildcard means this host.
pub(super) fn target(mut to: SocketAddr) -> SocketAddr {
    if to.ip().is_unspecified() {
        to.set_ip(match to {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    to
}

/// An IPv4 address that is written as one of IPv6 is one of IPv4.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// An address as a socket of IPv6 sees it.
pub(super) fn mapped(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
        IpAddr::V6(_) => addr,
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether an address is one of this host's.
pub(super) fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip == HOME_V4 || ip == HOME_V6
}

/// Whether bind(2) takes an address: the host's own, wildcards, and those of groups.
pub(super) fn may_be_bound(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    is_here(ip) || ip.is_unspecified() || is_group(ip)
}

/// Whether an address is that of many hosts: a connection to them is not possible.
pub(super) fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast() || is_broadcast(ip)
}

pub(super) fn is_broadcast(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}
