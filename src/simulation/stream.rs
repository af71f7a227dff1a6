//! One end of a connection in memory.

use std::cell::RefCell;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use mio::Token;

use super::link::Payload;
use super::network::Network;
#[cfg(unix)]
use crate::address::UnixAddress;
use crate::parts::clock::later;
use crate::system::poller::Readiness;

/// One end of a link.
#[derive(Debug)]
pub(crate) struct MemoryStream {
    network: Rc<RefCell<Network>>,
    link: u32,
    /// Which end it is, 0 or 1.
    side: bool,
}

impl MemoryStream {
    /// Both ends of a new connection.
    pub(crate) fn pair(
        network: &Rc<RefCell<Network>>,
        from: SocketAddr,
        to: SocketAddr,
    ) -> (Self, Self) {
        let mut net = network.borrow_mut();
        let link = net.new_link(from, to);
        for end in &mut net.links[link].ends {
            end.connected = true;
        }
        (Self::end(network, link, 0), Self::end(network, link, 1))
    }

    /// Starts to connect; readiness reports the result, as with a socket.
    pub(crate) fn connect(
        network: &Rc<RefCell<Network>>,
        from: Option<SocketAddr>,
        to: SocketAddr,
    ) -> Self {
        let mut net = network.borrow_mut();
        let from = from.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let port = if from.port() == 0 { net.fresh_port() } else { from.port() };
        let link = net.new_link(SocketAddr::new(from.ip(), port), to);
        let arrives = later(net.clock.now(), net.latency);
        net.links[link].request = Some(arrives);
        Self::end(network, link, 0)
    }

    /// Starts to connect to the server of a Unix socket.
    #[cfg(unix)]
    pub(crate) fn connect_unix(
        network: &Rc<RefCell<Network>>,
        path: &UnixAddress,
    ) -> io::Result<Self> {
        let to = network.borrow().unix_server(path)?;
        Ok(Self::connect(network, None, to))
    }

    pub(super) fn end(network: &Rc<RefCell<Network>>, link: usize, side: u8) -> Self {
        Self { network: Rc::clone(network), link: link as u32, side: side == 1 }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Network, usize, usize) -> R) -> R {
        f(&mut self.network.borrow_mut(), self.link as usize, self.side.into())
    }

    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.with(|net, link, side| {
            let link = &mut net.links[link];
            let pipe = &mut link.pipes[1 - side];
            if !pipe.arrived.is_empty() {
                let count = buf.len().min(pipe.arrived.len());
                for (to, from) in buf.iter_mut().zip(pipe.arrived.drain(..count)) {
                    *to = from;
                }
                return Ok(count);
            }
            match link.ends[side].error {
                Some(kind) => Err(kind.into()),
                None if pipe.end_arrived => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }

    /// Whether everything was read, including the peer's FIN.
    pub(crate) fn at_end(&self) -> bool {
        self.with(|net, link, side| {
            let pipe = &net.links[link].pipes[1 - side];
            pipe.arrived.is_empty() && pipe.end_arrived
        })
    }

    pub(crate) fn write(&self, data: &[u8]) -> io::Result<usize> {
        self.with(|net, index, side| {
            let link = &net.links[index];
            if let Some(kind) = link.ends[side].error {
                return Err(kind.into());
            }
            // Bytes written while the connection is being made travel once it is established.
            let pending = link.request.is_some();
            if !(link.ends[side].connected || pending) || link.pipes[side].finished {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let space = net.window.saturating_sub(link.pipes[side].in_window());
            let count = net.piece(data.len().min(space));
            let arrives = later(net.clock.now(), net.latency);
            let pipe = &mut net.links[index].pipes[side];
            pipe.sender_waits = count < data.len();
            if count == 0 && !data.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            pipe.send(arrives, Payload::Bytes(data[..count].to_vec()));
            Ok(count)
        })
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.with(|net, index, side| {
            if !net.links[index].ends[side].connected || net.links[index].ends[side].error.is_some()
            {
                return Err(io::ErrorKind::NotConnected.into());
            }
            if how != Shutdown::Read {
                net.finish(index, side);
            }
            Ok(())
        })
    }

    /// Resets the connection, as closing with SO_LINGER 0 does.
    pub(crate) fn reset(&self) {
        self.with(|net, link, side| net.send_reset(link, side));
    }

    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.with(|net, link, side| net.links[link].ends[side].error.take().map(Into::into))
    }

    /// The peer's address; `NotConnected` before the connection is established, or once it failed.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with(|net, link, side| {
            let ends = &net.links[link].ends;
            let connected = ends[side].connected && ends[side].error.is_none();
            if connected {
                Ok(ends[1 - side].addr)
            } else {
                Err(io::ErrorKind::NotConnected.into())
            }
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.with(|net, link, side| net.links[link].ends[side].addr)
    }

    /// Registers this end under `token`, and reports its present readiness.
    pub(crate) fn register(&self, token: Token) {
        self.with(|net, index, side| {
            let link = &mut net.links[index];
            link.ends[side].token = Some(token);
            let mut readiness = Readiness::default();
            let incoming = &link.pipes[1 - side];
            if !incoming.arrived.is_empty() {
                readiness |= Readiness::READABLE;
            }
            if incoming.end_arrived {
                readiness |= Readiness::READABLE | Readiness::READ_CLOSED;
            }
            if link.ends[side].error.is_some() {
                readiness |= Readiness::FAILED;
            }
            let outgoing = &mut link.pipes[side];
            if link.ends[side].connected && outgoing.in_window() < net.window {
                outgoing.sender_waits = false;
                readiness |= Readiness::WRITABLE;
            }
            if readiness != Readiness::default() {
                net.announce(token, readiness);
            }
        });
    }
}

impl Network {
    pub(super) fn finish(&mut self, index: usize, side: usize) {
        let arrives = later(self.clock.now(), self.latency);
        let pipe = &mut self.links[index].pipes[side];
        if !pipe.finished {
            pipe.finished = true;
            pipe.send(arrives, Payload::End);
        }
    }

    pub(super) fn send_reset(&mut self, index: usize, side: usize) {
        let arrives = later(self.clock.now(), self.latency);
        let pipe = &mut self.links[index].pipes[side];
        pipe.finished = true;
        pipe.drop_flying();
        pipe.send(arrives, Payload::Reset(io::ErrorKind::ConnectionReset));
    }

    pub(super) fn close(&mut self, index: usize, side: usize) {
        let end = &mut self.links[index].ends[side];
        end.open = false;
        if let Some(token) = end.token.take() {
            self.ready.retain(|(ready, _)| *ready != token);
        }
        let link = &mut self.links[index];
        let unread = !link.pipes[1 - side].arrived.is_empty();
        if link.request.take().is_some() {
            link.ends[1].open = false; // the request has not arrived yet
        } else if link.ends[side].connected && link.ends[side].error.is_none() {
            if unread {
                self.send_reset(index, side);
            } else {
                self.finish(index, side);
            }
        }
        self.sweep(index);
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.with(Network::close);
    }
}
