//! A listening address in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
#[cfg(unix)]
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::rc::Rc;

use mio::Token;

use super::fault::Fault;
use super::network::Network;
use super::ports::{Bound, Remembered};
use super::stream::MemoryStream;
use crate::address::{Address, UnixAddress};
#[cfg(unix)]
use crate::system::error::server_is_alive;
use crate::system::options::SocketOptions;
use crate::system::poller::Readiness;
use crate::system::simulated::SimulatedListener;
use crate::system::stream::Stream;

/// The longest queue of connections that wait to be accepted (net.core.somaxconn).
const LONGEST_QUEUE: usize = 4096;

/// The name of a listener.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Place {
    /// With a number, for sockets that share their port.
    Inet(SocketAddr, usize),
    #[cfg_attr(not(unix), expect(dead_code, reason = "for paths of Unix sockets"))]
    Unix(UnixAddress),
}

impl Place {
    fn number(&self) -> usize {
        match self {
            Self::Inet(_, number) => *number,
            Self::Unix(_) => 0,
        }
    }
}

/// The state of a listening address.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) bound: Bound,
    /// The option that accepted connections inherit.
    pub(super) options: Remembered,
    pub(super) token: Option<Token>,
    pub(super) backlog: usize,
    /// Links whose far end (side 1) waits to be accepted.
    pub(super) queue: VecDeque<usize>,
    /// Errors for the next accepts.
    pub(super) errors: VecDeque<io::Error>,
}

impl Listening {
    fn new(bound: Bound, backlog: usize, options: Remembered) -> Self {
        let backlog = backlog.min(LONGEST_QUEUE);
        let (queue, errors) = (VecDeque::new(), VecDeque::new());
        Self { bound, options, token: None, backlog, queue, errors }
    }

    /// The kernel's queue holds one more than it was asked for.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() <= self.backlog
    }
}

/// The owner of a listening address of the network.
#[derive(Debug)]
pub(crate) struct MemoryListener {
    network: Rc<RefCell<Network>>,
    place: Place,
}

impl MemoryListener {
    /// Listens at an address of this host.
    pub(crate) fn bind(
        network: &Rc<RefCell<Network>>,
        addr: SocketAddr,
        backlog: usize,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let bound = options.for_fixed_address().bound(addr);
        Self::listen(network, bound, false, backlog, options.remembered())
    }

    /// Listens outside of the reactor, at an address of any host.
    pub(crate) fn bind_outside(
        network: &Rc<RefCell<Network>>,
        addr: SocketAddr,
    ) -> io::Result<Self> {
        let bound = Bound { reuse: true, ..Bound::plain(addr) };
        Self::listen(network, bound, true, usize::MAX, Remembered::default())
    }

    fn listen(
        network: &Rc<RefCell<Network>>,
        bound: Bound,
        foreign: bool,
        backlog: usize,
        options: Remembered,
    ) -> io::Result<Self> {
        let mut net = network.borrow_mut();
        let addr = net.claim(bound, foreign)?;
        let sharing = net.listening.keys();
        let sharing =
            sharing.filter(|place| matches!(place, Place::Inet(known, _) if *known == addr));
        let next = sharing.map(|place| place.number() + 1).max();
        let place = Place::Inet(addr, next.unwrap_or(0));
        let listening = Listening::new(Bound { addr, ..bound }, backlog, options);
        net.listening.insert(place.clone(), listening);
        Ok(Self { network: Rc::clone(network), place })
    }

    /// Listens at the path of a Unix socket.
    #[cfg(unix)]
    pub(crate) fn bind_unix(
        network: &Rc<RefCell<Network>>,
        path: UnixAddress,
        backlog: usize,
    ) -> io::Result<Self> {
        let mut net = network.borrow_mut();
        let place = Place::Unix(path.clone());
        if net.listening.contains_key(&place) {
            if path.as_pathname().is_none() {
                return Err(Fault::InUse.into());
            }
            net.look_for_server(&path);
            return Err(server_is_alive());
        }
        let nowhere = Bound::plain((Ipv4Addr::UNSPECIFIED, 0).into());
        let listening = Listening::new(nowhere, backlog, Remembered::default());
        net.listening.insert(place.clone(), listening);
        Ok(Self { network: Rc::clone(network), place })
    }

    /// Accepts.
    pub(super) fn take(&self) -> io::Result<(MemoryStream, Address)> {
        let mut net = self.network.borrow_mut();
        let listening = net.listening.get_mut(&self.place).ok_or(Fault::Invalid)?;
        if let Some(error) = listening.errors.pop_front() {
            return Err(error);
        }
        let link = listening.queue.pop_front().ok_or(Fault::WouldBlock)?;
        let peer = net.links[link].ends[1].peer.clone();
        Ok((MemoryStream::end(&self.network, link, 1), peer))
    }
}

impl SimulatedListener for MemoryListener {
    fn accept(&self) -> io::Result<(Stream, Address)> {
        self.take().map(|(stream, addr)| (Stream::simulated(stream), addr))
    }

    fn local_addr(&self) -> Address {
        match &self.place {
            Place::Inet(addr, _) => Address::Tcp(*addr),
            Place::Unix(path) => Address::Unix(path.clone()),
        }
    }

    fn register(&self, token: Token) {
        let mut net = self.network.borrow_mut();
        let Some(listening) = net.listening.get_mut(&self.place) else { return };
        listening.token = Some(token);
        if !listening.queue.is_empty() {
            net.announce(token, Readiness::READABLE);
        }
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut net = self.network.borrow_mut();
        let Some(listening) = net.listening.remove(&self.place) else { return };
        if let Some(token) = listening.token {
            net.ready.retain(|(ready, _)| *ready != token);
        }
        for link in listening.queue {
            net.turn_away(link);
        }
    }
}

impl Network {
    pub(crate) fn inject_accept_error(&mut self, at: SocketAddr, error: io::Error) {
        let at_address = |(place, _): &(&Place, &mut Listening)| match place {
            Place::Inet(addr, _) => *addr == at,
            Place::Unix(_) => false,
        };
        let Some((_, listening)) = self.listening.iter_mut().find(at_address) else { return };
        listening.errors.push_back(error);
        if let Some(token) = listening.token {
            self.announce(token, Readiness::READABLE);
        }
    }
}
