//! A listening address in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
#[cfg(unix)]
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::rc::Rc;

use mio::Token;

use super::network::Network;
use super::stream::MemoryStream;
#[cfg(unix)]
use crate::address::UnixAddress;
use crate::system::poller::Readiness;

/// The state of a listening address.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) token: Option<Token>,
    pub(super) backlog: usize,
    /// Links whose far end (side 1) waits to be accepted.
    pub(super) queue: VecDeque<usize>,
    /// Errors for the next accepts.
    pub(super) errors: VecDeque<io::Error>,
}

impl Listening {
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < self.backlog
    }
}

/// The owner of a listening address of the network.
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
        if net.listening.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let backlog = backlog.max(1);
        let (queue, errors) = (VecDeque::new(), VecDeque::new());
        net.listening.insert(addr, Listening { token: None, backlog, queue, errors });
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
        let listening = net.listening.get_mut(&self.addr).ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(error) = listening.errors.pop_front() {
            return Err(error);
        }
        let link = listening.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let peer = net.links[link].ends[0].addr;
        Ok((MemoryStream::end(&self.network, link, 1), peer))
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn register(&self, token: Token) {
        let mut net = self.network.borrow_mut();
        let Some(listening) = net.listening.get_mut(&self.addr) else { return };
        listening.token = Some(token);
        if !listening.queue.is_empty() {
            net.announce(token, Readiness::READABLE);
        }
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut net = self.network.borrow_mut();
        let Some(listening) = net.listening.remove(&self.addr) else { return };
        if let Some(token) = listening.token {
            net.ready.retain(|(ready, _)| *ready != token);
        }
        for link in listening.queue {
            net.send_reset(link, 1);
            net.close(link, 1);
        }
    }
}
