//! The host of a simulated reactor: the network, and the clock that a sleep moves.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Token;

use super::datagrams::MemoryDatagrams;
use super::listener::MemoryListener;
use super::network::Network;
use super::stream::MemoryStream;
#[cfg(unix)]
use crate::address::UnixAddress;
use crate::parts::clock::Clock;
use crate::parts::pool::Job;
use crate::system::acceptor::Acceptor;
use crate::system::options::SocketOptions;
use crate::system::poller::Readiness;
use crate::system::simulated::{SimulatedDatagrams, SimulatedHost};
use crate::system::stream::Stream;

/// The host of a simulated reactor.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) network: Rc<RefCell<Network>>,
    pub(super) clock: Clock,
}

impl SimulatedHost for Host {
    fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<(Token, Readiness)>> {
        let mut network = self.network.borrow_mut();
        let ready = network.step();
        if !ready.is_empty() || timeout == Some(Duration::ZERO) {
            return Ok(ready);
        }
        let now = self.clock.now();
        let next = network.next_event().map(|at: Instant| at.saturating_duration_since(now));
        let Some(wait) = next.into_iter().chain(timeout).min() else {
            return Err(io::Error::other(
                "the simulated reactor would sleep for ever: nothing could wake it",
            ));
        };
        self.clock.wind(wait);
        Ok(network.step())
    }

    fn connect(
        &self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<io::Result<Stream>> {
        let bound = MemoryStream::connect(&self.network, from, to, options)?;
        Ok(bound.map(Stream::simulated))
    }

    #[cfg(unix)]
    fn connect_unix(&self, to: &UnixAddress) -> io::Result<Stream> {
        MemoryStream::connect_unix(&self.network, to).map(Stream::simulated)
    }

    fn listen(
        &self,
        addr: SocketAddr,
        backlog: usize,
        options: &SocketOptions,
    ) -> io::Result<Acceptor> {
        let listener = MemoryListener::bind(&self.network, addr, backlog, options)?;
        Ok(Acceptor::Simulated(Box::new(listener)))
    }

    #[cfg(unix)]
    fn listen_unix(&self, path: UnixAddress, backlog: usize) -> io::Result<Acceptor> {
        let listener = MemoryListener::bind_unix(&self.network, path, backlog)?;
        Ok(Acceptor::Simulated(Box::new(listener)))
    }

    fn bind_datagrams(
        &self,
        addr: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<Box<dyn SimulatedDatagrams>> {
        Ok(Box::new(MemoryDatagrams::bind(&self.network, addr, options)?))
    }

    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.network.borrow().resolve(host, port)
    }

    fn is_slow(&self, host: &str) -> bool {
        self.network.borrow().slow_names.is_slow(host)
    }

    fn begin_lookup(&self, host: &str, answer: Job) {
        self.network.borrow_mut().slow_names.begin(self.clock.now(), host, answer);
    }
}
