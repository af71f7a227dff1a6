//! Looking a name up: by the system's resolver, or by a function of the program's.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// A function that looks a name up. It may block.
type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

#[derive(Clone, Default)]
pub(crate) enum Resolver {
    /// getaddrinfo(3)
    #[default]
    System,
    Custom(Arc<LookUp>),
}

impl Resolver {
    /// The addresses of a host, in the order in which to try them. Their ports mean nothing.
    pub(crate) fn look_up(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            // Not only the IP addresses: one of a local link has a scope too.
            Self::System => (host, 0).to_socket_addrs().map(Iterator::collect),
            Self::Custom(look_up) => {
                let found = look_up(host)?;
                Ok(found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect())
            }
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Custom(_) => "Custom",
        })
    }
}
