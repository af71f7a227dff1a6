//! The PROXY protocol: behind a proxy, a header says whose each connection is.
//!
//! HAProxy, nginx or the load balancer of a cloud accepts a client's connection and makes one of its own to the
//! server behind it. So the server would see the proxy's address for everybody. With the PROXY protocol the proxy
//! begins each connection with a header, a line of text (version 1) or some bytes (version 2), that has the
//! address of the client.
//!
//! A listener with [`Listen::proxy_protocol`](crate::Listen::proxy_protocol) reads it before anything else. The factory, limits per peer,
//! [`peer_addr`](crate::Transport::peer_addr), the log and reasons then see the client.
//! [`Transport::proxy`](crate::Transport::proxy) tells the rest: the proxy's own address, the address that the
//! client had connected to, and what else version 2 carries.
//!
//! Needs the feature `proxy`, which adds the crate [proxy-header](proxy_header), without dependencies of its own. The protocol is
//! specified in HAProxy's
//! [proxy-protocol.txt](https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt).
//!
//! # Examples
//!
//! ```
//! use crocus::proxy::Network;
//! use crocus::testing::Simulation;
//! use crocus::{Listen, Protocol, Transport};
//!
//! struct Mirror;
//!
//! impl Protocol for Mirror {
//!     fn connection_made(&mut self, transport: &mut Transport) {
//!         let proxy = transport.proxy().unwrap().proxy().ip().unwrap();
//!         write!(transport, "you are {}, by {proxy}\n", transport.peer_addr().clone());
//!     }
//!
//!     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
//!         transport.write(data);
//!     }
//! }
//!
//! let mut simulation = Simulation::new();
//! let place = Listen::at("127.0.0.1:80").proxy_protocol(["127.0.0.0/8".parse::<Network>()?]);
//! simulation.reactor().listen(place, |_peer| Mirror)?;
//! let mut proxy = simulation.dial("127.0.0.1:80");
//! proxy.send(b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\nhello");
//! simulation.settle();
//! assert_eq!(proxy.received(), b"you are 203.0.113.7:4711, by 127.0.0.1\nhello");
//! # std::io::Result::Ok(())
//! ```
//!
//! # What is promised
//!
//! * **Only the trusted are believed.** Anybody can send a header. A connection from an address that is not among
//!   the networks given is turned away when it is accepted, and no byte of it is read:
//!   [`Fault::Untrusted`]. From a trusted one a header is required.
//! * **Nothing is lost, and nothing is taken for something else.** The header may come in any pieces. The
//!   bytes behind it, in the same segment or later, are the first data of the protocol, or of [TLS](crate::tls)
//!   (feature `tls`) if the listener has that too: the header comes first, in clear, as HAProxy sends it.
//! * **Bounded.** A header has [5 seconds](HEADER_TIMEOUT) and [4,096 bytes](LONGEST_HEADER). At most
//!   [1,024](MOST_UNIDENTIFIED) connections of a listener wait for theirs. Further ones wait in the kernel.
//! * **A wrong header ends the connection**, with a reset, and no protocol is made. The log tells it on the level
//!   `info`, an observer hears [`Notice::Gone`](crate::Notice::Gone), with [`Reason::Proxy`](crate::Reason::Proxy).
//! * **The proxy's own connections** (`LOCAL` in version 2, `UNKNOWN` in version 1), mostly health checks, have
//!   the proxy as their peer.
//! * A checksum (CRC32c) in a header of version 2 is verified.
//!
//! [Limits per peer](crate::Listen::max_connections_per_peer) count by the client;
//! [`max_connections`](crate::Listen::max_connections) counts a connection from the moment that it is accepted.
//! The bytes of the header count as read: in [`bytes_read`](crate::Transport::bytes_read), in
//! [`Stats`](crate::Stats) and for a [read rate](crate::Listen::read_rate).
//!
//! To send a header, for a program that is a proxy itself, there is [`Version::header`].
//!
//! *Not* promised: anything about what a trusted proxy says. It may name any address.

mod checksum;
mod error;
mod header;
mod info;
mod network;
mod sending;

pub use proxy_header;

pub use error::{Fault, ProxyError};
pub use info::ProxyInfo;
pub use network::Network;
pub use sending::Version;

pub(crate) use header::read;

use std::time::Duration;

/// How long a header may take, from the moment that the connection is accepted.
///
/// A proxy sends it first of all. The specification asks receivers to wait for at least 3 seconds, so that a
/// lost segment can be sent again; two more are for a slow proxy.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How many bytes a header may have.
///
/// One of version 1 has 107 at most. Version 2 could have 65,551, of which addresses take 232 and the rest is
/// additional information: names, identifiers, what TLS has agreed on. As in nginx.
pub const LONGEST_HEADER: usize = 4096;

/// How many connections of one listener may wait for their header.
///
/// At this limit the listener stops accepting until a header has come or its time is up. Each of them costs a
/// descriptor and at most some 8 KiB. Few wait at any time: a proxy sends the header with the connection.
pub const MOST_UNIDENTIFIED: usize = 1024;
