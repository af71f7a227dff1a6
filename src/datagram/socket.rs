//! A datagram socket: UDP, or simulated, behind one enum.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::system::adopted::adopted;
use crate::system::binding::{mapped, plain};
use crate::system::options::{Kind, Origin, SocketOptions};
use crate::system::simulated::SimulatedDatagrams;
use crate::system::stream::no_sockets;

#[derive(Debug)]
pub(crate) enum DatagramSocket {
    /// With the form in which the kernel takes an address of a peer: an IPv6 socket reaches IPv4 too.
    Udp(UdpSocket, fn(SocketAddr) -> SocketAddr),
    Simulated(Box<dyn SimulatedDatagrams>),
}

impl DatagramSocket {
    pub(crate) fn bind(addr: SocketAddr, options: &SocketOptions) -> io::Result<Self> {
        let domain = Domain::for_address(addr);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        options.apply(&socket, Kind::Udp, Origin::New(domain))?;
        socket.bind(&addr.into())?;
        socket.set_nonblocking(true)?;
        Ok(Self::new(socket.into(), addr))
    }

    /// Takes over a socket that is bound.
    pub(crate) fn adopt(socket: std::net::UdpSocket, options: &SocketOptions) -> io::Result<Self> {
        let found = adopted(&socket)?;
        options.apply(&found, Kind::Udp, Origin::Adopted)?;
        let local = socket.local_addr()?;
        Ok(Self::new(socket, local))
    }

    fn new(socket: std::net::UdpSocket, local: SocketAddr) -> Self {
        let to_system = if local.is_ipv6() { mapped } else { |addr| addr };
        Self::Udp(UdpSocket::from_std(socket), to_system)
    }

    pub(crate) fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Udp(socket, _) => socket.recv_from(buf).map(|(count, from)| (count, plain(from))),
            Self::Simulated(socket) => socket.receive(buf),
        }
    }

    /// Sends to an address, or to the peer.
    pub(crate) fn send(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        match (self, to) {
            (Self::Udp(socket, to_system), Some(to)) => socket.send_to(data, to_system(to)),
            (Self::Udp(socket, _), None) => socket.send(data),
            (Self::Simulated(socket), to) => socket.send(data, to),
        }
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<()> {
        match self {
            Self::Udp(socket, to_system) => socket.connect(to_system(to)),
            Self::Simulated(socket) => socket.connect(to),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket, _) => socket.local_addr().map(plain),
            Self::Simulated(socket) => Ok(socket.local_addr()),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket, _) => socket.peer_addr().map(plain),
            Self::Simulated(socket) => socket.peer_addr(),
        }
    }

    /// Registers the socket for reading under `token`.
    pub(crate) fn register(&mut self, registry: Option<&Registry>, token: Token) -> io::Result<()> {
        match (self, registry) {
            (Self::Udp(socket, _), Some(registry)) => {
                registry.register(socket, token, Interest::READABLE)
            }
            (Self::Udp(..), None) => Err(no_sockets()),
            (Self::Simulated(socket), _) => {
                socket.register(token);
                Ok(())
            }
        }
    }

    /// Begins or ends the reports of room for writing. Room that is there already is reported at once.
    ///
    /// They are on only while they are waited for, as for Unix streams: Linux reports room after each datagram
    /// that left, so every answer would cost a turn without work.
    pub(crate) fn await_room(
        &mut self,
        registry: Option<&Registry>,
        token: Token,
        wait: bool,
    ) -> io::Result<()> {
        let (Self::Udp(socket, _), Some(registry)) = (self, registry) else { return Ok(()) };
        let interest =
            if wait { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        registry.reregister(socket, token, interest)
    }

    /// Takes the socket out of the poller: a duplicate of an adopted one may stay open elsewhere.
    pub(crate) fn deregister(&mut self, registry: Option<&Registry>) {
        if let (Self::Udp(socket, _), Some(registry)) = (self, registry) {
            // If it was not registered there is nothing to undo.
            drop(registry.deregister(socket));
        }
    }

    /// The kernel's socket, for operations that only it has.
    pub(crate) fn real(&self) -> io::Result<&UdpSocket> {
        match self {
            Self::Udp(socket, _) => Ok(socket),
            Self::Simulated(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a simulated datagram socket knows no groups",
            )),
        }
    }
}
