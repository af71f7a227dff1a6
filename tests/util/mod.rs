//! A small vocabulary for tests, by what it gives: a [`World`] (real sockets or simulated), [`Far`]
//! ends, a [`Log`], a [`Recorder`] that objects to any illegal sequence of calls, a
//! [`RecordingClient`], a [`Watchdog`], a [`Folder`], and what was [`logged`].
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "what is public here is for the test programs")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(clippy::type_complexity, reason = "callbacks in boxes are what this is about")]

mod client;
mod echo;
mod far;
mod folder;
mod log;
mod logged;
mod recorder;
mod trace;
mod watchdog;
mod world;

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crocus::ConnectionId;
use socket2::{Domain, SockAddr, Socket, Type};

pub use self::client::RecordingClient;
pub use self::echo::Echo;
pub use self::far::{Far, FarListener};
pub use self::folder::Folder;
pub use self::log::{Log, say, tag};
pub use self::logged::{logged, logged_up_to};
pub use self::recorder::Recorder;
pub use self::trace::{Shared, sums_of_trace};
pub use self::watchdog::Watchdog;
pub use self::world::{World, outside};

/// How long a test on real sockets waits before it says that something never happened. No test
/// depends on how long things take below this.
const TIME_LIMIT: Duration = Duration::from_secs(60);

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
pub const HOUR: Duration = Duration::from_secs(3600);

/// Declares a test that runs on real sockets and in the simulation.
#[allow(unused_macros, reason = "each test program uses a part of it")]
macro_rules! both {
    ($(#[$meta:meta])* fn $name:ident($world:ident) $body:block) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($world: &mut World) $body

            #[test]
            fn real() {
                check(&mut World::real());
            }

            #[test]
            fn simulated() {
                check(&mut World::simulated());
            }
        }
    };
}

/// Bytes that show a piece that is missing, doubled or misplaced, since their period is a prime.
pub fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> =
        (0..65_521u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut all = period.repeat(len.div_ceil(period.len()));
    all.truncate(len);
    all
}

/// The message of a panic.
pub fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

/// The slot in an id's text, `#slot.generation`.
pub fn slot(id: ConnectionId) -> String {
    id.to_string().split('.').next().unwrap().to_owned()
}

/// A socket that is bound to a port but does not listen, so that nobody else gets the port.
pub fn bound(ip: impl Into<IpAddr>) -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(ip.into(), 0).into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// A server at a path whose backlog is full, and the clients that fill it.
#[cfg(unix)]
pub fn busy_server(path: &Path) -> (Socket, Vec<Socket>) {
    let stream = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let (server, addr) = (stream(), SockAddr::unix(path).unwrap());
    server.bind(&addr).unwrap();
    server.listen(1).unwrap();
    let mut waiting = Vec::new();
    loop {
        let next = stream();
        next.set_nonblocking(true).unwrap();
        if next.connect(&addr).is_err() {
            return (server, waiting);
        }
        waiting.push(next);
        assert!(waiting.len() < 100, "the backlog has an end");
    }
}

/// How many descriptors this process has open. Tests that count them run in a process of their own.
#[cfg(target_os = "linux")]
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A TCP server that takes no connection any more: its queue is full, and the kernel drops what comes. Keep
/// the sockets.
pub fn full_server() -> (Vec<Socket>, SocketAddr) {
    let server = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    server.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    server.listen(0).unwrap();
    let addr = server.local_addr().unwrap();
    let mut sockets = vec![server];
    for _ in 0..4 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        drop(client.connect(&addr)); // it is in progress, or waits for ever
        sockets.push(client);
    }
    (sockets, addr.as_socket().unwrap())
}
