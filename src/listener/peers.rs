//! How many connections each peer has.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use crate::address::Address;
use crate::parts::surplus::surplus;

/// A limit for each peer. Behind a trait, so that a program without one links no map: that is six kilobytes.
pub(crate) trait PeerLimit: fmt::Debug + Send + Sync {
    /// Whether a peer has as many connections as allowed.
    fn is_reached(&self, peer: &Address) -> bool;

    /// Counts a new connection.
    fn came(&mut self, peer: &Address);

    /// Counts a connection that is gone.
    fn went(&mut self, peer: &Address);
}

/// Peers by their IP addresses.
#[derive(Debug)]
pub(super) struct Peers {
    max: usize,
    connections: HashMap<IpAddr, usize>,
}

impl Peers {
    pub(super) fn at_most(max: usize) -> Self {
        Self { max, connections: HashMap::new() }
    }

    fn give_memory_back(&mut self) {
        if let Some(room) = surplus(self.connections.len(), self.connections.capacity()) {
            self.connections.shrink_to(room);
        }
    }
}

impl PeerLimit for Peers {
    fn is_reached(&self, peer: &Address) -> bool {
        counted(peer).is_some_and(|ip| self.connections.get(&ip).copied().unwrap_or(0) >= self.max)
    }

    fn came(&mut self, peer: &Address) {
        if let Some(ip) = counted(peer) {
            *self.connections.entry(ip).or_default() += 1;
        }
    }

    fn went(&mut self, peer: &Address) {
        let Some(ip) = counted(peer) else { return };
        if let Some(count) = self.connections.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.connections.remove(&ip);
                self.give_memory_back();
            }
        }
    }
}

/// The address that a peer is counted by. IPv4 mapped to IPv6 is IPv4.
fn counted(peer: &Address) -> Option<IpAddr> {
    peer.ip().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn peer(number: u32) -> Address {
        let ip = Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(number));
        Address::Tcp((ip, 1).into())
    }

    #[test]
    fn the_memory_of_many_peers_is_given_back() {
        const MANY: u32 = 100_000;
        let mut peers = Peers::at_most(1);
        (0..MANY).for_each(|number| peers.came(&peer(number)));
        let peak = peers.connections.capacity();
        (10..MANY).for_each(|number| peers.went(&peer(number)));
        let left = peers.connections.capacity();
        assert!(left < peak / 50, "room for {left} after {peak}");
        assert!((0..20).all(|number| peers.is_reached(&peer(number)) == (number < 10)));
    }
}
