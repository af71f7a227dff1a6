//! TLS: encrypted connections, by [rustls].
//!
//! A listener or connector with a config of rustls makes connections that are encrypted from their first byte,
//! and [`start_tls`](crate::Transport::start_tls) encrypts one in the middle (STARTTLS), in a task
//! `futures::Connection::start_tls`. To a protocol such a connection looks like any other: it reads and writes plain
//! bytes, and all that [the crate promises](crate#what-crocus-promises) holds.
//! [`Transport::tls`](crate::Transport::tls) tells what was agreed on.
//!
//! Needs the feature `tls`, which adds rustls with the cryptography of `ring`. Nothing of TLS is written here:
//! rustls does all of it.
//!
//! # Examples
//!
//! A server and its client, in a simulation; on real sockets the same code works:
//!
//! ```
//! use std::sync::Arc;
//! use crocus::testing::Simulation;
//! use crocus::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
//! use crocus::{Connect, Listen, Protocol, Transport};
//!
//! struct Echo;
//!
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
//!         transport.write(data);
//!     }
//! }
//!
//! struct Client;
//!
//! impl Protocol for Client {
//!     fn connection_made(&mut self, transport: &mut Transport) {
//!         let tls = transport.tls().unwrap();
//!         assert_eq!(tls.server_name(), Some("localhost"));
//!         transport.write(b"hello");
//!     }
//!
//!     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
//!         assert_eq!(data, b"hello");
//!         transport.lose_connection();
//!     }
//! }
//!
//! // A certificate to try things with. A real one is read from a file, by rustls' `pem::PemObject`.
//! let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! let key = made.signing_key.serialize_der().try_into()?;
//! let mut roots = RootCertStore::empty();
//! roots.add(made.cert.der().clone())?;
//! let server = ServerConfig::builder()
//!     .with_no_client_auth()
//!     .with_single_cert(vec![made.cert.der().clone()], key)?;
//! let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
//!
//! let mut simulation = Simulation::new();
//! let place = Listen::at("127.0.0.1:443").tls(server);
//! simulation.reactor().listen(place, |_peer| Echo)?;
//! let place = Connect::to("localhost:443").tls(client, None); // the name is that of the endpoint
//! simulation.reactor().connect(place, |_peer| Client);
//! simulation.settle();
//! assert!(simulation.reactor().connections().is_empty(), "the client has closed");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! * **Announced when secure.** The handshake comes first, then the factory is asked for a protocol, by
//!   [`build_tls_protocol`](crate::Factory::build_tls_protocol): ALPN and the name that the client has asked for
//!   can choose it. Then comes `connection_made`. A handshake has [10 seconds](HANDSHAKE_TIMEOUT); for a
//!   connector the timeout of the attempt holds too. If it fails, the factory of a connector hears it in `connection_failed`, and no protocol is
//!   made. On the side of a listener it is logged, and an observer is told. A connection counts for the
//!   limits of its listener from the moment that it is accepted.
//! * **An end is an end only if the peer says so.** TLS ends with a message of its own, close_notify. If the
//!   network's end comes without it, the bytes may have been cut by somebody else: the connection is lost with
//!   [`Fault::Truncated`], and `eof_received` is not told. A protocol whose own framing tells the end may
//!   [allow it](crate::Transport::allow_truncation).
//! * **Closing in order.** `lose_connection` sends what waits, close_notify and FIN, and then waits for the
//!   peer's FIN as ever; not for a close_notify, which many peers never send. `lose_write_connection` sends
//!   close_notify and FIN too, and goes on reading. (TLS 1.2 knows no half-closed connections: some peers close
//!   when they get a close_notify.)
//! * **Bounded buffers.** The [marks](crate::Transport::set_write_buffer_limits) and the cap count the bytes that
//!   wait to be encrypted and those that are. While a peer does not read, no more than 1 MiB is encrypted. rustls
//!   keeps at most one record that is not complete, or 64 KiB of the records of one handshake message: a longer one is
//!   refused.
//! * **A bug stays in its connection.** A config may bring code of yours: to choose a certificate, to verify one,
//!   to keep sessions. A panic in it, while the peer's bytes are read, ends that connection only, with
//!   [`Reason::Panicked`](crate::Reason::Panicked).
//! * **Full records.** Bytes are encrypted when they leave, so all that waits then shares records of 16 KiB, and
//!   leaves in one system call.
//!
//! Bytes are counted as read and written as they move through the socket, encrypted:
//! [`bytes_read`](crate::Transport::bytes_read), [`Stats`](crate::Stats), rates and budgets.
//!
//! *Not* promised: early data (0-RTT), which could be replayed. It is off, whatever a config says.

mod engine;
mod error;
mod info;
#[cfg(test)]
pub(crate) mod pair;
mod role;

pub use rustls;

pub use error::{Fault, Phase, TlsError};
pub use info::TlsInfo;
pub use role::Role;

pub(crate) use engine::{Engine, Opened};

use std::time::Duration;

/// How long a handshake may take, from the moment that the connection stands or
/// [`start_tls`](crate::Transport::start_tls) is called.
///
/// A handshake takes two round trips, and the work of a signature; a sixth of nginx's default for a whole request.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
