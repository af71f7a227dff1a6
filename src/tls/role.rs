//! The side that a connection takes in TLS, and its config.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, Error, ServerConfig, ServerConnection};

use crate::address::{Endpoint, Place};

/// The side that a connection takes in TLS: a server with its config, or a client with its config and the name
/// of the server that it asks for. For [`Transport::start_tls`](crate::Transport::start_tls).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use crocus::tls::Role;
/// use crocus::tls::rustls::pki_types::ServerName;
/// use crocus::tls::rustls::{ClientConfig, RootCertStore};
///
/// let roots = RootCertStore::empty();
/// let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
/// let role = Role::from((Arc::new(config), ServerName::try_from("example.org")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Role(Side);

#[derive(Clone)]
enum Side {
    Server(Arc<ServerConfig>),
    Client(Arc<ClientConfig>, ServerName<'static>),
    /// A client that would have to know the name.
    Nameless,
}

impl Role {
    pub(crate) fn server(config: Arc<ServerConfig>) -> Self {
        if config.max_early_data_size == 0 {
            return Self(Side::Server(config));
        }
        let mut config = (*config).clone();
        config.max_early_data_size = 0; // not promised, and a protocol could not tell it from other data
        Self(Side::Server(Arc::new(config)))
    }

    /// A client that asks for the name given, or for that of the endpoint.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: Option<ServerName<'static>>,
        to: &Endpoint,
    ) -> Self {
        match name.or_else(|| name_of(to)) {
            Some(name) => Self::client_of(config, name),
            None => Self(Side::Nameless),
        }
    }

    fn client_of(config: Arc<ClientConfig>, name: ServerName<'static>) -> Self {
        if !config.enable_early_data {
            return Self(Side::Client(config, name));
        }
        let mut config = (*config).clone(); // it shares the sessions
        config.enable_early_data = false; // nothing would be sent early, so a server shall not wait for it
        Self(Side::Client(Arc::new(config), name))
    }

    /// A connection of rustls, and the name that a client asks for.
    pub(super) fn begin(&self) -> Result<(Connection, Option<Box<str>>), Error> {
        match &self.0 {
            Side::Server(config) => Ok((ServerConnection::new(Arc::clone(config))?.into(), None)),
            Side::Client(config, name) => {
                let asked_for = match name {
                    ServerName::DnsName(name) => Some(name.as_ref().into()),
                    _ => None,
                };
                let client = ClientConnection::new(Arc::clone(config), name.clone())?;
                Ok((client.into(), asked_for))
            }
            Side::Nameless => {
                let text = "the endpoint has no name that a certificate could have; give one";
                Err(Error::General(text.to_owned()))
            }
        }
    }
}

/// The name of a server at an endpoint, as its certificate has it. A port alone is at this machine.
fn name_of(endpoint: &Endpoint) -> Option<ServerName<'static>> {
    match endpoint.place() {
        Place::Unix(_) => None,
        Place::Port(_) => ServerName::try_from("localhost").ok(),
        Place::Name(host, _) => ServerName::try_from(host.clone()).ok(),
        _ => Some(ServerName::IpAddress(endpoint.socket_addr().ok()?.ip().into())),
    }
}

impl From<Arc<ServerConfig>> for Role {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self::server(config)
    }
}

impl From<(Arc<ClientConfig>, ServerName<'static>)> for Role {
    fn from((config, name): (Arc<ClientConfig>, ServerName<'static>)) -> Self {
        Self::client_of(config, name)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Side::Server(_) => f.write_str("Server"),
            Side::Client(_, name) => f.debug_tuple("Client").field(name).finish(),
            Side::Nameless => f.write_str("Nameless"),
        }
    }
}
