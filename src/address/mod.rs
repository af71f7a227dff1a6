//! The addresses of peers, and of places to listen at or connect to.

mod unix;

pub use unix::UnixAddress;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address of one end of a connection.
///
/// Small and `Clone`; printed as a person would type it.
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
/// use crocus::Address;
///
/// let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 5000)));
/// assert_eq!(address.to_string(), "127.0.0.1:5000");
/// assert_eq!(address.port(), Some(5000));
/// assert!(address.ip().unwrap().is_loopback());
/// assert_eq!(Address::Unix("/run/chat.sock".into()).socket_addr(), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The address of a Unix socket; most clients have none.
    Unix(UnixAddress),
}

impl Address {
    /// The IP address and port, where the address has them.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }

    /// The IP address, where the address has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|addr| addr.ip())
    }

    /// The port, where the address has one.
    pub fn port(&self) -> Option<u16> {
        self.socket_addr().map(|addr| addr.port())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(addr) => addr.fmt(f),
        }
    }
}

/// A place to listen at or to connect to, as users write it.
///
/// Made from a [`SocketAddr`], an `(ip, port)` or `(host, port)` pair, an [`Address`], a path, or a text:
///
/// | text | is |
/// |---|---|
/// | `127.0.0.1:5000`, `[::1]:5000`, `[fe80::1%eth0]:5000` | an address |
/// | `:5000` | for a listener all interfaces, by IPv6 and IPv4 where the system has both; to connect, this machine |
/// | `localhost:5000` | a name, looked up to connect |
/// | `unix:/run/x`, `unix:@x` | a Unix socket: its path, or a name in Linux's abstract namespace |
///
/// It reads what an `Address` prints, escapes included. Nothing is looked up here. Any other text is kept,
/// and is an error where it is used: at once when listening, in `connection_failed` when connecting.
///
/// A pair `(host, port)` is a name or an IP address, with brackets or without, and never a Unix socket; an empty
/// host is an error. **What a peer has sent is to be taken as a pair**, never as one text: that could name a
/// socket of this machine. A host of the name `unix` has to be written as a pair too.
///
/// # Examples
///
/// ```
/// use crocus::Endpoint;
///
/// assert_eq!(Endpoint::from("127.0.0.1:5000").to_string(), "127.0.0.1:5000");
/// assert_eq!(Endpoint::from(("example.org", 80)).to_string(), "example.org:80");
/// assert!(Endpoint::from("[::1]:80").socket_addr().is_ok());
/// assert!(Endpoint::from("example.org:80").socket_addr().is_err(), "a name is not an address");
/// assert!(Endpoint::from("example.org").socket_addr().is_err(), "there is no port");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint(Place);

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Address(SocketAddr),
    /// An IPv6 address with the name of an interface, whose index may change.
    Scoped(String, u16),
    /// Only a port.
    Port(u16),
    Unix(UnixAddress),
    Name(String, u16),
    Unreadable(String),
}

impl Endpoint {
    /// The address, if no name has to be looked up; for `:5000` that of this machine, `127.0.0.1:5000`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a host name, for text that is not an address, and for an interface that does
    /// not exist; the message says why.
    pub fn socket_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Place::Address(addr) => Ok(*addr),
            Place::Port(port) => Ok((Ipv4Addr::LOCALHOST, *port).into()),
            // The system reads numbers and names of interfaces without a lookup.
            Place::Scoped(host, port) => {
                let found = (host.as_str(), *port).to_socket_addrs();
                let found = found.ok().and_then(|mut found| found.next());
                found.ok_or_else(|| invalid(format!("{self} names no interface of this machine")))
            }
            Place::Name(..) => Err(invalid(format!(
                "{self} has a host name in it, and names are not looked up here: \
                 give an IP address, as in 127.0.0.1:5000 or [::1]:5000"
            ))),
            Place::Unix(_) => {
                Err(invalid(format!("{self} is the address of a Unix socket, and has no port")))
            }
            Place::Unreadable(_) => Err(self.unreadable()),
        }
    }

    fn unreadable(&self) -> io::Error {
        invalid(format!(
            "{self} is not an address: it takes HOST:PORT, as in 127.0.0.1:5000 or [::1]:5000, \
             or unix:PATH for a Unix socket"
        ))
    }

    /// The same place with another port; unchanged if it has none.
    pub(crate) fn with_port(self, port: u16) -> Self {
        Self(match self.0 {
            Place::Address(mut addr) => {
                addr.set_port(port);
                Place::Address(addr)
            }
            Place::Scoped(host, _) => Place::Scoped(host, port),
            Place::Port(_) => Place::Port(port),
            Place::Name(host, _) => Place::Name(host, port),
            place @ (Place::Unix(_) | Place::Unreadable(_)) => place,
        })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Address(addr) => addr.fmt(f),
            Place::Scoped(host, port) => write!(f, "[{host}]:{port}"),
            Place::Port(port) => write!(f, ":{port}"),
            Place::Unix(addr) => addr.fmt(f),
            Place::Name(host, port) => write!(f, "{host}:{port}"),
            Place::Unreadable(text) => write!(f, "{text:?}"),
        }
    }
}

macro_rules! from_each {
    ($($from:ty => |$value:ident| $place:expr;)*) => {$(
        impl From<$from> for Endpoint {
            fn from($value: $from) -> Self {
                $place
            }
        }
    )*};
}

