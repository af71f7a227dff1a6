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
mod writing;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use crate::certificates;
use crate::service::{BACKLOG, OVER_TLS};

/// The entry of a server; it gets the name of a service, and the count if the service takes one.
type Serve = fn(service: &str, count: u64) -> io::Result<()>;

/// The Rust servers, by name.
pub const SERVERS: &[(&str, Serve)] = &[
    ("limit", limit::serve),
    ("limit-more", limit::serve_in_one_segment),
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
pub fn listen() -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG as i32)?;
    socket.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(socket);
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}
