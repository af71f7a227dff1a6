//! The operations that a simulated reactor needs instead of the kernel's.
//!
//! Traits, not the types themselves. A stream, a listener, a socket and a poller each have a simulated variant in
//! every program. The types behind these traits are made in `simulation` alone, so a program that makes no
//! [`Simulation`](crate::testing::Simulation) does not link them, which saves 96 kB. Real sockets have variants of
//! their own, and no call of theirs goes through here.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::Token;

use super::acceptor::Acceptor;
use super::options::SocketOptions;
use super::poller::Readiness;
use super::stream::Stream;
use crate::address::Address;
#[cfg(unix)]
use crate::address::UnixAddress;
use crate::parts::pool::Job;

/// One end of a connection in memory. Its methods do the same as those of [`Stream`].
pub(crate) trait SimulatedStream: Debug {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn write(&self, data: &[u8]) -> io::Result<usize>;
    fn write_last(&self, data: &[u8]) -> io::Result<usize>;
    fn write_slices(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    fn reset_on_close(&self);
    fn take_error(&self) -> Option<io::Error>;
    fn peer_addr(&self) -> io::Result<Address>;
    fn local_addr(&self) -> Address;
    fn is_unix(&self) -> bool;
    fn no_delay(&self) -> io::Result<bool>;
    fn set_no_delay(&self, on: bool) -> io::Result<()>;
    fn keep_alive(&self) -> bool;
    fn set_keep_alive(&self, on: bool) -> io::Result<()>;
    fn register(&self, token: Token);
    fn await_room(&self, wait: bool);
}

/// A listening socket in memory.
pub(crate) trait SimulatedListener: Debug {
    fn accept(&self) -> io::Result<(Stream, Address)>;
    fn local_addr(&self) -> Address;
    fn register(&self, token: Token);
}

/// A datagram socket in memory.
pub(crate) trait SimulatedDatagrams: Debug {
    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn send(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize>;
    fn connect(&self, to: SocketAddr) -> io::Result<()>;
    fn local_addr(&self) -> SocketAddr;
    fn peer_addr(&self) -> io::Result<SocketAddr>;
    fn register(&self, token: Token);
}

/// The host of a simulated reactor, which stands in for the kernel.
pub(crate) trait SimulatedHost: Debug {
    /// The sources that are ready. Without one it advances the clock, to the next event or to the end of the wait.
    ///
    /// # Errors
    ///
    /// If nothing could ever end the wait.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<(Token, Readiness)>>;

    /// # Errors
    ///
    /// The outer error is that of connect(2), the inner that of bind(2).
    fn connect(
        &self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<io::Result<Stream>>;

    #[cfg(unix)]
    fn connect_unix(&self, to: &UnixAddress) -> io::Result<Stream>;

    fn listen(
        &self,
        addr: SocketAddr,
        backlog: usize,
        options: &SocketOptions,
    ) -> io::Result<Acceptor>;

    #[cfg(unix)]
    fn listen_unix(&self, path: UnixAddress, backlog: usize) -> io::Result<Acceptor>;

    fn bind_datagrams(
        &self,
        addr: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<Box<dyn SimulatedDatagrams>>;

    /// The addresses of a name, as a lookup would answer.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// Whether the lookup of a name takes time.
    fn is_slow(&self, host: &str) -> bool;

    /// Begins a lookup, whose `answer` is called at its end.
    fn begin_lookup(&self, host: &str, answer: Job);
}
