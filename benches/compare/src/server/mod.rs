//! The Rust servers: one file each. The services are described in [`crate::service`].

mod blocking;
mod limit;
mod measuring;
mod naive_mio;
mod on_calloop;
mod on_crocus;
mod on_tokio;
mod tasks;
mod threads;
mod ticking;
mod writing;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use crate::certificates;
use crate::service::{BACKLOG, ON_CORES, OVER_TLS};

/// The entry of a server; it gets the name of a service, and the count if the service takes one.
type Serve = fn(service: &str, count: u64) -> io::Result<()>;

/// The Rust servers, by name.
pub const SERVERS: &[(&str, Serve)] = &[
    ("limit", limit::serve),
    ("limit-more", limit::serve_in_one_segment),
    ("limit-bounded", limit::serve_bounded),
    ("crocus", on_crocus::serve),
    ("tasks", tasks::serve),
    ("recorded", on_crocus::serve_recorded),
    ("unbounded", on_crocus::serve_unbounded),
    ("mio", naive_mio::serve),
    ("tokio", on_tokio::serve),
    ("calloop", on_calloop::serve),
    ("blocking", blocking::serve),
    ("threads", threads::serve),
];

/// The entry of a server that speaks TLS; it gets the name of the service without its prefix.
type ServeOverTls = fn(service: &str, config: Arc<ServerConfig>) -> io::Result<()>;

/// The Rust servers that speak TLS, by name.
pub const TLS_SERVERS: &[(&str, ServeOverTls)] = &[
    ("limit", limit::serve_over_tls),
    ("crocus", on_crocus::serve_over_tls),
    ("tokio", on_tokio::serve_over_tls),
];

/// The entry of a server that runs on all cores; it gets the name of the service without its prefix.
type ServeByLoops = fn(service: &str, loops: usize) -> io::Result<()>;

/// The Rust servers that run on all cores, by name, and by how many loops.
pub const LOOP_SERVERS: &[(&str, (ServeByLoops, usize))] = &[
    ("limit", (limit::serve_by_loops, 1)),
    ("limit-2", (limit::serve_by_loops, 2)),
    ("crocus", (on_crocus::serve_by_loops, 1)),
    ("crocus-2", (on_crocus::serve_by_loops, 2)),
    ("tokio", (on_tokio::serve_by_loops, 1)),
    ("tokio-2", (on_tokio::serve_by_loops, 2)),
];

/// The names of all Rust servers, once each.
pub fn names() -> impl Iterator<Item = &'static str> {
    let by_two = LOOP_SERVERS.iter().filter(|(_, (_, loops))| *loops > 1).map(|(name, _)| *name);
    SERVERS.iter().map(|(name, _)| *name).chain(by_two)
}

/// How long servers wait that cannot accept, as without descriptors, before they try again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Runs a server until it is killed, or has measured itself.
///
/// # Errors
///
/// If there is no such server, or it does not have this service, or the system refuses something.
pub fn serve(server: &str, service: &str, count: u64, root: Option<&Path>) -> io::Result<()> {
    if let Some(service) = service.strip_prefix(OVER_TLS) {
        let Some(serve) = find(TLS_SERVERS, server) else { return no_such_service() };
        let folder = root.ok_or_else(|| io::Error::other("no folder with a certificate"))?;
        return serve(service, certificates::server_config(folder)?);
    }
    if let Some(service) = service.strip_prefix(ON_CORES) {
        let Some((serve, loops)) = find(LOOP_SERVERS, server) else { return no_such_service() };
        return serve(service, loops);
    }
    let serve = find(SERVERS, server).ok_or_else(|| io::Error::other("no such server"))?;
    serve(service, count)
}

fn find<T: Copy>(servers: &[(&str, T)], name: &str) -> Option<T> {
    servers.iter().find(|(known, _)| *known == name).map(|&(_, serve)| serve)
}

/// The error of a server that does not have a service.
pub fn no_such_service() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this server does not have this service"))
}

/// A listening socket that does not block, and hands down TCP_NODELAY; says where it listens.
pub fn listen() -> io::Result<TcpListener> {
    let listener = listen_at(NEW_PORT, false)?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// So many of them with one port, over which the kernel spreads the connections.
pub fn listen_together(count: usize) -> io::Result<Vec<TcpListener>> {
    let mut listeners = vec![listen_at(NEW_PORT, true)?];
    let at = listeners[0].local_addr()?;
    for _ in 1..count {
        listeners.push(listen_at(at, true)?);
    }
    println!("listening on {at}");
    Ok(listeners)
}

const NEW_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn listen_at(at: SocketAddr, together: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(together)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG as i32)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