from_each! {
    SocketAddr => |addr| Self(Place::Address(addr));
    SocketAddrV4 => |addr| Self(Place::Address(addr.into()));
    SocketAddrV6 => |addr| Self(Place::Address(addr.into()));
    (IpAddr, u16) => |pair| Self(Place::Address(pair.into()));
    (Ipv4Addr, u16) => |pair| Self(Place::Address(pair.into()));
    (Ipv6Addr, u16) => |pair| Self(Place::Address(pair.into()));
    UnixAddress => |addr| Self(Place::Unix(addr));
    &Path => |path| Self(Place::Unix(path.into()));
    &PathBuf => |path| Self(Place::Unix(path.into()));
    PathBuf => |path| Self(Place::Unix(path.into()));
    &Endpoint => |endpoint| endpoint.clone();
    Address => |address| Self::from(&address);
    String => |text| Self::from(text.as_str());
    &String => |text| Self::from(text.as_str());
    (String, u16) => |pair| Self::from((pair.0.as_str(), pair.1));
}

impl From<&Address> for Endpoint {
    fn from(address: &Address) -> Self {
        match address {
            Address::Tcp(addr) => Self::from(*addr),
            Address::Unix(addr) => Self::from(addr.clone()),
        }
    }
}

impl From<(&str, u16)> for Endpoint {
    fn from((host, port): (&str, u16)) -> Self {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Self::from((ip, port));
        }
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // The parser of socket addresses knows the numbers of interfaces.
        if let Ok(addr) = format!("[{}]:{port}", inside.unwrap_or(host)).parse::<SocketAddr>() {
            return Self::from(addr);
        }
        if is_scoped(inside.unwrap_or(host)) {
            return Self(Place::Scoped(inside.unwrap_or(host).to_owned(), port));
        }
        if is_name(host) {
            return Self(Place::Name(host.to_owned(), port));
        }
        Self(Place::Unreadable(format!("{host}:{port}")))
    }
}

/// Refuses a text that cannot be read, so that a program can check its arguments before it uses them.
///
/// # Examples
///
/// ```
/// use crocus::Endpoint;
///
/// assert!("example.org:80".parse::<Endpoint>().is_ok());
/// let error = "example.org".parse::<Endpoint>().unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
/// ```
impl FromStr for Endpoint {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let endpoint = Self::from(text);
        match endpoint.0 {
            Place::Unreadable(_) => Err(endpoint.unreadable()),
            _ => Ok(endpoint),
        }
    }
}

impl From<&str> for Endpoint {
    fn from(text: &str) -> Self {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Self::from(addr);
        }
        if let Some(address) = text.strip_prefix("unix:") {
            return Self(Place::Unix(UnixAddress::read(address)));
        }
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, parse_port(port)?)));
        Self(match parts {
            Some(("", port)) => Place::Port(port),
            Some((host, port)) if is_name(host) => Place::Name(host.to_owned(), port),
            Some((host, port)) if host.starts_with('[') => return Self::from((host, port)),
            _ => Place::Unreadable(text.to_owned()),
        })
    }
}

/// Accepts digits only: `u16::from_str` would take `+80`.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Whether a text is an IPv6 address with the name of an interface (RFC 4007).
fn is_scoped(text: &str) -> bool {
    let named = |name: &str| {
        !name.is_empty() && !name.contains(|c: char| "[]%".contains(c) || c.is_control())
    };
    text.split_once('%').is_some_and(|(ip, name)| ip.parse::<Ipv6Addr>().is_ok() && named(name))
}

/// Whether a text can be a host name (RFC 952, RFC 1123; underscores occur in practice).
///
/// A text that ends in a number is a mistyped IPv4 address (`127.0.0.256`); a lookup would only
/// hide the mistake.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.bytes().all(allowed)
        && !last.is_empty()
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_users_type() {
        for text in ["127.0.0.1:5000", "[::1]:80", "0.0.0.0:0", "[fe80::1%3]:8"] {
            assert_eq!(Endpoint::from(text).socket_addr().unwrap(), text.parse().unwrap());
        }
        for text in ["localhost:5000", "a-b.example.org:1", "my_host:65535", "example.org.:80"] {
            let endpoint = Endpoint::from(text);
            assert_eq!(endpoint.to_string(), text);
            assert!(matches!(endpoint.place(), Place::Name(..)));
        }
        assert_eq!(Endpoint::from(("::1", 80)), Endpoint::from("[::1]:80"));
        assert_eq!(Endpoint::from(("[::1]", 80)), Endpoint::from("[::1]:80"));
        assert!(
            Endpoint::from(("[127.0.0.1]", 80)).socket_addr().is_err(),
            "no brackets around IPv4"
        );
        assert_eq!(Endpoint::from(("localhost", 80)), Endpoint::from("localhost:80".to_owned()));
    }

    #[test]
    fn the_error_quotes_an_address_that_cannot_be_read() {
        let texts = [
            "",
            ":",
            ":+80",
            "[::1%]:80",
            "[localhost]:80",
            "localhost",
            "localhost:",
            "localhost:99999",
            "localhost:+80",
            "::1:80",
            "127.0.0.256:80",
            "a b:80",
            "host\n:80",
            "5000",
            "http://localhost:80",
            ".:80",
            "é:80",
        ];
        for text in texts {
            let endpoint = Endpoint::from(text);
            assert!(!matches!(endpoint.place(), Place::Name(..)), "{text:?}");
            let error = endpoint.socket_addr().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
