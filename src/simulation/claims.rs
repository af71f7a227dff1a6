//! Which ports are taken.
//!
//! A connection keeps the ports of its ends. The side that closed first keeps its port for a minute longer
//! (TIME_WAIT).

use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::link::{Kind, Link, Stage};
use super::listener::Place;
use super::network::Network;
use super::ports::{
    Bound, Sharing, canonical, check_families, is_group, is_here, source, unspecified,
};
use crate::address::Address;
use crate::parts::clock::later;

/// The ports that the system gives out (net.ipv4.ip_local_port_range).
pub(super) const FIRST_EPHEMERAL_PORT: u16 = 32_768;
const LAST_EPHEMERAL_PORT: u16 = 60_999;

/// How long the side that closed first keeps its port (TCP_TIMEWAIT_LEN).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// A port in TIME_WAIT, and the peer of its last connection.
#[derive(Debug)]
pub(super) struct Resting {
    bound: Bound,
    peer: Address,
    until: Instant,
}

impl Network {
    /// The address that a TCP socket gets by bind(2); port 0 becomes a free one.
    pub(super) fn claim(&mut self, wanted: Bound, foreign: bool) -> Result<SocketAddr, Fault> {
        let mut addr = wanted.addr;
        if !foreign {
            wanted.check()?;
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
            self.resting.push(Resting { bound, peer: link.ends[side].peer.clone(), until });
        }
    }

    /// Ends TIME_WAIT, since the same two addresses connect again.
    pub(super) fn wake_port(&mut self, local: &Address, peer: &Address) {
        self.resting.retain(|resting| {
            Address::Tcp(canonical(resting.bound.addr)) != *local || resting.peer != *peer
        });
    }

    /// Whether a socket of this host has a connection with these addresses, or asks for one. A closed one
    /// whose FIN has arrived (FIN_WAIT2, TIME_WAIT) gives way, as Linux has it.
    fn is_connected(&self, local: &Address, peer: &Address) -> bool {
        let same = |link: &Link, side: usize| {
            let end = &link.ends[side];
            let gives_way = !end.open && link.pipes[side].end_arrived;
            end.local == *local && end.peer == *peer && end.stage != Stage::Down && !gives_way
        };
        self.links.iter().any(|(_, link)| sides_of(link).any(|side| same(link, side)))
    }

    /// A port that nothing on this host uses.
    pub(crate) fn fresh_port(&mut self) -> Result<u16, Fault> {
        let everywhere = Bound::plain((Ipv6Addr::UNSPECIFIED, 0).into());
        self.choose_port(|network, port| {
            let addr = SocketAddr::new(everywhere.addr.ip(), port);
            network.is_taken(&Bound { addr, ..everywhere })
        })
        .ok_or(Fault::InUse)
    }

    /// A port to connect from, where the system chooses. Connections to different places may share it.
    fn outgoing_port(&mut self, to: SocketAddr) -> Result<u16, Fault> {
        let to = Address::Tcp(canonical(to));
        self.choose_port(|network, port| {
            let listens =
                |place: &Place| matches!(place, Place::Inet(addr, _) if addr.port() == port);
            let leads_there =
                |link: &Link| link.ends[0].local.port() == Some(port) && link.ends[0].peer == to;
            network.listening.keys().any(listens)
                || network.links.iter().any(|(_, link)| leads_there(link))
        })
        .ok_or(Fault::NotAvailable)
    }

    /// The next port that is not taken, also by no datagram socket.
    fn choose_port(&mut self, is_taken: impl Fn(&mut Self, u16) -> bool) -> Option<u16> {
        for _ in FIRST_EPHEMERAL_PORT..=LAST_EPHEMERAL_PORT {
            let port = self.next_port;
            self.next_port =
                if port < LAST_EPHEMERAL_PORT { port + 1 } else { FIRST_EPHEMERAL_PORT };
            if !self.post.has_port(port) && !is_taken(self, port) {
                return Some(port);
            }
        }
        None
    }

    /// The local address of a connection.
    ///
    /// # Errors
    ///
    /// The outer error is that of connect(2), the inner that of bind(2).
    pub(super) fn route(
        &mut self,
        from: Option<Bound>,
        to: SocketAddr,
    ) -> Result<Result<SocketAddr, Fault>, Fault> {
        let any = SocketAddr::new(unspecified(to.ip()), 0);
        let mut local = from.map_or(any, |from| from.addr);
        if local.is_ipv4() != to.is_ipv4() {
            return Ok(Err(if to.is_ipv4() { Fault::WrongFamily } else { Fault::Invalid }));
        }
        if let Some(from) = from {
            match self.claim(from, false) {
                Ok(addr) => local = addr,
                Err(fault) => return Ok(Err(fault)),
            }
        }
        if is_group(to.ip()) {
            return Err(Fault::NoNetwork);
        }
        if from.is_none() {
            local.set_port(self.outgoing_port(to)?);
        }
        check_families(local.ip(), to.ip())?;
        local.set_ip(source(local.ip(), to.ip())?);
        if self.is_connected(&Address::Tcp(canonical(local)), &Address::Tcp(canonical(to))) {
            return Err(Fault::NotAvailable);
        }
        Ok(Ok(local))
    }
}

/// The ports that a connection keeps taken on this host.
fn held_by(link: &Link) -> impl Iterator<Item = Bound> {
    sides_of(link).filter_map(|side| bound_of(link, side))
}

/// The ends that have a socket: before the answer to a request only one, and after a reset those that are
/// not closed.
fn sides_of(link: &Link) -> impl Iterator<Item = usize> {
    (0..2).filter(|&side| {
        let end = &link.ends[side];
        let is_gone = end.stage == Stage::Down && link.first_to_finish.is_none();
        if link.request.is_some() { side == 0 && end.open } else { end.open || !is_gone }
    })
}

fn bound_of(link: &Link, side: usize) -> Option<Bound> {
    let end = &link.ends[side];
    match end.local {
        Address::Tcp(addr) if link.kind == Kind::Tcp && is_here(canonical(addr).ip()) => {
            let Sharing { reuse, share } = end.sharing;
            Some(Bound { reuse, share, ..Bound::plain(addr) })
        }
        _ => None,
    }
}
