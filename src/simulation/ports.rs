//! Addresses of the simulated host: which are its own, and which exclude each other.
//!
//! As in Linux: sockets whose addresses overlap cannot have one port, unless both may reuse it
//! (SO_REUSEADDR) and neither listens. A wildcard overlaps with every address of its family, and `[::]`
//! with those of IPv4 too, unless it is for IPv6 only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fault::Fault;

/// The addresses of the host besides those of its loopback, reserved for documentation (RFC 5737, 3849).
const HOME_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const HOME_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

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
    /// Without options.
    pub(crate) fn plain(addr: SocketAddr) -> Self {
        Self { addr, v6_only: false, reuse: false, share: false }
    }

    /// # Errors
    ///
    /// As bind(2), which takes the addresses of the host, wildcards, and those of groups.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let (ip, plain) = (self.addr.ip(), self.addr.ip().to_canonical());
        if self.v6_only && ip.is_ipv6() && plain.is_ipv4() {
            return Err(Fault::Invalid);
        }
        let takes = is_here(plain) || plain.is_unspecified() || is_group(plain);
        if takes { Ok(()) } else { Err(Fault::NotAvailable) }
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
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

/// With whom the socket of a connection shares its port. An accepted one has this from its listener.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sharing {
    /// SO_REUSEADDR.
    pub(crate) reuse: bool,
    /// SO_REUSEPORT.
    pub(crate) share: bool,
}

impl From<Bound> for Sharing {
    fn from(bound: Bound) -> Self {
        Self { reuse: bound.reuse, share: bound.share }
    }
}

/// Socket options that have no effect here, but can be asked for.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Remembered {
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: bool,
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

/// # Errors
///
/// If a socket that is bound to an address of one family cannot reach one of the other.
pub(super) fn check_families(from: IpAddr, to: IpAddr) -> Result<(), Fault> {
    match (from.to_canonical().is_ipv4(), to.to_canonical().is_ipv4()) {
        _ if from.is_unspecified() => Ok(()),
        (false, true) => Err(Fault::NoNetwork),
        (true, false) => Err(Fault::WrongFamily),
        _ => Ok(()),
    }
}

/// The address that a packet of a socket bound to `from` reaches: a wildcard means this host, that of IPv4 the
/// socket's own address.
pub(super) fn target(mut to: SocketAddr, from: Option<IpAddr>) -> SocketAddr {
    let v4 = from.map(|ip| ip.to_canonical()).filter(IpAddr::is_ipv4);
    let own = v4.filter(|ip| !ip.is_unspecified() && !is_group(*ip));
    if to.ip().is_unspecified() {
        to.set_ip(match (to, v4) {
            (SocketAddr::V4(_), _) => own.unwrap_or_else(|| Ipv4Addr::LOCALHOST.into()),
            (SocketAddr::V6(_), Some(_)) => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
            (SocketAddr::V6(_), None) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    to
}

/// An IPv4 address that is written as one of IPv6 is one of IPv4.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

pub(super) fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether an address is one of this host's.
pub(super) fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip == HOME_V4 || ip == HOME_V6
}

/// Whether an address is that of many hosts: a connection to them is not possible.
pub(super) fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast() || is_broadcast(ip)
}

pub(super) fn is_broadcast(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}
