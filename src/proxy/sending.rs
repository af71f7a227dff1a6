//! A header to send.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

use proxy_header::{ProxiedAddress, ProxyHeader};

use crate::address::{Address, UnixAddress};

/// The version of a PROXY header, for a program that is a proxy itself and sends one.
///
/// Read from `v1` or `v2`.
///
/// # Examples
///
/// A proxy that tells the server behind it for whom it connects:
///
/// ```
/// use crocus::proxy::Version;
/// use crocus::testing::Simulation;
/// use crocus::{Connect, Listen, Protocol, Transport, Tunnel};
///
/// struct Forward;
///
/// impl Protocol for Forward {
///     fn connection_made(&mut self, transport: &mut Transport) {
///         let Ok(here) = transport.local_addr() else { return };
///         let header = Version::V1.header(transport.peer_addr(), &here);
///         Tunnel::new(()).connect(transport, Connect::to("127.0.0.1:81").preface(header));
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// let mut server = simulation.listen("127.0.0.1:81")?;
/// simulation.reactor().listen("127.0.0.1:80", |_peer| Forward)?;
/// let mut client = simulation.dial("127.0.0.1:80");
/// client.send(b"hello");
/// simulation.settle();
/// let told = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} 80\r\nhello", client.addr().port());
/// assert_eq!(server.accept().unwrap().received(), told.as_bytes());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Version {
    /// A line of text. It cannot name Unix sockets.
    V1,
    /// Bytes.
    V2,
}

impl Version {
    /// The header of a connection from a client, which had connected to this destination.
    ///
    /// If one of the addresses is IPv4 and the other IPv6, both are sent as IPv6. Addresses that the version
    /// cannot name, or of which one is a Unix socket and the other is not, become a header that names nobody:
    /// `UNKNOWN`, or `LOCAL` in version 2.
    ///
    /// [`Connect::preface`](crate::Connect::preface) sends it. See the example of [`Version`].
    pub fn header(self, client: &Address, destination: &Address) -> Vec<u8> {
        let header = match (client, destination) {
            (Address::Tcp(client), Address::Tcp(destination)) => {
                let (client, destination) = of_one_family(*client, *destination);
                ProxyHeader::with_address(ProxiedAddress::stream(client, destination))
            }
            (Address::Unix(client), Address::Unix(destination)) if self == Self::V2 => {
                return unix_header(client, destination);
            }
            _ => ProxyHeader::with_local(),
        };
        let mut bytes = Vec::new();
        let encoded = match self {
            Self::V1 => header.encode_v1(&mut bytes),
            Self::V2 => header.encode_v2(&mut bytes),
        };
        debug_assert!(encoded.is_ok(), "both are of one family, and a vector takes all");
        bytes
    }
}

fn of_one_family(client: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let as_v6 = |addr: SocketAddr| match addr {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        SocketAddr::V6(_) => addr,
    };
    match client.is_ipv4() == destination.is_ipv4() {
        true => (client, destination),
        false => (as_v6(client), as_v6(destination)),
    }
}

/// Version 2, command PROXY, a stream between Unix sockets, 216 bytes of addresses.
fn unix_header(client: &UnixAddress, destination: &UnixAddress) -> Vec<u8> {
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8";
    [&fixed[..], &client.to_padded(), &destination.to_padded()].concat()
}

impl FromStr for Version {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            _ => {
                let message = format!("{text:?} is no version of the PROXY protocol: v1 or v2");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }
}
