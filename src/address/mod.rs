//! The addresses of peers, and of places to listen at or connect to.

mod unix;

pub use unix::UnixAddress;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// The address of one end of a connection.
///
/// Small and `Clone`; printed as a person would type it.
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
/// Made from a [`SocketAddr`], an `(ip, port)` or `(host, port)` pair, an [`Address`], a
/// [`UnixAddress`], or a text such as `127.0.0.1:5000`, `[::1]:5000` or `localhost:5000`. Nothing
/// is looked up here. Any other text is kept, and is an error where it is used: at once when
/// listening, in `connection_failed` when connecting.
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
enum Place {
    Address(SocketAddr),
    Unix(UnixAddress),
    Name(String, u16),
    Unreadable(String),
}

impl Endpoint {
    /// The address, if no name has to be looked up.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a host name and for text that is not an address; the message says why.
    pub fn socket_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Place::Address(addr) => Ok(*addr),
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

    /// The address of the Unix socket, if this is one.
    pub(crate) fn unix_addr(&self) -> Option<&UnixAddress> {
        match &self.0 {
            Place::Unix(addr) => Some(addr),
            _ => None,
        }
    }

    /// The host name and port, if a name has to be looked up.
    pub(crate) fn name(&self) -> Option<(&str, u16)> {
        match &self.0 {
            Place::Name(host, port) => Some((host, *port)),
            Place::Address(_) | Place::Unix(_) | Place::Unreadable(_) => None,
        }
    }

    fn unreadable(&self) -> io::Error {
        invalid(format!(
            "{self} is not an address: it takes HOST:PORT, as in 127.0.0.1:5000 or [::1]:5000"
        ))
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Address(addr) => addr.fmt(f),
            Place::Unix(addr) => addr.fmt(f),
            Place::Name(host, port) => write!(f, "{host}:{port}"),
            Place::Unreadable(text) => write!(f, "{text:?}"),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self(Place::Address(addr))
    }
}

impl From<UnixAddress> for Endpoint {
    fn from(addr: UnixAddress) -> Self {
        Self(Place::Unix(addr))
    }
}

impl From<(IpAddr, u16)> for Endpoint {
    fn from(pair: (IpAddr, u16)) -> Self {
        Self(Place::Address(pair.into()))
    }
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
        if let Some(Ok(ip)) = inside.map(str::parse::<std::net::Ipv6Addr>) {
            return Self::from((IpAddr::V6(ip), port));
        }
        if is_name(host) {
            return Self(Place::Name(host.to_owned(), port));
        }
        Self(Place::Unreadable(format!("{host}:{port}")))
    }
}

impl From<&str> for Endpoint {
    fn from(text: &str) -> Self {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Self::from(addr);
        }
        match text.rsplit_once(':') {
            Some((host, port)) if is_name(host) => match parse_port(port) {
                Some(port) => Self(Place::Name(host.to_owned(), port)),
                None => Self(Place::Unreadable(text.to_owned())),
            },
            _ => Self(Place::Unreadable(text.to_owned())),
        }
    }
}

impl From<String> for Endpoint {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Endpoint {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

/// Accepts digits only: `u16::from_str` would take `+80`.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
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
            assert!(endpoint.name().is_some());
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
            ":80",
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
            assert!(endpoint.name().is_none(), "{text:?}");
            let error = endpoint.socket_addr().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
