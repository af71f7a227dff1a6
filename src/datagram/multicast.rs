//! Groups: one datagram for many hosts.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::DatagramTransport;

/// # Multicast
impl DatagramTransport<'_> {
    /// Joins a group at the interface that has this address (0.0.0.0: the system chooses).
    ///
    /// Twisted's `joinGroup`.
    ///
    /// # Errors
    ///
    /// The system's error, and `Unsupported` in a simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use crocus::{DatagramProtocol, DatagramTransport, Reactor};
    ///
    /// const MDNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
    ///
    /// struct Group;
    ///
    /// impl DatagramProtocol for Group {
    ///     fn start_protocol(&mut self, transport: &mut DatagramTransport) {
    ///         if let Err(error) = transport.join_multicast_v4(MDNS, Ipv4Addr::LOCALHOST) {
    ///             println!("cannot join the group: {error}"); // not every system can here
    ///         }
    ///     }
    ///
    ///     fn shutting_down(&mut self, transport: &mut DatagramTransport) {
    ///         let _ = transport.leave_multicast_v4(MDNS, Ipv4Addr::LOCALHOST);
    ///         transport.stop_listening(); // this alone leaves too
    ///     }
    /// }
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.listen_udp("127.0.0.1:0", Group)?;
    /// reactor.turn(None)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn join_multicast_v4(&mut self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket()?.real()?.join_multicast_v4(&group, &interface)
    }

    /// Leaves a group joined by [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// As for joining.
    pub fn leave_multicast_v4(&mut self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket()?.real()?.leave_multicast_v4(&group, &interface)
    }

    /// Joins a group at the interface of this index (0: the system chooses).
    ///
    /// # Errors
    ///
    /// The system's error, and `Unsupported` in a simulation.
    pub fn join_multicast_v6(&mut self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket()?.real()?.join_multicast_v6(&group, interface)
    }

    /// Leaves a group joined by [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// As for joining.
    pub fn leave_multicast_v6(&mut self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket()?.real()?.leave_multicast_v6(&group, interface)
    }
}
