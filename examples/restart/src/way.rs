//! The ways to restart.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use crate::process::{Server, free_port};
use crate::proxy::{Extent, Proxy};
use crate::shared::cli::Exit;

/// How long a server goes on that tells its proxy first: longer than the proxy takes to see it, which is two
/// checks of half a second.
const STOP_DELAY: Duration = Duration::from_secs(2);

/// How many clients may wait in the socket that the parent keeps: as the unit file says. std has 128.
const BACKLOG: i32 = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Alone,
    Kept,
    Handed,
    Shared,
    ProxyPlain,
    Proxy,
    ProxyTold,
}

impl Way {
    pub(crate) const ALL: [Self; 7] = [
        Self::Alone,
        Self::Kept,
        Self::Handed,
        Self::Shared,
        Self::ProxyPlain,
        Self::Proxy,
        Self::ProxyTold,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Kept => "kept",
            Self::Handed => "handed",
            Self::Shared => "shared",
            Self::ProxyPlain => "proxy-plain",
            Self::Proxy => "proxy",
            Self::ProxyTold => "proxy-told",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|way| way.name() == name);
        found.ok_or_else(|| format!("--only takes one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Servers that run, and what they need to be restarted.
pub(crate) struct Site {
    /// Where to ask.
    pub(crate) addr: SocketAddr,
    /// The options of the servers, without their addresses.
    options: Vec<String>,
    /// How long servers go on that were told to stop.
    stop_delay: Duration,
    /// How long a server is away that stops before its successor starts.
    away: Duration,
    set_up: SetUp,
}

enum SetUp {
    Alone(Option<Server>),
    /// With the socket, which the parent keeps.
    Kept(TcpListener, Option<Server>),
    Handed(TcpListener, Option<Server>),
    Shared(Option<Server>),
    /// With its two servers.
    Proxied(Proxy, Vec<(SocketAddr, Option<Server>)>),
}

impl Site {
    /// Starts the servers, which go on for the delay once they were told to stop. Those that stop before their
    /// successors start are `away` for so long.
    pub(crate) fn set_up(
        way: Way,
        stop_delay: Option<Duration>,
        away: Duration,
    ) -> Result<Self, Exit> {
        let usual = if way == Way::ProxyTold { STOP_DELAY } else { Duration::ZERO };
        let stop_delay = stop_delay.unwrap_or(usual);
        let seconds = stop_delay.as_secs_f64().to_string();
        let mut options = vec!["--stop-delay".to_owned(), seconds];
        let extent = match way {
            Way::Kept | Way::Handed => {
                let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                rustix::net::listen(&socket, BACKLOG).map_err(std::io::Error::from)?;
                let (addr, server) =
                    (socket.local_addr()?, Some(Server::hand_over(&socket, &options)?));
                let set_up = match way {
                    Way::Kept => SetUp::Kept(socket, server),
                    _ => SetUp::Handed(socket, server),
                };
                return Ok(Self { addr, options, stop_delay, away, set_up });
            }
            Way::Alone => {
                let addr = free_port()?;
                let set_up = SetUp::Alone(Some(Server::start(addr, &options)?));
                return Ok(Self { addr, options, stop_delay, away, set_up });
            }
            Way::Shared => {
                options.push("--reuse-port".to_owned());
                let addr = free_port()?;
                let set_up = SetUp::Shared(Some(Server::start(addr, &options)?));
                return Ok(Self { addr, options, stop_delay, away, set_up });
            }
            Way::ProxyPlain => Extent::Plain,
            Way::Proxy => Extent::Whole,
            Way::ProxyTold => Extent::HealthOnly,
        };
        let mut servers = vec![(free_port()?, None), (free_port()?, None)];
        for (addr, server) in &mut servers {
            *server = Some(Server::start(*addr, &options)?);
        }
        let proxy = Proxy::start(extent, [servers[0].0, servers[1].0])?;
        let (addr, set_up) = (proxy.addr, SetUp::Proxied(proxy, servers));
        Ok(Self { addr, options, stop_delay, away, set_up })
    }

    /// Restarts each server once.
    pub(crate) fn restart(&mut self) -> Result<(), Exit> {
        let Self { addr, options, stop_delay, away, set_up } = self;
        let stop = |server: &mut Option<Server>| stop(server, *stop_delay);
        match set_up {
            SetUp::Alone(server) => {
                stop(server)?;
                thread::sleep(*away);
                *server = Some(Server::start(*addr, options)?);
            }
            SetUp::Kept(socket, server) => {
                stop(server)?;
                thread::sleep(*away);
                *server = Some(Server::hand_over(socket, options)?);
            }
            SetUp::Handed(socket, server) => {
                let successor = Server::hand_over(socket, options)?;
                stop(server)?;
                *server = Some(successor);
            }
            SetUp::Shared(server) => {
                let successor = Server::start(*addr, options)?;
                stop(server)?;
                *server = Some(successor);
            }
            SetUp::Proxied(proxy, servers) => {
                for (place, (addr, server)) in servers.iter_mut().enumerate() {
                    stop(server)?;
                    thread::sleep(*away);
                    *server = Some(Server::start(*addr, options)?);
                    proxy.wait_until_steady(place)?;
                }
            }
        }
        Ok(())
    }
}

/// Stops a server, and waits for its end.
fn stop(server: &mut Option<Server>, delay: Duration) -> Result<(), Exit> {
    server.take().map_or(Ok(()), |server| server.stop(delay))
}
