//! How many connections each peer has.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use crate::address::Address;

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
            }
        }
    }
}

/// The address that a peer is counted by. IPv4 mapped to IPv6 is IPv4.
fn counted(peer: &Address) -> Option<IpAddr> {
    peer.ip().map(|ip| ip.to_canonical())
}
