//! How the socket of an attempt is opened.

#[cfg(not(unix))]
use std::io;
use std::net::SocketAddr;

use super::connect::Connect;
use crate::address::{Address, UnixAddress};
use crate::reactor::Reactor;
use crate::reason::{Activity, Reason};
#[cfg(unix)]
use crate::system::error::invalid;
#[cfg(unix)]
use crate::system::options::{Kind, Origin};
use crate::system::stream::Stream;

impl Reactor {
    pub(super) fn open(&self, to: &Address, connect: &Connect) -> Result<Stream, Reason> {
        match to {
            Address::Tcp(addr) => self.open_tcp(*addr, connect),
            Address::Unix(addr) => self.open_unix(addr, connect),
        }
    }

    fn open_tcp(&self, to: SocketAddr, connect: &Connect) -> Result<Stream, Reason> {
        let failed = |error| Reason::failed(Activity::Connecting, error);
        Stream::connect(self.simulated(), to, connect.local_addr, &connect.socket)
            .map_err(failed)?
            .map_err(|error| Reason::failed(Activity::Binding, error))
    }

    #[cfg(unix)]
    fn open_unix(&self, to: &UnixAddress, connect: &Connect) -> Result<Stream, Reason> {
        if connect.local_addr.is_some() {
            let error = invalid("a Unix socket cannot connect from an IP address");
            return Err(Reason::failed(Activity::Binding, error));
        }
        let stream = match self.simulated() {
            Some(host) => connect
                .socket
                .check(Kind::Unix, Origin::Simulated)
                .and_then(|()| to.to_system())
                .and_then(|_| host.connect_unix(to)),
            None => Stream::connect_unix(to, &connect.socket),
        };
        stream.map_err(|error| Reason::failed(Activity::Connecting, error))
    }

    #[cfg(not(unix))]
    fn open_unix(&self, _: &UnixAddress, _: &Connect) -> Result<Stream, Reason> {
        Err(Reason::failed(Activity::Connecting, io::ErrorKind::Unsupported.into()))
    }
}
