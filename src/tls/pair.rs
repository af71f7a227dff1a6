//! A server and its client, for tests without a reactor.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{Engine, Role};
use crate::address::{Address, UnixAddress};

/// A server with a certificate of its own, and a client that trusts it.
pub(crate) fn engines() -> (Engine, Engine) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate], key).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let peer = || Address::Unix(UnixAddress::unnamed());
    let engine = |role: Role| Engine::new(&role, peer()).unwrap();
    (engine(Arc::new(server).into()), engine((Arc::new(client), name).into()))
}
