//! Binding to a place that may mean several addresses, and the two forms of an IPv4 address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::at_address;
use super::options::SocketOptions;
use crate::address::{Endpoint, Place};

/// Binds where `endpoint` says.
///
/// Only a port means all interfaces: one socket for IPv6 and IPv4, or for IPv4 alone if the system has no
/// IPv6.
///
/// # Errors
///
/// The error of `bind`, with the address and what was being done; `InvalidInput` if it is no address.
pub(crate) fn bind_at<T>(
    endpoint: &Endpoint,
    doing: &str,
    options: &SocketOptions,
    bind: impl Fn(SocketAddr, &SocketOptions) -> io::Result<T>,
) -> io::Result<T> {
    let bound = match endpoint.place() {
        Place::Port(port) => {
            let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
            match bind(both, &options.for_both_families()) {
                Err(error) if has_no_ipv6(&error) => {
                    bind((Ipv4Addr::UNSPECIFIED, *port).into(), options)
                }
                bound => bound,
            }
        }
        _ => bind(endpoint.socket_addr()?, options),
    };
    bound.map_err(|error| at_address(doing, endpoint, error))
}

/// Whether an error means that the system has no IPv6: it is not compiled in, or switched off.
fn has_no_ipv6(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EAFNOSUPPORT) {
        return true;
    }
    error.kind() == io::ErrorKind::AddrNotAvailable
}

/// An address as a user expects it: an IPv4 peer of an IPv6 socket has an IPv4 address (RFC 4291, 2.5.5.2).
#[inline(never)] // else the compiler takes each address apart
pub(crate) fn plain(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(addr.ip().to_canonical(), addr.port())
        }
        addr => addr,
    }
}

/// The same address as an IPv6 socket takes it.
pub(crate) fn mapped(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped(), addr.port()).into(),
        IpAddr::V6(_) => addr,
    }
}
