//! The addresses from which a PROXY header is believed.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;

use crate::address::Address;

/// A network of trusted proxies, or the peers of Unix sockets.
///
/// Made from an [`IpAddr`] or from a text: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`, or `unix`. Bits of the
/// address behind the prefix do not count. IPv4 mapped to IPv6 is IPv4.
///
/// # Examples
///
/// ```
/// use crocus::Address;
/// use crocus::proxy::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// let addr = |text: &str| Address::Tcp(text.parse().unwrap());
/// assert!(network.contains(&addr("10.1.2.3:4711")));
/// assert!(network.contains(&addr("[::ffff:10.1.2.3]:4711")));
/// assert!(!network.contains(&addr("11.0.0.1:4711")));
/// assert!("10.0.0.0/33".parse::<Network>().is_err());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network(Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    /// The addresses that share so many first bits with this one.
    Ip(IpAddr, u8),
    Unix,
}

impl Network {
    /// All peers of a Unix socket.
    ///
    /// A listener there is reached by those processes only that may write to its file; see
    /// [`Listen::mode`](crate::Listen::mode).
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Listen;
    /// use crocus::proxy::Network;
    ///
    /// let place = Listen::at("unix:/run/web.sock").mode(0o660).proxy_protocol([Network::unix()]);
    /// assert_eq!(Network::unix().to_string(), "unix");
    /// ```
    pub fn unix() -> Self {
        Self(Kind::Unix)
    }

    /// Whether an address is one of these.
    pub fn contains(&self, peer: &Address) -> bool {
        match (self.0, peer) {
            (Kind::Ip(network, bits), Address::Tcp(addr)) => {
                masked(addr.ip().to_canonical(), bits) == Some(network)
            }
            (Kind::Unix, Address::Unix(_)) => true,
            _ => false,
        }
    }

    fn new(ip: IpAddr, bits: u8) -> Option<Self> {
        // The prefix of mapped addresses is 96 bits long. A shorter one has more in it than they are.
        let (ip, bits) = match ip.to_canonical() {
            v4 @ IpAddr::V4(_) if ip.is_ipv6() && bits >= 96 => (v4, bits - 96),
            _ => (ip, bits),
        };
        Some(Self(Kind::Ip(masked(ip, bits)?, bits)))
    }
}

/// An address without the bits behind the prefix; `None` if it has fewer bits than that.
fn masked(ip: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V4((ip.to_bits() & mask).into()))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V6((ip.to_bits() & mask).into()))
        }
    }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self(Kind::Ip(ip, if ip.is_ipv4() { 32 } else { 128 }))
    }
}

/// Reads `IP`, `IP/BITS` or `unix`. Any other text is `InvalidInput`.
impl FromStr for Network {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let network = match text.split_once('/') {
            _ if text == "unix" => Some(Self::unix()),
            None => text.parse::<IpAddr>().ok().map(Self::from),
            Some((ip, bits)) => {
                let digits = bits.bytes().all(|byte| byte.is_ascii_digit()); // `parse` would take `+8`
                let bits = bits.parse().ok().filter(|_| digits);
                ip.parse().ok().zip(bits).and_then(|(ip, bits)| Self::new(ip, bits))
            }
        };
        network.ok_or_else(|| {
            let message = format!(
                "{text:?} is not a network: it takes IP/BITS, as in 10.0.0.0/8, an IP address, or unix"
            );
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Ip(ip, bits) => write!(f, "{ip}/{bits}"),
            Kind::Unix => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::UnixAddress;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn has(of: &str, ip: &str) -> bool {
        network(of).contains(&Address::Tcp((ip.parse::<IpAddr>().unwrap(), 1).into()))
    }

    #[test]
    fn a_network_has_the_addresses_that_share_its_prefix() {
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("10.1.2.3/31", "10.1.2.2") && !has("10.1.2.3/31", "10.1.2.4"));
        assert!(has("10.1.2.3", "10.1.2.3") && !has("10.1.2.3", "10.1.2.2"));
        assert!(has("0.0.0.0/0", "255.1.2.3") && !has("0.0.0.0/0", "::1"));
        assert!(has("::/0", "2001:db8::1") && !has("::/0", "10.0.0.1"));
        assert!(
            has("2001:db8::/33", "2001:db8:7fff::1") && !has("2001:db8::/33", "2001:db8:8000::")
        );
        assert!(has("::1", "::1") && !has("::1", "::2"));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert_eq!(network("::ffff:10.9.9.9/104"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1/32"));
    }

    #[test]
    fn peers_of_unix_sockets_are_a_network_of_their_own() {
        let unnamed = Address::Unix(UnixAddress::unnamed());
        assert!(network("unix").contains(&unnamed) && !network("0.0.0.0/0").contains(&unnamed));
        assert!(!has("unix", "127.0.0.1"));
    }

    #[test]
    fn other_texts_are_refused_and_quoted() {
        for text in
            ["", "/", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0.0/8", "a/8"]
        {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
        for text in ["10.0.0.0/8", "2001:db8::/32", "::1/128", "unix"] {
            assert_eq!(network(text).to_string(), text);
        }
    }
}
