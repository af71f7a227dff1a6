//! A datagram socket: UDP, or in memory, behind one enum.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::DatagramOptions;
use crate::simulation::datagrams::MemoryDatagrams;
use crate::system::stream::no_sockets;

#[derive(Debug)]
pub(crate) enum DatagramSocket {
    Udp(UdpSocket),
    Memory(MemoryDatagrams),
}

impl DatagramSocket {
    pub(crate) fn bind(addr: SocketAddr, options: &DatagramOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if options.reuse_address {
            socket.set_reuse_address(true)?;
        }
        #[cfg(unix)]
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        #[cfg(not(unix))]
        if options.reuse_port {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "reuse_port is for Unix"));
        }
        if options.broadcast {
            socket.set_broadcast(true)?;
        }
        if let Some(only) = options.v6_only.filter(|_| addr.is_ipv6()) {
            socket.set_only_v6(only)?;
        }
        if let Some(size) = options.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = options.send_buffer {
            socket.set_send_buffer_size(size)?;
        }
        socket.bind(&addr.into())?;
        socket.set_nonblocking(true)?;
        Ok(Self::Udp(UdpSocket::from_std(socket.into())))
    }

    /// Takes over a socket that is bound.
    pub(crate) fn adopt(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::Udp(UdpSocket::from_std(socket)))
    }

    pub(crate) fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Udp(socket) => socket.recv_from(buf),
            Self::Memory(socket) => socket.receive(buf),
        }
    }

    /// Sends to an address, or to the peer.
    pub(crate) fn send(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        match (self, to) {
            (Self::Udp(socket), Some(to)) => socket.send_to(data, to),
            (Self::Udp(socket), None) => socket.send(data),
            (Self::Memory(socket), to) => socket.send(data, to),
        }
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.connect(to),
            Self::Memory(socket) => socket.connect(to),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Memory(socket) => Ok(socket.local_addr()),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.peer_addr(),
            Self::Memory(socket) => socket.peer_addr(),
        }
    }

    /// Registers the socket for reading under `token`.
    pub(crate) fn register(&mut self, registry: Option<&Registry>, token: Token) -> io::Result<()> {
        match (self, registry) {
            (Self::Udp(socket), Some(registry)) => {
                registry.register(socket, token, Interest::READABLE)
            }
            (Self::Udp(_), None) => Err(no_sockets()),
            (Self::Memory(socket), _) => {
                socket.register(token);
                Ok(())
            }
        }
    }

    /// Begins or ends the reports of room for writing. Room that is there already is reported at once.
    ///
    /// For streams these reports are always on. Here Linux reports room after each datagram that left,
    /// so every answer would cost a turn without work. The simulation reports room only to a socket that
    /// waits.
    pub(crate) fn await_room(
        &mut self,
        registry: Option<&Registry>,
        token: Token,
        wait: bool,
    ) -> io::Result<()> {
        let (Self::Udp(socket), Some(registry)) = (self, registry) else { return Ok(()) };
        let interest =
            if wait { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        registry.reregister(socket, token, interest)
    }

    /// Takes the socket out of the poller: a duplicate of an adopted one may stay open elsewhere.
    pub(crate) fn deregister(&mut self, registry: Option<&Registry>) {
        if let (Self::Udp(socket), Some(registry)) = (self, registry) {
            // If it was not registered there is nothing to undo.
            drop(registry.deregister(socket));
        }
    }

    /// The kernel's socket, for operations that only it has.
    pub(crate) fn real(&self) -> io::Result<&UdpSocket> {
        match self {
            Self::Udp(socket) => Ok(socket),
            Self::Memory(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a simulated datagram socket knows no groups",
            )),
        }
    }
}
